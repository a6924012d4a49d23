"""Compile the marketing matrices into cells, as far as the month's columns carry.

All cells of all matrices are checked first: a malformed cell, an unknown column or policy, a wrong type ends the job with
exit code 2 before any data is read. A rule that tests a column without a single value is left out and told in
ops.coverage; the others stay. Writes decision.matrix_cell (city _ALL).

    spark-submit jobs/compile_matrices.py --env demo --month 2025-03
"""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import available_columns, decision_input
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.match import matrix_cells
from crm_spark.job import Job, entry
from crm_spark.tables.decision import MATRIX_CELL
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX

EVERYWHERE = "_ALL"


def run(job: Job) -> None:
    """Write decision.matrix_cell."""
    matrices = matrices_of(job.config)
    customers = decision_input(job.read(CUSTOMER_VIEW), job.read(PERSONAL_INDEX), *input_names(job.config), matrices)
    usable, skipped = matrices.usable(available_columns(customers, matrices.tested_columns))
    for rule in skipped:
        job.cover("matrix_rule", f"{rule.matrix}.{rule.rule}", "skipped", rule.reason)
    compiled = compile_all(usable)
    for one in compiled:
        job.log.info("    %-24s %d rules, %s cells", one.matrix.name, len(one.matrix.rules), f"{len(one.cells):,}")
    cells = reduce(DataFrame.unionByName, (matrix_cells(one, customers) for one in compiled))
    job.write(cells.withColumns({"city": F.lit(EVERYWHERE), "month": F.lit(job.month)}), MATRIX_CELL, cities=(EVERYWHERE,))


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
