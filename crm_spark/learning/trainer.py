"""The one trainer: any model spec, from labelled view rows to a judged MLlib pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.models import SEGMENT_COLUMN, Algorithm, ModelSpec, Point, Selection
from crm_spark.errors import CrmError
from crm_spark.learning import groups as g
from crm_spark.learning import measures as m
from crm_spark.learning.calibrate import Calibration, calibration_of, together
from crm_spark.learning.chances import estimator, probability_stages
from crm_spark.learning.expressions import mentioned
from crm_spark.learning.features import FeatureSet, candidate_features, input_columns, learnable_features, preparation_stages
from crm_spark.learning.rules import importances, text_levels, tree_rules
from crm_spark.learning.score_drivers import ScoreDrivers, score_drivers
from crm_spark.learning.single import single_aucs
from crm_spark.learning.split import EARLIER_HOLD_OUT, HOLD_OUT, TRAIN, VALIDATION, Count, Split, choose_split, label_counts, part, tally
from crm_spark.learning.trees import TreeModel
from crm_spark.learning.windows import LABEL_VALUE

_DEFAULT_BINS = 32
CHAMPION_AUC = "champion_auc_same_rows"
_PREPARED_BY = ("month", "user_id", "split_bucket", LABEL_VALUE)
ROWS_PER_PARTITION = 100_000
_HALF = "half"


class UntrainableError(CrmError):
    """There is nothing a model could learn from; the message says why. The run goes on without the model."""


@dataclass(frozen=True)
class Prepared:
    """What is ready to be learnt from: `frame` has `part`, `label` and `features` on a fixed number of partitions, sorted by key, and which `half` of its
    part a row is in; held-out rows tell what they are counted under (`groups.MEMBER_OF`)."""

    spec: ModelSpec
    frame: DataFrame
    stages: tuple[Transformer, ...]
    features: FeatureSet
    inputs: T.StructType
    split: Split
    counts: Mapping[tuple[str, bool], Count]


@dataclass(frozen=True)
class Candidate:
    """One point of one algorithm's grid, fitted on the training part.

    `validation` is its AUC on the validation part and `error` the standard error of that; None where there is none. `halves` are the score tables of
    two halves of that part, which say how to calibrate.
    """

    algorithm: str
    point: Point
    model: TreeModel
    validation: float | None
    error: float | None
    halves: Mapping[str, m.ScoreTable] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A judged model: the pipeline scores raw view rows; `metrics` and `groups` are of the hold-out; `alone` is the AUC of each feature by itself among
    those to learn from; `drivers` tell its scores in words, where they are known. With `calibration` the pipeline's probabilities are what happens as often."""

    prepared: Prepared
    pipeline: PipelineModel
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    metrics: Mapping[str, float]
    hold_out: m.ScoreTable
    importances: Mapping[str, float]
    rules: Mapping[str, str]
    groups: tuple[g.Group, ...]
    alone: Mapping[str, float]
    calibration: Calibration
    drivers: ScoreDrivers | None = None

    @property
    def spec(self) -> ModelSpec:
        """The spec it was trained by."""
        return self.prepared.spec


def needed_columns(spec: ModelSpec, rows: DataFrame) -> DataFrame:
    """Labelled view rows with only the columns that `prepare` may read: it reads them several times, so keep them at hand."""
    read = input_columns(candidate_features(rows.drop(LABEL_VALUE), spec.features), rows)
    kept = {*_PREPARED_BY, *read, *spec.features.exclude}  # a column that is excluded must be there to be known
    return rows.select(*[c for c in rows.columns if c in kept | mentioned(*spec.groups.values())])


def prepare(spec: ModelSpec, rows: DataFrame) -> Prepared:
    """Labelled view rows (see `windows.training_rows`, `needed_columns`) as feature vectors with their part.

    Features are chosen and text levels learnt on non-hold-out rows only. UntrainableError when the label or the hold-out cannot
    carry a model.
    """
    counts = label_counts(rows)
    split = choose_split(spec, counts)
    _refuse_too_little(spec, counts, split)
    known = rows if SEGMENT_COLUMN in rows.columns else rows.withColumn(SEGMENT_COLUMN, F.lit(None).cast("string"))
    parted = known.withColumns({"part": part(split), "label": F.col(LABEL_VALUE)}).where(F.col("part").isNotNull())
    learnt = parted.where(F.col("part").isin(TRAIN, VALIDATION))
    features = learnable_features(learnt, candidate_features(rows.drop(LABEL_VALUE), spec.features))
    if not features.names:
        raise UntrainableError("no column of the view varies in training")
    preparation = Pipeline(stages=preparation_stages(features)).fit(learnt)
    vectors = preparation.transform(parted.withColumn(g.MEMBER_OF, _member_of(spec))).select("user_id", "month", "part", _half(), "label", g.MEMBER_OF, "features")
    frame = vectors.repartition(_partitions(counts), "user_id").sortWithinPartitions("user_id", "month").drop("user_id", "month")
    inputs = rows.select(*input_columns(features, rows)).schema
    return Prepared(spec, frame, tuple(preparation.stages), features, inputs, split, counts)


def train(prepared: Prepared) -> Trained:
    """Fit every point of every algorithm, choose and calibrate on validation, refit if the spec says so, judge once on the hold-out."""
    spec = prepared.spec
    candidates = tuple(_fit_candidate(prepared, a, point) for a in spec.algorithms for point in a.points)
    chosen = choose(candidates, spec.selection)
    model = _refitted(prepared, chosen) if spec.refit else chosen.model
    calibration = _calibration(chosen)
    final = probability_stages(prepared.frame, model, calibration)
    held_out = PipelineModel(stages=final).transform(prepared.frame.where(_is_held_out()))
    tables = g.group_tables(held_out, m.probability(), "label")
    trees = [c.model for c in candidates if c.algorithm == "tree"]
    rules = {name: _rules(prepared, one) for name, one in (*(("tree", t) for t in trees[:1]), (chosen.algorithm, model))}
    pipeline = PipelineModel(stages=[*prepared.stages, *final])
    shares = importances(model, prepared.features.names)
    learnt = _part(prepared, (TRAIN, VALIDATION))
    drivers = score_drivers(model, prepared.features.names, learnt, calibration)
    alone = single_aucs(learnt, "label", "features", prepared.features.names, tuple(prepared.features.categorical))
    parts, groups = tables[g.PART], g.judged_groups(tables)
    metrics = _metrics(chosen, parts)
    return Trained(prepared, pipeline, chosen, candidates, metrics, parts[HOLD_OUT], shares, rules, groups, alone, calibration, drivers)


def choose(candidates: Sequence[Candidate], selection: Selection) -> Candidate:
    """The best point of the first algorithm, unless a later algorithm's best is better on validation beyond chance.

    Beyond chance: by more than `selection.standard_errors` of the difference, taken as if the two scores were independent. A
    coarse score (a tree's few leaves) ties customers, so it must be clearly better to be taken. Without validation the first stays.
    """
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        held = best.setdefault(candidate.algorithm, candidate)
        if _beats(candidate, held, 0.0):
            best[candidate.algorithm] = candidate
    kept, *later = best.values()
    for candidate in later:
        kept = candidate if _beats(candidate, kept, selection.standard_errors) else kept
    return kept


def against_champion(trained: Trained, champion: PipelineModel, rows: DataFrame) -> Trained:
    """With the present champion's AUC on the very customers that judge the newcomer among its metrics. `rows` are the labelled view
    rows that it was prepared from, with the columns that the champion reads."""
    parted = rows.withColumns({"part": part(trained.prepared.split), "label": F.col(LABEL_VALUE)}).where(F.col("part") == HOLD_OUT)
    judged = m.score_tables(champion.transform(parted), "part")[HOLD_OUT]
    return replace(trained, metrics={**trained.metrics, CHAMPION_AUC: m.measures(judged)["auc"]})


def with_costs(trained: Trained, seconds: float, peak: Mapping[str, float]) -> Trained:
    """With what it cost among its metrics: seconds, and the peak of memory in MiB by whose (java, python)."""
    return replace(trained, metrics={**trained.metrics, "cost_seconds": seconds, **{f"cost_peak_{whose}_mib": most for whose, most in peak.items()}})


def _refuse_too_little(spec: ModelSpec, counts: Mapping[tuple[str, bool], Count], split: Split) -> None:
    learnt, judged = tally(counts, split.train_months, held_out=False), tally(counts, split.test_months, held_out=True)
    if not counts:
        raise UntrainableError(f"no labelled customer in its population ({' '.join(spec.population.split())})")
    if learnt.positives in (0, learnt.customers):
        raise UntrainableError(f"the label '{spec.label.name}' is the same for all {learnt.customers:,} customers")
    if learnt.positives < spec.minimum_positives:
        found = f"{learnt.positives} customers with the label '{spec.label.name}'"
        raise UntrainableError(f"{found} to learn from: at least {spec.minimum_positives} are wanted")
    if judged.positives in (0, judged.customers):
        raise UntrainableError(f"the hold-out of {judged.customers:,} customers has only one class")


def _partitions(counts: Mapping[tuple[str, bool], Count]) -> int:
    """By the number of rows alone: trees sample by partition, so the number must not depend on the cluster."""
    return max(2, math.ceil(sum(c.customers for c in counts.values()) / ROWS_PER_PARTITION))


def _fit_candidate(prepared: Prepared, algorithm: Algorithm, point: Point) -> Candidate:
    model = fit_point(prepared, algorithm.name, point, (TRAIN,))
    stages = probability_stages(prepared.frame, model, Calibration())
    scored = PipelineModel(stages=stages).transform(prepared.frame.where(F.col("part") == VALIDATION))
    halves = m.score_tables(scored, _HALF)
    table = together(tuple(halves.values())) if halves else None
    if not (table and table.has_both_classes):
        return Candidate(algorithm.name, point, model, None, None)
    return Candidate(algorithm.name, point, model, m.auc(table), m.auc_error(table), halves)


def _calibration(chosen: Candidate) -> Calibration:
    """Platt's line, if it is clearly better: it ties nobody."""
    return calibration_of(chosen.halves, ("platt",)) if chosen.halves else Calibration()


def _refitted(prepared: Prepared, chosen: Candidate) -> TreeModel:
    return fit_point(prepared, chosen.algorithm, chosen.point, (TRAIN, VALIDATION))


def fit_point(prepared: Prepared, algorithm: str, point: Point, parts: Sequence[str]) -> TreeModel:
    """One algorithm at one point of its grid, fitted on some parts."""
    settings = {**point, "maxBins": _bins(prepared, point)}
    model: TreeModel = estimator(algorithm, prepared.spec.seed, settings).fit(_part(prepared, parts))
    return model


def _bins(prepared: Prepared, point: Point) -> int:
    """No fewer than a text has levels."""
    levels = [len(names) for names in text_levels(prepared.stages).values()]
    return max(int(point.get("maxBins", _DEFAULT_BINS)), *levels, 2)


def _part(prepared: Prepared, parts: Sequence[str]) -> DataFrame:
    return prepared.frame.where(F.col("part").isin(*parts)).select("label", "features")


def _half() -> Column:
    return F.pmod("split_bucket", F.lit(2)).cast("string").alias(_HALF)


def _is_held_out() -> Column:
    return F.col("part").isin(HOLD_OUT, EARLIER_HOLD_OUT)


def _member_of(spec: ModelSpec) -> Column:
    """Its part and month of who is held out, and its groups too of who judges; null of all others."""
    always = F.array(g.member(g.PART, F.col("part")), g.member(g.MONTH, F.col("month")))
    own = F.when(F.col("part") == HOLD_OUT, g.member_of(spec.groups)).otherwise(F.array().cast(g.MEMBERS))
    return F.when(_is_held_out(), F.concat(always, own))


def _metrics(chosen: Candidate, tables: Mapping[str, m.ScoreTable]) -> dict[str, float]:
    found = m.with_prefix("test", m.measures(tables[HOLD_OUT]))
    earlier = tables.get(EARLIER_HOLD_OUT)
    if earlier and earlier.has_both_classes:
        found["earlier_month_auc"] = m.measures(earlier)["auc"]
    return found | ({"validation_auc": chosen.validation} if chosen.validation is not None else {})


def _rules(prepared: Prepared, model: TreeModel) -> str:
    return tree_rules(model, prepared.features.names, text_levels(prepared.stages))


def _beats(candidate: Candidate, held: Candidate, standard_errors: float) -> bool:
    if candidate.validation is None or held.validation is None:
        return False
    chance = standard_errors * math.hypot(candidate.error or 0.0, held.error or 0.0)
    return candidate.validation - held.validation > chance
