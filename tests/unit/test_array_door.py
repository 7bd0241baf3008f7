"""The engine's array door, without a frame."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import lmm
from alliance_stats.engine.array_door import Grouped, fit_arrays
from alliance_stats.errors import DataError, NotIdentifiedError

# Both sides end their search at a relative gradient of 1e-7, in other working bases.
SAME_MINIMUM = 1e-5


def arrays(rng, n_therapists=8, n_persons=6, n_sessions=5):
    person = np.repeat(np.arange(n_therapists * n_persons), n_sessions)
    therapist = person // n_persons
    session = np.tile(np.arange(float(n_sessions)), n_therapists * n_persons)
    y = 4.0 + 0.2 * session + rng.normal(size=len(person)) + rng.normal(size=48)[person]
    y += 0.7 * rng.normal(size=8)[therapist] + 0.3 * rng.normal(size=48)[person] * session
    return y, np.column_stack([np.ones(len(y)), session]), person, therapist


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_arrays_give_what_a_frame_gives(reml, weighted):
    rng = np.random.default_rng(11)
    y, X, person, therapist = arrays(rng)
    weights = rng.uniform(0.5, 2.0, len(y)) if weighted else None
    fit = fit_arrays(
        y, X, [Grouped(therapist, X[:, :1]), Grouped(person, X)], weights=weights, reml=reml
    )
    frame = pd.DataFrame(
        {
            "y": y,
            "s": X[:, 1],
            "p": person,
            "t": therapist,
            "w": 1.0 if weights is None else weights,
        }
    )
    model = lmm("y ~ s + (1 | t) + (1 + s | p)", frame, reml=reml, weights="w")
    np.testing.assert_allclose(fit.beta, model.fit.beta, rtol=SAME_MINIMUM)
    np.testing.assert_allclose(fit.vcov, model.fit.vcov, rtol=SAME_MINIMUM)
    np.testing.assert_allclose(fit.sigma, model.sigma, rtol=SAME_MINIMUM)
    np.testing.assert_allclose(fit.log_lik, model.log_lik, rtol=1e-9)
    for ours, theirs in zip(fit.covariances, model.covariances().values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_balanced_layout_has_the_closed_form():
    """Balanced one-way: the mean squares between and within give REML's variances."""
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(10), 4)
    y = rng.normal(size=40) + 2.0 * rng.normal(size=10)[person]
    fit = fit_arrays(y, np.ones((40, 1)), [Grouped(person, np.ones((40, 1)))])
    means = y.reshape(10, 4).mean(axis=1)
    between, within = 4.0 * means.var(ddof=1), ((y - means[person]) ** 2).sum() / 30.0
    np.testing.assert_allclose(fit.sigma**2, within, rtol=SAME_MINIMUM)
    np.testing.assert_allclose(fit.covariances[0], (between - within) / 4.0, rtol=SAME_MINIMUM)
    np.testing.assert_allclose(fit.beta, y.mean(), rtol=1e-12)
    np.testing.assert_allclose(fit.vcov, between / 40.0, rtol=SAME_MINIMUM)


def test_terms_without_covariance_stay_so():
    y, X, person, _ = arrays(np.random.default_rng(5))
    (covariance,) = fit_arrays(y, X, [Grouped(person, X, sizes=(1, 1))]).covariances
    assert covariance[0, 1] == 0.0


def test_arrays_that_do_not_match_are_refused():
    y, X, person, _ = arrays(np.random.default_rng(1))
    with pytest.raises(DataError, match="one row each"):
        fit_arrays(y[:-1], X, [Grouped(person, X)])
    with pytest.raises(DataError, match="without gaps"):
        fit_arrays(y, X, [Grouped(person * 2, X)])
    with pytest.raises(DataError, match="do not add up"):
        fit_arrays(y, X, [Grouped(person, X, sizes=(1,))])
    with pytest.raises(DataError, match="finite"):
        fit_arrays(np.where(person == 0, np.nan, y), X, [Grouped(person, X)])
    with pytest.raises(NotIdentifiedError, match="not independent"):
        fit_arrays(y, X[:, [0, 0]], [Grouped(person, X)])
