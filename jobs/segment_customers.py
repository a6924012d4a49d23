"""Group the customers of the month's view: every segmentation of conf/segments, found by KMeans or (rules/) given by conditions.

Groups are found by KMeans on standardised attributes. In the first month they are numbered in order; later a group keeps the number of
the former group whose centre it is matched with, and a group far from all former ones gets a new number. Names come from conditions on
the group's profile. The views of all cities are read even if only some are written. Writes score.segment, score.segment_profile and, from
the second month on, score.segment_migration; a run in MLflow per segmentation shows quality, profiles and pictures.

    spark-submit jobs/segment_customers.py --env demo --month 2025-03
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning.expressions import mentioned
from crm_spark.learning.registry import Registry, Report
from crm_spark.segments.attributes import KEY
from crm_spark.segments.former import former_groups
from crm_spark.segments.migration import migration
from crm_spark.segments.names import shared_names
from crm_spark.segments.plots import NOBODY, Move, figures
from crm_spark.segments.rules import RuleSegments, rule_segmentation, scored_view
from crm_spark.segments.segmentation import Continued, Group, Segmentation, Skipped, segment
from crm_spark.tables.common import EVERYWHERE
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import MODEL_SCORE, SEGMENT, SEGMENT_MIGRATION, SEGMENT_PROFILE, VALUE_SCORE
from crm_spark.threads import at_once

REMEMBERED = 12  # months in which a number is not given to another group


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--try-groups", action="store_true", help="choose the number of groups anew where a segmentation tries several")


def run(job: Job) -> None:
    """Write score.segment, score.segment_profile and score.segment_migration; tell what was skipped, dropped, or found no group to name."""
    view = _read_columns(job).persist()  # counted, sampled, fitted from several seeds, assigned
    specs = job.config.segmentations
    before = _read_profiles(job).persist()
    found_before = {name: former_groups(before, name) for name in specs}
    search = getattr(job.options, "try_groups", False)
    results = dict(zip(specs, at_once(job.spark, lambda name: segment(view, job.month, name, specs[name], found_before[name], search), specs), strict=True))
    for name, result in results.items():
        _tell(job, name, result)
    customers = _read_scored(job).persist()  # counted and assigned by each segmentation
    ruled = _by_rules(job, customers)
    found: list[Segmentation | RuleSegments] = [*(result for result in results.values() if isinstance(result, Segmentation)), *ruled.values()]
    segments = _union([result.segments for result in found], literal_frame(job.spark, [], SEGMENT.struct)).persist()  # written, and compared
    job.write(_of_cities(job, segments), SEGMENT)
    profiles = _union([result.profiles for result in found], literal_frame(job.spark, [], SEGMENT_PROFILE.struct))
    job.write(profiles, SEGMENT_PROFILE, cities=(EVERYWHERE,) if job.cities else None)
    _write_migration(job, segments)
    _show(job, {name: result for name, result in results.items() if isinstance(result, Segmentation)}, before)
    for read_often in (view, before, customers, segments):
        read_often.unpersist()


def _read_columns(job: Job) -> DataFrame:
    view = job.read(CUSTOMER_VIEW, all_cities=True)
    read = mentioned(*[sql for spec in job.config.segmentations.values() for sql in spec.expressions.values()])
    return view.select(*[c for c in view.columns if c in (*KEY, "split_bucket") or c in read])


def _read_scored(job: Job) -> DataFrame:
    """What the conditions of conf/segments/rules read."""
    values, scores = (job.read(table, optional=True, all_cities=True) for table in (VALUE_SCORE, MODEL_SCORE))
    customers = scored_view(job.read(CUSTOMER_VIEW, all_cities=True), values, scores)
    read = mentioned(*[sql for spec in job.config.rule_segmentations.values() for sql in spec.sql])
    return customers.select(*[c for c in customers.columns if c in KEY or c in read])


def _by_rules(job: Job, customers: DataFrame) -> dict[str, RuleSegments]:
    """The segmentations of conf/segments/rules."""
    specs = job.config.rule_segmentations
    found = {name: rule_segmentation(customers, job.month, name, spec) for name, spec in specs.items()}
    for name, result in found.items():
        job.cover("segmentation", name, "used", f"{len(result.groups)} groups by rules")
        if result.empty:
            job.cover("segment_name", name, "partial", f"no customer is in: {'; '.join(result.empty)}")
    return found


def _read_profiles(job: Job) -> DataFrame:
    """Of the months before, as far back as numbers are not given again; in a run of some cities also of this one, if other cities have been grouped:
    a group has one number in all of them."""
    months = [month for month in job.months_of(SEGMENT_PROFILE) if month < job.month or (job.cities and month == job.month)][-REMEMBERED:]
    profiles = job.read(SEGMENT_PROFILE, months, optional=True, all_cities=True) if months else literal_frame(job.spark, [], SEGMENT_PROFILE.struct)
    return profiles.unionByName(literal_frame(job.spark, [], SEGMENT_PROFILE.struct), allowMissingColumns=True)


def _write_migration(job: Job, segments: DataFrame) -> None:
    """Against the latest month before; without one there is nothing to compare."""
    months = [month for month in job.months_of(SEGMENT) if month < job.month]
    if not months:
        job.cover("segment_migration", "all segmentations", "skipped", "no month before has groups")
        return
    former = job.read(SEGMENT, months[-1:], optional=True, all_cities=True)
    job.write(_of_cities(job, migration(segments, former, job.month, months[-1])), SEGMENT_MIGRATION)


def _show(job: Job, found: Mapping[str, Segmentation], before: DataFrame) -> None:
    """Each segmentation as a run in MLflow: profiles, factor plot, quality and, for all cities, migration."""
    registry = Registry(job.config.env.mlflow)
    moved = job.read(SEGMENT_MIGRATION, all_cities=True) if job.wrote(SEGMENT_MIGRATION, job.month) else literal_frame(job.spark, [], SEGMENT_MIGRATION.struct)
    for name, result in found.items():
        moves = _moves(moved.where(F.col("segmentation") == name), before, result.groups)
        registry.log_report(_report(job, name, result, moves))


def _report(job: Job, name: str, result: Segmentation, moves: Sequence[Move]) -> Report:
    spec, found = job.config.segmentations[name], result.evidence
    tried = [q.groups for q in found.qualities]
    parameters = {"groups": len(result.groups), "tried": tried, "attributes": len(found.attributes), "seed": spec.seed, "digest": result.digest}
    return Report(
        name=f"{name} {job.month}",
        description=spec.question,
        tags={"segmentation": name, "month": job.month, "run_id": job.run_id, "environment": job.config.env_name, "config": job.config.fingerprint},
        parameters=parameters,
        metrics={q.groups: {"stability": q.stability, "silhouette": q.silhouette} for q in found.qualities},
        tables={"profile.json": _profile_table(result.groups), **({"quality.json": pd.DataFrame(map(asdict, found.qualities))} if found.qualities else {})},
        pictures=figures(name, job.month, result.groups, found, moves),
    )


def _profile_table(groups: Sequence[Group]) -> pd.DataFrame:
    """A row per group: number, label, class, customers and the index of each attribute."""
    return pd.DataFrame(
        {"group": g.number, "label": g.label, "class": g.class_name, "customers": g.profile.customers, **{a: g.profile.index(a) for a in g.profile.means}}
        for g in groups
    )


def _moves(moved: DataFrame, before: DataFrame, groups: Sequence[Group]) -> list[Move]:
    """Of all cities together; groups by number and label."""
    rows = moved.groupBy("month_before", "segmentation", "group_before", "group_number").agg(F.sum("customers").alias("customers")).collect()
    if not rows:
        return []
    same = (F.col("month") == rows[0]["month_before"]) & (F.col("segmentation") == rows[0]["segmentation"])
    former = {row["group_number"]: row["group_label"] for row in before.where(same).select("group_number", "group_label").distinct().collect()}
    now = {g.number: g.label for g in groups}
    return [Move(_told_group(row["group_before"], former), _told_group(row["group_number"], now), row["customers"]) for row in rows]


def _told_group(number: int | None, labels: Mapping[int, str]) -> str:
    return NOBODY if number is None else f"{number} {labels.get(number, '')}".strip()


def _of_cities(job: Job, rows: DataFrame) -> DataFrame:
    return rows.where(F.col("city").isin(*job.cities)) if job.cities else rows


def _union(frames: list[DataFrame], empty: DataFrame) -> DataFrame:
    return reduce(DataFrame.unionByName, frames, empty)


def _tell(job: Job, name: str, result: Segmentation | Skipped) -> None:
    left_out = "; ".join(f"{attribute}: {reason}" for attribute, reason in result.dropped.items())
    without = f"; left out {left_out}" if left_out else ""
    if isinstance(result, Skipped):
        job.cover("segmentation", name, "skipped", result.reason + without)
        return
    job.cover("segmentation", name, "partial" if left_out else "used", f"{len(result.groups)} groups{without}")
    if result.unearned:
        job.cover("segment_name", name, "partial", f"no group earned: {'; '.join(result.unearned)}")
    shared = "; ".join(f"{group} ({', '.join(map(str, n))})" for group, n in shared_names({g.number: g.name for g in result.groups}).items())
    if shared:
        job.cover("segment_shared_name", name, "partial", f"groups that share a name, and so a matrix rule: {shared}")
    job.log.info("    %s: %d groups, fit %s", name, len(result.groups), result.digest[:12])
    if result.continued:
        _tell_continued(job, name, result.continued)


def _tell_continued(job: Job, name: str, continued: Continued) -> None:
    told = [f"{len(continued.kept)} groups of {continued.month} keep their numbers"]
    told += [f"{number} is new ({distance:.2f} standard deviations from the nearest former group)" for number, distance in continued.new.items()]
    told += [f"gone: {', '.join(map(str, continued.gone))}"] if continued.gone else []
    job.log.info("    %s: %s", name, "; ".join(told))
    if continued.new or continued.gone:
        job.cover("segment_number", name, "partial", "; ".join(told))


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
