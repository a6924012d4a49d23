"""Rules of a decision table that take the same customers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from crm_spark.decisions.compile import Axis, axes_of, matched_atoms
from crm_spark.decisions.example import held_atoms, shown
from crm_spark.decisions.hit_policy import contradicts, in_order_of_answer
from crm_spark.decisions.table import Matrix, Rule


def contradictions(matrix: Matrix) -> Iterator[tuple[Rule, Rule, str]]:
    """Pairs of rules that fire together although the hit policy forbids it, with an example customer.

    A value that no customer should have counts, one that the column's type does not have does not.
    """
    if matrix.hit_policy not in ("UNIQUE", "ANY"):
        return
    axes = axes_of(matrix)
    masks = _held_masks(axes, matrix, matrix.rules)
    for (one, here), (other, there) in combinations(zip(matrix.rules, masks, strict=True), 2):
        common = [a & b for a, b in zip(here, there, strict=True)]
        if all(common) and contradicts(matrix, one, other):
            yield one, other, shown(axes, common, matrix)


def told_contradictions(matrix: Matrix) -> list[str]:
    """The same, each as a problem of the matrix."""
    forbidden = f"which hit_policy {matrix.hit_policy} forbids"
    return [
        f"{matrix.path}: rules '{one.name}' and '{other.name}' fire together, {forbidden}; for example {example}"
        for one, other, example in contradictions(matrix)
    ]


def hidden(matrix: Matrix) -> list[tuple[Rule, Rule]]:
    """(rule, an earlier one that takes every customer of it), where one rule alone answers: of a matrix of any size."""
    axes = axes_of(matrix)
    rules = in_order_of_answer(matrix, matrix.rules)
    masks = _held_masks(axes, matrix, rules)
    found = []
    for place, rule in enumerate(rules):
        covering = (i for i in range(place) if all(mine & ~theirs == 0 for mine, theirs in zip(masks[place], masks[i], strict=True)))
        if (first := next(covering, None)) is not None:
            found.append((rule, rules[first]))
    return found


def _held_masks(axes: Sequence[Axis], matrix: Matrix, rules: Sequence[Rule]) -> list[list[int]]:
    held = [held_atoms(axis, matrix) for axis in axes]
    return [[matched_atoms(axis, rule) & can_be for axis, can_be in zip(axes, held, strict=True)] for rule in rules]
