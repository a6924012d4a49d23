"""The synthetic province: who lives there, how they behave, and what is planted (`conf/province.yml`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crm_spark.config.strict import load
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.months import is_month, month_range, months_between

# What a planted response may depend on. Unobserved ones reach no delivered table: they bound what any model can attain.
UNOBSERVED = ("mood", "loyalty", "second_sim", "news_taste", "music_taste", "web_taste")
OBSERVABLE = (
    "young", "middle_age", "educated", "income", "postpaid", "agent_joined", "vpn", "family", "student", "migrant", "traveller",
    "night_life", "talk_level", "data_level", "price_level", "dear", "newcomer", "first_year", "second_year", "settled",
    "complaints", "arrears", "in_bundle", "bundle_ending", "bundle_ended", "fall", "data_fall", "festival", "trouble",
    "old_handset", "feature_phone", "music_club", "secretary", "mailbox", "tone_young",
)  # fmt: skip
DRIVERS = (*OBSERVABLE, *UNOBSERVED)

RESPONSES = (
    "leave", "collapse", "steadiness",
    "newspaper_order", "newspaper_cancel",
    "tone_wake", "tone_sleep", "tone_buy",
    "web_silence", "web_return", "web_swing",
)  # fmt: skip


@dataclass(frozen=True)
class City:
    """A city: its share of the subscribers (any positive weight), its halls and counties."""

    share: float
    halls: int
    counties: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """How many numbers there ever were, who was there before the first month, and how tenure looked then."""

    numbers_per_subscriber: float  # numbers ever in use over subscribers wanted in the last month
    joined_before_share: float  # of all numbers, in the network before the first month
    tenure_months: float  # mean tenure of these
    community: int = 64  # numbers that know each other; a power of two
    two_number_share: float = 0.06  # people with two numbers
    consent_share: float = 0.82
    suspended_share: float = 0.25  # of those in arrears


@dataclass(frozen=True)
class Season:
    """Factors on what is done in a month."""

    local: float = 1.0
    long_distance: float = 1.0
    roaming: float = 1.0
    data: float = 1.0


@dataclass(frozen=True)
class Trouble:
    """A bad month in a city (network failures, a rival's campaign); its echo halves each month."""

    city: str
    month: str
    strength: float


@dataclass(frozen=True)
class Outgoing:
    """Calls made in an ordinary month, by distance."""

    local: float = 0.0
    local_long_distance: float = 0.0
    intra_province: float = 0.0
    inter_province: float = 0.0
    international: float = 0.0


@dataclass(frozen=True)
class Incoming:
    """Calls received in an ordinary month, by distance."""

    local: float = 0.0
    intra_province: float = 0.0
    inter_province: float = 0.0
    international: float = 0.0


@dataclass(frozen=True)
class Trips:
    """Chance of a month with roaming, by distance."""

    intra_province: float = 0.08
    inter_province: float = 0.04
    international: float = 0.002


@dataclass(frozen=True)
class Archetype:
    """A way to live with the phone: one of the true traffic types."""

    weight: float
    out: Outgoing
    incoming: Incoming
    trips: Trips = field(default_factory=Trips)
    minutes_per_call: float = 2.5
    calls_per_peer: float = 2.6
    vpn: float = 0.08  # chance to be in a virtual network
    vpn_share: float = 0.35  # of local peers inside it
    family: float = 0.2  # chance to be in a family circle
    on_net_share: float = 0.68
    night_share: float = 0.07
    weekend_share: float = 0.27
    data_mb: float = 700.0
    age: float = 38.0
    rental_yuan: float = 25.0
    long_distance_price_yuan: float = 0.2
    postpaid: float = 0.4  # chance
    peers_abroad: str = "work"  # which of `peer_provinces` the long-distance circle lives in


@dataclass(frozen=True)
class Response:
    """A planted monthly chance: logistic(intercept + sum of weight x driver); `a*b` is an interaction of two drivers."""

    intercept: float
    drivers: dict[str, float]


@dataclass(frozen=True)
class Behaviour:
    """Sizes of what happens, beside the chances."""

    level_spread: float  # of the logarithm of a subscriber's own level of use
    trend_spread: float  # of the slow drift of the logarithm of use
    steady_noise: float  # month-to-month noise of the steadiest ...
    loose_noise: float  # ... and of the loosest subscriber
    steady_data_noise: float
    swinging_data_noise: float
    bundle_share: float  # chance to be somebody who takes bundles at all
    complaint_rate: float  # complaints a month of a subscriber in ordinary mood
    arrears: float  # log-odds
    fading_share: float  # of leavers, those whose use falls before they leave
    collapse_depth: float  # what is left of use in a collapse, about


@dataclass(frozen=True)
class ProvinceConfig:
    """Everything the generator knows besides size and seed."""

    cities: dict[str, City]
    first_month: str
    last_month: str
    cdr_months: int  # the last ones come as calls, those before as ready-made summaries
    network: Network
    behaviour: Behaviour
    archetypes: dict[str, Archetype]
    peer_provinces: dict[str, dict[str, float]]
    responses: dict[str, Response]
    seasons: dict[str, Season] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    bad_row_share: float = 0.001
    rows_per_file: int = 500_000

    @property
    def months(self) -> tuple[str, ...]:
        return month_range(self.first_month, self.last_month)

    @property
    def call_months(self) -> tuple[str, ...]:
        return self.months[-self.cdr_months :] if self.cdr_months else ()

    def between(self, first: str, last: str) -> ProvinceConfig:
        """The same province over other months; ConfigError for what is no span of months."""
        if not (is_month(first) and is_month(last) and first <= last):
            raise ConfigError(f"--months {first} {last}: the first and the last month are wanted, as in 2024-01 2025-03")
        return replace(self, first_month=first, last_month=last)


def load_province(conf_dir: Path) -> ProvinceConfig:
    """`conf/province.yml`; ConfigError tells every problem together."""
    path = conf_dir / "province.yml"
    config = load(ProvinceConfig, path)
    problems = [f"{path}: {problem}" for problem in _problems(config)]
    if problems:
        raise ConfigError(problems)
    return config


def _problems(config: ProvinceConfig) -> Iterator[str]:
    if not (is_month(config.first_month) and is_month(config.last_month) and config.first_month <= config.last_month):
        yield "first_month, last_month: the first and the last month are wanted, yyyy-MM"
    elif not 0 <= config.cdr_months <= months_between(config.first_month, config.last_month) + 1:
        yield f"cdr_months: {config.cdr_months} is not within the months of the province"
    yield from _number_problems(config)
    yield from _reference_problems(config)
    yield from _response_problems(config.responses)


def _number_problems(config: ProvinceConfig) -> Iterator[str]:
    network = config.network
    if network.community < 4 or not math.log2(network.community).is_integer():
        yield f"network.community: {network.community} is not a power of two from 4 up"
    shares = {
        "network.joined_before_share": network.joined_before_share,
        "network.two_number_share": network.two_number_share,
        "network.consent_share": network.consent_share,
        "network.suspended_share": network.suspended_share,
        "behaviour.bundle_share": config.behaviour.bundle_share,
        "behaviour.fading_share": config.behaviour.fading_share,
        "bad_row_share": config.bad_row_share,
    }
    yield from (f"{key}: {value} is not a share (0 to 1)" for key, value in shares.items() if not 0 <= value <= 1)
    if config.rows_per_file < 1 or network.numbers_per_subscriber < 1:
        yield "rows_per_file, network.numbers_per_subscriber: at least 1 is wanted"


def _reference_problems(config: ProvinceConfig) -> Iterator[str]:
    for name, archetype in config.archetypes.items():
        if archetype.peers_abroad not in config.peer_provinces:
            near = did_you_mean(archetype.peers_abroad, config.peer_provinces)
            yield f"archetypes.{name}.peers_abroad: '{archetype.peers_abroad}' is not among peer_provinces{near}"
    for i, trouble in enumerate(config.troubles):
        if trouble.city not in config.cities:
            yield f"troubles[{i}].city: '{trouble.city}' is not among cities{did_you_mean(trouble.city, config.cities)}"
    months = [*config.seasons, *(t.month for t in config.troubles)]
    yield from (f"seasons, troubles: '{month}' is not a month (yyyy-MM)" for month in months if not is_month(month))


def _response_problems(responses: Mapping[str, Response]) -> Iterator[str]:
    yield from (f"responses.{name}: is missing" for name in RESPONSES if name not in responses)
    for name, response in responses.items():
        if name not in RESPONSES:
            yield f"responses.{name}: unknown{did_you_mean(name, RESPONSES)}"
        for driver in _factors(response.drivers):
            if driver not in DRIVERS:
                yield f"responses.{name}.drivers: no driver '{driver}'{did_you_mean(driver, DRIVERS)}"


def _factors(drivers: Iterable[str]) -> Iterator[str]:
    for term in drivers:
        yield from term.split("*")

