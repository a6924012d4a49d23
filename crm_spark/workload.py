"""What Spark shows of a job and tells of its work: descriptions in its UI, and what the tasks took."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

_DESCRIPTION = "spark.job.description"
_KIB = 1024


@dataclass(frozen=True)
class Work:
    """Tasks of all executors so far, their seconds of running and of collecting garbage, and the bytes they read and shuffled."""

    tasks: int
    task_seconds: float
    gc_seconds: float
    input_bytes: int
    shuffle_bytes: int

    def since(self, before: Work) -> Work:
        """What came on top of `before`."""
        then = asdict(before)
        return Work(**{name: value - then[name] for name, value in asdict(self).items()})


@dataclass(frozen=True)
class StepWork:
    """What the tasks of one step of a job took: wall seconds from its first stage to its last, and sums over its stages."""

    step: str
    stages: int
    tasks: int
    seconds: float
    task_seconds: float
    input_bytes: int
    output_bytes: int
    shuffle_bytes: int
    spill_bytes: int


@contextmanager
def described(spark: SparkSession, text: str) -> Iterator[None]:
    """Spark jobs begun inside, by this thread, carry `text` in Spark's UI and event log; Spark Connect has no such place."""
    if is_remote():
        yield
        return
    context = spark.sparkContext
    before = context.getLocalProperty(_DESCRIPTION)
    context.setLocalProperty(_DESCRIPTION, text)
    try:
        yield
    finally:
        context.setLocalProperty(_DESCRIPTION, before)  # type: ignore[arg-type]


def work_so_far(spark: SparkSession) -> Work | None:
    """What the session's tasks took, as its status store has it (a tenth of a second late); None over Spark Connect."""
    if is_remote():
        return None
    context: Any = spark.sparkContext._jsc.sc()
    executors = context.statusStore().executorList(False)  # those that were lost too
    each = [_of(executors.apply(i)) for i in range(executors.size())]
    work = Work(**{f.name: sum(getattr(one, f.name) for one in each) for f in fields(Work)})
    return replace(work, task_seconds=_local_task_seconds(context)) if context.isLocal() else work


def steps_of(spark: SparkSession, job: str, since: float) -> list[StepWork]:
    """The steps of a job (the text of whose Spark jobs begins with `job`), by what `described` called them, in the order in which they began, of
    stages begun since that time (seconds since 1970); Spark keeps its last thousand. None over Spark Connect."""
    if is_remote():
        return []
    context: Any = spark.sparkContext._jsc.sc()
    gateway: Any = spark.sparkContext._gateway
    none = gateway.jvm.java.util.ArrayList()
    found = context.statusStore().stageList(None, False, False, gateway.new_array(gateway.jvm.double, 0), none)
    mine: list[tuple[str, Any]] = []
    for stage in map(found.apply, range(found.size())):  # the newest first
        begun, text = stage.submissionTime(), stage.description()
        if begun.isDefined() and begun.get().getTime() / 1000 < since:
            break
        if begun.isDefined() and text.isDefined() and text.get().startswith(job):
            mine.append((text.get().removeprefix(job).lstrip(": "), stage))
    steps: dict[str, list[Any]] = {}
    for name, stage in reversed(mine):
        steps.setdefault(name, []).append(stage)
    return [_step(name, stages) for name, stages in steps.items()]


def _step(name: str, stages: list[Any]) -> StepWork:
    ended = [(s.submissionTime().get().getTime(), s.completionTime().get().getTime()) for s in stages if s.completionTime().isDefined()]
    seconds = (max(end for _, end in ended) - min(start for start, _ in ended)) / 1000 if ended else 0.0
    each = [
        (s.numCompleteTasks(), s.executorRunTime() / 1000, s.inputBytes(), s.outputBytes(), s.shuffleWriteBytes(), s.diskBytesSpilled())
        for s in stages
    ]  # fmt: skip
    tasks, task_seconds, *sizes = (sum(numbers) for numbers in zip(*each, strict=True))
    return StepWork(name, len(stages), int(tasks), seconds, task_seconds, *map(int, sizes))


def peak_memory(spark: SparkSession) -> dict[str, float]:
    """The most memory that was in use at once since the session began, MiB: `java` (heap and beside it, of the executor that used most, in local
    mode the one process) and `python` (this process); without `java` over Spark Connect."""
    own = {"python": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB}
    if is_remote():
        return own
    context: Any = spark.sparkContext._jsc.sc()
    executors = context.statusStore().executorList(False)
    found = [executors.apply(i).peakMemoryMetrics() for i in range(executors.size())]
    used = [sum(one.get().getMetricValue(kind) for kind in ("JVMHeapMemory", "JVMOffHeapMemory")) for one in found if one.isDefined()]
    return own | ({"java": max(used) / _KIB**2} if used else {})


def _local_task_seconds(context: Any) -> float:
    """Of the one executor of local mode, for which the status store tells how long the application has run."""
    source = context.env().metricsSystem().getSourcesByName("executor").apply(0)
    return float(source.metricRegistry().counter("runTime").getCount()) / 1000


def _of(executor: Any) -> Work:
    seconds = executor.totalDuration() / 1000, executor.totalGCTime() / 1000
    return Work(executor.totalTasks(), *seconds, executor.totalInputBytes(), executor.totalShuffleWrite())
