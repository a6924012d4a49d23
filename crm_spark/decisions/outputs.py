"""What a rule gives: its output cells, checked and written in one canonical spelling."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import get_args

from crm_spark.config.decisions import OutputKind
from crm_spark.config.policies import Goal, Policy, group_members
from crm_spark.config.sheet import needed
from crm_spark.errors import did_you_mean

GOALS = ("retention", "traffic", "new_service")  # whose order the priority matrix decides
ONE_TO_ONE, MASS, NONE = OFFER_MODES = ("one-to-one", "mass", "none")
CANDIDATES = "candidates"  # outputs key: the policies a rule proposes, in order, parted by commas
CLOSED = "closed"  # outputs key: the policies of the families that a rule does not open, parted by commas
PROPOSING: tuple[OutputKind, ...] = ("policy", "policy_group", "policy_list")
NEED_KINDS = ("present", "latent")
_EXCEPT = re.compile(r"not\s*\((.*)\)")
_SHOWN = re.compile(r"\{[^{}]+\}")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)
Outputs = dict[str, str]
Problems = list[tuple[str, str]]


def read_outputs(
    cells: Mapping[str, str], kinds: Mapping[str, OutputKind], goal: Goal | None, policies: Mapping[str, Policy]
) -> tuple[Outputs, Problems]:
    """The outputs that are not empty, with `candidates` or `closed` policies, if any, and (column, problem) for each wrong cell.

    Candidates stand in the order: the main policy, the list, then the group's other policies, strongest discount first.
    """
    problems: Problems = []
    outputs: Outputs = {}
    found: dict[OutputKind, tuple[str, ...]] = {}
    for column, kind in kinds.items():
        try:
            text, found[kind] = _READ[kind](cells[column], policies)
        except ValueError as error:
            problems.append((column, str(error)))
            continue
        problems += [(column, told) for told in _strangers(found[kind], goal, policies)] if kind in PROPOSING else []
        outputs |= {column: text} if text else {}
    problems += _main_outside(found, kinds)
    order = (*found.get("policy", ()), *found.get("policy_list", ()), *found.get("policy_group", ()))
    made = {CANDIDATES: dict.fromkeys(order), CLOSED: found.get("families", ())}
    return outputs | {key: ",".join(ids) for key, ids in made.items() if ids}, problems


Read = tuple[str, tuple[str, ...]]  # canonical text, policies it stands for


def _plain(cell: str, _: Mapping[str, Policy]) -> Read:
    return cell, ()


def _number(cell: str, _: Mapping[str, Policy]) -> Read:
    if cell and not _NUMBER.fullmatch(cell):
        raise ValueError(f"'{cell}' is not a number (as in 12, -0.5)")
    return cell, ()


def _goals(cell: str, _: Mapping[str, Policy]) -> Read:
    goals = [g.strip() for g in cell.split(">")]
    unknown = next((g for g in goals if g not in GOALS), None)
    if unknown is not None:
        raise ValueError(f"unknown goal '{unknown}'{did_you_mean(unknown, GOALS)}")
    if sorted(goals) != sorted(GOALS):
        raise ValueError(f"'{cell}' must name each of {', '.join(GOALS)} once")
    return " > ".join(goals), ()


def _offer_mode(cell: str, _: Mapping[str, Policy]) -> Read:
    return _one_of(cell, OFFER_MODES)


def _policy(cell: str, policies: Mapping[str, Policy]) -> Read:
    if cell and cell not in policies:
        raise ValueError(f"unknown policy '{cell}'{did_you_mean(cell, policies)}")
    return cell, (cell,) if cell else ()


def _policy_group(cell: str, policies: Mapping[str, Policy]) -> Read:
    groups = group_members(dict(policies))
    if cell and cell not in groups:
        raise ValueError(f"unknown policy group '{cell}'{did_you_mean(cell, groups)}")
    return cell, groups.get(cell, ())


def _policy_list(cell: str, policies: Mapping[str, Policy]) -> Read:
    named = [p.strip() for p in re.split("[,;]", cell) if p.strip()]
    unknown = [p for p in named if p not in policies]
    if unknown:
        raise ValueError("; ".join(f"unknown policy '{p}'{did_you_mean(p, policies)}" for p in unknown))
    if len(set(named)) < len(named):
        raise ValueError(f"'{cell}' names a policy twice")
    return ",".join(named), tuple(named)


def _families(cell: str, policies: Mapping[str, Policy]) -> Read:
    """`all`, families, or `not(...)` of them; with the policies of the others."""
    known = sorted({p.family for p in policies.values()})
    inside = _EXCEPT.fullmatch(cell)
    named = [] if cell == "all" else [f.strip() for f in re.split("[,;]", inside[1] if inside else cell)]
    unknown = [f for f in named if f not in known]
    if unknown:
        raise ValueError("; ".join(f"unknown family '{f}'{did_you_mean(f, known)}" for f in unknown))
    closed = set(named) if inside or cell == "all" else set(known) - set(named)
    return cell, tuple(p.policy_id for p in policies.values() if p.family in closed)


def _need(cell: str, _: Mapping[str, Policy]) -> Read:
    return needed(cell), ()


def _need_kind(cell: str, _: Mapping[str, Policy]) -> Read:
    return _one_of(cell, NEED_KINDS)


def _goal(cell: str, _: Mapping[str, Policy]) -> Read:
    return _one_of(cell, get_args(Goal))


def _one_of(cell: str, known: tuple[str, ...]) -> Read:
    if cell not in known:
        raise ValueError(f"'{cell}' is not one of {', '.join(known)}{did_you_mean(cell, known)}")
    return cell, ()


def _score(cell: str, _: Mapping[str, Policy]) -> Read:
    if not _SHOWN.fullmatch(cell) and not (_NUMBER.fullmatch(cell) and 0 <= float(cell) <= 100):
        raise ValueError(f"'{cell}' is neither a number from 0 to 100 nor a column (as in {{churn_score}})")
    return cell, ()


_READ: dict[OutputKind, Callable[[str, Mapping[str, Policy]], Read]] = {
    "text": _plain,
    "number": _number,
    "goals": _goals,
    "offer_mode": _offer_mode,
    "policy": _policy,
    "policy_group": _policy_group,
    "policy_list": _policy_list,
    "tier": _plain,
    "families": _families,
    "need": _need,
    "need_kind": _need_kind,
    "score": _score,
    "goal": _goal,
}


def _strangers(found: tuple[str, ...], goal: Goal | None, policies: Mapping[str, Policy]) -> list[str]:
    return [f"policy {p} serves the goal {policies[p].goal}, this matrix {goal}" for p in found if policies[p].goal != goal]


def _main_outside(found: Mapping[OutputKind, tuple[str, ...]], kinds: Mapping[str, OutputKind]) -> Problems:
    main, group = found.get("policy", ()), found.get("policy_group", ())
    if not main or not group or set(main) <= set(group):
        return []
    column = next(c for c, kind in kinds.items() if kind == "policy")
    return [(column, f"{main[0]} is not in the policy group ({', '.join(group)})")]
