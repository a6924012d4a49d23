"""Matrices and policies as files: what is wrong is told with file, row and column, all at once, before any data is read."""

import csv
import shutil

import pytest

from crm_spark.config.hours import Hours
from crm_spark.config.policies import group_members, load_policies
from crm_spark.config.settings import load_settings
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.outputs import CANDIDATES
from crm_spark.errors import ConfigError
from tests.decision_support import COLUMNS, CONF, NO_SOURCE, PRIORITY_CSV, PRIORITY_YML, planners_folder, read_matrices, shipped, write_matrix
from tests.tiny import load_job

RETENTION_YML = """
question: Which policy?
goal: retention
hit_policy: FIRST
inputs:
  tenure_months: number
  value_grade: {type: string, allowed: [high, mid, low]}
outputs: {policy_group: policy_group, main_policy: policy}
"""
HEADER = "rule,tenure_months,value_grade,policy_group,main_policy,why,comment\n"


@pytest.fixture
def folder(tmp_path):
    return planners_folder(tmp_path / "conf")


def loaded(folder, source=NO_SOURCE):
    return read_matrices(folder, source)


def problems(folder, source=NO_SOURCE):
    with pytest.raises(ConfigError) as error:
        loaded(folder, source)
    assert error.value.exit_code == 2
    return error.value.problems


def retention(folder, *rows, yml=RETENTION_YML, header=HEADER):
    write_matrix(folder, "retention", header + "".join(f"{row}\n" for row in rows), yml)


def rule_of(folder, name="retention"):
    return next(m for m in loaded(folder).matrices if m.name == name).rules[0]


def test_the_shipped_matrices_load_and_answer_every_question_of_the_domain():
    matrices = {m.name: m for m in shipped().matrices}
    assert set(matrices) == {
        "priority",
        "core_retention",
        "retention",
        "new_service",
        "traffic",
        "virtual_network",
        "retrieval_retention",
        "retrieval_new_service",
        "retrieval_traffic",
        "retrieval_virtual_network",
        "treatment",
        "needs",
    }
    assert {n for n, m in matrices.items() if m.hit_policy == "RULE ORDER"} == {"new_service", "traffic", "needs"}
    assert {m.goal for m in matrices.values() if m.output("offer_mode")} == {"retention", "traffic", "new_service", "virtual_network"}
    assert all(m.default for m in matrices.values() if m.output("goals") or m.output("offer_mode"))


@pytest.mark.parametrize("env", ["demo", "real-cell2cell", "real-panel"])
def test_the_shipped_matrices_load_for_every_source(env):
    """Also where a source leaves out a model or a segmentation: its rules are skipped in the run, not refused here."""
    assert {m.name for m in matrices_of(load_settings(CONF, env)).matrices} == {m.name for m in shipped().matrices}


def test_what_the_type_of_an_input_of_numbers_can_hold_is_known(folder):
    inputs = "inputs: {tenure_months: number, calls_in: number, arpu_yuan: number, return_rate: number, made: number, value_grade: string}"
    yml = f"question: q\ngoal: retention\nhit_policy: UNIQUE\n{inputs}\noutputs: {{main_policy: policy}}\nderived: {{made: {{sql: '1', type: number}}}}\n"
    write_matrix(folder, "retention", "rule,tenure_months,calls_in,arpu_yuan,return_rate,made,value_grade,main_policy\na,< 12,-,-,-,-,-,\nb,> 11,-,-,-,-,-,\n", yml)
    (matrix,) = (m for m in loaded(folder).matrices if m.name == "retention")  # between 11 and 12 there is no whole number: nothing is refused
    assert matrix.scales == {"tenure_months": 0, "calls_in": 0, "arpu_yuan": 2}
    write_matrix(folder, "retention", "rule,tenure_months,calls_in,arpu_yuan,return_rate,made,value_grade,main_policy\na,< 13,-,-,-,-,-,\nb,> 11,-,-,-,-,-,\n", yml)
    assert [told.partition("; ")[2] for told in problems(folder)] == ["for example tenure_months in (11..13)"]
    write_matrix(folder, "retention", "rule,tenure_months,calls_in,arpu_yuan,return_rate,made,value_grade,main_policy\na,-,-,-,< 0,-,-,\nb,-,-,-,< -5,-,-,\n", yml)
    assert [told.partition("; ")[2] for told in problems(folder)] == ["for example return_rate < -5"], "dirty data may"


def test_a_rule_that_holds_of_customers_without_a_value_stays(folder):
    """`null` and `null, < 5` on a column that nobody feeds hold of everybody there: skipping them would skip just those."""
    retention(folder, "none,null,-,1,,,", 'none_or_few,"null, < 5",-,1,,,', "few,< 5,-,1,,,", "some,not(null),-,1,,,", "grade,null,high,1,,,")
    usable, skipped = loaded(folder).usable(frozenset())
    assert {m.name: [r.name for r in m.rules] for m in usable.matrices}["retention"] == ["none", "none_or_few"]
    assert {(s.rule, s.columns) for s in skipped if s.matrix == "retention"} == {
        ("few", ("tenure_months",)), ("some", ("tenure_months",)), ("grade", ("value_grade",)),
    }  # fmt: skip


def test_a_model_that_a_source_leaves_out_may_still_be_named(folder):
    for part in ("models", "segments", "env", "sources", "../mlflow"):
        shutil.copytree(CONF / part, folder / part)
    for file in ("base.yml", "value.yml", "choosing.yml", "policies.csv"):
        shutil.copy(CONF / file, folder)
    with (folder / "sources/province/models.yml").open("a", encoding="utf-8") as models:
        models.write("\nanomaly: null\n")
    settings = load_settings(folder, "demo")
    assert "anomaly" not in settings.models and "anomaly" in input_names(settings)[0]
    rules = tuple(sorted(path.stem for path in (CONF / "segments/rules").glob("*.yml")))
    assert len(rules) == 11
    assert input_names(settings)[1] == ("customer_group", "traffic_group", "customer_class", "traffic_class", *rules)


def test_every_shipped_policy_is_reached_by_a_group_or_a_rule():
    proposed = {p for m in shipped().matrices for r in m.rules for p in r.outputs.get(CANDIDATES, "").split(",")}
    assert set(load_policies(CONF / "policies.csv")) <= proposed


def test_bom_crlf_and_blank_lines_are_tolerated(folder):
    text = (HEADER + "a,> 5,高,,PREPAY_100_GET_260,,\n\n,,,,,,\n").replace("\n", "\r\n")
    write_matrix(folder, "retention", "\ufeff" + text, RETENTION_YML.replace("allowed: [high, mid, low]", "allowed: [高]"))
    assert [r.name for m in loaded(folder).matrices if m.name == "retention" for r in m.rules] == ["a"]


def test_all_problems_of_all_files_are_told_together(folder):
    retention(folder, "a,[3..1],high,1,PREPAY_100_GET_260,,", "b,5,hihg,1,PREPAY_100_GET_260,,", "c,five,high,1,PREPAY_100_GET_206,,")
    write_matrix(folder, "priority", PRIORITY_CSV, "question: x\nhit_policy: LAST\n")
    told = problems(folder)
    csv, yml = folder / "matrices/retention.csv", folder / "matrices/priority.yml"
    assert f"{csv}:2 (a), column 'tenure_months': the range starts at 3, after its end 1" in told
    assert f"{csv}:3 (b), column 'value_grade': 'hihg' is not an allowed value (did you mean 'high'?)" in told
    assert any(t.startswith(f"{csv}:4 (c), column 'tenure_months': 'five' is not a number") for t in told)
    assert f"{csv}:4 (c), column 'main_policy': unknown policy 'PREPAY_100_GET_206' (did you mean 'PREPAY_100_GET_260'?)" in told
    assert any(t.startswith(f"{yml}: hit_policy: 'LAST' is not one of UNIQUE, ANY, FIRST, PRIORITY, RULE ORDER, OUTPUT ORDER, COLLECT") for t in told)
    assert f"{yml}: inputs: is missing" in told


def test_a_problem_in_the_policies_does_not_hide_one_in_a_matrix(folder):
    policies = folder / "policies.csv"
    policies.write_text(policies.read_text(encoding="utf-8").replace(",24,2000-01-01", ",dear,01.01.2000", 1), encoding="utf-8")
    retention(folder, "a,>> 3,high,,,,")
    told = problems(folder)
    assert f"{policies}:2 (PREPAY_100_GET_260), column 'unit_cost_yuan': 'dear' is not a number" in told
    assert f"{policies}:2 (PREPAY_100_GET_260), column 'valid_from': '01.01.2000' is not a date (yyyy-mm-dd)" in told
    assert any("retention.csv:2 (a), column 'tenure_months'" in t for t in told)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,5,high,77,,,", "column 'policy_group': unknown policy group '77'"),
        ("a,5,high,1,LD_PACK_ANHUI,,", "policy LD_PACK_ANHUI serves the goal traffic, this matrix retention"),
        ("a,5,high,1,PREPAY_300_GET_360,,", "PREPAY_300_GET_360 is not in the policy group"),
        ("a,5,high,1,,ARPU {arpu_yaun},", "column 'why': unknown column '{arpu_yaun}' (did you mean 'arpu_yuan'?)"),
        ("a,5,high,1,,holds {services},", "column 'why': unknown column '{services}'"),
        ("a,5,high,1,,ARPU {arpu_yuan,", "a brace without its partner"),
        (",5,high,1,,,", "column 'rule': is empty"),
        ("default,5,high,1,,,", "'default' is a name of its own"),
        ("a,5,high,1,,", "6 cells, the header has 7"),
        ('a,5,"high,1,,,', "not CSV"),
    ],
)
def test_a_wrong_row_is_told(folder, row, told):
    retention(folder, row)
    assert any(told in t and "retention.csv:2" in t for t in problems(folder)), problems(folder)


def test_a_rule_name_stands_once(folder):
    retention(folder, "a,5,high,1,,,", "a,6,high,1,,,")
    assert problems(folder) == [f"{folder / 'matrices/retention.csv'}:3, column 'rule': 'a' stands twice; each rule needs its own name"]


@pytest.mark.parametrize(
    ("yml", "told"),
    [
        (RETENTION_YML.replace("tenure_months", "tenure_month"), "inputs.tenure_month: unknown column (did you mean 'tenure_months'?)"),
        (RETENTION_YML.replace("months: number", "months: string"), "inputs.tenure_months: declared string, but the column is number"),
        (RETENTION_YML.replace("tenure_months", "services"), "inputs.services: declared number, but the column is map<"),
        (RETENTION_YML.replace("goal: retention\n", ""), "goal: is missing"),
        (RETENTION_YML.replace("goal: retention", "goal: retain"), "goal: 'retain' is not one of"),
        (RETENTION_YML + "derived: {arpu_yuan: {sql: '1', type: number}}\n", "derived.arpu_yuan: a column of this name is there already"),
        (RETENTION_YML + "default: {main: X}\n", "default.main: unknown output"),
        (RETENTION_YML + "default: {main_policy: X}\n", "default.main_policy: unknown policy 'X'"),
        (RETENTION_YML + "default: {policy_group: 6}\n", "default.policy_group: text is wanted, found"),
        (RETENTION_YML.replace("main_policy: policy}", "other_group: policy_group}"), "two columns of type policy_group"),
        (RETENTION_YML.replace("policy_group: policy_group", "why: policy_group"), "'why' cannot be the name of an input or output"),
        (RETENTION_YML + "tables: 3\n", "tables: unknown key"),
        (RETENTION_YML + "goal: retention\n", "key 'goal' stands twice"),
    ],
)
def test_a_wrong_declaration_is_told(folder, yml, told):
    retention(folder, "a,5,high,1,,,", yml=yml)
    assert any(told in t and "retention.yml" in t for t in problems(folder)), problems(folder)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("rule,tenure_months,policy_group,main_policy\n", "1: column 'value_grade' is missing"),
        ("rule,tenure_months,value_grade,value_grad,policy_group,main_policy\n", "1: unknown column 'value_grad' (did you mean 'value_"),
        ("rule,tenure_months,tenure_months,value_grade,policy_group,main_policy\n", "1: column 'tenure_months' stands twice"),
        ("rule;tenure_months;value_grade;policy_group;main_policy\n", "columns are parted by commas"),
        ("", "the file is empty"),
    ],
)
def test_a_wrong_header_is_told(folder, header, told):
    retention(folder, header=header)
    assert any(told in t and "retention.csv" in t for t in problems(folder)), problems(folder)


def test_a_sheet_in_another_encoding_is_told_with_its_line(folder):
    retention(folder, "a,5,high,1,,,")
    (folder / "matrices/retention.csv").write_bytes((HEADER + "a,5,高,1,,,\n").encode("gbk"))
    assert problems(folder)[0] == f"{folder / 'matrices/retention.csv'}:2: not UTF-8; save the sheet as CSV UTF-8"


def test_half_a_matrix_is_told(folder):
    (folder / "matrices/traffic.csv").write_text("rule\n", encoding="utf-8")
    (folder / "matrices/new_service.yml").write_text("question: x\n", encoding="utf-8")
    told = problems(folder)
    assert any("traffic.yml: no such file" in t for t in told) and any("new_service.csv: no such file" in t for t in told)


def test_exactly_one_matrix_decides_the_priority(folder):
    shutil.copy(folder / "matrices/priority.csv", folder / "matrices/priority_2.csv")
    shutil.copy(folder / "matrices/priority.yml", folder / "matrices/priority_2.yml")
    assert any("exactly one matrix" in t and "priority, priority_2" in t for t in problems(folder))


def test_the_priority_names_each_goal_once(folder):
    write_matrix(folder, "priority", PRIORITY_CSV.replace(" > new_service", ""), PRIORITY_YML.split("default")[0])
    told = problems(folder)
    assert any("priority.csv:2" in t and "must name each of retention, traffic, new_service once" in t for t in told)
    assert any("priority.yml: default.priority" in t for t in told), "where nothing fires there must be an order too"


def test_a_grid_that_is_too_large_is_refused_with_its_measures_only_where_something_is_added_up(folder):
    columns = [c for c, kind in COLUMNS.items() if c.endswith("_minutes") and kind.simpleString() == "double"][:8]
    rows = "".join(f"r{i}," + ",".join(f"> {i}" if i % 8 == place else "-" for place in range(8)) + ",\n" for i in range(64))
    inputs = ", ".join(f"{c}: number" for c in columns)
    sheet, listed = f"rule,{','.join(columns)},p\n{rows}", f"question: x\nhit_policy: COLLECT\ninputs: {{{inputs}}}\noutputs: {{p: text}}\n"
    write_matrix(folder, "big", sheet, listed)
    assert "big" in {m.name for m in loaded(folder).matrices}
    write_matrix(folder, "big", sheet, f"{listed}aggregation: COUNT\n")
    told = problems(folder)
    assert len(told) == 1 and f"{folder / 'matrices/big.yml'}: its grid has {9**8:,} cells" in told[0] and "5,000,000" in told[0]


def test_candidates_are_the_main_policy_then_its_group_by_strength(folder):
    retention(folder, "a,5,high,6,PREPAY_300_GET_360,,")
    members = group_members(load_policies(folder / "policies.csv"))["6"]
    strongest_first = sorted(members, key=lambda p: -load_policies(folder / "policies.csv")[p].discount_strength)
    assert list(members) == strongest_first and members[0] != "PREPAY_300_GET_360"
    expected = ["PREPAY_300_GET_360", *[p for p in strongest_first if p != "PREPAY_300_GET_360"]]
    assert rule_of(folder).outputs[CANDIDATES].split(",") == expected


def test_a_source_replaces_a_matrix_and_the_policies_by_name(folder):
    retention(folder, "common,5,high,1,,,")
    own = folder / "sources" / "elsewhere"
    write_matrix(own, "retention", HEADER + "own,5,high,,ONLY_HERE,,\n", RETENTION_YML)
    (own / "policies.csv").write_text(
        (folder / "policies.csv").read_text(encoding="utf-8").replace("PREPAY_100_GET_260,", "ONLY_HERE,", 1), encoding="utf-8"
    )
    theirs, common = loaded(folder, "elsewhere"), loaded(folder)
    assert [r.name for m in theirs.matrices for r in m.rules] == ["best", "own"]
    assert [r.name for m in common.matrices for r in m.rules] == ["best", "common"]
    assert "ONLY_HERE" in theirs.policies and "ONLY_HERE" not in common.policies


def test_the_version_changes_with_the_content_and_only_with_it(folder):
    retention(folder, "a,5,high,1,,,")

    def versions():
        return {m.name: m.version for m in loaded(folder).matrices}

    before = versions()
    assert versions() == before
    retention(folder, "a,6,high,1,,,")
    changed = versions()
    assert changed["retention"] != before["retention"] and changed["priority"] == before["priority"]
    (folder / "decisions.yml").write_text("return_rate_3q: each\n", encoding="utf-8")
    assert not set(versions().values()) & set(changed.values()), "a shared setting touches every matrix"


def with_cell(folder, policy, column, text):
    """The shipped policies with another text in one cell."""
    with (CONF / "policies.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "policies.csv").open("w", encoding="utf-8", newline="") as file:
        sheet = csv.DictWriter(file, list(rows[0]))
        sheet.writeheader()
        sheet.writerows({**row, column: text} if row["policy_id"] == policy else row for row in rows)
    return folder / "policies.csv"


def test_push_frequency_and_send_window_stand_beside_the_policy(folder):
    paper = load_policies(with_cell(folder, "NEWSPAPER_TRIAL", "push_every_days", "14"))["NEWSPAPER_TRIAL"]
    assert (paper.push_every_days, paper.send_window) == (14, Hours("17:00", "19:00")), "commuters read on their way home"
    free = load_policies(with_cell(folder, "NEWSPAPER_TRIAL", "send_window", ""))["NEWSPAPER_TRIAL"]
    assert free.send_window is None


@pytest.mark.parametrize(("column", "text", "told"), [
    ("push_every_days", "0", "'0' is not a number of days, from 1"),
    ("push_every_days", "weekly", "'weekly' is not a number of days, from 1"),
    ("send_window", "17:00", "'17:00' is no window (as in 17:00-19:00)"),
    ("send_window", "5pm-7pm", "'5pm' is no time of the day (as in 09:00)"),
    ("send_window", "19:00-17:00", "begin 19:00 must lie before end 17:00"),
])  # fmt: skip
def test_a_push_frequency_or_window_that_cannot_be_meant_is_told_with_its_place(folder, column, text, told):
    with_cell(folder, "VPN_GROUP", column, text)
    assert any(p.endswith(f"(VPN_GROUP), column '{column}': {told}") for p in problems(folder))


def test_a_sheet_of_policies_from_before_those_columns_still_reads(folder):
    """Past decisions are made again from the sheets of their run."""
    sheet = folder / "policies.csv"
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = [{c: cell for c, cell in row.items() if c not in ("push_every_days", "send_window")} for row in csv.DictReader(file)]
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert {(p.push_every_days, p.send_window) for p in load_policies(sheet).values()} == {(None, None)}


def test_every_group_of_the_shipped_policies_stands_in_the_order_of_discount_strength():
    policies = load_policies(CONF / "policies.csv")
    groups = group_members(policies)
    assert len(groups) == 9
    for group, members in groups.items():
        strengths = [policies[p].discount_strength for p in members]
        assert strengths == sorted(strengths, reverse=True) and {p for p in policies if policies[p].group == group} == {*members}


def test_settings_are_strict(folder):
    (folder / "decisions.yml").write_text("return_rate_3q: median\nreturn_rate: mean\n", encoding="utf-8")
    told = "\n".join(problems(folder))
    assert "'median' is not one of mean, each" in told and "return_rate: unknown key" in told


def test_a_service_that_nobody_declared_is_refused_where_services_are_declared(folder):
    (folder / "decisions.yml").write_text("services: [newspaper, fetion]\n", encoding="utf-8")
    policies = folder / "policies.csv"
    policies.write_text(policies.read_text(encoding="utf-8").replace(",newspaper,", ",newspapr,", 1), encoding="utf-8")
    told = problems(folder)
    assert any("(NEWSPAPER_TRIAL), column 'service': unknown service 'newspapr' (did you mean 'newspaper'?)" in t for t in told)
    assert not any("'newspaper'" in t and "unknown service 'newspaper'" in t for t in told)


def test_grades_of_a_matrix_are_those_of_the_models(folder):
    """A renamed grade must not silently empty a row: neither an allowed list nor a bare cell may name a grade that is not there."""
    retention(folder, "a,5,hgih,1,,,", yml=RETENTION_YML.replace("{type: string, allowed: [high, mid, low]}", "string"))
    with pytest.raises(ConfigError) as error:
        read_matrices(folder, grades={"value_grade": ("high", "low")})
    cell = f"{folder / 'matrices/retention.csv'}:2 (a), column 'value_grade': 'hgih' is not an allowed value (did you mean 'high'?)"
    assert error.value.problems == [cell]
    retention(folder, "a,5,high,1,,,")
    with pytest.raises(ConfigError) as error:
        read_matrices(folder, grades={"value_grade": ("high", "low")})
    assert error.value.problems == [
        f"{folder / 'matrices/retention.yml'}: inputs.value_grade.allowed: 'mid' is no grade of that column (known: high, low)"
    ]


def test_a_sheet_without_the_rule_column_is_told_once(folder):
    retention(folder, "5,high,1,,,", "6,high,1,,,", header=HEADER.removeprefix("rule,"))
    assert problems(folder) == [f"{folder / 'matrices/retention.csv'}:1: column 'rule' is missing"]


def planners_settings(folder, cell):
    """A whole conf folder in which one cell of the retention matrix is `cell`."""
    shutil.copytree(CONF, folder)
    shutil.copytree(CONF.parent / "mlflow", folder.parent / "mlflow")
    sheet = folder / "matrices/retention.csv"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("new_low_arpu,< 12,", f"new_low_arpu,{cell},"), encoding="utf-8")
    return folder


def test_a_wrong_cell_stops_every_job_with_2_before_spark_starts(tmp_path, monkeypatch, caplog):
    conf = planners_settings(tmp_path / "conf", "<< 12")
    monkeypatch.setattr("crm_spark.job.open_session", lambda *a: pytest.fail("the session was opened"))
    monkeypatch.chdir(tmp_path)
    for job in ("ingest", "run_month"):
        assert load_job(job).main(["--conf-dir", str(conf), "--env", "demo", "--month", "2025-03"]) == 2
    assert f"{conf / 'matrices/retention.csv'}:2 (new_low_arpu), column 'tenure_months'" in caplog.text
    assert {p.name for p in tmp_path.iterdir()} == {"conf", "mlflow"}, "nothing was written"


def test_derived_sql_that_does_not_hold_stops_every_job_with_2(spark, tmp_path, monkeypatch, caplog):
    conf = planners_settings(tmp_path / "conf", "< 12")
    yml = conf / "matrices/new_service.yml"
    yml.write_text(yml.read_text(encoding="utf-8").replace("THEN coalesce(services", "THEN coalesce(servces"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_job("run_month").main(["--conf-dir", str(conf), "--env", "demo", "--month", "2025-03"]) == 2
    assert f"{yml}: derived.uses_mobile_internet: " in caplog.text
    assert not (tmp_path / "var").exists(), "nothing was written"


def test_rules_on_columns_without_values_are_left_out_and_told(folder):
    retention(folder, "tenure,> 5,-,1,,,", "both,> 5,high,1,,,", "neither,-,-,1,,,")
    usable, skipped = loaded(folder).usable(frozenset({"tenure_months"}))
    kept = {m.name: [r.name for r in m.rules] for m in usable.matrices}
    assert kept == {"priority": [], "retention": ["tenure", "neither"]}
    assert {(s.matrix, s.rule, s.reason) for s in skipped} == {
        ("priority", "best", "no customer has a value of value_grade"),
        ("retention", "both", "no customer has a value of value_grade"),
    }
