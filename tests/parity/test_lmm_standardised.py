"""Coefficients standardised at the level of their predictor, against effectsize."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import lmm, standardised_coefficients
from alliance_stats.errors import NotIdentifiedError
from tests.parity.reference import load_reference

EFFECTSIZE = load_reference("lmm_standardised")
# effectsize fits the empty model with lme4's own tolerances.
ESTIMATE = 1e-3


@pytest.fixture(scope="module")
def data():
    return pd.DataFrame(EFFECTSIZE["data"])


def test_each_level_has_its_own_standard_deviations(data):
    found = standardised_coefficients(lmm("y ~ within + between + (1 | person)", data))
    table = found.tidy().set_index("term")
    theirs = dict(zip(EFFECTSIZE["term"], EFFECTSIZE["estimate"], strict=True))
    for term in ("within", "between"):
        assert table.loc[term, "estimate"] == pytest.approx(theirs[term], rel=ESTIMATE)
    assert table["level"].tolist() == ["rows", "person"]
    assert "standardised at the level" in found.summary()


def test_units_of_measurement_do_not_matter(data):
    formula = "y ~ within + between + (1 | person)"
    one = standardised_coefficients(lmm(formula, data)).tidy()
    scaled = data.assign(y=1e5 * data["y"], within=1e-4 * data["within"])
    other = standardised_coefficients(lmm(formula, scaled)).tidy()
    columns = ["estimate", "std_error", "conf_low", "conf_high", "df"]
    np.testing.assert_allclose(one[columns], other[columns], rtol=1e-4)


def test_a_constant_alone_has_nothing_to_standardise(data):
    with pytest.raises(NotIdentifiedError, match="no coefficient beside the constant"):
        standardised_coefficients(lmm("y ~ 1 + (1 | person)", data))
