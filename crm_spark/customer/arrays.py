"""Small tools for columns as arrays: equal values as numbers, exact sums per place, runs of equal values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]


def groups_of(keys: pa.ChunkedArray, more: pa.ChunkedArray) -> tuple[Ints, int]:
    """The number of each row's subscriber and how many there are; two subscribers that share their first 64 bits stay two."""
    first, count = codes(keys.to_numpy())
    second = more.to_numpy()
    one_of = np.zeros(count, np.int64)
    one_of[first] = second
    if (one_of[first] == second).all():
        return first, count
    others, other_count = codes(second)
    return codes(first * other_count + others)


def codes(values: Ints) -> tuple[Ints, int]:
    """Equal values as equal numbers from 0."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def named_codes(values: pa.ChunkedArray | pa.Array) -> tuple[Ints, list[str]]:
    """Texts as their places in the sorted list of those there are."""
    encoded = (values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values).dictionary_encode()
    names = sorted(encoded.dictionary.to_pylist())
    place = {name: i for i, name in enumerate(names)}
    rank_of = np.array([place[name] for name in encoded.dictionary.to_pylist()], np.int64)
    return rank_of[encoded.indices.to_numpy()], names


def tally(place: Ints, values: Ints | Truths, places: int) -> Ints:
    """Sums of whole numbers, or counts of truths, per place; exact below 2 to the 53rd."""
    if values.dtype == np.bool_:
        return np.bincount(place[values], minlength=places)
    return np.bincount(place, values, places).astype(np.int64)


def sorted_sums(sorted_owner: Ints, values: Ints | Truths, owners: int) -> Ints:
    """Exact sums per owner of values that lie together."""
    totals = np.zeros(owners, np.int64)
    begins = _begins(sorted_owner)
    if len(begins):
        totals[sorted_owner[begins]] = np.add.reduceat(values.astype(np.int64), begins)
    return totals


def place_in_run(values: Ints) -> Ints:
    """0, 1, 2, ... within each run of equal values."""
    begins = _begins(values)
    return np.arange(len(values)) - np.repeat(begins, np.diff(np.r_[begins, len(values)]))


def _begins(values: Ints) -> Ints:
    return np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(values) else values
