"""Champion, challenger and shadow: who scores, who is promoted, and the way back."""

from __future__ import annotations

from crm_spark.errors import ConfigError, RefusedModelError
from crm_spark.learning.registry import CHALLENGER, CHAMPION, SHADOW, Champion, Registry


def champion(registry: Registry, model: str, month: str | None = None) -> tuple[Champion | None, tuple[str, ...]]:
    """The version that scores, and what must be told of it; None where no version may.

    It is the one that was promoted last; if that is refused (`Registry.scorer`), or was trained after `month` (it knows what came of that month's
    customers), the champion before it, and so on.
    """
    line, pointed = registry.champions(model), registry.alias(model, CHAMPION)
    told, later = [], registry.learnt_later(model, line, month)
    if line and pointed not in (None, line[-1]):
        told.append(f"the alias champion was moved to version {pointed}, which nobody promoted")
    if later:
        told.append(f"trained after {month}: version {', '.join(later)}")
    for version in (v for v in reversed(line) if v not in later):
        try:
            return registry.scorer(model, version), tuple(told)
        except RefusedModelError as error:
            told.append(str(error))
    return None, tuple(told)


def shadow(registry: Registry, model: str) -> Champion | None:
    """The version that scores beside the champion, for comparison only; None without one. RefusedModelError as of `Registry.scorer`."""
    version = registry.alias(model, SHADOW)
    return registry.scorer(model, version) if version else None


def former_champion(registry: Registry, model: str) -> str | None:
    """The version to roll back to: the champion before the present one; after a rollback the one that was rolled back."""
    return registry.rolled_back(model) or next(iter(registry.champions(model)[-2:-1]), None)


def promote(registry: Registry, model: str, version: str | None, by: str, why: str) -> str:
    """Make a version (None: the challenger) champion; returns what happened. ConfigError if there is nothing to do, RefusedModelError as of `Registry.scorer`.

    A person may promote what missed its gate; the version's tags say both.
    """
    before, chosen = registry.champion_version(model), version or registry.alias(model, CHALLENGER)
    if chosen is None:
        raise ConfigError(f"{model} has no challenger; name a version by --version: {_known(registry, model)}")
    if chosen == before == registry.alias(model, CHAMPION):
        raise ConfigError(f"{model}: version {chosen} is the champion already")
    return _promoted(registry, model, chosen, by, why)


def rollback(registry: Registry, model: str, by: str, why: str) -> str:
    """Make the former champion champion again; once more undoes it. Returns what happened; errors as of `promote`."""
    former = former_champion(registry, model)
    if former is None:
        raise ConfigError(f"{model} has had no other champion; promote one of its versions: {_known(registry, model)}")
    return _promoted(registry, model, former, by, why, back=not registry.rolled_back(model))


def set_shadow(registry: Registry, model: str, version: str) -> str:
    """Let a version score beside the champion from the next run on. ConfigError for the champion, RefusedModelError as of `Registry.scorer`."""
    if version == registry.champion_version(model):
        raise ConfigError(f"{model}: version {version} is the champion, so it cannot be its own shadow")
    registry.scorer(model, version)
    registry.set_shadow(model, version)
    return f"{model}: version {version} scores as shadow from the next run on"


def listed(registry: Registry) -> str:
    """All versions of all models, newest first, as a table of text."""
    rows: list[tuple[str, ...]] = [("model", "version", "aliases", "AUC", "lift", "gate", "promoted")]
    for version in (v for model in registry.models() for v in registry.versions(model)):
        measures = [f"{version.measures[name]:.3f}" if name in version.measures else "-" for name in ("test_auc", "test_lift_10")]
        tags = version.tags
        promoted = f"{tags['promoted_at']} by {tags['promoted_by']}: {tags['promoted_why']}" if "promoted_at" in tags else "-"
        gate = tags.get("gate", "-") if "digest" in tags else "no recorded digest: refused"
        rows.append((version.model, version.number, ", ".join(version.aliases) or "-", *measures, gate, promoted))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _promoted(registry: Registry, model: str, version: str, by: str, why: str, back: bool = False) -> str:
    before = registry.champion_version(model)
    registry.scorer(model, version)
    registry.promote(model, version, by, why, back)
    return f"{model}: version {version} is champion" + (f", version {before} was" if before and before != version else "")


def _known(registry: Registry, model: str) -> str:
    return ", ".join(v.number for v in registry.versions(model)) or "none"
