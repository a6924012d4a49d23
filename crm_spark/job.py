"""The frame of every job: arguments, configuration, session, run id, visible versions, ledger, log, exit code."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from crm_spark import __version__
from crm_spark.config.settings import Settings, load_settings
from crm_spark.decisions.choosing import check_expressions
from crm_spark.decisions.inputs import with_derived
from crm_spark.decisions.load import input_columns, matrices_of
from crm_spark.errors import ConfigError, CrmError, NotPublishedError, SourceError, one_line
from crm_spark.frames import literal_frame
from crm_spark.locks import Locks
from crm_spark.months import asked_month, kept_from
from crm_spark.runs import Versions, Written, is_published, load_versions, read_slices
from crm_spark.session import event_log_settings, on_databricks, open_session
from crm_spark.tables.catalog import Catalog, Commit
from crm_spark.tables.contract import Table
from crm_spark.tables.ops import COVERAGE, RUN_LEDGER
from crm_spark.tables.upkeep import Files, Place, Upkeep
from crm_spark.workload import Work, described, steps_of, work_so_far

Run = Callable[["Job"], None]
Arguments = Callable[[argparse.ArgumentParser], None]


class Main(Protocol):
    """The command line of a job: arguments in (default: the process's own), exit code out."""

    def __call__(self, argv: Sequence[str] | None = None, /) -> int: ...


LOG = logging.getLogger("crm_spark")
CITY_CODE = r"[A-Z0-9_]+"


@dataclass
class Job:
    """One job of a run: what it may read, and how it writes."""

    name: str
    month: str
    cities: tuple[str, ...] | None
    run_id: str
    spark: SparkSession
    catalog: Catalog
    config: Settings
    locks: Locks
    seen: Versions
    options: argparse.Namespace
    log: logging.Logger = LOG
    commits: list[tuple[str, str, int, int, list[str] | None]] = field(default_factory=list)
    checked: set[str] = field(default_factory=set)  # matrix sets that were looked at already; the jobs of a month share it
    _told: list[tuple[object, ...]] = field(default_factory=list)

    def read(self, table: Table, months: Sequence[str] | None = None, optional: bool = False, all_cities: bool = False) -> DataFrame:
        """Visible rows of `months` (default: the run's month) and the run's cities.

        NotPublishedError when a month was neither written by this run nor published, unless `optional`: then what there is.
        """
        wanted = tuple(months or (self.month,))
        if not optional:
            self._refuse_unpublished(table, wanted, all_cities)
        rows = read_slices(self.catalog, table, self.seen.slices(table, wanted, None if all_cities else self.cities))
        return rows if rows is not None else literal_frame(self.spark, [], table.struct)

    def _refuse_unpublished(self, table: Table, months: Sequence[str], all_cities: bool) -> None:
        missing = sorted(set(months) - set(self.seen.months(table)))
        mend = "run the job that writes it first, or give its --run-id"
        if missing:
            raise NotPublishedError(f"{table.full_name} has no published month {', '.join(missing)}; {mend}")
        for month in months if self.cities and not all_cities else ():
            there = self.seen.cities(table, month)
            unknown = [] if there is None else sorted(set(self.cities or ()) - there)
            if unknown:
                raise NotPublishedError(f"{table.full_name} {month} is not published for {', '.join(unknown)}; {mend}")

    def months_of(self, table: Table) -> tuple[str, ...]:
        """Months of the table that this run can see, ascending."""
        return self.seen.months(table)

    def has(self, table: Table, month: str) -> bool:
        """True if this run can see the table's month, of a run of some cities for each of them."""
        there = self.seen.cities(table, month)
        return month in self.months_of(table) and (there is None or {*(self.cities or ())} <= there)

    def makes(self, table: Table, month: str) -> bool:
        """True if the month is not too old to be kept."""
        return month >= self.config.source.kept_from.get(table.schema, "")

    def versions(self, table: Table) -> dict[str, int]:
        """The newest visible Delta version per month."""
        found = {m: max(cities.values()) for (name, m), cities in self.seen.published.items() if name == table.full_name}
        return found | {m: own.version for (name, m), own in self.seen.own.items() if name == table.full_name}

    def wrote(self, table: Table, month: str) -> bool:
        """True if this run itself wrote the table's month."""
        return (table.full_name, month) in self.seen.own

    def write(
        self,
        frame: DataFrame,
        table: Table,
        months: Sequence[str] | None = None,
        where: Mapping[str, Sequence[str]] | None = None,
        cities: Sequence[str] | None = None,
    ) -> int:
        """Replace exactly the run's cities and `months` (default: the run's month) in one commit; returns the rows written.

        ConfigError if the run has been published: what it saw then and what it sees now could not be told apart.
        """
        self._refuse_published_run()
        replaced = {"month": tuple(months or (self.month,)), **(where or {})}
        named = tuple(cities or self.cities or ()) or None
        if named:
            replaced["city"] = named
        if getattr(self.options, "explain", False):
            explain(frame, table)
        with described(self.spark, f"{self.name} {self.month}: write {table.full_name}"):
            commit = self.catalog.replace(frame, table, replaced, self._note())
        return self._wrote(table, replaced["month"], commit, named)

    def add(self, frame: DataFrame, table: Table, cities: Sequence[str] | None = None) -> int:
        """Add rows of these cities (None: of any) to the run's month as it is visible, in one commit; returns the rows written.

        SourceError if another run has written the month meanwhile: the newest version must hold the visible one. ConfigError as `write`.
        """
        self._refuse_published_run()
        with described(self.spark, f"{self.name} {self.month}: add to {table.full_name}"), self.locks.commit(table.full_name):
            if not self.is_newest(table):
                raise SourceError(f"{table.full_name} {self.month}: another run has written it meanwhile; run again")
            commit = self.catalog.add(frame, table, self._note())
        return self._wrote(table, (self.month,), commit, tuple(cities or ()) or None)

    def _refuse_published_run(self) -> None:
        if self.commits or not getattr(self.options, "run_id", None):
            return  # a run id of its own making is new
        if is_published(self.catalog, self.run_id):
            raise ConfigError(f"run {self.run_id} is published, and its decisions are told again by what it saw: give another --run-id, or none")

    def is_newest(self, table: Table) -> bool:
        """True if the newest version of the table holds, of the run's month, just the files that are visible."""
        upkeep = Upkeep(self.spark, self.catalog, self.locks)

        def files(version: int | None, cities: Sequence[str] | None) -> Files:
            found = upkeep.files(table, version) or {}
            return {place: names for place, names in found.items() if place[1] == self.month and (cities is None or place[0] in cities)}

        visible: dict[Place, Collection[str]] = {}
        for part in self.seen.slices(table, [self.month], None):
            visible.update(files(part.version, part.cities))
        return visible == files(None, None)

    def _note(self) -> dict[str, str]:
        """What a commit tells of its run."""
        return {
            "run_id": self.run_id,
            "job": self.name,
            "config": self.config.fingerprint,
            "code": __version__,
            "commit": str(time.time_ns()),
        }

    def _wrote(self, table: Table, months: Sequence[str], commit: Commit, cities: tuple[str, ...] | None) -> int:
        for month in months:
            self.seen.own[table.full_name, month] = Written(commit.version, cities)
            self.commits.append((table.full_name, month, commit.version, commit.rows, list(cities) if cities else None))
        self.log.info("    wrote %-28s %s rows", table.full_name, f"{commit.rows:,}")
        return commit.rows

    def append(self, frame: DataFrame, table: Table) -> None:
        """Add rows to an append-only (ops) table."""
        self.catalog.append(frame, table, {"run_id": self.run_id, "job": self.name, "commit": str(time.time_ns())})

    def cover(self, kind: str, subject: str, status: str, reason: str, filled_share: float | None = None) -> None:
        """Tell a thing that was used, or skipped and why; written to ops.coverage when the job ends."""
        self._told.append((self.run_id, self.month, self.name, kind, subject, status, reason, filled_share, datetime.now().astimezone()))
        if status == "skipped" and kind != "column":
            self.log.info("    skipped %s %s: %s", kind, subject, reason)

    def flush_coverage(self) -> None:
        """Write what was told."""
        if self._told:
            self.append(literal_frame(self.spark, self._told, COVERAGE.struct), COVERAGE)
            self._told.clear()

    def record(self, status: str, seconds: float, work: Work | None, error: str | None = None) -> None:
        """One row of ops.run_ledger: the job ended."""
        commits = self.commits if status == "finished" else []
        cities = list(self.cities) if self.cities else None
        row = (
            self.run_id,
            self.name,
            self.month,
            cities,
            status,
            error,
            seconds,
            self.config.fingerprint,
            __version__,
            commits,
            *(astuple(work) if work else [None] * len(fields(Work))),
            [astuple(step) for step in steps_of(self.spark, f"{self.name} {self.month}", time.time() - seconds)] if work else None,
            datetime.now().astimezone(),
        )
        self.append(literal_frame(self.spark, [row], RUN_LEDGER.struct), RUN_LEDGER)


def entry(run: Run, arguments: Arguments | None = None, alone: bool = False) -> Main:
    """The `main` of a job file: its docstring is the help, `run` the work (`alone`: while no other job runs), the result the exit code."""
    file = Path(run.__code__.co_filename)
    doc = run.__globals__.get("__doc__") or ""

    def main(argv: Sequence[str] | None = None) -> int:
        code = _guarded(lambda: _main(run, file.stem, doc, arguments, argv, alone))
        if code and on_databricks():
            raise RuntimeError(f"{file.stem} ended with exit code {code}")
        return code

    return main


def parser(name: str, doc: str, arguments: Arguments | None = None) -> argparse.ArgumentParser:
    """The arguments every job takes, and its own."""
    made = argparse.ArgumentParser(prog=name, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    made.add_argument("--env", required=True, help="environment: conf/env/<env>.yml")
    made.add_argument("--month", required=True, help="the month to run, yyyy-MM; before:yyyy-MM-dd is the one that ended last before that day")
    made.add_argument("--city", action="append", metavar="CITY", help="only this city; several with commas or given again (default, or empty: all)")
    made.add_argument("--run-id", help="continue under this run id (default: a new one; run_month takes up the month's unfinished run)")
    made.add_argument("--explain", action="store_true", help="print Spark's plan of each table before it is written")
    made.add_argument("--event-log", metavar="FOLDER", help="keep Spark's event log there (a folder or an address), for its history server")
    made.add_argument("--verbose", action="store_true", help="on failure, show the whole stack")
    if arguments:
        arguments(made)
    return made


def open_job(name: str, options: argparse.Namespace) -> Job:
    """A job ready to run: configuration checked, session open, versions known."""
    month = asked_month(options.month)
    if month is None:
        raise ConfigError(f"--month {options.month}: yyyy-MM is wanted, as in 2025-03, or before:yyyy-MM-dd")
    cities = asked_cities(options.city)
    config = load_settings(options.conf_dir, options.env)
    config = replace(config, source=replace(config.source, kept_from=kept_from(config.env.keep_months, month)))
    matrices = matrices_of(config)  # a wrong cell stops any job, not the ninth of the month
    locks = Locks(config.env.locks)
    warehouse = {"spark.sql.warehouse.dir": str(Path(config.env.var).resolve() / "warehouse")} if config.env.catalog.by == "path" else {}
    log = event_log_settings(options.event_log) if options.event_log else {}
    spark = open_session(f"{name} {month}", {**warehouse, **config.env.spark, **log})
    if log and spark.conf.get("spark.eventLog.enabled", "false") != "true":
        LOG.warning("--event-log is left out: the session was there before, and its cluster or server says whether events are kept")
    declared = literal_frame(spark, [], T.StructType([T.StructField(*c) for c in input_columns(config).items()]))
    check_expressions(with_derived(declared, matrices), config.choosing, matrices.settings.conditions)
    catalog = Catalog(spark, config.env.catalog, locks)
    run_id = options.run_id or new_run_id(month)
    return Job(name, month, cities, run_id, spark, catalog, config, locks, load_versions(catalog, run_id), options)


def explain(frame: DataFrame, table: Table) -> None:
    """Print the plan by which the table's rows come about."""
    sys.stdout.write(f"== {table.full_name} ==\n")
    frame.explain("formatted")


def asked_cities(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """The cities of --city, given once or again, with commas or without; None for all, also where a scheduler passes an empty text."""
    cities = {city for text in given or () if text for city in text.split(",")}
    wrong = sorted(city for city in cities if not re.fullmatch(CITY_CODE, city))
    if wrong:
        raise ConfigError(f"--city {wrong[0]}: a city code is made of A-Z, 0-9 and _")
    return tuple(sorted(cities)) or None


def new_run_id(month: str) -> str:
    """A fresh run id; the clock only names the run."""
    return f"{month}-{datetime.now():%Y%m%dT%H%M%S}-{os.getpid()}"


def carry_out(job: Job, run: Run, alone: bool = False) -> float:
    """Run one job under its lock (`alone`: while no other job runs) and record how it ended; returns its seconds."""
    start = time.monotonic()
    if getattr(job.options, "dry_run", False):
        run(job)
        return 0.0
    before = work_so_far(job.spark)
    with job.locks.job(job.name, job.month, job.cities, alone), described(job.spark, f"{job.name} {job.month}"):
        try:
            run(job)
            job.flush_coverage()
        except Exception as error:
            job.record("failed", time.monotonic() - start, _work_since(job, before), one_line(error))
            raise
        seconds = time.monotonic() - start
        job.record("finished", seconds, _work_since(job, before))
        return seconds


def _work_since(job: Job, before: Work | None) -> Work | None:
    now = work_so_far(job.spark)
    return now.since(before) if now and before else None


def set_up_log(verbose: bool = False) -> None:
    """Progress goes to standard error, one line a step."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("SQLQueryContextLogger").disabled = True  # PySpark prints every analysis error with its stack, handled or not


def _main(run: Run, name: str, doc: str, arguments: Arguments | None, argv: Sequence[str] | None, alone: bool) -> int:
    options = parser(name, doc, arguments).parse_args(argv)
    set_up_log(options.verbose)
    job = open_job(name, options)
    job.log.info("%s %s, run %s", name, job.month, job.run_id)
    seconds = carry_out(job, run, alone)
    publish = f" (publish with: jobs/publish.py --run-id {job.run_id})" if job.commits else ""
    job.log.info("%s done in %.1f s%s", name, seconds, publish)
    return 0


def _guarded(work: Callable[[], int]) -> int:
    set_up_log()
    try:
        return work()
    except CrmError as error:
        LOG.error("%s", error)
        return error.exit_code
    except PySparkException as error:
        LOG.error("Spark failed: %s", one_line(error))
        LOG.debug("", exc_info=error)
        return 1
    except Exception as error:  # whatever it is, one clear line and a stable exit code
        LOG.error("%s: %s", type(error).__name__, one_line(error))
        LOG.debug("", exc_info=error)
        return 1
