"""Matching a table whose grid would be too large: per input the bits of the rules that a value meets; those of all inputs, and-ed, fire."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.decisions.atoms import class_of
from crm_spark.decisions.compile import BITS, CompiledMatrix

NO_RULE = -1


def with_words(customers: DataFrame, compiled: CompiledMatrix, name: str) -> tuple[DataFrame, list[str]]:
    """`customers` with one BIGINT column per 63 rules, in whose bits stands which of them fire; and the names of these columns."""
    types = {field.name: field.dataType for field in customers.schema.fields}
    masks = [f"__mask_{name}_{number}" for number in range(len(compiled.axes))]
    words = [f"__word_{name}_{number}" for number in range(compiled.masks[0].shape[1])]
    of_inputs = {
        mask: F.get(F.from_json(F.lit(str(bits.tolist())), "array<array<bigint>>"), class_of(axis, types[axis.column]))
        for mask, axis, bits in zip(masks, compiled.axes, compiled.masks, strict=True)
    }
    of_rules = {word: reduce(Column.bitwiseAND, (F.get(mask, F.lit(number)) for mask in masks)) for number, word in enumerate(words)}
    return customers.withColumns(of_inputs).withColumns(of_rules).drop(*masks), words


def first_rule(words: Sequence[str]) -> Column:
    """The lowest bit that is set, counted over all words; -1 if none is."""
    lowest = (F.when(F.col(w) != 0, F.bit_count(F.col(w).bitwiseAND(-F.col(w)) - 1) + BITS * i) for i, w in enumerate(words))
    return F.coalesce(*lowest, F.lit(NO_RULE)).cast("bigint")


def all_rules(words: Sequence[str]) -> Column:
    """Every bit that is set, counted over all words, ascending."""
    return F.flatten(F.array(*(_set_bits(F.col(word), BITS * number) for number, word in enumerate(words))))


def _set_bits(word: Column, first: int) -> Column:
    places = F.sequence(F.lit(0), F.lit(BITS - 1))
    found = F.transform(F.filter(places, lambda place: F.getbit(word, place) == 1), lambda place: place + first)
    return F.when(word != 0, found).otherwise(F.array().cast("array<int>"))
