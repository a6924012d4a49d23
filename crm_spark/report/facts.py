"""Counts of a month for the summary: small tables, whatever the number of customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Row = dict[str, object]

TOP = 15
_EXAMPLE = ("city", "value_grade", "priority", "new_services", "traffic_policies", "reasons")


def customers_by_city(recommendations: DataFrame, index: DataFrame) -> list[Row]:
    """One row per city, largest first: customers, value grades, anomalous, at risk, a month's revenue at risk, and who has an offer."""
    grade = F.col("grades")
    both = recommendations.select("user_id", "city", "main_policy", "new_services", "traffic_policies", "vpn_policy").join(
        index.select("user_id", "value_grade", "grades", "revenue_at_risk_yuan"), on="user_id", how="left"
    )
    offered = (
        F.col("main_policy").isNotNull() | (F.size("new_services") > 0) | (F.size("traffic_policies") > 0) | F.col("vpn_policy").isNotNull()
    )
    counted = both.groupBy("city").agg(
        F.count("*").alias("customers"),
        *[F.count_if(F.col("value_grade") == g).alias(g) for g in ("high", "mid-high", "mid", "low")],
        _count_or_null(grade["anomaly"], "anomalous").alias("anomalous"),
        _count_or_null(grade["churn"], "at_risk").alias("at_risk"),
        F.round(F.sum("revenue_at_risk_yuan"), 0).alias("revenue_at_risk_yuan"),
        F.count_if(offered).alias("with_an_offer"),
    )
    return rows_of(counted.orderBy(F.desc("customers"), "city"))


def priorities(recommendations: DataFrame) -> list[Row]:
    """One row per priority order, most frequent first."""
    order = F.concat_ws(" > ", "priority").alias("priority")
    return rows_of(recommendations.groupBy(order).agg(F.count("*").alias("customers")).orderBy(F.desc("customers"), "priority"))


def top_policies(recommendations: DataFrame, names: Mapping[str, str], top: int = TOP) -> list[Row]:
    """One row per goal and policy: customers it is recommended to, most frequent first within the goal."""
    offers = F.concat(
        _offers("retention", F.array("main_policy")),
        _offers("new_service", F.col("new_services")),
        _offers("traffic", F.col("traffic_policies")),
        _offers("virtual_network", F.array("vpn_policy")),
    )
    counted = (
        recommendations.select(F.explode(offers).alias("offer")).groupBy("offer.goal", "offer.policy").agg(F.count("*").alias("customers"))
    )
    rows = rows_of(counted.where(F.col("policy").isNotNull()).orderBy("goal", F.desc("customers"), "policy"))
    kept = [row for goal in dict.fromkeys(r["goal"] for r in rows) for row in [r for r in rows if r["goal"] == goal][:top]]
    return [{**row, "name": names.get(str(row["policy"]), "")} for row in kept]


def examples(recommendations: DataFrame, count: int = 8) -> list[Row]:
    """A few whole recommendations, one per main policy, without who they are for; `why` is the reason of the order and of the policy."""
    per_policy = (
        recommendations.where(F.col("main_policy").isNotNull())
        .groupBy("main_policy")
        .agg(F.min_by(F.struct(*_EXAMPLE), "user_id").alias("one"), F.count("*").alias("customers"))
    )
    rows = rows_of(per_policy.orderBy(F.desc("customers"), "main_policy").limit(count).select("main_policy", "one.*"))
    return [{**row, "why": "; ".join(cast(list[str], row["reasons"])[:2])} for row in rows]


def exclusions(excluded: DataFrame) -> list[Row]:
    """One row per goal and reason: candidates that were dropped."""
    counted = excluded.groupBy("goal", "stage", "reason").agg(F.count("*").alias("candidates"))
    return rows_of(counted.orderBy(F.desc("candidates"), "goal", "reason"))


def tiers(recommendations: DataFrame) -> list[Row]:
    """One row per value tier: customers, and those with an offer."""
    counted = recommendations.groupBy("tier").agg(F.count("*").alias("customers"), F.count_if(F.size("offers") > 0).alias("with_an_offer"))
    return rows_of(counted.orderBy(F.desc("customers"), "tier"))


def needs(opportunities: DataFrame) -> list[Row]:
    """One row per need and kind: customers that have it, and how strong it is."""
    counted = opportunities.groupBy("need", "kind", "goal").agg(F.count("*").alias("customers"), F.round(F.avg("score"), 1).alias("mean_score"))
    return rows_of(counted.orderBy(F.desc("customers"), "need", "kind"))


def segments(profile: DataFrame) -> list[Row]:
    """One row per group: customers, and the three attributes whose mean lies furthest from that of all, in standard deviations."""
    trait = F.concat(F.col("attribute"), F.lit(" x"), F.format_number("index", 1))
    ranked = F.struct(F.abs("distance").alias("distance"), trait.alias("trait"))
    traits = F.slice(F.sort_array(F.collect_list(ranked), asc=False), 1, 3)["trait"]
    group = ("segmentation", "group_number", "class_name", "group_name", "group_label", "customers")
    grouped = profile.where(F.col("index").isNotNull() & F.col("distance").isNotNull()).groupBy(*group)
    return rows_of(grouped.agg(F.concat_ws(", ", traits).alias("traits")).orderBy("segmentation", "group_number"))


def model_grades(scores: DataFrame) -> list[Row]:
    """One row per model: version, customers scored, mean score, customers per grade."""
    graded = scores.groupBy("model", "model_version", "grade").agg(F.count("*").alias("n"), F.sum("score").alias("total"))
    entries = F.sort_array(F.collect_list(F.struct("grade", "n")))
    summed = graded.groupBy("model", "model_version").agg(
        F.sum("n").alias("customers"),
        F.round(F.sum("total") / F.sum("n"), 2).alias("mean_score"),
        F.map_from_entries(entries).alias("grades"),
    )
    return rows_of(summed.orderBy("model"))


def drift(told: DataFrame, months: int = 12) -> list[Row]:
    """One row per model and month of the last `months` that were scored, by the month's latest run: how far score, label and the feature
    that moved most are from where the version learnt, and why a new version is asked for."""
    newest = told.groupBy("model", "month").agg(F.max("recorded_at").alias("recorded_at"))
    last = told.select("month").distinct().orderBy(F.desc("month")).limit(months)
    is_score, is_feature, is_label = (F.col("kind") == kind for kind in ("score", "feature", "label"))
    most = F.max(F.when(is_feature, F.struct("psi", "subject")))

    def of(condition: Column, column: str) -> Column:
        return F.max(F.when(condition, F.col(column)))

    rows = told.join(newest, on=["model", "month", "recorded_at"], how="left_semi").join(last, on="month", how="left_semi")
    columns = {
        "score_psi": of(is_score, "psi"), "psi_by_chance": of(is_score, "psi_noise"), "mean_score": F.round(of(is_score, "mean"), 2),
        "mean_score_then": F.round(of(is_score, "reference_mean"), 2), "moved_most": most["subject"], "its_psi": most["psi"],
        "label_share": of(is_label, "mean"), "label_share_then": of(is_label, "reference_mean"), "retrain": of(is_score, "retrain"),
    }  # fmt: skip
    found = rows.groupBy("model", "month", "model_version").agg(*[column.alias(name) for name, column in columns.items()])
    return rows_of(found.orderBy("model", "month"))


def ingest(ledger: DataFrame) -> list[Row]:
    """One row per mapping: files and lines of the newest reading of each file."""
    newest = (
        ledger.where("status in ('loaded', 'refused')")
        .groupBy("mapping", "month", "file")
        .agg(*[F.max_by(c, "recorded_at").alias(c) for c in ("status", "lines", "loaded", "quarantined", "duplicates")])
    )
    sums = [F.sum(c).alias(c) for c in ("lines", "loaded", "quarantined", "duplicates")]
    counted = newest.groupBy("mapping").agg(F.count("*").alias("files"), F.count_if(F.col("status") == "refused").alias("refused"), *sums)
    return rows_of(counted.orderBy("mapping"))


def quarantine_reasons(quarantine: DataFrame, top: int = TOP) -> list[Row]:
    """One row per table and reason, most frequent first."""
    reasons = (
        quarantine.select("mapping", F.explode("reasons").alias("reason")).groupBy("mapping", "reason").agg(F.count("*").alias("rows"))
    )
    return rows_of(reasons.orderBy(F.desc("rows"), "mapping", "reason").limit(top))


def coverage(told: DataFrame) -> list[Row]:
    """What was skipped or only partly fed, with the reason; columns without any value are one row."""
    things = told.where("kind <> 'column' and status <> 'used'").select("kind", "subject", "status", "reason").distinct()
    return rows_of(things.orderBy("kind", "subject"))


def empty_columns(told: DataFrame) -> list[str]:
    """View columns without any value in this run."""
    names = told.where("kind = 'column' and status = 'skipped'").select("subject").distinct().orderBy("subject")
    return [str(row["subject"]) for row in names.collect()]


def rows_of(frame: DataFrame) -> list[Row]:
    """A small frame as rows of the driver."""
    return [cast(Row, row.asDict(recursive=True)) for row in frame.collect()]


def _count_or_null(grade: Column, name: str) -> Column:
    return F.when(F.count(grade) > 0, F.count_if(grade == name))


def _offers(goal: str, policies: Column) -> Column:
    return F.transform(policies, lambda p: F.struct(F.lit(goal).alias("goal"), p.alias("policy")))
