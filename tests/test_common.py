"""What every table, job, model spec, matrix and environment must be, whichever comes next."""

import argparse
import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from pyspark.sql import types as T

from crm_spark.columns import MONEY
from crm_spark.tables.declared import TABLES
from crm_spark.tables.docs import tables_markdown

ROOT = Path(__file__).resolve().parents[1]
JOBS = sorted(p for p in (ROOT / "jobs").glob("*.py") if p.stem != "__init__")
LAYERS = {"raw", "vault", "middle", "mart", "score", "decision", "ops"}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.full_name)
class TestEveryTable:
    def test_lies_in_a_layer_and_says_its_grain(self, table):
        assert table.schema in LAYERS
        assert table.grain.endswith(".") and re.match(r"(One row|Rows)", table.grain)

    def test_has_a_key_and_partitions_among_its_columns_each_once(self, table):
        assert len(set(table.columns)) == len(table.columns)
        assert set(table.key) <= set(table.columns) and set(table.partitioned_by) <= set(table.columns)
        if table.schema != "ops":
            assert table.partitioned_by[:2] == ("city", "month") and table.key[:2] == ("city", "month")

    def test_comments_every_column_and_names_units(self, table):
        for field in table.fields:
            assert field.comment.strip().endswith((".", ")", "`")), field.name
            assert re.fullmatch(r"[a-z][a-z0-9_]*", field.name), field.name
            if field.type == MONEY:
                assert field.name == "points" or field.name.endswith("_yuan"), f"{field.name}: money says its unit"

    def test_declares_itself_in_one_statement_that_survives_quotes(self, table):
        ddl = table.ddl("delta.`/tmp/x`")
        assert ddl.count("CREATE TABLE IF NOT EXISTS") == 1 and ";" not in ddl.split("TBLPROPERTIES")[0].split("COMMENT")[0]
        assert all(f"'delta.constraints.{name}'" in ddl for name in table.checks)

    def test_keeps_statistics_of_its_key_alone_and_none_of_numbers_and_lines(self, table):
        told = re.search(r"dataSkippingStatsColumns' = '([^']*)'", table.ddl("x"))[1].split(",")
        assert set(told) <= set(table.key) - set(table.partitioned_by)
        assert "user_id" in told or "user_id" not in table.key
        assert not {f.name for f in table.fields if not f.stats} & set(told)

    def test_checks_let_null_pass(self, table):
        assert all("IS NULL OR" in check for check in table.checks.values())


def test_numbers_and_names_stay_in_the_vault():
    for table in TABLES.values():
        if table.schema != "vault":
            assert not {"msisdn", "imei", "imsi", "name", "id_number", "line"} & set(table.columns), table.full_name


def test_no_birth_date_is_a_timestamp():
    assert all(not isinstance(f.type, T.TimestampType) for t in TABLES.values() for f in t.fields if "birth" in f.name)


def test_the_table_docs_are_current():
    assert (ROOT / "docs/tables.md").read_text(encoding="utf-8") == tables_markdown(), "run `make docs`"


@pytest.mark.parametrize("path", JOBS, ids=lambda p: p.stem)
class TestEveryJob:
    def test_says_what_it_does_and_has_one_run_function(self, path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        doc = ast.get_docstring(tree)
        assert doc and len(doc.splitlines()[0]) > 20
        functions = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        assert "run" in functions or path.stem == "make_province"  # which makes files, and is no job of a run

    def test_helps(self, path, capsys):
        module = load(path)
        with pytest.raises(SystemExit) as ended:
            module.main(["--help"])
        assert ended.value.code == 0
        assert module.__doc__.strip().splitlines()[0] in capsys.readouterr().out

    def test_refuses_unknown_arguments_with_exit_2(self, path):
        with pytest.raises(SystemExit) as ended:
            load(path).main(["--no-such-option"])
        assert ended.value.code == 2


def load(path: Path) -> argparse.Namespace:
    spec = importlib.util.spec_from_file_location(f"job_under_test_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the job look themselves up there
    spec.loader.exec_module(module)
    return module
