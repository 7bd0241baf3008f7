"""Discrete-time hazards equal glmmTMB, glm and nnet::multinom."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.survival import (
    competing_hazards,
    cumulative_incidence,
    discrete_hazard,
    kaplan_meier,
)
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_discrete")
ROWS = pd.DataFrame(REFERENCE["data"])
COLUMNS = {"session": "session", "event": "event", "unit": "family"}

# Newton to rounding on both sides.
NEWTON = 1e-8
# In standard errors: BFGS leaves glmmTMB's parameters about 1e-5 of them from the optimum.
COEFFICIENTS = 1e-4
# Its standard errors come from finite differences of the gradient.
STD_ERRORS = 1e-4
LOG_LIK = 1e-8
# multinom is BFGS without tight gradients; its Hessian is analytic at that point.
MULTINOM = 2e-5


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_mixed_hazard_equals_glmmtmb(link: str) -> None:
    fit = discrete_hazard("alliance + barrier", ROWS, **COLUMNS, link=link)
    r = REFERENCE["mixed"][link]
    fixed = fit.tidy()
    assert_allclose(fit.fit.log_lik, r["log_lik"], rtol=LOG_LIK)
    distance = (fixed["estimate"] - r["beta"]) / fixed["std_error"]
    assert_allclose(distance, 0.0, atol=COEFFICIENTS)
    assert_allclose(fixed["std_error"], r["se"], rtol=STD_ERRORS)
    spread = fit.tidy(effects="ran_pars").iloc[0]
    assert_allclose(spread["estimate"], r["sd"], rtol=STD_ERRORS)
    # a profile interval: not symmetric, but near the Wald one of the log SD
    half = 1.959963984540054 * r["log_sd_se"]
    assert spread["conf_low"] < r["sd"] < spread["conf_high"]
    assert_allclose(
        np.log([spread["conf_low"], spread["conf_high"]]),
        np.log(r["sd"]) + np.array([-half, half]),
        atol=0.15,
    )
    wald = fit.fit.median_ratios(ci_method="wald").iloc[0]
    limits = np.log(np.log([wald["conf_low"], wald["conf_high"]]))
    assert_allclose(np.diff(limits), 2 * half, atol=1e-3)  # differenced twice on both sides
    assert "no one left: hazard 0" in fit.rows.steps[-1].reason
    median = fit.median_ratios().iloc[0]
    assert_allclose(
        median["estimate"], np.exp(0.6744897501960817 * np.sqrt(2) * r["sd"]), rtol=1e-4
    )


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_hazard_without_random_effects_equals_glm(link: str) -> None:
    fit = discrete_hazard("alliance + barrier", ROWS, **COLUMNS, link=link, random=None)
    r = REFERENCE["plain"][link]
    assert_allclose(fit.tidy()["estimate"], r["beta"], rtol=NEWTON, atol=NEWTON)
    assert_allclose(fit.tidy()["std_error"], r["se"], rtol=STD_ERRORS)
    assert_allclose(fit.fit.log_lik, r["log_lik"], rtol=1e-12)


@pytest.mark.parametrize(("baseline", "df"), [("spline", 3), ("polynomial", 2)])
def test_smooth_baselines_equal_glm(baseline: str, df: int) -> None:
    fit = discrete_hazard(
        "alliance + barrier", ROWS, **COLUMNS, random=None, baseline=baseline, baseline_df=df
    )
    r = REFERENCE[baseline]
    assert_allclose(fit.fit.log_lik, r["log_lik"], rtol=1e-11)
    ratios = np.log(fit.hazard_ratios()["estimate"])
    assert_allclose(ratios, r["beta"][-2:], rtol=1e-7)
    assert fit.rows.n_used == len(ROWS)


def test_competing_hazards_equal_multinom() -> None:
    fit = competing_hazards(
        "alliance + barrier",
        ROWS,
        session="session",
        event="ending",
        unit="family",
        baseline="polynomial",
        baseline_df=2,
    )
    r = REFERENCE["competing"]
    tidy = fit.tidy()
    assert_allclose(fit.log_lik, r["log_lik"], rtol=1e-11)
    assert_allclose(tidy["estimate"], np.ravel(r["beta"]), rtol=MULTINOM, atol=MULTINOM)
    assert_allclose(tidy["std_error"], np.ravel(r["se"]), rtol=MULTINOM)


def _units() -> pd.DataFrame:
    last = ROWS.groupby("family").tail(1)
    return last.assign(time=last["session"].astype(float))


def test_saturated_hazards_are_the_life_table_and_kaplan_meier() -> None:
    curve = discrete_hazard("1", ROWS, **COLUMNS, random=None).curve()
    km = kaplan_meier(_units(), time="time", event="event").tidy()
    assert_allclose(curve["survival"], km["estimate"], rtol=1e-12)
    assert_allclose(curve["hazard"], km["n_event"] / km["n_risk"], rtol=1e-12, atol=0)
    assert curve.loc[curve["time"] == 7, "hazard"].item() == 0.0
    # Greenwood's variance is the delta method's (Singer & Willett 1993); limits on log(-log)
    some = km["n_event"].cumsum() > 0
    assert_allclose(curve["survival_low"][some], km["conf_low"][some], rtol=1e-9)
    assert_allclose(curve["survival_high"][some], km["conf_high"][some], rtol=1e-9)


def test_saturated_competing_hazards_are_aalen_johansen() -> None:
    fit = competing_hazards("1", ROWS, session="session", event="ending", unit="family")
    curve = fit.curve()
    incidence = cumulative_incidence(_units(), time="time", event="ending").tidy()
    both = curve.merge(incidence, on=["state", "time"])
    assert len(both) == len(incidence)
    assert_allclose(both["estimate_x"], both["estimate_y"], atol=1e-12)


def test_population_survival_is_that_of_simulated_therapists() -> None:
    """Integrating over therapists equals averaging the curves of many drawn ones."""
    fit = discrete_hazard("barrier", ROWS, **COLUMNS)
    course = pd.DataFrame({"barrier": [1]})
    sd = fit.tidy(effects="ran_pars")["estimate"].item()
    assert sd > 0.3
    typical = fit.curve(course, level="typical")
    hazard = typical["hazard"].to_numpy()
    draws = np.exp(sd * np.random.default_rng(1).standard_normal(400_000))
    cumulative = np.cumsum(-np.log1p(-hazard))
    expected = np.array([np.exp(-c * draws).mean() for c in cumulative])
    population = fit.curve(course)["survival"]
    assert_allclose(population, expected, atol=2e-3)  # 4 Monte Carlo standard errors
    # those of high hazard have gone
    last = fit.curve(course)["hazard"].iloc[-1]
    assert last < typical["hazard"].iloc[-1] - 0.005
