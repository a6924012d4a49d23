"""Every notebook runs from top to bottom over a published month, and is in Databricks source format."""

import runpy
from pathlib import Path

import pytest

from tests.tiny import KEY, MONTH

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))


def test_the_four_notebooks_are_there():
    assert [p.stem[3:] for p in NOTEBOOKS] == ["explore_customer_view", "review_models", "read_segments", "inspect_matrices"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_in_databricks_source_format(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Databricks notebook source"
    assert lines[1].startswith("# MAGIC %md") and lines.count("# COMMAND ----------") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_something(path, tiny, monkeypatch, capsys):
    monkeypatch.setenv("CRM_SPARK_ENV", "tiny")
    monkeypatch.setenv("CRM_SPARK_CONF_DIR", str(tiny.conf))
    monkeypatch.setenv("CRM_SPARK_PSEUDONYM_KEY", KEY)
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) > 20
    assert MONTH in printed or "customers" in printed
