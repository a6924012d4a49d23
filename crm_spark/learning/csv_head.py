"""What the first lines of a text file tell: in which encoding it is, what separates its columns, whether quotes hold line breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SEPARATORS = ",;\t|"
_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LETTER = re.compile("[A-Za-z]")
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class CsvHead:
    """How the file is to be read."""

    encoding: str
    separator: str
    line_breaks_in_quotes: bool


def csv_head(lines: Sequence[bytes]) -> CsvHead | None:
    """None if the lines are no text: neither UTF-8, gb18030 (of which GBK is a part) nor windows-1252 (of which Latin-1's letters are a part), nor
    marked as UTF-16."""
    raw = b"\n".join(lines).removeprefix(_MARK)
    if raw.startswith(_WIDE_MARKS):
        return CsvHead("UTF-16", _separator(lines[0].decode("UTF-16", errors="ignore")), line_breaks_in_quotes=True)
    encoding = next((e for e in ("UTF-8", "gb18030", "windows-1252") if _is_in(raw, e)), None)
    if encoding is None or b"\0" in raw:
        return None
    if encoding == "gb18030" and not _is_chinese(raw.decode(encoding)) and _is_in(raw, "windows-1252"):
        encoding = "windows-1252"
    text = raw.decode(encoding).split("\n")
    return CsvHead(encoding, _separator(text[0]), any(line.count('"') % 2 for line in text))


def _separator(header: str) -> str:
    """What stands most often between the names; a comma if nothing does."""
    bare = _QUOTED.sub("", header)
    return max(SEPARATORS, key=bare.count)


def _is_in(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(text: str) -> bool:
    """Signs of Chinese stand among themselves; a letter of Western Europe, taken for half a sign, stands amid a word of plain letters."""
    places = [place for place, sign in enumerate(text) if sign > "\x7f"]
    amid = sum(any(_LETTER.match(text[beside : beside + 1]) for beside in (place - 1, place + 1) if beside >= 0) for place in places)
    return amid <= len(places) / 2
