"""Publish what a run has written, or roll a month back.

Readers see a run's tables only once they are published. `jobs/run_month.py` publishes by itself; after single jobs, or to
roll a month back to an earlier run, name the run:

    spark-submit jobs/publish.py --env prod --month 2025-03 --run-id 2025-03-20250401T020000-4711
"""

from crm_spark.errors import ConfigError
from crm_spark.job import Job, entry
from crm_spark.publication import publish
from crm_spark.runs import finished_jobs


def run(job: Job) -> None:
    """Append the run's versions to ops.publication."""
    if not job.options.run_id:
        raise ConfigError("--run-id is needed: the run whose tables are to be published")
    others = sorted({row["month"] for row in finished_jobs(job.catalog, job.run_id)} - {job.month})
    if others:
        raise ConfigError(f"run {job.run_id} is of {', '.join(others)}, not of --month {job.month}")
    count = publish(job)
    job.log.info("    published %d (city, month, table) of run %s", count, job.run_id)


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
