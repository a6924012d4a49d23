"""`conf/segments/*.yml`: each file is one segmentation - what is grouped by what, into how many groups, and how they are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from crm_spark.config.strict import merge, parse, read_yaml
from crm_spark.errors import ConfigError, did_you_mean

_RULES = "segments/rules"


@dataclass(frozen=True)
class NameRule:
    """A name for the groups whose profile meets `when`.

    `when` is SQL over `<attribute>` (its index: 1 is average), `<attribute>_mean` and `customers_share`.
    """

    name: str
    when: str


@dataclass(frozen=True)
class SegmentationSpec:
    """One segmentation.

    `attributes` are columns of the view, or `{name: SQL}`; those in `log` enter as log(1 + x), those in `root` as square root,
    so that a few large values do not rule; nothing counts as further from the mean than `limit` standard deviations, so that
    a handful of odd customers is no group. `weights` (default 1) say how much a standardised attribute counts. Those in
    `profile` do not form the groups, but describe them. With `representatives`, of attributes that vary together only the one that
    stands best for them forms the groups; clusters of attributes are split while their second eigenvalue is above `split_above`.
    `order_by` is the attribute whose mean numbers the groups, highest first. Without `classes` the groups are not merged further.

    Of `starts` fits, the tightest counts. With `preclusters` each fit finds that many small groups, and those of all fits together are
    merged to `groups` by Ward's method: less is left to luck. From the second month on a group keeps the number of the former group it is
    matched with, unless their centres lie further apart than `new_beyond` times the median distance of the former centres to their nearest
    neighbours: then it is a new group.

    With `try_groups` (several numbers) the number of groups is chosen among them instead of `groups` in the first month, and later when
    asked: on about `judged` customers each is fitted, and fitted again to `resamples` bootstrap samples; of those as stable as the best
    within its standard error the one of the month before stays, else the highest silhouette counts. Stability and silhouette of the
    number that is used are measured every month.
    """

    question: str
    attributes: tuple[str | dict[str, str], ...]
    order_by: str
    groups: int
    seed: int
    log: tuple[str, ...] = ()
    root: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    profile: tuple[str | dict[str, str], ...] = ()
    classes: int | None = None
    sample: int = 20_000
    iterations: int = 40
    starts: int = 2
    preclusters: int | None = None
    limit: float = 5.0
    representatives: bool = False
    split_above: float = 1.0
    new_beyond: float = 1.0
    try_groups: tuple[int, ...] = ()
    judged: int = 2_000
    resamples: int = 8
    names: tuple[NameRule, ...] = ()
    class_names: tuple[NameRule, ...] = ()

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def tried(self) -> tuple[int, ...]:
        """The numbers of groups that are judged, ascending."""
        return tuple(sorted(set(self.try_groups))) or (self.groups,)

    @property
    def forming(self) -> dict[str, str]:
        """SQL over the view per attribute that forms the groups, in order."""
        return {name: sql for attribute in self.attributes for name, sql in _named(attribute).items()}

    @property
    def expressions(self) -> dict[str, str]:
        """SQL over the view per attribute of the profile: those that form the groups, then those that only describe them."""
        return self.forming | {name: sql for attribute in self.profile for name, sql in _named(attribute).items()}

    def _problems(self) -> Iterator[str]:
        given = [name for attribute in (*self.attributes, *self.profile) for name in _named(attribute)]
        yield from (f"attributes: '{name}' stands {n} times" for name, n in Counter(given).items() if n > 1)
        for key, named in (("log", self.log), ("root", self.root), ("weights", self.weights), ("order_by", (self.order_by,))):
            known = self.expressions if key == "order_by" else self.forming
            yield from (f"{key}: '{name}' is no attribute{did_you_mean(name, known)}" for name in named if name not in known)
        yield from (f"'{name}' is in both log and root" for name in self.log if name in self.root)
        factors = {"limit": self.limit, "new_beyond": self.new_beyond, **{f"weights.{name}": weight for name, weight in self.weights.items()}}
        yield from (f"{key}: {factor:g}, above 0 is wanted" for key, factor in factors.items() if factor <= 0)
        yield from (f"{key}: {n}, at least {least} is needed" for key, n, least in self._sizes() if n < least)
        if self.classes is not None and not 0 < self.classes <= self.tried[0]:
            yield f"classes: {self.classes}, but there are {self.tried[0]} groups"
        if self.preclusters is not None and self.preclusters <= self.tried[-1]:
            yield f"preclusters: {self.preclusters}, more than the {self.tried[-1]} groups are needed"
        if self.class_names and self.classes is None:
            yield "class_names: there are no classes"

    def _sizes(self) -> tuple[tuple[str, int, int], ...]:
        least = {"groups": 2, "sample": 1, "iterations": 1, "starts": 1, "judged": 2, "resamples": 2}
        return (*((key, getattr(self, key), n) for key, n in least.items()), *(("try_groups", groups, 2) for groups in self.try_groups))


@dataclass(frozen=True)
class RuleGroup:
    """A group of those customers for whom `when` (SQL) is the first of all conditions that is met; `lever` says what is done with them."""

    name: str
    when: str
    lever: str


@dataclass(frozen=True)
class RuleSegmentation:
    """Groups by conditions, in their order.

    Conditions read the view, `value`, `value_grade`, the maps `scores` and `grades` by model, and what `derive` names (SQL over these).
    `otherwise` names the group of who meets no condition; without it they are in none. `profile` describes the groups.
    """

    question: str
    groups: tuple[RuleGroup, ...]
    profile: tuple[str | dict[str, str], ...]
    derive: dict[str, str] = field(default_factory=dict)
    otherwise: str | None = None

    def __post_init__(self) -> None:
        problems = [f"groups: '{name}' stands {n} times" for name, n in Counter(self.names).items() if n > 1]
        problems += [f"{key}: at least one is needed" for key in ("groups", "profile") if not getattr(self, key)]
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def names(self) -> tuple[str, ...]:
        """Names by number, from 1."""
        return (*(group.name for group in self.groups), *((self.otherwise,) if self.otherwise else ()))

    @property
    def sql(self) -> tuple[str, ...]:
        """All that reads columns."""
        return (*(group.when for group in self.groups), *self.derive.values(), *self.expressions.values())

    @property
    def expressions(self) -> dict[str, str]:
        """SQL over the view per attribute of the profile."""
        return {name: sql for attribute in self.profile for name, sql in _named(attribute).items()}


Spec = TypeVar("Spec", SegmentationSpec, RuleSegmentation)


def load_segments(conf_dir: Path, source: str) -> dict[str, SegmentationSpec]:
    """Every `conf/segments/<name>.yml`, with the entry `<name>` of `conf/sources/<source>/segments.yml` laid over it.

    An entry that is null leaves the segmentation out for the source. ConfigError tells every problem together.
    """
    return _load(SegmentationSpec, conf_dir, "segments", source)


def load_rule_segments(conf_dir: Path, source: str) -> dict[str, RuleSegmentation]:
    """Every `conf/segments/rules/<name>.yml`, likewise."""
    return _load(RuleSegmentation, conf_dir, _RULES, source)


def _load(kind: type[Spec], conf_dir: Path, folder: str, source: str) -> dict[str, Spec]:
    files = {path.stem: path for path in sorted((conf_dir / folder).glob("*.yml"))}
    known = {path.stem for either in ("segments", _RULES) for path in (conf_dir / either).glob("*.yml")}
    over_path = conf_dir / "sources" / source / "segments.yml"
    over = read_yaml(over_path) if over_path.exists() else {}
    problems = [f"{over_path}: {name}: no such segmentation{did_you_mean(name, known)}" for name in over if name not in known]
    specs: dict[str, Spec] = {}
    for name, path in files.items():
        try:
            if over.get(name, {}) is not None:
                specs[name] = _spec(kind, path, over_path, over.get(name, {}))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return specs


def _spec(kind: type[Spec], path: Path, over_path: Path, over: Mapping[str, Any]) -> Spec:
    where = f"{path} with {over_path}" if over else str(path)
    return parse(kind, merge(read_yaml(path), over), where)


def _named(attribute: str | dict[str, str]) -> dict[str, str]:
    return {attribute: f"`{attribute}`"} if isinstance(attribute, str) else attribute
