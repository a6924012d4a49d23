"""What the notebooks share: the published tables of an environment, and a look at a frame, on Databricks and on a laptop alike.

Parameters are widgets on Databricks (env, conf_dir, month); elsewhere, and as the widgets' defaults, they come from the environment:
CRM_SPARK_ENV (default demo), CRM_SPARK_CONF_DIR (conf, or ../conf where the notebook's own folder is the current one),
CRM_SPARK_MONTH (the latest published).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Protocol

import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import DataFrame

from crm_spark.errors import NotPublishedError
from crm_spark.job import Job, open_job
from crm_spark.tables.decision import RECOMMENDATION


class Widgets(Protocol):
    """What is used of Databricks' `dbutils.widgets`."""

    def text(self, name: str, default: str, /) -> None: ...

    def get(self, name: str, /) -> str: ...


def published(name: str) -> Job:
    """A job that only reads: what is published of the chosen environment and month."""
    env, month = parameter("env", "demo"), parameter("month", "")
    conf_dir = Path(parameter("conf_dir", "conf" if Path("conf").is_dir() else "../conf"))
    options = argparse.Namespace(env=env, conf_dir=conf_dir, month=month or "0001-01", city=None, run_id="notebook", event_log=None)
    job = open_job(name, options)
    months = job.months_of(RECOMMENDATION)
    if not months:
        raise NotPublishedError(f"environment {options.env} has no published month yet; run it first (make demo)")
    job.month = month or months[-1]
    return job


def parameter(name: str, default: str) -> str:
    """The widget of that name, made if need be; without widgets the environment variable CRM_SPARK_<NAME>, else `default`."""
    given = os.environ.get(f"CRM_SPARK_{name.upper()}") or default
    widgets: Widgets | None = getattr(getattr(sys.modules["__main__"], "dbutils", None), "widgets", None)
    if widgets is None:
        return given
    widgets.text(name, given)  # a widget that is there already keeps its value
    return widgets.get(name)


def show(frame: DataFrame | pd.DataFrame, rows: int = 20) -> None:
    """The first rows as a table: rich in a notebook, text elsewhere."""
    table = frame if isinstance(frame, pd.DataFrame) else frame.limit(rows).toPandas()
    if "IPython" in sys.modules:
        sys.modules["IPython"].display.display(table.head(rows))
    else:
        sys.stdout.write(table.head(rows).to_string(index=False, max_colwidth=60) + "\n\n")


def picture(job: Job, figure: Figure, name: str) -> Path:
    """Keep a figure as var/<run>/notebooks/<name>.png, and show it where pictures can be shown."""
    folder = Path(job.config.env.var) / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=110)
    if "IPython" in sys.modules:
        sys.modules["IPython"].display.display(figure)
    else:
        sys.stdout.write(f"picture: {path}\n\n")
    return path
