"""Decision tables as values: rules, matrices, and the set of a source."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pyspark.sql import types as T

from crm_spark.config.decisions import Aggregation, DecisionSettings, DerivedSpec, HitPolicy, Kind, OutputKind
from crm_spark.config.policies import Goal, Policy
from crm_spark.decisions.unary import Test, matches_null

RULE, WHY, COMMENT, DEFAULT = "rule", "why", "comment", "default"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Rule:
    """One row: the tests that are not `-`, by input, and what it gives (its outputs, `candidates`, `why`)."""

    name: str
    tests: Mapping[str, Test]
    outputs: Mapping[str, str]

    def lacks(self, available: frozenset[str]) -> tuple[str, ...]:
        """Columns outside `available` of which the rule demands a value: without any value it could never fire."""
        return tuple(sorted(c for c, test in self.tests.items() if c not in available and not matches_null(test)))


@dataclass(frozen=True)
class Matrix:
    """One checked decision table; `default` is what holds where no rule fires, `path` the file that declares it.

    `output_values` ranks the values of outputs, best first; `allowed` are the only values that an input of text can have, where known;
    `scales` how many digits after the point an input of numbers has, where its type says so: 0 of whole numbers.
    """

    name: str
    goal: Goal | None
    hit_policy: HitPolicy
    inputs: Mapping[str, Kind]
    outputs: Mapping[str, OutputKind]
    derived: Mapping[str, DerivedSpec]
    rules: tuple[Rule, ...]
    default: Rule | None
    version: str
    path: str
    output_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aggregation: Aggregation = "LIST"
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)

    def output(self, kind: OutputKind) -> str | None:
        """The output column of a kind."""
        return next((column for column, found in self.outputs.items() if found == kind), None)

    @property
    def tested_columns(self) -> frozenset[str]:
        """Inputs that at least one rule tests."""
        return frozenset(column for rule in self.rules for column in rule.tests)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Columns that the rules' `why` texts and scores show."""
        rules = (*self.rules, *((self.default,) if self.default else ()))
        showing = (WHY, *filter(None, [self.output("score")]))
        return tuple(sorted({c for rule in rules for part in showing for c in PLACEHOLDER.findall(rule.outputs.get(part, ""))}))


@dataclass(frozen=True)
class Skipped:
    """A rule that cannot be judged in this run, and the columns it lacks."""

    matrix: str
    rule: str
    columns: tuple[str, ...]

    @property
    def reason(self) -> str:
        """In one sentence."""
        return f"no customer has a value of {', '.join(self.columns)}"


@dataclass(frozen=True)
class MatrixSet:
    """All matrices of a source, ordered by name, with what they share."""

    matrices: tuple[Matrix, ...]
    policies: Mapping[str, Policy]
    settings: DecisionSettings

    @property
    def tested_columns(self) -> frozenset[str]:
        """Columns that any rule of any matrix tests."""
        return frozenset().union(*(m.tested_columns for m in self.matrices))

    def usable(self, available: frozenset[str]) -> tuple[MatrixSet, tuple[Skipped, ...]]:
        """The set without the rules that demand a value of a column outside `available`, and those rules.

        A rule that says `-` there, or lists `null`, stays: it is what holds of customers without a value.
        """
        lacking = {(m.name, r.name): r.lacks(available) for m in self.matrices for r in m.rules}
        skipped = tuple(Skipped(*place, columns) for place, columns in lacking.items() if columns)
        return self.without({(s.matrix, s.rule) for s in skipped}), skipped

    def without(self, gone: Collection[tuple[str, str]]) -> MatrixSet:
        """The set without these (matrix, rule)."""
        kept = tuple(replace(m, rules=tuple(r for r in m.rules if (m.name, r.name) not in gone)) for m in self.matrices)
        return replace(self, matrices=kept)


def scale_of(data_type: T.DataType | None) -> int | None:
    """Digits after the point of a type of numbers; None where it has no fixed number of them."""
    if isinstance(data_type, T.DecimalType):
        return data_type.scale
    return 0 if isinstance(data_type, T.IntegralType) else None


def kind_of(data_type: T.DataType | None) -> Kind | None:
    """How a cell sees a column's type; None for a column no cell can test."""
    kinds: Iterable[tuple[type[T.DataType], Kind]] = (
        (T.NumericType, "number"),
        (T.StringType, "string"),
        (T.BooleanType, "boolean"),
        (T.DateType, "date"),
    )
    return next((kind for found, kind in kinds if isinstance(data_type, found)), None)
