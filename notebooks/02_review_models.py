# Databricks notebook source
# MAGIC %md
# MAGIC # Review the models
# MAGIC Champions and challengers of an environment: what each asks, how good it is on the hold-out, challenger beside champion, by month and group, what it looks at, whom it scores.
# MAGIC The full record of a version (plots, rules, model card) is in MLflow: `make mlflow-ui`; see mlflow/README.md.

# COMMAND ----------

from io import StringIO

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import functions as F

from crm_spark.learning.registry import CHALLENGER, CHAMPION, Registry
from crm_spark.notebook import picture, published, show
from crm_spark.tables.ops import COVERAGE
from crm_spark.tables.score import MODEL_SCORE

job = published("review_models")
store = job.config.env.mlflow
registry = Registry(store)
client = mlflow.MlflowClient(store.tracking_uri, store.registry_uri or store.tracking_uri)
print(f"models of {job.config.env_name}, scores of {job.month}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Versions, aliases and hold-out measures

# COMMAND ----------

MEASURES = ("test_auc", "test_pr_auc", "test_lift_10", "test_ks", "test_calibration_error", "test_base_rate", "test_customers", "champion_auc_same_rows")


def under(model, number, role):
    """A version and what its run tells; None without one, or if it was deleted."""
    if number not in {v.number for v in registry.versions(model)}:
        return None
    version = client.get_model_version(f"{store.model_prefix}{model}", number)
    run = client.get_run(version.run_id)
    return {"model": model, "role": role, "version": number, "gate": version.tags.get("gate"), "tags": version.tags, "run": run.data}


def former(champion):
    """The version that was champion before."""
    return under(champion["model"], next(iter(registry.champions(champion["model"])[-2:-1]), None), "former champion") if champion else None


champions = {model: under(model, registry.champion_version(model), CHAMPION) for model in job.config.models}
challengers = {model: under(model, registry.alias(model, CHALLENGER), CHALLENGER) for model in job.config.models}
found = [one for model in job.config.models for one in (champions[model], challengers[model]) if one]
rows = [{**{c: one[c] for c in ("model", "role", "version")}, **{m: one["run"].metrics.get(m) for m in MEASURES}, "gate": one["gate"]} for one in found]
show(pd.DataFrame(rows, columns=["model", "role", "version", *MEASURES, "gate"]).round(4), rows=30)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The challenger beside the champion
# MAGIC Each measure of both, and the difference; without a challenger the champion stands beside the one before it. Measures of two versions are of the customers that judged
# MAGIC each of them, which may be of other months: on the very same customers are `test_auc` and `champion_auc_same_rows` of the newer one, and by these the gate compares.

# COMMAND ----------


def beside(newer, older):
    """Measures of two versions side by side; what is better has a plus."""
    sides = {f"{one['role']} {one['version']}": [one["run"].metrics.get(m) for m in MEASURES] for one in (older, newer)}
    table = pd.DataFrame({"measure": MEASURES, **sides})
    table["difference"] = pd.to_numeric(table.iloc[:, 2]) - pd.to_numeric(table.iloc[:, 1])
    return table


pairs = [(challengers[m], champions[m]) if challengers[m] else (champions[m], former(champions[m])) for m in job.config.models]
pairs = [(newer, older) for newer, older in pairs if newer and older]
for newer, older in pairs:
    print(f"{newer['model']}: {newer['role']} version {newer['version']} beside {older['role']} version {older['version']}; its gate: {newer['gate']}")
    show(beside(newer, older).round(4), rows=len(MEASURES))
if not pairs:
    print("no model has had a second version yet: nothing to compare")

# COMMAND ----------

# MAGIC %md
# MAGIC ## By month and by group
# MAGIC `rate` have the label, `told` is the mean probability, `chosen` are in the tenth with the highest scores, `found` are those of them with the label. Groups with fewer customers
# MAGIC with the label, or without it, than the gate's `stability.least` are too small to judge. Where there are two versions both are shown.

# COMMAND ----------


def groups_of(one):
    """The measures of a version by month and group; empty of a version that was trained before they were kept."""
    text = registry.find_text(one["model"], one["version"], "groups.csv")
    return pd.read_csv(StringIO(text)).round(4) if text else pd.DataFrame(columns=["by", "level"])


older_of = {newer["model"]: older for newer, older in pairs}
for model in job.config.models:
    newer = challengers[model] or champions[model]
    if not newer:
        continue
    table, least = groups_of(newer), job.config.models[model].gate.stability.least
    if table.empty:
        print(f"{model} version {newer['version']} was trained before groups were kept")
        continue
    table["judged"] = table[["positives"]].assign(others=table["customers"] - table["positives"]).min(axis=1).ge(least).map({True: "", False: "too small"})
    shown = table[["by", "level", "customers", "rate", "told", "chosen", "found", "auc", "judged"]]
    if model in older_of and not (before := groups_of(older_of[model])).empty:
        columns = {"told": f"told_by_{older_of[model]['version']}", "auc": f"auc_of_{older_of[model]['version']}"}
        shown = shown.merge(before[["by", "level", *columns]].rename(columns=columns), on=["by", "level"], how="left")
    print(model, newer["role"], "version", newer["version"])
    show(shown, rows=80)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was not trained or not promoted, and why

# COMMAND ----------

told = job.catalog.read(COVERAGE).where(F.col("kind").isin("model", "training") & (F.col("month") == job.month))
show(told.select("subject", "kind", "status", "reason").distinct().orderBy("subject", "kind"), rows=30)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What they look at

# COMMAND ----------

for one in found:
    top = pd.read_csv(StringIO(registry.text(one["model"], one["version"], "features/importance.csv"))).head(10)
    print(one["model"], one["role"], "version", one["version"])
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
