"""`conf/value.yml`: the value hierarchy with its pairwise judgements, the scale of every leaf, and the grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crm_spark.config.ahp import Judgement, RandomIndex, weigh
from crm_spark.config.strict import merge, parse, read_yaml
from crm_spark.errors import ConfigError, did_you_mean

ROOT = "value"
ACTIVITY_MEASURES = ("active_days", "uses", "mb", "fee_yuan")  # of a service's state in the view
BRANCHES = ("direct", "indirect")  # each has a column of its own in score.value_score


@dataclass(frozen=True)
class Criterion:
    """Parts of a criterion (criteria or leaves) and how much more each counts than each other."""

    parts: tuple[str, ...]
    judgements: tuple[tuple[Judgement, ...], ...] = ()


@dataclass(frozen=True)
class Leaf:
    """A measured part: the sum of view columns, 0 points at `floor` and below, 100 at `ceiling` and above."""

    columns: tuple[str, ...]
    floor: float
    ceiling: float

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("columns: at least one column of the view is needed")
        if self.floor == self.ceiling:
            raise ValueError(f"floor and ceiling are both {self.floor:g}; 0 and 100 points need two values")


@dataclass(frozen=True)
class Outlook:
    """`expects`: how much each column of the view, in yuan a month, counts in the revenue expected of the next month. Then the names of the models
    whose score is the chance of churn and whose grade is the credit risk, and by that grade the months of revenue to lend."""

    expects: dict[str, float] = field(default_factory=lambda: {"arpu_yuan": 1.0, "arpu_yuan_mean_3m": 1.0})
    churn: str = "churn"
    credit_risk: str = "credit_risk"
    credit_months: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.expects or min(self.expects.values()) <= 0:
            raise ValueError("expects: columns of the view and how much they count, above 0, are wanted")
        wrong = [grade for grade, months in self.credit_months.items() if months < 0]
        if wrong:
            raise ValueError(f"credit_months: {wrong[0]} is below 0")


@dataclass(frozen=True)
class ValueConfig:
    """The value index: `grades` gives each grade the share of the city's ranking it ends at, best first; the `outlook` beside it; and how much each
    measure of use counts in the composite activity of a service (`activity`)."""

    criteria: dict[str, Criterion]
    leaves: dict[str, Leaf]
    grades: dict[str, float]
    outlook: Outlook = Outlook()
    activity: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ACTIVITY_MEASURES, 1.0))
    smallest_city: int = 50
    max_consistency_ratio: float = 0.1
    random_index: RandomIndex = "classic"

    def weights(self, criterion: str = ROOT) -> dict[str, float]:
        """Weight of every leaf under the criterion: the product of the weights down the tree; they sum to 1."""
        if criterion not in self.criteria:
            return {criterion: 1.0}
        own = self.part_weights(criterion)
        return {leaf: weight * below for part, weight in own.items() for leaf, below in self.weights(part).items()}

    def part_weights(self, name: str) -> dict[str, float]:
        """Weight of each part within the criterion, by its judgements; they sum to 1."""
        found = self.criteria[name]
        try:
            return weigh(found.parts, found.judgements, self.random_index, self.max_consistency_ratio).weights
        except ConfigError as error:
            raise ConfigError([f"criteria.{name}: {problem}" for problem in error.problems]) from None

    def problems(self) -> Iterator[str]:
        """Everything that is wrong with the hierarchy, its judgements and the grades."""
        yield from self._tree_problems()
        yield from self._activity_problems()
        for name in self.criteria:
            try:
                self.part_weights(name)
            except ConfigError as error:
                yield from error.problems
        shares = list(self.grades.values())
        if not shares or shares != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1:
            yield f"grades: the shares where the grades end must rise from above 0 to 1, found {shares}"

    def _activity_problems(self) -> Iterator[str]:
        unknown = [name for name in self.activity if name not in ACTIVITY_MEASURES]
        yield from (f"activity.{name}: no measure of use{did_you_mean(name, ACTIVITY_MEASURES)}" for name in unknown)
        if not self.activity or min(self.activity.values()) <= 0:
            yield "activity: at least one measure is wanted, each with a weight above 0"

    def _tree_problems(self) -> Iterator[str]:
        known = {*self.criteria, *self.leaves} - {ROOT}
        named = [(criterion, part) for criterion, found in self.criteria.items() for part in found.parts]
        yield from (f"criteria.{c}.parts: '{p}' is no criterion and no leaf{did_you_mean(p, known)}" for c, p in named if p not in known)
        yield from (f"criteria: '{p}' is a part {n} times, once is right" for p, n in Counter(p for _, p in named).items() if n > 1)
        yield from (f"'{p}' is both a criterion and a leaf" for p in sorted(set(self.criteria) & set(self.leaves)))
        yield from (f"'{p}' belongs to no criterion below '{ROOT}'" for p in sorted(known - self._below(ROOT)))
        if ROOT not in self.criteria or set(self.criteria[ROOT].parts) != set(BRANCHES):
            yield f"criteria.{ROOT}.parts: {' and '.join(BRANCHES)} are wanted"

    def _below(self, name: str) -> set[str]:
        """Every part below a criterion; a circle ends where it closes."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            criterion = self.criteria.get(waiting.pop())
            new = set(criterion.parts) - found if criterion else set()
            found |= new
            waiting.extend(new)
        return found


def load_value(conf_dir: Path, source: str) -> ValueConfig:
    """`conf/value.yml` with `conf/sources/<source>/value.yml` laid over it; ConfigError tells every problem together."""
    path, over = conf_dir / "value.yml", conf_dir / "sources" / source / "value.yml"
    raw = merge(read_yaml(path), read_yaml(over)) if over.exists() else read_yaml(path)
    where = f"{path} with {over}" if over.exists() else str(path)
    config = parse(ValueConfig, raw, where)
    problems = [f"{where}: {problem}" for problem in config.problems()]
    if problems:
        raise ConfigError(problems)
    return config
