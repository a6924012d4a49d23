"""Unary tests: what one cell of a decision table demands of one value (DMN 1.3, S-FEEL, the part planners need).

`-` or nothing        anything, NULL too
`high, mid-high`      one of a list; text may go bare, text with a comma or a bracket is quoted: `"migrant worker, mid-range"`
`null`                NULL; `"null"` is the text
`< 12` `>= .5` `!= 3` a comparison; of texts, which then stand in quotes, by the code points of their signs: `< "b"`
`[86..100)`           a range; `]a..b[` means `(a..b)`; of texts too: `["a".."f")`
`not(low, null)`      neither of these

NULL (and NaN) matches only `-` and a listed `null`: never a comparison, a range, `!=` or `not(...)`. So `not(null)` is every
value that is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from crm_spark.config.decisions import Kind

Value = Decimal | str | bool | date


class CellError(ValueError):
    """A cell that says nothing a table can use; the message says why."""


@dataclass(frozen=True)
class Anything:
    """Matches every value and NULL."""


@dataclass(frozen=True)
class Equal:
    """Matches one value; None is NULL."""

    value: Value | None


@dataclass(frozen=True)
class Between:
    """Matches an interval; an end that is None is open-ended."""

    low: Value | None
    low_included: bool
    high: Value | None
    high_included: bool


@dataclass(frozen=True)
class OneOf:
    """Matches what any of the tests matches."""

    tests: tuple[Test, ...]


@dataclass(frozen=True)
class NoneOf:
    """Matches a value that is there and that none of the tests matches."""

    tests: tuple[Test, ...]


Test = Anything | Equal | Between | OneOf | NoneOf


def parse_cell(text: str, kind: Kind) -> Test:
    """The test that a cell writes for an input of type `kind`; CellError tells what is wrong with it."""
    cell = text.strip()
    if cell in ("", "-"):
        return Anything()
    scanner = _Scanner(cell, kind)
    tests = scanner.tests()
    scanner.finish()
    return tests[0] if len(tests) == 1 else OneOf(tests)


def points_of(test: Test) -> frozenset[Value]:
    """Every value at which the test's answer may change."""
    if isinstance(test, (OneOf, NoneOf)):
        return frozenset().union(*map(points_of, test.tests))
    ends = (test.value,) if isinstance(test, Equal) else (test.low, test.high) if isinstance(test, Between) else ()
    return frozenset(end for end in ends if end is not None)


def matches_null(test: Test) -> bool:
    """True if the test holds of a customer without a value."""
    if isinstance(test, OneOf):
        return any(map(matches_null, test.tests))
    return isinstance(test, Anything) or (isinstance(test, Equal) and test.value is None)


_NOT = re.compile(r"not\s*\(", re.IGNORECASE)
_OPERATOR = re.compile(r"<=|>=|!=|<|>|=")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_DATE = re.compile(r'date\s*\(\s*"([^"]*)"\s*\)', re.IGNORECASE)
_BARE = re.compile(r'(?:(?!\.\.)[^,()\[\]"<>=])+')
_BARE_TEXT = re.compile(r'[^,()\[\]"<>]+')
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d+)?|\.\d+)", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FULL_WIDTH = "，；（）［］“”＜＞＝－"
_MOST_DIGITS = 38  # of a Spark DECIMAL


class _Scanner:
    """Reads tests from left to right; knows where it stands."""

    def __init__(self, text: str, kind: Kind) -> None:
        self._text = text
        self._kind = kind
        self._at = 0

    def tests(self) -> tuple[Test, ...]:
        found = [self._test()]
        while self._take(","):
            found.append(self._test())
        return tuple(found)

    def finish(self) -> None:
        if rest := self._text[self._at :].strip():
            hint = "a range needs brackets, as in [1..5]" if rest.startswith("..") else "quote a text that holds a comma, bracket or quote"
            raise CellError(f"'{rest}' is left over; {hint}")

    def _test(self) -> Test:
        if self._match(_NOT):
            return self._negation()
        if operator := self._match(_OPERATOR):
            has_order = operator.group() not in ("=", "!=")
            return _compared(operator.group(), self._end() if has_order else self._value(), self._kind)
        if opening := self._take("[", "(", "]"):
            return self._range(opening)
        return Equal(self._value())

    def _negation(self) -> Test:
        tests = self.tests()
        if not self._take(")"):
            raise CellError(f"')' is missing after '{self._text[: self._at].strip()}'")
        return NoneOf(tests)

    def _range(self, opening: str) -> Test:
        if self._kind == "boolean":
            raise CellError("a range needs a number, a date or a text, the column is boolean")
        low = self._end()
        if not self._take(".."):
            raise CellError("'..' is missing in the range; write [1..5]")
        high = self._end()
        closing = self._take("]", ")", "[")
        if not closing:
            raise CellError("the range is not closed; end it with ] or )")
        return _interval(low, opening == "[", high, closing == "]")

    def _end(self) -> Value | None:
        """A value with an order; bare, a text could hold the dots of a range."""
        self._skip_blanks()
        if self._kind == "string" and self._text[self._at : self._at + 1] not in ('"', ""):
            raise CellError("a text that is compared stands in quotes, as in < \"b\", and so does one that begins with a bracket")
        return self._value()

    def _value(self) -> Value | None:
        if stated := self._match(_DATE):
            return _literal(stated.group(1), self._kind, is_date=True)
        if quoted := self._match(_QUOTED):
            return _literal(quoted.group(1).replace('""', '"'), self._kind, is_text=True)
        bare = self._match(_BARE_TEXT if self._kind == "string" else _BARE)
        token = bare.group().strip() if bare else ""
        if token in ("", "-"):
            raise CellError(f"a value is missing in '{self._text}'")
        return _literal(token, self._kind)

    def _take(self, *symbols: str) -> str:
        self._skip_blanks()
        found = next((s for s in symbols if self._text.startswith(s, self._at)), "")
        self._at += len(found)
        return found

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip_blanks()
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1


def _compared(operator: str, value: Value | None, kind: Kind) -> Test:
    if operator == "=":
        return Equal(value)
    if operator == "!=":
        return NoneOf((Equal(value),))
    if kind == "boolean" or value is None:
        what = "null has no order" if value is None else f"'{operator}' needs a number, a date or a text, the column is {kind}"
        raise CellError(f"{what}; list the values, or not(...)")
    included = operator.endswith("=")
    return Between(None, False, value, included) if operator[0] == "<" else Between(value, included, None, False)


def _interval(low: Value | None, low_included: bool, high: Value | None, high_included: bool) -> Test:
    if low is None or high is None:
        raise CellError("null cannot bound a range")
    if low > high:  # type: ignore[operator]  # both are of the column's kind
        raise CellError(f"the range starts at {low}, after its end {high}")
    if low == high and not (low_included and high_included):
        raise CellError(f"the range around {low} holds nothing")
    return Between(low, low_included, high, high_included)


def _literal(token: str, kind: Kind, is_text: bool = False, is_date: bool = False) -> Value | None:
    if not is_text and not is_date and token.lower() == "null":
        return None
    shown = f'"{token}"' if is_text else f'date("{token}")' if is_date else token
    if kind == "string" and not is_date:
        return _text(token, is_text)
    if kind == "date" and not is_text and _ISO_DATE.fullmatch(token):
        return _date(token)
    if kind == "number" and not is_text and not is_date and _NUMBER.fullmatch(token):
        return _number(token)
    if kind == "boolean" and not is_text and token.lower() in ("true", "false"):
        return token.lower() == "true"
    raise CellError(f"'{shown}' is not {_WANTED[kind]}")


_WANTED: dict[Kind, str] = {
    "number": "a number (as in 12, -0.5, .5; no thousands separator, no leading zero)",
    "string": "a text",
    "boolean": "true or false",
    "date": "a date (yyyy-mm-dd)",
}


def _text(token: str, is_quoted: bool) -> str:
    wide = [c for c in _FULL_WIDTH if c in token]
    if wide and not is_quoted:
        raise CellError(f"'{token}' holds the full-width sign {wide[0]}; use the plain one, or quote the text if it is meant")
    return token


def _number(token: str) -> Decimal:
    if sum(c.isdigit() for c in token) > _MOST_DIGITS:
        raise CellError(f"'{token}' has more than {_MOST_DIGITS} digits")
    return Decimal(token)


def _date(token: str) -> date:
    try:
        return date.fromisoformat(token)
    except ValueError:
        raise CellError(f"'{token}' is not a day of the calendar") from None
