"""`conf/choosing.yml`: what offers are worth, whom to contact how often, who is held out, and how many offers there are to give."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from crm_spark.config.hours import Hours
from crm_spark.config.policies import Goal, Policy
from crm_spark.config.strict import merge, parse, read_yaml
from crm_spark.errors import did_you_mean

Dimension = Literal["city", "channel", "policy", "group", "goal", "day"]
Unit = Literal["offers", "yuan"]
Goals = tuple[Goal, ...]
GOALS: Goals = get_args(Goal)
CHOOSING = "choosing.yml"
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True)
class Channel:
    """How customers are reached. Only a channel that is `pushed` counts as a contact, needs consent and keeps to days and hours.

    `weekdays` are those of use, 1 is Monday.
    """

    cost_yuan: float
    pushed: bool = True
    weekdays: tuple[int, ...] = EVERY_DAY
    hours: Hours | None = None

    def __post_init__(self) -> None:
        if self.cost_yuan < 0:
            raise ValueError(f"cost_yuan {self.cost_yuan} is negative")
        if not self.weekdays or set(self.weekdays) - set(EVERY_DAY):
            raise ValueError(f"weekdays {list(self.weekdays)}: some of 1 (Monday) to 7 are wanted")


@dataclass(frozen=True)
class Worth:
    """What an offer of a goal brings: the share of those offered that take it, the share of these who would have anyway, what one brings.

    `margin_yuan` is SQL over the columns matrices may read.
    """

    takes: float
    anyway: float
    margin_yuan: str

    def __post_init__(self) -> None:
        for name in ("takes", "anyway"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} is not a share between 0 and 1")


@dataclass(frozen=True)
class Weights:
    """Percent by which an offer counts more: by the place of its goal in the customer's priority, and by goal or policy (`levers`)."""

    priority: tuple[float, ...] = ()
    levers: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(weight <= -100 for weight in (*self.priority, *self.levers.values())):
            raise ValueError("a weight of -100 or less would leave nothing of an offer")


@dataclass(frozen=True)
class Cap:
    """At most so many contacts of a person within any so many days, by one channel or over all."""

    most: int
    days: int
    channel: str = ""

    def __post_init__(self) -> None:
        if self.most < 0 or self.days < 1:
            raise ValueError("most is at least 0, days at least 1")


@dataclass(frozen=True)
class Rest:
    """Who refuses so often within so many days is left alone for `days` from the last of these refusals on."""

    refusals: int = 2
    within_days: int = 15
    days: int = 30

    def __post_init__(self) -> None:
        if min(self.refusals, self.within_days, self.days) < 1:
            raise ValueError("refusals, within_days and days are at least 1")


@dataclass(frozen=True)
class Contact:
    """Whom to contact, when and how often. `never` are reasons with SQL over the columns matrices may read: true keeps from every contact.

    A complaint of which no settlement is told counts as open for `complaint_days`.
    """

    hours: Hours
    caps: tuple[Cap, ...] = ()
    rest: Rest = Rest()
    refused_days: int = 180
    complaint_days: int = 30
    purposes: dict[str, str] = field(default_factory=dict)
    never: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.refused_days, self.complaint_days) < 0:
            raise ValueError("refused_days and complaint_days are at least 0")
        same = [(cap.channel, cap.days) for cap in self.caps]
        twice = sorted({f"{channel or 'all channels'} in {days} days" for channel, days in same if same.count((channel, days)) > 1})
        if twice:
            raise ValueError(f"caps: of {', '.join(twice)} two say how many; one is wanted")


@dataclass(frozen=True)
class Holdout:
    """Shares of persons by keyed hash: never contacted for a year, and offered something at random."""

    salt: str
    universal_share: float = 0.0
    explore_share: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.universal_share < 1 and 0 <= self.explore_share < 1):
            raise ValueError("universal_share and explore_share are shares from 0 to below 1")


@dataclass(frozen=True)
class Campaign:
    """Policies whose effect is measured together, on a share of those who could have had one of them."""

    policies: tuple[str, ...]
    control_share: float

    def __post_init__(self) -> None:
        if not 0 <= self.control_share < 1:
            raise ValueError("control_share is a share from 0 to below 1")


@dataclass(frozen=True)
class Limit:
    """At least and at most so many offers, or yuan, of those that the lists name (an empty list: all), for each of `per` apart."""

    name: str
    most: float | None = None
    least: float = 0.0
    unit: Unit = "offers"
    per: tuple[Dimension, ...] = ()
    cities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    goals: Goals = ()

    def __post_init__(self) -> None:
        if self.most is None and self.least == 0:
            raise ValueError(f"{self.name}: `most` or `least` is wanted")
        if self.least < 0 or (self.most is not None and self.most < self.least):
            raise ValueError(f"{self.name}: 0 <= least <= most is wanted")


@dataclass(frozen=True)
class Choosing:
    """All of it. `propensities` name, per policy, the model whose score is the chance that it is taken."""

    channels: dict[str, Channel]
    worth: dict[str, Worth]
    contact: Contact
    holdout: Holdout
    weights: Weights = Weights()
    propensities: dict[str, str] = field(default_factory=dict)
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()

    def problems(self, policies: Mapping[str, Policy], models: Iterable[str]) -> Iterator[str]:
        """Every name that nothing stands behind; without policies (their sheet has problems of its own) those of policies are left."""
        groups = {p.group for p in policies.values() if p.group}
        known: dict[str, Collection[str]] = {"policies": policies, "channels": self.channels, "groups": groups}
        for place, kind, names in self._names():
            wanted = known.get(kind, sorted(models))
            if policies or kind not in ("policies", "groups"):
                yield from (f"{place}: unknown {kind} '{name}'{did_you_mean(name, wanted)}" for name in names if name not in wanted)
        used = {channel for p in policies.values() for channel in p.channels}
        yield from (f"channels: '{c}' is a channel of policies, but not told of here" for c in sorted(used - set(self.channels)))
        yield from (f"worth.{goal}: is missing" for goal in GOALS if goal not in self.worth)
        yield from (f"worth: unknown goal '{goal}'{did_you_mean(goal, GOALS)}" for goal in self.worth if goal not in GOALS)
        levers = {*policies, *GOALS}
        yield from (f"weights.levers: '{k}' is no goal and no policy{did_you_mean(k, levers)}" for k in self.weights.levers if policies and k not in levers)
        names = [limit.name for limit in self.limits]
        yield from (f"limits: '{name}' stands twice" for name in sorted({n for n in names if names.count(n) > 1}))

    def _names(self) -> Iterator[tuple[str, str, Iterable[str]]]:
        """(place, kind, names) of everything that is named."""
        yield "propensities", "policies", self.propensities
        yield "propensities", "models", self.propensities.values()
        yield "contact.caps", "channels", [cap.channel for cap in self.contact.caps if cap.channel]
        for place, one in [(f"limits.{limit.name}", limit) for limit in self.limits]:
            yield place, "policies", one.policies
            yield place, "channels", one.channels
            yield place, "groups", one.groups
        for name, campaign in self.campaigns.items():
            yield f"campaigns.{name}", "policies", campaign.policies


def read_choosing(conf_dir: Path, source: str) -> Choosing | None:
    """`conf/choosing.yml` with `conf/sources/<source>/choosing.yml` laid over it; None where neither is. ConfigError tells every problem together.

    Names are not looked up here: `Choosing.problems`.
    """
    paths = [folder / CHOOSING for folder in (conf_dir, conf_dir / "sources" / source) if (folder / CHOOSING).exists()]
    raw: dict[str, object] = {}
    for path in paths:
        raw = merge(raw, read_yaml(path))
    return parse(Choosing, raw, " with ".join(map(str, paths))) if paths else None
