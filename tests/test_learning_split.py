"""Who trains, who chooses, who judges: on counts alone, without a session."""

import pytest

from crm_spark.config.models import Algorithm, Gate, Label, ModelSpec, Selection, Windows
from crm_spark.learning.split import Count, choose_split

MONTHS = ("2024-08", "2024-09", "2024-10", "2024-11", "2024-12", "2025-01")


def spec(gap=0, performance=2, **changes):
    windows = Windows(3, gap, performance)
    grades = {"default": {"high": 50.0, "low": 0.0}}
    return ModelSpec("m", "?", "true", Label("l", value="true"), windows, (Algorithm("tree"),), grades, Gate(0.6, 1.1, 0.1), **changes)


def counts(*months, learnt=100, held_out=100):
    return {(m, held): Count(1000, held_out if held else learnt) for m in months for held in (False, True)}


def test_the_last_month_judges_and_only_months_whose_label_was_known_by_then_are_learnt_from():
    """The label of November looks at December and January, that of December at January and February, which January cannot know."""
    split = choose_split(spec(), counts(*MONTHS))
    assert (split.by, split.train_months, split.test_months) == ("time", MONTHS[:4], ("2025-01",))
    assert choose_split(spec(gap=1), counts(*MONTHS)).train_months == MONTHS[:3]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (counts("2025-01"), "only one label month (2025-01)"),
        (counts("2024-12", "2025-01"), "no label was known before the last as-of month, 2025-01; it takes 2 months"),
        (counts("2024-11", "2025-01", learnt=50), "100 positives to learn from, by time needs 200"),
    ],
)
def test_without_a_month_known_before_or_with_few_positives_the_split_is_by_bucket_and_says_why(found, reason):
    split = choose_split(spec(), found)
    assert (split.by, split.reason) == ("bucket", f"by bucket: {reason}")
    assert split.train_months == split.test_months == tuple(sorted({m for m, _ in found}))


def test_the_labels_of_held_out_customers_do_not_choose_the_split():
    few, many = (choose_split(spec(), counts("2024-10", "2025-01", learnt=90, held_out=h)) for h in (1, 900))
    assert few == many


def test_the_configuration_says_how_many_buckets_choose_and_how_many_positives_judge_a_month():
    changed = spec(selection=Selection(validation_buckets=20), time_split_positives=10)
    split = choose_split(changed, counts("2024-10", "2025-01", learnt=9))
    assert (split.by, split.validation_below) == ("time", 50)
