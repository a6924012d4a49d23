"""Upkeep of the Delta tables: few files, old months let go, deleted files removed. No answer of any version that is kept changes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.errors import NotPublishedError
from crm_spark.locks import Locks
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.contract import FILE_BYTES, Table

Place = tuple[str, str]  # (city, month); NOWHERE for a table that has no partitions
Files = Mapping[Place, Collection[str]]
NOWHERE: Place = ("", "")
SMALL_FILE_BYTES = FILE_BYTES // 2  # more files than one and one per this many bytes are too many

_PARTITION = re.compile(r"/city=([^/]+)/month=([^/]+)/")


class Upkeep:
    """What may be done to a table's files, each act in one commit that no other writer of the table meets."""

    def __init__(self, spark: SparkSession, catalog: Catalog, locks: Locks) -> None:
        self._spark = spark
        self._catalog = catalog
        self._locks = locks

    def version(self, table: Table) -> int:
        """The newest version that wrote or deleted something: VACUUM's own entries are none."""
        history = self._spark.sql(f"DESCRIBE HISTORY {self._catalog.reference(table)}")
        return int(history.where(~F.col("operation").startswith("VACUUM")).agg(F.max("version")).first()[0])  # type: ignore[index]

    def size(self, table: Table) -> tuple[int, int]:
        """Live files of the newest version, and their bytes."""
        detail = self._spark.sql(f"DESCRIBE DETAIL {self._catalog.reference(table)}").select("numFiles", "sizeInBytes").first()
        return (int(detail["numFiles"]), int(detail["sizeInBytes"])) if detail else (0, 0)

    def files(self, table: Table, version: int | None = None) -> Files | None:
        """Names of the live files per (city, month) at a version (default: the newest); None if the version is kept no more."""
        try:
            names = self._catalog.read(table, version).inputFiles()
        except NotPublishedError:
            return None
        found: dict[Place, set[str]] = defaultdict(set)
        for name in names:
            found[_place(name)].add(name)
        return found

    def carried(self, table: Table, at: Mapping[int, Files]) -> dict[int, Files]:
        """The files that hold today what these versions hold, as far as it was only written together since: by an upkeep that was stopped before its
        pins, or by the platform."""
        history = self._spark.sql(f"DESCRIBE HISTORY {self._catalog.reference(table)}").where(F.col("operation") == "OPTIMIZE")
        found = dict(at)
        for row in history.where(F.col("version") > min(at)).select("version").orderBy("version").collect():
            before, after = self.files(table, row["version"] - 1), self.files(table, row["version"])
            if before is None or after is None:
                continue
            for version, files in found.items():
                if version < row["version"]:
                    found[version] = {p: after.get(p, set()) if names == before.get(p) else names for p, names in files.items()}
        return found

    def crowded(self, table: Table, files: Files) -> list[Place]:
        """Of these places those with more files than their bytes need."""
        suspects = {place: names for place, names in files.items() if len(names) > _folders(names)}
        sizes = self._sizes(table, suspects) if suspects else {}
        return sorted(p for p, names in suspects.items() if len(names) > _folders(names) + sizes[p] // SMALL_FILE_BYTES)

    def _sizes(self, table: Table, places: Collection[Place]) -> dict[Place, int]:
        """Bytes per place of the newest version."""
        rows = self._catalog.read(table)
        if table.partitioned_by:
            rows = rows.where(_condition(places))
        files = rows.select("_metadata.file_path", "_metadata.file_size").distinct().collect()
        found: dict[Place, int] = defaultdict(int)
        for row in files:
            found[_place(row["file_path"])] += int(row["file_size"])
        return found

    def compact(self, table: Table, places: Collection[Place]) -> None:
        """Rewrite these places as few files, the rows in the order they are looked up by; contents stay."""
        where = f" WHERE {_condition(places)}" if table.partitioned_by else ""
        order = f" ZORDER BY ({table.looked_up_by})" if table.partitioned_by and table.looked_up_by else ""
        self._commit(table, f"OPTIMIZE {self._catalog.reference(table)}{where}{order}")

    def delete(self, table: Table, places: Collection[Place]) -> None:
        """Let these places go; versions that hold them stay readable as long as deleted files are kept."""
        self._commit(table, f"DELETE FROM {self._catalog.reference(table)} WHERE {_condition(places)}")

    def dead_files(self, table: Table) -> int:
        """Files that no version within the table's retention needs; a table younger than that has none, and is not searched."""
        detail = self._spark.sql(f"DESCRIBE DETAIL {self._catalog.reference(table)}")
        if not detail.where(f"createdAt > current_timestamp() - {table.dead_files_kept}").isEmpty():
            return 0
        return self._spark.sql(f"VACUUM {self._catalog.reference(table)} DRY RUN").count()

    def vacuum(self, table: Table) -> None:
        """Remove them."""
        self._commit(table, f"VACUUM {self._catalog.reference(table)}")

    def _commit(self, table: Table, statement: str) -> None:
        with self._locks.commit(table.full_name):
            self._spark.sql(statement)


def _place(name: str) -> Place:
    found = _PARTITION.search(name)
    return (found[1], found[2]) if found else NOWHERE


def _folders(names: Collection[str]) -> int:
    """How many partitions the files lie in: calls have one a day."""
    return len({name.rpartition("/")[0] for name in names})


def _condition(places: Collection[Place]) -> str:
    cities: dict[str, list[str]] = defaultdict(list)
    for city, month in sorted(places):
        cities[month].append(f"'{city}'")
    return " OR ".join(f"(month = '{month}' AND city IN ({', '.join(named)}))" for month, named in sorted(cities.items()))
