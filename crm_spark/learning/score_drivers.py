"""What drives the scores of the month's models, in words: the leaf in which a customer ends tells what each feature added on the way there.

As in `drivers`, a step in a tree is credited to the feature that was asked, by how the mean of the customers below changes (Saabas, 2014).
What each leaf adds is known when the model is trained, so that scoring only looks it up, in Spark's own expressions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.classification import DecisionTreeClassificationModel, GBTClassificationModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.learning.rules import TreeModel
from crm_spark.learning.trees import Trees, trees_of

SCORE_DRIVERS = "score_drivers.json"
SHOWN = 3
RAISED, LOWERED = "raised by", "lowered by"
_LEAF = "__leaf"
_NOTHING = 1e-9
_TYPE = "array<struct<words:string,trees:array<struct<tree:int,effects:array<double>>>>>"
_SPANS = {"_trend_3m": "trend of {} over three months", "_mean_3m": "mean of {} over three months"}


@dataclass(frozen=True)
class ScoreDrivers:
    """Per driver, by its words, and per tree that asks for it: what it adds in each leaf, leaves from left to right."""

    effects: Mapping[str, Mapping[int, tuple[float, ...]]]

    def as_json(self) -> str:
        """As text, for `score_drivers_of_json`; also as Spark reads it."""
        told = [{"words": words, "trees": [{"tree": t, "effects": e} for t, e in trees.items()]} for words, trees in self.effects.items()]
        return json.dumps(told, ensure_ascii=False)

    def told(self, leaves: Column) -> Column:
        """The SHOWN drivers that moved the score most, the greatest first, as `raised by tenure months`; `leaves` are those of one customer, tree by tree."""
        every = F.from_json(F.lit(self.as_json()), _TYPE)

        def of_driver(driver: Column, found: Column) -> Column:
            def add(total: Column, one: Column) -> Column:
                return total + F.get(one["effects"], F.get(found, one["tree"]).cast("int"))

            return F.struct(F.aggregate(driver["trees"], F.lit(0.0), add).alias("effect"), driver["words"].alias("words"))

        def placed(one: Column) -> Column:
            return F.struct((-F.abs(one["effect"])).alias("place"), one["words"].alias("words"), (one["effect"] > 0).alias("raises"))

        def in_words(one: Column) -> Column:
            return F.concat_ws(" ", F.when(one["raises"], RAISED).otherwise(LOWERED), one["words"])

        def greatest(found: Column) -> Column:
            moving = F.filter(F.transform(every, lambda driver: of_driver(driver, found)), lambda one: F.abs(one["effect"]) > _NOTHING)
            return F.transform(F.slice(F.sort_array(F.transform(moving, placed)), 1, SHOWN), in_words)

        return F.get(F.transform(F.array(leaves), greatest), F.lit(0))  # a lambda's variable, so that the leaves are found once


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
    return F.array(_LEAF) if isinstance(model, DecisionTreeClassificationModel) else vector_to_array(F.col(_LEAF))


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
