"""Complaints that are open: whoever waits for an answer is not sold anything."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

COMPLAINING = "complaining"


def complaining_persons(complaints: DataFrame, persons: DataFrame, begins: date, open_days: int) -> DataFrame:
    """`person_id` of everybody with a complaint, by any number, that is open on `begins`: settled later, or, with no settlement told, not older than `open_days`.

    `complaints` are rows of raw.complaint, `persons` the person of each user_id.
    """
    is_open = F.coalesce(F.col("settled_on") >= F.lit(begins), F.datediff(F.lit(begins), F.col("told_at")) <= open_days)
    whose = persons.select("user_id", F.coalesce("person_id", "user_id").alias("person_id"))
    return complaints.where(is_open).join(whose, on="user_id").select("person_id").distinct()
