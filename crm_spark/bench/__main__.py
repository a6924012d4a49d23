"""Measure the stages on synthetic provinces and compare them with their floor: reading the columns used, writing the same rows.

    python -m crm_spark.bench                       the sizes 1e4 and 1e5
    python -m crm_spark.bench --sizes 1e4 1e5 1e6
    python -m crm_spark.bench --duckdb              and the same in DuckDB

Each stage is warmed up and run three times, as is its floor, in one session; the best counts. Records: var/bench/<stage>.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from crm_spark.bench.data import calls_of
from crm_spark.bench.duck import build
from crm_spark.bench.measure import Measured, best_of, bytes_moved, event_log_settings, peak_mb
from crm_spark.customer.calls import call_totals, months_told
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_summary
from crm_spark.ingest.files import plain_path
from crm_spark.session import open_session
from crm_spark.tables.digest import digest
from crm_spark.tables.middle import CONTACT_CIRCLE, VOICE_SUMMARY
from crm_spark.threads import at_once

LOG = logging.getLogger("crm_spark")
STAGE = "circle_and_voice"
READ = (
    "month", "user_id", "peer_id", "started_at", "seconds", "direction", "call_kind", "roaming_kind", "is_vpn", "is_on_net",
    "peer_province", "fee_yuan",
)  # fmt: skip


@dataclass
class Record:
    """One stage at one size."""

    stage: str
    size: int
    rows_in: int
    rows_out: int
    seconds: float
    floor_seconds: float
    peak_mb: int
    shuffle_bytes: int = 0
    spill_bytes: int = 0
    cores: int = os.cpu_count() or 1
    duckdb_seconds: float | None = None
    equals_duckdb: bool | None = None


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write the records; the result is the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    events = options.out / "events"
    events.mkdir(parents=True, exist_ok=True)
    memory = {"spark.master": "local[*]", "spark.driver.memory": options.memory}
    spark = open_session("bench", {**memory, **event_log_settings(events)})
    log = events / str(spark.sparkContext.applicationId)
    measured = [circle_and_voice(spark, int(size), options) for size in sorted(set(options.sizes))]
    spark.stop()
    records = [_with_bytes(record, log, best) for record, best in measured]
    (options.out / f"{STAGE}.json").write_text(json.dumps([asdict(r) for r in records], indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(_table(records))
    return 1 if any(r.equals_duckdb is False for r in records) else 0


def circle_and_voice(spark: SparkSession, size: int, options: argparse.Namespace) -> tuple[Record, Measured]:
    """Calls to `voice_summary` and `contact_circle`, all attributes, against reading the calls and writing the two tables as they are."""
    calls, register = calls_of(spark, size, options.conf_dir, options.out / "data")
    LOG.info("%s of %s subscribers: measuring", STAGE, f"{size:,}")
    names = ("voice_summary", "contact_circle")
    out = {name: str(options.out / "tables" / str(size) / name) for name in names}

    def stage() -> None:
        totals = call_totals(calls, register).persist()
        told = months_told(totals)
        made = {names[0]: build_voice_summary(totals, told), names[1]: build_contact_circle(totals, told)}
        at_once(spark, lambda name: _save(made[name].hint("rebalance"), out[name]), names)
        totals.unpersist()

    def floor() -> None:
        calls.select(*READ).write.format("noop").mode("overwrite").save()
        at_once(spark, lambda path: _save(spark.read.format("delta").load(path), f"{path}_again"), out.values())

    def rival() -> None:
        build(_files(calls), _files(register), options.out / "tables" / str(size), os.cpu_count() or 1)

    best, least = best_of(stage), best_of(floor)
    rows_out = sum(spark.read.format("delta").load(path).count() for path in out.values())
    record = Record(STAGE, size, calls.count(), rows_out, round(best.seconds, 2), round(least.seconds, 2), peak_mb(spark))
    if options.duckdb:
        record.duckdb_seconds = round(best_of(rival).seconds, 2)
        record.equals_duckdb = all(
            digest(table.conform(spark.read.parquet(f"{path}.parquet")), table) == digest(spark.read.format("delta").load(path), table)
            for table, path in ((t, out[t.name]) for t in (VOICE_SUMMARY, CONTACT_CIRCLE))
        )
    return record, best


def _with_bytes(record: Record, log: Path, best: Measured) -> Record:
    return Record(**{**asdict(record), **bytes_moved(log, best)})


def _files(frame: DataFrame) -> list[str]:
    return [plain_path(file) for file in frame.inputFiles()]


def _save(rows: DataFrame, path: str) -> None:
    rows.write.format("delta").mode("overwrite").partitionBy("city", "month").save(path)


def _table(records: list[Record]) -> str:
    lines = ["stage             subscribers      rows in   rows out  seconds    floor  ratio  rows/s/core  shuffle MB  spill MB  peak MB"]
    for r in records:
        rate = r.rows_in / r.seconds / r.cores
        lines.append(
            f"{r.stage:<16} {r.size:>12,} {r.rows_in:>12,} {r.rows_out:>10,} {r.seconds:>8.2f} {r.floor_seconds:>8.2f} {r.seconds / r.floor_seconds:>6.2f} "
            f"{rate:>12,.0f} {r.shuffle_bytes / 1e6:>11.1f} {r.spill_bytes / 1e6:>9.1f} {r.peak_mb:>8,}"
        )
        if r.duckdb_seconds is not None:
            told = f"the stage takes {r.seconds / r.duckdb_seconds:.2f} times that; digests are {'equal' if r.equals_duckdb else 'NOT EQUAL'}"
            lines.append(f"{'  in DuckDB':<16} {r.size:>12,} {'':>23} {r.duckdb_seconds:>8.2f}  {told}")
    for small, large in pairwise(records):
        exponent = math.log(large.seconds / small.seconds) / math.log(large.rows_in / small.rows_in)
        lines.append(f"growth of time from {small.size:,} to {large.size:,} subscribers: exponent {exponent:.2f}")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5], help="subscribers (default: 1e4 1e5)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of records and data (default: var/bench)")
    parser.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    parser.add_argument("--duckdb", action="store_true", help="the same in DuckDB's SQL: its seconds, and whether its rows are equal")
    parser.add_argument("--memory", default="6g", help="Java's memory (default: 6g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
