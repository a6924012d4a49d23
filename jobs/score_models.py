"""Score every customer of the month with the champions, and grade the scores by city.

A version scores only if it is what the registry recorded of it; else the champion before it does, and the report says so. A model
without a champion gives no rows; the run goes on. Writes score.model_score, for models with a shadow score.shadow_score, and to
ops.model_drift how far the month is from the months that each champion learnt from; where a model's rule asks for a new version, that is told.

    spark-submit jobs/score_models.py --env demo --month 2025-03
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime

from pyspark.sql import functions as F

from crm_spark.errors import RefusedModelError
from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning import life
from crm_spark.learning.drift import REFERENCE, SCORE, Watched, label_shift, reference_of_json, retrain_reason, shifts
from crm_spark.learning.registry import Champion, Registry
from crm_spark.learning.score_drivers import SCORE_DRIVERS, ScoreDrivers, score_drivers_of_json
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.learning.split import Count
from crm_spark.learning.windows import label_months
from crm_spark.publication import NO_CITY
from crm_spark.tables.contract import Table
from crm_spark.tables.mart import CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.ops import MODEL_DRIFT
from crm_spark.tables.score import MODEL_SCORE, SHADOW_SCORE
from crm_spark.threads import at_once


def run(job: Job) -> None:
    """All champions over the month's view, and all shadows."""
    registry = Registry(job.config.env.mlflow)
    found = scorers(job, registry)
    _write(job, found, MODEL_SCORE)
    tell_drift(job, registry, found)
    beside = shadows(job, registry)
    if beside or job.month in job.months_of(SHADOW_SCORE):
        _write(job, beside, SHADOW_SCORE)


def scorers(job: Job, registry: Registry) -> list[Scorer]:
    """The models that have a champion; the others are told."""
    found = []
    champions = at_once(job.spark, lambda model: life.champion(registry, model, job.month), job.config.models)
    for spec, (champion, told) in zip(job.config.models.values(), champions, strict=True):
        if champion is None:
            job.cover("model", spec.name, "skipped", "; ".join([*told, "no champion: its scores are NULL"]))
        else:
            job.cover("model", spec.name, "partial" if told else "used", "; ".join([*told, f"champion version {champion.version}"]))
            found.append(Scorer(spec, champion.pipeline, champion.version, _drivers(job, registry, spec.name, champion.version)))
        for reason in told:
            job.log.warning("    %s: %s", spec.name, reason)
    return found


def _drivers(job: Job, registry: Registry, model: str, version: str) -> ScoreDrivers | None:
    recorded = _recorded(job, registry, model, version, SCORE_DRIVERS, "drivers")
    return score_drivers_of_json(recorded) if recorded else None


def _recorded(job: Job, registry: Registry, model: str, version: str, file: str, kind: str) -> str | None:
    """What training kept beside the version; one without it, or with another than was recorded, is told."""
    try:
        text = registry.find_text(model, version, file)
        reason = f"version {version} was trained without {file}"
    except RefusedModelError as error:
        text, reason = None, str(error)
    if text is None:
        job.cover(kind, model, "skipped", reason)
    return text


def shadows(job: Job, registry: Registry) -> list[Scorer]:
    """The models that have a shadow; one that is refused is told."""

    def shadow(model: str) -> Champion | None:
        try:
            return life.shadow(registry, model)
        except RefusedModelError as error:
            job.cover("shadow", model, "skipped", str(error))
            return None

    found = zip(job.config.models.values(), at_once(job.spark, shadow, job.config.models), strict=True)
    return [Scorer(spec, version.pipeline, version.version) for spec, version in found if version]


def tell_drift(job: Job, registry: Registry, found: Sequence[Scorer]) -> None:
    """The month against what each champion learnt from, and whether its rule asks for a new version; adds to ops.model_drift."""
    watched = {}
    for scorer in found:
        if text := _recorded(job, registry, scorer.spec.name, scorer.version, REFERENCE, "drift"):
            watched[scorer.spec.name] = Watched(scorer, reference_of_json(text))
    scored = _scored_cities(job)
    view, scores = (job.read(table, all_cities=True) for table in (CUSTOMER_VIEW, MODEL_SCORE))
    shifted = shifts(view.where(F.col("city").isin(*scored)) if scored else view, scores, watched) if watched else {}
    labels = _arrived(job, watched)
    now, cities = datetime.now().astimezone(), sorted(scored) if scored else None
    rows: list[tuple[object, ...]] = []
    for model, seen in shifted.items():
        scorer = watched[model].scorer
        told = [*seen, *([label_shift(scorer.spec.label.name, labels[model], watched[model].reference)] if model in labels else [])]
        reason = None if scored else retrain_reason(told, scorer.spec.retrain)
        job.cover("drift", model, "partial" if reason else "used", f"retrain version {scorer.version}: {reason}" if reason else _within(scored))
        if reason:
            job.log.warning("    %s version %s should be trained again: %s", model, scorer.version, reason)
        rows += [(job.run_id, job.month, cities, model, scorer.version, *astuple(s), reason if s.kind == SCORE else None, now) for s in told]
    if rows:
        job.append(literal_frame(job.spark, rows, MODEL_DRIFT.struct), MODEL_DRIFT)


def _within(scored: Collection[str]) -> str:
    return f"asks for nothing while only {', '.join(sorted(scored))} are scored" if scored else "within its rule"


def _scored_cities(job: Job) -> set[str]:
    """The cities scored so far, by this run and by others, as long as some of the view's are not: only all of them can be compared with what was
    learnt from all. Empty if none is missing."""
    scored = job.seen.cities(MODEL_SCORE, job.month)
    known = {city for month in job.months_of(CUSTOMER_VIEW) for city in job.seen.cities(CUSTOMER_VIEW, month) or ()}
    return set() if scored is None or known - {*NO_CITY} <= scored else scored


def _arrived(job: Job, watched: Mapping[str, Watched]) -> dict[str, Count]:
    """Per model, the customers of the newest month whose label has arrived, and those with the label; none if the model learnt from that month."""
    first, seen = next(iter(job.months_of(USER_BASIC)), None), job.months_of(CUSTOMER_VIEW)
    usable = {model: label_months(w.scorer.spec, job.month, seen, first) for model, w in watched.items()}
    asked = {(model, month) for model, months in usable.items() for month in months if month > max(watched[model].reference.months)}
    if not asked:
        return {}
    labels = job.read(CUSTOMER_VIEW_LABELS, sorted({m for _, m in asked}), optional=True, all_cities=True)
    known = labels.where(F.col("value").isNotNull() & (F.col("known_month") <= job.month))
    sums = known.groupBy("label", "window_id", "month").agg(F.count("value").alias("customers"), F.sum("value").cast("long").alias("positives"))
    counts = {(r["label"], r["window_id"], r["month"]): Count(r["customers"], r["positives"]) for r in sums.collect()}
    keys = {(model, month): (watched[model].scorer.spec.label.name, watched[model].scorer.spec.window_id, month) for model, month in sorted(asked)}
    return {model: counts[key] for (model, _), key in keys.items() if key in counts}  # of several months the newest stays


def _write(job: Job, found: list[Scorer], table: Table) -> None:
    job.write(model_scores(job.read(CUSTOMER_VIEW), found) if found else literal_frame(job.spark, [], table.struct), table)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
