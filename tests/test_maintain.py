"""What jobs/maintain.py decides for a table, from its files and pins alone (what becomes of real files: tests/test_files.py)."""

import importlib.util
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_spark.runs import Pin
from crm_spark.tables.ops import RUN_LEDGER
from crm_spark.tables.score import SEGMENT
from crm_spark.tables.upkeep import NOWHERE

A, B, JUNE = ("A", "2023-01"), ("B", "2023-01"), ("A", "2024-06")
PINS = {A: Pin("r1", 1, 1), B: Pin("r1", 1, 1), JUNE: Pin("r2", 2, 2)}
FIRST = {A: {"a"}, B: {"b1", "b2"}}
SECOND = {**FIRST, JUNE: {"c"}}


class Files:
    """A table whose versions hold these files; it notes what is done to it."""

    def __init__(self, versions):
        self.versions, self.newest, self.done = versions, max(versions), []

    def files(self, _, version=None):
        return self.versions.get(self.newest if version is None else version)

    def carried(self, _, at):
        return at

    def size(self, _):
        return 1, 1

    def version(self, _):
        return self.newest

    def crowded(self, _, files):
        return sorted(place for place, names in files.items() if len(names) > 1)

    def dead_files(self, _):
        return 5

    def compact(self, _, places):
        self.done.append(("compact", places))
        self.newest += 1

    def delete(self, _, places):
        self.done.append(("delete", places))
        self.newest += 1

    def vacuum(self, _):
        self.done.append("vacuum")


@pytest.fixture(scope="module")
def tend():
    spec = importlib.util.spec_from_file_location("maintain_decides", Path(__file__).resolve().parents[1] / "jobs" / "maintain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def decide(files, pins=PINS, table=SEGMENT, month="2024-06", cities=None, dry_run=False, keep_months=None):
        """What was done, and what is to be published as (place, run, version)."""
        config = SimpleNamespace(env=SimpleNamespace(keep_months=keep_months or {}))
        options, log = SimpleNamespace(dry_run=dry_run), logging.getLogger("crm_spark")
        job = SimpleNamespace(month=month, cities=cities, options=options, run_id="upkeep", log=log, config=config)
        return files.done, sorted((row[:2], row[3], row[4]) for row in module._tend(job, files, table, pins))

    return decide


def test_places_of_many_files_are_written_together_and_all_that_is_the_same_is_pinned_to_the_newest(tend):
    done, published = tend(Files({1: FIRST, 2: SECOND}))
    assert done == [("compact", [B]), "vacuum"]
    assert published == [(A, "r1", 3), (JUNE, "r2", 3), (B, "r1", 3)]


def test_a_dry_run_does_nothing(tend):
    assert tend(Files({1: FIRST, 2: SECOND}), dry_run=True)[0] == []


def test_other_cities_and_later_months_are_left_alone(tend):
    assert tend(Files({1: FIRST, 2: SECOND}), cities=("A",)) == (["vacuum"], [(A, "r1", 2)])
    assert tend(Files({1: FIRST, 2: SECOND}), cities=("B",), month="2022-12") == (["vacuum"], [])


def test_what_only_the_published_version_holds_keeps_its_pin_and_every_deleted_file(tend):
    done, published = tend(Files({1: FIRST, 2: {**SECOND, A: {"written anew"}}}))
    assert done == [("compact", [B])]
    assert A not in [place for place, *_ in published]


def test_a_version_that_is_gone_protects_nothing_and_proves_nothing(tend):
    assert tend(Files({2: SECOND})) == (["vacuum"], [])


def test_months_beyond_the_memory_are_withdrawn_and_deleted_and_the_thirteenth_stays(tend):
    done, published = tend(Files({1: FIRST, 2: SECOND}), keep_months={"score": 13})
    assert done == [("delete", [A, B]), "vacuum"]
    assert published == [(A, "upkeep", None), (JUNE, "r2", 3), (B, "upkeep", None)]
    assert tend(Files({1: FIRST, 2: SECOND}), keep_months={"score": 18})[0] == [("compact", [B]), "vacuum"]
    assert tend(Files({1: FIRST, 2: SECOND}), keep_months={"mart": 13})[0] == [("compact", [B]), "vacuum"]


def test_tables_without_partitions_are_written_together_too(tend):
    assert tend(Files({7: {NOWHERE: {"1", "2"}}}), pins={}, table=RUN_LEDGER) == ([("compact", [NOWHERE]), "vacuum"], [])
