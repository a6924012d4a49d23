"""What the scoring jobs read, write and tell when only some cities run."""

import importlib.util
import logging
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from pyspark.sql import functions as F

from crm_spark.config.models import MlflowConfig
from crm_spark.config.segments import RuleGroup, RuleSegmentation, SegmentationSpec
from crm_spark.config.value import Criterion, Leaf, ValueConfig
from crm_spark.frames import literal_frame
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import SEGMENT, SEGMENT_MIGRATION, SEGMENT_PROFILE, SERVICE_INDEX, VALUE_SCORE

JOBS = Path(__file__).resolve().parents[1] / "jobs"
M = "2025-03"
CONFIG = SimpleNamespace(
    value=ValueConfig(
        criteria={"value": Criterion(("direct", "indirect"), ((1,),))},
        leaves={"direct": Leaf(("arpu_yuan",), 0, 100), "indirect": Leaf(("peers",), 0, 10)},
        grades={"high": 0.5, "low": 1.0},
        smallest_city=3,
    ),
    env=SimpleNamespace(mlflow=None),
    env_name="test",
    fingerprint="none",
    rule_segmentations={
        "stage": RuleSegmentation("?", (RuleGroup("poor", "arpu_yuan < 20", "more use"), RuleGroup("risky", "grades['churn'] = 'at_risk'", "keep")), ("arpu_yuan",)),
    },
    segmentations={
        "traffic_group": SegmentationSpec("?", ("arpu_yuan", "total_minutes", "peers"), "arpu_yuan", 2, seed=1, iterations=3, starts=1),
        "needs_more": SegmentationSpec("?", ("arpu_yuan", "total_minutes"), "arpu_yuan", 9, seed=1),
    },
)


@dataclass
class StubJob:
    """Holds a view of two cities and keeps what a job writes and tells."""

    view: object
    cities: tuple[str, ...] | None = ("TINY",)
    month: str = M
    run_id: str = "r1"
    options: object = field(default_factory=SimpleNamespace)
    config: object = field(default_factory=lambda: CONFIG)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("test"))
    written: dict = field(default_factory=dict)
    told: list = field(default_factory=list)

    @property
    def spark(self):
        return self.view.sparkSession

    def months_of(self, table):
        return tuple(sorted({row["month"] for row in self.written.get(table.full_name, ((),))[0]}))

    def read(self, table, months=None, optional=False, all_cities=False):
        if table.full_name in self.written:
            wanted = [row for row in self.written[table.full_name][0] if row["month"] in (months or (self.month,))]
            return literal_frame(self.spark, wanted, table.struct)
        if table is not CUSTOMER_VIEW:
            return literal_frame(self.spark, [], table.struct)
        return self.view if all_cities or not self.cities else self.view.where(self.view["city"].isin(*self.cities))

    def write(self, frame, table, cities=None):
        kept = [row for row in self.written.get(table.full_name, ((),))[0] if row["month"] != self.month]
        self.written[table.full_name] = ([*kept, *table.conform(frame).collect()], cities)

    def wrote(self, table, month):
        return month in self.months_of(table)

    def cover(self, *told):
        self.told.append(told)


@pytest.fixture(scope="module", autouse=True)
def mlflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    CONFIG.env.mlflow = MlflowConfig(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"), "test")
    return MlflowClient(CONFIG.env.mlflow.tracking_uri)


@pytest.fixture(scope="module")
def view(spark):
    """Six customers of a large city and two of a tiny one; no peers are delivered."""
    people = [("BIG", f"b{i}", float(10 * i), 100.0 * (i > 2)) for i in range(6)] + [("TINY", "t1", 45.0, 90.0), ("TINY", "t2", 15.0, 0.0)]
    names = CUSTOMER_VIEW.columns
    known = [dict(zip(("city", "user_id", "arpu_yuan", "total_minutes"), p, strict=True), month=M) for p in people]
    text = [tuple(str(k[n]) if n in k else None for n in names) for k in known]
    rows = spark.createDataFrame(text, ", ".join(f"`{n}` string" for n in names))
    simple = [f for f in CUSTOMER_VIEW.fields if "<" not in f.sql_type]
    typed = rows.selectExpr(*[f"cast(`{f.name}` as {f.sql_type}) as `{f.name}`" for f in simple])
    days = F.when(F.col("user_id") == "t1", 5).when(F.col("user_id") == "b1", 15).cast("int")
    state = F.named_struct(*[F.lit(x) if isinstance(x, str) else x for pair in (
        ("is_held", F.lit(True)), ("held_months", F.lit(1)), ("uses", F.lit(None).cast("bigint")), ("mb", F.lit(None).cast("double")),
        ("active_days", days), ("fee_yuan", F.lit(None).cast("double")),
    ) for x in pair])  # fmt: skip
    return typed.withColumn("services", F.when(days.isNotNull(), F.create_map(F.lit("newspaper"), state)))


def run(name, job):
    spec = importlib.util.spec_from_file_location(f"scoring_job_{name}", JOBS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.run(job)
    return job


def test_one_city_is_graded_by_the_cut_offs_of_all_and_alone_written(view):
    job = run("score_value", StubJob(view))
    rows, _ = job.written[VALUE_SCORE.full_name]
    # all ARPUs: 50 45 40 30 | 20 15 10 0: the better half ends at 30
    assert {(r["user_id"], r["value_grade"]) for r in rows} == {("t1", "high"), ("t2", "low")}


def test_activity_of_one_city_is_against_the_users_of_all(view):
    rows, _ = run("score_value", StubJob(view)).written[SERVICE_INDEX.full_name]
    ((user, service, activity),) = [(r["user_id"], r["service"], r["activity"]) for r in rows]
    assert (user, service) == ("t1", "newspaper") and activity == pytest.approx(100 * 5 / (5 + 10), abs=1e-6)  # the mean of 5 and 15 days


def test_a_part_without_a_value_in_the_run_is_told_as_skipped(view):
    told = run("score_value", StubJob(view, cities=None)).told
    assert ("value_part", "indirect", "skipped", "no value in peers in this run; its weight 0.500 goes to the parts beside it", 0.0) in told
    assert [t[:3] for t in told if t[1] == "direct"] == [("value_part", "direct", "used")]


def test_the_second_month_of_a_city_keeps_the_numbers_and_tells_and_shows_who_moved(view, mlflow):
    first = run("segment_customers", StubJob(view, cities=None))
    assert ("segment_migration", "all segmentations", "skipped", "no month before has groups") in first.told
    later = view.withColumn("month", F.lit("2025-04"))
    job = run("segment_customers", StubJob(later, month="2025-04", written=dict(first.written)))
    moved = job.written[SEGMENT_MIGRATION.full_name][0]
    of_traffic = [r for r in moved if r["segmentation"] == "traffic_group"]
    assert {(r["city"], r["group_before"], r["group_number"], r["customers"], r["share"]) for r in of_traffic} == {("TINY", 1, 1, 1, 1.0), ("TINY", 2, 2, 1, 1.0)}
    runs = mlflow.search_runs([mlflow.get_experiment_by_name("test-segments").experiment_id], "tags.month = '2025-04'")
    assert [r.data.tags["segmentation"] for r in runs] == ["traffic_group"]
    assert {f.path for f in mlflow.list_artifacts(runs[0].info.run_id, "plots")} == {f"plots/{p}.png" for p in ("profile", "factors", "migration")}
    assert {"profile.json", "quality.json"} <= {f.path for f in mlflow.list_artifacts(runs[0].info.run_id)}
    assert [(m.step, 0 <= m.value <= 1) for m in mlflow.get_metric_history(runs[0].info.run_id, "stability")] == [(2, True)]


def test_groups_of_one_city_are_those_of_all_and_the_profile_belongs_to_no_city(view):
    job = run("segment_customers", StubJob(view))
    rows, _ = job.written[SEGMENT.full_name]
    assert {(r["user_id"], r["segmentation"], r["group_number"]) for r in rows} == {("t1", "traffic_group", 1), ("t2", "traffic_group", 2), ("t2", "stage", 1)}
    profile, cities = job.written[SEGMENT_PROFILE.full_name]
    assert cities == ("_ALL",) and {r["city"] for r in profile} == {"_ALL"}
    assert sum({r["group_number"]: r["customers"] for r in profile if r["segmentation"] == "traffic_group"}.values()) == 8
    # ARPUs of 0, 10 and 15 yuan are below 20; of all eight 0 10 20 30 40 50 45 15 the mean is 26.25
    stage = [(r["group_name"], r["customers"], r["group_mean"], r["overall_mean"], r["lever"]) for r in profile if r["segmentation"] == "stage"]
    assert stage == [("poor", 3, pytest.approx(25 / 3, abs=1e-5), 26.25, "more use")]
    told = {t[1]: t[2:] for t in job.told}
    assert told["traffic_group"] == ("partial", "2 groups; left out peers: no value in this run")
    assert ("segment_name", "stage", "partial", "no customer is in: risky") in job.told
    assert told["needs_more"] == ("skipped", "8 customers are too few for 9 groups")
