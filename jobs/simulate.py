"""What if: another matrix set, policy catalogue, choosing.yml or threshold against the published month, as one page, before anybody approves it.

The published view and index are decided over once more with the candidate, approved or not, and the one offer of each customer is chosen as
jobs/choose.py would: with its contact rules, control groups and capacities, and the contacts that are told. Told are: what is changed, reach
per policy, customers who move and from where to where, expected net value and cost, channel load, customers left with no offer and why; all by
city, segment and value grade. Writes simulation.html and simulation.json (default: var/<run>/simulations/<month>-<version of the
candidate>), no table and no counter of contacts.

    spark-submit jobs/simulate.py --env demo --month 2025-03 --candidate ../proposal/conf
    spark-submit jobs/simulate.py --env demo --month 2025-03 --file draft/retention.csv --file draft/choosing.yml
    spark-submit jobs/simulate.py --env demo --month 2025-03 --threshold churn.at_risk=25
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.choices import basis_of, choice_of
from crm_spark.config.choosing import CHOOSING
from crm_spark.config.decisions import MatrixConfig, choosing_of, decisions_of, load_decisions
from crm_spark.config.models import ModelSpec, load_models
from crm_spark.config.policies import Policy
from crm_spark.config.settings import Settings
from crm_spark.decisions.choosing import check_expressions
from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.difference import differences
from crm_spark.decisions.inputs import decision_input, usable_matrices
from crm_spark.decisions.lint import lint
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from crm_spark.decisions.table import MatrixSet
from crm_spark.errors import ConfigError, NotPublishedError, did_you_mean
from crm_spark.job import Job, entry
from crm_spark.learning.scoring import regraded
from crm_spark.matrix_sets import recalled
from crm_spark.months import last_day
from crm_spark.report import simulation
from crm_spark.report.simulation import Side, compared
from crm_spark.report.simulation_page import Simulation, render_simulation
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX

Change = str
SINGLE = ("policies.csv", "decisions.yml", CHOOSING)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--candidate", type=Path, help="folder of a configuration: its matrices, policies, decisions.yml, choosing.yml and models' grades")
    parser.add_argument(
        "--file", type=Path, action="append", default=[], help=f"a matrix (.csv or .yml), {', '.join(SINGLE)} in the place of the common one; again for more"
    )
    parser.add_argument("--threshold", action="append", default=[], metavar="MODEL.GRADE=SCORE", help="from which score the grade begins; again for more")
    parser.add_argument("--out", type=Path, help="folder of the page")


def run(job: Job) -> None:
    """Decide and choose over the published month with the candidate, and compare."""
    settings, changes = _candidate(job)
    matrices = matrices_of(settings)
    for finding in lint(matrices, last_day(job.month)):
        job.log.warning("    %s", finding)
    before, policies, versions = _published(job)
    with _simulated(job, settings, matrices) as after:
        customers = compared(before, after, job.read(PERSONAL_INDEX)).localCheckpoint()
    facts = _facts(job, customers, {p.policy_id: p.name for p in (*policies.values(), *matrices.policies.values())})
    candidate = settings.matrices.version
    about = {"env": job.config.env_name, "month": job.month, "cities": job.cities, "published": versions, "candidate": candidate, "changes": changes}
    _write(job, {**about, **facts})


def _candidate(job: Job) -> tuple[Settings, list[Change]]:
    """The run's settings with the candidate's matrices and grades, and what that changes against the published set."""
    source, folder = job.config.env.source, job.options.candidate or job.config.conf_dir
    stand_there = load_decisions(folder, source)
    matrices = decisions_of({**stand_there.files, **dict(map(_named, job.options.file))}, source) if job.options.file else stand_there
    models = load_models(folder, source) if job.options.candidate else dict(job.config.models)
    for threshold in job.options.threshold:
        models |= _moved_threshold(models, threshold)
    old = {model: spec.grades for model, spec in job.config.models.items()}
    graded = [f"models: {m} grades {_told(s)}, before {_told(job.config.models[m])}" for m, s in models.items() if m in old and s.grades != old[m]]
    settings = replace(job.config, conf_dir=folder, matrices=matrices, models=models)
    settings = replace(settings, choosing=choosing_of(matrices, input_names(settings)[0]))
    return settings, [*differences(_set_published(job), matrices), *graded]


def _named(path: Path) -> tuple[str, str]:
    """A file of the candidate, by the place it takes in a set."""
    if not path.is_file():
        raise ConfigError(f"--file {path}: no such file")
    name = path.name if path.name in SINGLE else f"matrices/{path.name}"
    return name, path.read_bytes().decode(errors="replace")


def _moved_threshold(models: dict[str, ModelSpec], text: str) -> dict[str, ModelSpec]:
    """The model with a grade that begins elsewhere, in every city."""
    name, _, score = text.partition("=")
    model, _, grade = name.partition(".")
    if model not in models:
        raise ConfigError(f"--threshold {text}: unknown model '{model}'{did_you_mean(model, models)}")
    spec = models[model]
    if grade not in spec.grade_names:
        raise ConfigError(f"--threshold {text}: unknown grade '{grade}'{did_you_mean(grade, spec.grade_names)}")
    try:
        return {model: replace(spec, grades={scale: {**of, grade: float(score)} for scale, of in spec.grades.items()})}
    except ValueError as error:
        raise ConfigError(f"--threshold {text}: {error}") from None


def _told(spec: ModelSpec) -> str:
    return "; ".join(f"{scale}: " + ", ".join(f"{grade} from {score:g}" for grade, score in of.items()) for scale, of in spec.grades.items())


def _set_published(job: Job) -> MatrixConfig:
    """The set that decided over the month; of several (cities may have their own) the most frequent, the others are told by their version."""
    rows = job.read(RECOMMENDATION).groupBy("matrix_set").count().orderBy(F.desc("count"), "matrix_set").collect()
    if not rows or rows[0]["matrix_set"] is None:
        raise NotPublishedError(f"{job.month} was published by an earlier version, without offers in order; run recommend and publish it again")
    return recalled(job.catalog, rows[0]["matrix_set"])


def _published(job: Job) -> tuple[Side, dict[str, Policy], list[str]]:
    """What is published, the policies of its sets, and their versions."""
    recommended = job.read(RECOMMENDATION)
    versions = sorted(row["matrix_set"] for row in recommended.select("matrix_set").distinct().collect())
    policies: dict[str, Policy] = {}
    for version in versions:
        policies |= recalled(job.catalog, version).policies
    return Side(recommended, job.read(EXCLUSION), job.read(CHOICE)), policies, versions


@contextmanager
def _simulated(job: Job, settings: Settings, matrices: MatrixSet) -> Iterator[Side]:
    """The candidate's decision and choice over the run's cities. Plans are cut between the steps: all of it as one fills Java's memory."""
    view, index = (job.read(table, all_cities=True) for table in (CUSTOMER_VIEW, PERSONAL_INDEX))
    everybody = decision_input(view, regraded(index, settings.models.values()), *input_names(settings), matrices)
    check_expressions(everybody, settings.choosing, matrices.settings.conditions)
    usable, skipped = usable_matrices(everybody, matrices)
    for rule in skipped:
        job.log.info("    skipped %s.%s: %s", rule.matrix, rule.rule, rule.reason)
    compiled = compile_all(usable)
    mine = everybody.where(F.col("city").isin(*job.cities)) if job.cities else everybody
    decided = decide(mine, compiled, usable.policies, job.month, usable.settings.conditions).localCheckpoint()
    recommended = recommendations(decided, compiled, settings.matrices.version)
    customers = mine.join(recommended.select(*KEY, "priority", "offers"), on=list(KEY), how="left")
    with choice_of(job, customers, basis_of(job, settings.choosing, usable.policies, settings.matrices.version)) as made:
        for subject, _, reason in made.notes:
            job.log.info("    %s: %s", subject, reason)
        yield Side(recommended, exclusions(decided).unionByName(made.dropped), made.choices)


def _facts(job: Job, customers: DataFrame, names: dict[str, str]) -> dict[str, object]:
    job.log.info("    %d customers compared", customers.count())
    return {
        "totals": simulation.totals(customers),
        "reach": simulation.reach(customers, names),
        "flows": simulation.flows(customers),
        "channels": simulation.channels(customers),
        "without_offer": simulation.without_offer(customers),
        **{group: simulation.by(customers, group) for group in ("city", "segment", "value_grade")},
    }


def _write(job: Job, facts: dict[str, object]) -> None:
    folder = job.options.out or Path(job.config.env.var) / "simulations" / f"{job.month}-{facts['candidate']}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "simulation.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False, default=str), encoding="utf-8")
    (folder / "simulation.html").write_text(render_simulation(cast(Simulation, facts)), encoding="utf-8")
    job.log.info("    wrote %s", folder / "simulation.html")


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
