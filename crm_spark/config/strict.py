"""Strict reading of YAML into frozen dataclasses: unknown keys, wrong types and missing values are told together.

A dataclass is the schema. Supported field types: str, int, float, bool, Decimal, date, Literal, `X | None`,
tuple[X, ...], dict[str, X], nested dataclasses. An `int` is accepted where a float is wanted, nothing else is converted.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from crm_spark.errors import ConfigError, did_you_mean

Config = TypeVar("Config")
Yaml = Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice."""


def _no_duplicates(loader: yaml.SafeLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(f"{key_node.start_mark.name}:{key_node.start_mark.line + 1}: key '{key}' stands twice")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _no_duplicates)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError for a missing or ill-formed file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{did_you_mean(path.name, siblings)}") from None
    return yaml_mapping(text, str(path))


def yaml_mapping(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text is; nothing at all is an empty one."""
    content = yaml_value(text, where)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: a mapping of keys is wanted, found {type(content).__name__}")
    return content


def yaml_value(text: str, where: str) -> Any:
    """What a YAML text says; ConfigError if it is none."""
    try:
        loader = _Loader(text)
        loader.name = where  # problems tell it
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None


def merge(base: Yaml, over: Yaml) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; anything else is replaced, and null in `over` removes the key."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def parse(cls: type[Config], raw: Yaml, where: str) -> Config:
    """`raw` as an instance of the dataclass `cls`; every problem is told as `where: key.path: what`."""
    problems: list[str] = []
    value = _convert(cls, raw, "", problems)
    if problems:
        raise ConfigError([f"{where}: {problem}" for problem in problems])
    return cast(Config, value)


def load(cls: type[Config], path: Path) -> Config:
    """One YAML file as one dataclass."""
    return parse(cls, read_yaml(path), str(path))


def _convert(kind: Any, raw: Any, path: str, problems: list[str]) -> Any:
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(cast(type, kind), raw, path, problems)
    if origin in (Union, types.UnionType):
        return _union(kind, raw, path, problems)
    if origin is Literal:
        return _literal(kind, raw, path, problems)
    if origin is tuple:
        return _tuple(get_args(kind)[0], raw, path, problems)
    if origin is dict:
        return _dict(get_args(kind)[1], raw, path, problems)
    return _scalar(kind, raw, path, problems)


def _dataclass(cls: type, raw: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(raw, Mapping):
        problems.append(f"{path or 'top level'}: a mapping is wanted, found {_name(raw)}")
        return None
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    problems.extend(f"{_join(path, str(k))}: unknown key{did_you_mean(str(k), fields)}" for k in raw if k not in fields)
    values: dict[str, Any] = {}
    before = len(problems)
    for name, field in fields.items():
        if name in raw:
            values[name] = _convert(hints[name], raw[name], _join(path, name), problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{_join(path, name)}: is missing")
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:  # a dataclass may refuse values in __post_init__
        problems.append(f"{path or 'top level'}: {error}")
        return None


def _union(kind: Any, raw: Any, path: str, problems: list[str]) -> Any:
    options = get_args(kind)
    if raw is None and type(None) in options:
        return None
    attempts: list[list[str]] = []
    for option in (o for o in options if o is not type(None)):
        attempt: list[str] = []
        value = _convert(option, raw, path, attempt)
        if not attempt:
            return value
        attempts.append(attempt)
    problems.extend(sorted(attempts, key=len)[0])
    return None


def _literal(kind: Any, raw: Any, path: str, problems: list[str]) -> Any:
    allowed = get_args(kind)
    if raw not in allowed:
        problems.append(f"{path}: '{raw}' is not one of {', '.join(map(str, allowed))}{_near(raw, allowed)}")
    return raw


def _tuple(kind: Any, raw: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(raw, (list, tuple)):
        problems.append(f"{path}: a list is wanted, found {_name(raw)}")
        return ()
    return tuple(_convert(kind, item, f"{path}[{i}]", problems) for i, item in enumerate(raw))


def _dict(kind: Any, raw: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(raw, Mapping):
        problems.append(f"{path}: a mapping is wanted, found {_name(raw)}")
        return {}
    return {str(k): _convert(kind, v, _join(path, str(k)), problems) for k, v in raw.items()}


def _scalar(kind: Any, raw: Any, path: str, problems: list[str]) -> Any:
    if kind is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        if not math.isfinite(raw):
            problems.append(f"{path}: a number is wanted, found {raw}")
        return float(raw)
    if kind is Decimal and isinstance(raw, (int, float, str)) and not isinstance(raw, bool):
        return Decimal(str(raw))
    if type(raw) is not kind:
        wanted = {str: "text", int: "a whole number", float: "a number", bool: "true or false", date: "a date (yyyy-mm-dd)"}.get(
            kind, str(kind)
        )
        problems.append(f"{path}: {wanted} is wanted, found {_name(raw)}{_quoting_hint(kind, raw)}")
    return raw


def _near(raw: Any, allowed: tuple[Any, ...]) -> str:
    hint = did_you_mean(str(raw), [str(a) for a in allowed])
    return hint if "did you mean" in hint else ""


def _quoting_hint(kind: Any, raw: Any) -> str:
    return "; put it in quotes" if kind is str and not isinstance(raw, (dict, list)) and raw is not None else ""


def _name(raw: Any) -> str:
    return "nothing" if raw is None else f"{type(raw).__name__} {raw!r}"[:60]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
