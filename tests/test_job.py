"""The job frame: what a run sees, publishes, resumes and records."""

import argparse
import importlib.util
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F

from crm_spark import matrix_sets
from crm_spark.config.env import CatalogConfig
from crm_spark.decisions.lint import Finding
from crm_spark.errors import ConfigError, CrmError, LockedError, NotPublishedError
from crm_spark.forecast import Forecast
from crm_spark.job import Job, carry_out, entry
from crm_spark.locks import Locks
from crm_spark.matrix_sets import linted
from crm_spark.publication import publish
from crm_spark.runs import finished_jobs, load_versions
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.ops import COVERAGE, RUN_LEDGER
from crm_spark.tables.score import SEGMENT
from crm_spark.threads import at_once
from crm_spark.workload import described, work_so_far

JOBS = Path(__file__).resolve().parents[1] / "jobs"
KEY = "city string, month string, user_id string, segmentation string, group_number int, class_number int, group_name string, class_name string"


@pytest.fixture
def job(spark, tmp_path):
    """`job("run-1", name="segment_customers", cities=("A",))`: jobs of runs over the same folder of tables."""

    def make(run_id, name="segment_customers", month="2025-03", cities=None, **options):
        locks = Locks(tmp_path / "locks")
        catalog = Catalog(spark, CatalogConfig("path", str(tmp_path / "tables")), locks)
        given = argparse.Namespace(**{"run_id": run_id, "dry_run": False, "fresh": False, **options})
        config = SimpleNamespace(fingerprint="conf-1", matrices=SimpleNamespace(version="v1"))
        return Job(name, month, cities, run_id, spark, catalog, config, locks, load_versions(catalog, run_id), given)

    return make


@pytest.fixture
def segment(frame):
    def rows(*triples):
        return frame(KEY, *[(city, month, "u", "traffic_group", n, None, None, None) for city, month, n in triples])

    return rows


def seen(job, months=None, **options):
    return sorted((r.city, r.month, r.group_number) for r in job.read(SEGMENT, months, **options).collect())


def write(job, frame, months=None):
    carry_out(job, lambda j: j.write(frame, SEGMENT, months))
    return job


def test_a_run_sees_what_it_wrote_and_others_see_it_only_once_published(job, segment):
    first = write(job("r1"), segment(("A", "2025-03", 1)))
    assert seen(first) == [("A", "2025-03", 1)]
    with pytest.raises(NotPublishedError, match=r"score.segment has no published month 2025-03"):
        seen(job("r2"))
    publish(job("r1"))
    assert seen(job("r2")) == [("A", "2025-03", 1)], "of whatever city, also where no subscriber is registered"


def test_a_run_that_is_published_writes_no_more(job, segment):
    publish(write(job("r1", cities=("A",)), segment(("A", "2025-03", 1))))
    with pytest.raises(ConfigError, match="run r1 is published"):
        write(job("r1", cities=("A",)), segment(("A", "2025-03", 2)))
    publish(write(job("r2", cities=("A",)), segment(("A", "2025-03", 3))))
    assert seen(job("r3")) == [("A", "2025-03", 3)]


def test_a_published_month_stays_as_it_was_while_another_run_rewrites_it_and_can_be_rolled_back(job, segment):
    write(job("r1", cities=("A",)), segment(("A", "2025-03", 1)))
    publish(job("r1", cities=("A",)))
    write(job("r2", cities=("A",)), segment(("A", "2025-03", 2)))
    assert seen(job("reader")) == [("A", "2025-03", 1)]
    publish(job("r2", cities=("A",)))
    assert seen(job("reader")) == [("A", "2025-03", 2)]
    publish(job("r1", cities=("A",)))  # roll back
    assert seen(job("reader")) == [("A", "2025-03", 1)]


def test_cities_are_published_apart(job, segment):
    for city, number in (("A", 1), ("B", 2)):
        write(job(f"r{number}", cities=(city,)), segment((city, "2025-03", number)))
        publish(job(f"r{number}", cities=(city,)))
    assert seen(job("reader")) == [("A", "2025-03", 1), ("B", "2025-03", 2)]
    assert seen(job("reader", cities=("B",))) == [("B", "2025-03", 2)]


def test_a_run_of_one_city_publishes_that_city_alone_and_reads_the_others_as_published(job, segment):
    write(job("all"), segment(("A", "2025-03", 1), ("B", "2025-03", 1)))
    write(job("a", cities=("A",)), segment(("A", "2025-03", 2)))
    write(job("b", cities=("B",)), segment(("B", "2025-03", 3)))
    publish(job("b", cities=("B",)))
    own = job("a", cities=("A",))
    assert seen(own, all_cities=True) == [("A", "2025-03", 2), ("B", "2025-03", 3)]
    assert publish(job("a")) == 1  # the cities are the run's own, even where --city is not given again
    assert seen(job("reader")) == [("A", "2025-03", 2), ("B", "2025-03", 3)]


def test_a_city_that_is_not_published_is_told_and_not_read_as_empty(job, segment):
    write(job("r1", cities=("A",)), segment(("A", "2025-03", 1)))
    publish(job("r1"))
    with pytest.raises(NotPublishedError, match=r"score.segment 2025-03 is not published for B"):
        job("r2", cities=("A", "B")).read(SEGMENT)


def test_a_month_is_there_for_a_city_only_if_it_is_published_for_it(job, segment):
    publish(write(job("r1", cities=("A",)), segment(("A", "2025-03", 1))))
    assert [job("r2", cities=cities).has(SEGMENT, "2025-03") for cities in (("A",), None, ("B",), ("A", "B"))] == [True, True, False, False]
    assert not job("r2", cities=("A",)).has(SEGMENT, "2025-02")
    assert write(job("r3"), segment(("A", "2025-03", 1))).has(SEGMENT, "2025-03")


def test_months_of_the_past_come_from_the_published_versions(job, segment):
    write(job("feb", month="2025-02", cities=("A",)), segment(("A", "2025-02", 1)))
    publish(job("feb", month="2025-02", cities=("A",)))
    march = write(job("mar", cities=("A",)), segment(("A", "2025-03", 2)))
    assert seen(march, ["2025-02", "2025-03"]) == [("A", "2025-02", 1), ("A", "2025-03", 2)]
    assert march.months_of(SEGMENT) == ("2025-02", "2025-03")
    assert seen(march, ["2024-12", "2025-03"], optional=True) == [("A", "2025-03", 2)]


def test_a_failed_job_is_recorded_with_its_reason_and_shows_nothing(job, segment):
    def breaks(j):
        j.write(segment(("A", "2025-03", 1)), SEGMENT)
        raise CrmError("disk full\nand a stack")

    with pytest.raises(CrmError):
        carry_out(job("r1"), breaks)
    row = job("r1").catalog.read(RUN_LEDGER).first()
    assert (row.status, row.error, row.commits) == ("failed", "disk full", [])
    with pytest.raises(NotPublishedError):
        seen(job("r1"))


def test_what_was_skipped_is_told(job):
    carry_out(job("r1"), lambda j: j.cover("model", "churn", "skipped", "no label"))
    assert [(r.kind, r.subject, r.status, r.reason) for r in job("r1").catalog.read(COVERAGE).collect()] == [
        ("model", "churn", "skipped", "no label")
    ]


def test_a_run_that_wrote_nothing_cannot_be_published(job):
    with pytest.raises(NotPublishedError, match="has written nothing"):
        publish(job("r9"))


@pytest.fixture
def run_month(monkeypatch, segment):
    """run_month over three small jobs; `calls` tells which ran, `breaking` makes one fail, `bringing` one write; the second one writes these `months`;
    `meanwhile` is done beside one."""
    spec = importlib.util.spec_from_file_location("run_month_under_test", JOBS / "run_month.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.calls, module.breaking, module.bringing, module.months, module.meanwhile = [], set(), set(), None, {}

    def fake(name):
        def run(j):
            module.calls.append((name, j.run_id))
            module.meanwhile.get(name, lambda job: None)(j)
            if name in module.breaking:
                raise CrmError(f"{name} broke")
            if name == "two" or name in module.bringing:
                j.write(segment(("A", "2025-03", 7)), SEGMENT, module.months)

        return SimpleNamespace(run=run)

    monkeypatch.setattr(module, "linted", lambda job: None)
    monkeypatch.setattr(module, "in_force", lambda job, cities: ())
    monkeypatch.setattr(module, "ORDER", ("one", "two", "three"))
    monkeypatch.setattr(module, "_module", fake)
    return module


def test_a_month_resumes_after_the_last_job_that_finished_and_publishes_at_the_end(job, run_month):
    run_month.breaking = {"three"}
    with pytest.raises(CrmError, match="three broke"):
        run_month.run(job(None, name="run_month", cities=("A",)))
    assert job("reader").months_of(SEGMENT) == ()
    run_month.breaking = set()
    run_month.run(job(None, name="run_month", cities=("A",)))
    names = [name for name, _ in run_month.calls]
    assert names == ["one", "two", "three", "one", "three"]
    assert len({run for _, run in run_month.calls}) == 1
    assert seen(job("reader")) == [("A", "2025-03", 7)]


def test_a_month_whose_first_job_failed_goes_on_though_another_city_was_published(job, run_month, segment):
    run_month.breaking = {"one"}
    with pytest.raises(CrmError, match="one broke"):
        run_month.run(job(None, name="run_month", cities=("A",)))
    publish(write(job("other", cities=("B",)), segment(("B", "2025-03", 5))))
    run_month.breaking = set()
    run_month.run(job(None, name="run_month", cities=("A",)))
    assert [name for name, _ in run_month.calls] == ["one", "one", "two", "three"]
    assert len({run for _, run in run_month.calls}) == 1


def test_what_has_come_since_a_run_stopped_is_read_when_it_goes_on(job, run_month):
    run_month.breaking = {"three"}
    with pytest.raises(CrmError):
        run_month.run(job(None, name="run_month", cities=("A",)))
    run_month.breaking, run_month.bringing = set(), {"one"}
    run_month.run(job(None, name="run_month", cities=("A",)))
    assert [name for name, _ in run_month.calls] == ["one", "two", "three", "one", "two", "three"]
    assert len({run for _, run in run_month.calls}) == 1


def test_a_run_is_not_taken_up_if_a_month_before_that_it_wrote_was_published_since(job, run_month, segment):
    """It would put what it wrote in the place of what is newer."""
    run_month.breaking, run_month.months = {"three"}, ("2025-02", "2025-03")
    with pytest.raises(CrmError):
        run_month.run(job(None, name="run_month", cities=("A",)))
    write(job("feb", month="2025-02", cities=("A",)), segment(("A", "2025-02", 1)))
    publish(job("feb", month="2025-02", cities=("A",)))
    run_month.breaking, run_month.months = set(), None
    run_month.run(job(None, name="run_month", cities=("A",)))
    assert len({run for _, run in run_month.calls}) == 2
    assert seen(job("reader", cities=("A",)), ("2025-02", "2025-03")) == [("A", "2025-02", 1), ("A", "2025-03", 7)]


def test_who_chooses_sees_what_other_cities_have_published_while_the_run_went_on(job, run_month, segment, monkeypatch):
    def other(_):
        publish(write(job("other", cities=("B",)), segment(("B", "2025-03", 5))))

    monkeypatch.setattr(run_month, "SHARED", "three")
    found = []
    run_month.meanwhile = {"two": other, "three": lambda j: found.extend(seen(j, all_cities=True))}
    run_month.run(job(None, name="run_month", cities=("A",)))
    assert found == [("A", "2025-03", 7), ("B", "2025-03", 5)]


def test_a_finished_month_runs_anew_with_the_same_result_and_knows_how_long_it_took(job, run_month, caplog):
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO", logger="crm_spark"):
            run_month.run(job(None, name="run_month", cities=("A",)))
    assert "[1/3] one (about 1 min left)" in caplog.messages
    assert [name for name, _ in run_month.calls] == ["one", "two", "three"] * 2
    assert seen(job("reader")) == [("A", "2025-03", 7)]


def test_another_configuration_starts_another_run(job, run_month):
    run_month.breaking = {"two"}
    with pytest.raises(CrmError):
        run_month.run(job(None, name="run_month"))
    run_month.breaking = set()
    changed = job(None, name="run_month")
    changed.config.fingerprint = "conf-2"
    run_month.run(changed)
    assert [name for name, _ in run_month.calls] == ["one", "two", "one", "two", "three"]


def test_an_unfinished_run_is_not_taken_up_after_another_run_of_the_month_was_published(job, run_month):
    run_month.breaking = {"two"}
    with pytest.raises(CrmError):
        run_month.run(job(None, name="run_month"))
    run_month.breaking = set()
    run_month.run(job("f1", name="run_month", fresh=True))
    run_month.run(job(None, name="run_month"))
    assert [name for name, _ in run_month.calls] == ["one", "two", "one", "two", "three", "one", "two", "three"]
    assert len({run for _, run in run_month.calls}) == 3


def test_a_job_counts_as_done_only_if_all_before_it_are(job, run_month):
    carry_out(job("single", name="two"), lambda j: None)
    run_month.run(job("single", name="run_month"))
    assert [name for name, _ in run_month.calls] == ["one", "two", "three"]


def test_what_the_linter_calls_an_error_stops_the_month_before_its_first_job(job, run_month, monkeypatch):
    monkeypatch.setattr(run_month, "linted", linted)
    monkeypatch.setattr(matrix_sets, "matrices_of", lambda config: config)
    monkeypatch.setattr(matrix_sets, "lint", lambda matrices, days: [Finding("error", "priority", ("again",), f"never answers by {days[-1]}")])
    with pytest.raises(ConfigError, match=r"priority \(again\): never answers by 2025-04-30"):
        run_month.run(job(None, name="run_month"))
    assert run_month.calls == []


def test_the_jobs_of_a_month_look_at_the_matrices_once_and_tell_warnings_once(job, run_month, monkeypatch, caplog):
    looked = []

    def lint(matrices, days):
        looked.append(days[0])
        return [Finding("warning", "priority", ("again",), "is odd")]

    monkeypatch.setattr(run_month, "linted", linted)
    monkeypatch.setattr(matrix_sets, "matrices_of", lambda config: config)
    monkeypatch.setattr(matrix_sets, "lint", lint)
    of_fixture = run_month._module
    monkeypatch.setattr(run_month, "_module", lambda name: SimpleNamespace(run=lambda j: (linted(j), of_fixture(name).run(j))))
    run_month.run(job(None, name="run_month"))
    assert looked == [date(2025, 4, 1)] and sum("warning: priority (again): is odd" in message for message in caplog.messages) == 1
    linted(job("alone", name="recommend"))
    assert len(looked) == 2, "another process looks for itself"


def test_a_dry_run_does_nothing(job, run_month):
    run_month.run(job(None, name="run_month", dry_run=True))
    assert run_month.calls == [] and not job("r").catalog.exists(RUN_LEDGER)


def test_a_month_whose_jobs_are_held_is_refused(job, run_month, tmp_path):
    with Locks(tmp_path / "locks").job("two", "2025-03", None), pytest.raises(LockedError):
        run_month.run(job(None, name="run_month"))
    assert run_month.calls == []


@pytest.mark.parametrize(
    "error, code",
    [(None, 0), (CrmError("x"), 1), (ConfigError("x"), 2), (LockedError("x"), 75), (OSError("disk"), 1), (KeyError("surprise"), 1)],
)
def test_exit_codes(monkeypatch, job, error, code):
    def work(j):
        if error:
            raise error

    made = job("r1")
    monkeypatch.setattr("crm_spark.job.open_job", lambda name, options: made)
    assert entry(work)(["--env", "x", "--month", "2025-03"]) == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["--env", "demo", "--month", "2025-3"],
        ["--env", "dmo", "--month", "2025-03"],
        ["--env", "demo", "--month", "2025-03", "--city", "hangzhou"],
        ["--env", "demo", "--month", "2025-03", "--city", "../A"],
        ["--conf-dir", "nowhere", "--env", "demo", "--month", "2025-03"],
    ],
)
def test_wrong_arguments_end_with_2_before_spark_starts(monkeypatch, arguments):
    monkeypatch.setattr("crm_spark.job.open_session", lambda *a: pytest.fail("the session was opened"))
    assert entry(lambda j: None)(arguments) == 2


def test_the_ledger_tells_what_a_job_cost_and_not_what_came_before(job, segment):
    write(job("r1"), segment(("A", "2025-03", 1)))
    carry_out(job("r2"), lambda j: None)
    spent = {r.run_id: r for r in job("r1").catalog.read(RUN_LEDGER).collect()}
    assert spent["r1"].tasks > 0 and spent["r1"].task_seconds > 0 and spent["r1"].shuffle_bytes > 0
    assert spent["r2"].tasks < spent["r1"].tasks


def test_the_ledger_has_a_line_of_each_step_of_a_job(job, segment):
    first = job("r1")

    def work(j):
        with described(j.spark, f"{j.name} {j.month}: look around"):
            j.spark.range(0, 100, 1, 3).groupBy((F.col("id") % 7).alias("k")).count().collect()
        j.write(segment(("A", "2025-03", 1)), SEGMENT)
        time.sleep(0.5)  # the status store is a little late

    carry_out(first, work)
    (row,) = job("r1").catalog.read(RUN_LEDGER).collect()
    steps = {s.step: s for s in row.steps}
    assert [s.step for s in row.steps][:2] == ["look around", "write score.segment"]
    looked, written = steps["look around"], steps["write score.segment"]
    assert looked.tasks >= 4 and looked.shuffle_bytes > 0 and looked.output_bytes == 0 and looked.spill_bytes == 0
    assert written.tasks > 0 and 0 < written.output_bytes < 1_000_000 and 0 < written.seconds <= row.seconds
    assert sum(s.tasks for s in row.steps) <= row.tasks and sum(s.shuffle_bytes for s in row.steps) <= row.shuffle_bytes


def test_time_in_which_no_task_runs_is_no_work_of_tasks_and_two_at_once_count_twice(spark):
    def slowly(batches):
        for batch in batches:
            time.sleep(1)
            yield batch

    before = work_so_far(spark)
    spark.range(0, 2, 1, 2).mapInArrow(slowly, "id bigint").collect()
    time.sleep(0.5)  # the status store is a little late
    after = work_so_far(spark)
    time.sleep(2)
    assert after.since(before).tasks == 2 and after.since(before).task_seconds >= 2
    assert work_so_far(spark).since(after).task_seconds == 0


def test_spark_jobs_of_a_job_are_named_after_it(job, segment):
    told = []

    def listens(j):
        told.append(j.spark.sparkContext.getLocalProperty("spark.job.description"))
        at_once(j.spark, lambda _: told.append(j.spark.sparkContext.getLocalProperty("spark.job.description")), [1])

    carry_out(job("r1"), listens)
    assert told == ["segment_customers 2025-03"] * 2
    assert not job("r1").spark.sparkContext.getLocalProperty("spark.job.description")


def test_explain_prints_the_plan_of_what_is_written(job, segment, capsys):
    write(job("r1", explain=True), segment(("A", "2025-03", 1)))
    assert "== score.segment ==\n== Physical Plan ==" in capsys.readouterr().out


def test_what_is_left_is_told_from_the_last_run_at_the_pace_of_this_one():
    order = ("one", "two", "three")
    forecast = Forecast(order, {"one": 60.0, "two": 120.0, "three": 180.0})
    assert forecast.told("one") == " (about 6 min left)"
    forecast.took("one", 120.0)  # twice as slow as the last time
    assert forecast.told("two") == " (about 10 min left)"
    assert Forecast(order, {"one": 60.0}).told("one") == ""


def test_ledger_rows_of_a_run_are_its_finished_jobs(job, segment):
    write(job("r1"), segment(("A", "2025-03", 1)))
    assert [(r.job, r.commits[0].table, r.commits[0].rows) for r in finished_jobs(job("r1").catalog, "r1")] == [
        ("segment_customers", "score.segment", 1)
    ]
