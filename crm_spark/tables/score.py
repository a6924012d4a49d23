"""Scores: value, models, segments, and the personal index that gathers them."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import types as T

from crm_spark.tables.common import CITY, KEY, MONTH, USER_ID, count, number, text, truth, whole
from crm_spark.tables.contract import Field, Table

_TEXTS = T.ArrayType(T.StringType())
_PARTS = T.MapType(T.StringType(), T.DoubleType())

VALUE_SCORE = Table(
    "score",
    "value_score",
    "One row per subscriber and month: what the subscriber is worth, 0-100, AHP-weighted.",
    (
        CITY,
        MONTH,
        USER_ID,
        number("value", "Personal value, 0-100; null if no part could be fed."),
        number("direct_value", "Direct part, 0-100."),
        number("indirect_value", "Indirect part, 0-100."),
        Field("parts", _PARTS, "Score 0-100 of each leaf that was used."),
        Field("weights", _PARTS, "Renormalised weight of each leaf that was used."),
        text("value_grade", "high, mid-high, mid or low by rank within the city."),
    ),
    KEY,
    checks={"value_is_a_score": "value IS NULL OR value BETWEEN 0 AND 100"},
)

MODEL_SCORE = Table(
    "score",
    "model_score",
    "One row per subscriber, month and model with a champion, for the model's population.",
    (
        CITY,
        MONTH,
        USER_ID,
        text("model", "Model name."),
        number("probability", "Probability of the label."),
        number("score", "100 x probability, rounded to 6 digits."),
        text("grade", "Grade by the city's thresholds."),
        text("model_version", "Registry version that scored."),
        Field("drivers", _TEXTS, "The three features that moved the score most from the average, greatest first, as `raised by tenure months`; null if not known."),
        Field("effects", T.ArrayType(T.DoubleType()), "What each of `drivers` adds to the log-odds of the probability, in their order."),
        number("base", "Log-odds of the average customer that the model learnt from; with `effects` and `rest` those of the probability."),
        number("rest", "What all other features add to the log-odds."),
    ),
    (*KEY, "model"),
    checks={"score_is_a_score": "score IS NULL OR score BETWEEN 0 AND 100"},
)

SHADOW_SCORE = replace(
    MODEL_SCORE, name="shadow_score", grain="One row per subscriber, month and model with a shadow, for comparison only: nothing decides by it."
)

SEGMENT = Table(
    "score",
    "segment",
    "One row per subscriber, month and segmentation.",
    (
        CITY,
        MONTH,
        USER_ID,
        text("segmentation", "Segmentation: a file of conf/segments (customer_group: 16 groups in 7 classes, traffic_group: 23) or of conf/segments/rules."),
        whole("group_number", "Number of the group, from 1; the same as in the month before if it is the same group."),
        whole("class_number", "Number of its class, likewise; null without classes."),
        text("group_name", "Name by profile conditions."),
        text("class_name", "Name of the class."),
    ),
    (*KEY, "segmentation"),
)

SEGMENT_PROFILE = Table(
    "score",
    "segment_profile",
    "One row per month, segmentation, group and attribute: how the group differs from all.",
    (
        CITY,
        MONTH,
        text("segmentation", "Segmentation."),
        whole("group_number", "Number of the group."),
        whole("class_number", "Its class."),
        text("class_name", "Name of the class; null without classes."),
        text("group_name", "Name by profile conditions; groups alike may share one."),
        text("group_label", "The name, and where groups share it what sets this one apart."),
        count("customers", "Customers in the group."),
        text("attribute", "Attribute of the view."),
        number("group_mean", "Mean in the group."),
        number("overall_mean", "Mean over all."),
        number("index", "group mean / overall mean, 1 is average."),
        number("distance", "(group mean - overall mean) / standard deviation over all customers."),
        number("centre", "Where the group's centre lies, as the attribute enters the clustering (after log or root); null if it forms no group."),
        text("lever", "What is done with the group, of rule segments; else null."),
    ),
    ("city", "month", "segmentation", "group_number", "attribute"),
)

SEGMENT_MIGRATION = Table(
    "score",
    "segment_migration",
    "One row per city, month, segmentation, group before and group now: how many customers went from the one to the other.",
    (
        CITY,
        MONTH,
        text("month_before", "The latest month before that has groups."),
        text("segmentation", "Segmentation."),
        replace(whole("group_before", "Number of the group before; null for who was no customer then."), nullable=True),
        text("group_name_before", "Its name then."),
        replace(whole("group_number", "Number of the group now; null for who is no customer any more."), nullable=True),
        text("group_name", "Its name now."),
        count("customers", "Customers who went this way; who left counts in the city of before."),
        number("share", "Customers / customers of the city in the group before (of those new, among all new)."),
    ),
    ("city", "month", "segmentation", "group_before", "group_number"),
    checks={"share_is_a_share": "share IS NULL OR share BETWEEN 0 AND 1"},
)

SERVICE_INDEX = Table(
    "score",
    "service_index",
    "One row per subscriber, service and month in which the service is held or used: how active the user is (新业务指数月表).",
    (
        CITY,
        MONTH,
        USER_ID,
        text("service", "Service code."),
        truth("is_held", "Subscribed at month end."),
        whole("held_months", "Whole months held; null if not held."),
        number("activity", "Composite activity 0-100, 50 at the mean user of the service; 0 if held and not used; null if no use is told."),
    ),
    (*KEY, "service"),
    checks={"activity_is_a_score": "activity IS NULL OR activity BETWEEN 0 AND 100"},
)

PERSONAL_INDEX = Table(
    "score",
    "personal_index",
    "One row per subscriber and month: value, scores and groups side by side, with the previous three months (个人客户指数).",
    (
        CITY,
        MONTH,
        USER_ID,
        number("value", "Personal value."),
        text("value_grade", "Value grade."),
        Field("scores", T.MapType(T.StringType(), T.DoubleType()), "Score 0-100 per model."),
        Field("grades", T.MapType(T.StringType(), T.StringType()), "Grade per model."),
        Field("model_versions", T.MapType(T.StringType(), T.StringType()), "Registry version per model."),
        Field("drivers", T.MapType(T.StringType(), _TEXTS), "Per model the drivers of its score, as score.model_score tells them; without those not known."),
        Field("groups", T.MapType(T.StringType(), T.StringType()), "Group name per segmentation."),
        Field("value_history", T.ArrayType(T.DoubleType()), "Value of the previous three months, latest first, null where there is none."),
        Field("churn_history", T.ArrayType(T.DoubleType()), "Churn score of the previous three months."),
        Field("stickiness_history", T.ArrayType(T.DoubleType()), "Stickiness score of the previous three months."),
        Field("anomaly_history", T.ArrayType(T.DoubleType()), "Anomaly score of the previous three months."),
        number("expected_revenue_yuan", "Revenue expected of the next month, if the customer stays: half the last month, half the mean of the last three."),
        number("revenue_at_risk_yuan", "Expected revenue x churn score / 100; null without a score."),
        number("credit_limit_yuan", "Credit to propose: the months of expected revenue that the grade of credit risk allows (conf/value.yml)."),
    ),
    KEY,
)

SCORE_TABLES = (VALUE_SCORE, MODEL_SCORE, SHADOW_SCORE, SEGMENT, SEGMENT_PROFILE, SEGMENT_MIGRATION, SERVICE_INDEX, PERSONAL_INDEX)
