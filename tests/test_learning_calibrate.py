"""Calibration on counts alone: published corrections, and curves against what was planted."""

import numpy as np
import pytest

from crm_spark.learning.calibrate import calibration_of, expit, isotonic, logit, platt, sampling_shift
from crm_spark.learning.measures import calibration_error, score_table


def halves(true, told, seed=1, rows=8000):
    """Two halves of customers: `told` maps the true probability to what a model says."""
    draws = np.random.default_rng(seed)
    found = {}
    for half in ("0", "1"):
        p = draws.uniform(*true, rows)
        found[half] = score_table(told(p), np.ones(rows), (draws.uniform(size=rows) < p).astype(float))
    return found


def test_the_odds_are_corrected_for_the_negatives_that_were_left_out_by_the_published_example():
    """vectors.md: after keeping a tenth of the negatives, .5 means .0909091."""
    assert expit(logit(np.array([0.5])) + sampling_shift(0.1))[0] == pytest.approx(0.0909091, abs=5e-8)
    for p, beta in ((0.2, 0.3), (0.9, 0.05), (0.4, 1.0)):
        assert expit(logit(np.array([p])) + sampling_shift(beta))[0] == pytest.approx(beta * p / (beta * p - p + 1))


def test_a_calibrated_score_is_left_as_it_is():
    assert calibration_of(halves((0.05, 0.6), lambda p: p)).kind == "none"


def test_too_sure_a_score_is_drawn_in_by_its_line():
    table = halves((0.1, 0.9), lambda p: expit(2 * logit(p)))["0"]
    found = platt(table)
    assert found.slope == pytest.approx(0.5, abs=0.05) and found.offset == pytest.approx(0, abs=0.08)


@pytest.mark.parametrize("told", [lambda p: expit(3 * logit(p) + 1), lambda p: np.where(p < 0.5, 0.4 * p, 0.8 + 0.2 * p)])
def test_what_is_off_is_mended_and_keeps_the_order(told):
    tables = halves((0.1, 0.9), told)
    found = calibration_of(tables)
    assert found.kind != "none"
    other = halves((0.1, 0.9), told, seed=9)["0"]
    mended = score_table(found.of(other.score), other.customers, other.positives)
    assert calibration_error(mended) < 0.02 < calibration_error(other)
    along = found.of(np.linspace(0.001, 0.999, 500))
    assert np.all(np.diff(along) >= 0)


def test_a_handful_of_customers_with_the_label_calibrates_nothing():
    few = halves((0.001, 0.03), lambda p: expit(3 * logit(p) + 4), rows=2000)
    assert 0 < sum(t.positives.sum() for t in few.values()) < 100
    assert calibration_of(few).kind == "none"
    assert calibration_of(halves((0.001, 0.03), lambda p: expit(3 * logit(p) + 4), rows=20000)).kind != "none"


def test_the_isotonic_curve_never_falls_and_reaches_neither_end():
    curve = isotonic(halves((0.0, 1.0), lambda p: p)["0"])
    assert all(np.diff(curve.calibrated) >= 0) and curve.calibrated[0] > 0 and curve.calibrated[-1] < 1
