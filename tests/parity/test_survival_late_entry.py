"""Competing endings of units seen from later on: finegray, and brute force where R has none."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from alliance_stats.errors import DataError
from alliance_stats.survival import fine_gray, gray_test, log_rank
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_late_entry")
COLUMNS = {"time": "exit", "event": "state", "entry": "entry", "censored": 0}
# Newton's method on both sides, R's with eps = 1e-12 on the log-likelihood.
FIT = 1e-6
# The formula's influence leaves out terms of one over the number at risk, as cmprsk's does.
FIRST_ORDER = 0.03
# The same sums in another order.
ROUNDING = 1e-9


def sample(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["samples"][name])


@pytest.mark.parametrize("name", ["half", "all", "none"])
@pytest.mark.parametrize("cause", [1, 2])
def test_fine_gray_equals_finegray(name: str, cause: int) -> None:
    fit = fine_gray("x + g", sample(name), cause=cause, **COLUMNS)
    reference = REFERENCE["fits"][name]["one" if cause == 1 else "two"]
    assert_allclose(fit.beta, reference["coef"], rtol=FIT)
    assert_allclose([fit.fit.log_lik_null, fit.log_lik], reference["loglik"], rtol=FIT)
    assert_allclose(fit.hazard.sum(), reference["cumhaz"], rtol=FIT)


PROFILE, UNTIL = np.array([0.5, 1.0]), 6.0


def by_hand(data: pd.DataFrame, weight: np.ndarray) -> np.ndarray:
    """Maximise the weighted pseudo-likelihood of ending 1, row by row, from the definition.

    Returns the coefficients, and the incidence of a profile by a time.
    """
    X = data[["x", "g"]].to_numpy(dtype=float)
    entry, exit_, state = (data[c].to_numpy(dtype=float) for c in ("entry", "exit", "state"))
    times = np.unique(np.concatenate((entry, exit_)))
    censored = {t: weight @ ((exit_ == t) & (state == 0)) for t in times}
    at_risk = {t: weight @ ((entry < t) & (exit_ >= t)) for t in times}
    entered = {t: weight @ ((entry == t) & (t > 0)) for t in times}
    inside = {t: weight @ ((entry <= t) & (exit_ > t)) for t in times}

    def kept(start: float, t: float) -> float:
        product = 1.0
        for s in times[(times >= start) & (times < t)]:
            product *= 1.0 - censored[s] / max(at_risk[s], 1e-300)
            product /= 1.0 - entered[s] / max(inside[s], 1e-300) if entered[s] else 1.0
        return product

    dead = np.flatnonzero(state == 1)
    sets = []
    for i in dead:
        t = exit_[i]
        share = ((entry < t) & (exit_ >= t)).astype(float)
        for j in np.flatnonzero((state == 2) & (exit_ < t)):
            share[j] = kept(exit_[j], t)
        sets.append(weight * share)

    def minus(beta: np.ndarray) -> tuple[float, np.ndarray]:
        risk = np.exp(X @ beta)
        value, slope = 0.0, np.zeros(2)
        for i, share in zip(dead, sets, strict=True):
            total = share @ risk
            value += weight[i] * (X[i] @ beta - np.log(total))
            slope += weight[i] * (X[i] - (share * risk) @ X / total)
        return -value, -slope

    beta = optimize.minimize(minus, np.zeros(2), jac=True, method="BFGS", tol=1e-9).x
    risk = np.exp(X @ beta)
    hazard = sum(
        weight[i] / (share @ risk) for i, share in zip(dead, sets, strict=True) if exit_[i] <= UNTIL
    )
    return np.append(beta, 1.0 - np.exp(-hazard * np.exp(PROFILE @ beta)))


@pytest.mark.parametrize("late", [True, False])
def test_standard_errors_are_those_of_the_infinitesimal_jackknife(late: bool) -> None:
    """Each row's weight is changed a little, in its likelihood and in the weights of the others."""
    data = sample("half").iloc[:60].reset_index(drop=True)
    if not late:
        data["entry"] = 0.0
    fit = fine_gray("x + g", data, cause=1, **COLUMNS)
    curve = fit.incidence(pd.DataFrame({"x": [0.5], "g": [1]}), times=[UNTIL]).iloc[0]
    expected = np.append(fit.beta, curve["estimate"])
    assert_allclose(by_hand(data, np.ones(len(data))), expected, atol=1e-6)
    step = 0.02
    change = [
        by_hand(data, np.where(np.arange(len(data)) == i, 1.0 + step, 1.0))
        - by_hand(data, np.where(np.arange(len(data)) == i, 1.0 - step, 1.0))
        for i in range(len(data))
    ]
    errors = np.sqrt((np.array(change) ** 2).sum(axis=0)) / (2.0 * step)
    assert_allclose(fit.tidy()["std_error"], errors[:2], rtol=FIRST_ORDER)
    assert_allclose(curve["std_error"], errors[2], rtol=FIRST_ORDER)


def null_sample(seed: int, n: int = 160) -> pd.DataFrame:
    """Two groups with one incidence of ending 1 that enter, and are censored, differently."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 2, n)
    one, two = rng.exponential(8.0, n), rng.exponential(10.0, n)
    entry = np.where(rng.random(n) < 0.3 + 0.4 * g, rng.uniform(0.0, 4.0, n), 0.0)
    end = rng.uniform(3.0, 14.0 - 4.0 * g)
    exit_ = np.minimum(np.minimum(one, two), end)
    state = np.where(exit_ == end, 0, np.where(exit_ == one, 1, 2))
    data = pd.DataFrame({"g": g, "entry": entry, "exit": exit_, "state": state})
    return data[data["exit"] > data["entry"] + 1e-6].reset_index(drop=True)


def test_grays_score_is_centred_and_as_spread_as_its_covariance_says() -> None:
    """Group 1 enters later and is censored earlier, but ends alike: nothing is to be found."""
    tests = [gray_test(null_sample(seed), group="g", **COLUMNS) for seed in range(400)]
    score = np.array([test.score[0, 0] for test in tests])
    variance = np.array([test.covariance[0, 0, 0] for test in tests])
    z = score / np.sqrt(variance)
    assert abs(z.mean()) < 4.0 / np.sqrt(len(z))
    assert abs(z.var() - 1.0) < 4.0 * np.sqrt(2.0 / len(z))


def test_grays_score_is_the_sum_over_times_written_out() -> None:
    data = null_sample(7)
    found = gray_test(data, group="g", **COLUMNS)
    by_group, total = [], np.zeros(2)
    times = np.unique(data.loc[data["state"] > 0, "exit"])
    for k in (0, 1):
        own = data[data["g"] == k]
        survival, incidence, sizes = 1.0, 0.0, {}
        for t in times:
            n = ((own["entry"] < t) & (own["exit"] >= t)).sum()
            here = own.loc[own["exit"] == t, "state"]
            sizes[t] = n * (1.0 - incidence) / survival if n else 0.0
            if n:
                incidence += survival * (here == 1).sum() / n
                survival *= 1.0 - (here > 0).sum() / n
        by_group.append(sizes)
    for t in times:
        dead = np.array([((data["g"] == k) & (data["exit"] == t) & (data["state"] == 1)).sum()
                         for k in (0, 1)])  # fmt: skip
        R = np.array([by_group[k][t] for k in (0, 1)])
        total += dead - dead.sum() * R / R.sum()
    assert_allclose(found.score[0], total, atol=ROUNDING)


def clinics(seed: int, spread: float) -> pd.DataFrame:
    """Clinics that differ in their hazards, each wholly in one of two groups that do not."""
    rng = np.random.default_rng(seed)
    rows = []
    for clinic in range(12):
        rate = 0.12 * np.exp(spread * rng.normal())
        one, two = rng.exponential(1.0 / rate, 12), rng.exponential(10.0, 12)
        end = rng.uniform(2.0, 12.0, 12)
        exit_ = np.minimum(np.minimum(one, two), end)
        state = np.where(exit_ == end, 0, np.where(exit_ == one, 1, 2))
        rows.append(
            pd.DataFrame({"clinic": clinic, "g": clinic % 2, "exit": exit_, "state": state})
        )
    return pd.concat(rows, ignore_index=True)


WHEN = {"time": "exit", "event": "state", "censored": 0}


def test_without_competing_endings_grays_permutation_is_that_of_log_rank() -> None:
    data = clinics(1, 0.5)
    data["state"] = (data["state"] == 1).astype(int)
    gray = gray_test(data, **WHEN, group="g", cluster="clinic")
    plain = log_rank(data, time="exit", event="state", group="g", cluster="clinic")
    assert_allclose(gray.tidy()["p_value"], plain.p_value, rtol=ROUNDING)
    assert_allclose(gray.tidy()["statistic"], plain.statistic, rtol=ROUNDING)
    assert "whole clusters permuted" in gray.summary()


def test_grays_row_scores_are_its_score_with_one_censoring_curve() -> None:
    """Nobody censored: both weigh those who ended otherwise by one, and the scores are the same."""
    data = clinics(2, 0.0)
    data = data[data["state"] > 0]
    gray = gray_test(data, time="exit", event="state", group="g", censored=())
    fit = fine_gray("g", data, time="exit", event="state", cause=1, censored=())
    sets = fit.sets
    residuals = sets.residuals(sets.at(np.zeros(1)))
    score = np.bincount(data["g"].to_numpy(), weights=residuals)
    assert_allclose(score, gray.score[0], atol=1e-8)


def test_a_permuted_gray_test_holds_its_level_where_the_plain_one_does_not() -> None:
    """200 samples without a difference, clinics apart: at most 4 errors above 5%, and far above."""
    plain, permuted = [], []
    for seed in range(200):
        data = clinics(seed, 0.8)
        plain.append(gray_test(data, **WHEN, group="g").tidy()["p_value"].iloc[0])
        found = gray_test(data, **WHEN, group="g", cluster="clinic", n_resamples=924)
        permuted.append(found.tidy()["p_value"].iloc[0])
    error = np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(np.array(permuted) <= 0.05) < 0.05 + 4 * error
    assert np.mean(np.array(plain) <= 0.05) > 0.05 + 4 * error


def test_groups_of_gray_belong_to_whole_clusters() -> None:
    data = clinics(1, 0.0)
    with pytest.raises(DataError, match="'half' varies within 12 clusters of 'clinic'"):
        gray_test(
            data.assign(half=np.arange(len(data)) % 2), **WHEN, group="half", cluster="clinic"
        )
    with pytest.raises(ValueError, match="leave strata= and rho= out"):
        gray_test(data, **WHEN, group="g", cluster="clinic", rho=1.0)
