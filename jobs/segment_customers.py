"""Group the customers of the month's view: every segmentation of conf/segments, with classes, profiles and names.

Groups are found by KMeans on standardised attributes. In the first month they are numbered in order; later a group keeps the number of
the former group whose centre it is matched with, and a group far from all former ones gets a new number. Names come from conditions on
the group's profile. The views of all cities are read even if only some are written. Writes score.segment, score.segment_profile and, from
the second month on, score.segment_migration.

    spark-submit jobs/segment_customers.py --env demo --month 2025-03
"""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning.expressions import mentioned
from crm_spark.segments.attributes import KEY
from crm_spark.segments.former import former_groups
from crm_spark.segments.migration import migration
from crm_spark.segments.names import shared_names
from crm_spark.segments.segmentation import Continued, Segmentation, Skipped, segment
from crm_spark.tables.common import EVERYWHERE
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import SEGMENT, SEGMENT_MIGRATION, SEGMENT_PROFILE
from crm_spark.threads import at_once

REMEMBERED = 12  # months in which a number is not given to another group


def run(job: Job) -> None:
    """Write score.segment, score.segment_profile and score.segment_migration; tell what was skipped, dropped, or found no group to name."""
    view = _read_columns(job).persist()  # counted, sampled, fitted from several seeds, assigned
    specs = job.config.segmentations
    before = _read_profiles(job).persist()
    found_before = {name: former_groups(before, name) for name in specs}
    results = dict(zip(specs, at_once(job.spark, lambda name: segment(view, job.month, name, specs[name], found_before[name]), specs), strict=True))
    for name, result in results.items():
        _tell(job, name, result)
    found = [result for result in results.values() if isinstance(result, Segmentation)]
    segments = _union([result.segments for result in found], literal_frame(job.spark, [], SEGMENT.struct)).persist()  # written, and compared
    job.write(_of_cities(job, segments), SEGMENT)
    profiles = _union([result.profiles for result in found], literal_frame(job.spark, [], SEGMENT_PROFILE.struct))
    job.write(profiles, SEGMENT_PROFILE, cities=(EVERYWHERE,) if job.cities else None)
    _write_migration(job, segments)
    for read_often in (view, before, segments):
        read_often.unpersist()


def _read_columns(job: Job) -> DataFrame:
    view = job.read(CUSTOMER_VIEW, all_cities=True)
    read = mentioned(*[sql for spec in job.config.segmentations.values() for sql in spec.expressions.values()])
    return view.select(*[c for c in view.columns if c in (*KEY, "split_bucket") or c in read])


def _read_profiles(job: Job) -> DataFrame:
    """Of the months before, as far back as numbers are not given again."""
    months = [month for month in job.months_of(SEGMENT_PROFILE) if month < job.month][-REMEMBERED:]
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


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
