import subprocess
import sys
import textwrap

import pytest

from crm_spark.errors import LockedError
from crm_spark.locks import Locks

HOLDER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from crm_spark.locks import Locks
    with Locks(Path(sys.argv[1])).job("recommend", "2025-03", sys.argv[2].split(",") if sys.argv[2] else None):
        print("held", flush=True)
        time.sleep(60)
""")


@pytest.fixture
def holder(tmp_path):
    """Another process that holds recommend 2025-03 for the cities named (all if none)."""
    started = []

    def start(cities=""):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), cities], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline().strip() == "held"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def take(tmp_path, cities, job="recommend", month="2025-03"):
    with Locks(tmp_path).job(job, month, cities):
        return True


def test_a_second_run_of_the_same_month_is_refused_with_exit_75(tmp_path, holder):
    process = holder()
    with pytest.raises(LockedError, match=f"process {process.pid}") as error:
        take(tmp_path, None)
    assert error.value.exit_code == 75


def test_other_jobs_and_months_are_free(tmp_path, holder):
    holder()
    assert take(tmp_path, None, job="ingest")
    assert take(tmp_path, None, month="2025-02")


def test_runs_of_different_cities_do_not_disturb_each_other(tmp_path, holder):
    holder("HANGZHOU")
    assert take(tmp_path, ["NINGBO"])
    with pytest.raises(LockedError):
        take(tmp_path, ["NINGBO", "HANGZHOU"])


def test_a_run_of_all_cities_excludes_a_run_of_one_and_the_other_way_round(tmp_path, holder):
    process = holder("HANGZHOU")
    with pytest.raises(LockedError):
        take(tmp_path, None)
    process.kill()
    process.wait()
    holder()
    with pytest.raises(LockedError):
        take(tmp_path, ["HANGZHOU"])


def test_a_killed_holder_is_taken_over(tmp_path, holder):
    process = holder()
    process.kill()
    process.wait()
    assert take(tmp_path, None)


def test_a_lock_held_already_by_this_process_is_free_to_take_again(tmp_path):
    locks = Locks(tmp_path)
    with locks.job("ingest", "2025-03", None):
        with locks.job("ingest", "2025-03", None):
            pass
        with pytest.raises(LockedError):
            take(tmp_path, None, job="ingest")
    assert take(tmp_path, None, job="ingest")
