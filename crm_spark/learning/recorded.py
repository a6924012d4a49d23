"""A champion of any table in the shape that the registry and the model card take."""

from __future__ import annotations

from typing import cast

from crm_spark.config.models import Algorithm, Label, ModelSpec, Windows
from crm_spark.config.table_models import TableSpec
from crm_spark.learning.derive import Feature
from crm_spark.learning.encode import SHARE
from crm_spark.learning.features import FeatureSet
from crm_spark.learning.rules import tree_rules
from crm_spark.learning.search import Fitted, Tried
from crm_spark.learning.split import HOLD_OUT, TRAIN, VALIDATION, Count, Split
from crm_spark.learning.trainer import Candidate, Prepared, Trained
from crm_spark.learning.trees import TreeModel

EXPLAINER, SPEC = "explainer.json", "table_spec.json"
COLUMNS = "columns.json"  # what each column was taken for, and the SQL that reads it
ONCE = "once"  # stands for the as-of month


def as_trained(fitted: Fitted) -> Trained:
    """The same champion as the models of the month have it."""
    spec = fitted.spec
    label = Label(f"{spec.label.column} = {spec.label.positive}", outcome=spec.label.column)
    model = ModelSpec(
        spec.name, spec.question, "true", label, Windows(1, 0, 1), (Algorithm("gbt"),), {"default": dict(spec.grades or {})}, spec.gate,
        groups=spec.groups, max_rows=spec.max_rows, refit=True, seed=spec.seed,
    )  # fmt: skip
    split = Split("time" if spec.hold_out.time else "key", _parted(spec), (ONCE,), (ONCE,), 0)
    learnt, chose = fitted.sizes[TRAIN], fitted.sizes[VALIDATION]
    counts = {(ONCE, False): Count(learnt[0] + chose[0], learnt[1] + chose[1]), (ONCE, True): Count(*fitted.sizes[HOLD_OUT])}
    features = FeatureSet({f.words: f.sql for f in fitted.features}, {}, fitted.columns.dropped)
    prepared = Prepared(model, fitted.rows, (), features, fitted.inputs, split, counts)
    metrics = {**fitted.metrics, "validation_auc": fitted.validation}
    rules = {"tree": tree_rules(fitted.readable, list(map(_rule_words, fitted.features)), {})} if fitted.readable else {}
    candidates = tuple(map(_candidate, fitted.tried))
    return Trained(
        prepared, fitted.pipeline, _chosen(fitted), candidates, metrics, fitted.hold_out, fitted.importances, rules, fitted.groups, fitted.alone,
        fitted.calibration,
    )  # fmt: skip


def _rule_words(feature: Feature) -> str:
    """In rules a text is the share with the label of its level."""
    return f"share with the label among those of the same {feature.words}" if feature.id.endswith(SHARE) else feature.words


def _parted(spec: TableSpec) -> str:
    if spec.hold_out.time:
        gap = f", and the {spec.hold_out.gap:g} before them learn nothing" if spec.hold_out.gap else ""
        return f"by time: about {spec.hold_out.share:.0%} held out, the newest by {spec.hold_out.time}{gap}"
    return f"by salted hash of {', '.join(spec.key) or 'the row'}: {spec.hold_out.share:.0%} held out"


def _candidate(tried: Tried) -> Candidate:
    return Candidate(tried.recipe.name, tried.recipe.settings, cast(TreeModel, tried.model), tried.validation, tried.error)


def _chosen(fitted: Fitted) -> Candidate:
    recipes = {member.recipe.name: member.recipe.settings for member in fitted.members}
    names, settings = " + ".join(recipes), next(iter(recipes.values()))
    if len(recipes) > 1:
        settings = {f"{name}_{setting}": value for name, own in recipes.items() for setting, value in own.items()}
    return Candidate(names, settings, cast(TreeModel, fitted.members[0].model), fitted.validation, None)
