"""The month over Spark Connect: a server of its own, a client without a JVM, and the digests of the classic run."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.tiny import KEY, MONTH, ROOT, Tiny

pytestmark = pytest.mark.slow
STARTS_WITHIN = 120  # seconds
RAW = ("voice_cdr", "signalling", "user_info", "billing")  # must not be empty
MEMORY = ("--driver-memory", "3g")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server on loopback."""
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as told, subprocess.Popen(["bash", ROOT / ".ci/connect_server", str(port), *MEMORY], stdout=told, stderr=told) as process:
        try:
            wait_for(port, process, log)
            yield f"sc://127.0.0.1:{port}"
        finally:
            process.terminate()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    for _ in range(2 * STARTS_WITHIN):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.5)
    pytest.fail(log.read_text())


@pytest.fixture(scope="module")
def over(server: str, tiny: Tiny) -> Path:
    """The folder of a month that was run over Connect, its models trained there."""
    folder = tiny.folder / "connect"
    own = {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "artifacts": f"{folder}/mlartifacts", "train": "always"}
    tiny.environment("connect", folder, {"spark.remote": server}, **own)
    run_over_connect(tiny, "run_month")
    return folder


def run_over_connect(tiny: Tiny, job: str, *options: str) -> str:
    """What a job tells that runs as a client of its own; it must end well."""
    arguments = ["--conf-dir", tiny.conf, "--env", "connect", "--month", MONTH, *options]
    environment = {**os.environ, "CRM_SPARK_PSEUDONYM_KEY": KEY, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, ROOT / f"jobs/{job}.py", *arguments], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_the_month_with_its_training_over_spark_connect_has_the_digests_of_the_classic_run(over: Path, tiny: Tiny) -> None:
    digests = json.loads((over / "summary.json").read_text(encoding="utf-8"))["digests"]
    assert digests == tiny.summary["digests"]


def test_what_is_done_beside_the_month_runs_over_spark_connect_too(over: Path, tiny: Tiny, spark: SparkSession) -> None:
    """A customer's decision again, a draft against what is decided, a day's calls, the call indicators, upkeep, and the publication of a run."""
    first = spark.read.format("delta").load(f"{over}/tables/decision/choice").select("user_id").orderBy("user_id").first()
    run_over_connect(tiny, "replay", "--user", first["user_id"])
    run_over_connect(tiny, "simulate", "--set", "choosing.limits.budget.most=100", "--out", str(over / "page"))
    assert "wrote" in run_over_connect(tiny, "build_call_indicators")
    run_over_connect(tiny, "run_day")
    run_over_connect(tiny, "maintain")
    run = json.loads((over / "summary.json").read_text(encoding="utf-8"))["run"]["run_id"]
    run_over_connect(tiny, "publish", "--run-id", run)


def test_a_province_over_spark_connect_is_that_of_a_classic_run(server: str, tmp_path: Path, spark: SparkSession) -> None:
    arguments = ["--size", "300", "--seed", "3", "--months", MONTH, MONTH, "--tables", "all", "--conf-dir", ROOT / "conf"]
    for place, remote in (("classic", {}), ("connect", {"SPARK_REMOTE": server})):
        made = [sys.executable, ROOT / "jobs/make_province.py", *arguments, "--out", tmp_path / place / "raw"]
        ended = subprocess.run(made, env={**os.environ, **remote, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    tables = sorted(folder.name for folder in (tmp_path / "classic" / "raw").iterdir())
    for table in tables:
        form = "parquet" if list((tmp_path / "classic" / "raw" / table).rglob("*.parquet")) else "text"
        one, other = (spark.read.format(form).load(str(tmp_path / place / "raw" / table)) for place in ("classic", "connect"))
        assert table not in RAW or not one.isEmpty(), table
        assert one.exceptAll(other).isEmpty() and other.exceptAll(one).isEmpty(), table
