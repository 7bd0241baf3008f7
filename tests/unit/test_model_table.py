"""A model as papers print it: every row named, nothing left out."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import lmm
from analyses.model_table import model_table


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(8), 6)
    x = rng.normal(size=48)
    y = 2.0 + 0.5 * x + rng.normal(size=8)[group] + rng.normal(size=48)
    return lmm("y ~ x + (1 | group)", pd.DataFrame({"y": y, "x": x, "group": group}))


def table(fit, **changes):
    arguments = {
        "terms": {"(Intercept)": "Start", "x": "Slope"},
        "levels": {"group": "Groups", "Residual": "Rows"},
        "label": "tbl-model",
        "caption": "A model.",
        "note": "REML.",
    }
    return model_table(fit, **(arguments | changes))


def test_coefficients_come_before_standard_deviations(fit):
    printed = table(fit)
    assert printed.frame["Term"].tolist() == ["Start", "Slope", "Groups", "Rows"]
    assert printed.sections == ("Coefficients",) * 2 + ("Standard deviations",) * 2
    slope = fit.tidy().set_index("term").loc["x"]
    assert printed.frame.loc[1, "Estimate"] == f"{slope['estimate']:.2f}"
    assert printed.frame.loc[3, "Estimate"] == f"{fit.sigma:.2f}"
    assert (printed.frame.loc[2:, ["SE", "95% CI", "df", "t", "p"]] == "").all(axis=None)


def test_decimals_are_the_callers(fit):
    slope = fit.tidy().set_index("term").loc["x", "estimate"]
    assert table(fit, digits=3).frame.loc[1, "Estimate"] == f"{slope:.3f}"


def test_a_coefficient_without_a_heading_is_refused(fit):
    with pytest.raises(ValueError, match="tbl-model has no heading for 'x'"):
        table(fit, terms={"(Intercept)": "Start"})


def test_a_level_without_a_heading_is_refused(fit):
    with pytest.raises(ValueError, match="tbl-model has no heading for 'group'"):
        table(fit, levels={"Residual": "Rows"})


def test_random_slopes_are_named_by_level_and_coefficient():
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(12), 8)
    x = rng.normal(size=96)
    y = (0.5 + rng.normal(size=12)[group]) * x + rng.normal(size=12)[group] + rng.normal(size=96)
    data = pd.DataFrame({"y": y, "x": x, "group": group})
    printed = table(lmm("y ~ x + (1 + x || group)", data)).frame["Term"].tolist()
    assert printed == ["Start", "Slope", "Groups", "Groups, slope: Slope", "Rows"]
    with pytest.raises(ValueError, match="correlations are not printed here"):
        table(lmm("y ~ x + (1 + x | group)", data))
