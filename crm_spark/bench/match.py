"""Matching of customers to a large decision table, against reading and writing the same rows, and against a chain of CASE branches.

    python -m crm_spark.bench.match                     1,000 rules over 6 inputs on 1,000,000 customers
    python -m crm_spark.bench.match --rows 1e5 --rules 300

Two tables: `grid`, whose end points leave few enough cells to be painted, and `bits`, whose grid would be too large. The chain is timed on
two samples, a tenth and a half of the customers, and its seconds for all are a straight line through both (`case_chain_rows` says how
many it ran on). It runs without whole-stage code: with it, as Spark has it by default, compiling a thousand branches alone takes more than
half a minute and more memory than this bench has. Record: var/bench/match.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.measure import best_of
from crm_spark.config.decisions import Kind
from crm_spark.decisions.compile import compile_matrix
from crm_spark.decisions.match import match
from crm_spark.decisions.table import Matrix, Rule
from crm_spark.decisions.unary import Between, Equal, OneOf, Test, parse_cell
from crm_spark.session import open_session

LOG = logging.getLogger("crm_spark")
SEED = 7
INPUTS: dict[str, Kind] = {"arpu": "number", "minutes": "number", "share": "number", "tenure": "number", "grade": "string", "segment": "string"}
NUMBERS = tuple(column for column, kind in INPUTS.items() if kind == "number")
WORDS = {"grade": ("high", "mid-high", "mid", "low"), "segment": ("student", "commuter", "traveller", "family", "night owl")}
STEPS = {"grid": 10, "bits": 1000}  # in how many parts the rules cut a number's range
MOST_OF_FLOOR = {"grid": 3.0}  # times reading and writing that a table's matching may take; of bits none is promised
RANGE = 100.0
SAMPLES = (10, 2)  # one customer in so many
WHOLE_STAGE = "spark.sql.codegen.wholeStage"
TESTED = 0.9  # of the inputs by a rule


@dataclass(frozen=True)
class Record:
    """One table at one size."""

    matrix: str
    rows: int
    rules: int
    cells: int
    compile_seconds: float
    seconds: float
    floor_seconds: float
    case_chain_seconds: float
    case_chain_rows: int
    cores: int = os.cpu_count() or 1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write the record; the result is the exit code, 1 if a table takes more than MOST_OF_FLOOR."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    spark = open_session("bench", {"spark.master": "local[*]", "spark.driver.memory": options.memory})
    spark.sparkContext.setLogLevel("OFF")  # that the chain is too long to be compiled is told by pages
    people = _customers(spark, int(options.rows), options.out / "data")
    records = [_measured(spark, people, name, int(options.rules), options.out) for name in STEPS]
    spark.stop()
    (options.out / "match.json").write_text(json.dumps([asdict(r) for r in records], indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(map(told, records)) + "\n")
    return int(any(r.seconds > MOST_OF_FLOOR.get(r.matrix, math.inf) * r.floor_seconds for r in records))


def told(record: Record) -> str:
    """One line: the two ratios that count."""
    return (
        f"{record.matrix}: {record.rules:,} rules on {record.rows:,} customers {record.seconds:.1f} s, {record.seconds / record.floor_seconds:.1f} times "
        f"reading and writing them ({record.floor_seconds:.1f} s); the CASE chain takes {record.case_chain_seconds:.0f} s, "
        f"{record.case_chain_seconds / record.seconds:.0f} times as long (timed on {record.case_chain_rows:,})"
    )


def table(rules: int, steps: int) -> Matrix:
    """A table by chance, the same each time: a rule tests most of the inputs, numbers by a range of a tenth to a third of all."""
    chance = random.Random(SEED)
    made = tuple(Rule(f"r{n}", _tests(chance, steps), {"give": str(n)}) for n in range(rules))
    return Matrix("bench", None, "FIRST", INPUTS, {"give": "text"}, {}, made, Rule("default", {}, {"give": "none"}), "v1", "bench")


def case_chain(matrix: Matrix) -> Column:
    """The rule that fires first, by one branch a rule."""
    branches = (f"WHEN {_condition(rule.tests)} THEN '{rule.name}'" for rule in matrix.rules)
    return F.expr(f"CASE {' '.join(branches)} ELSE 'default' END")


def _tests(chance: random.Random, steps: int) -> dict[str, Test]:
    return {column: parse_cell(_cell(chance, column, steps), kind) for column, kind in INPUTS.items() if chance.random() < TESTED}


def _cell(chance: random.Random, column: str, steps: int) -> str:
    if column in WORDS:
        return ", ".join(chance.sample(WORDS[column], chance.randint(1, 2)))
    width = chance.randint(steps // 10, steps // 3)
    low = chance.randint(0, steps - width)
    return f"[{low * RANGE / steps:g}..{(low + width) * RANGE / steps:g})"


def _customers(spark: SparkSession, rows: int, folder: Path) -> DataFrame:
    """Customers by hash, made once; a twentieth of each value is not there."""
    place = str(folder / f"match-{rows}")
    if not Path(place).exists():
        ids = spark.range(rows, numPartitions=8)
        ids.select(F.sha2(F.col("id").cast("string"), 256).alias("user_id"), *(_value(c).alias(c) for c in INPUTS)).write.format("delta").save(place)
    return spark.read.format("delta").load(place)


def _value(column: str) -> Column:
    spread = F.pmod(F.xxhash64(F.lit(column), "id"), F.lit(100_000))
    words = F.array(*map(F.lit, WORDS.get(column, ())))
    found = F.get(words, (spread % len(WORDS[column])).cast("int")) if column in WORDS else spread / (100_000 / RANGE)
    return F.when(F.pmod(F.xxhash64("id", F.lit(column)), F.lit(20)) > 0, found)


def _measured(spark: SparkSession, people: DataFrame, name: str, rules: int, folder: Path) -> Record:
    matrix, out = table(rules, STEPS[name]), str(folder / "tables" / f"match_{name}")
    begin = time.time()
    compiled = compile_matrix(matrix)
    compile_seconds = time.time() - begin
    LOG.info("%s: %s cells, %s", name, f"{len(compiled.cells):,}", "bits" if compiled.masks else "painted")

    def run() -> None:
        _save(match(people, compiled).select("user_id", F.get("hits", F.lit(0))["rule"].alias("rule")), out)

    def floor() -> None:
        people.write.format("noop").mode("overwrite").save()
        _save(spark.read.format("delta").load(out), f"{out}_again")

    best, least = best_of(run), best_of(floor)
    chain = _chain_seconds(spark, people, matrix, out)
    rows = people.count()
    line = (chain[rows // SAMPLES[1]] - chain[rows // SAMPLES[0]]) / (rows // SAMPLES[1] - rows // SAMPLES[0])
    whole = chain[rows // SAMPLES[1]] + line * (rows - rows // SAMPLES[1])
    compiling, matching, reading, chaining = (round(s, 2) for s in (compile_seconds, best.seconds, least.seconds, whole))
    return Record(name, rows, rules, len(compiled.cells), compiling, matching, reading, chaining, max(chain))


def _chain_seconds(spark: SparkSession, people: DataFrame, matrix: Matrix, out: str) -> Mapping[int, float]:
    """Seconds of the chain by the number of customers; their answers are compared."""
    found = {}
    expected = spark.read.format("delta").load(out)
    for part in (SAMPLES[0], *SAMPLES):  # the first time warms up
        sample = people.limit(people.count() // part).repartition(os.cpu_count() or 1).localCheckpoint()
        spark.conf.set(WHOLE_STAGE, "false")
        begin = time.time()
        _save(sample.select("user_id", case_chain(matrix).alias("rule")), f"{out}_case")
        found[sample.count()] = time.time() - begin
        spark.conf.set(WHOLE_STAGE, "true")
        strange = spark.read.format("delta").load(f"{out}_case").exceptAll(expected).count()
        if strange:
            raise AssertionError(f"{strange:,} customers have another rule by the chain")
    return found


def _condition(tests: Mapping[str, Test]) -> str:
    return " AND ".join(_matched(column, test) for column, test in tests.items()) or "true"


def _matched(column: str, test: Test) -> str:
    if isinstance(test, Between):
        return f"{column} >= {test.low}D AND {column} < {test.high}D"
    words = test.tests if isinstance(test, OneOf) else (test,)
    return f"{column} IN ({', '.join(repr(one.value) for one in words if isinstance(one, Equal))})"


def _save(rows: DataFrame, path: str) -> None:
    rows.write.format("delta").mode("overwrite").save(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench.match", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e6, help="customers (default: 1e6)")
    parser.add_argument("--rules", type=float, default=1000, help="rules of a table (default: 1000)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the record and the data (default: var/bench)")
    parser.add_argument("--memory", default="6g", help="Java's memory (default: 6g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
