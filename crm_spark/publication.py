"""Publishing: one append that tells, per (city, month, table), which Delta version readers see from now on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crm_spark.errors import NotPublishedError
from crm_spark.frames import literal_frame
from crm_spark.job import Job
from crm_spark.runs import next_sequence
from crm_spark.tables.declared import TABLES
from crm_spark.tables.ops import PUBLICATION
from crm_spark.tables.upkeep import NOWHERE, Upkeep
from crm_spark.threads import at_once

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
    """For a run of all cities: those of which it wrote rows, whatever rows, and those published before (which may have become empty)."""
    versions = {(name, written.version) for (name, _), written in job.seen.own.items() if not written.cities}
    if not versions:
        return ()
    upkeep = Upkeep(job.spark, job.catalog, job.locks)
    files = at_once(job.spark, lambda made: upkeep.files(TABLES[made[0]], made[1]) or {}, sorted(versions))
    found = {city for places in files for city, _ in places} - {NOWHERE[0]}
    before = {city for cities in job.seen.published.values() for city in cities}
    return sorted({*found, *before, *NO_CITY})
