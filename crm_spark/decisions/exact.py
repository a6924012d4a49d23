"""A few customers solved exactly: those whom prices hardly tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, diags, hstack, identity, vstack

from crm_spark.decisions.prices import MISSED, Block, Capacities, Family, Floats, Ints, amounts
from crm_spark.decisions.rounds import NONE

GAP = 1e-5  # of the optimum, at which the search ends
NODES = 200  # after which it ends anyway: a limit of time would not give the same answer twice
SMALL = 2_000  # candidates up to which all are searched through
WHOLE = 1e-6


def polished(block: Block, capacities: Capacities, least: Floats, most: Floats, current: Ints) -> Ints:
    """The best candidate of each customer (NONE: none) within `most`; `current` where nothing better is found.

    A minimum that cannot be had is missed by as little as possible, before value counts. Of many candidates, most are settled as the linear
    problem has them; searched through are the SMALL ones that come nearest to being better by its prices (the core of a knapsack).
    """
    rows = _rows(block, capacities, least, np.maximum(most, 0))
    lower, upper = np.zeros(len(block.option)), np.ones(len(block.option))
    if len(block.option) > SMALL:
        relaxed = linprog(rows.costs, A_ub=rows.scaled, b_ub=rows.scale * rows.limits, bounds=(0, None), method="highs")
        if relaxed.status != 0:
            return current
        lower, upper = _core(block, relaxed.x[: len(block.option)], _losses(block, rows, relaxed.ineqlin.marginals * rows.scale))
    found = _searched(rows, lower, upper)
    return current if found is None or not rows.fits(found) or rows.cost(found) >= rows.cost(current) else found


def _losses(block: Block, rows: Rows, marginals: Floats) -> Floats:
    """What each candidate is worth less than its customer's best by the prices of a linear problem, and behind them what nothing is worth less."""
    prices = np.where(np.arange(len(marginals)) < block.customers, 0.0, -marginals)
    worth = block.value - (prices @ rows.matrix)[: len(block.option)]
    best = np.maximum(np.maximum.reduceat(worth, block.starts), 0.0)
    return np.concatenate([best[block.owner] - worth, best])


def _core(block: Block, share: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Bounds of each candidate: all as in the linear problem, but for the SMALL choices of least loss that it did not make, and what stands against them."""
    nothing = 1 - np.add.reduceat(share, block.starts)
    is_other = np.concatenate([share, nothing]) < 1 - WHOLE
    nearest = np.argsort(np.where(is_other, losses, np.inf), kind="stable")[: min(SMALL, int(is_other.sum()))]
    is_free = np.zeros(len(losses), dtype=bool)
    is_free[nearest] = True
    moves = np.zeros(block.customers, dtype=bool)
    moves[np.concatenate([block.owner, np.arange(block.customers)])[is_free]] = True
    moves |= np.maximum.reduceat(np.minimum(share, 1 - share), block.starts) >= WHOLE
    of_mover = moves[block.owner]
    return np.where(of_mover, 0.0, share > 0.5), np.where(of_mover, is_free[: len(share)] | (share >= WHOLE), share > 0.5).astype(float)


def _searched(rows: Rows, lower: Floats, upper: Floats) -> Ints | None:
    """The candidate of each customer within these bounds."""
    width = len(lower)
    lacking = len(rows.costs) - width
    found = milp(
        rows.costs,
        integrality=np.arange(width + lacking) < width,
        bounds=Bounds(np.append(lower, np.zeros(lacking)), np.append(upper, np.full(lacking, np.inf))),
        constraints=LinearConstraint(rows.scaled, -np.inf, rows.scale * rows.limits),
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

    x are the candidates, and behind them what each minimum lacks. Rows are whole numbers; times `scale` they are offers and yuan, of like size.
    """

    matrix: csr_matrix
    limits: Floats
    costs: Floats
    scale: Floats
    sign: Floats
    starts: Ints

    @property
    def scaled(self) -> csr_matrix:
        """The matrix in offers and yuan."""
        return diags(self.scale) @ self.matrix

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
        1 / np.concatenate([np.ones(block.customers), capacities.unit[upper], capacities.unit[lower]]),
        np.concatenate([np.ones(len(upper)), -np.ones(len(lower))]),
        block.starts,
    )


def _use(block: Block, family: Family) -> csr_matrix:
    capacity = family.of[block.option]
    inside = np.flatnonzero(capacity >= 0)
    return csr_matrix((amounts(block, family)[inside], (capacity[inside], inside)), shape=(family.size, len(block.option)))
