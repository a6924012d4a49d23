"""What a candidate would change, counted by hand on a few customers; and the page that tells it."""

import random

import pytest

from crm_spark.config.candidate import with_threshold, with_value
from crm_spark.config.decisions import choosing_of, decisions_of, load_decisions
from crm_spark.config.models import load_models
from crm_spark.config.value import load_value
from crm_spark.decisions.difference import differences
from crm_spark.errors import ConfigError
from crm_spark.learning.scoring import regraded
from crm_spark.report import simulation_tables
from crm_spark.report.simulation import Side, compared, counted
from crm_spark.report.simulation_grid import columns, grid
from crm_spark.report.simulation_page import render_simulation
from crm_spark.report.simulation_tables import tables
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.score import PERSONAL_INDEX
from crm_spark.value.grades import with_grade
from tests.decision_support import CONF, executed_plan
from tests.test_decisions_recommend import rows_of
from tests.tiny import load_job

PEOPLE = {  # city, grade, segment; offers before, the one chosen (channel, net value, cost); offers after, the one chosen
    "a": ("X", "high", "talkers", ["KEEP", "TALK"], ("KEEP", "hall", 40.0, 5.0), ["TALK", "KEEP"], ("TALK", "sms", 4.5, 0.2)),
    "b": ("X", "low", None, ["TALK"], ("TALK", "sms", 2.5, 0.2), ["TALK", "NEW"], ("TALK", "sms", 3.5, 0.2)),
    "c": ("Y", "high", "talkers", ["KEEP"], ("KEEP", "hall", 20.0, 5.0), ["KEEP"], None),
    "d": ("Y", None, None, [], None, [], None),
}
GOALS = {"KEEP": "retention", "TALK": "traffic", "NEW": "traffic"}
DROPPED = {"c": [("after", "held"), ("after", "no_room")], "b": [("before", "held")]}


PARTS = ("policy_id", "channel", "net_value_yuan", "spend_yuan")
MONEY = ("expected_value_before_yuan", "expected_value_after_yuan", "expected_cost_before_yuan", "expected_cost_after_yuan")
TOLD = {  # table: names and numbers of its rows
    "totals": ((), ("customers", "with_an_offer_before", "with_an_offer_after", "moved", *MONEY)),
    "reach": (("goal", "policy"), ("before", "after", "offered_before", "offered_after", "change")),
    "flows": (("from", "to"), ("customers",)),
    "channels": (("channel",), ("before", "after")),
    "without_offer": (("why_none",), ("before", "after")),
}


def counts_of(spark, people, dropped):
    """What is counted of literal people: as PEOPLE above."""

    def side(name, place):
        told = {u: (row[place], row[place + 1] or (None,) * 4) for u, row in people.items()}
        offers = {u: [{"policy_id": p, "goal": GOALS[p], "goal_place": 1, "candidate_rank": 1} for p in found] for u, (found, _) in told.items()}
        recommended = rows_of(spark, RECOMMENDATION, *({"city": people[u][0], "user_id": u, "offers": found} for u, found in offers.items()))
        excluded = [{"city": people[u][0], "user_id": u, "reason": reason} for u, told_of in dropped.items() for when, reason in told_of if when == name]
        chosen = [{"city": people[u][0], "user_id": u, **dict(zip(PARTS, one, strict=True))} for u, (_, one) in told.items()]
        return Side(recommended, rows_of(spark, EXCLUSION, *excluded), rows_of(spark, CHOICE, *chosen))

    known = [{"city": row[0], "user_id": u, "value_grade": row[1], "groups": {"customer_group": row[2]} if row[2] else {}} for u, row in people.items()]
    return counted(compared(side("before", 3), side("after", 5), rows_of(spark, PERSONAL_INDEX, *known)))


@pytest.fixture(scope="module")
def found(spark):
    return tables(counts_of(spark, PEOPLE, DROPPED), {"KEEP": "Keep"}, ["high", "mid", "low"])


def test_reach_counts_for_whom_a_policy_is_chosen_and_who_might_have_it(found):
    reach = [(r["goal"], r["policy"], r["before"], r["after"], r["change"], r["offered_before"], r["offered_after"], r["name"]) for r in found["reach"]]
    assert reach == [("retention", "KEEP", 2, 0, -2, 2, 2, "Keep"), ("traffic", "TALK", 1, 2, 1, 2, 2, ""), ("traffic", "NEW", 0, 0, 0, 0, 1, "")]


def test_flows_go_from_chosen_offer_to_chosen_offer(found):
    assert found["flows"] == [{"from": "KEEP", "to": "TALK", "customers": 1}, {"from": "KEEP", "to": "no offer", "customers": 1}]
    assert found["by"]["segment"]["flows"] == [{"segment": "talkers", **flow} for flow in found["flows"]]
    assert [(r["city"], r["to"]) for r in found["by"]["city"]["flows"]] == [("X", "TALK"), ("Y", "no offer")]


def test_money_is_the_net_value_and_the_cost_of_what_is_chosen(found):
    total = found["totals"]
    assert (total["customers"], total["with_an_offer_before"], total["with_an_offer_after"], total["moved"]) == (4, 3, 2, 2)
    assert [total[name] for name in MONEY] == [62.5, 8.0, 10.2, 0.4]


def test_who_has_no_offer_is_told_with_every_reason(found):
    assert found["without_offer"] == [
        {"why_none": "held, no_room", "before": 0, "after": 1}, {"why_none": "no rule proposes anything", "before": 1, "after": 1},
    ]  # fmt: skip
    assert found["by"]["value_grade"]["without_offer"] == [
        {"value_grade": "high", "why_none": "held, no_room", "before": 0, "after": 1},
        {"value_grade": "none", "why_none": "no rule proposes anything", "before": 1, "after": 1},
    ]


def test_channels_and_groups(found):
    assert found["channels"] == [{"channel": "sms", "before": 1, "after": 2}, {"channel": "hall", "before": 2, "after": 0}]
    by = {group: [(r[group], r["customers"], r["moved"]) for r in its["totals"]] for group, its in found["by"].items()}
    assert by == {
        "city": [("X", 2, 1), ("Y", 2, 1)], "segment": [("none", 2, 0), ("talkers", 2, 2)], "value_grade": [("high", 2, 2), ("low", 1, 0), ("none", 1, 0)],
    }  # fmt: skip
    assert found["rest"] == {}


@pytest.fixture(scope="module")
def crowd():
    """(two hundred people drawn by lot in six cities, why they have no offer): as PEOPLE and DROPPED."""
    lot, people, dropped = random.Random(5), {}, {}
    for number in range(200):
        row = [f"C{int(6 * lot.random() ** 2)}", lot.choice([None, "high", "low"]), lot.choice([None, "talkers", "quiet", "elders"])]
        for side in ("before", "after"):
            offers = lot.sample(sorted(GOALS), lot.randint(0, 3))
            chosen = (offers[0], lot.choice(["sms", "hall", "mms"]), lot.random() * 40, lot.random()) if offers and lot.random() < 0.8 else None
            row += [offers, chosen]
            reasons = [(side, reason) for reason in lot.sample(["held", "outscored", "no_room", "universal"], lot.randint(0, 2))]
            dropped.setdefault(f"u{number}", []).extend(reasons)
        people[f"u{number}"] = tuple(row)
    return people, dropped


def by_hand(crowd, place):
    """{table: {(group, names): numbers}} counted person by person; `place` is where the group stands in a person's row, None: of all together."""
    people, dropped = crowd
    counts = {table: {} for table in TOLD}

    def count(table, group, names, **numbers):
        row = counts[table].setdefault((group, names), dict.fromkeys(TOLD[table][1], 0))
        for name, number in numbers.items():
            row[name] += number

    for user, person in people.items():
        group = "" if place is None else person[place] or "none"
        ends = [(person[at + 1] or ("no offer",))[0] for at in (3, 5)]
        count("totals", group, (), customers=1, moved=int(ends[0] != ends[1]))
        if ends[0] != ends[1]:
            count("flows", group, tuple(ends), customers=1)
        for side, sign, (offers, chosen) in (("before", -1, person[3:5]), ("after", 1, person[5:7])):
            for policy in offers:
                count("reach", group, (GOALS[policy], policy), **{f"offered_{side}": 1})
            if chosen:
                policy, channel, value, cost = chosen
                money = {f"expected_value_{side}_yuan": round(value, 6), f"expected_cost_{side}_yuan": round(cost, 6)}
                count("totals", group, (), **{f"with_an_offer_{side}": 1}, **money)
                count("reach", group, (GOALS[policy], policy), **{side: 1, "change": sign})
                count("channels", group, (channel,), **{side: 1})
            else:
                reasons = sorted({reason for when, reason in dropped[user] if when == side})
                count("without_offer", group, (", ".join(reasons) or "no rule proposes anything",), **{side: 1})
    return counts


def as_told(table, rows, group=""):
    """Rows as `by_hand` counts them."""
    names, numbers = TOLD[table]
    told = {(row.get(group, ""), tuple(row[n] for n in names)): {n: row[n] for n in numbers} for row in rows}
    assert len(told) == len(rows), "every row once"
    return told


def test_every_table_is_what_counting_by_hand_gives_in_total_and_by_every_group(spark, crowd):
    found = tables(counts_of(spark, *crowd), {}, ["high", "low"])
    for place, group in ((None, ""), (0, "city"), (1, "value_grade"), (2, "segment")):
        told = found["by"][group] if group else {**found, "totals": [found["totals"]]}
        for table, expected in by_hand(crowd, place).items():
            rows = as_told(table, told[table], group)
            assert {key: {n: pytest.approx(v, abs=1e-6) for n, v in row.items()} for key, row in expected.items()} == rows, (group, table)


def test_what_is_cut_stands_in_a_last_row_so_that_every_sum_is_the_total(spark, crowd, monkeypatch):
    monkeypatch.setattr(simulation_tables, "MOST_GROUPS", 2)
    monkeypatch.setattr(simulation_tables, "MOST", {"flows": 3, "without_offer": 4})
    found = tables(counts_of(spark, *crowd), {}, ["high", "low"])
    whole = by_hand(crowd, None)
    largest = sorted(((n["customers"], names) for (_, names), n in whole["flows"].items()), key=lambda flow: (-flow[0], flow[1]))[:3]
    assert [(r["customers"], (r["from"], r["to"])) for r in found["flows"][:-1]] == largest
    assert (found["flows"][-1]["from"], found["flows"][-1]["to"]) == ("others", "others")
    assert found["without_offer"][-1]["why_none"] == "others" and len(found["without_offer"]) == 5
    assert [r["city"] for r in found["by"]["city"]["totals"]] == ["C0", "C1", "others"]
    assert found["rest"] == {"city": 4, "segment": 2, "value_grade": 1, "flows": len(whole["flows"]) - 3, "without_offer": len(whole["without_offer"]) - 4}
    for table, (_, numbers) in TOLD.items():
        expected = {n: pytest.approx(sum(row[n] for row in whole[table].values()), abs=1e-6) for n in numbers}
        for rows in ([found["totals"]] if table == "totals" else found[table], *(found["by"][group][table] for group in ("city", "segment", "value_grade"))):
            assert {n: sum(row[n] for row in rows) for n in numbers} == expected, table


def test_customers_are_read_once_and_only_sums_are_shuffled_for_all_tables(spark):
    customers = counts_of(spark, PEOPLE, DROPPED)
    plan = executed_plan(customers)
    assert plan.count("Generate") == 1 and not any(operator in plan for operator in ("EvalPython", "CartesianProduct", "NestedLoop", "Window"))


ABOUT = {"env": "demo", "month": "2025-03", "cities": None, "published": ["v1"], "candidate": "v2", "changes": ["policies: <b>X</b> is new"]}


def test_the_page_shows_charts_and_escapes_what_came_from_data(found):
    page = render_simulation({**ABOUT, **found})
    assert page.startswith("<!doctype html>") and page.count("<svg") == 7, "reach of two goals, who moves by each kind of group, reasons, channels"
    assert "&lt;b&gt;X&lt;/b&gt;" in page and "<b>X</b>" not in page


def test_grids_tell_every_row_for_every_group(found):
    of = columns(found)
    assert [(c.kind, c.name) for c in of] == [
        ("", "all"), ("value_grade", "high"), ("value_grade", "low"), ("value_grade", "none"),
        ("segment", "none"), ("segment", "talkers"), ("city", "X"), ("city", "Y"),
    ]  # fmt: skip
    (talk,) = grid(found, of, "reach", lambda row: row["policy"], "traffic")
    assert [(cell.number, cell.change) for cell in talk.cells] == [(2, 1), (1, 1), (1, 0), (0, 0), (1, 0), (1, 1), (2, 1), (0, 0)], "NEW is chosen for nobody"
    assert talk.cells[1].tip == "high: 0 → 1; may have it: 1 → 1" and talk.cells[2].shade == "" and "27, 108, 168" in talk.cells[1].shade


def test_shades_are_shares_of_the_group_and_a_tiny_group_does_not_pale_the_others():
    sizes = {"all": 1000, "half": 500, "tiny": 2}
    row = {"goal": "traffic", "policy": "TALK", "before": 0, "after": 100}
    by = [{"city": "half", **row, "after": 50}, {"city": "tiny", **row, "after": 2}]
    kinds = {kind: {"totals": [], "reach": []} for kind in ("segment", "value_grade")}
    totals = [{"city": name, "customers": sizes[name]} for name in ("half", "tiny")]
    facts = {"totals": {"customers": 1000}, "reach": [row], "by": {**kinds, "city": {"totals": totals, "reach": by}}}
    (line,) = grid(facts, columns(facts), "reach", lambda row: row["policy"], "traffic")
    assert [cell.shade.split(", ")[-1] for cell in line.cells] == ["0.55)", "0.55)", "0.55)"]


def test_grades_follow_other_thresholds_and_other_models_keep_theirs(spark):
    churn = load_models(CONF, "province")["churn"]
    scores = {"churn": 30.0, "anomaly": 99.0}
    index = rows_of(spark, PERSONAL_INDEX, {"user_id": "a", "scores": scores, "grades": {"churn": "safe", "anomaly": "anomalous"}})
    stricter = with_threshold({"churn": churn}, load_value(CONF, "province"), "churn.at_risk=25")[0]["churn"]
    assert regraded(index, [churn]).first()["grades"] == {"churn": "safe", "anomaly": "anomalous"}
    assert regraded(index, [stricter]).first()["grades"] == {"churn": "at_risk", "anomaly": "anomalous"}


def test_a_value_grade_may_end_elsewhere(spark):
    config = load_value(CONF, "province")
    _, wider = with_threshold({}, config, "value.high=0.2")
    assert wider.grades == {"high": 0.2, "mid-high": 0.3, "mid": 0.9, "low": 1.0} and config.grades["high"] == 0.1
    index = rows_of(spark, PERSONAL_INDEX, *({"user_id": f"u{n:02}", "value": 100.0 - n} for n in range(60)))
    high = with_grade(index.drop("value_grade"), wider).where("value_grade = 'high'")
    assert sorted(row["user_id"] for row in high.select("user_id").collect()) == [f"u{n:02}" for n in range(12)], "a fifth of sixty"


@pytest.mark.parametrize(("threshold", "told"), [
    ("chrun.at_risk=25", "unknown model 'chrun' (did you mean 'churn'?)"),
    ("churn.at_rsk=25", "unknown grade 'at_rsk' (did you mean 'at_risk'?)"),
    ("churn.at_risk=many", "could not convert"),
    ("churn.at_risk=250", "from 0 to 100"),
    ("value.hihg=0.2", "unknown grade 'hihg' (did you mean 'high'?)"),
    ("value.high=0.5", "must rise"),
])  # fmt: skip
def test_a_wrong_threshold_is_told(threshold, told):
    with pytest.raises(ConfigError) as error:
        with_threshold(load_models(CONF, "province"), load_value(CONF, "province"), threshold)
    assert f"--threshold {threshold}: " in str(error.value) and told in str(error.value)


def changed(*changes):
    """The shipped set of the province with values changed for a trial."""
    files = load_decisions(CONF, "province").files
    for change in changes:
        files = with_value(files, "province", change)
    return decisions_of(files, "province")


def test_one_value_in_force_is_changed_and_nothing_else():
    before = load_decisions(CONF, "province")
    after = changed("choosing.limits.budget.most=25000", "choosing.weights.levers.traffic=10", "decisions.return_rate_3q=each")
    assert differences(before, after) == [
        "decisions: return_rate_3q is each, before mean",
        "choosing: limits.budget.most is 25000, before 20000",
        "choosing: weights.levers.traffic is 10, before -",
    ]
    assert before.version != after.version and load_decisions(CONF, "province").version == before.version


def test_an_entry_goes_by_its_name_or_number_and_null_takes_it_away():
    after = changed("choosing.limits.phone agents=null", "choosing.contact.caps.0.most=2", "choosing.contact.never.complaining=null")
    assert differences(load_decisions(CONF, "province"), after) == [
        "choosing: contact.caps.all channels in 7 days is at most 2, before at most 1",
        "choosing: contact.never.complaining is -, before ext_complaints > 1",
        "choosing: limit 'phone agents' is gone; it said: most 20, unit offers, per city, day, channels outbound",
    ]


@pytest.mark.parametrize(("change", "told"), [
    ("choosing.limits.bugdet.most=25000", "--set choosing.limits.bugdet.most=25000: there is no 'bugdet' (did you mean 'budget'?)"),
    ("choosing.limits.budget.mots=25000", "choosing.yml: limits[4].mots: unknown key (did you mean 'most'?)"),
    ("choosing.limits.budget.most=many", "choosing.yml: limits[4].most: "),
    ("choosing.limits.budget.most.high=1", "there is no 'high', only 20000"),
    ("choosing.limits.budget.most", "and the value are wanted"),
    ("choosing=1", "and the value are wanted"),
    ("policies.KEEP.goal=traffic", "choosing or decisions, then the place"),
    ("choosing.limits.budget.most=[", "not YAML"),
])  # fmt: skip
def test_a_wrong_change_is_told(change, told):
    with pytest.raises(ConfigError) as error:
        choosing_of(changed(change), [])
    assert told in str(error.value) and "/tmp" not in str(error.value)


def test_files_take_their_place_in_the_set(tmp_path):
    (tmp_path / "retention.csv").write_text("x")
    for name in ("policies.csv", "choosing.yml"):
        (tmp_path / name).write_text("y")
    named = load_job("simulate")._named
    files = [named(tmp_path / name) for name in ("retention.csv", "policies.csv", "choosing.yml")]
    assert files == [("matrices/retention.csv", "x"), ("policies.csv", "y"), ("choosing.yml", "y")]
    with pytest.raises(ConfigError, match="no such file"):
        named(tmp_path / "traffic.csv")
