"""Any table as one of numbers: who is labelled and in which part, what each column is, and the expressions that clean it.

Nothing but counts per column comes to the driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.table_models import HoldOut, TableSpec
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.learning.days import best_form, day_sql
from crm_spark.learning.profile import MISSING_WORDS, SIGNS, UNITS, Summary, described, summary, text_shape
from crm_spark.learning.split import HOLD_OUT, TRAIN, VALIDATION

# Own columns begin with an underscore, so that a table may have any other names.
KEY, HELD, TIME, LABEL, FOLD, PART = "_key", "_held", "_time", "_label", "_fold", "_part"
RESERVED = ("probability", "prediction")  # what the champion's pipeline adds
ADDED = ("score", "probability", "rank_score", "grade", "log_odds", "base", "drivers", "rest")  # what its scores have beside the key
FOLDS = 5  # of out-of-fold encodings
BUCKETS = 1000
_NAMELESS = re.compile(r"_c\d+")  # what Spark calls a column of a CSV whose header is empty
_YES = ("1", "1.0", "yes", "y", "true", "t", "positive", "churn", "churned", "left", "ja", "是")
_NOT = ("-", "none", "nil", "无")  # what a label may say of those without it
_POSITIVE = "positive"
_SHOWN_VALUES = 100  # of a label
_FINITE = 1e30
_EXACT = 10**15  # whole numbers below it are told apart by a double
_NUMBERS_OF_TEXTS = 0.95  # a text is a number, or a date, if so many of its values are
_MANY_NUMBERS, _FEW_WORDS = 50, 5  # different ones, of a text that is a number in half its values
_ONE_TO_A_ROW = 0.9  # a text so often another one is a name or a key
_NUMBERS_PER_ROW = 20  # numbers given out one after the other lie within so many per row
_DIGITS_OF_A_KEY = 10  # at least: phones, cards
_KEY_NAME = re.compile(
    r"(?:^|[^A-Za-z])(?i:id|key|uuid|guid|msisdn|imsi|imei)$|(?<=[a-z])(?:ID|Id|Key)$|(?i:(?:customer|user|client|subscriber|account|member|person)id)$"
    r"|(?:编号|号码|账号|标识)$"
)
_NUMBER_NAME = re.compile(r"(?i)(phone|mobile|account|number)$")
_LONG = 10**6  # the least of numbers with such a name that are no measure
_SEVERAL_TO_A_KEY = 50  # rows at most, on the mean, of a column whose name is a key's
_NEARLY = 0.02  # relative standard deviation of a count of distinct values
_A_KEY = "another value in every row, as a key has"
REPEATED = "named as a key, and several rows have the same: name it as `key`, or rows of one customer learn and judge; as `categories` if it is a code"
MOST_PROFILED = 20_000  # rows that say what a column is


@dataclass(frozen=True)
class Source:
    """A column of the table made usable: `id` is its name from here on, `sql` its clean value over the raw row, null if missing."""

    id: str
    column: str
    kind: str  # number, date, text
    sql: str


@dataclass(frozen=True)
class Profile:
    """What the learning rows show of a number."""

    filled: float
    low: float
    high: float
    mean: float
    mean_size: float
    negative: float


@dataclass(frozen=True)
class Columns:
    """The columns that can be learnt from, and why the others cannot."""

    numbers: tuple[Source, ...]
    texts: tuple[Source, ...]
    profiles: Mapping[str, Profile]
    dropped: Mapping[str, str]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Numbers, then texts."""
        return (*self.numbers, *self.texts)


def labelled(table: DataFrame, spec: TableSpec) -> DataFrame:
    """The rows with a label, with key, fold, label (1.0 as asked for), time (null without one) and whether they are held out beside the raw
    columns; without those of the gap before the hold-out. ConfigError for a label of one value, of several without `positive`, or a column that is not there."""
    wanted = [c for c in (spec.label.column, spec.hold_out.time, *spec.key, *spec.exclude, *spec.categories) if c is not None]
    unknown = [c for c in wanted if c not in table.columns]
    if unknown:
        raise ConfigError([f"{spec.name}: the table has no column '{c}'{did_you_mean(c, table.columns)}" for c in unknown])
    taken = [c for c in table.columns if c.lower() in RESERVED or (c.startswith("_") and not _NAMELESS.fullmatch(c))]
    if taken:
        raise ConfigError([f"{spec.name}: rename the column '{c}': scoring adds columns of such names" for c in taken])
    if told := clashes(table, spec):
        raise ConfigError(told)
    label = label_text(spec.label.column)
    values = _label_values(table.select(label.alias("value")), spec)
    positive = _positive(values, spec)
    known = table.where(label.isNotNull() & (~label.isin(*MISSING_WORDS) | label.isin(*values)))
    members = spec.key or _told(table, spec)
    key = F.xxhash64(F.lit(spec.hold_out.salt), *[_raw(c).cast("string") for c in members])
    added = {
        KEY: key,
        FOLD: F.pmod(F.xxhash64(F.lit("fold"), key), F.lit(FOLDS)).cast("int"),
        LABEL: (label == positive).cast("double"),
    }
    keyed = known.withColumns(added)
    rows = keyed.withColumn(TIME, F.expr(_time_sql(keyed, spec)))
    parted = _parted_by_time(rows, spec) if spec.hold_out.time else rows.withColumn(HELD, _among_the_drawn(spec.hold_out))
    return parted.withMetadata(LABEL, {_POSITIVE: positive})


def label_text(column: str) -> Column:
    """A label's value in small letters, the same of 1, 1.0 and '1'; null without one."""
    return F.expr(_category("", column).sql)


def as_label(value: str) -> str:
    """A value of a spec as `label_text` has it."""
    said = value.strip().lower()
    return str(int(float(said))) if _is_number(said) and float(said).is_integer() else said


def _told(table: DataFrame, spec: TableSpec) -> tuple[str, ...]:
    """Columns that tell equal rows: without those that are left out and those that have no name, as the numbers that pandas gives to rows."""
    others = tuple(c for c in table.columns if c != spec.label.column)
    return tuple(c for c in others if c not in spec.exclude and not _NAMELESS.fullmatch(c)) or others


def positive_of(rows: DataFrame) -> str:
    """The value that is asked for, of rows that `labelled` made."""
    return str(rows.schema[LABEL].metadata[_POSITIVE])


def clashes(table: DataFrame, spec: TableSpec) -> list[str]:
    """Columns that scores carry, but would have twice."""
    taken = [c for c in spec.key or table.columns if c.lower() in ADDED]
    return [f"{spec.name}: rename the column '{c}', or name a `key`: scoring adds a column of that name" for c in taken]


def in_parts(rows: DataFrame, validation: float) -> DataFrame:
    """With the part of each row: those held out judge, `validation` of the others choose, the rest learn."""
    chooses = F.pmod(F.xxhash64(F.lit("validation"), F.col(KEY)), F.lit(BUCKETS)) < round(validation * BUCKETS)
    return rows.withColumn(PART, F.when(F.col(HELD), HOLD_OUT).when(chooses, VALIDATION).otherwise(TRAIN))


def profiled(learnt: DataFrame, spec: TableSpec, size: int, whole: int | None = None) -> Columns:
    """What every column of the `size` learning rows, of `whole` in the table (None: no more), is good for, by a sample of them; a text that holds
    numbers or dates counts as such."""
    own = {KEY, HELD, TIME, LABEL, FOLD, PART, spec.label.column, spec.hold_out.time, *spec.key, *spec.exclude}
    fields = [f for f in learnt.schema.fields if f.name not in own]
    dropped = {f.name: f"a {f.dataType.simpleString()} is no number, truth value, date or text" for f in fields if not _usable(f)}
    usable = [f for f in fields if _usable(f)]
    seen = learnt.where(F.pmod(F.xxhash64(F.lit("profile"), F.col(KEY)), F.lit(size)) < MOST_PROFILED)
    texts = [f.name for f in usable if isinstance(f.dataType, T.StringType) and f.name not in spec.categories]
    shapes = described(seen.select(*map(_raw, texts)), text_shape)
    sources = tuple(_category(f"_x{i}", f.name) if f.name in spec.categories else _source(f"_x{i}", f, shapes.get(f.name)) for i, f in enumerate(usable))
    found = described(seen.select(*[F.expr(s.sql).alias(s.id) for s in sources]), summary)
    codes = set(spec.categories)
    dropped |= {s.column: reason for s in sources if (reason := _useless(found[s.id]))}
    dropped |= {s.column: _A_KEY for s in sources if s.column not in codes | dropped.keys() and _is_told_by_row(s, found[s.id], whole or size)}
    named = [s for s in sources if s.column not in codes and dropped.get(s.column, _A_KEY) == _A_KEY and _is_named_as_key(s, found[s.id])]
    dropped |= dict.fromkeys(_shared_keys(learnt, named), REPEATED)
    dropped |= _doubles([s for s in sources if s.column not in dropped], found)
    kept = [s for s in sources if s.column not in dropped]
    profiles = {s.id: _profile(found[s.id]) for s in kept if s.kind != "text"}
    return Columns(tuple(s for s in kept if s.kind != "text"), tuple(s for s in kept if s.kind == "text"), profiles, dropped)


def clean_statement(columns: Columns) -> str:
    """SQL over raw rows that adds every column's clean value."""
    return f"SELECT *, {', '.join(f'{s.sql} AS {s.id}' for s in columns.sources)} FROM __THIS__"


def quoted(column: str) -> str:
    """The column's name in SQL, whatever stands in it."""
    return "`" + column.replace("`", "``") + "`"


def _among_the_drawn(hold_out: HoldOut) -> Column:
    width = round(hold_out.share * BUCKETS)
    bucket = F.pmod(F.xxhash64(F.lit("bucket"), F.col(KEY)), F.lit(BUCKETS))
    return F.pmod(bucket - hold_out.fold * width, F.lit(BUCKETS)) < width


def _time_sql(rows: DataFrame, spec: TableSpec) -> str:
    """The time by which rows are held out, as a number."""
    if spec.hold_out.time is None:
        return "CAST(NULL AS double)"
    (field,) = (f for f in rows.schema.fields if f.name == spec.hold_out.time)
    if not isinstance(field.dataType, T.StringType):
        return _source(TIME, field, None).sql
    seen = rows.where(F.pmod(F.xxhash64(F.lit("time"), F.col(KEY)), F.lit(max(1, rows.count()))) < MOST_PROFILED)
    source = _source(TIME, field, described(seen.select(_raw(field.name)), text_shape)[field.name])
    if source.kind == "text":
        raise ConfigError(f"{spec.name}: hold_out: time: '{field.name}' holds neither days, months nor numbers")
    there = _raw(field.name).isNotNull() & ~F.lower(F.trim(_raw(field.name))).isin(*MISSING_WORDS)
    told, unread = _only_row(rows.agg(F.count_if(there), F.count_if(there & F.expr(source.sql).isNull())))
    if unread > (1 - _NUMBERS_OF_TEXTS) * told:
        raise ConfigError(f"{spec.name}: hold_out: time: '{field.name}': {unread:,} of {told:,} values are no {source.kind} in the form of the others")
    return source.sql


def _parted_by_time(rows: DataFrame, spec: TableSpec) -> DataFrame:
    """About the share of newest rows is held out, those of one time together; who has no time is not among them, but learns."""
    time, share = F.col(TIME), spec.hold_out.share
    edge = F.lit(_only_row(rows.agg(F.percentile_approx(TIME, 1 - share, 10_000)))[0])
    dated, since, after = _only_row(rows.agg(F.count(TIME), F.count_if(time >= edge), F.count_if(time > edge)))
    sizes = {size: held for size, held in ((since, time >= edge), (after, time > edge)) if 0 < size < dated}
    if not sizes:
        raise ConfigError(f"{spec.name}: hold_out: time: '{spec.hold_out.time}' has not two values, of which the newer could judge")
    judges = F.coalesce(sizes[min(sizes, key=lambda size: abs(size - share * dated))], F.lit(False))
    held = rows.withColumn(HELD, judges)
    if not spec.hold_out.gap:
        return held
    oldest = _only_row(held.where(HELD).agg(F.min(TIME)))[0]
    return held.where(F.col(HELD) | time.isNull() | (time < oldest - spec.hold_out.gap))


def _only_row(frame: DataFrame) -> Row:
    row = frame.first()
    assert row is not None
    return row


def _label_values(labels: DataFrame, spec: TableSpec) -> list[str]:
    """The most frequent values, what is asked for among them. Words for a missing one are none, but for `none` and the like beside one other value."""
    asked = as_label(spec.label.positive or "")
    counts = labels.where(F.col("value").isNotNull()).groupBy("value").count()
    found = [r["value"] for r in counts.orderBy(F.col("value") == asked, F.col("count"), ascending=False).limit(_SHOWN_VALUES).collect()]
    said = [v for v in found if v not in MISSING_WORDS or v == asked != ""]
    values = said if len(said) != 1 else [*said, *[v for v in found if v in _NOT and v not in said][:1]]
    lost = [v for v in found if v and v not in values]
    if len(values) == 1 and lost:
        told = f"the label '{spec.label.column}' is '{values[0]}' or '{lost[0]}', a word for a missing value"
        raise ConfigError(f"{spec.name}: {told}: if it is the other class, write it otherwise in the table, as 'no'")
    return values


def _positive(values: Sequence[str], spec: TableSpec) -> str:
    where = f"{spec.name}: the label '{spec.label.column}'"
    if spec.label.positive is not None:
        if (asked := as_label(spec.label.positive)) not in values:
            raise ConfigError(f"{where} is never '{spec.label.positive}'{did_you_mean(asked, values)}")
        return asked
    if len(values) < 2:
        raise ConfigError(f"{where} has {len(values)} values beside words for a missing one, two are wanted")
    if len(values) == 2 and all(_is_number(v) for v in values):
        return max(values, key=float)
    said = [v for v in values if v in _YES]
    if len(values) == 2 and len(said) == 1:
        return said[0]
    raise ConfigError(f"{where} is one of {', '.join(sorted(values)[:6])}: say which one is asked for by `positive`")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _usable(field: T.StructField) -> bool:
    kinds = (T.NumericType, T.BooleanType, T.StringType, T.DateType, T.TimestampType, T.TimestampNTZType)
    return isinstance(field.dataType, kinds)


def _category(name: str, column: str) -> Source:
    """A code as text, the same of 3, 3.0 and '3'."""
    text = f"CAST({quoted(column)} AS string)"
    number = f"try_cast({text} AS double)"
    return Source(name, column, "text", f"if({number} = floor({number}) AND abs({number}) < {_EXACT}, CAST(CAST({number} AS bigint) AS string), {_level(text)})")


def _level(text: str) -> str:
    return f"nullif(lower(trim({text})), '')"


def _source(name: str, field: T.StructField, shape: Mapping[str, float] | None) -> Source:
    raw = quoted(field.name)
    if shape is None:
        if isinstance(field.dataType, (T.DateType, T.TimestampType, T.TimestampNTZType)):
            return Source(name, field.name, "date", _days(_retold(raw, "date")))
        if isinstance(field.dataType, T.BooleanType):
            return Source(name, field.name, "number", f"CAST({_retold(raw, 'boolean')} AS double)")
        return Source(name, field.name, "number", _finite(f"try_cast({raw} AS double)"))
    kind, value = _read(raw, shape)
    return Source(name, field.name, kind, value)


def _read(raw: str, shape: Mapping[str, float]) -> tuple[str, str]:
    """Kind and SQL of a text. Eight digits may be a day: they are one if nearly all are; of the ways to read a number the one that reads most, the
    plainest of those that read the same: the few that only another one reads may be the largest."""
    least = max(1.0, _NUMBERS_OF_TEXTS * shape["there"])
    form = best_form(shape)
    if shape[form] >= least:
        told = day_sql(f"CAST({raw} AS string)", form)
        return "date", _days(_if_text(raw, told, f"coalesce({told}, {_retold(raw, 'date')})"))
    if shape["comma"] >= least and shape["comma"] > max(shape["signed"], shape["plain"]):
        return "number", _finite(_if_text(raw, _with_comma(raw), _retold(raw, "double")))
    if shape["signed"] >= least and shape["signed"] > shape["plain"]:
        return "number", _finite(_if_text(raw, _signed(raw), _retold(raw, "double")))
    if shape["plain"] >= least or _has_numbers(shape):
        return "number", _finite(_plain(raw))
    return "text", _level(raw)


def _has_numbers(shape: Mapping[str, float]) -> bool:
    """True of many different numbers among which a few words stand for those that are not there."""
    return shape["plain"] >= shape["there"] / 2 and shape["numbers"] >= _MANY_NUMBERS and shape["words"] <= _FEW_WORDS


def _if_text(raw: str, text: str, other: str) -> str:
    """The table that is scored may hold as numbers or days what the one that was learnt from held as text."""
    return f"if(typeof({raw}) = 'string', {text}, {other})"


def _retold(raw: str, kind: str) -> str:
    """By way of text, as Spark refuses to cast some types to others."""
    return f"try_cast(CAST({raw} AS string) AS {kind})"


def _useless(found: Summary) -> str | None:
    if not found["filled"]:
        return "no value in training"
    return "one value in training" if found["distinct"] < 2 and found["filled"] == found["rows"] else None


def _is_told_by_row(source: Source, found: Summary, whole: int) -> bool:
    if source.kind == "text":
        return found["distinct"] >= _ONE_TO_A_ROW * found["rows"]
    return source.kind == "number" and _is_key(found, whole)


def _is_named_as_key(source: Source, found: Summary) -> bool:
    """True of whole numbers and texts named as keys are, and of long whole numbers whose name may be a key's or a measure's."""
    if source.kind == "text":
        return bool(_KEY_NAME.search(source.column))
    if source.kind == "date" or found["whole"] < found["filled"]:
        return False
    return bool(_KEY_NAME.search(source.column) or (_NUMBER_NAME.search(source.column) and found["low"] >= _LONG))


def _shared_keys(learnt: DataFrame, named: Sequence[Source]) -> list[str]:
    """Columns of which, over all rows, several have the same value, but few."""
    if not named:
        return []
    values = [F.expr(s.sql) for s in named]
    counts = _only_row(learnt.agg(F.array(*map(F.count, values)), F.array(*[F.approx_count_distinct(v, _NEARLY) for v in values])))
    return [s.column for s, filled, distinct in zip(named, *counts, strict=True) if filled / _SEVERAL_TO_A_KEY <= distinct < _ONE_TO_A_ROW * filled]


def _is_key(found: Summary, whole: int) -> bool:
    """True of whole numbers, none missing and none twice, that were given out one after the other or all have as many digits as a phone or a card."""
    if not found["rows"] == found["distinct"] == found["whole"]:
        return False
    digits = {len(str(int(found[end]))) for end in ("low", "high")}
    numbered = found["high"] - found["low"] <= _NUMBERS_PER_ROW * whole
    return numbered or (found["low"] > 0 and len(digits) == 1 and min(digits) >= _DIGITS_OF_A_KEY)


def _doubles(sources: Sequence[Source], found: Mapping[str, Summary]) -> dict[str, str]:
    first: dict[tuple[bool, float], str] = {}
    told = {}
    for source in sources:
        seen = first.setdefault((source.kind == "text", found[source.id]["print"]), source.column)
        if seen != source.column:
            told[source.column] = f"the same as {seen}"
    return told


def _profile(found: Summary) -> Profile:
    return Profile(found["filled"] / found["rows"], found["low"], found["high"], found["mean"], found["mean_size"], found["negative"] / found["filled"])


def _raw(column: str) -> Column:
    return F.col(quoted(column))


def _finite(number: str) -> str:
    """NaN is above every number, so the comparison leaves it out too."""
    return f"if(abs({number}) <= {_FINITE!r}D, {number}, NULL)"


def _plain(raw: str) -> str:
    return f"try_cast({raw} AS double)"


def _signed(raw: str) -> str:
    return f"try_cast(regexp_replace({raw}, r'{SIGNS}', '') AS double)"


def _with_comma(raw: str) -> str:
    return f"try_cast(replace(regexp_replace({raw}, r'{UNITS}|[.]', ''), ',', '.') AS double)"


def _days(date: str) -> str:
    return f"CAST(datediff(CAST({date} AS date), DATE'2000-01-01') AS double)"
