"""Build the middle tables: who each subscriber is, and what a month of calls, services, bills and bundles comes to.

Builds the months up to --month whose raw tables this run has written, or whose middle table is not there yet, all months of a
table in one pass. Middle tables that an operator delivers ready-made came in by ingest and are left alone.

    spark-submit jobs/build_summaries.py --env demo --month 2025-03
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.customer.basic import build_user_basic
from crm_spark.customer.billing import build_billing_summary
from crm_spark.customer.bundle import build_bundle_status
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.vas import build_vas_summary
from crm_spark.customer.voice import build_voice_daily, build_voice_summary
from crm_spark.job import Job, entry
from crm_spark.tables.contract import Table
from crm_spark.tables.middle import BILLING_SUMMARY, BUNDLE_STATUS, CONTACT_CIRCLE, USER_BASIC, VAS_SUMMARY, VOICE_DAILY, VOICE_SUMMARY
from crm_spark.tables.raw import BILLING, BUNDLE_CONTRACT, SERVICE_SUBSCRIPTION, TERMINAL, USER_INFO, VAS_USAGE, VOICE_CDR
from crm_spark.threads import at_once


@dataclass(frozen=True)
class Step:
    """A middle table, the sources that tell it (one is enough), what else it is built from, and its builder."""

    table: Table
    sources: tuple[Table, ...]
    others: tuple[Table, ...]
    build: Callable[..., DataFrame]


# The tables of a wave need none of each other; the second is built from the first.
WAVES: tuple[tuple[Step, ...], ...] = (
    (
        Step(USER_BASIC, (USER_INFO,), (TERMINAL,), build_user_basic),
        Step(VOICE_DAILY, (VOICE_CDR,), (), build_voice_daily),
        Step(BILLING_SUMMARY, (BILLING,), (), build_billing_summary),
        Step(VAS_SUMMARY, (SERVICE_SUBSCRIPTION, VAS_USAGE), (), build_vas_summary),
    ),
    (
        Step(VOICE_SUMMARY, (VOICE_DAILY,), (USER_BASIC,), build_voice_summary),
        Step(CONTACT_CIRCLE, (VOICE_DAILY,), (USER_BASIC,), build_contact_circle),
        Step(BUNDLE_STATUS, (BUNDLE_CONTRACT,), (USER_BASIC,), build_bundle_status),
    ),
)


def run(job: Job) -> None:
    """Every middle table whose sources are visible."""
    for wave in WAVES:
        at_once(job.spark, lambda step: _build(job, step), wave)


def _build(job: Job, step: Step) -> None:
    months = months_to_build(job, step.table, step.sources, step.others)
    if months:
        # Calls and use are filed anywhere: a run of one city reads them all, and writes the rows of its own subscribers.
        rows = step.build(*[job.read(t, months, optional=True, all_cities=True) for t in (*step.sources, *step.others)])
        job.write(rows.where(F.col("city").isin(*job.cities)) if job.cities else rows, step.table, months)


def months_to_build(job: Job, table: Table, sources: Sequence[Table], others: Sequence[Table]) -> list[str]:
    """Months a source tells, up to the run's, whose inputs this run has written or whose table is not visible yet."""
    told = sorted({m for source in sources for m in job.months_of(source) if m <= job.month})
    there = job.months_of(table)
    return [m for m in told if m not in there or any(job.wrote(t, m) for t in (*sources, *others))]


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
