"""How each field of a contract is read at the door: its cell, its value, and what may be wrong with it.

Columns by step: `crm__raw_<name>` (what the mapping's SQL gives) -> `crm__cell_<name>` (trimmed, identifiers in one form) -> `<name>`
(the typed value, identifiers still as the operator writes them) -> `crm__bad_<name>_<i>` (flags).
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from crm_spark.config.sources import HANDLED_APART, MADE_AT_THE_DOOR, MappingConfig
from crm_spark.ingest.columnar import FILE_MONTH
from crm_spark.ingest.identity import normalised_number, trimmed
from crm_spark.ingest.raw_values import PLAIN_NUMBER, given_type
from crm_spark.ingest.reading import problems, read
from crm_spark.ingest.reasons import Reason
from crm_spark.ingest.rows import BROKEN
from crm_spark.tables.contract import Field, Table

ALL_CITIES, UNKNOWN_CITY = "_ALL", "_UNKNOWN"
_CITY_CODE = "^(?!.*[0-9]{7})[A-Z0-9_]+$"  # a longer run of digits is a number of somebody, and a city is the name of a folder
_NO_CITY = "not a city code (A-Z, 0-9, _, at most 6 digits in a row)"
_TEXT = T.StringType()


def readers(raw: DataFrame, table: Table, mapping: MappingConfig) -> list[FieldReader]:
    """One reader per field of the contract, in its order."""
    return [_reader(field, given_type(raw, field.name), table, mapping) for field in table.fields]


def _reader(field: Field, given: T.DataType | None, table: Table, mapping: MappingConfig) -> FieldReader:
    if field.name in HANDLED_APART:
        return CityReader(field, given) if field.name == "city" else MonthReader(field, given)
    made = field.name in MADE_AT_THE_DOOR and field.name not in mapping.columns
    return FieldReader(field, given, field.name in table.not_null, not made, mapping.scale.get(field.name))


@dataclass(frozen=True)
class FieldReader:
    """One field and the type its mapping's SQL gives; None if it is not mapped. `told` is off where another field tells the problem."""

    field: Field
    given: T.DataType | None
    needed: bool = False
    told: bool = True
    decimals: int | None = None

    @property
    def cell(self) -> Column:
        """From the raw value: text trimmed, a telephone number normalised."""
        raw = F.col(f"crm__raw_{self.field.name}")
        if self._is_number:
            return normalised_number(trimmed(raw.cast("string")))
        return trimmed(raw.cast("string")) if self._is_text else raw

    @property
    def value(self) -> Column:
        """From the cell: the field's type; an identifier is text until it is hashed."""
        return F.lit(None).cast(self._wanted) if self.given is None else read(self._cell, self._given, self._wanted)

    @property
    def problems(self) -> list[Reason]:
        """From cell and value."""
        if self.given is None or not self.told:
            return []
        cell, value = self._cell, F.col(self.field.name)
        unread = cell.isNull() & F.col(f"crm__fed_{self.field.name}")
        found = [] if self._is_text else [(unread, "cannot be read")]
        if self.needed:
            found.append((cell.isNull() if self._is_text else cell.isNull() & ~unread, "missing"))
        return [*found, *problems(cell, value, self._given, self._wanted, self.decimals)]

    @property
    def _cell(self) -> Column:
        return F.col(f"crm__cell_{self.field.name}")

    @property
    def _is_number(self) -> bool:
        return self.field.pseudonym == "number" or self.field.name == PLAIN_NUMBER

    @property
    def _is_text(self) -> bool:
        identifies = self._is_number or self.field.pseudonym is not None or self.field.name in HANDLED_APART
        return identifies or isinstance(self.given, T.StringType)

    @property
    def _given(self) -> T.DataType:
        return _TEXT if self._is_text or self.given is None else self.given

    @property
    def _wanted(self) -> T.DataType:
        return _TEXT if self.field.pseudonym else self.field.type


@dataclass(frozen=True)
class CityReader(FieldReader):
    """`_ALL` if the operator has no cities, `_UNKNOWN` where a row has none, or none that can be used: a broken line has none."""

    @property
    def value(self) -> Column:
        if self.given is None:
            return F.lit(ALL_CITIES)
        return F.when(F.col(BROKEN).isNull() & self._cell.rlike(_CITY_CODE), self._cell).otherwise(UNKNOWN_CITY)

    @property
    def problems(self) -> list[Reason]:
        return [] if self.given is None else [(~self._cell.rlike(_CITY_CODE), _NO_CITY)]


@dataclass(frozen=True)
class MonthReader(FieldReader):
    """The file's month; a row that says another one is refused."""

    @property
    def value(self) -> Column:
        return F.col(FILE_MONTH)

    @property
    def problems(self) -> list[Reason]:
        return [] if self.given is None else [(~self._cell.eqNullSafe(F.col(FILE_MONTH)), "not the file's month")]
