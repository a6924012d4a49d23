"""All configuration of a run, read and checked together before any data is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from crm_spark.config.choosing import CHOOSING, Choosing
from crm_spark.config.decisions import MatrixConfig, choosing_of, load_decisions
from crm_spark.config.env import EnvConfig, load_env
from crm_spark.config.models import ModelSpec, load_models
from crm_spark.config.segments import RuleSegmentation, SegmentationSpec, load_rule_segments, load_segments
from crm_spark.config.sources import SourceConfig, load_source
from crm_spark.config.value import ValueConfig, load_value
from crm_spark.errors import ConfigError

Section = TypeVar("Section")


@dataclass(frozen=True)
class Settings:
    """What a job may know; a function of the domain takes only its own section."""

    env_name: str
    conf_dir: Path
    env: EnvConfig
    source: SourceConfig
    value: ValueConfig
    models: dict[str, ModelSpec]
    segmentations: dict[str, SegmentationSpec]
    rule_segmentations: dict[str, RuleSegmentation]
    matrices: MatrixConfig
    choosing: Choosing
    fingerprint: str


def load_settings(conf_dir: Path, env_name: str) -> Settings:
    """Every section of `conf_dir` for one environment; ConfigError tells all problems of all sections together.

    Of the matrices only files are read here; what is wrong with them alone is told with their cells (`decisions.load`).
    """
    if not conf_dir.is_dir():
        raise ConfigError(f"--conf-dir {conf_dir}: no such folder")
    env = load_env(conf_dir, env_name)
    problems: list[str] = []

    def section(load: Callable[[Path, str], Section]) -> Section | None:
        try:
            return load(conf_dir, env.source)
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    source, value, models = section(load_source), section(load_value), section(load_models)
    segmentations, rules, matrices = section(load_segments), section(load_rule_segments), load_decisions(conf_dir, env.source)
    known = {path.stem for path in (conf_dir / "models").glob("*.yml")}  # also those a source leaves out: their scores are null
    choosing = section(lambda folder, _: choosing_of(matrices, known, str(folder / CHOOSING)))
    if not (source and value and choosing and models is not None and segmentations is not None and rules is not None):
        raise ConfigError(list(dict.fromkeys([*problems, *matrices.problems])))
    return Settings(env_name, conf_dir, env, source, value, models, segmentations, rules, matrices, choosing, fingerprint(conf_dir))


def fingerprint(conf_dir: Path) -> str:
    """Hash of every configuration file, by relative path and content."""
    digest = hashlib.sha256()
    for path in sorted(p for p in conf_dir.rglob("*") if p.suffix in (".yml", ".csv")):
        digest.update(str(path.relative_to(conf_dir)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
