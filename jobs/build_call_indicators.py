"""Build the wide table of call indicators: bandicoot's families over a month of calls, some 720 columns. Optional: no other job reads it.

One row per subscriber of the register at month end. Where cells stand comes from raw.cell_site; without it the radius of gyration
is null. Run it when a month is published, or under a run's --run-id; writes middle.call_indicators.

    spark-submit jobs/build_call_indicators.py --env demo --month 2025-03
"""

from crm_spark.customer.indicators import build_call_indicators
from crm_spark.job import Job, entry
from crm_spark.tables.indicators import CALL_INDICATORS
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.places import CELL_SITE
from crm_spark.tables.raw import VOICE_CDR


def run(job: Job) -> None:
    """Write middle.call_indicators; calls are filed anywhere, so those of all cities are read."""
    calls, sites = job.read(VOICE_CDR, all_cities=True), job.read(CELL_SITE, optional=True, all_cities=True)
    if job.month not in job.months_of(CELL_SITE):
        job.cover("column", f"{CALL_INDICATORS.full_name}.radius_of_gyration_km", "skipped", f"{CELL_SITE.full_name} is not told for the month")
    job.write(build_call_indicators(calls, job.read(USER_BASIC), sites), CALL_INDICATORS)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
