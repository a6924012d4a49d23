"""Where a run lives: paths, catalog, Spark and MLflow settings of one environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from crm_spark.config.models import MlflowConfig, load_experiment_settings
from crm_spark.config.strict import merge, parse, read_yaml
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.tables.declared import TABLES

LEAST_MONTHS = 13
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class CatalogConfig:
    """How tables are found: `path` (Delta folders below `root`) or `name` (schemas of the catalog `root`, may be empty)."""

    by: Literal["path", "name"]
    root: str


@dataclass(frozen=True)
class PseudonymConfig:
    """Where the pseudonym key comes from when no environment variable gives it, and whether a missing one may be made."""

    key_file: str = "var/keys/pseudonym.key"
    create: bool = False
    key_version: str = "1"
    split_salt: str = "crm_spark-split-1"


@dataclass(frozen=True)
class MatrixUse:
    """Whether a matrix set must be approved (`conf/approvals.csv`) before it decides; `none` is for trying things out."""

    approval: Literal["required", "none"] = "required"


@dataclass(frozen=True)
class EnvConfig:
    """One environment: `conf/base.yml` with `conf/env/<name>.yml` laid over it.

    `lock_folder` is for a `var` without file locks; empty: a folder of `var`.
    `keep_months` says how many months of a layer's tables `jobs/maintain.py` keeps, and from which one on a run makes them; those of a layer that is not
    named stay for good.
    """

    source: str
    data: str
    var: str
    catalog: CatalogConfig
    mlflow: MlflowConfig
    pseudonym: PseudonymConfig = field(default_factory=PseudonymConfig)
    spark: dict[str, str] = field(default_factory=dict)
    lock_folder: str = ""
    keep_months: dict[str, int] = field(default_factory=dict)
    matrices: MatrixUse = field(default_factory=MatrixUse)

    @property
    def locks(self) -> Path:
        """Folder of the lock files; every process that writes these tables must see it."""
        return Path(self.lock_folder or f"{self.var}/locks")


def load_env(conf_dir: Path, name: str) -> EnvConfig:
    """The environment `name`, with `${VARIABLE:-default}` filled in."""
    path = conf_dir / "env" / f"{name}.yml"
    if not path.exists():
        known = [p.stem for p in (conf_dir / "env").glob("*.yml")]
        raise ConfigError(f"--env {name}: {path} does not exist{did_you_mean(name, known)}")
    raw = merge(read_yaml(conf_dir / "base.yml"), read_yaml(path))
    env = parse(EnvConfig, _filled(raw, str(path)), str(path))
    _refuse_short_memory(env, str(path))
    return replace(env, mlflow=_checked(env.mlflow, conf_dir))


def _refuse_short_memory(env: EnvConfig, where: str) -> None:
    """Whatever a run or a replay may read is kept."""
    layers = {table.schema for table in TABLES.values() if table.partitioned_by}
    unknown = [f"{where}: keep_months.{layer}: no such layer{did_you_mean(layer, layers)}" for layer in sorted({*env.keep_months} - layers)]
    short = [f"{where}: keep_months.{layer}: at least {LEAST_MONTHS} are needed" for layer, n in env.keep_months.items() if n < LEAST_MONTHS]
    if unknown or short:
        raise ConfigError([*unknown, *short])


def _checked(mlflow: MlflowConfig, conf_dir: Path) -> MlflowConfig:
    """With `settings` as a path that does not depend on the working directory, read once so that a mistake shows at once."""
    if mlflow.settings is None:
        return mlflow
    found = replace(mlflow, settings=str(conf_dir.resolve().parent / mlflow.settings))
    load_experiment_settings(found)
    return found


def _filled(raw: Any, where: str) -> Any:
    if isinstance(raw, dict):
        return {k: _filled(v, where) for k, v in raw.items()}
    return _VARIABLE.sub(lambda m: _variable(m, where), raw) if isinstance(raw, str) else raw


def _variable(match: re.Match[str], where: str) -> str:
    name, default = match.groups()
    value = os.environ.get(name) or default
    if value is None:
        raise ConfigError(f"{where}: environment variable {name} is not set")
    return value
