"""Cox models with case weights equal those of survival, and of rows written out."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import adjusted_curves, concordance, cox_ph, fine_gray
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_weights")
LUNG = pd.DataFrame(REFERENCE["lung"])
WHEN = {"time": "time", "event": "left"}
# Newton's method on both sides.
TOLERANCE = 1e-7
MODELS = {
    "efron": ("age + sex + `ph.ecog`", {}),
    "breslow": ("age + sex + `ph.ecog`", {"ties": "breslow"}),
    "clustered": ("age + sex + `ph.ecog`", {"cluster": "inst"}),
    "strata": ("age + `ph.ecog`", {"cluster": "inst", "strata": "sex"}),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_weighted_models_equal_coxph(name: str) -> None:
    formula, options = MODELS[name]
    fit = cox_ph(formula, LUNG, **WHEN, weights="w", **options)
    reference = REFERENCE[name]
    assert_allclose(fit.beta, reference["coef"], rtol=TOLERANCE)
    assert_allclose(fit.tidy()["std_error"], reference["se"], rtol=TOLERANCE)
    assert_allclose([fit.fit.log_lik_null, fit.fit.at.log_lik], reference["loglik"], rtol=TOLERANCE)
    assert_allclose(fit.augment()["martingale"], reference["martingale"], atol=TOLERANCE)


def test_weights_of_one_are_none() -> None:
    plain = cox_ph("age + sex", LUNG, **WHEN, cluster="inst")
    ones = cox_ph("age + sex", LUNG.assign(w=1.0), **WHEN, cluster="inst", weights="w")
    assert_allclose(ones.beta, plain.beta, rtol=1e-10)
    assert_allclose(ones.covariance, plain.covariance, rtol=1e-9)


def test_whole_weights_are_copies_of_rows_in_one_cluster() -> None:
    data = LUNG.assign(w=np.arange(len(LUNG)) % 3 + 1.0, id=np.arange(len(LUNG)))
    copies = data.loc[data.index.repeat(data["w"].astype(int))]
    weighted = cox_ph("age + sex", data, **WHEN, weights="w", ties="breslow")
    written = cox_ph("age + sex", copies, **WHEN, cluster="id", ties="breslow")
    assert_allclose(weighted.beta, written.beta, rtol=TOLERANCE)
    assert_allclose(weighted.covariance, written.covariance, rtol=TOLERANCE)
    assert_allclose(
        weighted.baseline()["cumulative_hazard"], written.baseline()["cumulative_hazard"],
        rtol=TOLERANCE,
    )  # fmt: skip
    assert "Weighted Cox model" in weighted.summary()


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_the_size_of_weights_changes_nothing_but_the_likelihood(size: float) -> None:
    moved = LUNG.assign(w=LUNG["w"] * size)
    one, other = (cox_ph("age + sex", d, **WHEN, weights="w") for d in (LUNG, moved))
    assert_allclose(other.beta, one.beta, rtol=1e-9)
    assert_allclose(other.covariance, one.covariance, rtol=1e-9)
    assert_allclose(
        other.anova(test="score")["statistic"], one.anova(test="score")["statistic"], rtol=1e-8
    )
    ending = {"time": "time", "event": "left", "cause": 1}
    fine = [fine_gray("age + sex", d, **ending, weights="w") for d in (LUNG, moved)]
    assert_allclose(fine[1].beta, fine[0].beta, rtol=1e-7)
    assert_allclose(fine[1].covariance, fine[0].covariance, rtol=1e-7)


def test_what_weights_are_not_is_refused() -> None:
    fit = cox_ph("age + sex", LUNG, **WHEN, weights="w")
    with pytest.raises(DataError, match="'w' is not above 0 in row 3"):
        cox_ph("age", LUNG.assign(w=LUNG["w"].where(LUNG.index != 3, 0.0)), **WHEN, weights="w")
    with pytest.raises(ValueError, match="a frailty and vcov='CR2'"):
        cox_ph("age", LUNG, **WHEN, weights="w", frailty="inst")
    for question in (
        lambda: concordance(fit),
        lambda: fit.survival(LUNG.iloc[[0]]),
        lambda: adjusted_curves(fit, variable="sex"),
    ):
        with pytest.raises(ValueError, match=r"is not offered for a model with weights="):
            question()
