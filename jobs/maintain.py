"""Keep the tables fit: few files per city and month, the published past readable, old months and dead files gone.

Per table, for the months up to --month:
- cities and months in more files than they need are written together again, ordered by what rows are looked up by;
- what is published is pinned to the newest version where that holds the same files, so that no pin outlives its log, and readers
  gain from files written together again;
- months beyond `keep_months` of the environment (default: none) are withdrawn from publication and deleted;
- files that were deleted longer ago than the table keeps them (400 days: thirteen months stay replayable; sums of calls 40) are removed, unless
  something is published that only an older version holds: a month rolled back, or written anew by a run that was not published.
No answer of any published month changes. Exit codes: 0 done, 1 failed, 2 bad arguments or configuration, 75 another job is
running: this one has the tables to itself.

    spark-submit jobs/maintain.py --env prod --month 2025-03
    spark-submit jobs/maintain.py --env prod --month 2025-03 --dry-run    what would be done, and stop
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping

from crm_spark.job import Job, entry
from crm_spark.months import kept_from
from crm_spark.publication import append_pins
from crm_spark.runs import Pin, published_pins
from crm_spark.tables.contract import Table
from crm_spark.tables.declared import TABLES
from crm_spark.tables.upkeep import NOWHERE, Files, Place, Upkeep

Pins = Mapping[Place, Pin]
PinRow = tuple[str, str, str, str, int | None]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")


def run(job: Job) -> None:
    """Table by table; the new pins of all in one publication."""
    upkeep = Upkeep(job.spark, job.catalog, job.locks)
    published = published_pins(job.catalog)
    rows: list[PinRow] = []
    for table in TABLES.values():
        if job.catalog.exists(table):
            of_table = ((month, of) for (name, month), of in published.items() if name == table.full_name)
            pins = {(city, month): pin for month, of in of_table for city, pin in of.items()}
            rows += _tend(job, upkeep, table, pins)
    if rows and not job.options.dry_run:
        append_pins(job, rows)


def _tend(job: Job, upkeep: Upkeep, table: Table, pins: Pins) -> list[PinRow]:
    """Do, or on a dry run tell, what one table needs; returns what is to be published of it."""
    live, size = upkeep.files(table) or {}, upkeep.size(table)
    old = _beyond(job, table, {*live, *pins})
    held, apart = _held(job, upkeep, table, {p: pin for p, pin in pins.items() if p not in old}, live)
    mine = [p for p in held if _in_scope(job, p)]
    crowded = upkeep.crowded(table, {p: live[p] for p in {*mine, NOWHERE} & set(live)})
    dead = 0 if apart else upkeep.dead_files(table)
    if not job.options.dry_run:
        _act(upkeep, table, [p for p in old if p in live], crowded, dead)
    newest = upkeep.version(table)
    stale = [p for p in mine if pins[p].version != newest or p in crowded]
    _tell(job, table, (len(crowded), len(stale), len(old), dead), size, upkeep.size(table))
    withdrawn: list[PinRow] = [(*place, table.full_name, job.run_id, None) for place in old if place in pins]
    return [*withdrawn, *((*place, table.full_name, pins[place].run_id, newest) for place in stale)]


def _act(upkeep: Upkeep, table: Table, old: Collection[Place], crowded: Collection[Place], dead: int) -> None:
    if old:
        upkeep.delete(table, old)
    if crowded:
        upkeep.compact(table, crowded)
    if dead:
        upkeep.vacuum(table)


def _in_scope(job: Job, place: Place) -> bool:
    city, month = place
    return month <= job.month and (job.cities is None or city in job.cities)


def _beyond(job: Job, table: Table, places: Collection[Place]) -> list[Place]:
    """Places older than the environment keeps; none unless it says so."""
    oldest = kept_from(job.config.env.keep_months, job.month).get(table.schema, "")
    return sorted(p for p in places if p != NOWHERE and p[1] < oldest and _in_scope(job, p))


def _held(job: Job, upkeep: Upkeep, table: Table, pins: Pins, live: Files) -> tuple[list[Place], list[Place]]:
    """Places of which the newest version holds just the files of the published one, and those of which only the published one does."""
    at = {version: upkeep.files(table, version) for version in sorted({pin.version for pin in pins.values()})}
    for version in (v for v, files in at.items() if files is None):
        job.log.warning("    %s: version %d is published but kept no more; run its months again", table.full_name, version)
    there = {version: files for version, files in at.items() if files is not None}
    held, apart = _parted(pins, there, live)
    if apart:
        held, apart = _parted(pins, upkeep.carried(table, there), live)
    if apart:
        job.log.warning("    %s: the newest version is not the published one of %s; run it again", table.full_name, _some(apart))
    return held, apart


def _parted(pins: Pins, at: Mapping[int, Files], live: Files) -> tuple[list[Place], list[Place]]:
    known = {p: at[pin.version] for p, pin in pins.items() if pin.version in at}
    held = sorted(p for p, files in known.items() if files.get(p, set()) == live.get(p, set()))
    return held, sorted(set(known) - set(held))


def _some(places: Collection[Place]) -> str:
    told = [" ".join(p) for p in places]
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def _tell(job: Job, table: Table, done: tuple[int, int, int, int], before: tuple[int, int], after: tuple[int, int]) -> None:
    """One line a table."""
    crowded, stale, old, dead = done
    told = f"written together {crowded}, pinned anew {stale}, deleted {old} (city, month); removed {dead} files"
    change = f"{before[0]:,} files, {before[1] / 1e6:,.1f} MB"
    if job.options.dry_run:
        job.log.info("    %-28s %s; would be: %s", table.full_name, change, told)
    else:
        job.log.info("    %-28s %s -> %s files, %s MB; %s", table.full_name, change, f"{after[0]:,}", f"{after[1] / 1e6:,.1f}", told)


main = entry(run, arguments, alone=True)

if __name__ == "__main__":
    raise SystemExit(main())
