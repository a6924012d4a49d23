"""The choice is the same on any number of cores, shuffle partitions, with and without adaptive plans, in whatever order customers come; no cap is broken."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from crm_spark.config.choosing import Holdout, Limit
from crm_spark.config.settings import load_settings
from crm_spark.session import local_session
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.raw import CONTACT_HISTORY
from crm_spark.tables.score import PERSONAL_INDEX
from tests.choice_support import MONTH, chosen, inputs, offer, widened
from tests.decision_support import CONF

ROOT = Path(__file__).resolve().parents[1]
CORES = (1, 3)
LAYOUTS = list(product(("1", "7"), ("false", "true"), (False, True)))  # shuffle partitions, adaptive, order turned round
CUSTOMERS = 400
POLICIES = ("NEWSPAPER_TRIAL", "FETION_START", "LOCAL_MINUTES")
KEPT = ("choice", "exclusion", "capacity_use")
LIMITS = (
    Limit("paper", most=60, least=20, policies=("NEWSPAPER_TRIAL",)),
    Limit("messages", most=40, channels=("sms",), per=("city",)),
    Limit("calls", most=2, channels=("outbound",), per=("city", "day")),
    Limit("budget", most=300, unit="yuan"),
)


def settings():
    """The shipped rules with limits that bind."""
    found = load_settings(CONF, "real-cell2cell")
    return replace(found, choosing=replace(found.choosing, limits=LIMITS, holdout=Holdout("layouts", 0.03, 0.1)))


def frames_of(spark, config, partitions, is_turned):
    """Customers in three cities, some with two numbers; values of many are alike."""
    city, user = F.concat(F.lit("C"), (F.col("id") % 3).cast("string")), F.concat(F.lit("u"), F.col("id").cast("string"))
    place = (city.alias("city"), F.lit(MONTH).alias("month"), user.alias("user_id"))
    ids = spark.range(CUSTOMERS).orderBy(F.desc("id") if is_turned else F.col("id")).repartition(int(partitions), F.col("id") * 31 % 11)
    person = F.concat(F.lit("p"), F.floor(F.col("id") * 0.8).cast("string")).alias("person_id")
    view = ids.select(*place, person, F.lit(True).alias("consent_marketing"))
    score = F.create_map(F.lit("newspaper_response"), (F.col("id") * 7 % 40).cast("double")).alias("scores")
    index = ids.select(*place, score, F.element_at(F.array(F.lit("high"), F.lit("mid")), (F.col("id") % 2 + 1).cast("int")).alias("value_grade"))
    kind = "array<struct<goal:string,goal_place:int,policy_id:string,candidate_rank:int,matrix:string,rule:string>>"
    each = [F.struct(*map(F.lit, offer(config, policy, rank))) for rank, policy in enumerate(POLICIES, 1)]
    offers = ids.select(*place, F.array(F.lit("new_service"), F.lit("traffic")).alias("priority"), F.array(*each).cast(kind).alias("offers"))
    day = F.date_sub(F.lit("2025-04-01").cast("date"), (F.col("id") % 17 + 1).cast("int")).alias("day")
    history = ids.where("id % 5 = 0").select(*place, day, F.lit("sms").alias("channel"), F.lit("sent").alias("outcome"))
    tables = {"customer_view": (view, CUSTOMER_VIEW), "personal_index": (index, PERSONAL_INDEX), "contact_history": (history, CONTACT_HISTORY)}
    return {**inputs(spark), **{name: widened(*of) for name, of in tables.items()}, "recommendation": offers}


def digest_on(spark, layout):
    """The hash of every row that is written, after counting that no maximum is exceeded."""
    partitions, adaptive, is_turned = layout
    spark.conf.set("spark.sql.shuffle.partitions", partitions)
    spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    config = settings()
    written, _ = chosen(spark, config, frames_of(spark, config, partitions, is_turned))
    check_caps([row for row in written["choice"] if row["policy_id"]])
    rows = sorted(repr((name, tuple(row))) for name in KEPT for row in written[name])
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def check_caps(given):
    """Counted anew: offers by policy, channel, city and day, yuan, and contacts of a person."""
    papers = sum(row["policy_id"] == "NEWSPAPER_TRIAL" for row in given)
    messages = Counter(row["city"] for row in given if row["channel"] == "sms")
    calls = Counter((row["city"], row["day"]) for row in given if row["channel"] == "outbound")
    contacts = {}
    for row in given:
        if row["day"]:
            contacts.setdefault(row["person_id"], []).append(row["day"])
    assert 20 <= papers <= 60 and max(messages.values()) <= 40 and max(calls.values(), default=0) <= 2
    assert sum(row["spend_yuan"] for row in given) <= 300 + 1e-6
    assert all(abs((a - b).days) >= 7 for days in contacts.values() for i, a in enumerate(days) for b in days[:i])
    assert len(given) > 100 and sum(messages.values()) >= 100, "limits bind"


@pytest.mark.slow
def test_sixteen_layouts_give_one_choice(tmp_path):
    found = {}
    for cores in CORES:  # another process each: a session has its cores for life
        command = [sys.executable, "-m", "tests.test_choice_layouts", str(cores), str(tmp_path)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        found |= {(cores, *layout): digest for layout, digest in zip(LAYOUTS, json.loads(run.stdout.splitlines()[-1]), strict=True)}
    assert len(found) == 16 and len(set(found.values())) == 1, found


if __name__ == "__main__":
    session = local_session("layouts", cores=int(sys.argv[1]), memory="2g", warehouse=Path(sys.argv[2]) / "warehouse")
    sys.stdout.write(json.dumps([digest_on(session, layout) for layout in LAYOUTS]) + "\n")
    session.stop()
