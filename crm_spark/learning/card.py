"""The model card: one HTML page that a manager can read and a reviewer can check."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from crm_spark.config.models import SEGMENT_COLUMN, ModelSpec
from crm_spark.learning.groups import MONTH, SHOWN, Group, of_kind
from crm_spark.learning.measures import calibration
from crm_spark.learning.trainer import CHAMPION_AUC, Candidate, Trained
from crm_spark.tables.mart import CUSTOMER_VIEW

InputVersions = Mapping[str, Mapping[str, Sequence[int | str]]]  # table -> as-of month -> versions; several where cities differ
SHOWN_FEATURES = 15
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}h1{margin-bottom:0}"
    "table{border-collapse:collapse;margin:.6em 0}td,th{border-bottom:1px solid #ddd;padding:.2em .8em;text-align:left}"
    "img{max-width:100%}.passed{color:#1a7f37}.missed{color:#b3261e}code{background:#f3f3f3;padding:0 .2em}"
)
_MEASURES = {
    "test_auc": "AUC: how often a customer with the label scores above one without (0.5 is chance)",
    "test_pr_auc": "Area under precision and recall (the base rate is chance)",
    "test_lift_10": "Lift in the tenth with the highest scores (1 is chance)",
    "test_precision": "Precision and recall, of as many customers with the highest scores as have the label",
    "test_ks": "Kolmogorov-Smirnov distance of the two classes",
    "test_calibration_error": "Calibration error over ten equal-count bins",
    "test_calibration_noise": "... that perfect calibration would still show with so many customers",
    "test_distinct_scores": "Distinct scores",
    CHAMPION_AUC: "AUC of the champion before it, on the same customers",
    "earlier_month_auc": "AUC on held-out customers of the months it learnt from",
}
_COSTS = {
    "cost_seconds": "Seconds from reading to this judgement",
    "cost_peak_java_mib": "Most memory of a Spark process up to then, MiB (other models beside it included)",
    "cost_peak_python_mib": "Most memory of the job's Python process up to then, MiB",
}


def model_card(trained: Trained, versions: InputVersions, failures: Sequence[str], pictures: Mapping[str, bytes]) -> str:
    """The question, how good the answer is, what it rests on, how it is used, and how it was made. No customer is on it."""
    spec = trained.spec
    sections = (
        ("How good it is", _quality(trained) + _pictures(pictures)),
        ("What it looks at", _drivers(trained)),
        ("How scores are graded", _grades(spec)),
        ("Who it was learnt from", _population(trained)),
        ("Is it stable over the months?", _months(trained)),
        ("Is it as good, and as fair, for every segment, city, gender and age?", _groups(trained)),
        ("How it was made", _making(trained, versions)),
    )
    body = "".join(f"<h2>{title}</h2>{content}" for title, content in sections)
    head = f"<h1>{escape(spec.name)}</h1><p>{escape(spec.question)}</p>{_verdict(failures)}"
    return f"<!doctype html><html><meta charset='utf-8'><title>{escape(spec.name)}</title><style>{_STYLE}</style>{head}{body}</html>\n"


def summary(trained: Trained, failures: Sequence[str]) -> str:
    """The result in a sentence or two, for lists of versions."""
    found = trained.metrics
    measured = (
        f"hold-out AUC {found['test_auc']:.3f}, lift at 10 % {found['test_lift_10']:.2f}, "
        f"calibration error {found['test_calibration_error']:.3f} on {found['test_customers']:,.0f} customers"
    )
    gate = f"Missed its gate: {'; '.join(failures)}." if failures else "Passed its gate."
    return f"{trained.spec.question} {trained.chosen.algorithm}, {measured}; {trained.prepared.split.reason}. {gate}"


def versions_told(months: Mapping[str, Sequence[int | str]]) -> str:
    """Versions per month in one line: `2024-12:3, 2025-01:3/4`."""
    return ", ".join(f"{month}:{'/'.join(map(str, versions))}" for month, versions in sorted(months.items()))


def _verdict(failures: Sequence[str]) -> str:
    if failures:
        return f"<p class='missed'><b>Missed its gate:</b> {escape('; '.join(failures))}. It does not score customers.</p>"
    return "<p class='passed'><b>Passed its gate:</b> it may score customers.</p>"


def _quality(trained: Trained) -> str:
    found = trained.metrics
    share, top = found["test_base_rate"], found["test_base_rate"] * found["test_lift_10"]
    told = (
        f"Of {found['test_customers']:,.0f} customers it never saw, {share:.1%} have the label. Among the tenth it scores highest it is "
        f"{top:.1%}: {found['test_lift_10']:.2f} times as many."
    )
    bins = calibration(trained.hold_out)
    rows = [(str(i), f"{p:.1%}", f"{o:.1%}") for i, (p, o) in enumerate(zip(bins.predicted, bins.observed, strict=True), 1)]
    measures = [(text, f"{found[name]:,.4g}") for name, text in _MEASURES.items() if name in found]
    return f"<p>{told}</p>{_table(('measure', 'hold-out'), measures)}{_table(('tenth of scores', 'predicted', 'observed'), rows)}"


def _drivers(trained: Trained) -> str:
    shown = list(trained.importances.items())[:SHOWN_FEATURES]
    rows = [(name, f"{share:.1%}", f"{trained.alone[name]:.3f}", _meaning(name)) for name, share in shown]
    note = (
        "<p>A share says how much a feature is used, not which way it points. A feature that alone has an AUC above "
        f"{trained.spec.gate.single_auc:g} raises an alarm: it may tell what came after.</p>"
    )
    return _table(("feature", "share of use", "AUC alone", "meaning"), rows) + note


def _meaning(feature: str) -> str:
    return next((f.comment for f in CUSTOMER_VIEW.fields if f.name == feature), "")


def _grades(spec: ModelSpec) -> str:
    rows = [
        ("all other cities" if scale == spec.default_grades else scale, *(f"from {thresholds[g]:g}" for g in spec.grade_names))
        for scale, thresholds in sorted(spec.grades.items(), key=lambda s: (s[0] != spec.default_grades, s[0]))
    ]
    return "<p>The score is 100 x the probability of the label.</p>" + _table(("city", *spec.grade_names), rows)


def _population(trained: Trained) -> str:
    spec, windows = trained.spec, trained.spec.windows
    window = "delivered by the operator" if spec.label.outcome else f"gap {windows.gap}, performance window {windows.performance} month(s)"
    rows = [
        (month, "yes" if held_out else "no", f"{count.customers:,}", f"{count.positives:,}", f"{count.rate:.1%}")
        for (month, held_out), count in sorted(trained.prepared.counts.items())
    ]
    condition = escape(spec.label.value or f"outcome {spec.label.outcome}")
    return (
        f"<p>Population: <code>{escape(spec.population)}</code>. Label {escape(spec.label.name)} ({window}): <code>{condition}</code>.</p>"
        f"<p>Split {escape(trained.prepared.split.reason)}. Held-out customers never chose anything.</p>"
        + _table(("as-of month", "held out", "customers", "with the label", "rate"), rows)
    )


def _months(trained: Trained) -> str:
    found = of_kind(trained.groups, MONTH)
    if not found:
        return "<p>Months are not told apart.</p>"
    judged = trained.prepared.split.test_months
    rows = [(f"{g.level}{'' if g.level in judged else ' (learnt from)'}", *_measured(g, trained.spec)) for g in found]
    return "<p>All of these customers are held out: in months that it learnt from, it learnt from others.</p>" + _table(("as-of month", *_MEASURED), rows)


def _groups(trained: Trained) -> str:
    spec = trained.spec
    if not spec.groups:
        return "<p>No <code>groups</code> are named in its spec.</p>"
    least = spec.gate.stability.least
    note = (
        "<p>Right for a group means that the mean probability is the share that has the label. <i>In the top tenth</i> is the share of the group among the "
        "tenth of all customers with the highest scores, whom a campaign would take; <i>found</i> is the same of those with the label. A group with fewer than "
        f"{least} customers with the label, or without it, is too small to judge.</p>"
    )
    return note + "".join(f"<h3>By {escape(name)}{_watched(spec, name)}</h3>{_kind(trained, name)}" for name in spec.groups)


def _kind(trained: Trained, name: str) -> str:
    found, known = of_kind(trained.groups, name), sum(g.by == name for g in trained.groups)
    if not found:
        why = "customers were not grouped yet as of these months" if trained.spec.groups[name] == SEGMENT_COLUMN else "no customer has a value"
        return f"<p>Not told: {why}.</p>"
    more = f"<p>{known - SHOWN} smaller groups are in groups.csv.</p>" if known > SHOWN else ""
    return _table((name, *_MEASURED), [(g.level, *_measured(g, trained.spec)) for g in found]) + more


def _watched(spec: ModelSpec, name: str) -> str:
    return " (watched by the gate)" if name in spec.gate.stability.watched(spec.groups) else ""


_MEASURED = ("customers", "have the label", "mean probability", "in the top tenth", "found", "AUC")


def _measured(group: Group, spec: ModelSpec) -> tuple[str, ...]:
    known = (f"{group.customers:,.0f}", f"{group.rate:.1%}")
    if group.auc is None or group.is_small(spec.gate.stability.least):
        return (*known, "too small to judge", "", "", "")
    return (*known, f"{group.told:.1%}", f"{group.chosen:.1%}", f"{group.found:.1%}", f"{group.auc:.3f}\u00a0±\u00a0{group.auc_error:.3f}")


def _making(trained: Trained, versions: InputVersions) -> str:
    features = trained.prepared.features
    candidates = [(c.algorithm, _settings(c.point), _validation(c)) for c in trained.candidates]
    read = "; ".join(f"{table} {versions_told(months)}" for table, months in versions.items())
    settings = f"{_settings(trained.chosen.point)}; calibration: {trained.calibration.kind}"
    told = f"{trained.chosen.algorithm} ({settings}), seed {trained.spec.seed}; {len(features.names)} features"
    return (
        f"<p>Chosen: {told}, {len(features.dropped)} columns left out. Versions read, by as-of month: {read or 'not recorded'}.</p>"
        + _table(("candidate", "settings", "AUC on validation"), candidates)
        + _table(("cost", ""), [(text, f"{trained.metrics[name]:,.0f}") for name, text in _COSTS.items() if name in trained.metrics])
    )


def _validation(candidate: Candidate) -> str:
    return "-" if candidate.validation is None else f"{candidate.validation:.4f} ± {candidate.error:.4f}"


def _settings(point: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in point.items()) or "defaults"


def _pictures(pictures: Mapping[str, bytes]) -> str:
    return "".join(f"<img alt='{name}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>" for name, png in pictures.items())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{lines}</table>"
