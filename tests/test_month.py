"""The whole month of a tiny province, from raw files to published recommendations."""

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from pyspark.sql import functions as F

from crm_spark.config.settings import load_settings
from crm_spark.job import Job
from crm_spark.locks import Locks
from crm_spark.runs import load_versions
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.common import EVERYWHERE
from crm_spark.tables.decision import CAPACITY_USE, CHOICE, EXCLUSION, OPPORTUNITY, RECOMMENDATION
from crm_spark.tables.declared import TABLES
from crm_spark.tables.digest import digest
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.ops import INGEST_LEDGER
from crm_spark.tables.score import MODEL_SCORE, PERSONAL_INDEX, SEGMENT, VALUE_SCORE
from tests.tiny import KEY, MONTH, ROOT, SIZE, load_job

CITY_ALONE = "NINGBO"
# Other partitions, no adaptive plans, many small splits: what an answer must not depend on.
OTHER_PLANS = {"spark.sql.shuffle.partitions": "7", "spark.sql.adaptive.enabled": "false", "spark.sql.files.maxPartitionBytes": "200000"}


@pytest.fixture(scope="session")
def month(spark, tiny):
    """A reader of what the tiny month published."""
    return reader(spark, tiny)


def reader(spark, tiny, run_id="reader"):
    """A job that sees what is published and what the run wrote."""
    config = load_settings(tiny.conf, "tiny")
    locks = Locks(config.env.locks)
    catalog = Catalog(spark, config.env.catalog, locks)
    return Job("reader", MONTH, None, run_id, spark, catalog, config, locks, load_versions(catalog, run_id), argparse.Namespace())


@contextmanager
def other_plans(spark):
    """What an environment with OTHER_PLANS leaves in the session goes at the end; until then it must stand."""
    kept = {key: spark.conf.get(key) for key in OTHER_PLANS}
    try:
        yield
        assert {key: spark.conf.get(key) for key in OTHER_PLANS} == OTHER_PLANS, "a job has its plans from its environment"
    finally:
        for key, value in kept.items():
            spark.conf.set(key, value)


def test_every_customer_of_the_view_has_exactly_one_recommendation(month):
    view = month.read(CUSTOMER_VIEW).select("city", "user_id")
    recommended = month.read(RECOMMENDATION).select("city", "user_id")
    assert view.count() == view.distinct().count() == recommended.count() > SIZE / 2
    assert view.exceptAll(recommended).count() == 0


def test_closed_subscribers_are_not_in_the_view(month):
    assert month.read(CUSTOMER_VIEW).where("status = 'closed'").count() == 0


def test_keys_are_unique_in_every_published_table(month):
    for name in ("customer_view", "value_score", "model_score", "segment", "personal_index"):
        table = next(t for t in TABLES.values() if t.name == name)
        rows = month.read(table)
        assert rows.count() == rows.select(*table.key).distinct().count() > 0, table.full_name


def test_value_grades_follow_the_ranks_within_each_city(month):
    graded = month.read(VALUE_SCORE).where("value is not null")
    shares = {(r.city, r.value_grade): r.n for r in graded.groupBy("city", "value_grade").agg(F.count("*").alias("n")).collect()}
    for city in {c for c, _ in shares}:
        whole = sum(n for (c, _), n in shares.items() if c == city)
        for grade, share in (("high", 0.1), ("mid-high", 0.2), ("mid", 0.6), ("low", 0.1)):
            assert abs(shares[city, grade] - share * whole) <= 1, (city, grade)


def test_scores_carry_the_model_version_and_lie_between_0_and_100(month):
    scores = month.read(MODEL_SCORE)
    assert scores.where("score not between 0 and 100 or model_version is null or grade is null").count() == 0
    assert "churn" in {r.model for r in scores.select("model").distinct().collect()}


def test_nobody_is_offered_what_is_held_or_expired(month):
    offers = month.read(RECOMMENDATION).select(
        "user_id",
        F.explode(F.concat(F.array_compact(F.array("main_policy", "vpn_policy")), "new_services", "traffic_policies")).alias("policy"),
    )
    held = month.read(CUSTOMER_VIEW).select("user_id", F.explode("bundle_policies").alias("policy"))
    assert offers.join(held, on=["user_id", "policy"], how="inner").count() == 0
    policies = month.config.matrices.policies
    services = {p.policy_id: p.service for p in policies.values() if p.service}
    by_service = offers.replace(services, subset="policy").withColumnRenamed("policy", "service")
    states = month.read(CUSTOMER_VIEW).select("user_id", F.explode("services").alias("service", "state")).where("state.is_held")
    assert by_service.join(states, on=["user_id", "service"], how="inner").count() == 0
    dropped = month.read(EXCLUSION).groupBy("reason").count().collect()
    assert {"held", "not_retrieved"} <= {r.reason for r in dropped}


def test_what_was_dropped_is_not_offered_for_the_same_goal(month):
    dropped = month.read(EXCLUSION).where("goal = 'retention' AND stage IN ('eligibility', 'matrices')").select("user_id", F.col("policy_id").alias("main_policy"))
    assert month.read(RECOMMENDATION).join(dropped, on=["user_id", "main_policy"], how="inner").count() == 0


def test_each_offer_is_the_choice_or_told_why_not_and_no_capacity_is_exceeded(month):
    choice = month.read(CHOICE)
    assert choice.count() == month.read(CUSTOMER_VIEW).count()
    made = choice.where("policy_id IS NOT NULL").select("user_id", "policy_id")
    lost = month.read(EXCLUSION).where("stage NOT IN ('eligibility', 'matrices')").select("user_id", "policy_id")
    offers = month.read(RECOMMENDATION).select("user_id", F.inline("offers")).select("user_id", "policy_id")
    assert made.unionAll(lost).exceptAll(offers).count() == offers.exceptAll(made.unionAll(lost)).count() == 0
    assert made.count() > 50 and choice.where("arm = 'holdout'").count() == choice.where("arm = 'holdout' AND policy_id IS NULL").count() > 0
    use = month.read(CAPACITY_USE)
    assert use.where("used > most").count() == 0 and use.where("used > 0").count() > 3
    agents = choice.where("channel = 'outbound'").groupBy("city", "day").count()
    assert agents.where("count > 20").count() == 0
    assert choice.where("day IS NOT NULL AND date_format(day, 'yyyy-MM') <> '2025-04'").count() == 0
def test_every_candidate_was_chosen_or_excluded(month):
    recommended = month.read(RECOMMENDATION).select(F.explode("candidates").alias("goal", "proposed"), "offers")
    proposed, offered = recommended.agg(F.sum("proposed"), F.sum(F.size(F.filter("offers", lambda o: o["goal"] == F.col("goal"))))).first()
    assert proposed == offered + month.read(EXCLUSION).where("stage IN ('eligibility', 'matrices')").count() > 0


def test_needs_are_published_each_once_and_every_customer_stands_in_a_tier(month):
    told = month.read(OPPORTUNITY)
    assert told.count() == told.select(*OPPORTUNITY.key).distinct().count() > SIZE
    assert {row["kind"] for row in told.select("kind").distinct().collect()} == {"present", "latent"}
    assert told.where("reason LIKE '%{%' OR score IS NULL OR goal IS NULL").count() == 0
    tiers = {row["tier"]: row["count"] for row in month.read(RECOMMENDATION).groupBy("tier").count().collect()}
    assert {"rewarding", "profitable", "modest", "unprofitable"} <= set(tiers) and None not in tiers
    closed = month.read(EXCLUSION).where("reason = 'treatment'")
    assert closed.count() > 0 and closed.where("stage <> 'eligibility'").count() == 0


@pytest.mark.slow
def test_a_published_decision_comes_out_the_same_when_it_is_made_again(month, tiny, caplog, tmp_path):
    """Models score once more, from the registry. A session that is there already cannot be told to keep its events."""
    scored = month.read(RECOMMENDATION).where("size(offers) > 2 and size(model_versions) > 2").select("user_id")
    user = scored.join(month.read(CHOICE).where("policy_id IS NOT NULL AND runner_up_policy IS NOT NULL"), "user_id").agg(F.min("user_id")).first()[0]
    assert tiny.run("replay", "--user", user, "--event-log", str(tmp_path)) == 0
    for told in ("--event-log is left out", "the same comes out", "choice: ", "score ", "runner-up: ", "not "):
        assert told in caplog.text


def test_a_simulation_tells_what_would_change_and_touches_no_table(month, tiny, tmp_path, caplog):
    sheet = tmp_path / "retention.csv"
    lines = (tiny.conf / "matrices/retention.csv").read_text(encoding="utf-8").splitlines()
    sheet.write_text("\n".join(line for line in lines if "LOYALTY_POINTS_DOUBLE" not in line) + "\n", encoding="utf-8")
    choosing = tmp_path / "choosing.yml"
    choosing.write_text((tiny.conf / "choosing.yml").read_text(encoding="utf-8").replace("levers: {}", "levers: {new_service: 900}"), encoding="utf-8")
    before = {name: newest(month, table) for name, table in TABLES.items() if month.catalog.exists(table) and name != "ops.run_ledger"}
    assert tiny.run("simulate", "--file", str(sheet), "--file", str(choosing), "--out", str(tmp_path)) == 0
    assert {name: newest(month, TABLES[name]) for name in before} == before
    told = json.loads((tmp_path / "simulation.json").read_text(encoding="utf-8"))
    assert told["totals"]["customers"] == tiny.summary["totals"]["customers"]
    (loyal,) = (row for row in told["reach"] if row["policy"] == "LOYALTY_POINTS_DOUBLE")
    assert loyal["offered_after"] < loyal["offered_before"]
    assert sum(row["change"] for row in told["reach"] if row["goal"] == "new_service") > 0, "its lever counts ten times"
    gone = [f"retention: rule '{rule}' is gone" for rule in ("locked_in", "staying_mid_loyal", "mid_loyal")]
    assert [line.split(";")[0] for line in told["changes"]] == [*gone, "choosing: weights.levers.new_service is 900, before -"]
    for group in ("city", "segment", "value_grade"):
        assert sum(row["customers"] for row in told["by"][group]["totals"]) == told["totals"]["customers"]
        for table in ("reach", "channels", "without_offer"):
            for side in ("before", "after"):
                assert sum(row[side] for row in told["by"][group][table]) == sum(row[side] for row in told[table])
    assert told["totals"]["with_an_offer_before"] == month.read(CHOICE).where("policy_id IS NOT NULL").count()
    assert (tmp_path / "simulation.html").read_text(encoding="utf-8").count("<svg") >= 3


def newest(month, table):
    """The newest Delta version of a table."""
    return month.spark.sql(f"DESCRIBE HISTORY {month.catalog.reference(table)} LIMIT 1").first()["version"]


def test_every_line_of_every_file_is_accounted_for(month):
    ledger = month.catalog.read(INGEST_LEDGER).where("status = 'loaded'")
    assert ledger.count() > 50
    assert ledger.where("lines <> header + blank + loaded + quarantined + duplicates").count() == 0
    assert ledger.where("money_total <> money_loaded + money_quarantined + money_duplicates").count() == 0
    assert ledger.agg(F.sum("quarantined")).first()[0] > 0


def test_the_personal_index_gathers_value_scores_and_groups(month):
    index = month.read(PERSONAL_INDEX)
    assert index.count() == month.read(CUSTOMER_VIEW).count()
    assert (
        index.where("value_grade is not null and groups['customer_group'] is not null and scores['churn'] is not null").count()
        > 0.9 * index.count()
    )


def test_a_reviewer_finds_the_card_the_plots_the_rules_and_a_plain_signature(month):
    client = MlflowClient(month.config.env.mlflow.tracking_uri)
    champion = client.get_model_version_by_alias("churn", "champion")
    found = {a.path for folder in (None, "plots", "rules") for a in client.list_artifacts(champion.run_id, folder)}
    assert {"model_card.html", "spec.json", "plots/ranking.png", "plots/calibration.png", "plots/importance.png", "rules/tree.txt"} <= found
    card = Path(client.download_artifacts(champion.run_id, "model_card.html")).read_text(encoding="utf-8")
    assert month.config.models["churn"].question in card and "data:image/png" in card
    mlmodel = yaml.safe_load(Path(client.download_artifacts(champion.run_id, "model/MLmodel")).read_text(encoding="utf-8"))
    inputs = {column["name"]: column["type"] for column in json.loads(mlmodel["signature"]["inputs"])}
    assert inputs["arpu_yuan"] == "double" and "user_id" not in inputs


def test_every_model_tells_the_columns_it_reads_and_a_tree_that_can_be_followed(month):
    client = MlflowClient(month.config.env.mlflow.tracking_uri)
    nested = 0
    for name in month.config.models:
        champion = client.get_model_version_by_alias(name, "champion")
        mlmodel = yaml.safe_load(Path(client.download_artifacts(champion.run_id, "model/MLmodel")).read_text(encoding="utf-8"))
        inputs = {column["name"]: column["type"] for column in json.loads(mlmodel["signature"]["inputs"])}
        assert len(inputs) > 10 and "any" not in inputs.values(), name
        nested += inputs.get("services") == "map"
        tree = Path(client.download_artifacts(champion.run_id, "rules/tree.txt")).read_text(encoding="utf-8")
        assert tree.count(" have the label") >= 2 and "If (" in tree, name
    assert nested > 0, "a model that reads services tells it as a map"


def test_segments_have_names_and_classes(month):
    groups = (
        month.read(SEGMENT)
        .groupBy("segmentation")
        .agg(F.countDistinct("group_number").alias("groups"), F.countDistinct("class_number").alias("classes"))
    )
    found = {r.segmentation: (r.groups, r.classes) for r in groups.collect()}
    assert (found["customer_group"], found["traffic_group"]) == ((16, 7), (23, 0))
    rules = {path.stem for path in (ROOT / "conf/segments/rules").glob("*.yml")}
    assert found.keys() == {"customer_group", "traffic_group"} | rules and len(rules) == 11


def test_the_summary_counts_what_the_tables_hold(month, tiny):
    summary = tiny.summary
    assert summary["totals"]["customers"] == month.read(RECOMMENDATION).count()
    assert summary["digests"]["decision.recommendation"] == digest(month.read(RECOMMENDATION), RECOMMENDATION, ("model_versions",))
    assert (tiny.var / "summary.html").read_text(encoding="utf-8").count("<svg") >= 3
    *ended, itself = summary["jobs"]
    assert [j["job"] for j in (*ended, itself)] == list(load_job("run_month").ORDER)
    assert all(j["spilled_mb"] >= 0 for j in ended) and sum(j["shuffled_mb"] for j in ended) > 1 and "shuffled_mb" not in itself


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_something(path, tiny, month, monkeypatch, capsys):
    """In a session that is there already, as on Databricks."""
    for name, value in _notebook_environment(tiny).items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(path), run_name="__main__")
    _assert_shows_something(capsys.readouterr().out)


def test_a_notebook_runs_as_a_process_of_its_own(tiny, month):
    """As a user runs it locally, from the project's folder."""
    done = subprocess.run([sys.executable, str(NOTEBOOKS[0])], cwd=ROOT, env=os.environ | _notebook_environment(tiny), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    _assert_shows_something(done.stdout)


def _notebook_environment(tiny):
    return {"CRM_SPARK_ENV": "tiny", "CRM_SPARK_CONF_DIR": str(tiny.conf), "CRM_SPARK_PSEUDONYM_KEY": KEY}


def _assert_shows_something(shown):
    assert len(shown.splitlines()) > 20
    assert MONTH in shown or "customers" in shown


def test_a_summary_written_alone_tells_the_run_that_was_published(tiny):
    before = tiny.summary
    assert tiny.run("summarize") == 0
    after = tiny.summary
    assert after["run"] == before["run"]
    assert after["coverage"] == before["coverage"] != []
    assert after["digests"] == before["digests"]
    assert {j["job"] for j in before["jobs"]} <= {j["job"] for j in after["jobs"]}


def test_no_number_of_a_subscriber_leaves_the_vault(month, tiny):
    vault = month.read(TABLES["vault.subscriber_number"])
    numbers = {r.msisdn for r in vault.select("msisdn").limit(300).collect()}
    assert len(numbers) == 300
    for path in (tiny.var / "summary.json", tiny.var / "summary.html"):
        assert not [n for n in numbers if n in path.read_text(encoding="utf-8")]
    for path in (tiny.var / "tables").rglob("*.json"):  # the Delta logs, statistics included
        text = path.read_text(encoding="utf-8")
        assert not [n for n in numbers if n in text], path
    for table in (RECOMMENDATION, CUSTOMER_VIEW):
        text = month.read(table).select(F.to_json(F.struct("*")).alias("row"))
        assert text.where(F.col("row").rlike("|".join(sorted(numbers)[:50]))).count() == 0


@pytest.mark.slow
def test_from_the_raw_files_on_the_answer_does_not_depend_on_partitions(spark, tiny):
    """The whole month once more with the same champions and other plans: equal digests."""
    other = tiny.folder / "other"
    shutil.rmtree(other, ignore_errors=True)
    tiny.environment("other", other, OTHER_PLANS, train="never")
    with other_plans(spark):
        assert tiny.run("run_month", env="other") == 0
    assert json.loads((other / "summary.json").read_text(encoding="utf-8"))["digests"] == tiny.summary["digests"]


@pytest.mark.slow
def test_a_city_that_is_run_alone_touches_no_file_of_the_others(spark, tiny):
    """The month of one city once more, on a copy of what all cities have published: its own rows are made anew, and what is told of all cities together;
    the others keep their very files."""
    alone = tiny.folder / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    shutil.copytree(tiny.var / "tables", alone / "tables")
    tiny.environment("alone", alone, train="never")
    before = _files_by_city(spark, alone / "tables")
    assert tiny.run("run_month", "--city", CITY_ALONE, env="alone") == 0
    after = _files_by_city(spark, alone / "tables")
    own = {place for place in before if place[1] == CITY_ALONE}
    others = {place for place in before if place[1] not in (CITY_ALONE, EVERYWHERE)}
    assert len(others) > len(own) > 20, "every table by city has several cities"
    assert {place: after.get(place) for place in others} == {place: before[place] for place in others}
    assert {city for _, city in after.keys() - before.keys()} <= {CITY_ALONE, EVERYWHERE}
    anew = {table for table, city in own if after[table, city] != before[table, city]}
    assert {t.full_name for t in (CUSTOMER_VIEW, VALUE_SCORE, MODEL_SCORE, SEGMENT, PERSONAL_INDEX, RECOMMENDATION, CHOICE)} <= anew


def _files_by_city(spark, root):
    """The newest version's files of each (table, city)."""
    found = {}
    for table in (t for t in TABLES.values() if "city" in t.partitioned_by and t.schema not in ("ops", "vault")):
        folder = root / table.schema / table.name
        files = spark.read.format("delta").load(str(folder)).inputFiles() if folder.exists() else []
        for file in files:
            city = file.split("city=")[1].split("/")[0]
            found.setdefault((table.full_name, city), set()).add(file)
    return found
