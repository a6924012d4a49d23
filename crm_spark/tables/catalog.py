"""Storage: the one place that reads and writes Delta tables, by path or by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.readwriter import DataFrameWriterV2

from crm_spark.config.env import CatalogConfig
from crm_spark.errors import ContractError, NotPublishedError
from crm_spark.locks import Locks
from crm_spark.tables.contract import Table

_NOT_THERE = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "PATH_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE")
_KEPT_NO_MORE = ("DELTA_VERSION_NOT_FOUND", "DELTA_NO_RECREATABLE_HISTORY_FOUND")


@dataclass(frozen=True)
class Commit:
    """A committed write: Delta version and rows written."""

    version: int
    rows: int


class Catalog:
    """Finds tables below a folder (``delta.`root/schema/name` ``) or by name in a metastore or Unity Catalog."""

    def __init__(self, spark: SparkSession, config: CatalogConfig, locks: Locks) -> None:
        self._spark = spark
        self._config = replace(config, root=_absolute(config.root)) if config.by == "path" else config
        self._locks = locks
        self._ensured: set[tuple[str, tuple[str, ...]]] = set()

    def reference(self, table: Table) -> str:
        """How SQL names the table."""
        if self._config.by == "path":
            return f"delta.`{self._config.root.rstrip('/')}/{table.schema}/{table.name}`"
        return ".".join(f"`{part}`" for part in (*self._config.root.split("."), table.schema, table.name) if part)

    def exists(self, table: Table) -> bool:
        """True if the table was ever created."""
        return self._columns_there(table) is not None

    def ensure(self, table: Table) -> None:
        """Create the table if it is not there, and add columns its contract has gained."""
        if (table.full_name, table.columns) in self._ensured:
            return
        there = self._columns_there(table)
        if there is None:
            self._create(table)
        else:
            self._add_columns(table, there)
        self._ensured.add((table.full_name, table.columns))

    def read(self, table: Table, version: int | None = None) -> DataFrame:
        """All rows at a Delta version; only ops tables are read without one."""
        at = "" if version is None else f" VERSION AS OF {version}"
        try:
            return self._spark.sql(f"SELECT * FROM {self.reference(table)}{at}")
        except AnalysisException as error:
            if error.getCondition() in _KEPT_NO_MORE:
                raise NotPublishedError(f"{table.full_name}: version {version} is kept no more (400 days); run its month again") from error
            raise

    def replace(self, frame: DataFrame, table: Table, where: Mapping[str, Sequence[str]], note: Mapping[str, str]) -> Commit:
        """Replace exactly the rows for which every column of `where` is among its values, in one commit."""
        self.ensure(table)
        condition = " AND ".join(f"{column} IN ({', '.join(map(_quoted, sorted(set(values))))})" for column, values in where.items())
        writer = self._writer(frame, table, note)
        with self._locks.commit(table.full_name):
            try:
                writer.overwrite(F.expr(condition))
            except PySparkException as error:
                raise _explained(error, table, condition) from error
            return self._last_commit(table, note)

    def add(self, frame: DataFrame, table: Table, note: Mapping[str, str]) -> Commit:
        """Add rows to a table of which others are replaced, in one commit."""
        self.ensure(table)
        writer = self._writer(frame, table, note)
        with self._locks.commit(table.full_name):
            writer.append()
            return self._last_commit(table, note)

    def append(self, frame: DataFrame, table: Table, note: Mapping[str, str]) -> None:
        """Add rows to an append-only table."""
        self.ensure(table)
        writer = self._writer(frame, table, note)
        with self._locks.commit(table.full_name):
            writer.append()

    def _writer(self, frame: DataFrame, table: Table, note: Mapping[str, str]) -> DataFrameWriterV2:
        writer = laid_out(table.conform(frame), table).writeTo(self.reference(table)).option("maxRecordsPerFile", table.rows_per_file)
        return writer.option("userMetadata", json.dumps(note, sort_keys=True))

    def _last_commit(self, table: Table, note: Mapping[str, str]) -> Commit:
        """The commit that carries `note`; an empty write over no rows makes none, then the newest version says the same."""
        mine = json.dumps(note, sort_keys=True)
        history = (
            self._spark.sql(f"DESCRIBE HISTORY {self.reference(table)} LIMIT 20")
            .select("version", "operationMetrics", "userMetadata")
            .collect()
        )
        own = [row for row in history if row["userMetadata"] == mine]
        rows = int((own[0]["operationMetrics"] or {}).get("numOutputRows", 0)) if own else 0
        return Commit(int((own or history)[0]["version"]), rows)

    def _columns_there(self, table: Table) -> list[str] | None:
        try:
            return self._spark.sql(f"SELECT * FROM {self.reference(table)} LIMIT 0").columns
        except AnalysisException as error:
            if error.getCondition() in _NOT_THERE:
                return None
            raise  # an unreadable table must not pass for an absent one

    def _create(self, table: Table) -> None:
        reference = self.reference(table)
        if self._config.by == "name":
            self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {reference.rsplit('.', 1)[0]}")
        self._spark.sql(table.ddl(reference))

    def _add_columns(self, table: Table, there: Sequence[str]) -> None:
        new = [f"`{f.name}` {f.sql_type}" for f in table.fields if f.name not in there]
        if new:
            self._spark.sql(f"ALTER TABLE {self.reference(table)} ADD COLUMNS ({', '.join(new)})")


def laid_out(rows: DataFrame, table: Table) -> DataFrame:
    """Rows of a partition side by side in the order they are looked up by (docs/adr/0008)."""
    if not table.partitioned_by:
        return rows
    order = [*table.partitioned_by, *([table.looked_up_by] if table.looked_up_by else [])]
    return rows.repartition(*table.partitioned_by).sortWithinPartitions(*order)


def _absolute(root: str) -> str:
    """Delta takes only absolute folders and URIs for paths."""
    return root if "://" in root else str(Path(root).resolve())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _explained(error: PySparkException, table: Table, condition: str) -> Exception:
    """Delta reports a broken CHECK inside a replaceWhere as a mismatch of the predicate: tell the user the real one."""
    text = str(error)
    broken = [f"{name}: {check}" for name, check in table.checks.items() if name.lower() in text.lower() or check.lower() in text.lower()]
    if broken:
        return ContractError(f"{table.full_name}: rows break the check {'; '.join(broken)}")
    if "NOT_NULL" in text or "NOT NULL" in text:
        return ContractError(f"{table.full_name}: a required column is null ({', '.join(table.key)} and required columns must be there)")
    if "REPLACE_WHERE_MISMATCH" in text:
        return ContractError(f"{table.full_name}: the frame holds rows outside what it may replace ({condition})")
    return error
