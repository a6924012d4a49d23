"""The gate: what the hold-out must show before a model may become champion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from crm_spark.config.models import Gate
from crm_spark.learning.groups import Group, unstable
from crm_spark.learning.single import telling
from crm_spark.learning.trainer import CHAMPION_AUC, Trained

_NOISE = 1.5  # so many times the mean error of perfect calibration is still chance: about one perfect model in forty shows more


def missed(trained: Trained) -> tuple[str, ...]:
    """Why a model may not become champion, one sentence per missed bar; empty if it may."""
    spec = trained.spec
    measured = gate_failures(trained.metrics, spec.gate, trained.groups, spec.gate.stability.watched(spec.groups))
    return (*measured, *(_alarm(name, auc, spec.gate.single_auc) for name, auc in telling(trained.alone, spec.gate.single_auc).items()))


def gate_failures(metrics: Mapping[str, float], gate: Gate, groups: Sequence[Group] = (), watched: Sequence[str] = ()) -> tuple[str, ...]:
    """The same of measures, and of those groups of customers whose kind is watched."""
    lift = min(gate.lift_at_10, _halfway(metrics.get("test_base_rate", 0.0)))
    positives = round(metrics["test_customers"] * metrics["test_base_rate"]) if gate.positives else 0
    bars = (
        (positives >= gate.positives, f"of those held out {positives} have the label, too few to judge by: {gate.positives} are wanted"),
        (metrics["test_auc"] >= gate.auc, f"AUC {metrics['test_auc']:.4f} is below {gate.auc:g}"),
        (metrics["test_lift_10"] >= lift, f"lift at 10 % {metrics['test_lift_10']:.2f} is below {lift:.4g}"),
        (
            metrics.get("test_precision", 0.0) >= gate.precision,
            f"precision {metrics.get('test_precision', 0.0):.4f} is below {gate.precision:g}",
        ),
        (
            metrics["test_calibration_error"] <= max(gate.calibration_error, _NOISE * metrics.get("test_calibration_noise", 0.0)),
            f"calibration error {metrics['test_calibration_error']:.4f} is above {gate.calibration_error:g}",
        ),
        (
            metrics["test_auc"] >= metrics.get(CHAMPION_AUC, 0.0) - gate.below_champion,
            f"AUC {metrics['test_auc']:.4f} is {_more_than(gate.below_champion)}below the champion's {metrics.get(CHAMPION_AUC, 0.0):.4f} on the same customers",
        ),
    )
    return (*[reason for passed, reason in bars if not passed], *unstable(groups, gate.stability, watched, metrics["test_auc"]))


def _halfway(base_rate: float) -> float:
    """The lift half way from chance to what is possible where so many have the label."""
    return (1 + 1 / base_rate) / 2 if base_rate else math.inf


def _more_than(allowed: float) -> str:
    return f"more than {allowed:g} " if allowed else ""


def _alarm(feature: str, auc: float, most: float) -> str:
    return f"'{feature}' alone has an AUC of {auc:.4f}, above {most:g}: does it tell what came after? Exclude it, or raise gate.single_auc"
