"""Text files as lines, with the place of each line: file, block, and its order in the scan.

Lines are counted here, independently of any parsing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.config.sources import FileConfig
from crm_spark.ingest.files import BLOCK, ORDER, PATH, TEXT, Intake

LINE = "crm__line"
REPLACEMENT = "\ufffd"  # stands for what could not be decoded
_LOW_HALF = 0xFFFFFFFF


def read_lines(intake: Intake, file: FileConfig, paths: Sequence[str]) -> DataFrame:
    """One row per line, decoded, without byte-order mark; blank lines and headers included. Files of several months are one scan."""
    raw = intake.text(paths)
    text = F.decode(F.col(TEXT).cast("binary"), "GBK") if file.encoding == "gbk" else F.make_valid_utf8(TEXT)
    marked = (F.col(BLOCK) == 0) & text.startswith("\ufeff")
    line = F.when(marked, F.substr(text, F.lit(2))).otherwise(text)
    return raw.select(PATH, BLOCK, ORDER, line.alias(LINE), TEXT)


def survey_lines(lines: DataFrame, file: FileConfig) -> DataFrame:
    """One row per file: counts of lines, a content fingerprint, and its header.

    The fingerprint is of the multiset of lines, so their order does not matter; files of any size fit.
    """
    return lines.groupBy(PATH).agg(
        F.count(F.lit(1)).alias("lines"),
        F.count_if(is_blank()).alias("blank"),
        F.count_if(is_undecodable()).alias("undecodable"),
        *_signs_of_utf8(file),
        *multiset_hash(F.xxhash64(LINE)),
        (F.min_by(LINE, F.when(F.col(BLOCK) == 0, F.col(ORDER))) if file.header else F.lit(None).cast("string")).alias("header"),
    )


def multiset_hash(row_hash: Column) -> tuple[Column, Column]:
    """Two sums that together stand for a multiset of 64-bit hashes; neither can overflow."""
    return F.sum(row_hash.bitwiseAND(_LOW_HALF)).alias("low"), F.sum(F.shiftrightunsigned(row_hash, 32)).alias("high")


def _signs_of_utf8(file: FileConfig) -> tuple[Column, ...]:
    """For a file declared GBK: lines that are Chinese in UTF-8, and lines that cannot be UTF-8."""
    if file.encoding == "utf-8":
        return (F.lit(0).alias("chinese_utf8"), F.lit(0).alias("not_utf8"))
    valid = F.is_valid_utf8(TEXT)
    return (F.count_if(valid & F.col(TEXT).rlike("[一-鿿]")).alias("chinese_utf8"), F.count_if(~valid).alias("not_utf8"))


def line_offsets(lines: DataFrame) -> DataFrame:
    """Per block of a file, what `crm__order` lacks to be the line number in the file (the first line is 1)."""
    blocks = lines.groupBy(PATH, BLOCK).agg(F.min(ORDER).alias("first"), F.count(F.lit(1)).alias("count"))
    earlier = Window.partitionBy(PATH).orderBy(BLOCK).rowsBetween(Window.unboundedPreceding, -1)
    before = F.coalesce(F.sum("count").over(earlier), F.lit(0))
    return blocks.select(PATH, BLOCK, (before - F.col("first") + 1).alias("crm__offset"))


def is_blank() -> Column:
    """True for a line of nothing but spaces, tabs and carriage returns."""
    return F.ltrim(LINE, F.lit(" \t\r")) == ""  # from the left alone: it stops at the first other character


def is_undecodable() -> Column:
    """True for a line with bytes that its encoding does not know."""
    return F.contains(F.col(LINE), F.lit(REPLACEMENT))
