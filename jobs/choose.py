"""Choose the one offer of every customer: contact policy, holdout, arbitration, then capacity over all customers together.

Of the offers of decision.recommendation each customer gets one policy by one channel on one day of the month after the view's, or none. What was
contacted is told by raw.contact_history; for a month without it, what was planned for that month counts as contacted. Capacities that
cities share are those that the published choices of other cities leave. The matrix set, of which conf/choosing.yml is part, must be without
errors (make lint-matrices), approved and in force, and is kept word for word in ops.matrix_history. Writes decision.choice, decision.capacity_use,
and decision.exclusion anew: what recommend left there, and what could be offered and was not chosen.

    spark-submit jobs/choose.py --env demo --month 2025-03
"""

from __future__ import annotations

from pyspark.sql import functions as F

from crm_spark.choices import basis_of, choice_of
from crm_spark.decisions.eligibility import STAGES
from crm_spark.decisions.inputs import decision_input
from crm_spark.decisions.load import input_names
from crm_spark.decisions.score_drivers import offered
from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.matrix_sets import cities_of, in_force, is_remembered, linted, remember
from crm_spark.tables.common import EVERYWHERE, KEY
from crm_spark.tables.decision import CAPACITY_USE, CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX


def run(job: Job) -> None:
    """Write decision.choice, decision.capacity_use and decision.exclusion."""
    config, matrices = job.config, linted(job)
    recommended = offered(job.read(RECOMMENDATION))
    everybody = decision_input(job.read(CUSTOMER_VIEW), job.read(PERSONAL_INDEX), *input_names(config), matrices)
    approvals = in_force(job, cities_of(job, everybody))
    if not is_remembered(job):  # by recommend, in the same run
        remember(job, approvals, ())
    customers = everybody.join(recommended, on=list(KEY), how="left")
    basis = basis_of(job, config.choosing, matrices.policies, config.matrices.version)
    with choice_of(job, customers, basis) as made:
        for note in made.notes:
            job.cover("choice", *note)
            job.log.info("    %s: %s", note[0], note[2])
        job.write(literal_frame(job.spark, made.use, CAPACITY_USE.struct), CAPACITY_USE, cities=(EVERYWHERE,))
        job.write(made.choices, CHOICE)
        before = job.read(EXCLUSION).where(F.col("stage").isin(*STAGES))
        job.write(before.unionByName(made.dropped), EXCLUSION)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
