"""Compiling a decision table: rules painted on a grid of atoms, so that a customer finds its rules by one equality.

The end points of all tests of an input cut its values into atoms: each point, each open interval between two, and NULL. Atoms that
no rule tells apart form one class. A cell of the grid is one class per input, numbered as one mixed-radix integer; only cells in
which a rule fires are kept.

A table whose grid would have more than 5,000,000 cells keeps, per input and class, the rules that it matches as bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
import numpy.typing as npt

from crm_spark.config.decisions import Kind
from crm_spark.decisions.hit_policy import answer, in_order_of_answer
from crm_spark.decisions.table import Matrix, MatrixSet, Rule
from crm_spark.decisions.unary import Anything, Between, Equal, OneOf, Test, Value, points_of
from crm_spark.errors import ConfigError

MOST_CELLS = 5_000_000
BITS = 63  # of a BIGINT that is never negative
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """A place on an axis: left of it are the values below `point`, and the point itself if `included`."""

    point: Value
    included: bool


@dataclass(frozen=True)
class Axis:
    """One input: `atoms` holds the class of every atom in ascending order (interval, point, ..., interval), NULL last.

    A boolean has no intervals: its atoms are false, true, NULL.
    """

    column: str
    kind: Kind
    points: tuple[Value, ...]
    atoms: tuple[int, ...]

    @property
    def classes(self) -> int:
        """How many classes the rules tell apart."""
        return max(self.atoms) + 1

    @property
    def null_class(self) -> int:
        """The class of NULL."""
        return self.atoms[-1]

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """Where the class changes from one atom to the next, ascending."""
        places = _places(self.points, self.kind)
        return tuple(place for place, left, right in zip(places, self.atoms[:-1], self.atoms[1:-1], strict=False) if left != right)

    @property
    def segments(self) -> tuple[int, ...]:
        """The class between one cut and the next; one more than there are cuts."""
        values = self.atoms[:-1]
        return (values[0], *(right for left, right in pairwise(values) if left != right))


@dataclass(frozen=True, eq=False)
class CompiledMatrix:
    """A matrix as a grid: `cells[i]` gives `outcomes[outcome_of[i]]`, the numbers of the rules that fire (of FIRST only the first).

    Outcome 0 is no rule at all; a cell that is not listed has it. With `masks` there is no grid: cell i is the i-th rule in the order
    of the answer, and `masks[axis][class]` has its bit, 63 to a word, where the class matches it.
    """

    matrix: Matrix
    axes: tuple[Axis, ...]
    cells: Numbers
    outcome_of: Numbers
    outcomes: tuple[tuple[int, ...], ...]
    masks: tuple[Numbers, ...] = ()

    @property
    def strides(self) -> tuple[int, ...]:
        """What one step along each axis adds to the cell number."""
        return tuple(prod(axis.classes for axis in self.axes[i + 1 :]) for i in range(len(self.axes)))

    def hits(self, outcome: int) -> tuple[Rule, ...]:
        """The rules that answer in an outcome, by the hit policy; without any, the table's default."""
        return answer(self.matrix, tuple(self.matrix.rules[i] for i in self.outcomes[outcome]))


def compile_all(matrices: MatrixSet) -> tuple[CompiledMatrix, ...]:
    """Every matrix compiled; ConfigError names all that cannot be."""
    problems = [told for matrix in matrices.matrices if (told := size_problem(matrix))]
    if problems:
        raise ConfigError(problems)
    return tuple(compile_matrix(matrix) for matrix in matrices.matrices)


def compile_matrix(matrix: Matrix) -> CompiledMatrix:
    """The grid of one matrix, bits where it would be too large; ConfigError if neither will do. A matrix without rules has no cell."""
    if told := size_problem(matrix):
        raise ConfigError(told)
    axes = axes_of(matrix)
    if _size(axes) > MOST_CELLS:
        return _masked(matrix, axes)
    grid, outcomes = _painted(matrix, axes)
    cells = np.flatnonzero(grid)
    return CompiledMatrix(matrix, axes, cells.astype(np.int64), grid.ravel()[cells], tuple(outcomes))


def size_problem(matrix: Matrix) -> str | None:
    """Why the matrix cannot be compiled, None if it can: what is added up over rules needs the grid."""
    axes = axes_of(matrix)
    if matrix.aggregation == "LIST" or _size(axes) <= MOST_CELLS:
        return None
    told = " x ".join(f"{axis.column} {axis.classes}" for axis in axes)
    why = f"too many for aggregation {matrix.aggregation} ({MOST_CELLS:,} at most)"
    return f"{matrix.path}: its grid has {_size(axes):,} cells ({told}), {why}; split it, or use fewer end points"


def has_grid(matrix: Matrix) -> bool:
    """True if the matrix is small enough for a grid."""
    return _size(axes_of(matrix)) <= MOST_CELLS


def axes_of(matrix: Matrix) -> tuple[Axis, ...]:
    """The inputs that tell rules apart, in column order."""
    axes = (_axis(column, kind, [r.tests.get(column, Anything()) for r in matrix.rules]) for column, kind in matrix.inputs.items())
    return tuple(axis for axis in axes if axis.classes > 1 or not all(matched_atoms(axis, rule) for rule in matrix.rules))


def matched_atoms(axis: Axis, rule: Rule) -> int:
    """The atoms of the axis that the rule's test matches, as bits in the order of `Axis.atoms`."""
    return _in_order(_Line(axis.points), axis.kind, rule.tests.get(axis.column, Anything()))


def _in_order(line: _Line, kind: Kind, test: Test) -> int:
    """Of a boolean only the points are atoms, and NULL."""
    mask = line.mask(test)
    real = (*range(1, line.size, 2), line.size)
    return sum((mask >> atom & 1) << place for place, atom in enumerate(real)) if kind == "boolean" else mask


def _size(axes: Sequence[Axis]) -> int:
    return prod(axis.classes for axis in axes)


def _masked(matrix: Matrix, axes: tuple[Axis, ...]) -> CompiledMatrix:
    rules = in_order_of_answer(matrix, matrix.rules)
    masks = tuple(np.zeros((axis.classes, -(-len(rules) // BITS)), dtype=np.int64) for axis in axes)
    for axis, mask in zip(axes, masks, strict=True):
        line = _Line(axis.points)
        for place, rule in enumerate(rules):
            mask[_matched_classes(axis, rule, line), place // BITS] |= np.int64(1 << place % BITS)
    cells = np.arange(len(rules), dtype=np.int64)
    numbers = {rule.name: number for number, rule in enumerate(matrix.rules)}
    return CompiledMatrix(matrix, axes, cells, cells + 1, ((), *((numbers[rule.name],) for rule in rules)), masks)


def _axis(column: str, kind: Kind, tests: Sequence[Test]) -> Axis:
    ends = frozenset[Value]().union(*map(points_of, tests)) if kind != "boolean" else frozenset[Value]((False, True))
    points = tuple(sorted(ends))
    line = _Line(points)
    marks = [_in_order(line, kind, test) for test in dict.fromkeys(tests)]
    size = len(points) + 1 if kind == "boolean" else line.size + 1
    signatures = [tuple(mark >> atom & 1 for mark in marks) for atom in range(size)]
    numbers = {signature: number for number, signature in enumerate(dict.fromkeys(signatures))}
    return Axis(column, kind, points, tuple(numbers[s] for s in signatures))


class _Line:
    """The atoms of one input as bits: 2i + 1 is point i, 2i the interval before it, the highest bit NULL."""

    def __init__(self, points: tuple[Value, ...]) -> None:
        self._at = {point: 2 * i + 1 for i, point in enumerate(points)}
        self.size = 2 * len(points) + 1
        self._null = 1 << self.size
        self._values = self._null - 1

    def mask(self, test: Test) -> int:
        """The atoms that the test matches."""
        if isinstance(test, Anything):
            return self._values | self._null
        if isinstance(test, Equal):
            return self._null if test.value is None else 1 << self._at[test.value]
        if isinstance(test, Between):
            return self._between(test)
        return self._any(test.tests) if isinstance(test, OneOf) else self._values & ~self._any(test.tests)

    def _any(self, tests: tuple[Test, ...]) -> int:
        matched = 0
        for test in tests:
            matched |= self.mask(test)
        return matched

    def _between(self, test: Between) -> int:
        first = 0 if test.low is None else self._at[test.low] + (not test.low_included)
        last = self.size - 1 if test.high is None else self._at[test.high] - (not test.high_included)
        return (1 << last + 1) - (1 << first)


def _places(points: tuple[Value, ...], kind: Kind) -> tuple[Cut, ...]:
    """The border between each atom and the next."""
    if kind == "boolean":
        return (Cut(True, included=False),)
    return tuple(cut for point in points for cut in (Cut(point, included=False), Cut(point, included=True)))


def _painted(matrix: Matrix, axes: tuple[Axis, ...]) -> tuple[Numbers, list[tuple[int, ...]]]:
    """The outcome number of every cell, and the outcomes."""
    grid = np.zeros(tuple(axis.classes for axis in axes) or (1,), dtype=np.int64)
    outcomes: list[tuple[int, ...]] = [()]
    numbers: dict[tuple[int, ...], int] = {(): 0}

    def after(outcome: int, rule: int) -> int:
        before = outcomes[outcome]
        now = before if before and matrix.hit_policy == "FIRST" else (*before, rule)
        if now not in numbers:
            numbers[now] = len(outcomes)
            outcomes.append(now)
        return numbers[now]

    lines = [(axis, _Line(axis.points)) for axis in axes]
    for number, rule in enumerate(matrix.rules):
        area = np.ix_(*(_matched_classes(axis, rule, line) for axis, line in lines)) if axes else np.ix_([0])
        found, place = np.unique(grid[area], return_inverse=True)
        grid[area] = np.array([after(int(outcome), number) for outcome in found], dtype=np.int64)[place].reshape(grid[area].shape)
    return grid, outcomes


def _matched_classes(axis: Axis, rule: Rule, line: _Line) -> list[int]:
    mask = _in_order(line, axis.kind, rule.tests.get(axis.column, Anything()))
    return sorted({number for atom, number in enumerate(axis.atoms) if mask >> atom & 1})
