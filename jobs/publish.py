"""Publish what a run has written, or roll a month back.

Readers see a run's tables only once they are published. `jobs/run_month.py` publishes by itself; after single jobs, or to
roll a month back to an earlier run, name the run. Rolled back is all that the run saw of the month, with the tables that it found as
they should be and did not write: raw, middle and mart stay of one piece. A run of some cities rolls back no other city. A run that others have
overtaken since it began (a daily run that brought late calls in between) is refused, as its rows are the older ones; --force publishes them.

    spark-submit jobs/publish.py --env prod --month 2025-03 --run-id 2025-03-20250401T020000-4711
"""

import argparse

from crm_spark.errors import ConfigError
from crm_spark.job import Job, entry
from crm_spark.publication import overtaken, publish, publish_again
from crm_spark.runs import finished_jobs, is_published


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--force", action="store_true", help="publish a run though newer rows have been published since it began")


def run(job: Job) -> None:
    """Append the run's versions to ops.publication."""
    if not job.options.run_id:
        raise ConfigError("--run-id is needed: the run whose tables are to be published")
    others = sorted({row["month"] for row in finished_jobs(job.catalog, job.run_id)} - {job.month})
    if others:
        raise ConfigError(f"run {job.run_id} is of {', '.join(others)}, not of --month {job.month}")
    again = is_published(job.catalog, job.run_id)
    newer = [] if again or not job.seen.own or job.options.force else overtaken(job)
    if newer:
        raise ConfigError(f"since run {job.run_id} began, others have published newer rows of {', '.join(newer)}: run the month again, or give --force")
    count = publish_again(job) if again else publish(job)
    job.log.info("    published %d (city, month, table) of run %s", count, job.run_id)


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
