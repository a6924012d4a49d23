"""What drives the scores of the month's models, in words: the leaf in which a customer ends tells what each feature added on the way there.

As in `drivers`, a step in a tree is credited to the feature that was asked, by how the mean of the customers below changes (Saabas, 2014).
What each leaf adds is known when the model is trained, so that scoring only looks it up.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.ml.classification import DecisionTreeClassificationModel, GBTClassificationModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.learning.measures import Numbers
from crm_spark.learning.rules import TreeModel
from crm_spark.learning.trees import Places, Trees, trees_of

SCORE_DRIVERS = "score_drivers.json"
SHOWN = 3
RAISED, LOWERED = "raised by", "lowered by"
LEAVES, DRIVERS, _LEAF = "leaves", "drivers", "__leaf"
_NOTHING = 1e-9
_SPANS = {"_trend_3m": "trend of {} over three months", "_mean_3m": "mean of {} over three months"}


@dataclass(frozen=True)
class ScoreDrivers:
    """Per driver, by its words, and per tree that asks for it: what it adds in each leaf, leaves from left to right."""

    effects: Mapping[str, Mapping[int, tuple[float, ...]]]

    def as_json(self) -> str:
        """As text, for `score_drivers_of_json`."""
        told = [{"words": words, "trees": [{"tree": t, "effects": e} for t, e in trees.items()]} for words, trees in self.effects.items()]
        return json.dumps(told, ensure_ascii=False)

    def greatest(self, leaves: Places) -> tuple[Places, Numbers]:
        """Per row of `leaves` (the leaf in each tree) the SHOWN drivers that moved the score most, by number, and their effects; the greatest first."""
        total = np.zeros((len(leaves), len(self.effects)))
        for tree, added in self._by_tree.items():
            total += added[leaves[:, tree]]
        order = np.argsort(-np.abs(total), axis=1, kind="stable")[:, :SHOWN]
        return order, np.take_along_axis(total, order, axis=1)

    @cached_property
    def _by_tree(self) -> dict[int, Numbers]:
        """Per tree, what each leaf (first axis) adds to each driver."""
        found: dict[int, Numbers] = {}
        for number, trees in enumerate(self.effects.values()):
            for tree, effects in trees.items():
                found.setdefault(tree, np.zeros((len(effects), len(self.effects))))[:, number] = effects
        return found


def with_drivers(rows: DataFrame, known: Mapping[str, ScoreDrivers]) -> DataFrame:
    """Rows of scores with `drivers` in place of `leaves`: what moved the score most, as `raised by tenure months`; null for a model not in `known`.

    In numpy, as Spark's own expressions took ten times as long (docs/adr/0012).
    """
    own = [field for field in rows.schema.fields if field.name != LEAVES]
    schema = T.StructType([*own, T.StructField(DRIVERS, T.ArrayType(T.StringType()))])

    def tell(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            told = _told(batch.column(batch.schema.get_field_index("model")), batch.column(batch.schema.get_field_index(LEAVES)), known)
            kept = [batch.column(batch.schema.get_field_index(field.name)) for field in own]
            yield pa.RecordBatch.from_arrays([*kept, told], names=[*(field.name for field in own), DRIVERS])

    return rows.mapInArrow(tell, schema)


def _told(models: pa.Array, leaves: pa.Array, known: Mapping[str, ScoreDrivers]) -> pa.Array:
    """Texts are numbers into one list of them, so that a row costs no work of Python's."""
    texts = [f"{how} {words}" for drivers in known.values() for words in drivers.effects for how in (RAISED, LOWERED)]
    names, codes, first = models.to_numpy(zero_copy_only=False), np.full((len(models), SHOWN), -1, dtype=np.int32), 0
    for model, drivers in known.items():
        mine = np.flatnonzero(names == model)
        if len(mine):
            ends = leaves.take(pa.array(mine)).flatten().to_numpy().reshape(len(mine), -1)
            numbers, effects = drivers.greatest(ends)
            codes[mine, : numbers.shape[1]] = np.where(np.abs(effects) > _NOTHING, first + 2 * numbers + (effects < 0), -1)
        first += 2 * len(drivers.effects)
    there = codes >= 0
    places = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32))
    values = pa.DictionaryArray.from_arrays(pa.array(codes[there]), pa.array(texts, pa.string())).cast(pa.string())
    return pa.ListArray.from_arrays(places, values, mask=pa.array(~np.isin(names.astype(str), list(known))))


def score_drivers_of_json(text: str) -> ScoreDrivers:
    """What `ScoreDrivers.as_json` wrote."""
    return ScoreDrivers({one["words"]: {t["tree"]: tuple(t["effects"]) for t in one["trees"]} for one in json.loads(text)})


def score_drivers(model: TreeModel, features: Sequence[str], learnt: DataFrame) -> ScoreDrivers:
    """Of a fitted model; `learnt` are the rows it learnt from, with `label` and `features`. Only a count per leaf comes to the driver."""
    each = F.posexplode(leaves_of(model)).alias("tree", "leaf")
    ends = model.transform(learnt, {model.leafCol: _LEAF}).select("label", each).groupBy("tree", "leaf")
    counts = ends.agg(F.count(F.lit(1)).alias("rows"), F.sum("label").alias("positives")).collect()
    return effects_of(trees_of(model, with_levels=True), [words_of(f) for f in features], counts, isinstance(model, GBTClassificationModel))


def with_leaves(pipeline: PipelineModel, rows: DataFrame) -> DataFrame:
    """What the pipeline makes of the rows, and the leaves of its model, for `leaves_of`."""
    *preparing, model = pipeline.stages
    for stage in preparing:
        rows = stage.transform(rows)
    return model.transform(rows, {model.leafCol: _LEAF})  # type: ignore[attr-defined]


def leaves_of(model: TreeModel) -> Column:
    """The leaf in each tree, numbered from left to right; MLlib tells that of a single tree as one number."""
    return (F.array(_LEAF) if isinstance(model, DecisionTreeClassificationModel) else vector_to_array(F.col(_LEAF))).cast("array<int>")


def words_of(feature: str) -> str:
    """A feature's name as one reads it."""
    stem, span = next(((feature.removesuffix(end), told) for end, told in _SPANS.items() if feature.endswith(end)), (feature, "{}"))
    return span.format(stem.replace("_", " "))


def effects_of(trees: Trees, words: Sequence[str], counts: Sequence[Row], boosted: bool) -> ScoreDrivers:
    """`counts` are `rows` and `positives` by `tree` and `leaf`; of what is not boosted a leaf is worth its share of positives."""
    leaves = _leaves(trees)
    rows, positives = (np.zeros(len(trees.value)) for _ in range(2))
    for one in counts:
        place = leaves[one["tree"]][int(one["leaf"])]
        rows[place], positives[place] = one["rows"], one["positives"]
    shares = np.where(rows > 0, positives / np.maximum(rows, 1), positives.sum() / rows.sum())
    valued = (trees if boosted else replace(trees, value=shares)).with_values(rows)
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    for tree, ends in enumerate(leaves):
        for driver, effects in _of_tree(valued, int(trees.roots[tree]), ends, words).items():
            found.setdefault(driver, {})[tree] = effects
    return ScoreDrivers(dict(sorted(found.items())))


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
    return {driver: tuple(float(f"{e:.6g}") for e in effects) for driver, effects in found.items()}
