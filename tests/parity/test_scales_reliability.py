"""Alpha, item-rest correlations and omega agree with psych and lavaan."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from alliance_stats.scales import reliability
from tests.parity.reference import load_reference

REFERENCE = load_reference("scales_reliability")
EXACT = 1e-9  # closed forms in doubles on both sides
FITTED = 1e-5  # both sides stop a likelihood search; lavaan's is the looser


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"{len(c['rest'])} items")
def test_as_psych_and_lavaan(case: dict[str, Any]) -> None:
    data = pd.DataFrame(case["data"]).astype(np.float64)
    found = reliability(data, items=list(data.columns))
    table = found.tidy().set_index("term")
    assert found.n_forms == case["n"]
    assert found.rows.n_set_aside == len(data) - case["n"]
    alpha = table.loc["alpha"]
    assert alpha["estimate"] == pytest.approx(case["alpha"], rel=EXACT)
    assert alpha["conf_low"] == pytest.approx(case["low"], rel=EXACT)
    assert alpha["conf_high"] == pytest.approx(case["high"], rel=EXACT)
    rest = table.loc[list(data.columns), "estimate"]
    np.testing.assert_allclose(rest, case["rest"], rtol=EXACT)
    omega = table.loc["omega"]
    assert omega["estimate"] == pytest.approx(case["omega"], rel=FITTED)
    assert omega["std_error"] == pytest.approx(case["se"], rel=1e-4)  # a second derivative's digits
    assert omega["conf_low"] == pytest.approx(case["omega_low"], rel=1e-4)
    assert omega["conf_high"] == pytest.approx(case["omega_high"], rel=1e-4)


PERSONS = load_reference("scales_persons")
LEVELS = load_reference("scales_factors")["two_level"]
COMPONENTS = 1e-4  # lme4 and nlme stop their search of variances at about this


def test_repeated_forms_as_psych_says() -> None:
    data = pd.DataFrame(PERSONS["data"])
    found = reliability(
        data, items=["i1", "i2", "i3", "i4"], person="id", session="time", nested_in=("family",)
    )
    for term, value in PERSONS["coefficients"].items():
        assert found.value(term) == pytest.approx(value, abs=COMPONENTS), term
    assert found.value("mean of a family") == pytest.approx(PERSONS["family"], abs=COMPONENTS)


def test_omega_within_and_between_as_lavaan_says() -> None:
    data = pd.DataFrame(LEVELS["data"])
    found = reliability(data, items=["i1", "i2", "i3", "i4"], person="person").tidy()
    theirs = pd.DataFrame(LEVELS["fit"]["parameters"]).set_index("lhs")
    for level in ("within", "between"):
        own = found.set_index("term").loc[f"omega {level}"]
        assert own["estimate"] == pytest.approx(theirs.loc[f"omega_{level}", "est"], abs=FITTED)
        assert own["std_error"] == pytest.approx(theirs.loc[f"omega_{level}", "se"], rel=1e-4)
