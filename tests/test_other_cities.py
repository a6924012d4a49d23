"""A city that is chosen for apart from the others keeps to what they have published: persons, control groups, consents and capacities are shared."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from crm_spark.config.choosing import Campaign, Cap, Holdout, Limit
from crm_spark.config.settings import load_settings
from tests.choice_support import chosen, inputs, offer
from tests.decision_support import CONF

HERE, THERE = "NINGBO", "HANGZHOU"
PAPERS = ("NEWSPAPER_TRIAL", "NEWSPAPER_SAMPLE")
CONTACTED = [f"contacted {i}" for i in range(16)]
CONTROL = [f"control {i}" for i in range(4)]
FREE = [f"free {i}" for i in range(9)]
SILENT = "silent"
PLANNED = date(2025, 4, 15)


@pytest.fixture(scope="module")
def made(spark):
    """(choices of NINGBO by person, its exclusions, use of capacities, what was told); everybody has a second number in HANGZHOU, which was run before."""
    shipped = load_settings(CONF, "demo")
    contact = replace(shipped.choosing.contact, caps=(Cap(1, 7),), never={})
    limits = (Limit("sms", most=16, channels=("sms",)), Limit("elsewhere", most=1, cities=("NINGB",)), Limit("by group", most=1000, per=("group",)))
    choosing = replace(shipped.choosing, contact=contact, holdout=Holdout("none"), campaigns={"papers": Campaign(PAPERS, 0.5)}, limits=limits)
    people = [*CONTACTED, *CONTROL, *FREE, SILENT]
    numbers = [{"user_id": f"{city} {name}", "person_id": name, "city": city} for name in people for city in (HERE, THERE)]
    offers = [offer(shipped, policy, rank) for rank, policy in enumerate((*PAPERS, "FETION_START"), 1)]
    planned = [
        *({"person_id": n, "controls": [], "policy_id": "FETION_START", "channel": "sms", "day": PLANNED, "spend_yuan": 0.1} for n in CONTACTED[:-1]),
        {"person_id": CONTACTED[-1], "controls": [], "policy_id": "NO_MORE", "channel": "sms", "day": PLANNED, "spend_yuan": 0.1},
        *({"person_id": n, "controls": ["papers"]} for n in CONTROL),
    ]
    consents = [{"user_id": f"{city} {n}", "city": city, "channel": "all", "purpose": "all", "is_given": True} for n in people for city in (HERE, THERE)]
    frames = inputs(
        spark,
        customer_view=numbers,
        personal_index=numbers,
        recommendation=[{**one, "priority": ["new_service"], "offers": offers} for one in numbers],
        contact_consent=[one for one in consents if not one["user_id"].endswith(SILENT)],
        choice=[{"user_id": f"{THERE} {one['person_id']}", "city": THERE, **one} for one in planned],
    )
    written, told = chosen(spark, replace(shipped, choosing=choosing), frames, (HERE,))
    return {row["person_id"]: row for row in written["choice"]}, written["exclusion"], written["capacity_use"], told


def test_only_the_run_s_numbers_are_chosen_for(made):
    assert {row["city"] for row in (*made[0].values(), *made[1])} == {HERE}


def test_a_person_is_contacted_as_often_as_one_whatever_city_was_first(made):
    days = {name: made[0][name]["day"] for name in made[0]}
    assert all(abs((days[name] - PLANNED).days) >= 7 for name in CONTACTED if days[name])
    free = [days[name] for name in (*FREE, *CONTROL) if days[name]]
    assert any(abs((day - PLANNED).days) < 7 for day in free), "whom nobody contacts there may have any day"


def test_a_control_group_is_the_same_in_all_cities(made):
    controls = {name: row["controls"] for name, row in made[0].items()}
    assert all(controls[name] == ["papers"] and made[0][name]["policy_id"] not in PAPERS for name in CONTROL)
    assert all(controls[name] == [] for name in CONTACTED), "they were drawn, and are none"
    drawn = sum(controls[name] == ["papers"] for name in (*FREE, SILENT))
    assert drawn == (len(FREE) + 1) / 2, "half of the others are drawn here: all can have an offer, if only at the counter"


def test_consent_that_any_city_tells_is_asked_of_everybody(made):
    assert made[0][SILENT]["channel"] in (None, "hall") and made[0][SILENT]["day"] is None


def test_the_others_have_used_what_is_shared_and_what_is_no_policy_any_more_uses_nothing(made):
    (sms,) = (row for row in made[2] if row["capacity"] == "sms")
    here = sum(row["channel"] == "sms" for row in made[0].values())
    assert (sms["most"], sms["used"], here) == (16, 16, 1)


def test_policies_without_a_group_are_in_no_group_and_a_city_that_nobody_is_in_is_told(made):
    groups = {row["of"] for row in made[2] if row["capacity"] == "by group"}
    assert groups and "" not in groups
    assert "limits.elsewhere" in made[3]
