"""Group the customers of the month's view: every segmentation of conf/segments, with classes, profiles and names.

Groups are found by KMeans on standardised attributes and numbered canonically; names come from conditions on the group's
profile. The views of all cities are read even if only some are written. Writes score.segment and score.segment_profile.

    spark-submit jobs/segment_customers.py --env demo --month 2025-03
"""

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning.expressions import mentioned
from crm_spark.segments.attributes import KEY
from crm_spark.segments.names import shared_names
from crm_spark.segments.segmentation import EVERYWHERE, Segmentation, Skipped, segment
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import SEGMENT, SEGMENT_PROFILE
from crm_spark.threads import at_once


def run(job: Job) -> None:
    """Write score.segment and score.segment_profile; tell what was skipped, dropped, or found no group to name."""
    view = _read_columns(job).persist()  # counted, sampled, fitted from several seeds, assigned
    specs = job.config.segmentations
    results = dict(zip(specs, at_once(job.spark, lambda name: segment(view, job.month, name, specs[name]), specs), strict=True))
    for name, result in results.items():
        _tell(job, name, result)
    found = [result for result in results.values() if isinstance(result, Segmentation)]
    segments = _union([result.segments for result in found], literal_frame(job.spark, [], SEGMENT.struct))
    job.write(segments.where(F.col("city").isin(*job.cities)) if job.cities else segments, SEGMENT)
    profiles = _union([result.profiles for result in found], literal_frame(job.spark, [], SEGMENT_PROFILE.struct))
    job.write(profiles, SEGMENT_PROFILE, cities=(EVERYWHERE,) if job.cities else None)
    view.unpersist()


def _read_columns(job: Job) -> DataFrame:
    view = job.read(CUSTOMER_VIEW, all_cities=True)
    read = mentioned(*[sql for spec in job.config.segmentations.values() for sql in spec.expressions.values()])
    return view.select(*[c for c in view.columns if c in (*KEY, "split_bucket") or c in read])


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
    shared = "; ".join(f"{group} ({', '.join(map(str, n))})" for group, n in shared_names([g.name for g in result.groups]).items())
    if shared:
        job.cover("segment_shared_name", name, "partial", f"groups that share a name, and so a matrix rule: {shared}")
    job.log.info("    %s: %d groups, fit %s", name, len(result.groups), result.digest[:12])


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
