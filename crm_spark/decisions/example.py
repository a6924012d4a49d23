"""An example customer of a decision table: where on each input a customer can be, and how that reads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, inf
from typing import cast

from crm_spark.decisions.compile import Axis
from crm_spark.decisions.table import Matrix
from crm_spark.decisions.unary import Value

ANYBODY = "any customer"
SHARE = ("_share",)
PERCENT = ("_rate", "_rate_3q", "_rate_3q_min", "_rate_prior_3m", "_rate_mean_3m", "_score", "value")
_UNBOUNDED: tuple[None, None] = (None, None)


def possible_atoms(axis: Axis, matrix: Matrix) -> int:
    """Atoms that a customer can be in, as bits.

    A text has one of its allowed values, where they are known; a number lies within its bounds, and is one that its type has.
    """
    everything = (1 << len(axis.atoms)) - 1
    if axis.kind in ("number", "date"):
        return _held(axis, matrix, bounds(axis.column, matrix) if axis.kind == "number" else _UNBOUNDED)
    allowed = matrix.allowed.get(axis.column, ()) if axis.kind == "string" else ()
    if allowed:
        return sum(1 << atom for atom in {_atom_of(value, axis) for value in allowed}) | 1 << len(axis.atoms) - 1
    return everything


def held_atoms(axis: Axis, matrix: Matrix) -> int:
    """Atoms with a value that the column's type has, as bits: of numbers also those that no customer should have, as dirty data may."""
    return _held(axis, matrix, _UNBOUNDED) if axis.kind in ("number", "date") else (1 << len(axis.atoms)) - 1


def bounds(column: str, matrix: Matrix) -> tuple[int | None, int | None]:
    """The least and the greatest number that a customer can have there, as the column's name says; None where it does not."""
    if column.endswith(SHARE):
        return 0, 1
    if _may_be_negative(column, matrix):
        return _UNBOUNDED
    return 0, 100 if column.endswith(PERCENT) else None


def told_values(axis: Axis, matrix: Matrix) -> str:
    """What a customer can have there, of a column of numbers or days."""
    if axis.kind == "date":
        return "a day"
    (least, most), scale = bounds(axis.column, matrix), matrix.scales.get(axis.column)
    within = "" if least is None else f" from {least} on" if most is None else f" from {least} to {most}"
    return f"a {'whole ' if scale == 0 else ''}number{within}" + (f" in steps of {Decimal((0, (1,), -scale)):f}" if scale else "")


def shown(axes: Sequence[Axis], masks: Sequence[int], matrix: Matrix) -> str:
    """A customer who is in one of the atoms of `masks` on each axis: where there is a choice one that can be, and a value rather than a range."""
    told = (f"{axis.column} {_told(axis, mask, matrix)}" for axis, mask in zip(axes, masks, strict=True) if held_atoms(axis, matrix) & ~mask)
    return ", ".join(told) or ANYBODY


def bits(mask: int) -> Iterator[int]:
    """The places of the bits that are set, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _may_be_negative(column: str, matrix: Matrix) -> bool:
    """Slopes may, money (bills are set right, too), and what an operator or a planner has made; all else of the view counts or measures something."""
    return column.endswith("_trend_3m") or "_yuan" in column or column.startswith("ext_") or column in matrix.derived


def _held(axis: Axis, matrix: Matrix, within: tuple[int | None, int | None]) -> int:
    """Atoms of an axis of numbers or days that hold a value of the column's type from the one bound to the other, as bits, and NULL."""
    steps = _steps(axis, matrix)
    unit = steps or 1
    points = [_number(point) * unit for point in axis.points]
    ends: list[Fraction | float] = [-inf, *points, inf]
    least, most = (end if bound is None else bound * unit for bound, end in zip(within, (-inf, inf), strict=True))
    mask = 1 << len(axis.atoms) - 1
    for place, (low, high) in enumerate(pairwise(ends)):
        if (max(_after(low), least) <= min(_before(high), most)) if steps else (low < most and high > least):
            mask |= 1 << 2 * place
    for place, point in enumerate(points):
        if least <= point <= most and (steps is None or point.denominator == 1):
            mask |= 1 << 2 * place + 1
    return mask


def _steps(axis: Axis, matrix: Matrix) -> int | None:
    """How many values the column's type has from one number to the next, where it has steps."""
    if axis.kind == "date":
        return 1
    scale = matrix.scales.get(axis.column)
    return None if scale is None else 10**scale


def _number(point: Value) -> Fraction:
    return Fraction(point.toordinal() if isinstance(point, date) else cast(Decimal, point))


def _after(low: Fraction | float) -> float:
    """The first whole number above."""
    return low if isinstance(low, float) else floor(low) + 1


def _before(high: Fraction | float) -> float:
    """The last whole number below."""
    return high if isinstance(high, float) else ceil(high) - 1


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
