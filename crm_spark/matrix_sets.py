"""The matrix set of a run: without errors, approved and in force or the run stops, and remembered word for word, so that its decisions can be told again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from crm_spark import __version__
from crm_spark.config.approvals import Approval
from crm_spark.config.decisions import MatrixConfig, decisions_of
from crm_spark.decisions.approval import approvals_in_force
from crm_spark.decisions.lint import lint, refuse_errors
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.table import MatrixSet, Skipped
from crm_spark.errors import ConfigError
from crm_spark.frames import literal_frame
from crm_spark.job import Job
from crm_spark.months import contact_days, first_day, last_day
from crm_spark.tables.catalog import Catalog
from crm_spark.tables.ops import MATRIX_HISTORY


def linted(job: Job) -> MatrixSet:
    """The run's matrices; ConfigError for what the linter calls an error, warnings go to the log. The jobs of a month look once."""
    matrices = matrices_of(job.config)
    if job.config.matrices.version not in job.checked:
        findings = lint(matrices, contact_days(job.month))
        for finding in findings:
            if finding.severity == "warning":
                job.log.warning("    %s", finding)
        refuse_errors(findings)
        job.checked.add(job.config.matrices.version)
    return matrices


def in_force(job: Job, cities: Collection[str] | None) -> tuple[Approval, ...]:
    """The approvals of the run's set for its month and `cities` (None: not known yet); ConfigError without one.

    Where the environment asks for none, none is looked for, and the log says so.
    """
    config = job.config
    if config.env.matrices.approval == "none":
        job.log.warning("    matrix set %s decides without an approval: so the environment %s says", config.matrices.version, config.env_name)
        return ()
    command = f"python -m crm_spark.decisions approve --conf-dir {config.conf_dir} --env {config.env_name} --from {first_day(job.month)}"
    mend = f"approve it: {command} --author <who wrote it> --by <who approves it>"
    return approvals_in_force(config.matrices, last_day(job.month), cities, mend)


def cities_of(job: Job, customers: DataFrame) -> tuple[str, ...]:
    """The cities that are decided: those of the run, else those that have customers."""
    return job.cities or tuple(sorted(row["city"] for row in customers.select("city").distinct().collect()))


def is_remembered(job: Job) -> bool:
    """True if ops.matrix_history has the run's set already."""
    if not job.catalog.exists(MATRIX_HISTORY):
        return False
    mine = (F.col("run_id") == job.run_id) & (F.col("matrix_set") == job.config.matrices.version)
    return not job.catalog.read(MATRIX_HISTORY).where(mine).isEmpty()


def remember(job: Job, approvals: Sequence[Approval], skipped: Sequence[Skipped]) -> None:
    """One row of ops.matrix_history: with this set the run decides."""
    config = job.config.matrices
    models, groups = input_names(job.config)
    row = (
        job.run_id,
        job.month,
        list(job.cities) if job.cities else None,
        config.version,
        job.config.env.source,
        dict(config.files),
        list(models),
        list(groups),
        sorted(f"{rule.matrix}.{rule.rule}" for rule in skipped),
        [(list(a.cities), a.valid_from, a.valid_to, a.author, a.approved_by, a.approved_on) for a in approvals],
        __version__,
        datetime.now().astimezone(),
    )
    job.append(literal_frame(job.spark, [row], MATRIX_HISTORY.struct), MATRIX_HISTORY)


def recalled(catalog: Catalog, version: str) -> MatrixConfig:
    """The set of a version, or of what it begins with, that some run used; ConfigError if none did."""
    rows = catalog.read(MATRIX_HISTORY).where(F.col("matrix_set").startswith(version)) if catalog.exists(MATRIX_HISTORY) else None
    latest = rows.groupBy("matrix_set").agg(F.max_by(F.struct("source", "files"), "recorded_at").alias("it")).collect() if rows else []
    if len(latest) != 1:
        raise ConfigError(f"{version}: {'no run used a matrix set of that version' if not latest else 'several matrix sets begin so'}")
    return config_of(latest[0]["it"])


def config_of(row: Row) -> MatrixConfig:
    """The set that a row of the history holds."""
    return decisions_of(row["files"], row["source"])
