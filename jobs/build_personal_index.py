"""Gather value, model scores and group names of every customer of the month's view, with the three months before.

Exactly one row per customer of the view; a customer outside a model's population has no entry for it. The histories hold
the previous three months as far as they are published. Beside them stand expected revenue, what of it is at risk, and a
credit limit. Writes score.personal_index.

    spark-submit jobs/build_personal_index.py --env demo --month 2025-03
"""

from crm_spark.job import Job, entry
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import MODEL_SCORE, PERSONAL_INDEX, SEGMENT, VALUE_SCORE
from crm_spark.value.personal_index import build_personal_index, history_months


def run(job: Job) -> None:
    """Write score.personal_index."""
    past = history_months(job.month)
    index = build_personal_index(
        job.read(CUSTOMER_VIEW),
        job.read(VALUE_SCORE),
        job.read(MODEL_SCORE, optional=True),
        job.read(SEGMENT, optional=True),
        job.read(VALUE_SCORE, past, optional=True, all_cities=True),
        job.read(MODEL_SCORE, past, optional=True, all_cities=True),
        job.month,
        job.config.value.outlook,
    )
    job.write(index, PERSONAL_INDEX)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
