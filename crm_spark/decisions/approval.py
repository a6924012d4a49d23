"""Whether a matrix set may decide: only one that is approved, and in force on the last day of the month for every city decided."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from crm_spark.config.approvals import Approval
from crm_spark.config.decisions import MatrixConfig
from crm_spark.errors import ConfigError


def approvals_in_force(config: MatrixConfig, day: date, cities: Collection[str] | None, mend: str) -> tuple[Approval, ...]:
    """The approvals under which the set may decide over `cities` (None: not known yet) on `day`, the last of the month.

    ConfigError, in one line with the `mend`, if there is none or a city is left out: nothing decides by default.
    """
    mine = [a for a in config.approvals if a.set_version == config.version]
    valid = tuple(a for a in mine if a.is_in_force(day))
    left_out = sorted(set(cities or ()) - {city for a in valid for city in a.cities}) if all(a.cities for a in valid) else []
    if valid and not left_out:
        return valid
    raise ConfigError(f"matrix set {config.version} {_why_not(mine, valid, left_out, day)}; {mend}{_hint(config)}")


def _why_not(mine: list[Approval], valid: tuple[Approval, ...], left_out: list[str], day: date) -> str:
    if valid:
        return f"is not in force for {', '.join(left_out)} on {day}, only for {', '.join(sorted({c for a in valid for c in a.cities}))}"
    spans = ", ".join(f"from {a.valid_from} to {a.valid_to or 'further notice'}" for a in mine)
    return f"is approved, but not in force on {day} ({spans})" if mine else "is not approved"


def _hint(config: MatrixConfig) -> str:
    """Where to see what has changed: the set approved last is most likely what this one was made from."""
    others = [a for a in config.approvals if a.set_version != config.version]
    last = max(reversed(others), key=lambda a: a.approved_on, default=None)  # of one day the lower row
    return f" (what changed: python -m crm_spark.decisions diff {last.set_version} <conf folder>)" if last else ""
