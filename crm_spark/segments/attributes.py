"""The attributes of a segmentation, the sample it is fitted on, and their common scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import DIGITS, clip
from crm_spark.config.segments import SegmentationSpec
from crm_spark.errors import ConfigError, one_line

KEY = ("city", "month", "user_id")
_PARTS_PER_MILLION = 1_000_000


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of an attribute as it enters the clustering (after log or root)."""

    mean: float
    deviation: float


def measured(view: DataFrame, name: str, spec: SegmentationSpec) -> DataFrame:
    """Key and attributes as doubles, one row per row of the view; ConfigError for an attribute that is no SQL over the view."""
    for attribute, sql in spec.expressions.items():
        _refuse_unknown_columns(view, sql, f"segments/{name}.yml: attributes.{attribute}")
    return view.select(*KEY, *[_number(sql).alias(attribute) for attribute, sql in spec.expressions.items()])


def training_sample(attributes: DataFrame, rows: int, size: int) -> DataFrame:
    """About `size` of the `rows` customers, chosen by hash of the key, on one partition sorted by key.

    One partition, because sums of doubles depend on their order: the fit is then the same on any cluster.
    """
    keep = math.ceil(_PARTS_PER_MILLION * min(1.0, size / max(rows, 1)))
    chosen = attributes.where(F.pmod(F.xxhash64("user_id"), F.lit(_PARTS_PER_MILLION)) < keep)
    return chosen.repartition(1).sortWithinPartitions("user_id", "city", "month")


def scales(sample: DataFrame, spec: SegmentationSpec) -> dict[str, Scale | str]:
    """Per attribute its scale in the sample, or why it cannot be used; one row is collected."""
    entering = {a: entering_value(a, spec) for a in spec.forming}
    measures = [m for a, c in entering.items() for m in (F.avg(c).alias(f"{a}|mean"), F.stddev_pop(c).alias(f"{a}|deviation"))]
    found = sample.agg(*measures).first()
    known: Mapping[str, float | None] = found.asDict() if found else {}
    return {a: _scale(known.get(f"{a}|mean"), known.get(f"{a}|deviation")) for a in entering}


def entering_value(attribute: str, spec: SegmentationSpec) -> Column:
    """An attribute as it enters the clustering; a negative value is drawn in like its positive."""
    value = F.col(f"`{attribute}`")
    if attribute in spec.log:
        return F.signum(value) * F.log1p(F.abs(value))
    return F.signum(value) * F.sqrt(F.abs(value)) if attribute in spec.root else value


def standardised(attribute: str, scale: Scale, spec: SegmentationSpec) -> Column:
    """Distance from the mean in standard deviations within the limit, times the weight; a missing value counts as the mean."""
    distance = (entering_value(attribute, spec) - scale.mean) / scale.deviation
    return F.coalesce(clip(distance, -spec.limit, spec.limit) * spec.weights.get(attribute, 1.0), F.lit(0.0))


def usable(found: Mapping[str, Scale | str]) -> dict[str, Scale]:
    """The attributes that have a scale."""
    return {attribute: scale for attribute, scale in found.items() if isinstance(scale, Scale)}


def unusable(found: Mapping[str, Scale | str]) -> dict[str, str]:
    """The attributes that cannot be used, with the reason."""
    return {attribute: reason for attribute, reason in found.items() if isinstance(reason, str)}


def _scale(mean: float | None, deviation: float | None) -> Scale | str:
    if mean is None or deviation is None:
        return "no value in this run"
    return Scale(mean, deviation) if round(deviation, DIGITS) > 0 else f"the same value for every customer ({mean:g})"


def _number(sql: str) -> Column:
    value = F.expr(sql).cast("double")
    return F.when(~F.isnan(value), value)


def _refuse_unknown_columns(view: DataFrame, sql: str, where: str) -> None:
    try:
        view.select(F.expr(sql).cast("double")).schema  # noqa: B018 - the analysis is the check
    except (AnalysisException, ParseException) as error:
        raise ConfigError(f"{where}: {one_line(error)}") from None
