"""What must hold of every hazard model, whatever the data."""

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.survival import CoxModel, concordance, cox_ph

ROUNDING = 1e-8  # Newton's method stops within 1e-12 of a standard error; the rest is summing

seeds = st.integers(0, 2**32 - 1)
COLUMNS = {"time": "time", "event": "left"}


def people(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 60))
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "time": np.ceil(rng.exponential(4 * np.exp(-0.5 * x))),
            "left": (rng.random(n) < 0.7).astype(int),
            "x": x,
            "z": rng.normal(size=n),
            "therapist": rng.integers(0, 6, n),
        }
    )


def fit(data: pd.DataFrame, **options: object) -> CoxModel:
    try:
        return cox_ph("x + z", data, **{**COLUMNS, **options})
    except NotIdentifiedError:
        assume(False)
        raise


def same(one: CoxModel, other: CoxModel) -> None:
    assert_allclose(one.beta, other.beta, atol=ROUNDING)
    assert_allclose(one.covariance, other.covariance, rtol=1e-6, atol=ROUNDING)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_monotone_time_leaves_cox_unchanged(seed: int) -> None:
    data = people(seed)
    same(fit(data), fit(data.assign(time=np.exp(data["time"] / 9) + data["time"] ** 2)))


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_row_order_and_labels_do_not_matter(seed: int) -> None:
    data = people(seed)
    shuffled = data.sample(frac=1.0, random_state=seed % 1000)
    shuffled["therapist"] = shuffled["therapist"].map(lambda k: f"Thérapeute {9 - k}")
    same(fit(data, cluster="therapist"), fit(shuffled, cluster="therapist"))


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_splitting_rows_changes_nothing(seed: int) -> None:
    data = people(seed).assign(start=0.0)
    whole = cox_in_spells(data.assign(person=np.arange(len(data))))
    cut = data["time"] > 2
    first = data[cut].assign(time=2.0, left=0, person=np.flatnonzero(cut))
    second = data.assign(start=np.where(cut, 2.0, 0.0), person=np.arange(len(data)))
    same(whole, cox_in_spells(pd.concat([first, second])))


def cox_in_spells(data: pd.DataFrame) -> CoxModel:
    options = {"time": None, "start": "start", "stop": "time", "cluster": "therapist"}
    return fit(data, **options)


@settings(deadline=None, max_examples=20)
@given(seeds, st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_covariates_may_be_shifted_and_scaled(seed: int, shift: float, factor: float) -> None:
    data = people(seed)
    one, other = fit(data), fit(data.assign(x=data["x"] * factor + shift))
    # x + 1e6 keeps ten digits of x
    assert_allclose(one.beta[0], other.beta[0] * factor, rtol=1e-5, atol=1e-7)
    assert_allclose(one.fit.at.log_lik, other.fit.at.log_lik, rtol=1e-7)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_rows_in_clusters_of_their_own_give_the_jackknife_of_rows(seed: int) -> None:
    data = people(seed)
    data["person"] = np.arange(len(data))
    model = fit(data, cluster="person")
    dfbeta = model.dfbeta().to_numpy()
    assert_allclose(model.covariance, dfbeta.T @ dfbeta, rtol=1e-8, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_martingales_and_scores_sum_to_zero(seed: int) -> None:
    model = fit(people(seed))
    assert_allclose(model.augment()["martingale"].sum(), 0.0, atol=ROUNDING)
    assert_allclose(model.dfbeta().sum(), 0.0, atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_concordance_equals_counting_pairs(seed: int) -> None:
    data = people(seed).round({"x": 0, "z": 0})
    model = fit(data)
    risk = model.predict(data)["estimate"].to_numpy()
    right = tied = pairs = 0
    for i in np.flatnonzero(data["left"] == 1):
        later = (data["time"] > data["time"][i]) | (
            (data["time"] == data["time"][i]) & (data["left"] == 0)
        )
        gap = risk[i] - risk[later.to_numpy()]
        pairs += len(gap)
        tied += int((np.abs(gap) < 1e-9).sum())
        right += int((gap >= 1e-9).sum())
    found = concordance(model)
    assert (found.concordant, found.tied) == (right, tied)
    assert found.discordant == pairs - right - tied
