"""Baselines of hazards by session: constant and logarithmic beside a library's regression."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import DiscreteHazard, competing_hazards, discrete_hazard

# Fisher scoring to 1e-12 on the deviance on the other side.
FIT = 1e-6
LINKS = {"cloglog": sm.families.links.CLogLog(), "logit": sm.families.links.Logit()}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    found = []
    for unit in range(150):
        x = rng.normal()
        for session in range(1, 9):
            left = float(rng.random() < 0.25 * session**-0.5 * np.exp(0.3 * x))
            found.append((f"F {unit}", session, x, left))
            if left:
                break
    return pd.DataFrame(found, columns=["unit", "session", "x", "left"])


def fitted(formula: str, rows: pd.DataFrame, **options: object) -> DiscreteHazard:
    return discrete_hazard(
        formula, rows, session="session", event="left", unit="unit", random=None, **options
    )


@pytest.mark.parametrize("link", LINKS)
def test_a_logarithmic_baseline_equals_statsmodels(rows: pd.DataFrame, link: str) -> None:
    found = fitted("x", rows, baseline="log", link=link).tidy()
    X = np.column_stack((np.ones(len(rows)), np.log(rows["session"]), rows["x"]))
    family = sm.families.Binomial(link=LINKS[link])
    fit = sm.GLM(rows["left"], X, family=family).fit(tol=1e-12, maxiter=100)
    assert list(found["term"]) == ["(Intercept)", "log(session)", "x"]
    assert_allclose(found["estimate"], fit.params, rtol=FIT)


def test_a_constant_baseline_is_the_share_that_left(rows: pd.DataFrame) -> None:
    model = fitted("1", rows, baseline="constant")
    curve = model.curve()
    share = rows["left"].mean()
    assert_allclose(curve["hazard"], share, rtol=FIT)
    assert_allclose(curve["survival"], (1 - share) ** curve["time"], rtol=FIT)
    assert len(fitted("x", rows, baseline="constant").hazard_ratios()) == 1


def test_competing_hazards_take_them_too(rows: pd.DataFrame) -> None:
    rng = np.random.default_rng(8)
    code = np.where(rows["left"] == 1, rng.integers(1, 3, len(rows)), 0)
    model = competing_hazards(
        "x", rows.assign(code=code), session="session", event="code", unit="unit", random=None,
        baseline="constant", labels={1: "dropout", 2: "planned"},
    )  # fmt: skip
    assert list(model.odds_ratios()["term"]) == ["x", "x"]
    plain = competing_hazards(
        "1", rows.assign(code=code), session="session", event="code", unit="unit", random=None,
        baseline="constant", labels={1: "dropout", 2: "planned"},
    ).curve()  # fmt: skip
    own = plain.loc[plain["state"] == "dropout", "hazard"]
    assert_allclose(own, (code == 1).mean(), rtol=FIT)


def test_refusals(rows: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="session before 1"):
        fitted("x", rows.assign(session=rows["session"] - 1), baseline="log")
    with pytest.raises(ValueError, match="baseline must be"):
        fitted("x", rows, baseline="cubic")
    with pytest.raises(ValueError, match="there are 8"):
        fitted("x", rows, baseline="polynomial", baseline_df=8)
