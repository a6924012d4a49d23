"""Decision tables of the DMN standard: the Technology Compatibility Kit, hit policies, and tables that go out and come back."""

import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pyspark.sql import types as T

from crm_spark.config.decisions import read_matrix_files
from crm_spark.decisions.__main__ import main
from crm_spark.decisions.compile import compile_matrix
from crm_spark.decisions.dmn import dmn_of, feel_test, read_dmn
from crm_spark.decisions.exchange import save
from crm_spark.decisions.load import check_matrix
from crm_spark.decisions.match import match
from crm_spark.decisions.overlap import told_contradictions
from crm_spark.decisions.unary import parse_cell
from crm_spark.errors import ConfigError
from crm_spark.frames import literal_frame
from tests.decision_support import CONF, table

KIT = Path(os.environ.get("CRM_SPARK_REAL_DATA", Path(__file__).resolve().parents[2] / "shared/data")) / "dmn-tck"
TABLES = sorted(KIT.glob("*/*.dmn"))
TYPES = {"number": T.DecimalType(20, 6), "string": T.StringType(), "boolean": T.BooleanType(), "date": T.DateType()}
MARK = "{http://www.w3.org/2001/XMLSchema-instance}"


def children(element, tag):
    return [e for e in element if e.tag.rpartition("}")[2] == tag]


def value_of(element):
    """A value of a test case as Python has it; None for one that is absent or nil."""
    (value,) = children(element, "value") or [None]
    if value is None or value.get(f"{MARK}nil") == "true" or value.text is None:
        return None
    kind = value.get(f"{MARK}type").split(":")[1]
    return {"decimal": Decimal, "double": Decimal, "boolean": lambda t: t == "true"}.get(kind, str)(value.text)


def expected_of(element):
    """A list, a structure by component, or one value."""
    if lists := children(element, "list"):
        return [expected_of(item) for item in children(lists[0], "item")]
    if components := children(element, "component"):
        return {c.get("name"): value_of(c) for c in components}
    return value_of(element)


def cases_of(path):
    """(inputs, expected) of each case beside a table."""
    root = ElementTree.parse(next(path.parent.glob("*-test-01.xml"))).getroot()
    for case in children(root, "testCase"):
        given = {node.get("name"): value_of(node) for node in children(case, "inputNode")}
        yield given, expected_of(children(children(case, "resultNode")[0], "expected")[0])


def imported(path, folder):
    (exchanged,) = read_dmn(path)
    files = read_matrix_files(*save(exchanged, folder))
    kinds = {c: i if isinstance(i, str) else i.type for c, i in files.spec.inputs.items()}
    return check_matrix(files, {column: TYPES[kind] for column, kind in kinds.items()})


def answered(spark, matrix, rows):
    """What the compiled table answers for each row, in the shapes of the kit."""
    schema = T.StructType([T.StructField("row", T.IntegerType())] + [T.StructField(c, TYPES[k]) for c, k in matrix.inputs.items()])
    frame = literal_frame(spark, [(n, *(row.get(c) for c in matrix.inputs)) for n, row in enumerate(rows)], schema)
    found = sorted(match(frame, compile_matrix(matrix)).collect(), key=lambda r: r["row"])
    return [shaped(matrix, [hit["outputs"] for hit in row["hits"]]) for row in found]


def shaped(matrix, outputs):
    typed = [{c: Decimal(o[c]) if kind == "number" else o[c] for c, kind in matrix.outputs.items() if c in o} for o in outputs]
    single = [next(iter(o.values()), None) for o in typed] if len(matrix.outputs) == 1 else typed
    is_list = matrix.hit_policy in ("RULE ORDER", "OUTPUT ORDER") or (matrix.hit_policy == "COLLECT" and matrix.aggregation == "LIST")
    return single if is_list else next(iter(single), None)


@pytest.mark.skipif(not TABLES, reason=f"{KIT} is not there: set CRM_SPARK_REAL_DATA")
def test_the_compatibility_kit_is_whole():
    assert len(TABLES) == 17 and sum(len([*cases_of(path)]) for path in TABLES) == 51


@pytest.mark.parametrize("path", TABLES, ids=lambda p: p.stem)
def test_every_case_of_the_compatibility_kit(spark, tmp_path, path):
    cases = [*cases_of(path)]
    found = answered(spark, imported(path, tmp_path), [given for given, _ in cases])
    for (given, expected), got in zip(cases, found, strict=True):
        if "collect" in path.stem and isinstance(expected, list):
            got, expected = sorted(got, key=repr), sorted(expected, key=repr)  # a collection has no order
        assert got == expected, given


AGES = {"x": "number"}
RULES = ({"x": "> 0"}, {"x": "> 10"}, {"x": "> 20"})
COLLECTED = {"MIN": ["none", "1", "1", "1"], "MAX": ["none", "1", "2", "3"], "SUM": ["none", "1", "3", "6"], "COUNT": ["0", "1", "2", "3"]}


class TestHitPolicies:
    def fired(self, spark, hit_policy, **changes):
        matrix = replace(table(hit_policy, AGES, *RULES, default={"give": "none"}), **changes)
        frame = literal_frame(spark, [(n, n) for n in (0, 5, 15, 25)], "n int, x int")
        return [[h["outputs"].get("give") for h in r["hits"]] for r in match(frame, compile_matrix(matrix)).orderBy("n").collect()]

    def test_unique_answers_one_rule_and_nothing_where_two_fire(self, spark):
        assert self.fired(spark, "UNIQUE") == [["none"], ["1"], [], []]

    def test_any_wants_what_fires_to_agree(self, spark):
        assert self.fired(spark, "ANY") == [["none"], ["1"], [], []]
        same = table("ANY", AGES, *RULES)
        agreeing = tuple(type(r)(r.name, r.tests, {"give": "same"}) for r in same.rules)
        assert self.fired(spark, "ANY", rules=agreeing) == [["none"], ["same"], ["same"], ["same"]]

    def test_priority_and_output_order_go_by_the_rank_of_what_is_said(self, spark):
        ranks = {"give": ("3", "1", "2")}
        assert self.fired(spark, "PRIORITY", output_values=ranks) == [["none"], ["1"], ["1"], ["3"]]
        assert self.fired(spark, "OUTPUT ORDER", output_values=ranks) == [["none"], ["1"], ["1", "2"], ["3", "1", "2"]]

    @pytest.mark.parametrize(("aggregation", "expected"), COLLECTED.items())
    def test_collect_adds_up(self, spark, aggregation, expected):
        assert self.fired(spark, "COLLECT", aggregation=aggregation) == [[e] for e in expected]

    def test_rules_that_may_not_fire_together_are_told_by_name(self):
        boxes = ({"x": "[0..4]", "y": "[0..2]"}, {"x": "[1..3]", "y": "[5..6]"}, {"x": "[2..5]", "y": "[1..4]"}, {"x": "[6..7]", "y": "[0..3]"})
        assert told_contradictions(table("UNIQUE", {"x": "number", "y": "number"}, *boxes)) == [
            "table.yml: rules 'r1' and 'r3' fire together, which hit_policy UNIQUE forbids; for example x = 2, y = 1"
        ]
        assert told_contradictions(table("RULE ORDER", {"x": "number", "y": "number"}, *boxes)) == []


class TestExchange:
    @pytest.mark.parametrize(
        ("cell", "kind", "feel"),
        [
            ("high, mid-high", "string", '"high","mid-high"'),
            ('not(low, "a ""b"", c")', "string", 'not("low","a \\"b\\", c")'),
            ("null, low", "string", 'null,"low"'),
            ("!= low", "string", 'not("low")'),
            ("[86..100)", "number", "[86..100)"),
            ('< "b", ["d".."f")', "string", '<"b",["d".."f")'),
            ("> .5", "number", ">.5"),
            ("!= 3", "number", "not(3)"),
            (">= 2025-01-31", "date", '>=date("2025-01-31")'),
            ("", "number", "-"),
        ],
    )
    def test_a_cell_in_feel(self, cell, kind, feel):
        assert feel_test(cell, kind).replace(" ", "") == feel.replace(" ", "")

    @pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "matrices").glob("*.csv")))
    @pytest.mark.parametrize("suffix", ["dmn", "xlsx"])
    def test_a_shipped_matrix_goes_out_and_comes_back_with_the_same_rules(self, tmp_path, name, suffix, capsys):
        if suffix == "xlsx":
            pytest.importorskip("openpyxl")
        source, out = CONF / "matrices" / f"{name}.csv", tmp_path / f"{name}.{suffix}"
        assert main(["export", str(source), "--to", str(out)]) == 0
        assert main(["import", str(out), "--to", str(tmp_path)]) == 0
        before = read_matrix_files(source, source.with_suffix(".yml"))
        after = read_matrix_files(tmp_path / f"{name}.csv", tmp_path / f"{name}.yml")
        assert meaning_of(before) == meaning_of(after) and len(before.sheet.rows) > 1
        assert (before.spec.hit_policy, [*before.spec.inputs]) == (after.spec.hit_policy, [*after.spec.inputs])
        if suffix == "xlsx":
            assert (before.spec, before.sheet.header) == (after.spec, after.sheet.header)

    def test_what_only_an_interpreter_could_compute_is_refused(self, tmp_path):
        bad = dmn_of(read_matrix_files(CONF / "matrices/priority.csv", CONF / "matrices/priority.yml")).replace("<text>-</text>", "<text>? &gt; 3</text>", 1)
        (tmp_path / "bad.dmn").write_text(bad, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"bad.dmn, decision priority: .* is an expression; a unary test is wanted"):
            read_dmn(tmp_path / "bad.dmn")

    def test_a_matrix_that_is_there_is_not_written_over_unasked(self, tmp_path, capsys):
        out = tmp_path / "priority.dmn"
        main(["export", str(CONF / "matrices/priority.csv"), "--to", str(out)])
        codes = [main(["import", str(out), "--to", str(tmp_path), *more]) for more in ([], [], ["--replace"])]
        assert codes == [0, 2, 0] and "give --replace" in capsys.readouterr().err

    @pytest.mark.parametrize("file", ["none.dmn", "none.xlsx", "table.txt"])
    def test_a_file_that_is_none_is_told(self, tmp_path, file, capsys):
        assert main(["import", str(tmp_path / file), "--to", str(tmp_path)]) == 2
        assert file in capsys.readouterr().err


def meaning_of(files):
    """What each cell demands and each output says, whatever its spelling."""
    kinds = {c: i if isinstance(i, str) else i.type for c, i in files.spec.inputs.items()}
    return [({c: parse_cell(r.cells[c], k) for c, k in kinds.items()}, {c: r.cells[c] for c in files.spec.outputs}) for r in files.sheet.rows]
