"""A segmentation of all customers: groups, classes, profiles and names (domain.md, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import HOLD_OUT_BELOW
from crm_spark.config.segments import SegmentationSpec
from crm_spark.frames import literal_frame
from crm_spark.segments.attributes import KEY, Scale, measured, scales, training_sample, unusable, usable
from crm_spark.segments.clustering import CLUSTER, Clusters, assigned, fit
from crm_spark.segments.names import labels, names, refuse_bad_conditions, unearned
from crm_spark.segments.numbering import canonical_order, ward_classes
from crm_spark.segments.profile import Profile, Totals, cluster_totals, group_means, profile
from crm_spark.segments.representatives import redundant

EVERYWHERE = "_ALL"  # a profile belongs to no single city
_ROWS_PER_GROUP = 3
_MIN_ATTRIBUTES = 2


@dataclass(frozen=True)
class Group:
    """A group with its canonical number, class, name, label and profile; `cluster` is its number in the fit.

    Groups alike may share a name, which is what matrices read; the label tells them apart.
    """

    cluster: int
    number: int
    class_number: int | None
    name: str
    label: str
    class_name: str | None
    profile: Profile


@dataclass(frozen=True)
class Segmentation:
    """What a segmentation found: rows of score.segment and score.segment_profile, and what has to be told."""

    segments: DataFrame
    profiles: DataFrame
    groups: tuple[Group, ...]
    unearned: tuple[str, ...]
    dropped: dict[str, str]
    digest: str


@dataclass(frozen=True)
class Skipped:
    """Why there is no segmentation."""

    reason: str
    dropped: dict[str, str]


def segment(view: DataFrame, month: str, name: str, spec: SegmentationSpec) -> Segmentation | Skipped:
    """Group the customers of the view of `month`, which must hold all cities.

    Attributes without a value or without variance are dropped, and those for which another stands if the spec asks for representatives;
    with fewer than two left, or fewer than three customers a group, there is no segmentation. Held-out customers are placed, but shape no
    group. The same rows give the same numbers and names however they are partitioned.
    """
    attributes = measured(view, name, spec)
    for kind, rules in (("names", spec.names), ("class_names", spec.class_names)):
        refuse_bad_conditions(view, list(spec.expressions), rules, f"segments/{name}.yml: {kind}")
    rows = view.count()
    if rows < spec.groups * _ROWS_PER_GROUP:
        return Skipped(f"{rows} customers are too few for {spec.groups} groups", {})
    sample = training_sample(measured(view.where(_may_shape()), name, spec), rows, spec.sample)
    found = scales(sample, spec)
    if spec.representatives and usable(found):
        found |= redundant(sample, usable(found), spec)
    if len(usable(found)) < _MIN_ATTRIBUTES:
        return Skipped(f"{len(usable(found))} of {len(found)} attributes can form groups, at least {_MIN_ATTRIBUTES} are needed", unusable(found))
    return _segmented(attributes, sample, found, (month, name), spec)


def _may_shape() -> Column:
    return F.coalesce(F.col("split_bucket") >= HOLD_OUT_BELOW, F.lit(True))


def _segmented(
    attributes: DataFrame, sample: DataFrame, found: dict[str, Scale | str], of: tuple[str, str], spec: SegmentationSpec
) -> Segmentation:
    clusters = fit(sample, usable(found), spec)
    placed = assigned(attributes, clusters, spec)
    totals = cluster_totals(placed, list(spec.expressions))
    groups = _groups(attributes, totals, clusters, spec)
    given = [*[g.name for g in groups], *[g.class_name for g in groups if g.class_name]]
    return Segmentation(
        _segment_rows(placed, groups, of[1]),
        _profile_rows(attributes, groups, *of),
        tuple(groups),
        tuple(unearned(given, (*spec.names, *spec.class_names))),
        unusable(found),
        clusters.digest,
    )


def _groups(view: DataFrame, totals: Sequence[Totals], clusters: Clusters, spec: SegmentationSpec) -> list[Group]:
    by_cluster = {t.cluster: t for t in totals}
    ordered = [g.cluster for g in canonical_order(group_means(totals), clusters.centres, spec.order_by)]
    classes = ward_classes([clusters.centres[c] for c in ordered], spec.classes) if spec.classes else [None] * len(ordered)
    profiles = [profile([by_cluster[c]], totals) for c in ordered]
    group_names = names(view, profiles, list(spec.expressions), spec.names, "group")
    group_labels = labels(group_names, profiles, list(spec.forming))
    class_names = _class_names(view, [by_cluster[c] for c in ordered], classes, spec)
    parts = zip(ordered, classes, group_names, group_labels, profiles, strict=True)
    return [Group(c, i, k, n, label, class_names.get(k), p) for i, (c, k, n, label, p) in enumerate(parts, 1)]


def _class_names(
    view: DataFrame, ordered: Sequence[Totals], classes: Sequence[int | None], spec: SegmentationSpec
) -> dict[int | None, str]:
    numbers = list(dict.fromkeys(k for k in classes if k is not None))
    members = [[t for t, own in zip(ordered, classes, strict=True) if own == k] for k in numbers]
    profiles = [profile(part, ordered) for part in members]
    return dict(zip(numbers, names(view, profiles, list(spec.expressions), spec.class_names, "class"), strict=True))


def _segment_rows(placed: DataFrame, groups: Sequence[Group], name: str) -> DataFrame:
    """Rows of score.segment: one per customer."""
    rows = [(g.cluster, name, g.number, g.class_number, g.name, g.class_name) for g in groups]
    schema = f"{CLUSTER} int, segmentation string, group_number int, class_number int, group_name string, class_name string"
    found = literal_frame(placed.sparkSession, rows, schema)
    return placed.select(*KEY, CLUSTER).join(F.broadcast(found), on=CLUSTER, how="inner").drop(CLUSTER)


def _profile_rows(attributes: DataFrame, groups: Sequence[Group], month: str, name: str) -> DataFrame:
    """Rows of score.segment_profile: one per group and attribute that has values."""
    rows = [
        (EVERYWHERE, month, name, *_named(g), g.profile.customers, a, *_compared(g.profile, a))
        for g in groups
        for a in g.profile.means
        if g.profile.overall[a] is not None
    ]
    schema = (
        "city string, month string, segmentation string, group_number int, class_number int, group_name string, group_label string, "
        "class_name string, customers bigint, attribute string, group_mean double, overall_mean double, index double, distance double"
    )
    return literal_frame(attributes.sparkSession, rows, schema)


def _named(group: Group) -> tuple[int, int | None, str, str, str | None]:
    return group.number, group.class_number, group.name, group.label, group.class_name


def _compared(profile: Profile, attribute: str) -> tuple[float | None, float | None, float | None, float | None]:
    return profile.means[attribute], profile.overall[attribute], profile.index(attribute), profile.distance(attribute)
