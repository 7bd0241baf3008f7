"""Gamma frailty at and near a variance of zero equals survival's, and is never refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.survival import cox_ph
from alliance_stats.survival.cox.frailty_likelihood import gamma_penalty
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_small_frailty")

# The likelihood is nearly flat in so small a variance: R's search stops about 1e-5 of it away.
VARIANCE_TOLERANCE = 1e-4
COEF_TOLERANCE = 1e-6
# At its boundary R stops at a variance of 2e-8, whose likelihood it computes to about 1e-8 of it.
LOG_LIK_TOLERANCE = 2e-8
COLUMNS = {"time": "time", "event": "left", "frailty": "therapist"}


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("name", ["little", "none"])
def test_a_variance_near_zero_equals_coxph(name: str, ties: str) -> None:
    reference = REFERENCE[name][ties]
    fit = cox_ph("alliance + barrier", pd.DataFrame(REFERENCE[name]["data"]), ties=ties, **COLUMNS)
    assert fit.frailty is not None
    if reference["theta"] < 1e-6:
        assert fit.frailty.variance == 0.0
    else:
        assert_allclose(fit.frailty.variance, reference["theta"], rtol=VARIANCE_TOLERANCE)
    assert_allclose(fit.beta, reference["coef"], rtol=COEF_TOLERANCE)
    assert_allclose(fit.tidy()["std_error"], reference["se"], rtol=COEF_TOLERANCE)
    assert_allclose(fit.frailty.log_lik, reference["loglik"], rtol=LOG_LIK_TOLERANCE)


@pytest.mark.parametrize("seed", [53, 113, 162, 184])
def test_unlucky_rounding_near_zero_is_not_called_separation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, per = rng.integers(3, 40), rng.integers(2, 40)
    therapist = np.repeat(np.arange(groups), per)
    n = len(therapist)
    variance = {53: 0.1, 184: 0.001}.get(seed, 0.0)
    w = rng.gamma(1 / variance, variance, groups) if variance else np.ones(groups)
    alliance, barrier = rng.normal(size=n), rng.integers(0, 2, n)
    hazard = 0.08 * w[therapist] * np.exp(-0.7 * alliance + 0.4 * barrier)
    last = [8, 20, 60][seed % 3]
    left_at = np.minimum(np.ceil(rng.exponential(1 / hazard)), last)
    seen_to = np.ceil(rng.exponential(20, n))
    data = pd.DataFrame(
        {
            "time": np.minimum(left_at, seen_to),
            "left": ((left_at <= seen_to) & (left_at < last)).astype(int),
            "alliance": alliance,
            "barrier": barrier,
            "therapist": therapist,
        }
    )
    for ties in ("efron", "breslow"):
        fit = cox_ph("alliance + barrier", data, ties=ties, **COLUMNS)
        plain = cox_ph("alliance + barrier", data, ties=ties, time="time", event="left")
        assert fit.frailty is not None
        if fit.frailty.variance == 0.0:
            assert_allclose(fit.beta, plain.beta, rtol=COEF_TOLERANCE)
        # integrating over frailties can only raise the best log-likelihood
        assert fit.frailty.log_lik >= plain.fit.at.log_lik - LOG_LIK_TOLERANCE
        assert fit.frailty.interval()[0] == 0.0


def test_the_gamma_penalty_keeps_its_digits_where_frailties_are_tiny() -> None:
    theta = 1e-7
    b = theta * np.array([-3.0, 1.0, 2.0])
    pull = gamma_penalty(theta)(b)
    value, slope, curvature = pull.value, pull.slope, pull.curvature
    # exp(b) - 1 - b = b^2 / 2 + b^3 / 6 + ...
    assert_allclose(value, (b**2 / 2 + b**3 / 6).sum() / theta, atol=1e-14, rtol=0)
    assert_allclose(slope, (b + b**2 / 2 + b**3 / 6) / theta, rtol=1e-14)
    assert_allclose(curvature, np.exp(b) / theta, rtol=1e-15)
