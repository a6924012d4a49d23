"""Drift of a table's champion: what its hold-out looked like, and how far a scored table lies from that."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.learning.drift import (
    COUNTED,
    MOST_FEATURES,
    QUANTILES,
    SAMPLE,
    Bins,
    Reference,
    Shift,
    bins_of,
    feature_counts,
    feature_shift,
    label_shift,
    score_counts,
    score_shift,
    shares,
)  # fmt: skip
from crm_spark.learning.encode import RAREST
from crm_spark.learning.measures import ScoreTable
from crm_spark.learning.profile import MISSING_WORDS
from crm_spark.learning.search import Fitted
from crm_spark.learning.split import HOLD_OUT, Count
from crm_spark.learning.table import LABEL, PART, Source, as_label, label_text

_SOURCE = re.compile(r"_x\d+")  # what `table.profiled` calls a column, in a feature's SQL


def table_reference(fitted: Fitted) -> Reference:
    """The scores of the hold-out, in tenths, and of the columns that move the score most the rows in each bin, as if no negatives had been left out.

    At most 20,000 rows, by which bins are found, come to the driver. A level is named if ten of them have it.
    """
    weights = _weights(fitted)
    watched = sorted((s for s in fitted.columns.sources if weights[s.id] > 0), key=lambda s: -weights[s.id])[:MOST_FEATURES]
    held = fitted.rows.where(F.col(PART) == HOLD_OUT)
    bins = _found_bins(fitted.pipeline, held, watched)
    positive, negative = feature_counts(held, [(fitted.pipeline, f"{LABEL} = {label}", bins) for label in (1, 0)])
    natural = {name: [p + n / fitted.spec.negatives_kept for p, n in zip(positive[name], negative[name], strict=True)] for name in bins}
    features = {s.column: replace(bins[s.column], shares=shares(natural[s.column]), weight=weights[s.id]) for s in watched if s.column in bins}
    rows, positives = (sum(sizes) for sizes in zip(*fitted.sizes.values(), strict=True))
    labels = Count(round(positives + (rows - positives) / fitted.spec.negatives_kept), positives)
    return replace(reference_of_scores(fitted.hold_out, labels), features=features)


def reference_of_scores(hold_out: ScoreTable, labels: Count) -> Reference:
    """A reference without features; `labels` are of all labelled rows.

    An edge lies between two scores, so that a score is on the same side of it whether it is rounded or not.
    """
    score, customers = 100 * hold_out.score[::-1], hold_out.customers[::-1]
    share = np.cumsum(customers) / hold_out.total
    places = sorted({int(np.searchsorted(share, q)) for q in QUANTILES} - {len(score) - 1})
    edges = tuple(float((score[i] + score[i + 1]) / 2) for i in places) or (float(score[0]),)
    counts = np.bincount(np.searchsorted(edges, score) + 1, weights=customers, minlength=len(edges) + 2)
    bins = Bins(edges, (), tuple(map(float, counts / hold_out.total)))
    return Reference((), round(hold_out.total), {}, bins, float(score @ customers) / hold_out.total, labels.customers, labels.rate)


def table_shifts(table: DataFrame, scores: DataFrame, spec: TableSpec, pipeline: PipelineModel, known: Reference) -> list[Shift]:
    """The shift of the score, of the columns that move it (of more than 100,000 rows a sample's) and, where the table has the label, of that.

    `scores` are those of the table. `spec` says which value of the label is asked for. None of a table without rows.
    """
    found = score_counts(scores.select(F.lit(spec.name).alias("model"), "score"), {spec.name: known.score})
    if spec.name not in found:
        return []
    customers, mean = found[spec.name]
    few = table.sample(COUNTED / sum(customers), seed=spec.seed) if sum(customers) > COUNTED else table
    (counts,) = feature_counts(few, [(pipeline, "true", known.features)])
    moved = [feature_shift(name, bins, counts[name], known) for name, bins in known.features.items() if sum(counts[name])]
    labels = _labels(table, spec.label)
    arrived = [label_shift(spec.label.column, labels, known)] if 0 < labels.positives < labels.customers else []
    return [score_shift(known, customers, mean), *moved, *arrived]


def _weights(fitted: Fitted) -> dict[str, float]:
    """Each column's share of what moves scores; a feature of several columns is shared out evenly."""
    found: dict[str, float] = defaultdict(float)
    for feature in fitted.features:
        sources = set(_SOURCE.findall(feature.sql))
        for source in sources:
            found[source] += fitted.importances.get(feature.words, 0.0) / len(sources)
    return found


def _found_bins(pipeline: PipelineModel, held: DataFrame, watched: list[Source]) -> dict[str, Bins]:
    """Bins of columns, without shares; a text without a level to name has none. The rows lie in the order of a hash."""
    values = pipeline.stages[0].transform(held).select(*[s.id for s in watched]).limit(SAMPLE).toPandas()
    for text in (s.id for s in watched if s.kind == "text"):
        rows = values[text].value_counts()
        values[text] = values[text].where(values[text].isin(rows.index[rows >= RAREST]))
    return {s.column: replace(bins_of(values[s.id], s.kind == "text"), column=s.id) for s in watched if values[s.id].notna().any()}


def _labels(table: DataFrame, label: TableLabel) -> Count:
    if label.column not in table.columns or label.positive is None:
        return Count(0, 0)
    value = label_text(label.column)
    positive = value == as_label(label.positive)
    counts = table.agg(F.count_if(positive | ~value.isin(*MISSING_WORDS)), F.count_if(positive)).collect()[0]
    return Count(*counts)
