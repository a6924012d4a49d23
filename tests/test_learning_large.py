"""Wide and long tables as a spec of three lines meets them: 500 columns, most of them empty or useless, and ten million rows."""

import pytest
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from crm_spark.config.table_models import TableLabel, TableSpec
from crm_spark.learning.search import fit_table
from crm_spark.learning.table import LABEL, labelled

COLUMNS, WIDE_ROWS, LONG_ROWS = 500, 8_000, 10_000_000


def drawn(salt):
    """A number in [0, 1) by the row's id."""
    return F.pmod(F.xxhash64(F.lit(salt), "id"), F.lit(1_000_003)) / 1_000_003


@pytest.mark.slow
def test_a_table_of_five_hundred_columns_gives_up_its_drivers(spark, tmp_path):
    """Half of the columns are half empty, sixty hold texts of up to 300 levels; three numbers and a text move the label."""
    columns = {}
    for i in range(COLUMNS - 2):
        value = drawn(f"c{i}")
        if i % 8 == 0:
            columns[f"Var{i}"] = F.concat(F.lit("level "), (300 * value * value).cast("int").cast("string"))
        elif i % 2:
            columns[f"Var{i}"] = F.when(drawn(f"hole{i}") < 0.5, 100 * value)
        else:
            columns[f"Var{i}"] = F.round(F.exp(6 * value), 2)
    rows = spark.range(WIDE_ROWS).select("id", *[value.alias(name) for name, value in columns.items()])
    sums = 1.5 * (F.log("Var2") / 3 - 1) + 1.5 * (F.log("Var4") / 3 - 1) + F.when(F.col("Var1") > 50, 1.2).otherwise(0.0)
    odds = sums + F.when(F.split("Var8", " ")[1].cast("int") < 20, 1.2).otherwise(0.0) - 1.5
    chance = 1 / (1 + F.exp(-odds))
    table = rows.withColumn("chance", chance).withColumn("churn", F.when(drawn("label") < F.col("chance"), 1).otherwise(-1))
    table.write.parquet(f"{tmp_path}/wide")
    read = spark.read.parquet(f"{tmp_path}/wide")
    spec = TableSpec("wide", "?", TableLabel("churn"), key=("id",), exclude=("chance",), budget_minutes=15, boosting_rounds=60)
    fitted = fit_table(read, spec, print)
    assert len(fitted.columns.sources) + len(fitted.columns.dropped) == COLUMNS - 2
    judged = labelled(read, spec).where("_held").select(LABEL, "chance").toPandas()
    best = roc_auc_score(judged[LABEL], judged["chance"])
    assert best > 0.75 and fitted.metrics["test_auc"] > best - 0.05
    first = list(fitted.importances)[:8]
    assert all(any(name in words for words in first) for name in ("Var2", "Var4"))


@pytest.mark.slow
def test_of_ten_million_rows_a_sample_learns_and_its_chances_are_those_of_the_whole(spark, tmp_path):
    """One in fifty has the label; those that learn are a sample in which it is far more frequent."""
    rows = spark.range(LONG_ROWS).select("id", *[drawn(name).alias(name) for name in ("use", "age", "noise")])
    table = rows.withColumn("chance", 1 / (1 + F.exp(4.6 - 2.4 * F.col("use") * F.col("age") + 0.2)))
    table = table.withColumn("left", F.when(drawn("label") < F.col("chance"), "yes").otherwise("no"))
    table.write.parquet(f"{tmp_path}/long")
    read = spark.read.parquet(f"{tmp_path}/long")
    spec = TableSpec("long", "?", TableLabel("left"), key=("id",), exclude=("chance",), budget_minutes=10, max_rows=100_000, algorithms=("tree", "logistic"))
    fitted = fit_table(read, spec, print)
    assert sum(n for n, _ in fitted.sizes.values()) == LONG_ROWS
    assert fitted.rows.count() < 250_000
    rate = read.agg(F.mean(F.col("chance"))).first()[0]
    scored = fitted.pipeline.transform(read.where("pmod(id, 50) = 0")).agg(F.mean("_score")).first()[0]
    assert scored == pytest.approx(rate, rel=0.05)
