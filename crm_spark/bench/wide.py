"""A wide table of anonymous columns, as operators hand them out for contests: half of the cells empty, texts of many levels, few with the label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

Array = npt.NDArray[Any]

KEY, LABEL, CHANCE = "id", "label", "chance"
NUMBERS, EMPTY = 190, 18  # columns; of them without any value
LEVELS = (2, 3, 5, 5, 8, 10, 15, 20, 23, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 5000, 7000, 10_000, 15_000)
_TASTES = 12  # traits behind the columns, which no column shows
_BASE_RATE = 0.073
_LEVEL_EFFECTS = {8: 0.35, 13: 0.3, 22: 0.45, 25: 0.5}  # text -> spread of its levels' effects, in log-odds
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz0123456789"))


def wide_rows(size: int, seed: int) -> pd.DataFrame:
    """KEY, CHANCE, LABEL (1 or -1, drawn by it), numbers Var1 to Var190 and texts Var191 to Var220.

    Which columns are empty goes by five kinds of customers. The label comes of traits that many columns show a little of, of bends and products of
    them, of the kind of customer, and of the levels of four texts.
    """
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(size, _TASTES))
    kind = rng.choice(5, size, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    numbers = {f"Var{i + 1}": _number(rng, i, taste, kind) for i in range(NUMBERS)}
    codes = [_levels(rng, levels, size) for levels in LEVELS]
    odds = 0.5 * taste[:, 0] - 0.4 * np.abs(taste[:, 1]) + 0.4 * taste[:, 2] * taste[:, 3] + 0.5 * np.maximum(taste[:, 4], 0.5)
    odds += np.array([0.0, 0.3, -0.4, 0.5, 0.1])[kind]
    for text, spread in _LEVEL_EFFECTS.items():
        odds += rng.normal(0, spread, LEVELS[text])[codes[text]]
    chance = expit(odds + brentq(lambda shift: expit(odds + shift).mean() - _BASE_RATE, -20, 20))
    label = np.where(rng.random(size) < chance, 1, -1)
    texts = {f"Var{NUMBERS + i + 1}": _text(rng, levels, codes[i]) for i, levels in enumerate(LEVELS)}
    return pd.DataFrame({KEY: np.arange(size), **numbers, **texts, CHANCE: chance, LABEL: label})


def _number(rng: np.random.Generator, place: int, taste: Array, kind: Array) -> Array:
    """One or two traits and much noise, on a scale of its own; long tails, whole numbers and many zeros as they come."""
    size = len(taste)
    if place % (NUMBERS // EMPTY) == 0 and place // (NUMBERS // EMPTY) < EMPTY:
        return np.full(size, np.nan)
    of = rng.choice(_TASTES, 2, replace=False)
    value: Array = taste[:, of] @ rng.normal(0, 0.8, 2) + rng.normal(size=size)
    match place % 4:
        case 0:
            value = np.round(np.exp(1.5 * value + rng.uniform(0, 8)))
        case 1:
            value = np.round(np.maximum(value, 0) * 10 ** rng.integers(0, 3))
        case 2:
            value = 1000 * value
    empty = np.clip(rng.uniform(0, 1) ** (0.3 if place % 2 else 2) + rng.normal(0, 0.15, 5), 0, 0.995)[kind]
    return np.where(rng.random(size) < empty, np.nan, value)


def _levels(rng: np.random.Generator, levels: int, size: int) -> Array:
    """A few levels are frequent, most are rare."""
    weight = 1 / np.arange(1, levels + 1) ** 0.9
    return np.asarray(rng.choice(levels, size, p=weight / weight.sum()))


def _text(rng: np.random.Generator, levels: int, codes: Array) -> Array:
    names = np.array(["".join(rng.choice(_LETTERS, 6)) + str(i) for i in range(levels)], dtype=object)
    told: Array = names[codes]
    told[rng.random(len(codes)) < rng.choice([0.0, 0.02, 0.3])] = None
    return told
