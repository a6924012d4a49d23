"""The whole month at several sizes: what each job takes, how that grows, and what it comes to at sizes that were not run.

    python -m crm_spark.bench.month --sizes 1e4 1e5
    python -m crm_spark.bench.month --sizes 1e4 1e5 1e6 --memory 9g
    python -m crm_spark.bench.month --regular       a month whose history is there: the month before, which loads it, is run first
    python -m crm_spark.bench.month --city NINGBO   and a city's month once more, as after late files of nobody else

Each size has a province below var/bench/month/<size>, a configuration and tables of its own there or in <size>-regular; a size that was measured is not
run again, and a province that is whole is not made again.
A job takes some fixed seconds and some that grow with subscribers; both are told from the last two sizes but one, and
tried on the last. It ends with 1 where a model of the last, of 100,000 subscribers or more, has a lift below 2
at 10 % and could have more. Record: var/bench/month.json, of regular months month-regular.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crm_spark.bench.measure import held_mb

LOG = logging.getLogger("crm_spark")
MONTH_BEFORE, MONTH = "2025-02", "2025-03"
_REGULAR = "-regular"
_BEFORE, _MONTH, _AGAIN = "month_before", "month", "again_"
SEED = 7
ENV = "bench"
CUSTOMERS_A_PARTITION = 25_000
LIFT = 2.0
JUDGED_FROM = 100_000  # subscribers; of fewer the hold-out is too small to tell
OUT_OF_REACH = {"stickiness": "six in ten have the label, the best lift is 1.67", "ring_tone_change": "the planted chances themselves have 2.1"}
MEASURES = ("test_base_rate", "test_lift_10", "test_auc", "test_calibration_error")


@dataclass(frozen=True)
class Line:
    """Seconds of a job: `fixed`, and for every million subscribers."""

    fixed: float
    per_million: float

    def at(self, size: int) -> float:
        """Seconds at a size."""
        return self.fixed + self.per_million * size / 1e6


@dataclass(frozen=True)
class Month:
    """A month that was run: seconds per job, in their order, and what it shuffled and spilled, MB; of each model its MEASURES on the hold-out; the most
    memory held at once, MiB, Python's included; and the seconds of what was run `beside`: the month before, which loaded the history, or a city again."""

    size: int
    cores: int
    seconds: dict[str, float]
    models: dict[str, dict[str, float]]
    peak_mb: int = 0
    shuffled_mb: dict[str, float] = field(default_factory=dict)
    spilled_mb: dict[str, float] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, write the record; the result is the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = _parser().parse_args(argv)
    months = [_month(int(size), options) for size in sorted(set(options.sizes))]
    options.out.joinpath(f"month{_REGULAR if options.regular else ''}.json").write_text(json.dumps([asdict(m) for m in months], indent=1) + "\n", encoding="utf-8")
    missed = weak(months[-1])
    below = [f"lift below {LIFT} at 10 %: {', '.join(missed)}"] if missed else []
    sys.stdout.write("\n".join([*told(months), "", *measures_told(months[-1]), *below]) + "\n")
    return 1 if missed else 0


def weak(month: Month) -> list[str]:
    """The models of a month that find less than LIFT times the label in their best tenth and could find more."""
    judged = month.models if month.size >= JUDGED_FROM else {}
    return [model for model, found in judged.items() if found["test_lift_10"] < LIFT and model not in OUT_OF_REACH]


def told(months: Sequence[Month]) -> Iterator[str]:
    """Seconds per job and size; with two sizes how they grow, and to which power of subscribers; with three how far the third lies from what the two
    before promise."""
    more = "    fixed s   s a million   power" * (len(months) > 1) + "   promised" * (len(months) > 2)
    yield f"{'job':<24}" + "".join(f"{m.size:>12,}" for m in months) + more
    lines = fitted(months[-2:]) if len(months) > 1 else {}
    before = fitted(months[-3:-1]) if len(months) > 2 else {}
    for job, seconds in months[-1].seconds.items():
        grows = f"{lines[job].fixed:>11.1f} {lines[job].per_million:>13.1f} {_power(months[-2:], job):>7.2f}" if job in lines else ""
        promised = f"{seconds / before[job].at(months[-1].size) - 1:>+11.0%}" if job in before else ""
        yield f"{job:<24}" + "".join(f"{m.seconds.get(job, 0.0):>12.1f}" for m in months) + grows + promised
    yield f"{'together':<24}" + "".join(f"{sum(m.seconds.values()):>12.1f}" for m in months)
    for month in (m for m in months if m.peak_mb):
        spilled = ", ".join(f"{job} {mb:,.0f}" for job, mb in month.spilled_mb.items() if mb >= 1)
        shuffled = sum(month.shuffled_mb.values())
        yield f"{month.size:,} subscribers: at most {month.peak_mb:,} MB at once; shuffled {shuffled:,.0f} MB; spilled, MB: {spilled or 'nothing'}"
    for month in months:
        whole = sum(month.seconds.values())
        for name, seconds in month.beside.items():
            yield f"{month.size:,} subscribers: {name} {seconds:,.0f} s, {seconds / whole:.2f} times the month"
    if len(months) > 2:
        expected, measured = sum(line.at(months[-1].size) for line in before.values()), sum(months[-1].seconds.values())
        yield f"{months[-1].size:,} subscribers by the two sizes before: {expected:,.0f} s; measured {measured:,.0f} s, {measured / expected - 1:+.0%}"


def _power(months: Sequence[Month], job: str) -> float:
    """To which power of subscribers a job's seconds grow."""
    small, large = months
    return math.log(large.seconds[job] / small.seconds[job]) / math.log(large.size / small.size)


def measures_told(month: Month) -> Iterator[str]:
    """How good the models of a month are."""
    yield f"{f'models of {month.size:,}':<32}{'share':>8}{'lift':>8}{'AUC':>8}{'calibration error':>20}"
    for model, found in month.models.items():
        rate, lift, auc, error = (found[name] for name in MEASURES)
        yield f"{model:<32}{rate:>8.3f}{lift:>8.2f}{auc:>8.3f}{error:>20.4f}"


def fitted(months: Sequence[Month]) -> dict[str, Line]:
    """The line of each job through two sizes; a job that took no longer with more subscribers is all fixed."""
    small, large = months
    return {job: _line(small.size, small.seconds[job], large.size, large.seconds[job]) for job in large.seconds if job in small.seconds}


def _line(small: int, few: float, large: int, many: float) -> Line:
    per_subscriber = max(0.0, (many - few) / (large - small))
    fixed = many - per_subscriber * large
    return Line(fixed, per_subscriber * 1e6) if fixed > 0 else Line(0.0, many / large * 1e6)


def _month(size: int, options: argparse.Namespace) -> Month:
    made = (options.out / "month" / (f"{size}" if options.seed == SEED else f"{size}-{options.seed}")).resolve()
    folder = made.with_name(f"{made.name}{_REGULAR}") if options.regular else made
    runs = _runs(options)
    if all(_facts(folder, name).exists() for name in runs):
        LOG.info("%s subscribers: as measured before; remove %s to measure it again", f"{size:,}", _facts(folder, _MONTH))
    else:
        _configure(folder, made / "raw", size, options)
        common = ["--conf-dir", str(folder / "conf")]
        if not (made / "made").exists():
            run_job("make_province", *common, "--size", str(size), "--seed", str(options.seed), "--out", str(made / "raw"))
            (made / "made").touch()
        for name, own in runs.items():
            peak = run_job("run_month", *common, "--env", ENV, *own)
            summary = json.loads((folder / "var" / "summary.json").read_text(encoding="utf-8"))
            _facts(folder, name).write_text(json.dumps({**summary, "peak_mb": peak}), encoding="utf-8")
    return _measured(size, {name: json.loads(_facts(folder, name).read_text(encoding="utf-8")) for name in runs})


def _runs(options: argparse.Namespace) -> dict[str, list[str]]:
    """What is run, in its order, and the arguments of each run."""
    before = {_BEFORE: ["--month", MONTH_BEFORE]} if options.regular else {}
    after = {f"{_AGAIN}{options.city}": ["--month", MONTH, "--fresh", "--city", options.city]} if options.city else {}
    return {**before, _MONTH: ["--month", MONTH], **after}


def _facts(folder: Path, run: str) -> Path:
    """Where a run's summary is kept: the next one writes its own over it."""
    return folder / f"{run}.json"


def _measured(size: int, facts: Mapping[str, Any]) -> Month:
    jobs = facts[_MONTH]["jobs"]
    return Month(
        size,
        os.cpu_count() or 1,
        {job["job"]: job["seconds"] for job in jobs},
        {model["model"]: {name: model[name] for name in MEASURES} for model in facts[_MONTH]["models"]},
        facts[_MONTH]["peak_mb"],
        {job["job"]: job.get("shuffled_mb", 0.0) for job in jobs},
        {job["job"]: job.get("spilled_mb", 0.0) for job in jobs},
        {name: round(sum(job["seconds"] for job in run["jobs"]), 1) for name, run in facts.items() if name != _MONTH},
    )


def _configure(folder: Path, raw: Path, size: int, options: argparse.Namespace) -> None:
    for part in (options.conf_dir, options.conf_dir.resolve().parent / "mlflow"):
        shutil.copytree(part, folder / part.name, dirs_exist_ok=True)
    var = folder / "var"
    environment = {
        "source": "province", "data": str(raw), "var": str(var),
        "catalog": {"by": "path", "root": str(var / "tables")},
        "mlflow": {"tracking_uri": f"sqlite:///{var}/mlflow.db", "artifacts": f"{var}/mlartifacts", "experiment": ENV},
        "pseudonym": {"create": True, "key_file": str(folder / "pseudonym.key")},
        "spark": {
            "spark.master": "local[*]", "spark.driver.memory": options.memory, "spark.checkpoint.dir": str(var / "checkpoints"),
            "spark.sql.shuffle.partitions": str(max(4, size // CUSTOMERS_A_PARTITION)),
        },
    }  # fmt: skip
    shutil.rmtree(var, ignore_errors=True)  # half a month that a run before left would not be measured
    var.mkdir()
    (folder / "conf" / "env" / f"{ENV}.yml").write_text(json.dumps(environment), encoding="utf-8")


def run_job(name: str, *arguments: str) -> int:
    """A job in a process of its own; the most memory that it held at once, MiB, looked at every second."""
    LOG.info("%s %s", name, " ".join(arguments))
    job = subprocess.Popen([sys.executable, f"jobs/{name}.py", *arguments])
    peak = 0
    while job.poll() is None:
        peak = max(peak, held_mb(job.pid))
        time.sleep(1)
    if job.returncode:
        raise subprocess.CalledProcessError(job.returncode, job.args)
    return peak


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_spark.bench.month", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5], help="subscribers (default: 1e4 1e5)")
    parser.add_argument("--regular", action="store_true", help="a month after another one; without it, the first of all, which loads the whole history")
    parser.add_argument("--city", help="run this city's month once more when all is published")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of the province (default: {SEED}, which models are developed on: take another to judge them)")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the record and of what is run (default: var/bench)")
    parser.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration (default: conf)")
    parser.add_argument("--memory", default="6g", help="Java's memory (default: 6g)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
