"""glmm on data small enough to be checked by hand, and what its results say."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, special, stats

from alliance_stats.account import Result
from alliance_stats.engine.families import family_of
from alliance_stats.estimates import GLOSSARY
from alliance_stats.multilevel import glmm
from alliance_stats.multilevel.predictions import population_mean

# Two optimisers of the same function.
SAME_OPTIMUM = 1e-6
# The trapezoidal rule with 241 points on a cloglog mean spread over six units of its link.
INTEGRAL = 1e-9


@pytest.fixture
def sessions() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    therapist = np.repeat(np.arange(12), 15)
    u = 0.9 * rng.standard_normal(12)
    alliance = rng.standard_normal(180).round(2)
    p = special.expit(-0.8 - 0.6 * alliance + u[therapist])
    return pd.DataFrame(
        {
            "therapist": np.char.add("T", therapist.astype(str)),
            "alliance": alliance,
            "dropout": (rng.random(180) < p).astype(int),
        }
    )


def test_laplace_by_hand_on_three_units():
    # y ~ 1 + (1 | g): for each unit a scalar mode and curvature, written out here
    data = pd.DataFrame({"g": list("aaabbbccc"), "y": [1, 1, 0, 0, 0, 0, 1, 0, 1]})

    counts = [(y.sum(), len(y)) for _, y in data.groupby("g").y]

    def deviance(parameters):
        b, theta = parameters
        total = 0.0
        for hits, n in counts:

            def minus_h(u, hits=hits, n=n):
                eta = b + theta * u
                return -(hits * eta - n * np.log1p(np.exp(eta))) + u * u / 2.0

            found = optimize.minimize_scalar(minus_h, bracket=(-1.0, 1.0), tol=1e-12)
            p = special.expit(b + theta * found.x)
            total += 2.0 * found.fun + np.log(1.0 + n * theta**2 * p * (1 - p))
        return total

    best = optimize.minimize(deviance, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9})
    model = glmm("y ~ 1 + (1 | g)", data)
    assert -2.0 * model.log_lik == pytest.approx(best.fun, abs=SAME_OPTIMUM)


def test_one_unit_of_many_rows_is_a_plain_mean_where_units_agree():
    # units with identical counts: no variance, and the logit of the share
    data = pd.DataFrame({"g": np.arange(6), "y": 3, "n": 10})
    model = glmm("y ~ 1 + (1 | g)", data, weights="n")
    assert model.singular
    assert model.beta["(Intercept)"] == pytest.approx(np.log(0.3 / 0.7), abs=1e-8)
    assert model.tidy().std_error[0] == pytest.approx(1 / np.sqrt(60 * 0.3 * 0.7), rel=1e-6)
    expected = 6 * stats.binom.logpmf(3, 10, 0.3)
    assert model.log_lik == pytest.approx(expected, abs=1e-8)
    assert model.summary().startswith("Boundary (singular) fit: the variance is zero")
    wald = model.median_ratios(ci_method="wald").iloc[0]
    assert (wald.estimate, np.isnan(wald.conf_low)) == (1.0, True)
    profile = model.median_ratios().iloc[0]
    assert (profile.estimate, profile.conf_low) == (1.0, 1.0)
    # the upper limit: the deviance with the SD held there, units of 10 trials with 3 successes
    sd = np.log(profile.conf_high) / (np.sqrt(2.0) * stats.norm.ppf(0.75))

    def held(b):
        found = optimize.minimize_scalar(
            lambda u: -(3 * (b + sd * u) - 10 * np.log1p(np.exp(b + sd * u))) + u * u / 2,
            bracket=(-1.0, 1.0),
            tol=1e-12,
        )
        p = special.expit(b + sd * found.x)
        return 6 * (2 * found.fun + np.log(1 + 10 * sd**2 * p * (1 - p)))

    rise = optimize.minimize_scalar(held, bracket=(-1.0, -0.5)).fun
    rise -= 2 * 6 * special.gammaln([11, 4, 8]) @ [1, -1, -1] - 2 * model.log_lik
    assert rise == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-4)


def test_poisson_rate_with_exposure():
    # one common rate: events per exposure
    data = pd.DataFrame({"g": [0, 0, 1, 1], "y": [2, 4, 3, 3], "t": [1.0, 2.0, 1.5, 1.5]})
    data["log_t"] = np.log(data["t"])
    model = glmm("y ~ 1 + (1 | g)", data, family="poisson", offset="log_t")
    assert np.exp(model.beta["(Intercept)"]) == pytest.approx(12 / 6, abs=1e-7)
    assert model.predict(data).estimate.to_numpy() == pytest.approx(2.0 * data.t, abs=1e-6)


def test_median_ratio(sessions):
    model = glmm("dropout ~ alliance + (1 | therapist)", sessions)
    sd = model.tidy(effects="ran_pars").estimate[0]
    row = model.median_ratios(ci_method="wald").iloc[0]
    assert row.term == "median odds ratio"
    assert row.estimate == pytest.approx(np.exp(0.67449 * np.sqrt(2 * sd**2)), rel=1e-5)
    assert 1.0 < row.conf_low < row.estimate < row.conf_high
    # of two therapists drawn at random: a simulation of the definition
    rng = np.random.default_rng(1)
    draws = sd * rng.standard_normal((2, 400_000))
    assert np.median(np.exp(np.abs(draws[0] - draws[1]))) == pytest.approx(row.estimate, rel=0.01)


@pytest.mark.parametrize("link", ["logit", "cloglog", "probit"])
@pytest.mark.parametrize("sd", [0.0, 0.5, 2.0, 6.0])
def test_population_mean_is_the_integral(link, sd):
    family = family_of("binomial", link)
    eta = np.array([-6.0, -2.0, 0.3, 2.5])
    mean, slope = population_mean(family, eta, np.full(4, sd))

    def integral(function, at):
        value, _ = integrate.quad(
            lambda x: float(function(np.array([at + sd * x]))[0]) * stats.norm.pdf(x),
            -9,
            9,
            epsabs=1e-13,
            limit=400,
        )
        return value

    assert mean == pytest.approx([integral(family.mean, e) for e in eta], abs=INTEGRAL)
    assert slope == pytest.approx([integral(family.mean_slope, e) for e in eta], abs=INTEGRAL)


def test_population_and_typical_differ_as_the_docs_say():
    family = family_of("binomial", "logit")
    mean, _ = population_mean(family, special.logit(np.array([0.05])), np.array([1.5]))
    assert mean[0] == pytest.approx(0.10, abs=0.005)


def test_predictions_at_three_levels(sessions):
    model = glmm("dropout ~ alliance + (1 | therapist)", sessions)
    new = sessions.iloc[[0, 40]]
    eta = model.linear_predictor(new)
    typical = model.predict(new, level="typical", interval="confidence")
    assert typical.estimate.to_numpy() == pytest.approx(special.expit(eta.estimate))
    # at the typical level the interval is the Wald interval of eta
    X = np.column_stack([np.ones(2), new.alliance])
    error = np.sqrt(np.einsum("ni,ij,nj->n", X, model.vcov().to_numpy(), X))
    assert typical.conf_low.to_numpy() == pytest.approx(
        special.expit(eta.estimate - stats.norm.ppf(0.975) * error)
    )
    population = model.predict(new)
    mean, _ = population_mean(model.family, eta.estimate.to_numpy(), eta["sd_therapist"].to_numpy())
    assert population.estimate.to_numpy() == pytest.approx(mean)
    # averaged over simulated outcomes, the rows come out at the population level
    share = model.simulate(5, n=4000).iloc[[0, 40]].mean(axis=1)
    assert share.to_numpy() == pytest.approx(mean, abs=0.04)
    conditional = model.predict(sessions, level="conditional").estimate
    assert conditional.to_numpy() == pytest.approx(model.augment().fitted.to_numpy())


def test_augment_and_refit(sessions):
    model = glmm("dropout ~ alliance + (1 | therapist)", sessions)
    rows = model.augment()
    assert list(rows.columns)[:5] == [
        "outcome", "fitted", "linear_predictor", "residual", "residual_pearson",
    ]  # fmt: skip
    assert (rows.outcome - rows.fitted).to_numpy() == pytest.approx(rows.residual.to_numpy())
    again = model.refit(sessions["dropout"])
    assert again.log_lik == pytest.approx(model.log_lik, abs=1e-9)
    other = model.refit(1 - sessions["dropout"])
    assert other.beta.to_numpy() == pytest.approx(-model.beta.to_numpy(), abs=SAME_OPTIMUM)


def test_result_protocol_and_columns(sessions):
    model = glmm("dropout ~ alliance + (1 | therapist)", sessions)
    assert isinstance(model, Result)
    for table in (model.tidy(), model.tidy(effects="ran_vals"), model.tidy(effects="ran_pars")):
        assert set(table.columns) <= set(GLOSSARY)
    own = {"n_therapist", "n_parameters"}
    assert set(model.glance().columns) - own <= set(GLOSSARY)
    assert list(model.tidy(effects="ran_pars").term) == ["sd__(Intercept)"]
    assert len(model.random_effects()) == 12
    assert (model.tidy().df == np.inf).all()
    narrow = model.tidy(conf_level=0.5)
    assert (narrow.conf_low > model.tidy().conf_low).all()
    before = sessions.copy()
    glmm("dropout ~ alliance + (1 | therapist)", sessions)
    pd.testing.assert_frame_equal(before, sessions)


def test_summary_text(sessions):
    text = glmm("dropout ~ alliance + (1 | therapist)", sessions, nodes=9).summary()
    notes, _, text = text.partition("\n\n")
    assert notes.startswith("12 units of therapist: in ")
    assert text.startswith(
        "Generalized linear mixed model (binomial, logit link) fitted by maximum likelihood with "
        "adaptive Gauss-Hermite quadrature with 9 nodes (dropout ~ alliance + (1 | therapist)), "
        "Wald z tests"
    )
    assert "180 rows, 12 units of therapist." in text


def test_aliased_columns_are_named(sessions):
    sessions["double"] = 2.0 * sessions["alliance"]
    model = glmm("dropout ~ alliance + double + (1 | therapist)", sessions)
    assert np.isnan(model.beta["double"])
    assert "Not estimable, since other columns determine them: double." in model.summary()


def test_far_out_probabilities_keep_their_digits():
    y, n = np.array([0.0, 1.0]), np.ones(2)
    eta = np.array([-40.0, -40.0])
    for link in ("logit", "cloglog"):
        family = family_of("binomial", link)
        density, score, weight = family.slopes(eta, family.outcome(y, n))
        # both links are log-linear out there: log p = eta, 1 - p = 1
        assert density == pytest.approx([-np.exp(-40.0), -40.0], rel=1e-12)
        assert score == pytest.approx([-np.exp(-40.0), 1.0], rel=1e-12)
        assert weight[0] == pytest.approx(np.exp(-40.0), rel=1e-12)
    cloglog = family_of("binomial", "cloglog")
    _, _, weight = cloglog.slopes(eta, cloglog.outcome(y, n))
    assert weight[1] == pytest.approx(np.exp(-40.0) / 2.0, rel=1e-12)  # x / 2 for small hazards
