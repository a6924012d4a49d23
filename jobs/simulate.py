"""What if: another matrix set, policy catalogue, choosing.yml or threshold against the published month, as one page, before anybody approves it.

The published view and index are decided over once more with the candidate, approved or not, and the one offer of each customer is chosen as
jobs/choose.py would: with its contact rules, control groups and capacities, and the contacts that are told. Told are: what is changed, reach
per policy, customers who move and from where to where, expected net value and cost, channel load, customers left with no offer and why; each of
all customers and by city, segment and value grade (those that are published). Writes simulation.html and simulation.json (default:
var/<run>/simulations/<month>-<version of the candidate>), no table and no counter of contacts.

The candidate is what stands in --conf-dir, or in --candidate, with every --file, --set and --threshold on top of it: nothing that stands there
is touched. --set changes one value of choosing.yml or decisions.yml that is in force (the source's own file laid over the common one): an entry
of a list goes by its name, else by its number from 0, and null takes it away. --threshold moves one limit of a grade: the score from which a
model's grade begins, or the share of a city's ranking by value where a value grade ends. Scores, values and segments stay as published.

    spark-submit jobs/simulate.py --env demo --month 2025-03 --candidate ../proposal/conf
    spark-submit jobs/simulate.py --env demo --month 2025-03 --file draft/retention.csv --file draft/choosing.yml
    spark-submit jobs/simulate.py --env demo --month 2025-03 --set choosing.limits.budget.most=25000 --set "choosing.limits.phone agents=null"
    spark-submit jobs/simulate.py --env demo --month 2025-03 --threshold churn.at_risk=25 --threshold value.high=0.15
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from pyspark.sql import functions as F

from crm_spark.choices import basis_of, choice_of
from crm_spark.config.candidate import SHARED, with_threshold, with_value
from crm_spark.config.choosing import CHOOSING
from crm_spark.config.decisions import MatrixConfig, choosing_of, decisions_of, load_decisions
from crm_spark.config.models import ModelSpec, load_models
from crm_spark.config.policies import Policy
from crm_spark.config.settings import Settings
from crm_spark.config.value import ValueConfig, load_value
from crm_spark.decisions.choosing import check_expressions
from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.difference import differences
from crm_spark.decisions.inputs import decision_input, usable_matrices
from crm_spark.decisions.lint import lint
from crm_spark.decisions.load import input_names, matrices_of
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from crm_spark.decisions.table import MatrixSet
from crm_spark.errors import ConfigError, NotPublishedError
from crm_spark.frames import computed
from crm_spark.job import Job, entry
from crm_spark.learning.scoring import regraded
from crm_spark.matrix_sets import recalled
from crm_spark.months import contact_days
from crm_spark.report.simulation import Side, compared, counted
from crm_spark.report.simulation_grid import Simulation
from crm_spark.report.simulation_page import render_simulation
from crm_spark.report.simulation_tables import tables
from crm_spark.tables.common import KEY
from crm_spark.tables.decision import CHOICE, EXCLUSION, RECOMMENDATION
from crm_spark.tables.mart import CUSTOMER_VIEW
from crm_spark.tables.score import PERSONAL_INDEX
from crm_spark.value.grades import with_grade

Change = str
SINGLE = ("policies.csv", "decisions.yml", CHOOSING)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--candidate", type=Path, help="folder of a configuration: its matrices, policies, decisions.yml, choosing.yml, and all grades")
    parser.add_argument(
        "--file", type=Path, action="append", default=[], help=f"a matrix (.csv or .yml), {', '.join(SINGLE)} in the place of the common one; again for more"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FILE.PLACE=VALUE",
        help=f"one value of {' or '.join(SHARED)}, as choosing.limits.budget.most=25000; again for more",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", action="append", default=[], metavar="MODEL.GRADE=LIMIT",
        help="the score from which a model's grade begins, or, as value.high=0.15, the share of the city's ranking where a value grade ends; again for more",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder of the page")


def run(job: Job) -> None:
    """Decide and choose over the published month with the candidate, and compare."""
    settings, changes = _candidate(job)
    matrices = matrices_of(settings)
    for finding in lint(matrices, contact_days(job.month)):
        job.log.warning("    %s", finding)
    before, policies, versions = _published(job)
    with _simulated(job, settings, matrices) as after:
        counts = computed(counted(compared(before, after, job.read(PERSONAL_INDEX))))
    told = tables(counts, {p.policy_id: p.name for p in (*policies.values(), *matrices.policies.values())}, list(job.config.value.grades))
    candidate = settings.matrices.version
    about = {"env": job.config.env_name, "month": job.month, "cities": job.cities, "published": versions, "candidate": candidate, "changes": changes}
    _write(job, {**about, **told})


def _candidate(job: Job) -> tuple[Settings, list[Change]]:
    """The run's settings with the candidate's matrices and grades, and what that changes against the published set."""
    source, folder = job.config.env.source, job.options.candidate or job.config.conf_dir
    matrices, models, value = load_decisions(folder, source), dict(job.config.models), job.config.value
    files = {**matrices.files, **dict(map(_named, job.options.file))}
    for change in job.options.set:
        files = with_value(files, source, change)
    if job.options.file or job.options.set:
        matrices = decisions_of(files, source)
    if job.options.candidate:
        models, value = load_models(folder, source), load_value(folder, source)
    there = replace(job.config, conf_dir=folder, matrices=matrices, models=models, value=replace(job.config.value, grades=value.grades))
    for change in job.options.threshold:
        models, value = with_threshold(models, value, change)
    settings = replace(there, models=models, value=replace(there.value, grades=value.grades))
    settings = replace(settings, choosing=choosing_of(matrices, input_names(settings)[0]))
    return settings, [*differences(_set_published(job), matrices), *_grades_moved(there, settings)]


def _named(path: Path) -> tuple[str, str]:
    """A file of the candidate, by the place it takes in a set."""
    if not path.is_file():
        raise ConfigError(f"--file {path}: no such file")
    name = path.name if path.name in SINGLE else f"matrices/{path.name}"
    return name, path.read_bytes().decode(errors="replace")


def _grades_moved(before: Settings, after: Settings) -> Iterator[Change]:
    """What --threshold changes; where a candidate's grades begin elsewhere, its set says so."""
    for name, spec in after.models.items():
        if name in before.models and spec.grades != (old := before.models[name]).grades:
            yield f"models: {name} grades {_scales(spec)}, before {_scales(old)}"
    if after.value.grades != before.value.grades:
        yield f"value: grades end at {_shares(after.value)}, before {_shares(before.value)}"


def _scales(spec: ModelSpec) -> str:
    return "; ".join(f"{scale}: " + ", ".join(f"{grade} from {score:g}" for grade, score in of.items()) for scale, of in spec.grades.items())


def _shares(value: ValueConfig) -> str:
    return ", ".join(f"{grade} {share:g}" for grade, share in value.grades.items())


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
    if settings.value.grades != job.config.value.grades:
        index = with_grade(index.drop("value_grade"), settings.value)
    everybody = decision_input(view, regraded(index, settings.models.values()), *input_names(settings), matrices)
    check_expressions(everybody, settings.choosing, matrices.settings.conditions)
    usable, skipped = usable_matrices(everybody, matrices)
    for rule in skipped:
        job.log.info("    skipped %s.%s: %s", rule.matrix, rule.rule, rule.reason)
    compiled = compile_all(usable)
    mine = everybody.where(F.col("city").isin(*job.cities)) if job.cities else everybody
    decided = computed(decide(mine, compiled, usable.policies, job.month, usable.settings.conditions))
    recommended = recommendations(decided, compiled, settings.matrices.version)
    customers = mine.join(recommended.select(*KEY, "priority", "offers"), on=list(KEY), how="left")
    with choice_of(job, customers, basis_of(job, settings.choosing, usable.policies, settings.matrices.version)) as made:
        for subject, _, reason in made.notes:
            job.log.info("    %s: %s", subject, reason)
        yield Side(recommended, exclusions(decided).unionByName(made.dropped), made.choices)


def _write(job: Job, facts: dict[str, object]) -> None:
    folder = job.options.out or Path(job.config.env.var) / "simulations" / f"{job.month}-{facts['candidate']}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "simulation.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False, default=str), encoding="utf-8")
    (folder / "simulation.html").write_text(render_simulation(cast(Simulation, facts)), encoding="utf-8")
    job.log.info("    wrote %s", folder / "simulation.html")


main = entry(run, arguments)

if __name__ == "__main__":
    raise SystemExit(main())
