"""Features made of columns whose meaning is not known, and texts as shares: names, candidates and, by brute force, values."""

import numpy as np
import pytest

from crm_spark.learning.derive import MOST_DERIVED, derived_features
from crm_spark.learning.encode import RAREST, SMOOTHING, encodings, filled_statement, indexer, learning_statement, scoring_statement
from crm_spark.learning.profile import summary, text_shape
from crm_spark.learning.table import Columns, Profile, Source

POSITIVE, SIGNED = Profile(1.0, 0, 900, 90, 90, 0.0), Profile(0.9, -50, 50, 0.1, 12, 0.5)


def columns(**numbers):
    sources = tuple(Source(f"x{i}", name, "number", f"`{name}`") for i, name in enumerate(numbers))
    return Columns(sources, (), {s.id: profile for s, profile in zip(sources, numbers.values(), strict=True)}, {})


def words(found):
    return {f.words for f in found}


def test_a_signed_column_is_set_against_every_level():
    found = derived_features(columns(minutes=POSITIVE, fee=POSITIVE, change=SIGNED), ["x0"])
    assert {"change against the level of minutes", "change against the level of fee"} <= words(found)
    assert next(f.sql for f in found if f.words == "change against the level of fee") == "x2 / (abs(x1) + 1D)"


def test_the_last_month_is_set_against_the_mean_of_the_earlier_ones_where_several_columns_have_the_same_months():
    months = {f"{what}_{month}": POSITIVE for what in ("arpu", "loc_t2t_mou") for month in (6, 7, 8)}
    found = words(derived_features(columns(**months), []))
    assert "arpu_8 less the mean of arpu_6, arpu_7" in found
    assert "loc_t2t_mou_8 as a multiple of the mean of loc_t2t_mou_6, loc_t2t_mou_7" in found
    over_a_year = {f"{name}_{month}": POSITIVE for name in ("arpu", "mou") for month in ("2023_11", "2023_12", "2024_01")}
    assert "mou_2024_01 less the mean of mou_2023_11, mou_2023_12" in words(derived_features(columns(**over_a_year), []))
    together = {f"{name}{month}": POSITIVE for name in ("arpu", "mou") for month in (202312, 202401)}
    assert "arpu202401 less the mean of arpu202312" in words(derived_features(columns(**together), []))
    assert not any("less the mean" in w for w in words(derived_features(columns(**{f"Var{i}": POSITIVE for i in (1, 2, 3)}), [])))


def test_two_days_tell_what_lies_between_them():
    days = tuple(Source(f"x{i}", name, "date", f"`{name}`") for i, name in enumerate(("joined", "asked", "left")))
    found = {f.words: f.sql for f in derived_features(Columns(days, (), {s.id: POSITIVE for s in days}, {}), ["x1"])}
    assert found["days from asked to joined"] == "x0 - x1" and len([w for w in found if w.startswith("days from")]) == 3


def test_many_days_leave_room_for_the_months():
    days = tuple(Source(f"d{i}", f"day {'abcdefghijkl'[i]}", "date", "") for i in range(12))
    months = columns(**{f"{what}_{month}": POSITIVE for what in ("arpu", "mou") for month in (6, 7, 8)})
    profiles = {**months.profiles, **{s.id: POSITIVE for s in days}}
    found = words(derived_features(Columns((*days, *months.numbers), (), profiles, {}), []))
    assert "arpu_8 less the mean of arpu_6, arpu_7" in found and sum(w.startswith("days from") for w in found) == 15


def test_the_most_useful_numbers_are_paired_and_there_is_an_end_to_candidates():
    many = columns(**{f"c{chr(97 + i // 26)}{chr(97 + i % 26)}": SIGNED if i % 3 else POSITIVE for i in range(300)})
    found = derived_features(many, ["x7", "x200"])
    assert 100 < len(found) == len({f.id for f in found}) <= MOST_DERIVED
    assert f"{many.numbers[7].column} per {many.numbers[200].column}" in words(found)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (["1", " 2.5", "-3e2", None, "unknown", r"\N", "未知"], {"there": 3, "plain": 3, "signed": 3, "comma": 1}),
        (["$1,200.00", "30 %", "7"], {"there": 3, "plain": 1, "signed": 3, "comma": 2}),
        (["1.250,00", "€ 12,5", "3,125"], {"there": 3, "signed": 1, "comma": 3}),
        (["2024-01-31", "1/2/2024", "", "n/a"], {"there": 2, "yyyy-M-d": 1, "M/d/yyyy": 1, "d/M/yyyy": 1}),
        (["20240131", "20241301", "2024013"], {"there": 3, "plain": 3, "signed": 3, "comma": 3, "yyyyMMdd": 1}),
        (["1-Highest", "2-High"], {"there": 2}),
        ([None, None], {"there": 0}),
    ],
)
def test_a_text_shows_whether_it_is_a_number_or_a_date(values, shape):
    import pandas as pd

    found = text_shape(pd.Series(values, dtype=object))
    assert {name: count for name, count in found.items() if name == "there" or (count and name not in ("numbers", "words"))} == shape


def test_a_text_shows_how_many_numbers_and_words_it_has():
    import pandas as pd

    found = text_shape(pd.Series(["1", " 1", "2.5", "3", "unknown", "not measured", "not measured", "1-High"], dtype=object))
    assert (found["numbers"], found["words"]) == (3, 2)


def test_equal_columns_have_equal_fingerprints_and_others_not():
    import pandas as pd

    one, same, other = (pd.Series(v) for v in ([1.0, np.nan, 3.0], [1.0, np.nan, 3.0], [1.0, 3.0, np.nan]))
    assert summary(one)["print"] == summary(same)["print"] != summary(other)["print"]
    assert (summary(one)["filled"], summary(one)["distinct"], summary(one)["high"]) == (2, 2, 3)


def test_a_level_is_its_smoothed_share_among_the_other_folds_and_rare_and_unseen_ones_are_one(spark):
    rows = [(f"town{i % 20}" if i % 50 else None, i % 5, float(i * i % 7 < 3)) for i in range(600)] + [("tiny", 1, 1.0)] * (RAREST - 1)
    frame = spark.createDataFrame(rows, "x0 string, _fold int, _label double")
    found = encodings(frame, [Source("x0", "town", "text", "town")])
    assert "tiny" not in found[0].levels and "(missing)" in found[0].levels and found[0].out_of_fold
    stage = indexer(found)

    def encoded(statement, values):
        from pyspark.ml.feature import SQLTransformer

        filled = stage.transform(SQLTransformer(statement=filled_statement(found)).transform(values))
        return SQLTransformer(statement=statement).transform(filled).collect()

    def wanted(level, among):
        prior = np.mean([y for _, _, y in among])
        known = set(found[0].levels)
        own = [y for town, _, y in among if (town or "(missing)") == level or (level not in known and (town or "(missing)") not in known)]
        return (sum(own) + SMOOTHING * prior) / (len(own) + SMOOTHING)

    for r in encoded(learning_statement(found), frame.distinct()):
        others = [row for row in rows if row[1] != r["_fold"]]
        assert r["x0_share"] == pytest.approx(wanted(r["x0"] or "(missing)", others), rel=1e-5)
    strange = spark.createDataFrame([("never", 0, 0.0), ("tiny", 0, 0.0), ("town3", 0, 0.0), (None, 0, 0.0)], frame.schema)
    shares = {r["x0"]: r["x0_share"] for r in encoded(scoring_statement(found), strange)}
    assert shares["never"] == shares["tiny"]
    assert shares["town3"] == pytest.approx(wanted("town3", rows), rel=1e-5) and shares[None] == pytest.approx(wanted("(missing)", rows), rel=1e-5)
