"""What a run has written and what is published: which Delta version a reader may see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.tables.catalog import Catalog
from crm_spark.tables.contract import Table
from crm_spark.tables.ops import PUBLICATION, RUN_LEDGER


@dataclass(frozen=True)
class Slice:
    """Rows of one Delta version: of these months, and of these cities (None: whatever cities there are)."""

    version: int
    months: tuple[str, ...]
    cities: tuple[str, ...] | None


@dataclass(frozen=True)
class Written:
    """What the own run wrote of a (table, month): the Delta version, and the cities it replaced there (None: all)."""

    version: int
    cities: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Pin:
    """What is published of a (table, month, city): the run that wrote it, the Delta version to read, and since which publication the run's rows are."""

    run_id: str
    version: int
    since: int


@dataclass
class Versions:
    """Visible versions per (table, month): the own run's commits, else the published ones, never the latest.

    `writers` are the runs that wrote what is published, by city: the version to read may be a later one that holds the same rows. `since` is
    the publication from which on they are visible.
    """

    own: dict[tuple[str, str], Written] = field(default_factory=dict)
    published: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    writers: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    since: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def newest_writer(self, place: tuple[str, str], cities: Sequence[str] | None) -> str | None:
        """The run whose rows of a (table, month) were published last, of these cities if any of them is; None without one."""
        since = self.since.get(place, {})
        asked = [city for city in cities or () if city in since] or list(since)
        return self.writers[place][max(asked, key=since.__getitem__)] if asked else None

    def months(self, table: Table) -> tuple[str, ...]:
        """Months with a visible version, ascending."""
        return tuple(sorted({m for name, m in (*self.own, *self.published) if name == table.full_name}))

    def slices(self, table: Table, months: Iterable[str], cities: Sequence[str] | None) -> list[Slice]:
        """The fewest reads that give the visible rows of `months`."""
        alike: dict[tuple[int, tuple[str, ...] | None], list[str]] = defaultdict(list)
        for month in sorted(set(months)):
            for version, named in self._of_month(table, month, cities):
                alike[version, named].append(month)
        return [Slice(version, tuple(ms), named) for (version, named), ms in alike.items()]

    def cities(self, table: Table, month: str) -> set[str] | None:
        """Cities of which the month is visible; None for all."""
        own = self.own.get((table.full_name, month))
        if own and own.cities is None:
            return None
        return {*self.published.get((table.full_name, month), {}), *(own.cities or () if own else ())}

    def made_together(self, first: Table, second: Table, month: str) -> bool:
        """True if what is visible of the month was written of both tables by the same runs, city by city."""
        writers = self._writers(first, month)
        return bool(writers) and writers == self._writers(second, month)

    def _writers(self, table: Table, month: str) -> dict[str, str]:
        """By city the run that wrote what is visible; the own run has no name, and all cities none."""
        own = self.own.get((table.full_name, month))
        if own and own.cities is None:
            return {"": ""}
        return {**self.writers.get((table.full_name, month), {}), **dict.fromkeys(own.cities or () if own else (), "")}

    def _of_month(self, table: Table, month: str, cities: Sequence[str] | None) -> list[tuple[int, tuple[str, ...] | None]]:
        """(version, cities): what the own run wrote, and for other cities what is published."""
        own = self.own.get((table.full_name, month))
        if own and own.cities is None:
            return [(own.version, tuple(cities) if cities else None)]
        by_version: dict[int, set[str]] = defaultdict(set)
        for city, version in self.published.get((table.full_name, month), {}).items():
            by_version[version].add(city)
        for city in own.cities or () if own else ():
            for named in by_version.values():
                named.discard(city)
        if own:
            by_version[own.version].update(own.cities or ())
        asked = {v: tuple(sorted(c for c in named if cities is None or c in cities)) for v, named in by_version.items()}
        return [(version, named) for version, named in sorted(asked.items()) if named]


def load_versions(catalog: Catalog, run_id: str) -> Versions:
    """Versions as the run `run_id` sees them now."""
    pins = published_pins(catalog)
    versions = Versions(
        published={place: {city: pin.version for city, pin in of.items()} for place, of in pins.items()},
        writers={place: {city: pin.run_id for city, pin in of.items()} for place, of in pins.items()},
        since={place: {city: pin.since for city, pin in of.items()} for place, of in pins.items()},
    )
    for row in finished_jobs(catalog, run_id):
        versions.own.update({(c["table"], c["month"]): Written(int(c["version"]), _named(c["cities"])) for c in row["commits"] or ()})
    return versions


def _named(cities: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(cities) if cities else None


def finished_jobs(catalog: Catalog, run_id: str) -> list[Row]:
    """Ledger rows of the run's finished jobs, oldest first."""
    if not catalog.exists(RUN_LEDGER):
        return []
    ledger = catalog.read(RUN_LEDGER).where((F.col("run_id") == run_id) & (F.col("status") == "finished"))
    return list(ledger.orderBy("recorded_at").collect())


def is_published(catalog: Catalog, run_id: str) -> bool:
    """True if the run has been published."""
    return catalog.exists(PUBLICATION) and not catalog.read(PUBLICATION).where(F.col("run_id") == run_id).isEmpty()


def began(done: Iterable[Row]) -> datetime:
    """When the first of a run's finished jobs (at least one) began."""
    begins: list[datetime] = [row["recorded_at"] - timedelta(seconds=row["seconds"]) for row in done]
    return min(begins)


def published_pins(catalog: Catalog) -> dict[tuple[str, str], dict[str, Pin]]:
    """What is published per (table, month) and city: the latest row counts, and one without a version withdraws it. A later version of
    the same run's rows, as upkeep makes it, changes nothing of `since`."""
    if not catalog.exists(PUBLICATION):
        return {}
    told = F.sort_array(F.collect_list(F.struct("sequence", "run_id", "version"))).alias("told")
    last = F.element_at("told", -1).alias("last")
    others = F.filter("told", lambda one: one["run_id"] != F.col("last.run_id"))
    before = F.coalesce(F.array_max(F.transform(others, lambda one: one["sequence"])), F.lit(0))
    since = F.array_min(F.transform(F.filter("told", lambda one: one["sequence"] > before), lambda one: one["sequence"])).alias("since")
    pins = catalog.read(PUBLICATION).groupBy("table", "month", "city").agg(told).select("table", "month", "city", "told", last)
    found: dict[tuple[str, str], dict[str, Pin]] = defaultdict(dict)
    for row in pins.where(F.col("last.version").isNotNull()).select("table", "month", "city", "last", since).collect():
        found[row["table"], row["month"]][row["city"]] = Pin(row["last"]["run_id"], int(row["last"]["version"]), int(row["since"]))
    return dict(found)


def versions_of_run(catalog: Catalog, run_id: str) -> Versions:
    """What a published run saw: what it published itself, else what was published before it first did; where a pin was moved since, its new version."""
    rows = catalog.read(PUBLICATION)
    own = F.col("run_id") == run_id
    first = rows.where(own).agg(F.min("sequence")).head(1)[0][0]
    place = ("table", "month", "city")
    seen = rows.where(own | (F.col("sequence") < first))
    latest = seen.groupBy(*place).agg(F.max_by(F.struct("run_id", "version"), F.struct(own.alias("own"), F.col("sequence"))).alias("pin"))
    now = rows.where(F.col("version").isNotNull()).groupBy(*place, "run_id").agg(F.max_by("version", "sequence").alias("version"))
    visible = latest.where(F.col("pin.version").isNotNull()).select(*place, F.col("pin.run_id").alias("run_id"))
    versions = Versions()
    for row in visible.join(now, on=[*place, "run_id"]).collect():
        versions.published.setdefault((row["table"], row["month"]), {})[row["city"]] = int(row["version"])
        versions.writers.setdefault((row["table"], row["month"]), {})[row["city"]] = row["run_id"]
    return versions


def next_sequence(catalog: Catalog) -> int:
    """The sequence number of the next publication."""
    if not catalog.exists(PUBLICATION):
        return 1
    return int(catalog.read(PUBLICATION).agg(F.coalesce(F.max("sequence"), F.lit(0))).first()[0]) + 1  # type: ignore[index]


def read_slices(catalog: Catalog, table: Table, slices: Sequence[Slice]) -> DataFrame | None:
    """The union of the slices' rows; None without any."""
    frames = [_slice(catalog, table, s) for s in slices]
    if not frames:
        return None
    whole = frames[0]
    for part in frames[1:]:
        whole = whole.unionByName(part, allowMissingColumns=True)
    return whole


def _slice(catalog: Catalog, table: Table, part: Slice) -> DataFrame:
    rows = catalog.read(table, part.version).where(F.col("month").isin(*part.months))
    return rows.where(F.col("city").isin(*part.cities)) if part.cities is not None else rows
