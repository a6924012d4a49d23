"""Publishing: one append that tells, per (city, month, table), which Delta version readers see from now on."""

from __future__ import annotations

from datetime import datetime

from crm_spark.errors import NotPublishedError
from crm_spark.job import Job
from crm_spark.runs import next_sequence
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.ops import PUBLICATION

WHOLE = ("_ALL", "_UNKNOWN")  # rows that belong to no single city are published with every run


def publish(job: Job) -> int:
    """Publish all that the run has written, in one commit; returns the number of (city, month, table) published."""
    if not job.seen.own:
        raise NotPublishedError(f"run {job.run_id} has written nothing; give the --run-id of a run that finished its jobs")
    sequence = next_sequence(job.catalog)
    now = datetime.now()
    rows = [
        (city, month, table, job.run_id, version, sequence, now)
        for (table, month), version in sorted(job.seen.own.items())
        for city in _cities(job)
    ]
    job.append(job.spark.createDataFrame(rows, PUBLICATION.struct), PUBLICATION)
    return len(rows)


def _cities(job: Job) -> list[str]:
    """The run's cities; for a run of all, those it found and those published before (which may have become empty)."""
    if job.cities:
        return sorted({*job.cities, *WHOLE})
    found = {row["city"] for row in job.read(USER_BASIC, job.months_of(USER_BASIC), optional=True).select("city").distinct().collect()}
    before = {city for cities in job.seen.published.values() for city in cities}
    return sorted({*found, *before, *WHOLE})
