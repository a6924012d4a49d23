"""A small province's month on a standalone cluster whose worker is killed amid it."""

import subprocess

import pytest

from tests.tiny import ROOT


@pytest.mark.slow
def test_one_worker_two_and_a_lost_one_come_to_equal_digests() -> None:
    run = subprocess.run(["bash", ".ci/cluster_proof"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "digests of the 4 runs are equal" in run.stdout
