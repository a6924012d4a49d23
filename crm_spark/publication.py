"""Publishing: one append that tells, per (city, month, table), which Delta version readers see from now on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame

from crm_spark.errors import NotPublishedError
from crm_spark.frames import literal_frame
from crm_spark.job import Job
from crm_spark.runs import next_sequence
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.declared import TABLES
from crm_spark.tables.middle import USER_BASIC
from crm_spark.tables.ops import PUBLICATION
from crm_spark.tables.raw import USER_INFO

_PEOPLED = (USER_INFO, USER_BASIC, CALL_STATE, *(t for t in TABLES.values() if "day" in t.partitioned_by))  # registers, and calls and the like
NO_CITY = ("_ALL", "_UNKNOWN")  # rows that belong to no single city


def publish(job: Job) -> int:
    """Publish all that the run has written, in one commit; returns the number of (city, month, table) published.

    Each table is published for the cities the run replaced in it: a run of one city moves no other city. Of a run of all cities
    the job may name some.
    """
    if not job.seen.own:
        raise NotPublishedError(f"run {job.run_id} has written nothing; give the --run-id of a run that finished its jobs")
    known = job.cities or _known_cities(job)
    return append_pins(
        job,
        [
            (city, month, table, job.run_id, written.version)
            for (table, month), written in sorted(job.seen.own.items())
            for city in written.cities or known
        ],
    )


def append_pins(job: Job, pins: Sequence[tuple[str, str, str, str, int | None]]) -> int:
    """Readers see these (city, month, table, run, version) from now on, in one commit; without a version nothing. Returns their number."""
    with job.locks.commit(PUBLICATION.full_name):  # two publications at once must not take the same sequence
        sequence, now = next_sequence(job.catalog), datetime.now().astimezone()
        job.append(literal_frame(job.spark, [(*pin, sequence, now) for pin in pins], PUBLICATION.struct), PUBLICATION)
    return len(pins)


def _known_cities(job: Job) -> Sequence[str]:
    """For a run of all cities: those it found, where somebody is registered, calls or is seen, and those published before (which may have become
    empty)."""
    if all(written.cities for written in job.seen.own.values()):
        return ()
    own = [(t, [month for name, month in job.seen.own if name == t.full_name]) for t in _PEOPLED]
    cities = [job.read(t, months, optional=True).select("city") for t, months in own if months]
    found = {row["city"] for row in reduce(DataFrame.unionAll, cities).distinct().collect()} if cities else set()
    before = {city for cities in job.seen.published.values() for city in cities}
    return sorted({*found, *before, *NO_CITY})
