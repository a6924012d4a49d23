"""What columns hold, found out where the rows are: a few numbers per column come back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame

MISSING_WORDS = ("", "na", "n/a", "nan", "nil", "none", "null", "unknown", "missing", "inf", "-inf", "infinity", "-infinity", "?", "-", ".", "#n/a")
SIGNS = r"[$€£¥%\s]|,(?=[0-9]{3}([^0-9]|$))"  # as in `$1,250.00`
Summary = Mapping[str, float]
_PRINT_BYTES = 6  # a double holds so many exactly


def described(rows: DataFrame, describe: Callable[[pd.Series], Summary]) -> dict[str, Summary]:
    """Column -> what `describe` says of all its values together; `rows` are few enough for one worker."""

    def told(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        names = held[0].schema.names if held else []
        found = [json.dumps(describe(pa.chunked_array([b.column(i) for b in held]).to_pandas())) for i in range(len(names))]
        yield pa.RecordBatch.from_arrays([pa.array(names, pa.string()), pa.array(found, pa.string())], names=["name", "found"])

    if not rows.columns:
        return {}
    return {r["name"]: json.loads(r["found"]) for r in rows.coalesce(1).mapInArrow(told, "name string, found string").collect()}


def text_shape(values: pd.Series) -> dict[str, float]:
    """How many values there are that do not say `missing`, and how many of them are a plain number, one with signs, or a date."""
    distinct = values.dropna().astype(str).str.strip().value_counts()
    there = distinct[~distinct.index.str.lower().isin(MISSING_WORDS)]
    words = there.index.to_series()
    tests = {
        "plain": pd.to_numeric(words, errors="coerce").notna(),
        "signed": pd.to_numeric(words.str.replace(SIGNS, "", regex=True), errors="coerce").notna(),
        "date": words.str.match(r"^(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{4})"),
    }
    return {"there": float(there.sum()), **{name: float(there[test.to_numpy(dtype=bool)].sum()) for name, test in tests.items()}}


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
