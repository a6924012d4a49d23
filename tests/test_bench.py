"""The measuring itself: the rival computes the same tables, and a run of the bench leaves its record."""

import json
import time
from pathlib import Path

import pytest

from crm_spark.bench import day
from crm_spark.bench.__main__ import main
from crm_spark.bench.measure import best_of, bytes_moved, peak_mb, reads_counted
from crm_spark.bench.month import Month, fitted, measures_told, told, weak
from crm_spark.bench.report import as_released, chart, growth, releases, short_table, steepest, unevenness
from crm_spark.bench.stage import Record, save, save_again
from crm_spark.customer.calls import call_totals, months_told
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_summary
from crm_spark.ingest.files import plain_path
from crm_spark.tables.digest import digest
from crm_spark.tables.middle import CONTACT_CIRCLE, USER_BASIC, VOICE_SUMMARY
from crm_spark.workload import work_so_far
from tests.customer_support import calls, rows_of
from tests.test_voice import CALLS

ROOT = Path(__file__).resolve().parents[1]
TOLD = [user for user in CALLS if user not in ("untold", "closed")]


@pytest.mark.slow
def test_duckdb_makes_the_same_rows_of_calls_that_tell_everything(spark, tmp_path):
    duck = pytest.importorskip("crm_spark.bench.duck")
    pytest.importorskip("duckdb")
    called = calls(spark, *[{"user_id": user, **call} for user in TOLD for call in CALLS[user]])
    register = rows_of(spark, USER_BASIC, *[{"user_id": user} for user in (*TOLD, "silent")])
    files = []
    for name, frame in (("calls", called), ("register", register.select("city", "month", "user_id"))):
        frame.write.parquet(str(tmp_path / name))
        files.append([plain_path(file) for file in spark.read.parquet(str(tmp_path / name)).inputFiles()])
    duck.build(*files, tmp_path, threads=1)
    totals = call_totals(called, register)
    told = months_told(totals)
    for table, made in ((VOICE_SUMMARY, build_voice_summary(totals, told)), (CONTACT_CIRCLE, build_contact_circle(totals, told))):
        other = table.conform(spark.read.parquet(str(tmp_path / f"{table.name}.parquet")))
        assert other.exceptAll(made).collect() == [] and digest(other, table) == digest(made, table)


def test_the_best_round_counts_and_not_the_one_that_warms_up():
    rounds = iter([5.0, 0.3, 0.1, 0.2])
    clock = [0.0]

    def work():
        clock[0] += next(rounds)

    assert best_of(work, clock=lambda: clock[0]).seconds == pytest.approx(0.1)


def test_bytes_are_those_of_tasks_launched_in_the_round(tmp_path):
    def task(launched, shuffled):
        moved = {"Input Metrics": {"Bytes Read": 3}, "Output Metrics": {"Bytes Written": 4}}
        metrics = {**moved, "Shuffle Write Metrics": {"Shuffle Bytes Written": shuffled}, "Disk Bytes Spilled": 1}
        return json.dumps({"Event": "SparkListenerTaskEnd", "Task Info": {"Launch Time": launched}, "Task Metrics": metrics})

    (tmp_path / "log").write_text("\n".join([task(999, 5), task(1_000, 7), task(1_900, 11), task(2_100, 13)]))
    measured = best_of(lambda: None, rounds=1, clock=iter([1.0, 2.0]).__next__)
    assert bytes_moved(tmp_path / "log", measured) == {"read_bytes": 6, "written_bytes": 8, "shuffle_bytes": 18, "spill_bytes": 2}


def test_all_bytes_read_count_inside(spark, tmp_path):
    spark.range(200_000).selectExpr("rand(1) AS x").coalesce(1).write.parquet(str(tmp_path / "rows"))
    size = sum(file.stat().st_size for file in (tmp_path / "rows").glob("*.parquet"))
    with reads_counted(spark):
        before = work_so_far(spark)
        spark.read.parquet(str(tmp_path / "rows")).selectExpr("sum(x)").collect()
        time.sleep(0.5)  # the status store is a little late
        assert 0.95 * size < work_so_far(spark).since(before).input_bytes < 1.1 * size


def test_the_bench_helps(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0 and "--sizes" in capsys.readouterr().out


def record(size, rows, seconds, floor=1.0, stage="calls"):
    return Record(stage, size, rows, rows // 60, seconds, floor, peak_mb=1)


def test_growth_tells_fixed_seconds_from_those_that_grow():
    (line,) = growth([record(10, 1_000_000, 5.0), record(100, 10_000_000, 23.0)])
    assert line == "calls, 10 to 100 subscribers: exponent of time 0.66; 3.0 s and 2.00 s a million rows"


def test_the_steepest_growth_of_all_stages_counts():
    flat = [record(10, 1_000, 5.0), record(100, 10_000, 23.0)]
    square = [record(10, 1_000, 1.0, stage="squares"), record(100, 10_000, 100.0, stage="squares")]
    assert steepest(flat + square) == pytest.approx(2.0) and steepest(flat[:1]) == 0.0


def test_a_release_is_compared_by_the_ratio_to_the_floor():
    before, now = [record(10, 100, 4.0, floor=2.0)], [record(10, 100, 9.0, floor=3.0), record(20, 200, 9.0)]
    assert list(releases(now, before)) == ["calls, 10 subscribers: 3.00 times the floor, 1.50 of the last release's 2.00"]


def test_the_chart_is_a_picture(tmp_path):
    chart([record(10, 100, 4.0), record(20, 200, 5.0)], tmp_path / "bench.svg")
    assert "<svg" in (tmp_path / "bench.svg").read_text(encoding="utf-8")


def test_the_readme_shows_the_release():
    records = [Record(**r) for r in json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))]
    assert "\n".join(short_table(records)) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_release_keeps_what_was_not_measured_anew():
    old = [Record("calls", 10, 100, 10, 4.0, 2.0, 1), Record("view", 10, 100, 10, 9.0, 3.0, 1)]
    new = [Record("calls", 100, 900, 90, 8.0, 4.0, 1), Record("calls", 10, 100, 10, 3.0, 1.0, 1)]
    assert as_released(new, old) == [new[1], new[0], old[1]]


def test_a_month_tells_how_good_its_models_are():
    month = Month(2_000, 2, {}, {"churn": {"test_base_rate": 0.09, "test_auc": 0.71234, "test_lift_10": 2.5, "test_calibration_error": 0.00987}})
    head, line = measures_told(month)
    assert head.split() == ["models", "of", "2,000", "share", "lift", "AUC", "calibration", "error"]
    assert line.split() == ["churn", "0.090", "2.50", "0.712", "0.0099"]


def test_a_model_below_a_lift_of_two_is_weak_unless_it_cannot_reach_it_or_too_few_tell():
    models = {model: {"test_lift_10": lift} for model, lift in (("churn", 1.99), ("anomaly", 2.0), ("stickiness", 1.4))}
    assert weak(Month(100_000, 2, {}, models)) == ["churn"]
    assert weak(Month(10_000, 2, {}, models)) == []


def test_a_month_at_a_third_size_is_compared_with_what_two_sizes_promise():
    small, large = Month(1_000, 2, {"ingest": 12.0, "publish": 5.0}, {}), Month(2_000, 2, {"ingest": 14.0, "publish": 5.0}, {})
    lines = fitted([small, large])
    assert (lines["ingest"].fixed, lines["ingest"].at(10_000)) == (10.0, 30.0)
    assert lines["publish"].at(10_000) == 5.0
    third = Month(10_000, 2, {"ingest": 37.0, "publish": 5.0}, {})
    head, ingest, publish, *_ = told([small, large, third])
    assert head.split()[-2:] == ["power", "promised"]
    assert ingest.split()[-2:] == ["0.60", "+23%"]  # ln(37 / 14) / ln(10,000 / 2,000); 37 s of 30
    assert publish.split()[-2:] == ["0.00", "+0%"]
    assert list(told([small, large, third]))[-1] == "10,000 subscribers by the two sizes before: 35 s; measured 42 s, +20%"
    heavy = Month(1_000, 2, {"ingest": 12.0}, {}, peak_mb=7_000, shuffled_mb={"ingest": 1_000.0, "choose": 500.0}, spilled_mb={"ingest": 20.0, "choose": 0.0})
    assert list(told([heavy]))[-1] == "1,000 subscribers: at most 7,000 MB at once; shuffled 1,500 MB; spilled, MB: ingest 20"
    beside = Month(1_000, 2, {"ingest": 12.0, "choose": 12.0}, {}, beside={"month_before": 48.0, "again_NINGBO": 6.0})
    before, again = list(told([beside]))[-2:]
    assert before == "1,000 subscribers: month_before 48 s, 2.00 times the month"
    assert again == "1,000 subscribers: again_NINGBO 6 s, 0.25 times the month"


def test_a_days_cost_is_told_in_a_line_a_run():
    made = [day.Record("day 30", 3_000, 97_029, 2_702, 48.7, 17_367_651, 7_284_661), day.Record("month", 3_000, 0, 99_731, 85.0, 269_158_768, 22_684_966)]
    assert [line.split()[-3:] for line in day.told(made)][1:] == [["48.7", "17.4", "7.3"], ["85.0", "269.2", "22.7"]]


def test_uneven_calls_are_compared_with_the_even_of_their_size():
    hot = [record(10, 600, 6.0, stage="hot"), record(100, 6000, 50.0, stage="hot")]
    records = [record(10, 600, 4.0), record(100, 6000, 20.0), *hot, record(10, 600, 9.0, stage="other")]
    assert unevenness(records, "calls", ["hot"]) == [(hot[0], 1.5), (hot[1], 2.5)]


def test_the_memory_of_a_session_is_told(spark):
    """Java with a heap of a hundred megabytes at least, and not more than the machine has."""
    machine = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    assert 100 < peak_mb(spark) < machine


def test_what_a_stage_wrote_is_written_again_as_it_lies(spark, tmp_path):
    rows = rows_of(spark, USER_BASIC, *[{"user_id": str(i)} for i in range(50)])
    save(rows, USER_BASIC, str(tmp_path / "t"))
    save_again(spark, USER_BASIC, str(tmp_path / "t"))
    again = spark.read.format("delta").load(str(tmp_path / "t_again"))
    assert digest(again, USER_BASIC) == digest(USER_BASIC.conform(rows), USER_BASIC)


@pytest.mark.parametrize(
    ("table", "rival", "difference", "error", "told"),
    [
        ("cell2cell", "hist_gradient_boosting", 0.0071, 0.015, []),
        ("cell2cell", "lightgbm", 0.0049, 0.01, ["cell2cell: +0.0049 against lightgbm, +0.005 is promised"]),
        ("monthly_panel", "hist_gradient_boosting", -0.009, 0.05, []),
        ("planted", "known_chance", -0.006, 0.01, ["planted: -0.0060 against known_chance, -0.005 is promised"]),
        ("planted", "known_chance", -0.004, 0.011, ["planted: a calibration error of 0.0110, 0.01 is promised"]),
    ],
)
def test_quality_below_what_is_promised_is_told(table, rival, difference, error, told):
    quality = pytest.importorskip("crm_spark.bench.quality")
    assert quality.below([quality.Record(table, rival, 5, 0.7, difference, 0.0, 1.0, 0.7, 1.0, error)]) == told
