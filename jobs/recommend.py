"""Recommend: every customer of the month's view through all matrices, one row each, and why not for what was dropped.

The matrices are compiled in memory, without the rules that compile_matrices told as skipped. Writes
decision.recommendation (exactly one row per customer) and decision.exclusion.

    spark-submit jobs/recommend.py --env demo --month 2025-03
"""

from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import available_columns, decision_input
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from crm_spark.job import Job, entry
from crm_spark.tables.decision import EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX


def run(job: Job) -> None:
    """Write decision.recommendation and decision.exclusion."""
    matrices = matrices_of(job.config)
    customers = decision_input(job.read(CUSTOMER_VIEW), job.read(PERSONAL_INDEX), *input_names(job.config), matrices)
    usable, _ = matrices.usable(available_columns(customers, matrices.tested_columns))
    compiled = compile_all(usable)
    decided = decide(customers, compiled, usable.policies, job.month).persist()  # both tables are written from it
    try:
        job.write(recommendations(decided, compiled), RECOMMENDATION)
        job.write(exclusions(decided), EXCLUSION)
    finally:
        decided.unpersist()


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
