"""Personal value, grades by city and the personal index, on literal customers."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from crm_spark.config.value import Criterion, Leaf, Outlook, ValueConfig, load_value
from crm_spark.errors import ConfigError
from crm_spark.frames import literal_frame
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import MODEL_SCORE, PERSONAL_INDEX, SEGMENT, VALUE_SCORE
from crm_spark.value.grades import with_grade
from crm_spark.value.personal import build_value_score, parts_used
from crm_spark.value.personal_index import build_personal_index

CONF = Path(__file__).resolve().parents[1] / "conf"
GRADES = {"high": 0.10, "mid-high": 0.30, "mid": 0.90, "low": 1.0}
CONFIG = ValueConfig(
    criteria={
        "value": Criterion(("direct", "indirect"), ((3,),)),
        "direct": Criterion(("return_rate", "arpu"), ((1,),)),
        "indirect": Criterion(("loyalty", "reach"), ((4,),)),
    },
    leaves={
        "return_rate": Leaf(("return_rate",), 0, 100),
        "arpu": Leaf(("arpu_yuan",), 20, 120),
        "loyalty": Leaf(("tenure_months",), 0, 100),
        "reach": Leaf(("long_distance_minutes", "off_net_minutes"), 0, 50),
    },
    grades=GRADES,
)
VIEW = "city string, month string, user_id string, return_rate double, arpu_yuan double, tenure_months int, \
long_distance_minutes double, off_net_minutes double"
VALUED = "city string, month string, user_id string, value double"
M = "2025-03"


@pytest.fixture(scope="module")
def scored(spark):
    """Customers by what is known of them: return rate, ARPU, tenure, long-distance and off-net minutes."""
    customers = {
        "all": (90.0, 70.0, 40, 10.0, 15.0),
        "poor": (0.0, -3.0, 0, 0.0, 0.0),
        "rich": (100.0, 999.0, 400, 900.0, 0.0),
        "gaps": (None, 70.0, None, None, 25.0),
        "new prepaid": (None, None, 30, None, None),
        "unknown": (None, None, None, None, None),
    }
    view = literal_frame(spark, [("A", M, user, *known) for user, known in customers.items()], VIEW)
    scores = VALUE_SCORE.conform(build_value_score(view, CONFIG))
    return {row["user_id"]: row for row in scores.collect()} | {"parts used": parts_used(scores, CONFIG)}


def test_value_is_the_weighted_mean_of_leaf_scores_between_floor_and_ceiling(scored):
    row = scored["all"]
    assert row["parts"] == {"return_rate": 90.0, "arpu": 50.0, "loyalty": 40.0, "reach": 50.0}
    assert row["weights"] == pytest.approx({"return_rate": 0.375, "arpu": 0.375, "loyalty": 0.2, "reach": 0.05})
    assert row["direct_value"] == pytest.approx(70)
    assert row["indirect_value"] == pytest.approx(0.8 * 40 + 0.2 * 50)
    assert row["value"] == pytest.approx(0.75 * 70 + 0.25 * 42)


def test_scores_stop_at_0_and_100(scored):
    assert (scored["poor"]["value"], scored["rich"]["value"]) == (0, 100)


def test_a_missing_part_is_left_out_and_the_parts_beside_it_share_its_weight(scored):
    """Direct still counts three times indirect: without the return rate ARPU is all of it, without tenure reach is all of indirect."""
    row = scored["gaps"]
    assert row["parts"] == {"arpu": 50.0, "reach": 50.0}
    assert row["weights"] == pytest.approx({"arpu": 0.75, "reach": 0.25})
    assert row["value"] == pytest.approx(50)


def test_the_value_lies_between_its_branches_as_the_root_judges_them_whatever_is_missing(scored):
    for user in ("all", "poor", "rich", "gaps"):
        row = scored[user]
        assert row["value"] == pytest.approx(0.75 * row["direct_value"] + 0.25 * row["indirect_value"], abs=1e-5), user
        assert sum(row["weights"].values()) == pytest.approx(1, abs=1e-5)


def test_a_branch_without_any_part_is_null_and_the_value_rests_on_the_other(scored):
    row = scored["new prepaid"]
    assert (row["direct_value"], row["indirect_value"], row["value"]) == (None, 30, 30)


def test_a_customer_about_whom_nothing_is_known_has_neither_value_nor_grade(scored):
    row = scored["unknown"]
    assert (row["value"], row["value_grade"], row["parts"], row["weights"]) == (None, None, {}, {})


def test_the_use_of_each_part_is_told_with_its_share_of_customers(scored):
    shares = {use.part: use.filled_share for use in scored["parts used"]}
    assert shares == pytest.approx({"return_rate": 3 / 6, "arpu": 4 / 6, "loyalty": 4 / 6, "reach": 4 / 6})


def test_an_unknown_column_is_named_with_the_nearest_right_word(frame):
    wrong = replace(CONFIG, leaves={**CONFIG.leaves, "arpu": Leaf(("arpu_yuann",), 0, 1)})
    with pytest.raises(ConfigError, match=r"leaves\.arpu\.columns: the view has no column 'arpu_yuann' \(did you mean 'arpu_yuan'\?\)"):
        build_value_score(frame(VIEW), wrong)


def graded(frame, rows, smallest_city, slices=None):
    valued = frame(VALUED, *[(city, M, user, value) for city, user, value in rows])
    valued = valued.repartition(slices) if slices else valued
    return {r["user_id"]: r["value_grade"] for r in with_grade(valued, replace(CONFIG, smallest_city=smallest_city)).collect()}


def test_the_top_tenth_is_high_the_next_fifth_mid_high_and_the_last_tenth_low(frame):
    found = graded(frame, [("A", f"u{i:02d}", float(i)) for i in range(20)], smallest_city=20)
    assert [found[f"u{i:02d}"] for i in range(20)] == ["low"] * 2 + ["mid"] * 12 + ["mid-high"] * 4 + ["high"] * 2


def test_equal_values_are_ranked_by_key_whatever_the_partitions(frame):
    rows = [("A", f"u{i:02d}", 5.0) for i in range(10)]
    found = graded(frame, rows, smallest_city=1)
    assert [found[f"u{i:02d}"] for i in range(10)] == ["high", "mid-high", "mid-high", *["mid"] * 6, "low"]
    assert graded(frame, rows[::-1], smallest_city=1, slices=5) == found


def test_customers_without_a_value_take_no_place_in_the_ranking(frame):
    found = graded(frame, [*[("A", f"u{i}", float(i)) for i in range(10)], *[("A", f"n{i}", None) for i in range(10)]], smallest_city=1)
    assert found["u9"] == "high" and found["u0"] == "low"
    assert {found[f"n{i}"] for i in range(10)} == {None}


def test_a_small_city_takes_the_cut_offs_of_the_whole_province(frame):
    large = [("BIG", f"b{i:02d}", float(i)) for i in range(18)]
    found = graded(frame, [*large, ("TINY", "t1", 16.5), ("TINY", "t2", 2.5)], smallest_city=10)
    # of the 20 values, the two best are 17 and 16.5, the next four end at 13, the last two are 1 and 0
    assert (found["t1"], found["t2"]) == ("high", "mid")
    # the large city goes by its own ranking: its 18 places are (rank - 1/2) / 18
    assert [found[f"b{i:02d}"] for i in (17, 16)] == ["high"] * 2
    assert [found[f"b{i:02d}"] for i in (15, 13, 12, 2)] == ["mid-high", "mid-high", "mid", "mid"]
    assert [found[f"b{i:02d}"] for i in (1, 0)] == ["low"] * 2


def test_a_province_too_small_for_a_best_tenth_has_nobody_in_it(frame):
    assert graded(frame, [("A", "u1", 5.0), ("A", "u2", 1.0)], smallest_city=50) == {"u1": "mid-high", "u2": "mid"}


@pytest.fixture
def index(frame, spark):
    def build(customers, values=(), scores=(), segments=(), past_values=(), past_scores=()):
        view = frame("city string, month string, user_id string, arpu_yuan decimal(18,2), arpu_yuan_mean_3m double", *[("A", M, *told) for told in customers])
        contracts = (VALUE_SCORE, MODEL_SCORE, SEGMENT, VALUE_SCORE, MODEL_SCORE)
        tables = zip(contracts, (values, scores, segments, past_values, past_scores), strict=True)
        given = [literal_frame(spark, [tuple(row.get(c) for c in t.columns) for row in rows], t.struct) for t, rows in tables]
        return {r["user_id"]: r for r in PERSONAL_INDEX.conform(build_personal_index(view, *given, M, Outlook(credit_months={"low": 2, "high": 0}))).collect()}

    return build


def test_every_customer_has_one_row_and_without_scores_empty_maps_and_histories(index):
    row = index([("a", None, None), ("b", None, None)], values=[{"city": "A", "month": M, "user_id": "a", "value": 7.0, "value_grade": "mid"}])["b"]
    assert (row["value"], row["scores"], row["grades"], row["model_versions"], row["groups"]) == (None, {}, {}, {}, {})
    assert row["value_history"] == row["churn_history"] == row["stickiness_history"] == row["anomaly_history"] == [None, None, None]


def test_scores_and_group_names_stand_side_by_side(index):
    def score(model, value, grade):
        return {"city": "A", "month": M, "user_id": "a", "model": model, "score": value, "grade": grade, "model_version": "3"}

    def group(segmentation, name, class_name):
        return {"city": "A", "month": M, "user_id": "a", "segmentation": segmentation, "group_name": name, "class_name": class_name}

    row = index(
        [("a", None, None)],
        scores=[score("churn", 40.0, "at_risk") | {"drivers": ["raised by tenure months"]}, score("anomaly", 1.0, "not_anomalous")],
        segments=[group("customer_group", "data lover", "young"), group("traffic_group", "night owl", None)],
    )["a"]
    assert row["scores"] == {"anomaly": 1.0, "churn": 40.0}
    assert row["grades"] == {"anomaly": "not_anomalous", "churn": "at_risk"}
    assert row["model_versions"] == {"anomaly": "3", "churn": "3"}
    assert row["drivers"] == {"churn": ["raised by tenure months"]}, "those of anomaly are not known"
    assert row["groups"] == {"customer_group": "data lover", "customer_class": "young", "traffic_group": "night owl"}


def test_revenue_at_risk_and_credit_follow_from_revenue_score_and_grade(index):
    def score(user, model, value, grade):
        return {"city": "A", "month": M, "user_id": user, "model": model, "score": value, "grade": grade, "model_version": "3"}

    found = index(
        [("pays", Decimal(80), 100.0), ("owes", Decimal(80), 100.0), ("unscored", Decimal(80), 100.0), ("owed to", Decimal(-30), 10.0), ("new", None, None)],
        scores=[score("pays", "churn", 20.0, "safe"), score("pays", "credit_risk", 3.0, "low"), score("owes", "credit_risk", 60.0, "high"),
                score("owed to", "credit_risk", 3.0, "low"), score("new", "churn", 20.0, "safe")],
    )  # fmt: skip
    told = {name: (row["expected_revenue_yuan"], row["revenue_at_risk_yuan"], row["credit_limit_yuan"]) for name, row in found.items()}
    assert told == {
        "pays": (90.0, 18.0, 180.0), "owes": (90.0, None, 0.0), "unscored": (90.0, None, None), "owed to": (0.0, None, 0.0), "new": (None, None, None),
    }  # fmt: skip


def test_histories_hold_the_three_months_before_latest_first_across_cities(index):
    def value(city, month, number):
        return {"city": city, "month": month, "user_id": "a", "value": number}

    churn = {"city": "A", "month": "2025-01", "user_id": "a", "model": "churn", "score": 9.0}
    row = index([("a", None, None)], past_values=[value("A", "2025-02", 2.0), value("B", "2024-12", 12.0)], past_scores=[churn])["a"]
    assert row["value_history"] == [2.0, None, 12.0]
    assert row["churn_history"] == [None, 9.0, None]
    assert row["anomaly_history"] == [None, None, None]


def test_the_shipped_hierarchy_reads_only_columns_of_the_view(spark):
    view = spark.createDataFrame([], CUSTOMER_VIEW.struct)
    assert build_value_score(view, load_value(CONF, "none")).columns == list(VALUE_SCORE.columns)
