"""A few customers solved exactly: those whom prices hardly tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, hstack, identity, vstack

from crm_spark.decisions.prices import MISSED, Block, Capacities, Family, Floats, Ints, Truths, amounts
from crm_spark.decisions.rounds import NONE

GAP = 1e-5  # of the optimum, at which the search ends
NODES = 200  # after which it ends anyway: a limit of time would not give the same answer twice
SMALL = 2_000  # candidates up to which all are searched through
WHOLE = 1e-6


def polished(block: Block, capacities: Capacities, least: Floats, most: Floats, current: Ints) -> Ints:
    """The best candidate of each customer (NONE: none) within `most`; `current` where nothing better is found.

    A minimum that cannot be had is missed by as little as possible, before value counts. Of many candidates, those whom the linear
    problem gives whole are settled by it, and the few it cuts in two are searched through.
    """
    rows = _rows(block, capacities, least, np.maximum(most, 0))
    settled = np.zeros(len(block.option), dtype=bool)
    lower = np.zeros(len(rows.costs))
    if len(block.option) > SMALL:
        relaxed = linprog(rows.costs, A_ub=rows.matrix, b_ub=rows.limits, bounds=(0, None), method="highs")
        if relaxed.status != 0:
            return current
        share = relaxed.x[: len(block.option)]
        settled = np.maximum.reduceat(np.minimum(share, 1 - share), block.starts)[block.owner] < WHOLE
        lower[: len(share)] = settled & (share > 0.5)
    found = _searched(rows, lower, settled)
    return current if found is None or not rows.fits(found) or rows.cost(found) >= rows.cost(current) else found


def _searched(rows: Rows, lower: Floats, settled: Truths) -> Ints | None:
    """The candidate of each customer; those `settled` are as `lower` says."""
    width = len(settled)
    upper = np.concatenate([np.where(settled, lower[:width], 1.0), np.full(len(lower) - width, np.inf)])
    found = milp(
        rows.costs,
        integrality=np.arange(len(lower)) < width,
        bounds=Bounds(lower, upper),
        constraints=LinearConstraint(rows.matrix, -np.inf, rows.limits),
        options={"mip_rel_gap": GAP, "node_limit": NODES},
    )
    if found.x is None:
        return None
    taken = np.full(len(rows.starts), NONE)
    candidates = np.flatnonzero(found.x[:width] > 0.5)
    taken[np.searchsorted(rows.starts, candidates, side="right") - 1] = candidates
    return taken


@dataclass(frozen=True)
class Rows:
    """A small problem as `matrix` x <= `limits`: each customer at most once, then the capacities with a bound, with their `sign`.

    x are the candidates, and behind them what each minimum lacks.
    """

    matrix: csr_matrix
    limits: Floats
    costs: Floats
    capacity: Ints
    sign: Floats
    starts: Ints

    def fits(self, taken: Ints) -> bool:
        """True if no maximum is exceeded."""
        rest = self._rest(taken)
        return bool((rest[: len(taken) + int((self.sign > 0).sum())] >= 0).all())

    def cost(self, taken: Ints) -> float:
        """What an allocation costs, less what it is worth."""
        lacking = np.maximum(-self._rest(taken)[len(taken) + int((self.sign > 0).sum()) :], 0)
        return float(self.costs[taken[taken != NONE]].sum() + (lacking * self.costs[len(self.costs) - len(lacking) :]).sum())

    def _rest(self, taken: Ints) -> Floats:
        used: Floats = np.asarray(self.matrix[:, taken[taken != NONE]].sum(axis=1)).ravel()
        return self.limits - used


def _rows(block: Block, capacities: Capacities, least: Floats, most: Floats) -> Rows:
    use = vstack([_use(block, family) for family in capacities.families]).tocsr()
    upper, lower = np.flatnonzero(np.isfinite(most)), np.flatnonzero(least > 0)
    each = csr_matrix((np.ones(len(block.option)), (block.owner, np.arange(len(block.option)))))
    nothing = csr_matrix((block.customers + len(upper), len(lower)))
    lacking = MISSED * float(block.value.max()) / capacities.unit[lower]
    return Rows(
        hstack([vstack([each, use[upper], -use[lower]]), vstack([nothing, -identity(len(lower))])]).tocsr(),
        np.concatenate([np.ones(block.customers), most[upper], -least[lower]]),
        np.concatenate([-block.value, lacking]),
        np.concatenate([upper, lower]),
        np.concatenate([np.ones(len(upper)), -np.ones(len(lower))]),
        block.starts,
    )


def _use(block: Block, family: Family) -> csr_matrix:
    capacity = family.of[block.option]
    inside = np.flatnonzero(capacity >= 0)
    return csr_matrix((amounts(block, family)[inside], (capacity[inside], inside)), shape=(family.size, len(block.option)))
