"""Train, judge and register the models of conf/models, behind each one's gate.

A model that passes its gate becomes champion and scores from now on; one that misses it is kept as challenger, and the run goes
on. A model whose population, label or columns this operator does not have is skipped and told. An expression that is no SQL over
the customer view stops the job before any data is read. Everything a reviewer needs stands in MLflow (make mlflow-ui).

    spark-submit jobs/train_models.py --env demo --month 2025-03 --train always
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import replace
from threading import Lock
from typing import get_args

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.models import SEGMENT_COLUMN, ModelSpec, Train
from crm_spark.config.sources import extension_fields
from crm_spark.customer.view import customer_view_table
from crm_spark.errors import one_line
from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning import life
from crm_spark.learning.checks import refuse_bad_expressions
from crm_spark.learning.drift import REFERENCE, SCORE, Reference, reference
from crm_spark.learning.gate import missed
from crm_spark.learning.registry import Champion, Registry
from crm_spark.learning.score_drivers import SCORE_DRIVERS
from crm_spark.learning.trainer import Prepared, Trained, UntrainableError, against_champion, needed_columns, prepare, train, with_costs
from crm_spark.learning.windows import label_months, sample_of_customers, training_rows
from crm_spark.tables.common import KEY
from crm_spark.tables.contract import Table
from crm_spark.tables.mart import CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.ops import MODEL_DRIFT
from crm_spark.tables.score import SEGMENT
from crm_spark.threads import at_once
from crm_spark.workload import described, peak_memory


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--train", choices=get_args(Train), help="when to train (default: the environment's)")


def run(job: Job) -> None:
    """Every model; what is recorded is recorded one at a time."""
    view = literal_frame(job.spark, [], customer_view_table(extension_fields(job.config.source)).struct)
    refuse_bad_expressions(view, job.config.models, str(job.config.conf_dir / "models"))
    policy = getattr(job.options, "train", None) or job.config.env.mlflow.train
    registry = Registry(job.config.env.mlflow)
    asked = _asked_by_drift(job) if policy == "drifted" else {}
    cities = _labelled_cities(job)
    wanted = [spec for spec in job.config.models.values() if _is_wanted(job, registry, spec, policy, asked, cities.get(_of(spec), set()))]
    recording = Lock()

    def trained(numbered: tuple[int, ModelSpec]) -> None:
        number, spec = numbered
        _train(job, registry, spec, f"{number} of {len(wanted)}", recording, cities.get(_of(spec), set()))

    at_once(job.spark, trained, enumerate(wanted, 1))


def _labelled_cities(job: Job) -> dict[tuple[str, str], set[str]]:
    """By label and windows, the cities of which a model could learn."""
    months = [month for month in job.months_of(CUSTOMER_VIEW_LABELS) if month <= job.month]
    if not months:
        return {}
    labels = job.read(CUSTOMER_VIEW_LABELS, months, optional=True, all_cities=True)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in labels.select("label", "window_id", "city").distinct().collect():
        found[row["label"], row["window_id"]].add(row["city"])
    return found


def _of(spec: ModelSpec) -> tuple[str, str]:
    return spec.label.name, spec.window_id


def _asked_by_drift(job: Job) -> dict[tuple[str, str], str | None]:
    """(model, version) -> why drift asks for a new one, None if it does not, as of the last month before this one of which all cities were scored."""
    if not job.catalog.exists(MODEL_DRIFT):
        return {}
    told = job.catalog.read(MODEL_DRIFT).where((F.col("kind") == SCORE) & (F.col("month") < job.month) & F.col("cities").isNull())
    newest = told.groupBy("model", "model_version").agg(F.max_by(F.struct("retrain"), F.struct("month", "recorded_at")).alias("last"))
    return {(row["model"], row["model_version"]): row["last"]["retrain"] for row in newest.collect()}


def _is_wanted(job: Job, registry: Registry, spec: ModelSpec, policy: str, asked: Mapping[tuple[str, str], str | None], cities: Set[str]) -> bool:
    champion, told = life.champion(registry, spec.name, job.month)
    drifted = (asked.get((spec.name, champion.version)) or _never_seen(registry, champion, cities)) if champion else None
    if policy == "never" or (champion and policy != "always" and not drifted):
        job.log.info("    kept %s: %s", spec.name, f"champion version {champion.version}" if champion else "no champion")
        return False
    if policy != "always" and (drifted or told):
        job.log.info("    %s is trained again, because %s", spec.name, drifted or f"no champion may score: {'; '.join(told)}")
    return True


def _never_seen(registry: Registry, champion: Champion, cities: Set[str]) -> str | None:
    """Cities with labels that the champion learnt nothing of, as they were not there yet: of a first run for one city, say."""
    known = registry.version(champion.name, champion.version).tags.get("cities")
    new = cities - {*known.split()} if known else set()
    return f"version {champion.version} has learnt nothing of {', '.join(sorted(new))}" if new else None


def _train(job: Job, registry: Registry, spec: ModelSpec, place: str, recording: Lock, cities: Set[str]) -> None:
    start = time.monotonic()
    job.log.info("    training %s (%s)", spec.name, place)
    months = label_months(spec, job.month, job.months_of(CUSTOMER_VIEW), next(iter(job.months_of(USER_BASIC)), None))
    try:
        with described(job.spark, f"{job.name} {job.month}: {spec.name}"):
            share = _sampled_share(job, spec, months)
            rows = _rows(job, spec, months, share)
            trained, known = _trained(spec, needed_columns(spec, rows))
            trained = with_costs(_compared(job, registry, trained, rows), time.monotonic() - start, peak_memory(job.spark))
    except UntrainableError as error:
        job.cover("training", spec.name, "skipped", str(error))
        return
    failures = missed(trained)
    versions = {table.name: _versions(job, table, months) for table in (CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS)}
    tags = {"run_id": job.run_id, "month": job.month, "environment": job.config.env_name, "config": job.config.fingerprint, "sampled_share": f"{share:.4f}"}
    tags["cities"] = " ".join(sorted(cities))
    with recording:
        texts = {name: found.as_json() for name, found in ((REFERENCE, known), (SCORE_DRIVERS, trained.drivers)) if found}
        version = registry.record(trained, job.spark, versions, failures, tags, texts)
    told = f"{trained.chosen.algorithm}, AUC {trained.metrics['test_auc']:.3f}, lift at 10 % {trained.metrics['test_lift_10']:.2f}"
    job.log.info("    %s version %s: %s, %.1f s", spec.name, version, told, time.monotonic() - start)
    if failures:
        job.cover("training", spec.name, "skipped", f"challenger version {version} missed the gate: {'; '.join(failures)}")


def _sampled_share(job: Job, spec: ModelSpec, months: tuple[str, ...]) -> float:
    """The share of customers that carries the model's `max_rows`; 1 for a population that has no more."""
    if not months:
        windows = f"gap {spec.windows.gap} and performance {spec.windows.performance}"
        raise UntrainableError(f"no month of the view has its windows ({windows} months) behind it by {job.month}")
    population = _view(job, months).where(F.expr(spec.population)).count()
    return min(1.0, spec.max_rows / population) if population else 1.0


def _view(job: Job, months: tuple[str, ...]) -> DataFrame:
    """A model is the province's, even where the run is for some of its cities."""
    return job.read(CUSTOMER_VIEW, months, all_cities=True)


def _rows(job: Job, spec: ModelSpec, months: tuple[str, ...], share: float) -> DataFrame:
    labels = job.read(CUSTOMER_VIEW_LABELS, months, optional=True, all_cities=True)
    return _with_segments(job, training_rows(spec, sample_of_customers(_view(job, months), share), labels, job.month), months)


def _with_segments(job: Job, rows: DataFrame, months: tuple[str, ...]) -> DataFrame:
    """With the customers' groups of the first segmentation, as of the months that have been grouped; a column less where none has."""
    segmentation, grouped = next(iter(job.config.segmentations), None), [m for m in months if m in job.months_of(SEGMENT)]
    if not segmentation or not grouped:
        return rows
    segments = job.read(SEGMENT, grouped, optional=True, all_cities=True).where(F.col("segmentation") == segmentation)
    return rows.join(segments.select(*KEY, F.col("group_name").alias(SEGMENT_COLUMN)), on=list(KEY), how="left")


def _compared(job: Job, registry: Registry, trained: Trained, rows: DataFrame) -> Trained:
    """With the champion's AUC on the same customers, if there is a champion whose columns this view still has."""
    champion, _ = life.champion(registry, trained.spec.name, job.month)
    if champion is None:
        return trained
    try:
        return against_champion(trained, champion.pipeline, rows)
    except AnalysisException as error:
        job.cover("training", trained.spec.name, "partial", f"not compared with champion version {champion.version}, which fails on this view: {one_line(error)}")
        return trained


def _trained(spec: ModelSpec, rows: DataFrame) -> tuple[Trained, Reference | None]:
    rows.persist()  # read again for every count, level and extreme
    try:
        trained = _fitted(prepare(spec, rows))
        return trained, reference(trained, rows)
    finally:
        rows.unpersist()


def _fitted(prepared: Prepared) -> Trained:
    frame = prepared.frame.persist()  # each candidate is fitted on it
    try:
        return train(replace(prepared, frame=frame))
    finally:
        frame.unpersist()


def _versions(job: Job, table: Table, months: tuple[str, ...]) -> dict[str, list[int]]:
    """The Delta versions read per month; more than one where cities were written at different times."""
    read = job.seen.slices(table, months, None)
    return {month: sorted({s.version for s in read if month in s.months}) for month in months}


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
