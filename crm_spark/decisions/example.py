"""An example customer of a decision table: where on each input a customer can be, and how that reads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from crm_spark.decisions.compile import Axis
from crm_spark.decisions.table import Matrix

ANYBODY = "any customer"


def possible_atoms(axis: Axis, matrix: Matrix) -> int:
    """Atoms that a customer can be in, as bits.

    A text has one of its allowed values, where they are known; a number does not lie below a lowest end point of 0, unless it may be negative.
    """
    everything = (1 << len(axis.atoms)) - 1
    if axis.kind == "number" and axis.points[:1] == (0,) and not _may_be_negative(axis.column, matrix):
        return everything & ~1
    allowed = matrix.allowed.get(axis.column, ()) if axis.kind == "string" else ()
    if allowed:
        return sum(1 << atom for atom in {_atom_of(value, axis) for value in allowed}) | 1 << len(axis.atoms) - 1
    return everything


def shown(axes: Sequence[Axis], masks: Sequence[int], matrix: Matrix) -> str:
    """A customer who is in one of the atoms of `masks` on each axis: where there is a choice one that can be, and a value rather than a range."""
    told = (f"{axis.column} {_told(axis, mask, matrix)}" for axis, mask in zip(axes, masks, strict=True) if mask != (1 << len(axis.atoms)) - 1)
    return ", ".join(told) or ANYBODY


def bits(mask: int) -> Iterator[int]:
    """The places of the bits that are set, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _may_be_negative(column: str, matrix: Matrix) -> bool:
    """Slopes may, and what an operator or a planner has made; all else of the view counts or measures something."""
    return column.endswith("_trend_3m") or column.startswith("ext_") or column in matrix.derived


def _atom_of(value: str, axis: Axis) -> int:
    place = bisect_left(axis.points, value)
    return 2 * place + (place < len(axis.points) and axis.points[place] == value)


def _told(axis: Axis, mask: int, matrix: Matrix) -> str:
    atoms = [*bits(mask & possible_atoms(axis, matrix) or mask)]
    null = len(axis.atoms) - 1
    if axis.kind == "boolean":
        return ("= false", "= true", "without a value")[atoms[0]]
    best = next((atom for atom in atoms if atom % 2 and atom != null), atoms[0])
    return "without a value" if best == null else f"= {axis.points[best // 2]}" if best % 2 else _range(axis, best, matrix)


def _range(axis: Axis, atom: int, matrix: Matrix) -> str:
    if axis.kind == "string":
        inside = [value for value in matrix.allowed.get(axis.column, ()) if _atom_of(value, axis) == atom]
        if inside:
            return f"= {inside[0]}"
        if len({axis.atoms[place] for place in range(0, len(axis.atoms) - 1, 2)}) == 1:
            return "anything else"
    below, above = atom // 2 - 1, atom // 2
    ends = [f'"{point}"' if axis.kind == "string" else str(point) for point in axis.points]
    if below < 0:
        return f"< {ends[above]}"
    return f"> {ends[below]}" if above >= len(ends) else f"in ({ends[below]}..{ends[above]})"
