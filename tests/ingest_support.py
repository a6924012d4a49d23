"""A small operator for the ingest tests: a source from a few lines of YAML, read up to the judged rows, or by the whole job."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.env import CatalogConfig, PseudonymConfig
from crm_spark.config.sources import SourceConfig, load_source
from crm_spark.ingest.conform import REASONS
from crm_spark.ingest.files import ORDER, PATH, Intake
from crm_spark.ingest.lines import LINE
from crm_spark.ingest.listing import layouts
from crm_spark.ingest.plan import feeds
from crm_spark.ingest.pseudonym import PseudonymKey
from crm_spark.ingest.rows import read_rows
from crm_spark.ingest.staging import staged
from crm_spark.ingest.survey import Surveyed, survey
from crm_spark.job import Job, carry_out
from crm_spark.locks import Locks
from crm_spark.publication import publish
from crm_spark.runs import load_versions
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.declared import TABLES
from crm_spark.tables.ops import INGEST_LEDGER

SECRET = "a published key, for tests only"
KEY = PseudonymKey(SECRET.encode())
MONTH = "2024-03"
ROOT = Path(__file__).resolve().parents[1]


def source_of(folder: Path, yaml: str, first: str = MONTH, last: str = MONTH) -> SourceConfig:
    """The source that a source.yml of this text gives."""
    path = folder / "conf" / "sources" / "test" / "source.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"operator: ZJ\ndescription: test\nfirst_month: '{first}'\nlast_month: '{last}'\n{yaml}", encoding="utf-8")
    return load_source(folder / "conf", "test")


def deliver(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below the data folder."""
    for name, content in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "data"


def surveyed(spark: SparkSession, source: SourceConfig, folder: Path, month: str = MONTH) -> list[Surveyed]:
    """The survey of the source's first file layout."""
    intake = Intake(spark)
    with intake.settings():
        return survey(intake, layouts(source, str(folder / "data"), month)[0])


def judged(spark: SparkSession, source: SourceConfig, folder: Path, month: str = MONTH) -> DataFrame:
    """Every row of the source's first layout, for its first mapping, with its line and `reasons` (null: good), evaluated."""
    intake = Intake(spark)
    with intake.settings():
        layout = layouts(source, str(folder / "data"), month)[0]
        feed = feeds(source, [(layout, survey(intake, layout))], KEY, None)[source.mappings[0].table][0]
        parts = list(feed.parts(feed.months))
        rows = staged(intake, parts, source, source.table_of(feed.mapping), KEY)
        read = [read_rows(intake, p.layout, p.files, p.months, p.mapping.words(p.month)).select(PATH, ORDER, LINE) for p in parts]
        lines = reduce(DataFrame.unionByName, read)
        named = rows.drop(LINE).join(lines, on=[PATH, ORDER]).withColumn("reasons", F.col(REASONS))
        return spark.createDataFrame(named.orderBy(PATH, ORDER).collect(), named.schema)


class Operator:
    """One operator whose files are ingested by the job, run after run, into tables of its own."""

    def __init__(self, spark: SparkSession, folder: Path, yaml: str, months: tuple[str, str] = (MONTH, MONTH)) -> None:
        self.spark, self.folder = spark, folder
        self.source = source_of(folder, yaml, *months)

    def deliver(self, files: Mapping[str, str | bytes]) -> Operator:
        """Put files into the data folder."""
        deliver(self.folder, files)
        return self

    def ingest(
        self, run_id: str, month: str = MONTH, cities: Sequence[str] | None = None, dry_run: bool = False, secret: str = SECRET
    ) -> Job:
        """One run of jobs/ingest.py, published."""
        (self.folder / "key").write_text(secret)
        job = self.job(run_id, month, cities, dry_run)
        carry_out(job, _ingest())
        if job.seen.own:
            publish(replace(job, cities=job.cities or _cities(job)))  # a month's run takes the cities from the users it has summarised
        return job

    def job(self, run_id: str = "look", month: str = MONTH, cities: Sequence[str] | None = None, dry_run: bool = False) -> Job:
        """A job over the operator's tables."""
        locks = Locks(self.folder / "locks")
        catalog = Catalog(self.spark, CatalogConfig("path", str(self.folder / "tables")), locks)
        env = SimpleNamespace(data=str(self.folder / "data"), pseudonym=PseudonymConfig(key_file=str(self.folder / "key")))
        config = SimpleNamespace(fingerprint="conf", source=self.source, env=env)
        options = argparse.Namespace(dry_run=dry_run)
        scope = tuple(cities) if cities else None
        return Job("ingest", month, scope, run_id, self.spark, catalog, config, locks, load_versions(catalog, run_id), options)  # type: ignore[arg-type]

    def ledger(self, run_id: str) -> dict[str, SimpleNamespace]:
        """The run's ledger rows by `file` (one mapping and month) or `mapping/month/file`."""
        rows = self.job().catalog.read(INGEST_LEDGER).where(F.col("run_id") == run_id).orderBy("recorded_at").collect()
        return {f"{r.mapping} {r.month} {r.file}": SimpleNamespace(**r.asDict()) for r in rows}


def _cities(job: Job) -> tuple[str, ...]:
    rows = [job.catalog.read(TABLES[name], written.version).select("city") for (name, _), written in job.seen.own.items()]
    return tuple(sorted({row[0] for row in reduce(DataFrame.unionByName, rows).distinct().collect()}))


def _ingest():
    spec = importlib.util.spec_from_file_location("ingest_job", ROOT / "jobs" / "ingest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look up their annotations
    spec.loader.exec_module(module)
    return module.run
