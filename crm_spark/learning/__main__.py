"""Models of any table: train, measure and register one by a few lines of YAML, and score with it. The life of all models.

    python -m crm_spark.learning fit --spec my.yml --table customers.parquet
    python -m crm_spark.learning score --spec my.yml --table customers.parquet --to scores.parquet

    python -m crm_spark.learning models --env demo
    python -m crm_spark.learning promote --env demo --model churn --version 3 --by "A. Planner" --why "better in spring"
    python -m crm_spark.learning rollback --env demo --model churn --by "A. Planner" --why "too many false alarms"
    python -m crm_spark.learning shadow --env demo --model churn --version 4

A table is a Delta folder, Parquet, or text with a header (comma, semicolon, tab or bar; UTF-8, gb18030, windows-1252). my.yml (docs/models.md):

    name: churn
    question: Will the customer leave?
    label: {column: Churn}
    key: [CustomerID]

Models of tables are registered in <out>/mlflow.db: name it by --out instead of --env. `promote` without --version takes the challenger;
`rollback` takes the champion before, and once more undoes that. Exit codes: 0 done (or champion, of `fit`), 1 nothing to learn from (or Spark or MLflow failed),
2 something is wrong with the arguments or the spec, 3 the model missed its gate and is kept as challenger.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import yaml
from mlflow.exceptions import MlflowException
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from crm_spark.config.env import load_env
from crm_spark.config.models import MlflowConfig
from crm_spark.config.strict import load
from crm_spark.config.table_models import TableSpec
from crm_spark.errors import ConfigError, CrmError, RefusedModelError, did_you_mean, one_line
from crm_spark.job import set_up_log
from crm_spark.learning import life
from crm_spark.learning.drift import REFERENCE, SCORE, Shift, reference_of_json, retrain_reason
from crm_spark.learning.drivers import explainer_of_json
from crm_spark.learning.files import read_table, table_version
from crm_spark.learning.gate import missed
from crm_spark.learning.recorded import COLUMNS, EXPLAINER, ONCE, SPEC, as_trained
from crm_spark.learning.registry import Champion, Registry
from crm_spark.learning.scored import scored_table
from crm_spark.learning.search import Fitted, auc_on_the_same_rows, fit_table
from crm_spark.learning.table_drift import table_reference, table_shifts
from crm_spark.learning.trainer import CHAMPION_AUC, Trained, with_costs
from crm_spark.session import open_session
from crm_spark.workload import peak_memory

LOG = logging.getLogger("crm_spark")
_MISSED_GATE = 3
_SINCE, _PARQUET = "judged_since", ".parquet"
_NOT_IN_MLFLOW = re.compile(r"[^\w. -]")  # of a parameter's name
_DRIFTS_TOLD = 5
_NOT_IN_DELTA = " ,;{}()\n\t="  # of a column's name, unless it is mapped


def main(argv: Sequence[str] | None = None) -> int:
    """Fit or score; the result is the exit code."""
    set_up_log()
    options = _parser().parse_args(argv)
    try:
        return _ACTIONS[options.action](options)
    except CrmError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except (PySparkException, MlflowException) as error:
        sys.stderr.write(f"{'MLflow' if isinstance(error, MlflowException) else 'Spark'} failed: {one_line(error)}\n")
        LOG.debug("", exc_info=error)
        return 1


def _fit(options: argparse.Namespace) -> int:
    start = time.monotonic()
    spec, spark, registry = load(TableSpec, options.spec), _session(options), _registry(options.out)
    spec = replace(spec, budget_minutes=options.budget_minutes or spec.budget_minutes)
    fitted = fit_table(read_table(spark, options.table), spec, LOG.info)
    trained = with_costs(_compared(registry, fitted), time.monotonic() - start, peak_memory(spark))
    failures = missed(trained)
    texts = {EXPLAINER: fitted.explainer.as_json(), SPEC: _spec_text(fitted.spec, fitted.judged_since), REFERENCE: table_reference(fitted).as_json()}
    texts[COLUMNS] = json.dumps([asdict(source) for source in fitted.columns.sources], indent=1, ensure_ascii=False)
    versions = {_NOT_IN_MLFLOW.sub("_", Path(options.table).name): {ONCE: [table_version(spark, options.table)]}}
    version = registry.record(trained, spark, versions, failures, {"table": options.table}, texts)
    drivers = [f"{name} {share:.0%}" for name, share in list(fitted.importances.items())[:5]]
    LOG.info("%s version %s: %s", spec.name, version, "champion" if not failures else f"challenger, it missed its gate: {'; '.join(failures)}")
    LOG.info("what it looks at most: %s", ", ".join(drivers))
    return _MISSED_GATE if failures else 0


def _compared(registry: Registry, fitted: Fitted) -> Trained:
    """With the champion's AUC on the same rows, if there is a champion that never saw them."""
    spec, trained = fitted.spec, as_trained(fitted)
    champion, _ = life.champion(registry, spec.name)
    if champion is None:
        return trained
    reason = _incomparable(spec, fitted.judged_since, registry.find_text(spec.name, champion.version, SPEC))
    if not reason:
        try:
            return replace(trained, metrics={**trained.metrics, CHAMPION_AUC: auc_on_the_same_rows(fitted, champion.pipeline)})
        except PySparkException as error:
            reason = f"it fails on this table: {one_line(error)}"
    LOG.warning("%s: not compared with champion version %s: %s", spec.name, champion.version, reason)
    return trained


def _incomparable(spec: TableSpec, judged_since: float | None, recorded: str | None) -> str | None:
    """Why a champion that was made by another spec, or of older rows, cannot be judged on the same rows."""
    if not spec.key:
        return "without a key a changed column deals the rows anew, so it may have learnt from those that judge"
    known, mine = yaml.safe_load(recorded or "{}"), yaml.safe_load(_spec_text(spec, judged_since))
    if judged_since is not None and known.get(_SINCE, judged_since) > judged_since:
        return "it learnt from newer rows than the oldest of those that judge"
    other = [name for name in ("label", "key", "hold_out") if known.get(name) != mine[name]]
    return f"it has another {' and '.join(other)}, so it may have learnt from the rows that judge" if other else None


def _spec_text(spec: TableSpec, judged_since: float | None) -> str:
    since = {} if judged_since is None else {_SINCE: judged_since}
    return yaml.safe_dump({**asdict(spec), **since}, allow_unicode=True)


def _score(options: argparse.Namespace) -> int:
    spec, spark, registry = load(TableSpec, options.spec), _session(options), _registry(options.out)
    champion, told = life.champion(registry, spec.name)
    for reason in told:
        LOG.warning("%s: %s", spec.name, reason)
    if champion is None:
        raise ConfigError(f"{spec.name}: no champion in {options.out}; `fit` makes one if it passes its gate")
    table = read_table(spark, options.table)
    written = _scored(registry, table, spec, champion, options.to)
    LOG.info("wrote %s: scores of %s version %s", options.to, spec.name, champion.version)
    if beside := _shadow_of(registry, spec.name):
        place = options.to.removesuffix(_PARQUET) + "_shadow" + _PARQUET * options.to.endswith(_PARQUET)
        _scored(registry, table, spec, beside, place)
        LOG.info("wrote %s: scores of its shadow, version %s, by which nothing decides", place, beside.version)
    _tell_drift(registry, table, written, spec, champion)
    return 0


def _shadow_of(registry: Registry, model: str) -> Champion | None:
    """The version that scores for comparison only; one that is refused is told, and scores nothing."""
    try:
        return life.shadow(registry, model)
    except RefusedModelError as error:
        LOG.warning("%s: its shadow does not score: %s", model, error)
        return None


def _scored(registry: Registry, table: DataFrame, spec: TableSpec, version: Champion, place: str) -> DataFrame:
    """The scores of one version, as they were written."""
    explained = explainer_of_json(registry.text(spec.name, version.version, EXPLAINER))
    fitted_as = yaml.safe_load(registry.text(spec.name, version.version, SPEC))
    scores = scored_table(table, replace(spec, grades=spec.grades or fitted_as["grades"]), version.pipeline, explained)
    kind = "parquet" if place.endswith(_PARQUET) else "delta"
    mapping = {"delta.columnMapping.mode": "name"} if kind == "delta" and any(c in _NOT_IN_DELTA for name in scores.columns for c in name) else {}
    scores.write.format(kind).mode("overwrite").options(**mapping).save(place)
    return table.sparkSession.read.format(kind).load(place)


def _tell_drift(registry: Registry, table: DataFrame, scores: DataFrame, spec: TableSpec, champion: Champion) -> None:
    """How far the table has moved from what judged the champion: in the log, and kept with its run, where one score after the other makes a line."""
    known, fitted_as = (registry.find_text(spec.name, champion.version, file) for file in (REFERENCE, SPEC))
    if not known or not fitted_as:
        return
    asked = replace(spec.label, positive=yaml.safe_load(fitted_as)["label"]["positive"])
    found = table_shifts(table, scores, replace(spec, label=asked), champion.pipeline, reference_of_json(known))
    for shift in sorted(found, key=lambda s: -s.psi)[:_DRIFTS_TOLD]:
        LOG.info("%s: %s: PSI %.3f, by chance %.3f%s", spec.name, _drifted(shift), shift.psi, shift.by_chance, _means(shift))
    registry.log_history(spec.name, champion.version, dict(_drift_metrics(found)))
    if reason := retrain_reason(found, spec.retrain):
        LOG.warning("%s should be fitted again: %s", spec.name, reason)


def _drifted(shift: Shift) -> str:
    return shift.kind if shift.kind == SCORE else f"{shift.kind} {shift.subject}"


def _means(shift: Shift) -> str:
    return "" if shift.mean is None else f"; mean {shift.mean:.3g}, in the hold-out {shift.reference_mean:.3g}"


def _drift_metrics(found: Sequence[Shift]) -> Iterator[tuple[str, float]]:
    for shift in found:
        name = _NOT_IN_MLFLOW.sub("_", _drifted(shift))
        yield f"drift/{name} psi", shift.psi
        if shift.mean is not None:
            yield f"drift/{name} mean", shift.mean


def _models(options: argparse.Namespace) -> int:
    sys.stdout.write(f"{life.listed(_registry_asked(options))}\n")
    return 0


def _promote(options: argparse.Namespace) -> int:
    return _changed(options, lambda registry: life.promote(registry, options.model, options.version, options.by, options.why))


def _rollback(options: argparse.Namespace) -> int:
    return _changed(options, lambda registry: life.rollback(registry, options.model, options.by, options.why))


def _shadow(options: argparse.Namespace) -> int:
    return _changed(options, lambda registry: life.set_shadow(registry, options.model, options.version))


_ACTIONS = {"fit": _fit, "score": _score, "models": _models, "promote": _promote, "rollback": _rollback, "shadow": _shadow}


def _changed(options: argparse.Namespace, change: Callable[[Registry], str]) -> int:
    """A version is loaded, so that one that could not score is refused now and not at night."""
    registry = _registry_asked(options)
    if options.model not in registry.models():
        raise ConfigError(f"--model {options.model}: not in the registry{did_you_mean(options.model, registry.models())}")
    _session(options)
    LOG.info("%s", change(registry))
    return 0


def _session(options: argparse.Namespace) -> SparkSession:
    local = {"spark.master": "local[*]", "spark.driver.memory": options.memory}
    return open_session("models", load_env(options.conf_dir, options.env).spark if getattr(options, "env", None) else local)


def _registry_asked(options: argparse.Namespace) -> Registry:
    return Registry(load_env(options.conf_dir, options.env).mlflow) if options.env else _registry(options.out)


def _registry(folder: Path) -> Registry:
    return Registry(MlflowConfig(f"sqlite:///{folder}/mlflow.db", str(folder / "mlartifacts"), "models of tables"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.learning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, told in {"fit": "train, measure and register", "score": "score with the champion"}.items():
        action = actions.add_parser(name, help=told)
        action.add_argument("--spec", type=Path, required=True, help="the model in YAML")
        action.add_argument("--table", required=True, help="Delta, Parquet, or text as CSV")
        action.add_argument("--out", type=Path, default=Path("var/models"), help="folder of the registry (default: var/models)")
        action.add_argument("--memory", default="4g", help="Java's memory (default: 4g)")
        if name == "fit":
            action.add_argument("--budget-minutes", type=float, help="how long the search may take (default: the spec's)")
        else:
            action.add_argument("--to", required=True, help="where the scores go: a folder that ends in .parquet, else Delta")
    changes = {"promote": "make a version champion", "rollback": "make the former champion champion again", "shadow": "let a version score beside the champion"}
    for name, told in {"models": "list all versions", **changes}.items():
        action = actions.add_parser(name, help=told)
        place = action.add_mutually_exclusive_group()
        place.add_argument("--env", help="the models of an environment")
        place.add_argument("--out", type=Path, default=Path("var/models"), help="the models of tables in this folder (default: var/models)")
        action.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
        action.add_argument("--memory", default="4g", help="Java's memory, with --out (default: 4g)")
        if name in changes:
            action.add_argument("--model", required=True)
        if name in ("promote", "shadow"):
            action.add_argument("--version", required=name == "shadow", help="version" + " (default: the challenger)" * (name == "promote"))
        if name in ("promote", "rollback"):
            action.add_argument("--by", required=True, help="who says so; kept with the version")
            action.add_argument("--why", required=True, help="the reason; kept with the version")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
