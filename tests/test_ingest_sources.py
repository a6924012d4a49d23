"""A source is read strictly: every problem is told together, before any data is touched."""

from pathlib import Path

import pytest
from pyspark.sql import types as T

from crm_spark.config.sources import extension_fields, identifiers, load_source
from crm_spark.errors import ConfigError
from tests.ingest_support import source_of

CONF = Path(__file__).resolve().parents[1] / "conf"
FILES = 'files:\n  users: {path: "{data}/{month}/users.csv", format: csv}\n  wide: {path: "{data}/wide.csv", format: csv}\n'


def problems(folder, yaml, **months):
    with pytest.raises(ConfigError) as error:
        source_of(folder, yaml, **months)
    return [problem.split("source.yml: ", 1)[1] for problem in error.value.problems]


def test_wrong_tables_fields_and_files_are_all_told_with_the_nearest_right_word(tmp_path):
    mappings = """
mappings:
  - {table: raw.user_infos, file: users, columns: {user_id: id}}
  - {table: raw.quarantine, file: users, columns: {}}
  - {table: raw.terminal, file: user, columns: {user_id: id, terminal_modell: m}, validity: {suports_mms: null}, scale: {city: 2}}
"""
    found = problems(tmp_path, FILES + mappings)
    assert found == [
        "mappings[0] (raw.user_infos).table: 'raw.user_infos' cannot be delivered (did you mean 'raw.user_info'?)",
        found[1],
        "mappings[2] (raw.terminal).file: 'user' is not among files (did you mean 'users'?)",
        "mappings[2] (raw.terminal).columns.terminal_modell: raw.terminal has no such field (did you mean 'terminal_model'?)",
        "mappings[2] (raw.terminal).validity.suports_mms: raw.terminal has no such field (did you mean 'supports_mms'?)",
    ]
    assert found[1].startswith("mappings[1] (raw.quarantine).table: 'raw.quarantine' cannot be delivered")


def test_required_fields_and_keys_must_be_mapped_and_city_and_month_stand_apart(tmp_path):
    found = problems(tmp_path, FILES + "mappings:\n  - {table: raw.vas_usage, file: users, columns: {city: c, uses: n}}\n")
    assert found == [
        "mappings[0] (raw.vas_usage).columns.user_id: is missing; raw.vas_usage needs it",
        "mappings[0] (raw.vas_usage).columns.service: is missing; raw.vas_usage needs it",
        "mappings[0] (raw.vas_usage).columns.city: stands beside columns, as `city:` of the mapping",
    ]


def test_the_day_of_a_call_and_the_bucket_need_no_mapping(tmp_path):
    calls = "mappings:\n  - {table: raw.voice_cdr, file: users, columns: {user_id: a, peer_id: b, started_at: s, direction: d}}\n"
    assert source_of(tmp_path, FILES + calls).label_of(source_of(tmp_path, FILES + calls).mappings[0]) == "raw.voice_cdr"


def test_months_and_periods_must_fit_the_files(tmp_path):
    mappings = """
mappings:
  - {table: raw.terminal, file: wide, columns: {user_id: id}}
  - {table: raw.terminal, file: users, columns: {user_id: id}, periods: {"2024-03": {m: "3"}}}
  - {table: raw.terminal, file: wide, columns: {user_id: id}, periods: {"2024-3": {m: "3"}}}
  - {table: raw.terminal, file: users, columns: {user_id: id}, months: {first: "2024-13", last: "2024-03"}}
"""
    assert problems(tmp_path, FILES + mappings, first="2024-01", last="2024-03") == [
        "mappings[0] (raw.terminal).file: '{data}/wide.csv' is one file; put {month} into its path, or give the mapping `periods` or a single month",
        "mappings[1] (raw.terminal).periods: are for a wide file that holds all months; this path has one file a month",
        "mappings[2] (raw.terminal).periods.2024-3: '2024-3' is not a month (yyyy-MM)",
        "mappings[3] (raw.terminal).months.first: '2024-13' is not a month (yyyy-MM)",
    ]


def test_file_layouts_and_extension_columns_are_checked(tmp_path):
    yaml = """
extension:
  complaints: {type: double}
files:
  a: {path: "{data}/a", format: csv, header: false}
  b: {path: "{data}/b", format: csv, columns: [x]}
mappings: []
"""
    assert problems(tmp_path, yaml) == [
        "extension.complaints: the name of an operator's own column is ext_ with small letters, digits and _",
        "files.a.columns: without a header the columns must be listed",
        "files.b.columns: given, but the files have a header; say `header: false` or leave them out",
    ]
    assert problems(tmp_path, "extension: {ext_a: {type: number}}\nfiles: {a: {path: x, format: excel}}\nmappings: []\n") == [
        "files.a.format: 'excel' is not one of csv, parquet, table",
        "extension.ext_a.type: 'number' is not one of string, double, bigint, int, boolean, date, decimal(18,2)",
    ]


def test_a_source_that_extends_another_has_all_of_it_with_its_own_laid_over(tmp_path):
    base = 'operator: OP\ndescription: Base\nfirst_month: "2024-01"\nlast_month: "2024-03"\n'
    base += 'files:\n  users: {path: "{data}/{month}/users.csv", format: csv}\nmappings:\n  - {table: raw.user_info, file: users, columns: {user_id: id}}\n'
    own = 'extends: base\ndescription: Mine\nfiles:\n  told: {path: "{data}/{month}/told.csv", format: csv}\n'
    own += "mappings:\n  - {table: raw.outcome, file: told, columns: {user_id: id, label: l, value: v, known_month: k}}\n"
    for name, text in (("base", base), ("own", own), ("stray", "extends: bass\n")):
        (tmp_path / "sources" / name).mkdir(parents=True)
        (tmp_path / "sources" / name / "source.yml").write_text(text, encoding="utf-8")
    found = load_source(tmp_path, "own")
    assert (found.operator, found.description, set(found.files)) == ("OP", "Mine", {"users", "told"})
    assert [m.table for m in found.mappings] == ["raw.user_info", "raw.outcome"]
    with pytest.raises(ConfigError, match=r"bass/source.yml: no such source \(did you mean 'base'\?\)"):
        load_source(tmp_path, "stray")


def test_an_unknown_source_is_told_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"no such source \(did you mean 'panel'\?\)"):
        load_source(CONF, "pannel")


def test_the_operators_own_columns_become_fields_of_its_extension_table(tmp_path):
    yaml = "extension:\n  ext_a: {type: double, unit: calls, comment: Calls to the hotline.}\n  ext_b: {type: boolean}\n"
    source = source_of(tmp_path, yaml + FILES + "mappings:\n  - {table: raw.user_extension, file: users, columns: {user_id: i, ext_a: a}}\n")
    assert [(f.name, f.type, f.comment) for f in extension_fields(source)] == [
        ("ext_a", T.DoubleType(), "Calls to the hotline. (calls)"),
        ("ext_b", T.BooleanType(), "ext_b"),
    ]
    assert source.table_of(source.mappings[0]).columns == ("city", "month", "user_id", "ext_a", "ext_b")


def test_a_second_mapping_of_a_table_has_a_label_of_its_own(tmp_path):
    yaml = FILES + "mappings:\n" + "".join(f"  - {{table: raw.terminal, file: users, columns: {{user_id: {c}}}}}\n" for c in "ab")
    source = source_of(tmp_path, yaml)
    assert [source.label_of(m) for m in source.mappings] == ["raw.terminal", "raw.terminal/2"]


def test_identifiers_of_an_expression_leave_out_text_and_keep_quoted_names():
    assert {"amount", "my col"} <= identifiers("coalesce(Amount, `my col`, 'city')")
    assert "city" not in identifiers("coalesce(Amount, `my col`, 'city')")


@pytest.mark.parametrize("source", [p.parent.name for p in CONF.glob("sources/*/source.yml")])
def test_every_source_of_the_repository_is_right(source):
    config = load_source(CONF, source)
    mapped = {name for mapping in config.mappings for name in mapping.columns}
    assert set(config.extension) <= mapped, "an own column that nothing fills"
    assert all(len(config.months_of(mapping)) for mapping in config.mappings)
