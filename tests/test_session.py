"""Which session a job gets; a running one takes what may change while it runs, and no job stops at what may not."""

from crm_spark.session import SETTINGS, open_session


def test_the_running_session_of_databricks_takes_the_settings(spark, monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    monkeypatch.setattr("crm_spark.session.SparkSession", _Builder(spark))
    kept = {key: spark.conf.get(key) for key in ("spark.sql.session.timeZone", "spark.sql.legacy.javaCharsets", "spark.sql.shuffle.partitions")}
    try:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.conf.set("spark.sql.legacy.javaCharsets", "false")
        session = open_session("any", {"spark.sql.shuffle.partitions": "9", "spark.driver.memory": "1g"})
        assert session.conf.get("spark.sql.session.timeZone") == SETTINGS["spark.sql.session.timeZone"]
        assert session.conf.get("spark.sql.legacy.javaCharsets") == "true", "GBK needs it"
        assert session.conf.get("spark.sql.shuffle.partitions") == "9"
        assert session.conf.get("spark.driver.memory", None) != "1g"
    finally:
        for key, value in kept.items():
            spark.conf.set(key, value)


class _Builder:
    """`SparkSession.builder.getOrCreate()` that gives the session of the tests."""

    def __init__(self, session):
        self.builder, self.getOrCreate = self, lambda: session


def java_options(monkeypatch, settings, **machine):
    """The Java options that a local session of these settings would start with."""
    given = {}
    monkeypatch.setattr("crm_spark.session._builder", lambda _, all_of_them: given.update(all_of_them) or _Builder(None))
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS", "PYSPARK_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    open_session("any", settings)
    return given["spark.driver.extraJavaOptions"].split()


def test_java_options_of_the_environment_add_up_and_only_one_collector_is_named(monkeypatch):
    mine = "spark.driver.extraJavaOptions"
    assert "-XX:+UseParallelGC" in java_options(monkeypatch, {})
    assert {"-XX:+UseParallelGC", "-Dmine=1"} <= set(java_options(monkeypatch, {mine: "-Dmine=1"}))
    assert [o for o in java_options(monkeypatch, {mine: "-XX:+UseG1GC"}) if o.endswith("GC")] == ["-XX:+UseG1GC"]
    assert not [o for o in java_options(monkeypatch, {}, JAVA_TOOL_OPTIONS="-XX:+UseZGC") if o.endswith("GC")]
    assert not [o for o in java_options(monkeypatch, {"spark.driver.defaultJavaOptions": "-XX:+UseSerialGC"}) if o.endswith("GC")]


def test_a_server_is_asked_for_the_session_where_one_is_named(spark, monkeypatch):
    builder = _Builder(spark)
    asked = []
    builder.remote = lambda address: asked.append(address) or builder
    monkeypatch.setattr("crm_spark.session.SparkSession", builder)
    assert open_session("any", {"spark.remote": "sc://one"}) is spark
    monkeypatch.setenv("SPARK_REMOTE", "sc://two")
    assert open_session("any", {}) is spark
    assert asked == ["sc://one", "sc://two"]
