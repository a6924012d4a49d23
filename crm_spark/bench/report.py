"""What was measured, for people: a table, how time grows, how it compares with the last release, a chart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from crm_spark.bench.stage import Record


def table(records: Sequence[Record]) -> Iterator[str]:
    """One line per record, and one more where DuckDB did the same."""
    yield f"{'stage':<46} subscribers      rows in   rows out  seconds    floor  ratio  rows/s/core  read MB  written MB  shuffle MB  spill MB  peak MB"
    for r in records:
        rate = r.rows_in / r.seconds / r.cores
        yield (
            f"{r.stage:<46} {r.size:>11,} {r.rows_in:>12,} {r.rows_out:>10,} {r.seconds:>8.2f} {r.floor_seconds:>8.2f} {ratio(r):>6.2f} "
            f"{rate:>12,.0f} {r.read_bytes / 1e6:>8.1f} {r.written_bytes / 1e6:>11.1f} {r.shuffle_bytes / 1e6:>11.1f} {r.spill_bytes / 1e6:>9.1f} {r.peak_mb:>8,}"
        )
        if r.duckdb_seconds is not None:
            told = f"the stage takes {r.seconds / r.duckdb_seconds:.2f} times that; digests are {'equal' if r.equals_duckdb else 'NOT EQUAL'}"
            yield f"{'  in DuckDB':<46} {r.size:>11,} {'':>23} {r.duckdb_seconds:>8.2f}  {told}"


def short_table(records: Sequence[Record]) -> Iterator[str]:
    """What the README shows of a release."""
    yield "stage              subscribers     calls  seconds  floor  to the floor  DuckDB  to DuckDB  rows"
    for r in records:
        rows = f"{r.rows_in / 1e6:.1f} M" if r.rows_in >= 1e6 else f"{r.rows_in / 1e3:.0f} k"
        line = f"{r.stage:<17} {r.size:>12,} {rows:>9} {r.seconds:>8.1f} {r.floor_seconds:>6.1f} {ratio(r):>12.1f}"
        if r.duckdb_seconds is not None:
            line += f" {r.duckdb_seconds:>9.1f} {r.seconds / r.duckdb_seconds:>10.1f}  {'equal' if r.equals_duckdb else 'NOT EQUAL'}"
        yield line


def ratio(record: Record) -> float:
    """Times the floor."""
    return record.seconds / record.floor_seconds


def growth(records: Sequence[Record]) -> Iterator[str]:
    """From each size to the next of a stage: the exponent of time, and what a million further rows take once the fixed part is paid."""
    for small, large in _steps(records):
        per_million = (large.seconds - small.seconds) / (large.rows_in - small.rows_in) * 1e6
        fixed = max(0.0, small.seconds - per_million * small.rows_in / 1e6)
        yield (
            f"{small.stage}, {small.size:,} to {large.size:,} subscribers: exponent of time {exponent(small, large):.2f}; "
            f"{fixed:.1f} s and {per_million:.2f} s a million rows"
        )


def steepest(records: Sequence[Record]) -> float:
    """The largest exponent of time from a size to the next of a stage; 0 of one size."""
    return max((exponent(small, large) for small, large in _steps(records)), default=0.0)


def exponent(small: Record, large: Record) -> float:
    """To which power of the rows read the seconds grow."""
    return math.log(large.seconds / small.seconds) / math.log(large.rows_in / small.rows_in)


def _steps(records: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    for name in dict.fromkeys(r.stage for r in records):
        yield from pairwise(r for r in records if r.stage == name)


def unevenness(records: Sequence[Record], stage: str, shapes: Sequence[str]) -> list[tuple[Record, float]]:
    """The records of a stage with uneven input, each with its seconds over those of the even input of the same size."""
    even = {r.size: r.seconds for r in records if r.stage == stage}
    return [(r, r.seconds / even[r.size]) for r in records if r.stage in shapes and r.size in even]


def releases(records: Sequence[Record], released: Sequence[Record]) -> Iterator[str]:
    """Each record's ratio to the floor over that of the last release."""
    before = {(r.stage, r.size): ratio(r) for r in released}
    for r in records:
        if (r.stage, r.size) in before:
            then = before[r.stage, r.size]
            yield f"{r.stage}, {r.size:,} subscribers: {ratio(r):.2f} times the floor, {ratio(r) / then:.2f} of the last release's {then:.2f}"


def as_released(records: Sequence[Record], released: Sequence[Record]) -> list[Record]:
    """The new records in the place of the last release's of the same stage and size, among those that were not measured now."""
    return sorted({(r.stage, r.size): r for r in (*released, *records)}.values(), key=lambda r: (r.stage, r.size))


def chart(records: Sequence[Record], path: Path) -> None:
    """Seconds of each stage and of its floor over the number of rows, both axes in powers of ten."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(r.stage for r in records):
        own = [r for r in records if r.stage == name]
        (line,) = axes.loglog([r.rows_in for r in own], [r.seconds for r in own], marker="o", label=name.replace("_", " "))
        axes.loglog([r.rows_in for r in own], [r.floor_seconds for r in own], linestyle=":", color=line.get_color(), label="... reading and writing only")
    axes.set(xlabel="rows in", ylabel=f"seconds, {records[0].cores} cores", title="Time of the stages")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)
