"""One offer each within capacities, at several sizes: seconds, passes, and how far from the best possible at most.

    python -m crm_spark.bench.capacity --sizes 1e5 1e6

Every customer may have each of the candidates, at a value of its own; there is room for about two customers in three. Each policy has a cap,
so has each channel in each of eleven cities, and there is a budget. Record: var/bench/capacity.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.measure import peak_mb
from crm_spark.decisions.allocation import allocate
from crm_spark.decisions.capacity import Customers, allotted
from crm_spark.decisions.prices import Capacities, Family
from crm_spark.session import open_session

LOG = logging.getLogger("crm_spark")
CITIES, CHANNELS = 11, 5
CUSTOMERS_A_PARTITION = 25_000


@dataclass(frozen=True)
class Record:
    """One size: seconds of making and keeping the candidates, of the allocation, and of telling each customer."""

    customers: int
    candidates: int
    cores: int
    making_seconds: float
    seconds: float
    telling_seconds: float
    passes: int
    gap: float
    offers: int
    exceeded: int
    peak_mb: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write the record; the result is the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    spark = open_session("bench capacity", {"spark.master": "local[*]", "spark.driver.memory": options.memory})
    records = [measured(spark, int(size), options.candidates) for size in options.sizes]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "capacity.json").write_text(json.dumps([asdict(r) for r in records], indent=1) + "\n", encoding="utf-8")
    for r in records:
        sys.stdout.write(
            f"{r.customers:,} x {r.candidates}: {r.seconds:.0f} s on {r.cores} cores, {r.passes} passes, at most {r.gap:.3%} below the best, "
            f"{r.offers:,} offers, {r.exceeded} capacities exceeded, {r.peak_mb:,} MB of Java\n"
        )
    return 1 if any(r.exceeded for r in records) else 0


def measured(spark: SparkSession, customers: int, candidates: int) -> Record:
    """One size."""
    begin = time.monotonic()
    frame = population(spark, customers, candidates).persist(StorageLevel.MEMORY_AND_DISK)
    frame.count()
    made = time.monotonic()
    limits = capacities(customers, candidates)
    allocation = allocate(Customers(frame), limits)
    done = time.monotonic()
    told = allotted(frame, allocation).agg(F.count("chosen")).first()
    end = time.monotonic()
    frame.unpersist()
    assert told is not None and told[0] == allocation.offers
    exceeded = int((allocation.used > limits.most).sum())
    seconds = (round(made - begin, 1), round(done - made, 1), round(end - done, 1))
    return Record(customers, candidates, os.cpu_count() or 1, *seconds, allocation.passes, allocation.gap, allocation.offers, exceeded, peak_mb(spark))


def population(spark: SparkSession, customers: int, candidates: int) -> DataFrame:
    """Customers in cities, each with a value of its own for every policy; the policy's place tells its channel."""
    key = F.col("id").cast("string")
    city = F.pmod(F.xxhash64(F.lit("city"), key), F.lit(CITIES)).cast("int")
    options = F.transform(F.sequence(F.lit(0), F.lit(candidates - 1)), lambda i: (city * candidates + i).cast("int"))

    spend = F.transform("options", lambda o: F.lit(0.1) + F.pmod(o, F.lit(CHANNELS)) * 0.4)
    rows = spark.range(0, customers, 1, max(2, customers // CUSTOMERS_A_PARTITION)).select(key.alias("customer"), options.alias("options"))
    return rows.withColumns({"values": F.transform("options", _value), "spends": spend})


def capacities(customers: int, candidates: int) -> Capacities:
    """A cap per policy, one per city and channel, and a budget."""
    every = np.arange(CITIES * candidates)
    city, policy = every // candidates, every % candidates
    draw = np.random.default_rng(7)
    of_policy = np.round(draw.uniform(0.2, 1.5, candidates) * customers / candidates * 0.8)
    of_channel = np.round(draw.uniform(0.5, 1.5, CITIES * CHANNELS) * customers / CITIES / CHANNELS * 0.8)
    return Capacities(
        (
            Family(policy, np.zeros(candidates), of_policy),
            Family(city * CHANNELS + policy % CHANNELS, np.zeros(len(of_channel)), of_channel),
            Family(np.zeros(len(every), dtype=np.int64), np.zeros(1), np.array([customers * 0.6]), in_yuan=True),
        )
    )


def _value(option: Column) -> Column:
    drawn = F.pmod(F.xxhash64("customer", option), F.lit(1 << 30)).cast("double") / F.lit(float(1 << 30))
    return drawn * (F.lit(1.0) + F.pmod(option, F.lit(7)) / 4)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e6], help="customers (default: 1e6)")
    parser.add_argument("--candidates", type=int, default=50, help="candidates of each (default: 50)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the record (default: var/bench)")
    parser.add_argument("--memory", default="6g", help="Java's memory (default: 6g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
