"""The models of what is planted where it is asked for, learnt from the raw files of a seed that nothing else uses, by the very jobs of the month."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from tests.tiny import KEY, ROOT

SEED, SIZE, FIRST, MONTH = 77_003, 20_000, "2024-08", "2025-03"
NEW = ("fraud", "credit_risk", "price_sensitivity", "affinity_business_travel", "affinity_parent_class", "affinity_tone_box")
JOBS = ("ingest", "build_summaries", "build_customer_view", "train_models")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Per model the measures of its one version on the hold-out, whether it passed its gate or not."""
    folder = tmp_path_factory.mktemp("further")
    conf = eight_months(folder)
    arguments = ["--conf-dir", str(conf), "--size", str(SIZE), "--seed", str(SEED), "--further", "--out", str(folder / "raw")]
    run(folder, "make_province", *arguments)
    (folder / "var").mkdir()
    for job in JOBS:
        run(folder, job, "--conf-dir", str(conf), "--env", "further", "--month", MONTH, "--run-id", "measured")
    client = MlflowClient(f"sqlite:///{folder}/var/further/mlflow.db")
    versions = {model: client.search_model_versions(f"name='{model}'")[0] for model in NEW}
    return {model: client.get_run(str(version.run_id)).data.metrics for model, version in versions.items()}


def eight_months(folder: Path) -> Path:
    """The configuration with the new models alone, over the months they need."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copytree(ROOT / "mlflow", folder / "mlflow")
    for path in ("province.yml", "sources/province/source.yml", "sources/province_further/source.yml"):
        text = (folder / "conf" / path).read_text(encoding="utf-8")
        text = text.replace('first_month: "2024-01"', f'first_month: "{FIRST}"').replace('{first: "2024-01"', f'{{first: "{FIRST}"')
        (folder / "conf" / path).write_text(text, encoding="utf-8")
    others = {path.stem: None for path in (ROOT / "conf/models").glob("*.yml") if path.stem not in NEW}
    switched = {model: {"enabled": True} for model in NEW}
    (folder / "conf/sources/province_further/models.yml").write_text(yaml.safe_dump(switched | others), encoding="utf-8")
    return folder / "conf"


def run(folder: Path, job: str, *arguments: str) -> None:
    known = {"CRM_SPARK_DATA": str(folder / "raw"), "CRM_SPARK_VAR": str(folder / "var"), "CRM_SPARK_PSEUDONYM_KEY": KEY, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, f"jobs/{job}.py", *arguments], cwd=ROOT, env={**os.environ, **known}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_of_as_many_numbers_as_are_fraud_eight_in_ten_are_found_at_the_planted_prevalence(measured: dict[str, dict[str, float]]) -> None:
    assert 0.002 < measured["fraud"]["test_base_rate"] < 0.01
    assert measured["fraud"]["test_precision"] >= 0.8


@pytest.mark.parametrize("model", NEW)
def test_the_tenth_with_the_highest_scores_has_the_label_twice_as_often_at_least(measured: dict[str, dict[str, float]], model: str) -> None:
    assert measured[model]["test_lift_10"] >= 2
