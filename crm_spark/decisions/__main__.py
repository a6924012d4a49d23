"""Decision tables checked, compared and approved, and in and out: DMN XML and XLSX to planners' CSV and YAML, and back.

    python -m crm_spark.decisions lint --env demo --month 2025-03
    python -m crm_spark.decisions diff conf ../proposal/conf --env demo
    python -m crm_spark.decisions diff 3f2a9c conf --env demo              a version that a run used, and what stands there now
    python -m crm_spark.decisions approve --env demo --from 2025-04-01 --author "Li Na" --by "Wang Wei"
    python -m crm_spark.decisions import risk.dmn --to conf/matrices
    python -m crm_spark.decisions import retention.xlsx --to conf/matrices --replace
    python -m crm_spark.decisions export conf/matrices/retention.csv --to retention.dmn

An imported table takes effect when it is approved and the next run reads it; its columns, policies and goals are checked then, as are
those of any other. An approval is a row of approvals.csv: any change to a matrix, the policies, decisions.yml, choosing.yml or where a grade
begins needs a new one.
Exit codes: 0 done, 2 something is wrong with the arguments or a file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from crm_spark.config.approvals import Approval, add_approval
from crm_spark.config.decisions import MatrixConfig, approvals_file, load_decisions, read_matrix_files
from crm_spark.config.env import load_env
from crm_spark.config.settings import load_settings
from crm_spark.decisions.difference import differences
from crm_spark.decisions.dmn import dmn_of, read_dmn
from crm_spark.decisions.exchange import Exchanged, save
from crm_spark.decisions.lint import lint, refuse_errors
from crm_spark.decisions.load import matrices_of
from crm_spark.decisions.workbook import read_workbook, write_workbook
from crm_spark.errors import ConfigError, CrmError
from crm_spark.job import asked_cities
from crm_spark.locks import Locks
from crm_spark.matrix_sets import recalled
from crm_spark.months import contact_days, is_month
from crm_spark.session import open_session
from crm_spark.tables.catalog import Catalog


def main(argv: Sequence[str] | None = None) -> int:
    """One action; the result is the exit code."""
    options = _parser().parse_args(argv)
    try:
        return _ACTIONS[options.action](options)
    except CrmError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _linted(options: argparse.Namespace) -> int:
    if not is_month(options.month):
        raise ConfigError(f"--month {options.month}: yyyy-MM is wanted, as in 2025-03")
    findings = lint(matrices_of(load_settings(options.conf_dir, options.env)), contact_days(options.month))
    errors = sum(f.severity == "error" for f in findings)
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    sys.stdout.write(f"{errors} errors, {len(findings) - errors} warnings\n")
    return 2 if errors else 0


def _approved(options: argparse.Namespace) -> int:
    """Add the row, unless the set has an error, or the day of the approval is still to come."""
    if options.on and options.on > date.today():
        raise ConfigError(f"--on {options.on} lies ahead: today is {date.today()}")
    config = load_settings(options.conf_dir, options.env)
    refuse_errors(lint(matrices_of(config), contact_days(f"{options.since:%Y-%m}")))
    try:
        cities, day = asked_cities(options.city) or (), options.on or date.today()
        approval = Approval(config.matrices.version, cities, options.since, options.until, options.author, options.by, day, options.comment)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    path = approvals_file(options.conf_dir, config.env.source)
    add_approval(path, approval)
    sys.stdout.write(f"matrix set {approval.set_version} is approved in {path}\n")
    return 0


def _compared(options: argparse.Namespace) -> int:
    """What changed, a line each."""
    before, after = (_set_named(name, options) for name in (options.before, options.after))
    if problems := [*before.problems, *after.problems]:
        raise ConfigError(problems)
    sys.stdout.write("".join(f"{line}\n" for line in differences(before, after) or ["no difference"]))
    return 0


def _set_named(name: str, options: argparse.Namespace) -> MatrixConfig:
    """The set in a configuration folder, or the one of a version that some run used."""
    if Path(name).is_dir():
        return load_decisions(Path(name), load_env(Path(name), options.env).source)
    env = load_env(options.conf_dir, options.env)
    spark = open_session("decisions", env.spark)
    return recalled(Catalog(spark, env.catalog, Locks(env.locks)), name)


def _imported(options: argparse.Namespace) -> int:
    return _told([path for table in _read(options.file) for path in save(table, options.to, options.replace)])


def _told(written: Sequence[Path]) -> int:
    sys.stdout.write("".join(f"wrote {path}\n" for path in written))
    return 0


def _read(path: Path) -> tuple[Exchanged, ...]:
    if path.suffix.lower() == ".dmn":
        return read_dmn(path)
    if path.suffix.lower() == ".xlsx":
        return (read_workbook(path),)
    raise ConfigError(f"{path}: .dmn or .xlsx is wanted")


def _exported(options: argparse.Namespace) -> int:
    files = read_matrix_files(options.file.with_suffix(".csv"), options.file.with_suffix(".yml"))
    if options.to.suffix.lower() == ".xlsx":
        write_workbook(files, options.to)
    elif options.to.suffix.lower() == ".dmn":
        options.to.write_text(dmn_of(files), encoding="utf-8")
    else:
        raise ConfigError(f"{options.to}: .dmn or .xlsx is wanted")
    return _told([options.to])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.decisions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    coming = actions.add_parser("import", help="a .dmn or .xlsx file into CSV and YAML")
    coming.add_argument("file", type=Path)
    coming.add_argument("--to", type=Path, default=Path("conf/matrices"), help="folder of the matrices (default: conf/matrices)")
    coming.add_argument("--replace", action="store_true", help="write over a matrix of that name")
    going = actions.add_parser("export", help="a matrix, by its .csv or .yml, into a .dmn or .xlsx file")
    going.add_argument("file", type=Path)
    going.add_argument("--to", type=Path, required=True, help="the file to write")
    checked = actions.add_parser("lint", help="gaps, rules that never answer, policies out of date, units mixed up")
    checked.add_argument("--month", required=True, help="the month that is decided, yyyy-MM")
    compared = actions.add_parser("diff", help="what changed from one matrix set to another")
    for name in ("before", "after"):
        compared.add_argument(name, help="a folder of a configuration, or the version of a set that a run used (or how it begins)")
    approved = actions.add_parser("approve", help="let the set that stands there decide: a row of approvals.csv")
    _add_approval_options(approved)
    for action in (checked, compared, approved):
        action.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
        action.add_argument("--env", default="demo", help="environment whose operator's tables they are: conf/env/<env>.yml (default: demo)")
    return parser


def _add_approval_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="since", type=date.fromisoformat, required=True, help="first day; the last day of a month counts")
    parser.add_argument("--to", dest="until", type=date.fromisoformat, help="last day (default: until further notice)")
    parser.add_argument("--city", action="append", help="only for this city; several with commas or given again (default: all)")
    parser.add_argument("--author", required=True, help="who wrote the set")
    parser.add_argument("--by", required=True, help="who approves it: somebody else")
    parser.add_argument("--on", type=date.fromisoformat, help="day of the approval (default: today)")
    parser.add_argument("--comment", default="", help="what it is for")


_ACTIONS = {"import": _imported, "export": _exported, "lint": _linted, "diff": _compared, "approve": _approved}

if __name__ == "__main__":
    raise SystemExit(main())
