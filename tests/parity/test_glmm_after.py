"""After a generalized fit, against glmmTMB: profile limits, the sandwich of therapists' scores."""

import functools

import numpy as np
import pandas as pd
import pytest

from alliance_stats import CR2, glmm, profile
from alliance_stats.multilevel.clusters import cluster_scores
from tests.parity.reference import load_reference

REFERENCE = load_reference("glmm_after")
DATA = pd.DataFrame(REFERENCE["data"])
CASES = {
    "counts": ("wild ~ x + own + (1 | therapist)", "negative binomial"),
    "events": ("yes ~ x + own + (1 | therapist)", "binomial"),
    "times": ("wait ~ x + own + (1 | therapist/family)", "gamma"),
}
# In standard errors: tmbroot ends within about 1e-4 of its unit.
LIMIT = 1e-3
# Both differentiate gradients by differences for the covariance between the scores.
SANDWICH = 1e-3


@functools.cache
def fitted(case):
    formula, family = CASES[case]
    return glmm(formula, DATA, family=family)


@pytest.mark.parametrize("case", CASES)
def test_the_sandwich_of_scores_is_that_of_glmmtmb(case):
    model, reference = fitted(case), REFERENCE[case]
    assert model.log_lik == pytest.approx(reference["log_lik"], abs=1e-6)
    scores, _ = cluster_scores(model.fit, "therapist")
    half = model.fit.from_search @ model.fit.minimum.covariance @ scores.T
    found = np.sqrt(np.diag(half @ half.T))
    assert found == pytest.approx(np.array(reference["cr0"][:3], dtype=float), rel=SANDWICH)
    # the correction for few clusters makes it larger
    assert (model.tidy(vcov=CR2("therapist"))["std_error"].to_numpy() > found).all()


# where an SD is 0, glmmTMB's search for a limit leaves its logarithm far out: no profile
@pytest.mark.parametrize("case", ["counts", "times"])
def test_profile_limits_are_those_of_glmmtmb(case):
    model, reference = fitted(case), REFERENCE[case]
    errors = model.tidy()["std_error"].to_numpy()
    limits = [np.array(each, dtype=float) for each in reference["limits"]]
    found = profile(model).tidy().set_index("term")[["conf_low", "conf_high"]]
    for term, error, wanted in zip(("(Intercept)", "x", "own"), errors, limits, strict=False):
        assert found.loc[term].to_numpy() == pytest.approx(wanted, abs=LIMIT * error)
    wanted = limits[reference["names"].index("betad")]
    assert found.loc["dispersion|(Intercept)"].to_numpy() == pytest.approx(wanted, abs=LIMIT)
    sds = [wanted for name, wanted in zip(reference["names"], limits, strict=True)
           if name == "theta"]  # fmt: skip
    names = ["therapist:family", "therapist"] if case == "times" else ["therapist"]
    for name, wanted in zip(names, sds, strict=True):
        own = found.loc[f"{name}|sd__(Intercept)"].to_numpy()
        with np.errstate(over="ignore"):
            theirs = np.exp(wanted)
        known = np.isfinite(theirs) & (theirs > 1e-3)
        assert own[known] == pytest.approx(theirs[known], rel=LIMIT)
