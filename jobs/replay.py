"""Tell a past decision over one customer again, from what it was made of: the view, the index, the models and the matrices of its run.

The month's published decision, or with --of-run that of an earlier run, is made anew and compared, column by column and candidate by
candidate: what may be offered, and the one offer that was chosen of it, with its score, the prices of capacities, the runner-up, and why not
each other offer. What was withdrawn since is told as such, with when and by which publication. The tables are read at the versions that
the run saw, the matrix set comes from ops.matrix_history (so today's conf/ is not asked), and the models score once more from the
registry (unless --skip-models). Control groups and prices, which all customers together decided, are those that the run kept. Writes no table.
Exit codes: 0 it comes out the same, 1 it does not, or cannot be told any more, and why: the versions are kept no more (13 months), the
customer was erased, the matrices, the prices or a model are gone; 2 bad arguments or configuration.

    spark-submit jobs/replay.py --env demo --month 2025-03 --user 5f0c...
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from crm_spark.choice_again import Again, choice_again, dropped_then, refuse_unkept
from crm_spark.config.decisions import MatrixConfig
from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.eligibility import STAGES
from crm_spark.decisions.inputs import decision_input
from crm_spark.decisions.load import check_matrices
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from crm_spark.decisions.table import MatrixSet
from crm_spark.errors import NotPublishedError, RefusedModelError, ReplayError
from crm_spark.job import Job, entry
from crm_spark.learning.registry import Registry
from crm_spark.learning.scoring import Scorer, model_scores
from crm_spark.matrix_sets import config_of
from crm_spark.runs import Slice, Versions, read_slices, versions_of_run
from crm_spark.tables.contract import Table
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.ops import MATRIX_HISTORY, PUBLICATION
from crm_spark.tables.score import PERSONAL_INDEX


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--user", required=True, help="the customer's user_id")
    parser.add_argument("--of-run", help="an earlier run whose decision is meant (default: the one that is published now)")
    parser.add_argument("--skip-models", action="store_true", help="take the kept scores as they are")


@dataclass(frozen=True)
class Pinned:
    """The newest pin of a run for a table's (month, city); `withdrawn` tells when and how it was withdrawn, None if it was not."""

    city: str
    run_id: str
    version: int
    withdrawn: str | None = None


def run(job: Job) -> None:
    """Find the decision and what it was made of, decide again, compare."""
    if not job.catalog.exists(PUBLICATION):
        raise NotPublishedError("nothing is published yet")
    pin, kept = _decision(job)
    if pin.withdrawn:
        job.log.warning("    decision.recommendation of %s %s stands no more: %s", pin.city, job.month, pin.withdrawn)
    try:
        seen = versions_of_run(job.catalog, pin.run_id)
        view, index, excluded = (_row_then(job, table, pin, seen) for table in (CUSTOMER_VIEW, PERSONAL_INDEX, EXCLUSION))
        excluded = excluded.where(F.col("stage").isin(*STAGES))
        again, dropped = _again(job, _history(job, pin.run_id, kept), view, index)
        choice, differently = _choice(job, pin)
    except NotPublishedError as error:
        raise _cannot([pin], error) from error
    scored = [] if job.options.skip_models else list(_scored_otherwise(job, view, index))
    different = [*_different(kept, again), *(["exclusions"] if _rows(excluded) != _rows(dropped) else []), *differently, *scored]
    if different:
        raise ReplayError(f"the decision over {job.options.user} of {job.month} comes out otherwise: {'; '.join(different)}")
    _tell(job, pin, kept, choice)


def _decision(job: Job) -> tuple[Pinned, Row]:
    """The kept decision, and where it was published; one that stands goes before one that was withdrawn, which may be kept no more."""
    chosen = {pin.city: pin for pin in _pins(job, RECOMMENDATION) if not job.options.of_run or pin.run_id == job.options.of_run}
    for pins in ([p for p in chosen.values() if not p.withdrawn], [p for p in chosen.values() if p.withdrawn]):
        try:
            rows = read_slices(job.catalog, RECOMMENDATION, [Slice(pin.version, (job.month,), (pin.city,)) for pin in pins])
        except NotPublishedError as error:
            raise _cannot(pins, error) from error
        if rows and (found := rows.where(F.col("user_id") == job.options.user).head(1)):
            return chosen[found[0]["city"]], found[0]
    raise ReplayError(f"no decision over {job.options.user} in {job.month}: no customer then, never published, or erased since")


def _cannot(pins: Iterable[Pinned], error: NotPublishedError) -> ReplayError:
    withdrawn = {f"{pin.withdrawn}; " for pin in pins if pin.withdrawn}
    return ReplayError(f"the decision cannot be told again: {''.join(sorted(withdrawn))}{error}")


def _pins(job: Job, table: Table) -> list[Pinned]:
    """Every pin of the month's table, in order; a publication without a version withdraws the one before it."""
    in_order = Window.partitionBy("city").orderBy("sequence")
    day = F.date_format("recorded_at", "yyyy-MM-dd").alias("day")
    after = F.lead(F.struct("run_id", "version", "sequence", day)).over(in_order).alias("after")
    mine = job.catalog.read(PUBLICATION).where((F.col("table") == table.full_name) & (F.col("month") == job.month))
    rows = mine.select("city", "run_id", "version", "sequence", after).where(F.col("version").isNotNull())
    return [Pinned(row["city"], row["run_id"], row["version"], _withdrawn(row["after"])) for row in rows.orderBy("sequence").collect()]


def _withdrawn(after: Row | None) -> str | None:
    if after is None or after["version"] is not None:
        return None
    return f"withdrawn on {after['day']} by publication {after['sequence']} (run {after['run_id']})"


def _row_then(job: Job, table: Table, decision: Pinned, seen: Versions) -> DataFrame:
    """The customer's rows as the decision's run saw them."""
    rows = read_slices(job.catalog, table, seen.slices(table, [job.month], [decision.city]))
    if rows is None:
        raise ReplayError(f"{table.full_name} of {decision.city} {job.month} was not published when the decision was made")
    mine = rows.where(F.col("user_id") == job.options.user)
    if table is not EXCLUSION and mine.isEmpty():
        raise ReplayError(f"{table.full_name} does not hold {job.options.user} any more: erased")
    return mine


def _history(job: Job, run_id: str, kept: Row) -> Row:
    """The matrix set of a recommendation or a choice, as its run kept it."""
    version = kept["matrix_set"]
    if version is None or not job.catalog.exists(MATRIX_HISTORY):
        raise ReplayError("its matrices are not available: it was made before they were kept")
    mine = (F.col("run_id") == run_id) & (F.col("matrix_set") == version)
    found = job.catalog.read(MATRIX_HISTORY).where(mine).orderBy(F.desc("recorded_at")).head(1)
    if not found:
        raise ReplayError(f"its matrices are not available: ops.matrix_history has no set {version} of run {run_id}")
    return found[0]


def _again(job: Job, history: Row, view: DataFrame, index: DataFrame) -> tuple[Row, DataFrame]:
    """The recommendation and the exclusions, made anew."""
    config, names, matrices = _set_of(history, view, index)
    skipped = (name.split(".", 1) for name in history["skipped_rules"])
    usable = matrices.without({(matrix, rule) for matrix, rule in skipped})
    compiled = compile_all(usable)
    decided = decide(decision_input(view, index, *names, matrices), compiled, usable.policies, job.month, usable.settings.conditions, config.choosing)
    (made,) = RECOMMENDATION.conform(recommendations(decided, compiled, config.version)).collect()
    return made, EXCLUSION.conform(exclusions(decided))


def _set_of(history: Row, view: DataFrame, index: DataFrame) -> tuple[MatrixConfig, tuple[list[str], list[str]], MatrixSet]:
    """(the set, the models and groups it may name, the same checked)."""
    config, names = config_of(history), (history["models"], history["groups"])
    columns = decision_input(view, index, *names, MatrixSet((), {}, config.settings)).schema
    return config, names, check_matrices(config, {field.name: field.dataType for field in columns}, {})


def _choice(job: Job, decision: Pinned) -> tuple[Again | None, list[str]]:
    """The choice that was published for the decision's city made again, and what came out otherwise; None if none was."""
    of_city = [pin for pin in _pins(job, CHOICE) if pin.city == decision.city and job.options.of_run in (None, pin.run_id)]
    if not of_city:
        return None, []
    seen, run_id = versions_of_run(job.catalog, of_city[-1].run_id), of_city[-1].run_id
    then = replace(job, seen=seen, run_id=run_id, cities=(decision.city,))
    rows = then.read(CHOICE).where(F.col("user_id") == job.options.user)
    refuse_unkept(rows)
    kept = rows.select(*(c for c in CHOICE.columns if c in rows.columns)).head(1)
    if not kept:
        raise ReplayError(f"decision.choice does not hold {job.options.user} any more: erased")
    history = _history(job, run_id, kept[0])
    then = replace(then, cities=tuple(history["cities"]) if history["cities"] else None)
    config, names, matrices = _set_of(history, then.read(CUSTOMER_VIEW), then.read(PERSONAL_INDEX))
    if config.choosing is None:
        raise ReplayError(f"the choice cannot be told again: set {config.version} was kept without choosing.yml")
    again = choice_again(then, job.options.user, names, matrices, config.choosing, config.version)
    if of_city[-1].withdrawn:
        again = replace(again, told=[f"decision.choice of {decision.city} {job.month} stands no more: {of_city[-1].withdrawn}", *again.told])
    return again, again.differences(kept[0], dropped_then(then, job.options.user))


def _different(kept: Row, made: Row) -> list[str]:
    before, now = kept.asDict(recursive=True), made.asDict(recursive=True)
    there = [column for column in RECOMMENDATION.columns if column in before]  # columns are only ever added
    return [f"{column} was {before[column]}, is {now[column]}" for column in there if before[column] != now[column]]


def _rows(excluded: DataFrame) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in excluded.select(*EXCLUSION.columns).collect())


def _scored_otherwise(job: Job, view: DataFrame, index: DataFrame) -> Iterable[str]:
    """Models that are gone, or give the customer another score than the index has."""
    kept = index.select("scores", "model_versions").head(1)[0]
    registry = Registry(job.config.env.mlflow)
    scorers = []
    for model, version in sorted((kept["model_versions"] or {}).items()):
        if model not in job.config.models:
            yield f"model {model} is configured no more"
            continue
        try:
            scorers.append(Scorer(job.config.models[model], registry.scorer(model, version).pipeline, version))
        except RefusedModelError as error:
            yield str(error)
    scored = {row["model"]: row["score"] for row in model_scores(view, scorers).collect()} if scorers else {}
    for model in (scorer.spec.name for scorer in scorers):
        if scored.get(model) != kept["scores"][model]:
            yield f"model {model} scored {kept['scores'][model]}, scores {scored.get(model)}"


def _tell(job: Job, pin: Pinned, kept: Row, choice: Again | None) -> None:
    offers = ", ".join(f"{offer['policy_id']} ({offer['matrix']}.{offer['rule']})" for offer in kept["offers"]) or "nothing"
    job.log.info("    run %s decided over %s with matrix set %s: the same comes out", pin.run_id, job.options.user, kept["matrix_set"])
    job.log.info("    offers: %s", offers)
    for reason in kept["reasons"]:
        job.log.info("    because: %s", reason)
    for policy, told in ((kept.asDict().get("score_drivers") or {}) if kept else {}).items():
        job.log.info("    %s: %s", policy, "; ".join(told))
    for line in choice.told if choice else ["choice: none was published"]:
        job.log.info("    %s", line)


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
