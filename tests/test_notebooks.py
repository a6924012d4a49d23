"""Every notebook is in Databricks source format and finds its parameters; tests/test_month.py runs them."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_spark.notebook import parameter, published

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))


def test_the_four_notebooks_are_there():
    assert [p.stem[3:] for p in NOTEBOOKS] == ["explore_customer_view", "review_models", "read_segments", "inspect_matrices"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_in_databricks_source_format(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Databricks notebook source"
    assert lines[1].startswith("# MAGIC %md") and lines.count("# COMMAND ----------") >= 3


def test_parameters_come_from_the_environment_or_from_widgets(monkeypatch):
    monkeypatch.setenv("CRM_SPARK_MONTH", "2025-03")
    monkeypatch.delenv("CRM_SPARK_ENV", raising=False)
    assert (parameter("env", "demo"), parameter("month", "")) == ("demo", "2025-03")
    made = {"env": "prod"}  # what the user has chosen; other widgets begin with their default
    widgets = SimpleNamespace(text=made.setdefault, get=made.__getitem__)
    monkeypatch.setattr(sys.modules["__main__"], "dbutils", SimpleNamespace(widgets=widgets), raising=False)
    assert (parameter("env", "demo"), parameter("month", "")) == ("prod", "2025-03")


def test_the_configuration_is_found_from_the_notebooks_own_folder(monkeypatch, tmp_path):
    """On Databricks a notebook's current folder is its own."""
    seen = []
    job = SimpleNamespace(months_of=lambda table: ("2025-02", "2025-03"))
    monkeypatch.setattr("crm_spark.notebook.open_job", lambda name, options: seen.append(options.conf_dir.resolve()) or job)
    (tmp_path / "conf").mkdir()
    (tmp_path / "notebooks").mkdir()
    for variable in ("CRM_SPARK_CONF_DIR", "CRM_SPARK_MONTH"):
        monkeypatch.delenv(variable, raising=False)
    for folder in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(folder)
        assert published("x").month == "2025-03"
    assert seen == [tmp_path / "conf"] * 2
