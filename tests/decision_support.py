"""What the tests of matrices share: planners' files on disk, the declared columns, and customers as literal rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from crm_spark.config.decisions import load_decisions
from crm_spark.decisions.inputs import decision_columns
from crm_spark.decisions.load import check_matrices
from crm_spark.decisions.table import Matrix, MatrixSet, Rule
from crm_spark.decisions.unary import Anything, parse_cell
from crm_spark.frames import literal_frame
from crm_spark.tables.mart import CUSTOMER_VIEW

CONF = Path(__file__).resolve().parents[1] / "conf"
MODELS = tuple(sorted(p.stem for p in (CONF / "models").glob("*.yml")))
GROUPS = ("customer_group", "customer_class", "traffic_group", "traffic_class")
COLUMNS = decision_columns(CUSTOMER_VIEW, MODELS, GROUPS)
NO_SOURCE = "no-source-of-its-own"

SLOW_OPERATORS = ("EvalPython", "MapInArrow", "SortMergeJoin", "ShuffledHashJoin", "NestedLoop", "CartesianProduct", "Window")

PRIORITY_CSV = "rule,value_grade,priority\nbest,high,retention > traffic > new_service\n"
PRIORITY_YML = """
question: Which goal comes first?
hit_policy: FIRST
inputs: {value_grade: string}
outputs: {priority: goals}
default: {priority: traffic > retention > new_service}
"""


def shipped() -> MatrixSet:
    """The matrices of conf/."""
    return read_matrices(CONF)


def read_matrices(folder: Path, source: str = NO_SOURCE, grades: Mapping[str, Sequence[str]] = MappingProxyType({})) -> MatrixSet:
    """The checked matrices of a conf folder."""
    return check_matrices(load_decisions(folder, source), COLUMNS, grades)


def planners_folder(folder: Path) -> Path:
    """A conf folder with the shipped policies and the smallest set of matrices that is allowed."""
    (folder / "matrices").mkdir(parents=True)
    shutil.copy(CONF / "policies.csv", folder)
    write_matrix(folder, "priority", PRIORITY_CSV, PRIORITY_YML)
    return folder


def write_matrix(folder: Path, name: str, csv: str, yml: str) -> None:
    """Put one matrix into a conf folder."""
    (folder / "matrices").mkdir(parents=True, exist_ok=True)
    (folder / "matrices" / f"{name}.csv").write_text(csv, encoding="utf-8", newline="")
    (folder / "matrices" / f"{name}.yml").write_text(yml, encoding="utf-8")


def table(hit_policy: str, inputs: dict[str, str], *rows: dict[str, str], default: dict[str, str] | None = None) -> Matrix:
    """A matrix from cells as a planner writes them; the output `give` is the rule's number, from 1."""
    rules = []
    for number, cells in enumerate(rows, 1):
        tests = {column: parse_cell(cells.get(column, "-"), kind) for column, kind in inputs.items()}
        rules.append(Rule(f"r{number}", {c: t for c, t in tests.items() if not isinstance(t, Anything)}, {"give": str(number)}))
    fallback = Rule("default", {}, default) if default else None
    return Matrix("table", None, hit_policy, inputs, {"give": "text"}, {}, tuple(rules), fallback, "v1", "table.yml")


def customers(spark: SparkSession, *rows: dict[str, object]) -> DataFrame:
    """Rows of the whole decision input; what a row does not name is NULL."""
    columns = {**COLUMNS, "model_versions": T.MapType(T.StringType(), T.StringType())}
    struct = T.StructType([T.StructField(name, kind) for name, kind in columns.items()])
    place = {"city": "HANGZHOU", "month": "2025-03"}
    return literal_frame(spark, [tuple({**place, **row}.get(c) for c in columns) for row in rows], struct)


def executed_plan(frame: DataFrame) -> str:
    """The plan that ran; the frame is collected first."""
    frame.collect()
    return frame._jdf.queryExecution().executedPlan().toString().split("== Initial Plan ==")[0]
