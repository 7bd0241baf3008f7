"""Families of outcomes: derivatives, moments, limits, what is refused and said."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import estimated_means, r_squared, variance_partition
from alliance_stats.engine.count_families import rising
from alliance_stats.engine.families import FAMILIES, family_of
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import glmm
from alliance_stats.tables import model_table
from tests.simulation import family_designs

# Central differences with half-width 1e-5 of numbers of order 1 to 1e4.
DIFFERENCES = 1e-6
# x^3 times a difference of polygammas, at x = 30.
NEAR_30 = 2e-11
DISPERSIONS = (0.05, 1.3, 20.0, 1e3)
# Four standard errors of 200,000 draws' mean and variance, of variances up to 40.
DRAWN = 4.0
CASES = [
    (family, value)
    for family in FAMILIES
    for value in ((None,) if family.dispersion is None else DISPERSIONS)
]


def observed(family, n, rng):
    trials = rng.integers(1, 9, n).astype(float) if family.support == "trials" else np.ones(n)
    y = {
        "trials": lambda: np.floor(rng.random(n) * (trials + 1.0)),
        "counts": lambda: rng.poisson(3.0, n).astype(float),
        "positive counts": lambda: 1.0 + rng.poisson(3.0, n),
        "positive": lambda: rng.gamma(2.0, size=n),
        "shares": lambda: rng.beta(2.0, 2.0, size=n),
    }[family.support]()
    return y, trials


@pytest.mark.parametrize(("family", "value"), CASES, ids=lambda x: getattr(x, "name", x))
def test_derivatives_are_those_of_differences(family, value):
    rng, n, h = np.random.default_rng(1), 60, 1e-5
    eta = rng.normal(0.0, 1.5, n)
    y, trials = observed(family, n, rng)
    own = None if value is None else np.full(n, value)
    outcome = family.outcome(y, trials, own)

    def by_eta(function):
        return (function(eta + h) - function(eta - h)) / (2 * h)

    log_density, score, weight = family.slopes(eta, outcome)
    near = {"rtol": DIFFERENCES, "atol": DIFFERENCES}
    np.testing.assert_allclose(family.log_density(eta, outcome), log_density)
    np.testing.assert_allclose(by_eta(lambda x: family.log_density(x, outcome)), score, **near)
    np.testing.assert_allclose(-by_eta(lambda x: family.slopes(x, outcome)[1]), weight, **near)
    third = family.third(eta, outcome)
    np.testing.assert_allclose(by_eta(lambda x: family.slopes(x, outcome)[2]), third, **near)
    known = family if family.settled is None else family.settled(value)
    np.testing.assert_allclose(by_eta(known.mean), known.mean_slope(eta), **near)
    np.testing.assert_allclose(known.predictor(known.mean(eta)), eta, atol=1e-9)
    if value is None:
        return

    def at(step):
        moved = family.outcome(y, trials, own * np.exp(step))
        rows = [family.constant(y[[i]], trials[[i]], moved.dispersion[[i]]) for i in range(n)]
        density, slope, information = family.slopes(eta, moved)
        return density + np.array(rows), slope, information

    for ours, up, down in zip(family.shape_slopes(eta, outcome), at(h), at(-h), strict=True):
        np.testing.assert_allclose((up - down) / (2 * h), ours[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "value"), CASES, ids=lambda x: getattr(x, "name", x))
def test_draws_have_the_mean_and_the_variance(family, value):
    n = 200_000
    trials = np.full(n, 5.0 if family.support == "trials" else 1.0)
    eta, own = np.full(n, 0.3), np.full(n, value or 1.0)
    drawn = family.draw(np.random.default_rng(3), eta, trials, own)
    family = family if family.settled is None else family.settled(value)
    mean, variance = trials[0] * family.mean(eta)[0], family.variance(eta, trials, own)[0]
    if variance > 1e3:  # so heavy a tail that a mean of draws says nothing
        return
    assert abs(drawn.mean() - mean) < DRAWN * np.sqrt(variance / n)
    fourth = ((drawn - mean) ** 4).mean()
    assert abs(drawn.var() - variance) < DRAWN * np.sqrt(fourth / n) + 1e-12


def test_log_densities_are_those_of_scipy():
    y, mu, theta, phi = np.arange(12.0), 2.4, 1.7, 0.6
    eta = np.full(12, np.log(mu))
    quadratic, linear = (
        family_of("negative binomial", None),
        family_of("linear negative binomial", None),
    )
    for family, own, wanted in (
        (quadratic, theta, stats.nbinom.logpmf(y, theta, theta / (theta + mu))),
        (linear, phi, stats.nbinom.logpmf(y, mu / phi, 1 / (1 + phi))),
    ):
        outcome = family.outcome(y, np.ones(12), np.full(12, own))
        found = family.log_density(eta, outcome).sum() + outcome.constant
        assert found == pytest.approx(wanted.sum(), rel=1e-12)
    k, n, p = np.arange(6.0), np.full(6, 5.0), 0.3
    family = family_of("beta-binomial", None)
    outcome = family.outcome(k, n, np.full(6, 2.5))
    found = family.log_density(np.full(6, np.log(p / (1 - p))), outcome).sum() + outcome.constant
    wanted = stats.betabinom.logpmf(k, 5, 2.5 * p, 2.5 * (1 - p)).sum()
    assert found == pytest.approx(wanted, rel=1e-12)


def test_rising_keeps_its_digits_on_both_sides_of_its_series():
    y = np.array([0.0, 1.0, 3.0, 40.0])
    for x in (29.999999, 30.000001, 1e6, 1e15):
        k = [np.arange(v) for v in y]
        found = rising(np.full(4, x), y)
        sums = np.array([np.log1p(own / x).sum() for own in k])
        first = -np.array([(own / (own + x)).sum() for own in k])
        second = np.array([(own * x / (own + x) ** 2).sum() for own in k])
        third = np.array([(own * x * (own - x) / (own + x) ** 3).sum() for own in k])
        for ours, wanted in zip(found, (sums, first, second, third), strict=True):
            np.testing.assert_allclose(ours, wanted, atol=NEAR_30)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(60), 10), rng.normal(size=600)
    u = 0.5 * rng.normal(size=60)
    mu = np.exp(0.7 + 0.3 * x + u[g])
    arm = np.where(g % 2 == 1, "a", "b")
    calm = rng.binomial(8, np.minimum(mu / 8.0, 0.95))
    more = rng.negative_binomial(1.4, 1.4 / (1.4 + mu))
    wild = np.where(arm == "a", calm, rng.negative_binomial(0.8, 0.8 / (0.8 + mu)))
    kept = rng.binomial(8, 1.0 / (1.0 + np.exp(-(x + u[g]))))
    return pd.DataFrame(
        {"g": g, "x": x, "arm": arm, "calm": calm, "wild": wild, "more": more, "kept": kept, "n": 8}
    ).assign(missed=lambda d: d["n"] - d["kept"])


@pytest.mark.parametrize(
    ("name", "parameter", "end"),
    [("negative binomial", "theta", np.inf), ("linear negative binomial", "phi", 0.0)],
)
def test_counts_that_scatter_less_than_poisson_are_the_poisson_model_and_it_is_said(
    data, name, parameter, end
):
    model, plain = (glmm("calm ~ x + (1 | g)", data, family=f) for f in (name, "poisson"))
    assert model.log_lik == plain.log_lik
    assert model.notes[0].startswith(f"{parameter} ran to {'infinity' if end else 0}: rows scatter")
    assert model.glance().loc[0, "dispersion"] == end
    assert model.glance().loc[0, "aic"] == pytest.approx(plain.glance().loc[0, "aic"] + 2.0)
    assert model.tidy(effects="dispersion").loc[0, "estimate"] in (np.inf, -np.inf)
    assert model.tidy().equals(plain.tidy())


def test_a_dispersion_at_its_limit_in_some_rows_is_refused(data):
    with pytest.raises(NotIdentifiedError, match="scatters no more than a poisson outcome in rows"):
        glmm("wild ~ x + (1 | g)", data, family="negative binomial", dispersion="~ arm")


def test_near_poisson_the_dispersion_is_found_too():
    # theta = 400: an excess of 1% that 40,000 rows can tell
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(400), 100)
    mu = np.exp(1.5 + 0.2 * rng.normal(size=400)[g])
    y = rng.poisson(mu * rng.gamma(50.0, size=len(g)) / 50.0)
    model = glmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": y}), family="negative binomial")
    row = model.tidy(effects="dispersion").iloc[0]
    assert model.convergence.converged
    assert abs(row["estimate"] - np.log(50.0)) < 3.0 * row["std_error"]


def test_pairs_and_shares_are_counts_of_successes(data):
    paired = glmm("cbind(kept, missed) ~ x + (1 | g)", data)
    counted = glmm("kept ~ x + (1 | g)", data, weights="n")
    assert paired.log_lik == counted.log_lik
    assert paired.formula.startswith("cbind(kept, missed)")
    assert "kept + missed" not in data
    assert paired.refit(data["kept"]).log_lik == pytest.approx(counted.log_lik, abs=1e-9)
    assert paired.predict(data.head()).equals(counted.predict(data.head()))


def test_dispersion_reads_any_names_and_says_what_it_found(data):
    data = data.assign(**{"my arm": data["arm"]})
    renamed = glmm(
        "more ~ x + (1 | g)", data, family="linear negative binomial", dispersion="~ `my arm`"
    )
    plain = glmm("more ~ x + (1 | g)", data, family="linear negative binomial", dispersion="arm")
    assert renamed.log_lik == plain.log_lik
    assert renamed.tidy(effects="dispersion")["term"].tolist() == ["(Intercept)", "my arm[T.b]"]
    assert "Dispersion, log phi" in renamed.summary()
    assert np.isnan(renamed.glance().loc[0, "dispersion"])
    again = renamed.refit(renamed.design.y)
    assert again.log_lik == pytest.approx(renamed.log_lik, abs=1e-8)


def test_shares_of_variance_know_the_dispersion(data):
    model = glmm("more ~ 1 + (1 | g)", data, family="negative binomial")
    theta, mean = model.glance().loc[0, "dispersion"], data["more"].mean()
    own = np.log(1.0 + 1.0 / mean + 1.0 / theta)
    variance = model.tidy(effects="ran_pars").loc[0, "estimate"] ** 2
    partition = variance_partition(model).tidy()
    assert partition["estimate"].to_numpy()[:2] == pytest.approx(
        np.array([variance, own]) / (variance + own)
    )
    r2 = r_squared(model).glance().loc[0, "r2_conditional"]
    assert r2 == pytest.approx(variance / (variance + own))
    by_arm = glmm("more ~ 1 + (1 | g)", data, family="negative binomial", dispersion="~ arm")
    with pytest.raises(NotIdentifiedError, match="differs between rows"):
        variance_partition(by_arm)
    trials = glmm("kept ~ 1 + (1 | g)", data, family="beta-binomial", weights="n")
    if trials.family.name == "beta-binomial":
        with pytest.raises(NotIdentifiedError, match="is not defined"):
            r_squared(trials)


def test_units_of_measurement_do_not_matter(data):
    rng = np.random.default_rng(4)
    amount = rng.gamma(2.0, np.exp(0.5 * data["x"]))
    fits = [
        glmm("amount ~ x + (1 | g)", data.assign(amount=amount * unit), family="gamma")
        for unit in (1.0, 1e-4, 1e5)
    ]
    for fit, unit in zip(fits[1:], (1e-4, 1e5), strict=True):
        assert fit.beta["x"] == pytest.approx(fits[0].beta["x"], abs=1e-6)
        shifted = fits[0].log_lik - len(data) * np.log(unit)
        assert fit.log_lik == pytest.approx(shifted, abs=1e-6)


BAD = {
    "share of 1": ("all ~ x + (1 | g)", {"family": "beta"}, DataError, "between 0 and 1"),
    "time of 0": ("zero ~ x + (1 | g)", {"family": "gamma"}, DataError, "above 0"),
    "zero count": ("calm ~ x + (1 | g)", {"family": "truncated poisson"}, DataError, "at least 1"),
    "decimals": ("half ~ x + (1 | g)", {"family": "negative binomial"}, DataError, "a count"),
    "all zeros": (
        "zero ~ x + (1 | g)", {"family": "negative binomial"}, NotIdentifiedError, "0 in all 600",
    ),
    "all ones": (
        "all ~ x + (1 | g)", {"family": "truncated poisson"}, NotIdentifiedError, "1 in all 600",
    ),
    "constant": ("two ~ x + (1 | g)", {"family": "gamma"}, NotIdentifiedError, "2 in all 600"),
    "infinite offset": (
        "calm ~ x + (1 | g)", {"family": "poisson", "offset": "far"}, DataError, "in row 3",
    ),
    "offset of a code": (
        "calm ~ x + (1 | g)", {"family": "linear negative binomial", "offset": "code"},
        DataError, "within 100 of its median",
    ),
    "families in a list": ("calm ~ x + (1 | g)", {"family": ["poisson"]}, ValueError, "family"),
    "truncated by columns": (
        "all ~ x + (1 | g)", {"family": "truncated negative binomial", "dispersion": "~ x"},
        ValueError, "not offered",
    ),
    "no dispersion": (
        "calm ~ x + (1 | g)", {"family": "poisson", "dispersion": "~ x"}, ValueError, "leave",
    ),
    "one trial a row": (
        "yes ~ x + (1 | g)", {"family": "beta-binomial"}, NotIdentifiedError, "one trial",
    ),
    "one row per unit": (
        "calm ~ x + (1 | row)", {"family": "negative binomial"}, NotIdentifiedError, "one row",
    ),
    "dependent columns": (
        "calm ~ x + (1 | g)", {"family": "negative binomial", "dispersion": "~ arm + is_a"},
        NotIdentifiedError, "not independent",
    ),
    "random dispersion": (
        "calm ~ x + (1 | g)", {"family": "negative binomial", "dispersion": "~ (1 | g)"},
        FormulaError, "random term",
    ),
    "pair of three": ("cbind(kept, missed, n) ~ x + (1 | g)", {}, FormulaError, "successes"),
    "pair of counts": (
        "cbind(kept, missed) ~ x + (1 | g)", {"family": "poisson"}, FormulaError, "binomial",
    ),
    "pair of halves": ("cbind(half, half) ~ x + (1 | g)", {}, DataError, "a number of trials"),
    "trials of counts": (
        "calm ~ x + (1 | g)", {"family": "negative binomial", "weights": "n"}, ValueError, "trials",
    ),
    "no family": ("calm ~ x + (1 | g)", {"family": "nbinom2"}, ValueError, "family must be"),
    "no link": (
        "calm ~ x + (1 | g)", {"family": "negative binomial", "link": "logit"}, ValueError, "links",
    ),
    "unknown column": (
        "calm ~ x + (1 | g)", {"family": "negative binomial", "dispersion": "~ rm"},
        FormulaError, "arm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(data, case):
    formula, options, error, words = BAD[case]
    more = data.assign(
        all=1, zero=0, two=2, half=data["kept"] / 3, yes=(data["kept"] > 4).astype(int),
        far=np.where(data.index == 3, np.inf, 0.0), row=np.arange(len(data)),
        code=np.where(data.index == 3, -999, 0), is_a=(data["arm"] == "a").astype(int),
    )  # fmt: skip
    with pytest.raises(error, match=words):
        glmm(formula, more, **options)


def test_a_log_link_of_times_is_of_their_mean(data):
    data = data.assign(time=np.random.default_rng(5).gamma(2.0, size=len(data)) + 0.01)
    model = glmm("time ~ x + (1 | g)", data, family="gamma")
    means = estimated_means(model, ["x"], at={"x": [0.0]})
    assert "log mean" in means.summary()
    assert "mean log mean" not in means.summary()
    assert "ratio of means" in model.summary()
    note = model_table(model, label="tbl-x", caption="Times").note
    assert "b of a model with a link: log mean." in note
    ratios = model_table(model, label="tbl-y", caption="Times", scale="ratio").note
    assert "RoM: ratio of means." in ratios


@pytest.mark.parametrize(
    ("family", "seed"), [("negative binomial", 51), ("truncated negative binomial", 20)]
)
def test_a_search_that_ends_at_no_minimum_is_begun_again(family, seed):
    kind, data = family_designs.drawn(family, seed)
    model = glmm(family_designs.FORMULAS[kind], data, family=family)
    theirs = json.loads(family_designs.REFERENCE.read_text(encoding="utf-8"))[family]
    assert model.convergence.converged
    assert model.log_lik >= theirs["log_lik"][theirs["design"].index(seed)] - 1e-5


def test_of_two_maxima_the_one_without_a_term_is_found():
    """Of two nested factors with little between them, either may take the other's variance."""
    kind, data = family_designs.drawn("truncated negative binomial", 172)
    both = glmm(family_designs.FORMULAS[kind], data, family="truncated poisson")
    without = glmm("y ~ x + (1 | unit)", data, family="truncated poisson")
    assert both.log_lik == pytest.approx(without.log_lik, abs=1e-6)
    assert both.fit.singular
