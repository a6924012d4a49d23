"""From what may be offered to the one offer: contact policy, holdout, arbitration, capacity. Whatever is dropped says at which stage and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

import numpy as np
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import rounded
from crm_spark.config.choosing import Campaign, Choosing
from crm_spark.config.decisions import Condition
from crm_spark.config.policies import Policy
from crm_spark.decisions import contact, holdout
from crm_spark.decisions.allocation import Allocation
from crm_spark.decisions.arbitration import OFFER, with_candidates
from crm_spark.decisions.capacity import allotted
from crm_spark.decisions.complaints import COMPLAINING
from crm_spark.decisions.contact import send_hours, valid_terms, with_contact_reasons, within_limits
from crm_spark.decisions.eligibility import constant_map
from crm_spark.decisions.holdout import EXPLORE, HELD_OUT, TARGET, control_groups, explores, is_universal, uniform
from crm_spark.decisions.limits import Space
from crm_spark.decisions.prices import Capacities, Ints
from crm_spark.decisions.score_drivers import SCORE_DRIVERS
from crm_spark.errors import ConfigError, one_line
from crm_spark.months import contact_days
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION

ARBITRATION, CAPACITY = "arbitration", "capacity"
NO_CHANNEL, VALUE_UNKNOWN, NO_NET_VALUE, OUTSCORED, NOT_DRAWN, NO_ROOM, MINIMUM, ONE_TOO_MANY = (
    "no_channel", "value_unknown", "no_net_value", "outscored", "not_drawn", "no_room", "minimum", "one_contact_too_many",
)  # fmt: skip
TIE = 1e-5  # share of a score by which a customer's own hash parts equal ones


@dataclass(frozen=True)
class Told:
    """What is known of persons besides the view.

    `contacts` as `contacts_by_person` makes them, `consents` rows of raw.contact_consent, `complaining` the person_id of those with an open
    complaint. `controls` are the campaigns that each person_id is left out of, where they were drawn before; with `all_drawn` for everybody,
    else they are drawn for all others.
    """

    contacts: DataFrame
    consents: DataFrame
    complaining: DataFrame
    controls: DataFrame
    all_drawn: bool = False


@dataclass(frozen=True)
class Plans:
    """What a choice is made by: the month of the view, its configuration, its policies, whether anybody's consent is known, the version of the set."""

    month: str
    choosing: Choosing
    policies: Mapping[str, Policy]
    consent_is_known: bool
    matrix_set: str

    @property
    def days(self) -> tuple[date, ...]:
        """The days on which is contacted: those of the month after the view's."""
        return contact_days(self.month)


def check_expressions(customers: DataFrame, choosing: Choosing, conditions: Sequence[Condition]) -> None:
    """ConfigError names each SQL of choosing and of policies' conditions that does not hold for the columns of `customers`, or gives another type."""
    asked = {
        **{f"choosing.yml: worth.{goal}.margin_yuan": (one.margin_yuan, "double") for goal, one in choosing.worth.items()},
        **{f"choosing.yml: contact.never.{reason}": (sql, "boolean") for reason, sql in choosing.contact.never.items()},
        **{f"decisions.yml: conditions[{i}].requires": (one.requires, "boolean") for i, one in enumerate(conditions)},
    }
    problems = [f"{place}: {told}" for place, (sql, kind) in asked.items() if (told := _problem(customers, sql, kind))]
    if problems:
        raise ConfigError(problems)


def judged_candidates(customers: DataFrame, told: Told, plans: Plans) -> DataFrame:
    """One row per customer with its `offers`, its `arm`, the campaigns it is held out of (`controls`), and its `candidates`: each offer by each channel.

    A candidate has the `stage` and `reason` it was dropped at, both null if it may be chosen. `customers` are rows of the decision input
    with the recommendation's `priority` and `offers`.
    """
    choosing = plans.choosing
    given = told.consents.groupBy("user_id").agg(F.collect_list(F.struct("channel", "purpose", "is_given")).alias("consents"))
    people = customers.withColumn("person_id", F.coalesce("person_id", "user_id"))
    known = people.join(given, on="user_id", how="left").join(told.contacts, on="person_id", how="left")
    known = known.join(told.complaining.withColumn("is_complaining", F.lit(True)), on="person_id", how="left")
    offers = F.transform(F.coalesce("offers", F.array().cast(people.schema["offers"].dataType)), lambda o: F.struct(*(o[part].alias(part) for part in OFFER)))
    known = known.withColumn("offers", F.sort_array(offers))
    valued = with_candidates(known, plans.policies, choosing)
    judged = with_contact_reasons(valued, choosing.channels, choosing.contact, plans.policies, plans.days, plans.consent_is_known)
    is_held = is_universal(F.col("person_id"), plans.days[0], choosing.holdout)
    is_explored = explores(F.col("person_id"), plans.month, choosing.holdout)
    arm = F.when(is_held, HELD_OUT).when(is_explored, EXPLORE).otherwise(TARGET)
    complains = F.when(F.col("is_complaining"), F.lit(COMPLAINING))
    staged = F.transform("candidates", lambda c: _staged(c.withField("reason", F.coalesce(c["reason"], complains))))
    drivers = F.col(SCORE_DRIVERS) if SCORE_DRIVERS in judged.columns else F.lit(None).cast(RECOMMENDATION[SCORE_DRIVERS].type)
    narrow = judged.select(*KEY, "person_id", "value_grade", "offers", drivers.alias(SCORE_DRIVERS), staged.alias("candidates")).withColumn("arm", arm)
    return _valued(_held_out(narrow, told, plans))


def packed(judged: DataFrame, options: Space) -> DataFrame:
    """The customers who may be chosen for, as `capacity.Customers` reads them; `open` are their candidates in the order of `options`.

    A customer who explores has `drawn`, the place of the candidate that its hash draws.
    """
    is_open = F.filter("candidates", lambda c: c["stage"].isNull())
    numbered = F.transform(
        is_open,
        lambda c: F.struct(options.number(F.col("city"), c["policy_id"], c["channel"], c["day"]).alias("number"), c.alias("candidate")),
    )
    ordered = judged.withColumn("__open", F.sort_array(numbered)).where(F.size("__open") > 0)
    broken = F.transform("__open", lambda o: _parted(o["candidate"]))
    drawn = F.floor(uniform("drawn", F.col("month"), F.col("user_id")) * F.size("__open")).cast("int")
    return ordered.select(
        *KEY, "arm",
        F.concat_ws("|", *KEY).alias("customer"),
        F.transform("__open", lambda o: o["candidate"]).alias("open"),
        F.transform("__open", lambda o: o["number"]).alias("options"),
        broken.alias("values"),
        F.transform("__open", lambda o: o["candidate"]["spend_yuan"]).alias("spends"),
        F.when(F.col("arm") == EXPLORE, drawn).alias("drawn"),
    )  # fmt: skip


def drawn_alone(packs: DataFrame) -> DataFrame:
    """Those who explore, each with the one candidate that was drawn."""
    exploring = packs.where(F.col("arm") == EXPLORE)
    return exploring.withColumns({c: F.slice(c, F.col("drawn") + 1, 1) for c in ("options", "values", "spends")})


def both_arms(packs: DataFrame, target: Allocation, explored: Allocation) -> DataFrame:
    """`packs` with what everybody gets (`capacity.allotted`): who explores, what was drawn, if there was room for it."""
    got = allotted(packs, target)
    drawn = allotted(drawn_alone(packs), explored)
    has_drawn = drawn.select("customer", F.col("chosen").isNotNull().alias("has_drawn"), F.col("settled_place").alias("drawn_place"))
    is_target = F.col("drawn").isNull()
    mine = {
        "chosen": F.when(is_target, F.col("chosen")).when(F.col("has_drawn"), F.col("drawn")),
        "settled_place": F.when(is_target, F.col("settled_place")).otherwise(F.col("drawn_place")),
        **{part: F.when(is_target, F.col(part)) for part in ("runner_up", "lost_by", "fills")},
    }
    return got.join(has_drawn, on="customer", how="left").withColumns(mine)


def choices(judged: DataFrame, contacts: DataFrame, made: DataFrame, plans: Plans) -> DataFrame:
    """One row per customer: `judged` beside its `choice` (null: no offer) and `dropped` (chosen, but one contact too many for the person; `refused` says why).

    `made` has, per customer with open candidates, the places `chosen`, `runner_up`, `best`, `settled_place`, and `lost_by` and `fills` (`both_arms`).
    """
    share = plans.choosing.holdout.explore_share
    size = F.size("open")
    at_random = F.lit(share) / size
    is_greedy = (F.col("arm") != EXPLORE) | (F.col("chosen") == F.col("best"))
    told = made.select(
        *KEY,
        F.get("open", F.col("chosen")).alias("choice"),
        F.get("open", F.col("runner_up")).alias("runner_up"),
        F.get("open", F.col("drawn"))["policy_id"].alias("drawn_policy"),
        rounded(F.col("lost_by")).alias("lost_by"),
        F.coalesce("fills", F.lit(False)).alias("fills"),
        "settled_place",
        size.cast("bigint").alias("open_candidates"),
        rounded(F.when(F.col("chosen").isNotNull(), at_random + F.when(is_greedy, 1 - share).otherwise(0.0))).alias("selection_probability"),
    )
    both = judged.join(told, on=list(KEY), how="left")
    parts = (F.col(f"choice.{part}").alias(part) for part in ("day", "channel", "policy_id"))
    planned = both.where(F.col("choice.day").isNotNull()).select(*KEY, "person_id", *parts)
    admitted = within_limits(planned, contacts, plans.choosing.contact.caps, plans.policies).select(*KEY, "refused")
    judged_twice = both.join(admitted, on=list(KEY), how="left")
    is_dropped = F.col("refused").isNotNull()
    return judged_twice.withColumns({"dropped": F.when(is_dropped, F.col("choice.policy_id")), "asked": F.col("choice")}).withColumn(
        "choice", F.when(~is_dropped, F.col("choice"))
    )


def too_many(chosen: DataFrame) -> DataFrame:
    """Offers that were chosen and then dropped, as one contact too many: the key, policy_id, channel, day, spend_yuan."""
    parts = (F.col(f"asked.{part}").alias(part) for part in ("policy_id", "channel", "day", "spend_yuan"))
    return chosen.where(F.col("dropped").isNotNull()).select(*KEY, *parts)


def choice_rows(chosen: DataFrame, plans: Plans) -> DataFrame:
    """`decision.choice`: one row per customer."""
    hours = F.try_element_at(_hours(plans), F.concat_ws(" ", "choice.policy_id", "choice.channel"))
    valid = F.try_element_at(valid_terms(plans.policies.values()), F.col("choice.policy_id"))
    parts = ("goal", "policy_id", "channel", "day", "propensity", "net_value_yuan", "score", "spend_yuan")
    is_made = F.col("choice").isNotNull()
    return chosen.select(
        *KEY, "person_id", "arm", "controls",
        *(F.col(f"choice.{part}").alias(part) for part in parts),
        hours["begin"].alias("send_from"),
        hours["end"].alias("send_until"),
        valid["begin"].alias("valid_from"),
        valid["end"].alias("valid_to"),
        F.coalesce("open_candidates", F.lit(0)).alias("candidates"),
        F.when(is_made, F.col("selection_probability")).alias("selection_probability"),
        F.when(is_made, F.col("runner_up.policy_id")).alias("runner_up_policy"),
        F.when(is_made, F.col("runner_up.channel")).alias("runner_up_channel"),
        F.when(is_made, F.col("lost_by")).alias("lost_by"),
        "settled_place",
        F.when(is_made, F.coalesce(F.try_element_at(SCORE_DRIVERS, "choice.policy_id"), F.array())).alias(SCORE_DRIVERS),
        F.lit(plans.matrix_set).alias("matrix_set"),
    ).select(*CHOICE.columns)  # fmt: skip


def choice_exclusions(chosen: DataFrame) -> DataFrame:
    """Rows of `decision.exclusion`: one per customer and policy that could be offered and was not chosen.

    A policy that was dropped by every channel tells the reason of its first; one that had a better score than the choice lacked room, and so
    did the one drawn for who explores and has nothing. Where the choice fills a minimum, that is why others were left; where it was dropped as one
    contact too many for the person, so were they.
    """
    asked, is_exploring = F.when(F.col("asked").isNotNull(), _parted(F.col("asked"))), F.col("drawn_policy").isNotNull()

    def told(offer: Column) -> Column:
        own = F.filter("candidates", lambda c: c["policy_id"] == offer["policy_id"])
        is_open = F.filter(own, lambda c: c["stage"].isNull())
        best = F.array_max(F.transform(is_open, _parted))
        lacked_room = F.when(is_exploring, offer["policy_id"] == F.col("drawn_policy")).otherwise(asked.isNull() | (best > asked))
        lost = (
            F.when(lacked_room & F.col("fills"), _why(CAPACITY, MINIMUM))
            .when(lacked_room, _why(CAPACITY, NO_ROOM))
            .when(is_exploring, _why(ARBITRATION, NOT_DRAWN))
            .when(F.col("dropped").isNotNull(), _why(contact.STAGE, ONE_TOO_MANY))
        )
        first = F.get(own, F.lit(0))
        why = (
            F.when(offer["policy_id"] == F.col("dropped"), F.struct(F.lit(contact.STAGE).alias("stage"), F.col("refused").alias("reason")))
            .when(F.size(own) == 0, _why(ARBITRATION, NO_CHANNEL))
            .when(F.size(is_open) == 0, F.struct(first["stage"].alias("stage"), first["reason"].alias("reason")))
            .otherwise(F.coalesce(lost, _why(ARBITRATION, OUTSCORED)))
        )
        return F.struct(*(offer[part].alias(part) for part in OFFER), why["stage"].alias("stage"), why["reason"].alias("reason"))

    others = F.filter("offers", lambda offer: ~offer["policy_id"].eqNullSafe(F.col("choice.policy_id")))
    return chosen.select(*KEY, F.inline(F.transform(others, told))).select(*EXCLUSION.columns)


def less(capacities: Capacities, used: Ints) -> Capacities:
    """What is left of capacities."""
    parts = zip(capacities.families, capacities.parts(used), strict=True)
    return Capacities(tuple(replace(f, least=np.maximum(f.least - own / f.unit, 0), most=np.maximum(f.most - own / f.unit, 0)) for f, own in parts))


def _staged(candidate: Column) -> Column:
    return candidate.withField("stage", F.when(candidate["reason"].isNotNull(), contact.STAGE))


def _held_out(judged: DataFrame, told: Told, plans: Plans) -> DataFrame:
    """Drops what the persons never contacted and the control groups of campaigns do not get."""
    campaigns = {name: c for name, c in plans.choosing.campaigns.items() if c.control_share > 0}
    staged = _dropping(judged, lambda _: F.when(F.col("arm") == HELD_OUT, F.lit(holdout.UNIVERSAL)), holdout.STAGE)
    if not campaigns:
        return staged.withColumn("controls", F.array().cast("array<string>"))
    joined = staged.join(_controls(staged, campaigns, told, plans), on="person_id", how="left")
    grouped = joined.withColumn("controls", F.coalesce("controls", F.array().cast("array<string>")))

    def control(candidate: Column) -> Column:
        cases = [
            F.when(F.array_contains("controls", name) & candidate["policy_id"].isin(*c.policies), F.lit(f"control: {name}")) for name, c in campaigns.items()
        ]
        return F.coalesce(*cases)

    return _dropping(grouped, control, holdout.STAGE)


def _controls(judged: DataFrame, campaigns: Mapping[str, Campaign], told: Told, plans: Plans) -> DataFrame:
    """Per person_id the campaigns it is left out of: as told, else drawn of those who could have one of the policies."""
    if told.all_drawn:
        return told.controls
    others = judged.join(told.controls, on="person_id", how="left_anti")
    return told.controls.unionByName(_drawn_controls(others, campaigns, plans))


def _drawn_controls(judged: DataFrame, campaigns: Mapping[str, Campaign], plans: Plans) -> DataFrame:
    open_policies = F.explode(F.array_distinct(F.transform(F.filter("candidates", lambda c: c["stage"].isNull()), lambda c: c["policy_id"])))
    stratum = F.concat_ws("|", "city", "value_grade").alias("stratum")
    return control_groups(judged.select("person_id", stratum, open_policies.alias("policy_id")), campaigns, plans.choosing.holdout)


def _valued(judged: DataFrame) -> DataFrame:
    """Drops what brings nothing, or nobody knows what."""

    def worthless(candidate: Column) -> Column:
        is_known = F.coalesce((F.abs(candidate["net_value_yuan"]) < np.inf) & (F.abs(candidate["score"]) < np.inf), F.lit(False))
        return F.when(~is_known, F.lit(VALUE_UNKNOWN)).when(candidate["net_value_yuan"] <= 0, F.lit(NO_NET_VALUE))

    return _dropping(judged, worthless, ARBITRATION)


def _dropping(judged: DataFrame, reason: Callable[[Column], Column], stage: str) -> DataFrame:
    """The same customers; candidates still open that have a `reason` are dropped at `stage`."""

    def of(candidate: Column) -> Column:
        why = F.when(candidate["stage"].isNull(), reason(candidate))
        dropped = candidate.withField("stage", F.when(why.isNotNull(), F.lit(stage)).otherwise(candidate["stage"]))
        return dropped.withField("reason", F.coalesce(why, candidate["reason"]))

    return judged.withColumn("candidates", F.transform("candidates", of))


def _hours(plans: Plans) -> Column:
    """Begin and end of the hours of each policy by each pushed channel."""
    choosing, entries = plans.choosing, {}
    for policy in plans.policies.values():
        for name in policy.channels:
            channel = choosing.channels[name]
            hours = send_hours(policy.send_window, channel, choosing.contact) if channel.pushed else None
            if hours:
                entries[f"{policy.policy_id} {name}"] = asdict(hours)
    return constant_map(entries, "struct<begin:string,end:string>")


def _why(stage: str, reason: str) -> Column:
    return F.struct(F.lit(stage).alias("stage"), F.lit(reason).alias("reason"))


def _parted(candidate: Column) -> Column:
    """The score of a candidate, parted from equal ones."""
    return candidate["score"] * (F.lit(1.0) - F.lit(TIE) * _hash(candidate))


def _hash(candidate: Column) -> Column:
    """A number in [0, 1) of the customer and the candidate."""
    drawn = F.xxhash64(F.col("user_id"), candidate["policy_id"], candidate["channel"])
    return F.pmod(drawn, F.lit(1 << 40)).cast("double") / F.lit(float(1 << 40))


def _problem(customers: DataFrame, sql: str, kind: str) -> str | None:
    try:
        found = customers.select(F.expr(sql).alias("x")).schema["x"].dataType.simpleString()
    except AnalysisException as error:
        return one_line(error)
    numeric = found in ("double", "float", "int", "bigint", "smallint", "tinyint") or found.startswith("decimal")
    return None if found == kind or (kind == "double" and numeric) else f"{'a number' if kind == 'double' else 'true or false'} is wanted, its SQL gives {found}"
