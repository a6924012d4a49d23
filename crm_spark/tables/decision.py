"""Decisions: compiled matrices, recommendations, and why not."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, count, day, number, text, whole
from crm_spark.tables.contract import Field, Table

_TEXTS = T.ArrayType(T.StringType())
_MAP = T.MapType(T.StringType(), T.StringType())

OFFER = T.StructType(
    [
        T.StructField("goal", T.StringType()),
        T.StructField("goal_place", T.IntegerType()),
        T.StructField("policy_id", T.StringType()),
        T.StructField("candidate_rank", T.IntegerType()),
        T.StructField("matrix", T.StringType()),
        T.StructField("rule", T.StringType()),
    ]
)
RUNNER_UP = T.StructType(
    [
        T.StructField("policy_id", T.StringType()),
        T.StructField("goal", T.StringType()),
        T.StructField("goals_behind", T.IntegerType()),
        T.StructField("ranks_behind", T.IntegerType()),
    ]
)
HITS = T.ArrayType(T.StructType([T.StructField("rule", T.StringType()), T.StructField("outputs", _MAP)]))

MATRIX_CELL = Table(
    "decision",
    "matrix_cell",
    "One row per matrix and non-empty cell of its grid of atoms.",
    (
        CITY,
        MONTH,
        text("matrix", "Matrix name."),
        text("matrix_version", "Content version: hash of its files and the policies."),
        Field("cell", T.LongType(), "Mixed-radix number of the atom of each input."),
        Field("hits", HITS, "Rules that fire, in hit-policy order, with their outputs."),
    ),
    ("city", "month", "matrix", "cell"),
)

RECOMMENDATION = Table(
    "decision",
    "recommendation",
    "One row per customer of the view: the one-to-one recommendation of the month (客户推荐政策表).",
    (
        CITY,
        MONTH,
        USER_ID,
        Field("priority", _TEXTS, "Goals in order: retention, traffic, new_service."),
        text("main_policy", "Main retention policy; null if none."),
        text("policy_group", "Retention policy group; null if none."),
        Field("group_policies", _TEXTS, "Policies of the group that the clerk may choose, main one first."),
        Field("new_services", _TEXTS, "New-service policies in order."),
        Field("traffic_policies", _TEXTS, "Traffic policies in order."),
        text("vpn_policy", "Virtual-network policy; null if none."),
        text("wording", "What to say: wording of the first offer by priority (推荐语)."),
        text("value_grade", "Value grade the decision was made with."),
        Field("target_lists", _MAP, "Offer mode per goal from the retrieval matrices: one-to-one or mass."),
        Field("rules", T.MapType(T.StringType(), _TEXTS), "Rules that fired, per matrix."),
        Field("matrix_versions", _MAP, "Version per matrix."),
        Field("model_versions", _MAP, "Registry version per model."),
        Field("reasons", _TEXTS, "Why, in a planner's words, one per matrix that fired."),
        text("matrix_set", "Version of the whole matrix set; ops.matrix_history keeps its text."),
        Field("rule_values", _MAP, "What the customer has in the columns that the fired rules test, exactly; null where nothing is."),
        Field("offers", T.ArrayType(OFFER), "All offers, best first: by the place of the goal, then by rank among its candidates; and who proposed each."),
        Field("runner_up", RUNNER_UP, "The second offer, and by how much it lost: places of its goal, or, of the same goal, ranks of candidates."),
        Field("candidates", T.MapType(T.StringType(), T.IntegerType()), "Policies that rules proposed, per goal: so many were chosen or excluded."),
        Field("score_drivers", T.MapType(T.StringType(), _TEXTS), "Per policy offered what moved the scores it rests on (its rule, chance or worth), in words."),
        text("tier", "Value tier, whose treatment says which families of policies are open; null where no matrix tells one."),
    ),
    KEY,
)

EXCLUSION = Table(
    "decision",
    "exclusion",
    "One row per customer, goal and candidate policy that was dropped, with the stage and the reason.",
    (
        CITY,
        MONTH,
        USER_ID,
        text("goal", "Goal."),
        text("policy_id", "Candidate."),
        whole("candidate_rank", "Its place among the goal's candidates, from 1."),
        text("matrix", "Matrix that proposed it."),
        text("rule", "Rule that proposed it."),
        text("stage", "eligibility, matrices, contact, holdout, arbitration or capacity."),
        text("reason", "held, expired, treatment, not_retrieved, another_rule, opted_out, frequency_cap, universal, outscored, no_room, ... (docs/choosing.md)."),
    ),
    (*KEY, "goal", "policy_id"),
)

OPPORTUNITY = Table(
    "decision",
    "opportunity",
    "One row per customer and need that a matrix tells: opportunity discovery (商机发现).",
    (
        CITY,
        MONTH,
        USER_ID,
        text("need", "Need, as the sheet names it."),
        text("kind", "present (behaviour shows it) or latent (not used yet, but like those who do)."),
        number("score", "How strong, 0-100; null where the column it is taken from has no value."),
        text("goal", "Goal whose policies would meet it."),
        text("reason", "Why, in a planner's words with the customer's values."),
        text("matrix", "Matrix that tells it."),
        text("rule", "Rule that tells it; if several do, the first."),
    ),
    (*KEY, "need"),
    checks={
        "score_is_a_score": "score IS NULL OR score BETWEEN 0 AND 100",
        "kind_is_known": "kind IS NULL OR kind IN ('present', 'latent')",
    },
)

ROUND = T.StructType(
    [
        T.StructField("arm", T.StringType()),
        T.StructField("price", T.DoubleType()),
        T.StructField("is_open", T.BooleanType()),
        T.StructField("cut", T.DoubleType()),
    ]
)

CHOICE = Table(
    "decision",
    "choice",
    "One row per customer of the view: the one offer of the month, by which channel on which day, or none.",
    (
        CITY,
        MONTH,
        USER_ID,
        Field("person_id", T.StringType(), "Pseudonym of the person, else the user_id: contacts are counted by it."),
        text("arm", "target, explore (an offer drawn at random) or holdout (never contacted)."),
        Field("controls", _TEXTS, "Campaigns whose control group the person belongs to."),
        text("goal", "Goal of the offer; null without one."),
        text("policy_id", "Policy offered; decision.exclusion tells why each other one was not."),
        text("channel", "Channel."),
        day("day", "Day of the contact; null where the customer comes to us."),
        text("send_from", "Local time from which it may be sent, as 09:00."),
        text("send_until", "Local time at which it expires that day."),
        day("valid_from", "First day on which the policy may be sold, at the counter too."),
        day("valid_to", "Last such day."),
        number("propensity", "Calibrated chance that the offer is taken."),
        number("net_value_yuan", "What it is expected to bring more than no offer, subsidy and contact paid."),
        number("score", "Net value with the weights of priority and lever."),
        number("spend_yuan", "What it is expected to cost: contact and subsidy."),
        count("candidates", "Policies by channel that could have been chosen."),
        number("selection_probability", "Chance that just this was chosen: for off-policy evaluation; null without an offer."),
        text("runner_up_policy", "The next best; null if there was none."),
        text("runner_up_channel", "Its channel."),
        number("lost_by", "By how much it lost, after the prices of scarce capacities."),
        whole("settled_place", "Place from 0 among what could be chosen, where an exact solution of the last few set it, -1 for none; null: prices did."),
        Field("score_drivers", _TEXTS, "What moved the scores that the offer rests on, in words, as decision.recommendation tells it; null without an offer."),
        text("matrix_set", "Version of the matrix set it was chosen by; ops.matrix_history keeps its text."),
    ),
    KEY,
)

CAPACITY_USE = Table(
    "decision",
    "capacity_use",
    "One row per limit of conf/choosing.yml and city, channel, ... it is for: how far it is used, and what one more would be worth.",
    (
        CITY,
        MONTH,
        text("capacity", "Name of the limit."),
        text("of", "For which city, channel, policy, day; empty for all together."),
        text("unit", "offers or yuan."),
        number("least", "Minimum."),
        number("most", "Maximum; null for none."),
        number("used", "Used by the choices of this run and of cities that were not run."),
        number("price", "What one more would bring, in the units of the score; below zero what the minimum costs."),
        Field(
            "rounds",
            T.ArrayType(ROUND),
            "Per arm and round in which customers chose: the price, whether there was room, how much better than the next best an offer had to be (null: at all).",
        ),
    ),
    ("city", "month", "capacity", "of"),
)

DECISION_TABLES = (MATRIX_CELL, RECOMMENDATION, EXCLUSION, OPPORTUNITY, CHOICE, CAPACITY_USE)
