"""Seconds and files of writing a table's rows by Delta's optimised writes and as the catalog lays them out (docs/adr/0008).

    python -m crm_spark.bench.files mart.customer_view var/demo/tables

Reads the newest rows below that folder, in no order and in eight parts, and writes them three times each way; the best counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.measure import best_of
from crm_spark.config.env import CatalogConfig
from crm_spark.locks import Locks
from crm_spark.session import open_session
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.contract import Table
from crm_spark.tables.declared import TABLES

OPTIMISED = "spark.databricks.delta.optimizeWrite.enabled"
PARTS = 8


def main(argv: list[str] | None = None) -> int:
    """Measure and print; the result is the exit code."""
    options = _parser().parse_args(argv)
    table = TABLES[options.table]
    spark = open_session("bench files", {"spark.master": "local[*]", "spark.driver.memory": "4g"})
    rows = Catalog(spark, CatalogConfig("path", options.root), Locks(Path(options.root))).read(table)
    rows = rows.select(*table.columns).repartition(PARTS).persist()
    sys.stdout.write(f"{table.full_name}: {rows.count():,} rows\n")
    for name, write in (("optimised writes", _optimised), ("as laid out", _laid_out)):
        with TemporaryDirectory() as folder:
            catalog = Catalog(spark, CatalogConfig("path", folder), Locks(Path(folder)))
            seconds = best_of(_writer(spark, write, catalog, rows, table)).seconds
            sys.stdout.write(f"  {name:<18} {seconds:6.2f} s, {len(catalog.read(table).inputFiles()):,} files\n")
    return 0


def _writer(spark: SparkSession, write: Callable[..., None], catalog: Catalog, rows: DataFrame, table: Table) -> Callable[[], None]:
    catalog.ensure(table)
    months = [row["month"] for row in rows.select("month").distinct().collect()]
    return lambda: write(spark, catalog, rows, table, months)


def _optimised(spark: SparkSession, catalog: Catalog, rows: DataFrame, table: Table, _: list[str]) -> None:
    spark.conf.set(OPTIMISED, "true")
    table.conform(rows).writeTo(catalog.reference(table)).overwrite(F.expr("month IS NOT NULL"))
    spark.conf.unset(OPTIMISED)


def _laid_out(_: SparkSession, catalog: Catalog, rows: DataFrame, table: Table, months: list[str]) -> None:
    catalog.replace(rows, table, {"month": months}, {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench.files", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(n for n, t in TABLES.items() if t.partitioned_by), help="the table, as in docs/tables.md")
    parser.add_argument("root", help="folder of an environment's tables")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
