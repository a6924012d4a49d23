"""Publishing: one append that tells, per (city, month, table), which Delta version readers see from now on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import functions as F

from crm_spark.errors import NotPublishedError
from crm_spark.frames import literal_frame
from crm_spark.job import Job
from crm_spark.runs import began, finished_jobs, next_sequence, versions_of_run
from crm_spark.tables.call_state import CALL_STATE
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


def publish_again(job: Job) -> int:
    """Roll the run's month back to what a published run saw and wrote: all tables of the month, and what it wrote of others, for its cities.

    NotPublishedError if a version is kept no more. Sums of calls are withdrawn, not rolled back, for their files are kept only for weeks: the next run
    makes them again.
    """
    seen, cities = versions_of_run(job.catalog, job.run_id), job.cities or _cities_of_run(job)
    pins = [
        (city, month, table, writer, version)
        for (table, month), of in sorted(seen.published.items()) for city, version in sorted(of.items())
        for writer in [seen.writers[table, month][city]]
        if (writer == job.run_id and not job.cities) or ((month == job.month or writer == job.run_id) and (not cities or city in cities))
    ]  # fmt: skip
    upkeep = Upkeep(job.spark, job.catalog, job.locks)
    versions = sorted({(table, version) for _, _, table, _, version in pins})
    gone = [table for table, version in versions if upkeep.files(TABLES[table], version) is None]
    if gone:
        raise NotPublishedError(f"run {job.run_id} cannot be published again: what it wrote is kept no more of {', '.join(gone)}")
    kept = [(*pin[:4], None if pin[2] == CALL_STATE.full_name else pin[4]) for pin in pins]
    return append_pins(job, kept)


def overtaken(job: Job) -> list[str]:
    """Tables of which other runs have published newer rows since the run began: to publish it would put its older ones in their place."""
    if not job.catalog.exists(PUBLICATION):
        return []
    begins = began(finished_jobs(job.catalog, job.run_id))
    before = job.catalog.read(PUBLICATION).where(F.col("recorded_at") < F.lit(begins)).agg(F.coalesce(F.max("sequence"), F.lit(0))).head(1)[0][0]
    found = set()
    for place, written in job.seen.own.items():
        since, mine = job.seen.since.get(place, {}), job.cities or written.cities
        found |= {place[0] for city, sequence in since.items() if sequence > before and (not mine or city in mine)}
    return sorted(found)


def _cities_of_run(job: Job) -> set[str]:
    """The cities that a run was for; none if it was for all."""
    told = [set(row["cities"] or ()) for row in finished_jobs(job.catalog, job.run_id) if row["commits"]]
    return set().union(*told) if all(told) else set()


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
