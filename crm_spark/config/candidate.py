"""A value or a threshold changed for a trial, without editing the files that decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from crm_spark.config.choosing import CHOOSING
from crm_spark.config.models import ModelSpec
from crm_spark.config.strict import merge, yaml_mapping, yaml_value
from crm_spark.config.value import ValueConfig
from crm_spark.errors import ConfigError, did_you_mean

SHARED = {"choosing": CHOOSING, "decisions": "decisions.yml"}
VALUE = "value"
Models = Mapping[str, ModelSpec]
Entries = dict[Any, Any] | list[Any]


def with_value(files: Mapping[str, str], source: str, change: str) -> dict[str, str]:
    """The texts of a matrix set (`MatrixConfig.files`) with one value of choosing.yml or decisions.yml changed: `choosing.limits.budget.most=25000`.

    It is the value that is in force: of the common file with the source's own laid over it. An entry of a list is named by its `name`, else
    by its number from 0. `null` takes the entry away. ConfigError for a place that is not there; whether the value fits is found out when
    the set is read.
    """
    place, is_given, text = change.partition("=")
    of, *path = place.split(".")
    if not is_given or not path or of not in SHARED:
        raise ConfigError(f"--set {change}: {' or '.join(SHARED)}, then the place in it and the value are wanted, as choosing.limits.budget.most=25000")
    name = SHARED[of]
    own = f"sources/{source}/{name}"
    in_force = merge(yaml_mapping(files.get(name, ""), name), yaml_mapping(files.get(own, ""), own))
    _put(in_force, path, yaml_value(text, f"--set {change}"), f"--set {change}")
    told = yaml.safe_dump(in_force, allow_unicode=True, sort_keys=False)
    return {**{n: t for n, t in files.items() if n != own}, name: told}


def with_threshold(models: Models, value: ValueConfig, change: str) -> tuple[dict[str, ModelSpec], ValueConfig]:
    """Models and value grades with one grade changed: `churn.at_risk=25`, from which score it begins, in every city; `value.high=0.15`, the
    share of the city's ranking where it ends.
    """
    name, _, text = change.partition("=")
    model, _, grade = name.partition(".")
    known = {**{spec.name: spec.grade_names for spec in models.values()}, VALUE: tuple(value.grades)}
    if model not in known:
        raise ConfigError(f"--threshold {change}: unknown model '{model}'{did_you_mean(model, known)}")
    if grade not in known[model]:
        raise ConfigError(f"--threshold {change}: unknown grade '{grade}'{did_you_mean(grade, known[model])}")
    try:
        return _regraded(models, value, model, grade, float(text))
    except ValueError as error:
        raise ConfigError(f"--threshold {change}: {error}") from None


def _regraded(models: Models, value: ValueConfig, model: str, grade: str, begin: float) -> tuple[dict[str, ModelSpec], ValueConfig]:
    if model != VALUE:
        spec = models[model]
        return {**models, model: replace(spec, grades={scale: {**of, grade: begin} for scale, of in spec.grades.items()})}, value
    changed = replace(value, grades={**value.grades, grade: begin})
    if problems := [*changed.problems()]:
        raise ValueError("; ".join(problems))
    return dict(models), changed


def _put(within: Entries, path: Sequence[str], value: object, where: str) -> None:
    """Change the value at `path`, in place; mappings on the way that are not there are made, and the reader tells what does not belong there."""
    name, *below = path
    if not isinstance(within, (dict, list)):
        raise ConfigError(f"{where}: there is no '{name}', only {within}")
    place = _place(within, name, where)
    if isinstance(within, dict):
        within.setdefault(name, {})
    if below:
        _put(within[place], below, value, where)
    elif value is None:
        del within[place]
    else:
        within[place] = value


def _place(within: Entries, name: str, where: str) -> Any:
    """The key in a mapping; in a list the number of the entry of that name."""
    if isinstance(within, dict):
        return name
    names = [str(entry.get("name", number)) if isinstance(entry, dict) else str(number) for number, entry in enumerate(within)]
    if name not in names:
        raise ConfigError(f"{where}: there is no '{name}'{did_you_mean(name, names)}")
    return names.index(name)
