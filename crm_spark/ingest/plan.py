"""What a run has to read: surveyed files compared with what the visible tables were made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crm_spark import __version__
from crm_spark.config.sources import MappingConfig, SourceConfig
from crm_spark.ingest.ledger import Account, account
from crm_spark.ingest.listing import Layout
from crm_spark.ingest.pseudonym import PseudonymKey
from crm_spark.ingest.staging import Part, parts
from crm_spark.ingest.survey import Surveyed

SAME_CONTENT = "same content as {}"


@dataclass(frozen=True)
class Feed:
    """One mapping with the files it reads, for the months of the run; `whole_hash` is the mapping's hash in a run of all cities."""

    label: str
    mapping: MappingConfig
    mapping_hash: str
    whole_hash: str
    layout: Layout
    months: tuple[str, ...]
    files: tuple[Surveyed, ...]

    def files_of(self, month: str) -> list[Surveyed]:
        """The month's files; a file that holds all months is every month's."""
        return [f for f in self.files if f.file.month in (None, month)] if month in self.months else []

    def doubles_of(self, month: str) -> dict[str, str]:
        """Files of the month with the content of an earlier-named one: name -> that one's name. Empty parts are not doubles."""
        first: dict[str, str] = {}
        named = [(f.file.name, first.setdefault(f.fingerprint, f.file.name)) for f in self.files_of(month) if f.lines]
        return {name: original for name, original in named if name != original}

    def told(self, month: str) -> list[Account]:
        """Accounts of what is known before parsing: refused files and doubles."""
        doubles = self.doubles_of(month)
        refused = [account(self.label, month, f, self.mapping_hash, "refused", f.problem) for f in self.files_of(month) if f.problem]
        double = [
            account(self.label, month, f, self.mapping_hash, "duplicate_file", SAME_CONTENT.format(doubles[f.file.name]))
            for f in self.files_of(month) if f.file.name in doubles and not f.problem
        ]  # fmt: skip
        return [*refused, *double]

    def parts(self, months: Sequence[str]) -> Iterator[Part]:
        """What is to be parsed for these months: the files that are neither refused nor doubles."""
        mine = [m for m in months if m in self.months]
        left_out = {(a.file, a.month) for month in mine for a in self.told(month)}
        wanted = [f for f in self.files if mine and (f.file.name, f.file.month or mine[0]) not in left_out]
        return parts(self.label, self.mapping, self.layout, wanted, mine)


def feeds(
    source: SourceConfig, surveyed: Sequence[tuple[Layout, Sequence[Surveyed]]], key: PseudonymKey, cities: Sequence[str] | None
) -> dict[str, list[Feed]]:
    """Feeds by target table, in the order of the source's mappings."""
    found: dict[str, list[Feed]] = {}
    for mapping in source.mappings:
        for layout, files in ((a, f) for a, f in surveyed if any(m is mapping for m in a.mappings)):
            months = tuple(m for m in source.months_of(mapping) if m in layout.months)
            own, whole = (mapping_hash(source, mapping, key, scope) for scope in (cities, None))
            feed = Feed(source.label_of(mapping), mapping, own, whole, layout, months, tuple(files))
            found.setdefault(mapping.table, []).append(feed)
    return found


def months_fed(fed: Sequence[Feed]) -> list[str]:
    """Months for which at least one of the feeds delivers, ascending."""
    return sorted({m for f in fed for m in f.months})


def is_settled(label: str, key: PseudonymKey, before: Sequence[Account]) -> bool:
    """True if the visible table's month was made (`before`) with files of this mapping, too, under the key of today: those may be gone."""
    return any(a.mapping == label for a in before) and all(a.mapping_hash.startswith(key.check) for a in before)


def is_unchanged(month: str, fed: Sequence[Feed], before: Sequence[Account]) -> bool:
    """True if the visible table's month was made of exactly these files by these mappings (`before`), in the same run of cities or in one of all."""
    was = {(a.mapping, a.file, a.fingerprint, a.mapping_hash) for a in before}
    same = {(f.label, s.file.name, s.fingerprint, f.mapping_hash) for f in fed for s in f.files_of(month)}
    whole = {(f.label, s.file.name, s.fingerprint, f.whole_hash) for f in fed for s in f.files_of(month)}
    return bool(was) and was in (same, whole)


def mapping_hash(source: SourceConfig, mapping: MappingConfig, key: PseudonymKey, cities: Sequence[str] | None) -> str:
    """Hash of all that decides what becomes of a file besides its content."""
    fields = [(f.name, f.sql_type, f.required, f.valid, f.pseudonym) for f in source.table_of(mapping).fields]
    scope = (source.operator, mapping, source.files[mapping.file], fields, key.check, key.version, key.split_salt, cities, __version__)
    return f"{key.check}-{hashlib.sha256(repr(scope).encode()).hexdigest()[:16]}"
