# Databricks notebook source
# MAGIC %md
# MAGIC # Inspect the marketing matrices
# MAGIC Which rules fire, for how many customers, and which never do. Matrices are CSV files in `conf/matrices/`; see docs/matrices.md.

# COMMAND ----------

from matplotlib.figure import Figure
from pyspark.sql import functions as F

from crm_spark.decisions.load import matrices_of
from crm_spark.notebook import picture, published, show
from crm_spark.tables.decision import EXCLUSION, MATRIX_CELL, RECOMMENDATION
from crm_spark.tables.ops import COVERAGE

job = published("inspect_matrices")
recommendations = job.read(RECOMMENDATION)
customers = recommendations.count()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Rules by matrix: customers they fire for

# COMMAND ----------

fired = recommendations.select(F.explode("rules").alias("matrix", "rules")).select("matrix", F.explode("rules").alias("rule"))
counted = fired.groupBy("matrix", "rule").agg(F.count("*").alias("customers")).withColumn("share", F.round(F.col("customers") / customers, 3))
show(counted.orderBy("matrix", F.desc("customers")), rows=100)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Size of the compiled matrices, and rules that no customer reached
# MAGIC A rule that stands in no cell can never fire: rows above it take all its customers, or it was skipped (see below).

# COMMAND ----------

cells = job.read(MATRIX_CELL)
size = cells.groupBy("matrix", "matrix_version").agg(F.count("*").alias("cells"))
show(size.orderBy("matrix"))
# The names come from the sheets: a rule that others shadow entirely stands in no cell.
written = [(matrix.name, place, rule.name) for matrix in matrices_of(job.config).matrices for place, rule in enumerate(matrix.rules, 1)]
rules = job.spark.createDataFrame(written, "matrix string, place int, rule string")
in_a_cell = cells.select("matrix", F.explode("hits.rule").alias("rule")).distinct().withColumn("stands_in_a_cell", F.lit(True))
silent = rules.join(counted, on=["matrix", "rule"], how="left_anti").join(in_a_cell, on=["matrix", "rule"], how="left")
show(silent.fillna(False).orderBy("matrix", "place"), rows=100)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Rules skipped because this operator lacks a column

# COMMAND ----------

told = job.catalog.read(COVERAGE).where((F.col("kind") == "matrix_rule") & (F.col("month") == job.month))
show(told.select("subject", "reason").distinct().orderBy("subject"), rows=50)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Main policies, and candidates that were dropped

# COMMAND ----------

main = recommendations.groupBy(F.coalesce("main_policy", F.lit("none")).alias("policy")).agg(F.count("*").alias("customers"))
main = main.orderBy(F.desc("customers")).toPandas()
show(main)
figure = Figure(figsize=(7, 1 + 0.3 * len(main)), layout="constrained")
axes = figure.subplots()
axes.barh(main["policy"], main["customers"], color="#57a773")
axes.invert_yaxis()
axes.set(xlabel="customers", title=f"Main policies, {job.month}")
picture(job, figure, "main_policies")

# COMMAND ----------

dropped = job.read(EXCLUSION, optional=True).groupBy("goal", "stage", "reason").agg(F.count("*").alias("candidates"))
show(dropped.orderBy(F.desc("candidates")))

# COMMAND ----------

# MAGIC %md
# MAGIC ## A few whole recommendations

# COMMAND ----------

show(recommendations.select("city", "priority", "main_policy", "policy_group", "new_services", "traffic_policies", "wording").orderBy("user_id"), rows=8)
