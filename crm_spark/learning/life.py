"""Champion, challenger and shadow: who scores, who is promoted, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

from crm_spark.errors import ConfigError, RefusedModelError
from crm_spark.learning.registry import CHALLENGER, CHAMPION, SHADOW, Champion, Registry


def champion(registry: Registry, model: str) -> tuple[Champion | None, tuple[str, ...]]:
    """The version that scores, and what must be told of it; None where no version may.

    It is the one that was promoted last; if that is refused (`Registry.scorer`), the champion before it, and so on.
    """
    promoted, pointed = registry.champion_version(model), registry.alias(model, CHAMPION)
    told = []
    if pointed != promoted:
        told.append(f"the alias champion was moved to version {pointed}, which nobody promoted")
    for version in (promoted, *_former_champions(registry, model)) if promoted else ():
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
    """The version that was champion before the present one."""
    return next(_former_champions(registry, model), None)


def promote(registry: Registry, model: str, version: str | None, by: str, why: str) -> str:
    """Make a version (None: the challenger) champion; returns what happened. ConfigError if there is nothing to do, RefusedModelError as of `Registry.scorer`.

    A person may promote what missed its gate; the version's tags say both.
    """
    before, chosen = registry.champion_version(model), version or registry.alias(model, CHALLENGER)
    if chosen is None:
        raise ConfigError(f"{model} has no challenger; name a version by --version: {_known(registry, model)}")
    if chosen == before == registry.alias(model, CHAMPION):
        raise ConfigError(f"{model}: version {chosen} is the champion already")
    registry.scorer(model, chosen)
    registry.promote(model, chosen, by, why)
    return f"{model}: version {chosen} is champion" + (f", version {before} was" if before and before != chosen else "")


def rollback(registry: Registry, model: str, by: str, why: str) -> str:
    """Make the former champion champion again; once more undoes it. Returns what happened; errors as of `promote`."""
    former = former_champion(registry, model)
    if former is None:
        raise ConfigError(f"{model} has had no other champion; promote one of its versions: {_known(registry, model)}")
    return promote(registry, model, former, by, why)


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


def _former_champions(registry: Registry, model: str) -> Iterator[str]:
    """The version before the present champion, the one before that, and so on; each once."""
    former = {v.number: v.tags.get("former_champion") for v in registry.versions(model)}
    seen = [registry.champion_version(model)]
    while (before := former.get(seen[-1] or "")) and before not in seen:
        seen.append(before)
        yield before


def _known(registry: Registry, model: str) -> str:
    return ", ".join(v.number for v in registry.versions(model)) or "none"
