"""Fitted trees as arrays, so that numpy walks many rows through them at once."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.classification import GBTClassificationModel
from pyspark.ml.regression import DecisionTreeRegressionModel, RandomForestRegressionModel

from crm_spark.learning.measures import Numbers

Places = NDArray[np.int64]
TreeModel = GBTClassificationModel | RandomForestRegressionModel | DecisionTreeRegressionModel  # of all but boosted trees a leaf is a share with the label
_TREE = re.compile(r"Tree \d+ \(weight (\S+)\)")
_TEST = re.compile(r"If \(feature (\d+) <= (\S+)\)")
_LEVEL_TEST = re.compile(r"If \(feature (\d+) in \{[^}]*\}\)")
_LEAF = re.compile(r"Predict: (\S+)")


@dataclass(frozen=True)
class Trees:
    """The nodes of all trees in one row of places; a leaf is its own child. `value` is what a leaf adds to the prediction; of an inner node,
    once `with_values` has seen rows, the mean of the leaves below it."""

    roots: Places
    feature: Places
    threshold: Numbers
    left: Places
    right: Places
    value: Numbers
    depth: int

    def leaves(self, rows: Numbers) -> Places:
        """The leaf of each row (first axis) in each tree (second)."""
        return np.stack([self._walk(rows, root)[-1] for root in self.roots], axis=1)

    def predictions(self, rows: Numbers) -> Numbers:
        """The sum over trees."""
        return np.asarray(self.value[self.leaves(rows)].sum(axis=1))

    def effects(self, rows: Numbers, group: Places, groups: int) -> Numbers:
        """What each group of features adds to the mean of all rows: along a row's path, the change of a node's value is credited to the
        feature that was asked. They add up to the prediction. Source: Saabas (2014)."""
        found = np.zeros((len(rows), groups))
        everyone = np.arange(len(rows))
        for root in self.roots:
            for here, there in _steps(self._walk(rows, root)):
                found[everyone, group[self.feature[here]]] += self.value[there] - self.value[here]
        return found

    @property
    def base(self) -> float:
        """The mean prediction."""
        return float(self.value[self.roots].sum())

    def with_values(self, rows_in_leaf: Numbers) -> Trees:
        """Inner nodes get the mean of their leaves, weighted by the rows in each (by place); unseen ones weigh alike."""
        weight, value = rows_in_leaf.astype(float) + 1e-9, self.value.copy()
        for node in range(len(self.value) - 1, -1, -1):  # children stand behind their parent
            one, other = self.left[node], self.right[node]
            if one != node:
                weight[node] = weight[one] + weight[other]
                value[node] = (weight[one] * value[one] + weight[other] * value[other]) / weight[node]
        return Trees(self.roots, self.feature, self.threshold, self.left, self.right, value, self.depth)

    def _walk(self, rows: Numbers, root: np.int64) -> list[Places]:
        everyone, path = np.arange(len(rows)), [np.full(len(rows), root)]
        for _ in range(self.depth):
            here = path[-1]
            goes_left = rows[everyone, self.feature[here]] <= self.threshold[here]
            path.append(np.where(goes_left, self.left[here], self.right[here]))
        return path


def trees_of(model: TreeModel, with_levels: bool = False) -> Trees:
    """The prediction is the margin of a boosted model, the mean of a forest. A test of levels is refused, unless `with_levels`: such trees
    tell who asks for what, but not where a row ends."""
    lines = [line.strip() for line in str(model.toDebugString).splitlines()[1:] if line.strip()]
    share = 1 / model.getNumTrees if isinstance(model, RandomForestRegressionModel) else 1.0
    nodes = _Nodes(with_levels)
    roots: list[int] = []
    reader, weight = iter(lines), 1.0
    for line in reader:
        if tree := _TREE.match(line):
            weight = float(tree[1])
            line = next(reader)
        roots.append(nodes.add(line, reader, weight * share, 0))
    return nodes.trees(roots)


def trees_of_dump(dumps: Sequence[str], weight: float) -> Trees:
    """Trees as XGBoost writes them, one text of JSON each; their leaves are multiplied by `weight`."""
    nodes = _Nodes()
    roots = [nodes.add_dumped(json.loads(dump), weight, 0) for dump in dumps]
    return nodes.trees(roots)


class _Nodes:
    def __init__(self, with_levels: bool = False) -> None:
        self.with_levels = with_levels
        self.rows: list[tuple[int, float, int, int, float]] = []
        self.depth = 0

    def add(self, line: str, rest: Iterator[str], weight: float, depth: int) -> int:
        """The place of a node, read with all that is below it."""
        place = len(self.rows)
        self.depth = max(self.depth, depth)
        if leaf := _LEAF.match(line):
            self.rows.append((0, 0.0, place, place, weight * float(leaf[1])))
            return place
        test, level_test = _TEST.match(line), _LEVEL_TEST.match(line) if self.with_levels else None
        feature, threshold = (int(test[1]), float(test[2])) if test else (int(level_test[1]), np.nan) if level_test else (None, np.nan)
        if feature is None:
            raise ValueError(f"a tree of numeric features was expected, not '{line}'")
        self.rows.append((0, 0.0, 0, 0, 0.0))
        left = self.add(next(rest), rest, weight, depth + 1)
        next(rest)  # Else
        right = self.add(next(rest), rest, weight, depth + 1)
        self.rows[place] = (feature, threshold, left, right, 0.0)
        return place

    def add_dumped(self, node: Mapping[str, Any], weight: float, depth: int) -> int:
        """The place of a node of XGBoost's, with all that is below it."""
        place = len(self.rows)
        self.depth = max(self.depth, depth)
        self.rows.append((0, 0.0, place, place, weight * node.get("leaf", 0.0)))
        if "leaf" not in node:
            below = {child["nodeid"]: child for child in node["children"]}
            left, right = (self.add_dumped(below[node[side]], weight, depth + 1) for side in ("yes", "no"))
            self.rows[place] = (int(node["split"].removeprefix("f")), _at_most(node["split_condition"]), left, right, 0.0)
        return place

    def trees(self, roots: Sequence[int]) -> Trees:
        """As arrays."""
        feature, threshold, left, right, value = zip(*self.rows, strict=True)
        places = (np.array(a, dtype=np.int64) for a in (roots, feature, left, right))
        root, asked, one, other = places
        return Trees(root, asked, np.array(threshold), one, other, np.array(value), self.depth)


def _at_most(limit: float) -> float:
    """The greatest number that, rounded to 32 bits, is below the limit, which XGBoost has in 32 bits."""
    above = np.float32(limit)
    return (float(above) + float(np.nextafter(above, np.float32(-np.inf)))) / 2


def _steps(path: Sequence[Places]) -> Iterator[tuple[Places, Places]]:
    """Pairs of places along a walk. At a leaf both are the same, and nothing is added."""
    return itertools.pairwise(path)
