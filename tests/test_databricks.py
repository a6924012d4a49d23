"""The Databricks bundle: every key is known, every task has its entry point, and the order is that of the month."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from databricks.bundles.jobs import Job

from crm_spark.config.env import load_env
from crm_spark.config.strict import parse, read_yaml
from crm_spark.job import asked_cities, parser
from crm_spark.months import asked_month
from crm_spark.session import SETTINGS
from tests.tiny import load_job

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "conf/databricks"
FILES = sorted(BUNDLE.rglob("*.yml"))
COMMANDS = {f"crm-{p.stem.replace('_', '-')}" for p in (ROOT / "jobs").glob("*.py") if p.stem != "__init__"}
BROUGHT = {"spark.sql.extensions", "spark.sql.catalog.spark_catalog"}  # a runtime of Databricks has Delta itself, which knows its own settings


# Databricks' reference of a bundle's own keys, as far as they stand here; those of a job are in `databricks.bundles`.
@dataclass(frozen=True)
class Named:
    name: str


@dataclass(frozen=True)
class Sync:
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Artifact:
    type: Literal["whl"]
    path: str
    build: str


@dataclass(frozen=True)
class Variable:
    description: str
    default: str | int | None = None


@dataclass(frozen=True)
class Workspace:
    root_path: str


@dataclass(frozen=True)
class Target:
    mode: Literal["development", "production"]
    variables: dict[str, str | int]
    default: bool = False
    workspace: Workspace | None = None


@dataclass(frozen=True)
class Bundle:
    bundle: Named
    include: tuple[str, ...]
    sync: Sync
    artifacts: dict[str, Artifact]
    variables: dict[str, Variable]
    targets: dict[str, Target] = field(default_factory=dict)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return parse(Bundle, read_yaml(BUNDLE / "databricks.yml"), "databricks.yml")


@pytest.fixture(scope="module")
def month() -> dict:
    """The month's job as it stands in its file."""
    resources = read_yaml(BUNDLE / "resources/month.yml")
    assert set(resources) == {"resources"} and set(resources["resources"]) == {"jobs"} and set(resources["resources"]["jobs"]) == {"month"}
    return resources["resources"]["jobs"]["month"]


def test_the_job_says_what_databricks_understands_of_it(month):
    """An unknown key is refused; a value of another type would come back as another one."""
    assert Job.from_dict(month).as_dict() == month


def test_the_tasks_are_the_jobs_of_the_month_in_order_and_then_the_publication_and_the_upkeep(month):
    order = [*load_job("run_month").ORDER, "publish", "maintain"]
    assert [task["task_key"] for task in month["tasks"]] == order
    before = [[d["task_key"] for d in task.get("depends_on", ())] for task in month["tasks"]]
    assert before == [[], *([name] for name in order[:-1])]


def test_every_task_has_an_entry_point_of_the_wheel_and_the_cluster(month, bundle):
    name = re.search(r'name="(.+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))[1]
    (cluster,) = [c["job_cluster_key"] for c in month["job_clusters"]]
    (wheel,) = bundle.artifacts.values()
    for task in month["tasks"]:
        wheel_task = task["python_wheel_task"]
        assert wheel_task["package_name"] == name.replace("-", "_")
        assert wheel_task["entry_point"] == f"crm-{task['task_key'].replace('_', '-')}" in COMMANDS
        assert task["job_cluster_key"] == cluster
        assert [(BUNDLE / "resources" / library["whl"]).resolve() for library in task["libraries"]] == [ROOT / "dist/*.whl"]
    assert (BUNDLE / wheel.path).resolve() == ROOT


@pytest.mark.parametrize("given, cities", [("", None), ("NINGBO,HANGZHOU", ("HANGZHOU", "NINGBO"))])
def test_every_task_understands_its_arguments(month, given, cities):
    values = {p["name"]: p["default"] for p in month["parameters"]} | {"city": given}
    for task in month["tasks"]:
        told = [filled(text, values) for text in task["python_wheel_task"]["parameters"]]
        options = parser(task["task_key"], "").parse_args(told)  # what every job takes
        assert (options.env, asked_month(options.month), asked_cities(options.city)) == ("databricks", "2025-03", cities)
        assert options.run_id == "databricks-4711"


def filled(text, values):
    """What Databricks makes of its references."""
    for name, value in values.items():
        text = text.replace(f"{{{{job.parameters.{name}}}}}", value)
    return text.replace("{{job.start_time.iso_date}}", "2025-04-02").replace("{{job.run_id}}", "4711")


def test_every_variable_is_declared_used_and_given(bundle):
    used = {name for path in FILES for name in re.findall(r"\$\{var\.(\w+)\}", path.read_text(encoding="utf-8"))}
    assert used == set(bundle.variables)
    without = {name for name, variable in bundle.variables.items() if variable.default is None}
    for target in bundle.targets.values():
        assert set(target.variables) <= set(bundle.variables)
        assert without - set(target.variables) == {"node_type"}, "which differs from cloud to cloud, so it is given at deployment"


def test_the_targets_are_one_for_development_and_one_for_production(bundle):
    assert {name: (t.mode, t.default) for name, t in bundle.targets.items()} == {"dev": ("development", True), "prod": ("production", False)}
    assert bundle.targets["dev"].variables["catalog"] != bundle.targets["prod"].variables["catalog"]


def test_what_a_run_reads_beside_the_wheel_is_deployed(bundle):
    settings = ROOT / read_yaml(ROOT / "conf/base.yml")["mlflow"]["settings"]  # beside the folder of the configuration
    assert {(BUNDLE / path).resolve() for path in bundle.sync.paths} == {ROOT / "conf", settings.parent}
    assert all(list(BUNDLE.glob(pattern)) for pattern in bundle.include)


def test_the_cluster_sets_every_variable_of_the_environment(month, bundle, monkeypatch):
    values = {**{n: v.default for n, v in bundle.variables.items()}, **bundle.targets["prod"].variables}
    for name, text in month["job_clusters"][0]["new_cluster"]["spark_env_vars"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{var\.(\w+)\}", lambda m: str(values[m[1]]), text))
    env = load_env(ROOT / "conf", "databricks")
    assert (env.catalog.by, env.catalog.root, env.mlflow.model_prefix) == ("name", "crm", "crm.models.")
    assert env.data.startswith("/Volumes/") and env.var.startswith("/Volumes/") and env.mlflow.experiment.startswith("/")
    assert not str(env.locks).startswith("/Volumes/"), "a volume has no file locks"
    assert not env.pseudonym.create


def test_the_cluster_has_the_settings_that_a_running_session_cannot_take(month, spark):
    fixed = {k: v for k, v in SETTINGS.items() if not (spark.conf.isModifiable(k) or k in BROUGHT or k.startswith("spark.databricks."))}
    assert month["job_clusters"][0]["new_cluster"]["spark_conf"] == fixed


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_no_host_and_no_token_stand_in_the_bundle(path):
    keys = set(re.findall(r"^\s*-?\s*(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert not keys & {"host", "token", "profile", "client_secret", "password", "account_id", "existing_cluster_id"}
    assert not re.search(r"https?://|\bdapi\w+|\.databricks(apps)?\.(com|net)", path.read_text(encoding="utf-8"))
