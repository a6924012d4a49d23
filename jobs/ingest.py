"""Read an operator's files at the door: conform, pseudonymise, quarantine, account for every line.

Every mapped table is brought up to date for all months up to --month. Months whose files and mapping have not changed
since the visible table was made are left alone; where name, bytes and last change of all its files are as they were, a
month is not even read. A file that is absent, empty, damaged, lacks a mapped column or does not reconcile is refused: its
table keeps what it had, the ledger (ops.ingest_ledger) tells why, and the job ends with 1.

    spark-submit jobs/ingest.py --env demo --month 2025-03
    spark-submit jobs/ingest.py --env demo --month 2025-03 --dry-run    what would be read, and stop
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pyspark.sql import functions as F

from crm_spark.errors import SourceError
from crm_spark.ingest.arrivals import known_files
from crm_spark.ingest.fields import UNKNOWN_CITY
from crm_spark.ingest.files import Intake
from crm_spark.ingest.headers import unmapped_columns
from crm_spark.ingest.listing import Layout, layouts
from crm_spark.ingest.plan import Feed, feeds, is_settled, is_unchanged, months_fed
from crm_spark.ingest.pseudonym import PseudonymKey, load_key
from crm_spark.ingest.survey import Known, Surveyed, guarded, survey, with_content
from crm_spark.job import Job, entry
from crm_spark.loading import Before, Outcome, accounts_before, conclude, load, some, write_refused
from crm_spark.tables.contract import Table
from crm_spark.tables.raw import USER_INFO
from crm_spark.threads import at_once
from crm_spark.workload import described


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be read, and stop")


def run(job: Job) -> None:
    """Survey all files, then load table by table; all problems are told together."""
    key = load_key(job.config.env.pseudonym)
    with Intake(job.spark).settings():
        before = accounts_before(job)
        fed = _fed(job, key, before)
        if getattr(job.options, "dry_run", False):
            _tell_plan(job, fed, before)
            return
        conclude(job, [a for table in fed.values() for f in table for m in f.months for a in f.told(m) if a.status == "refused"])
        made = at_once(job.spark, lambda name: _bring_up_to_date(job, key, fed[name], before), fed)
        outcomes = dict(zip(fed, made, strict=True))
        _write_refused(job, fed, outcomes)
        conclude(job, [a for o in outcomes.values() for a in o.accounts])
        _refuse_moved(job)


def _refuse_moved(job: Job) -> None:
    """SourceError if somebody of the run's cities is still registered in another one, which this run leaves as it is: there would be two of them."""
    months = [m for m in job.months_of(USER_INFO) if job.wrote(USER_INFO, m)] if job.cities else []
    if not months:
        return
    register = job.read(USER_INFO, months, all_cities=True).select("month", "user_id", "city")
    here = F.col("city").isin(*job.cities or ())
    there = register.where(~here).join(register.where(here).drop("city"), on=["month", "user_id"], how="left_semi")
    moved = {row["city"]: row["count"] for row in there.groupBy("city").count().orderBy("city").collect()}
    if moved:
        told = ", ".join(f"{count:,} in {city}" for city, count in moved.items())
        mend = f"run --city {','.join([*(job.cities or ()), *moved])}" if UNKNOWN_CITY not in moved else "run all cities"
        raise SourceError(f"{USER_INFO.full_name}: subscribers of {', '.join(job.cities or ())} are published in another city too ({told}): they have moved; {mend}")


def _fed(job: Job, key: PseudonymKey, before: Before) -> dict[str, list[Feed]]:
    """What feeds each table. Where all files of a month are as the ledger has them by name, bytes and last change, their content is not read."""
    surveyed = _surveyed(job, key, before)
    fed = feeds(job.config.source, surveyed, key, job.cities)
    changed = {(f.layout.name, m) for name, of in fed.items() for f in of for m in f.months if not is_unchanged(m, of, before.get((name, m), ()))}

    def look(found: tuple[Layout, list[Surveyed]]) -> tuple[Layout, list[Surveyed]]:
        layout, files = found
        with described(job.spark, f"{job.name} {job.month}: look at {layout.name} again"):
            return layout, with_content(Intake(job.spark), layout, files, {m for name, m in changed if name == layout.name})

    return feeds(job.config.source, at_once(job.spark, look, surveyed), key, job.cities) if changed else fed


def _surveyed(job: Job, key: PseudonymKey, before: Before) -> list[tuple[Layout, list[Surveyed]]]:
    """Every file of the source up to the run's month; SourceError names all that are absent or damaged."""
    source = job.config.source
    if not source.first_month <= job.month <= source.last_month:
        raise SourceError(f"{job.month} is no month of source '{source.name}' ({source.first_month} to {source.last_month})")
    def look(layout: Layout) -> tuple[Layout, list[Surveyed]] | SourceError:
        try:
            with described(job.spark, f"{job.name} {job.month}: look at {layout.name}"):
                files = survey(Intake(job.spark), layout, _settled(job, layout, key, before), _known(job, layout, before))
        except SourceError as error:
            return error
        job.log.info("    found %-20s %d files, %s lines", layout.name, len(files), f"{sum(f.lines for f in files):,}")
        return layout.of(f.file for f in files), files

    looked = at_once(job.spark, look, layouts(source, job.config.env.data, job.month))
    problems = [str(p) for p in looked if isinstance(p, SourceError)]
    if problems:
        raise SourceError("\n".join(problems))
    found = [f for f in looked if not isinstance(f, SourceError)]
    _tell_unmapped(job, found)
    return found


def _known(job: Job, layout: Layout, before: Before) -> Known:
    told = [a for m in layout.mappings for month in layout.months for a in before.get((m.table, month), ())]
    return known_files(told, [job.config.source.label_of(m) for m in layout.mappings])


def _tell_unmapped(job: Job, found: Sequence[tuple[Layout, Sequence[Surveyed]]]) -> None:
    for layout, files in found:
        columns = list(dict.fromkeys(c for f in files if not f.problem for c in f.schema.names))
        for column in unmapped_columns(columns, layout.mappings):
            job.cover("column", f"{layout.name}.{column}", "skipped", "the files have it, but no mapping reads it")


def _settled(job: Job, layout: Layout, key: PseudonymKey, before: Before) -> set[str]:
    """Months whose files may be gone, because all that they feed is visible already for the run's cities; the run's own month is none of them."""
    source = job.config.source

    def is_kept(month: str) -> bool:
        feeding = [m for m in layout.mappings if month in source.months_of(m)]
        return all(job.has(source.table_of(m), month) and is_settled(source.label_of(m), key, before.get((m.table, month), ())) for m in feeding)

    return {month for month in layout.months if month != job.month and is_kept(month)}


def _bring_up_to_date(job: Job, key: PseudonymKey, fed: Sequence[Feed], before: Before) -> Outcome:
    """Load the months of one table whose files have changed; the others keep what they have."""
    table = _table(job, fed)
    gone = _gone(job, fed)
    if gone:
        job.log.info("    kept %s as it was for %s: files it was made of are gone", table.full_name, some(gone))
    changed = [m for m in months_fed(fed) if m not in gone and not is_unchanged(m, fed, before.get((table.full_name, m), ()))]
    same = [
        replace(a, status="unchanged")
        for m in sorted({*months_fed(fed), *gone}) if m not in changed and not job.wrote(table, m)  # what this run wrote stands in the ledger already
        for a in before[table.full_name, m]
    ]  # fmt: skip
    if not changed:
        job.log.info("    unchanged %s", table.full_name)
        return Outcome(same)
    found = [replace(p, number=i) for i, p in enumerate(p for f in fed for p in f.parts(changed))]
    with described(job.spark, f"{job.name} {job.month}: judge {table.full_name}"):
        outcome = guarded(lambda: load(job, key, table, found, changed, {f.label: f.mapping_hash for f in fed}))
    doubles = [a for f in fed for m in changed if m in f.months for a in f.told(m)]
    return replace(outcome, accounts=[*outcome.accounts, *doubles, *same])


def _gone(job: Job, fed: Sequence[Feed]) -> list[str]:
    """Months for which a feed that delivered once has no files any more."""
    return sorted({m for f in fed for m in job.config.source.months_of(f.mapping) if m <= job.month and m not in f.months})


def _write_refused(job: Job, fed: Mapping[str, Sequence[Feed]], outcomes: Mapping[str, Outcome]) -> None:
    """Replace the refused lines of the changed months, in quarantine and vault; those of other mappings stay.

    A run of some cities also replaces the lines without a usable city: they may be any city's.
    """
    months = sorted({m for o in outcomes.values() for m in o.changed})
    fresh = [o.refused for o in outcomes.values() if o.refused is not None]
    changed = [(f.label, m) for name, o in outcomes.items() for f in fed[name] for m in o.changed]
    write_refused(job, fresh, changed, months, (*job.cities, UNKNOWN_CITY) if job.cities else None)


def _tell_plan(job: Job, fed: Mapping[str, Sequence[Feed]], before: Before) -> None:
    for name, table in fed.items():
        for month in months_fed(table):
            files = [f for feed in table for f in feed.files_of(month)]
            same = is_unchanged(month, table, before.get((name, month), ()))
            refused = "; ".join(f"{f.file.name} would be refused: {f.problem}" for f in files if f.problem)
            size = sum(f.file.size for f in files) / 1e6
            told = refused or ("unchanged" if same else "to be read")
            job.log.info("    %-26s %s  %3d files %8.1f MB  %s", name, month, len(files), size, told)


def _table(job: Job, fed: Sequence[Feed]) -> Table:
    return job.config.source.table_of(fed[0].mapping)


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
