"""Within-family spread against nlme::lme, the intraclass correlation against psych::ICC."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.family import family_balance, within_family_icc
from tests.parity.reference import load_reference

REFERENCE = load_reference("family_balance")
DATA = pd.DataFrame(REFERENCE["data"])

LOG_LIK = 1e-7
# nlme stops where its own iterations no longer move
ESTIMATE, SD = 1e-4, 1e-3


@pytest.fixture(scope="module")
def balance():
    return family_balance(
        "y ~ session + role * framework", DATA, family="family", person="person",
        spread_by="framework",
    )  # fmt: skip


def test_spread_by_stratum(balance):
    reference = REFERENCE["free"]
    assert balance.model.log_lik == pytest.approx(reference["log_lik"], rel=LOG_LIK)
    found = balance.tidy().set_index("term")["estimate"]
    np.testing.assert_allclose(found["lasting"], reference["lasting"], rtol=SD)
    np.testing.assert_allclose(found["momentary"], reference["momentary"], rtol=SD)
    lasting = reference["lasting"]
    assert found["lasting ratio"] == pytest.approx(lasting[1] / lasting[0], rel=SD)


def test_effects_on_level_and_on_gaps_between_roles(balance):
    reference, table = REFERENCE["free"], balance.model.tidy()
    np.testing.assert_allclose(
        (table["estimate"] - reference["estimate"]) / reference["std_error"], 0, atol=ESTIMATE
    )
    np.testing.assert_allclose(table["std_error"], reference["std_error"], rtol=SD)


def test_equal_spread(balance):
    test = balance.test()
    assert test.statistic == pytest.approx(REFERENCE["statistic"], rel=1e-5)
    assert test.df == 2
    assert test.p_value == pytest.approx(stats.chi2.sf(REFERENCE["statistic"], 2), rel=1e-4)


def test_intraclass_correlation_of_balanced_families():
    pair = DATA[(DATA["session"] == 2) & (DATA["role"] != "partner")]
    whole = pair.groupby("family")["y"].transform("count") == 2
    found = within_family_icc(
        pair[whole], family="family", person="person", session="session", score="y"
    )
    row = found.tidy().iloc[0]
    for name, value in REFERENCE["icc"].items():
        assert row[name] == pytest.approx(value, abs=1e-10)
    assert found.balanced
