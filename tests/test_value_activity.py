"""Composite activity per service, by hand."""

from pathlib import Path

import pytest

from crm_spark.config.value import load_value
from crm_spark.errors import ConfigError
from crm_spark.value.activity import build_service_index

CONF = Path(__file__).resolve().parents[1] / "conf"
STATE = "struct<is_held: boolean, held_months: int, uses: bigint, mb: double, active_days: int, fee_yuan: double>"
VIEW = f"city string, month string, user_id string, services map<string, {STATE}>"
WEIGHTS = {"active_days": 3.0, "uses": 1.0}


def state(days, uses, held=True):
    return (held, 6, uses, None, days, None)


def indices(view, weights=WEIGHTS):
    return {(r.user_id, r.service): r.activity for r in build_service_index(view, weights).collect()}


def test_activity_is_half_at_the_mean_user_and_nothing_for_who_leaves_the_service_alone(frame):
    view = frame(
        VIEW,
        ("A", "2025-03", "mean", {"tone": state(10, 4)}),
        ("A", "2025-03", "more", {"tone": state(15, 6), "web": state(2, None)}),
        ("B", "2025-03", "less", {"tone": state(5, 2)}),
        ("B", "2025-03", "asleep", {"tone": state(0, 0)}),  # holds it; no user, so the mean stays 10 days and 4 uses
        ("B", "2025-03", "none", {}),
    )
    found = indices(view)
    assert found == {
        ("mean", "tone"): pytest.approx(50),
        ("more", "tone"): pytest.approx(100 * (3 * 15 / 25 + 6 / 10) / 4),
        ("less", "tone"): pytest.approx(100 * (3 * 5 / 15 + 2 / 6) / 4, abs=1e-6),
        ("asleep", "tone"): 0,
        ("more", "web"): pytest.approx(50),  # nobody tells uses of it: days alone count
    }


def test_a_service_of_which_no_use_is_told_has_no_activity(frame):
    assert indices(frame(VIEW, ("A", "2025-03", "u", {"tone": state(None, None)}))) == {("u", "tone"): None}


def test_an_unknown_measure_and_a_weight_of_nothing_are_told(tmp_path):
    text = (CONF / "value.yml").read_text(encoding="utf-8")
    (tmp_path / "value.yml").write_text(text.replace("{active_days: 4, uses: 3", "{active_day: 4, uses: 0"), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_value(tmp_path, "none")
    assert "activity.active_day: no measure of use (did you mean 'active_days'?)" in str(refused.value)
    assert "activity: at least one measure is wanted, each with a weight above 0" in str(refused.value)
