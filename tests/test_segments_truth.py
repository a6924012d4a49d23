"""The groups found are nearly those that were planted, on a seed that nothing else uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import adjusted_rand_score

from crm_spark.config.segments import SegmentationSpec, load_segments
from crm_spark.ingest.pseudonym import PseudonymKey, subscriber_id
from crm_spark.province.files import truth_of
from crm_spark.segments.attributes import measured, scales, usable
from crm_spark.segments.clustering import STANDARDISED, vectors
from crm_spark.segments.segmentation import Segmentation, segment
from tests.tiny import KEY, MONTH, Tiny, load_job, small_configuration

SEED, SIZE = 27_183, 5_000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def province(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A province whose view is built: what the month's first jobs write."""
    tiny = Tiny(tmp_path_factory.mktemp("groups"))
    small_configuration(tiny.folder)
    tiny.environment("tiny", tiny.var)
    made = ["--size", str(SIZE), "--seed", str(SEED), "--out", str(tiny.folder / "raw"), "--conf-dir", str(tiny.conf)]
    assert load_job("make_province").main(made) == 0
    for job in ("ingest", "build_summaries", "build_customer_view"):
        assert tiny.run(job, "--run-id", "truth") == 0
    return tiny


@pytest.fixture(scope="module")
def view(spark: SparkSession, province: Tiny) -> Iterator[DataFrame]:
    rows = spark.read.format("delta").load(str(province.var / "tables/mart/customer_view")).where(F.col("month") == MONTH).persist()
    yield rows
    rows.unpersist()


@pytest.fixture(scope="module")
def planted(spark: SparkSession, province: Tiny) -> pd.DataFrame:
    """The true way of using a telephone by pseudonym."""
    truth = spark.read.parquet(str(truth_of(province.folder / "raw") / "subscriber"))
    return truth.select(subscriber_id(PseudonymKey(KEY.encode()), "ZJ", F.col("subscriber_id")).alias("user_id"), "archetype").toPandas()


def points(view: DataFrame, spec: SegmentationSpec) -> pd.DataFrame:
    """Every customer in the space in which groups are found."""
    attributes = measured(view, "traffic_group", spec)
    found = vectors(attributes, usable(scales(attributes, spec)), spec)
    return found.select("user_id", vector_to_array(F.col(STANDARDISED)).alias("point")).toPandas()


@pytest.fixture(scope="module")
def indices(view: DataFrame, planted: pd.DataFrame) -> tuple[float, float]:
    """Adjusted Rand index with the planted types: of every customer put to the nearest mean of the true types, and of the groups found."""
    spec = load_segments(Path(__file__).resolve().parents[1] / "conf", "province")["traffic_group"]
    found = segment(view, MONTH, "traffic_group", spec)
    assert isinstance(found, Segmentation)
    groups = found.segments.select("user_id", "group_number").toPandas()
    both = points(view, spec).merge(groups, on="user_id").merge(planted, on="user_id")
    assert len(both) > 0.95 * SIZE
    places, types = np.stack(both["point"].to_numpy()), both["archetype"].astype("category").cat.codes.to_numpy()
    centres = np.stack([places[types == k].mean(axis=0) for k in range(types.max() + 1)])
    nearest = ((places[:, None, :] - centres) ** 2).sum(axis=2).argmin(axis=1)
    return adjusted_rand_score(types, nearest), adjusted_rand_score(types, both["group_number"])


def test_groups_found_agree_nearly_as_well_with_the_planted_ones_as_the_true_centres_do(indices: tuple[float, float]) -> None:
    best, reached = indices
    assert best > 0.6 and reached >= 0.9 * best, f"{reached:.3f} of {best:.3f}"
