"""A province's truth beside what was delivered, as pandas frames: for the slow proofs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crm_spark.province.deliveries import DELIVERIES

KEY = ["subscriber_id", "month"]
BY_SERVICE = {"vas_usage": ["use_count", "volume_mb", "days"], "service_subscription": ["order_date"]}


def auc(score: np.ndarray, outcome: np.ndarray) -> float:
    """The chance that a responder has the higher score than another; ties count half (Mann and Whitney)."""
    ranks = pd.Series(score).rank().to_numpy()
    positives = int(outcome.sum())
    return float((ranks[outcome].sum() - positives * (positives + 1) / 2) / (positives * (len(outcome) - positives)))


def delivered_columns(raw: Path, months: list[str]) -> pd.DataFrame:
    """Every delivered column of every table in these months, by subscriber and month; services side by side."""
    tables = [_columns(raw, name, months) for name in (d.name for d in DELIVERIES if d.format == "csv")]
    whole = tables[0]
    for table in tables[1:]:
        whole = whole.merge(table, on=KEY, how="left")
    return whole


def as_score(column: pd.Series, outcome: np.ndarray) -> np.ndarray:
    """A column as numbers: as they are, or, for a few words, the share of responders of each; missing is a value of its own."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().any() and numbers.notna().sum() >= 0.9 * column.notna().sum():
        return numbers.fillna(numbers.min() - 1).to_numpy()
    words = column.fillna("(none)").astype(str)
    return words.map(pd.Series(outcome).groupby(words.to_numpy()).mean()).to_numpy() if words.nunique() <= 40 else np.zeros(len(column))


def _columns(raw: Path, name: str, months: list[str]) -> pd.DataFrame:
    encoding = next(d.encoding for d in DELIVERIES if d.name == name)
    parts = [pd.read_csv(f, dtype=str, encoding=encoding).assign(month=m) for m in months for f in sorted((raw / name / f"month={m}").glob("*.gz"))]
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["subscriber_id"])
    if name in BY_SERVICE:
        wide = rows.drop_duplicates([*KEY, "service_code"]).pivot(index=KEY, columns="service_code", values=BY_SERVICE[name])
        wide.columns = [f"{name}.{service}.{value}" for value, service in wide.columns]
        return wide.reset_index()
    one = rows.drop_duplicates(KEY)
    return one.rename(columns={c: f"{name}.{c}" for c in one.columns if c not in KEY})
