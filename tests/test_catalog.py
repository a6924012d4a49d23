import json
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import types as T

from crm_spark.config.env import CatalogConfig
from crm_spark.errors import ContractError
from crm_spark.locks import Locks
from crm_spark.runs import Versions, Written
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.common import CITY, MONTH, USER_ID, money, number
from crm_spark.tables.contract import Field, Table
from crm_spark.tables.digest import digest

SCORE = Table(
    "score",
    "test_score",
    "One row per user: it's a test.",
    (CITY, MONTH, USER_ID, number("value", "Value."), money("price_yuan", "Price.")),
    ("city", "month", "user_id"),
    checks={"value_is_a_score": "value IS NULL OR value BETWEEN 0 AND 100"},
)
SCHEMA = "city string, month string, user_id string, value double, price_yuan decimal(18,2)"


@pytest.fixture(params=["path", "name"])
def catalog(request, spark, tmp_path):
    if request.param == "path":
        yield Catalog(spark, CatalogConfig("path", str(tmp_path / "tables")), Locks(tmp_path / "locks"))
    else:
        yield Catalog(spark, CatalogConfig("name", ""), Locks(tmp_path / "locks"))
        spark.sql("DROP SCHEMA IF EXISTS score CASCADE")


@pytest.fixture
def by_path(spark, tmp_path):
    return Catalog(spark, CatalogConfig("path", str(tmp_path / "tables")), Locks(tmp_path / "locks"))


def rows(catalog, version=None):
    return sorted((r.city, r.month, r.user_id, r.value) for r in catalog.read(SCORE, version).collect())


def test_a_write_replaces_exactly_the_asked_cities_and_month(catalog, frame):
    first = frame(SCHEMA, ("A", "2025-01", "u1", 1.0, None), ("B", "2025-01", "u2", 2.0, None), ("A", "2025-02", "u1", 3.0, None))
    catalog.replace(first, SCORE, {"month": ["2025-01", "2025-02"]}, {"n": "1"})
    commit = catalog.replace(frame(SCHEMA, ("A", "2025-01", "u9", 9.0, None)), SCORE, {"month": ["2025-01"], "city": ["A"]}, {"n": "2"})
    assert rows(catalog) == [("A", "2025-01", "u9", 9.0), ("A", "2025-02", "u1", 3.0), ("B", "2025-01", "u2", 2.0)]
    assert commit.rows == 1
    assert rows(catalog, commit.version - 1)[0] == ("A", "2025-01", "u1", 1.0)


def test_a_city_that_became_empty_keeps_no_stale_rows(by_path, frame):
    by_path.replace(frame(SCHEMA, ("A", "2025-01", "u1", 1.0, None)), SCORE, {"month": ["2025-01"]}, {"n": "1"})
    by_path.replace(frame(SCHEMA), SCORE, {"month": ["2025-01"], "city": ["A"]}, {"n": "2"})
    assert rows(by_path) == []


def test_rows_outside_the_run_are_refused_and_change_nothing(by_path, frame):
    with pytest.raises(ContractError, match="outside what it may replace"):
        by_path.replace(frame(SCHEMA, ("B", "2025-01", "u1", 1.0, None)), SCORE, {"month": ["2025-01"], "city": ["A"]}, {"n": "1"})
    assert rows(by_path) == []


def test_a_broken_check_is_told_as_itself_and_not_as_a_mismatch(by_path, frame):
    with pytest.raises(ContractError, match="value_is_a_score"):
        by_path.replace(frame(SCHEMA, ("A", "2025-01", "u1", 101.0, None)), SCORE, {"month": ["2025-01"]}, {"n": "1"})


def test_a_missing_key_is_refused(by_path, frame):
    with pytest.raises(ContractError, match="required column is null"):
        by_path.replace(frame(SCHEMA, ("A", "2025-01", None, 1.0, None)), SCORE, {"month": ["2025-01"]}, {"n": "1"})


def test_a_frame_that_does_not_fit_names_all_missing_and_unexpected_columns(by_path, frame):
    with pytest.raises(ContractError, match=r"missing value, price_yuan; unexpected valeu"):
        by_path.replace(
            frame("city string, month string, user_id string, valeu double", ("A", "2025-01", "u", 1.0)), SCORE, {"month": ["2025-01"]}, {}
        )


def test_a_contract_may_gain_columns(by_path, frame):
    by_path.replace(frame(SCHEMA, ("A", "2025-01", "u1", 1.0, None)), SCORE, {"month": ["2025-01"]}, {"n": "1"})
    wider = SCORE.with_fields([Field("ext_app", T.DoubleType(), "Own column.")])
    row = ("A", "2025-02", "u1", 2.0, None, 5.0)
    by_path.replace(frame(SCHEMA + ", ext_app double", row), wider, {"month": ["2025-02"]}, {"n": "2"})
    assert sorted((r.month, r.ext_app) for r in by_path.read(wider).collect()) == [("2025-01", None), ("2025-02", 5.0)]


def test_a_commit_names_its_run(by_path, frame):
    by_path.replace(frame(SCHEMA, ("A", "2025-01", "u1", 1.0, None)), SCORE, {"month": ["2025-01"]}, {"run_id": "r1"})
    history = by_path._spark.sql(f"DESCRIBE HISTORY {by_path.reference(SCORE)}").first()
    assert json.loads(history["userMetadata"])["run_id"] == "r1"


def test_a_reader_sees_its_own_run_else_the_published_version_city_by_city():
    versions = Versions(
        own={("score.test_score", "2025-03"): Written(9), ("score.test_score", "2025-02"): Written(8, ("B",))},
        published={("score.test_score", "2025-02"): {"A": 4, "B": 5}, ("score.test_score", "2025-01"): {"A": 4, "B": 4}},
    )
    seen = versions.slices(SCORE, ["2025-01", "2025-02", "2025-03"], None)
    assert {(s.version, s.months, s.cities) for s in seen} == {
        (9, ("2025-03",), None),
        (4, ("2025-01",), ("A", "B")),
        (4, ("2025-02",), ("A",)),
        (8, ("2025-02",), ("B",)),  # the run's own city; the other cities as they are published
    }
    assert versions.months(SCORE) == ("2025-01", "2025-02", "2025-03")


def test_each_month_is_read_at_the_version_its_own_commit_made():
    versions = Versions(own={("score.test_score", "2025-02"): Written(3), ("score.test_score", "2025-03"): Written(7)})
    assert {(s.version, s.months) for s in versions.slices(SCORE, ["2025-02", "2025-03"], None)} == {(3, ("2025-02",)), (7, ("2025-03",))}


def test_an_unreadable_table_does_not_pass_for_an_absent_one(by_path, tmp_path):
    assert not by_path.exists(SCORE)
    log = Path(by_path.reference(SCORE).removeprefix("delta.").strip("`")) / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000001.json").write_text("{}")  # the first commit is lost
    with pytest.raises(Py4JJavaError):
        by_path.exists(SCORE)


def test_digests_ignore_order_and_partitions_but_no_value(frame):
    a, b = ("A", "2025-01", "u1", 0.1, None), ("A", "2025-01", "u2", None, None)
    base = digest(frame(SCHEMA, a, b), SCORE)
    assert digest(frame(SCHEMA, b, a).repartition(3), SCORE) == base
    assert digest(frame(SCHEMA, a, (*b[:3], 0.0, None)), SCORE) != base
    assert digest(frame(SCHEMA, a), SCORE) != base
    assert digest(frame(SCHEMA, (*a[:3], 0.1 + 1e-15, None), b), SCORE) == base
