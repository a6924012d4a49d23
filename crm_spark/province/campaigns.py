"""What the operator sells and with which campaigns: policies and campaigns, month by month; both hold in the whole province."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from pyspark.sql import DataFrame

from crm_spark.months import add_months, first_day, last_day, month_range
from crm_spark.province.bundles import OFFERS, Offer
from crm_spark.province.world import Province, small_frame

CHANNEL_COSTS = {"hall": 2.0, "outbound": 1.3, "mms": 0.3, "sms": 0.1, "wap": 0.1}  # yuan a contact
_YEARS_BEFORE, _YEARS_AFTER = 2, 5  # the first and after the last delivered month a policy is valid
_SPARE, _HUNDRED = 1.3, 100  # of a budget: what it has over, what it is rounded up to
_NOTHING = Offer(0, 0, 0)


@dataclass(frozen=True)
class Policy:
    """A marketing policy: a bundle of OFFERS, an order of a service, or neither."""

    title: str
    family: str
    goal: str
    channels: tuple[str, ...]
    unit_cost_yuan: float
    wording: str
    service: str | None = None
    group: str | None = None
    term_months: int = 1
    conditions: str | None = None
    send_window: str | None = None
    capacity_share: float | None = None  # of subscribers


@dataclass(frozen=True)
class Theme:
    """A kind of campaign that comes again each year."""

    goal: str
    kind: str
    form: str
    starts: tuple[int, ...]  # calendar months
    months: int
    channels: tuple[str, ...]
    reach: float  # share of subscribers contacted in each of its months, by lot
    policies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Campaign:
    """A theme from one month to another."""

    number: int
    theme: str
    first: str
    last: str

    @property
    def code(self) -> str:
        return f"C{self.first.replace('-', '')}-{self.number:02d}"

    def state(self, month: str) -> str:
        """At the end of the month."""
        if month < self.first:
            return "prepared"
        if month >= self.last:
            return "closed"
        return "started" if month == self.first else "running"


_DESK, _PHONE, _MESSAGE = ("hall", "outbound"), ("sms", "wap"), ("mms", "sms")
_CALLS, _NEW, _VPN = "retention", "new_service", "virtual_network"
POLICIES = {
    "PREPAY_100_GET_260": Policy("Prepay 100, get 260 of calls", "value bundle", _CALLS, _DESK, 24, "Prepay 100 yuan and talk for 260.", group="1", term_months=12),
    "PREPAY_300_GET_360": Policy("Prepay 300, get 360 of calls", "value bundle", _CALLS, _DESK, 28, "Prepay 300 yuan and talk for 360.", group="6", term_months=12),
    "PREPAY_500_GET_700": Policy("Prepay 500, get 700 of calls", "value bundle", _CALLS, _DESK, 44, "Prepay 500 yuan and talk for 700.", group="6", term_months=12),
    "GIFT_PHONE_24M": Policy("A phone for two years", "big-gift package", _CALLS, _DESK, 160, "Choose your phone.", group="4", term_months=24, capacity_share=0.01),
    "FAMILY_NET": Policy("Family net", "sticky product", _CALLS, _DESK, 10, "Five numbers call each other at no charge.", group="7", term_months=12),
    "VPN_GROUP": Policy("Team virtual network", "virtual network", _VPN, _DESK, 4, "Short numbers and flat calls for your team.", term_months=12),
    "LOYALTY_POINTS_DOUBLE": Policy("Double points", "loyalty", _CALLS, ("sms", "hall"), 10, "Double points for your years with us.", group="8", term_months=12),
    "NEWSPAPER_TRIAL": Policy("Mobile newspaper, a month free", "trial", _NEW, _MESSAGE, 0.5, "The news of the day.", "newspaper", send_window="17:00-19:00"),
    "RING_BACK_TONE_START": Policy("Ring-back tone, start", "trial", _NEW, _PHONE, 0.5, "Let your callers hear music.", "ring_back_tone"),
    "MUSIC_CLUB_TRIAL": Policy("Wireless music club, a month free", "trial", _NEW, _PHONE, 0.5, "Tones and songs.", "wireless_music"),
    "MOBILE_INTERNET_TRIAL": Policy("Mobile internet, trial", "trial", _NEW, _PHONE, 1, "30 MB free.", "mobile_internet", conditions="the handset can do WAP"),
    "MAILBOX_139_START": Policy("139 mailbox", "sticky service", _NEW, ("sms", "outbound"), 0.2, "Your number is your address.", "mailbox_139"),
    "CHINESE_SECRETARY_TRIAL": Policy("Chinese secretary, a month free", "trial", _NEW, ("sms", "outbound"), 1, "We take your calls.", "chinese_secretary"),
}  # fmt: skip
_BUNDLES = ("PREPAY_100_GET_260", "PREPAY_300_GET_360", "PREPAY_500_GET_700", "GIFT_PHONE_24M")
THEMES = {
    "spring festival": Theme("loyalty", "festival greeting", "online", (2,), 1, ("sms",), 0.3),
    "prepaid calls": Theme(_CALLS, "sale", "offline", (3, 9), 3, _DESK, 0.15, _BUNDLES),
    "family and team": Theme(_VPN, "sale", "joint", (1, 7), 2, _DESK, 0.12, ("FAMILY_NET", "VPN_GROUP")),
    "music on the line": Theme(_NEW, "trial", "online", (2, 6, 10), 2, _PHONE, 0.08, ("RING_BACK_TONE_START", "MUSIC_CLUB_TRIAL")),
    "morning news": Theme(_NEW, "trial", "online", (3, 8, 12), 2, _MESSAGE, 0.08, ("NEWSPAPER_TRIAL",)),
    "the web in your hand": Theme(_NEW, "trial", "online", (5, 11), 2, _PHONE, 0.06, ("MOBILE_INTERNET_TRIAL",)),
    "mobile office": Theme(_NEW, "trial", "joint", (4, 10), 2, ("sms", "outbound"), 0.04, ("MAILBOX_139_START", "CHINESE_SECRETARY_TRIAL")),
    "years together": Theme("loyalty", "loyalty", "joint", (6, 12), 1, ("sms", "hall"), 0.1, ("LOYALTY_POINTS_DOUBLE",)),
    "how are you": Theme(_CALLS, "care", "offline", (1, 4, 7, 10), 1, ("outbound",), 0.02),
    "bring your circle": Theme(_NEW, "prize for leaders", "joint", (5, 11), 2, ("sms",), 0.05),
}  # fmt: skip


def policy(lives: DataFrame, province: Province) -> DataFrame:
    """One row per policy and month; lists are parted by `;`."""
    first, last = province.config.first_month, province.config.last_month
    valid = [f"{day:%Y%m%d}" for day in (first_day(add_months(first, -12 * _YEARS_BEFORE)), last_day(add_months(last, 12 * _YEARS_AFTER)))]
    told = [(code, *_told(code, p), _capacity(p, province), *valid, ";".join(p.channels), p.send_window, p.wording) for code, p in POLICIES.items()]
    schema = (
        "month string, policy_code string, title string, family string, goal string, conditions string, policy_group string, class int, "
        "prepaid int, gifted int, term int, discount double, unit_cost double, capacity bigint, begin_date string, end_date string, "
        "channels string, send_window string, wording string"
    )
    return small_frame(lives.sparkSession, [(month, *row) for month in province.config.months for row in told], schema)


def campaign(lives: DataFrame, province: Province) -> DataFrame:
    """One row per campaign and month, from the month before its first to its last."""
    rows = [
        (month, c.code, c.theme, theme.goal, theme.kind, theme.form, f"{first_day(c.first):%Y%m%d}", f"{last_day(c.last):%Y%m%d}",
         _budget(theme, province), ";".join(theme.channels), ";".join(theme.policies) or None, c.state(month))
        for c in campaigns(province) for theme in (THEMES[c.theme],)
        for month in month_range(add_months(c.first, -1), c.last) if month in province.config.months
    ]  # fmt: skip
    schema = "month string, campaign string, theme string, goal string, kind string, form string, begin_date string, end_date string"
    return small_frame(lives.sparkSession, rows, f"{schema}, budget double, channels string, policies string, state string")


def running(lives: DataFrame, province: Province) -> DataFrame:
    """One row per campaign and month in which it contacts: its number and code, what it offers, on which channels, to which share."""
    rows = [
        (month, c.number, c.code, theme.reach, theme.channels, theme.policies)
        for c in campaigns(province) for theme in (THEMES[c.theme],)
        for month in month_range(c.first, c.last) if month in province.config.months
    ]  # fmt: skip
    schema = "month string, campaign_number int, campaign string, reach double, channels array<string>, policies array<string>"
    return small_frame(lives.sparkSession, rows, schema)


def campaigns(province: Province) -> Iterator[Campaign]:
    """Every campaign that runs, or is about to, in a delivered month."""
    first, last = province.config.first_month, province.config.last_month
    for number, (name, theme) in enumerate(THEMES.items(), start=1):
        for month in month_range(add_months(first, 1 - theme.months), add_months(last, 1)):
            if first_day(month).month in theme.starts:
                yield Campaign(number, name, month, add_months(month, theme.months - 1))


def _told(code: str, policy: Policy) -> tuple[object, ...]:
    """From the title to the unit cost; the discount is what is gifted of all that can be talked for."""
    offer, is_bundle = OFFERS.get(code, _NOTHING), code in OFFERS
    paid = offer.prepaid_yuan + offer.gifted_yuan
    discount = round(offer.gifted_yuan / paid, 2) if paid else None
    return (
        policy.title, policy.family, policy.goal, policy.conditions, policy.group, offer.bundle_class if is_bundle else None,
        offer.prepaid_yuan, offer.gifted_yuan, policy.term_months, discount, policy.unit_cost_yuan,
    )  # fmt: skip


def _capacity(policy: Policy, province: Province) -> int | None:
    return None if policy.capacity_share is None else ceil(province.size * policy.capacity_share)


def _budget(theme: Theme, province: Province) -> float:
    """Yuan: what all its contacts would cost on the dearest channel, and some."""
    contacts = province.size * theme.reach * theme.months
    return ceil(contacts * max(CHANNEL_COSTS[c] for c in theme.channels) * _SPARE / _HUNDRED) * float(_HUNDRED)
