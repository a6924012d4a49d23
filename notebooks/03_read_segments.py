# Databricks notebook source
# MAGIC %md
# MAGIC # Read the segments
# MAGIC Groups of customers by KMeans, their size, and what sets each apart from all. Names are given by profile conditions in
# MAGIC `conf/segments/`; matrices use the names, never the numbers.

# COMMAND ----------

import numpy as np
from matplotlib.figure import Figure
from pyspark.sql import functions as F

from crm_spark.notebook import picture, published, show
from crm_spark.tables.decision import RECOMMENDATION
from crm_spark.tables.score import SEGMENT, SEGMENT_PROFILE

job = published("read_segments")
profile = job.read(SEGMENT_PROFILE, optional=True).toPandas()
segmentations = sorted(profile["segmentation"].unique())
print("segmentations:", ", ".join(segmentations) or "none (see the coverage in the report)")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Groups by size

# COMMAND ----------

for segmentation in segmentations:
    groups = profile[profile["segmentation"] == segmentation]
    show(groups[["segmentation", "group_number", "class_name", "group_label", "customers"]].drop_duplicates().sort_values("group_number"), rows=30)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Heat map: how often a group has an attribute compared with all customers (log2 of the index)

# COMMAND ----------

for segmentation in segmentations:
    part = profile[profile["segmentation"] == segmentation].copy()
    part["label"] = part["group_number"].astype(str) + " " + part["group_label"]
    table = part.pivot_table(index=["group_number", "label"], columns="attribute", values="index", aggfunc="first").droplevel(0)
    shades = np.clip(np.log2(table.astype(float).clip(lower=0.05)), -3, 3)
    figure = Figure(figsize=(2.5 + 0.35 * table.shape[1], 1.8 + 0.28 * table.shape[0]), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shades, cmap="RdBu_r", vmin=-3, vmax=3, aspect="auto")
    axes.set_xticks(range(table.shape[1]), table.columns, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(table.shape[0]), table.index, fontsize=7)
    axes.set_title(f"{segmentation}, {job.month}")
    figure.colorbar(image, ax=axes, label="log2(group mean / overall mean)")
    picture(job, figure, f"profile_{segmentation}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What each group is offered first

# COMMAND ----------

first = job.read(RECOMMENDATION).select("user_id", "main_policy", F.concat_ws(" > ", "priority").alias("priority"))
offered = job.read(SEGMENT, optional=True).join(first, on="user_id", how="inner")
top = offered.groupBy("segmentation", "group_name").agg(
    F.count("*").alias("customers"), F.mode("priority").alias("usual_priority"), F.mode("main_policy").alias("usual_main_policy")
)
show(top.orderBy("segmentation", F.desc("customers")), rows=45)
