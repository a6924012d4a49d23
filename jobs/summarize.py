"""Write what the month came to: summary.html for planners and summary.json for machines.

Counts customers by city, value grade and priority, top policies, models, segments, what was skipped and why, what came
in, digests of the tables, seconds per job. Reads the tables of its own run, or the published ones. Writes no table.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.job import Job, entry
from crm_spark.learning.registry import champion_metrics
from crm_spark.report import facts
from crm_spark.report.page import Summary, render_page
from crm_spark.runs import finished_jobs
from crm_spark.tables.contract import Table
from crm_spark.tables.decision import CHOICE, EXCLUSION, OPPORTUNITY, RECOMMENDATION
from crm_spark.tables.digest import digest
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.ops import COVERAGE, INGEST_LEDGER, MODEL_DRIFT, PUBLICATION
from crm_spark.tables.raw import QUARANTINE
from crm_spark.tables.score import MODEL_SCORE, PERSONAL_INDEX, SEGMENT, SEGMENT_PROFILE, VALUE_SCORE
from crm_spark.threads import at_once

DIGESTED = (CUSTOMER_VIEW, VALUE_SCORE, MODEL_SCORE, SEGMENT, RECOMMENDATION, EXCLUSION, OPPORTUNITY)
# A registry's version numbers say nothing of the answer: a replay with the same models in another registry must be equal (ADR 5).
WITHOUT = {MODEL_SCORE.full_name: ("model_version",), RECOMMENDATION.full_name: ("model_versions",)}


def run(job: Job) -> None:
    """Gather the facts, then write the two files."""
    start = time.monotonic()
    summary = {**_about(job), **_customers(job), **_scores(job), **_operations(job, start)}
    folder = Path(job.config.env.var)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False, default=str))
    _write(folder / "summary.html", render_page(cast(Summary, summary)))
    job.log.info("    wrote %s", folder / "summary.html")


def _about(job: Job) -> dict[str, object]:
    env, source = job.config.env, job.config.source
    cities = list(job.cities) if job.cities else None
    return {
        "run": {"run_id": _run_told(job), "env": job.config.env_name, "month": job.month, "cities": cities, "config": job.config.fingerprint},
        "source": {"name": env.source, "operator": source.operator, "description": source.description},
        "places": {
            "recommendations": _place(job, RECOMMENDATION),
            "the one offer": _place(job, CHOICE),
            "report": str(Path(env.var) / "summary.html"),
            "tables": env.catalog.root,
            "models": f"make mlflow-ui RUN={Path(env.var).name}",
        },
    }


def _place(job: Job, table: Table) -> str:
    return job.catalog.reference(table).removeprefix("delta.").strip("`")


def _customers(job: Job) -> dict[str, object]:
    recommendations = job.read(RECOMMENDATION).persist()
    cities = facts.customers_by_city(recommendations, job.read(PERSONAL_INDEX))
    policies = facts.top_policies(recommendations, {p.policy_id: p.name for p in job.config.matrices.policies.values()})
    quarantined = job.read(QUARANTINE, job.months_of(QUARANTINE), optional=True)
    return {
        "totals": {
            "customers": sum(int(str(c["customers"])) for c in cities),
            "with_an_offer": sum(int(str(c["with_an_offer"])) for c in cities),
            "quarantined": quarantined.count(),
        },
        "cities": cities,
        "priorities": facts.priorities(recommendations),
        "policies": policies,
        "examples": facts.examples(recommendations),
        "exclusions": facts.exclusions(job.read(EXCLUSION)),
        "tiers": facts.tiers(recommendations),
        "needs": facts.needs(job.read(OPPORTUNITY, optional=True)),
        "quarantine": facts.quarantine_reasons(quarantined),
    }


def _scores(job: Job) -> dict[str, object]:
    models = facts.model_grades(job.read(MODEL_SCORE, optional=True))
    metrics = champion_metrics(job.config.env.mlflow, [(str(m["model"]), str(m["model_version"])) for m in models])
    return {
        "models": [{**model, **metrics.get((str(model["model"]), str(model["model_version"])), {})} for model in models],
        "drift": facts.drift(_drift(job)) if job.catalog.exists(MODEL_DRIFT) else [],
        "segments": facts.segments(job.read(SEGMENT_PROFILE, optional=True)),
    }


def _drift(job: Job) -> DataFrame:
    """What runs of the same cities told of months up to this one."""
    cities = F.array(*map(F.lit, job.cities)) if job.cities else F.lit(None).cast("array<string>")
    return job.catalog.read(MODEL_DRIFT).where(F.col("cities").eqNullSafe(cities) & (F.col("month") <= job.month))


def _operations(job: Job, start: float) -> dict[str, object]:
    run_id = _run_told(job)
    told = job.catalog.read(COVERAGE).where(F.col("run_id") == run_id)
    jobs = _costs(finished_jobs(job.catalog, run_id))
    ledger = facts.ingest(job.catalog.read(INGEST_LEDGER)) if job.catalog.exists(INGEST_LEDGER) else []
    made = at_once(job.spark, lambda t: digest(job.read(t, optional=True), t, WITHOUT.get(t.full_name, ())), DIGESTED)
    digests = dict(zip((t.full_name for t in DIGESTED), made, strict=True))
    if run_id == job.run_id:
        so_far = round(time.monotonic() - start, 1)  # its own end cannot stand in what it writes
        jobs = [*(j for j in jobs if j["job"] != job.name), {"job": job.name, "seconds": so_far}]
    return {
        "coverage": facts.coverage(told),
        "empty_columns": facts.empty_columns(told),
        "ingest": ledger,
        "jobs": jobs,
        "digests": digests,
    }


def _costs(ended: Sequence[Row]) -> list[dict[str, object]]:
    """What the ledger tells of each job, of one that ran again in all; over Spark Connect only its seconds."""
    costs: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in ended:
        cost = costs[row["job"]]
        cost["seconds"] += row["seconds"]
        if row["tasks"] is not None:
            cost["shuffled_mb"] += row["shuffle_bytes"] / 1e6
            cost["spilled_mb"] += sum(step["spill_bytes"] for step in row["steps"]) / 1e6
    return [{"job": name, **{what: round(spent, 1) for what, spent in cost.items()}} for name, cost in costs.items()]


def _run_told(job: Job) -> str:
    """The run that recommended: this one, or, where the job runs alone, the one that was published last."""
    if job.wrote(RECOMMENDATION, job.month):
        return job.run_id
    of_month = job.catalog.read(PUBLICATION).where((F.col("table") == RECOMMENDATION.full_name) & (F.col("month") == job.month))
    return str(of_month.orderBy(F.desc("sequence")).select("run_id").head(1)[0][0])


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half a file."""
    half = path.with_suffix(path.suffix + ".part")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
