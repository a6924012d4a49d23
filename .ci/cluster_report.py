"""Compare the months that .ci/cluster_proof ran: seconds per job, what was lost with the worker, digests. Fails unless all digests are equal."""

import json
import sys
from collections import Counter
from pathlib import Path

LOST = ("ExecutorLostFailure", "FetchFailed", "Resubmitted")


def main(local: str, one: str, two: str, lost: str) -> int:
    summaries = {run: json.loads(Path("var", run, "summary.json").read_text(encoding="utf-8")) for run in (local, one, two, lost)}
    seconds = {run: {job["job"]: job["seconds"] for job in summary["jobs"]} for run, summary in summaries.items()}
    told = [f"{'seconds':<22}{'1 worker':>10}{'2 workers':>11}{'speed-up':>10}{'1 of 2 lost':>13}"]
    for job in seconds[one]:
        told.append(_line(job, *(seconds[run][job] for run in (one, two, lost))))
    told.append(_line("month", *(sum(seconds[run].values()) for run in (one, two, lost))))
    ends = _ends_of_tasks(Path("var", lost, "events"))
    told.append("tasks of the month with the lost worker: " + ", ".join(f"{count} {reason}" for reason, count in sorted(ends.items())))
    different = [f"{run} {table}" for run, s in summaries.items() for table, d in s["digests"].items() if d != summaries[local]["digests"][table]]
    told.append(f"digests DIFFER: {', '.join(different)}" if different else f"all {len(summaries[local]['digests'])} digests of the {len(summaries)} runs are equal")
    lost_amid = any(ends[reason] for reason in LOST)
    told.extend([] if lost_amid else ["no task was lost with the worker: the kill came too early or too late"])
    sys.stdout.write("\n".join(told) + "\n")
    return int(bool(different) or not lost_amid)


def _line(name: str, one: float, two: float, lost: float) -> str:
    return f"{name:<22}{one:>10.1f}{two:>11.1f}{one / two if two else 1:>10.2f}{lost:>13.1f}"


def _ends_of_tasks(events: Path) -> Counter[str]:
    """How tasks ended, by Spark's own reason."""
    lines = (line for file in sorted(events.rglob("events_*")) for line in file.open(encoding="utf-8") if '"SparkListenerTaskEnd"' in line[:80])
    return Counter(json.loads(line)["Task End Reason"]["Reason"] for line in lines)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
