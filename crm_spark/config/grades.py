"""Where grades begin, as one text of the matrix set: a matrix that asks for `churn_grade` decides otherwise where 32 becomes 16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from crm_spark.config.strict import merge, read_yaml

GRADES = "grades.yml"
_OF_MODEL = ("grades", "default_grades")


def read_grades(conf_dir: Path, source: str) -> str | None:
    """The thresholds of every model (also one that the source leaves out: its scores are null) and the shares of value, as YAML.

    Nothing else of a model is part of it: training anew is no other set. A set that was written out has the text as `grades.yml`; None
    where there is neither (sets of before it had any).
    """
    if not (conf_dir / "models").is_dir():
        written = conf_dir / GRADES
        return written.read_bytes().decode(errors="replace") if written.exists() else None
    base = {path.stem: read_yaml(path) for path in (conf_dir / "models").glob("*.yml")}
    over = {name: spec for name, spec in _laid_over(conf_dir, source, "models.yml").items() if spec is not None}
    specs = {name: spec for name, spec in merge(base, over).items() if isinstance(spec, Mapping)}
    models = {name: {part: spec[part] for part in _OF_MODEL if part in spec} for name, spec in specs.items()}
    value = merge(read_yaml(conf_dir / "value.yml"), _laid_over(conf_dir, source, "value.yml")).get("grades")
    return yaml.safe_dump({"models": models, "value": value}, allow_unicode=True)


def _laid_over(conf_dir: Path, source: str, name: str) -> dict[str, object]:
    path = conf_dir / "sources" / source / name
    return read_yaml(path) if path.exists() else {}
