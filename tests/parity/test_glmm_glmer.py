"""Laplace and adaptive Gauss-Hermite quadrature against glmer, and against exact integration."""

import functools

import numpy as np
import pytest

from alliance_stats.multilevel import GeneralizedLinearMixedModel, glmm
from tests.parity.reference import load_reference, r_data
from tests.parity.test_glmm_glmmtmb import _cbpp, _ticks, _verbagg

REFERENCE = load_reference("glmm_glmer")

# bobyqa with rhoend 1e-10 on a deviance that glmer's PIRLS leaves exact to about 1e-9.
LOG_LIK = 1e-6
# In standard errors. A derivative-free optimiser sees a flat optimum only to the root of its
# deviance's rounding, and glmer's Hessian of differences is that of a function known to 1e-9.
ESTIMATE, STD_ERROR = 1e-4, 1e-4
SD = 1e-4
# glmer's Hessian of differences is rough on VerbAgg: glmmTMB's standard errors, which ours equal to
# 1e-5 there (test_glmm_glmmtmb, verbagg_person), are 3e-4 off it too.
ROUGH_STD_ERROR = 5e-4
# R's integrate at 1e-11, 25 nodes: the quadrature's own error.
EXACT = 1e-7


@functools.cache
def cbpp(nodes: int) -> GeneralizedLinearMixedModel:
    return glmm("incidence ~ period + (1 | herd)", _cbpp(), weights="size", nodes=nodes)


def _agrees(model, reference, *, std_error):
    table = model.tidy()
    se = np.array(reference["std_error"])
    assert np.abs((table.estimate - reference["estimate"]) / se).max() < ESTIMATE
    assert table.std_error.to_numpy() == pytest.approx(se, rel=std_error)
    found = model.tidy(effects="ran_pars").set_index("group").estimate
    groups = np.atleast_1d(reference["group"])
    assert found[groups].to_numpy() == pytest.approx(np.atleast_1d(reference["sd"]), abs=SD)


@pytest.mark.parametrize("reference", REFERENCE["cbpp"], ids=lambda r: f"nodes-{r['nodes']}")
def test_quadrature_of_counts_equals_glmer(reference):
    model = cbpp(reference["nodes"])
    _agrees(model, reference, std_error=STD_ERROR)
    if reference["nodes"] == 1:
        assert model.log_lik == pytest.approx(reference["log_lik"], abs=LOG_LIK)


def test_many_nodes_give_the_exact_log_likelihood():
    reference = next(r for r in REFERENCE["cbpp"] if r["nodes"] == 25)
    assert cbpp(25).log_lik == pytest.approx(reference["exact"], abs=EXACT)


@pytest.mark.parametrize("reference", REFERENCE["verbagg"], ids=lambda r: f"nodes-{r['nodes']}")
def test_quadrature_of_yes_or_no_equals_glmer(reference):
    model = glmm("yes ~ Anger + Gender + btype + (1 | id)", _verbagg(), nodes=reference["nodes"])
    _agrees(model, reference, std_error=ROUGH_STD_ERROR)


@pytest.mark.parametrize("reference", REFERENCE["grouse_brood"], ids=lambda r: f"n-{r['nodes']}")
def test_quadrature_of_rates_equals_glmer(reference):
    model = glmm(
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD)",
        _ticks(),
        family="poisson",
        nodes=reference["nodes"],
    )
    _agrees(model, reference, std_error=STD_ERROR)


def test_three_poisson_factors_equal_glmer():
    model = glmm(
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        _ticks(),
        family="poisson",
    )
    reference = REFERENCE["grouseticks"]
    assert model.log_lik == pytest.approx(reference["log_lik"], abs=LOG_LIK)
    _agrees(model, reference, std_error=STD_ERROR)


def test_conditional_sds_of_modes_equal_glmer():
    # glmer's condVar: given theta and beta
    reference = next(r for r in REFERENCE["cbpp"] if r["nodes"] == 1)
    table = cbpp(1).tidy(effects="ran_vals")
    table = table.assign(level=table.level.astype(str)).set_index("level")
    own = table.loc[reference["mode_level"]]
    assert own.estimate.to_numpy() == pytest.approx(reference["mode"], abs=ESTIMATE)
    assert own.std_error.to_numpy() == pytest.approx(reference["mode_sd"], abs=ESTIMATE)


def test_conditional_sds_of_crossed_modes_equal_glmer():
    reference = REFERENCE["grouseticks"]
    model = glmm(
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        _ticks(),
        family="poisson",
    )
    table = model.tidy(effects="ran_vals")
    found = {
        (row.group, str(row.level)): (row.estimate, row.std_error) for row in table.itertuples()
    }
    keys = list(zip(reference["mode_group"], reference["mode_level"], strict=True))
    assert [found[key][0] for key in keys] == pytest.approx(reference["mode"], abs=ESTIMATE)
    assert [found[key][1] for key in keys] == pytest.approx(reference["mode_sd"], abs=ESTIMATE)


def test_data_of_the_reference_are_those_used_here():
    assert len(r_data("lme4", "cbpp")) == cbpp(1).nobs == 56
