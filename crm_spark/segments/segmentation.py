"""A segmentation of all customers: groups, classes, profiles and names (domain.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import HOLD_OUT_BELOW
from crm_spark.config.segments import SegmentationSpec
from crm_spark.frames import literal_frame
from crm_spark.segments.attributes import KEY, Scale, measured, scales, training_sample, unusable, usable
from crm_spark.segments.clustering import CLUSTER, Centre, Clusters, assigned, fit, judged_points
from crm_spark.segments.former import Former, Kept, class_centres, kept_numbers, shared_attributes
from crm_spark.segments.names import labels, names, refuse_bad_conditions, unearned
from crm_spark.segments.numbering import canonical_order, ward_classes
from crm_spark.segments.profile import Profile, Totals, cluster_totals, group_means, profile
from crm_spark.segments.representatives import redundant
from crm_spark.segments.selection import Quality, chosen_groups, qualities
from crm_spark.segments.variables import Numbers
from crm_spark.tables.common import EVERYWHERE

_ROWS_PER_GROUP = 3
_MIN_ATTRIBUTES = 2


@dataclass(frozen=True)
class Group:
    """A group with its canonical number, class, name, label and profile; `lever` says what is done with it (of rule segments); `cluster` is its number in the fit.

    Groups alike may share a name, which is what matrices read; the label tells them apart.
    """

    cluster: int
    number: int
    class_number: int | None
    name: str
    label: str
    class_name: str | None
    profile: Profile
    lever: str | None = None


@dataclass(frozen=True)
class Continued:
    """What became of the groups of an earlier month: numbers kept, new (with the distance to the nearest former centre) and gone."""

    month: str
    kept: tuple[int, ...]
    new: dict[int, float]
    gone: tuple[int, ...]


@dataclass(frozen=True)
class Evidence:
    """What the groups can be judged by: about `judged` customers as rows of standardised attributes, the centres by number, and quality
    per number of groups that was tried."""

    attributes: tuple[str, ...]
    points: Numbers
    centres: dict[int, Centre]
    qualities: tuple[Quality, ...]


@dataclass(frozen=True)
class Segmentation:
    """What a segmentation found: rows of score.segment and score.segment_profile, and what has to be told."""

    segments: DataFrame
    profiles: DataFrame
    groups: tuple[Group, ...]
    unearned: tuple[str, ...]
    dropped: dict[str, str]
    digest: str
    evidence: Evidence
    continued: Continued | None


@dataclass(frozen=True)
class Skipped:
    """Why there is no segmentation."""

    reason: str
    dropped: dict[str, str]


def segment(view: DataFrame, month: str, name: str, spec: SegmentationSpec, former: Former | None = None, search: bool = False) -> Segmentation | Skipped:
    """Group the customers of the view of `month`, which must hold all cities; groups that were there before (`former`) keep their numbers.

    Where several numbers of groups are tried, that of the month before stays without a search, unless `search` asks for one.

    Attributes without a value or without variance are dropped, and those for which another stands if the spec asks for representatives;
    with fewer than two left, or fewer than three customers a group, there is no segmentation. Held-out customers are placed, but shape no
    group. The same rows give the same numbers and names however they are partitioned.
    """
    spec = spec if search else _as_before(spec, former)
    attributes = measured(view, name, spec)
    for kind, rules in (("names", spec.names), ("class_names", spec.class_names)):
        refuse_bad_conditions(view, list(spec.expressions), rules, f"segments/{name}.yml: {kind}")
    rows = view.count()
    if rows < spec.tried[-1] * _ROWS_PER_GROUP:
        return Skipped(f"{rows} customers are too few for {spec.tried[-1]} groups", {})
    sample = training_sample(measured(view.where(_may_shape()), name, spec), rows, spec.sample)
    found = scales(sample, spec)
    if spec.representatives and usable(found):
        found |= redundant(sample, usable(found), spec)
    if len(usable(found)) < _MIN_ATTRIBUTES:
        return Skipped(f"{len(usable(found))} of {len(found)} attributes can form groups, at least {_MIN_ATTRIBUTES} are needed", unusable(found))
    return _segmented(attributes, (sample, rows), found, (month, name), spec, former)


def _as_before(spec: SegmentationSpec, former: Former | None) -> SegmentationSpec:
    """The number of groups of the month before, if it is one of those to be tried."""
    if former is None or len(former.centres) not in spec.try_groups:
        return spec
    return replace(spec, groups=len(former.centres), try_groups=())


def _may_shape() -> Column:
    return F.coalesce(F.col("split_bucket") >= HOLD_OUT_BELOW, F.lit(True))


def _segmented(
    attributes: DataFrame,
    sampled: tuple[DataFrame, int],
    found: dict[str, Scale | str],
    of: tuple[str, str],
    spec: SegmentationSpec,
    former: Former | None,
) -> Segmentation:
    sample, rows = sampled
    points = judged_points(sample, rows, usable(found), spec)
    judged = qualities(points, spec)
    if spec.try_groups and judged:
        spec = replace(spec, groups=chosen_groups(judged, len(former.centres) if former else None))
    clusters = fit(sample, usable(found), spec)
    placed = assigned(attributes, clusters, spec)
    totals = cluster_totals(placed, list(spec.expressions))
    groups, continued = _groups(attributes, totals, clusters, spec, former)
    given = [*[g.name for g in groups], *[g.class_name for g in groups if g.class_name]]
    return Segmentation(
        _segment_rows(placed, groups, of[1]),
        profile_rows(attributes, groups, {g.number: clusters.entering(g.cluster, spec.weights) for g in groups}, *of),
        tuple(groups),
        tuple(unearned(given, (*spec.names, *spec.class_names))),
        unusable(found),
        clusters.digest,
        Evidence(tuple(clusters.scales), points, {g.number: clusters.centres[g.cluster] for g in groups}, judged),
        continued,
    )


def _groups(view: DataFrame, totals: Sequence[Totals], clusters: Clusters, spec: SegmentationSpec, former: Former | None) -> tuple[list[Group], Continued | None]:
    """The groups by number, and which of them were there before."""
    by_cluster = {t.cluster: t for t in totals}
    ordered = [g.cluster for g in canonical_order(group_means(totals), clusters.centres, spec.order_by)]
    centres = [clusters.centres[c] for c in ordered]
    kept, class_numbers = _numbered(centres, clusters, spec, former)
    places = sorted(range(len(kept)), key=lambda i: kept[i].number)
    numbers, ordered, classes = [kept[i].number for i in places], [ordered[i] for i in places], [class_numbers[i] for i in places]
    profiles = [profile([by_cluster[c]], totals) for c in ordered]
    nameless = [f"group {number}" for number in numbers]
    group_names = names(view, profiles, list(spec.expressions), spec.names, nameless)
    group_labels = labels(group_names, profiles, list(spec.forming), nameless)
    class_names = _class_names(view, [by_cluster[c] for c in ordered], classes, spec)
    found = zip(ordered, numbers, classes, group_names, group_labels, profiles, strict=True)
    return [Group(c, i, k, n, label, class_names.get(k), p) for c, i, k, n, label, p in found], _continued(kept, former)


def _numbered(centres: Sequence[Centre], clusters: Clusters, spec: SegmentationSpec, former: Former | None) -> tuple[list[Kept], list[int | None]]:
    """Number and class of each centre: by their order, or as they were before."""
    classes = ward_classes(centres, spec.classes) if spec.classes else []
    shared = shared_attributes(former, list(clusters.scales)) if former else []
    if not former or not shared:
        after, after_class = (former.highest, former.highest_class) if former else (0, 0)
        return kept_numbers(centres, {}, after, spec.new_beyond), [after_class + k for k in classes] or [None] * len(centres)
    own = [tuple(x for a, x in zip(clusters.scales, centre, strict=True) if a in shared) for centre in centres]
    there = {i: clusters.standardised({a: centre[a] for a in shared}, spec.weights) for i, centre in former.centres.items()}
    kept = kept_numbers(own, there, former.highest, spec.new_beyond)
    if not classes:
        return kept, [None] * len(centres)
    of_classes = class_centres(dict(enumerate(own)), dict(enumerate(classes)))
    kept_classes = kept_numbers(list(of_classes.values()), class_centres(there, former.classes), former.highest_class, spec.new_beyond)
    number = {k: found.number for k, found in zip(of_classes, kept_classes, strict=True)}
    return kept, [number[k] for k in classes]


def _continued(kept: Sequence[Kept], former: Former | None) -> Continued | None:
    if former is None:
        return None
    new = {k.number: k.distance for k in kept if k.is_new and k.distance is not None}
    same = tuple(sorted(k.number for k in kept if k.number in former.centres))
    return Continued(former.month, same, new, tuple(sorted({*former.centres} - {*same})))


def _class_names(view: DataFrame, ordered: Sequence[Totals], classes: Sequence[int | None], spec: SegmentationSpec) -> dict[int | None, str]:
    numbers = list(dict.fromkeys(k for k in classes if k is not None))
    members = [[t for t, own in zip(ordered, classes, strict=True) if own == k] for k in numbers]
    profiles = [profile(part, ordered) for part in members]
    otherwise = [f"class {number}" for number in numbers]
    return dict(zip(numbers, names(view, profiles, list(spec.expressions), spec.class_names, otherwise), strict=True))


def _segment_rows(placed: DataFrame, groups: Sequence[Group], name: str) -> DataFrame:
    """Rows of score.segment: one per customer."""
    rows = [(g.cluster, name, g.number, g.class_number, g.name, g.class_name) for g in groups]
    schema = f"{CLUSTER} int, segmentation string, group_number int, class_number int, group_name string, class_name string"
    found = literal_frame(placed.sparkSession, rows, schema)
    return placed.select(*KEY, CLUSTER).join(F.broadcast(found), on=CLUSTER, how="inner").drop(CLUSTER)


def profile_rows(attributes: DataFrame, groups: Sequence[Group], centres: Mapping[int, Mapping[str, float]], month: str, name: str) -> DataFrame:
    """Rows of score.segment_profile: one per group and attribute that has values."""
    rows = [
        (EVERYWHERE, month, name, *_named(g), g.profile.customers, a, *_compared(g.profile, a), centres.get(g.number, {}).get(a), g.lever)
        for g in groups
        for a in g.profile.means
        if g.profile.overall[a] is not None
    ]
    schema = (
        "city string, month string, segmentation string, group_number int, class_number int, group_name string, group_label string, "
        "class_name string, customers bigint, attribute string, group_mean double, overall_mean double, index double, distance double, "
        "centre double, lever string"
    )
    return literal_frame(attributes.sparkSession, rows, schema)


def _named(group: Group) -> tuple[int, int | None, str, str, str | None]:
    return group.number, group.class_number, group.name, group.label, group.class_name


def _compared(profile: Profile, attribute: str) -> tuple[float | None, float | None, float | None, float | None]:
    return profile.means[attribute], profile.overall[attribute], profile.index(attribute), profile.distance(attribute)
