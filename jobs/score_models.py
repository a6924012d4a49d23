"""Score every customer of the month with the champions, and grade the scores by city.

A model without a champion gives no rows, and the report says so; the run goes on. Writes score.model_score.

    spark-submit jobs/score_models.py --env demo --month 2025-03
"""

from __future__ import annotations

from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning.registry import Registry
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import MODEL_SCORE
from crm_spark.threads import at_once


def run(job: Job) -> None:
    """All champions over the month's view."""
    found = scorers(job, Registry(job.config.env.mlflow))
    rows = model_scores(job.read(CUSTOMER_VIEW), found) if found else literal_frame(job.spark, [], MODEL_SCORE.struct)
    job.write(rows, MODEL_SCORE)


def scorers(job: Job, registry: Registry) -> list[Scorer]:
    """The models that have a champion; the others are told."""
    found = []
    champions = at_once(job.spark, registry.champion, job.config.models)
    for spec, champion in zip(job.config.models.values(), champions, strict=True):
        if champion is None:
            job.cover("model", spec.name, "skipped", "no champion: its scores are NULL")
        else:
            job.cover("model", spec.name, "used", f"champion version {champion.version}")
            found.append(Scorer(spec, champion.pipeline, champion.version))
    return found


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
