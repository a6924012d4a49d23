"""Every kind of bad row is told with all its reasons, and good rows do not change for it (promises R6)."""

import datetime as dt
import hashlib
import hmac
from decimal import Decimal

import pytest

from tests.ingest_support import SECRET, deliver, judged, source_of

USERS = """
files:
  users: {path: "{data}/users.csv", format: csv, nulls: ["", "NULL", "\\\\N"]}
mappings:
  - table: raw.user_info
    file: users
    city: city
    month: month
    columns: {user_id: id, number_id: msisdn, person_id: cust, birth_date: birth, activation_date: "to_date(opened, 'yyyyMMdd')",
              status: status, tenure_months: tenure, county: county, consent_marketing: consent}
"""
USER_HEADER = "id,msisdn,cust,birth,opened,city,month,status,tenure,county,consent"
NBSP, ZERO_WIDTH, BOM = "\u00a0", "\u200b", "\ufeff"


def user(id="u", msisdn="13800000000", cust="c", birth="1980-02-29", opened="20200101", city="HANGZHOU", month="2024-03",
         status="active", tenure="50", county="West", consent="yes"):  # fmt: skip
    return ",".join((id, msisdn, cust, birth, opened, city, month, status, tenure, county, consent))


NO_CITY = "city: not a city code (A-Z, 0-9, _, at most 6 digits in a row)"
NOT_A_NUMBER = "number_id: breaks number_id RLIKE '^1[0-9]{10}$'"
BIRTH = "birth_date: breaks birth_date BETWEEN DATE'1900-01-01' AND last_day(to_date(concat(month, '-01')))"
OPENED = "activation_date: breaks activation_date BETWEEN DATE'1980-01-01' AND last_day(to_date(concat(month, '-01')))"
BAD_USERS = {
    user(id=""): ["user_id: missing"],
    user(id=NBSP): ["user_id: missing"],
    user(msisdn="1380000000"): [NOT_A_NUMBER],
    user(msisdn="138000000000"): [NOT_A_NUMBER],
    user(msisdn="1380000000x"): [NOT_A_NUMBER],
    user(msisdn="1.38E+10"): [NOT_A_NUMBER],
    user(msisdn="13800000000.0"): [NOT_A_NUMBER],
    user(birth="2023-02-29"): ["birth_date: not a date (yyyy-MM-dd)"],
    user(birth="20241301"): ["birth_date: not a date (yyyy-MM-dd)"],
    user(birth="29/02/1980"): ["birth_date: not a date (yyyy-MM-dd)"],
    user(birth="1980-02-29T00:00:00Z"): ["birth_date: not a date (yyyy-MM-dd)"],
    user(birth="2024-04-01"): [BIRTH],
    user(birth="1899-12-31"): [BIRTH],
    user(opened="20241301"): ["activation_date: cannot be read"],
    user(opened="20240401"): [OPENED],
    user(opened="19700101"): [OPENED],
    user(city="Hangzhou; DROP"): [NO_CITY],
    user(city="13800000000"): [NO_CITY],
    user(city="A1380000"): [NO_CITY],
    user(month="2024-02"): ["month: not the file's month"],
    user(month=""): ["month: not the file's month"],
    user(status="gone"): ["status: breaks status IN ('active', 'suspended', 'closed')"],
    user(tenure="12.5"): ["tenure_months: not a whole number"],
    user(tenure="99999999999"): ["tenure_months: out of range"],
    user(tenure="-1"): ["tenure_months: breaks tenure_months >= 0"],
    user(consent="perhaps"): ["consent_marketing: not true or false"],
    user(county="a\0b"): ["line: NUL character"],
    user(county='un"closed'): ["line: unclosed quote"],
    user(county='"open'): ["line: unclosed quote", "line: not readable"],
    user() + ",more": ["line: too many columns"],
    user(birth="x,y").replace("HANGZHOU", "A"): ["line: too many columns"],
    user().rsplit(",", 1)[0]: ["line: too few columns"],
    USER_HEADER: ["line: the header again"],
    user(id="", msisdn="x", birth="never", city="?", tenure="many"): [
        NO_CITY, "user_id: missing", NOT_A_NUMBER, "birth_date: not a date (yyyy-MM-dd)",
        "tenure_months: not a whole number",
    ],
}  # fmt: skip
GOOD_USERS = [
    user(id="plain"),
    user(id="plus", msisdn="+8613800000000"),
    user(id="zeros", msisdn="008613800000000"),
    user(id="bare", msisdn="8613800000000"),
    user(id="wide", msisdn="１３８００００００００"),
    user(id="blanks", msisdn=f" {NBSP}138 0000 0000{ZERO_WIDTH}{BOM}"),
    user(id=f"{BOM} padded{NBSP}"),
    user(id="quoted", county='"West, old ""town"""'),
    user(id="formula", county="=cmd|' /C calc'!A0"),
    user(id="newborn", birth="2024-03-31"),
    user(id="nulls", cust="NULL", birth="\\N", opened="", tenure="NULL", county=" ", consent=""),
    user(id="nowhere", city=""),
    user(id="region", city="330100"),
    user(id="decimal_tail", tenure="50.0"),
]


@pytest.fixture(scope="module")
def users(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("users")
    utf8 = "\n".join([USER_HEADER, *GOOD_USERS, *BAD_USERS, ""]).encode()
    foreign = user(id="gbk", county="王瑋").encode("gbk") + b"\n" + user(id="broken").encode() + b"\xff\n"
    deliver(folder, {"users.csv": utf8 + foreign})
    return judged(spark, source_of(folder, USERS), folder).collect()


def pseudonym(domain, identifier):
    return hmac.new(SECRET.encode(), f"{domain}|{identifier}".encode(), hashlib.sha256).hexdigest()


def good(users, identifier):
    return next(r for r in users if r.user_id == pseudonym("sub|ZJ", identifier))


@pytest.mark.parametrize("line", BAD_USERS, ids=lambda line: (line[:60] or "empty").replace("\0", "NUL"))
def test_a_bad_row_is_told_with_all_its_reasons_and_without_the_value(users, line):
    found = [r.reasons for r in users if r["crm__line"] == line]
    assert sorted(found[-1] or []) == sorted(BAD_USERS[line])


def test_the_values_of_bad_rows_stand_in_no_reason(users):
    told = " ".join(reason for r in users for reason in r.reasons or ())
    assert not [value for value in ("138000", "20241301", "Hangzhou;", "99999999999", "perhaps", "un\"closed") if value in told]


@pytest.mark.parametrize("line", GOOD_USERS, ids=lambda line: line.split(",")[0])
def test_a_good_row_among_bad_ones_stays_good(users, line):
    assert [r.reasons for r in users if r["crm__line"].lstrip(BOM) == line.lstrip(BOM)] == [None]


def test_no_cell_of_a_broken_line_becomes_a_city(users):
    """A surplus cell before the city shifts a number or a name into it; a city is the name of a folder."""
    broken = [r for r in users if any(reason.startswith("line: ") for reason in r.reasons or ())]
    assert len(broken) > 8 and {r.city for r in broken} == {"_UNKNOWN"}
    assert {r.city for r in users} == {"HANGZHOU", "330100", "_UNKNOWN"}


def test_rows_in_another_encoding_and_with_invalid_bytes_are_refused(users):
    refused = [r for r in users if r.reasons == ["line: characters that are not utf-8"]]
    assert [r["crm__line"].split(",")[0] for r in refused] == ["gbk", "broken"]


def test_the_header_itself_and_its_repetition_are_both_marked(users):
    assert [r.reasons for r in users if r["crm__is_header"]] == [["line: the header again"]] * 2


@pytest.mark.parametrize("written", ["plain", "plus", "zeros", "bare", "wide", "blanks"])
def test_one_number_however_written_is_one_pseudonym(users, written):
    assert good(users, written).number_id == pseudonym("num", "13800000000")


def test_the_identifiers_become_keyed_hashes_equal_to_pythons_hmac(users):
    row = good(users, "plain")
    assert row.person_id == pseudonym("cust|ZJ", "c")
    assert row.split_bucket == int(hashlib.sha256(b"crm_spark-split-1|plain").hexdigest(), 16) % 100
    assert good(users, "padded").split_bucket == int(hashlib.sha256(b"crm_spark-split-1|padded").hexdigest(), 16) % 100


def test_values_are_typed_and_blanks_and_the_sources_nulls_are_null(users):
    plain, nulls = good(users, "plain"), good(users, "nulls")
    assert (plain.birth_date, plain.activation_date, plain.tenure_months) == (dt.date(1980, 2, 29), dt.date(2020, 1, 1), 50)
    assert (plain.city, plain.month, plain.status, plain.consent_marketing) == ("HANGZHOU", "2024-03", "active", True)
    assert (nulls.person_id, nulls.birth_date, nulls.activation_date, nulls.tenure_months, nulls.county, nulls.consent_marketing) == (None,) * 6
    assert good(users, "quoted").county == 'West, old "town"'
    assert good(users, "formula").county == "=cmd|' /C calc'!A0"
    assert good(users, "decimal_tail").tenure_months == 50
    assert good(users, "nowhere").city == "_UNKNOWN"
    assert plain.brand is None, "not mapped is null"


BILLS = """
files:
  bills: {path: "{data}/bills.txt", format: csv, delimiter: "|", header: false, quote: "", columns: [id, total, points, rental]}
mappings:
  - table: raw.billing
    file: bills
    money: total
    scale: {rental_yuan: 3}
    validity: {rental_yuan: null}
    columns: {user_id: id, revenue_yuan: total, points: points, rental_yuan: rental}
"""
BILL_ROWS = {
    "plain|12.30|5|0": None,
    "whole|12|5|0": None,
    "zeros|12.300|5|0": None,
    "signed|+.5|5|0": None,
    "blanks| 7.25 |5|0": None,
    'stray "quote|1|5|0': None,
    "thousands|1,234.50|5|0": ["revenue_yuan: not a number"],
    "comma|12,30|5|0": ["revenue_yuan: not a number"],
    "exponent|1.2E+3|5|0": ["revenue_yuan: not a number"],
    "percent|12%|5|0": ["revenue_yuan: not a number"],
    "nan|NaN|5|0": ["revenue_yuan: not a number"],
    "infinite|Infinity|5|0": ["revenue_yuan: not a number"],
    "letters|twelve|5|0": ["revenue_yuan: not a number"],
    "full width|１２|5|0": ["revenue_yuan: not a number"],
    "three decimals|12.345|5|0": ["revenue_yuan: more than 2 decimals"],
    "negative|-0.01|5|0": ["revenue_yuan: breaks revenue_yuan >= 0"],
    "magnitude|12345678901234567.00|5|0": ["revenue_yuan: out of range"],
    "overflow|1|9223372036854775808|0": ["points: out of range"],
    "suffix|1|5L|0": ["points: not a whole number"],
    "own rules|1|5|-1.125": None,
    "own scale|1|5|1.1255": ["rental_yuan: more than 3 decimals"],
}


@pytest.fixture(scope="module")
def bills(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bills")
    deliver(folder, {"bills.txt": "\n".join([*BILL_ROWS, " ", ""])})
    return {r["crm__line"]: r for r in judged(spark, source_of(folder, BILLS), folder).collect()}


@pytest.mark.parametrize("line", BILL_ROWS, ids=lambda line: line.split("|")[0])
def test_numbers_must_be_written_plainly_and_fit(bills, line):
    assert bills[line].reasons == BILL_ROWS[line]


def test_amounts_are_rounded_to_the_contract_only_after_the_sources_own_scale_was_checked(bills):
    assert bills["own rules|1|5|-1.125"].rental_yuan == Decimal("-1.13")
    assert bills["signed|+.5|5|0"].revenue_yuan == Decimal("0.50")
    assert bills["own scale|1|5|1.1255"]["crm__money"] == Decimal("1.000000")
    assert bills["blanks| 7.25 |5|0"]["crm__money"] == bills["blanks| 7.25 |5|0"].revenue_yuan == Decimal("7.25")


def test_a_source_without_cities_lies_in_all(bills):
    assert {r.city for r in bills.values()} == {"_ALL"}


CALLS = """
files:
  calls: {path: "{data}/calls.csv.gz", format: csv, delimiter: "\\t"}
mappings:
  - table: raw.voice_cdr
    file: calls
    columns: {user_id: caller, peer_id: peer, started_at: start, seconds: seconds, direction: "'out'"}
"""
CALL_ROWS = {
    "a\t13900000000\t2024-03-01 00:00:00\t60": None,
    "a\t10086\t2024-03-31T23:59:59.5\t60": None,
    "a\t+8657187654321\t2024-03-05 10:00:00\t60": None,
    "a\t057187654321\t2024-03-05 10:00:01\t60": None,
    "a\t+442071234567\t2024-03-05 10:00:02\t60": None,
    "withheld\t\t2024-03-05 10:00:03\t60": None,
    "a\t12\t2024-03-05 10:00:00\t60": ["peer_id: breaks peer_id RLIKE '^[0-9]{3,20}$'"],
    "a\tanonymous\t2024-03-05 10:00:00\t60": ["peer_id: breaks peer_id RLIKE '^[0-9]{3,20}$'"],
    "a\t10086\t2024-03-05 10:00:00+08:00\t60": ["started_at: not a time (yyyy-MM-dd HH:mm:ss)"],
    "a\t10086\t2024-03-05 24:00:01\t60": ["started_at: not a time (yyyy-MM-dd HH:mm:ss)"],
    "a\t10086\t\t60": ["started_at: missing"],
    "a\t10086\t2024-02-29 23:59:59\t60": ["month: not the file's month"],
    "a\t10086\t2024-03-05 10:00:00\t86401": ["seconds: breaks seconds BETWEEN 0 AND 86400"],
}


@pytest.fixture(scope="module")
def calls(spark, tmp_path_factory):
    import gzip

    folder = tmp_path_factory.mktemp("calls")
    lines = ["caller\tpeer\tstart\tseconds", *CALL_ROWS, ""]
    deliver(folder, {"calls.csv.gz": gzip.compress("\r\n".join(lines).encode())})
    return {r["crm__line"]: r for r in judged(spark, source_of(folder, CALLS), folder).collect()}


@pytest.mark.parametrize("line", CALL_ROWS, ids=lambda line: line.replace("\t", " "))
def test_calls_are_judged_by_time_peer_and_length(calls, line):
    assert calls[line].reasons == CALL_ROWS[line]


def test_the_day_of_a_call_is_that_of_its_start(calls):
    assert calls["a\t10086\t2024-03-31T23:59:59.5\t60"].day == dt.date(2024, 3, 31)


def test_a_landline_is_one_peer_with_and_without_country_code_and_short_codes_and_foreign_numbers_are_kept(calls):
    peers = {line.split("\t")[1]: r.peer_id for line, r in calls.items()}
    assert peers["+8657187654321"] == peers["057187654321"] == pseudonym("num", "057187654321")
    assert peers["+442071234567"] == pseudonym("num", "00442071234567")
    assert calls["a\t10086\t2024-03-31T23:59:59.5\t60"].peer_id == pseudonym("num", "10086")
    assert peers[""] is None
