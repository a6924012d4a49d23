"""A small model that is trained in seconds."""

import random
from dataclasses import replace

from crm_spark.config.models import Algorithm, Features, Gate, Label, ModelSpec, Windows
from crm_spark.learning.trainer import needed_columns, prepare, train

VIEW = (
    "city string, month string, user_id string, split_bucket int, "
    "minutes double, noise double, plan string, hall string, offer string, unread map<string,int>"
)
ROWS = VIEW + ", label_value double"
CUSTOMERS = 600
SPEC = ModelSpec(
    name="leaves",
    question="Will it leave?",
    population="minutes IS NOT NULL",
    label=Label("left", value="bool_or(NOT p.present)"),
    windows=Windows(1, 0, 1),
    algorithms=(Algorithm("gbt", {"maxIter": (3.0,), "maxDepth": (2.0,)}), Algorithm("tree", {"maxDepth": (2.0,)})),
    grades={"default": {"high": 50.0, "low": 0.0}, "B": {"high": 1.0, "low": 0.0}},
    gate=Gate(0.7, 1.2, 0.3),
    features=Features(exclude=("offer",), add={"double_minutes": "2 * minutes"}),
    groups={"city": "city", "plan": "plan", "odd": "IF(pmod(split_bucket, 2) = 1, 'odd', NULL)"},
)


def customers():
    """Those with few minutes leave, mostly; every seventh customer does the opposite. Halls are as many as there are customers in ten."""
    chance = random.Random(5)
    for i in range(CUSTOMERS):
        minutes, odd = chance.uniform(0, 100), i % 7 == 0
        left = float((minutes < 30) != odd)
        yield ("A" if i % 2 else "B", "2025-01", f"u{i:03d}", i % 100, minutes, chance.random(), f"plan{i % 3}", f"hall{i // 10}", "none", {}, left)


def fitted(rows, spec=SPEC):
    prepared = prepare(spec, needed_columns(spec, rows))
    return train(replace(prepared, frame=prepared.frame.persist()))
