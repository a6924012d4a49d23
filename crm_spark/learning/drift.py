"""Drift: what a version sees this month against the months it learnt from, and whether the rule asks for a new model.

The population stability index (PSI) of two shares per bin is the sum of (actual - expected) x ln(actual / expected). Of two samples of n and
m customers of one population, PSI / (1/n + 1/m) is about chi-square with bins - 1 degrees of freedom. Source: Yurdakul and Naranjo,
Statistical properties of the population stability index, Journal of Risk Model Validation 14 (2020).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any, cast

import numpy as np
import pandas as pd
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.stats import chi2

from crm_spark.columns import HOLD_OUT_BELOW
from crm_spark.config.models import Retrain
from crm_spark.learning.features import MISSING
from crm_spark.learning.measures import probability
from crm_spark.learning.scoring import Scorer, score_of
from crm_spark.learning.split import Count, tally
from crm_spark.learning.table import quoted
from crm_spark.learning.trainer import Trained
from crm_spark.learning.windows import sample_of_customers

FEATURE, SCORE, LABEL = "feature", "score", "label"
REFERENCE = "drift_reference.json"  # artifact of a version's run
MOST_FEATURES = 30  # those that carry most of the gain: the others hardly move a score
COUNTED = 100_000  # customers of a month whose features are counted
MOST_LEVELS = 18  # and one bin of all others
SURE = 0.95
QUANTILES = tuple(i / 10 for i in range(1, 10))
SAMPLE = 20_000  # rows that bins are found by
_DIGITS = 4  # of an edge, which so is no customer's own value
_EMPTY = 0.5  # customers that an empty bin is taken to hold


@dataclass(frozen=True)
class Bins:
    """How one thing is counted, and the share of customers in each bin where the version learnt.

    A number has a bin of missing values, then one up to each of `edges`, then one above; a text one per level, then one of all others.
    `weight` is its share of the version's gain. `column` is what the pipeline's first stage calls it (nothing: f_ and its name).
    """

    edges: tuple[float, ...]
    levels: tuple[str, ...]
    shares: tuple[float, ...]
    weight: float = 0.0
    column: str = ""

    @property
    def count(self) -> int:
        """Number of bins, at most 20."""
        return len(self.levels) + 1 if self.levels else len(self.edges) + 2

    def bin(self, value: Column) -> Column:
        """Number of the bin of a value, from 0."""
        if self.levels:
            return _chain([(value == level, i) for i, level in enumerate(self.levels)], len(self.levels))
        missing = value.isNull() | (value <= MISSING / 10)
        return _chain([(missing, 0), *((value <= edge, i) for i, edge in enumerate(self.edges, 1))], len(self.edges) + 1)


@dataclass(frozen=True)
class Reference:
    """What a version met in the months it learnt from, in the customers that it never saw: an artifact of its run, without any customer.

    `label_customers` and `label_rate` are of all labelled customers of these months.
    """

    months: tuple[str, ...]
    customers: int
    features: Mapping[str, Bins]
    score: Bins
    mean_score: float
    label_customers: int
    label_rate: float

    def as_json(self) -> str:
        """The text of the artifact."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


@dataclass(frozen=True)
class Watched:
    """A version that scored, and its reference."""

    scorer: Scorer
    reference: Reference


@dataclass(frozen=True)
class Shift:
    """One thing that a model sees or says, this month against its reference.

    `by_chance` is the mean and `noise` the 95 % quantile of the PSI between two such samples of one population. Means are of the score,
    0-100, and of the label, in [0, 1]; None of a feature.
    """

    kind: str
    subject: str
    bins: int
    customers: int
    reference_customers: int
    psi: float
    by_chance: float
    noise: float
    weight: float | None = None
    mean: float | None = None
    reference_mean: float | None = None

    def is_beyond(self, psi: float) -> bool:
        """True if the PSI is above a bar and above its noise."""
        return self.psi > max(psi, self.noise)


def psi(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Population stability index of two lists of shares, none of them 0."""
    return math.fsum((a - e) * math.log(a / e) for e, a in zip(expected, actual, strict=True))


def psi_noise(bins: int, n: int, m: int) -> tuple[float, float]:
    """Mean and 95 % quantile of the PSI between samples of n and m customers of one population."""
    scale = 1 / n + 1 / m
    return (bins - 1) * scale, float(chi2.ppf(SURE, bins - 1)) * scale if bins > 1 else 0.0


def reference_of_json(text: str) -> Reference:
    """A reference from its artifact."""
    raw = json.loads(text)
    features = {name: _bins_of(bins) for name, bins in raw["features"].items()}
    return Reference(**{**raw, "months": tuple(raw["months"]), "features": features, "score": _bins_of(raw["score"])})


def reference(trained: Trained, rows: DataFrame) -> Reference | None:
    """The reference of a new version; `rows` are the labelled view rows it was prepared from. None where the months it learnt from hold nobody out.

    Bins are deciles of a sample of at most 20,000 rows, which alone come to the driver; all held-out rows are counted.
    """
    months, found = trained.prepared.split.train_months, trained.prepared.counts
    held = tally(found, months, held_out=True).customers
    if not held:
        return None
    seen = rows.where((F.col("split_bucket") < HOLD_OUT_BELOW) & F.col("month").isin(*months))
    bare, score = _found_bins(trained, sample_of_customers(seen, SAMPLE / held).limit(SAMPLE))
    (counts,) = feature_counts(seen, [(trained.pipeline, "true", bare)])
    scores = trained.pipeline.transform(seen).select(F.lit(trained.spec.name).alias("model"), score_of(probability()).alias("score"))
    scored, mean = score_counts(scores, {trained.spec.name: score})[trained.spec.name]
    features = {name: replace(bins, shares=shares(counts[name])) for name, bins in bare.items()}
    labels = Count.of([tally(found, months, held_out) for held_out in (True, False)])
    return Reference(months, held, features, replace(score, shares=shares(scored)), mean, labels.customers, labels.rate)


def score_shift(known: Reference, customers: Sequence[int], mean: float) -> Shift:
    """The shift of a score by customers per bin of it and its mean."""
    return replace(_shift(SCORE, SCORE, known.score, customers, known), mean=mean, reference_mean=known.mean_score)


def feature_shift(name: str, bins: Bins, customers: Sequence[int], known: Reference) -> Shift:
    """The shift of a feature by customers per bin of it."""
    return replace(_shift(FEATURE, name, bins, customers, known), weight=bins.weight)


Asked = tuple[PipelineModel, str, Mapping[str, Bins]]  # features are counted of those customers of the population (SQL), by its first stage


def feature_counts(view: DataFrame, asked: Sequence[Asked]) -> list[dict[str, tuple[int, ...]]]:
    """Customers per bin of each feature, for each (pipeline, population, bins) asked for: one pass over the view, however many are asked.

    A feature is what the pipeline's own first stage makes of the view's row. Only the counts come to the driver.
    """
    slots = [(i, name, b) for i, (_, _, bins) in enumerate(asked) for name, found in bins.items() for b in range(found.count)]
    first = {(i, name): slot for slot, (i, name, b) in reversed(list(enumerate(slots)))}
    if not slots:
        return [{} for _ in asked]

    def with_slots(frame: DataFrame, item: tuple[int, Asked]) -> DataFrame:
        i, (pipeline, population, bins) = item
        mine = F.array(*[F.lit(first[i, name]) + found.bin(F.col(quoted(found.column or f"f_{name}"))) for name, found in bins.items()])
        prepared = pipeline.stages[0].transform(frame)
        return prepared.select(*map(quoted, frame.columns), F.when(F.expr(population), mine).otherwise(F.array().cast("array<int>")).alias(f"slots_{i}"))

    wide = reduce(with_slots, [(i, one) for i, one in enumerate(asked) if one[2]], view)
    every = F.concat(*[F.col(c) for c in wide.columns if c.startswith("slots_")])
    counted = {r["slot"]: int(r["count"]) for r in wide.select(F.explode(every).alias("slot")).groupBy("slot").count().collect()}
    return [
        {name: tuple(counted.get(first[i, name] + b, 0) for b in range(found.count)) for name, found in bins.items()}
        for i, (_, _, bins) in enumerate(asked)
    ]


def score_counts(scores: DataFrame, bins: Mapping[str, Bins]) -> dict[str, tuple[tuple[int, ...], float]]:
    """Per model, customers per bin of its score and the mean score; `scores` has `model` and `score`, one row per customer and model."""
    of_model = reduce(lambda other, name: F.when(F.col("model") == name, bins[name].bin(F.col("score"))).otherwise(other), bins, F.lit(None).cast("int"))
    counted = scores.groupBy("model", of_model.alias("bin")).agg(F.count(F.lit(1)).alias("customers"), F.sum("score").alias("total"))
    rows = counted.where(F.col("bin").isNotNull()).collect()
    found = {}
    for name in {r["model"] for r in rows}:
        mine = {r["bin"]: r for r in rows if r["model"] == name}
        customers = tuple(int(mine[b]["customers"]) if b in mine else 0 for b in range(bins[name].count))
        found[name] = customers, math.fsum(r["total"] for r in mine.values()) / sum(customers)
    return found


def shifts(view: DataFrame, scores: DataFrame, watched: Mapping[str, Watched]) -> dict[str, list[Shift]]:
    """Per model, the shift of its score and of each of its features: `view` and `scores` (`model`, `score`) of one month.

    One pass over each, for all models together; a model that scored nobody has none. Of more than COUNTED customers a sample's features are
    counted: with so many, chance moves a PSI by less than 0.001.
    """
    scored = score_counts(scores, {name: w.reference.score for name, w in watched.items()}) if watched else {}
    few = sample_of_customers(view, COUNTED / max([1, *(sum(customers) for customers, _ in scored.values())]))
    counted = feature_counts(few, [(w.scorer.pipeline, w.scorer.spec.population, w.reference.features) for w in watched.values()])
    found = {}
    for (name, one), counts in zip(watched.items(), counted, strict=True):
        if name not in scored:
            continue
        moved = [feature_shift(n, b, counts[n], one.reference) for n, b in one.reference.features.items() if sum(counts[n])]
        found[name] = [score_shift(one.reference, *scored[name]), *moved]
    return found


def label_shift(label: str, labels: Count, known: Reference) -> Shift:
    """The shift of a label that has arrived since, by the customers that have one: two bins."""
    expected, actual = ((1 - rate, rate) for rate in (_inside(known.label_rate, known.label_customers), _inside(labels.rate, labels.customers)))
    chance, noise = psi_noise(2, labels.customers, known.label_customers)
    found = Shift(LABEL, label, 2, labels.customers, known.label_customers, psi(expected, actual), chance, noise)
    return replace(found, mean=labels.rate, reference_mean=known.label_rate)


def retrain_reason(found: Sequence[Shift], rule: Retrain) -> str | None:
    """Why the rule asks for a new model, in one sentence; None if it does not. What chance alone may bring asks for nothing."""
    reasons = [f"its score has PSI {s.psi:.2f}, by chance {s.by_chance:.3f}" for s in found if s.kind == SCORE and s.is_beyond(rule.score_psi)]
    drifted = sorted((s for s in found if s.kind == FEATURE and s.is_beyond(rule.psi)), key=lambda s: -(s.weight or 0.0))
    share = math.fsum(s.weight or 0.0 for s in drifted)
    if share > rule.features_share:
        reasons.append(f"features that carry {share:.0%} of it have drifted: {', '.join(f'{s.subject} {s.psi:.2f}' for s in drifted[:3])}")
    for s in found:
        if s.kind == LABEL and s.mean is not None and s.reference_mean and abs(s.mean / s.reference_mean - 1) > rule.label_change and s.is_beyond(0.0):
            reasons.append(f"{s.mean:.1%} have the label {s.subject} where {s.reference_mean:.1%} had it")
    return "; ".join(reasons) or None


def _bins_of(raw: Mapping[str, object]) -> Bins:
    edges, levels, shares = (tuple(cast(list[object], raw[name])) for name in ("edges", "levels", "shares"))
    weight, column = cast(float, raw["weight"]), cast(str, raw.get("column", ""))
    return Bins(cast(tuple[float, ...], edges), cast(tuple[str, ...], levels), cast(tuple[float, ...], shares), weight, column)


def _found_bins(trained: Trained, sample: DataFrame) -> tuple[dict[str, Bins], Bins]:
    """Bins of the features that carry most, and of the score; without shares."""
    names = list(trained.importances)[:MOST_FEATURES]
    columns = [F.col(f"`f_{n}`").alias(f"v{i}") for i, n in enumerate(names)]
    values = trained.pipeline.transform(sample).select(*columns, score_of(probability()).alias(SCORE)).toPandas()
    texts = trained.prepared.features.categorical
    found = {n: replace(bins_of(values[f"v{i}"], n in texts), weight=trained.importances[n]) for i, n in enumerate(names)}
    return found, bins_of(values[SCORE], is_text=False)


def bins_of(values: pd.Series[Any], is_text: bool) -> Bins:
    """Bins of a thing by a sample of its values, without shares: the levels that are most frequent, or deciles."""
    if is_text:
        return Bins((), tuple(sorted(str(level) for level in values.value_counts().index[:MOST_LEVELS])), ())
    there = values[values > MISSING / 10].to_numpy(dtype=float)
    if not len(there):
        return Bins((), (), ())
    deciles = sorted({float(f"{q:.{_DIGITS}g}") for q in np.quantile(there, QUANTILES, method="inverted_cdf")})
    inner = tuple(edge for edge in deciles if edge < there.max())
    return Bins(inner or (float(f"{there.min():.{_DIGITS}g}"),), (), ())


def _shift(kind: str, subject: str, bins: Bins, counts: Sequence[int], known: Reference) -> Shift:
    n, m = sum(counts), known.customers
    filled = [(e, c) for e, c in zip(bins.shares, counts, strict=True) if e or c]
    chance, noise = psi_noise(len(filled), n, m)
    value = psi([max(e, _EMPTY / m) for e, _ in filled], [max(c, _EMPTY) / n for _, c in filled])
    return Shift(kind, subject, len(filled), n, m, value, chance, noise)


def shares(counts: Sequence[float]) -> tuple[float, ...]:
    """Counts as shares of their sum; of nothing, 0."""
    total = sum(counts)
    return tuple(c / total if total else 0.0 for c in counts)


def _inside(rate: float, customers: int) -> float:
    """A rate as one of two shares that are not 0."""
    least = _EMPTY / customers
    return min(max(rate, least), 1 - least)


def _chain(cases: Sequence[tuple[Column, int]], otherwise: int) -> Column:
    """The number of the first condition that holds."""
    return reduce(lambda later, case: F.when(case[0], case[1]).otherwise(later), reversed(cases), F.lit(otherwise))
