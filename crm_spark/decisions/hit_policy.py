"""Hit policies: what a decision table answers where several rules fire (DMN 1.4, section 8.2.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from crm_spark.config.decisions import Aggregation
from crm_spark.decisions.table import Matrix, Rule

Rules = tuple[Rule, ...]
LISTING = ("RULE ORDER", "OUTPUT ORDER", "COLLECT")  # all rules that fire answer; else one does


def answer(matrix: Matrix, fired: Rules) -> Rules:
    """The rules that answer, best first, of those that fire, which come in the order of the table; without any, its default.

    Where UNIQUE or ANY is broken there is no answer, not even the default. An aggregation answers with one rule that names all it
    was made of.
    """
    if matrix.aggregation == "COUNT" or (fired and matrix.aggregation != "LIST"):
        return (_aggregated(matrix, fired),)
    if not fired:
        return (matrix.default,) if matrix.default else ()
    return _OF_POLICY[matrix.hit_policy](matrix, fired)


def in_order_of_answer(matrix: Matrix, rules: Rules) -> Rules:
    """The rules in the order in which those that fire answer."""
    return _best_first(matrix, rules) if matrix.hit_policy in ("PRIORITY", "OUTPUT ORDER") else rules


def contradicts(matrix: Matrix, one: Rule, other: Rule) -> bool:
    """True if the two rules may not fire together."""
    return matrix.hit_policy == "UNIQUE" or (matrix.hit_policy == "ANY" and _said(matrix, one) != _said(matrix, other))


def _only(matrix: Matrix, fired: Rules) -> Rules:
    first, *others = fired
    return () if any(contradicts(matrix, first, other) for other in others) else (first,)


def _first(_: Matrix, fired: Rules) -> Rules:
    return fired[:1]


def _all(_: Matrix, fired: Rules) -> Rules:
    return fired


def _best_first(matrix: Matrix, fired: Rules) -> Rules:
    """By the rank of the first output, then of the next; what is not ranked comes last; rules of equal rank as the table has them."""

    def rank(rule: Rule) -> list[int]:
        said = [(values, rule.outputs.get(column, "")) for column, values in matrix.output_values.items()]
        return [values.index(text) if text in values else len(values) for values, text in said]

    return tuple(sorted(fired, key=rank))


def _said(matrix: Matrix, rule: Rule) -> list[str | None]:
    return [rule.outputs.get(column) for column in matrix.outputs]


def _aggregated(matrix: Matrix, fired: Rules) -> Rule:
    (column,) = matrix.outputs
    said = [rule.outputs[column] for rule in fired if rule.outputs.get(column)]
    made = str(len(said)) if matrix.aggregation == "COUNT" else str(_AGGREGATE[matrix.aggregation]([Decimal(s) for s in said]))
    return Rule(" + ".join(rule.name for rule in fired), {}, {column: made})


_AGGREGATE: dict[Aggregation, Callable[[Sequence[Decimal]], Decimal]] = {
    "MIN": min,
    "MAX": max,
    "SUM": lambda values: sum(values, Decimal(0)),
}
_OF_POLICY: dict[str, Callable[[Matrix, Rules], Rules]] = {
    "UNIQUE": _only,
    "ANY": _only,
    "FIRST": _first,
    "PRIORITY": lambda matrix, fired: _best_first(matrix, fired)[:1],
    "RULE ORDER": _all,
    "OUTPUT ORDER": _best_first,
    "COLLECT": _all,
}
