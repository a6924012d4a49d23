"""Features that the trainer makes itself, of columns whose meaning it does not know: each has words for planners.

A change means more where the level is low; use is judged against what it was before; two columns that go together, or two days, tell by what
sets them apart; how usual a level is and that much is not known are traits too.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crm_spark.learning.encode import Encoding
from crm_spark.learning.table import Columns, Profile, Source

MOST_DERIVED = 150
_SIGNED = (0.05, 0.95)  # share of negative values of a column that tells a change
_MOST_MONTHS = 24
_DATES = 6  # the most useful ones, of which every two make a span
_PAIRED = 12  # the most useful numbers, of which every two make a ratio
_NUMBER = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(0[1-9]|1[0-2])(?!\d)|\d+")  # year and month, or another number


@dataclass(frozen=True)
class Feature:
    """A number of a row: SQL over clean columns, null if missing, and what it is in words."""

    id: str
    words: str
    sql: str


def own_features(columns: Columns, encoded: Mapping[str, str]) -> list[Feature]:
    """The columns as they are; `encoded` maps the encoded column of a text to the text's name."""
    numbers = [Feature(s.id, s.column, s.id) for s in columns.numbers]
    return numbers + [Feature(name, column, name) for name, column in encoded.items()]


def derived_features(columns: Columns, useful: Sequence[str], encoded: Sequence[Encoding] = ()) -> list[Feature]:
    """At most MOST_DERIVED candidates; `useful` are ids of numbers, the most useful first."""
    by_use = sorted(columns.numbers, key=lambda s: useful.index(s.id) if s.id in useful else len(useful))
    numbers = [s for s in by_use if s.kind == "number"]
    dates = [s for s in by_use if s.kind == "date"]
    found = [*_missing(columns), *_series(columns.numbers, columns.profiles)][: MOST_DERIVED // 2]
    found += [*_spans(dates[:_DATES]), *_usual(encoded)][: MOST_DERIVED // 4]
    found += [*_changes(numbers, columns.profiles), *_pairs(numbers[:_PAIRED], columns.profiles)]
    distinct: dict[str, str] = {}
    for words, sql in found:
        distinct.setdefault(words, sql)
    return [Feature(f"_d{i}", words, sql) for i, (words, sql) in enumerate(itertools.islice(distinct.items(), MOST_DERIVED))]


def _missing(columns: Columns) -> Iterator[tuple[str, str]]:
    holes = [s.id for s in columns.sources if s.kind == "text" or columns.profiles[s.id].filled < 1]
    if len(holes) > 1:
        all_of_them = ", ".join(f"CAST({i} AS string)" for i in holes)
        yield "number of columns without a value", f"CAST({len(holes)} - size(array_compact(array({all_of_them}))) AS double)"


def _spans(dates: Sequence[Source]) -> Iterator[tuple[str, str]]:
    for one, other in itertools.combinations(dates, 2):
        yield f"days from {one.column} to {other.column}", f"{other.id} - {one.id}"


def _usual(encoded: Sequence[Encoding]) -> Iterator[tuple[str, str]]:
    """Of a few levels the level itself tells as much."""
    for encoding in encoded:
        if encoding.out_of_fold:
            yield f"share of rows with the same {encoding.source.column}", encoding.size_sql


def _series(numbers: Sequence[Source], profiles: Mapping[str, Profile]) -> Iterator[tuple[str, str]]:
    """The last of several months against the mean of the earlier ones; months are known by a number in names that are else the same."""
    stems: dict[str, dict[int, Source]] = defaultdict(dict)
    for source in numbers:
        for found in _NUMBER.finditer(source.column):
            month = 12 * int(found[1]) + int(found[2]) if found[1] else int(found[0])
            stems[f"{source.column[: found.start()]}#{source.column[found.end() :]}"][month] = source
    spans: dict[tuple[int, ...], list[dict[int, Source]]] = defaultdict(list)
    for months in stems.values():
        spans[tuple(sorted(months))].append(months)
    for span, series in spans.items():
        if len(series) > 1 and 1 < len(span) <= _MOST_MONTHS and span[-1] - span[0] == len(span) - 1:
            for months in series:
                yield from _against_earlier([months[m] for m in span], profiles)


def _against_earlier(months: Sequence[Source], profiles: Mapping[str, Profile]) -> Iterator[tuple[str, str]]:
    *earlier, last = months
    mean = f"({' + '.join(s.id for s in earlier)}) / {len(earlier)}"
    names = ", ".join(s.column for s in earlier)
    yield f"{last.column} less the mean of {names}", f"{last.id} - {mean}"
    yield f"{last.column} as a multiple of the mean of {names}", f"{last.id} / (abs({mean}) + {_unit(profiles[last.id])})"


def _changes(numbers: Sequence[Source], profiles: Mapping[str, Profile]) -> Iterator[tuple[str, str]]:
    changes = [s for s in numbers if _SIGNED[0] < profiles[s.id].negative < _SIGNED[1]]
    levels = [s for s in numbers if profiles[s.id].negative <= _SIGNED[0] and profiles[s.id].high > 2]
    for level, change in itertools.islice(itertools.product(levels, changes), MOST_DERIVED // 2):
        yield f"{change.column} against the level of {level.column}", _ratio(change, level, profiles)


def _pairs(numbers: Sequence[Source], profiles: Mapping[str, Profile]) -> Iterator[tuple[str, str]]:
    for one, other in itertools.combinations(numbers, 2):
        yield f"{one.column} per {other.column}", _ratio(one, other, profiles)


def _ratio(part: Source, whole: Source, profiles: Mapping[str, Profile]) -> str:
    return f"{part.id} / (abs({whole.id}) + {_unit(profiles[whole.id])})"


def _unit(profile: Profile) -> str:
    """Added to a level, so that none is nothing: one, or less where the column's values are smaller."""
    return f"{min(1.0, profile.mean_size) or 1.0:.6g}D"
