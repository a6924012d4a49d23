"""A few Spark jobs side by side: while one waits to be planned or committed, another computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from pyspark.sql import SparkSession
from pyspark.util import inheritable_thread_target

AT_ONCE = 2
Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(spark: SparkSession, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The result of `work` for each item, in their order, two at a time; after a failure nothing new begins.

    Spark's job group, pool and tags are those of the caller, so that a notebook's cell that is cancelled stops all.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [pool.submit(inheritable_thread_target(spark)(work), item) for item in items]
        for late in wait(found, return_when=FIRST_EXCEPTION).not_done:
            late.cancel()
        return [one.result() for one in found]
