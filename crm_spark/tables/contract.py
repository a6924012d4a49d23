"""What a table is: name, grain, fields, key, partitioning and checks. DDL, conformance and docs derive from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.errors import ContractError, did_you_mean

_WITH_STATISTICS = (T.StringType, T.NumericType, T.DateType, T.TimestampType)  # what Delta can skip data on
KEPT = "interval 400 days"  # thirteen months, and some days to publish in
FILE_BYTES = 256 * 2**20
_PSEUDONYM_BYTES, _VALUE_BYTES = 40, 4  # in a compressed file: about right for every table, and nothing but the size of files hangs on it
Pseudonym = Literal["subscriber", "number", "person", "household", "bucket"]


@dataclass(frozen=True)
class Field:
    """One column.

    `valid` is the default validity rule at the door: a SQL predicate on the typed column (a source may override it).
    `pseudonym` says how the door makes the value from the source's own identifier; `stats` off keeps it out of the Delta log.
    A key column is NOT NULL unless it is `nullable` (the peer of a call from a withheld number). Columns of one `pattern` are
    documented together.
    """

    name: str
    type: T.DataType
    comment: str
    required: bool = False
    valid: str | None = None
    pseudonym: Pseudonym | None = None
    stats: bool = True
    nullable: bool = False
    pattern: str = ""

    @property
    def sql_type(self) -> str:
        return self.type.simpleString()


@dataclass(frozen=True)
class Table:
    """One Delta table; `name` within the schema (layer) `schema`."""

    schema: str
    name: str
    grain: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    partitioned_by: tuple[str, ...] = ("city", "month")
    checks: Mapping[str, str] = field(default_factory=dict)
    dead_files_kept: str = KEPT

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @property
    def not_null(self) -> tuple[str, ...]:
        """Required columns and the key, but for key columns that may be null."""
        return tuple(f.name for f in self.fields if f.required or (f.name in self.key and not f.nullable))

    @property
    def struct(self) -> T.StructType:
        return T.StructType([T.StructField(f.name, f.type, True) for f in self.fields])

    @property
    def looked_up_by(self) -> str | None:
        """The column by which rows of a partition are looked up: the first of the key that has statistics."""
        return next(iter(self._stats_columns()), None)

    @property
    def rows_per_file(self) -> int:
        """About so many rows make a file of FILE_BYTES."""
        return FILE_BYTES // sum(_PSEUDONYM_BYTES if f.pseudonym else _VALUE_BYTES for f in self.fields)

    def __getitem__(self, name: str) -> Field:
        found = next((f for f in self.fields if f.name == name), None)
        if found is None:
            raise ContractError(f"{self.full_name} has no column '{name}'{did_you_mean(name, self.columns)}")
        return found

    def with_fields(self, extra: Iterable[Field]) -> Table:
        """The table with an operator's own columns behind the contract's."""
        return replace(self, fields=(*self.fields, *extra))

    def conform(self, frame: DataFrame) -> DataFrame:
        """The contract's columns in order and type; ContractError names every missing and unexpected column."""
        missing = [c for c in self.columns if c not in frame.columns]
        extra = [c for c in frame.columns if c not in self.columns]
        if missing or extra:
            told = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unexpected {', '.join(extra)}"] * bool(extra)
            raise ContractError(f"{self.full_name}: the frame does not fit the contract: {'; '.join(told)}")
        return frame.select(*[F.col(f"`{f.name}`").cast(f.type).alias(f.name) for f in self.fields])

    def ddl(self, reference: str) -> str:
        """One CREATE TABLE IF NOT EXISTS that also declares keys, checks and which columns have statistics."""
        lines = [f"  `{f.name}` {f.sql_type}{' NOT NULL' * (f.name in self.not_null)} COMMENT {_text(f.comment)}" for f in self.fields]
        properties = {f"delta.constraints.{name}": check for name, check in self.checks.items()}
        properties["delta.dataSkippingStatsColumns"] = ",".join(self._stats_columns())
        properties |= {"delta.deletedFileRetentionDuration": self.dead_files_kept, "delta.logRetentionDuration": KEPT}
        properties["crm.key"] = ",".join(self.key)
        return (
            f"CREATE TABLE IF NOT EXISTS {reference} (\n"
            + ",\n".join(lines)
            + "\n) USING delta\n"
            + (f"PARTITIONED BY ({', '.join(self.partitioned_by)})\n" if self.partitioned_by else "")
            + f"COMMENT {_text(self.grain)}\n"
            + f"TBLPROPERTIES ({', '.join(f'{_text(k)} = {_text(v)}' for k, v in sorted(properties.items()))})"
        )

    def _stats_columns(self) -> list[str]:
        """The key: what rows are looked up by. Statistics of more columns cost a tenth of each write."""
        key = (self[name] for name in self.key if name not in self.partitioned_by)
        return [f.name for f in key if f.stats and isinstance(f.type, _WITH_STATISTICS)]


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
