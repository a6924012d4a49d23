"""Decision tables checked, and in and out: DMN XML and XLSX to planners' CSV and YAML, and back.

    python -m crm_spark.decisions lint --env demo --month 2025-03
    python -m crm_spark.decisions import risk.dmn --to conf/matrices
    python -m crm_spark.decisions import retention.xlsx --to conf/matrices --replace
    python -m crm_spark.decisions export conf/matrices/retention.csv --to retention.dmn

An imported table takes effect when the next run reads it; its columns, policies and goals are checked then, as are those of any other.
Exit codes: 0 done, 2 something is wrong with the arguments or the file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from crm_spark.config.decisions import read_matrix_files
from crm_spark.config.settings import load_settings
from crm_spark.decisions.dmn import dmn_of, read_dmn
from crm_spark.decisions.exchange import Exchanged, save
from crm_spark.decisions.lint import lint
from crm_spark.decisions.load import matrices_of
from crm_spark.decisions.workbook import read_workbook, write_workbook
from crm_spark.errors import ConfigError
from crm_spark.months import is_month, last_day


def main(argv: Sequence[str] | None = None) -> int:
    """Import or export; the result is the exit code."""
    options = _parser().parse_args(argv)
    try:
        return _ACTIONS[options.action](options)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _linted(options: argparse.Namespace) -> int:
    if not is_month(options.month):
        raise ConfigError(f"--month {options.month}: yyyy-MM is wanted, as in 2025-03")
    findings = lint(matrices_of(load_settings(options.conf_dir, options.env)), last_day(options.month))
    errors = sum(f.severity == "error" for f in findings)
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    sys.stdout.write(f"{errors} errors, {len(findings) - errors} warnings\n")
    return 2 if errors else 0


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
    checked.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    checked.add_argument("--env", default="demo", help="environment whose operator's tables they are: conf/env/<env>.yml (default: demo)")
    checked.add_argument("--month", required=True, help="the month that is decided, yyyy-MM")
    return parser


_ACTIONS = {"import": _imported, "export": _exported, "lint": _linted}

if __name__ == "__main__":
    raise SystemExit(main())
