"""Which files of a month have come since its table was written, if those that it was made of are all still there as they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from crm_spark.ingest.ledger import Account, account
from crm_spark.ingest.plan import SAME_CONTENT, Feed
from crm_spark.ingest.survey import Known, Surveyed


@dataclass(frozen=True)
class Arrivals:
    """Feeds of the new files alone, and the accounts of those whose content is loaded already; or why the whole month is to be read."""

    feeds: tuple[Feed, ...] = ()
    doubles: tuple[Account, ...] = ()
    whole: str | None = None


def known_files(before: Sequence[Account], labels: Collection[str]) -> Known:
    """Files that all these mappings have read, as long as neither bytes nor last change are others."""
    readers: dict[tuple[str, int, int | None], dict[str, tuple[int, int, str]]] = defaultdict(dict)
    for a in before:
        if a.bytes is not None and a.modified is not None:
            readers[a.file, a.bytes, a.modified][a.mapping] = (a.lines, a.blank, a.fingerprint)
    return {file: next(iter(told.values())) for file, told in readers.items() if told.keys() >= set(labels)}


def arrivals(month: str, fed: Sequence[Feed], before: Sequence[Account]) -> Arrivals:
    """What is new in comparison with the accounts of the visible month."""
    whole = _reason(month, fed, before)
    if whole:
        return Arrivals(whole=whole)
    was = {(a.mapping, a.file) for a in before}
    loaded = {(a.mapping, a.fingerprint): a.file for a in before if a.lines}
    new = [(f, s) for f in fed for s in f.files_of(month) if (f.label, s.file.name) not in was]
    doubles = [_double(f, s, month, loaded[f.label, s.fingerprint]) for f, s in new if (f.label, s.fingerprint) in loaded]
    fresh = [(f, [s for g, s in new if g is f and (f.label, s.fingerprint) not in loaded]) for f in fed]
    narrowed = [replace(f, files=tuple(files), layout=f.layout.of_these(s.file for s in files)) for f, files in fresh if files]
    return Arrivals(tuple(narrowed), tuple(doubles))


def _double(feed: Feed, found: Surveyed, month: str, original: str) -> Account:
    return account(feed.label, month, found, feed.mapping_hash, "duplicate_file", SAME_CONTENT.format(original))


def _reason(month: str, fed: Sequence[Feed], before: Sequence[Account]) -> str | None:
    """The first reason why new files cannot simply be added."""
    if not before:
        return "nothing of it is loaded yet"
    if any(s.file.month is None or f.layout.file.format == "table" for f in fed for s in f.files_of(month)):
        return "it does not come in files of a month"
    return next(_changes(month, fed, before), None)


def _changes(month: str, fed: Sequence[Feed], before: Sequence[Account]) -> Iterator[str]:
    there = {(f.label, s.file.name): (s.fingerprint, f.mapping_hash) for f in fed for s in f.files_of(month)}
    for a in sorted(before, key=lambda a: a.file):
        if (a.mapping, a.file) not in there:
            yield f"{a.file} is gone"
        elif there[a.mapping, a.file][1] != a.mapping_hash:
            yield "mapping, key, code or cities are others than when it was loaded"
        elif there[a.mapping, a.file][0] != a.fingerprint:
            yield f"{a.file} has changed"
