"""Seconds of some work, best of a few, and what Spark's event log tells of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """The best round: when it ran (seconds since the epoch) and how long it took."""

    begin: float
    seconds: float


def best_of(work: Callable[[], None], rounds: int = ROUNDS, clock: Callable[[], float] = time.time) -> Measured:
    """The quickest of some rounds, after one that warms up."""
    work()
    return min((_timed(work, clock) for _ in range(rounds)), key=lambda m: m.seconds)


def _timed(work: Callable[[], None], clock: Callable[[], float]) -> Measured:
    begin = clock()
    work()
    return Measured(begin, clock() - begin)


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
    """The most memory that the session's Java process has held so far; 0 where the system does not tell."""
    process = getattr(spark.sparkContext._gateway, "proc", None)
    status = Path(f"/proc/{process.pid}/status") if process else Path()
    if not status.is_file():
        return 0
    return next((int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")), 0)
