"""AHP: weights from pairwise judgements, and how far the judgements contradict one another.

The weights are the principal eigenvector of the judgement matrix; consistency index CI = (lambda - n) / (n - 1), consistency
ratio CR = CI / RI (Saaty, The Analytic Hierarchy Process). It lies with the configuration so that a contradiction is told
before any data is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from crm_spark.errors import ConfigError

Judgement = int | float | str
Matrix = tuple[tuple[Fraction, ...], ...]
RandomIndex = Literal["classic", "revised"]

# Consistency index of random matrices of 3, 4, ... 10 parts: Saaty's classic table, and the later one of larger simulations.
RANDOM_INDEX: Mapping[RandomIndex, tuple[float, ...]] = {
    "classic": (0.58, 0.90, 1.12, 1.24, 1.32, 1.41, 1.45, 1.49),
    "revised": (0.52, 0.89, 1.11, 1.25, 1.35, 1.40, 1.45, 1.49),
}
MAX_PARTS = 10
_DIGITS = 9  # differences below are the eigenvalue routine's


@dataclass(frozen=True)
class Weighing:
    """Weights of the parts (they sum to 1) and how consistent the judgements were."""

    weights: dict[str, float]
    eigenvalue: float
    consistency_index: float
    consistency_ratio: float


def weigh(
    parts: Sequence[str], judgements: Sequence[Sequence[Judgement]], random_index: RandomIndex = "classic", limit: float = 0.1
) -> Weighing:
    """Weights of `parts` from their judgements (full matrix or upper triangle).

    ConfigError for a matrix that is no judgement matrix, and for a consistency ratio above `limit`, naming the judgement
    that lies furthest from what all judgements together say.
    """
    matrix = judgement_matrix(parts, judgements)
    weighing = _weighing(parts, matrix, random_index)
    if weighing.consistency_ratio > limit:
        raise ConfigError(
            f"the judgements contradict one another (consistency ratio {weighing.consistency_ratio:.2f}, at most {limit:g}); "
            f"look first at {_suspect(parts, matrix, weighing)}"
        )
    return weighing


def judgement_matrix(parts: Sequence[str], judgements: Sequence[Sequence[Judgement]]) -> Matrix:
    """The exact full matrix; the upper triangle alone (row by row, without the diagonal) is completed by reciprocals."""
    if not 0 < len(parts) <= MAX_PARTS:
        raise ConfigError(f"{len(parts)} parts cannot be compared in pairs: 1 to {MAX_PARTS}; group more of them under criteria")
    rows = [[_exact(j) for j in row] for row in judgements]
    lengths, size = [len(row) for row in rows], len(parts)
    if lengths == [size] * size:
        return _checked(parts, tuple(map(tuple, rows)))
    if lengths == list(range(size - 1, 0, -1)):
        return _checked(parts, _completed(rows, size))
    raise ConfigError(
        f"{size} parts need {size} rows of {size} judgements, or the upper triangle of {size - 1} rows ({size - 1}, ..., 1 judgements); "
        f"found rows of {lengths}"
    )


def _exact(judgement: Judgement) -> Fraction:
    try:
        return Fraction(str(judgement))
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"judgement '{judgement}' is not a number or a fraction such as 1/3") from None


def _completed(triangle: list[list[Fraction]], size: int) -> Matrix:
    above = {(i, i + 1 + k): value for i, row in enumerate(triangle) for k, value in enumerate(row)}
    below = {(j, i): 1 / value for (i, j), value in above.items() if value}
    known = above | below
    return tuple(tuple(known.get((i, j), Fraction(int(i == j))) for j in range(size)) for i in range(size))


def _checked(parts: Sequence[str], matrix: Matrix) -> Matrix:
    problems = [p for i in range(len(parts)) for j in range(i, len(parts)) if (p := _problem(parts, matrix, i, j))]
    if problems:
        raise ConfigError(problems)
    return matrix


def _problem(parts: Sequence[str], matrix: Matrix, i: int, j: int) -> str | None:
    there, back = matrix[i][j], matrix[j][i]
    pair = f"'{parts[i]}' against '{parts[j]}'"
    if i == j:
        return None if there == 1 else f"{pair} is {there}; a part against itself is 1"
    if there <= 0 or back <= 0:
        return f"{pair} is {there} and back {back}; a judgement is greater than zero (less important is a fraction such as 1/3)"
    return None if there * back == 1 else f"{pair} is {there} but back {back}; write {1 / there} there, as exact fraction"


def _weighing(parts: Sequence[str], matrix: Matrix, random_index: RandomIndex) -> Weighing:
    size = len(parts)
    eigenvalues, vectors = np.linalg.eig(_floats(matrix))
    largest = int(np.argmax(eigenvalues.real))
    principal = np.abs(vectors[:, largest].real)
    eigenvalue = float(eigenvalues[largest].real)
    index = max(0.0, (eigenvalue - size) / (size - 1)) if size > 2 else 0.0
    ratio = index / RANDOM_INDEX[random_index][size - 3] if size > 2 else 0.0
    weights = dict(zip(parts, (principal / principal.sum()).tolist(), strict=True))
    return Weighing(weights, eigenvalue, index, ratio)


def _suspect(parts: Sequence[str], matrix: Matrix, weighing: Weighing) -> str:
    weights = np.array([weighing.weights[p] for p in parts])
    said_by_all = weights[:, None] / weights[None, :]
    distance = np.round(np.abs(np.log(_floats(matrix) / said_by_all)), _DIGITS)
    i, j = (int(k) for k in np.unravel_index(int(np.argmax(np.triu(distance))), distance.shape))
    told, said = float(matrix[i][j]), float(said_by_all[i, j])
    return f"'{parts[i]}' against '{parts[j]}': it says {_times(told)}, all judgements together {_times(said)}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times as important"


def _floats(matrix: Matrix) -> npt.NDArray[np.float64]:
    return np.array([[float(value) for value in row] for row in matrix], dtype=np.float64)
