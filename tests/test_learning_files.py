"""Files of other programs at the door of a model of any table: encodings, separators, line breaks, and what is no table."""

import gzip
import logging

import pandas as pd
import pytest

from crm_spark.errors import ConfigError
from crm_spark.learning.csv_head import CsvHead, csv_head
from crm_spark.learning.files import read_table, table_version


@pytest.mark.parametrize(
    ("lines", "head"),
    [
        ([b"a,b;c,d", b"1,2,3"], CsvHead("UTF-8", ",", False)),
        ([b'"a, b";c', b"1;2"], CsvHead("UTF-8", ";", False)),
        ([b"a|b", b"1|2"], CsvHead("UTF-8", "|", False)),
        ([b"a\tb", b'1\t"x'], CsvHead("UTF-8", "\t", True)),
        (["客户,值".encode("gbk"), "1,甲".encode("gbk")], CsvHead("gb18030", ",", False)),
        ([b"\xef\xbb\xbfa;b"], CsvHead("UTF-8", ";", False)),
        ([b"a"], CsvHead("UTF-8", ",", False)),
        ([], CsvHead("UTF-8", ",", False)),
        ([b"PK\x03\x04\x00\x00"], None),
        ([b"a,b", b"\xff\xff\x81"], None),
        (["Kunde;Straße", "Müller;Königsallee"], CsvHead("windows-1252", ";", False)),
        (["nom,société", "François,Orléans été"], CsvHead("windows-1252", ",", False)),
        (["cliente,año", "Núñez,corazón"], CsvHead("windows-1252", ",", False)),
        (["id;situação;saiu", "1;reclamação;ligação"], CsvHead("windows-1252", ";", False)),
        (["客戶編號,是否流失".encode("gb18030"), "甲,镕喆".encode("gb18030")], CsvHead("gb18030", ",", False)),
        (["客户ID,ARPU值,A类".encode("gbk"), "甲,3,乙".encode("gbk")], CsvHead("gb18030", ",", False)),
        (["a,€", "1,2"], CsvHead("windows-1252", ",", False)),
    ],
)
def test_the_first_lines_tell_how_a_text_is_to_be_read(lines, head):
    assert csv_head([line if isinstance(line, bytes) else line.encode("cp1252") for line in lines]) == head


TABLE = [["客户", "值", "note"], ["1", "甲", "a"], ["2", "乙", "b"]]


def text_of(separator):
    return "\r\n".join(separator.join(row) for row in TABLE) + "\r\n"


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("t.csv", ";", "utf-8"), ("t.CSV", ",", "utf-8"), ("t.txt", "|", "utf-8"), ("t.csv", "\t", "utf-8"), ("t.TSV", "\t", "utf-8"),
        ("t.csv", ",", "gb18030"), ("t.csv", ";", "gbk"), ("t.csv", ",", "utf-8-sig"), ("t.txt", "\t", "utf-16"), ("t", ",", "utf-8"),
    ],
)  # fmt: skip
def test_text_files_of_other_programs_are_read_as_they_are(spark, tmp_path, caplog, name, separator, encoding):
    (tmp_path / name).write_bytes(text_of(separator).encode(encoding))
    with caplog.at_level(logging.INFO, "crm_spark"):
        rows = read_table(spark, str(tmp_path / name))
    assert [rows.columns, *[list(r) for r in rows.collect()]] == TABLE
    wanted = {"gbk": "gb18030", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    assert f"read as text in {wanted}" in caplog.text.replace("UTF", "utf")


def test_letters_of_western_europe_are_read_as_they_are(spark, tmp_path):
    (tmp_path / "t.csv").write_bytes("Straße;Größe\nKönigsallee;3\nRue François;4\n".encode("latin-1"))
    rows = read_table(spark, str(tmp_path / "t.csv"))
    assert rows.columns == ["Straße", "Größe"] and [r[0] for r in rows.collect()] == ["Königsallee", "Rue François"]


def test_a_folder_of_texts_and_packed_ones_are_read(spark, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "part-0.csv.gz").write_bytes(gzip.compress(text_of(";").encode("gbk")))
    assert [list(r) for r in read_table(spark, str(folder)).collect()] == TABLE[1:]


def test_files_of_a_folder_whose_columns_lie_otherwise_are_refused(spark, tmp_path):
    """Spark reads them by the first one's header, by place."""
    for name, text in (("jan", "id,age,fee\n1,30,9\n"), ("feb", "id,age,fee\r\n2,40,8\r\n"), ("half full", "")):
        (tmp_path / f"{name}.csv").write_bytes(text.encode())
    assert sorted(r["age"].strip() for r in read_table(spark, str(tmp_path)).collect()) == ["30", "40"]
    (tmp_path / "mar ch.csv").write_text("id,fee,age\n3,7,50\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mar ch\.csv begins with another line than feb\.csv"):
        read_table(spark, str(tmp_path))


def test_a_line_break_in_quotes_does_not_end_a_row(spark, tmp_path):
    (tmp_path / "t.csv").write_text('k,note,y\n1,"a\nb",yes\n2,"say ""no""",no\n', encoding="utf-8")
    assert [list(r) for r in read_table(spark, str(tmp_path / "t.csv")).collect()] == [["1", "a\nb", "yes"], ["2", 'say "no"', "no"]]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.parquet", b"PAR1xxxx", "is no Parquet, or damaged"),
        ("t.xlsx", b"PK\x03\x04\x00\x00", "neither Delta, Parquet nor text"),
        ("t.csv", b"a,b\n\xff\x81,1\n", "neither Delta, Parquet nor text"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(spark, tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=told) as refused:
        read_table(spark, str(tmp_path / name))
    assert "\n" not in str(refused.value)


def test_a_parquet_folder_is_known_without_its_ending(spark, tmp_path, frame):
    frame("k int, y string", (1, "yes")).write.parquet(str(tmp_path / "any"))
    assert read_table(spark, str(tmp_path / "any")).collect() == [(1, "yes")]


def test_times_that_spark_does_not_read_are_refused_with_the_mend(spark, tmp_path):
    pd.DataFrame({"k": [1], "at": pd.to_datetime(["2024-01-31"])}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ConfigError, match="microseconds"):
        read_table(spark, str(tmp_path / "t.parquet"))


def test_no_such_file_is_told(spark, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_table(spark, str(tmp_path / "none.csv"))


def test_a_delta_folder_named_by_its_address_is_read_as_delta_and_another_folder_is_not(spark, tmp_path):
    """A row that was deleted still lies in a Parquet file."""
    where = f"file:{tmp_path}"
    spark.range(10).write.format("delta").save(f"{tmp_path}/delta")
    spark.sql(f"DELETE FROM delta.`{tmp_path}/delta` WHERE id < 4")
    spark.range(3).write.parquet(f"{tmp_path}/rows.parquet")
    assert sorted(r["id"] for r in read_table(spark, f"{where}/delta").collect()) == [4, 5, 6, 7, 8, 9]
    assert table_version(spark, f"{where}/delta") == 1
    assert read_table(spark, f"{where}/rows.parquet").count() == 3
