"""Correlation by visits and SDs that follow covariates, against nlme's gls and lme."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import multilevel
from alliance_stats.multilevel import lmm
from tests.parity.reference import load_reference

NLME = load_reference("lmm_visits")

LOG_LIK = 1e-7
# nlme stops where its own iterations no longer move; its parameters are good to about 1e-4.
ESTIMATE, STD_ERROR, SIGMA, SHAPE = 3e-4, 3e-4, 1e-3, 2e-3


def _structure(text: str):
    found = []
    for part in text.split():
        kind, *columns = part.split(":")
        names = [tuple(c.split("+")) if "+" in c else c for c in columns]
        found.append(getattr(multilevel, kind)(*names))
    return found


@pytest.mark.parametrize("case", NLME["fits"], ids=lambda case: case["name"])
def test_structures_of_visits(case):
    data = pd.DataFrame(case["data"])
    if "Sex" in data:
        data["Sex"] = pd.Categorical(data["Sex"], categories=["Male", "Female"])
    model = lmm(case["formula"], data, reml=case["reml"], residual=_structure(case["structure"]))
    assert model.convergence.converged
    assert model.log_lik == pytest.approx(case["log_lik"], rel=LOG_LIK)
    table = model.tidy(df_method="normal")
    np.testing.assert_allclose(
        (table["estimate"] - case["estimate"]) / case["std_error"], 0.0, atol=ESTIMATE
    )
    np.testing.assert_allclose(table["std_error"], case["std_error"], rtol=STD_ERROR)
    pars = model.tidy(effects="ran_pars").query("group == 'Residual'")
    _same_spread(case, pars, data)
    if case["correlation"] is not None:
        (correlation,) = [model.problem.shape.correlation]
        found = correlation.whole(model.problem.shape.parts(model.fit.eta)[-1])
        np.testing.assert_allclose(found, case["correlation"], atol=SHAPE)


def _same_spread(case, pars, data):
    values = {
        (term, level): value
        for term, level, value in zip(pars["term"], pars["level"], pars["estimate"], strict=True)
    }
    spread = case["spread"]
    if spread is None:
        return
    if "power" in spread:  # nlme's sigma is at a covariate of 1, ours at its geometric mean
        assert values["delta__VariancePower(age)", None] == pytest.approx(
            spread["power"], rel=SHAPE
        )
        here = case["sigma"] * np.exp(np.log(data["age"]).mean() * spread["power"])
        assert values["sd__Observation", None] == pytest.approx(here, rel=SIGMA)
        return
    if "expon" in spread:
        delta = values["delta__VarianceExponential(age)", None]
        assert delta == pytest.approx(spread["expon"], rel=SHAPE)
        here = case["sigma"] * np.exp(data["age"].mean() * spread["expon"])
        assert values["sd__Observation", None] == pytest.approx(here, rel=SIGMA)
        return
    for stratum, relative in spread.items():
        ours = values["sd__Observation", stratum.replace("*", ":")]
        assert ours == pytest.approx(case["sigma"] * relative, rel=SIGMA)
