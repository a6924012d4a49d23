"""Every line accounted for: per file, mapping and month, in rows and in money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.conform import MONEY
from crm_spark.ingest.duplicates import DUPLICATE, PART, VERDICT, in_scope, is_loaded, is_refused
from crm_spark.ingest.fields import UNKNOWN_CITY
from crm_spark.ingest.files import BLOCK, ORDER, PATH, Intake
from crm_spark.ingest.rows import IS_HEADER
from crm_spark.ingest.staging import Part
from crm_spark.ingest.survey import Surveyed
from crm_spark.tables.ops import INGEST_LEDGER

_TOLD = tuple(c for c in INGEST_LEDGER.columns if c not in ("run_id", "source", "recorded_at"))
Status = Literal["loaded", "refused", "unchanged", "duplicate_file"]


@dataclass(frozen=True)
class Account:
    """What became of one file, for one mapping and month."""

    mapping: str
    month: str
    file: str
    fingerprint: str
    mapping_hash: str
    status: Status
    reason: str | None = None
    lines: int = 0
    header: int = 0
    blank: int = 0
    loaded: int = 0
    quarantined: int = 0
    duplicates: int = 0
    elsewhere: int = 0
    money_total: Decimal | None = None
    money_loaded: Decimal | None = None
    money_quarantined: Decimal | None = None
    money_duplicates: Decimal | None = None
    money_booked: Decimal | None = None
    without_city: int = 0
    offset: int | None = None
    bytes: int | None = None
    modified: int | None = None

    @property
    def imbalance(self) -> str | None:
        """Why the file does not reconcile; None if it does."""
        told = self.header + self.blank + self.loaded + self.quarantined + self.duplicates + self.elsewhere
        if self.lines != told:
            return f"{self.lines} lines, but {told} accounted for"
        parts = (self.money_loaded, self.money_quarantined, self.money_duplicates)
        if self.money_total is not None and self.money_total != sum(p or Decimal(0) for p in parts):
            return "the money of the parts is not the money of the file"
        if self.money_booked is not None and self.money_booked != (self.money_loaded or Decimal(0)):
            return "the money that would be loaded is not the money of these rows"
        return None


def account(label: str, month: str, found: Surveyed, mapping_hash: str, status: Status, reason: str | None = None) -> Account:
    """The account of a file of which nothing is loaded."""
    told = Account(label, month, found.file.name, found.fingerprint, mapping_hash, status, reason, found.lines, found.headers, found.blank)
    return replace(told, bytes=found.file.size, modified=found.file.modified)


def accounts(rows: DataFrame, found: Sequence[Part], hashes: Mapping[str, str], cities: Sequence[str] | None) -> list[Account]:
    """The account of every file of the staged rows, for the run's cities; one that does not reconcile is refused."""
    facts = {(r[PART], r[FILE_MONTH], r[PATH]): r for r in _facts(rows, found, cities).collect()}
    made = [_account(p, f, facts.get((p.number, p.month_of(f), f.file.path)), hashes[p.label]) for p in found for f in p.files]
    return [replace(a, status="refused", reason=a.imbalance) if a.imbalance else a for a in made]


def ledger_rows(intake: Intake, run_id: str, source: str, made: Iterable[Account]) -> DataFrame:
    """The accounts as rows of ops.ingest_ledger."""
    now = datetime.now().astimezone()
    named = [{"run_id": run_id, "source": source, "recorded_at": now, **vars(a)} for a in made]
    return intake.frame([tuple(row[c] for c in INGEST_LEDGER.columns) for row in named], INGEST_LEDGER.struct)


def earlier_accounts(ledger: DataFrame, run_ids: Iterable[str]) -> dict[tuple[str, str, str], list[Account]]:
    """The latest account of each file that these runs have told, by (run, mapping, month)."""
    told = ledger.where(F.col("run_id").isin(*run_ids))
    newest: dict[tuple[str, str, str, str], T.Row] = {}
    for row in told.orderBy("recorded_at").collect():
        newest[row["run_id"], row["mapping"], row["month"], row["file"]] = row
    grouped: dict[tuple[str, str, str], list[Account]] = {}
    for (run_id, mapping, month, _), row in newest.items():
        told_before = {c: value for c, value in row.asDict().items() if c in _TOLD}  # an older ledger lacks columns
        grouped.setdefault((run_id, mapping, month), []).append(Account(**told_before))
    return grouped


def _facts(rows: DataFrame, found: Sequence[Part], cities: Sequence[str] | None) -> DataFrame:
    mine = in_scope(cities)
    loaded, refused = mine & is_loaded(), mine & is_refused()
    kinds = {"loaded": loaded, "quarantined": refused, "duplicates": mine & (F.col(VERDICT) == DUPLICATE)}
    return rows.groupBy(PART, FILE_MONTH, PATH).agg(
        F.count_if(IS_HEADER).alias("headers"),
        F.min(F.when(F.col(BLOCK) == 0, F.col(ORDER))).alias("first"),
        F.count_if(refused & (F.col(BLOCK) > 0)).alias("beyond"),
        F.count_if(~mine).alias("elsewhere"),
        F.sum(F.when(mine, F.col(MONEY))).alias("money_total"),
        F.sum(F.when(loaded, _booked(rows, found))).alias("money_booked"),
        F.count_if(loaded & (F.col("city") == UNKNOWN_CITY)).alias("without_city"),
        *[F.count_if(condition).alias(kind) for kind, condition in kinds.items()],
        *[F.sum(F.when(condition, F.col(MONEY))).alias(f"money_{kind}") for kind, condition in kinds.items()],
    )


def _booked(rows: DataFrame, found: Sequence[Part]) -> Column:
    """The money as the table will have it, read and typed apart from the money of the file; null where no field holds it."""
    fields = [(p.number, p.mapping.money_field) for p in found]
    decimals = {f.name for f in rows.schema.fields if isinstance(f.dataType, T.DecimalType)}
    booked = [F.when(F.col(PART) == number, F.col(name).cast("decimal(38,6)")) for number, name in fields if name in decimals]
    return F.coalesce(F.lit(None).cast("decimal(38,6)"), *booked)


def _account(part: Part, found: Surveyed, facts: T.Row | None, mapping_hash: str) -> Account:
    base = account(part.label, part.month_of(found), found, mapping_hash, "loaded")
    if facts is None:
        return base
    header = min(found.headers, facts["headers"])
    offset = _offset(part, found, facts)
    counts = {k: facts[k] for k in ("loaded", "duplicates", "elsewhere", "without_city")}
    money = {f"money_{k}": facts[f"money_{k}"] for k in ("total", "loaded", "quarantined", "duplicates", "booked")}
    return replace(base, header=header, quarantined=facts["quarantined"] - header, offset=offset, **counts, **money)


def _offset(part: Part, found: Surveyed, facts: T.Row) -> int | None:
    """What `crm__order` lacks to be the line number of every refused line, where the staged rows tell it.

    They lack blank lines; but a header is a first line, and what stands in the first block is numbered from it.
    """
    if part.layout.file.format != "csv":
        return 1
    told = facts["beyond"] == 0 and (found.headers or not found.blank)
    return 1 - int(facts["first"]) if told and facts["first"] is not None else None
