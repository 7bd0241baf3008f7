"""Families of contrasts and adjustments, of means and slopes, against emmeans."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import contrasts, estimated_means, lmm, simple_slopes
from alliance_stats.errors import DataError, FormulaError
from tests.parity.reference import load_reference

EMMEANS = load_reference("after_fit_contrasts")

# lmerTest's df come from numerical second derivatives; emmeans rounds df for its joint p-values.
ESTIMATE, STD_ERROR, DF, P_VALUE, LIMIT = 1e-5, 1e-4, 2e-3, 2e-3, 2e-3


@pytest.fixture(scope="module")
def fits():
    data = pd.DataFrame(EMMEANS["data"])
    return (
        lmm("y ~ arm * phase + (1 | person)", data),
        lmm("y ~ arm * session + (1 | person)", data),
    )


def _asked(name, fits):
    cells, lines = fits
    phase = estimated_means(cells, "phase")
    arm = estimated_means(cells, "arm")
    both = estimated_means(cells, ["arm", "phase"])
    slopes = simple_slopes(lines, "session", by="arm")
    return {
        "polynomial": lambda: contrasts(phase, "polynomial", adjust="none"),
        "consecutive": lambda: contrasts(phase, "consecutive", adjust="none"),
        "bonferroni": lambda: contrasts(phase, adjust="bonferroni"),
        "sidak": lambda: contrasts(phase, adjust="sidak"),
        "fdr": lambda: contrasts(phase, adjust="fdr"),
        "dunnett": lambda: contrasts(arm, "reference", adjust="dunnett"),
        "interaction": lambda: contrasts(both, ("pairwise", "polynomial"), adjust="none"),
        "interaction_consecutive": lambda: contrasts(
            both, ("pairwise", "consecutive"), adjust="none"
        ),
        "slopes": lambda: contrasts(slopes, adjust="tukey"),
        "slopes_holm": lambda: contrasts(slopes, adjust="holm"),
    }[name]()


@pytest.mark.parametrize("name", [key for key in EMMEANS if key not in ("made_with", "data")])
def test_families_and_adjustments(name, fits):
    theirs = pd.DataFrame(EMMEANS[name]).set_index("name")
    found = _asked(name, fits)
    ours = found.tidy()
    ours.index = [
        c.replace(" × ", " | ").replace("(", "").replace(")", "") for c in ours["contrast"]
    ]
    ours = ours.loc[theirs.index]
    scale = theirs["std_error"].to_numpy()
    np.testing.assert_allclose(
        (ours["estimate"] - theirs["estimate"]) / scale, 0, atol=ESTIMATE * 100
    )
    np.testing.assert_allclose(ours["std_error"], scale, rtol=STD_ERROR)
    np.testing.assert_allclose(ours["df"], theirs["df"], rtol=DF)
    np.testing.assert_allclose(ours["p_value"], theirs["p_value"], rtol=10 * P_VALUE, atol=1e-4)
    if name != "fdr":  # emmeans takes Bonferroni's limits beside the false discovery rate
        for limit in ("conf_low", "conf_high"):
            np.testing.assert_allclose((ours[limit] - theirs[limit]) / scale, 0, atol=5 * LIMIT)
    assert "adjusted" in found.summary()


def test_polynomials_are_those_of_the_printed_tables():
    from alliance_stats.multilevel.after.contrast_families import coefficients_of

    labels = pd.DataFrame({"x": list("abcdef")})
    found = coefficients_of("polynomial", labels, None)
    assert found["linear"].tolist() == [-5, -3, -1, 1, 3, 5]
    assert found["quadratic"].tolist() == [5, -1, -4, -4, -1, 5]
    assert found["cubic"].tolist() == [-5, 7, 4, -4, -7, 5]
    uneven = coefficients_of("polynomial", pd.DataFrame({"x": [1.0, 2.0, 4.0]}), None)
    np.testing.assert_allclose(uneven["linear"], [-4, -1, 5])


def test_families_that_do_not_fit_are_refused(fits):
    both = estimated_means(fits[0], ["arm", "phase"])
    with pytest.raises(FormulaError, match="one for each of two"):
        contrasts(both, ("pairwise", "polynomial", "pairwise"))
    with pytest.raises(FormulaError, match="of one predictor"):
        contrasts(both, "polynomial")
    with pytest.raises(FormulaError, match="with a reference"):
        contrasts(both, adjust="dunnett")
    with pytest.raises(ValueError, match="method must be one of"):
        contrasts(both, "poly")
    with pytest.raises(DataError, match="There is one slope"):
        contrasts(simple_slopes(fits[1], "session"))
