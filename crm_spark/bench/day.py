"""Measure a day's run at the beginning and at the end of a month, and the whole month read at once, on a synthetic province.

    python -m crm_spark.bench.day                     1e4 subscribers
    python -m crm_spark.bench.day --size 1e5

Day 1 comes by the month's jobs, the others by jobs/run_day.py; days 3 and 30 are measured, and the month's jobs on all thirty days, all in one
session. Seconds and bytes are those of ops.run_ledger, without the publication. Record: var/bench/day.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import runpy
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.data import MONTH, SEED
from crm_spark.bench.measure import reads_counted
from crm_spark.bench.month import run_job
from crm_spark.config.env import CatalogConfig
from crm_spark.errors import CrmError
from crm_spark.locks import Locks
from crm_spark.session import open_session
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.ops import INGEST_LEDGER, RUN_LEDGER
from crm_spark.tables.raw import USER_INFO, VOICE_CDR

LOG = logging.getLogger("crm_spark")
WHOLE = "month"
BETWEEN = (("day 2", (2,)), ("day 3", (3,)), ("days 4 to 29", tuple(range(4, 30))), ("day 30", (30,)))
DAILY = "daily"
MEASURED = ((DAILY, "day 3"), (DAILY, "day 30"), (WHOLE, WHOLE))  # environment and run
STEPS = ("append_calls", "ingest", "build_summaries")


@dataclass
class Record:
    """What a run of calls cost: `calls` are the new ones, `calls_before` those that were loaded already."""

    run: str
    subscribers: int
    calls_before: int
    calls: int
    seconds: float
    input_bytes: int
    shuffle_bytes: int
    cores: int = os.cpu_count() or 1


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write the record; the result is the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    folder = (options.out / "day" / str(int(options.size))).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    _configure(folder, options)
    made = ("--size", str(int(options.size)), "--seed", str(SEED), "--months", MONTH, MONTH)
    run_job("make_province", "--conf-dir", str(folder / "conf"), *made, "--out", str(folder / "raw"))
    spark = open_session("bench day", {"spark.master": "local[*]", "spark.driver.memory": options.memory})
    _split(spark, folder)
    with reads_counted(spark):
        _runs(folder)
    records = [_record(spark, folder / var, run, int(options.size)) for var, run in MEASURED]
    (options.out / "day.json").write_text(json.dumps([asdict(r) for r in records], indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(told(records)) + "\n")
    return 0


def told(records: Sequence[Record]) -> Iterator[str]:
    """One line a run."""
    yield f"{'run':<10} subscribers  calls before        calls  seconds  MB read  MB shuffled"
    for r in records:
        yield (
            f"{r.run:<10} {r.subscribers:>11,} {r.calls_before:>13,} {r.calls:>12,} {r.seconds:>8.1f} {r.input_bytes / 1e6:>8.1f} "
            f"{r.shuffle_bytes / 1e6:>12.1f}"
        )


def _configure(folder: Path, options: argparse.Namespace) -> None:
    """The province's source with nothing but subscribers and calls, and two environments: by the day, and all at once."""
    for part in (options.conf_dir, options.conf_dir.resolve().parent / "mlflow"):
        shutil.copytree(part, folder / part.name, dirs_exist_ok=True)
    source = folder / "conf" / "sources" / "province" / "source.yml"
    text = yaml.safe_load(source.read_text(encoding="utf-8"))
    mine = [m for m in text["mappings"] if m["table"] in (USER_INFO.full_name, VOICE_CDR.full_name)]
    kept = {**text, "first_month": MONTH, "mappings": [{k: v for k, v in m.items() if k != "months"} for m in mine]}
    source.write_text(yaml.safe_dump(kept, allow_unicode=True), encoding="utf-8")
    for name in (DAILY, WHOLE):
        var = folder / name
        environment = {
            "source": "province", "data": str(folder / "data"), "var": str(var), "catalog": {"by": "path", "root": str(var / "tables")},
            "mlflow": {"tracking_uri": f"sqlite:///{var}/mlflow.db", "artifacts": f"{var}/mlartifacts", "experiment": name},
            "pseudonym": {"create": True, "key_file": str(folder / "pseudonym.key")},
            "spark": {"spark.master": "local[*]", "spark.driver.memory": options.memory},
        }  # fmt: skip
        var.mkdir(parents=True)
        (folder / "conf" / "env" / f"{name}.yml").write_text(json.dumps(environment), encoding="utf-8")


def _split(spark: SparkSession, folder: Path) -> None:
    """The province's calls in one file a day."""
    calls = spark.read.parquet(str(folder / "raw" / "voice_cdr" / f"month={MONTH}")).withColumn("of_day", F.dayofmonth("start_time"))
    calls.repartition("of_day").write.partitionBy("of_day").parquet(str(folder / "days"))


def _runs(folder: Path) -> None:
    data = folder / "data"
    shutil.copytree(folder / "raw" / "user_info", data / "user_info")
    _deliver(folder, (1,))
    for job in ("ingest", "build_summaries", "publish"):
        _run(folder, job, DAILY, "day 1")
    for name, days in BETWEEN:
        _deliver(folder, days)
        _run(folder, "run_day", DAILY, name)
    for job in ("ingest", "build_summaries"):
        _run(folder, job, WHOLE, WHOLE)


def _run(folder: Path, name: str, env: str, run_id: str) -> None:
    """A job in the session that is there."""
    job = runpy.run_path(f"jobs/{name}.py", run_name=f"jobs_{name}")
    code = job["main"](["--conf-dir", str(folder / "conf"), "--month", MONTH, "--env", env, "--run-id", run_id])
    if code:
        raise CrmError(f"{name} of {run_id} ended with {code}")


def _deliver(folder: Path, days: Iterable[int]) -> None:
    place = folder / "data" / "voice_cdr" / f"month={MONTH}"
    place.mkdir(parents=True, exist_ok=True)
    for day in days:
        for file in (folder / "days" / f"of_day={day}").glob("*.parquet"):
            file.rename(place / f"{day:02d}-{file.name}")


def _record(spark: SparkSession, var: Path, run_id: str, size: int) -> Record:
    catalog = Catalog(spark, CatalogConfig("path", str(var / "tables")), Locks(var / "locks"))
    steps = catalog.read(RUN_LEDGER).where((F.col("run_id") == run_id) & F.col("job").isin(*STEPS)).collect()
    accounts = catalog.read(INGEST_LEDGER).where((F.col("run_id") == run_id) & (F.col("mapping") == VOICE_CDR.full_name)).collect()
    before = sum(a["loaded"] for a in accounts if a["status"] == "unchanged")
    new = sum(a["loaded"] for a in accounts if a["status"] == "loaded")
    seconds, read, shuffled = (sum(s[name] for s in steps) for name in ("seconds", "input_bytes", "shuffle_bytes"))
    return Record(run_id, size, before, new, round(seconds, 1), read, shuffled)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench.day", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=1e4, help="subscribers (default: 1e4)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the record and of what is run (default: var/bench)")
    parser.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    parser.add_argument("--memory", default="3g", help="Java's memory (default: 3g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
