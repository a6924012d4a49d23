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
MOST_PLACES = 64  # of a kind in a county
MOST_SKEW = 0.5  # one subscriber has at most every second call

PLACE_KINDS = (
    "estate", "urban_village", "campus", "office", "government", "factory", "mall", "school", "kindergarten", "hospital", "cinema", "bar",
    "station", "stadium", "concert_hall", "exhibition_hall", "scenic_spot",
)  # fmt: skip

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
    lat: float = 30.0
    lon: float = 120.0


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
class Treatment:
    """What an offer does to a response in the month in which it is made: log-odds added, intercept + sum of weight x driver."""

    response: str
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
class Signalling:
    """Whose phones are followed by the network, and how long: a share of subscribers, the first days of the months of calls."""

    share: float = 0.2
    days: int = 7


@dataclass(frozen=True)
class Event:
    """An event at the first place of its kind in a county (by number from 0); at most one a city and day."""

    city: str
    county: int
    place: str
    day: str  # yyyy-MM-dd
    from_hour: int
    to_hour: int
    type: str
    topic: str
    draws: str  # sport, shopping, business or a genre of music
    item: str = ""  # what to recommend to who was there


@dataclass(frozen=True)
class Surge:
    """One month in which a number is used as never before: calls made beside the ordinary ones, at night, abroad and on the way there."""

    out: Outgoing
    night_share: float = 0.0  # of the month's calls, beside the ordinary ones
    roaming_share: float = 0.0  # of the month's calls, while roaming in other provinces


@dataclass(frozen=True)
class Card:
    """A kind of number beside the ordinary ones: its share of the subscribers of a month, whether it is fraud, and how it is used.

    With `months` a card is fresh: activated in one of the months, used from 1 to `months` months, then gone. Without `archetype` it lives
    as any other subscriber. With `surge` the share is that of the numbers whose surge is in the month.
    """

    share: float
    is_fraud: bool = False
    months: int = 0
    archetype: Archetype | None = None
    surge: Surge | None = None


@dataclass(frozen=True)
class PriceOffers:
    """A cheaper tariff offered each month to a share of the subscribers, drawn by lot, and the chance that it is taken."""

    share: float
    taken: Response


@dataclass(frozen=True)
class Further:
    """What is planted only where it is asked for: numbers beside the ordinary ones, price offers, services that go with others."""

    cards: dict[str, Card]
    price_offers: PriceOffers
    services: dict[str, Response]  # chance of a month to take the service
    on: bool = False

    @property
    def chances(self) -> dict[str, Response]:
        """Every planted chance by name; none where nothing was asked for."""
        return {"price_offer": self.price_offers.taken, **self.services} if self.on else {}


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
    further: Further
    treatments: dict[str, Treatment] = field(default_factory=dict)
    seasons: dict[str, Season] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    plan: dict[str, int] = field(default_factory=dict)  # places of each kind in a county
    signalling: Signalling = field(default_factory=Signalling)
    events: tuple[Event, ...] = ()
    bad_row_share: float = 0.001
    skew_share: float = 0.0  # of all calls, those of one subscriber; see province/skew.py
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

    def with_further(self) -> ProvinceConfig:
        """The same province with what is planted only where it is asked for."""
        return replace(self, further=replace(self.further, on=True))

    def with_shares(self, bad_rows: float | None = None, skew: float | None = None) -> ProvinceConfig:
        """The same province with other shares of bad rows and of skewed calls; ConfigError for what is no share."""
        config = replace(
            self,
            bad_row_share=self.bad_row_share if bad_rows is None else bad_rows,
            skew_share=self.skew_share if skew is None else skew,
        )
        problems = list(_share_problems(config))
        if problems:
            raise ConfigError(problems)
        return config


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
    yield from _city_problems(config)
    yield from _response_problems(config.responses)
    yield from _further_problems(config)
    for kind, treatment in config.treatments.items():
        yield from _driver_problems(f"treatments.{kind}", treatment.drivers)
        if treatment.response not in RESPONSES:
            yield f"treatments.{kind}.response: unknown '{treatment.response}'{did_you_mean(treatment.response, RESPONSES)}"


def _number_problems(config: ProvinceConfig) -> Iterator[str]:
    network = config.network
    if network.community < 4 or not math.log2(network.community).is_integer():
        yield f"network.community: {network.community} is not a power of two from 4 up"
    yield from _share_problems(config)
    if config.rows_per_file < 1 or network.numbers_per_subscriber < 1:
        yield "rows_per_file, network.numbers_per_subscriber: at least 1 is wanted"


def _share_problems(config: ProvinceConfig) -> Iterator[str]:
    network = config.network
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
    if not 0 <= config.skew_share <= MOST_SKEW:
        yield f"skew_share: {config.skew_share} is not within 0 and {MOST_SKEW}"


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


def _city_problems(config: ProvinceConfig) -> Iterator[str]:
    codes = [city[:2] for city in config.cities]
    alike = [city for city in config.cities if codes.count(city[:2]) > 1]
    if alike:
        yield f"cities: {' and '.join(alike)} begin alike; the first two letters are in the names of their cells, places and managers"
    for kind in PLACE_KINDS:
        if not 1 <= config.plan.get(kind, 0) <= MOST_PLACES:
            yield f"plan.{kind}: from 1 to {MOST_PLACES} places of the kind are wanted in a county"
    yield from (f"plan.{kind}: unknown{did_you_mean(kind, PLACE_KINDS)}" for kind in config.plan if kind not in PLACE_KINDS)
    if not 1 <= config.signalling.days <= 28 or not 0 <= config.signalling.share <= 1:
        yield "signalling: 1 to 28 days and a share (0 to 1) are wanted"
    for i, event in enumerate(config.events):
        city = config.cities.get(event.city)
        if city is None or not 0 <= event.county < len(city.counties):
            yield f"events[{i}]: no city '{event.city}' with a county {event.county}{did_you_mean(event.city, config.cities)}"
        if event.place not in PLACE_KINDS:
            yield f"events[{i}].place: unknown '{event.place}'{did_you_mean(event.place, PLACE_KINDS)}"
    days = [(event.city, event.day) for event in config.events]
    yield from (f"events: two in {city} on {day}" for city, day in set(days) if days.count((city, day)) > 1)


def _response_problems(responses: Mapping[str, Response]) -> Iterator[str]:
    yield from (f"responses.{name}: is missing" for name in RESPONSES if name not in responses)
    for name, response in responses.items():
        if name not in RESPONSES:
            yield f"responses.{name}: unknown{did_you_mean(name, RESPONSES)}"
        yield from _driver_problems(f"responses.{name}", response.drivers)


def _further_problems(config: ProvinceConfig) -> Iterator[str]:
    further = config.further
    shares = {**{f"cards.{name}": card.share for name, card in further.cards.items()}, "price_offers": further.price_offers.share}
    yield from (f"further.{key}.share: {value} is not a share (0 to 1)" for key, value in shares.items() if not 0 <= value <= 1)
    yield from _driver_problems("further.price_offers.taken", further.price_offers.taken.drivers)
    for name, response in further.services.items():
        yield from _driver_problems(f"further.services.{name}", response.drivers)


def _driver_problems(place: str, drivers: Iterable[str]) -> Iterator[str]:
    for driver in _factors(drivers):
        if driver not in DRIVERS:
            yield f"{place}.drivers: no driver '{driver}'{did_you_mean(driver, DRIVERS)}"


def _factors(drivers: Iterable[str]) -> Iterator[str]:
    for term in drivers:
        yield from term.split("*")

