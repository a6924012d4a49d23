"""A past choice made again: the same comes out for whoever was chosen for, dropped by a contact rule, held out, explored, or lost to capacity."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from pyspark.sql import Row
from pyspark.sql import functions as F

from crm_spark.config.choosing import Limit
from crm_spark.config.settings import load_settings
from crm_spark.decisions.allocation import Effort, allocate
from crm_spark.decisions.kept_plan import kept_rounds, restored
from crm_spark.decisions.limits import Named
from crm_spark.errors import ReplayError
from crm_spark.frames import literal_frame
from crm_spark.job import Job
from crm_spark.runs import Versions
from crm_spark.tables.decision import CAPACITY_USE, CHOICE, EXCLUSION, RECOMMENDATION, ROUND
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.ops import MATRIX_HISTORY, PUBLICATION
from crm_spark.tables.raw import CONTACT_HISTORY
from crm_spark.tables.score import PERSONAL_INDEX
from tests.choice_support import MONTH, RUN_ID, chosen, inputs, offer
from tests.decision_support import CONF
from tests.test_capacity import in_memory, large_problem
from tests.test_replay import Kept
from tests.tiny import load_job

NOW = datetime(2025, 4, 1, tzinfo=UTC)
CITIES = ("HANGZHOU", "_ALL")
EDITS = {  # of the shipped choosing.yml
    "universal_share: 0.02": "universal_share: 0.15",
    "explore_share: 0.01": "explore_share: 0.3",
    "control_share: 0.1": "control_share: 0.2",
    "- {most: 1, days: 7}": "- {most: 1, days: 40}",
    "limits: []": "limits: [{name: paper, most: 6, policies: [NEWSPAPER_TRIAL]}, {name: messages, most: 30, channels: [sms], per: [city]},"
    " {name: budget, unit: yuan, most: 60}]",
}
PEOPLE = [f"u{i:02}" for i in range(60)]
TIRED = PEOPLE[50:55]  # contacted not long ago
POLICIES = ("NEWSPAPER_TRIAL", "FETION_START", "LOCAL_MINUTES")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The configuration of a source without files of its own, with limits that bind and large groups; in the set as in the settings."""
    folder = tmp_path_factory.mktemp("choice")
    for part in ("conf", "mlflow"):
        shutil.copytree(CONF.parent / part, folder / part)
    path = folder / "conf/choosing.yml"
    text = path.read_text(encoding="utf-8")
    for old, new in EDITS.items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    found = load_settings(folder / "conf", "real-cell2cell")
    free = replace(found.env, matrices=replace(found.env.matrices, approval="none"))
    return replace(found, env=free)


@pytest.fixture(scope="module")
def frames(spark, settings):
    def person(name):
        return f"p{PEOPLE.index(name) // 2}" if name < "u10" else name  # ten numbers of five persons

    return inputs(
        spark,
        customer_view=[{"user_id": n, "person_id": person(n), "consent_marketing": True, "value_grade": "high"} for n in PEOPLE],
        personal_index=[{"user_id": n, "value_grade": "high", "scores": {"newspaper_response": 10.0 + i}, "model_versions": {}} for i, n in enumerate(PEOPLE)],
        recommendation=[
            {"user_id": n, "priority": ["traffic", "new_service", "retention"], "offers": [offer(settings, p, i) for i, p in enumerate(POLICIES, 1)], "reasons": []}
            for n in PEOPLE
        ],
        contact_history=[{"user_id": n, "person_id": n, "day": date(2025, 3, 31), "channel": "sms", "outcome": "reached"} for n in TIRED],
        contact_consent=[{"user_id": "u59", "channel": "all", "purpose": "all", "is_given": False}],
    )


@pytest.fixture(scope="module")
def kept(spark, settings, frames):
    """What a catalog holds after the run that chose: version 1 of every table, published by it."""
    written, _ = chosen(spark, settings, frames)
    tables_made = (CHOICE, EXCLUSION, CAPACITY_USE, MATRIX_HISTORY)
    made = {t.full_name: literal_frame(spark, [tuple(row) for row in written[t.name]], t.struct).persist() for t in tables_made}
    read = {t.full_name: frames[t.name] for t in (CUSTOMER_VIEW, PERSONAL_INDEX, RECOMMENDATION, CONTACT_HISTORY)}
    consent = {"raw.contact_consent": frames["contact_consent"]}
    tables = {**read, **consent, **made}
    pins = [(city, MONTH, name, RUN_ID, 1, 2, NOW) for name in tables for city in CITIES]
    return {
        (PUBLICATION.full_name, None): literal_frame(spark, pins, PUBLICATION.struct),
        (MATRIX_HISTORY.full_name, None): made[MATRIX_HISTORY.full_name],
        **{(name, 1): frame for name, frame in tables.items()},
    }


def choice_replayed(spark, kept, settings, user):
    """What is different, and what is told, of the choice alone."""
    replay = load_job("replay")
    options = SimpleNamespace(user=user, of_run=None, skip_models=True)
    job = Job("replay", MONTH, None, "now", spark, Kept(kept), settings, None, Versions(), options, logging.getLogger("crm_spark"))
    again, different = replay._choice(job, replay.Pinned("HANGZHOU", RUN_ID, 1))
    return different, again.told


def kinds(kept):
    """Of each kind of customer one, by what is kept."""
    choice, dropped = kept[CHOICE.full_name, 1], kept[EXCLUSION.full_name, 1]
    full = choice.where("policy_id IS NOT NULL")
    asked = {
        "chosen": full.where("arm = 'target' AND runner_up_policy IS NOT NULL AND size(controls) > 0"),
        "dropped by a contact rule": dropped.where("reason = 'frequency_cap' AND user_id >= 'u50'"),
        "second number of a person": dropped.where("reason = 'frequency_cap' AND user_id < 'u10'"),
        "held out": choice.where("arm = 'holdout'"),
        "explored": full.where("arm = 'explore'"),
        "lost to capacity": dropped.where("stage = 'capacity'").select("user_id").join(full.where("arm = 'target'"), "user_id"),
    }
    return {kind: rows.agg(F.min("user_id")).first()[0] for kind, rows in asked.items()}


@pytest.mark.slow
def test_the_same_choice_comes_out_for_every_kind_of_customer(spark, kept, settings):
    told = {}
    for kind, user in kinds(kept).items():
        assert user, kind
        different, told[kind] = choice_replayed(spark, kept, settings, user)
        assert different == [], kind
    lines = "\n".join(told["lost to capacity"])
    assert "price of paper: " in lines and "not NEWSPAPER_TRIAL: capacity, no_room" in lines
    assert told["held out"][0] == "choice: nothing (arm holdout)" and "not FETION_START: holdout, universal" in told["held out"]
    assert any(line.startswith("not ") and line.endswith(": contact, frequency_cap") for line in told["dropped by a contact rule"])


@pytest.mark.slow
def test_the_parts_of_a_score_are_told_and_make_it(spark, kept, settings):
    """LOCAL_MINUTES for a customer whose traffic comes first: P of its goal, 30 yuan of margin as no ARPU is told."""
    user = kinds(kept)["chosen"]
    row = kept[CHOICE.full_name, 1].where(F.col("user_id") == user).first()
    _, told = choice_replayed(spark, kept, settings, user)
    assert row["policy_id"] == "LOCAL_MINUTES" and told[0].startswith(f"choice: LOCAL_MINUTES by {row['channel']} on {row['day']}, 09:00-20:00 (arm target, ")
    assert told[1].startswith(f"score {row['net_value_yuan'] * 1.5:g} = net value {row['net_value_yuan']:g} yuan at P 0.08, x (1 + 50/100) for C, x (1 + 0/100)")
    assert told[2] == f"runner-up: {row['runner_up_policy']} by {row['runner_up_channel']}, lost by {row['lost_by']:g} after prices"


@pytest.mark.slow
def test_what_comes_out_otherwise_or_cannot_be_told_is_told(spark, kept, settings):
    user = kinds(kept)["chosen"]
    changed = {**kept, (CHOICE.full_name, 1): kept[CHOICE.full_name, 1].withColumn("lost_by", F.lit(7.0))}
    (told,), _ = choice_replayed(spark, changed, settings, user)
    assert told.startswith("choice: lost_by was 7.0, is ")
    without = {**kept, (CAPACITY_USE.full_name, 1): kept[CAPACITY_USE.full_name, 1].where("capacity <> 'paper'")}
    with pytest.raises(ReplayError, match=r"its prices are not available: decision\.capacity_use does not keep those of paper"):
        choice_replayed(spark, without, settings, user)
    old = {**kept, (CHOICE.full_name, 1): kept[CHOICE.full_name, 1].drop("settled_place")}
    with pytest.raises(ReplayError, match=r"decision\.choice did not keep settled_place then"):
        choice_replayed(spark, old, settings, user)
    no_set = {**kept, (MATRIX_HISTORY.full_name, None): kept[MATRIX_HISTORY.full_name, None].limit(0)}
    with pytest.raises(ReplayError, match=r"ops\.matrix_history has no set"):
        choice_replayed(spark, no_set, settings, user)


@pytest.mark.slow
def test_a_withdrawn_choice_is_told_as_withdrawn_and_what_it_was(spark, kept, settings):
    """Rolled back to in publication 5, withdrawn by 6: what its run saw is what it saw when it was published first."""
    later = [(city, MONTH, CHOICE.full_name, run, version, sequence, NOW) for city in CITIES for run, version, sequence in ((RUN_ID, 1, 5), ("m1", None, 6))]
    between = [(city, MONTH, CUSTOMER_VIEW.full_name, "r2", 9, 4, NOW) for city in CITIES]
    pins = kept[PUBLICATION.full_name, None].union(literal_frame(spark, [*later, *between], PUBLICATION.struct))
    different, told = choice_replayed(spark, {**kept, (PUBLICATION.full_name, None): pins}, settings, kinds(kept)["chosen"])
    assert different == [] and told[0] == f"decision.choice of HANGZHOU {MONTH} stands no more: withdrawn on 2025-04-01 by publication 6 (run m1)"
    assert told[1].startswith("choice: LOCAL_MINUTES by ")


def test_a_plan_is_kept_and_restored_to_the_same_choices():
    """Also where an exact solution set some customers, and where many rounds were needed."""
    block, limited = large_problem(3, customers=400, options=8)
    keys = [f"{i:06}" for i in range(block.customers)]
    named = [Named(Limit(f"family {n}", most=1), str(k)) for n, one in enumerate(limited.families) for k in range(one.size)]
    settled = Effort(sample_passes=2, passes=2, solved_exactly=400)
    for effort in (Effort(), settled):
        made = allocate(in_memory(block), limited, effort)
        rounds = kept_rounds({"target": made, "explore": made})
        as_rows = [[dict(zip(ROUND.fieldNames(), one, strict=True)) for one in kept] for kept in rounds]
        rows = [Row(capacity=name.limit.name, of=name.of, rounds=kept) for name, kept in zip(named, as_rows, strict=True)]
        again = restored("target", rows, named, limited, made.overrides)
        assert made.plan.rounds and bool(made.overrides) == (effort == settled)
        assert list(again.choose(keys, block)) == list(made.choose(keys, block))
