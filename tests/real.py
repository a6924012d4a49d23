"""Months of real operators, run as `make real` runs them: for the slow proofs."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from tests.tiny import KEY, ROOT

DATA = Path(os.environ.get("CRM_SPARK_REAL_DATA", ROOT / "../shared/data"))


@dataclass(frozen=True)
class Month:
    """How a month of `make real` ended: exit code, hold-out measures per trained model, names of those with a champion."""

    code: int
    log: str
    metrics: dict[str, dict[str, float]]
    champions: set[str]


def run_month(env: str, month: str, data: Path, var: Path) -> Month:
    """The same command and configuration as `make real`, over the data in one folder and into another."""
    command = [sys.executable, "jobs/run_month.py", "--env", env, "--month", month]
    places = {"CRM_SPARK_REAL_DATA": str(data), "CRM_SPARK_VAR": str(var), "CRM_SPARK_PSEUDONYM_KEY": KEY, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **places}, capture_output=True, text=True, check=False)
    client = MlflowClient(f"sqlite:///{var}/{env}/mlflow.db")
    models = client.search_registered_models()
    versions = [v for m in models for v in client.search_model_versions(f"name='{m.name}'")]
    metrics = {v.name: client.get_run(v.run_id).data.metrics for v in versions}
    return Month(ended.returncode, ended.stderr, metrics, {m.name for m in models if "champion" in m.aliases})
