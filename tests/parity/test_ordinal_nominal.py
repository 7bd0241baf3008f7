"""Effects on single thresholds, and quadrature of ratings in steps, against clmm2."""

import functools

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import OrdinalMixedModel, ordinal
from tests.parity.reference import load_reference

REFERENCE = load_reference("ordinal_nominal")

# clmm2's optimiser stops at a gradient of about 1e-4: the log-likelihood is then right to 1e-6, and
# it stops above ours by as much.
LOG_LIK = 1e-4
# In standard errors, for the same reason.
ESTIMATE = 2e-3
STD_ERROR = 5e-4

CASES = {
    "even_arm": ("even", "rating ~ x + arm + (1 | g)", {"nominal": "~ arm"}),
    "even_arm_nodes": ("even", "rating ~ x + arm + (1 | g)", {"nominal": "~ arm", "nodes": 9}),
    "uneven_x": ("uneven", "rating ~ x + arm + (1 | g)", {"nominal": "x"}),
    "uneven_both": (
        "uneven", "rating ~ x + arm + (1 | g)", {"nominal": "~ x + arm", "link": "probit"},
    ),
    "uneven_nodes": ("uneven", "rating ~ x + arm + (1 | g)", {"nodes": 11}),
}  # fmt: skip


@functools.cache
def fitted(case: str) -> OrdinalMixedModel:
    data, formula, options = CASES[case]
    return ordinal(formula, pd.DataFrame(REFERENCE[data]), **options)


def ours(case: str) -> pd.DataFrame:
    """Return estimates under clmm2's names; effects on thresholds have the other sign there."""
    model = fitted(case)
    fixed, thresholds = model.tidy(), model.tidy(effects="thresholds")
    moved = fixed["term"].str.contains(" at ")
    names = fixed["term"].str.replace("[T.", "", regex=False).str.replace("]", "", regex=False)
    parts = names.str.split(" at ")
    names = [f"{p[1]}.{p[0]}" if len(p) == 2 else p[0] for p in parts]
    suffix = "" if not moved.any() else ".(Intercept)"
    return pd.DataFrame(
        {
            "term": [*names, *(t + suffix for t in thresholds["term"])],
            "estimate": [*np.where(moved, -1, 1) * fixed["estimate"], *thresholds["estimate"]],
            "std_error": [*fixed["std_error"], *thresholds["std_error"]],
        }
    ).set_index("term")


@pytest.mark.parametrize("case", CASES)
def test_log_likelihood_equals_clmm2(case):
    assert fitted(case).convergence.converged
    difference = fitted(case).log_lik - REFERENCE[case]["log_lik"]
    assert -1e-8 < difference < LOG_LIK


@pytest.mark.parametrize("case", CASES)
def test_estimates_equal_clmm2(case):
    reference, found = REFERENCE[case], ours(case)
    assert set(found.index) == set(reference["term"])
    own = found.loc[reference["term"]]
    se = np.array(reference["std_error"])
    assert np.abs((own["estimate"] - reference["estimate"]) / se).max() < ESTIMATE
    assert own["std_error"].to_numpy() == pytest.approx(se, rel=STD_ERROR)
    sd = fitted(case).tidy(effects="ran_pars").loc[0, "estimate"]
    assert sd == pytest.approx(reference["sd"], rel=ESTIMATE)
