"""What the first lines of a text file tell: in which encoding it is, what separates its columns, whether quotes hold line breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SEPARATORS = ",;\t|"
_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class CsvHead:
    """How the file is to be read."""

    encoding: str
    separator: str
    line_breaks_in_quotes: bool


def csv_head(lines: Sequence[bytes]) -> CsvHead | None:
    """None if the lines are no text: neither UTF-8 nor gb18030 (of which GBK is a part), nor marked as UTF-16."""
    raw = b"\n".join(lines).removeprefix(_MARK)
    if raw.startswith(_WIDE_MARKS):
        return CsvHead("UTF-16", _separator(lines[0].decode("UTF-16", errors="ignore")), line_breaks_in_quotes=True)
    encoding = next((e for e in ("UTF-8", "gb18030") if _is_in(raw, e)), None)
    if encoding is None or b"\0" in raw:
        return None
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
