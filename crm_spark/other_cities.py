"""What cities that are not run have published for the month: it binds the run, as their persons and capacities may be the same."""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.decisions.capacity import Customers
from crm_spark.decisions.limits import Space
from crm_spark.decisions.prices import Capacities, Ints, usage
from crm_spark.job import Job
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import CHOICE


def chosen_elsewhere(job: Job) -> DataFrame:
    """Rows of decision.choice of the month that cities which are not run have published; none where all are run."""
    is_elsewhere = ~F.col("city").isin(*job.cities) if job.cities else F.lit(False)
    return job.read(CHOICE, optional=True, all_cities=True).where(is_elsewhere)


def controls_of(choices: DataFrame) -> DataFrame:
    """One row per person of some choices: the campaigns it is left out of."""
    return choices.groupBy("person_id").agg(F.array_distinct(F.flatten(F.collect_list("controls"))).alias("controls"))


def used_by(offers: DataFrame, options: Space, limited: Capacities) -> Ints:
    """What offers (city, policy_id, channel, day, spend_yuan and the key) use of each capacity."""
    nothing = np.zeros(limited.size, dtype=np.int64)
    if not limited.size:
        return nothing
    number = options.number(F.col("city"), F.col("policy_id"), F.col("channel"), F.col("day"))
    packs = offers.where(number.isNotNull()).select(  # an offer of a policy that is no more uses nothing of what there is
        F.concat_ws("|", *KEY).alias("customer"),
        F.array(number).alias("options"),
        F.array(F.lit(0.0)).alias("values"),
        F.array("spend_yuan").alias("spends"),
    )
    told = Customers(packs).total(lambda block: usage(block, limited, np.arange(block.customers)))
    return told if len(told) else nothing
