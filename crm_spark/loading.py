"""Surveyed files of one table, loaded: judged, written, and every line of them told in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.errors import CrmError, SourceError
from crm_spark.frames import literal_frame
from crm_spark.ingest.duplicates import CONFLICT, VERDICT, contradicted, in_scope, is_loaded, is_refused, shared_keys, verdicts, with_verdicts
from crm_spark.ingest.fields import UNKNOWN_CITY
from crm_spark.ingest.files import Intake
from crm_spark.ingest.ledger import Account, accounts, earlier_accounts, ledger_rows
from crm_spark.ingest.pseudonym import PseudonymKey
from crm_spark.ingest.staging import Part, refused_rows, staged
from crm_spark.job import Job
from crm_spark.tables.contract import Table
from crm_spark.tables.ops import INGEST_LEDGER
from crm_spark.tables.raw import QUARANTINE
from crm_spark.tables.vault import QUARANTINE_LINE

REASONS_TOLD = 3
Before = Mapping[tuple[str, str], Sequence[Account]]  # accounts of the visible (table, month)
Put = Callable[[DataFrame, DataFrame | None], int]  # writes the good rows, told the refused ones; returns how many it wrote


class ContradictionError(CrmError):
    """Rows that are to be added contradict others of the same key: all of them are to be judged together."""


@dataclass
class Outcome:
    """What became of the files of one table."""

    accounts: list[Account]
    changed: list[str] = field(default_factory=list)
    refused: DataFrame | None = None

    @property
    def is_loaded(self) -> bool:
        return all(a.status == "loaded" for a in self.accounts)


@dataclass(frozen=True)
class Addition:
    """How rows come on top of others: `there` gives, of staged rows, those already loaded that may have the same keys."""

    there: Callable[[DataFrame], DataFrame]
    put: Put


def accounts_before(job: Job) -> Before:
    """The accounts of the runs whose rows became visible last, by (table, month): of a month rolled back, what was known then."""
    if not job.catalog.exists(INGEST_LEDGER):
        return {}
    tables = {m.table for m in job.config.source.mappings}
    published = {place: run for place in job.seen.since if place[0] in tables and (run := job.seen.newest_writer(place, job.cities))}
    writers = published | {place: job.run_id for place in job.seen.own if place[0] in tables}
    told = earlier_accounts(job.catalog.read(INGEST_LEDGER), set(writers.values())) if writers else {}
    made: dict[tuple[str, str], list[Account]] = {place: [] for place in writers}
    for (run_id, label, month), of in told.items():
        place = (label.split("/")[0], month)
        if writers.get(place) == run_id:
            made[place].extend(of)
    return made


def load(
    job: Job, key: PseudonymKey, table: Table, found: Sequence[Part], months: list[str], hashes: Mapping[str, str], added: Addition | None = None
) -> Outcome:
    """Read, judge and write; a table with a file that does not reconcile, or without a good row in a month, keeps what it had.

    What is `added` is judged beside the rows that are there; ContradictionError if it contradicts one of them.
    """
    with ExitStack() as held:
        read = _kept(staged(Intake(job.spark), found, job.config.source, table, key), held)
        rejected = _rejected(read, table, added, held)
        rows = with_verdicts(read, rejected)
        made = accounts(rows, found, hashes, job.cities)
        refused = _refused(job, key, rows, rejected, found, made) if any(a.quarantined for a in made) else None
        outcome = Outcome(made if added else _without_empty_months(made, refused), months, refused)
        if outcome.is_loaded:
            put = added.put if added else partial(_replace, job, table, months)
            _write(job, rows.where(is_loaded()).select(*table.columns), table, outcome, put)
        return outcome


def write_refused(
    job: Job, fresh: Sequence[DataFrame], changed: Sequence[tuple[str, str]], months: Sequence[str], cities: Sequence[str] | None
) -> None:
    """Replace the refused lines of the `changed` (mapping, month), in quarantine and vault; those of other mappings stay."""
    for table in (QUARANTINE, QUARANTINE_LINE):
        kept_months = [m for m in months if m in job.months_of(table)]
        if fresh or kept_months:
            pairs = F.broadcast(literal_frame(job.spark, changed, "mapping string, month string"))
            kept = job.read(table, kept_months, all_cities=True).where(F.col("city").isin(*cities) if cities else F.lit(True)) if kept_months else None
            old = [kept.join(pairs, on=["mapping", "month"], how="left_anti")] if kept is not None else []
            new = [literal_frame(job.spark, [], table.struct), *(f.select(*table.columns) for f in fresh)]  # older rows may lack a column
            job.write(reduce(partial(DataFrame.unionByName, allowMissingColumns=True), [*new, *old]), table, months, cities=cities)
    for frame in fresh:
        frame.unpersist()


def conclude(job: Job, made: Sequence[Account]) -> None:
    """Tell the ledger; SourceError if any file was refused."""
    if made:
        job.append(ledger_rows(Intake(job.spark), job.run_id, job.config.source.name, made), INGEST_LEDGER)
    refused: dict[tuple[str, str | None], list[str]] = {}
    for a in made:
        if a.status == "refused":
            refused.setdefault((a.file, a.reason), []).append(f"{a.mapping} {a.month}")
    if refused:
        raise SourceError("\n".join(f"{file} ({some(places)}): refused: {reason}" for (file, reason), places in refused.items()))


def some(places: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _kept(frame: DataFrame, held: ExitStack) -> DataFrame:
    """The frame, kept until the end."""
    held.callback(frame.unpersist)
    return frame.persist()


def _rejected(read: DataFrame, table: Table, added: Addition | None, held: ExitStack) -> DataFrame | None:
    """Addresses of the rows to be left out; None without any."""
    rows = read.unionByName(added.there(read), allowMissingColumns=True) if added else read
    shared = shared_keys(rows, table)
    if shared.isEmpty():
        return None
    rejected = _kept(verdicts(rows, table, shared), held)
    if added and not contradicted(rejected).isEmpty():
        raise ContradictionError("new rows contradict rows that were loaded before")
    return rejected


def _refused(
    job: Job, key: PseudonymKey, rows: DataFrame, rejected: DataFrame | None, found: Sequence[Part], made: Sequence[Account]
) -> DataFrame:
    """The refused lines, kept until they are written."""
    files = [(p, f) for p in found for f in p.files]
    numbered = [(p, f, a.offset if a.quarantined or a.header else 1) for (p, f), a in zip(files, made, strict=True)]
    clashes = None if rejected is None else rejected.where(F.col(VERDICT) == CONFLICT)
    bad = rows.where(is_refused() & in_scope(job.cities))
    refused = refused_rows(Intake(job.spark), bad, numbered, clashes, job.config.source, key).hint("rebalance").persist()
    job.log.info("    quarantined %s rows of %s", f"{refused.count():,}", made[0].mapping.partition("/")[0])
    return refused


def _without_empty_months(made: Sequence[Account], refused: DataFrame | None) -> list[Account]:
    """Accounts, refused where not one row of the month is good, with the commonest reasons: a failed run publishes no quarantine."""
    good = {a.month for a in made if a.loaded or a.elsewhere}
    empty = sorted({a.month for a in made} - good)
    reasons = _commonest(refused, empty) if refused is not None and empty else {}
    told = {m: f"not one good row{': ' + reasons[m] if m in reasons else ''}" for m in empty}
    return [replace(a, status="refused", reason=told[a.month]) if a.month in told else a for a in made]


def _commonest(refused: DataFrame, months: Sequence[str]) -> dict[str, str]:
    """The three commonest reasons of each month with their counts; reasons hold no values."""
    reasons = refused.where(F.col("month").isin(*months)).select("month", F.explode("reasons").alias("reason")).groupBy("month", "reason").count()
    found: dict[str, list[str]] = {}
    for row in reasons.orderBy(F.desc("count"), "reason").collect():
        found.setdefault(row["month"], []).append(f"{row['reason']} ({row['count']} rows)")
    return {month: "; ".join(told[:REASONS_TOLD]) for month, told in found.items()}


def _replace(job: Job, table: Table, months: Sequence[str], rows: DataFrame, _: DataFrame | None) -> int:
    return job.write(rows, table, months)


def _write(job: Job, rows: DataFrame, table: Table, outcome: Outcome, put: Put) -> None:
    written = put(rows.where(F.col("city").isin(*job.cities)) if job.cities else rows, outcome.refused)
    expected = sum(a.loaded for a in outcome.accounts)
    if written != expected:
        raise SourceError(f"{table.full_name}: {expected} good rows were read, but {written} written; did a file change meanwhile?")
    lost = sum(a.without_city for a in outcome.accounts)
    if lost:
        job.cover("city", f"{table.full_name}.{UNKNOWN_CITY}", "partial", f"{lost} rows have no city", 1 - lost / expected)
