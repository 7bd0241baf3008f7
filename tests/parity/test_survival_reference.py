"""Outcomes after leaving by reference arm against dense algebra around lme4, and its jackknife."""

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.survival import reference_imputation
from alliance_stats.survival.unseen.outcome_imputation import OutcomeImputer
from alliance_stats.survival.unseen.reference_imputation import _assumptions
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_reference")
# Both optimisers stop within about 1e-6 of the variances, of which means are weighted sums.
MEANS = 1e-5
# A jackknife takes differences of such estimates.
ERRORS = 1e-3
ASKED = {"group": "arm", "reference": "usual", "time": "time", "unit": "person"}


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pd.DataFrame(REFERENCE["data"])
    rows["arm"] = pd.Categorical(rows["arm"], ["usual", "new"])
    unseen = rows["y"].isna()
    return rows[~unseen], rows[unseen].drop(columns="y")


@pytest.fixture(scope="module")
def model(frames: tuple[pd.DataFrame, pd.DataFrame]) -> LinearMixedModel:
    return lmm("y ~ time * arm + (1 | therapist/person)", frames[0])


def test_means_of_the_unseen_by_every_method(model, frames) -> None:
    means = OutcomeImputer(model, frames[1]).expected()
    for k, assumption in enumerate(
        _assumptions(model, frames[1], ("arm", "usual"), "time", "person")
    ):
        assert_allclose(assumption.outcomes(means), REFERENCE["means"][k], rtol=MEANS)


def test_estimates_and_the_jackknife_over_therapists(model, frames) -> None:
    found = reference_imputation(
        model, frames[1], term="time:arm[T.new]", variance="conditional mean", **ASKED
    ).tidy()
    assert_allclose(found["estimate"], REFERENCE["estimate"], rtol=MEANS)
    assert_allclose(found["std_error"], REFERENCE["std_error"], rtol=ERRORS)
    assert (found["df"] == 11).all()


def test_imputations_pooled_have_the_same_estimates(model, frames) -> None:
    found = reference_imputation(
        model, frames[1], term="time:arm[T.new]", n_imputations=60, seed=4, **ASKED
    )
    table, between = found.tidy(), found.completed.estimates.std(axis=1, ddof=1)
    # 3.5 Monte Carlo standard errors of a mean of 60, and a tenth of an error for what variances
    # that are drawn anew weigh otherwise
    slack = 3.5 * between / 60**0.5 + 0.1 * table["std_error"]
    assert (abs(table["estimate"] - REFERENCE["estimate"]) < slack).all()
    # at random both variances are of the same thing; by reference the jackknife's is the smaller
    assert table["std_error"][3] > REFERENCE["std_error"][3]
