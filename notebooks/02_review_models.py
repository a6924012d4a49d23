# Databricks notebook source
# MAGIC %md
# MAGIC # Review the models
# MAGIC Champions and challengers of an environment: what each asks, how good it is on the hold-out, what it looks at, whom it scores.
# MAGIC The full record of a version (plots, rules, model card) is in MLflow: `make mlflow-ui`; see mlflow/README.md.

# COMMAND ----------

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import functions as F

from crm_spark.learning.registry import CHALLENGER, CHAMPION
from crm_spark.notebook import picture, published, show
from crm_spark.tables.ops import COVERAGE
from crm_spark.tables.score import MODEL_SCORE

job = published("review_models")
store = job.config.env.mlflow
registry_uri = store.registry_uri or store.tracking_uri
mlflow.set_tracking_uri(store.tracking_uri)  # artifacts are found by it, not by the client
client = mlflow.MlflowClient(store.tracking_uri, registry_uri)
print(f"models of {job.config.env_name}, scores of {job.month}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Versions, aliases and hold-out measures

# COMMAND ----------


def version_row(model, alias):
    """One line of the comparison; None where the model has no such alias."""
    try:
        version = client.get_model_version_by_alias(f"{store.model_prefix}{model}", alias)
    except mlflow.exceptions.MlflowException:
        return None
    run = client.get_run(version.run_id)
    shown = ("test_auc", "test_lift_10", "test_ks", "test_calibration_error", "test_base_rate", "test_customers")
    return {"model": model, "alias": alias, "version": version.version, **{m: run.data.metrics.get(m) for m in shown}, "run_id": version.run_id}


found = [row for model in job.config.models for alias in (CHAMPION, CHALLENGER) if (row := version_row(model, alias))]
versions = pd.DataFrame(found, columns=["model", "alias", "version", "test_auc", "test_lift_10", "test_ks", "test_calibration_error", "test_base_rate", "test_customers", "run_id"])
show(versions.drop(columns="run_id").round(4), rows=30)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was not trained or not promoted, and why

# COMMAND ----------

told = job.catalog.read(COVERAGE).where(F.col("kind").isin("model", "training") & (F.col("month") == job.month))
show(told.select("subject", "kind", "status", "reason").distinct().orderBy("subject", "kind"), rows=30)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the champions look at

# COMMAND ----------

for row in (r for r in found if r["alias"] == CHAMPION):
    text = mlflow.artifacts.load_text(f"runs:/{row['run_id']}/features/importance.csv")
    top = pd.DataFrame([line.split(",") for line in text.splitlines()[1:11]], columns=["feature", "share"])
    print(row["model"], "version", row["version"])
    show(top, rows=10)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Scores of the month, by grade and city

# COMMAND ----------

scores = job.read(MODEL_SCORE, optional=True)
graded = scores.groupBy("model", "grade").agg(F.count("*").alias("customers"), F.round(F.avg("score"), 1).alias("mean_score"))
show(graded.orderBy("model", F.desc("mean_score")), rows=40)

# COMMAND ----------

counted = scores.groupBy("model", (F.floor(F.col("score") / 5) * 5).alias("from_score")).agg(F.count("*").alias("customers")).toPandas()
models = sorted(counted["model"].unique())
figure = Figure(figsize=(10, 1 + 1.6 * max(len(models), 1)), layout="constrained")
for axes, model in zip(figure.subplots(max(len(models), 1), 1, squeeze=False)[:, 0], models, strict=False):
    part = counted[counted["model"] == model]
    axes.bar(part["from_score"] + 2.5, part["customers"], width=4.6, color="#1b6ca8")
    axes.set_xlim(0, 100)
    axes.set_ylabel(model, rotation=0, ha="right", fontsize=8)
figure.suptitle(f"Scores of {job.month}")
picture(job, figure, "score_spread")
