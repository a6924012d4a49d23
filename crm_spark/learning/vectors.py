"""The vectors that models of any table learn from: one for trees, and one for a line, which wants bounded numbers without gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pyspark.ml import Transformer
from pyspark.ml.feature import SQLTransformer, VectorAssembler

from crm_spark.learning.calibrate import SURE
from crm_spark.learning.derive import Feature
from crm_spark.learning.features import MISSING
from crm_spark.learning.members import LINE, TREES
from crm_spark.learning.table import Profile

_LONG_TAIL = 20.0  # a number so many times its mean size is learnt by a line as a logarithm


def vectors(features: Sequence[Feature], line: Sequence[Feature], profiles: Mapping[str, Profile]) -> list[Transformer]:
    """Stages that put the features into the vector of trees, and `line` into that of a line."""
    trees = {f"_f{f.id}": f"coalesce({f.sql}, {MISSING!r}D)" for f in features}
    lines = {name: sql for f in line for name, sql in _line_columns(f, profiles)}
    selected = ", ".join(f"{sql} AS {name}" for name, sql in (trees | lines).items())
    stages: list[Transformer] = [SQLTransformer(statement=f"SELECT *, {selected} FROM __THIS__")]
    stages.append(VectorAssembler(inputCols=list(trees), outputCol=TREES))
    return [*stages, VectorAssembler(inputCols=list(lines), outputCol=LINE)] if lines else stages


def _line_columns(feature: Feature, profiles: Mapping[str, Profile]) -> Iterator[tuple[str, str]]:
    """A line's columns for a feature: within what was seen, without long tails, a missing value at the mean, and a flag for it."""
    profile = profiles.get(feature.id)
    if profile is None:
        yield f"_l{feature.id}", f"coalesce(signum({feature.sql}) * ln(1 + abs({feature.sql})), 0D)"
        return
    long = max(abs(profile.low), abs(profile.high)) > _LONG_TAIL * profile.mean_size
    bounded = f"IF({feature.sql} IS NULL, NULL, least(greatest({feature.sql}, {profile.low!r}D), {profile.high!r}D))"
    value, mean = (f"signum({x}) * ln(1 + abs({x}))" if long else x for x in (bounded, f"{profile.mean!r}D"))
    yield f"_l{feature.id}", f"coalesce({value} - {mean}, 0D)"
    if SURE < profile.filled < 1:
        yield f"_l{feature.id}_missing", f"IF({feature.sql} IS NULL, 1D, 0D)"


def line_words(line: Sequence[Feature], profiles: Mapping[str, Profile]) -> list[str]:
    """Whose driver each element of a line's vector is."""
    return [f.words for f in line for _ in _line_columns(f, profiles)]
