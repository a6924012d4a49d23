"""What the grid of a decision table shows: which rules fire together, which of them answer, whom no rule takes, with example customers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crm_spark.decisions.compile import Axis, CompiledMatrix, axes_of, compile_matrix, has_grid, matched_atoms
from crm_spark.decisions.example import bits, possible_atoms, shown
from crm_spark.decisions.hit_policy import answer
from crm_spark.decisions.table import DEFAULT, Matrix, Rule


@dataclass(frozen=True)
class Outcome:
    """Rules that fire together, those of them that answer, and a cell where they do: one that a customer can be in, where there is one."""

    fired: tuple[Rule, ...]
    answers: tuple[Rule, ...]
    cell: int
    can_be: bool


@dataclass(frozen=True, eq=False)
class Survey:
    """A matrix with the atoms that a customer can be in and those that each rule matches, and, where it has a grid, what comes out of it.

    `missed` are the cells that a customer can be in and no rule takes; without a grid None, and `outcomes` has nothing.
    """

    matrix: Matrix
    axes: tuple[Axis, ...]
    possible: tuple[int, ...]
    masks: Mapping[str, tuple[int, ...]]
    outcomes: tuple[Outcome, ...] = ()
    missed: npt.NDArray[np.bool_] | None = None

    def of_rule(self, rule: Rule) -> str | None:
        """A customer whom the rule answers, or of a table without a grid one whom it matches; of the default, one whom no rule takes."""
        if rule.name == DEFAULT:
            return self.of_nobody()
        if self.missed is None:
            return self.meeting(rule)
        cell = next((o.cell for o in self.outcomes if o.can_be and rule in o.answers), None)
        return None if cell is None else self.of_cell(cell)

    def meeting(self, rule: Rule) -> str | None:
        """A customer who meets the rule's conditions."""
        masks = self.masks[rule.name]
        can_be = all(mask & possible for mask, possible in zip(masks, self.possible, strict=True))
        return shown(self.axes, masks, self.matrix) if can_be else None

    def of_nobody(self) -> str | None:
        """A customer whom no rule takes."""
        if self.missed is None:
            return "a customer whom no rule takes"
        return self.of_cell(int(np.flatnonzero(self.missed)[0])) if self.missed.any() else None

    def of_cell(self, cell: int) -> str:
        """A customer of a cell."""
        return shown(self.axes, self.classes(cell), self.matrix)

    def classes(self, cell: int) -> tuple[int, ...]:
        """The atoms of a cell on each axis."""
        places = np.unravel_index(cell, _shape(self.axes)) if self.axes else ()
        return tuple(sum(1 << i for i, found in enumerate(axis.atoms) if found == place) for axis, place in zip(self.axes, places, strict=True))


def survey(matrix: Matrix) -> Survey:
    """The matrix as the linter looks at it."""
    axes = axes_of(matrix)
    possible = tuple(possible_atoms(axis, matrix) for axis in axes)
    masks = {rule.name: tuple(matched_atoms(axis, rule) for axis in axes) for rule in matrix.rules}
    if not has_grid(matrix):
        return Survey(matrix, axes, possible, masks)
    whole = compile_matrix(replace(matrix, hit_policy="RULE ORDER", aggregation="LIST"))
    missed = np.zeros(_shape(axes), dtype=bool)
    missed[np.ix_(*map(possible_classes, axes, possible)) if axes else ...] = True
    outcomes = tuple(_outcomes(matrix, whole, missed.ravel()[whole.cells]))
    missed.ravel()[whole.cells] = False
    return Survey(matrix, axes, possible, masks, outcomes, missed)


def _outcomes(matrix: Matrix, whole: CompiledMatrix, can_be: npt.NDArray[np.bool_]) -> Iterator[Outcome]:
    cells: dict[int, tuple[int, bool]] = {}
    for possible in (False, True):  # the second takes the place of the first
        inside = can_be == possible
        numbers, first = np.unique(whole.outcome_of[inside], return_index=True)
        cells |= {number: (cell, possible) for number, cell in zip(numbers.tolist(), whole.cells[inside][first].tolist(), strict=True)}
    for number, (cell, possible) in sorted(cells.items()):
        fired = tuple(matrix.rules[i] for i in whole.outcomes[number])
        yield Outcome(fired, fired if matrix.aggregation != "LIST" else answer(matrix, fired), cell, possible)


def _shape(axes: Sequence[Axis]) -> tuple[int, ...]:
    return tuple(axis.classes for axis in axes) or (1,)


def possible_classes(axis: Axis, possible: int) -> list[int]:
    """Classes of the axis that a customer can be in, of the atoms."""
    return sorted({axis.atoms[i] for i in bits(possible)})
