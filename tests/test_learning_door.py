"""What the columns of a raw table are taken for: keys, numbers and days in texts, odd names."""

import datetime
from dataclasses import replace

import pytest
from pyspark.sql import functions as F

from crm_spark.config.strict import parse
from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.errors import ConfigError
from crm_spark.learning.table import clean_statement, labelled, profiled

SPEC = TableSpec("door", "Will it?", TableLabel("y"), key=("k",))
ROWS = 240
DAYS = [datetime.date(2019, 1, 1) + datetime.timedelta(5 * i) for i in range(ROWS)]
FORMS = {  # column -> how the day is written
    "iso": "{0:%Y-%m-%d}", "iso with a time": "{0:%Y-%m-%dT10:00:00Z}", "slashes": "{0.year}/{0.month}/{0.day}", "Chinese": "{0.year}年{0.month}月{0.day}日",
    "Chinese with a time": "{0:%Y年%m月%d日10时}", "digits": "{0:%Y%m%d}", "digits with a time": "{0:%Y%m%d}235959", "month first": "{0.month}/{0.day}/{0.year}",
    "month's name": "{0.day}-{0:%b}-{0.year}", "Oracle's": "{1}", "in words": "{0:%b} {0.day}, {0.year}", "spaces": "{0.day} {0:%b} {0.year}",
    "short": "{0.month}/{0.day}/{0:%y}", "short, day first": "{0:%d/%m/%y}", "short, dots": "{0:%d.%m.%y}",
    "from a sheet": "{0:%m/%d/%Y} 0:00", "day first": "{0:%d/%m/%Y}", "day first with a time": "{0:%d/%m/%Y} 23:59:59", "dots": "{0:%d.%m.%Y}",
}  # fmt: skip


def told(frame, columns, kind="string", whole=None):
    """Column -> (kind, clean values in order), or why it is left out, beside a key and a label."""
    fields = ", ".join(f"`{name}` {kind}" for name in columns)
    values = list(zip(*columns.values(), strict=True))
    rows = frame(f"k int, y string, {fields}", *[(i, "yes" if i % 3 else "no", *own) for i, own in enumerate(values)])
    found = profiled(labelled(rows, SPEC), SPEC, len(values), whole)
    clean = rows.orderBy("k").selectExpr("k", *[f"{s.sql} AS {s.id}" for s in found.sources]).collect()
    return {**found.dropped, **{s.column: (s.kind, [r[s.id] for r in clean]) for s in found.sources}}


def column_told(frame, values, kind="string"):
    return told(frame, {"the column": values}, kind)["the column"]


LEFT_OUT = "another value in every row, as a key has"
NUMBERED = {"in turn": [7 + 20 * i for i in range(100)], "as phones": [13_000_000_000 + 7_654_321 * i for i in range(100)]}
MEASURED = {
    "a wider range": [7 + 21 * i for i in range(100)], "nine digits and ten": [900_000_000 + 7_654_321 * i for i in range(100)],
    "one missing": [*[7 + i for i in range(99)], None], "one twice": [*[7 + i for i in range(99)], 8], "halves": [i + 0.5 for i in range(100)],
    "debts": [-(10**10) - 7_654_321 * i for i in range(100)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["double", "string"])
def test_a_whole_number_is_a_key_only_if_it_was_given_out_in_turn_or_is_long(frame, kind):
    as_kind = float if kind == "double" else str
    columns = {name: [v if v is None else as_kind(v) for v in values] for name, values in (NUMBERED | MEASURED).items()}
    found = told(frame, columns, kind)
    assert {name: found[name] for name in NUMBERED} == dict.fromkeys(NUMBERED, LEFT_OUT)
    assert {name: found[name] for name in MEASURED} == {name: ("number", values) for name, values in MEASURED.items()}


def test_numbers_given_out_in_turn_are_known_by_a_tenth_of_the_table(frame):
    columns = {"a tenth": [float(7 + 200 * i) for i in range(100)], "less": [float(7 + 210 * i) for i in range(100)]}
    found = told(frame, columns, "double", whole=1000)
    assert found["a tenth"] == LEFT_OUT and found["less"] == ("number", columns["less"])


def test_a_day_is_no_key_however_dense(frame):
    kind, values = column_told(frame, [datetime.date(2019, 1, 1) + datetime.timedelta(i) for i in range(100)], "date")
    assert kind == "date" and values[1] - values[0] == 1


def test_a_text_that_is_another_one_in_nearly_every_row_is_left_out(frame):
    assert column_told(frame, [f"person {i}" for i in range(100)]) == LEFT_OUT


def test_days_are_read_in_the_form_in_which_they_are_written(frame):
    written = [[form.format(day, f"{day:%d-%b-%y}".upper()) for form in FORMS.values()] for day in DAYS]
    rows = frame(
        f"k int, y string, {', '.join(f'`{c}` string' for c in FORMS)}",
        *[(i, "yes" if i % 3 else "no", *[None if i == 9 else day for day in days]) for i, days in enumerate(written)],
    )
    columns = profiled(labelled(rows, SPEC), SPEC, ROWS)
    assert columns.dropped == {c: "the same as iso" for c in FORMS if c != "iso"}
    wanted = [None if i == 9 else float((day - datetime.date(2000, 1, 1)).days) for i, day in enumerate(DAYS)]
    (source,) = columns.sources
    assert [r[0] for r in rows.orderBy("k").selectExpr(source.sql).collect()] == wanted


@pytest.mark.parametrize("form", ["{:%Y-%m}", "{:%b-%Y}", "{:%b-%y}", "{:%b %Y}"])
def test_a_month_is_its_first_day(frame, form):
    kind, values = column_told(frame, [form.format(day) for day in DAYS])
    assert kind == "date" and values == [float((day.replace(day=1) - datetime.date(2000, 1, 1)).days) for day in DAYS]


@pytest.mark.parametrize("kind", ["double", "int", "string"])
def test_a_number_is_a_code_where_the_spec_says_so(frame, kind):
    values = [{"double": float, "int": int, "string": str}[kind](i % 7) for i in range(100)]
    rows = frame(f"k int, y string, code {kind}", *[(i, "yes" if i % 3 else "no", v) for i, v in enumerate(values)])
    spec = replace(SPEC, categories=("code",))
    (source,) = profiled(labelled(rows, spec), spec, 100).sources
    assert source.kind == "text" and [r[0] for r in rows.orderBy("k").selectExpr(source.sql).collect()] == [str(i % 7) for i in range(100)]
    with pytest.raises(ConfigError, match="no column 'cod'"):
        labelled(rows, replace(SPEC, categories=("cod",)))


@pytest.mark.parametrize("name", ["customer_id", "CustomerID", "userId", "id", "MSISDN", "客户编号", "phone"])
@pytest.mark.parametrize("kind", ["long", "string"])
def test_a_key_that_several_rows_share_is_left_out_and_the_reason_says_what_to_do(frame, name, kind):
    values = [13_000_000_000 + 7_654_321 * (i // 5) for i in range(200)]
    found = told(frame, {name: values if kind == "long" else [f"{'' if name == 'phone' else 'c'}{v}" for v in values]}, kind)
    assert "name it as `key`" in found[name]


def test_whether_several_rows_share_a_key_is_told_by_all_of_them(spark):
    """A sample says what a column is; of 60,000 rows of 20,000 customers it has another one in most, and of 60,000 of 500 cells it has 40 of each."""
    hashed = F.xxhash64("id")
    rows = spark.range(60_000).select(F.col("id").alias("k"), F.when(F.pmod(hashed, F.lit(3)) == 0, "yes").otherwise("no").alias("y"))
    people, cells = F.concat(F.lit("c"), F.pmod(F.xxhash64("k"), F.lit(20_000))), F.concat(F.lit("cell "), F.pmod(F.xxhash64("k"), F.lit(500)))
    found = profiled(labelled(rows.withColumns({"customer_id": people, "cell_id": cells}), SPEC), SPEC, 60_000)
    assert list(found.dropped) == ["customer_id"] and "name it as `key`" in found.dropped["customer_id"]


def test_what_the_spec_calls_a_code_is_kept_whatever_its_name(frame):
    values = [700_000 + i // 2 for i in range(400)]
    rows = frame("k int, y string, cell_id int", *[(i, "yes" if i % 3 else "no", v) for i, v in enumerate(values)])
    spec = replace(SPEC, categories=("cell_id",))
    assert [s.kind for s in profiled(labelled(rows, spec), spec, 400).sources] == ["text"]
    assert "as `categories`" in profiled(labelled(rows, SPEC), SPEC, 400).dropped["cell_id"]


def test_a_code_is_the_same_from_a_double_and_from_text(frame):
    codes = [44_010_600 + i % 20 for i in range(100)]
    spec = replace(SPEC, categories=("code",))
    sides = []
    for kind, values in {"double": map(float, codes), "string": map(str, codes), "long": codes}.items():
        rows = frame(f"k int, y string, code {kind}", *[(i, "yes" if i % 3 else "no", v) for i, v in enumerate(values)])
        (source,) = profiled(labelled(rows, spec), spec, 100).sources
        sides.append([r[0] for r in rows.orderBy("k").selectExpr(source.sql).collect()])
    assert sides == [[str(c) for c in codes]] * 3


@pytest.mark.parametrize("name", ["AMOUNT_PAID", "MonthsPAID", "PREPAID", "AvgBid", "GRID", "MONKEY", "VALID"])
def test_a_measure_whose_name_ends_as_that_of_a_key_is_a_number(frame, name):
    kind, values = told(frame, {name: [i // 2 for i in range(200)]}, "int")[name]
    assert kind == "number" and values[:4] == [0, 0, 1, 1]


def test_versions_and_signs_of_full_width_are_no_days(frame):
    assert column_told(frame, [f"{4 + i % 9}.{1 + i % 3}.{10 + i % 5}" for i in range(60)])[0] == "text"
    assert column_told(frame, ["２０２４-01-01", "２０２３-02-01", "２０２２-03-01"] * 20)[0] == "text"


def test_a_column_is_no_key_by_its_name_alone(frame):
    columns = {"plan_id": [i % 3 for i in range(400)], "paid": [i // 5 for i in range(400)], "number": [i // 5 + 0.5 for i in range(400)]}
    columns["minutes by phone"] = [i // 2 for i in range(400)]
    assert {name: found[0] for name, found in told(frame, columns, "double").items()} == dict.fromkeys(columns, "number")


def test_days_that_do_not_tell_month_from_day_have_the_month_first(frame):
    kind, (one, other, *_) = column_told(frame, ["01/02/2000", "02/01/2000", "01/02/2000"] * 5)
    assert kind == "date" and (one, other) == (1, 31)


@pytest.mark.parametrize("form", ["{0:%Y-%m-%d}", "{0.month}/{0.day}/{0.year}", "{0:%Y%m%d}", "{0.year}年{0.month}月{0.day}日"])
@pytest.mark.parametrize(("number", "kind"), [("{:.2f}", "double"), ("${:,.2f}", "double"), ("{:.2f}", "decimal(9,2)"), ("comma", "double")])
def test_what_was_learnt_as_text_is_read_the_same_from_columns_with_types(frame, form, number, kind):
    amounts = [round(1234.5 * (1 + i % 37) / 7, 2) for i in range(60)]
    written = [f"{a:.2f}".replace(".", ",") if number == "comma" else number.format(a) for a in amounts]
    text = frame("k int, y string, paid string, day string", *[(i, "yes" if i % 3 else "no", written[i], form.format(DAYS[i])) for i in range(60)])
    columns = profiled(labelled(text, SPEC), SPEC, 60)
    assert {s.column: s.kind for s in columns.sources} == {"paid": "number", "day": "date"}
    typed = frame("k int, paid double, day date", *[(i, amounts[i], DAYS[i]) for i in range(60)]).withColumn("paid", F.col("paid").cast(kind))
    timed = typed.withColumn("day", F.col("day").cast("timestamp"))
    clean = [rows.orderBy("k").selectExpr(*[s.sql for s in columns.sources]).collect() for rows in (text, typed, timed)]
    assert clean[0] == clean[1] == clean[2]
    assert [r[0] for r in clean[1]] == amounts


def test_days_learnt_as_digits_in_text_are_read_from_whole_numbers_too(frame):
    text = frame("k int, y string, day string", *[(i, "yes" if i % 3 else "no", f"{DAYS[i]:%Y%m%d}") for i in range(60)])
    (source,) = profiled(labelled(text, SPEC), SPEC, 60).sources
    typed = frame("k int, day int", *[(i, int(f"{DAYS[i]:%Y%m%d}")) for i in range(60)])
    clean = [[r[0] for r in rows.orderBy("k").selectExpr(source.sql).collect()] for rows in (text, typed)]
    assert clean[0] == clean[1] == [float((day - datetime.date(2000, 1, 1)).days) for day in DAYS[:60]]


def test_numbers_among_which_a_word_stands_for_those_that_are_not_there_are_numbers(frame):
    measured = [f"{1.5 * i:.1f}" if i % 3 else ("not measured", "broken")[i % 2] for i in range(200)]
    kind, values = column_told(frame, measured)
    assert (kind, values) == ("number", [1.5 * i if i % 3 else None for i in range(200)])
    assert column_told(frame, [f"{i % 30}" if i % 3 else "A" for i in range(200)])[0] == "text"  # codes
    assert column_told(frame, [f"{1.5 * i:.1f}" if i % 3 else f"street {i % 20}" for i in range(200)])[0] == "text"


def test_an_end_that_never_comes_is_a_day(frame):
    assert column_told(frame, ["31.12.9999"] * 9 + ["01.01.2000"])[0] == "date"


def test_words_for_a_missing_number_do_not_make_it_a_text(frame):
    words = [r"\N", "NULL", "(null)", "<NA>", "NaT", "n.a.", "--", "未知", "无"]
    kind, values = column_told(frame, [f"{i}.25" for i in range(11)] + words)
    assert kind == "number" and values == [i + 0.25 for i in range(11)] + [None] * len(words)


COMMAS = {
    "decimal": (["12,5", "1.234,56", "-7", "0,125"], [12.5, 1234.56, -7, 0.125]),
    "decimal with units": (["€ 12,50", "1.234.567,00 €", "30 %", "3"], [12.5, 1234567, 30, 3]),
    "blanks that break no line": (["1\u00a0234,56", "12,50\u202f€", "3\u00a0", "-7"], [1234.56, 12.5, 3, -7]),
    "both may be": (["12,345", "1,250", "7", "1"], [12345, 1250, 7, 1]),
    "thousands": (["12,345.50", "1,250", "7", "1"], [12345.5, 1250, 7, 1]),
    "points": (["1.234", "2.5", "7", "1"], [1.234, 2.5, 7, 1]),
    "points of thousands": (["1.234", "2,5", "7", "1"], [1234, 2.5, 7, 1]),
    "Chinese units": (["￥12.5", "30元", "7", "1"], [12.5, 30, 7, 1]),
}


def test_the_comma_that_reads_more_is_the_decimal_one(frame):
    found = told(frame, {name: texts * 3 for name, (texts, _) in COMMAS.items()})
    assert found == {name: ("number", numbers * 3) for name, (_, numbers) in COMMAS.items()}


@pytest.mark.parametrize(("most", "few", "read"), [("999.00", "1,250.00", 1250.0), ("0", "12,50", 12.5), ("7", "$8", 8.0)])
def test_the_few_numbers_that_only_another_reading_reads_are_read(frame, most, few, read):
    kind, values = column_told(frame, [most] * 39 + [few])
    assert (kind, values) == ("number", [float(most)] * 39 + [read])


def test_what_was_learnt_from_columns_with_types_is_read_from_text(frame):
    rows = [(i, "yes" if i % 3 else "no", bool(i % 2), DAYS[i]) for i in range(60)]
    typed = frame("k int, y string, vip boolean, day date", *rows)
    columns = profiled(labelled(typed, SPEC), SPEC, 60)
    text = typed.withColumns({"vip": F.col("vip").cast("string"), "day": F.col("day").cast("string")})
    clean = [found.orderBy("k").selectExpr(*[s.sql for s in columns.sources]).collect() for found in (typed, text)]
    assert clean[0] == clean[1] and {r[0] for r in clean[0]} == {0.0, 1.0}
    odd = text.withColumns({"day": F.lit("some day"), "vip": F.lit("perhaps")})
    assert {tuple(r) for r in odd.selectExpr(*[s.sql for s in columns.sources]).collect()} == {(None, None)}


def test_a_hash_that_looks_like_a_huge_number_is_a_text(frame):
    """pandas.to_numeric ends the process at such an exponent."""
    kind, _ = column_told(frame, ["0e6644263613e43", "1e99999999999999999", "8d0f", "1d", "7f"] * 5)
    assert kind == "text"


NAMES = ["a.b", "a`b", "a b", "金额 元", "x{y}", "it's", "per%", "a,b", "`", "a.b.`c`.d"]


def test_a_column_may_have_any_name(frame):
    quoted = [f"`{name.replace('`', '``')}`" for name in NAMES]
    fields = ", ".join(f"{name} {('string', 'double')[i % 2]}" for i, name in enumerate(quoted))
    values = [[i / (j + 3) if j % 2 else f"t{(i + j) % 3}" for j in range(len(NAMES))] for i in range(30)]
    rows = frame(f"k int, y string, {fields}", *[(i, "yes" if i % 3 else "no", *own) for i, own in enumerate(values)])
    columns = profiled(labelled(rows, SPEC), SPEC, 30)
    assert {s.column for s in columns.sources} | set(columns.dropped) == set(NAMES)
    assert not any(why == LEFT_OUT for why in columns.dropped.values())
    rows.createOrReplaceTempView("odd_names")
    assert len(rows.sparkSession.sql(clean_statement(columns).replace("__THIS__", "odd_names")).collect()) == 30


@pytest.mark.parametrize("name", ["a/b", "a:b", "", " a", "-a"])
def test_a_model_of_a_name_that_mlflow_refuses_is_refused_at_once(name):
    with pytest.raises(ConfigError, match="letters, digits"):
        parse(TableSpec, {"name": name, "question": "?", "label": {"column": "y"}}, "my.yml")


def test_a_gate_keeps_the_bars_that_are_not_said():
    spec = parse(TableSpec, {"name": "m", "question": "?", "label": {"column": "y"}, "gate": {"single_auc": 1.0}}, "my.yml")
    assert (spec.gate.single_auc, spec.gate.auc, spec.gate.lift_at_10, spec.gate.calibration_error, spec.gate.positives) == (1.0, 0.6, 1.2, 0.05, 30)


def test_a_model_may_have_a_name_in_any_script():
    assert TableSpec("流失 churn_2.0-b", "?", TableLabel("y")).name
