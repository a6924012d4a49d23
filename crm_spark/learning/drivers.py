"""Why a score is what it is: what each driver adds to the log-odds of the average customer, in planners' words; the sum is the score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.learning.calibrate import Calibration, expit, logit
from crm_spark.learning.measures import Numbers
from crm_spark.learning.members import LINE, TREES, Member
from crm_spark.learning.table import quoted
from crm_spark.learning.trees import Places, TreeModel, Trees, trees_of
from crm_spark.learning.xgb import trees_of_xgboost

SHOWN = 3
DRIVER = T.StructType([T.StructField("driver", T.StringType()), T.StructField("effect", T.DoubleType())])
_NEAR = 1e-9


@dataclass(frozen=True)
class TreePart:
    """Trees of a member and which driver each feature belongs to; `boosted`: they add up to half the log-odds, else to a share."""

    trees: Trees
    group: Places
    boosted: bool

    def effects(self, trees: Numbers, line: Numbers, groups: int) -> tuple[float, Numbers]:
        """The average customer's log-odds, and what each driver adds for each row."""
        found = self.trees.effects(trees, self.group, groups)
        if self.boosted:
            return 2 * self.trees.base, 2 * found
        return stretched(self.trees.base, found, logit)


@dataclass(frozen=True)
class LinePart:
    """Coefficients of a member, the average customer, and which driver each column belongs to."""

    coefficients: Numbers
    intercept: float
    average: Numbers
    group: Places

    def effects(self, trees: Numbers, line: Numbers, groups: int) -> tuple[float, Numbers]:
        """The average customer's log-odds, and what each driver adds for each row."""
        found = np.zeros((len(line), groups))
        np.add.at(found.T, self.group, ((line - self.average) * self.coefficients).T)
        return float(self.intercept + self.average @ self.coefficients), found


class Explained(NamedTuple):
    """Log-odds of rows in parts that add up to their scores: the average customer's, what each driver (second axis) adds, calibrated alike, and what the
    steps of an isotonic curve add."""

    base: float
    effects: Numbers
    steps: Numbers


@dataclass(frozen=True)
class Explainer:
    """Everything that explains a champion's scores; plain arrays, which travel to the workers."""

    parts: tuple[TreePart | LinePart, ...]
    words: tuple[str, ...]
    calibration: Calibration
    shift: float

    def explained(self, trees: Numbers, line: Numbers) -> Explained:
        """The scores of rows of the two vectors, in their parts."""
        each = [part.effects(trees, line, len(self.words)) for part in self.parts]
        raw, found = sum(b for b, _ in each) / len(each), np.asarray(sum((e for _, e in each), np.zeros(1)) / len(each))
        if self.calibration.kind == "isotonic":  # on a step all effects would be nothing
            base, effects, total = float(self._curve(np.array([raw]))[0]), found, self._curve(raw + found.sum(axis=1))
        else:
            base, effects = self.calibration.slope * raw + self.calibration.offset, self.calibration.slope * found
            total = base + effects.sum(axis=1)
        return Explained(base + self.shift, effects, total - base - effects.sum(axis=1))

    def as_json(self) -> str:
        """As text, for `explainer_of_json`."""
        return json.dumps(asdict(self), default=lambda numbers: numbers.tolist())

    def _curve(self, log_odds: Numbers) -> Numbers:
        return logit(self.calibration.of(expit(log_odds)))


def explainer(
    members: Sequence[Member], tree_words: Sequence[str], line_words: Sequence[str], calibration: Calibration, shift: float, background: DataFrame
) -> Explainer:
    """For the members of a champion. `tree_words` and `line_words` name the driver of each element of the two vectors; `background` are
    rows with these vectors, which say who the average customer is."""
    words = tuple(dict.fromkeys([*tree_words, *line_words]))
    of_trees, of_line = (np.array([words.index(w) for w in own], dtype=np.int64) for own in (tree_words, line_words))
    parts = [_part(member, of_trees, of_line) for member in members]
    seen = _rows_in_leaves([p.trees for p in parts if isinstance(p, TreePart)], background)
    valued = iter(seen)
    average = _average_line(background) if any(isinstance(p, LinePart) for p in parts) else np.zeros(0)
    known = tuple(replace(p, trees=p.trees.with_values(next(valued))) if isinstance(p, TreePart) else replace(p, average=average) for p in parts)
    return Explainer(known, words, calibration, shift)


def explainer_of_json(text: str) -> Explainer:
    """What `Explainer.as_json` wrote."""
    raw = json.loads(text)
    curve = {**raw["calibration"], "raw": tuple(raw["calibration"]["raw"]), "calibrated": tuple(raw["calibration"]["calibrated"])}
    return Explainer(tuple(map(_part_of_json, raw["parts"])), tuple(raw["words"]), Calibration(**curve), raw["shift"])


def importances(rows: DataFrame, explained: Explainer) -> dict[str, float]:
    """Share of each driver in the size of all effects on the rows, greatest first; drivers without any effect are left out."""

    def add(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = np.zeros(len(explained.words))
        for batch in batches:
            if batch.num_rows:
                total += np.abs(explained.explained(*_arrays(batch)).effects).sum(axis=0)
        yield pa.RecordBatch.from_arrays([pa.array(list(explained.words)), pa.array(total)], names=["driver", "size"])

    sizes = _flat(rows, []).mapInArrow(add, "driver string, size double").groupBy("driver").agg(F.sum("size").alias("size")).toPandas()
    found = {str(d): float(s) / sizes["size"].sum() for d, s in zip(sizes["driver"], sizes["size"], strict=True) if s > 0}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def with_drivers(rows: DataFrame, keys: Sequence[str], explained: Explainer, shown: int = SHOWN) -> DataFrame:
    """Per row its `keys`, `_log_odds`, `_base` (the average customer's) and `_drivers`: the `shown` greatest, and what all others and the steps of
    an isotonic curve add as `_rest`."""
    own = list(rows.select(*map(quoted, keys)).schema.fields)
    schema = T.StructType([*own, *_numbers("_log_odds", "_base"), T.StructField("_drivers", T.ArrayType(DRIVER)), *_numbers("_rest")])

    def explain(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield _explained_batch(batch, keys, explained.explained(*_arrays(batch)), explained.words, shown)

    return _flat(rows, keys).mapInArrow(explain, schema)


def _numbers(*names: str) -> list[T.StructField]:
    return [T.StructField(n, T.DoubleType()) for n in names]


def _part(member: Member, of_trees: Places, of_line: Places) -> TreePart | LinePart:
    model = member.model
    if isinstance(model, LogisticRegressionModel):
        return LinePart(np.asarray(model.coefficients.toArray()), float(model.intercept), np.zeros(len(of_line)), of_line)
    own = trees_of(model) if isinstance(model, TreeModel) else trees_of_xgboost(model)
    return TreePart(own, of_trees, member.recipe.algorithm in ("gbt", "xgboost"))


def _part_of_json(raw: Mapping[str, object]) -> TreePart | LinePart:
    if "coefficients" in raw:
        return LinePart(_floats(raw, "coefficients"), float(_floats(raw, "intercept")), _floats(raw, "average"), _places(raw, "group"))
    arrays = cast(Mapping[str, object], raw["trees"])
    roots, feature, left, right = (_places(arrays, name) for name in ("roots", "feature", "left", "right"))
    trees = Trees(roots, feature, _floats(arrays, "threshold"), left, right, _floats(arrays, "value"), int(_places(arrays, "depth")))
    return TreePart(trees, _places(raw, "group"), bool(raw["boosted"]))


def _floats(raw: Mapping[str, object], name: str) -> Numbers:
    return np.array(raw[name], dtype=np.float64)


def _places(raw: Mapping[str, object], name: str) -> Places:
    return np.array(raw[name], dtype=np.int64)


def stretched(base: float, effects: Numbers, scale: Callable[[Numbers], Numbers]) -> tuple[float, Numbers]:
    """Effects on another scale: each row's are stretched alike, so that they still add up."""
    total = base + effects.sum(axis=1)
    start, end = float(scale(np.array([base]))[0]), scale(total)
    step = np.where(np.abs(total - base) < _NEAR, 1.0, total - base)
    return start, effects * ((end - start) / step)[:, None]


def _flat(rows: DataFrame, keys: Sequence[str]) -> DataFrame:
    empty = F.array().cast("array<double>")
    vectors = [vector_to_array(F.col(c)).alias(c) if c in rows.columns else empty.alias(c) for c in (TREES, LINE)]
    return rows.select(*[F.col(quoted(k)).alias(f"k{i}") for i, k in enumerate(keys)], *vectors)  # mapInArrow takes dots in names for syntax


def _arrays(batch: pa.RecordBatch) -> tuple[Numbers, Numbers]:
    trees, line = (batch.column(batch.schema.get_field_index(c)).flatten().to_numpy().reshape(batch.num_rows, -1) for c in (TREES, LINE))
    return trees, line


def _explained_batch(batch: pa.RecordBatch, keys: Sequence[str], found: Explained, words: Sequence[str], shown: int) -> pa.RecordBatch:
    base, effects, steps = found
    shown = min(shown, effects.shape[1])
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :shown]
    greatest = np.take_along_axis(effects, order, axis=1)
    names = pa.DictionaryArray.from_arrays(pa.array(order.ravel().astype(np.int32)), pa.array(words)).cast(pa.string())
    pairs = pa.StructArray.from_arrays([names, pa.array(greatest.ravel())], names=["driver", "effect"])
    places = pa.array(np.arange(0, order.size + 1, shown, dtype=np.int32))
    total, rest = base + effects.sum(axis=1) + steps, effects.sum(axis=1) - greatest.sum(axis=1) + steps
    own = [batch.column(i) for i in range(len(keys))]
    columns = [*own, pa.array(total), pa.array(np.full(len(total), base)), pa.ListArray.from_arrays(places, pairs), pa.array(rest)]
    return pa.RecordBatch.from_arrays(columns, names=[*keys, "_log_odds", "_base", "_drivers", "_rest"])


def _rows_in_leaves(forests: Sequence[Trees], background: DataFrame) -> list[Numbers]:
    """Per forest and node how many background rows end there; only these counts come to the driver."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals = [np.zeros(len(trees.value)) for trees in forests]
        for batch in batches:
            rows, _ = _arrays(batch)
            for total, trees in zip(totals, forests, strict=True):
                np.add.at(total, trees.leaves(rows).ravel(), 1.0)
        numbers = [np.full(len(t), i) for i, t in enumerate(totals)]
        nodes = [np.arange(len(t)) for t in totals]
        columns = [np.concatenate(part) if part else np.zeros(0) for part in (numbers, nodes, totals)]
        yield pa.RecordBatch.from_arrays([pa.array(c.astype(float)) for c in columns], names=["forest", "node", "rows"])

    if not forests:
        return []
    counts = _flat(background, []).mapInArrow(count, "forest double, node double, rows double").groupBy("forest", "node").agg(F.sum("rows").alias("rows")).toPandas()
    found = [np.zeros(len(trees.value)) for trees in forests]
    for i, total in enumerate(found):
        own = counts[counts["forest"] == i]
        total[own["node"].to_numpy(dtype=int)] = own["rows"].to_numpy()
    return found


def _average_line(background: DataFrame) -> Numbers:
    row = background.agg(Summarizer.mean(F.col(LINE)).alias("mean")).first()
    assert row is not None
    return np.asarray(row["mean"].toArray())
