"""How long the jobs of a month still take, from how long they took the last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass
class Forecast:
    """As long as the last time, times how much slower or faster this run has been so far; `last` has seconds by job."""

    order: Sequence[str]
    last: Mapping[str, float]
    seconds: float = 0.0
    expected: float = 0.0

    def took(self, name: str, seconds: float) -> None:
        """A job is done."""
        if name in self.last:
            self.seconds, self.expected = self.seconds + seconds, self.expected + self.last[name]

    def told(self, name: str) -> str:
        """What is left from the beginning of a job on, in words; nothing where a job has no last time."""
        left = self.order[self.order.index(name) :]
        if not all(n in self.last for n in left):
            return ""
        pace = self.seconds / self.expected if self.expected else 1.0
        return f" (about {max(1, round(pace * sum(self.last[n] for n in left) / 60))} min left)"
