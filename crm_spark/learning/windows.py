"""Observation, gap and performance windows: which months can be learnt from, and what happened after them.

Features are the view's row of the as-of month, which never looks ahead; labels look only at later months. They meet in
`training_rows`, by key, for labels known by the end of the run's month: nothing else of a later month can enter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.config.models import ModelSpec
from crm_spark.learning.expressions import mentioned
from crm_spark.months import add_months, window
from crm_spark.tables.mart import CUSTOMER_VIEW_LABELS

Place = tuple[str, str]  # city, month
_PLACES = 1_000_000
LABEL_VALUE = "label_value"  # 1.0 or 0.0 beside the view's columns in a training row
EXIT_KIND = "exit_kind"  # known to labels alone: the view has no row of who has left


def label_months(spec: ModelSpec, month: str, seen: Collection[str], first_month: str | None = None) -> tuple[str, ...]:
    """The newest as-of months whose label is known by the end of `month`, ascending, at most `spec.as_of_months`.

    `seen` are the months of the view that may be read: the as-of month and its whole performance window must be among them. The
    observation window must not begin before `first_month`, the first month the source has. A delivered label needs no later month.
    """
    usable = [m for m in sorted(seen) if m <= month and _has_history(spec, m, first_month) and _is_known(spec, m, month, seen)]
    return tuple(usable[-spec.as_of_months :])


def performance_months(spec: ModelSpec, as_of: str) -> tuple[str, ...]:
    """The months the label of `as_of` looks at; none for a delivered label."""
    return () if spec.label.outcome else window(add_months(as_of, spec.windows.reach), spec.windows.performance)


def months_to_read(spec: ModelSpec, as_of_months: Sequence[str]) -> tuple[str, ...]:
    """Months of the view that the labels of these as-of months need, ascending."""
    return tuple(sorted({m for as_of in as_of_months for m in (as_of, *performance_months(spec, as_of))}))


def asked_together(specs: Iterable[ModelSpec]) -> list[tuple[ModelSpec, ...]]:
    """Specs whose labels one pass over the view tells: of one population and the same windows; a delivered label by itself."""
    groups: dict[tuple[object, ...], list[ModelSpec]] = defaultdict(list)
    for spec in specs:
        groups[(spec.population, spec.windows, spec.label.outcome and spec.label)].append(spec)
    return [tuple(group) for group in groups.values()]


def asks_exits(specs: Iterable[ModelSpec]) -> bool:
    """True if a label looks at why customers left."""
    return any(EXIT_KIND in mentioned(spec.label.value) for spec in specs)


def label_rows(
    specs: Sequence[ModelSpec],
    view: DataFrame,
    month: str,
    seen: Collection[str],
    first_month: str | None = None,
    outcomes: DataFrame | None = None,
    exits: DataFrame | None = None,
    unseen: Collection[Place] = (),
) -> DataFrame:
    """Rows of `customer_view_labels` for every label month of the run's `month`; the specs are `asked_together`.

    `view` holds at least `months_to_read` of them, of all cities (a customer may have moved); `outcomes` is raw.outcome, for
    delivered labels; `exits` is raw.user_info of the performance months, for labels that ask why a customer left; `unseen` as of `unseen_cities`:
    what became of these is not known, and they get no label.
    """
    as_ofs = label_months(specs[0], month, seen, first_month)
    if specs[0].label.outcome:
        return _delivered_labels(specs[0], view, month, as_ofs, outcomes)
    return build_labels(specs, view, as_ofs, exits, unseen)


def unseen_cities(spec: ModelSpec, as_of_months: Iterable[str], view: DataFrame, there: Collection[Place]) -> dict[Place, str]:
    """Cities and as-of months with a performance month in which the view has nobody of the city, and nobody who was in it: its files have not come.

    `there` are all (city, month) of the view. A city that was merged into another one is seen there.
    """
    mine = [(city, as_of) for city, as_of in sorted(there) if as_of in set(as_of_months)]
    missing = [(place, later) for place in mine for later in performance_months(spec, place[1]) if (place[0], later) not in there]
    return {place: later for place, later in missing if _is_gone(view, place, later)}


def _is_gone(view: DataFrame, place: Place, later: str) -> bool:
    known = view.where((F.col("city") == place[0]) & (F.col("month") == place[1])).select("user_id")
    return known.join(_months(view, later).select("user_id"), on="user_id", how="left_semi").isEmpty()


def build_labels(
    specs: Sequence[ModelSpec], view: DataFrame, as_of_months: Sequence[str], exits: DataFrame | None = None, unseen: Collection[Place] = ()
) -> DataFrame:
    """One row per label and customer of the population in each as-of month: 1 if the label's condition held, else 0 (null counts as 0).

    The condition is an aggregate over the customer's performance months: `o` is the as-of row, `p` the row of each month, all null
    and `p.present` false in a month without one; then `p.exit_kind` says why a subscription ended in the month, where that was told.
    Whoever leaves in the gap is absent afterwards, so the label sees it. Customers are followed by `user_id` across cities; the row
    keeps the as-of city. `view` holds at least `months_to_read`; the join goes by performance month, so no other month can enter.
    """
    asked = {as_of: performance_months(specs[0], as_of) for as_of in as_of_months}
    population = _months(view, *as_of_months).where(F.expr(specs[0].population))
    for city, as_of in unseen:
        population = population.where((F.col("city") != city) | (F.col("month") != as_of))
    names = {"city", "month", "user_id"}.union(*(mentioned(spec.label.value) for spec in specs))
    read = [c for c in view.columns if c in names]
    rows = _performed(population.select(*read), view.select(*read), asked)
    if asks_exits(specs):
        rows = _with_exits(rows, exits)
    customer = [F.col(f"o.{c}").alias(c) for c in ("city", "month", "user_id")]
    held = rows.groupBy(*customer, "known_month").agg(F.array(*map(_held, specs)).alias("held"))
    return _label_frame(specs[0], held.select("city", "month", "user_id", "known_month", F.inline("held")))


def training_rows(spec: ModelSpec, view: DataFrame, labels: DataFrame, month: str) -> DataFrame:
    """View rows of the population with their label as `label_value`, for labels known by the end of `month`."""
    mine = (F.col("label") == spec.label.name) & (F.col("window_id") == spec.window_id) & (F.col("known_month") <= month)
    known = labels.where(mine & F.col("value").isNotNull()).select("city", "month", "user_id", F.col("value").alias(LABEL_VALUE))
    return view.where(F.expr(spec.population)).join(known, on=["city", "month", "user_id"], how="inner")


def sample_of_customers(rows: DataFrame, share: float) -> DataFrame:
    """All rows of about a share of the customers, the same ones on any cluster and in any month."""
    place = F.pmod(F.xxhash64(F.lit("learning"), "user_id"), F.lit(_PLACES))
    return rows if share >= 1 else rows.where(place < int(share * _PLACES))


def _has_history(spec: ModelSpec, as_of: str, first_month: str | None) -> bool:
    return first_month is None or add_months(as_of, 1 - spec.windows.observation) >= first_month


def _is_known(spec: ModelSpec, as_of: str, month: str, seen: Collection[str]) -> bool:
    later = performance_months(spec, as_of)
    return all(m <= month and m in seen for m in later)


def _delivered_labels(spec: ModelSpec, view: DataFrame, month: str, as_ofs: Sequence[str], outcomes: DataFrame | None) -> DataFrame:
    population = _months(view, *as_ofs).where(F.expr(spec.population)).select("city", "month", "user_id")
    label = F.lit(spec.label.name).alias("label")
    if outcomes is None:
        return _label_frame(spec, population.limit(0).select("*", label, F.lit(None).cast("double").alias("value"), F.lit(month).alias("known_month")))
    told = outcomes.where((F.col("label") == spec.label.outcome) & F.col("value").isNotNull() & (F.col("known_month") <= month))
    joined = population.join(told.select("user_id", "month", label, "value", "known_month"), on=["user_id", "month"], how="inner")
    return _label_frame(spec, joined)


def _performed(population: DataFrame, view: DataFrame, asked: Mapping[str, Sequence[str]]) -> DataFrame:
    """One row per row `o` of the population and performance month: `p`, the customer's row of that month, and the month the last one is known."""
    later = F.create_map(*[cell for as_of, span in asked.items() for cell in (F.lit(as_of), F.array(*map(F.lit, span)))])
    months = F.element_at(later.cast("map<string,array<string>>"), F.col("month"))
    whole = F.struct(*view.columns)
    grid = population.select(whole.alias("o"), F.element_at(months, -1).alias("known_month"), F.explode(months).alias("performance_month"))
    performed = _months(view, *sorted({m for span in asked.values() for m in span})).select(whole.alias("p"))
    same = (F.col("o.user_id") == F.col("p.user_id")) & (F.col("performance_month") == F.col("p.month"))
    cells = [F.col(f"p.{c}").alias(c) for c in view.columns]
    present = F.col("p").isNotNull().alias("present")
    return grid.join(performed, on=same, how="left").select("o", "known_month", "performance_month", F.struct(*cells, present).alias("p"))


def _with_exits(rows: DataFrame, exits: DataFrame | None) -> DataFrame:
    """`p.exit_kind` of who is not in the network in the month; null without a register that tells it."""
    if exits is None:
        return rows.withColumn("p", F.col("p").withField(EXIT_KIND, F.lit(None).cast("string")))
    closed = exits.where((F.col("status") == "closed") & F.col(EXIT_KIND).isNotNull())
    told = closed.groupBy(F.col("user_id").alias("_left"), F.col("month").alias("_left_in")).agg(F.min(EXIT_KIND).alias("_kind"))
    same = (F.col("o.user_id") == F.col("_left")) & (F.col("performance_month") == F.col("_left_in"))
    kind = F.when(~F.col("p.present"), F.col("_kind"))
    return rows.join(told, on=same, how="left").withColumn("p", F.col("p").withField(EXIT_KIND, kind))


def _held(spec: ModelSpec) -> Column:
    """The label's name and whether its condition held, over a customer's performance months."""
    happened = F.expr(str(spec.label.value)).cast("boolean").cast("double")
    return F.struct(F.lit(spec.label.name).alias("label"), F.coalesce(happened, F.lit(0.0)).alias("value"))


def _label_frame(spec: ModelSpec, rows: DataFrame) -> DataFrame:
    return rows.withColumn("window_id", F.lit(spec.window_id)).select(*CUSTOMER_VIEW_LABELS.columns)


def _months(view: DataFrame, *months: str) -> DataFrame:
    return view.where(F.col("month").isin(*months))
