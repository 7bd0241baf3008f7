"""What must hold whatever the ratings: swapped outcomes, other units, unused sessions, order."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import AR1, lmm
from alliance_stats.panel import cross_lagged
from tests.unit.test_panel_cross_lagged import DATA, NAMES, simulate

SEARCH = 2e-6  # relative: two searches end within this of one another
WITH_LMM = 1e-5  # lmm's search for the residual correlation ends within this


@pytest.fixture(scope="module")
def found():
    return cross_lagged(DATA, nested_in=["therapist"], **NAMES)


def lags(model):
    return model.tidy().set_index(["outcome", "predictor"])


def test_swapped_outcomes_permute(found):
    swapped = cross_lagged(
        DATA, nested_in=["therapist"], **{**NAMES, "outcomes": ["symptoms", "alliance"]}
    )
    assert swapped.model.log_lik == pytest.approx(found.model.log_lik, rel=1e-10)
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(
            lags(swapped).loc[lags(found).index, column], lags(found)[column], rtol=SEARCH
        )


def test_other_units_rescale(found):
    other = cross_lagged(
        DATA.assign(symptoms=10 * DATA["symptoms"] + 7), nested_in=["therapist"], **NAMES
    )
    factor = {"alliance": 1.0, "symptoms": 10.0}
    for (outcome, predictor), row in lags(found).iterrows():
        ratio = factor[outcome] / factor[predictor]
        scaled = lags(other).loc[(outcome, predictor)]
        assert scaled["estimate"] == pytest.approx(ratio * row["estimate"], rel=SEARCH)
        assert scaled["std_error"] == pytest.approx(ratio * row["std_error"], rel=SEARCH)
    n = DATA["symptoms"].notna().sum()
    assert other.model.log_lik == pytest.approx(found.model.log_lik - n * np.log(10), rel=1e-10)


def test_an_unused_session_changes_nothing(found):
    unused = DATA[DATA["session"] == 1].assign(session=7, alliance=np.nan, symptoms=np.nan)
    more = cross_lagged(pd.concat([DATA, unused]), nested_in=["therapist"], **NAMES)
    assert more.model.log_lik == found.model.log_lik
    pd.testing.assert_frame_equal(more.tidy(), found.tidy())
    assert more.rows.n_set_aside == found.rows.n_set_aside + len(unused)


def test_row_order_and_names_of_persons_change_nothing(found):
    mixed = DATA.sample(frac=1, random_state=1).assign(person=lambda d: 1000 - d["person"])
    again = cross_lagged(mixed, nested_in=["therapist"], **NAMES)
    assert again.model.log_lik == pytest.approx(found.model.log_lik, rel=1e-12)
    np.testing.assert_allclose(lags(again)["estimate"], lags(found)["estimate"], rtol=SEARCH)


def test_later_session_numbers_change_nothing(found):
    later = cross_lagged(
        DATA.assign(session=DATA["session"] + 10), nested_in=["therapist"], **NAMES
    )
    np.testing.assert_allclose(lags(later)["estimate"], lags(found)["estimate"], rtol=1e-12)


def test_one_outcome_is_lmm_with_an_autoregressive_residual():
    data = simulate(n=80, missing=0.0, phi=np.array([[0.4]]))
    found = cross_lagged(
        data, outcomes=["alliance"], person="person", session="session", start="stationary",
        nested_in=["therapist"],
    )  # fmt: skip
    model = lmm(
        "alliance ~ 0 + C(session) + (1 | therapist/person)",
        data,
        residual=AR1("session", within="person"),
        reml=False,
    )
    assert found.model.log_lik == pytest.approx(model.log_lik, rel=1e-8)
