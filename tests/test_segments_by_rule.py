"""Groups by conditions: life-cycle stages and strategic groups, shipped and small."""

from pathlib import Path

import pytest

from crm_spark.config.segments import RuleGroup, RuleSegmentation, load_rule_segments, load_segments
from crm_spark.errors import ConfigError
from crm_spark.frames import literal_frame
from crm_spark.segments.rules import rule_segmentation, scored_view
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import SEGMENT, SEGMENT_PROFILE, VALUE_SCORE

CONF = Path(__file__).resolve().parents[1] / "conf"
M = "2025-03"
SHIPPED = load_rule_segments(CONF, "none")
QUIET = {"status": "active", "is_active": True, "tenure_months": 60, "arpu_yuan": 50.0, "arpu_prior_3m_yuan": 50.0, "total_minutes": 200.0,
         "total_minutes_mean_3m": 200.0, "vpn_minutes": 0.0, "vpn_minutes_mean_3m": 0.0, "held_services": 5, "dou_mb_mean_3m": 10.0, "age_years": 50,
         "bundle_none_or_ending": False}  # fmt: skip


NEEDS = {"travels": {"inter_province_roaming_minutes": 45.0}, "online": {"dou_mb_mean_3m": 900.0}, "services": {}, "talks": {"held_services": 1}}


@pytest.fixture
def customers(spark):
    """Customers by their columns (those of QUIET unless told), value grades, and grades by model."""

    def build(people, value_grades=None, grades=None):
        keys = [{"city": "X", "month": M, "user_id": user} for user in people]
        known = [{**QUIET, **own, **key} for own, key in zip(people.values(), keys, strict=True)]
        columns = sorted({c for k in known for c in k})
        text = [tuple(str(k[c]) if k.get(c) is not None else None for c in columns) for k in known]
        rows = literal_frame(spark, text, ", ".join(f"{c} string" for c in columns))
        types = {f.name: f.sql_type for f in CUSTOMER_VIEW.fields}
        view = rows.selectExpr(*[f"cast({f'`{n}`' if n in rows.columns else 'null'} as {t}) as `{n}`" for n, t in types.items()])
        values = [("X", M, user, None, None, None, None, None, grade) for user, grade in (value_grades or {}).items()]
        scores = [("X", M, user, model, None, grade) for user, models in (grades or {}).items() for model, grade in models.items()]
        schema = "city string, month string, user_id string, model string, score double, grade string"
        return scored_view(view, literal_frame(spark, values, VALUE_SCORE.struct), literal_frame(spark, scores, schema))

    return build


def named(found):
    return {r["user_id"]: r["group_name"] for r in SEGMENT.conform(found.segments).collect()}


def test_every_stage_of_life_is_reached_by_the_customer_it_is_meant_for(customers):
    people = {
        "new": {"tenure_months": 2},
        "fresh": {"tenure_months": 10},
        "rising": {"arpu_yuan": 80.0},
        "steady": {},
        "leaving": {},
        "fading": {"arpu_yuan": 20.0, "total_minutes": 90.0},
        "gone_quiet": {"is_active": False},
        "of_unknown_use": {"is_active": None},
        "suspended": {"is_active": None, "status": "suspended"},
    }
    found = rule_segmentation(customers(people, grades={"leaving": {"churn": "at_risk"}, "steady": {"churn": "safe"}}), M, "life_stage", SHIPPED["life_stage"])
    assert {user: name[0] for user, name in named(found).items()} == {
        "new": "A", "fresh": "B", "rising": "B", "steady": "C", "leaving": "D", "fading": "D", "gone_quiet": "E", "of_unknown_use": "C", "suspended": "E",
    }  # fmt: skip
    assert found.empty == ()


def test_every_strategic_group_is_reached_by_the_customer_it_is_meant_for(customers):
    people = {
        "dear_and_leaving": {"arpu_yuan": 120.0},
        "cheap_and_leaving": {},
        "valuable_without_bundle": {"bundle_none_or_ending": True},
        "colleagues_lost": {"vpn_minutes": 5.0, "vpn_minutes_mean_3m": 60.0},
        "uses_less": {"total_minutes": 100.0},
        "young": {"age_years": 20, "held_services": 1},
        "quiet": {},
    }
    at_risk = {user: {"churn": "at_risk"} for user in ("dear_and_leaving", "cheap_and_leaving")}
    found = rule_segmentation(customers(people, {"valuable_without_bundle": "high"}, at_risk), M, "strategic_group", SHIPPED["strategic_group"])
    assert named(found) == {
        "dear_and_leaving": "high revenue x high churn",
        "cheap_and_leaving": "retention",
        "valuable_without_bundle": "retention",
        "colleagues_lost": "corporate-group warning",
        "uses_less": "traffic stimulation",
        "young": "new-service growth",
        "quiet": "steady",
    }


@pytest.mark.parametrize(
    ("segmentation", "people"),
    [
        (
            "frequency_amount",
            {
                "inactive": {"total_minutes": 0.0, "dou_mb": 0.0},
                "defector": {"total_minutes": 20.0},
                "often, for much": {"voice_active_days": 25, "arpu_yuan": 90.0},
                "often, for little": {"voice_active_days": 25},
                "seldom, for much": {"voice_active_days": 3, "arpu_yuan": 90.0},
                "seldom, for little": {"voice_active_days": 3},
            },
        ),
        (
            "value_need",
            {
                **{f"valued, {need}": {"value": "high", **own} for need, own in NEEDS.items()},
                **{f"ordinary, {need}": own for need, own in NEEDS.items()},
            },
        ),
        (
            "demographic",
            {
                "school and studies": {"age_years": 19}, "young and working": {"age_years": 23}, "families": {"age_years": 35},
                "established": {"age_years": 50}, "retired": {"age_years": 65}, "age not told": {"age_years": None},
            },
        ),
        (
            "brand",
            {
                "GoTone 全球通": {"brand": "全球通"}, "M-Zone 动感地带": {"brand": "MZONE"}, "Easyown 神州行": {"brand": "easyown"},
                "another brand, or none told": {"brand": None},
            },
        ),
        (
            "daily_rhythm",
            {
                "hardly calls": {"calls_out": 4, "calls_in": 5, "nocturnal_call_share": 0.5},
                "by night": {"calls_out": 50, "calls_in": 50, "nocturnal_call_share": 0.2, "weekend_call_share": 0.5},
                "at the weekend": {"calls_out": 50, "calls_in": 50, "nocturnal_call_share": 0.1, "weekend_call_share": 0.5},
                "long talks": {"calls_out": 50, "calls_in": 50, "total_minutes": 300.0},
                "many short calls": {"calls_out": 100, "calls_in": 60, "total_minutes": 300.0},
                "by day, now and then": {"calls_out": 30, "calls_in": 60, "total_minutes": 100.0, "weekend_call_share": None},
            },
        ),
        (
            "household_income",
            {
                "income not told": {"age_years": 40}, "young, earning well": {"age_years": 34, "income_band": "12000+"},
                "young, earning little": {"age_years": 20, "income_band": "4000-7000"},
                "family years, earning well": {"age_years": 35, "income_band": "7000-12000"},
                "family years, earning little": {"age_years": 49, "income_band": "0-2000"},
                "later years, earning well": {"age_years": 50, "income_band": "7000-12000"},
                "later years, earning little": {"age_years": 70, "income_band": "2000-4000"},
            },
        ),
        (
            "price_need",
            {
                "takes a cheaper tariff": {"grades": {"price_sensitivity": "high"}, "arrears_months_3q": 3},
                "in arrears again and again": {"arrears_months_3q": 2},
                "lives on discounts": {"arpu_yuan": 50.0, "discount_yuan": 10.0},
                "pays in small sums": {"payment_count": 3, "payment_yuan": 90.0, "discount_yuan": 0.0},
                "price is not the point": {"payment_count": 1, "payment_yuan": 30.0, "grades": {"price_sensitivity": "mid"}},
            },
        ),
        (
            "where_used",
            {
                "abroad": {"international_roaming_minutes": 1.0}, "in the country": {"inter_province_roaming_minutes": 30.0},
                "in the province": {"intra_province_roaming_minutes": 31.0, "long_distance_minutes": 90.0},
                "at home, calling far": {"long_distance_minutes": 45.0}, "at home": {"long_distance_minutes": None},
            },
        ),
    ],
)  # fmt: skip
def test_every_further_group_is_reached_by_the_customer_it_is_named_for(customers, segmentation, people):
    views = {user: {"voice_active_days": 10, "dou_mb": 5.0, "inter_province_roaming_minutes": 0.0} | {k: v for k, v in own.items() if k not in ("value", "grades")}
             for user, own in people.items()}  # fmt: skip
    grades = {user: own["value"] for user, own in people.items() if "value" in own}
    by_model = {user: own["grades"] for user, own in people.items() if "grades" in own}
    found = rule_segmentation(customers(views, grades, by_model), M, segmentation, SHIPPED[segmentation])
    assert named(found) == {user: user for user in people} and found.empty == ()


RULES = (RuleGroup("old", "is_old", "thank"), RuleGroup("rich", "arpu_yuan > 90", "keep"), RuleGroup("nobody", "arpu_yuan < 0", "-"))
SPEC = RuleSegmentation("?", RULES, ("arpu_yuan",), {"is_old": "age_years > 70"})


def test_the_first_condition_counts_and_who_meets_none_is_in_no_group_but_counts_in_the_mean_of_all(customers):
    people = {"a": {"age_years": 80, "arpu_yuan": 100.0}, "b": {"arpu_yuan": 92.0}, "c": {"arpu_yuan": 30.0}, "d": {"arpu_yuan": None, "age_years": None}}
    found = rule_segmentation(customers(people), M, "who", SPEC)
    assert named(found) == {"a": "old", "b": "rich"} and found.empty == ("nobody",)
    rows = {r["group_number"]: r for r in SEGMENT_PROFILE.conform(found.profiles).collect()}
    assert {n: (r["customers"], r["group_mean"], r["lever"]) for n, r in rows.items()} == {1: (1, 100.0, "thank"), 2: (1, 92.0, "keep")}
    assert rows[1]["overall_mean"] == pytest.approx((100 + 92 + 30) / 3) and rows[1]["centre"] is None


@pytest.mark.parametrize(
    ("change", "place"),
    [({"derive": {"is_old": "aeg > 1"}}, "derive.is_old: .*aeg"), ({"profile": ("arpu",)}, "profile.arpu: .*arpu"), ({"derive": {}}, "groups.old: .*is_old")],
)
def test_what_is_no_sql_over_the_columns_names_file_and_place(customers, change, place):
    parts = {"question": "?", "groups": SPEC.groups, "profile": SPEC.profile, "derive": SPEC.derive, **change}
    with pytest.raises(ConfigError, match=rf"segments/rules/who\.yml: {place}"):
        rule_segmentation(customers({"a": {}}), M, "who", RuleSegmentation(**parts))


def test_names_stand_once_and_a_source_may_leave_a_segmentation_out(tmp_path):
    with pytest.raises(ValueError, match="groups: 'a' stands 2 times"):
        RuleSegmentation("?", (RuleGroup("a", "true", "-"),), ("arpu_yuan",), otherwise="a")
    for folder in ("segments/rules", "sources/op"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "segments/rules/who.yml").write_text("{question: '?', profile: [arpu_yuan], groups: [{name: a, when: 'true', lever: none}]}")
    (tmp_path / "sources/op/segments.yml").write_text("who: null")
    assert load_rule_segments(tmp_path, "op") == {} == load_segments(tmp_path, "op")
    assert load_rule_segments(tmp_path, "other")["who"].names == ("a",)
