"""Hours of the day."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLOCK = re.compile(r"([01]\d|2[0-4]):[0-5]\d")


@dataclass(frozen=True)
class Hours:
    """A span of the day, `begin` included and `end` excluded, local time of the city, as "09:00"."""

    begin: str
    end: str

    def __post_init__(self) -> None:
        wrong = [text for text in (self.begin, self.end) if not _CLOCK.fullmatch(text) or text > "24:00"]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is no time of the day (as in 09:00)")
        if self.begin >= self.end:
            raise ValueError(f"begin {self.begin} must lie before end {self.end}")

    def within(self, other: Hours) -> Hours | None:
        """What both spans share; None if nothing."""
        begin, end = max(self.begin, other.begin), min(self.end, other.end)
        return Hours(begin, end) if begin < end else None
