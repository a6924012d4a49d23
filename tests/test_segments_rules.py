"""Numbering, profiles and configuration of segmentations: pure rules, no Spark."""

import random
from itertools import permutations
from math import dist
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from crm_spark.config.segments import SegmentationSpec, load_segments
from crm_spark.errors import ConfigError
from crm_spark.segments.former import kept_numbers
from crm_spark.segments.merging import merged
from crm_spark.segments.numbering import GroupMeans, canonical_order, ward_classes
from crm_spark.segments.profile import Totals, profile
from crm_spark.segments.selection import Quality, chosen_groups, qualities

CONF = Path(__file__).resolve().parents[1] / "conf"
SPEC = """
question: Who?
attributes: [arpu_yuan, {sum: local_out_minutes + local_in_minutes}]
log: [arpu_yuan]
order_by: arpu_yuan
groups: 4
seed: 7
"""


def test_groups_are_numbered_by_the_ordering_attribute_then_the_others_then_the_centre():
    found = [
        GroupMeans(0, 5, {"age": 40.0, "arpu": 10.0}),
        GroupMeans(1, 5, {"age": 20.0, "arpu": 90.0}),
        GroupMeans(2, 5, {"age": 60.0, "arpu": 10.0}),
        GroupMeans(3, 5, {"age": 40.0, "arpu": 10.0}),
        GroupMeans(4, 5, {"age": 99.0, "arpu": None}),
    ]
    centres = [(2.0,), (0.0,), (0.0,), (1.0,), (0.0,)]
    assert [g.cluster for g in canonical_order(found, centres, "arpu")] == [1, 2, 3, 0, 4]
    assert [g.cluster for g in canonical_order(found[::-1], centres, "arpu")] == [1, 2, 3, 0, 4]


def test_classes_join_the_nearest_centres_and_are_numbered_by_their_first_group():
    centres = [(10.0, 0.0), (0.0, 0.0), (10.5, 0.0), (0.0, 0.4), (100.0, 0.0)]
    assert ward_classes(centres, 3) == [1, 2, 1, 2, 3]
    assert ward_classes(centres, 5) == [1, 2, 3, 4, 5]
    assert ward_classes(centres[:1], 7) == [1]


def test_an_index_is_the_group_mean_over_the_mean_of_all_customers_with_a_value():
    small = Totals(0, 2, {"arpu": 100.0, "mb": 6.0}, {"arpu": 5000.0, "mb": 36.0}, {"arpu": 2, "mb": 1})
    large = Totals(1, 8, {"arpu": 100.0, "mb": 0.0}, {"arpu": 1250.0, "mb": 0.0}, {"arpu": 8, "mb": 0})
    found = profile([small], [small, large])
    assert (found.customers, found.customers_share) == (2, 0.2)
    assert found.means == {"arpu": 50.0, "mb": 6.0} and found.overall == {"arpu": 20.0, "mb": 6.0}
    assert (found.index("arpu"), found.index("mb"), found.index("unknown")) == (2.5, 1.0, None)
    assert profile([large], [small, large]).index("mb") is None


def test_a_class_is_profiled_over_all_its_customers():
    a, b = Totals(0, 1, {"x": 9.0}, {"x": 81.0}, {"x": 1}), Totals(1, 3, {"x": 3.0}, {"x": 3.0}, {"x": 3})
    assert profile([a, b], [a, b]).means == {"x": 3.0}


def test_numbers_are_those_of_the_matching_of_least_total_distance_where_no_pair_lies_too_far_apart():
    """Against all ways to match: every former centre to one new one or to none, which costs the limit."""
    draw = random.Random(5)
    for _ in range(20):
        former = {number: (draw.uniform(0, 4), draw.uniform(0, 4)) for number in (2, 3, 7, 8)}
        centres = [(draw.uniform(0, 4), draw.uniform(0, 4)) for _ in range(4)]
        nearest = [min(dist(a, b) for b in former.values() if b is not a) for a in former.values()]
        limit = 0.8 * median(nearest)

        def cost(chosen, former=former, centres=centres, limit=limit):
            return sum(min(dist(c, former[n]), limit) for c, n in zip(centres, chosen, strict=True))

        best = min(permutations(former), key=cost)
        expected = [n if dist(c, former[n]) <= limit else None for c, n in zip(centres, best, strict=True)]
        found = kept_numbers(centres, former, 8, 0.8)
        assert [None if k.is_new else k.number for k in found] == expected
        assert [k.number for k in found if k.is_new] == list(range(9, 9 + expected.count(None)))


def test_the_first_month_numbers_in_order_and_more_groups_than_before_get_further_numbers():
    assert [k.number for k in kept_numbers([(0.0,), (5.0,)], {}, 0, 1.0)] == [1, 2]
    found = kept_numbers([(9.0,), (1.1,), (3.0,)], {1: (1.0,), 4: (3.2,)}, 6, 1.0)
    assert [(k.number, k.is_new) for k in found] == [(7, True), (1, False), (4, False)]
    assert found[0].distance == pytest.approx(5.8)


def test_small_groups_are_merged_where_the_squares_grow_least_so_that_large_ones_stay_apart():
    # squares grow by n m / (n + m) x distance^2: about 1 for the two at 0 and 1.4, 50 for the hundreds at 10 and 11; an empty one counts for nothing
    centres = np.array([[0.0], [10.0], [1.4], [11.0], [7.0]])
    assert sorted(merged(centres, [1, 100, 1, 100, 0], 3)[:, 0]) == pytest.approx([0.7, 10, 11])
    assert sorted(merged(centres, [3, 100, 1, 100, 0], 3)[:, 0]) == pytest.approx([0.35, 10, 11])
    assert sorted(merged(centres, [1, 100, 1, 100, 0], 2)[:, 0]) == pytest.approx([0.7, 10.5])
    assert merged(centres, [1, 1, 1, 1, 1], 9).tolist() == centres.tolist()


def clumps(centres, size=60, spread=0.3):
    """So many points about each centre."""
    draws = np.random.default_rng(1)
    return np.concatenate([centre + spread * draws.standard_normal((size, len(centre))) for centre in np.array(centres, dtype=float)])


def test_of_several_numbers_of_groups_the_planted_one_is_most_stable_and_of_highest_silhouette():
    spec = SegmentationSpec("?", ("a", "b"), "a", groups=4, seed=3, try_groups=(6, 2, 4, 3))
    found = {q.groups: q for q in qualities(clumps([(0, 0), (0, 4), (4, 0), (5, 5)]), spec)}
    assert list(found) == [2, 3, 4, 6]
    assert found[4].stability == 1.0 and found[4].stability_error == 0.0 and found[4].silhouette > 0.8
    assert found[6].stability < 0.95 and all(found[k].silhouette < found[4].silhouette for k in (2, 3, 6))
    assert chosen_groups(list(found.values()), None) == 4


def test_without_groups_in_the_data_no_number_of_groups_is_stable():
    noise = np.random.default_rng(2).standard_normal((300, 6))
    assert [q for q in qualities(noise, SegmentationSpec("?", ("a", "b"), "a", groups=8, seed=3)) if q.stability > 0.6] == []


def test_points_that_are_too_few_for_a_number_of_groups_judge_only_the_others():
    spec = SegmentationSpec("?", ("a", "b"), "a", groups=2, seed=3, try_groups=(2, 3))
    assert [q.groups for q in qualities(clumps([(0, 0), (9, 9), (0, 9)], size=20, spread=0.0), spec)] == [2]


def test_as_stable_as_the_best_the_number_of_the_month_before_stays_else_the_highest_silhouette_counts():
    found = [Quality(3, 0.90, 0.01, 0.2), Quality(5, 0.95, 0.04, 0.3), Quality(6, 0.92, 0.01, 0.4), Quality(9, 0.80, 0.01, 0.9)]
    assert chosen_groups(found, None) == 6
    assert chosen_groups(found, 5) == 5
    assert chosen_groups(found, 3) == 6 and chosen_groups(found, 9) == 6


@pytest.fixture
def conf(tmp_path):
    def write(spec: str = SPEC, over: str | None = None) -> Path:
        (tmp_path / "segments").mkdir(exist_ok=True)
        (tmp_path / "segments" / "who.yml").write_text(spec)
        if over is not None:
            (tmp_path / "sources" / "op").mkdir(parents=True, exist_ok=True)
            (tmp_path / "sources" / "op" / "segments.yml").write_text(over)
        return tmp_path

    return write


def test_attributes_are_view_columns_or_sql_with_a_name(conf):
    spec = load_segments(conf(), "op")["who"]
    assert spec.expressions == {"arpu_yuan": "`arpu_yuan`", "sum": "local_out_minutes + local_in_minutes"}
    assert (spec.groups, spec.classes, spec.seed) == (4, None, 7)


def test_an_attribute_may_describe_the_groups_without_forming_them(conf):
    spec = load_segments(conf(SPEC + "profile: [tenure_months]\n"), "op")["who"]
    assert list(spec.forming) == ["arpu_yuan", "sum"]
    assert list(spec.expressions) == ["arpu_yuan", "sum", "tenure_months"]


def test_a_source_may_change_or_leave_out_a_segmentation(conf):
    assert load_segments(conf(over="who: {groups: 3}"), "op")["who"].groups == 3
    assert load_segments(conf(over="who: null"), "op") == {}


def test_a_source_that_changes_an_unknown_segmentation_is_told_the_nearest(conf):
    with pytest.raises(ConfigError, match=r"segments\.yml: wo: no such segmentation \(did you mean 'who'\?\)"):
        load_segments(conf(over="wo: {groups: 3}"), "op")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("order_by: arpu_yuan", "order_by: arpu", "order_by: 'arpu' is no attribute"),
        ("log: [arpu_yuan]", "log: [arpu_yuen]", "log: 'arpu_yuen' is no attribute (did you mean 'arpu_yuan'?)"),
        ("groups: 4", "groups: 1", "groups: 1, at least 2 is needed"),
        ("groups: 4", "groups: 4\nweights: {arpu_yuan: 0}", "weights.arpu_yuan: 0, above 0 is wanted"),
        ("groups: 4", "groups: 4\nroot: [arpu_yuan]", "'arpu_yuan' is in both log and root"),
        ("groups: 4", "groups: 4\nroot: [summ]", "root: 'summ' is no attribute (did you mean 'sum'?)"),
        ("groups: 4", "groups: 4\nclasses: 5", "classes: 5, but there are 4 groups"),
        ("groups: 4", "groups: 4\ntry_groups: [1, 3]", "try_groups: 1, at least 2 is needed"),
        ("groups: 4", "groups: 4\ntry_groups: [5, 3]\nclasses: 4", "classes: 4, but there are 3 groups"),
        ("groups: 4", "groups: 4\npreclusters: 4", "preclusters: 4, more than the 4 groups are needed"),
        ("groups: 4", "groups: 4\nclass_names: [{name: a, when: 'true'}]", "class_names: there are no classes"),
        ("[arpu_yuan, {sum", "[arpu_yuan, arpu_yuan, {sum", "attributes: 'arpu_yuan' stands 2 times"),
    ],
)
def test_what_cannot_be_meant_is_refused(conf, old, new, told):
    with pytest.raises(ConfigError) as error:
        load_segments(conf(SPEC.replace(old, new)), "op")
    assert told in str(error.value)


def test_sixteen_groups_in_seven_classes_and_twenty_three_traffic_groups_are_shipped():
    specs = load_segments(CONF, "none")
    assert (specs["customer_group"].groups, specs["customer_group"].classes) == (16, 7)
    assert (specs["traffic_group"].groups, specs["traffic_group"].classes) == (23, None)
    assert {"incoming from other provinces", "migrant worker, mid-range"} <= {rule.name for rule in specs["traffic_group"].names}
