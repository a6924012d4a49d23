"""Statistics of many small groups at once, each as bandicoot's `helper/maths.py` defines it for one list.

Groups are told by their owner, a number below `owners`; owners ascend. Sums run from the smallest value to the largest, as
bandicoot's do, so that they do not depend on how calls were partitioned.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Nullable = tuple[Floats | Ints, Truths]  # values, and where they are told
MOST = 0.8  # the share that `fewest` are to have


def order_within(owner: Ints, value: Ints) -> Ints:
    """Places of the values, owner by owner from the smallest; equal ones in any order."""
    return np.argsort(_keys(owner, value)[0])


def sorted_within(owner: Ints, value: Ints) -> Ints:
    """The values of each owner from the smallest: the owners stay where they are."""
    keys, low, bits = _keys(owner, value)
    keys.sort()  # one integer is sorted many times as fast as two keys
    return (keys & ((1 << bits) - 1)) + low


def _keys(owner: Ints, value: Ints) -> tuple[Ints, int, int]:
    low = int(value.min(initial=0))
    bits = (int(value.max(initial=0)) - low).bit_length()
    return (owner << bits) | (value - low), low, bits


def summary(owner: Ints, ascending: Floats, owners: int) -> Mapping[str, Nullable]:
    """Mean, population standard deviation, least, most, median, skewness and kurtosis of each owner's values.

    Skewness and kurtosis are 0 where no value differs from the mean.
    """
    count = np.bincount(owner, minlength=owners)
    told, size = count > 0, np.maximum(count, 1)
    mean = np.bincount(owner, ascending, owners) / size
    away = ascending - mean[owner]
    square = away * away
    second, third, fourth = (np.bincount(owner, power, owners) / size for power in (square, square * away, square * square))
    end = np.cumsum(count)
    first = end - count
    padded = np.append(ascending, 0.0)  # an owner without values may begin behind the last one
    return {
        "mean": (mean, told), "std": (np.sqrt(second), told), "min": (padded[first], told), "max": (padded[end - 1], told),
        "median": ((padded[first + count // 2] + padded[first + (size - 1) // 2]) / 2, told),
        "skewness": (_over(third, second**1.5), told), "kurtosis": (_over(fourth, second**2), told),
    }  # fmt: skip


def entropy(owner: Ints, parts: Ints, owners: int) -> Nullable:
    """Shannon entropy (nats) of each owner's whole, told by its parts."""
    share = parts / total(owner, parts, owners)[owner]
    surprise = np.bincount(owner, -share * np.log(share), owners)
    return np.abs(surprise, dtype=np.float64), np.bincount(owner, minlength=owners) > 0


def fewest(owner: Ints, ascending: Ints, owners: int) -> Ints:
    """How many of each owner's parts, taken from the largest on, have four fifths of the whole; none of nothing."""
    running = np.cumsum(ascending)
    whole = total(owner, ascending, owners)
    before = np.cumsum(whole) - whole
    wanted = np.ceil(whole * MOST).astype(np.int64)
    return np.bincount(owner[running - before[owner] > (whole - wanted)[owner]], minlength=owners)


def total(owner: Ints, values: Ints, owners: int) -> Ints:
    """The sum of each owner's whole numbers."""
    return np.bincount(owner, values, owners).astype(np.int64)


def ratio(part: Ints, whole: Ints) -> Nullable:
    """A share, not told of nothing."""
    told = whole > 0
    return part / np.maximum(whole, 1), told


def _over(moment: Floats, scale: Floats) -> Floats:
    return np.divide(moment, scale, out=np.zeros_like(moment), where=scale != 0)
