"""The champion search over any table: clean, encode, derive, fit, average and calibrate, all chosen on validation, judged once on the hold-out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.ml.regression import DecisionTreeRegressionModel, IsotonicRegression, RandomForestRegressionModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.table_models import TableSpec
from crm_spark.frames import literal_frame
from crm_spark.learning import groups as g
from crm_spark.learning import measures as m
from crm_spark.learning.calibrate import Calibration, calibration_of, sampling_shift
from crm_spark.learning.checks import failing_groups_named, refuse_bad_groups
from crm_spark.learning.derive import Feature, derived_features, own_features
from crm_spark.learning.drivers import Explainer, explainer, importances
from crm_spark.learning.encode import RAREST, Encoding, encodings, filled_statement, indexer, learning_statement, scoring_statement
from crm_spark.learning.members import LINE, TREES, Member, Recipe, fit, quick_recipe, recipes
from crm_spark.learning.sample import Sample, sampled
from crm_spark.learning.single import single_aucs
from crm_spark.learning.split import HOLD_OUT, TRAIN, VALIDATION
from crm_spark.learning.table import FOLD, KEY, LABEL, PART, REPEATED, TIME, Columns, clean_statement, labelled, positive_of, profiled, quoted
from crm_spark.learning.trainer import UntrainableError
from crm_spark.learning.vectors import line_words, vectors
from crm_spark.learning.xgb import refuse_if_absent

if TYPE_CHECKING:
    from crm_spark.learning.members import FittedModel

RAW, SCORE = "_raw_score", "_score"
Tell = Callable[[str], None]
_KEPT_DERIVED = 20
_MOST_AVERAGED = 3
_SEEDS = 3
_PER_MEMBER = 0.0003  # of AUC that a further member must bring
_REFIT_SHARE = 0.5  # of the budget goes to the search; refitting what was chosen takes about as long
_EVEN, _LEAST_GRADE = 50.0, 0.01  # the score of who is as likely as not, and the least at which a grade may begin


@dataclass(frozen=True)
class Tried:
    """A recipe fitted, its AUC on validation with the standard error of that, and the seconds of the fit."""

    recipe: Recipe
    model: FittedModel
    validation: float
    error: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """A judged champion: `pipeline` scores raw rows of the table. `metrics` are of the hold-out, at its natural rate, and the shares of rows kept; `alone`
    is the AUC of each feature by itself among the rows to learn from; `judged_since` the least time of the hold-out, if it was parted by time. `spec`
    says which value of the label is asked for, and from which score a grade begins."""

    spec: TableSpec
    pipeline: PipelineModel
    members: tuple[Member, ...]
    features: tuple[Feature, ...]
    columns: Columns
    tried: tuple[Tried, ...]
    validation: float
    calibration: Calibration
    metrics: Mapping[str, float]
    hold_out: m.ScoreTable
    groups: tuple[g.Group, ...]
    sizes: Mapping[str, tuple[int, int]]
    explainer: Explainer
    importances: Mapping[str, float]
    alone: Mapping[str, float]
    readable: DecisionTreeRegressionModel | None
    judged_since: float | None
    rows: DataFrame
    inputs: T.StructType


@dataclass(frozen=True)
class _Ground:
    """The sample as numbers: `rows` has key, part, fold, label and every clean and encoded column."""

    rows: DataFrame
    columns: Columns
    found: tuple[Encoding, ...]
    learnt: int

    @property
    def own(self) -> list[Feature]:
        return own_features(self.columns, {e.id: e.source.column for e in self.found})


class _Budget:
    def __init__(self, minutes: float, tell: Tell) -> None:
        self._start, self._seconds, self._tell = time.monotonic(), minutes * 60, tell

    @property
    def used(self) -> float:
        """Share of the budget, from 0; above 1 it is overdrawn."""
        return (time.monotonic() - self._start) / self._seconds

    def carries(self, seconds: float) -> bool:
        """True if a fit of so many seconds still leaves time to refit."""
        return self.used + seconds / self._seconds <= _REFIT_SHARE

    def tell(self, what: str) -> None:
        self._tell(f"{time.monotonic() - self._start:6.0f} s, {min(self.used, 9.99):4.0%} of the budget: {what}")


def fit_table(table: DataFrame, spec: TableSpec, tell: Tell) -> Fitted:
    """The champion for a raw table. UntrainableError where there is nothing to learn; ConfigError for a spec that does not fit the table."""
    budget = _Budget(spec.budget_minutes, tell)
    if "xgboost" in spec.algorithms:
        refuse_if_absent(spec.name)
    refuse_bad_groups(table, spec.groups, spec.key, spec.name)
    known = labelled(table, spec)
    spec = replace(spec, label=replace(spec.label, positive=positive_of(known)))
    with failing_groups_named(known, spec.groups, spec.name):
        taken = sampled(known.withColumn(g.MEMBER_OF, g.member_of(spec.groups)), spec, len(table.columns))
        rows, positives = taken.learnt
        spec = spec if spec.grades else replace(spec, grades=_grades(positives, rows, spec.negatives_kept))
        budget.tell(f"{taken.all_rows:,} rows with a label, {positives:,} of those to learn from have {spec.label.column} = {spec.label.positive}")
        with _held(taken.rows) as kept:
            return _searched(replace(taken, rows=kept), spec, budget)


def auc_on_the_same_rows(fitted: Fitted, champion: PipelineModel) -> float:
    """AUC of another champion of the same table on the rows that judged this one."""
    scored = champion.transform(fitted.rows.where(F.col(PART) == HOLD_OUT)).select(LABEL, F.lit(_RANKED).alias("group"), F.col(RAW).alias("p"))
    return m.auc(_tables(scored, "group")[_RANKED])


def _searched(taken: Sample, spec: TableSpec, budget: _Budget) -> Fitted:
    rows = taken.rows
    columns, found, clean = _understood(taken, spec, budget)
    shift = sampling_shift(spec.negatives_kept * taken.shares[1] / taken.shares[0])
    with _held(_encoded(clean, found)) as encoded:
        ground = _Ground(encoded, columns, found, taken.sizes[TRAIN][0])
        features, tried = _chosen_features(ground, spec, budget)
        line = [*ground.own, *features[len(ground.own) :]]
        stages = vectors(features, line, columns.profiles)
        with _held(_through(stages, encoded).select(*_OWN, TREES, LINE)) as frame:
            members, more = _tried(ground, frame, spec, budget, tried)
            chosen, validation, calibration = _best_average(members, frame, budget)
            final = _refitted(chosen, frame, spec, budget)
            explained = explainer(final, [f.words for f in features], line_words(line, columns.profiles), calibration, shift, frame)
            drivers = importances(frame, explained)
            alone = single_aucs(frame, LABEL, TREES, [f.words for f in features])
    of_members = [stage for member in final for stage in member.stages]
    pipeline = PipelineModel(stages=[*_preparation(columns, found), *stages, *of_members, *_combined(final, calibration, shift, rows)])
    metrics, hold_out, groups = _judged(pipeline.transform(rows.where(F.col(PART) == HOLD_OUT)), spec.negatives_kept)
    metrics |= dict(zip(_KEPT, taken.shares, strict=True))
    budget.tell(f"hold-out: AUC {metrics['test_auc']:.4f}, lift at 10 % {metrics['test_lift_10']:.2f}, calibration error {metrics['test_calibration_error']:.4f}")
    return Fitted(
        spec=spec, pipeline=pipeline, members=tuple(final), features=tuple(features), columns=columns, tried=(*tried, *more),
        validation=validation, calibration=calibration, metrics=metrics, hold_out=hold_out, groups=groups, sizes=taken.sizes, explainer=explained,
        importances=drivers, alone=alone, rows=rows,
        readable=next((t.model for t in more if isinstance(t.model, DecisionTreeRegressionModel)), None),
        judged_since=rows.where(F.col(PART) == HOLD_OUT).agg(F.min(TIME)).collect()[0][0],
        inputs=rows.select(*[quoted(s.column) for s in columns.sources]).schema,
    )  # fmt: skip


def _understood(taken: Sample, spec: TableSpec, budget: _Budget) -> tuple[Columns, tuple[Encoding, ...], DataFrame]:
    """What can be learnt from, how texts become numbers, and the sample's clean columns."""
    learnt = taken.rows.where(F.col(PART) != HOLD_OUT)
    columns = profiled(learnt.drop(g.MEMBER_OF), spec, learnt.count(), taken.all_rows)
    if not columns.sources:
        raise UntrainableError("no column of the table varies in training")
    budget.tell(f"{len(columns.numbers)} numbers and {len(columns.texts)} texts can be learnt from, {len(columns.dropped)} columns cannot")
    for column in (c for c, why in columns.dropped.items() if why == REPEATED):
        budget.tell(f"'{column}' is {REPEATED}")
    clean = SQLTransformer(statement=clean_statement(columns)).transform(taken.rows).select(*_OWN, *[s.id for s in columns.sources])
    found = tuple(encodings(clean.where(F.col(PART) != HOLD_OUT), columns.texts)) if columns.texts else ()
    lost = {s.column: f"no level is held by {RAREST} rows" for s in columns.texts if s not in [e.source for e in found]}
    if not (columns.numbers or found):
        raise UntrainableError(f"no number of the table varies in training, and no level of a text is held by {RAREST} rows")
    return replace(columns, dropped={**columns.dropped, **lost}), found, clean


_OWN = (KEY, PART, FOLD, LABEL)
_RANKED, _TOLD = "ranked", "told"
_KEPT = ("kept_with_label", "kept_without_label", "kept_of_hold_out")


def _grades(positives: int, rows: int, negatives_kept: float) -> dict[str, float]:
    """Likely is who is twice as likely as the mean, or more likely than not."""
    rate = positives / (positives + (rows - positives) / negatives_kept)
    return {"likely": min(_EVEN, max(_LEAST_GRADE, round(2 * 100 * rate, 2))), "unlikely": 0.0}


def _preparation(columns: Columns, found: Sequence[Encoding]) -> list[Transformer]:
    stages: list[Transformer] = [SQLTransformer(statement=clean_statement(columns))]
    if found:
        stages += [SQLTransformer(statement=filled_statement(found)), indexer(found), SQLTransformer(statement=scoring_statement(found))]
    return stages


def _encoded(clean: DataFrame, found: Sequence[Encoding]) -> DataFrame:
    """Learning rows by the other folds, hold-out rows are not here to be learnt from."""
    learnt = clean.where(F.col(PART) != HOLD_OUT)
    if not found:
        return learnt
    stages = [SQLTransformer(statement=filled_statement(found)), indexer(found), SQLTransformer(statement=learning_statement(found))]
    kept = [c for c in learnt.columns if c not in {e.source.id for e in found}]
    return _through(stages, learnt).select(*kept, *[c for e in found for c in (e.source.id, e.level, e.id)])


def _chosen_features(ground: _Ground, spec: TableSpec, budget: _Budget) -> tuple[list[Feature], list[Tried]]:
    """The columns themselves, with the derived ones that a few trees use most, if with them these trees are no worse on validation."""
    recipe = quick_recipe(ground.learnt)
    plain, raw = _quick(ground, ground.own, recipe, spec, budget)
    candidates = derived_features(ground.columns, [f.id for f in plain], ground.found)
    if not candidates or not budget.carries(2 * raw.seconds):
        return ground.own, [raw]
    used, _ = _quick(ground, [*ground.own, *candidates], recipe, spec, budget)
    kept = [f for f in used if f in candidates][:_KEPT_DERIVED]
    if not kept:
        return ground.own, [raw]
    _, richer = _quick(ground, [*ground.own, *kept], recipe, spec, budget)
    budget.tell(f"{len(kept)} of {len(candidates)} derived features: AUC on validation {raw.validation:.4f} without, {richer.validation:.4f} with them")
    better = richer.validation >= raw.validation
    return ([*ground.own, *kept], [raw, richer]) if better else (ground.own, [raw, richer])


def _quick(ground: _Ground, features: Sequence[Feature], recipe: Recipe, spec: TableSpec, budget: _Budget) -> tuple[list[Feature], Tried]:
    """The features that the recipe's trees use, the most useful first, and how good they are."""
    start = time.monotonic()
    stages = vectors(features, [], ground.columns.profiles)
    frame = _through(stages, ground.rows).select(*_OWN, TREES)
    with _held(frame) as kept:
        member = fit(recipe, kept.where(F.col(PART) == TRAIN).select(LABEL, TREES), 0, spec.seed)
        found = _judged_member(member, kept.where(F.col(PART) == VALIDATION), start)
    assert isinstance(member.model, RandomForestRegressionModel)
    gains = member.model.featureImportances.toArray()
    return [f for gain, f in sorted(zip(gains, features, strict=True), key=lambda pair: -pair[0]) if gain > 0], found


def _tried(ground: _Ground, frame: DataFrame, spec: TableSpec, budget: _Budget, quick: Sequence[Tried]) -> tuple[list[Member], list[Tried]]:
    members: list[Member] = []
    tried: list[Tried] = []
    train, validation = frame.where(F.col(PART) == TRAIN), frame.where(F.col(PART) == VALIDATION)
    for recipe in recipes(spec.algorithms, ground.learnt, spec.boosting_rounds):
        if members and not budget.carries(_expected(recipe, [*quick, *tried])):
            budget.tell(f"{recipe.name} left out: no time")
            continue
        start = time.monotonic()
        member = fit(recipe, train.select(LABEL, TREES, LINE), len(members), spec.seed)
        members.append(member)
        tried.append(_judged_member(member, validation, start))
        budget.tell(f"{recipe.name}: AUC on validation {tried[-1].validation:.4f}, {tried[-1].seconds:.0f} s")
    return members, tried


def _expected(recipe: Recipe, tried: Sequence[Tried]) -> float:
    """Seconds that a fit may take: as long as the longest of its algorithm, else as the shortest of all."""
    return max((t.seconds for t in tried if t.recipe.algorithm == recipe.algorithm), default=min(t.seconds for t in tried))


def _best_average(members: Sequence[Member], frame: DataFrame, budget: _Budget) -> tuple[list[Member], float, Calibration]:
    """The members whose mean log-odds rank best on validation, and how their mean is calibrated there."""
    scored = _through([s for member in members for s in member.stages], frame.where(F.col(PART) == VALIDATION))
    half = F.pmod(F.xxhash64(F.lit("half"), F.col(KEY)), F.lit(2)).cast("string").alias("half")
    with _held(scored.select(LABEL, half, *[member.log_odds for member in members])) as rows:
        groups = [list(g) for n in range(1, _MOST_AVERAGED + 1) for g in itertools.combinations(members, n)]
        means = F.explode(F.array(*[F.struct(F.lit(str(i)).alias("group"), _share(g).alias("p")) for i, g in enumerate(groups)])).alias("mean")
        tables = _tables(rows.select(LABEL, means).select(LABEL, "mean.*"), "group")
        aucs = {i: m.measures(tables[str(i)])["auc"] for i in range(len(groups))}
        best = max(aucs, key=lambda i: (aucs[i] - _PER_MEMBER * len(groups[i]), -i))
        calibration = calibration_of(_tables(rows.select(LABEL, "half", _share(groups[best]).alias("p")), "half"))
    names = " and ".join(member.recipe.name for member in groups[best])
    budget.tell(f"chosen: {names}, AUC on validation {aucs[best]:.4f}, calibration {calibration.kind}")
    return groups[best], aucs[best], calibration


def _refitted(chosen: Sequence[Member], frame: DataFrame, spec: TableSpec, budget: _Budget) -> list[Member]:
    """What was chosen, fitted once more on the validation rows too, from several seeds, as far as the budget goes: less is left to luck."""
    if budget.used > 1:
        return list(chosen)
    final: list[Member] = []
    names = " and ".join(member.recipe.name for member in chosen)
    for turn in range(_SEEDS):
        before = budget.used
        final += [fit(member.recipe, frame.select(LABEL, TREES, LINE), 100 + len(chosen) * turn + i, spec.seed + turn) for i, member in enumerate(chosen)]
        budget.tell(f"{names} fitted to validation rows too, {turn + 1} of {_SEEDS}")
        if 2 * budget.used - before > 1:
            break
    return final


def _combined(final: Sequence[Member], calibration: Calibration, shift: float, sample: DataFrame) -> list[Transformer]:
    """Stages from the members' log-odds to RAW, by which to rank, and the calibrated SCORE, `probability` and `prediction`."""
    raw = f"({' + '.join(member.log_odds for member in final)}) / {len(final)}"
    stages: list[Transformer] = [SQLTransformer(statement=f"SELECT *, {raw} AS _raw_log_odds, 1 / (1 + exp(-({raw}))) AS {RAW} FROM __THIS__")]
    log_odds = f"{calibration.slope!r}D * _raw_log_odds + {calibration.offset!r}D"
    if calibration.kind == "isotonic":
        points = literal_frame(sample.sparkSession, list(zip(calibration.raw, calibration.calibrated, strict=True)), f"{RAW} double, share double")
        curve = IsotonicRegression(featuresCol=RAW, labelCol="share").fit(points)
        stages.append(curve.setPredictionCol("_curve"))
        log_odds = "ln(_curve / (1 - _curve))"
    shifted = f"SELECT *, {log_odds} + {shift!r}D AS _log_odds FROM __THIS__"
    scores = f"SELECT *, 1 / (1 + exp(-_log_odds)) AS {SCORE}, 1 / (1 + exp(_log_odds)) AS _not, IF(_log_odds > 0, 1D, 0D) AS prediction FROM __THIS__"
    return [*stages, SQLTransformer(statement=shifted), SQLTransformer(statement=scores), VectorAssembler(inputCols=["_not", SCORE], outputCol="probability")]


def _judged(scored: DataFrame, negatives_kept: float) -> tuple[dict[str, float], m.ScoreTable, tuple[g.Group, ...]]:
    """Measures of the hold-out and of its groups, as if no negatives had been left out: ranked by the raw score, calibrated by the score."""
    both = F.array(_counted(g.PART, F.lit(_RANKED), RAW), _counted(g.PART, F.lit(_TOLD), SCORE))
    grouped = F.transform(g.MEMBER_OF, lambda one: F.struct(one["by"].alias("by"), one["level"].alias("level"), F.col(SCORE).alias("score")))
    found = g.counted(scored.select(F.col(LABEL).alias("label"), F.explode(F.concat(both, grouped)).alias("one")).select("label", "one.*"))
    tables = {by: {level: _natural(table, negatives_kept) for level, table in levels.items()} for by, levels in found.items()}
    ranked, told = (tables[g.PART][name] for name in (_RANKED, _TOLD))
    calibrated = {name: value for name, value in m.measures(told).items() if name.startswith("calibration")}
    return m.with_prefix("test", m.measures(ranked) | calibrated), told, g.judged_groups(tables)


def _counted(by: str, level: Column, score: str) -> Column:
    return F.struct(F.lit(by).alias("by"), level.alias("level"), F.col(score).alias("score"))


def _natural(table: m.ScoreTable, negatives_kept: float) -> m.ScoreTable:
    return m.score_table(table.score, table.positives + (table.customers - table.positives) / negatives_kept, table.positives)


def _share(members: Sequence[Member]) -> Column:
    mean = F.expr(f"({' + '.join(member.log_odds for member in members)}) / {len(members)}")
    return 1 / (1 + F.exp(-mean))


def _judged_member(member: Member, validation: DataFrame, start: float) -> Tried:
    rows = _through(member.stages, validation).select(LABEL, F.lit("all").alias("group"), _share([member]).alias("p"))
    table = _tables(rows, "group")["all"]
    return Tried(member.recipe, member.model, m.measures(table)["auc"], m.auc_error(table), time.monotonic() - start)


def _tables(rows: DataFrame, by: str) -> dict[str, m.ScoreTable]:
    """Score tables of a plain column `p`."""
    counts = rows.groupBy(by, F.round("p", m.SCORE_DIGITS).alias("score")).agg(F.count(F.lit(1)).alias("customers"), F.sum(LABEL).alias("positives")).toPandas()
    return {str(name): m.score_table(*(own[c].to_numpy() for c in ("score", "customers", "positives"))) for name, own in counts.groupby(by, sort=True)}


def _through(stages: Sequence[Transformer], rows: DataFrame) -> DataFrame:
    return PipelineModel(stages=list(stages)).transform(rows)


@contextmanager
def _held(frame: DataFrame) -> Iterator[DataFrame]:
    """The frame kept at hand while it is read again and again."""
    kept = frame.persist()
    try:
        yield kept
    finally:
        kept.unpersist()
