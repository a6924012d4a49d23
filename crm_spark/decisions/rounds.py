"""From prices to an allocation that keeps every maximum: customers choose in rounds, and where a capacity is too small the keenest have it.

What a customer gets is a function of its own candidates and of a small plan, so nothing is kept of a customer between passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crm_spark.decisions.prices import VALUE_UNITS, Best, Block, Capacities, Floats, Ints, Total, Truths, after_prices, amounts, best_of, usage

NONE = -1
ZOOMS = 6
WASTE = 1e-4  # share of a capacity's room that may stay empty for a coarse cut: later rounds fill it
FAR = 1e12  # further than any margin
BUCKETS = 64


@dataclass(frozen=True)
class Round:
    """Who has nothing yet asks for the best candidate whose capacities are all open, and has it if the margin reaches the cut of each of them."""

    is_open: Truths
    cut: Floats


@dataclass(frozen=True)
class Plan:
    """Prices, and the rounds in order."""

    prices: Floats
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True)
class Windows:
    """Where margins are counted: BUCKETS buckets of `width` from `low` on, per capacity."""

    low: Floats
    width: Floats


@dataclass(frozen=True)
class Asked:
    """Per customer the candidate asked for (NONE: none), and how much more it is worth than the next best, none included."""

    candidate: Ints
    margin: Floats


def chosen(block: Block, capacities: Capacities, plan: Plan) -> Ints:
    """The candidate that each customer gets, as its place in the block; NONE: none."""
    worth = after_prices(block, capacities, plan.prices)
    taken = np.full(block.customers, NONE)
    for number, one in enumerate(plan.rounds):
        asked = _asked(block, capacities, worth, one.is_open, number == 0)
        accepted = (taken == NONE) & (asked.candidate != NONE)
        cut = _highest_cut(block, capacities, one.cut, asked.candidate[accepted])
        accepted[accepted] = asked.margin[accepted] >= cut
        taken = np.where(accepted, asked.candidate, taken)
    return taken


def spent(block: Block, capacities: Capacities, taken: Ints) -> Ints:
    """What an allocation uses of each capacity, then its value and the number of offers."""
    candidates = taken[taken != NONE]
    value = np.rint(block.value[candidates] * VALUE_UNITS).astype(np.int64).sum()
    return np.append(usage(block, capacities, candidates), [value, len(candidates)])


def with_round(total: Total, capacities: Capacities, plan: Plan, highest: float) -> Plan:
    """The plan with one round more, in which every maximum still holds: cuts are found in ever narrower windows."""
    used = total(lambda block: spent(block, capacities, chosen(block, capacities, plan)))[: capacities.size]
    room = capacities.most - used
    is_open = room >= 1
    reach = highest + sum(float(np.abs(part).max(initial=0)) for part in capacities.parts(plan.prices)) + 1.0
    windows = Windows(np.full(capacities.size, -reach), np.full(capacities.size, 2 * reach / BUCKETS))
    cut = np.full(capacities.size, -np.inf)
    for _ in range(ZOOMS):
        asking = _asking(capacities, plan, is_open, windows)
        beyond = np.cumsum(total(asking).reshape(capacities.size, BUCKETS)[:, ::-1], axis=1)[:, ::-1]
        cut, windows, waste = _closer(cut, windows, beyond, room)
        if waste <= WASTE:
            break
    return replace(plan, rounds=(*plan.rounds, Round(is_open, cut)))


def doubtful(block: Block, capacities: Capacities, plan: Plan, is_wanted: Truths) -> Floats:
    """How little decides between the customer's best two choices; first come those where one of the two uses a capacity of `is_wanted`."""
    worth = after_prices(block, capacities, plan.prices)
    best = best_of(block, worth)
    second = best_of(block, np.where(np.arange(len(worth)) == best.candidate[block.owner], -np.inf, worth)).candidate
    touches = np.zeros(block.customers, dtype=bool)
    for family, wanted in zip(capacities.families, capacities.parts(is_wanted), strict=True):
        is_there = np.append(wanted, False)
        touches |= is_there[family.of[block.option[best.candidate]]] | is_there[family.of[block.option[second]]]
    return _margin(best) + np.where(touches, 0.0, FAR)


def _margin(best: Best) -> Floats:
    """Of a customer's best choice; choosing nothing is one of the choices."""
    return np.abs(best.worth - np.maximum(best.next_worth, 0.0))


def _asked(block: Block, capacities: Capacities, worth: Floats, is_open: Truths, must_pay: bool) -> Asked:
    """With `must_pay` nobody asks for what is worth less than its prices."""
    usable = np.ones(len(worth), dtype=bool)
    for family, own in zip(capacities.families, capacities.parts(is_open), strict=True):
        usable &= np.append(own, True)[family.of[block.option]]
    best = best_of(block, np.where(usable, worth, -np.inf))
    asks = best.worth > (0.0 if must_pay else -np.inf)
    return Asked(np.where(asks, best.candidate, NONE), best.worth - np.maximum(best.next_worth, 0.0))


def _highest_cut(block: Block, capacities: Capacities, cut: Floats, candidates: Ints) -> Floats:
    highest = np.full(len(candidates), -np.inf)
    for family, own in zip(capacities.families, capacities.parts(cut), strict=True):
        highest = np.maximum(highest, np.append(own, -np.inf)[family.of[block.option[candidates]]])
    return highest


def _asking(capacities: Capacities, plan: Plan, is_open: Truths, windows: Windows) -> Callable[[Block], Ints]:
    """What is asked for in the next round: amounts by capacity and bucket of the margin; the first bucket has also what lies below it."""
    edges = _edges(windows)

    def of_block(block: Block) -> Ints:
        worth = after_prices(block, capacities, plan.prices)
        asked = _asked(block, capacities, worth, is_open, not plan.rounds)
        asks = (chosen(block, capacities, plan) == NONE) & (asked.candidate != NONE)
        candidates, margin = asked.candidate[asks], asked.margin[asks]
        counted, first = [], 0
        for family in capacities.families:
            capacity = family.of[block.option[candidates]]
            own = edges[first : first + family.size]
            amount = amounts(block, family)[candidates]
            table = np.zeros((family.size, BUCKETS))
            for k in np.unique(capacity[capacity >= 0]):
                inside = capacity == k
                bucket = np.searchsorted(own[k], margin[inside], side="right") - 1
                table[k] = np.bincount(np.clip(bucket, 0, BUCKETS - 1), weights=amount[inside], minlength=BUCKETS)
            counted.append(table)
            first += family.size
        return np.concatenate(counted).astype(np.int64).ravel()

    return of_block


def _closer(cut: Floats, windows: Windows, beyond: Ints, room: Floats) -> tuple[Floats, Windows, float]:
    """Cuts at the first edge from which on what is asked for fits, windows between it and the edge before, and the share that then stays empty."""
    edges, waste = _edges(windows), 0.0
    cut, low, width = cut.copy(), windows.low.copy(), windows.width.copy()
    for k in np.flatnonzero(beyond[:, 0] > room):
        too_many = int(np.flatnonzero(beyond[k] > room[k])[-1])
        if too_many + 1 < BUCKETS or cut[k] == -np.inf:  # else the cut is that edge, to the last digit
            cut[k] = edges[k, too_many + 1]
        low[k], width[k] = edges[k, too_many], width[k] / BUCKETS
        kept = beyond[k, too_many + 1] if too_many + 1 < BUCKETS else 0
        waste = max(waste, (room[k] - kept - 1) / room[k] if room[k] >= 1 else 0.0)
    return cut, Windows(low, width), waste


def _edges(windows: Windows) -> Floats:
    return windows.low[:, None] + windows.width[:, None] * np.arange(BUCKETS + 1)
