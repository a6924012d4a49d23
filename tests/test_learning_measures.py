"""Model measures against published numbers and against customers counted one by one."""

from dataclasses import replace

import numpy as np
import pytest

from crm_spark.config.models import Gate
from crm_spark.learning.gate import gate_failures
from crm_spark.learning.measures import auc_error, calibration, calibration_error, calibration_noise, gain, lift, measures, precision_at_rate, score_table

RANKS_OF_POSITIVES = (1, 2, 3, 5, 7, 12, 21, 34, 51, 81)


def one_by_one(scores, labels):
    """A score table of single customers: every customer a row, equal scores summed."""
    distinct = sorted(set(scores))
    of = {s: [y for t, y in zip(scores, labels, strict=True) if t == s] for s in distinct}
    return score_table(np.array(distinct), np.array([len(of[s]) for s in distinct]), np.array([sum(of[s]) for s in distinct]))


@pytest.fixture
def published():
    """vectors.md, model measures: n = 100, positives at the given ranks."""
    return one_by_one([(101 - rank) / 101 for rank in range(1, 101)], [int(rank in RANKS_OF_POSITIVES) for rank in range(1, 101)])


def test_the_published_hundred_customers_give_the_published_measures(published):
    found = measures(published)
    assert found["lift_10"] == pytest.approx(5.0)
    assert gain(published, np.array([0.1]))[0] == pytest.approx(0.5)
    assert found["auc"] == pytest.approx(0.82)
    assert found["pr_auc"] == pytest.approx(0.5882841, abs=5e-8)
    assert (found["base_rate"], found["customers"], found["distinct_scores"]) == (0.1, 100, 100)


def test_ks_is_the_widest_gap_between_the_shares_of_both_classes_found(published):
    widest = max(
        abs(sum(p <= cut for p in RANKS_OF_POSITIVES) / 10 - (cut - sum(p <= cut for p in RANKS_OF_POSITIVES)) / 90) for cut in range(101)
    )
    assert measures(published)["ks"] == pytest.approx(widest)


def test_auc_is_the_share_of_pairs_in_the_right_order_and_a_tie_counts_half():
    scores, labels = (0.9, 0.5, 0.5, 0.5, 0.2, 0.1), (1, 1, 0, 0, 1, 0)
    pairs = [(p, n) for p, y in zip(scores, labels, strict=True) if y for n, z in zip(scores, labels, strict=True) if not z]
    assert measures(one_by_one(scores, labels))["auc"] == pytest.approx(sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs))


def test_one_score_for_everybody_ranks_nobody():
    flat = score_table(np.array([0.3]), np.array([1000]), np.array([300]))
    found = measures(flat)
    assert found["auc"] == pytest.approx(0.5) and found["lift_10"] == pytest.approx(1.0) and found["ks"] == pytest.approx(0.0)
    assert found["distinct_scores"] == 1


def test_lift_shares_a_tie_at_the_cut_off_evenly():
    # 5 customers above, 15 tied with 3 positives: the best tenth of 100 takes a third of the tie.
    tied = score_table(np.array([0.9, 0.5, 0.1]), np.array([5, 15, 80]), np.array([4, 3, 3]))
    assert lift(tied, 0.1) == pytest.approx((4 + 3 * 5 / 15) / 10 / 0.1)


def test_calibration_compares_ten_equal_bins():
    scores, labels = [0.05] * 50 + [0.6] * 50, [0] * 45 + [1] * 5 + [1] * 40 + [0] * 10
    table = one_by_one(scores, labels)
    bins = calibration(table)
    assert bins.predicted == pytest.approx([0.6] * 5 + [0.05] * 5) and bins.observed == pytest.approx([0.8] * 5 + [0.1] * 5)
    assert calibration_error(table) == pytest.approx((0.2 + 0.05) / 2)


def test_perfect_calibration_still_shows_the_noise_of_its_size():
    draws = np.random.default_rng(5)
    seen = []
    for _ in range(40):
        p = draws.uniform(0.05, 0.6, 2000)
        table = score_table(p, np.ones(2000), (draws.uniform(size=2000) < p).astype(float))
        seen.append((calibration_error(table), calibration_noise(table)))
    errors, noises = np.mean(seen, axis=0)
    assert errors == pytest.approx(noises, rel=0.15)


def test_scores_of_one_and_of_nothing_have_no_noise():
    assert calibration_noise(score_table(np.array([1.0, 0.0]), np.array([1, 1]), np.array([1, 0]))) == pytest.approx(0, abs=1e-6)  # a mean rounds to more than 1


def test_the_gate_names_each_bar_that_was_missed():
    bar = Gate(auc=0.65, lift_at_10=1.6, calibration_error=0.03)
    good = {"test_auc": 0.65, "test_lift_10": 1.6, "test_calibration_error": 0.03}
    assert gate_failures(good, bar) == ()
    assert gate_failures(good | {"test_auc": 0.6499}, bar) == ("AUC 0.6499 is below 0.65",)
    (reason,) = gate_failures(good | {"test_precision": 0.79}, replace(bar, precision=0.8))
    assert reason == "precision 0.7900 is below 0.8" and gate_failures(good | {"test_precision": 0.8}, replace(bar, precision=0.8)) == ()
    few = good | {"test_customers": 450.0, "test_base_rate": 29 / 450}
    assert gate_failures(few, replace(bar, positives=29)) == ()
    assert gate_failures(few, replace(bar, positives=30)) == ("of those held out 29 have the label, too few to judge by: 30 are wanted",)
    assert len(gate_failures({"test_auc": 0.5, "test_lift_10": 1.0, "test_calibration_error": 0.2}, bar)) == 3


def test_where_chance_ranks_the_error_of_the_auc_is_that_of_the_rank_sum_test():
    """At an AUC of .5 the variance of Hanley and McNeil is that of Mann-Whitney's U: (m + n + 1) / 12mn."""
    nobody_knows = score_table(np.array([0.5]), np.array([300.0]), np.array([100.0]))
    assert auc_error(nobody_knows) == pytest.approx(((100 + 200 + 1) / (12 * 100 * 200)) ** 0.5)


def test_precision_is_that_of_as_many_customers_as_have_the_label():
    """4 of 100 have it: of the 4 best scores 3 have it; where the last two are tied with two others, one of the two is counted."""
    clear = score_table(np.array([0.9, 0.5, 0.1]), np.array([3.0, 1.0, 96.0]), np.array([3.0, 0.0, 1.0]))
    tied = score_table(np.array([0.9, 0.5, 0.1]), np.array([2.0, 4.0, 94.0]), np.array([2.0, 2.0, 0.0]))
    assert precision_at_rate(clear) == pytest.approx(3 / 4)
    assert precision_at_rate(tied) == pytest.approx(3 / 4)
    assert measures(tied)["precision"] == pytest.approx(3 / 4)


def test_the_error_of_the_auc_is_the_published_one():
    """Hanley and McNeil (1982): an AUC of .893 on 51 diseased and 58 healthy has a standard error of .032."""
    # 51 x 58 pairs; of the healthy, 107 in 1,000 score above all of the diseased
    above = 0.107 * 58
    table = score_table(np.array([3.0, 2.0, 1.0]), np.array([above, 51.0, 58 - above]), np.array([0.0, 51.0, 0.0]))
    assert auc_error(table) == pytest.approx(0.032, abs=0.001)
