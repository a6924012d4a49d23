"""The proof by permuted labels: on real customers whose labels are shuffled no model finds anything, and the run goes on without one.

Minutes a run; needs the real data of CRM_SPARK_REAL_DATA (`make permuted`).
"""

import csv
import gzip
import hashlib
from pathlib import Path

import pytest

from tests.real import DATA, run_month

FILE = "cell2cell.csv.gz"
SALTS = ("salt-1", "salt-2", "salt-3")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / FILE).exists(), reason=f"{FILE} is not in CRM_SPARK_REAL_DATA"),
]


def write_permuted(salt: str, folder: Path) -> None:
    """The file with its labels dealt out anew, in the order of sha256(salt|CustomerID): as many, to whomever."""
    with gzip.open(DATA / FILE, "rt", encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    key, label = header.index("CustomerID"), header.index("Churn")
    shuffled = sorted(rows, key=lambda row: hashlib.sha256(f"{salt}|{row[key]}".encode()).hexdigest())
    dealt = {receiver[key]: giver[label] for receiver, giver in zip(shuffled, rows, strict=True)}
    with gzip.open(folder / FILE, "wt", encoding="utf-8", newline="", compresslevel=1) as stream:
        csv.writer(stream).writerows([header, *[[*row[:label], dealt[row[key]], *row[label + 1 :]] for row in rows]])


@pytest.mark.parametrize("salt", SALTS)
def test_with_permuted_labels_nothing_is_found_the_gate_refuses_and_the_run_ends_well(salt, tmp_path):
    write_permuted(salt, tmp_path)
    month = run_month("real-cell2cell", "2002-01", tmp_path, tmp_path / "var")
    assert month.code == 0, month.log
    assert "churn" in month.metrics
    for model, found in month.metrics.items():
        assert found["test_auc"] == pytest.approx(0.5, abs=0.02), model
        assert found["test_distinct_scores"] >= 1000, model
    assert month.champions == set()
