"""The Spark session: the only place that knows versions, jars, Delta and redaction."""

from __future__ import annotations

import atexit
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

from crm_spark.errors import CrmError
from crm_spark.tables.contract import FILE_BYTES

TRIED_SPARK = ("4.1.1",)
DELTA_PACKAGE = "io.delta:delta-spark_4.1_2.13:4.4.0"
JARS_FOLDER = Path(".jars")

# A keyed hash takes its padded key from a row that no plan shows; should an optimiser write it out as a literal, texts of plans do not show that either.
REDACTED = r"(?i)(0x[0-9a-f]{120,}|X'[0-9a-f]{120,}'|\[([0-9a-f]{2} ?){64,}\])"

_REMOTE = "spark.remote"
_MODELS_STAY = "PYSPARK_NO_NAMESPACE_SHARE"  # set, PySpark's models do not tell the server that they are gone; it forgets them with the session
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_COLLECTOR = "-XX:+UseParallelGC"  # a tenth less time than the default on two cores; throughput counts here, not pauses

SETTINGS: Mapping[str, str] = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "Asia/Shanghai",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.legacy.javaCharsets": "true",  # GBK
    "spark.sql.legacy.codingErrorAction": "true",  # a wrong byte becomes U+FFFD, which the door refuses, instead of killing the batch
    "spark.sql.optimizer.enableCsvExpressionOptimization": "false",  # pruning from_csv would hide lines with too many columns
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",  # months are told as constants; each join by month would copy one side's plan into the other's
    "spark.sql.optimizer.nestedSchemaPruning.enabled": "false",  # it moves coalesce(found, default)[0].part below a left join, where the default is lost
    "spark.sql.redaction.string.regex": REDACTED,
    "spark.redaction.string.regex": REDACTED,
    "spark.cleaner.periodicGC.interval": "5min",  # files of shuffles that are done with go when Java collects: by default every half hour
    "spark.sql.requireAllClusterKeysForCoPartition": "false",  # rows that lie together by customer are joined by (month, customer) where they are
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
    "spark.databricks.delta.optimize.maxFileSize": str(FILE_BYTES),
    "spark.databricks.delta.allFilesInCrc.enabled": "false",  # outside UTC each commit would read its table's whole log to check them
}

LOCAL_SETTINGS: Mapping[str, str] = {
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",  # what is kept for a minute need not be small
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


def open_session(name: str, settings: Mapping[str, str]) -> SparkSession:
    """The session of a job: the running one on Databricks, one of the Spark Connect server that `spark.remote` or SPARK_REMOTE names, else
    one with Delta; `settings` win over the defaults, and options of Java add up.

    A master given by spark-submit stays; without one the job runs on the local cores, with Java's parallel collector unless another is
    named. A session of Databricks or of a server takes the settings that may change while it runs; the others are the cluster's own
    (docs/databricks.md) or the server's (docs/connect.md).
    """
    if on_databricks():
        return _with_settings(SparkSession.builder.getOrCreate(), {**SETTINGS, **settings})
    if remote := settings.get(_REMOTE) or os.environ.get("SPARK_REMOTE"):
        _refuse_untried_spark()
        atexit.register(os.environ.__setitem__, _MODELS_STAY, "1")  # a model let go while Python ends would ask the server, and wait for ever
        return _with_settings(SparkSession.builder.remote(remote).getOrCreate(), {**SETTINGS, **settings})
    _refuse_untried_spark()
    local = {} if _submitted() else _local()
    java = [given[_JAVA_OPTIONS] for given in (local, settings) if _JAVA_OPTIONS in given]
    collector = [_COLLECTOR] if local and not _names_a_collector(settings) else []
    together = {_JAVA_OPTIONS: " ".join([*java, *collector])} if java else {}
    return _builder(name, {**SETTINGS, **local, **settings, **together}).getOrCreate()


def local_session(name: str, cores: int, memory: str, warehouse: Path) -> SparkSession:
    """A small session on this machine, for tests and notebooks."""
    return open_session(
        name,
        {"spark.master": f"local[{cores}]", "spark.driver.memory": memory, "spark.sql.warehouse.dir": str(warehouse)},
    )


def event_log_settings(folder: str) -> dict[str, str]:
    """Settings of a session that keeps its events in a folder, made if need be, or at an address of another file system, as it is."""
    if ":/" not in folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder if ":/" in folder else Path(folder).resolve().as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }


def _names_a_collector(settings: Mapping[str, str]) -> bool:
    """True if the settings or the machine choose a garbage collector: Java takes only one."""
    given = [settings.get(key, "") for key in (_JAVA_OPTIONS, "spark.driver.defaultJavaOptions")]
    machine = [os.environ.get(name, "") for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")]
    return re.search(r"-XX:\+Use\w+GC", " ".join(given + machine)) is not None


def _with_settings(session: SparkSession, settings: Mapping[str, str]) -> SparkSession:
    for key, value in settings.items():
        if session.conf.isModifiable(key):
            session.conf.set(key, value)
    return session


def on_databricks() -> bool:
    """True inside a Databricks runtime, which brings Spark and Delta itself."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def _builder(name: str, settings: Mapping[str, str]) -> SparkSession.Builder:
    builder = SparkSession.builder.appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder


def _submitted() -> bool:
    """True under spark-submit, which brings master, jars and addresses of its own."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _local() -> dict[str, str]:
    """Settings of a session that this process starts itself."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    quiet = Path(__file__).with_name("log4j2.properties")
    return {**LOCAL_SETTINGS, _JAVA_OPTIONS: f"-Dlog4j2.configurationFile=file:{quiet}", **_jars()}


def _jars() -> dict[str, str]:
    """The jars `make setup` fetched; without them Ivy is asked."""
    folder = Path(os.environ.get("CRM_SPARK_JARS", JARS_FOLDER))
    jars = sorted(folder.resolve().glob("*.jar"))
    return {"spark.jars": ",".join(map(str, jars))} if jars else {"spark.jars.packages": DELTA_PACKAGE}


def _refuse_untried_spark() -> None:
    if pyspark.__version__ not in TRIED_SPARK:
        tried = ", ".join(TRIED_SPARK)
        raise CrmError(
            f"Spark {pyspark.__version__} was never tried with this Delta; install one of {tried} (patch releases have broken Delta)"
        )
