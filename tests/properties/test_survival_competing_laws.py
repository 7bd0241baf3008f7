"""What must hold of competing hazards, whatever the data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import CompetingHazards, competing_hazards, discrete_hazard

# Where two searches for one maximum stop: 1e-6 standard errors, on both sides.
SAME = 1e-4
COLUMNS = {"session": "session", "event": "ending", "unit": "family", "censored": "none"}

seeds = st.integers(0, 2**32 - 1)
terms = st.sampled_from([None, "(1 | therapist)", "(1 || therapist)"])


def courses(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n_therapists = int(rng.integers(8, 14))
    b = rng.normal(0.0, 0.7, (n_therapists, 2))
    rows = []
    for family in range(6 * n_therapists):
        x = round(float(rng.normal()), 2)
        for session in range(1, 5):
            odds = np.exp(b[family // 6] + [-1.8 + 0.3 * x, -2.0])
            code = rng.choice(3, p=np.r_[1.0, odds] / (1.0 + odds.sum()))
            rows.append(
                (
                    f"T{family // 6:02}",
                    f"F{family:03}",
                    session,
                    x,
                    ("none", "dropout", "planned")[code],
                )
            )
            if code:
                break
    return pd.DataFrame(rows, columns=["therapist", "family", "session", "x", "ending"])


def fit(data: pd.DataFrame, random: str | None) -> CompetingHazards:
    try:
        model = competing_hazards("x", data, **COLUMNS, random=random)
    except NotIdentifiedError:
        assume(False)
        raise
    return model


@settings(deadline=None, max_examples=12)
@given(seeds, terms, st.floats(-30, 30), st.sampled_from(["population", "typical"]))
def test_incidences_and_the_share_still_there_sum_to_one(
    seed: int, random: str | None, x: float, level: str
) -> None:
    curve = fit(courses(seed), random).curve(pd.DataFrame({"x": [x]}), level=level)
    hazard = curve.groupby("time")["hazard"].sum(min_count=2)
    ended = curve.groupby("time")["estimate"].sum()
    assert (curve["estimate"] >= 0.0).all()
    assert (hazard.dropna() <= 1.0 + 1e-12).all()
    # what is left is what the hazards leave over, session by session
    there = (1.0 - hazard.fillna(1.0)).cumprod()
    assert_allclose(ended + there, 1.0, atol=1e-9)
    assert (curve.groupby("state")["estimate"].diff().dropna() >= -1e-15).all()


@settings(deadline=None, max_examples=6)
@given(seeds, terms)
def test_relabelled_endings_permute(seed: int, random: str | None) -> None:
    data = courses(seed)
    names = {"none": "none", "dropout": "z left", "planned": "a planned"}
    one, other = fit(data, random), fit(data.assign(ending=data["ending"].map(names)), random)
    assert_allclose(one.log_lik, other.log_lik, atol=1e-6)
    keys = ["state", "term"]
    mine = one.tidy().replace({"state": names}).set_index(keys)[["estimate", "std_error"]]
    theirs = other.tidy().set_index(keys)[["estimate", "std_error"]]
    assert_allclose(mine, theirs.loc[mine.index], rtol=SAME, atol=SAME)
    if random is not None:
        assert_allclose(one.effects.covariance, other.effects.covariance[::-1, ::-1], atol=SAME)


@settings(deadline=None, max_examples=6)
@given(seeds, terms)
def test_order_of_rows_and_names_of_therapists_do_not_matter(seed: int, random: str | None) -> None:
    data = courses(seed)
    shuffled = data.sample(frac=1.0, random_state=seed % 1000).reset_index(drop=True)
    shuffled["therapist"] = shuffled["therapist"].map(lambda name: f"Ä{99 - int(name[1:])}")
    one, other = fit(data, random), fit(shuffled, random)
    assert_allclose(one.log_lik, other.log_lik, atol=1e-7)
    assert_allclose(one.beta, other.beta, atol=SAME)
    assert_allclose(np.diag(one.covariance), np.diag(other.covariance), rtol=1e-3)


def test_units_of_covariates_do_not_matter() -> None:
    data = courses(5)
    data["age"] = 30.0 + np.arange(len(data)) % 23
    asked = dict(COLUMNS, cluster="therapist")
    own = competing_hazards("x + age", data, **asked)
    small = data.assign(x=data["x"] * 1e-9, age=data["age"] * 1e5)
    other = competing_hazards("x + age", small, **asked)
    unit = own.tidy()["term"].map({"x": 1e-9, "age": 1e5}).fillna(1.0)
    for column in ("estimate", "std_error"):
        assert_allclose(other.tidy()[column] * unit, own.tidy()[column], rtol=1e-6)
    for test in ("wald", "score"):
        found, known = other.anova(test=test), own.anova(test=test)
        assert_allclose(found["statistic"], known["statistic"], rtol=1e-6)


def ended_by_the_fourth(seed: int) -> pd.DataFrame:
    data = courses(seed)
    last = data["session"] == 4
    ways = np.resize(["dropout", "planned", "dropout"], int(last.sum()))
    data.loc[last, "ending"] = ways
    return data.assign(weight=1.0 + data["family"].str[1:].astype(int) % 3)


def test_a_row_of_weight_two_is_two_rows_where_everyone_ended() -> None:
    data = ended_by_the_fourth(5)
    copies = [data[data["weight"] > k].assign(family=data["family"] + f"-{k}") for k in range(3)]
    twice = competing_hazards("x", pd.concat(copies, ignore_index=True), **COLUMNS)
    weighted = competing_hazards("x", data, **COLUMNS, weights="weight")
    at = pd.DataFrame({"x": [0.4]})
    for column in ("hazard", "estimate"):
        assert_allclose(weighted.curve(at)[column], twice.curve(at)[column], rtol=1e-8)
    rows = pd.DataFrame({"x": [0.4, -1.0], "session": [4, 2]})
    assert_allclose(weighted.predict(rows), twice.predict(rows), rtol=1e-8)


def test_sessions_after_which_everyone_ended_are_in_the_likelihood() -> None:
    data = ended_by_the_fourth(5)
    found = competing_hazards("1", data, **COLUMNS).likelihood()
    counts = pd.crosstab(data["session"], data["ending"]).to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert_allclose(found.log_lik, special.xlogy(counts, shares).sum(), rtol=1e-10)
    # two endings at each of four sessions
    assert found.n_parameters + found.n_boundary == 8


@pytest.mark.parametrize("test", ["wald", "score", "likelihood-ratio"])
def test_a_term_that_stands_for_another_is_not_tested(test: str) -> None:
    data = courses(5)
    data["arm"] = np.array(["a", "b", "c"])[data["family"].str[1:].astype(int) % 3]
    data["b"] = (data["arm"] == "b").astype(float)
    hazard = data.assign(left=(data["ending"] == "dropout").astype(float))
    asked = {"session": "session", "event": "left", "unit": "family", "random": None}
    for model in (
        competing_hazards("arm + b + x", data, **COLUMNS),
        discrete_hazard("arm + b + x", hazard, **asked),
    ):
        with pytest.raises(DataError, match="'b' is a combination of columns of 'arm'"):
            model.anova(test=test)
    # what the later of two terms adds to the earlier is known
    first, alone = (discrete_hazard(formula, hazard, **asked) for formula in ("b + x", "arm + x"))
    assert alone.anova(test=test)["df"].tolist() == [2.0, 1.0]
    assert first.anova(test=test)["df"].tolist() == [1.0, 1.0]
    # an interaction without some of its cells leaves its main effects' tests as they are
    cells = hazard[~((hazard["arm"] == "c") & (hazard["family"] > "F030"))]
    cells = cells.assign(late=(cells["family"] > "F030").map({True: "y", False: "n"}))
    model = discrete_hazard("arm * late", cells, **asked)
    assert model.anova(test=test)["df"].tolist() == [2.0, 1.0, 1.0]
