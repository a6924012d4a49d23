"""Recommend: every customer of the month's view through all matrices, one row each, and why not for what was dropped.

The matrices are compiled in memory, without the rules that compile_matrices told as skipped (all cities are judged). The set must be
without errors (make lint-matrices), approved and in force for every city (conf/approvals.csv), and is kept word for word in
ops.matrix_history. Writes decision.recommendation (exactly one row per customer), of whose offers choose.py takes one, and
decision.exclusion; every candidate stands in one of them, or the job fails. The needs that matrices tell go to decision.opportunity.

    spark-submit jobs/recommend.py --env demo --month 2025-03
"""

from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import decision_input, usable_matrices
from crm_spark.decisions.load import input_names
from crm_spark.decisions.recommend import decide, exclusions, opportunities, recommendations, unreconciled
from crm_spark.errors import ContractError
from crm_spark.job import Job, entry
from crm_spark.matrix_sets import cities_of, in_force, linted, remember
from crm_spark.tables.decision import EXCLUSION, OPPORTUNITY, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX


def run(job: Job) -> None:
    """Write decision.recommendation, decision.exclusion and decision.opportunity."""
    matrices = linted(job)
    view, index = (job.read(table, all_cities=True) for table in (CUSTOMER_VIEW, PERSONAL_INDEX))
    everybody = decision_input(view, index, *input_names(job.config), matrices)
    approvals = in_force(job, cities_of(job, view))
    usable, skipped = usable_matrices(everybody, matrices)
    compiled = compile_all(usable)
    customers = everybody.where(F.col("city").isin(*job.cities)) if job.cities else everybody
    decided = decide(customers, compiled, usable.policies, job.month, usable.settings.conditions, job.config.choosing)
    decided.persist()  # all three are written from it
    try:
        job.write(recommendations(decided, compiled, job.config.matrices.version), RECOMMENDATION)
        remember(job, approvals, skipped)  # after the first write, which a run that is published already is refused
        job.write(exclusions(decided), EXCLUSION)
        job.write(opportunities(decided), OPPORTUNITY)
    finally:
        decided.unpersist()
    _refuse_losses(job)


def _refuse_losses(job: Job) -> None:
    """Of what was written: candidates = chosen + excluded, for every customer and goal."""
    lost = unreconciled(job.read(RECOMMENDATION), job.read(EXCLUSION))
    if found := lost.head(1):
        told = ", ".join(f"{name} {value}" for name, value in found[0].asDict().items())
        raise ContractError(f"{lost.count():,} customers have candidates that were neither chosen nor excluded; one of them: {told}")


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
