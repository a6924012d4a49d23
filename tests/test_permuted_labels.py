"""The proof by permuted labels: on real customers whose labels are shuffled no model finds anything, and the run goes on without one.

Minutes a run; needs the real data of CRM_SPARK_REAL_DATA (`make permuted`).
"""

import csv
import gzip
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tiny import KEY

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CRM_SPARK_REAL_DATA", ROOT / "../shared/data"))
FILE = "cell2cell.csv.gz"
SALTS = ("salt-1", "salt-2", "salt-3")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / FILE).exists(), reason=f"{FILE} is not in CRM_SPARK_REAL_DATA"),
]


@dataclass(frozen=True)
class Month:
    """How `make real`'s run over cell2cell ended: exit code, hold-out measures per trained model, names of those with a champion."""

    code: int
    log: str
    metrics: dict[str, dict[str, float]]
    champions: set[str]


def run_month(data: Path, var: Path) -> Month:
    """The same command and configuration as `make real`, over the data in another folder."""
    command = [sys.executable, "jobs/run_month.py", "--env", "real-cell2cell", "--month", "2002-01"]
    places = {"CRM_SPARK_REAL_DATA": str(data), "CRM_SPARK_VAR": str(var), "CRM_SPARK_PSEUDONYM_KEY": KEY, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **places}, capture_output=True, text=True, check=False)
    client = MlflowClient(f"sqlite:///{var}/real-cell2cell/mlflow.db")
    models = client.search_registered_models()
    versions = [v for m in models for v in client.search_model_versions(f"name='{m.name}'")]
    metrics = {v.name: client.get_run(v.run_id).data.metrics for v in versions}
    return Month(ended.returncode, ended.stderr, metrics, {m.name for m in models if "champion" in m.aliases})


def write_permuted(salt: str, folder: Path) -> None:
    """The file with its labels dealt out anew, in the order of sha256(salt|CustomerID): as many, to whomever."""
    with gzip.open(DATA / FILE, "rt", encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    key, label = header.index("CustomerID"), header.index("Churn")
    shuffled = sorted(rows, key=lambda row: hashlib.sha256(f"{salt}|{row[key]}".encode()).hexdigest())
    dealt = {receiver[key]: giver[label] for receiver, giver in zip(shuffled, rows, strict=True)}
    with gzip.open(folder / FILE, "wt", encoding="utf-8", newline="", compresslevel=1) as stream:
        csv.writer(stream).writerows([header, *[[*row[:label], dealt[row[key]], *row[label + 1 :]] for row in rows]])


@pytest.mark.parametrize("salt", SALTS)
def test_with_permuted_labels_nothing_is_found_the_gate_refuses_and_the_run_ends_well(salt, tmp_path):
    write_permuted(salt, tmp_path)
    month = run_month(tmp_path, tmp_path / "var")
    assert month.code == 0, month.log
    assert "churn" in month.metrics
    for model, found in month.metrics.items():
        assert found["test_auc"] == pytest.approx(0.5, abs=0.02), model
        assert found["test_distinct_scores"] >= 1000, model
    assert month.champions == set()


def test_with_the_true_labels_the_same_command_finds_who_leaves(tmp_path):
    month = run_month(DATA, tmp_path)
    assert month.code == 0, month.log
    assert month.metrics["churn"]["test_auc"] >= 0.67
    assert month.metrics["churn"]["test_lift_10"] >= 1.75
    assert "churn" in month.champions
