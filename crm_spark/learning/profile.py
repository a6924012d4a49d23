"""What columns hold, found out where the rows are: a few numbers per column come back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

from crm_spark.learning.days import days_told

MISSING_WORDS = (
    "", "na", "n/a", "n.a.", "nan", "nat", "nil", "none", "null", "(null)", "<na>", "#n/a", "\\n", "unknown", "missing", "未知", "无",
    "inf", "-inf", "infinity", "-infinity", "?", "-", "--", ".",
)  # fmt: skip
_BLANKS = " \t\n\r\x0b\x0c"  # what Java takes for blanks; those that do not break a line part thousands
UNITS = r"[$€£¥￥元%\s\u00a0\u202f\u3000]"
SIGNS = rf"{UNITS}|,(?=[0-9]{{3}}([^0-9]|$))"  # as in `$1,250.00`
_UNITS, _SIGNS = re.compile(UNITS, re.ASCII), re.compile(SIGNS, re.ASCII)
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_DECIMAL_COMMA = re.compile(r"[-+]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?")  # as in `1.250,00`
Summary = Mapping[str, float]
_PRINT_BYTES = 6  # a double holds so many exactly


def described(rows: DataFrame, describe: Callable[[pd.Series], Summary]) -> dict[str, Summary]:
    """Column -> what `describe` says of all its values together; `rows` are few enough for one worker."""

    names = rows.columns

    def told(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        found = [json.dumps(describe(pa.chunked_array([b.column(i) for b in held]).to_pandas())) for i in range(len(names) if held else 0)]
        yield pa.RecordBatch.from_arrays([pa.array(names[: len(found)], pa.string()), pa.array(found, pa.string())], names=["name", "found"])

    if not names:
        return {}
    plain = rows.toDF(*[f"c{i}" for i in range(len(names))])  # mapInArrow takes a dot or a backquote in a name for syntax
    return {r["name"]: json.loads(r["found"]) for r in plain.coalesce(1).mapInArrow(told, "name string, found string").collect()}


def text_shape(values: pd.Series) -> dict[str, float]:
    """How many values there are that do not say `missing`, and how many of them are a plain number, one with signs, one with a decimal
    comma, or a day in each of the known forms; how many different plain `numbers`, and how many different `words`, which are none."""
    distinct = values.dropna().astype(str).str.strip(_BLANKS).value_counts()
    there = distinct[~distinct.index.str.lower().isin(MISSING_WORDS)]
    words, counts = list(there.index), there.to_numpy(dtype=float)
    tests = {
        "plain": [_is_number(word) for word in words],
        "signed": [_is_number(_SIGNS.sub("", word)) for word in words],
        "comma": [_DECIMAL_COMMA.fullmatch(_UNITS.sub("", word)) is not None for word in words],
        **days_told(words),
    }
    numbers = float(sum(tests["plain"]))
    different = {"numbers": numbers, "words": len(words) - numbers}
    return {"there": float(counts.sum()), **different, **{name: float(counts[np.array(test, dtype=bool)].sum()) for name, test in tests.items()}}


def summary(values: pd.Series) -> dict[str, float]:
    """Rows, values, distinct ones and a fingerprint; of numbers their range, means, negative and whole ones too."""
    filled = values.dropna()
    hashes = pd.util.hash_array(values.to_numpy(dtype=object) if values.dtype == object else values.to_numpy())
    mark = int.from_bytes(hashlib.sha256(hashes.tobytes()).digest()[:_PRINT_BYTES], "big")
    found = {"rows": float(len(values)), "filled": float(len(filled)), "distinct": float(filled.nunique()), "print": float(mark)}
    if values.dtype == object or filled.empty:
        return found
    numbers = filled.to_numpy(dtype=float)
    size = np.abs(numbers)
    return {
        **found, "low": float(numbers.min()), "high": float(numbers.max()), "mean": float(numbers.mean()), "mean_size": float(size.mean()),
        "negative": float((numbers < 0).sum()), "whole": float((numbers == np.floor(numbers)).sum()),
    }  # fmt: skip


def _is_number(word: str) -> bool:
    """pandas' own test ends the process at an exponent of many digits, which hashes have by chance."""
    return _NUMBER.fullmatch(word) is not None
