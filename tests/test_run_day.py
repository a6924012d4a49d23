"""Days one after the other end where the whole month read at once does, and read no call twice (promises R2, R3, R5, R8)."""

import argparse
import os
import random
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from crm_spark.errors import ConfigError, SourceError
from crm_spark.job import Job, carry_out
from crm_spark.publication import publish
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.middle import CONTACT_CIRCLE, VOICE_SUMMARY
from crm_spark.tables.ops import INGEST_LEDGER
from crm_spark.tables.raw import CALL_KINDS, QUARANTINE, ROAMING_KINDS, VOICE_CDR
from crm_spark.tables.vault import QUARANTINE_LINE
from tests.customer_support import all_rows
from tests.ingest_support import Operator
from tests.tiny import load_job

MONTHS = ("2024-02", "2024-03")
MONTH = MONTHS[1]
YAML = """
files:
  users: {path: "{data}/users_{month}.csv", format: csv}
  calls: {path: "{data}/calls/{month}/*.csv", format: csv}
mappings:
  - {table: raw.user_info, file: users, city: city, columns: {user_id: id}}
  - table: raw.voice_cdr
    file: calls
    months: {first: "2024-03", last: "2024-03"}
    city: city
    money: fee
    columns: {user_id: a, peer_id: b, started_at: at, seconds: secs, direction: way, call_kind: kind, roaming_kind: roams, is_vpn: vpn,
              is_on_net: net, peer_province: prov, fee_yuan: fee}
"""
HEADER = "city,a,b,at,secs,way,kind,roams,vpn,net,prov,fee"
USERS = "id,city\n" + "".join(f"{i},{'AB'[i % 2]}\n" for i in range(6))


def random_calls(day, count, seed):
    pick = random.Random(seed)
    for i in range(count):
        at = datetime(2024, 3, day) + timedelta(seconds=pick.randrange(86_000) // count * count + i)
        told = [
            pick.choice(["out", "in"]), pick.choice([*CALL_KINDS, ""]), pick.choice([*ROAMING_KINDS, ""]), pick.choice(["true", "false", ""]),
            pick.choice(["true", "false"]), pick.choice(["Anhui", "Hunan", ""]), f"{pick.randrange(100)}.{pick.randrange(10_000):04d}",
        ]  # fmt: skip
        yield ",".join([pick.choice("AB"), str(pick.randrange(8)), pick.choice(["10010", "10086", "95588", ""]), f"{at}", str(pick.randrange(600)), *told])


FIRST = [*random_calls(1, 30, 1), "A,1,10086,2024-03-01 23:00:00,long,out,local,none,,,,0.1"]  # the last one cannot be read
SECOND = [*random_calls(2, 30, 2), *random_calls(1, 5, 3), FIRST[0]]  # five calls of the day before came late, and one again
THIRD = [*random_calls(3, 30, 4), "A,1,10086,2024-02-29 23:00:00,5,out,local,none,,,,0.1"]
DAYS = {f"calls/{MONTH}/0{i}.csv": "\n".join([HEADER, *lines, ""]) for i, lines in enumerate((FIRST, SECOND, THIRD), 1)}
MADE = (VOICE_CDR, VOICE_SUMMARY, CONTACT_CIRCLE)


class Days(Operator):
    """An operator whose calls come by the day; the users of February are in the register."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lines = []

    def run(self, name, run_id, month=MONTH, cities=None, force=False):
        """One job, alone, in a run that is not published unless it does so itself."""
        (self.folder / "key").write_text("a published key, for tests only")
        log = SimpleNamespace(info=lambda text, *args: self.lines.append(text % args), warning=self.lines.append)
        job = replace(self.job(run_id, month), name=name, cities=cities, options=argparse.Namespace(run_id=run_id, force=force), log=log)
        carry_out(job, load_job(name).run)
        return job

    def day(self, run_id):
        """The new call files of the month."""
        self.lines.clear()
        return self.run("run_day", run_id)

    def log(self):
        """What the last day has said."""
        return "\n".join(self.lines)

    def copied(self, folder):
        """The same operator with what it has, in another folder."""
        for part in ("data", "tables"):
            shutil.copytree(self.folder / part, folder / part)
        return Days(self.spark, folder, YAML, MONTHS)

    def files(self, table):
        """Files of the visible month."""
        return set(self.job().read(table, [MONTH]).inputFiles())

    def registered(self, month):
        """Users ingested and registered, and what is to be made of calls; published."""
        self.deliver({f"users_{m}.csv": USERS for m in MONTHS if m <= month})
        self.run("ingest", f"month {month}", month)
        self.run("build_summaries", f"month {month}", month)
        publish(self.job(f"month {month}", month))

    def rows(self, table):
        return all_rows(self.job().read(table, [MONTH]).select(*table.columns))

    def versions(self):
        return {t.full_name: self.job().versions(t) for t in (*MADE, CALL_STATE, QUARANTINE)}

    def told(self, run_id):
        return [a for key, a in self.ledger(run_id).items() if a.mapping == "raw.voice_cdr"]


def some_days(spark, folder):
    """A file a day, after the register of the month before."""
    operator = Days(spark, folder, YAML, MONTHS)
    operator.registered("2024-02")
    for i, name in enumerate(DAYS, 1):
        operator.deliver({name: DAYS[name]}).day(f"day {i}")
    return operator


@pytest.mark.slow
def test_calls_filed_under_a_city_where_nobody_is_registered_are_seen_by_readers_too(spark, tmp_path):
    visited = f"{HEADER}\nV,1,10086,2024-03-01 10:00:00,5,out,local,none,,,,0.1\n"
    operator = Days(spark, tmp_path, YAML, MONTHS).deliver({f"calls/{MONTH}/01.csv": visited})
    operator.registered(MONTH)
    assert {r.city for r in operator.job().read(VOICE_CDR, [MONTH]).collect()} == {"V"}


@pytest.fixture(scope="module")
def whole(spark, tmp_path_factory):
    """All files at once, by the jobs of the month."""
    operator = Days(spark, tmp_path_factory.mktemp("whole"), YAML, MONTHS).deliver(DAYS)
    operator.registered(MONTH)
    return operator


@pytest.fixture(scope="module")
def daily(spark, tmp_path_factory):
    """File by file, day by day."""
    return some_days(spark, tmp_path_factory.mktemp("daily"))


@pytest.fixture
def begun(daily, tmp_path):
    """That operator in a folder of the test's own."""
    return daily.copied(tmp_path)


@pytest.mark.slow
def test_a_file_that_comes_later_is_added_and_the_days_before_stay_as_they_lie(spark, tmp_path):
    """Nobody is registered yet, so there are no summaries; the second file holds a call of the first, and one of a new city."""
    first, other = (f"{city},{user},10086,2024-03-0{day} 10:00:00,60,out,local,none,false,true,,0.1" for city, user, day in ("A11", "C22"))
    operator = Days(spark, tmp_path, YAML, MONTHS).deliver({f"calls/{MONTH}/1.csv": f"{HEADER}\n{first}\n"})
    operator.day("r1")
    before = operator.files(VOICE_CDR) | operator.files(CALL_STATE)
    operator.deliver({f"calls/{MONTH}/2.csv": f"{HEADER}\n{first}\n{other}\n"}).day("r2")
    assert [(a.status, a.loaded, a.duplicates) for a in operator.told("r2")] == [("loaded", 1, 1), ("unchanged", 1, 0)]
    assert {f"/city={c}/" for c in "AC"} == {f"/{part}/" for f in operator.files(VOICE_CDR) for part in f.split("/") if part.startswith("city=")}
    assert before < operator.files(VOICE_CDR) | operator.files(CALL_STATE)
    assert sorted(tuple(r) for r in operator.job().read(CALL_STATE).select("city", "calls", "days").collect()) == [("A", 1, 1), ("C", 1, 2)]
    assert operator.day("r3").seen.own == {}


@pytest.mark.slow
def test_day_by_day_the_tables_are_those_of_the_month_read_at_once(daily, whole):
    for table in MADE:
        assert daily.rows(table) == whole.rows(table), table.full_name
    for table in (QUARANTINE, QUARANTINE_LINE):
        assert daily.rows(table) == whole.rows(table) and len(daily.rows(table)) == 2, table.full_name


@pytest.mark.slow
def test_every_line_of_every_day_stays_accounted_for(daily):
    told = sorted(daily.told("day 3"), key=lambda a: a.file)
    assert [a.status for a in told] == ["unchanged", "unchanged", "loaded"]
    assert [(a.lines, a.loaded, a.quarantined, a.duplicates) for a in told] == [(32, 30, 1, 0), (37, 35, 0, 1), (32, 30, 1, 0)]
    for a in told:
        assert a.lines == a.header + a.loaded + a.quarantined + a.duplicates
        assert a.money_total == sum(part or 0 for part in (a.money_loaded, a.money_quarantined, a.money_duplicates))


@pytest.mark.slow
def test_a_file_with_the_bytes_and_the_time_it_had_is_not_read_again(begun):
    first = begun.folder / "data" / next(iter(DAYS))
    before, times = begun.versions(), (first.stat().st_atime_ns, first.stat().st_mtime_ns)
    first.write_text(first.read_text().replace("10086", "10010"))
    os.utime(first, ns=times)
    assert begun.day("again").seen.own == {}
    assert begun.versions() == before
    os.utime(first, ns=(times[0], times[1] + 10**9))
    begun.day("looked at")
    assert "has changed" in begun.log(), "the month is loaded anew"
    assert begun.job().read(VOICE_CDR).count() == 95


@pytest.mark.slow
def test_the_month_finds_the_calls_unchanged_and_takes_their_sums(begun, whole, monkeypatch):
    job = load_job("build_summaries")
    monkeypatch.setattr(job, "call_totals", None)  # calls are not to be read
    before = begun.job().versions(VOICE_CDR)
    begun.deliver({f"users_{MONTH}.csv": USERS})
    begun.run("ingest", "month")
    assert begun.job().versions(VOICE_CDR) == before and {a.status for a in begun.told("month")} == {"unchanged"}
    carry_out(replace(begun.job("month"), name="build_summaries"), job.run)
    publish(begun.job("month"))
    for table in MADE:
        assert begun.rows(table) == whole.rows(table), table.full_name


@pytest.fixture(scope="module")
def first_day(spark, tmp_path_factory):
    """The first file alone; nobody is registered yet, so there are no summaries."""
    operator = Days(spark, tmp_path_factory.mktemp("first_day"), YAML, MONTHS)
    operator.deliver({next(iter(DAYS)): next(iter(DAYS.values()))}).day("day 1")
    return operator


def file(number, *lines):
    return {f"calls/{MONTH}/{number:02d}.csv": "\n".join([HEADER, *lines, ""])}


@pytest.mark.slow
def test_a_file_whose_calls_of_a_city_were_rolled_back_is_loaded_again(first_day, tmp_path):
    """The second run added calls of A alone, the third of both cities; A goes back to what the second run left."""
    operator = first_day.copied(tmp_path)
    for day, cities in ((2, "A"), (3, "AB")):
        operator.deliver(file(day, *(f"{c},{'AB'.index(c)},10086,2024-03-0{day} 10:00:00,60,out,local,none,false,true,,0.1" for c in cities))).day(f"day {day}")
    loaded = operator.rows(VOICE_CDR)
    publish(operator.job("day 2"))
    assert len(operator.rows(VOICE_CDR)) == len(loaded) - 1
    operator.day("day 4")
    assert operator.rows(VOICE_CDR) == loaded
    assert operator.job().read(CALL_STATE).groupBy().sum("calls").first()[0] == len(loaded)


@pytest.mark.slow
def test_a_month_rolled_back_is_of_one_piece_and_what_came_later_comes_in_again(first_day, tmp_path):
    """The month's run found the calls as they should be and wrote the summaries alone; a run begun before the late file would bring older ones."""
    operator = first_day.copied(tmp_path)
    operator.registered(MONTH)
    before = {t.full_name: operator.rows(t) for t in MADE}
    operator.deliver({f"users_{MONTH}.csv": f"{USERS}7,B\n"})
    for name in ("ingest", "build_summaries"):
        operator.run(name, "begun")
    operator.deliver(file(2, *SECOND)).day("day 2")
    after = {t.full_name: operator.rows(t) for t in MADE}
    assert all(before[name] != after[name] for name in before)
    with pytest.raises(ConfigError, match=r"others have published newer rows of middle\.contact_circle, middle\.voice_summary"):
        operator.run("publish", "begun")
    operator.run("publish", f"month {MONTH}")
    assert {t.full_name: operator.rows(t) for t in MADE} == before
    operator.day("day 3")
    assert {t.full_name: operator.rows(t) for t in MADE} == after
    operator.run("publish", "begun", force=True)
    assert len(operator.rows(VOICE_SUMMARY)) == len(before[VOICE_SUMMARY.full_name]) + 1


@pytest.mark.slow
def test_cities_whose_own_register_is_not_there_yet_keep_their_summaries_beside_one_that_was_run_alone(spark, tmp_path):
    operator = Days(spark, tmp_path, YAML, MONTHS)
    operator.registered("2024-02")
    (first, calls), (second, later), *_ = DAYS.items()
    operator.deliver({first: calls}).day("day 1")
    operator.deliver({f"users_{MONTH}.csv": USERS.replace("0,A", "0,A\n6,A")})  # who was not there in February
    for name in ("ingest", "build_summaries"):
        operator.run(name, "month of A", cities=("A",))
    publish(operator.job("month of A"))
    operator.deliver({second: later}).day("day 2")
    counted = {row["city"]: row["count"] for row in operator.job().read(VOICE_SUMMARY, [MONTH]).groupBy("city").count().collect()}
    assert counted == {"A": 4, "B": 3}


@pytest.mark.slow
def test_a_call_that_contradicts_a_loaded_one_takes_it_out_as_in_the_month_and_so_does_the_next_of_its_key(first_day, tmp_path):
    operator = first_day.copied(tmp_path).deliver(file(2, FIRST[0].rpartition(",")[0] + ",0.9999"))
    operator.day("day 2")
    assert "new rows contradict rows that were loaded before" in operator.log()
    assert operator.job().read(VOICE_CDR).count() == 29
    operator.deliver(file(3, FIRST[0])).day("day 3")
    assert "have the key of others that were refused" in operator.log()
    assert operator.job().read(VOICE_CDR).count() == 29
    assert sum(a.loaded for a in operator.told("day 3")) == 29


@pytest.mark.slow
def test_a_file_that_comes_again_under_another_name_adds_nothing(first_day, tmp_path):
    operator = first_day.copied(tmp_path).deliver(file(2, *FIRST))
    operator.day("again")
    assert sorted((a.status, a.loaded) for a in operator.told("again")) == [("duplicate_file", 0), ("unchanged", 30)]
    assert operator.rows(VOICE_CDR) == first_day.rows(VOICE_CDR) and operator.rows(CALL_STATE) == first_day.rows(CALL_STATE)
    operator.deliver(file(3, *random_calls(2, 20, 9))).day("next")
    assert "the whole month" not in operator.log() and "read once" not in operator.log()
    assert operator.job().read(VOICE_CDR).count() == 50


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "of"), [("write", CALL_STATE), ("add", VOICE_CDR), ("added", VOICE_CDR), ("append", INGEST_LEDGER)], ids=lambda of: getattr(of, "name", of)
)
def test_killed_anywhere_and_run_again_the_day_ends_in_the_same_tables(first_day, tmp_path, monkeypatch, point, of):
    operator = first_day.copied(tmp_path).deliver(file(2, *random_calls(2, 20, 9)))
    with monkeypatch.context() as patched:
        kill(patched, point, of)
        with pytest.raises(Killed):
            operator.day("killed")
    assert operator.rows(VOICE_CDR) == first_day.rows(VOICE_CDR), "nobody sees half a day"
    operator.day("again")
    assert ("newest version is not the published one" in operator.log()) == (point in ("added", "append"))
    assert operator.job().read(VOICE_CDR).count() == 50
    assert operator.job().read(CALL_STATE).groupBy().sum("calls").first()[0] == 50
    assert sum(a.loaded for a in operator.told("again")) == 50


def kill(monkeypatch, point, of):
    """The process dies before it writes a table, or right after."""
    name = "add" if point == "added" else point
    real = getattr(Job, name)

    def dying(self, frame, table, *args, **named):
        if point == "added" and table is of:
            real(self, frame, table, *args, **named)
        if table is of:
            raise Killed
        return real(self, frame, table, *args, **named)

    monkeypatch.setattr(Job, name, dying)


@pytest.mark.slow
def test_calls_that_the_months_jobs_have_loaded_are_read_once_and_then_kept_as_sums(spark, whole, tmp_path):
    operator = whole.copied(tmp_path)
    for day in (4, 5):
        operator.deliver({f"calls/{MONTH}/0{day}.csv": "\n".join([HEADER, *random_calls(day, 20, day), ""])}).day(f"day {day}")
        assert ("are read once" in operator.log()) == (day == 4)
    assert operator.job().read(CALL_STATE).groupBy().sum("calls").first()[0] == operator.job().read(VOICE_CDR).count() == 135


@pytest.mark.slow
def test_what_the_day_cannot_do_it_says(first_day):
    with pytest.raises(ConfigError, match="--city"):
        load_job("run_day").run(first_day.job("r", cities=["A"]))
    with pytest.raises(SourceError, match="maps no calls"):
        load_job("run_day").run(first_day.job("r", "2024-02"))
