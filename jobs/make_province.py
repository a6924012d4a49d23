"""Make a synthetic province: an operator's raw files, from a size and a seed, for trials without real customers.

The rows depend on nothing but size, seed, months and conf/province.yml: not on cores, partitions or the clock. The same
province made twice is told and kept. What was planted (who leaves why, with which chance) lies apart in a folder `truth`
beside <out>, which no job reads. Exit codes: 0 done, 1 failed, 2 bad arguments or configuration.

    python jobs/make_province.py --size 20000 --seed 7 --out var/demo/raw
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pyspark.errors import PySparkException

from crm_spark.config.province import ProvinceConfig, load_province
from crm_spark.errors import ConfigError, CrmError
from crm_spark.province.files import is_made, make, make_room
from crm_spark.province.world import Province
from crm_spark.session import open_session

LOG = logging.getLogger("crm_spark")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the province the arguments ask for; the result is the exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    LOG.setLevel(logging.INFO)
    options = _parser().parse_args(argv)
    try:
        _run(_province(options), options.out, options.tables == "all", options.force)
    except CrmError as error:
        LOG.error("%s", error)
        return error.exit_code
    except (PySparkException, OSError) as error:
        LOG.error("make_province failed: %s", (str(error).strip().splitlines() or [type(error).__name__])[0][:500])
        return 1
    return 0


def _run(province: Province, out: Path, extra: bool, force: bool) -> None:
    if is_made(province, out, extra) and not force:
        LOG.info("make_province: %s already holds this province (size %s, seed %s); kept", out, f"{province.size:,}", province.seed)
        return
    start = time.monotonic()
    make_room(out)
    spark = open_session("make_province", _settings(province))
    months = province.config.months
    LOG.info("make_province: %s subscribers, %s to %s, seed %s, into %s", f"{province.size:,}", months[0], months[-1], province.seed, out)
    for made in make(spark, province, out, extra):
        bad = f", {made.bad:,} of them bad" if made.bad else ""
        LOG.info("    wrote %-22s %10s rows in %4.1f s%s", made.table, f"{made.rows:,}", made.seconds, bad)
    LOG.info("make_province done in %.1f s", time.monotonic() - start)


def _province(options: argparse.Namespace) -> Province:
    if not options.conf_dir.is_dir():
        raise ConfigError(f"--conf-dir {options.conf_dir}: no such folder")
    if options.size < 1:
        raise ConfigError(f"--size {options.size}: at least one subscriber is wanted")
    config: ProvinceConfig = load_province(options.conf_dir)
    if options.months:
        config = config.between(*options.months)
    if options.further:
        config = config.with_further()
    return Province(config.with_shares(options.bad_rows, options.skew), options.seed, options.size)


def _settings(province: Province) -> dict[str, str]:
    """Unless spark-submit says otherwise: the local cores and a small heap. Shuffles have as many parts as the province."""
    given = {} if "PYSPARK_SUBMIT_ARGS" in os.environ else {"spark.master": "local[*]", "spark.driver.memory": "3g"}
    return {**given, "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED", "spark.sql.shuffle.partitions": str(province.parts)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make_province", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=_whole, required=True, help="subscribers wanted in the last month, about (1e6 is understood)")
    parser.add_argument("--seed", type=int, default=7, help="another seed gives another province of the same kind (default: 7)")
    parser.add_argument("--out", type=_folder, required=True, help="folder of the raw files; on a cluster one that all machines see")
    parser.add_argument("--months", nargs=2, metavar=("FIRST", "LAST"), help="other months than conf/province.yml says, yyyy-MM")
    parser.add_argument("--tables", choices=("month", "all"), default="month", help="what the month's jobs read (default), or all tables")
    parser.add_argument("--further", action="store_true", help="also fraud, price offers and services that go with others")
    parser.add_argument("--bad-rows", type=float, metavar="SHARE", help="another share of bad rows than conf/province.yml says")
    parser.add_argument("--skew", type=float, metavar="SHARE", help="share of all calls that one subscriber has, that have one peer, that have none")
    parser.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    parser.add_argument("--force", action="store_true", help="make it anew, even if it is there already")
    return parser


def _folder(text: str) -> Path:
    if ":/" in text:
        raise argparse.ArgumentTypeError(f"{text} is an address: a folder is wanted, on a cluster one of a file system that all machines mount")
    return Path(text)


def _whole(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(number)


if __name__ == "__main__":
    raise SystemExit(main())
