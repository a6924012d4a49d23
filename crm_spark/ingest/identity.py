"""Identifiers as operators write them, brought to one form before they become pseudonyms."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

BLANKS = " \t\r\u00a0\u3000\ufeff\u200b\u200c\u200d\u2060"  # space, NBSP, ideographic space, byte-order mark, zero-width
_FULL_WIDTH = "０１２３４５６７８９＋"
_HALF_WIDTH = "0123456789+"


def trimmed(text: Column) -> Column:
    """The text without blanks of any kind around it; nothing but blanks is null."""
    bare = F.btrim(text, F.lit(BLANKS))
    return F.when(bare != "", bare)


def normalised_number(text: Column) -> Column:
    """A telephone number as it is dialled at home: half-width digits, no blanks, no country code 86; null of null.

    +86, 0086 and 86 go from a mobile number; a landline with a country code gets its trunk 0 back; another country's + becomes 00.
    What is not a number stays as it is: the field's validity rule refuses it.
    """
    bare = F.translate(text, _FULL_WIDTH + BLANKS, _HALF_WIDTH)
    foreign_looking = bare.startswith("+") | bare.startswith("00") | bare.startswith("86")
    return F.when(foreign_looking, _at_home(bare)).when(bare != "", bare)


def _at_home(number: Column) -> Column:
    mobile = F.regexp_replace(number, r"^(?:\+|00)?86(1\d{10})$", "$1")
    landline = F.regexp_replace(mobile, r"^(?:\+|00)860?([2-9]\d{8,10}|10\d{8})$", "0$1")
    home = F.regexp_replace(landline, r"^(?:\+|00)86", "")
    return F.regexp_replace(home, r"^\+", "00")
