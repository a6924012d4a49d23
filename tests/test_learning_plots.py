"""The pictures of a model."""

import io

from crm_spark.learning import measures as m
from crm_spark.learning.groups import Group
from crm_spark.learning.plots import figures


def test_names_with_dollar_signs_are_drawn_and_make_no_formula():
    """Two in a name, as `cost_$_per_day_$`, would be one with an error in it, told only when the picture is drawn."""
    scores = m.score_table([0.1, 0.4, 0.8], [50, 30, 20], [5, 10, 15])
    group = Group("plan_$_a_$", "from $5 to $_9", 100.0, 30.0, 0.3, 10.0, 0.5, 0.7, 0.02)
    drawn = figures("a_$_b_$", scores, {"cost_$_per_day_$": 0.6, "bill_$ per income_$": 0.4}, [group], 5)
    assert {"importance.png", "groups.png"} <= set(drawn)
    for figure in drawn.values():
        figure.savefig(io.BytesIO(), format="png")
