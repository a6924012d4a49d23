"""The province on disk: `<out>/<table>/month=yyyy-MM/*`, a note of what was made, and the truth in a folder `truth` beside `<out>`."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from crm_spark.errors import SourceError
from crm_spark.province.defects import IS_BAD, with_bad_rows
from crm_spark.province.deliveries import DELIVERIES, EXTRA, FURTHER, Delivery, told_lives, true_lives, true_subscribers
from crm_spark.province.outcomes import true_further
from crm_spark.province.responses import true_responses
from crm_spark.province.world import Province

RECIPE = 3  # raised when the generator makes other rows from the same size, seed and configuration
NOTE = "province.json"
_UNFINISHED = f".{NOTE}"
TRUTH = "truth"
_FEWEST_PARTS = 2
_TABLES_AT_ONCE = 2
LOG = logging.getLogger("crm_spark")


@dataclass(frozen=True)
class Made:
    """A finished table: its rows, the bad ones among them, and the seconds it took."""

    table: str
    rows: int
    bad: int
    seconds: float


def identity(province: Province) -> dict[str, object]:
    """What makes two provinces the same: recipe, size, seed, months and configuration."""
    config = hashlib.sha256(repr(province.config).encode()).hexdigest()[:16]
    return {"recipe": RECIPE, "size": province.size, "seed": province.seed, "months": list(province.config.months), "config": config}


def is_made(province: Province, out: Path, extra: bool = False) -> bool:
    """True if `out` already holds this very province, complete."""
    note = _note(out)
    tables = note.get("tables")
    if extra and not (isinstance(tables, dict) and {d.name for d in EXTRA} <= set(tables)):
        return False
    return {key: note.get(key) for key in identity(province)} == identity(province)


def make_room(out: Path) -> None:
    """An empty `out` and truth: an earlier province there goes, finished or not; SourceError for folders with anything else in them."""
    truth = truth_of(out)
    for folder, marks in ((out, (NOTE, _UNFINISHED)), (truth, (_whose(out),))):
        if folder.is_dir() and any(folder.iterdir()) and not any((folder / mark).exists() for mark in marks):
            raise SourceError(f"{folder} holds files that are no province of {out}; give another --out, or empty it first")
    for folder, mark in ((out, _UNFINISHED), (truth, _whose(out))):
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / mark).touch()  # an unfinished province is known as one


def truth_of(out: Path) -> Path:
    """The folder of the truth planted in the raw files of `out`."""
    return out.absolute().with_name(TRUTH)


def _whose(out: Path) -> str:
    """The file that says whose truth a folder holds."""
    return f".of_{out.absolute().name}"


def make(spark: SparkSession, province: Province, out: Path, extra: bool = False) -> Iterator[Made]:
    """Write every table (with `extra` also those that no job of the month reads), told in turn; the note comes last, so that only a complete province has it."""
    made = []
    for table in _tables(spark, province, out, extra):
        made.append(table)
        yield table
    content = {**identity(province), "tables": {m.table: {"rows": m.rows, "bad": m.bad} for m in made}}
    (out / NOTE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (out / _UNFINISHED).unlink()


def _tables(spark: SparkSession, province: Province, out: Path, extra: bool) -> Iterator[Made]:
    truth = truth_of(out)
    yield _written("truth/subscriber", true_subscribers(spark, province, province.parts), truth / "subscriber")
    yield _written("truth/life", true_lives(spark, province, province.parts), truth / "life")
    lives = spark.read.parquet(str(truth / "life"))
    yield _written("truth/response", true_responses(lives, province), truth / "response")
    told = told_lives(lives, province)
    further = province.config.further.on
    if further:
        yield _written("truth/further", true_further(told, province), truth / "further")
    wanted = (*DELIVERIES, *(FURTHER if further else ()), *(EXTRA if extra else ()))
    at_once = 1 if is_remote() else _TABLES_AT_ONCE  # over Spark Connect rows that are counted side by side lose their counts
    with ThreadPoolExecutor(at_once) as pool:  # one table's planning fills the other's pauses
        yield from pool.map(lambda delivery: _delivered(delivery, told, province, out / delivery.name), wanted)


def _written(name: str, frame: DataFrame, path: Path) -> Made:
    start = time.monotonic()
    seen = Observation(name)
    frame.observe(seen, F.count(F.lit(1)).alias("rows")).write.mode("overwrite").parquet(str(path))
    return Made(name, seen.get["rows"], 0, time.monotonic() - start)


def _delivered(delivery: Delivery, told: DataFrame, province: Province, path: Path) -> Made:
    start = time.monotonic()
    seen = Observation(delivery.name)
    rows = with_bad_rows(delivery.rows(told, province), delivery.name, province)
    counted = rows.observe(seen, F.count(F.lit(1)).alias("rows"), F.count_if(IS_BAD).alias("bad"))
    writer = counted.drop("subscriber", IS_BAD).coalesce(_parts(delivery, province)).write.mode("overwrite").partitionBy("month")
    if delivery.format == "csv":
        writer.options(header="true", compression="gzip", encoding=delivery.encoding, escape='"').csv(str(path))
    else:
        writer.parquet(str(path))
    return Made(delivery.name, seen.get["rows"], seen.get["bad"], time.monotonic() - start)


def _parts(delivery: Delivery, province: Province) -> int:
    """Parts written side by side without a shuffle, each with one file a month: two, or more where files would grow too large."""
    return max(_FEWEST_PARTS, ceil(province.size * delivery.rows_per_subscriber / province.config.rows_per_file))


def _note(out: Path) -> dict[str, object]:
    path = out / NOTE
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
