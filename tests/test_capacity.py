"""One offer a customer within capacities: the published vectors, an exact solver on random problems, and the same answer in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy.optimize import LinearConstraint, milp, minimize_scalar
from scipy.sparse import coo_matrix, vstack

from crm_spark.decisions.allocation import Effort, Few, Held, allocate
from crm_spark.decisions.capacity import Customers, allotted
from crm_spark.decisions.prices import Block, Capacities, Family
from crm_spark.decisions.rounds import NONE


class InMemory(Held):
    """A population that tells a sample, as one that is too large for the driver would."""

    def sample(self, count: int) -> Few:
        return self.nearest(lambda block: np.arange(block.customers) * 0.618 % 1, count)


def in_memory(block: Block) -> InMemory:
    return InMemory(tuple(f"{i:06}" for i in range(block.customers)), block)


def dense(values: np.ndarray, spend: np.ndarray | None = None) -> Block:
    """Every customer may have every option."""
    customers, options = values.shape
    each = np.tile(np.arange(options), customers)
    return Block(np.arange(customers) * options, each, values.ravel().astype(float), np.zeros(values.size) if spend is None else spend.ravel())


def family(most: list[float] | np.ndarray, of: np.ndarray | None = None, least: np.ndarray | None = None, in_yuan: bool = False) -> Family:
    size = len(most)
    return Family(np.arange(size) if of is None else of, np.zeros(size) if least is None else least, np.asarray(most, dtype=float), in_yuan)


def value_of(block: Block, taken: np.ndarray) -> float:
    return float(block.value[taken[taken != NONE]].sum())


def best_possible(block: Block, capacities: Capacities, whole: bool = True) -> float:
    """By an exact solver, written down anew: each customer once, each capacity within its bounds; not `whole` may only be higher."""
    width = len(block.option)
    rows = [coo_matrix((np.ones(width), (block.owner, np.arange(width))), shape=(block.customers, width))]
    low, high = [np.zeros(block.customers)], [np.ones(block.customers)]
    for one in capacities.families:
        capacity = one.of[block.option]
        inside = np.flatnonzero(capacity >= 0)
        amount = block.spend if one.in_yuan else np.ones(width)
        rows.append(coo_matrix((amount[inside], (capacity[inside], inside)), shape=(one.size, width)))
        low.append(one.least)
        high.append(one.most)
    limits = LinearConstraint(vstack(rows).tocsr(), np.concatenate(low), np.concatenate(high))
    found = milp(-block.value, integrality=np.full(width, int(whole)), bounds=(0, 1), constraints=limits, options={"mip_rel_gap": 1e-5})
    assert found.x is not None
    return -float(found.fun)


def checked(block: Block, capacities: Capacities, effort: Effort = Effort()) -> tuple[float, float]:  # noqa: B008
    """Value and gap of the allocation, after counting that nobody has two offers and no maximum is exceeded."""
    made = allocate(in_memory(block), capacities, effort)
    taken = made.choose([f"{i:06}" for i in range(block.customers)], block)
    given = taken[taken != NONE]
    assert len(np.unique(block.owner[given])) == len(given)
    for one in capacities.families:
        capacity = one.of[block.option[given]]
        amount = block.spend[given] if one.in_yuan else np.ones(len(given))
        used = np.bincount(capacity[capacity >= 0], weights=amount[capacity >= 0], minlength=one.size)
        assert (used <= one.most + 1e-3).all(), f"{used} of {one.most}"
    assert made.value == pytest.approx(value_of(block, taken), abs=1e-3)
    assert made.bound >= made.value - 1e-4
    return made.value, made.gap


@pytest.mark.parametrize(
    ("values", "most", "best"),
    [
        ([[9, 7, 4], [8, 8, 5], [7, 3, 6], [6, 5, 1], [5, 9, 2], [4, 6, 3]], [2, 2, 1], 38),  # first come, first served makes 37
        ([[10, 9], [10, 1]], [1, 1], 19),  # the greedy way makes 11
    ],
)
def test_the_published_vectors_come_out_exactly(values, most, best):
    assert checked(dense(np.array(values)), Capacities((family(most),)))[0] == best


def random_problem(seed: int) -> tuple[Block, Capacities]:
    """Offers by channel in cities: a cap per policy, one per city and channel, sometimes a budget and a minimum; values may be alike."""
    draw = np.random.default_rng(seed)
    customers, policies, channels, cities = int(draw.integers(3, 60)), int(draw.integers(1, 7)), 3, 2
    city = draw.integers(0, cities, customers)
    each = np.arange(policies * channels)
    value = np.ceil(draw.uniform(0, 10, (customers, len(each)))) if seed % 3 == 0 else draw.uniform(0, 10, (customers, len(each)))
    option = city[:, None] * len(each) + each
    spend = np.tile(np.array([0.1, 1.3, 2.0])[each % channels], customers)
    block = Block(np.arange(customers) * len(each), option.ravel(), value.ravel() * (1 - 1e-7 * draw.random(value.size)), spend)
    every = np.arange(cities * len(each))
    policy, of_channel, of_city = every % len(each) // channels, every % channels, every // len(each)
    caps = np.ceil(draw.uniform(0.1, 1.5, policies) * customers / policies)
    least = np.where(np.arange(policies) == 0, np.minimum(caps, 2), 0.0) if seed % 4 == 1 else np.zeros(policies)
    families = [family(caps, policy, least), family(np.ceil(draw.uniform(0.1, 0.6, channels * cities) * customers), of_city * channels + of_channel)]
    if seed % 5 == 2:
        families.append(family([0.5 * customers], np.zeros(len(every), dtype=np.int64), in_yuan=True))
    return block, Capacities(tuple(families))


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 60))])
def test_small_random_problems_are_solved_within_a_thousandth_of_the_best(seed):
    block, capacities = random_problem(seed)
    assert checked(block, capacities)[0] >= best_possible(block, capacities) * (1 - 1e-3)


def large_problem(seed: int, customers: int = 2000, options: int = 20) -> tuple[Block, Capacities]:
    draw = np.random.default_rng(seed)
    values = draw.uniform(0, 1, (customers, options)) * draw.lognormal(0, 0.6, options)
    most = np.maximum(1, np.round(draw.uniform(0.2, 1.5, options) * customers / options * 0.8))
    return dense(values), Capacities((family(most), family([customers / 2], np.where(np.arange(options) < options // 2, 0, -1))))


@pytest.mark.parametrize(("seed", "customers"), [(0, 300), *(pytest.param(seed, 2000, marks=pytest.mark.slow) for seed in range(12))])
def test_larger_problems_are_within_a_thousandth_of_the_best_and_prices_alone_come_near(seed, customers):
    block, capacities = large_problem(seed, customers)
    best = best_possible(block, capacities, whole=False)
    value, gap = checked(block, capacities)
    assert value >= best * (1 - 1e-3) and gap <= 2e-3
    few = Effort(solved_exactly=customers)  # a twentieth of the candidates
    assert checked(block, capacities, few)[0] >= best * (1 - 1e-2)


def middling_problem(seed: int) -> tuple[Block, Capacities]:
    """As small ones are, with hundreds of customers and values that spread far."""
    draw = np.random.default_rng(seed)
    customers, policies, channels, cities = int(draw.integers(100, 2000)), int(draw.integers(4, 7)), 3, 2
    city = draw.integers(0, cities, customers)
    each = np.arange(policies * channels)
    value = draw.lognormal(0, 0.8, (customers, len(each)))
    value = np.ceil(value * 3) if seed % 3 == 0 else value
    spend = np.tile(np.array([0.1, 1.3, 2.0])[each % channels], customers)
    option = city[:, None] * len(each) + each
    block = Block(np.arange(customers) * len(each), option.ravel(), value.ravel() * (1 - 1e-7 * draw.random(value.size)), spend)
    every = np.arange(cities * len(each))
    policy, of_channel, of_city = every % len(each) // channels, every % channels, every // len(each)
    caps = np.ceil(draw.uniform(0.1, 1.5, policies) * customers / policies)
    least = np.where(np.arange(policies) == 0, np.minimum(caps, customers // 20), 0.0) if seed % 2 else np.zeros(policies)
    families = [family(caps, policy, least), family(np.ceil(draw.uniform(0.1, 0.6, channels * cities) * customers), of_city * channels + of_channel)]
    if seed % 5 < 2:
        families.append(family([0.5 * customers], np.zeros(len(every), dtype=np.int64), in_yuan=True))
    return block, Capacities(tuple(families))


@pytest.mark.parametrize("seed", [111, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(112, 142))])
def test_prices_that_swing_across_an_edge_of_their_window_do_not_run_away(seed):
    """Of the first seed the bound once came out below zero: windows that always missed grew without end."""
    block, capacities = middling_problem(seed)
    best = best_possible(block, capacities, whole=False)
    for effort in (Effort(), Effort(solved_exactly=5000)):
        assert checked(block, capacities, effort)[0] >= best * (1 - 1e-3)


@pytest.mark.parametrize("unit", [0.01, 1.0, 1000.0])
def test_the_bound_is_as_near_whatever_unit_values_are_told_in(unit):
    draw = np.random.default_rng(3)
    block = dense(unit * draw.uniform(0, 20, (3000, 4)))
    value, gap = checked(block, Capacities((family([500, 600, 700, 400]),)))
    assert gap <= 1e-3 and value >= best_possible(block, Capacities((family([500, 600, 700, 400]),)), whole=False) * (1 - 1e-3)


@pytest.mark.parametrize("seed", [2, 3])
def test_policies_that_are_worth_the_same_to_everybody_are_filled_from_the_dearest_on(seed):
    """As where takes and margin are constants: only a hash of a hundred-thousandth parts the customers. More candidates than are solved exactly."""
    draw, customers, policies = np.random.default_rng(seed), 2000, 20
    worth = draw.uniform(0.2, 20, policies).round(2)
    values = np.tile(worth, (customers, 1)) * (1 - 1e-5 * draw.random((customers, policies)))
    most = draw.integers(customers // (3 * policies), customers // policies, policies).astype(float)
    value, gap = checked(dense(values), Capacities((family(most),)))
    assert most.sum() < customers and value >= (worth * most).sum() * (1 - 1e-3) and gap <= 1e-3


def best_within(block: Block, budget: float, reached: float) -> float:
    """The best that a budget buys, exactly, if it is more than `reached`: by a price of a yuan no allocation is worth more than the bound, one with a
    candidate not more than the bound less what that lacks to its customer's best; who lacks too much is left out, the rest is solved whole."""

    def losses(price: float) -> tuple[float, np.ndarray]:
        left = block.value - price * block.spend
        best = np.maximum(np.maximum.reduceat(left, block.starts), 0.0)
        return float(price * budget + best.sum()), best[block.owner] - left

    price = minimize_scalar(lambda price: losses(price)[0], bounds=(0.0, float((block.value / block.spend).max())), method="bounded", options={"xatol": 1e-9}).x
    bound, lacks = losses(price)
    kept = np.flatnonzero(lacks <= bound - reached)
    once = coo_matrix((np.ones(len(kept)), (block.owner[kept], np.arange(len(kept)))), shape=(block.customers, len(kept)))
    limits = LinearConstraint(vstack([once, block.spend[kept][None, :]]).tocsr(), -np.inf, np.append(np.ones(block.customers), budget))
    return -float(milp(-block.value[kept], integrality=np.ones(len(kept)), bounds=(0, 1), constraints=limits, options={"mip_rel_gap": 1e-6}).fun)


@pytest.mark.parametrize(("seed", "budget"), [(1, 0.5), (3, 3.0), (5, 1.0)])
def test_a_budget_for_a_few_of_thousands_is_spent_as_an_exact_solver_would(seed, budget):
    draw = np.random.default_rng(seed)
    block = dense(draw.gamma(2.0, 10.0, (2000, 20)), draw.uniform(0.1, 3.0, (2000, 20)))
    value, _ = checked(block, Capacities((family([budget], np.zeros(20, dtype=np.int64), in_yuan=True),)))
    assert value >= best_within(block, budget, value) * (1 - 1e-3)


def test_a_minimum_is_kept_at_the_least_cost_and_one_that_cannot_be_had_is_told():
    values = np.array([[9.0, 8.0], [9.0, 2.0], [9.0, 5.0], [9.0, 1.0]])
    least = Capacities((family([4, 4], least=np.array([0.0, 2.0])),))
    made = allocate(in_memory(dense(values)), least)
    assert list(made.used) == [2, 2] and made.value == 9 + 9 + 8 + 5
    too_much = Capacities((family([4, 9], least=np.array([0.0, 6.0])),))
    missed = allocate(in_memory(dense(values)), too_much)
    assert list(missed.used) == [0, 4] and list(missed.missed) == [0, 2]


def test_without_scarcity_everybody_has_the_best_and_nothing_is_lost():
    values = np.array([[1.0, 2.0], [4.0, 3.0]])
    for capacities in (Capacities(()), Capacities((family([9, 9]),))):
        made = allocate(in_memory(dense(values)), capacities)
        assert (made.value, made.offers, made.gap) == (6, 2, 0)
        assert list(made.choose(["000000", "000001"], dense(values))) == [1, 2]


def test_a_capacity_of_nothing_gives_nothing():
    made = allocate(in_memory(dense(np.array([[3.0, 2.0], [4.0, 1.0]]))), Capacities((family([0, 1]),)))
    assert list(made.used) == [0, 1] and made.value == 2


# --- on a frame ---


def as_frame(spark, block: Block, order: np.ndarray, partitions: int):
    ends = np.append(block.starts[1:], len(block.option))
    rows = []
    for i in order:
        own = slice(block.starts[i], ends[i])
        rows.append((f"{i:06}", block.option[own].tolist(), block.value[own].tolist(), block.spend[own].tolist()))
    return spark.createDataFrame(rows, "customer string, options array<int>, values array<double>, spends array<double>").repartition(partitions)


@pytest.mark.slow
@pytest.mark.parametrize("effort", [Effort(), Effort(sampled=500, passes=3, rounds=2, solved_exactly=300)], ids=["on the driver", "by passes"])
def test_a_frame_in_any_order_and_partitions_gives_everybody_the_same(spark, effort):
    block, capacities = large_problem(5, customers=200, options=5)
    made = [allotted_rows(spark, block, capacities, effort, partitions) for partitions in (1, 3)]
    assert made[0] == made[1]
    rows = made[0][1]
    taken = np.array([NONE if chosen is None else start + chosen for (_, chosen, _), start in zip(rows, block.starts, strict=True)])
    assert made[0][0][0] == pytest.approx(value_of(block, taken), abs=1e-3)
    assert all(runner_up != chosen for _, chosen, runner_up in rows if chosen is not None)


def allotted_rows(spark, block: Block, capacities: Capacities, effort: Effort, partitions: int):
    """What the allocation of a frame tells, and of each customer what was chosen and what came second."""
    frame = as_frame(spark, block, np.random.default_rng(partitions).permutation(block.customers), partitions).persist()
    made = allocate(Customers(frame), capacities, effort)
    rows = allotted(frame, made).orderBy("customer").collect()
    frame.unpersist()
    told = (made.value, made.bound, made.passes, made.overrides, list(made.used))
    return told, [(row["customer"], row["chosen"], row["runner_up"]) for row in rows]


def test_nobody_to_choose_for_is_no_error(spark):
    frame = spark.createDataFrame([], "customer string, options array<int>, values array<double>, spends array<double>")
    made = allocate(Customers(frame), Capacities((family([1, 1]),)))
    assert (made.value, made.offers, list(made.used)) == (0, 0, [0, 0])
    assert allotted(frame, made).where(F.col("chosen").isNotNull()).count() == 0
