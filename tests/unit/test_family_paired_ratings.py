"""Two ratings per pair: the likelihood against one dense normal distribution; what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from alliance_stats import apim, one_with_many
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.family.paired_ratings import Pairs

# Sums of some hundred terms in another order, and the search's own end, relative.
DENSE = 1e-8
ROUNDING = 1e-14  # last digits, which depend on the processor
# A search by differences of the deviance ends within this of an SD, in SDs.
SEARCHED = 2e-4
ASKED = {"dyad": "dyad", "member": "role", "outcome": "y", "predictors": "x"}
MANY = {"therapist": "t", "client": "client", "by_client": "c", "by_therapist": "o"}


def dyads(n: int = 45, seed: int = 4) -> pd.DataFrame:
    """Dyads under therapists of unequal size, single ratings and predictors missing."""
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], n)
    e = rng.multivariate_normal([0, 0], [[0.5, 0.3], [0.3, 1.4]], n)
    t = rng.integers(0, 6, n) ** 2 // 5
    y = 4 + 0.6 * x + 0.3 * x[:, ::-1] + e + rng.normal(0, 0.7, 9)[t][:, None]
    data = pd.DataFrame(
        {
            "dyad": np.repeat([f"pair {i}" for i in range(n)], 2),
            "role": ["child", "a mother"] * n,
            "t": np.repeat(t, 2),
            "x": x.ravel(),
            "y": y.ravel(),
            "age": rng.normal(40, 9, 2 * n),
        }
    )
    data.loc[rng.choice(2 * n, 8, replace=False), "y"] = np.nan
    data.loc[rng.choice(2 * n, 5, replace=False), "x"] = np.nan
    return data.sample(frac=1.0, random_state=1).drop(index=[7, 12])


def dense(pairs: Pairs, within, between, *, reml: bool) -> tuple[float, np.ndarray]:
    """Return the deviance and the coefficients by one covariance matrix of all ratings."""
    side, pair = np.nonzero(np.isfinite(pairs.y))
    y, X = pairs.y[side, pair], pairs.columns[:, side, pair].T
    V = within[np.ix_(side, side)] * (pair[:, None] == pair)
    above = pairs.units[pair]
    V = V + between[np.ix_(side, side)] * (above[:, None] == above)
    XV = np.linalg.solve(V, X)
    beta = np.linalg.solve(X.T @ XV, XV.T @ y)
    r = y - X @ beta
    n, p = X.shape
    deviance = np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
    if reml:
        deviance += np.linalg.slogdet(X.T @ XV)[1]
    return deviance + (n - reml * p) * np.log(2 * np.pi), beta


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("therapist", [None, "t"])
@pytest.mark.parametrize("distinguishable", [True, False])
def test_dyads_are_one_normal_distribution_at_its_maximum(reml, therapist, distinguishable):
    found = apim(
        dyads(), **ASKED, therapist=therapist, covariates=["age"],
        distinguishable=distinguishable, reml=reml,
    )  # fmt: skip
    model, pairs = found.model, found.model.pairs
    deviance, beta = dense(pairs, model.within, model.between, reml=reml)
    assert -2 * model.log_lik == pytest.approx(deviance, rel=DENSE)
    assert model.beta.to_numpy() == pytest.approx(beta, rel=DENSE, abs=1e-9)
    if not distinguishable:
        assert model.within[0, 0] == pytest.approx(model.within[1, 1], rel=ROUNDING)
    sd = np.sqrt(np.diag(model.within))

    def at(z):
        second = sd[1] * z[1] if distinguishable else sd[0] * z[0]
        own = np.array([sd[0] * z[0], second])
        S = np.outer(own, own) * np.array([[1, z[2]], [z[2], 1]])
        return dense(pairs, S, np.full((2, 2), z[3] ** 2 * (therapist is not None)), reml=reml)[0]

    start = np.array([1.1, 0.9, model.correlation - 0.1, 0.5])
    best = optimize.minimize(
        at, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}
    )
    assert -2 * model.log_lik <= best.fun + 1e-7
    assert best.x[2] == pytest.approx(model.correlation, abs=SEARCHED)
    assert abs(best.x[3]) == pytest.approx(np.sqrt(model.between[0, 0]), abs=SEARCHED) or (
        therapist is None
    )


def raters(seed: int = 3, unit: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, 20)
    t = np.repeat(np.arange(20), sizes)
    both = rng.multivariate_normal([0, 0], [[0.5, 0.2], [0.2, 0.6]], 20)[t]
    y = 5 + both + rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 0.6]], len(t))
    data = pd.DataFrame({"t": t, "client": np.arange(len(t)), "c": y[:, 0], "o": unit * y[:, 1]})
    data.loc[[2, 9], "c"] = np.nan
    data.loc[[4, 30], "o"] = np.nan
    return data


@pytest.mark.parametrize("reml", [True, False])
def test_one_with_many_is_one_normal_distribution(reml):
    model = one_with_many(raters(), **MANY, reml=reml).model
    deviance, beta = dense(model.pairs, model.within, model.between, reml=reml)
    assert -2 * model.log_lik == pytest.approx(deviance, rel=DENSE)
    assert model.beta.to_numpy() == pytest.approx(beta, rel=DENSE)
    assert model.vcov().to_numpy() == pytest.approx(model.vcov().to_numpy().T)


def test_sides_of_any_unit_tell_the_same():
    plain, large = one_with_many(raters(), **MANY), one_with_many(raters(unit=4e4), **MANY)
    both = ["generalized reciprocity", "dyadic reciprocity"]
    one, other = (m.tidy().set_index("term")["estimate"] for m in (plain, large))
    assert one[both].to_numpy() == pytest.approx(other[both].to_numpy(), rel=1e-6)
    seen = int(raters()["o"].notna().sum())
    assert large.model.log_lik == pytest.approx(
        plain.model.log_lik - (seen - 1) * np.log(4e4), rel=DENSE
    )  # restricted: a mean takes one rating's unit


@pytest.mark.parametrize("unit", [1e-5, 1e6])
def test_effects_follow_the_units_of_dyads(unit):
    data = dyads()
    one = apim(data, **ASKED, therapist="t").tidy()
    other = apim(
        data.assign(x=data["x"] * unit + 1e3 * unit, y=data["y"] / unit), **ASKED, therapist="t"
    ).tidy()
    effects = one["effect"] != "mean"
    for column in ("estimate", "std_error"):
        assert other.loc[effects, column].to_numpy() * unit**2 == pytest.approx(
            one.loc[effects, column].to_numpy(), rel=1e-5
        )
    assert other["df"][effects].to_numpy() == pytest.approx(one["df"][effects].to_numpy(), rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda d: d.assign(y=d.groupby("dyad")["y"].transform("mean")), "determines the other"),
        (lambda d: d[d["dyad"].isin(["pair 1", "pair 2", "pair 4", "pair 5"])], "too few"),
        (lambda d: d.assign(y=3.0), "leave nothing of the .* ratings"),
        (lambda d: d.assign(y=2.0 * d["x"] - 1.0), "follow from a predictor"),
        (lambda d: d.assign(y=d["y"].where(d["role"] == "child")), "No rating of 'a mother'"),
    ],
)
def test_dyads_without_a_maximum_are_refused(changed, message):
    with pytest.raises(NotIdentifiedError, match=message):
        apim(changed(dyads()), **ASKED)


def test_a_therapist_of_one_dyad_each_is_no_level():
    data = dyads()
    with pytest.raises(NotIdentifiedError, match="Each 'dyads own' has one pair"):
        apim(data.assign(**{"dyads own": data["dyad"]}), **ASKED, therapist="dyads own")
    with pytest.raises(NotIdentifiedError, match="All pairs are of one 't'"):
        apim(data.assign(t="one"), **ASKED, therapist="t")


def test_the_bootstrap_of_pairs_keeps_what_is_missing():
    model = one_with_many(raters(), **MANY).model
    drawn = model.simulate(np.random.default_rng(1))
    assert np.array_equal(np.isnan(drawn), np.isnan(model.pairs.y))
    many = np.array([model.simulate(np.random.default_rng(i)) for i in range(4000)])
    both = np.isfinite(model.pairs.y).all(axis=0)
    total = np.cov(many[:, 0, both][:, 0], many[:, 1, both][:, 0])
    assert total == pytest.approx(model.within + model.between, rel=0.1)  # 4,000 draws
