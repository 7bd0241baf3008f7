"""Therapists with few families: quadrature equals glmer's, and exact integration."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.survival import DiscreteHazard, discrete_hazard
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_quadrature")
ROWS = pd.DataFrame(REFERENCE["data"])

# In standard errors: bobyqa sees a flat optimum to the root of its deviance's rounding only.
ESTIMATE = 5e-5
SD = 1e-5
# glmer's Hessian is one of differences of a deviance known to about 1e-9.
STD_ERROR = 5e-4
# R's integrate at 1e-11, and the error of 25 nodes.
EXACT = 1e-7


def fitted(link: str, nodes: int) -> DiscreteHazard:
    return discrete_hazard(
        "alliance + barrier",
        ROWS,
        session="session",
        event="event",
        unit="family",
        link=link,
        nodes=nodes,
    )


@pytest.mark.parametrize("r", REFERENCE["fits"], ids=lambda r: f"{r['link']}-{r['nodes']}")
def test_hazards_by_quadrature_equal_glmer(r: dict) -> None:
    fit = fitted(r["link"], r["nodes"])
    table = fit.tidy()
    assert_allclose((table["estimate"] - r["beta"]) / r["se"], 0.0, atol=ESTIMATE)
    assert_allclose(table["std_error"], r["se"], rtol=STD_ERROR)
    assert_allclose(fit.tidy(effects="ran_pars")["estimate"], r["sd"], rtol=SD)
    if r["nodes"] == 25:
        assert_allclose(fit.fit.log_lik, r["exact"], atol=EXACT)
    assert fit.glance()["nodes"].item() == r["nodes"]


def test_laplace_places_the_spread_of_small_groups_too_low() -> None:
    """Four families a therapist: what `nodes` is for. The two fits' own intervals tell it too."""
    laplace, exact = fitted("logit", 1), fitted("logit", 25)
    sds = [fit.tidy(effects="ran_pars").iloc[0] for fit in (laplace, exact)]
    assert sds[0]["estimate"] < 0.97 * sds[1]["estimate"]
    assert sds[0]["conf_high"] < sds[1]["conf_high"]
    finer = fitted("logit", 40)
    assert np.abs(finer.fit.log_lik - exact.fit.log_lik) < EXACT
