"""A matrix set decides only if somebody approved just that text, and while it is in force; what changed is told as a planner would."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from crm_spark.config.approvals import Approval, add_approval, load_approvals
from crm_spark.config.decisions import decisions_of, load_decisions
from crm_spark.decisions.__main__ import main
from crm_spark.decisions.approval import approvals_in_force
from crm_spark.decisions.difference import differences
from crm_spark.errors import ConfigError
from tests.decision_support import CONF, NO_SOURCE
from tests.tiny import load_job

MARCH = date(2025, 3, 31)
HEADER = "set_version,cities,valid_from,valid_to,author,approved_by,approved_on,comment\n"


@pytest.fixture
def conf(tmp_path):
    """The shipped configuration, to be edited."""
    for part in ("conf", "mlflow"):
        shutil.copytree(CONF.parent / part, tmp_path / part)
    return tmp_path / "conf"


def read(folder):
    return load_decisions(folder, NO_SOURCE)


def edit(path, old, new):
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def approve(conf, *more):
    arguments = ["--conf-dir", str(conf), "--env", "real-panel", "--from", "2025-03-01", "--author", "Li Na", "--by", "Wang Wei", "--on", "2025-02-20"]
    return main(["approve", *arguments, *more])


def in_force(folder, cities=None, day=MARCH):
    return approvals_in_force(read(folder), day, cities, "approve it: ...")


def refusal(folder, cities=None, day=MARCH):
    with pytest.raises(ConfigError) as error:
        in_force(folder, cities, day)
    (told,) = error.value.problems
    return told


@pytest.mark.parametrize(("source", "day"), [("cell2cell", date(2002, 1, 31)), ("panel", date(2014, 9, 30)), ("province", MARCH)])
def test_the_shipped_set_of_every_example_is_approved_for_its_month(source, day):
    """After a change: python -m crm_spark.decisions approve --from 2000-01-01 --author ... --by ..., with --env demo and --env real-panel"""
    assert approvals_in_force(load_decisions(CONF, source), day, ["HANGZHOU", "_ALL"], "")


@pytest.mark.parametrize(("file", "old", "new"), [
    ("matrices/retention.csv", "new_low_arpu,< 12", "new_low_arpu,< 13"),
    ("matrices/retention.yml", "hit_policy: FIRST", "hit_policy: FIRST # still"),
    ("policies.csv", "PREPAY_100_GET_260,", "PREPAY_100_GET_261,"),
    ("decisions.yml", "return_rate_3q: mean", "return_rate_3q: each"),
    ("choosing.yml", "universal_share: 0.02", "universal_share: 0.03"),
    ("choosing.yml", "explore_share: 0.01", "explore_share: 0.02"),
    ("sources/no-source-of-its-own/choosing.yml", "", "limits: []"),
    ("models/churn.yml", "at_risk: 32", "at_risk: 16"),
    ("models/anomaly.yml", "default_grades: cut_off_32", "default_grades: cut_off_42"),
    ("sources/no-source-of-its-own/models.yml", "", "churn: {grades: {JINHUA: {at_risk: 16, safe: 0}}}"),
    ("value.yml", "high: 0.10", "high: 0.12"),
])  # fmt: skip
def test_whatever_is_changed_needs_a_new_approval(conf, file, old, new):
    edit(conf / file, old, new)
    version = read(conf).version
    assert version != read(CONF).version
    assert refusal(conf).startswith(f"matrix set {version} is not approved; approve it: ...")
    assert "\n" not in refusal(conf) and f"diff {read(CONF).version} <conf folder>" in refusal(conf)


@pytest.mark.parametrize(("file", "old", "new"), [
    ("models/churn.yml", "as_of_months: 5", "as_of_months: 6"),
    ("value.yml", "smallest_city: 50", "smallest_city: 60"),
    ("sources/no-source-of-its-own/models.yml", "", "churn: null"),
])  # fmt: skip
def test_what_no_grade_begins_with_needs_none(conf, file, old, new):
    edit(conf / file, old, new)
    assert read(conf).version == read(CONF).version


def test_a_set_that_was_changed_and_approved_decides(conf, capsys):
    edit(conf / "matrices/retention.csv", "new_low_arpu,< 12", "new_low_arpu,< 13")
    assert approve(conf, "--comment", "thirteen, not twelve") == 0
    assert read(conf).version in capsys.readouterr().out
    (found,) = in_force(conf)
    assert (found.author, found.approved_by, found.approved_on) == ("Li Na", "Wang Wei", date(2025, 2, 20))
    edit(conf / "matrices/retention.csv", "new_low_arpu,< 13", "new_low_arpu,< 12")
    assert {a.author for a in in_force(conf)} == {"crm_spark examples"}, "the text that was approved before is approved again"


def test_a_set_is_in_force_from_its_first_to_its_last_day(conf):
    edit(conf / "policies.csv", ",24,2000", ",29,2000")
    assert approve(conf, "--to", "2025-04-30") == 0
    for day, expected in [(date(2025, 2, 28), False), (MARCH, True), (date(2025, 4, 30), True), (date(2025, 5, 31), False)]:
        if expected:
            assert in_force(conf, day=day)
        else:
            assert "is approved, but not in force" in refusal(conf, day=day) and "2025-03-01 to 2025-04-30" in refusal(conf, day=day)


def test_a_city_that_no_approval_names_is_not_decided(conf):
    edit(conf / "policies.csv", ",24,2000", ",29,2000")
    assert approve(conf, "--city", "HANGZHOU,NINGBO") == 0
    assert in_force(conf, ["NINGBO"]) and in_force(conf, None), "which cities there are is not known at the beginning"
    assert "is not in force for JINHUA on 2025-03-31, only for HANGZHOU, NINGBO" in refusal(conf, ["HANGZHOU", "JINHUA"])
    assert approve(conf, "--city", "JINHUA") == 0
    assert len(in_force(conf, ["HANGZHOU", "JINHUA"])) == 2


def test_without_a_sheet_nothing_is_approved(conf):
    (conf / "approvals.csv").unlink()
    assert "is not approved" in refusal(conf)


@pytest.mark.parametrize("name", ["li na", " Li  Na ", "LI\u3000NA", "Ｌｉ Ｎａ"])
def test_nobody_approves_what_is_their_own(conf, capsys, name):
    before = (conf / "approvals.csv").read_bytes()
    assert approve(conf, "--by", name) == 2
    assert "author and approver are two" in capsys.readouterr().err
    assert (conf / "approvals.csv").read_bytes() == before


@pytest.mark.parametrize(("more", "told"), [
    (["--by", "  "], "column 'approved_by': is empty"),
    (["--author", ""], "column 'author': is empty"),
    (["--on", "2999-01-01"], "--on 2999-01-01 lies ahead: today is"),
])  # fmt: skip
def test_what_would_be_refused_when_it_is_read_is_not_written(conf, capsys, more, told):
    before = (conf / "approvals.csv").read_bytes()
    assert approve(conf, *more) == 2
    assert told in capsys.readouterr().err
    assert (conf / "approvals.csv").read_bytes() == before


def test_a_sheet_that_cannot_be_read_is_left_alone(tmp_path):
    path = tmp_path / "approvals.csv"
    path.write_text(HEADER + "v0,,yesterday,,a,b,2024-01-01,\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'yesterday' is not a date"):
        add_approval(path, Approval("v1", (), MARCH, None, "a", "b", MARCH))
    assert path.read_text(encoding="utf-8") == HEADER + "v0,,yesterday,,a,b,2024-01-01,\n"


def test_a_row_is_written_in_the_order_of_the_sheets_own_columns(tmp_path):
    path = tmp_path / "approvals.csv"
    path.write_bytes(b"comment,approved_by,author,set_version,valid_to,valid_from,cities,approved_on\r\nfirst,b,a,v0,,2024-01-01,,2024-01-01\r\n")
    one = Approval("v1", ("A", "B"), date(2025, 1, 1), None, "Li Na", "Wang Wei", date(2025, 1, 1), "second")
    add_approval(path, one)
    assert load_approvals(path)[1] == one
    assert path.read_bytes().splitlines(keepends=True)[2] == b"second,Wang Wei,Li Na,v1,,2025-01-01,A;B,2025-01-01\r\n"


def test_a_set_with_an_error_cannot_be_approved(conf, capsys):
    edit(conf / "matrices/retention.csv", "PREPAY_300_GET_360", "PREPAY_300_GET_306")
    assert approve(conf) == 2
    assert "did you mean 'PREPAY_300_GET_360'?" in capsys.readouterr().err


@pytest.mark.parametrize(("days", "code"), [("2025-04-10,2025-04-20", 0), ("2025-03-01,2025-03-31", 2)])
def test_a_policy_must_be_valid_in_the_month_of_contact_to_be_approved(conf, capsys, days, code):
    lines = (conf / "policies.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    moved = [line.replace("2000-01-01,2099-12-31", days) if line.startswith("NEWSPAPER_TRIAL,") else line for line in lines]  # all its rule proposes
    (conf / "policies.csv").write_text("".join(moved), encoding="utf-8")
    assert approve(conf) == code
    assert ("NEWSPAPER_TRIAL expired" in capsys.readouterr().err) == bool(code)


def test_a_source_may_have_a_sheet_of_its_own(conf):
    own = conf / "sources/panel/approvals.csv"
    add_approval(own, Approval("other", (), date(2000, 1, 1), None, "a", "b", date(2000, 1, 1)))
    with pytest.raises(ConfigError, match="is not approved"):
        approvals_in_force(load_decisions(conf, "panel"), MARCH, None, "")


def test_approvals_are_written_as_they_are_read_and_rows_before_stay(tmp_path):
    path = tmp_path / "approvals.csv"
    path.write_text("\ufeff" + HEADER + "v0,,2024-01-01,,a,b,2024-01-01,", encoding="utf-8")
    one = Approval("v1", ("A", "B"), date(2025, 1, 1), date(2025, 12, 31), "Li, Na", "Wang", date(2025, 1, 1), 'says "yes"')
    add_approval(path, one)
    before, after = load_approvals(path)
    assert (before.set_version, before.cities, before.valid_to) == ("v0", (), None)
    assert after == one


def test_wrong_cells_are_told_with_row_and_column_and_stop_every_job(conf):
    (conf / "approvals.csv").write_text(HEADER + "v,,2025-13-01,,,b,soon,\nv,,2025-02-01,2025-01-31,a,b,2025-01-01,\nv,,2025-02-01,,a,A,2025-01-01,\n")
    assert [p.removeprefix(f"{conf / 'approvals.csv'}:") for p in read(conf).problems] == [
        "2, column 'valid_from': '2025-13-01' is not a date (yyyy-mm-dd)",
        "2, column 'author': is empty",
        "2, column 'approved_on': 'soon' is not a date (yyyy-mm-dd)",
        "3: valid_to 2025-01-31 lies before valid_from 2025-02-01",
        "4: 'a' cannot approve what is their own: author and approver are two",
    ]


def test_a_month_with_a_set_that_nobody_approved_ends_with_2_and_says_how_to_approve(spark, conf, monkeypatch, caplog):
    edit(conf / "matrices/retention.csv", "new_low_arpu,< 12", "new_low_arpu,< 13")
    monkeypatch.chdir(conf.parent)
    assert load_job("run_month").main(["--conf-dir", "conf", "--env", "demo", "--month", "2025-03"]) == 2
    command = "python -m crm_spark.decisions approve --conf-dir conf --env demo --from 2025-03-01 --author <who wrote it> --by <who approves it>"
    assert f"matrix set {load_decisions(conf, 'province').version} is not approved; approve it: {command}" in caplog.text
    assert [p.name for p in (conf.parent / "var/demo/tables").glob("*/*")] == ["run_ledger"], "nothing was written but that it failed"


# --- the set as text, and what changed ---


def test_the_files_of_a_set_give_the_same_set_again(conf):
    (conf / f"sources/{NO_SOURCE}").mkdir()
    (conf / f"sources/{NO_SOURCE}/decisions.yml").write_text("return_rate_3q: each\n")
    sheet = conf / "matrices/retention.csv"
    sheet.write_bytes(b"\xef\xbb\xbf" + sheet.read_bytes().replace(b"\n", b"\r\n"))  # as a spreadsheet program saves it
    one = read(conf)
    again = decisions_of(one.files, NO_SOURCE)
    assert (again.version, again.settings, again.policies) == (one.version, one.settings, one.policies) and one.settings.return_rate_3q == "each"
    assert {m.name: m.version for m in again.matrices} == {m.name: m.version for m in one.matrices}
    assert differences(one, again) == []


@pytest.mark.parametrize("name", ["../escaped.csv", "/tmp/escaped.csv", "matrices/../../escaped.csv"])
def test_a_file_name_never_leads_out_of_the_set(name, tmp_path):
    with pytest.raises(ConfigError, match="no file of a matrix set"):
        decisions_of({name: "x"}, NO_SOURCE)
    assert not Path("/tmp/escaped.csv").exists()


def test_what_changed_is_told_as_a_planner_would_say_it(conf, capsys):
    sheet = conf / "matrices/core_retention.csv"
    lines = sheet.read_text(encoding="utf-8").splitlines()
    named = {line.split(",")[0]: line for line in lines[1:]}
    names = list(named)
    kept = [name for name in names if name != "locked_in_core"]
    kept.insert(0, kept.pop(2))  # tied_and_valuable goes to the top
    rows = [named[name].replace('new_low_arpu,"high, mid-high",< 12', 'new_low_arpu,"high, mid-high",< 18') for name in kept]
    rows.append("last_of_all,-,> 100,-,-,-,-,-,-,-,,LOYALTY_POINTS_DOUBLE,,")
    sheet.write_text("\n".join([lines[0], *rows]) + "\n", encoding="utf-8")
    edit(conf / "matrices/traffic.yml", "hit_policy: RULE ORDER", "hit_policy: FIRST")
    edit(conf / "policies.csv", ",24,2000", ",29,2000")
    edit(conf / "decisions.yml", "return_rate_3q: mean", "return_rate_3q: each")
    edit(conf / "choosing.yml", "universal_share: 0.02", "universal_share: 0.03")
    edit(conf / "choosing.yml", "{most: 1, days: 7}", "{most: 2, days: 7}")
    (conf / "matrices/virtual_network.csv").unlink()
    (conf / "matrices/virtual_network.yml").unlink()
    assert main(["diff", str(CONF), str(conf), "--env", "demo"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "core_retention: rule 'locked_in_core' is gone; it said: if value_grade high, mid-high and bundle_none_or_ending false: "
        "policy_group 7, main_policy FAMILY_NET",
        "core_retention: rule 'new_low_arpu' asks tenure_months < 18, before < 12",
        f"core_retention: new rule 'last_of_all' after '{names[-1]}': if tenure_months > 100: main_policy LOYALTY_POINTS_DOUBLE",
        "core_retention: rule 'tied_and_valuable' now stands on top",
        "traffic: hit_policy is FIRST, before RULE ORDER",
        "virtual_network: the matrix is gone",
        "policies: PREPAY_100_GET_260: unit_cost_yuan is 29, before 24",
        "decisions: return_rate_3q is each, before mean",
        "choosing: contact.caps.all channels in 7 days is at most 2, before at most 1",
        "choosing: holdout.universal_share is 0.03, before 0.02",
    ]


def test_what_changed_in_choosing_is_told_by_its_place_and_name(conf, capsys):
    edit(conf / "choosing.yml", "{most: 1, days: 7}", "{most: 2, days: 7}")
    edit(conf / "choosing.yml", "levers: {}", "levers: {VPN_FAMILY: 25}")
    edit(conf / "choosing.yml", "under_14: age_years < 14", "under_16: age_years < 16")
    edit(conf / "sources/province/choosing.yml", "least: 100, most: 2000", "least: 100, most: 1500")
    edit(conf / "sources/province/choosing.yml", "  - {name: gifts, groups", "  - {name: presents, groups")
    edit(conf / "sources/province/choosing.yml", "  - {name: counters, channels: [hall], per: [city], most: 2500}\n", "")
    assert main(["diff", str(CONF), str(conf), "--env", "demo"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "choosing: contact.caps.all channels in 7 days is at most 2, before at most 1",
        "choosing: contact.never.under_14 is -, before age_years < 14",
        "choosing: limits.newspaper.most is 1500, before 2000",
        "choosing: contact.never.under_16 is age_years < 16, before -",
        "choosing: weights.levers.VPN_FAMILY is 25, before -",
        "choosing: limit 'counters' is gone; it said: most 2500, unit offers, per city, channels hall",
        "choosing: limit 'gifts' is gone; it said: most 300, unit offers, per policy, groups 4, 5, 6",
        "choosing: limit 'presents' is new: most 300, unit offers, per policy, groups 4, 5, 6",
    ]


def test_what_changed_in_the_conditions_is_told_by_reason_and_whom_it_concerns(conf, capsys):
    edit(conf / "decisions.yml", "requires: pay_type = 'prepaid'", "requires: \"pay_type IN ('prepaid', 'postpaid')\"")
    edit(conf / "decisions.yml", "policies: [NEWSPAPER_SAMPLE, COLOUR_PRINTING_TRIAL]", "policies: [NEWSPAPER_SAMPLE], goals: [traffic]")
    edit(conf / "decisions.yml", "  - {reason: terminal, policies: [MOBILE_INTERNET_TRIAL], requires: supports_wap}\n", "")
    with (conf / "decisions.yml").open("a", encoding="utf-8") as file:
        file.write("  - {reason: age, services: [vpn], requires: age_years >= 18}\n")
    assert main(["diff", str(CONF), str(conf), "--env", "demo"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "decisions: condition 'terminal' for NEWSPAPER_SAMPLE, COLOUR_PRINTING_TRIAL: policies is NEWSPAPER_SAMPLE, before NEWSPAPER_SAMPLE, COLOUR_PRINTING_TRIAL",
        "decisions: condition 'terminal' for NEWSPAPER_SAMPLE, COLOUR_PRINTING_TRIAL: goals is traffic, before -",
        "decisions: condition 'terminal' for MOBILE_INTERNET_TRIAL is gone; it said: requires supports_wap",
        "decisions: condition 'tariff' for BRAND_RENEWAL: requires is pay_type IN ('prepaid', 'postpaid'), before pay_type = 'prepaid'",
        "decisions: condition 'age' for vpn is new: requires age_years >= 18",
    ]


def test_conditions_in_another_order_are_told(conf, capsys):
    lines = (conf / "decisions.yml").read_text(encoding="utf-8").splitlines()
    (conf / "decisions.yml").write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n", encoding="utf-8")
    assert main(["diff", str(CONF), str(conf), "--env", "demo"]) == 0
    assert capsys.readouterr().out == "decisions: the conditions stand in another order\n"


def test_a_threshold_that_moves_is_told_and_stays_with_the_set(conf, capsys):
    edit(conf / "models/churn.yml", "at_risk: 32", "at_risk: 16")
    edit(conf / "value.yml", "high: 0.10", "high: 0.12")
    one = read(conf)
    again = decisions_of(one.files, NO_SOURCE)
    assert again.version == one.version and again.problems == ()
    assert differences(read(CONF), again) == [
        "grades: models.churn.grades.default.at_risk is 16, before 32",
        "grades: value.high is 0.12, before 0.1",
    ]
    earlier = decisions_of({name: text for name, text in one.files.items() if name != "grades.yml"}, NO_SOURCE)
    assert differences(earlier, one) == ["grades: where they begin is part of the set now"]


def test_a_set_that_differs_in_a_comment_alone_says_so(conf, capsys):
    edit(conf / "matrices/traffic.yml", "hit_policy: RULE ORDER", "hit_policy: RULE ORDER  # in this order")
    assert main(["diff", str(CONF), str(conf), "--env", "demo"]) == 0
    assert main(["diff", str(CONF), str(CONF), "--env", "demo"]) == 0
    assert capsys.readouterr().out == "nothing that decides: comments, blanks or line ends alone\nno difference\n"
