"""Run a month from end to end: ingest, summaries, view, value, models, segments, matrices, recommendations, the choice,
summary, publish.

All jobs run in one session and one run. A run that was stopped goes on after the last job that finished; nothing is
visible to readers before the last act, the publication. Exit codes: 0 done, 1 failed, 2 bad arguments or
configuration, 75 another run holds the month.

    spark-submit jobs/run_month.py --env demo --month 2025-03
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import get_args

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark import __version__
from crm_spark.config.models import Train
from crm_spark.forecast import Forecast
from crm_spark.job import Job, carry_out, entry, new_run_id
from crm_spark.matrix_sets import in_force, linted
from crm_spark.publication import publish
from crm_spark.runs import began, finished_jobs, load_versions
from crm_spark.tables.ops import PUBLICATION, RUN_LEDGER

ORDER = (
    "ingest",
    "build_summaries",
    "build_customer_view",
    "score_value",
    "train_models",
    "score_models",
    "segment_customers",
    "build_personal_index",
    "compile_matrices",
    "recommend",
    "choose",
    "summarize",
)
SHARED = "choose"  # from this job on runs of several cities go one after the other


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the whole run, and those of its jobs."""
    parser.add_argument("--fresh", action="store_true", help="start a new run even if an unfinished one could go on")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and stop")
    parser.add_argument("--train", choices=get_args(Train), help="when to train models (default: the environment's)")


def run(job: Job) -> None:
    """The jobs in order, then the publication. What the linter calls an error, and a set nobody approved, stop the month before its first job."""
    in_force(job, job.cities)
    linted(job)
    _choose_run(job)
    done = _done(job)
    if job.options.dry_run:
        _tell_plan(job, done)
        return
    with ExitStack() as held:
        for name in ORDER:
            held.enter_context(job.locks.job(name, job.month, job.cities))
        forecast = Forecast(ORDER, _last_seconds(job))
        for step, name in enumerate(ORDER, 1):
            if name == SHARED:
                _after_others(job, held)
            known = dict(job.seen.own)
            _step(job, name, f"[{step}/{len(ORDER)}]", done, forecast)
            done = done if job.seen.own == known else set()
        job.log.info("published %d (city, month, table) of run %s", publish(job), job.run_id)


def _after_others(job: Job, held: ExitStack) -> None:
    """Until the publication no other run chooses for the month, and what others published while this one ran is seen: capacities and persons are shared."""
    held.enter_context(job.locks.commit(f"choices.{job.month}"))
    now = load_versions(job.catalog, job.run_id)
    job.seen.published, job.seen.writers, job.seen.since = now.published, now.writers, now.since


def _step(job: Job, name: str, place: str, done: set[str], forecast: Forecast) -> None:
    if name in done:
        job.log.info("%s %s: done before", place, name)
        return
    job.log.info("%s %s%s", place, name, forecast.told(name))
    seconds = carry_out(replace(job, name=name, commits=[], _told=[]), _module(name).run)
    forecast.took(name, seconds)
    job.spark.catalog.clearCache()
    job.log.info("%s %s: %.1f s", place, name, seconds)


def _last_seconds(job: Job) -> dict[str, float]:
    """Seconds of each job when it last finished for these cities."""
    if not job.catalog.exists(RUN_LEDGER):
        return {}
    mine = _of_these_cities(job).where(F.col("status") == "finished")
    return {r["job"]: r["seconds"] for r in mine.groupBy("job").agg(F.max_by("seconds", "recorded_at").alias("seconds")).collect()}


def _done(job: Job) -> set[str]:
    """The jobs that need not run again: a job counts only if all before it are done too. The first looks again: files may have come since, or been mended."""
    finished = {row["job"] for row in finished_jobs(job.catalog, job.run_id)}
    return set(takewhile(finished.__contains__, ORDER)) - {ORDER[0]}


def _choose_run(job: Job) -> None:
    """Take up the month's latest run of the same configuration and cities that is not published and not stale, unless told otherwise."""
    if job.options.run_id is None and not job.options.fresh:
        job.run_id = _unfinished(job) or new_run_id(job.month)
        job.seen = load_versions(job.catalog, job.run_id)
    job.log.info("run %s", job.run_id)


def _unfinished(job: Job) -> str | None:
    if not job.catalog.exists(RUN_LEDGER):
        return None
    mine = _of_these_cities(job).where(F.col("month") == job.month)
    latest = mine.orderBy(F.desc("recorded_at")).select("run_id", "config_hash", "code_version", "recorded_at").first()
    if latest is None or (latest["config_hash"], latest["code_version"]) != (job.config.fingerprint, __version__):
        return None
    return None if _published_since(job, str(latest["run_id"])) else str(latest["run_id"])


def _of_these_cities(job: Job) -> DataFrame:
    """The ledger's rows of a month's jobs, of runs for the same cities."""
    same_cities = F.col("cities").eqNullSafe(F.array(*map(F.lit, job.cities)) if job.cities else F.lit(None))
    return job.catalog.read(RUN_LEDGER).where(same_cities & F.col("job").isin(*ORDER))


def _published_since(job: Job, run_id: str) -> bool:
    """True if the run is published, or since it began anything of the months that it wrote or is about: what it read may be stale, and to
    publish it would put older rows in the place of newer ones."""
    if not job.catalog.exists(PUBLICATION):
        return False
    done = finished_jobs(job.catalog, run_id)
    months = {job.month, *(commit["month"] for row in done for commit in row["commits"] or ())}
    of_it = F.col("run_id") == run_id
    later = F.col("month").isin(*months) & (F.col("recorded_at") >= F.lit(began(done))) if done else F.lit(False)
    return job.catalog.read(PUBLICATION).where(of_it | later).head(1) != []


def _tell_plan(job: Job, done: set[str]) -> None:
    for step, name in enumerate(ORDER, 1):
        job.log.info("[%d/%d] %s: %s", step, len(ORDER), name, "done before" if name in done else "would run")


def _module(name: str) -> ModuleType:
    """A sibling job, in the source tree as in the installed package."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"crm_spark_job_{name}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the job look themselves up there
    spec.loader.exec_module(module)
    return module


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
