"""A past decision made again from what its run left, or the reason why it cannot be; on the smallest matrices, without a model."""

import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from crm_spark.config.decisions import load_decisions
from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import decision_input
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from crm_spark.errors import NotPublishedError, ReplayError
from crm_spark.frames import literal_frame
from crm_spark.tables.decision import EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.ops import MATRIX_HISTORY, PUBLICATION
from crm_spark.tables.score import PERSONAL_INDEX
from tests.decision_support import NO_SOURCE, planners_folder, read_matrices, write_matrix
from tests.test_decisions_recommend import rows_of
from tests.tiny import load_job

NOW = datetime(2025, 4, 1, tzinfo=UTC)
TABLES = (RECOMMENDATION, EXCLUSION, CUSTOMER_VIEW, PERSONAL_INDEX)
KEEP_CSV = "rule,tenure_months,churn_grade,policies\nloyal,> 12,safe,\"FAMILY_NET, JOINT_PAYMENT\"\n"
KEEP_YML = "question: Which?\ngoal: retention\nhit_policy: FIRST\ninputs: {tenure_months: number, churn_grade: string}\noutputs: {policies: policy_list}\n"


class Kept:
    """What a catalog holds: rows of a table by version, the latest under None."""

    def __init__(self, rows):
        self.rows = rows

    def exists(self, table):
        return (table.full_name, None) in self.rows

    def read(self, table, version=None):
        if (table.full_name, version) not in self.rows:
            raise NotPublishedError(f"{table.full_name}: version {version} is kept no more (400 days); run its month again")
        return self.rows[table.full_name, version]


@pytest.fixture(scope="module")
def kept(spark, tmp_path_factory):
    """A published decision of run r1, over the view of version 1 in which the customer is loyal; later versions say otherwise."""
    folder = planners_folder(tmp_path_factory.mktemp("replay") / "conf")
    write_matrix(folder, "keep", KEEP_CSV, KEEP_YML)
    config, matrices = load_decisions(folder, NO_SOURCE), read_matrices(folder)
    person = {"city": "NINGBO", "user_id": "a", "bundle_policies": ["JOINT_PAYMENT"]}
    view = rows_of(spark, CUSTOMER_VIEW, {**person, "tenure_months": 20})
    drivers = {"churn": ["lowered by tenure months"], "anomaly": ["raised by peers"]}  # of these the rule tests churn
    of_index = {"value_grade": "high", "model_versions": {}, "scores": {}, "grades": {"churn": "safe"}, "drivers": drivers}
    index = rows_of(spark, PERSONAL_INDEX, {"user_id": "a", **of_index})
    compiled = compile_all(matrices)
    decided = decide(decision_input(view, index, ("churn",), (), matrices), compiled, matrices.policies, "2025-03")
    recommended = RECOMMENDATION.conform(recommendations(decided, compiled, config.version)).collect()
    dropped = EXCLUSION.conform(exclusions(decided)).collect()
    assert [row["policy_id"] for row in dropped] == ["JOINT_PAYMENT"], "held"
    pins = publications(spark, *((t, f"r{version}", version, version + 1) for t in TABLES for version in (0, 1)), (CUSTOMER_VIEW, "r2", 2, 3))
    history = ("r1", "2025-03", None, config.version, NO_SOURCE, dict(config.files), ["churn"], [], [], [], "1", NOW)
    return {
        (PUBLICATION.full_name, None): pins,
        (MATRIX_HISTORY.full_name, None): literal_frame(spark, [history], MATRIX_HISTORY.struct),
        (RECOMMENDATION.full_name, 1): literal_frame(spark, [tuple(row) for row in recommended], RECOMMENDATION.struct),
        (EXCLUSION.full_name, 1): literal_frame(spark, [tuple(row) for row in dropped], EXCLUSION.struct),
        (CUSTOMER_VIEW.full_name, 1): view,
        (CUSTOMER_VIEW.full_name, 2): rows_of(spark, CUSTOMER_VIEW, {**person, "tenure_months": 1}),
        (PERSONAL_INDEX.full_name, 1): index,
    }


def publications(spark, *pins):
    """ops.publication of pins (table, run, version, sequence)."""
    return literal_frame(spark, [("NINGBO", "2025-03", table.full_name, run, version, sequence, NOW) for table, run, version, sequence in pins], PUBLICATION.struct)


def replayed(rows, user="a", of_run=None):
    options = SimpleNamespace(user=user, of_run=of_run, skip_models=True)
    load_job("replay").run(SimpleNamespace(catalog=Kept(rows), month="2025-03", options=options, log=logging.getLogger("crm_spark")))


def refusal(rows, **asked):
    with pytest.raises(ReplayError) as error:
        replayed(rows, **asked)
    assert error.value.exit_code == 1
    return str(error.value)


def test_it_comes_out_the_same_although_the_view_was_published_anew_since(kept, caplog):
    caplog.set_level(logging.INFO, "crm_spark")
    replayed(kept)
    assert "run r1 decided over a with matrix set" in caplog.text and "offers: FAMILY_NET (keep.loyal)" in caplog.text
    assert any(told.endswith("FAMILY_NET: churn lowered by tenure months") for told in caplog.messages)  # PySpark may have set the form of the text


def test_a_decision_of_before_drivers_were_told_comes_out_the_same(kept):
    replayed({**kept, (RECOMMENDATION.full_name, 1): kept[RECOMMENDATION.full_name, 1].drop("score_drivers")})


def test_what_comes_out_otherwise_is_told_column_by_column(kept):
    told = refusal({**kept, (CUSTOMER_VIEW.full_name, 1): kept[CUSTOMER_VIEW.full_name, 2]})
    assert "comes out otherwise: main_policy was FAMILY_NET, is None" in told and told.endswith("; exclusions")


def test_the_matrices_are_those_of_the_run_and_not_those_of_today(kept):
    """Today's conf/ is never asked: without the history there is nothing to decide with."""
    told = refusal({**kept, (MATRIX_HISTORY.full_name, None): kept[MATRIX_HISTORY.full_name, None].limit(0)})
    assert "its matrices are not available: ops.matrix_history has no set" in told


def test_a_version_that_is_kept_no_more_is_told(kept):
    gone = {place: rows for place, rows in kept.items() if place != (CUSTOMER_VIEW.full_name, 1)}
    assert "cannot be told again: mart.customer_view: version 1 is kept no more (400 days)" in refusal(gone)


def test_a_customer_who_was_erased_is_told(kept):
    assert "does not hold a any more: erased" in refusal({**kept, (CUSTOMER_VIEW.full_name, 1): kept[CUSTOMER_VIEW.full_name, 1].limit(0)})
    assert refusal(kept, user="b").startswith("no decision over b in 2025-03: no customer then, never published, or erased since")


def test_an_earlier_run_that_never_published_is_told(kept):
    assert refusal(kept, of_run="r7").startswith("no decision over a in 2025-03")


READ, MADE = (CUSTOMER_VIEW, PERSONAL_INDEX), (RECOMMENDATION, EXCLUSION)
DECIDED = (*((t, "r0", 1, 1) for t in READ), *((t, "r1", 1, 2) for t in MADE))  # r1 only decided, over what r0 had published
OVERTAKEN = (*DECIDED, (CUSTOMER_VIEW, "r2", 2, 3), *((t, "r2", 2, 3) for t in MADE))


def test_after_a_rollback_it_is_still_made_of_what_its_run_saw(spark, kept, caplog):
    """r2 published another view; rolling r1's decision back makes it no decision over that view."""
    caplog.set_level(logging.INFO, "crm_spark")
    replayed({**kept, (PUBLICATION.full_name, None): publications(spark, *OVERTAKEN, *((t, "r1", 1, 4) for t in MADE))})
    assert "run r1 decided over a with matrix set" in caplog.text


def test_where_maintenance_pinned_it_anew_it_is_read_there(spark, kept):
    """Version 5 holds the same rows, files written together again; version 1 of these tables is kept no more."""
    anew = (PERSONAL_INDEX, *MADE)
    pinned = [(t, "r0" if t is PERSONAL_INDEX else "r1", 5, 4) for t in anew]
    moved = {(t.full_name, 5): kept[t.full_name, 1] for t in anew}
    there = {place: rows for place, rows in kept.items() if place not in {(t.full_name, 1) for t in anew}}
    replayed({**there, **moved, (PUBLICATION.full_name, None): publications(spark, *DECIDED, (CUSTOMER_VIEW, "r2", 2, 3), *pinned)})


def test_a_withdrawn_decision_is_told_as_withdrawn_and_what_it_was(spark, kept, caplog):
    caplog.set_level(logging.INFO, "crm_spark")
    replayed({**kept, (PUBLICATION.full_name, None): publications(spark, *DECIDED, *((t, "m1", None, 7) for t in TABLES))})
    assert "decision.recommendation of NINGBO 2025-03 stands no more: withdrawn on 2025-04-01 by publication 7 (run m1)" in caplog.text
    assert "run r1 decided over a with matrix set" in caplog.text and "offers: FAMILY_NET (keep.loyal)" in caplog.text


def test_a_withdrawn_decision_that_is_kept_no_more_says_both(spark, kept):
    withdrawn = {**kept, (PUBLICATION.full_name, None): publications(spark, *DECIDED, *((t, "m1", None, 7) for t in TABLES))}
    for gone in (RECOMMENDATION, CUSTOMER_VIEW):
        told = refusal({place: rows for place, rows in withdrawn.items() if place != (gone.full_name, 1)})
        assert "withdrawn on 2025-04-01 by publication 7 (run m1)" in told and f"{gone.full_name}: version 1 is kept no more" in told


def test_what_was_published_again_after_a_withdrawal_stands(spark, kept, caplog):
    caplog.set_level(logging.INFO, "crm_spark")
    back = (*((t, "m1", None, 3) for t in TABLES), *((t, "r1", 1, 4) for t in MADE))
    replayed({**kept, (PUBLICATION.full_name, None): publications(spark, *DECIDED, *back)})
    assert "run r1 decided over a" in caplog.text and "withdrawn" not in caplog.text
