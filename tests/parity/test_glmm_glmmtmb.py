"""Laplace fits against glmmTMB: every link, nested and crossed factors, slopes, trials, offsets."""

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.multilevel import GeneralizedLinearMixedModel, glmm
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("glmm_glmmtmb")

# Both sides are exact to about 1e-8 at their optimum; nlminb stops where it sees no more progress.
LOG_LIK = 1e-6
# glmmTMB's correlation of 0.99997 is exactly 1 here, where the likelihood is 1.6e-6 higher.
BOUNDARY_LOG_LIK = 1e-5
# In standard errors; BFGS leaves the parameters about 1e-5 of them from the optimum.
ESTIMATE = 1e-4
# TMB differentiates its gradient by differences, and so do we: good to about 1e-5.
STD_ERROR = 1e-4
# The modes inherit the parameters' 1e-5.
MODE = 1e-4
# The standard error of a log SD, by differences on both sides.
SD_LIMIT = 1e-3
# TMB prints predictions at its own estimates.
PREDICTION = 1e-4


def _cbpp() -> pd.DataFrame:
    data = r_data("lme4", "cbpp")
    return data.assign(period=data["period"].astype(str))


def _ticks() -> pd.DataFrame:
    data = r_data("lme4", "grouseticks")
    for column in ("YEAR", "BROOD", "LOCATION", "INDEX"):
        data[column] = data[column].astype(str)
    return data.assign(cHEIGHT=data["HEIGHT"] - data["HEIGHT"].mean())


def _verbagg() -> pd.DataFrame:
    data = r_data("lme4", "VerbAgg")
    return data.assign(yes=(data["r2"] == "Y").astype(int), id=data["id"].astype(str))


HAZARD = "event ~ session + alliance + experience + (1 | therapist/family)"
CASES = {
    "cbpp_logit": ("incidence ~ period + (1 | herd)", _cbpp, {"weights": "size"}),
    "cbpp_probit": (
        "incidence ~ period + (1 | herd)",
        _cbpp,
        {"weights": "size", "link": "probit"},
    ),
    "cbpp_cloglog": (
        "incidence ~ period + (1 | herd)",
        _cbpp,
        {"weights": "size", "link": "cloglog"},
    ),
    "grouseticks": (
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        _ticks,
        {"family": "poisson"},
    ),
    "verbagg": ("yes ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", _verbagg, {}),
    "verbagg_person": ("yes ~ Anger + Gender + btype + (1 | id)", _verbagg, {}),
    "hazard_cloglog": (HAZARD, lambda: pd.DataFrame(REFERENCE["hazard_data"]), {"link": "cloglog"}),
    "hazard_logit": (HAZARD, lambda: pd.DataFrame(REFERENCE["hazard_data"]), {}),
    "hazard_slope": (
        "event ~ session + alliance + (1 + alliance | therapist)",
        lambda: pd.DataFrame(REFERENCE["hazard_data"]),
        {"link": "cloglog"},
    ),
    "visits_slope": (
        "events ~ time + (1 + time | person)",
        lambda: pd.DataFrame(REFERENCE["visits"]),
        {"family": "poisson", "offset": "log_exposure"},
    ),
}


@functools.cache
def fitted(case: str) -> GeneralizedLinearMixedModel:
    formula, data, options = CASES[case]
    return glmm(formula, data(), **options)


@pytest.mark.parametrize("case", CASES)
def test_fit_statistics_equal_glmmtmb(case):
    model, reference = fitted(case), REFERENCE[case]
    glance = model.glance().iloc[0]
    assert glance.converged
    tolerance = BOUNDARY_LOG_LIK if glance.singular else LOG_LIK
    assert glance.log_lik == pytest.approx(reference["log_lik"], abs=tolerance)
    assert glance.aic == pytest.approx(reference["aic"], abs=2 * tolerance)
    assert glance.bic == pytest.approx(reference["bic"], abs=2 * tolerance)


@pytest.mark.parametrize("case", CASES)
def test_log_likelihood_is_no_lower(case):
    # a better optimum than the reference's is allowed, a worse one is not
    assert fitted(case).log_lik >= REFERENCE[case]["log_lik"] - 1e-8


@pytest.mark.parametrize("case", CASES)
def test_coefficients_and_standard_errors_equal_glmmtmb(case):
    table, reference = fitted(case).tidy(), REFERENCE[case]
    se = np.array(reference["std_error"])
    assert np.abs((table.estimate - reference["estimate"]) / se).max() < ESTIMATE
    assert table.std_error.to_numpy() == pytest.approx(se, rel=STD_ERROR)
    scaled = (fitted(case).vcov().to_numpy() - np.array(reference["vcov"])) / np.outer(se, se)
    assert np.abs(scaled).max() < 2 * STD_ERROR


@pytest.mark.parametrize("case", CASES)
def test_random_effects_parameters_equal_glmmtmb(case):
    reference = REFERENCE[case]["ran_pars"]
    wanted = {
        (group, term): value
        for group, term, value in zip(
            reference["group"], reference["term"], reference["estimate"], strict=True
        )
    }
    table = fitted(case).tidy(effects="ran_pars")
    found = {(row.group, row.term): row.estimate for row in table.itertuples()}
    assert found == pytest.approx(wanted, abs=ESTIMATE)


@pytest.mark.parametrize("case", CASES)
def test_modes_equal_glmmtmb(case):
    reference = REFERENCE[case]
    table = fitted(case).tidy(effects="ran_vals")
    own = table[(table.group == reference["first_group"]) & (table.term == "(Intercept)")]
    found = dict(zip(own.level.astype(str), own.estimate, strict=True))
    wanted = dict(zip(reference["first_level"], reference["mode"], strict=True))
    assert found == pytest.approx(wanted, abs=MODE)


@pytest.mark.parametrize("case", CASES)
def test_fitted_values_equal_glmmtmb(case):
    model, reference = fitted(case), REFERENCE[case]
    data = CASES[case][1]().head(20)
    conditional = model.predict(data, level="conditional").estimate
    assert conditional.to_numpy() == pytest.approx(reference["fitted"], abs=PREDICTION, rel=1e-4)
    eta = model.linear_predictor(data).estimate
    assert eta.to_numpy() == pytest.approx(reference["population_eta"], abs=PREDICTION)


@pytest.mark.parametrize("case", ["cbpp_logit", "hazard_cloglog", "hazard_logit"])
def test_median_ratio_limits_are_those_of_the_sd(case):
    # glmmTMB's Wald interval of each SD, taken on the log scale, carried over to the ratio
    model, limits = fitted(case), REFERENCE[case]["sd_limits"]
    reference = np.atleast_1d(REFERENCE[case]["ran_pars"]["group"])
    order = [list(reference).index(group) for group in model.median_ratios(ci_method="wald").group]
    low, high = (np.atleast_1d(limits[side])[order] for side in ("low", "high"))
    table = model.median_ratios(ci_method="wald")
    unit = np.sqrt(2.0) * stats.norm.ppf(0.75)
    assert np.log(table.conf_low.to_numpy()) / unit == pytest.approx(low, abs=SD_LIMIT)
    assert np.log(table.conf_high.to_numpy()) / unit == pytest.approx(high, abs=SD_LIMIT)
