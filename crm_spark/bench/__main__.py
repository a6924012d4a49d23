"""Measure the stages on synthetic provinces and compare them with their floor: reading the columns used, writing the same rows.

    python -m crm_spark.bench                       the sizes 1e4, 1e5 and 1e6
    python -m crm_spark.bench --sizes 1e4 1e5
    python -m crm_spark.bench --duckdb              and the same in DuckDB
    python -m crm_spark.bench --skew                and what uneven calls cost

It ends with 1 where uneven calls take more than twice the even ones' time, where time grows faster than rows to the power of 1.05, or where
DuckDB's rows are others.
Each stage is warmed up and run three times, as is its floor, in a session of its own; the best counts. call_indicators, whose 720 columns
of a million take hours, goes up to 1e5 unless it is asked for by --stages. Records: var/bench/<stage>.json, after each size. What the
last release measured stands in docs/bench.json; ratios to the floor are compared, because machines differ.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from crm_spark.bench.circle_and_voice import SHAPES, circle_and_voice
from crm_spark.bench.indicators import call_indicators
from crm_spark.bench.measure import bytes_moved
from crm_spark.bench.report import as_released, chart, growth, releases, short_table, steepest, table, unevenness
from crm_spark.bench.stage import Place, Record, Stage, measure
from crm_spark.session import event_log_settings, open_session

LOG = logging.getLogger("crm_spark")
RELEASED = Path("docs/bench.json")
STAGES: dict[str, Stage] = {"circle_and_voice": circle_and_voice, "call_indicators": call_indicators}
MOST_UNEVEN = 2.0
STEEPEST = 1.05
_LARGEST = {"call_indicators": 100_000}  # unless it is asked for


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write the records; the result is the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    records: list[Record] = []
    for size in sorted({int(size) for size in options.sizes}):
        asked = options.stages or [name for name in STAGES if size <= _LARGEST.get(name, size)]
        for name, stage in _chosen(asked, options.skew).items():
            LOG.info("%s of %s subscribers: measuring", name, f"{size:,}")
            records.append(_measured(options, size, name, stage))
            _keep(records, options.out)
    released = [Record(**r) for r in json.loads(RELEASED.read_text(encoding="utf-8"))] if RELEASED.is_file() else []
    uneven = unevenness(records, "circle_and_voice", [shape for shape in SHAPES if shape != "even"])
    told = (f"{r.stage}, {r.size:,} subscribers: {times:.2f} times the even calls" for r, times in uneven)
    sys.stdout.write("\n".join([*table(records), *growth(records), *told, *releases(records, released)]) + "\n")
    if options.release:
        kept = as_released(records, released)
        RELEASED.write_text(json.dumps([asdict(r) for r in kept], indent=1) + "\n", encoding="utf-8")
        chart([r for r in kept if r.stage in STAGES], RELEASED.with_suffix(".svg"))
        sys.stdout.write("\n".join(["the README's table:", *short_table(kept)]) + "\n")
    missed = [r.equals_duckdb is False for r in records] + [times > MOST_UNEVEN for _, times in uneven] + [steepest(records) > STEEPEST]
    return 1 if any(missed) else 0


def _keep(records: Sequence[Record], out: Path) -> None:
    for name in dict.fromkeys(r.stage for r in records):
        own = [asdict(r) for r in records if r.stage == name]
        (out / f"{name.replace(' ', '_')}.json").write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")


def _measured(options: argparse.Namespace, size: int, name: str, stage: Stage) -> Record:
    events = options.out / "events"
    own = {"spark.master": "local[*]", "spark.driver.memory": options.memory, **event_log_settings(str(events))}
    spark = open_session("bench", own)
    log = events / str(spark.sparkContext.applicationId)
    record, counted = measure(spark, name, size, stage(spark, size, Place(options.conf_dir, options.out)), options.duckdb)
    spark.stop()
    for field, moved in bytes_moved(log, counted).items():
        setattr(record, field, moved)
    return record


def _chosen(names: Iterable[str], skew: bool) -> dict[str, Stage]:
    uneven = [shape for shape in SHAPES if shape != "even"] if skew else []
    return {name: STAGES[name] for name in names} | {shape: partial(circle_and_voice, shape=shape) for shape in uneven}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5, 1e6], help="subscribers (default: 1e4 1e5 1e6)")
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGES), help="stages to measure (default: all)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of records and data (default: var/bench)")
    parser.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    parser.add_argument("--duckdb", action="store_true", help="the same in DuckDB's SQL: its seconds, and whether its rows are equal")
    parser.add_argument("--skew", action="store_true", help="the calls again with a number that has a tenth of them, and other uneven shapes")
    parser.add_argument("--release", action="store_true", help="keep what was measured as the release's (docs/bench.json, .svg); all other records stay")
    parser.add_argument("--memory", default="6g", help="Java's memory (default: 6g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
