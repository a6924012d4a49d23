"""Trees as arrays and what drives a score: brute force over single rows, without a session."""

from types import SimpleNamespace

import numpy as np
import pytest

from crm_spark.learning.calibrate import Calibration, expit, logit
from crm_spark.learning.drivers import Explainer, LinePart, TreePart, explainer_of_json
from crm_spark.learning.trees import trees_of

# As MLlib prints a boosted model: minutes (0) and change (1).
PRINTED = """GBTClassificationModel: uid=GBT_1, numTrees=2, numClasses=2, numFeatures=2
  Tree 0 (weight 1.0):
    If (feature 0 <= 10.5)
     If (feature 1 <= -1.0E-3)
      Predict: 0.9
     Else (feature 1 > -1.0E-3)
      Predict: 0.2
    Else (feature 0 > 10.5)
     Predict: -0.6
  Tree 1 (weight 0.1):
    If (feature 1 <= 0.0)
     Predict: 0.5
    Else (feature 1 > 0.0)
     Predict: -0.5
"""
ROWS = np.array([[5.0, -2.0], [5.0, 3.0], [20.0, -1.0], [20.0, 0.0], [10.5, 7.0], [-1e9, -0.001]])


def predicted(minutes, change):
    first = (0.9 if change <= -0.001 else 0.2) if minutes <= 10.5 else -0.6
    return first + 0.1 * (0.5 if change <= 0 else -0.5)


@pytest.fixture
def trees():
    found = trees_of(SimpleNamespace(toDebugString=PRINTED))
    ends = found.leaves(ROWS).ravel()
    return found.with_values(np.bincount(ends, minlength=len(found.value)))


def test_printed_trees_predict_as_they_read(trees):
    assert trees.predictions(ROWS) == pytest.approx([predicted(*row) for row in ROWS])


def test_the_base_is_the_mean_prediction_of_the_rows_that_gave_the_nodes_their_values(trees):
    assert trees.base == pytest.approx(np.mean([predicted(*row) for row in ROWS]))


def test_effects_add_up_and_a_step_is_credited_to_the_feature_that_was_asked(trees):
    effects = trees.effects(ROWS, np.array([0, 1]), 2)
    assert trees.base + effects.sum(axis=1) == pytest.approx(trees.predictions(ROWS))
    # By hand, first row: at the root of tree 0 the mean is m, of those with few minutes it is f.
    few = [r for r in ROWS if r[0] <= 10.5]
    first = [predicted(*r) - 0.1 * (0.5 if r[1] <= 0 else -0.5) for r in ROWS]
    of_few = [predicted(*r) - 0.1 * (0.5 if r[1] <= 0 else -0.5) for r in few]
    assert effects[0, 0] == pytest.approx(np.mean(of_few) - np.mean(first))


def test_two_features_of_one_driver_are_told_together(trees):
    assert trees.effects(ROWS, np.array([0, 0]), 1)[:, 0] == pytest.approx(trees.effects(ROWS, np.array([0, 1]), 2).sum(axis=1))


CURVE = Calibration("isotonic", raw=(0.1, 0.5, 0.9), calibrated=(0.05, 0.3, 0.95))


@pytest.mark.parametrize("calibration", [Calibration(), Calibration("platt", 0.7, -0.3), CURVE])
def test_the_drivers_of_an_average_add_up_to_its_calibrated_and_corrected_score(trees, calibration):
    line = np.random.default_rng(1).normal(size=(len(ROWS), 3))
    coefficients, intercept = np.array([0.4, -1.0, 2.0]), -0.2
    boosted = TreePart(trees, np.array([0, 1]), boosted=True)
    forest = TreePart(trees_of(SimpleNamespace(toDebugString=PRINTED.replace("-0.6", "0.1").replace("-0.5", "0.0"))), np.array([0, 1]), boosted=False)
    straight = LinePart(coefficients, intercept, line.mean(axis=0), np.array([1, 2, 2]))
    shift = float(np.log(0.1))
    explained = Explainer((boosted, forest, straight), ("minutes", "change", "tenure"), calibration, shift)

    of_forest = logit(forest.trees.predictions(ROWS))
    mean = (2 * boosted.trees.predictions(ROWS) + of_forest + intercept + line @ coefficients) / 3
    wanted = logit(calibration.of(expit(mean))) + shift
    base, effects, steps = explained.explained(ROWS, line)
    assert effects.shape == (len(ROWS), 3)
    assert base + effects.sum(axis=1) + steps == pytest.approx(wanted, abs=1e-9)
    assert calibration.kind == "isotonic" or steps == pytest.approx(np.zeros(len(ROWS)), abs=1e-12)

    again = explainer_of_json(explained.as_json())
    assert again.words == explained.words
    assert again.explained(ROWS, line).effects == pytest.approx(effects)


def test_on_a_step_of_the_curve_drivers_still_tell_what_moved_the_score(trees):
    """The curve gives all rows the same probability; who is above the average and why is told all the same."""
    flat = Calibration("isotonic", raw=(0.0, 1.0), calibrated=(0.2, 0.2))
    part = TreePart(trees, np.array([0, 1]), boosted=True)
    raw = Explainer((part,), ("minutes", "change"), Calibration(), 0.0).explained(ROWS, np.zeros((len(ROWS), 0)))
    base, effects, steps = Explainer((part,), ("minutes", "change"), flat, 0.0).explained(ROWS, np.zeros((len(ROWS), 0)))
    assert effects == pytest.approx(raw.effects) and np.abs(effects).max() > 0.1
    assert base + effects.sum(axis=1) + steps == pytest.approx(np.full(len(ROWS), np.log(0.2 / 0.8)), abs=1e-9)


def test_a_tree_that_asks_for_levels_is_refused():
    with pytest.raises(ValueError, match="numeric"):
        trees_of(SimpleNamespace(toDebugString="x\n If (feature 0 in {1.0})\n  Predict: 1\n"))
