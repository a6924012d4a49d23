"""Build the middle tables: who each subscriber is, and what a month of calls, services, bills and bundles comes to.

Builds the months up to --month whose raw tables this run has written, or whose middle table is not there yet, all months of a
table in one pass. Middle tables that an operator delivers ready-made came in by ingest and are left alone.

    spark-submit jobs/build_summaries.py --env demo --month 2025-03
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.customer.basic import build_user_basic
from crm_spark.customer.billing import build_billing_summary
from crm_spark.customer.bundle import build_bundle_status
from crm_spark.customer.calls import MonthsTold, call_totals, months_told, totals_of_state
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.vas import build_vas_summary
from crm_spark.customer.voice import build_voice_summary
from crm_spark.job import Job, entry
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.contract import Table
from crm_spark.tables.middle import BILLING_SUMMARY, BUNDLE_STATUS, CONTACT_CIRCLE, USER_BASIC, VAS_SUMMARY, VOICE_SUMMARY
from crm_spark.tables.raw import BILLING, BUNDLE_CONTRACT, SERVICE_SUBSCRIPTION, TERMINAL, USER_INFO, VAS_USAGE, VOICE_CDR
from crm_spark.threads import at_once


@dataclass(frozen=True)
class Step:
    """A middle table, the sources that tell it (one is enough), what else it is built from, and its builder."""

    table: Table
    sources: tuple[Table, ...]
    others: tuple[Table, ...]
    build: Callable[..., DataFrame]


OF_RAW = (
    Step(USER_BASIC, (USER_INFO,), (TERMINAL,), build_user_basic),
    Step(BILLING_SUMMARY, (BILLING,), (), build_billing_summary),
    Step(VAS_SUMMARY, (SERVICE_SUBSCRIPTION, VAS_USAGE), (), build_vas_summary),
)
BUNDLES = Step(BUNDLE_STATUS, (BUNDLE_CONTRACT,), (USER_BASIC,), build_bundle_status)
OF_CALLS = ((VOICE_SUMMARY, build_voice_summary), (CONTACT_CIRCLE, build_contact_circle))


def run(job: Job) -> None:
    """Every middle table whose sources are visible."""
    at_once(job.spark, lambda step: _build(job, step), OF_RAW)
    of_register: tuple[Callable[[Job], None], ...] = (partial(_build, step=BUNDLES), _build_of_calls)
    at_once(job.spark, lambda build: build(job), of_register)


def _build(job: Job, step: Step) -> None:
    months = months_to_build(job, step.table, step.sources, step.others)
    if months:
        _write(job, step.build(*[_inputs(job, t, months) for t in (*step.sources, *step.others)]), step.table, months)


def _build_of_calls(job: Job) -> None:
    """The calls are summed once for both tables."""
    wanted = [(table, build, months_to_build(job, table, (VOICE_CDR,), (USER_BASIC,))) for table, build in OF_CALLS]
    months = sorted({m for *_, of_table in wanted for m in of_table})
    if not months:
        return
    totals = _totals(job, months).persist()

    def write(table: Table, build: Callable[[DataFrame, MonthsTold], DataFrame], of_table: Sequence[str]) -> None:
        if of_table:
            _write(job, build(totals.where(F.col("month").isin(*of_table)), told), table, of_table)

    try:
        told = months_told(totals)
        at_once(job.spark, lambda of: write(*of), wanted)
    finally:
        totals.unpersist()


def _totals(job: Job, months: Sequence[str]) -> DataFrame:
    """From the sums that daily runs keep, where these are of just the calls that are visible; else from the calls."""
    kept = [m for m in months if job.seen.made_together(VOICE_CDR, CALL_STATE, m)]
    read = [m for m in months if m not in kept]
    for month in kept:
        job.log.info("    calls of %s are summed already", month)
    parts = ((kept, CALL_STATE, totals_of_state), (read, VOICE_CDR, call_totals))
    made = [total(_inputs(job, table, of), _inputs(job, USER_BASIC, of)) for of, table, total in parts if of]
    return reduce(DataFrame.unionByName, made)


def _inputs(job: Job, table: Table, months: Sequence[str]) -> DataFrame:
    """Calls and use are filed anywhere: a run of one city reads those of all."""
    return job.read(table, months, optional=True, all_cities=True)


def _write(job: Job, rows: DataFrame, table: Table, months: Sequence[str]) -> None:
    """A run of one city writes the rows of its own subscribers."""
    job.write(rows.where(F.col("city").isin(*job.cities)) if job.cities else rows, table, months)


def months_to_build(job: Job, table: Table, sources: Sequence[Table], others: Sequence[Table]) -> list[str]:
    """Months a source tells, up to the run's, whose inputs this run has written or whose table is not visible yet for the run's cities."""
    told = sorted({m for source in sources for m in job.months_of(source) if m <= job.month and job.makes(table, m)})
    return [m for m in told if not job.has(table, m) or any(job.wrote(t, m) for t in (*sources, *others))]


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
