"""Eligibility: which of the policies that the matrices propose may be offered, and why the others may not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F

from crm_spark.config.decisions import Condition
from crm_spark.config.policies import Policy
from crm_spark.decisions.outputs import CANDIDATES, NONE

HELD, TREATMENT, NOT_RETRIEVED, ANOTHER_RULE, OUTRANKED = "held", "treatment", "not_retrieved", "another_rule", "outranked"
ELIGIBILITY, MATRICES = "eligibility", "matrices"
STAGES = (ELIGIBILITY, MATRICES)  # at which recommending drops candidates; choosing has stages of its own
OF_MATRICES = (ANOTHER_RULE, OUTRANKED)  # reasons; all others are of eligibility
JUDGED = ("policy_id", "candidate_rank", "matrix", "rule", "reason")  # what a judged candidate holds
_CANDIDATE = "struct<policy_id:string,matrix:string,rule:string,speaks:boolean>"


@dataclass(frozen=True)
class PolicyTerms:
    """What eligibility and wording need to know of all policies in one month, as constants a plan can hold."""

    out_of_date: Column
    services: Column
    wordings: Column


def policy_terms(policies: Mapping[str, Policy], days: Sequence[date]) -> PolicyTerms:
    """Per policy id: why it is out of date on all of `days` (if it is), the service it brings (if any), and what to say."""
    reasons = {p.policy_id: reason for p in policies.values() if (reason := p.out_of_date(days[0], days[-1]))}
    services = {p.policy_id: p.service for p in policies.values() if p.service}
    return PolicyTerms(constant_map(reasons), constant_map(services), constant_map({p.policy_id: p.wording for p in policies.values()}))


def speaking(hits: Column) -> Column:
    """The hits that propose a policy."""
    return F.filter(hits, lambda hit: _candidates(hit).isNotNull())


def proposals(hits: Mapping[str, Column], only_first: bool) -> Column:
    """Candidates of one goal in order, a policy perhaps several times: array of (policy_id, matrix, rule, speaks).

    `hits` are the hits of the goal's matrices, by matrix name. With `only_first` one rule speaks: the first that proposes anything.
    """
    if not hits:
        return F.array().cast(f"array<{_CANDIDATE}>")
    by_rule = F.concat(*(_by_rule(matrix, speaking(found)) for matrix, found in hits.items()))
    return F.flatten(F.transform(by_rule, lambda of_rule, i: _spoken(of_rule, i == 0)) if only_first else by_rule)


def each_policy_once(candidates: Column) -> Column:
    """The candidates without those whose policy stands earlier."""
    policies = F.transform(candidates, lambda c: c["policy_id"])
    return F.filter(candidates, lambda c, i: F.array_position(policies, c["policy_id"]) == i + 1)


@dataclass(frozen=True)
class Standing:
    """What eligibility asks of a customer, as columns; each may be null and then excludes nothing.

    `bundles` are the policies of running bundles, `services` the state per service, `failed` what `unmet` tells, `closed` the policies
    that the customer's value tier does not open.
    """

    bundles: Column
    services: Column
    failed: Column
    closed: Column


def judged(candidates: Column, terms: PolicyTerms, standing: Standing, mode: Column) -> Column:
    """The candidates with `candidate_rank` from 1 and `reason`: null if the policy may be offered. `mode` is the goal's offer mode or null."""

    def reason(candidate: Column) -> Column:
        policy = candidate["policy_id"]
        service = F.try_element_at(standing.services, F.try_element_at(terms.services, policy))
        is_held = F.coalesce(F.array_contains(standing.bundles, policy), F.lit(False)) | F.coalesce(service["is_held"], F.lit(False))
        closed = F.when(F.array_contains(standing.closed, policy), F.lit(TREATMENT))
        silent, retrieval = F.when(~candidate["speaks"], F.lit(ANOTHER_RULE)), F.when(mode == NONE, F.lit(NOT_RETRIEVED))
        held = F.when(is_held, F.lit(HELD))
        return F.coalesce(F.try_element_at(terms.out_of_date, policy), held, F.try_element_at(standing.failed, policy), closed, silent, retrieval)

    return F.transform(
        candidates,
        lambda c, i: F.struct(
            c["policy_id"].alias("policy_id"),
            (i + 1).alias("candidate_rank"),
            c["matrix"].alias("matrix"),
            c["rule"].alias("rule"),
            reason(c).alias("reason"),
        ),
    )


def unmet(conditions: Sequence[Condition], policies: Mapping[str, Policy]) -> Column:
    """Per policy the reason of the first of its conditions that a customer does not meet; one that is not known is met."""
    fails = [(one, F.when(~F.coalesce(F.expr(one.requires), F.lit(True)), F.lit(one.reason))) for one in conditions]
    concerned = {p.policy_id: [reason for one, reason in fails if one.concerns(p)] for p in policies.values()}
    entries = [part for policy, reasons in concerned.items() if reasons for part in (F.lit(policy), F.coalesce(*reasons))]
    return F.create_map(*entries).cast("map<string,string>") if entries else F.lit(None).cast("map<string,string>")


def only_best(candidates: Column) -> Column:
    """Judged candidates of a goal that has one offer: those that might be offered after the first are outranked."""
    best = F.get(F.filter(candidates, lambda c: c["reason"].isNull()), F.lit(0))["candidate_rank"]
    return F.transform(
        candidates, lambda c: c.withField("reason", F.coalesce(c["reason"], F.when(c["candidate_rank"] > best, F.lit(OUTRANKED))))
    )


def constant_map(entries: Mapping[str, object], kind: str = "string") -> Column:
    """A map from texts to values of a SQL type as one constant, which a plan holds as one node."""
    return F.from_json(F.lit(json.dumps(entries, ensure_ascii=False)), f"map<string,{kind}>")


def _by_rule(matrix: str, hits: Column) -> Column:
    def of_hit(hit: Column) -> Column:
        return F.transform(
            F.split(_candidates(hit), ","),
            lambda policy: F.struct(
                policy.alias("policy_id"), F.lit(matrix).alias("matrix"), hit["rule"].alias("rule"), F.lit(True).alias("speaks")
            ),
        )

    return F.transform(hits, of_hit)


def _spoken(candidates: Column, speaks: Column) -> Column:
    return F.transform(candidates, lambda c: c.withField("speaks", speaks))


def _candidates(hit: Column) -> Column:
    return F.try_element_at(hit["outputs"], F.lit(CANDIDATES))
