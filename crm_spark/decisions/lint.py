"""The linter of decision tables: what a planner would want to know before a table decides over customers.

It looks at the grid of atoms (`decisions.compile`), so that it neither misses a gap nor invents one; of a table too large for one it looks
at pairs of rules. Errors stop a run; warnings are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

import numpy as np

from crm_spark.decisions.example import PERCENT, SHARE, bounds, told_values
from crm_spark.decisions.outputs import CANDIDATES
from crm_spark.decisions.overlap import contradictions, hidden
from crm_spark.decisions.survey import Outcome, Survey, possible_classes, survey
from crm_spark.decisions.table import MatrixSet, Rule
from crm_spark.decisions.unary import Between, Equal, NoneOf, OneOf, Test, Value, points_of
from crm_spark.errors import ConfigError

Severity = Literal["error", "warning"]
NOBODY = "no customer can fall in"
POLICIES = "policies"  # the sheet, in a finding about it
_ANSWERS_ONCE = ("UNIQUE", "ANY", "FIRST", "PRIORITY")
_NAMED = 3  # rules of many that are named
_BRACES = re.compile(r"\{[^{}]*\}|[{}]")


@dataclass(frozen=True)
class Finding:
    """One thing found: in which table and rows, what, and an example customer that falls in (column: value or range); without one nobody can."""

    severity: Severity
    matrix: str
    rules: tuple[str, ...]
    told: str
    example: str | None = None

    def __str__(self) -> str:
        named = f" ({', '.join(self.rules)})" if self.rules else ""
        return f"{self.severity}: {self.matrix}{named}: {self.told}; {NOBODY if self.example is None else f'for example {self.example}'}"


def lint(matrices: MatrixSet, days: Sequence[date]) -> list[Finding]:
    """Everything found in the tables of a source, errors first; `days` are those on which is contacted."""
    seen = [survey(matrix) for matrix in matrices.matrices]
    found = [f for one in seen for f in _of_matrix(one, matrices, days)]
    return sorted([*found, *_wordings(seen, matrices), *_unreached_policies(matrices, days)], key=lambda f: f.severity)


def refuse_errors(findings: Sequence[Finding]) -> None:
    """ConfigError with every error found."""
    errors = [str(f) for f in findings if f.severity == "error"]
    if errors:
        raise ConfigError(errors)


def _of_matrix(seen: Survey, matrices: MatrixSet, days: Sequence[date]) -> Iterator[Finding]:
    matrix = seen.matrix
    forbidden = f"fire together, which hit_policy {matrix.hit_policy} forbids"
    yield from (Finding("error", matrix.name, (one.name, other.name), forbidden, example) for one, other, example in contradictions(matrix))
    yield from _never_fires(seen)
    yield from (_silent_rules(seen) if seen.missed is not None else _of_large(seen))
    yield from _gaps(seen)
    for rule in (*matrix.rules, *filter(None, [matrix.default])):
        yield from _policies(seen, rule, matrices, days)
        yield from _units(seen, rule)


def _never_fires(seen: Survey) -> Iterator[Finding]:
    """Rules that no value meets, and those that only a value meets which no customer can have."""
    matrix = seen.matrix
    for rule in matrix.rules:
        mine = seen.masks[rule.name]
        unmet = [axis for axis, mask, possible in zip(seen.axes, mine, seen.possible, strict=True) if not mask & possible]
        strange = [axis for axis in unmet if axis.kind != "string" and not _beyond(seen, rule, axis.column)]
        if not all(mine):
            yield Finding("error", matrix.name, (rule.name,), "never fires: no value meets its conditions")
        elif strange:
            told = " and ".join(f"its cell of {axis.column}, which is {told_values(axis, matrix)}" for axis in strange)
            yield Finding("warning", matrix.name, (rule.name,), f"never fires: no customer can meet {told}")
        elif texts := [axis.column for axis in unmet if axis.kind == "string"]:
            told = " and ".join(f"{column} is one of {', '.join(matrix.allowed[column])}" for column in texts)
            yield Finding("warning", matrix.name, (rule.name,), f"never fires as long as {told}, or without a value")


def _of_large(seen: Survey) -> Iterator[Finding]:
    """What can be told of a matrix without a grid; where all that fires answers there are neither gaps nor hidden rules."""
    matrix = seen.matrix
    if matrix.hit_policy not in _ANSWERS_ONCE:
        return
    last, others = matrix.rules[-1], len(matrix.rules) - 1
    told = f"and {others:,} more have too many end points to look for gaps, and for rules that several others hide together"
    yield Finding("warning", matrix.name, (last.name,), told, seen.of_rule(last))
    for rule, earlier in hidden(matrix):
        told = f"never answers: {earlier.name} comes before it wherever it fires"
        yield Finding("error", matrix.name, (rule.name,), told, seen.of_rule(rule))


def _silent_rules(seen: Survey) -> Iterator[Finding]:
    """Rules that fire and never answer, because the hit policy prefers others; what is added up hears every rule that fires."""
    matrix = seen.matrix
    if matrix.aggregation != "LIST":
        return
    heard, ever = ({rule.name for o in seen.outcomes if o.can_be or not possible for rule in o.answers} for possible in (True, False))
    silent: dict[str, list[Outcome]] = {rule.name: [] for rule in matrix.rules if rule.name not in heard}
    for outcome in seen.outcomes if silent else ():
        for name in silent.keys() & {rule.name for rule in outcome.fired}:
            silent[name].append(outcome)
    for rule in (r for r in matrix.rules if r.name in silent):
        fires = silent[rule.name]
        where = [o for o in fires if o.can_be]
        preferred = tuple(dict.fromkeys(other.name for o in where for other in o.answers))
        if not preferred:
            continue  # no customer can be there, or the hit policy forbids what fires together: both are told
        if rule.name in ever:
            told = f"never answers a customer as there can be: {', '.join(preferred)} come before it for each"
            yield Finding("warning", matrix.name, (rule.name,), told, seen.of_cell(where[0].cell))
        else:
            told = f"never answers: {', '.join(preferred)} come before it wherever it fires"
            yield Finding("error", matrix.name, (rule.name,), told, seen.of_cell(where[0].cell))


def _gaps(seen: Survey) -> Iterator[Finding]:
    """Customers whom no rule takes, where the table is to answer everybody with one rule and has no default; and the rules that miss them least."""
    matrix = seen.matrix
    if matrix.default or matrix.hit_policy not in _ANSWERS_ONCE or seen.missed is None or not seen.missed.any():
        return
    size = int(np.prod([len(possible_classes(*one)) for one in zip(seen.axes, seen.possible, strict=True)], dtype=np.int64))
    first = seen.classes(int(np.flatnonzero(seen.missed)[0]))
    apart = {name: sum(not a & b for a, b in zip(masks, first, strict=True)) for name, masks in seen.masks.items()}
    nearest = tuple(name for name, misses in apart.items() if misses == min(apart.values()))[:_NAMED]
    told = f"{int(seen.missed.sum()):,} of {size:,} kinds of customers meet no rule, and there is no default; the rows named miss the example by least"
    yield Finding("warning", matrix.name, nearest, told, seen.of_nobody())


def _policies(seen: Survey, rule: Rule, matrices: MatrixSet, days: Sequence[date]) -> Iterator[Finding]:
    """Policies out of date, and (where the set was put together without reading it) unknown ones, of a rule or of the default."""
    matrix, proposed = seen.matrix, _proposed(rule)
    unknown = [p for p in proposed if p not in matrices.policies]
    late = [p for p in proposed if p not in unknown and matrices.policies[p].out_of_date(days[0], days[-1])]
    if not unknown and not late:
        return
    example = seen.of_rule(rule)
    if unknown:
        yield Finding("error", matrix.name, (rule.name,), f"proposes {', '.join(unknown)}, which the policies do not have", example)
    elif len(late) == len(proposed) and example is not None:
        yield Finding("error", matrix.name, (rule.name,), f"proposes nothing that is valid {_on(days)}: {_when(late, matrices, days)}", example)
    elif late:
        yield Finding("warning", matrix.name, (rule.name,), f"proposes {_when(late, matrices, days)} ({_on(days)})", example)


def _proposed(rule: Rule) -> list[str]:
    return [p for p in rule.outputs.get(CANDIDATES, "").split(",") if p]


def _on(days: Sequence[date]) -> str:
    return f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"


def _when(policies: Sequence[str], matrices: MatrixSet, days: Sequence[date]) -> str:
    return ", ".join(f"{p} {str(matrices.policies[p].out_of_date(days[0], days[-1])).replace('_', ' ')}" for p in policies)


def _units(seen: Survey, rule: Rule) -> Iterator[Finding]:
    """End points that the column's unit makes unlikely: 86 where a share is 0.86, 8600 or 0.86 where percent are meant."""
    for column, test in rule.tests.items():
        if beyond := _beyond(seen, rule, column):
            unit = "is a share between 0 and 1" if column.endswith(SHARE) else "goes from 0 to 100"
            yield Finding("error", seen.matrix.name, (rule.name,), f"{column} {unit}, the cell says {beyond[0]}", seen.meeting(rule))
        small = [p for part in _parts(test) for p in _as_a_share(part)]
        if column.endswith(PERCENT) and small:
            told = f"{column} goes from 0 to 100, the cell says {small[0]} (is a share meant?)"
            yield Finding("warning", seen.matrix.name, (rule.name,), told, seen.meeting(rule))


def _beyond(seen: Survey, rule: Rule, column: str) -> list[Decimal]:
    """End points that no share has, of a share, and those above 100 where percent are meant, ascending."""
    _, most = bounds(column, seen.matrix)
    points = [p for p in points_of(rule.tests[column]) if isinstance(p, Decimal)]
    return sorted(p for p in points if most is not None and (p > most or (column.endswith(SHARE) and p < 0)))


def _parts(test: Test) -> Iterator[Test]:
    """The literals, comparisons and ranges of a cell."""
    if isinstance(test, (OneOf, NoneOf)):
        for part in test.tests:
            yield from _parts(part)
    else:
        yield test


def _as_a_share(part: Test) -> list[Decimal]:
    """End points within 0 and 1 of a part that has no other ones beyond: (0.86..1] is meant as a share, [0.5..100] is not."""
    ends: tuple[Value | None, ...] = (part.value,) if isinstance(part, Equal) else (part.low, part.high) if isinstance(part, Between) else ()
    points = [p for p in ends if isinstance(p, Decimal)]
    return [p for p in points if 0 < p < 1] if all(0 <= p <= 1 for p in points) else []


def _wordings(seen: Sequence[Survey], matrices: MatrixSet) -> Iterator[Finding]:
    """Braces in what clerk and message say word for word: nothing is filled in there."""
    for name, policy in sorted(matrices.policies.items()):
        braces = sorted(set(_BRACES.findall(policy.wording)))
        if braces:
            offered = ((one, rule) for one in seen for rule in (*one.matrix.rules, *filter(None, [one.matrix.default])) if name in _proposed(rule))
            example = next(filter(None, (one.of_rule(rule) for one, rule in offered)), None)
            told = f"the wording says {', '.join(braces)}, and it is said word for word: nothing is filled in"
            yield Finding("error", POLICIES, (name,), told, example)


def _unreached_policies(matrices: MatrixSet, days: Sequence[date]) -> Iterator[Finding]:
    reached = {p for m in matrices.matrices for r in (*m.rules, *filter(None, [m.default])) for p in _proposed(r)}
    for name, policy in sorted(matrices.policies.items()):
        if name not in reached and not policy.out_of_date(days[0], days[-1]):
            yield Finding("warning", POLICIES, (name,), f"no rule of any table proposes it (goal {policy.goal})")
