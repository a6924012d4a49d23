"""What an operator delivers and how it maps onto the contracts: `conf/sources/<name>/source.yml`.

Everything that differs from operator to operator stands here: files, columns, expressions, months, validity. No operator needs Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pyspark.sql import types as T

from crm_spark.config.strict import merge, parse, read_yaml
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.months import is_month, month_range
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.declared import TABLES
from crm_spark.tables.raw import QUARANTINE, USER_EXTENSION
from crm_spark.tables.vault import SUBSCRIBER_NUMBER

MAPPABLE_LAYERS = ("raw", "middle")
MADE_HERE = (QUARANTINE.full_name, CALL_STATE.full_name)
HANDLED_APART = ("city", "month")
MADE_AT_THE_DOOR = ("split_bucket", "msisdn", "key_version", "day")  # from other fields of the row, where no column is mapped

ExtensionType = Literal["string", "double", "bigint", "int", "boolean", "date", "decimal(18,2)"]
_TYPES: dict[str, T.DataType] = {
    "string": T.StringType(), "double": T.DoubleType(), "bigint": T.LongType(), "int": T.IntegerType(),
    "boolean": T.BooleanType(), "date": T.DateType(), "decimal(18,2)": T.DecimalType(18, 2),
}  # fmt: skip
_EXTENSION_NAME = re.compile(r"ext_[a-z0-9_]+")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class FileConfig:
    """Files of one layout. `path` may hold {data}, {month} and globs; for `table` it is the catalog name."""

    path: str
    format: Literal["csv", "parquet", "table"]
    delimiter: str = ","
    header: bool = True
    encoding: Literal["utf-8", "gbk"] = "utf-8"
    nulls: tuple[str, ...] = ("",)
    quote: str = '"'
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class MonthRange:
    """First and last month, both included."""

    first: str
    last: str

    @property
    def months(self) -> tuple[str, ...]:
        return month_range(self.first, self.last)


@dataclass(frozen=True)
class MappingConfig:
    """One file layout feeding one table: contract field -> SQL expression over the file's columns."""

    table: str
    file: str
    columns: dict[str, str]
    months: MonthRange | None = None
    city: str | None = None
    month: str | None = None
    money: str | None = None
    validity: dict[str, str | None] = field(default_factory=dict)
    scale: dict[str, int] = field(default_factory=dict)
    periods: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def money_field(self) -> str | None:
        """The field that is filled with the very money that must reconcile, if there is one; not if it is rounded on the way."""
        same = [name for name, sql in self.columns.items() if self.money and sql.strip() == self.money.strip()]
        return next((name for name in same if name not in self.scale), None)

    def filled(self, expression: str, month: str) -> str:
        """The expression with the month's `{placeholders}` filled in."""
        for name, value in self.periods.get(month, {}).items():
            expression = expression.replace(f"{{{name}}}", value)
        return expression

    def words(self, month: str | None = None) -> frozenset[str]:
        """Identifiers in all expressions, filled in for the month, or for every period without one."""
        texts = [*self.columns.values(), self.city or "", self.month or "", self.money or ""]
        months = [month] if month else [*self.periods] or [""]
        return frozenset(word for text in texts for m in months for word in identifiers(self.filled(text, m)))


@dataclass(frozen=True)
class ExtensionConfig:
    """A column that this operator alone has."""

    type: ExtensionType
    unit: str = ""
    comment: str = ""


@dataclass(frozen=True)
class SourceConfig:
    """One operator: its files, and what they feed."""

    operator: str
    description: str
    first_month: str
    last_month: str
    files: dict[str, FileConfig]
    mappings: tuple[MappingConfig, ...]
    extension: dict[str, ExtensionConfig] = field(default_factory=dict)
    name: str = ""
    kept_from: dict[str, str] = field(default_factory=dict)  # layer -> the oldest month of its tables that a run makes

    def months_of(self, mapping: MappingConfig) -> tuple[str, ...]:
        """Months for which the mapping delivers and whose rows are kept."""
        delivered = sorted(mapping.periods) or (mapping.months or MonthRange(self.first_month, self.last_month)).months
        return tuple(m for m in delivered if m >= self.kept_from.get(mapping.table.partition(".")[0], ""))

    def table_of(self, mapping: MappingConfig) -> Table:
        """The contract the mapping feeds, with the operator's own columns where they belong."""
        table = TABLES[mapping.table]
        return table.with_fields(extension_fields(self)) if mapping.table == USER_EXTENSION.full_name else table

    def label_of(self, mapping: MappingConfig) -> str:
        """The mapping's name in ledger and quarantine: its table; `/2`, `/3` behind a second and third one."""
        number = [m for m in self.mappings if m.table == mapping.table].index(mapping) + 1
        return mapping.table if number == 1 else f"{mapping.table}/{number}"


def load_source(conf_dir: Path, source: str) -> SourceConfig:
    """The source `source`; ConfigError tells every problem of the file together, before any data is read.

    A source that `extends` another one has all of it, with its own keys laid over it and its own mappings behind.
    """
    folder = conf_dir / "sources"
    path = folder / source / "source.yml"
    config = parse(SourceConfig, _extended(folder, source), str(path))
    problems = [f"{path}: {problem}" for problem in _problems(config)]
    if problems:
        raise ConfigError(problems)
    return replace(config, name=source)


def _extended(folder: Path, source: str) -> dict[str, Any]:
    path = folder / source / "source.yml"
    if not path.exists():
        raise ConfigError(f"{path}: no such source{did_you_mean(source, [p.name for p in folder.glob('*') if p.is_dir()])}")
    raw = read_yaml(path)
    own = {key: value for key, value in raw.items() if key != "extends"}
    if "extends" not in raw:
        return own
    base = _extended(folder, str(raw["extends"]))
    return merge(base, own) | {"mappings": [*base.get("mappings", []), *own.get("mappings", [])]}


def extension_fields(source: SourceConfig) -> tuple[Field, ...]:
    """The operator's own columns as contract fields."""
    return tuple(Field(name, _TYPES[e.type], _comment(name, e)) for name, e in source.extension.items())


def identifiers(expression: str) -> frozenset[str]:
    """Words of a SQL expression that may be column names, lower case; text in quotes is left out."""
    bare = re.sub(r"'[^']*'", "''", expression)
    return frozenset(word.lower() for part in bare.split("`") for word in (part, *_WORD.findall(part)))


def _comment(name: str, extension: ExtensionConfig) -> str:
    unit = f" ({extension.unit})" if extension.unit else ""
    return f"{extension.comment or name}{unit}"


def _problems(source: SourceConfig) -> list[str]:
    found = [*_month_problems("first_month", source.first_month), *_month_problems("last_month", source.last_month)]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", source.operator):
        found.append(f"operator: '{source.operator}' is not a short code of letters and digits")
    found.extend(
        f"extension.{name}: the name of an operator's own column is ext_ with small letters, digits and _"
        for name in source.extension if not _EXTENSION_NAME.fullmatch(name)
    )  # fmt: skip
    for name, file in source.files.items():
        found.extend(f"files.{name}.{problem}" for problem in _file_problems(file))
    if found:
        return found
    for i, mapping in enumerate(source.mappings):
        found.extend(f"mappings[{i}] ({mapping.table}).{problem}" for problem in _mapping_problems(source, mapping))
    return found


def _file_problems(file: FileConfig) -> Iterator[str]:
    if file.format == "csv" and not file.header and not file.columns:
        yield "columns: without a header the columns must be listed"
    if file.header and file.columns:
        yield "columns: given, but the files have a header; say `header: false` or leave them out"
    if not file.delimiter or len(file.quote) > 1:
        yield "delimiter, quote: a delimiter of one or more characters and a quote of at most one are wanted"


def _mapping_problems(source: SourceConfig, mapping: MappingConfig) -> Iterator[str]:
    if mapping.file not in source.files:
        yield f"file: '{mapping.file}' is not among files{did_you_mean(mapping.file, source.files)}"
    else:
        yield from _span_problems(source, mapping)
    if not _mappable(mapping.table):
        yield f"table: '{mapping.table}' cannot be delivered{did_you_mean(mapping.table, filter(_mappable, TABLES))}"
        return
    table = source.table_of(mapping)
    yield from _unknown("columns", mapping.columns, table)
    yield from _unknown("validity", mapping.validity, table)
    yield from _unknown("scale", mapping.scale, table)
    yield from (f"columns.{name}: is missing; {table.full_name} needs it" for name in _needed(table) if name not in mapping.columns)
    yield from (f"columns.{name}: stands beside columns, as `{name}:` of the mapping" for name in HANDLED_APART if name in mapping.columns)


def _mappable(table: str) -> bool:
    layer = table.partition(".")[0]
    return table in TABLES and table not in MADE_HERE and (layer in MAPPABLE_LAYERS or table == SUBSCRIBER_NUMBER.full_name)


def _needed(table: Table) -> Sequence[str]:
    return [name for name in dict.fromkeys((*table.not_null, *table.key)) if name not in (*HANDLED_APART, *MADE_AT_THE_DOOR)]


def _unknown(part: str, names: Iterable[str], table: Table) -> Iterator[str]:
    for name in names:
        if name not in table.columns:
            yield f"{part}.{name}: {table.full_name} has no such field{did_you_mean(name, table.columns)}"


def _span_problems(source: SourceConfig, mapping: MappingConfig) -> Iterator[str]:
    file = source.files[mapping.file]
    if mapping.months:
        yield from (p for key in ("first", "last") for p in _month_problems(f"months.{key}", getattr(mapping.months, key)))
    yield from (p for month in mapping.periods for p in _month_problems(f"periods.{month}", month))
    if mapping.periods and mapping.months:
        yield "months: periods already say the months"
    if mapping.periods and "{month}" in file.path:
        yield "periods: are for a wide file that holds all months; this path has one file a month"
    if file.format == "table" and "{month}" not in file.path:
        if not mapping.month and not mapping.periods and len(source.months_of(mapping)) != 1:
            yield "month: a catalog table holds all months; say which column or expression gives the month (yyyy-MM)"
    elif "{month}" not in file.path and not mapping.periods and len(source.months_of(mapping)) != 1:
        yield f"file: '{file.path}' is one file; put {{month}} into its path, or give the mapping `periods` or a single month"


def _month_problems(key: str, month: str) -> Iterator[str]:
    if not is_month(month):
        yield f"{key}: '{month}' is not a month (yyyy-MM)"
