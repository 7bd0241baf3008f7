"""Families with a dispersion, and zero-truncated counts, against glmmTMB."""

import functools

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import GeneralizedLinearMixedModel, glmm
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("glmm_dispersed")

# Both sides are at their optimum to about 1e-9; BFGS leaves its own log-likelihood that far below.
LOG_LIK = 1e-8
# In standard errors: where BFGS stops.
ESTIMATE = 1e-5
# Both differentiate a gradient by differences: good to about 1e-5.
STD_ERROR = 3e-5
# Fitted values inherit the estimates' tolerance.
FITTED = 1e-5

NESTED = "x + session + role + (1 | therapist/family)"
OWLS = "calls ~ food * sex + offset(log_brood) + (1 | nest)"
FOOD = "calls ~ food + offset(log_brood) + (1 | nest)"
NB2, NB1 = {"family": "negative binomial"}, {"family": "linear negative binomial"}
TNB2 = {"family": "truncated negative binomial"}
TNB1 = {"family": "truncated linear negative binomial"}


def _families() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["families"])


def _owls() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["owls"])


def _crossed() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["crossed"])


def _cbpp() -> pd.DataFrame:
    data = r_data("lme4", "cbpp")
    return data.assign(period=data["period"].astype(str))


CASES = {
    "nb2_nested": (f"missed ~ {NESTED} + offset(log_exposure)", _families, NB2),
    "nb2_owls": (OWLS, _owls, NB2),
    "nb2_slope": ("calls ~ I(arrival - 25) + (1 + I(arrival - 25) | nest)", _owls, NB2),
    "nb2_dispersion": (FOOD, _owls, {**NB2, "dispersion": "~ food"}),
    "nb1_nested": (f"calls ~ {NESTED}", _families, NB1),
    "nb1_owls": (OWLS, _owls, NB1),
    "nb1_dispersion": (FOOD, _owls, {**NB1, "dispersion": "~ food"}),
    "bb_nested": (f"hits ~ {NESTED}", _families, {"family": "beta-binomial", "weights": "trials"}),
    "bb_cbpp": (
        "incidence ~ period + (1 | herd)",
        _cbpp,
        {"family": "beta-binomial", "weights": "size"},
    ),
    "gamma_nested": (f"wait ~ {NESTED}", _families, {"family": "gamma"}),
    "gamma_slope": (
        "Reaction ~ Days + (1 + Days | Subject)",
        lambda: r_data("lme4", "sleepstudy"),
        {"family": "gamma"},
    ),
    "gamma_crossed": ("seconds ~ age + (1 | person) + (1 | item)", _crossed, {"family": "gamma"}),
    "beta_nested": (f"share ~ {NESTED}", _families, {"family": "beta"}),
    "beta_crossed": ("share ~ age + (1 | person) + (1 | item)", _crossed, {"family": "beta"}),
    "beta_dispersion": (f"share ~ {NESTED}", _families, {"family": "beta", "dispersion": "~ role"}),
    "trunc_nested": (f"named ~ {NESTED}", _families, {"family": "truncated poisson"}),
    "tnb2_nested": (f"heard ~ {NESTED}", _families, TNB2),
    "tnb1_nested": (f"told ~ {NESTED}", _families, TNB1),
    "tnb2_owls": (OWLS, lambda: _owls().query("calls > 0"), TNB2),
    "tnb1_owls": (OWLS, lambda: _owls().query("calls > 0"), TNB1),
    "trunc_owls": (OWLS, lambda: _owls().query("calls > 0"), {"family": "truncated poisson"}),
}


@functools.cache
def fitted(case: str) -> GeneralizedLinearMixedModel:
    formula, data, options = CASES[case]
    return glmm(formula, data(), **options)


@pytest.mark.parametrize("case", CASES)
def test_fit_statistics_equal_glmmtmb(case):
    glance, reference = fitted(case).glance().iloc[0], REFERENCE[case]
    assert glance.converged
    assert glance.n_parameters == reference["df"]
    assert glance.log_lik == pytest.approx(reference["log_lik"], abs=LOG_LIK)
    assert glance.aic == pytest.approx(reference["aic"], abs=2 * LOG_LIK)


@pytest.mark.parametrize("case", CASES)
def test_coefficients_equal_glmmtmb(case):
    table, reference = fitted(case).tidy(), REFERENCE[case]
    se = np.array(reference["std_error"])
    assert np.abs((table["estimate"] - reference["estimate"]) / se).max() < ESTIMATE
    assert table["std_error"].to_numpy() == pytest.approx(se, rel=STD_ERROR)


@pytest.mark.parametrize("case", CASES)
def test_dispersion_equals_glmmtmb(case):
    table, reference = fitted(case).tidy(effects="dispersion"), REFERENCE[case]
    se = np.array(reference["dispersion_se"], dtype=float)
    assert len(table) == len(se)
    assert (np.abs(table["estimate"] - reference["dispersion"]) < ESTIMATE * se).all()
    assert table["std_error"].to_numpy() == pytest.approx(se, rel=STD_ERROR)


@pytest.mark.parametrize("case", CASES)
def test_random_effects_and_fitted_values_equal_glmmtmb(case):
    model, reference = fitted(case), REFERENCE[case]
    ours = np.sort(model.tidy(effects="ran_pars")["estimate"])
    # a variance of zero is 2e-6 in glmmTMB
    assert ours == pytest.approx(np.sort(reference["ran_pars"]["estimate"]), abs=1e-5)
    augmented = model.augment().head(20)
    trials = model.fit.trials[:20] if "weights" in CASES[case][2] else 1.0
    means = (augmented["fitted"] / trials).to_numpy()
    assert means == pytest.approx(np.array(reference["fitted"]), rel=FITTED)
