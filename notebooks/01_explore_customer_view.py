# Databricks notebook source
# MAGIC %md
# MAGIC # Explore the unified customer view
# MAGIC One row per subscriber and month: everything the models and the marketing matrices read. Runs on Databricks, or locally with
# MAGIC `python notebooks/01_explore_customer_view.py` after `make demo`. `CRM_SPARK_ENV` and `CRM_SPARK_MONTH` (on
# MAGIC Databricks the widgets `env` and `month`) choose what is read.

# COMMAND ----------

from matplotlib.figure import Figure
from pyspark.sql import functions as F

from crm_spark.notebook import picture, published, show
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.ops import COVERAGE
from crm_spark.tables.score import VALUE_SCORE

job = published("explore_customer_view")
view = job.read(CUSTOMER_VIEW)
print(f"{job.config.source.description}: {view.count():,} customers in {job.month}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## How the cities differ

# COMMAND ----------

by_city = view.groupBy("city").agg(
    F.count("*").alias("customers"),
    F.round(F.avg("arpu_yuan"), 1).alias("arpu"),
    F.round(F.avg("total_minutes"), 0).alias("mou_minutes"),
    F.round(F.avg("dou_mb"), 0).alias("dou_mb"),
    F.round(F.avg("tenure_months"), 1).alias("tenure_months"),
    F.round(F.avg("return_rate"), 1).alias("return_rate"),
)
show(by_city.orderBy(F.desc("customers")))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Value: what the grades mean in revenue and time on the network

# COMMAND ----------

graded = view.join(job.read(VALUE_SCORE).select("user_id", "value", "value_grade"), on="user_id", how="inner")
per_grade = graded.groupBy("value_grade").agg(
    F.count("*").alias("customers"),
    F.round(F.avg("value"), 1).alias("value"),
    F.round(F.avg("arpu_yuan"), 1).alias("arpu"),
    F.round(F.avg("tenure_months"), 1).alias("tenure_months"),
)
show(per_grade.orderBy(F.desc("value")))

# COMMAND ----------

spread = graded.select(F.round("value").alias("value")).groupBy("value").count().where("value is not null").orderBy("value").toPandas()
figure = Figure(figsize=(7, 3.2), layout="constrained")
axes = figure.subplots()
axes.bar(spread["value"], spread["count"], color="#1b6ca8")
axes.set(xlabel="personal value, 0-100", ylabel="customers", title=f"Spread of customer value, {job.month}")
picture(job, figure, "value_spread")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What this operator feeds
# MAGIC Columns without any value are not mapped for this operator; models and matrix rules that need them are skipped and told.

# COMMAND ----------

told = job.catalog.read(COVERAGE).where((F.col("kind") == "column") & (F.col("month") == job.month))
latest = told.groupBy("subject").agg(F.max_by("filled_share", "recorded_at").alias("filled_share"))
show(latest.where("filled_share < 1").orderBy("filled_share", "subject"), rows=30)
