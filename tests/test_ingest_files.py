"""Files are looked at before they are parsed: bad ones are refused whole with their reason, odd ones are understood (promises R7, R9)."""

import gzip

import pytest

from crm_spark.errors import SourceError
from crm_spark.ingest.files import Intake
from crm_spark.ingest.headers import unmapped_columns
from crm_spark.ingest.listing import layouts, list_files
from tests.ingest_support import deliver, judged, source_of, surveyed

MAPPING = """
mappings:
  - {table: raw.user_info, file: users, city: city, columns: {user_id: id, brand: brand}}
"""
CHINESE = "id,brand,city\n" + "".join(f"{i},全球通,HANGZHOU\n" for i in range(5))


def source(folder, path="users/*", **layout):
    told = ", ".join(f"{key}: {value}" for key, value in {"format": "csv", **layout}.items())
    return source_of(folder, f'files:\n  users: {{path: "{{data}}/{path}", {told}}}\n{MAPPING}')


def brands(spark, folder, **layout):
    """(brand, reasons) per row, in the order of the ids."""
    rows = judged(spark, source(folder, **layout), folder).collect()
    return [(r.brand, r.reasons) for r in sorted(rows, key=lambda r: r["crm__line"]) if not r["crm__is_header"]]


@pytest.fixture(scope="module")
def refused(spark, tmp_path_factory):
    """The problem of each of many bad files in one folder, declared UTF-8."""
    folder = tmp_path_factory.mktemp("bad")
    files = {
        "empty.csv": b"",
        "header_only.csv": "id,brand,city\n",
        "blank.csv": "id,brand,city\n\n   \n",
        "missing.csv": "id,brnd,city\n1,x,A\n",
        "twice.csv": "id,brand,brand,city\n1,x,y,A\n",
        "no_header.csv": "1,x,A\n2,y,B\n",
        "utf16.csv": "id,brand,city\n1,x,A\n".encode("utf-16"),
        "no_header_names.csv": "1,13800000001,A,x\n2,13800000002,A,x\n",
        "no_header_twice.csv": "13800000001,13800000001,A\n2,y,B\n",
        "gbk.csv": CHINESE.encode("gbk"),
        "good.csv": CHINESE,
    }
    deliver(folder, {f"users/{name}": content for name, content in files.items()})
    return {f.file.name.removeprefix("users/"): f.problem for f in surveyed(spark, source(folder), folder)}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("empty.csv", "the file is empty"),
        ("header_only.csv", "the file has no data row"),
        ("blank.csv", "the file has no data row"),
        ("missing.csv", "raw.user_info.brand: column brand is missing (did you mean 'brnd'?)"),
        ("twice.csv", "column brand stands twice in the header"),
        ("gbk.csv", "5 of 5 lines are not utf-8; is the encoding declared right?"),
        ("good.csv", None),
    ],
)
def test_a_bad_file_is_refused_whole_with_its_reason(refused, name, told):
    assert refused[name] == told


def test_the_first_row_of_a_file_without_header_is_told_to_nobody(refused):
    assert refused["no_header_names.csv"].split("; ")[0] == "raw.user_info.brand: column brand is missing in a first line of 4 columns that is no header"
    assert refused["no_header_twice.csv"] == "a name stands twice in a first line of 3 columns that is no header"
    assert not [problem for problem in refused.values() if "1380000" in (problem or "") or "known: 1" in (problem or "")]
    assert unmapped_columns(["score", "13800000001", "user 13800000001"], ()) == ("score",)


@pytest.mark.parametrize("name", ["no_header.csv", "utf16.csv"])
def test_a_file_without_the_mapped_columns_is_refused_naming_them(refused, name):
    assert "raw.user_info.city: column city is missing" in refused[name] and "raw.user_info.user_id: column id is missing" in refused[name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.csv.gz", gzip.compress("".join(f"{i * 7919 % 100_003},x,A\n" for i in range(20_000)).encode())[:30_000]),
        ("tail.csv.gz", gzip.compress(CHINESE.encode()) + b"a tail"),
        ("magic.csv.gz", CHINESE.encode()),
    ],
    ids=["cut", "tail", "magic"],
)
def test_a_damaged_file_is_refused_by_name(spark, tmp_path, name, content):
    deliver(tmp_path, {f"users/{name}": content})
    with pytest.raises(SourceError, match=rf"{name}: refused: the file is damaged or cut off \(\w+: "):
        surveyed(spark, source(tmp_path), tmp_path)


def test_half_a_parquet_file_is_refused_by_name(spark, tmp_path):
    spark.range(1000).selectExpr("id", "'b' brand", "'A' city").coalesce(1).write.parquet(str(tmp_path / "whole"))
    whole = next((tmp_path / "whole").glob("*.parquet")).read_bytes()
    deliver(tmp_path, {"users/half.parquet": whole[: len(whole) // 2]})
    with pytest.raises(SourceError, match=r"half\.parquet: refused: the file is damaged or cut off"):
        surveyed(spark, source(tmp_path, format="parquet"), tmp_path)


def test_utf8_declared_as_gbk_is_refused_not_read_as_other_characters(spark, tmp_path):
    deliver(tmp_path, {"users/a.csv": CHINESE, "users/b.csv": CHINESE.encode("gbk")})
    found = {f.file.name: f.problem for f in surveyed(spark, source(tmp_path, encoding="gbk"), tmp_path)}
    assert found["users/a.csv"] in ("declared gbk, but every line reads as Chinese in utf-8", "5 of 5 lines are not gbk; is the encoding declared right?")
    assert found["users/b.csv"] is None


def test_gbk_is_read_and_a_character_it_lacks_is_a_bad_row(spark, tmp_path):
    text = "id,brand,city\n1,神州行,A\n2,王瑋|x,A\n".encode("gbk") + b"3,\x81\x30\x81\x30,A\n"
    deliver(tmp_path, {"users/a.csv": text})
    found = brands(spark, tmp_path, encoding="gbk")
    assert found[:2] == [("神州行", None), ("王瑋|x", None)] and found[2][1] == ["line: characters that are not gbk"]


def test_byte_order_mark_column_order_new_columns_quotes_and_cr_only_lines_are_understood(spark, tmp_path):
    files = {
        "1_bom.csv": "\ufeffid,brand,city\n1,x,A\n",
        "2_reordered.csv": "city,id,brand\nA,2,y\n",
        "3_new_column.csv": "id,brand,score,city\n3,z,99,A\n",
        "4_quoted.csv": '"id","brand","city"\n4,"a, ""b""",A\n',
        "5_cr.csv": "id,brand,city\r5,w,A\r",
        "6_capitals.csv": "ID,Brand,City\n6,v,A\n",
    }
    deliver(tmp_path, {f"users/{name}": content for name, content in files.items()})
    assert sorted(brands(spark, tmp_path)) == [('a, "b"', None), ("v", None), ("w", None), ("x", None), ("y", None), ("z", None)]
    columns = {c for f in surveyed(spark, source(tmp_path), tmp_path) for c in f.schema.names}
    assert unmapped_columns(sorted(columns), source(tmp_path).mappings) == ("score",), "a new column is reported"


def test_files_without_header_take_the_listed_columns(spark, tmp_path):
    deliver(tmp_path, {"users/a.txt": "\ufeff1||x||A\n2||y||B\n"})
    assert brands(spark, tmp_path, header="false", columns="[id, brand, city]", delimiter='"||"') == [("x", None), ("y", None)]


def test_the_fingerprint_is_of_the_content_whatever_name_order_packing_or_byte_order_mark(spark, tmp_path):
    head, lines = "id,brand,city\n", ["1,x,A\n", "2,y,A\n", "2,y,A\n"]
    files = {
        "a.csv": head + "".join(lines),
        "b.csv.gz": gzip.compress((head + "".join(lines)).encode()),
        "c.csv": "\ufeff" + head + "".join(reversed(lines)),
        "other.csv": head + "".join(lines[:2]),
        "another.csv": head + "1,x,A\n1,x,A\n2,y,A\n",
    }
    deliver(tmp_path, {f"users/{name}": content for name, content in files.items()})
    prints = {f.file.name: f.fingerprint for f in surveyed(spark, source(tmp_path), tmp_path)}
    assert prints["users/a.csv"] == prints["users/b.csv.gz"] == prints["users/c.csv"]
    assert len(set(prints.values())) == 3


def test_months_and_names_come_from_the_path(spark, tmp_path):
    names = ["2024-01/HZ/users_2024-01.csv", "2024-01/NB/users_2024-01.csv", "2024-02/HZ/users_2024-02.csv", "2024-02/HZ/other.csv"]
    deliver(tmp_path, {f"raw/{name}": CHINESE for name in names})
    layout = 'files:\n  users: {path: "{data}/raw/{month}/{HZ,NB}/users_{month}.csv", format: csv}\n' + MAPPING
    config = source_of(tmp_path, layout, "2024-01", "2024-02")
    found = list_files(Intake(spark), layouts(config, str(tmp_path / "data"), "2024-02")[0])
    assert [(f.name, f.month) for f in found] == [(f"raw/{name}", name[:7]) for name in names[:3]]
    assert all(f.size == len(CHINESE.encode()) for f in found)


def test_every_month_for_which_nothing_is_there_is_named(spark, tmp_path):
    deliver(tmp_path, {"2024-02/users.csv": CHINESE})
    layout = 'files:\n  users: {path: "{data}/{month}/users.csv", format: csv}\n' + MAPPING
    config = source_of(tmp_path, layout, "2024-01", "2024-04")
    with pytest.raises(SourceError) as error:
        list_files(Intake(spark), layouts(config, str(tmp_path / "data"), "2024-03")[0])
    assert str(error.value).splitlines() == [f"files.users: nothing found at {tmp_path}/data/2024-{m}/users.csv" for m in ("01", "03")]
    assert error.value.exit_code == 1
