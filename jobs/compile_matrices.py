"""Compile the marketing matrices into cells, as far as the month's columns carry.

A malformed cell, an unknown column or policy, a wrong type ends any job with exit code 2 before data is read; so do, here and at the
beginning of a month, rules that can never answer and what else `make lint-matrices` calls an error; its warnings are told. A rule that
demands a value of a column which no customer of any city has is left out and told in ops.coverage; the others stay. A set that is not
approved and in force (conf/approvals.csv) ends it with exit code 2.
Writes decision.matrix_cell (city _ALL), also when only some cities are run.

    spark-submit jobs/compile_matrices.py --env demo --month 2025-03
"""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import decision_input, usable_matrices
from crm_spark.decisions.load import input_names
from crm_spark.decisions.match import matrix_cells
from crm_spark.job import Job, entry
from crm_spark.matrix_sets import cities_of, in_force, linted
from crm_spark.tables.common import EVERYWHERE
from crm_spark.tables.decision import MATRIX_CELL
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX


def run(job: Job) -> None:
    """Write decision.matrix_cell."""
    matrices = linted(job)
    view, index = (job.read(table, all_cities=True) for table in (CUSTOMER_VIEW, PERSONAL_INDEX))
    in_force(job, cities_of(job, view))
    everybody = decision_input(view, index, *input_names(job.config), matrices)
    usable, skipped = usable_matrices(everybody, matrices)
    for rule in skipped:
        job.cover("matrix_rule", f"{rule.matrix}.{rule.rule}", "skipped", rule.reason)
    compiled = compile_all(usable)
    for one in compiled:
        job.log.info("    %-24s %d rules, %s cells", one.matrix.name, len(one.matrix.rules), f"{len(one.cells):,}")
    cells = reduce(DataFrame.unionByName, (matrix_cells(one, everybody) for one in compiled))
    job.write(cells.withColumns({"city": F.lit(EVERYWHERE), "month": F.lit(job.month)}), MATRIX_CELL, cities=(EVERYWHERE,))


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
