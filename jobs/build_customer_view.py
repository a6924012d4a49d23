"""Build the unified customer view of the month, and the labels that have become known.

The view of the run's month is always built; earlier months are built where the models' windows need them and they are not there,
or where this run has rewritten what they are made of. Writes mart.customer_view, mart.customer_view_labels, and the share of
filled values per column to ops.coverage.

    spark-submit jobs/build_customer_view.py --env demo --month 2025-03
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.config.models import ModelSpec
from crm_spark.config.sources import extension_fields
from crm_spark.customer.history import HISTORY_MONTHS
from crm_spark.customer.view import MiddleTables, build_customer_view, customer_view_table
from crm_spark.frames import literal_frame
from crm_spark.job import Job, entry
from crm_spark.learning.checks import refuse_bad_expressions
from crm_spark.learning.windows import Place, asked_together, asks_exits, label_months, label_rows, months_to_read, unseen_cities
from crm_spark.months import window
from crm_spark.tables.contract import Table
from crm_spark.tables.mart import CUSTOMER_VIEW, CUSTOMER_VIEW_LABELS
from crm_spark.tables.middle import BILLING_SUMMARY, BUNDLE_STATUS, CONTACT_CIRCLE, USER_BASIC, VAS_SUMMARY, VOICE_SUMMARY
from crm_spark.tables.raw import OUTCOME, USER_EXTENSION, USER_INFO

INPUTS = (USER_BASIC, BILLING_SUMMARY, VOICE_SUMMARY, CONTACT_CIRCLE, VAS_SUMMARY, BUNDLE_STATUS, USER_EXTENSION)


def run(job: Job) -> None:
    """The view, the labels, the coverage."""
    extension = extension_fields(job.config.source)
    empty = literal_frame(job.spark, [], customer_view_table(extension).struct)
    refuse_bad_expressions(empty, job.config.models, str(job.config.conf_dir / "models"))
    months = months_to_build(job)
    job.log.info("    months: %s", ", ".join(months))
    view = build_customer_view(months, middle_tables(job, months))
    job.write(view.where(F.col("city").isin(*job.cities)) if job.cities else view, customer_view_table(extension), months)
    write_labels(job)
    tell_filled_shares(job)


def months_to_build(job: Job) -> list[str]:
    """The run's month, and the months of the models' windows that are not there or whose inputs this run has rewritten."""
    there = [m for m in job.months_of(USER_BASIC) if m <= job.month]
    windows = [(spec, label_months(spec, job.month, there, there[0])) for spec in job.config.models.values()] if there else []
    needed = {m for spec, as_ofs in windows for m in months_to_read(spec, as_ofs)}
    rewritten = {m for m in there if any(job.wrote(t, m) for t in INPUTS)}
    stale = {m for m in needed if job.makes(CUSTOMER_VIEW, m) and (not job.has(CUSTOMER_VIEW, m) or rewritten & set(window(m, HISTORY_MONTHS)))}
    return sorted(stale | {job.month})


def middle_tables(job: Job, months: list[str]) -> MiddleTables:
    """The inputs over the history of `months`; of all cities, because a customer's history follows from city to city."""
    span = sorted({h for m in months for h in window(m, HISTORY_MONTHS)})

    def read(table: Table) -> DataFrame:
        return job.read(table, span, optional=True, all_cities=True)

    basic, billing, voice, circle, vas, bundles = (read(t) for t in INPUTS[:-1])
    extension = read(USER_EXTENSION.with_fields(extension_fields(job.config.source)))
    return MiddleTables(basic, billing, voice, circle, vas, bundles, extension)


def write_labels(job: Job) -> None:
    """Labels known by the end of the month, one write per set of as-of months."""
    seen = [m for m in job.months_of(CUSTOMER_VIEW) if m <= job.month]
    known = job.read(CUSTOMER_VIEW, seen, all_cities=True)
    there = {(row["city"], row["month"]) for row in known.select("city", "month").distinct().collect()}
    groups: dict[tuple[str, ...], dict[tuple[str, str], ModelSpec]] = defaultdict(dict)
    for spec in job.config.models.values():
        as_ofs = label_months(spec, job.month, seen, job.months_of(USER_BASIC)[0])
        if as_ofs:
            groups[as_ofs].setdefault((spec.label.name, spec.window_id), spec)
    for as_ofs, specs in sorted(groups.items()):
        names = sorted({name for name, _ in specs})
        frames = [label_frame(job, together, as_ofs, seen, there) for together in asked_together(specs.values())]
        replaced = {"label": names, "window_id": sorted({window_id for _, window_id in specs})}
        job.write(reduce(DataFrame.unionByName, frames), CUSTOMER_VIEW_LABELS, as_ofs, where=replaced)


def label_frame(job: Job, specs: tuple[ModelSpec, ...], as_ofs: tuple[str, ...], seen: list[str], there: set[Place]) -> DataFrame:
    """The rows of labels that are asked together, of the run's cities; without those of cities whose later files have not come."""
    months = months_to_read(specs[0], as_ofs)
    view = job.read(CUSTOMER_VIEW, months, all_cities=True)
    outcomes = job.read(OUTCOME, as_ofs, optional=True) if specs[0].label.outcome else None
    exits = job.read(USER_INFO, months, all_cities=True) if asks_exits(specs) else None
    unseen = unseen_cities(specs[0], as_ofs, view, there)
    for (city, as_of), later in unseen.items():
        job.cover("label", f"{', '.join(spec.label.name for spec in specs)} {city} {as_of}", "skipped", f"nobody of the city is in the view of {later}")
    rows = label_rows(specs, view, job.month, seen, job.months_of(USER_BASIC)[0], outcomes, exits, unseen)
    return rows.where(F.col("city").isin(*job.cities)) if job.cities else rows


def tell_filled_shares(job: Job) -> None:
    """One pass over the month's view: how much of each column has a value."""
    view = job.read(CUSTOMER_VIEW)
    (counted,) = view.agg(F.count("*").alias("_rows"), *[F.count(f"`{c}`").alias(c) for c in view.columns]).collect()
    for column in view.columns:
        share = counted[column] / counted["_rows"] if counted["_rows"] else 0.0
        status, reason = _told(share)
        job.cover("column", column, status, reason, share)


def _told(share: float) -> tuple[str, str]:
    if share == 0:
        return "skipped", "no value: not mapped for this operator, or nothing to compute it from"
    return ("used", "every row has a value") if share == 1 else ("partial", "some rows have no value")


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
