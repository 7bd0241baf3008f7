"""Wild bootstrap, permuted therapists and refits without one, by slow and independent algebra."""

import itertools

import numpy as np
import pandas as pd
import pytest

from alliance_stats import AR1, CR2, leave_one_out, lmm, permutation_test, wild_bootstrap
from alliance_stats.engine.sandwich import RowVariances
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel.clusters import _covariance

# Sums over clusters beside dense matrices: rounding only.
ALGEBRA = 1e-8
# Refits end at a relative gradient of 1e-7.
REFIT = 1e-4


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    therapist = np.repeat(np.arange(7), [6, 9, 12, 6, 9, 15, 12])
    person = np.arange(len(therapist)) // 3
    return pd.DataFrame(
        {
            "y": 1e3 + 10 * rng.normal(size=69) + 8 * rng.normal(size=7)[therapist],
            "session": np.tile([1, 2, 3], 23),
            "x": rng.normal(size=7)[therapist],
            "person": [f"P {p}" for p in person],
            "therapist": [f"T {t}" for t in therapist],
        }
    )


@pytest.mark.parametrize("residual", [None, AR1("session", within="person")])
def test_signs_are_those_of_dense_algebra(data, residual):
    model = lmm("y ~ session + x + (1 | therapist/person)", data, residual=residual)
    X, y = model.design.X, model.design.y
    names = sorted(data["therapist"].unique())
    fit = model.fit
    V = _covariance(fit, np.arange(69))
    W = np.linalg.inv((V.dense() if isinstance(V, RowVariances) else V) / fit.sigma**2)
    M = np.linalg.inv(X.T @ W @ X)
    rows = [np.flatnonzero(data["therapist"] == t) for t in names]

    def t_of(outcome, j, null):
        beta = M @ X.T @ W @ outcome
        e = outcome - X @ beta
        scores = [X[own].T @ W[np.ix_(own, own)] @ e[own] for own in rows]
        return (beta[j] - null) / np.sqrt(sum((M @ s)[j] ** 2 for s in scores))

    j, c = 2, np.eye(3)[2]
    beta = M @ X.T @ W @ y
    restricted = beta - M @ c * beta[j] / (c @ M @ c)
    e = y - X @ restricted
    drawn = []
    for signs in itertools.product([1, -1], repeat=7):
        star = X @ restricted
        for sign, own in zip(signs, rows, strict=True):
            star[own] += sign * e[own]
        drawn.append(abs(t_of(star, j, 0.0)))
    observed = t_of(y, j, 0.0)
    p = np.mean(np.array(drawn) >= abs(observed) * (1 - 1e-9))
    found = wild_bootstrap(model, "therapist", terms=["x"], weights="rademacher", seed=1)
    row = found.tidy().iloc[0]
    assert row["p_value"] == pytest.approx(p, abs=1e-12)
    assert row["statistic"] == pytest.approx(observed, rel=ALGEBRA)
    assert row["estimate"] == pytest.approx(beta[j], rel=1e-5)
    # the interval holds what is not rejected
    assert row["conf_low"] < row["estimate"] < row["conf_high"]
    shifted = lmm("y ~ session + x + (1 | therapist/person)",
                  data.assign(y=data["y"] - 1.02 * row["conf_high"] * data["x"]),
                  residual=residual)  # fmt: skip
    again = wild_bootstrap(shifted, "therapist", terms=["x"], weights="rademacher", seed=1)
    assert again.p_values()["x"] < 0.06


def test_draws_can_be_repeated_and_units_do_not_matter(data):
    model = lmm("y ~ session + x + (1 | therapist/person)", data)
    one, again = (
        wild_bootstrap(model, "therapist", n_resamples=199, seed=3).tidy() for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, again)
    scaled = lmm("y ~ session + x + (1 | therapist/person)", data.assign(y=1e-4 * data["y"]))
    other = wild_bootstrap(scaled, "therapist", n_resamples=199, seed=3).tidy()
    np.testing.assert_allclose(other["p_value"], one["p_value"], atol=1e-12)
    np.testing.assert_allclose(other["conf_low"], 1e-4 * one["conf_low"], rtol=1e-3)


def test_a_permutation_is_that_of_refitted_least_squares(data):
    """Without variance between therapists and persons, t is that of ordinary least squares."""
    rng = np.random.default_rng(2)
    flat = data.assign(y=rng.normal(size=69))
    flat["y"] -= flat.groupby("therapist")["y"].transform("mean") * 0.9
    model = lmm("y ~ session + x + (1 | therapist)", flat)
    assert model.singular
    found = permutation_test(model, "x", "therapist", n_resamples=99, seed=4)
    X = model.design.X
    first = flat.groupby("therapist", sort=True)["x"].first().to_numpy()
    codes = pd.factorize(flat["therapist"], sort=True)[0]
    y, null = flat["y"].to_numpy(), X[:, :2]
    left = y - null @ np.linalg.lstsq(null, y, rcond=None)[0]
    sigma = np.sqrt((left**2).sum() / 67)  # of the model without x, restricted
    rng, drawn = np.random.default_rng(4), []
    for z in [first, *(rng.permutation(first) for _ in range(99))]:
        D = np.column_stack([X[:, :2], z[codes]])
        G = np.linalg.inv(D.T @ D)
        drawn.append((G @ D.T @ y)[2] / np.sqrt(G[2, 2]) / sigma)
    assert found.statistic == pytest.approx(drawn[0], rel=1e-6)
    np.testing.assert_allclose(found.drawn, drawn[1:], rtol=1e-6)
    assert found.p_value == np.mean(np.abs(drawn) >= abs(drawn[0]) * (1 - 1e-10))


def test_refits_are_those_of_the_rows_left(data):
    model = lmm("y ~ session + x + (1 | therapist/person)", data)
    table = leave_one_out(model, "therapist").tidy()
    for level in ("T 2", "T 5"):
        left = lmm(model.formula, data[data["therapist"] != level])
        own = table[table["level"] == level]
        np.testing.assert_allclose(own["estimate"], left.fit.beta, rtol=REFIT)
        np.testing.assert_allclose(own["std_error"], np.sqrt(np.diag(left.fit.vcov)), rtol=REFIT)
    shaped = lmm("y ~ session + (1 | therapist)", data, residual=AR1("session", within="person"))
    left = lmm(shaped.formula, data[data["therapist"] != "T 2"],
               residual=AR1("session", within="person"))  # fmt: skip
    own = leave_one_out(shaped, "therapist").tidy().query("level == 'T 2'")
    np.testing.assert_allclose(own["estimate"], left.fit.beta, rtol=REFIT)


def test_refits_have_their_own_df_and_variances(data):
    model = lmm("y ~ session + x + (1 | therapist/person)", data)
    found = leave_one_out(model, "therapist")
    left = lmm(model.formula, data[data["therapist"] != "T 2"])
    own = found.tidy(conf_level=0.9).query("level == 'T 2'")
    for column in ("df", "p_value", "conf_low", "conf_high"):
        expected = left.tidy(conf_level=0.9)[column]
        np.testing.assert_allclose(own[column], expected, rtol=50 * REFIT)
    random = found.tidy(effects="ran_pars").query("level == 'T 2'")
    expected = left.tidy(effects="ran_pars")
    assert list(random["term"]) == list(expected["term"])
    np.testing.assert_allclose(random["estimate"], expected["estimate"], rtol=50 * REFIT)


def test_units_that_others_cross_can_be_left_out(data):
    rng = np.random.default_rng(8)
    crossed = data.assign(room=rng.integers(0, 6, len(data)).astype(str))
    model = lmm("y ~ session + x + (1 | therapist) + (1 | room)", crossed)
    own = leave_one_out(model, "room").tidy().query("level == '3'")
    left = lmm(model.formula, crossed[crossed["room"] != "3"])
    np.testing.assert_allclose(own["estimate"], left.fit.beta, rtol=REFIT, atol=1e-6)


def test_who_alone_carries_a_coefficient_is_named(data):
    only = data.assign(alone=(data["therapist"] == "T 3").astype(float))
    found = leave_one_out(lmm("y ~ alone + (1 | therapist)", only), "therapist")
    assert "Without T 3" in found.summary()


def test_wrong_questions_are_refused(data):
    model = lmm("y ~ session + x + (1 | therapist/person)", data)
    with pytest.raises(FormulaError, match="Did you mean 'session'"):
        wild_bootstrap(model, "therapist", terms=["sesion"], seed=1)
    with pytest.raises(DataError, match="rows in several units"):
        wild_bootstrap(model, "therapist:person", seed=1)
    with pytest.raises(DataError, match="varies within units"):
        permutation_test(model, "session", "therapist", seed=1)
    with pytest.raises(DataError, match="is not a grouping factor"):
        leave_one_out(model, "clinic")
    assert model.tidy(vcov=CR2("therapist"))["std_error"].notna().all()
