"""A partial likelihood without a maximum is refused, and only that: held to a linear programme."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from alliance_stats import cox_ph, fine_gray
from alliance_stats.errors import NotIdentifiedError

# A direction is scaled to at most 1, covariates are about 1: what the brute programme gains beyond
# its own tolerance of 1e-7.
GAIN = 1e-6


def all_pairs(X, times, event, stratum, stays):
    """Whether some direction lowers no event below anyone at risk, and lifts one: every pair."""
    entry, exit_ = times
    pairs = [
        X[i] - X[j]
        for i in np.flatnonzero(event)
        for j in range(len(X))
        if stratum[j] == stratum[i]
        and entry[j] < exit_[i]
        and (exit_[j] >= exit_[i] or stays[j])
        and np.abs(X[i] - X[j]).max() > 0
    ]
    if not pairs:
        return None
    D = np.array(pairs) / np.abs(pairs).max(axis=1, keepdims=True)
    zeros = np.zeros(len(D))
    found = optimize.linprog(-D.mean(axis=0), A_ub=-D, b_ub=zeros, bounds=(-1, 1), method="highs")
    return bool((D @ found.x).max() > GAIN)


def sample(seed, kind):
    """A small sample, often separated or nearly so."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(6, 40)), int(rng.integers(1, 4))
    X = rng.normal(size=(n, p)).round(int(rng.integers(0, 3)))
    if rng.random() < 0.5:
        X[:, 0] = X[:, 0] > 0.3
    beta = rng.normal(size=p) * rng.choice([0.0, 1.0, 4.0, 50.0])
    lasts = -(X @ beta) + rng.gumbel(size=n) * rng.choice([0.0, 0.01, 0.3])
    t = np.argsort(np.argsort(lasts)) + 1.0
    if rng.random() < 0.5:
        t = np.ceil(t / 2)
    ending = (rng.random(n) < rng.uniform(0.2, 0.9)).astype(int)
    if kind == "fine_gray":
        ending[(ending == 0) & (rng.random(n) < 0.5)] = 2
        ending[-1] = 0
    entry = np.floor(t * rng.random(n) * 0.9) if kind == "late" else np.zeros(n)
    stratum = rng.integers(0, 3, size=n) if kind == "strata" else np.zeros(n, dtype=int)
    frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(p)]).assign(
        entry=entry, t=t, ending=ending, event=ending == 1, stratum=stratum, group=np.arange(n) % 4
    )
    return frame, X, all_pairs(X, (entry, t), ending == 1, stratum, ending == 2)


FITS = {
    "plain": lambda f, d: cox_ph(f, d, time="t", event="event"),
    "late": lambda f, d: cox_ph(f, d, start="entry", stop="t", event="event"),
    "strata": lambda f, d: cox_ph(f, d, time="t", event="event", strata="stratum"),
    "cluster": lambda f, d: cox_ph(f, d, time="t", event="event", cluster="group"),
    "frailty": lambda f, d: cox_ph(f, d, time="t", event="event", frailty="group"),
    "fine_gray": lambda f, d: fine_gray(f, d, time="t", event="ending", cause=1, censored=0),
}


def verdict(kind, formula, frame):
    """What is said of a sample: "separated", "fitted", or another refusal."""
    try:
        fit = FITS[kind](formula, frame)
    except NotIdentifiedError as refusal:
        told = "separates those" in str(refusal) or "without bound" in str(refusal)
        return "separated" if told else "refused otherwise"
    convergence = fit.fit.convergence
    return "fitted" if convergence.converged else "not converged"


@pytest.mark.parametrize("kind", list(FITS))
def test_separated_samples_are_refused_and_no_others(kind):
    said = {True: [], False: []}
    for seed in range(60):
        frame, X, separated = sample(seed, kind)
        if separated is not None:
            formula = " + ".join(f"x{k}" for k in range(X.shape[1]))
            said[separated].append(verdict(kind, formula, frame))
    assert set(said[True]) <= {"separated", "refused otherwise"}
    assert set(said[False]) <= {"fitted", "refused otherwise"}
    assert said[True].count("separated") >= 5
    assert said[False].count("fitted") >= 5


@pytest.mark.parametrize("seed", range(40))
def test_whoever_leaves_next_has_the_largest_covariate(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(5, 13))
    x = np.sort(rng.normal(size=k).round(2))[::-1]
    frame = pd.DataFrame({"t": np.arange(1, k + 1), "e": 1, "x": x})
    if len(set(x)) < k:
        return
    with pytest.raises(NotIdentifiedError, match="'x' separates"):
        cox_ph("x", frame, time="t", event="e")


def test_separation_within_strata_is_named_as_without():
    frame = pd.DataFrame(
        {
            "t": [1, 2, 3, 4, 1, 2],
            "e": [1, 1, 1, 0, 0, 0],
            "x": [3.0, 2.0, 1.0, 0.5, 7.0, 1.0],
            "site": [1, 1, 1, 1, 2, 2],
        }
    )
    with pytest.raises(NotIdentifiedError, match="'x' separates"):
        cox_ph("x", frame, time="t", event="e", strata="site")


def test_strata_whose_hazards_lie_powers_of_ten_apart_keep_their_digits():
    # the score is exactly the derivative of the log-likelihood in each stratum, however far apart
    rng = np.random.default_rng(82)
    n = 60
    frame = pd.DataFrame({"site": np.repeat([0, 1, 2], n // 3), "x": rng.normal(size=n)})
    risk = 8.0 * frame["x"] + rng.gumbel(size=n)
    frame = frame.assign(t=(-risk).rank(), e=1)
    fit = cox_ph("x", frame, time="t", event="e", strata="site")
    assert fit.fit.convergence.converged
    # Newton's last step squares the error: nothing but rounding is left of the slope
    assert fit.fit.convergence.gradient < 1e-9
