"""Build the middle tables: who each subscriber is, and what a month of calls, services, bills and bundles comes to.

Builds the months up to --month whose raw tables this run has written, or whose middle table is not there yet, all months of a
table in one pass. Middle tables that an operator delivers ready-made came in by ingest and are left alone.

    spark-submit jobs/build_summaries.py --env demo --month 2025-03
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

Build = Callable[..., DataFrame]

# Each table with the sources that tell it (one is enough), what else it is built from, and its builder.
STEPS: tuple[tuple[Table, tuple[Table, ...], tuple[Table, ...], Build], ...] = (
    (USER_BASIC, (USER_INFO,), (TERMINAL,), build_user_basic),
    (VOICE_DAILY, (VOICE_CDR,), (), build_voice_daily),
    (VOICE_SUMMARY, (VOICE_DAILY,), (USER_BASIC,), build_voice_summary),
    (CONTACT_CIRCLE, (VOICE_DAILY,), (USER_BASIC,), build_contact_circle),
    (BILLING_SUMMARY, (BILLING,), (), build_billing_summary),
    (VAS_SUMMARY, (SERVICE_SUBSCRIPTION, VAS_USAGE), (), build_vas_summary),
    (BUNDLE_STATUS, (BUNDLE_CONTRACT,), (USER_BASIC,), build_bundle_status),
)


def run(job: Job) -> None:
    """Every middle table whose sources are visible."""
    for table, sources, others, build in STEPS:
        months = months_to_build(job, table, sources, others)
        if months:
            # Calls and use are filed anywhere: a run of one city reads them all, and writes the rows of its own subscribers.
            inputs = [job.read(t, months, optional=True, all_cities=True) for t in (*sources, *others)]
            rows = build(*inputs)
            job.write(rows.where(F.col("city").isin(*job.cities)) if job.cities else rows, table, months)


def months_to_build(job: Job, table: Table, sources: Sequence[Table], others: Sequence[Table]) -> list[str]:
    """Months a source tells, up to the run's, whose inputs this run has written or whose table is not visible yet."""
    told = sorted({m for source in sources for m in job.months_of(source) if m <= job.month})
    there = job.months_of(table)
    return [m for m in told if m not in there or any(job.wrote(t, m) for t in (*sources, *others))]


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
