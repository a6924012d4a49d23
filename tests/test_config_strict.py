from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import pytest

from crm_spark.config.strict import load, merge, parse
from crm_spark.errors import ConfigError


@dataclass(frozen=True)
class Gate:
    auc: float
    kind: Literal["strict", "lenient"] = "strict"


@dataclass(frozen=True)
class Spec:
    name: str
    gate: Gate
    price: Decimal = Decimal(0)
    parts: tuple[int, ...] = ()
    by_city: dict[str, float] = field(default_factory=dict)
    note: str | None = None


def test_yaml_becomes_a_frozen_dataclass():
    spec = parse(Spec, {"name": "churn", "gate": {"auc": 1}, "price": "0.10", "parts": [1, 2], "by_city": {"A": 3}}, "x.yml")
    assert spec == Spec("churn", Gate(1.0), Decimal("0.10"), (1, 2), {"A": 3.0})


def test_every_problem_is_told_at_once_with_file_path_and_the_nearest_word():
    with pytest.raises(ConfigError) as error:
        parse(Spec, {"nam": "churn", "gate": {"auc": "high", "kind": "strickt"}, "parts": [1, "b"]}, "conf/models/churn.yml")
    told = str(error.value)
    assert "conf/models/churn.yml: nam: unknown key (did you mean 'name'?)" in told
    assert "name: is missing" in told
    assert "gate.auc: a number is wanted, found str 'high'" in told
    assert "gate.kind: 'strickt' is not one of strict, lenient (did you mean 'strict'?)" in told
    assert "parts[1]: a whole number is wanted" in told


def test_a_number_where_text_is_wanted_is_refused_with_the_mend():
    with pytest.raises(ConfigError, match="put it in quotes"):
        parse(Spec, {"name": 2024, "gate": {"auc": 0.5}}, "x.yml")


def test_what_is_no_number_or_without_end_is_refused():
    with pytest.raises(ConfigError) as error:
        parse(Spec, {"name": "churn", "gate": {"auc": float("nan")}, "by_city": {"A": float("inf")}}, "x.yml")
    told = str(error.value)
    assert "gate.auc: a number is wanted, found nan" in told and "by_city.A: a number is wanted, found inf" in told


def test_true_is_not_a_number():
    with pytest.raises(ConfigError, match="a number is wanted"):
        parse(Gate, {"auc": True}, "x.yml")


def test_a_key_given_twice_is_refused(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text("auc: 0.5\nauc: 0.6\n")
    with pytest.raises(ConfigError, match="'auc' stands twice"):
        load(Gate, path)


def test_a_missing_file_names_its_nearest_sibling(tmp_path):
    (tmp_path / "churn.yml").write_text("auc: 0.5")
    with pytest.raises(ConfigError, match=r"did you mean 'churn.yml'"):
        load(Gate, tmp_path / "chrun.yml")


def test_an_overlay_merges_mappings_and_null_removes():
    assert merge({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]}) == {"a": {"x": 1, "y": 3}, "b": [2]}
    assert merge({"a": 1, "b": 2}, {"a": None}) == {"b": 2}
