"""Arbitration: what each offer to a customer is worth, as P x C x V x L (domain.md, section 8; the weights as 1 + w/100)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.config.choosing import GOALS, Choosing
from crm_spark.config.policies import Policy
from crm_spark.decisions.eligibility import constant_map
from crm_spark.frames import with_columns

OFFER = ("goal", "policy_id", "candidate_rank", "matrix", "rule")  # of a recommendation; a candidate adds a channel and what it is worth

_TERMS = "struct<takes:double,anyway:double,subsidy:double,lever:double,model:string,channels:array<string>>"


def net_value(propensity: Column, margin: Column, anyway: Column, subsidy: Column, cost: Column) -> Column:
    """Yuan that an offer is expected to bring more than no offer: P ((1 - anyway) margin - subsidy) - cost.

    Who would have bought anyway brings nothing new, but takes the subsidy too. Null where a part is not known.
    """
    return propensity * ((F.lit(1.0) - anyway) * margin - subsidy) - cost


def priority_score(value: Column, weights: Sequence[Column]) -> Column:
    """A value with its weights, in percent: each counts as 1 + w/100; a null weight as 0."""
    score = value
    for weight in weights:
        score = score * (F.lit(1.0) + F.coalesce(weight, F.lit(0.0)) / 100)
    return score


@dataclass(frozen=True)
class Terms:
    """What arbitration must know of a policy."""

    takes: float
    anyway: float
    subsidy: float
    lever: float
    model: str
    channels: tuple[str, ...]


def terms_of(policies: Mapping[str, Policy], choosing: Choosing) -> dict[str, Terms]:
    """Per policy id. A lever of the policy comes before one of its goal."""
    return {
        p.policy_id: Terms(
            choosing.worth[p.goal].takes,
            choosing.worth[p.goal].anyway,
            float(p.unit_cost_yuan),
            _lever(p.policy_id, p.goal, choosing),
            choosing.propensities.get(p.policy_id, ""),
            p.channels,
        )
        for p in policies.values()
    }


def weights_of(goal: str, policy_id: str, priority: Sequence[str], choosing: Choosing) -> tuple[float, float]:
    """(C, L) of an offer, in percent: by the place of its goal in a customer's priority, and its lever."""
    by_place = dict(zip(priority, choosing.weights.priority, strict=False))
    return by_place.get(goal, 0.0), _lever(policy_id, goal, choosing)


def with_candidates(customers: DataFrame, policies: Mapping[str, Policy], choosing: Choosing) -> DataFrame:
    """`customers` with `candidates`: each of its `offers` by each channel of the policy, with propensity, net value, score and what it costs.

    `customers` are rows of the decision input with `offers` and `priority` of the recommendation. The propensity is the calibrated score of
    the policy's model; without a model or a score the share that its goal's offers are known to be taken by. A margin that is not known
    leaves net value and score null. A policy that is not among `policies`, or has no channel, makes no candidate.
    """
    terms = terms_of(policies, choosing)
    margins = {f"__margin_{goal}": F.expr(choosing.worth[goal].margin_yuan).cast("double") for goal in GOALS}
    models = sorted({t.model for t in terms.values() if t.model})
    asked = with_columns(customers, margins).withColumn("__chances", _map({m: F.col(f"{m}_score") / 100 for m in models}))
    flat = F.flatten(F.transform("offers", lambda offer: _by_channel(offer, terms, choosing)))
    return asked.withColumn("candidates", flat).drop("__chances", *margins)


def _by_channel(offer: Column, terms: Mapping[str, Terms], choosing: Choosing) -> Column:
    goal = offer["goal"]
    of = F.try_element_at(constant_map({policy: asdict(t) for policy, t in terms.items()}, _TERMS), offer["policy_id"])
    costs = constant_map({name: channel.cost_yuan for name, channel in choosing.channels.items()}, "double")
    margin = F.try_element_at(_map({g: F.col(f"__margin_{g}") for g in GOALS}), goal)
    chance = F.coalesce(F.try_element_at(F.col("__chances"), of["model"]), of["takes"])
    place = F.array_position("priority", goal).cast("int")
    context = F.get(F.array(*map(F.lit, choosing.weights.priority)).cast("array<double>"), F.when(place > 0, place - 1))

    def by(channel: Column) -> Column:
        cost = F.try_element_at(costs, channel)
        value = net_value(chance, margin, of["anyway"], of["subsidy"], cost)
        return F.struct(
            *(offer[part].alias(part) for part in OFFER),
            channel.alias("channel"),
            rounded(chance).alias("propensity"),
            rounded(value).alias("net_value_yuan"),
            rounded(priority_score(value, [context, of["lever"]])).alias("score"),
            rounded(cost + chance * of["subsidy"]).alias("spend_yuan"),
        )

    return F.transform(F.coalesce(of["channels"], F.array().cast("array<string>")), by)


def _lever(policy_id: str, goal: str, choosing: Choosing) -> float:
    levers = choosing.weights.levers
    return levers.get(policy_id, levers.get(goal, 0.0))


def _map(entries: Mapping[str, Column]) -> Column:
    return F.create_map(*(part for key, value in entries.items() for part in (F.lit(key), value))) if entries else F.lit(None).cast("map<string,double>")
