"""What drives the scores of the month's models, in words: the leaf in which a customer ends tells what each feature added on the way there.

As in `drivers`, a step in a tree is credited to the feature that was asked, by how the mean of the customers below changes (Saabas, 2014).
What each leaf adds is known when the model is trained, so that scoring only looks it up. The average customer's log-odds and all effects are the score's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.ml.classification import GBTClassificationModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import DecisionTreeRegressionModel
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T
from scipy.special import expit

from crm_spark.learning.calibrate import Calibration, logit
from crm_spark.learning.drivers import stretched
from crm_spark.learning.measures import Numbers
from crm_spark.learning.trees import Places, TreeModel, Trees, trees_of

SCORE_DRIVERS = "score_drivers.json"
SHOWN = 3
RAISED, LOWERED = "raised by", "lowered by"
LEAVES, DRIVERS, _LEAF = "leaves", "drivers", "__leaf"
EXPLAINED = T.StructType(
    [
        T.StructField(DRIVERS, T.ArrayType(T.StringType())),
        T.StructField("effects", T.ArrayType(T.DoubleType())),
        T.StructField("base", T.DoubleType()),
        T.StructField("rest", T.DoubleType()),
    ]
)
_NOTHING = 1e-6
_DIGITS = 6  # of an effect
_OFF = 1e-4  # from the probability: more is not rounding
_TERMS = {"dou": "data volume", "arpu": "ARPU", "vpn": "VPN", "vas": "value-added service", "mb": "(MB)", "yuan": "(yuan)", "3q": "of nine months"}
_SPANS = {"_trend_3m": "trend of {} over three months", "_mean_3m": "mean of {} over three months"}


@dataclass(frozen=True)
class ScoreDrivers:
    """Per driver, by its words, and per tree that asks for it: what it adds in each leaf, leaves from left to right, to the mean answer `average`.

    The answer is half the log-odds of what is `boosted`, else a share; its log-odds times `slope`, and `offset`, are the score's.
    """

    effects: Mapping[str, Mapping[int, tuple[float, ...]]]
    average: float
    boosted: bool
    slope: float = 1.0
    offset: float = 0.0

    def as_json(self) -> str:
        """As text, for `score_drivers_of_json`."""
        told = [{"words": words, "trees": [{"tree": t, "effects": e} for t, e in trees.items()]} for words, trees in self.effects.items()]
        return json.dumps({**asdict(self), "effects": told}, ensure_ascii=False)

    def explained(self, leaves: Places) -> tuple[float, Numbers]:
        """The average customer's log-odds, and what each driver (second axis) adds per row of `leaves` (the leaf in each tree)."""
        total = np.zeros((len(leaves), len(self.effects)))
        for tree, added in self._by_tree.items():
            total += added[leaves[:, tree]]
        base, effects = (2 * self.average, 2 * total) if self.boosted else stretched(self.average, total, logit)
        return self.slope * base + self.offset, self.slope * effects

    @cached_property
    def _by_tree(self) -> dict[int, Numbers]:
        """Per tree, what each leaf (first axis) adds to each driver."""
        found: dict[int, Numbers] = {}
        for number, trees in enumerate(self.effects.values()):
            for tree, effects in trees.items():
                found.setdefault(tree, np.zeros((len(effects), len(self.effects))))[:, number] = effects
        return found


def with_drivers(rows: DataFrame, known: Mapping[str, ScoreDrivers]) -> DataFrame:
    """Rows of scores with EXPLAINED in place of `leaves`: what moved the score most, as `raised by tenure months`, by how much, from where, and what all
    else adds: `base` + the effects + `rest` are the score's log-odds. Null for a model not in `known`, and where they do not come to the score.

    In numpy, as Spark's own expressions took ten times as long (docs/adr/0012).
    """
    own = [field for field in rows.schema.fields if field.name != LEAVES]
    names = [field.name for field in own]

    def tell(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            told = _told(batch.column("model"), batch.column("probability"), batch.column(LEAVES), known)
            kept = [batch.column(batch.schema.get_field_index(name)) for name in names]
            yield pa.RecordBatch.from_arrays([*kept, *told], names=[*names, *EXPLAINED.names])

    return rows.mapInArrow(tell, T.StructType([*own, *EXPLAINED.fields]))


def _told(models: pa.Array, chances: pa.Array, leaves: pa.Array, known: Mapping[str, ScoreDrivers]) -> list[pa.Array]:
    """The columns of EXPLAINED. Texts are numbers into one list of them, so that a row costs no work of Python's."""
    texts = [f"{how} {words}" for drivers in known.values() for words in drivers.effects for how in (RAISED, LOWERED)]
    names, first = models.to_numpy(zero_copy_only=False), 0
    codes, moved = np.full((len(models), SHOWN), -1, dtype=np.int32), np.zeros((len(models), SHOWN))
    base, rest = np.zeros(len(models)), np.zeros(len(models))
    chance, unknown = chances.to_numpy(zero_copy_only=False), ~np.isin(names.astype(str), list(known))
    for model, drivers in known.items():
        mine = np.flatnonzero(names == model)
        if len(mine):
            start, effects = drivers.explained(leaves.take(pa.array(mine)).flatten().to_numpy().reshape(len(mine), -1))
            unknown[mine] = np.abs(expit(start + effects.sum(axis=1)) - chance[mine]) > _OFF
            order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :SHOWN]
            greatest = np.take_along_axis(effects, order, axis=1).round(_DIGITS)
            codes[mine, : order.shape[1]] = np.where(np.abs(greatest) > _NOTHING, first + 2 * order + (greatest < 0), -1)
            moved[mine, : order.shape[1]] = greatest
            base[mine], rest[mine] = round(start, _DIGITS), (start + effects.sum(axis=1) - round(start, _DIGITS) - greatest.sum(axis=1)).round(_DIGITS)
        first += 2 * len(drivers.effects)
    there = (codes >= 0) & ~unknown[:, None]
    places, mask = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)), pa.array(unknown)
    words = pa.DictionaryArray.from_arrays(pa.array(codes[there]), pa.array(texts, pa.string())).cast(pa.string())
    lists = [pa.ListArray.from_arrays(places, values, mask=mask) for values in (words, pa.array(moved[there]))]
    return [*lists, *(pa.array(numbers, mask=unknown) for numbers in (base, rest))]


def score_drivers_of_json(text: str) -> ScoreDrivers | None:
    """What `ScoreDrivers.as_json` wrote; None of an earlier form, which had no average."""
    raw = json.loads(text)
    if not isinstance(raw, dict):
        return None
    return ScoreDrivers(**{**raw, "effects": {one["words"]: {t["tree"]: tuple(t["effects"]) for t in one["trees"]} for one in raw["effects"]}})


def score_drivers(model: TreeModel, features: Sequence[str], learnt: DataFrame, calibration: Calibration) -> ScoreDrivers:
    """Of a fitted model; `learnt` are the rows it learnt from, with `features`. Only a count per leaf comes to the driver."""
    each = F.posexplode(leaves_of(model)).alias("tree", "leaf")
    counts = model.transform(learnt, {model.leafCol: _LEAF}).select(each).groupBy("tree", "leaf").agg(F.count(F.lit(1)).alias("rows")).collect()
    words = [words_of(f) for f in features]
    return effects_of(trees_of(model, with_levels=True), words, counts, isinstance(model, GBTClassificationModel), calibration)


def tree_model(pipeline: PipelineModel) -> TreeModel:
    """The model in a pipeline of the month."""
    (found,) = (stage for stage in pipeline.stages if isinstance(stage, TreeModel))
    return found


def with_leaves(pipeline: PipelineModel, rows: DataFrame) -> DataFrame:
    """What the pipeline makes of the rows, and the leaves of its model, for `leaves_of`."""
    for stage in pipeline.stages:
        rows = stage.transform(rows, {stage.leafCol: _LEAF}) if isinstance(stage, TreeModel) else stage.transform(rows)
    return rows


def leaves_of(model: TreeModel) -> Column:
    """The leaf in each tree, numbered from left to right; MLlib tells that of a single tree as one number."""
    return (F.array(_LEAF) if isinstance(model, DecisionTreeRegressionModel) else vector_to_array(F.col(_LEAF))).cast("array<int>")


def words_of(feature: str) -> str:
    """A feature's name as one reads it."""
    stem, span = next(((feature.removesuffix(end), told) for end, told in _SPANS.items() if feature.endswith(end)), (feature, "{}"))
    return span.format(" ".join(_TERMS.get(word, word) for word in stem.split("_")))


def effects_of(trees: Trees, words: Sequence[str], counts: Sequence[Row], boosted: bool, calibration: Calibration) -> ScoreDrivers:
    """`counts` are `rows` by `tree` and `leaf`."""
    leaves, rows = _leaves(trees), np.zeros(len(trees.value))
    for one in counts:
        rows[leaves[one["tree"]][int(one["leaf"])]] = one["rows"]
    valued = trees.with_values(rows)
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    for tree, ends in enumerate(leaves):
        for driver, effects in _of_tree(valued, int(trees.roots[tree]), ends, words).items():
            found.setdefault(driver, {})[tree] = effects
    return ScoreDrivers(dict(sorted(found.items())), valued.base, boosted, calibration.slope, calibration.offset)


def _leaves(trees: Trees) -> list[list[int]]:
    """Per tree the places of its leaves from left to right: as they were read."""
    bounds = [*trees.roots.tolist(), len(trees.value)]
    return [[p for p in range(a, b) if trees.left[p] == p] for a, b in itertools.pairwise(bounds)]


def _of_tree(trees: Trees, root: int, ends: Sequence[int], words: Sequence[str]) -> dict[str, tuple[float, ...]]:
    found: dict[str, list[float]] = {}
    above = {int(child): p for p in range(root, ends[-1]) if trees.left[p] != p for child in (trees.left[p], trees.right[p])}
    for leaf, place in enumerate(ends):
        here = place
        while here != root:
            asked = words[trees.feature[above[here]]]
            found.setdefault(asked, [0.0] * len(ends))[leaf] += float(trees.value[here] - trees.value[above[here]])
            here = above[here]
    return {driver: tuple(float(f"{e:.9g}") for e in effects) for driver, effects in found.items()}
