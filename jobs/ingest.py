"""Read an operator's files at the door: conform, pseudonymise, quarantine, account for every line.

Every mapped table is brought up to date for all months up to --month. Months whose files and mapping have not changed
since the visible table was made are left alone. A file that is absent, empty, damaged, lacks a mapped column or does not
reconcile is refused: its table keeps what it had, the ledger (ops.ingest_ledger) tells why, and the job ends with 1.

    spark-submit jobs/ingest.py --env demo --month 2025-03
    spark-submit jobs/ingest.py --env demo --month 2025-03 --dry-run    what would be read, and stop
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.errors import SourceError
from crm_spark.ingest.duplicates import is_loaded, shared_keys, verdicts, with_verdicts
from crm_spark.ingest.fields import UNKNOWN_CITY
from crm_spark.ingest.files import Intake
from crm_spark.ingest.headers import unmapped_columns
from crm_spark.ingest.ledger import Account, accounts, earlier_accounts, ledger_rows
from crm_spark.ingest.listing import Layout, layouts
from crm_spark.ingest.plan import Feed, feeds, is_unchanged, months_fed
from crm_spark.ingest.pseudonym import PseudonymKey, load_key
from crm_spark.ingest.staging import Part, refused_rows, staged
from crm_spark.ingest.survey import Surveyed, guarded, survey
from crm_spark.job import Job, entry
from crm_spark.tables.contract import Table
from crm_spark.tables.ops import INGEST_LEDGER, RUN_LEDGER
from crm_spark.tables.raw import QUARANTINE
from crm_spark.tables.vault import QUARANTINE_LINE

TABLES_AT_ONCE = 2  # while one table is committed, the next is read
Before = Mapping[tuple[str, str], Sequence[Account]]  # accounts of the visible (table, month)


@dataclass
class Outcome:
    """What became of the files of one table."""

    accounts: list[Account]
    changed: list[str] = field(default_factory=list)
    refused: DataFrame | None = None


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be read, and stop")


def run(job: Job) -> None:
    """Survey all files, then load table by table; all problems are told together."""
    key = load_key(job.config.env.pseudonym)
    with Intake(job.spark).lenient_casts():
        fed = feeds(job.config.source, _surveyed(job), key, job.cities)
        before = _before(job, fed)
        if getattr(job.options, "dry_run", False):
            _tell_plan(job, fed, before)
            return
        _conclude(job, [a for table in fed.values() for f in table for m in f.months for a in f.told(m) if a.status == "refused"])
        with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
            outcomes = dict(zip(fed, pool.map(lambda name: _bring_up_to_date(job, key, fed[name], before), fed), strict=True))
        _write_refused(job, fed, outcomes)
        _conclude(job, [a for o in outcomes.values() for a in o.accounts])


def _surveyed(job: Job) -> list[tuple[Layout, list[Surveyed]]]:
    """Every file of the source up to the run's month; SourceError names all that are absent or damaged."""
    source = job.config.source
    if not source.first_month <= job.month <= source.last_month:
        raise SourceError(f"{job.month} is no month of source '{source.name}' ({source.first_month} to {source.last_month})")
    found: list[tuple[Layout, list[Surveyed]]] = []
    problems: list[str] = []
    for layout in layouts(source, job.config.env.data, job.month):
        try:
            files = survey(Intake(job.spark), layout)
        except SourceError as error:
            problems.append(str(error))
            continue
        found.append((layout, files))
        job.log.info("    found %-20s %d files, %s lines", layout.name, len(files), f"{sum(f.lines for f in files):,}")
        for column in unmapped_columns(list(dict.fromkeys(c for f in files for c in f.schema.names)), layout.mappings):
            job.cover("column", f"{layout.name}.{column}", "skipped", "the files have it, but no mapping reads it")
    if problems:
        raise SourceError("\n".join(problems))
    return found


def _before(job: Job, fed: Mapping[str, Sequence[Feed]]) -> Before:
    """The accounts of the runs that wrote what is visible now, by (table, month)."""
    if not (job.catalog.exists(INGEST_LEDGER) and job.catalog.exists(RUN_LEDGER)):
        return {}
    visible = {(name, m, v) for name, table in fed.items() for m, v in job.versions(_table(job, table)).items()}
    commits = job.catalog.read(RUN_LEDGER).where(F.col("status") == "finished").select("run_id", F.explode("commits").alias("c"))
    mine = commits.where(F.col("c.table").isin(*fed)).select("run_id", "c.table", "c.month", "c.version").collect()
    writers = {(r["table"], r["month"]): r["run_id"] for r in mine if (r["table"], r["month"], r["version"]) in visible}
    told = earlier_accounts(job.catalog.read(INGEST_LEDGER), set(writers.values())) if writers else {}
    made: dict[tuple[str, str], list[Account]] = {place: [] for place in writers}
    for (run_id, label, month), of in told.items():
        place = (label.split("/")[0], month)
        if writers.get(place) == run_id:
            made[place].extend(of)
    return made


def _bring_up_to_date(job: Job, key: PseudonymKey, fed: Sequence[Feed], before: Before) -> Outcome:
    """Load the months of one table whose files have changed; the others keep what they have."""
    table = _table(job, fed)
    changed = [m for m in months_fed(fed) if not is_unchanged(m, fed, before.get((table.full_name, m), ()))]
    same = [
        replace(a, status="unchanged")
        for m in months_fed(fed) if m not in changed and not job.wrote(table, m)  # what this run wrote stands in the ledger already
        for a in before[table.full_name, m]
    ]  # fmt: skip
    if not changed:
        job.log.info("    unchanged %s", table.full_name)
        return Outcome(same)
    found = [replace(p, number=i) for i, p in enumerate(p for f in fed for p in f.parts(changed))]
    outcome = guarded(lambda: _load(job, key, table, found, changed, {f.label: f.mapping_hash for f in fed}))
    doubles = [a for f in fed for m in changed if m in f.months for a in f.told(m)]
    return replace(outcome, accounts=[*outcome.accounts, *doubles, *same])


def _load(job: Job, key: PseudonymKey, table: Table, found: Sequence[Part], months: list[str], hashes: Mapping[str, str]) -> Outcome:
    """Read, judge and write; a table with a file that does not reconcile, or without a good row in a month, keeps what it had."""
    intake = Intake(job.spark)
    read = staged(intake, found, job.config.source, table, key).persist()
    shared = shared_keys(read, table)
    rejected = None if shared.isEmpty() else verdicts(read, table, shared).persist()
    rows = with_verdicts(read, rejected)
    made = _without_empty_months(accounts(rows, found, hashes))
    refused = None
    if any(a.quarantined for a in made):
        refused = refused_rows(intake, rows, found, job.config.source, key).persist()
        job.log.info("    quarantined %s rows of %s", f"{refused.count():,}", table.full_name)
    if all(a.status == "loaded" for a in made):
        _write(job, rows.where(is_loaded()).select(*table.columns), table, months, made)
    for frame in (read, rejected):
        if frame is not None:
            frame.unpersist()
    return Outcome(made, months, refused)


def _without_empty_months(made: Sequence[Account]) -> list[Account]:
    """Accounts, refused where not one row of the month is good."""
    good = {a.month for a in made if a.loaded}
    reason = "not one good row; raw.quarantine has the reasons"
    return [a if a.month in good else replace(a, status="refused", reason=reason) for a in made]


def _write(job: Job, rows: DataFrame, table: Table, months: Sequence[str], made: Sequence[Account]) -> None:
    wanted = rows.where(F.col("city").isin(*job.cities)) if job.cities else rows
    written = job.write(wanted, table, months)
    expected = sum(a.loaded for a in made)
    if not job.cities and written != expected:
        raise SourceError(f"{table.full_name}: {expected} good rows were read, but {written} written; did a file change meanwhile?")
    lost = sum(a.without_city for a in made)
    if lost:
        job.cover("city", f"{table.full_name}.{UNKNOWN_CITY}", "partial", f"{lost} rows have no city", 1 - lost / expected)


def _write_refused(job: Job, fed: Mapping[str, Sequence[Feed]], outcomes: Mapping[str, Outcome]) -> None:
    """Replace the refused lines of the changed months, in quarantine and vault; those of other mappings stay."""
    months = sorted({m for o in outcomes.values() for m in o.changed})
    fresh = [o.refused for o in outcomes.values() if o.refused is not None]
    changed = [(f.label, m) for name, o in outcomes.items() for f in fed[name] for m in o.changed]
    for table in (QUARANTINE, QUARANTINE_LINE):
        kept_months = [m for m in months if m in job.months_of(table)]
        if fresh or kept_months:
            pairs = F.broadcast(job.spark.createDataFrame(changed, "mapping string, month string"))
            old = [job.read(table, kept_months).join(pairs, on=["mapping", "month"], how="left_anti")] if kept_months else []
            rows = reduce(DataFrame.unionByName, [f.select(*table.columns) for f in (*fresh, *old)])
            job.write(rows.where(F.col("city").isin(*job.cities)) if job.cities else rows, table, months)
    for frame in fresh:
        frame.unpersist()


def _conclude(job: Job, made: Sequence[Account]) -> None:
    """Tell the ledger; SourceError if any file was refused."""
    if made:
        job.append(ledger_rows(Intake(job.spark), job.run_id, job.config.source.name, made), INGEST_LEDGER)
    refused: dict[tuple[str, str | None], list[str]] = {}
    for a in made:
        if a.status == "refused":
            refused.setdefault((a.file, a.reason), []).append(f"{a.mapping} {a.month}")
    if refused:
        raise SourceError("\n".join(f"{file} ({_some(places)}): refused: {reason}" for (file, reason), places in refused.items()))


def _some(places: Sequence[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


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
