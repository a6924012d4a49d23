"""Models: one fit against the same MLlib estimator called bare on the same vectors, and all models' scores in one pass over the view.

    python -m crm_spark.bench.models                         100,000 customers to learn from, 1,000,000 to score by nine models
    python -m crm_spark.bench.models --sizes 1e5 --models 3

`fit` is one point of one algorithm, without search, encodings and calibration; its floor is the bare estimator. `train` is the trainer's
whole way with that point: choosing features, vectors, fit, judging, drivers. `score` reads a view of COLUMNS numbers once for all models,
drivers in words included; its floor reads the same columns and writes the scores. Record: var/bench/models.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pyspark.ml.classification import GBTClassifier
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.bench.measure import best_of, peak_mb
from crm_spark.config.models import Algorithm, Features, Gate, Label, ModelSpec, Windows
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.learning.split import TRAIN
from crm_spark.learning.trainer import Prepared, Trained, fit_point, needed_columns, prepare, train
from crm_spark.learning.windows import LABEL_VALUE
from crm_spark.session import open_session

LOG = logging.getLogger("crm_spark")
COLUMNS = 60
LEARNING = 100_000
MOST_OF_BARE = 1.3  # times MLlib's own fit that ours may take
POINT = {"maxIter": 20, "maxDepth": 4, "stepSize": 0.1, "subsamplingRate": 0.8, "minInstancesPerNode": 20}
SPEC = ModelSpec(
    name="leaves",
    question="Will it leave?",
    population="c0 IS NOT NULL",
    label=Label("left", value="bool_or(NOT p.present)"),
    windows=Windows(1, 0, 1),
    algorithms=(Algorithm("gbt", {name: (float(value),) for name, value in POINT.items()}),),
    grades={"default": {"high": 50.0, "low": 0.0}},
    gate=Gate(0.5, 1.0, 1.0),
    features=Features(include=tuple(f"c{i}" for i in range(COLUMNS))),
    groups={},
)


@dataclass(frozen=True)
class Record:
    """One stage at one size."""

    stage: str
    rows: int
    models: int
    seconds: float
    floor_seconds: float
    peak_mb: int
    cores: int = os.cpu_count() or 1

    def __str__(self) -> str:
        each = f"{self.rows * self.models / self.seconds / self.cores:,.0f} scores a second and core" if self.stage == "score" else f"{self.models} model"
        return f"{self.stage:6} {self.rows:>10,} rows {self.seconds:7.1f} s, {self.seconds / self.floor_seconds:.2f} times {self.floor_seconds:.1f} s; {each}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write the record; the result is the exit code, 1 if a fit takes more than MOST_OF_BARE."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    spark = open_session("bench", {"spark.master": "local[*]", "spark.driver.memory": options.memory})
    learnt, trained = _learning(spark, _view(spark, LEARNING, options.out / "data"))
    scored = [_scoring(spark, trained, int(size), options.models, options.out) for size in options.sizes]
    records = [*learnt, *scored]
    spark.stop()
    (options.out / "models.json").write_text(json.dumps([asdict(r) for r in records], indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(map(str, records)) + "\n")
    return int(any(r.stage == "fit" and r.seconds > MOST_OF_BARE * r.floor_seconds for r in records))


def _learning(spark: SparkSession, view: DataFrame) -> tuple[list[Record], Trained]:
    """The records of one fit and of the trainer's whole way, and what it trained."""
    rows = needed_columns(SPEC, view.withColumn(LABEL_VALUE, _label())).persist()
    rows.count()
    begin = time.time()
    trained = train(_kept(prepare(SPEC, rows)))
    whole = time.time() - begin
    prepared = _kept(prepare(SPEC, rows))
    vectors = prepared.frame.where(F.col("part") == TRAIN).select("label", "features").persist()
    count = vectors.count()
    bare = GBTClassifier(featuresCol="features", labelCol="label", seed=SPEC.seed, **POINT)  # type: ignore[arg-type]

    def alone() -> None:
        bare.fit(vectors)

    def ours() -> None:
        fit_point(prepared, "gbt", SPEC.algorithms[0].points[0], (TRAIN,))

    least, best = best_of(alone), best_of(ours)
    vectors.unpersist()
    prepared.frame.unpersist()
    rows.unpersist()
    told = [Record(stage, count, 1, round(s, 2), round(least.seconds, 2), peak_mb(spark)) for stage, s in (("fit", best.seconds), ("train", whole))]
    return told, trained


def _kept(prepared: Prepared) -> Prepared:
    """As the training job does: each candidate is fitted on it."""
    return replace(prepared, frame=prepared.frame.persist())


def _scoring(spark: SparkSession, trained: Trained, size: int, models: int, folder: Path) -> Record:
    view, out = _view(spark, size, folder / "data"), str(folder / "tables" / "model_scores")
    scorers = [Scorer(replace(SPEC, name=f"leaves_{i}"), trained.pipeline, "1", trained.drivers) for i in range(models)]
    LOG.info("%s customers by %d models", f"{size:,}", models)

    def run() -> None:
        model_scores(view, scorers).write.format("delta").mode("overwrite").save(out)

    def floor() -> None:
        view.write.format("noop").mode("overwrite").save()
        spark.read.format("delta").load(out).write.format("delta").mode("overwrite").save(f"{out}_again")

    best, least = best_of(run, rounds=1), best_of(floor, rounds=1)
    return Record("score", size, models, round(best.seconds, 2), round(least.seconds, 2), peak_mb(spark))


def _view(spark: SparkSession, size: int, folder: Path) -> DataFrame:
    """Customers by hash, made once: COLUMNS numbers, a twentieth of each not there."""
    place = str(folder / f"models-{size}")
    if not Path(place).exists():
        ids = spark.range(size, numPartitions=max(2, size // 50_000))
        numbers = (F.when(F.pmod(F.xxhash64("id", F.lit(-i - 1)), F.lit(20)) > 0, F.pmod(F.xxhash64(F.lit(i), "id"), F.lit(1000)) / 10) for i in range(COLUMNS))
        keys = (
            F.lit("A").alias("city"), F.lit("2025-01").alias("month"), F.sha2(F.col("id").cast("string"), 256).alias("user_id"),
            F.pmod(F.xxhash64("id"), F.lit(100)).cast("int").alias("split_bucket"),
        )  # fmt: skip
        ids.select(*keys, *(n.alias(f"c{i}") for i, n in enumerate(numbers))).write.format("delta").save(place)
    return spark.read.format("delta").load(place)


def _label() -> Column:
    """Whoever has much of the first three columns leaves more often."""
    pull = sum((F.coalesce(f"c{i}", F.lit(50.0)) for i in range(3)), F.lit(0.0)) / 300
    return (F.pmod(F.xxhash64("user_id"), F.lit(1000)) / 1000 < pull * pull).cast("double")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench.models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e6], help="customers to score (default: 1e6)")
    parser.add_argument("--models", type=int, default=9, help="models that score (default: 9)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the record and the data (default: var/bench)")
    parser.add_argument("--memory", default="6g", help="Java's memory (default: 6g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
