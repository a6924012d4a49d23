"""Seconds of some work, best of a few, and what Spark's event log tells of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

ROUNDS = 3
_RANGES = "parquet.hadoop.vectored.io.enabled"


@dataclass(frozen=True)
class Measured:
    """A round: when it ran (seconds since the epoch) and how long it took."""

    begin: float
    seconds: float


def best_of(work: Callable[[], None], rounds: int = ROUNDS, clock: Callable[[], float] = time.time) -> Measured:
    """The quickest of some rounds, after one that warms up."""
    work()
    return min((timed(work, clock) for _ in range(rounds)), key=lambda m: m.seconds)


def timed(work: Callable[[], None], clock: Callable[[], float] = time.time) -> Measured:
    """One round."""
    begin = clock()
    work()
    return Measured(begin, clock() - begin)


@contextmanager
def reads_counted(spark: SparkSession) -> Iterator[None]:
    """Inside, Spark counts all that it reads: what Hadoop reads in ranges (of Parquet its default, a little quicker) is counted nowhere."""
    before = spark.conf.get(_RANGES, "true")
    spark.conf.set(_RANGES, "false")
    try:
        yield
    finally:
        spark.conf.set(_RANGES, before or "true")


def bytes_moved(log: Path, measured: Measured) -> dict[str, int]:
    """Bytes that tasks of a measured round read, wrote, shuffled and spilled."""
    moved = {"read_bytes": 0, "written_bytes": 0, "shuffle_bytes": 0, "spill_bytes": 0}
    for launched, metrics in _tasks(log):
        if measured.begin * 1000 <= launched <= (measured.begin + measured.seconds) * 1000:
            moved["read_bytes"] += metrics["Input Metrics"]["Bytes Read"]
            moved["written_bytes"] += metrics["Output Metrics"]["Bytes Written"]
            moved["shuffle_bytes"] += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            moved["spill_bytes"] += metrics["Disk Bytes Spilled"]
    return moved


def _tasks(log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """When each task was launched (milliseconds since the epoch), and its metrics."""
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            if '"SparkListenerTaskEnd"' in line:
                event = json.loads(line)
                if "Task Metrics" in event:  # a task that was killed has none
                    yield event["Task Info"]["Launch Time"], event["Task Metrics"]


def peak_mb(spark: SparkSession) -> int:
    """The most memory that the session's Java process has held so far, and each of its Python workers; 0 where the system does not tell."""
    process = getattr(spark.sparkContext._gateway, "proc", None)
    return held_mb(process.pid, "VmHWM") if process else 0


def held_mb(process: int, what: str = "VmRSS") -> int:
    """The memory of a process and of all that it began, MiB: now, or (VmHWM) the most of each so far; 0 where the system does not tell."""
    told = dict(_status(folder) for folder in Path("/proc").glob("[0-9]*"))
    family, more = set[str](), {str(process)} & set(told)
    while more:
        family |= more
        more = {pid for pid, status in told.items() if status.get("PPid") in family} - family
    return sum(int(told[pid].get(what, "0").split()[0]) for pid in family) // 1024


def _status(folder: Path) -> tuple[str, dict[str, str]]:
    """What the system tells of a process; nothing of one that has ended."""
    try:
        lines = folder.joinpath("status").read_text().splitlines()
    except OSError:
        return folder.name, {}
    return folder.name, {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
