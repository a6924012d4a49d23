"""Bring the new call files of a month in: append their calls, and bring the month's call summaries up to date from these calls alone.

Takes the files of raw.voice_cdr for --month that have come since the last run, however many days they tell of, and judges them as
ingest does. Their calls are added to the sums of the month so far (middle.call_state), from which voice_summary and contact_circle
are made for the subscribers of the month's register, or of the last one before it. Calls that were loaded before are not read again, but
for their keys on the days that the new ones tell of. Only where that would not give what ingest gives is the whole month read,
and the log says why: a file has changed or gone, the mapping or the key is another, new calls contradict earlier ones, or a
run was stopped after it had written calls. The month's run finds the calls unchanged and takes the sums.

Nothing is visible before the publication at the end; a run that finds nothing new publishes nothing. Exit codes: 0 done, 1 failed,
2 bad arguments or configuration, 75 another run holds the month.

    spark-submit jobs/run_day.py --env prod --month 2025-03
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.customer.calls import months_told, state_of_calls, state_of_states, totals_of_state
from crm_spark.customer.circle import build_contact_circle
from crm_spark.customer.voice import build_voice_summary
from crm_spark.errors import ConfigError, SourceError
from crm_spark.frames import literal_frame
from crm_spark.ingest.arrivals import Arrivals, arrivals, known_files
from crm_spark.ingest.conform import REASONS
from crm_spark.ingest.duplicates import as_loaded, good_rows
from crm_spark.ingest.files import Intake
from crm_spark.ingest.ledger import Account
from crm_spark.ingest.listing import Layout, layouts
from crm_spark.ingest.plan import Feed, feeds
from crm_spark.ingest.pseudonym import PseudonymKey, load_key
from crm_spark.ingest.staging import Part
from crm_spark.ingest.survey import guarded, survey
from crm_spark.job import Job, carry_out, entry
from crm_spark.loading import Addition, ContradictionError, Outcome, accounts_before, conclude, load, some, write_refused
from crm_spark.publication import publish
from crm_spark.runs import load_versions
from crm_spark.tables.call_state import CALL_STATE
from crm_spark.tables.middle import CONTACT_CIRCLE, USER_BASIC, VOICE_SUMMARY
from crm_spark.tables.raw import QUARANTINE, VOICE_CDR
from crm_spark.threads import at_once

KEPT_OUT = ("ingest", "build_summaries")  # jobs that write the same tables
STEP = "append_calls"


def run(job: Job) -> None:
    """The new calls, then the publication."""
    if job.cities:
        raise ConfigError("--city: files of a day hold calls of any city; run the day without it")
    with job.locks.job(KEPT_OUT[0], job.month, None), job.locks.job(KEPT_OUT[1], job.month, None):
        job.seen = load_versions(job.catalog, job.run_id)  # what was published while others held the month
        carry_out(replace(job, name=STEP, commits=[], _told=[]), append_calls)
        if job.seen.own:
            job.log.info("published %d (city, month, table) of run %s", publish(job), job.run_id)


def append_calls(job: Job) -> None:
    """Calls, sums and summaries; the calls last, because only they cannot be written twice."""
    key = load_key(job.config.env.pseudonym)
    with Intake(job.spark).settings():
        before = accounts_before(job).get((VOICE_CDR.full_name, job.month), ())
        new = arrivals(job.month, _fed(job, key, before), before)
        if not (new.feeds or new.doubles or new.whole):
            job.log.info("    unchanged %s: no new file in %s", VOICE_CDR.full_name, job.month)
            return
        if not new.whole and not job.is_newest(VOICE_CDR):
            new = Arrivals(whole="its newest version is not the published one")
        conclude(job, _load_whole(job, key, new.whole) if new.whole else _load_new(job, key, new, before))


def _fed(job: Job, key: PseudonymKey, before: Sequence[Account]) -> list[Feed]:
    """The month's call files by mapping; of those whose account is known the content is not read."""
    source = job.config.source
    found = [(layout, known_files(before, [source.label_of(m) for m in layout.mappings])) for layout in _layouts(job)]
    surveyed = [(layout, survey(Intake(job.spark), layout, known=known)) for layout, known in found]
    fed = feeds(source, surveyed, key, job.cities)[VOICE_CDR.full_name]
    conclude(job, [a for f in fed for a in f.told(job.month) if a.status == "refused"])
    return fed


def _layouts(job: Job) -> list[Layout]:
    source = job.config.source
    mine = [m for m in source.mappings if m.table == VOICE_CDR.full_name and job.month in source.months_of(m)]
    if not mine:
        raise SourceError(f"source '{source.name}' maps no calls ({VOICE_CDR.full_name}) of {job.month}")
    of_calls = ((layout, tuple(m for m in mine if m in layout.mappings)) for layout in layouts(source, job.config.env.data, job.month))
    return [replace(layout, months=(job.month,), mappings=mappings) for layout, mappings in of_calls if mappings]


def _load_new(job: Job, key: PseudonymKey, new: Arrivals, before: Sequence[Account]) -> list[Account]:
    """Accounts of the new files, and of the earlier ones as unchanged."""
    found, kept = _parts(job, new.feeds), [replace(a, status="unchanged") for a in before]
    job.log.info("    new %s", some([f.file.name for p in found for f in p.files]) or "files of no new content")
    if not found:
        _add(job, literal_frame(job.spark, [], VOICE_CDR.struct), None)
    try:
        outcome = _loaded(job, key, new.feeds, found, Addition(partial(_there, job), partial(_add, job))) if found else Outcome([])
    except ContradictionError as problem:
        return _load_whole(job, key, str(problem))
    return [*outcome.accounts, *_doubles(job, new.feeds), *new.doubles, *kept]


def _load_whole(job: Job, key: PseudonymKey, reason: str) -> list[Account]:
    """Accounts of all files of the month."""
    job.log.info("    the whole month is read: %s", reason)
    fed = _fed(job, key, ())
    outcome = _loaded(job, key, fed, _parts(job, fed))
    if outcome.is_loaded:
        write_refused(job, [outcome.refused] if outcome.refused else [], [(f.label, job.month) for f in fed], [job.month], None)
        job.write(state_of_calls(job.read(VOICE_CDR)), CALL_STATE)
        _summarize(job)
    return [*outcome.accounts, *_doubles(job, fed)]


def _parts(job: Job, fed: Sequence[Feed]) -> list[Part]:
    return [replace(p, number=i) for i, p in enumerate(p for f in fed for p in f.parts([job.month]))]


def _doubles(job: Job, fed: Sequence[Feed]) -> list[Account]:
    return [a for f in fed for a in f.told(job.month)]


def _loaded(job: Job, key: PseudonymKey, fed: Sequence[Feed], found: Sequence[Part], added: Addition | None = None) -> Outcome:
    return guarded(lambda: load(job, key, VOICE_CDR, found, [job.month], {f.label: f.mapping_hash for f in fed}, added))


def _there(job: Job, read: DataFrame) -> DataFrame:
    """The month's calls on the days that new ones tell of; ContradictionError if a new one has the key of calls that were refused for it."""
    if job.month in job.months_of(QUARANTINE):
        refused = job.read(QUARANTINE).where(F.substring_index("mapping", "/", 1) == VOICE_CDR.full_name)
        if not good_rows(read, VOICE_CDR, refused.where(F.col("key_hash").isNotNull()).select("key_hash")).isEmpty():
            raise ContradictionError("new calls have the key of others that were refused because they contradict one another")
    days = [row["day"] for row in read.where(F.col(REASONS).isNull()).select("day").distinct().collect()]
    return as_loaded(job.read(VOICE_CDR).where(F.col("day").isin(*days)))


def _add(job: Job, rows: DataFrame, refused: DataFrame | None) -> int:
    """Sums, summaries and calls with these on top; of the cities they were filed in alone, if their sums are there."""
    if refused is not None:
        write_refused(job, [refused], [], [job.month], _cities(refused))
    together = job.seen.made_together(VOICE_CDR, CALL_STATE, job.month)
    cities = _cities(rows) if together else []
    if together:
        _add_sums(job, rows, cities)
    else:
        job.log.info("    the calls of the month so far are read once: their sums are not there")
        job.write(state_of_calls(job.read(VOICE_CDR).unionByName(rows)), CALL_STATE)
    _summarize(job)
    return job.add(rows, VOICE_CDR, cities)


def _add_sums(job: Job, rows: DataFrame, cities: Sequence[str]) -> None:
    before = job.read(CALL_STATE).where(F.col("city").isin(*cities) if cities else F.lit(True))
    new = state_of_calls(rows).persist()  # counted before it is added
    job.write(state_of_states(before.unionByName(new)), CALL_STATE, cities=cities)
    new.unpersist()


def _cities(rows: DataFrame) -> list[str]:
    return sorted(row["city"] for row in rows.select("city").distinct().collect())


def _register(job: Job, months: Sequence[str]) -> DataFrame:
    """The subscribers of each city by its newest register, as of the run's month; who has moved counts where the newer register has them."""
    found, cities = literal_frame(job.spark, [], USER_BASIC.struct), set[str]()
    for month in reversed(months):
        new = sorted((job.seen.cities(USER_BASIC, month) or set()) - cities)
        if new:
            older = job.read(USER_BASIC, [month]).where(F.col("city").isin(*new))
            found = found.unionByName(older.join(found.select("user_id"), on="user_id", how="left_anti"), allowMissingColumns=True) if cities else older
            cities.update(new)
    return found.withColumn("month", F.lit(job.month))


def _summarize(job: Job) -> None:
    """Both summaries of the month so far, from its sums."""
    registers = [m for m in job.months_of(USER_BASIC) if m <= job.month]
    if not registers:
        job.log.info("    no summaries: no register (%s) is published yet", USER_BASIC.full_name)
        return
    totals = totals_of_state(job.read(CALL_STATE), _register(job, registers)).persist()
    told = months_told(totals)
    built = ((VOICE_SUMMARY, build_voice_summary(totals, told)), (CONTACT_CIRCLE, build_contact_circle(totals, told)))
    at_once(job.spark, lambda of: job.write(of[1], of[0]), built)
    totals.unpersist()


main = entry(run)

if __name__ == "__main__":
    raise SystemExit(main())
