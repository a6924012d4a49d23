"""What the operator knows of a subscriber besides use: the register, the handset, its own extra columns, bundles signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.columns import MONEY
from crm_spark.province.bundles import bundle_at, offer
from crm_spark.province.numbers import customer_id, day_text, msisdn, whose
from crm_spark.province.traits import EDUCATIONS
from crm_spark.province.world import Province

# Texts as the operator writes them; conf/sources/province/source.yml maps them back.
BRANDS = {"gotone": "全球通", "mzone": "动感地带", "easyown": "神州行"}
PAYMENTS = {"postpaid": "后付费", "prepaid": "预付费"}
STATES = {"active": "正常", "suspended": "停机", "closed": "销户"}
GENDERS = {"female": "女", "male": "男"}
EDUCATION_TEXTS = dict(zip(EDUCATIONS, ("小学", "初中", "高中", "大专", "本科"), strict=True))
OCCUPATION_TEXTS = {
    "worker": "工人", "clerk": "职员", "service": "服务业", "merchant": "个体", "farmer": "农民",
    "civil_servant": "公务员", "student": "学生", "other": "其他",
}  # fmt: skip
CHANNEL_TEXTS = {"hall": "营业厅", "agent": "代理商", "online": "网上"}
EXIT_TEXTS = {"arrears": "欠费", "too_dear": "资费高", "service_failure": "服务差", "competitor": "转网", "natural": "其他"}
INCOME_BANDS = ("0-2000", "2000-4000", "4000-7000", "7000-12000", "12000+")
_MAKERS = ("Huanghe", "Yuelu", "Tianmu", "Qiantang", "Putuo")
_GENERATION_NAMES = ("2G", "3G", "4G", "5G")


def user_info(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month in the network, the month of leaving included."""
    subscriber = F.col("subscriber")
    return lives.select(
        *whose(province),
        msisdn(province, subscriber).alias("msisdn"),
        customer_id(province, F.col("person")).alias("cust_id"),
        F.when(F.col("household") % 3 != 0, F.concat(F.lit("H"), F.lpad(F.col("household").cast("string"), 9, "0"))).alias("household"),
        "county",
        _text(_brand(), BRANDS).alias("brand"),
        F.concat(F.lit("P"), F.lpad(F.col("rental_yuan").cast("string"), 3, "0")).alias("plan_code"),
        _text(F.when(F.col("is_postpaid"), "postpaid").otherwise("prepaid"), PAYMENTS).alias("pay_type"),
        _text(_status(), STATES).alias("status"),
        _text(F.when(F.col("is_female"), "female").otherwise("male"), GENDERS).alias("gender"),
        day_text(_birth(province)).alias("birthday"),
        _text(F.when(_told(province, "occupation", 0.85), F.col("occupation")), OCCUPATION_TEXTS).alias("occupation"),
        F.when(_told(province, "education", 0.8), _chosen(EDUCATION_TEXTS.values(), F.col("education_index"))).alias("education"),
        F.when(_told(province, "income", 0.6), _chosen(INCOME_BANDS, F.col("income_index"))).alias("income_band"),
        day_text(activation_date()).alias("open_date"),
        F.concat("city", F.lit("_H"), F.lpad(F.col("hall").cast("string"), 2, "0")).alias("hall"),
        _text(F.col("joined_by"), CHANNEL_TEXTS).alias("join_channel"),
        _text(F.when(F.col("is_closed"), _exit_reason(province)), EXIT_TEXTS).alias("exit_reason"),
        F.when(F.col("has_consented"), "Y").otherwise("N").alias("consent"),
    )  # fmt: skip


def terminal(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month whose handset the network has seen."""
    dice, generation = province.dice, F.col("generation")
    maker = _chosen(_MAKERS, dice.below(len(_MAKERS), "maker", "subscriber", F.col("t") - F.col("handset_months")))
    return lives.where(~F.col("is_closed") & dice.happens(0.96, "handset seen", "subscriber")).select(
        *whose(province),
        F.concat(maker, F.lit(" "), _chosen(_GENERATION_NAMES, generation)).alias("model"),
        _chosen(_GENERATION_NAMES, generation).alias("network"),
        F.when((generation > 0) | dice.happens(0.6, "mms", "subscriber"), 1).otherwise(0).alias("mms"),
        F.when((generation > 0) | dice.happens(0.7, "wap", "subscriber"), 1).otherwise(0).alias("wap"),
        day_text(_handset_since(dice.below(28, "handset day", "subscriber"))).alias("first_seen"),
    )  # fmt: skip


def user_extension(lives: DataFrame, province: Province) -> DataFrame:
    """One row per subscriber and month: complaints, app log-ins, calls to the hotline, a satisfaction answer where there was a survey."""
    dice = province.dice
    moved = F.exp(F.col("web_taste") * 0.4 - F.col("mood_now") * 0.35 + dice.bell("app", "subscriber", "t") * 0.5) * 4
    return lives.where(~F.col("is_closed")).select(
        *whose(province),
        F.col("complaints_now").alias("complaints"),
        F.when(F.col("generation") > 0, F.floor(moved)).otherwise(0).alias("app_logins"),
        hotline_calls(province).alias("hotline_calls"),
        answer(province).alias("satisfaction"),
    )  # fmt: skip


def hotline_calls(province: Province) -> Column:
    """Calls to the hotline in the month."""
    return F.col("complaints_now") + F.floor(-F.ln(province.dice.uniform("hotline", "subscriber", "t")) * 0.8)


def answer(province: Province) -> Column:
    """Points, 1 to 5, in a survey; null for who was not asked."""
    dice = province.dice
    felt = F.greatest(F.least(F.floor(4.3 - F.col("mood_now") * 0.6 + dice.bell("answer", "subscriber", "t") * 0.8), F.lit(5)), F.lit(1))
    return F.when(dice.happens(0.12, "survey", "subscriber", "t"), felt.cast("int"))


def bundle_contract(lives: DataFrame, province: Province) -> DataFrame:
    """One row per bundle that runs at month end, or ran out within the three months before."""
    bundle = bundle_at(province, F.col("t"))
    signed = F.add_months("first_day", (bundle.start - F.col("t")).cast("int"))
    known = lives.where(~F.col("is_closed") & (bundle.runs | bundle.just_ended))
    return known.select(
        *whose(province),
        bundle.policy.alias("policy_code"),
        offer(bundle.policy, "bundle_class").cast("int").alias("class"),
        day_text(F.greatest(signed, activation_date())).alias("begin_date"),
        day_text(F.last_day(F.add_months(signed, (bundle.term - 1).cast("int")))).alias("end_date"),
        offer(bundle.policy, "prepaid_yuan").cast(MONEY).alias("prepaid"), offer(bundle.policy, "gifted_yuan").cast(MONEY).alias("gifted"),
    )  # fmt: skip


def activation_date() -> Column:
    """Day on which the number was activated."""
    first = F.add_months("first_day", (F.col("activation_t") - F.col("t")).cast("int"))
    return F.date_add(first, F.col("activation_day") - 1)


def _brand() -> Column:
    is_young = (F.col("age") < 26) & (F.col("rental_yuan") < 58)
    return F.when(is_young, "mzone").when((F.col("rental_yuan") >= 58) & F.col("is_postpaid"), "gotone").otherwise("easyown")


def _status() -> Column:
    return F.when(F.col("is_closed"), "closed").when(F.col("is_suspended"), "suspended").otherwise("active")


def _birth(province: Province) -> Column:
    """The age is meant at the first delivered month."""
    at_first = F.add_months("first_day", -F.col("t").cast("int"))
    return F.date_sub(at_first, F.floor(F.col("age") * 365.25).cast("int") + province.dice.below(5, "birthday", "person"))


def _exit_reason(province: Province) -> Column:
    """What stands in the closing form: mostly what drove the leaving."""
    drawn = province.dice.uniform("exit reason", "subscriber")
    return (
        F.when((F.col("owes") == 1) & (drawn < 0.8), "arrears")
        .when((F.col("dear") > 0.3) & (drawn < 0.75), "too_dear")
        .when((F.col("complaints_now") > 0) & (drawn < 0.7), "service_failure")
        .when(F.col("second_sim") > 0.3, "competitor")
        .otherwise("natural")
    )


def _handset_since(day: Column) -> Column:
    return F.date_add(F.add_months("first_day", -F.col("handset_months")), day)


def _told(province: Province, what: str, chance: float) -> Column:
    """True for the share of people whose form has the field filled."""
    return province.dice.happens(chance, f"{what} told", "person")


def _text(value: Column, texts: Mapping[str, str]) -> Column:
    return F.element_at(F.create_map(*[F.lit(x) for pair in texts.items() for x in pair]), value)


def _chosen(names: Iterable[str], index: Column) -> Column:
    return F.element_at(F.array(*map(F.lit, names)), index + 1)
