"""Balance and coherence of families: small cases, sentences, refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.family import family_balance, within_family_icc

NAMES = {"family": "family", "person": "person", "spread_by": "framework"}
ICC = {"family": "family", "person": "person", "session": "session", "score": "y"}


def families(n: int = 24, sessions: int = 3, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"F{f}", f"F{f}-{role}", role, session, ("wide", "narrow")[f % 2])
        for f in range(n)
        for role in ("child", "mother")
        for session in range(1, sessions + 1)
    ]
    data = pd.DataFrame(rows, columns=["family", "person", "role", "session", "framework"])
    person = data["person"].map({p: rng.normal() for p in data["person"].unique()})
    family = data["family"].map({f: rng.normal() for f in data["family"].unique()})
    size = np.where(data["framework"] == "wide", 1.0, 0.3)
    data["therapist"] = data["family"].str[1:].astype(int) % 6
    data["y"] = 4 + 0.5 * family + size * person + 0.4 * size * rng.normal(size=len(data))
    return data


def test_wide_families_are_found_and_ordered_by_category():
    data = families()
    data["framework"] = pd.Categorical(data["framework"], ["wide", "narrow"])
    found = family_balance("y ~ role", data, **NAMES)
    assert found.tidy()["level"].tolist()[:2] == ["wide", "narrow"]
    ratios = found.tidy().set_index("term")["estimate"]
    assert ratios["lasting ratio"] < 0.6
    assert found.test().p_value < 1e-4
    assert "a spread of its own in each of 2 strata" in found.summary()
    assert found.glance()["spread_df"].tolist() == [2]


def test_one_row_a_person_has_one_spread():
    found = family_balance("y ~ role", families(sessions=1), therapist="therapist", **NAMES)
    assert not found.lasting
    assert found.tidy()["term"].tolist() == ["momentary", "momentary", "momentary ratio"]
    assert found.test().df == 1


def test_absolute_deviations_compare_strata_without_normality():
    data = families(60)
    found = family_balance("y ~ role", data.set_index(np.zeros(len(data), dtype=int)), **NAMES)
    table = found.deviations().set_index("term")
    assert table["contrast"].tolist() == ["wide - narrow"] * 2
    # what a member's own level is apart from the family's, by hand
    residual = found.equal.augment()["residual"].abs()
    by = residual.groupby(data["framework"]).mean()
    difference = by["wide"] - by["narrow"]
    # families have equally many rows, so that the model's means are plain ones
    assert table.loc["momentary", "estimate"] == pytest.approx(difference, rel=1e-6)
    assert (table["conf_low"] > 0).all()
    once = family_balance("y ~ role", families(sessions=1), therapist="therapist", **NAMES)
    assert once.deviations()["term"].tolist() == ["momentary"]


def test_bootstrap_names_the_spreads():
    found = family_balance("y ~ role", families(), **NAMES)
    drawn = found.bootstrap(seed=1, n_resamples=10).tidy()
    assert "lasting ratio|wide / narrow" in set(drawn["term"])


def test_bad_strata_are_refused():
    data = families()
    with pytest.raises(DataError, match="'role' differs within 'family' 'F0'"):
        family_balance("y ~ 1", data, family="family", person="person", spread_by="role")
    with pytest.raises(NotIdentifiedError, match="'framework' has the one value 'x'"):
        family_balance("y ~ role", data.assign(framework="x"), **NAMES)
    with pytest.raises(DataError, match="'framework' has 24 values; the spread is split by groups"):
        family_balance("y ~ 1", data.assign(framework=data["family"]), **NAMES)
    with pytest.raises(DataError, match="in more than one 'family'"):
        family_balance("y ~ 1", data.assign(person=data["role"]), **NAMES)
    with pytest.raises(DataError, match="'framework' is missing"):
        family_balance("y ~ 1", data.assign(framework=None), **NAMES)


def test_intraclass_correlation_by_hand():
    # families (1, 3), (4, 6), (7, 9): MSB = 18, MSW = 2
    data = pd.DataFrame(
        {
            "family": ["A", "A", "B", "B", "C", "C", "D"],
            "person": list("abcdefg"),
            "session": 1,
            "y": [1.0, 3, 4, 6, 7, 9, 5],
        }
    )
    found = within_family_icc(data, **ICC)
    row = found.tidy().iloc[0]
    assert row["estimate"] == pytest.approx((18 - 2) / (18 + 2))
    low = 9 / stats.f.isf(0.025, 2, 3)
    assert row["conf_low"] == pytest.approx((low - 1) / (low + 1))
    assert found.rows.n_set_aside == 1
    assert found.balanced
    assert "exact" in found.summary()
    few = within_family_icc(data, min_families=4, **ICC)
    assert few.tidy()["estimate"].isna().all()
    assert few.glance()["n_undefined"].tolist() == [1]


def test_members_less_alike_than_strangers_have_a_negative_correlation():
    data = families(sessions=1).assign(y=lambda d: np.tile([1.0, -1.0], 24) + 0.01 * d["y"])
    assert within_family_icc(data, **ICC).tidy()["estimate"][0] < -0.9
    roles_out = within_family_icc(data, role="role", **ICC)
    assert not roles_out.balanced
    assert roles_out.tidy()["estimate"][0] > -0.9


def test_persons_that_are_categories_are_the_same_persons():
    data = families()
    plain = family_balance("y ~ role", data, **NAMES)
    found = family_balance("y ~ role", data.astype({NAMES["person"]: "category"}), **NAMES)
    pd.testing.assert_frame_equal(found.deviations(), plain.deviations())
