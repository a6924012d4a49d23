"""One small Delta-enabled session for all tests, and frames written as literal rows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.frames import literal_frame
from crm_spark.learning.trainer import Trained
from tests.learning_support import ROWS, customers, fitted
from tests.tiny import Tiny, make_tiny

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that need the tiny province begin: with several workers their file takes one of them longest."""
    items.sort(key=lambda item: "tiny" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from crm_spark.session import local_session

    session = local_session("tests", cores=2, memory="3g", warehouse=tmp_path_factory.mktemp("warehouse"))
    yield session
    session.stop()


@pytest.fixture
def frame(spark: SparkSession) -> Callable[..., DataFrame]:
    """`frame("a string, b int", ("x", 1), ("y", 2))`"""

    def build(schema: str, *rows: tuple[object, ...]) -> DataFrame:
        return literal_frame(spark, rows, schema)

    return build


@pytest.fixture(scope="session")
def tiny(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A tiny province whose month has run end to end, once for all tests."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def learning_rows(spark: SparkSession) -> DataFrame:
    """Labelled rows of tests/learning_support.py."""
    return spark.createDataFrame(list(customers()), ROWS).persist()


@pytest.fixture(scope="session")
def learnt(learning_rows: DataFrame) -> Trained:
    """The small model, trained on them once for all tests."""
    return fitted(learning_rows)
