"""The linter of decision tables: what a planner would want to know before a table decides over customers.

It looks at the grid of atoms (`decisions.compile`), so that it neither misses a gap nor invents one; of a table too large for one it looks
at pairs of rules. Errors stop a run; warnings are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

import numpy as np

from crm_spark.decisions.compile import Axis, CompiledMatrix, compile_matrix, has_grid, hidden
from crm_spark.decisions.hit_policy import answer
from crm_spark.decisions.outputs import CANDIDATES
from crm_spark.decisions.table import Matrix, MatrixSet, Rule
from crm_spark.decisions.unary import points_of
from crm_spark.errors import ConfigError

Severity = Literal["error", "warning"]
_SHARE, _PERCENT = ("_share",), ("_rate", "_rate_3q", "_rate_3q_min", "_score", "value")
_ANSWERS_ONCE = ("UNIQUE", "ANY", "FIRST", "PRIORITY")


@dataclass(frozen=True)
class Finding:
    """One thing found: in which table and rules, what, and an example customer that falls in (column: value or range)."""

    severity: Severity
    matrix: str
    rules: tuple[str, ...]
    told: str
    example: str = ""

    def __str__(self) -> str:
        named = f" ({', '.join(self.rules)})" if self.rules else ""
        return f"{self.severity}: {self.matrix}{named}: {self.told}{f'; for example {self.example}' if self.example else ''}"


def lint(matrices: MatrixSet, day: date) -> list[Finding]:
    """Everything found in the tables of a source, errors first; `day` is the last day of the month that is decided."""
    found = [f for matrix in matrices.matrices for f in _of_matrix(matrix, matrices, day)]
    return sorted([*found, *_unreached_policies(matrices, day)], key=lambda f: f.severity)


def refuse_errors(findings: Sequence[Finding]) -> None:
    """ConfigError with every error found."""
    errors = [str(f) for f in findings if f.severity == "error"]
    if errors:
        raise ConfigError(errors)


def _of_matrix(matrix: Matrix, matrices: MatrixSet, day: date) -> Iterator[Finding]:
    if has_grid(matrix):
        whole = compile_matrix(replace(matrix, hit_policy="RULE ORDER"))
        yield from _silent_rules(matrix, whole)
        yield from _gaps(matrix, whole)
    else:
        yield from _of_large(matrix)
    for rule in matrix.rules:
        yield from _policies(matrix, rule, matrices, day)
        yield from _units(matrix, rule)


def _of_large(matrix: Matrix) -> Iterator[Finding]:
    """What can be told of a matrix without a grid; where all that fires answers there are neither gaps nor hidden rules."""
    if matrix.hit_policy not in _ANSWERS_ONCE:
        return
    yield Finding("warning", matrix.name, (), "has too many end points to look for gaps, and for rules that several others hide together")
    for rule, earlier in hidden(matrix):
        yield Finding("error", matrix.name, (rule.name,), f"never answers: {earlier.name} comes before it wherever it fires")


def _silent_rules(matrix: Matrix, whole: CompiledMatrix) -> Iterator[Finding]:
    """Rules that never fire, and those that never answer, because the hit policy prefers others; what is added up hears every rule that fires."""
    fired = {o: tuple(matrix.rules[i] for i in whole.outcomes[o]) for o in np.unique(whole.outcome_of).tolist()}
    fires = {rule.name for rules in fired.values() for rule in rules}
    yield from (Finding("error", matrix.name, (rule.name,), "never fires: no value meets its conditions") for rule in matrix.rules if rule.name not in fires)
    if matrix.aggregation != "LIST":
        return
    answers = {o: answer(matrix, rules) for o, rules in fired.items()}
    heard = {rule.name for rules in answers.values() for rule in rules}
    for rule in matrix.rules:
        if rule.name in fires - heard:
            where = [o for o, rules in fired.items() if rule in rules]
            preferred = tuple(dict.fromkeys(other.name for o in where for other in answers[o]))
            cell = next(int(c) for c, o in zip(whole.cells, whole.outcome_of, strict=True) if o == where[0])
            yield Finding("error", matrix.name, (rule.name,), f"never answers: {', '.join(preferred)} come before it wherever it fires", _shown(whole, cell))


def _gaps(matrix: Matrix, whole: CompiledMatrix) -> Iterator[Finding]:
    """Customers whom no rule takes, where the table is to answer everybody with one rule and has no default."""
    if matrix.default or matrix.hit_policy not in _ANSWERS_ONCE:
        return
    missed = np.zeros(tuple(axis.classes for axis in whole.axes) or (1,), dtype=bool)
    missed[np.ix_(*(_classes(axis, matrix) for axis in whole.axes)) if whole.axes else ...] = True
    size = int(missed.sum())
    missed.ravel()[whole.cells] = False
    if missed.any():
        told = f"{int(missed.sum()):,} of {size:,} kinds of customers meet no rule, and there is no default"
        yield Finding("warning", matrix.name, (), told, _shown(whole, int(np.flatnonzero(missed)[0])))


def _possible(axis: Axis, matrix: Matrix) -> list[int]:
    """Atoms that a customer can be in: a text has one of its allowed values; a number lies not below 0 if no cell asks what does."""
    atoms = range(len(axis.atoms))
    if axis.kind == "number" and axis.points[0] == 0:
        return [*atoms[1:]]
    if axis.kind == "string" and set(matrix.allowed.get(axis.column, ())) == set(axis.points):
        return [i for i in atoms if i % 2 or i == len(axis.atoms) - 1]
    return [*atoms]


def _classes(axis: Axis, matrix: Matrix) -> list[int]:
    return sorted({axis.atoms[i] for i in _possible(axis, matrix)})


def _policies(matrix: Matrix, rule: Rule, matrices: MatrixSet, day: date) -> Iterator[Finding]:
    proposed = [p for p in rule.outputs.get(CANDIDATES, "").split(",") if p]
    late = [p for p in proposed if matrices.policies[p].out_of_date(day, day)]
    if late and len(late) == len(proposed):
        yield Finding("error", matrix.name, (rule.name,), f"proposes nothing that is valid on {day}: {_when(late, matrices, day)}")
    elif late:
        yield Finding("warning", matrix.name, (rule.name,), f"proposes {_when(late, matrices, day)} (on {day})")


def _when(policies: Sequence[str], matrices: MatrixSet, day: date) -> str:
    return ", ".join(f"{p} {str(matrices.policies[p].out_of_date(day, day)).replace('_', ' ')}" for p in policies)


def _units(matrix: Matrix, rule: Rule) -> Iterator[Finding]:
    """End points that the column's unit makes unlikely: 86 where a share is 0.86, 0.86 where percent are meant."""
    for column, test in rule.tests.items():
        points = [p for p in points_of(test) if isinstance(p, Decimal)]
        beyond = [p for p in points if not 0 <= p <= 1]
        if column.endswith(_SHARE) and beyond:
            yield Finding("error", matrix.name, (rule.name,), f"{column} is a share between 0 and 1, the cell says {beyond[0]}")
        if column.endswith(_PERCENT) and points and all(0 < p < 1 for p in points):
            yield Finding("warning", matrix.name, (rule.name,), f"{column} goes from 0 to 100, the cell says {points[0]}: is a share meant?")


def _unreached_policies(matrices: MatrixSet, day: date) -> Iterator[Finding]:
    reached = {p for m in matrices.matrices for r in (*m.rules, *filter(None, [m.default])) for p in r.outputs.get(CANDIDATES, "").split(",")}
    for name, policy in sorted(matrices.policies.items()):
        if name not in reached and not policy.out_of_date(day, day):
            yield Finding("warning", policy.goal, (), f"no rule of any table proposes the policy {name}")


def _shown(compiled: CompiledMatrix, cell: int) -> str:
    """A customer of a cell."""
    places = np.unravel_index(cell, tuple(axis.classes for axis in compiled.axes)) if compiled.axes else ()
    told = (f"{axis.column} {_atom(axis, int(place), compiled.matrix)}" for axis, place in zip(compiled.axes, places, strict=True))
    return ", ".join(told) or "any customer"


def _atom(axis: Axis, wanted: int, matrix: Matrix) -> str:
    """How an atom of the class reads: one that a customer can be in, and a value rather than a range."""
    of_class = [i for i, found in enumerate(axis.atoms) if found == wanted]
    possible = [i for i in of_class if i in _possible(axis, matrix)] or of_class
    null = len(axis.atoms) - 1
    if axis.kind == "boolean":
        return ("= false", "= true", "without a value")[possible[0]]
    best = next((i for i in possible if i % 2 and i != null), possible[0])
    return "without a value" if best == null else f"= {axis.points[best // 2]}" if best % 2 else _range(axis, best, matrix)


def _range(axis: Axis, atom: int, matrix: Matrix) -> str:
    if axis.kind == "string":
        unnamed = [value for value in matrix.allowed.get(axis.column, ()) if value not in axis.points]
        return f"= {unnamed[0]}" if unnamed else "anything else"
    below, above = atom // 2 - 1, atom // 2
    if below < 0:
        return f"< {axis.points[above]}"
    return f"> {axis.points[below]}" if above >= len(axis.points) else f"in ({axis.points[below]}..{axis.points[above]})"
