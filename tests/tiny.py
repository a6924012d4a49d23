"""A tiny province, run once for the whole test session: the fixture behind the end-to-end tests."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
MONTH = "2025-03"
SIZE = 2400
KEY = "a published key for tests: " + "0123456789abcdef" * 2


@dataclass(frozen=True)
class Tiny:
    """Where the tiny province and its run lie."""

    folder: Path

    @property
    def conf(self) -> Path:
        return self.folder / "conf"

    @property
    def var(self) -> Path:
        return self.folder / "var"

    @property
    def summary(self) -> dict[str, object]:
        return json.loads((self.var / "summary.json").read_text(encoding="utf-8"))

    def run(self, job: str, *arguments: str, env: str = "tiny") -> int:
        """The exit code of a job, in this process."""
        os.environ["CRM_SPARK_PSEUDONYM_KEY"] = KEY
        return load_job(job).main(["--conf-dir", str(self.conf), "--env", env, "--month", MONTH, *arguments])

    def environment(self, name: str, var: Path, spark: Mapping[str, str] | None = None, **mlflow: str) -> None:
        """Write conf/env/<name>.yml: the same province, tables below `var`, settings of Spark."""
        settings = {
            "tracking_uri": f"sqlite:///{self.var}/mlflow.db",
            "artifacts": f"{self.var}/mlartifacts",
            "experiment": "tiny",
            **mlflow,
        }
        text = {
            "source": "province",
            "data": str(self.folder / "raw"),
            "var": str(var),
            "catalog": {"by": "path", "root": str(var / "tables")},
            "mlflow": settings,
            "spark": dict(spark or {}),
        }
        (self.conf / "env" / f"{name}.yml").write_text(json.dumps(text), encoding="utf-8")


def make_tiny(folder: Path) -> Tiny:
    """Generate the province and run its month: raw files to published recommendations."""
    tiny = Tiny(folder)
    small_configuration(folder)
    tiny.environment("tiny", tiny.var)
    tiny.var.mkdir()
    assert (
        load_job("make_province").main(["--size", str(SIZE), "--seed", "11", "--out", str(folder / "raw"), "--conf-dir", str(tiny.conf)])
        == 0
    )
    assert tiny.run("run_month") == 0
    return tiny


def small_configuration(folder: Path) -> None:
    """The configuration, copied into `folder`, with small models: few and shallow trees of few months, and gates that a few thousand customers pass.

    What is tested with them is the loop, not the quality.
    """
    for part in ("conf", "mlflow"):
        shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
    small = {
        "algorithms": [{"name": "gbt", "grid": {"maxIter": [5], "maxDepth": [3], "subsamplingRate": [0.8]}}, {"name": "tree", "grid": {"maxDepth": [3]}}],
        "as_of_months": 3,
        "gate": {"auc": 0, "lift_at_10": 0, "calibration_error": 1},
        "minimum_positives": 5,
    }
    over = {path.stem: small for path in (folder / "conf/models").glob("*.yml")}
    (folder / "conf/sources" / "province" / "models.yml").write_text(json.dumps(over), encoding="utf-8")


def load_job(name: str) -> ModuleType:
    """A job file as a module."""
    spec = importlib.util.spec_from_file_location(f"job_{name}", ROOT / "jobs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the job look themselves up there
    spec.loader.exec_module(module)
    return module
