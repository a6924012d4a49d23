"""The tables' files: few, ordered, and none gone that a reader or a replay may still want."""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_spark.config.env import CatalogConfig, load_env
from crm_spark.errors import ConfigError, LockedError, NotPublishedError
from crm_spark.job import Job, carry_out
from crm_spark.locks import Locks
from crm_spark.months import month_range
from crm_spark.publication import publish
from crm_spark.runs import load_versions
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.contract import Table
from crm_spark.tables.digest import digest
from crm_spark.tables.ops import PUBLICATION, RUN_LEDGER
from crm_spark.tables.score import SEGMENT

KEY = "city string, month string, user_id string, segmentation string, group_number int, class_number int, group_name string, class_name string"
ROOT = Path(__file__).resolve().parents[1]
USERS = 6
AGEING = ("modificationTime", "deletionTimestamp", "timestamp", "inCommitTimestamp", "createdTime")


class Upkept:
    """Runs of one month after the other over a folder of tables, and its maintenance."""

    def __init__(self, spark, folder):
        self.spark, self.folder = spark, folder
        self.path = folder / "tables" / SEGMENT.schema / SEGMENT.name
        self.keep_months = {}

    def job(self, run_id="reader", month="2023-01", name="segment_customers", cities=("A", "B"), dry_run=False):
        locks = Locks(self.folder / "locks")
        catalog = Catalog(self.spark, CatalogConfig("path", str(self.folder / "tables")), locks)
        config = SimpleNamespace(fingerprint="conf", env=SimpleNamespace(keep_months=self.keep_months))
        given = argparse.Namespace(dry_run=dry_run)
        return Job(name, month, cities, run_id, self.spark, catalog, config, locks, load_versions(catalog, run_id), given)

    def write(self, run_id, month, number=1):
        """Users of two cities, unpublished."""
        rows = [(c, month, f"{c}{u}", "traffic_group", number * 100 + u, None, None, None) for u in reversed(range(USERS)) for c in "AB"]
        carry_out(self.job(run_id, month), lambda job: job.write(self.spark.createDataFrame(rows, KEY), SEGMENT))

    def publish(self, run_id, month, number=1):
        self.write(run_id, month, number)
        publish(self.job(run_id, month))

    def maintain(self, month, run_id="upkeep", **options):
        job = self.job(run_id, month, "maintain", cities=None, **options)
        carry_out(job, _maintain(), alone=True)

    def read(self, month):
        return self.job().read(SEGMENT, [month])

    def digest(self, month):
        return digest(self.read(month), SEGMENT)

    def files(self, month, city="A"):
        """Live files of a city's month in the newest version."""
        rows = self.spark.read.format("delta").load(str(self.path)).where(f"month = '{month}' AND city = '{city}'")
        return {Path(r[0]).name for r in rows.select("_metadata.file_path").distinct().collect()}

    def version(self):
        return max(int(p.stem) for p in (self.path / "_delta_log").glob("*.json"))

    def age(self, days):
        """As if all that is there had been written `days` earlier: times of files, of commits, of deletions."""
        back = days * 86_400
        for commit in (self.path / "_delta_log").glob("0*.json"):
            actions = [json.loads(line) for line in commit.read_text().splitlines()]
            for of in (a[kind] for a in actions for kind in ("add", "remove", "commitInfo", "metaData") if kind in a):
                of |= {key: of[key] - back * 1000 for key in AGEING if key in of}
            commit.write_text("".join(json.dumps(a) + "\n" for a in actions))
        for path in self.path.rglob("*"):
            if path.suffix == ".crc":
                path.unlink()  # of the texts before
            elif path.is_file():
                then = path.stat().st_mtime - back
                os.utime(path, (then, then))
        self.spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


def _maintain():
    spec = importlib.util.spec_from_file_location("maintain_job", ROOT / "jobs" / "maintain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


@pytest.fixture
def place(spark, tmp_path):
    return Upkept(spark, tmp_path)


@contextlib.contextmanager
def one_row_a_file():
    """As a writer left it that knew nothing of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "rows_per_file", 1)
        yield


def files_read(rows):
    """Files that the scan of these rows opened, by its own metric."""
    rows.collect()
    plan = rows._jdf.queryExecution().executedPlan()
    while "AdaptiveSparkPlan" in plan.nodeName():
        plan = plan.executedPlan()
    (scan,) = [n for n in _nodes(plan) if "Scan" in n.nodeName()]
    return scan.metrics().apply("numFiles").value()


def _nodes(plan):
    yield plan
    for i in range(plan.children().length()):
        yield from _nodes(plan.children().apply(i))


def test_a_city_and_month_lies_in_one_file_in_the_order_of_look_ups_whatever_the_frame_was(spark, place):
    place.publish("r1", "2023-01")
    (name,) = place.files("2023-01")
    users = [r.user_id for r in spark.read.parquet(str(next(place.path.rglob(name)))).collect()]
    assert users == [f"A{u}" for u in range(USERS)]


@pytest.mark.slow
def test_what_is_too_large_for_a_file_is_cut_between_subscribers_and_a_look_up_reads_one(place, monkeypatch):
    monkeypatch.setattr(Table, "rows_per_file", 2)
    place.publish("r1", "2023-01")
    assert len(place.files("2023-01")) == USERS / 2
    whole = place.read("2023-01").where("city = 'A'")
    assert files_read(whole) == USERS / 2
    for user in range(USERS):
        found = whole.where(f"user_id = 'A{user}'")
        assert (files_read(found), found.count()) == (1, 1)


@pytest.mark.slow
def test_many_files_are_written_together_readers_gain_and_no_answer_changes(spark, place):
    with one_row_a_file():
        place.publish("r1", "2023-01")
        place.publish("r2", "2023-02")
    assert len(place.files("2023-01")) == len(place.files("2023-02")) == USERS
    before = [place.digest("2023-01"), place.digest("2023-02")]
    place.maintain("2023-02")
    assert len(place.files("2023-01")) == len(place.files("2023-02")) == 1
    assert [place.digest("2023-01"), place.digest("2023-02")] == before
    seen = place.job().seen
    (slice_,) = seen.slices(SEGMENT, ["2023-01", "2023-02"], None)
    assert slice_.version == place.version(), "one version of all months is read, the one of few files"
    assert set(seen.writers[SEGMENT.full_name, "2023-01"].values()) == {"r1"}, "whose run it was stays known"
    assert files_read(place.read("2023-01").where("city = 'A' AND user_id = 'A3'")) == 1


def test_upkeep_that_was_stopped_before_its_pins_is_made_up_for_by_the_next(spark, place):
    with one_row_a_file():
        place.publish("r1", "2023-01")
    before = place.digest("2023-01")
    spark.sql(f"OPTIMIZE delta.`{place.path}`")  # all that it came to
    place.publish("r2", "2023-02")
    place.maintain("2023-02")
    (slice_,) = place.job().seen.slices(SEGMENT, ["2023-01", "2023-02"], None)
    assert slice_.version == place.version() and place.digest("2023-01") == before


@pytest.mark.slow
def test_a_second_maintenance_and_a_dry_run_change_nothing(spark, place, caplog):
    with one_row_a_file():
        place.publish("r1", "2023-01")
    version, published = place.version(), place.job().catalog.read(PUBLICATION).count()
    with caplog.at_level("INFO", logger="crm_spark"):
        place.maintain("2023-01", dry_run=True)
    told = next(r.getMessage() for r in caplog.records if f"    {SEGMENT.full_name}" in r.getMessage())
    assert "would be: written together 2, pinned anew 2, deleted 0 (city, month); removed 0 files" in told
    assert (place.version(), place.job().catalog.read(PUBLICATION).count()) == (version, published)
    place.maintain("2023-01")
    version, published, files = place.version(), place.job().catalog.read(PUBLICATION).count(), place.files("2023-01")
    place.maintain("2023-01")
    assert (place.version(), place.job().catalog.read(PUBLICATION).count(), place.files("2023-01")) == (version, published, files)


@pytest.mark.slow
def test_what_no_run_published_is_not_what_readers_get(spark, place):
    place.publish("r1", "2023-01")
    before = place.digest("2023-01")
    with one_row_a_file():
        place.write("r2", "2023-01", number=2)
    unpublished = place.files("2023-01")
    place.maintain("2023-01")
    assert place.digest("2023-01") == before
    assert place.files("2023-01") == unpublished, "an unfinished run's rows are left as they are"
    publish(place.job("r2", "2023-01"))
    assert {r.group_number // 100 for r in place.read("2023-01").collect()} == {2}


@pytest.mark.slow
def test_thirteen_months_stay_readable_and_what_is_older_goes_unless_it_is_what_readers_see(spark, place):
    place.publish("r1", "2023-01", number=1)
    place.publish("quiet", "2023-02", number=7)
    place.write("r2", "2023-01", number=2)
    place.publish("r3", "2023-01", number=3)
    digests = {m: place.digest(m) for m in ("2023-01", "2023-02")}
    names = {p.name for p in place.path.rglob("*.parquet")}
    place.age(396)
    place.maintain("2023-02")
    assert {p.name for p in place.path.rglob("*.parquet")} == names
    publish(place.job("r1", "2023-01"))
    assert {r.group_number // 100 for r in place.read("2023-01").collect()} == {1}, "a replay after thirteen months"
    place.age(10)
    place.maintain("2023-02")
    assert {p.name for p in place.path.rglob("*.parquet")} == names, "what was rolled back to is what readers see"
    assert {r.group_number // 100 for r in place.read("2023-01").collect()} == {1}

    publish(place.job("r3", "2023-01"))
    place.maintain("2023-02")
    left = {p.name for p in place.path.rglob("*.parquet")}
    assert left == place.files("2023-01") | place.files("2023-01", "B") | place.files("2023-02") | place.files("2023-02", "B")
    assert len(left) == len(names) // 2, "of four writes of two cities two were replaced"
    assert {m: place.digest(m) for m in digests} == digests


@pytest.mark.slow
def test_a_published_month_outlives_the_log_of_the_version_it_was_written_in(spark, place):
    place.publish("r1", "2023-01")
    place.publish("r2", "2023-02")
    before, written = place.digest("2023-01"), place.job().seen.published[SEGMENT.full_name, "2023-01"]["A"]
    place.maintain("2023-02")
    assert place.job().seen.published[SEGMENT.full_name, "2023-01"]["A"] > written
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, str(place.path)).checkpoint()
    for version in range(written + 1):
        (place.path / "_delta_log" / f"{version:020d}.json").unlink()  # as Delta does when a log is older than it keeps
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    assert place.digest("2023-01") == before
    with pytest.raises(NotPublishedError, match=rf"score.segment: version {written} is kept no more"):
        place.job().catalog.read(SEGMENT, written)


@pytest.mark.slow
def test_months_beyond_what_the_environment_keeps_are_withdrawn_and_deleted(place):
    for month in ("2023-01", "2023-02", "2024-02"):
        place.publish(f"run of {month}", month)
    before = place.digest("2023-02")
    place.maintain("2024-02")
    assert len(place.files("2023-01")) == 1, "off unless configured"
    place.keep_months = {"score": 13}
    place.maintain("2024-02")
    assert (place.files("2023-01"), len(place.files("2023-02"))) == (set(), 1)
    assert place.job().months_of(SEGMENT) == ("2023-02", "2024-02")
    with pytest.raises(NotPublishedError):
        place.read("2023-01")
    assert place.digest("2023-02") == before


def test_a_memory_that_is_too_short_or_of_no_layer_is_refused(tmp_path):
    for part in ("conf", "mlflow"):
        shutil.copytree(ROOT / part, tmp_path / part)
    base = tmp_path / "conf" / "base.yml"
    base.write_text(base.read_text().replace("keep_months: {}", "keep_months: {mart: 12, raws: 24, vault: 13}"))
    with pytest.raises(ConfigError) as error:
        load_env(tmp_path / "conf", "demo")
    where = tmp_path / "conf" / "env" / "demo.yml"
    assert error.value.problems == [
        f"{where}: keep_months.raws: no such layer (did you mean 'raw'?)",
        f"{where}: keep_months.mart: at least 13 are needed",
    ]


HOLDER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from crm_spark.locks import Locks
    with Locks(Path(sys.argv[1])).job(sys.argv[2], "2023-01", ["A"], alone=sys.argv[3] == "alone"):
        print("held", flush=True)
        time.sleep(60)
""")


@pytest.mark.parametrize(("theirs", "alone", "mine"), [("recommend", "", "maintain"), ("maintain", "alone", "recommend")])
def test_maintenance_and_a_running_month_keep_each_other_out(tmp_path, theirs, alone, mine):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), theirs, alone], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(LockedError, match=f"process {holder.pid}"), Locks(tmp_path).job(mine, "2023-02", None, mine == "maintain"):
            pass
    finally:
        holder.kill()
        holder.wait()
    with Locks(tmp_path).job(mine, "2023-02", None, mine == "maintain"):
        pass


@pytest.mark.slow
def test_two_years_of_months_lie_in_one_file_a_city_and_month(spark, place):
    months = month_range("2023-01", "2024-12")
    for number, month in enumerate(months):
        place.publish(f"run of {month}", month)
        if number % 3 == 2:  # a late file: an earlier month is written anew
            place.publish(f"late run of {month}", months[number - 1], number=2)
    digests = {m: place.digest(m) for m in months}
    assert max(len(place.files(m, c)) for m in months for c in "AB") == 1, "as they were written"
    appended = place.job().catalog.read(RUN_LEDGER).inputFiles()
    place.maintain("2024-12")
    assert {len(place.files(m, c)) for m in months for c in "AB"} == {1}
    assert len(place.job().catalog.read(RUN_LEDGER).inputFiles()) < len(appended) / 5
    assert {m: place.digest(m) for m in months} == digests
    assert len(place.job().seen.slices(SEGMENT, months, None)) == 1
