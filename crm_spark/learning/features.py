"""Features: which columns of the view a model may learn from, and the MLlib stages that prepare them from raw view rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pyspark.ml import Estimator, Transformer
from pyspark.ml.feature import SQLTransformer, StringIndexer, StringIndexerModel, VectorAssembler
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.models import SEGMENT_COLUMN, Features
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.learning.expressions import mentioned
from crm_spark.learning.windows import LABEL_VALUE

MISSING = -1e9  # stands for a missing number: far outside any measure, so that a tree may split it off
MISSING_TEXT = "(missing)"
MAX_LEVELS = 12  # trees fit texts of more levels to chance: halls and handsets took a third of the gain and lost AUC on validation
MAX_CITIES = 64
LEVELS_PRECISION = 0.05  # near exact for a few dozen levels; a finer sketch is far slower
KEYS = frozenset({"user_id", "person_id", "household_id", "number_id", "peer_id"})
# Keys carry label signal by their order, the bucket decides who is held out, and segments are known for some months only: none of them is ever a feature.
NEVER = KEYS | {"month", "split_bucket", LABEL_VALUE, SEGMENT_COLUMN}
Stage = Transformer | Estimator[StringIndexerModel]


@dataclass(frozen=True)
class FeatureSet:
    """Feature name -> SQL expression over a view row that is never null, and why other columns were left out."""

    numeric: Mapping[str, str]
    categorical: Mapping[str, str]
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the feature vector."""
        return (*self.categorical, *self.numeric)

    def without(self, reasons: Mapping[str, str]) -> FeatureSet:
        """The set less the features that have a reason against them."""
        return replace(
            self,
            numeric={n: e for n, e in self.numeric.items() if n not in reasons},
            categorical={n: e for n, e in self.categorical.items() if n not in reasons},
            dropped={**self.dropped, **reasons},
        )


def candidate_features(view: DataFrame, wanted: Features) -> FeatureSet:
    """Every number, truth value and text of the view that is no key, or only `wanted.include`; with `wanted.add`, without `wanted.exclude`.

    ConfigError names a column that the view does not have.
    """
    _refuse_unknown(view.columns, wanted)
    added = {name: f"({expression})" for name, expression in wanted.add.items()}
    own = {f.name: f"`{f.name}`" for f in view.schema.fields if _may_be_feature(f, wanted)}
    types = {f.name: f.dataType for f in view.selectExpr(*[f"{e} AS `{n}`" for n, e in (own | added).items()]).schema.fields}
    texts = {n: f"coalesce({e}, '{MISSING_TEXT}')" for n, e in (own | added).items() if isinstance(types[n], T.StringType)}
    return FeatureSet({n: _number(e, types[n]) for n, e in (own | added).items() if n not in texts}, texts)


def learnable_features(rows: DataFrame, candidates: FeatureSet) -> FeatureSet:
    """The candidates that vary in the training rows; the others are dropped with the reason: no value, one value, too many levels.

    One pass over the rows; only the extremes per column come to the driver.
    """
    numeric = list(candidates.numeric)
    vector = VectorAssembler(inputCols=[_column(n) for n in numeric], outputCol="numbers")
    extremes = Summarizer.metrics("min", "max").summary(F.col("numbers")).alias("extremes")
    levels = [F.approx_count_distinct(_column(n), LEVELS_PRECISION).alias(_column(n)) for n in candidates.categorical]
    found = vector.transform(rows.selectExpr(*_expressions(candidates))).agg(extremes, *levels).first()
    if found is None or found["extremes"] is None:
        return candidates
    low, high = found["extremes"]["min"], found["extremes"]["max"]
    reasons = {n: _flat_reason(low[i]) for i, n in enumerate(numeric) if low[i] == high[i]}
    return candidates.without(reasons | _level_reasons({n: int(found[_column(n)]) for n in candidates.categorical}))


def preparation_stages(features: FeatureSet) -> list[Stage]:
    """Stages from a raw view row to the `features` vector: decimals become doubles, missing values a value of their own."""
    stages: list[Stage] = [SQLTransformer(statement=f"SELECT *, {', '.join(_expressions(features))} FROM __THIS__")]
    texts = [_column(n) for n in features.categorical]
    if texts:
        # Alphabetical order: levels keep their number whatever the order of the rows; an unseen level gets a number of its own.
        levels = [f"{c}_level" for c in texts]
        stages.append(StringIndexer(inputCols=texts, outputCols=levels, handleInvalid="keep", stringOrderType="alphabetAsc"))
    inputs = [f"{c}_level" for c in texts] + [_column(n) for n in features.numeric]
    return [*stages, VectorAssembler(inputCols=inputs, outputCol="features")]


def input_columns(features: FeatureSet, view: DataFrame) -> tuple[str, ...]:
    """Columns of the view that the features read, in the view's order."""
    read = mentioned(*features.numeric.values(), *features.categorical.values())
    return tuple(c for c in view.columns if c in read)


def _refuse_unknown(columns: list[str], wanted: Features) -> None:
    unknown = [c for c in (*wanted.include, *wanted.exclude) if c not in columns]
    if unknown:
        raise ConfigError([f"features: the customer view has no column '{c}'{did_you_mean(c, columns)}" for c in unknown])


def _may_be_feature(column: T.StructField, wanted: Features) -> bool:
    asked = column.name in wanted.include if wanted.include else True
    usable = isinstance(column.dataType, (T.NumericType, T.BooleanType, T.StringType))
    return usable and asked and column.name not in NEVER and column.name not in wanted.exclude


def _level_reasons(levels: Mapping[str, int]) -> dict[str, str]:
    few = {n: "no value or one value in training" for n, count in levels.items() if count < 2}
    limit = {n: MAX_CITIES if n == "city" else MAX_LEVELS for n in levels}
    return few | {n: f"more than {limit[n]} levels" for n, count in levels.items() if count > limit[n]}


def _flat_reason(value: float) -> str:
    return "no value in training" if value == MISSING else "one value in training"


def _expressions(features: FeatureSet) -> list[str]:
    return [f"{e} AS `{_column(n)}`" for n, e in (*features.numeric.items(), *features.categorical.items())]


def _number(expression: str, kind: T.DataType) -> str:
    double = f"cast({expression} AS double)"
    if isinstance(kind, (T.DoubleType, T.FloatType)):
        double = f"nanvl({double}, NULL)"
    return f"coalesce({double}, {MISSING!r}D)"


def _column(feature: str) -> str:
    return f"f_{feature}"
