"""Operations: what ran, what came in, what was covered, what is published. Append-only."""

from __future__ import annotations

from pyspark.sql import types as T

from crm_spark.tables.common import text
from crm_spark.tables.contract import Field, Table

_TEXTS = T.ArrayType(T.StringType())
_AT = Field("recorded_at", T.TimestampType(), "When the row was written (machine clock; never read by business code).")
COMMIT = T.StructType(
    [
        T.StructField("table", T.StringType()),
        T.StructField("month", T.StringType()),
        T.StructField("version", T.LongType()),
        T.StructField("rows", T.LongType()),
        T.StructField("cities", _TEXTS),
    ]
)
STEP = T.StructType(
    [
        T.StructField("step", T.StringType()),
        T.StructField("stages", T.LongType()),
        T.StructField("tasks", T.LongType()),
        T.StructField("seconds", T.DoubleType()),
        T.StructField("task_seconds", T.DoubleType()),
        T.StructField("input_bytes", T.LongType()),
        T.StructField("output_bytes", T.LongType()),
        T.StructField("shuffle_bytes", T.LongType()),
        T.StructField("spill_bytes", T.LongType()),
    ]
)
APPROVAL = T.StructType(
    [
        T.StructField("cities", _TEXTS),
        T.StructField("valid_from", T.DateType()),
        T.StructField("valid_to", T.DateType()),
        T.StructField("author", T.StringType()),
        T.StructField("approved_by", T.StringType()),
        T.StructField("approved_on", T.DateType()),
    ]
)

RUN_LEDGER = Table(
    "ops",
    "run_ledger",
    "One row per job of a run that ended.",
    (
        text("run_id", "Run."),
        text("job", "Job."),
        text("month", "Month of the run."),
        Field("cities", _TEXTS, "Cities of the run; null for all."),
        text("status", "finished or failed."),
        text("error", "First line of the failure."),
        Field("seconds", T.DoubleType(), "Wall time."),
        text("config_hash", "Hash of the configuration."),
        text("code_version", "Version of the package."),
        Field("commits", T.ArrayType(COMMIT), "Tables written: month, Delta version, and the cities replaced (null for all)."),
        Field("tasks", T.LongType(), "Spark's tasks; this and what follows is null over Spark Connect."),
        Field("task_seconds", T.DoubleType(), "Seconds that tasks ran, summed over cores."),
        Field("gc_seconds", T.DoubleType(), "... of these collecting garbage."),
        Field("input_bytes", T.LongType(), "Bytes that tasks read from tables and files; of Parquet that Hadoop reads in ranges (vectored reads) none."),
        Field("shuffle_bytes", T.LongType(), "Bytes that tasks wrote for other tasks."),
        Field("steps", T.ArrayType(STEP), "A line per step (a table written, a model, a file): what its Spark stages took; spill is to disk."),
        _AT,
    ),
    ("run_id", "job"),
    partitioned_by=(),
)

INGEST_LEDGER = Table(
    "ops",
    "ingest_ledger",
    "One row per file, mapping and month that was read: every line accounted for.",
    (
        text("run_id", "Run."),
        text("source", "Source."),
        text("mapping", "Target table."),
        text("month", "Month."),
        text("file", "File name."),
        text("fingerprint", "Content fingerprint."),
        text("mapping_hash", "Hash of the mapping."),
        text("status", "loaded, refused, unchanged or duplicate_file."),
        text("reason", "Why it was refused."),
        *(
            Field(n, T.LongType(), c)
            for n, c in (
                ("lines", "Lines in the file."),
                ("header", "Header lines."),
                ("blank", "Blank lines."),
                ("loaded", "Rows loaded."),
                ("quarantined", "Rows refused."),
                ("duplicates", "Equal rows of the same key."),
                ("elsewhere", "Rows of cities that the run does not write; they are in none of the other counts and sums."),
            )
        ),
        *(
            Field(n, T.DecimalType(38, 6), c)
            for n, c in (
                ("money_total", "Sum of the money column over all lines, at the source's own scale."),
                ("money_loaded", "... over loaded rows."),
                ("money_quarantined", "... over quarantined rows."),
                ("money_duplicates", "... over duplicates."),
            )
        ),
        Field("bytes", T.LongType(), "Bytes of the file; 0 for a catalog table."),
        Field("modified", T.LongType(), "When the file was last changed, milliseconds since 1970; null where its file system does not tell."),
        _AT,
    ),
    ("run_id", "mapping", "month", "file"),
    partitioned_by=(),
)

COVERAGE = Table(
    "ops",
    "coverage",
    "One row per thing a run could not feed or skipped, and per column's filled share.",
    (
        text("run_id", "Run."),
        text("month", "Month."),
        text("job", "Job that tells it."),
        text("kind", "column, model, shadow, drift, training, matrix_rule, segmentation, value_part, segment_name, segment_shared_name or city."),
        text("subject", "Which one."),
        text("status", "used, partial or skipped."),
        text("reason", "Why, in one sentence."),
        Field("filled_share", T.DoubleType(), "Share of rows with a value; null where it does not apply."),
        _AT,
    ),
    ("run_id", "month", "job", "kind", "subject"),
    partitioned_by=(),
)

PUBLICATION = Table(
    "ops",
    "publication",
    "One row per (city, month, table) of a published run: the Delta version to read. The latest row counts.",
    (
        text("city", "City."),
        text("month", "Month."),
        text("table", "schema.name."),
        text("run_id", "Run that wrote it."),
        Field("version", T.LongType(), "Delta version to read."),
        Field("sequence", T.LongType(), "Order of publications; the highest counts."),
        _AT,
    ),
    ("city", "month", "table", "sequence"),
    partitioned_by=(),
)

MATRIX_HISTORY = Table(
    "ops",
    "matrix_history",
    "One row per run that decided: the matrix set it used, word for word, and under whose approval. The run's latest row counts.",
    (
        text("run_id", "Run."),
        text("month", "Month that was decided."),
        Field("cities", _TEXTS, "Cities of the run; null for all."),
        text("matrix_set", "Content version of the set."),
        text("source", "Source whose set it is."),
        Field("files", T.MapType(T.StringType(), T.StringType()), "Text of each file of the set, by its path below the configuration."),
        Field("models", _TEXTS, "Models whose scores and grades the set may name."),
        Field("groups", _TEXTS, "Groups it may name."),
        Field("skipped_rules", _TEXTS, "matrix.rule of each rule left out because no customer had a value."),
        Field("approvals", T.ArrayType(APPROVAL), "Approvals in force, cities empty for all; none where the environment asks for none."),
        text("code_version", "Version of the package."),
        _AT,
    ),
    ("run_id", "matrix_set"),
    partitioned_by=(),
)

MODEL_DRIFT = Table(
    "ops",
    "model_drift",
    "One row per run that scored, model and thing that it sees or says: this month against the months it learnt from. The month's latest row counts.",
    (
        text("run_id", "Run."),
        text("month", "Month that was scored."),
        Field("cities", _TEXTS, "Cities of the run; null for all."),
        text("model", "Model."),
        text("model_version", "Registry version that scored."),
        text("kind", "score, feature or label."),
        text("subject", "Which feature or label; score."),
        Field("bins", T.IntegerType(), "Bins that hold somebody then or now."),
        Field("customers", T.LongType(), "Customers of this month; of features, of more than 100,000 a sample; of a label, those whose label has arrived."),
        Field("reference_customers", T.LongType(), "Customers it is compared with."),
        Field("psi", T.DoubleType(), "Population stability index: sum over bins of (share - reference) x ln(share / reference)."),
        Field("psi_by_chance", T.DoubleType(), "Mean PSI of so many customers if nothing has changed."),
        Field("psi_noise", T.DoubleType(), "... and the 95 % quantile."),
        Field("weight", T.DoubleType(), "The feature's share of the gain, in [0, 1]; null of score and label."),
        Field("mean", T.DoubleType(), "Mean score, 0-100, or share with the label, in [0, 1]; null of a feature."),
        Field("reference_mean", T.DoubleType(), "The same where it learnt."),
        text("retrain", "Of the score: why the model's rule asks for a new version; null if it does not."),
        _AT,
    ),
    ("run_id", "month", "model", "kind", "subject"),
    partitioned_by=(),
)

OPS_TABLES = (RUN_LEDGER, INGEST_LEDGER, COVERAGE, PUBLICATION, MATRIX_HISTORY, MODEL_DRIFT)
