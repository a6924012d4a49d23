"""The jobs as a package: `crm_spark.jobs` in the wheel and in an editable installation."""
