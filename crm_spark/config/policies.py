"""Marketing policies (营销政策): what may be offered, as a planner's sheet `conf/policies.csv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, get_args

from crm_spark.config.hours import Hours
from crm_spark.config.sheet import Sheet, SheetRow, day, listed, needed, read_sheet
from crm_spark.errors import ConfigError, did_you_mean

OPTIONAL = ("push_every_days", "send_window")  # columns that a sheet may leave out, as those of earlier runs do
Goal = Literal["retention", "traffic", "new_service", "virtual_network"]


@dataclass(frozen=True)
class Policy:
    """One policy. `group` gathers policies of like strength; `service` is what the customer would get and must not hold already.

    `discount_strength` is the share of what the customer receives that is given, 0-1; it orders the policies of a group. A contact
    about it comes no sooner than `push_every_days` after the last one, and within `send_window`.
    """

    policy_id: str
    name: str
    family: str
    goal: Goal
    service: str | None
    group: str | None
    discount_strength: float
    bundle_class: int | None
    prepay_yuan: Decimal
    gift_yuan: Decimal
    term_months: int
    unit_cost_yuan: Decimal
    valid_from: date
    valid_to: date
    channels: tuple[str, ...]
    wording: str
    push_every_days: int | None = None
    send_window: Hours | None = None

    def out_of_date(self, first: date, last: date) -> str | None:
        """`expired` or `not_yet_valid` on all days from `first` to `last`, None if it may be offered on any of them."""
        return "expired" if first > self.valid_to else "not_yet_valid" if last < self.valid_from else None


def load_policies(path: Path, services: Sequence[str] = ()) -> dict[str, Policy]:
    """Policies by id; ConfigError names every wrong cell by row and column. `services` are the known service codes, if they are."""
    sheet = read_sheet(path)
    columns = tuple(f.name for f in fields(Policy))
    problems = sheet.header_problems(tuple(c for c in columns if c not in OPTIONAL), OPTIONAL)
    if problems:
        raise ConfigError(problems)
    policies: dict[str, Policy] = {}
    for row in sheet.rows:
        policy = _policy(sheet, row, problems)
        if row.cells["policy_id"] in policies:
            problems.append(f"{sheet.place(row, 'policy_id')}: '{row.cells['policy_id']}' stands twice")
        policies[row.cells["policy_id"]] = policy
        if services and policy.service and policy.service not in services:
            told = f"unknown service '{policy.service}'{did_you_mean(policy.service, services)}"
            problems.append(f"{sheet.place(row, 'service', policy.policy_id)}: {told}")
    problems += _mixed_groups(str(path), policies) if not problems else []
    if problems:
        raise ConfigError(problems)
    return policies


def group_members(policies: dict[str, Policy]) -> dict[str, tuple[str, ...]]:
    """Policy ids per group, the strongest discount first, ties by id."""
    ordered = sorted(policies.values(), key=lambda p: (-p.discount_strength, p.policy_id))
    groups = {p.group for p in ordered if p.group}
    return {g: tuple(p.policy_id for p in ordered if p.group == g) for g in sorted(groups)}


def _policy(sheet: Sheet, row: SheetRow, problems: list[str]) -> Policy:
    values: dict[str, object] = {}
    for column, convert in _CONVERT.items():
        try:
            values[column] = convert(row.cells.get(column, ""))
        except (ValueError, InvalidOperation) as error:
            values[column] = None
            problems.append(f"{sheet.place(row, column, row.cells['policy_id'])}: {_told(error, row.cells[column])}")
    policy = Policy(**values)  # type: ignore[arg-type]  # a wrong cell has left a problem, and the load is refused
    if isinstance(policy.valid_from, date) and isinstance(policy.valid_to, date) and policy.valid_from > policy.valid_to:
        problems.append(f"{sheet.place(row, 'valid_to', policy.policy_id)}: {policy.valid_to} lies before valid_from {policy.valid_from}")
    return policy


def _told(error: Exception, cell: str) -> str:
    return f"'{cell}' is not a number" if isinstance(error, InvalidOperation) else str(error)


def _mixed_groups(path: str, policies: dict[str, Policy]) -> list[str]:
    goals = {g: {policies[p].goal for p in members} for g, members in group_members(policies).items()}
    return [f"{path}: group '{g}' mixes the goals {', '.join(sorted(found))}" for g, found in goals.items() if len(found) > 1]


def _identifier(cell: str) -> str:
    if not needed(cell).replace("_", "").isalnum():
        raise ValueError(f"'{cell}': letters, digits and _ only")
    return cell


def _optional(cell: str) -> str | None:
    return cell or None


def _goal(cell: str) -> str:
    if cell not in get_args(Goal):
        raise ValueError(f"unknown goal '{cell}'{did_you_mean(cell, get_args(Goal))}")
    return cell


def _share(cell: str) -> float:
    if not 0 <= Decimal(cell or "0") <= 1:
        raise ValueError(f"'{cell}' is not a share between 0 and 1")
    return float(cell or 0)


def _bundle_class(cell: str) -> int | None:
    if cell not in ("", "0", "1"):
        raise ValueError(f"'{cell}' is not 0, 1 or empty")
    return int(cell) if cell else None


def _money(cell: str) -> Decimal:
    amount = Decimal(cell or "0")
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"'{cell}' is not an amount of zero or more")
    return amount


def _months(cell: str) -> int:
    if cell and not cell.isdecimal():
        raise ValueError(f"'{cell}' is not a number of months")
    return int(cell or 0)


def _days(cell: str) -> int | None:
    if cell and not (cell.isdecimal() and int(cell)):
        raise ValueError(f"'{cell}' is not a number of days, from 1")
    return int(cell) if cell else None


def _window(cell: str) -> Hours | None:
    begin, dash, end = cell.partition("-")
    if cell and not dash:
        raise ValueError(f"'{cell}' is no window (as in 17:00-19:00)")
    return Hours(begin.strip(), end.strip()) if cell else None


_CONVERT: dict[str, Callable[[str], object]] = {
    "policy_id": _identifier, "name": needed, "family": needed, "goal": _goal, "service": _optional, "group": _optional,
    "discount_strength": _share, "bundle_class": _bundle_class, "prepay_yuan": _money, "gift_yuan": _money, "term_months": _months,
    "unit_cost_yuan": _money, "valid_from": day, "valid_to": day, "channels": listed, "wording": needed,
    "push_every_days": _days, "send_window": _window,
}
