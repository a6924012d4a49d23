"""The whole job: what is loaded, counted, refused, left alone; nothing is lost at the door (promises R3, R5, R7, R8)."""

import datetime as dt
import json
import os
import shutil
from dataclasses import replace
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.errors import SourceError
from crm_spark.ingest import staging
from crm_spark.ingest.ledger import Account
from crm_spark.months import kept_from
from crm_spark.tables.middle import VOICE_SUMMARY
from crm_spark.tables.ops import COVERAGE, INGEST_LEDGER
from crm_spark.tables.raw import BILLING, QUARANTINE, USER_INFO, VAS_USAGE, VOICE_CDR
from crm_spark.tables.vault import QUARANTINE_LINE, SUBSCRIBER_NUMBER
from tests.ingest_support import MONTH, Operator

YAML = """
files:
  users: {path: "{data}/users/{month}/*", format: csv, delimiter: "|"}
  bills: {path: "{data}/bills_{month}.csv", format: csv}
mappings:
  - {table: raw.user_info, file: users, city: city, columns: {user_id: id, number_id: msisdn, brand: brand}}
  - {table: vault.subscriber_number, file: users, city: city, columns: {user_id: id, number_id: msisdn}}
  - {table: raw.billing, file: bills, money: total, columns: {user_id: id, revenue_yuan: total}}
"""
HEADER = "id|msisdn|brand|city"
USERS = [
    HEADER,
    "1|13800000001|go|A",
    "2|13800000002|go|B",
    "",
    "2|13800000002|go|B",  # equal: a duplicate
    "3|13800000003|go|A",
    "3|13800000003|gone|A",  # contradicts the line above: both go
    "4|1380000|go|A",  # not a number
    "5|13800000005|go|",  # no city: kept as _UNKNOWN
]
MORE_USERS = [HEADER, "1|13800000001|go|A", "6|13800000006|go|A"]  # 1 again: a duplicate across files
BILLS = "id,total\n1,10.50\n2,20.25\n2,20.25\n3,-1\n4,oops\n"
FEBRUARY = {"users/2024-02/a.csv": f"{HEADER}\n1|13800000001|old|A\n", "bills_2024-02.csv": "id,total\n1,1\n"}
MARCH = {"users/2024-03/a.csv": "\n".join(USERS), "users/2024-03/b.csv": "\n".join(MORE_USERS), "bills_2024-03.csv": BILLS}
MONTHS = ("2024-02", "2024-03")


@pytest.fixture(scope="module")
def first(spark, tmp_path_factory):
    """An operator with two months, ingested and published once."""
    operator = Operator(spark, tmp_path_factory.mktemp("operator"), YAML, MONTHS).deliver(FEBRUARY | MARCH)
    operator.ingest("first")
    return operator


@pytest.fixture
def ingested(first, tmp_path):
    """That operator with its published tables, in a folder of the test's own."""
    for part in ("data", "tables"):
        shutil.copytree(first.folder / part, tmp_path / part)
    return Operator(first.spark, tmp_path, YAML, MONTHS)


def rows(operator, table, *columns, month="2024-03"):
    return sorted(map(tuple, operator.job().read(table, [month]).select(*columns).collect()), key=str)


def test_good_rows_are_loaded_once_and_contradictions_not_at_all(first):
    numbers = dict(rows(first, SUBSCRIBER_NUMBER, "user_id", "msisdn"))
    loaded = [(city, numbers[user], brand) for city, user, brand in rows(first, USER_INFO, "city", "user_id", "brand")]
    assert sorted(loaded) == [("A", "13800000001", "go"), ("A", "13800000006", "go"), ("B", "13800000002", "go"), ("_UNKNOWN", "13800000005", "go")]
    assert sorted(numbers.values()) == [f"1380000000{n}" for n in (1, 2, 3, 5, 6)], "3 contradicts itself in its brand, not in its number"
    assert {v for v, in rows(first, SUBSCRIBER_NUMBER, "key_version")} == {"1"}
    assert rows(first, BILLING, "city", "revenue_yuan") == [("_ALL", Decimal("10.50")), ("_ALL", Decimal("20.25"))]
    assert rows(first, USER_INFO, "brand", month="2024-02") == [("old",)]


def test_every_line_is_accounted_for_in_rows_and_in_money(first):
    told = first.ledger("first")
    a, b = told["raw.user_info 2024-03 users/2024-03/a.csv"], told["raw.user_info 2024-03 users/2024-03/b.csv"]
    assert (a.lines, a.header, a.blank, a.loaded, a.quarantined, a.duplicates) == (9, 1, 1, 3, 3, 1)
    assert (b.lines, b.header, b.blank, b.loaded, b.quarantined, b.duplicates) == (3, 1, 0, 1, 0, 1)
    bills = told["raw.billing 2024-03 bills_2024-03.csv"]
    assert (bills.lines, bills.header, bills.blank, bills.loaded, bills.quarantined, bills.duplicates) == (6, 1, 0, 2, 2, 1)
    assert (bills.money_total, bills.money_loaded) == (Decimal("50.000000"), Decimal("30.750000"))
    assert (bills.money_quarantined, bills.money_duplicates) == (Decimal("-1.000000"), Decimal("20.250000"))
    for account in told.values():
        assert account.lines == account.header + account.blank + account.loaded + account.quarantined + account.duplicates
        assert account.status == "loaded" and account.reason is None


def test_a_refused_line_is_told_by_place_and_reason_and_itself_lies_in_the_vault(first):
    conflict = "key: conflicting duplicate"
    found = rows(first, QUARANTINE, "mapping", "city", "file", "line_number", "reasons")
    users = [r[1:] for r in found if r[0] == "raw.user_info"]
    assert users == [
        ("A", "users/2024-03/a.csv", 6, [conflict]),
        ("A", "users/2024-03/a.csv", 7, [conflict]),
        ("A", "users/2024-03/a.csv", 8, ["number_id: breaks number_id RLIKE '^1[0-9]{10}$'"]),
    ]
    assert [r[3:] for r in found if r[0] == "raw.billing"] == [
        (5, ["revenue_yuan: breaks revenue_yuan >= 0"]),
        (6, ["revenue_yuan: not a number"]),
    ]
    lines = rows(first, QUARANTINE_LINE, "mapping", "line_number", "line")
    assert [line for mapping, _, line in lines if mapping == "raw.user_info"] == USERS[5:8]


def test_the_content_of_a_file_is_read_again_only_if_its_bytes_or_its_time_are_others(ingested, tmp_path):
    operator, path = ingested, tmp_path / "data" / "bills_2024-02.csv"
    text, then = path.read_text(), path.stat()
    path.write_text(text.replace("1", "2"))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert text != path.read_text() and operator.ingest("same").commits == []
    os.utime(path)
    assert "raw.billing" in {c[0] for c in operator.ingest("touched").commits}
    path.write_text(text + "9,9.00\n")
    assert "raw.billing" in {c[0] for c in operator.ingest("longer").commits}


@pytest.mark.slow
def test_lines_that_contradict_one_another_are_found_again_however_many_they_are(first, spark, tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "BROADCAST_CLASHES", 0)
    operator = Operator(spark, tmp_path, YAML, MONTHS).deliver(FEBRUARY | MARCH)
    operator.ingest("first")
    for table, columns in ((QUARANTINE, ("mapping", "file", "line_number", "reasons")), (QUARANTINE_LINE, ("mapping", "line_number", "line"))):
        assert rows(operator, table, *columns) == rows(first, table, *columns)


def test_no_number_stands_outside_the_vault(first):
    for folder in (first.folder / "tables").glob("*/*"):
        if folder.parent.name != "vault":
            log = "".join(p.read_text() for p in (folder / "_delta_log").glob("*.json"))
            assert "1380000" not in log, folder
    job = first.job()
    for table in (USER_INFO, QUARANTINE, INGEST_LEDGER, COVERAGE):
        text = str(job.catalog.read(table).collect())
        assert "1380000" not in text, table.full_name


def test_rows_without_a_city_are_told_in_the_coverage(first):
    told = first.job().catalog.read(COVERAGE).where("kind = 'city'").select("subject", "reason").collect()
    assert ("raw.user_info._UNKNOWN", "1 rows have no city") in [tuple(r) for r in told]


def test_the_same_files_again_change_nothing_and_a_changed_month_alone_is_rewritten(ingested):
    operator = ingested
    before = {t.full_name: operator.job().versions(t) for t in (USER_INFO, BILLING, QUARANTINE)}

    again = operator.ingest("r2")
    assert again.commits == []
    assert {a.status for a in operator.ledger("r2").values()} == {"unchanged"}
    assert {t.full_name: operator.job().versions(t) for t in (USER_INFO, BILLING, QUARANTINE)} == before

    operator.deliver({"bills_2024-03.csv": BILLS + "7,7.00\n"})
    changed = operator.ingest("r3")
    assert {(table, month) for table, month, *_ in changed.commits if table == "raw.billing"} == {("raw.billing", "2024-03")}
    assert not [c for c in changed.commits if c[0] == "raw.user_info"]
    assert len(rows(operator, BILLING, "user_id")) == 3
    assert len(rows(operator, QUARANTINE, "mapping")) == 6, "neither doubled nor lost: 3 of user_info, 1 of the numbers, 2 of the bills"


def test_a_refused_file_keeps_what_the_table_had_and_tells_the_ledger(ingested):
    operator = ingested.deliver({"bills_2024-03.csv": "id,amount\n1,10.50\n", "bills_2024-02.csv": ""})
    with pytest.raises(SourceError) as error:
        operator.ingest("r2")
    assert str(error.value).splitlines() == [
        "bills_2024-02.csv (raw.billing 2024-02): refused: the file is empty",
        "bills_2024-03.csv (raw.billing 2024-03): refused: raw.billing.money: column total is missing (known: amount, id); "
        "raw.billing.revenue_yuan: column total is missing (known: amount, id)",
    ]
    assert {a.status for a in operator.ledger("r2").values()} == {"refused"}
    assert len(rows(operator, BILLING, "user_id")) == 2, "earlier data stays"

    operator.deliver({"bills_2024-02.csv": "id,total\n1,1\n", "bills_2024-03.csv": "id,total\n1,much\n2,-1\n"})
    with pytest.raises(SourceError) as error:
        operator.ingest("r3")
    told = "revenue_yuan: breaks revenue_yuan >= 0 (1 rows); revenue_yuan: not a number (1 rows)"
    assert str(error.value) == f"bills_2024-03.csv (raw.billing 2024-03): refused: not one good row: {told}"
    refused = operator.job().catalog.read(QUARANTINE).where("mapping = 'raw.billing'").select("line_number", F.explode("reasons")).collect()
    assert sorted(map(tuple, refused)) == [(2, "revenue_yuan: not a number"), (3, "revenue_yuan: breaks revenue_yuan >= 0")]
    assert len(rows(operator, BILLING, "user_id")) == 2


@pytest.mark.slow
def test_one_content_under_two_names_is_loaded_once(spark, tmp_path):
    yaml = 'files:\n  u: {path: "{data}/*.csv", format: csv}\nmappings:\n  - {table: raw.user_info, file: u, columns: {user_id: id}}\n'
    operator = Operator(spark, tmp_path, yaml).deliver({"a.csv": "id\n1\n2\n", "b.csv": "id\n2\n1\n"})
    operator.ingest("r1")
    a, b = (operator.ledger("r1")[f"raw.user_info 2024-03 {n}.csv"] for n in "ab")
    assert (a.status, a.loaded) == ("loaded", 2)
    assert (b.status, b.loaded, b.reason) == ("duplicate_file", 0, "same content as a.csv")
    assert {r[0] for r in rows(operator, USER_INFO, "city")} == {"_ALL"}
    assert operator.ingest("r2").commits == []


@pytest.mark.slow
def test_a_run_of_one_city_writes_that_city_alone_and_tells_so(spark, tmp_path):
    yaml = 'files:\n  u: {path: "{data}/u.csv", format: csv}\nmappings:\n  - {table: raw.user_info, file: u, city: c, columns: {user_id: id, tenure_months: t}}\n'
    operator = Operator(spark, tmp_path, yaml).deliver({"u.csv": "id,c,t\n1,A,1\n2,B,1\n"})
    operator.ingest("r1")
    operator.deliver({"u.csv": "id,c,t\n1,A,1\n2,B,1\n3,A,1\n4,B,1\n5,B,x\n6,A,x\n7,?,1\n8,,1\n"})
    operator.ingest("r2", cities=["A"])
    assert [r[0] for r in rows(operator, USER_INFO, "city")] == ["A", "A", "B"]
    told = operator.ledger("r2")["raw.user_info 2024-03 u.csv"]
    assert (told.lines, told.header, told.loaded, told.quarantined, told.elsewhere) == (9, 1, 2, 2, 4)
    assert rows(operator, QUARANTINE, "city", "line_number") == [("A", 7), ("_UNKNOWN", 8)], "a bad row without a usable city is every run's"
    operator.ingest("r3")
    assert [r[0] for r in rows(operator, USER_INFO, "city")] == ["A", "A", "B", "B", "_UNKNOWN"], "what one city's run left out is not hidden"
    assert [r[1] for r in rows(operator, QUARANTINE, "city", "line_number")] == [7, 6, 8]


def test_who_has_moved_is_not_read_into_the_new_city_alone(spark, tmp_path):
    yaml = 'files:\n  u: {path: "{data}/u.csv", format: csv}\nmappings:\n  - {table: raw.user_info, file: u, city: c, columns: {user_id: id, tenure_months: t}}\n'
    operator = Operator(spark, tmp_path, yaml).deliver({"u.csv": "id,c,t\n1,A,1\n2,B,2\n3,B,3\n"})
    operator.ingest("r1")
    operator.deliver({"u.csv": "id,c,t\n1,A,1\n2,A,2\n3,B,3\n"})
    with pytest.raises(SourceError, match=r"1 in B\): they have moved; run --city A,B"):
        operator.ingest("r2", cities=["A"])
    assert rows(operator, USER_INFO, "city", "tenure_months") == [("A", 1), ("B", 2), ("B", 3)]
    operator.ingest("r3", cities=["A", "B"])
    assert rows(operator, USER_INFO, "city", "tenure_months") == [("A", 1), ("A", 2), ("B", 3)]


def test_months_too_old_to_be_kept_are_neither_asked_for_nor_loaded_again(spark, tmp_path):
    yaml = 'files:\n  u: {path: "{data}/{month}.csv", format: csv}\nmappings:\n  - {table: raw.user_info, file: u, columns: {user_id: id, tenure_months: t}}\n'
    operator = Operator(spark, tmp_path, yaml, ("2024-01", MONTH)).deliver({f"{m}.csv": "id,t\n1,1\n" for m in ("2024-02", MONTH)})
    with pytest.raises(SourceError, match="2024-01"):
        operator.ingest("r1")
    operator.source = replace(operator.source, kept_from=kept_from({"raw": 1}, MONTH))
    operator.ingest("r2")
    assert operator.job().months_of(USER_INFO) == (MONTH,)


def touched(operator, before):
    """(table, city, month) of the files that commits not among `before` have added or removed, by the Delta logs."""
    found = set()
    for log in logs(operator) - before:
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        of = [a[kind]["partitionValues"] for a in actions for kind in ("add", "remove") if kind in a]
        found |= {(f"{log.parts[-4]}.{log.parts[-3]}", place["city"], place["month"]) for place in of if place}
    return found


def logs(operator):
    return set((operator.folder / "tables").glob("*/*/_delta_log/*.json"))


OF_USERS = ("raw.user_info", "vault.subscriber_number")


@pytest.mark.slow
def test_a_late_file_touches_the_files_of_its_city_and_month_alone(ingested):
    operator, before = ingested, logs(ingested)
    operator.deliver({"users/2024-02/late.csv": f"{HEADER}\n7|13800000007|old|A\n"})
    operator.ingest("late", cities=["A"])
    assert touched(operator, before) == {(table, "A", "2024-02") for table in OF_USERS}
    assert len(rows(operator, USER_INFO, "user_id", month="2024-02")) == 2


@pytest.mark.slow
def test_a_new_city_touches_no_other_and_what_a_run_of_all_has_read_is_nothing_new_to_a_run_of_one(ingested):
    operator, before = ingested, logs(ingested)
    operator.deliver({"users/2024-03/new.csv": f"{HEADER}\n8|13800000008|go|C\n"})
    operator.ingest("new", cities=["C"])
    assert touched(operator, before) == {(table, "C", "2024-03") for table in OF_USERS}
    assert {c for c, in rows(operator, USER_INFO, "city")} == {"A", "B", "C", "_UNKNOWN"}

    before = logs(operator)
    operator.ingest("whole")
    assert "raw.billing" not in {table for table, *_ in touched(operator, before)}
    before = logs(operator)
    operator.ingest("again", cities=["A"])
    assert touched(operator, before) == set()


@pytest.mark.slow
def test_what_a_run_of_one_city_has_read_is_nothing_new_to_its_next_whatever_other_cities_have_read_since(ingested):
    operator = ingested
    operator.deliver({"users/2024-02/late.csv": f"{HEADER}\n7|13800000007|old|A\n"})
    for run, city in (("of_a", "A"), ("of_b", "B")):
        operator.ingest(run, cities=[city])
    before = logs(operator)
    operator.ingest("a_again", cities=["A"])
    operator.ingest("b_again", cities=["B"])
    assert touched(operator, before) == set()


def test_the_money_that_is_loaded_must_be_the_money_that_was_read():
    account = Account("raw.billing", "2024-03", "a.csv", "f", "m", "loaded", lines=2, loaded=2, money_total=Decimal(3), money_loaded=Decimal(3))
    assert replace(account, money_booked=Decimal("3.00")).imbalance is None
    assert replace(account, money_booked=Decimal("2.99")).imbalance == "the money that would be loaded is not the money of these rows"
    assert replace(account, money_total=Decimal(4)).imbalance == "the money of the parts is not the money of the file"


@pytest.mark.slow
def test_files_of_published_months_may_be_gone_but_not_those_of_the_runs_month_or_of_another_key(ingested, tmp_path, caplog):
    operator = ingested
    (tmp_path / "data" / "bills_2024-02.csv").unlink()
    with caplog.at_level("INFO", logger="crm_spark"):
        assert operator.ingest("r2").commits == []
    assert "kept raw.billing as it was for 2024-02: files it was made of are gone" in " ".join(r.getMessage() for r in caplog.records)
    assert {a.month: a.status for a in operator.ledger("r2").values()} == {"2024-02": "unchanged", "2024-03": "unchanged"}
    assert len(rows(operator, BILLING, "user_id", month="2024-02")) == 1
    operator.deliver({"bills_2024-03.csv": BILLS + "7,7.00\n"})
    assert {month for _, month, *_ in operator.ingest("r3").commits} == {"2024-03"}
    assert operator.ingest("r4").commits == [], "kept months stay known"

    with pytest.raises(SourceError, match=r"bills_2024-02\.csv$"):
        operator.ingest("r5", secret="another published key")
    (tmp_path / "data" / "bills_2024-03.csv").unlink()
    with pytest.raises(SourceError, match=r"bills_2024-03\.csv$"):
        operator.ingest("r6")


PARQUET = """
files:
  calls: {path: "{data}/calls/{month}", format: parquet}
  wide: {path: "{data}/wide.csv", format: csv}
mappings:
  - {table: raw.voice_cdr, file: calls, columns: {user_id: caller, peer_id: callee, started_at: at, seconds: secs, direction: way, fee_yuan: fee}, money: fee}
  - table: middle.voice_summary
    file: wide
    periods: {"2024-02": {m: "2"}, "2024-03": {m: "3"}}
    columns: {user_id: id, local_out_minutes: "mou_{m}", total_minutes: "mou_{m} + coalesce(in_{m}, '0')"}
"""


def test_parquet_and_wide_files_reconcile_like_any_other(spark, tmp_path):
    operator = Operator(spark, tmp_path, PARQUET, MONTHS)
    at = dt.datetime
    calls = [
        (1, "10086", at(2024, 3, 1, 10), 60, "out", Decimal("0.10")),
        (1, "10086", at(2024, 3, 1, 10), 60, "out", Decimal("0.10")),  # a duplicate
        (2, "10086", at(2024, 3, 1, 10), -5, "out", Decimal("0.20")),  # negative length
        (3, "10086", at(2024, 2, 29, 23), 5, "in", Decimal("0.40")),  # another month
        (4, "10086", at(2024, 3, 1, 10), 5, "in", Decimal("0.80")),
        (4, "10086", at(2024, 3, 1, 10), 6, "in", Decimal("1.60")),  # contradicts the row above
    ]
    schema = "caller long, callee string, at timestamp_ntz, secs long, way string, fee decimal(10,4)"
    for month, part in (("2024-03", calls), ("2024-02", [(9, "10010", at(2024, 2, 1), 1, "in", Decimal("0.00"))])):
        spark.createDataFrame(part, schema).repartition(2).write.parquet(str(tmp_path / "data" / "calls" / month))
    operator.deliver({"wide.csv": "id,mou_2,mou_3,in_2,in_3\n1,1.5,2.5,,1\n2,x,4,1,1\n"})
    operator.ingest("r1")

    march = [a for key, a in operator.ledger("r1").items() if key.startswith("raw.voice_cdr 2024-03")]
    assert [sum(getattr(a, c) for a in march) for c in ("lines", "header", "loaded", "quarantined", "duplicates")] == [6, 0, 1, 4, 1]
    assert sum(a.money_total for a in march if a.money_total) == Decimal("3.20")
    assert sum(a.money_quarantined for a in march if a.money_quarantined) == Decimal("3.00")
    assert rows(operator, VOICE_CDR, "seconds", "direction", "day") == [(60, "out", dt.date(2024, 3, 1))]
    lines = [json.loads(line) for mapping, line in rows(operator, QUARANTINE_LINE, "mapping", "line") if mapping == "raw.voice_cdr"]
    assert sorted((line["caller"], line["secs"], line["fee"]) for line in lines) == [(2, -5, 0.2), (3, 5, 0.4), (4, 5, 0.8), (4, 6, 1.6)]
    reasons = {tuple(r[0]) for r in rows(operator, QUARANTINE, "reasons") if r}
    assert {("seconds: breaks seconds BETWEEN 0 AND 86400",), ("month: not the file's month",)} <= reasons

    assert rows(operator, VOICE_SUMMARY, "local_out_minutes", "total_minutes", month="2024-02") == [(1.5, 1.5)]
    assert rows(operator, VOICE_SUMMARY, "local_out_minutes", "total_minutes") == [(2.5, 3.5), (4.0, 5.0)]
    february = [r for r in rows(operator, QUARANTINE, "mapping", "line_number", "reasons", month="2024-02") if r[0] == "middle.voice_summary"]
    assert february == [("middle.voice_summary", 3, ["local_out_minutes: not a number", "total_minutes: cannot be read"])]
    assert operator.ingest("r2").commits == []


def test_a_catalog_table_is_sliced_by_month(spark, tmp_path):
    usage = [("1", "2024-02", 5.0), ("1", "2024-03", 6.0), ("2", "2024-03", 7.0)]
    spark.createDataFrame(usage, "id string, m string, mb double").createOrReplaceTempView("usage_source")
    yaml = """
files:
  usage: {path: usage_source, format: table}
mappings:
  - {table: raw.vas_usage, file: usage, month: m, columns: {user_id: id, service: "'mobile_internet'", mb: mb}}
"""
    operator = Operator(spark, tmp_path, yaml, MONTHS)
    operator.ingest("r1", month="2024-02")
    assert operator.job().months_of(VAS_USAGE) == ("2024-02",)
    operator.ingest("r2")
    assert rows(operator, VAS_USAGE, "mb") == [(6.0,), (7.0,)]
    assert {a.month: a.status for a in operator.ledger("r2").values()} == {"2024-02": "unchanged", "2024-03": "loaded"}
    spark.catalog.dropTempView("usage_source")


def test_a_catalog_table_with_rows_of_no_month_is_refused_not_read_in_part(spark, tmp_path):
    usage = [("1", "2024-02", 5.0), ("1", "2024-03", 6.0), ("2", "202403", 7.0), ("3", None, 8.0), ("4", "2024-09", 9.0)]
    spark.createDataFrame(usage, "id string, m string, mb double").createOrReplaceTempView("usage_source")
    yaml = """
files:
  usage: {path: usage_source, format: table}
mappings:
  - {table: raw.vas_usage, file: usage, month: m, columns: {user_id: id, service: "'mobile_internet'", mb: mb}}
"""
    with pytest.raises(SourceError, match=r"usage_source .*refused: 2 rows have no month \(m is NULL or not yyyy-MM\)"):
        Operator(spark, tmp_path, yaml, MONTHS).ingest("r1")
    spark.catalog.dropTempView("usage_source")


def test_line_numbers_are_right_in_files_that_are_read_in_blocks(spark, tmp_path):
    yaml = 'files:\n  u: {path: "{data}/*.csv", format: csv}\nmappings:\n  - {table: raw.user_info, file: u, columns: {user_id: id, tenure_months: t}}\n'
    lines = ["id,t", *(f"u{i:05d},{'bad' if i in (0, 1500, 2999) else i % 99}" for i in range(3000))]
    lines[2500] = "id,t"  # the header again, far behind the first block
    text = "\n".join([*lines, ""])
    operator = Operator(spark, tmp_path, yaml).deliver({"big.csv": text, "small.csv": "id,t\n\nx,bad\ny,1\n"})
    settings = {"spark.sql.files.maxPartitionBytes": "4096", "spark.sql.files.openCostInBytes": "1"}
    before = {key: spark.conf.get(key) for key in settings}
    try:
        for key, value in settings.items():
            spark.conf.set(key, value)
        operator.ingest("r1")
    finally:
        for key, value in before.items():
            spark.conf.set(key, value)
    assert rows(operator, QUARANTINE, "file", "line_number") == [("big.csv", 1502), ("big.csv", 2), ("big.csv", 2501), ("big.csv", 3001), ("small.csv", 3)]
    assert operator.ledger("r1")["raw.user_info 2024-03 big.csv"].lines == 3001


def test_a_dry_run_tells_the_plan_and_writes_nothing(spark, tmp_path, caplog):
    operator = Operator(spark, tmp_path, YAML, MONTHS).deliver(FEBRUARY | MARCH)
    with caplog.at_level("INFO", logger="crm_spark"):
        operator.ingest("r1", dry_run=True)
    told = [" ".join(r.getMessage().split()) for r in caplog.records]
    assert "raw.user_info 2024-03 2 files 0.0 MB to be read" in told
    assert not (tmp_path / "tables" / "raw").exists()


def test_one_absent_source_stops_the_job_and_names_all_that_are_absent(spark, tmp_path):
    operator = Operator(spark, tmp_path, YAML, MONTHS).deliver({"bills_2024-02.csv": "id,total\n1,1\n"})
    with pytest.raises(SourceError) as error:
        operator.ingest("r1")
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == ["files.users", "files.users", "files.bills"]


def test_a_month_outside_the_source_is_told_at_once(spark, tmp_path):
    with pytest.raises(SourceError, match=r"2024-04 is no month of source 'test' \(2024-02 to 2024-03\)"):
        Operator(spark, tmp_path, YAML, MONTHS).ingest("r1", month="2024-04")
