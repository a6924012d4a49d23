"""Score the personal value of every customer of the month's view, and grade it within the city.

Weights come from the pairwise judgements of conf/value.yml. A part without data is left out and the parts beside it
share its weight; what was used stands on each row. Small cities take the cut-offs of the whole province, so the views of all
cities are read even if only some are written. Beside it, how active each user of each service is. Writes score.value_score and
score.service_index.

    spark-submit jobs/score_value.py --env demo --month 2025-03
"""

from pyspark.sql import functions as F

from crm_spark.job import Job, entry
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import SERVICE_INDEX, VALUE_SCORE
from crm_spark.value.activity import build_service_index
from crm_spark.value.personal import PartUse, build_value_score, parts_used


def run(job: Job) -> None:
    """Write both and tell how far each part of the value could be fed."""
    view = job.read(CUSTOMER_VIEW, all_cities=True)
    scores, activity = build_value_score(view, job.config.value), build_service_index(view, job.config.value.activity)
    for frame, table in ((scores, VALUE_SCORE), (activity, SERVICE_INDEX)):
        job.write(frame.where(F.col("city").isin(*job.cities)) if job.cities else frame, table)
    for part in parts_used(job.read(VALUE_SCORE), job.config.value):
        _tell(job, part)


def _tell(job: Job, use: PartUse) -> None:
    columns = ", ".join(use.columns)
    if use.filled_share == 0:
        reason = f"no value in {columns} in this run; its weight {use.weight:.3f} goes to the parts beside it"
        job.cover("value_part", use.part, "skipped", reason, 0.0)
    else:
        job.cover("value_part", use.part, "used", f"weight {use.weight:.3f}, from {columns}", use.filled_share)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
