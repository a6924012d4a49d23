"""Recommend: every customer of the month's view through all matrices, one row each, and why not for what was dropped.

The matrices are compiled in memory, without the rules that compile_matrices told as skipped (all cities are judged). Writes
decision.recommendation (exactly one row per customer), decision.exclusion and decision.offer, of which choose.py makes the one offer.

    spark-submit jobs/recommend.py --env demo --month 2025-03
"""

from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import decision_input, usable_matrices
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.recommend import decide, exclusions, offers, recommendations
from crm_spark.job import Job, entry
from crm_spark.tables.decision import EXCLUSION, OFFER, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX


def run(job: Job) -> None:
    """Write decision.recommendation, decision.exclusion and decision.offer."""
    matrices = matrices_of(job.config)
    view, index = (job.read(table, all_cities=True) for table in (CUSTOMER_VIEW, PERSONAL_INDEX))
    everybody = decision_input(view, index, *input_names(job.config), matrices)
    usable, _ = usable_matrices(everybody, matrices)
    compiled = compile_all(usable)
    customers = everybody.where(F.col("city").isin(*job.cities)) if job.cities else everybody
    decided = decide(customers, compiled, usable.policies, job.month, job.config.choosing.conditions).persist()  # all tables are written from it
    try:
        job.write(recommendations(decided, compiled), RECOMMENDATION)
        job.write(exclusions(decided), EXCLUSION)
        job.write(offers(decided), OFFER)
    finally:
        decided.unpersist()


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
