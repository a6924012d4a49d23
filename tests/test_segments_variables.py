"""Variable clustering: a published example, and attributes that say the same."""

import numpy as np
import pytest

from crm_spark.segments.variables import cluster_variables

# Harman's eight physical variables of 305 girls (Modern Factor Analysis, 1976), as PROC VARCLUS of SAS/STAT prints them in its example 1.
NAMES = ("height", "arm_span", "forearm", "lower_leg", "weight", "bitrochanteric", "chest_girth", "chest_width")
BELOW = (
    (0.846,), (0.805, 0.881), (0.859, 0.826, 0.801), (0.473, 0.376, 0.380, 0.436), (0.398, 0.326, 0.319, 0.329, 0.762),
    (0.301, 0.277, 0.237, 0.327, 0.730, 0.583), (0.382, 0.415, 0.345, 0.365, 0.629, 0.577, 0.539),
)  # fmt: skip
OWN = {
    "height": 0.8777, "arm_span": 0.9002, "forearm": 0.8661, "lower_leg": 0.8652,
    "weight": 0.8477, "bitrochanteric": 0.7386, "chest_girth": 0.6981, "chest_width": 0.6329,
}  # fmt: skip
RATIO = {
    "height": 0.1545, "arm_span": 0.1196, "forearm": 0.1560, "lower_leg": 0.1650,
    "weight": 0.1898, "bitrochanteric": 0.3019, "chest_girth": 0.3328, "chest_width": 0.4380,
}  # fmt: skip


@pytest.fixture
def harman():
    lower = np.zeros((8, 8))
    for i, row in enumerate(BELOW, 1):
        lower[i, :i] = row
    return lower + lower.T + np.eye(8)


def test_harmans_eight_variables_fall_into_length_and_breadth(harman):
    assert np.linalg.eigvalsh(harman)[-1] == pytest.approx(4.67288, abs=5e-6), "the published first eigenvalue: the table is copied right"
    length, breadth = cluster_variables(NAMES, harman)
    assert {m.name for m in length.members} == set(NAMES[:4]) and {m.name for m in breadth.members} == set(NAMES[4:])
    assert (length.eigenvalue, breadth.eigenvalue) == pytest.approx((3.509218, 2.917284), abs=5e-7)
    assert (length.second_eigenvalue, breadth.second_eigenvalue) == pytest.approx((0.236135, 0.476418), abs=5e-7)
    assert (length.eigenvalue + breadth.eigenvalue) / 8 == pytest.approx(0.8033, abs=5e-5)
    members = [*length.members, *breadth.members]
    assert {m.name: m.own for m in members} == pytest.approx(OWN, abs=5.1e-5)
    assert {m.name: m.ratio for m in members} == pytest.approx(RATIO, abs=5.1e-5)
    assert [c.representative.name for c in (length, breadth)] == ["arm_span", "weight"]


def test_the_order_of_the_variables_does_not_matter(harman):
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    turned = cluster_variables([NAMES[i] for i in order], harman[np.ix_(order, order)])
    assert {frozenset(m.name for m in c.members) for c in turned} == {frozenset(NAMES[:4]), frozenset(NAMES[4:])}


def test_variables_of_one_kind_stay_together_and_unrelated_ones_part():
    alike = np.full((3, 3), 0.8) + 0.2 * np.eye(3)
    assert len(cluster_variables("abc", alike)) == 1
    apart = np.eye(4)
    apart[0, 1] = apart[1, 0] = 0.9
    parted = cluster_variables("abcd", apart, split_above=0.99)
    assert [[m.name for m in c.members] for c in parted] == [["a", "b"], ["c"], ["d"]]


def test_a_single_variable_is_a_cluster_of_its_own():
    (alone,) = cluster_variables("a", np.eye(1))
    assert (alone.eigenvalue, alone.second_eigenvalue, alone.representative.own, alone.representative.ratio) == (1.0, 0.0, 1.0, 0.0)
