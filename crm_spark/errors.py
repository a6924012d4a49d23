"""Errors a user can act on: each names where it is, what is wrong, and the mend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_LONG_NUMBER = re.compile(r"\d{9,}")


class CrmError(Exception):
    """A failure told in one line; the job ends with `exit_code`."""

    exit_code = 1


class ConfigError(CrmError):
    """Wrong arguments or configuration: every problem found, one a line."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class ContractError(CrmError):
    """A frame does not fit the table it is to be written to."""


class SourceError(CrmError):
    """A mapped source is absent, empty, damaged or does not reconcile."""


class NotPublishedError(CrmError):
    """A job needs (table, month) that neither its own run nor a published one has written, or a version that is kept no more."""


class ReplayError(CrmError):
    """A past decision cannot be told again, or comes out otherwise."""


class RefusedModelError(CrmError):
    """A version of a model is not in the registry, not of that model, or not what was recorded of it."""


class LockedError(CrmError):
    """Another run holds the same (job, city, month)."""

    exit_code = 75


def one_line(error: BaseException) -> str:
    """The first line of an error, without a Spark stack; of one that Java threw, what Java says. It may quote a value: no number as long as a phone's is told."""
    told = (str(getattr(error, "java_exception", error)).strip().splitlines() or [type(error).__name__])[0]
    return _LONG_NUMBER.sub("(a long number)", told[:500])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known word, else the known words, shortened."""
    words = sorted(known)
    near = get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (known: {', '.join(words[:12])}{', ...' if len(words) > 12 else ''})" if words else ""
