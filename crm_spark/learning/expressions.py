"""What a SQL expression of a model spec reads."""

from __future__ import annotations

import re

_IDENTIFIER = re.compile(r"`([^`]+)`|\b([a-z_][a-z0-9_]*)\b", re.IGNORECASE)


def mentioned(*expressions: str | None) -> frozenset[str]:
    """Every identifier that stands in the SQL expressions: column names, and more than them (functions, words in quotes); in lower case."""
    return frozenset((quoted or plain).lower() for e in expressions if e for quoted, plain in _IDENTIFIER.findall(e))
