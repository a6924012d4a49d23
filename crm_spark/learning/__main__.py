"""Models of any table: train, measure and register one by a few lines of YAML, and score with it.

    python -m crm_spark.learning fit --spec my.yml --table customers.parquet
    python -m crm_spark.learning score --spec my.yml --table customers.parquet --to scores.parquet

A table is a Delta folder, Parquet, or CSV / TSV with a header. my.yml (docs/models.md):

    name: churn
    question: Will the customer leave?
    label: {column: Churn}
    key: [CustomerID]

Models are registered in <out>/mlflow.db. Exit codes: 0 done (or champion, of `fit`), 1 nothing to learn from, 2 something is wrong with the
arguments or the spec, 3 the model missed its gate and is kept as challenger.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import yaml
from pyspark.sql import SparkSession

from crm_spark.config.models import MlflowConfig
from crm_spark.config.strict import load
from crm_spark.config.table_models import TableSpec
from crm_spark.errors import ConfigError, CrmError
from crm_spark.learning.drivers import explainer_of_json
from crm_spark.learning.files import read_table
from crm_spark.learning.recorded import EXPLAINER, SPEC, as_trained
from crm_spark.learning.registry import Registry
from crm_spark.learning.scored import scored_table
from crm_spark.learning.search import fit_table
from crm_spark.learning.trainer import gate_failures
from crm_spark.session import open_session

LOG = logging.getLogger("crm_spark")
_MISSED_GATE = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Fit or score; the result is the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    try:
        spec = load(TableSpec, options.spec)
        spark = open_session("models", {"spark.master": "local[*]", "spark.driver.memory": options.memory})
        return _ACTIONS[options.action](spark, spec, options)
    except CrmError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _fit(spark: SparkSession, spec: TableSpec, options: argparse.Namespace) -> int:
    spec = replace(spec, budget_minutes=options.budget_minutes or spec.budget_minutes)
    fitted = fit_table(read_table(spark, options.table), spec, LOG.info)
    trained = as_trained(fitted)
    failures = gate_failures(trained.metrics, spec.gate)
    texts = {EXPLAINER: fitted.explainer.as_json(), SPEC: yaml.safe_dump(asdict(spec), allow_unicode=True)}
    version = _registry(options.out).record(trained, spark, {}, failures, {"table": options.table}, texts)
    drivers = [f"{name} {share:.0%}" for name, share in list(fitted.importances.items())[:5]]
    LOG.info("%s version %s: %s", spec.name, version, "champion" if not failures else f"challenger, it missed its gate: {'; '.join(failures)}")
    LOG.info("what it looks at most: %s", ", ".join(drivers))
    return _MISSED_GATE if failures else 0


def _score(spark: SparkSession, spec: TableSpec, options: argparse.Namespace) -> int:
    registry = _registry(options.out)
    champion = registry.champion(spec.name)
    if champion is None:
        raise ConfigError(f"{spec.name}: no champion in {options.out}; `fit` makes one if it passes its gate")
    explained = explainer_of_json(registry.text(spec.name, champion.version, EXPLAINER))
    scores = scored_table(read_table(spark, options.table), spec, champion.pipeline, explained)
    kind = "parquet" if options.to.endswith(".parquet") else "delta"
    scores.write.format(kind).mode("overwrite").save(options.to)
    LOG.info("wrote %s: scores of %s version %s", options.to, spec.name, champion.version)
    return 0


_ACTIONS = {"fit": _fit, "score": _score}


def _registry(folder: Path) -> Registry:
    return Registry(MlflowConfig(f"sqlite:///{folder}/mlflow.db", str(folder / "mlartifacts"), "models of tables"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.learning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, told in {"fit": "train, measure and register", "score": "score with the champion"}.items():
        action = actions.add_parser(name, help=told)
        action.add_argument("--spec", type=Path, required=True, help="the model in YAML")
        action.add_argument("--table", required=True, help="Delta, Parquet, CSV or TSV")
        action.add_argument("--out", type=Path, default=Path("var/models"), help="folder of the registry (default: var/models)")
        action.add_argument("--memory", default="4g", help="Java's memory (default: 4g)")
        if name == "fit":
            action.add_argument("--budget-minutes", type=float, help="how long the search may take (default: the spec's)")
        else:
            action.add_argument("--to", required=True, help="where the scores go: a folder that ends in .parquet, else Delta")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
