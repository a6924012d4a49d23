"""The import graph says what the layers say: layers only look down, and domain packages never import one another."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOMAIN = {"ingest", "customer", "value", "learning", "segments", "decisions", "province", "report"}
LAYERS = [  # from the bottom
    {"errors"},
    {"columns", "frames", "months", "locks", "threads", "forecast"},
    {"config", "tables"},
    DOMAIN,
    {"session", "runs", "workload"},
    {"job"},
    {"other_cities"},
    {"publication", "loading", "matrix_sets", "choices", "choice_again", "notebook", "bench"},
    {"__main__"},  # entry points of packages, as jobs are
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# The only I/O: storage, the model registry, the session, the locks, the frame.
MODULES = sorted((ROOT / "crm_spark").rglob("*.py"))
MAKE_FRAMES = {"ingest", "province"}  # they read files or make rows, so they are handed the session
PURE = [p for p in MODULES if p.parent.name in DOMAIN and p.stem not in ("registry", "files", "__main__")]


def imports(path):
    """(module, name) pairs of crm_spark imports in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crm_spark"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("crm_spark"))


def place(path):
    return "__main__" if path.stem == "__main__" else path.relative_to(ROOT / "crm_spark").with_suffix("").parts[0]


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != ROOT / "crm_spark" or p.stem != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_layers_only_look_down_and_domains_never_meet(path):
    mine = place(path)
    for module, name in imports(path):
        parts = module.split(".")[1:] or [name]
        theirs = parts[0]
        if theirs in (mine, "__version__", ""):
            continue
        assert theirs in RANK, f"{path.name} imports crm_spark.{theirs}, which has no layer"
        assert not (mine in DOMAIN and theirs in DOMAIN), f"domain package {mine} imports {theirs}"
        assert RANK[theirs] <= RANK[mine], f"{mine} imports {theirs}, which lies above it"


@pytest.mark.parametrize("path", PURE, ids=lambda p: str(p.relative_to(ROOT)))
def test_domain_code_has_no_session_no_rdd_and_no_print(path):
    text = path.read_text(encoding="utf-8")
    for forbidden in ("_jvm", "sparkContext", r"\.rdd", r"(?<!\w)print\(", r"import \*", "getOrCreate", "pandas_udf"):
        assert not re.search(forbidden, text), f"{path}: {forbidden}"
    if path.parent.name not in MAKE_FRAMES:
        assert "SparkSession" not in text, f"{path} knows a session"


def test_nobody_imports_a_job():
    for path in [*MODULES, *(ROOT / "jobs").glob("*.py")]:
        assert not [m for m, _ in imports(path) if m.startswith("crm_spark.jobs")], path
        assert "from jobs" not in path.read_text(encoding="utf-8"), path


def test_the_mlflow_folder_holds_no_python():
    assert (ROOT / "mlflow").is_dir()
    assert not list((ROOT / "mlflow").rglob("*.py")), "a .py file there would shadow the mlflow library"
