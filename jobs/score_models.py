"""Score every customer of the month with the champions, and grade the scores by city.

A version scores only if it is what the registry recorded of it; else the champion before it does, and the report says so. A model
without a champion gives no rows; the run goes on. Writes score.model_score, and for models with a shadow score.shadow_score.

    spark-submit jobs/score_models.py --env demo --month 2025-03
"""

from __future__ import annotations

from crm_spark.errors import RefusedModelError
from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning import life
from crm_spark.learning.registry import Champion, Registry
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.tables.contract import Table
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import MODEL_SCORE, SHADOW_SCORE
from crm_spark.threads import at_once


def run(job: Job) -> None:
    """All champions over the month's view, and all shadows."""
    registry = Registry(job.config.env.mlflow)
    _write(job, scorers(job, registry), MODEL_SCORE)
    beside = shadows(job, registry)
    if beside or job.month in job.months_of(SHADOW_SCORE):
        _write(job, beside, SHADOW_SCORE)


def scorers(job: Job, registry: Registry) -> list[Scorer]:
    """The models that have a champion; the others are told."""
    found = []
    champions = at_once(job.spark, lambda model: life.champion(registry, model), job.config.models)
    for spec, (champion, told) in zip(job.config.models.values(), champions, strict=True):
        if champion is None:
            job.cover("model", spec.name, "skipped", "; ".join([*told, "no champion: its scores are NULL"]))
        else:
            job.cover("model", spec.name, "partial" if told else "used", "; ".join([*told, f"champion version {champion.version}"]))
            found.append(Scorer(spec, champion.pipeline, champion.version))
        for reason in told:
            job.log.warning("    %s: %s", spec.name, reason)
    return found


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


def _write(job: Job, found: list[Scorer], table: Table) -> None:
    job.write(model_scores(job.read(CUSTOMER_VIEW), found) if found else literal_frame(job.spark, [], table.struct), table)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
