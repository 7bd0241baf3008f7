"""Firth's penalty against climbs of the same functions in R, brglm2, and a published example."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import cox_ph, firth_cox, firth_discrete_hazard
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_firth")
# R's optim climbs by finite differences and stops where the value no longer changes.
CLIMB = 2e-4
# Heights of the two functions, whose slope is 0 there.
HEIGHT = 1e-6
# brglm2 iterates its adjusted scores to 1e-12.
FIT = 1e-6


def cox_data() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["cox"])


def rows() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["rows"])


@pytest.mark.parametrize("name", ["efron", "breslow", "late"])
def test_cox_equals_a_climb_in_r(name: str) -> None:
    clock = (
        {"start": "start", "stop": "stop", "strata": "h"} if name == "late" else {"time": "stop"}
    )
    ties = "breslow" if name == "breslow" else "efron"
    model = firth_cox("x + g", cox_data(), event="left", ties=ties, **clock)
    reference = REFERENCE["cox_fits"][name]
    found = model.tidy()
    assert list(found["term"]) == ["x", "g[T.c]", "g[T.none]"]
    assert_allclose(found["estimate"], reference["coef"], rtol=CLIMB)
    assert_allclose(found["statistic"], reference["statistic"], rtol=HEIGHT, atol=HEIGHT)
    assert_allclose(found[["conf_low", "conf_high"]], reference["limits"], rtol=CLIMB)
    assert_allclose(model.statistic, reference["joint"], rtol=HEIGHT)


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_hazards_by_session_equal_brglm2(link: str) -> None:
    model = firth_discrete_hazard(
        "x + g", rows(), session="session", event="left", unit="id", link=link
    )
    reference = REFERENCE[link]
    # R's dummies are differences from the first session, these are levels.
    levels = np.array(reference["coef"])
    levels[1:6] += levels[0]
    assert_allclose(model.beta, levels, rtol=FIT)
    assert_allclose(np.sqrt(np.diag(model.covariance))[-3:], reference["se"][-3:], rtol=FIT)
    last = model.ratios().iloc[-1]
    assert_allclose(np.log([last["conf_low"], last["conf_high"]]), reference["limits"], rtol=CLIMB)
    statistic = model.tidy()["statistic"].iloc[-1]
    assert_allclose(statistic, reference["statistic"], rtol=HEIGHT)


def test_the_published_example_of_endometrial_cancer() -> None:
    # Heinze & Schemper (2002), doi:10.1002/sim.1047, table III: neovasculization separates.
    data = pd.DataFrame(REFERENCE["endometrial"]).assign(session=1, unit=range(79))
    model = firth_discrete_hazard(
        "NV + PI + EH", data, session="session", event="HG", unit="unit", link="logit"
    )
    found = model.tidy().set_index("term")
    assert_allclose(found.loc[["NV", "PI", "EH"], "estimate"], [2.93, -0.03, -2.60], atol=0.005)
    assert_allclose(
        found.loc["NV", ["conf_low", "conf_high"]].astype(float), [0.61, 7.85], atol=0.005
    )


def test_where_there_is_no_separation_the_plain_fit_is_near() -> None:
    rng = np.random.default_rng(6)
    n = 4000
    data = pd.DataFrame({"x": rng.normal(size=n), "left": rng.integers(0, 2, n)})
    data["t"] = rng.exponential(np.exp(-0.4 * data["x"]))
    plain = cox_ph("x", data, time="t", event="left").tidy().iloc[0]
    found = firth_cox("x", data, time="t", event="left").tidy().iloc[0]
    assert_allclose(found["estimate"], plain["estimate"], rtol=1e-3)
    assert_allclose(found["conf_low"], plain["conf_low"], rtol=5e-3)


@pytest.mark.parametrize("unit", [1e-4, 1e5])
def test_the_unit_of_a_covariate_changes_nothing(unit: float) -> None:
    one = firth_cox("x", cox_data(), time="stop", event="left").tidy()
    other = firth_cox(
        "x", cox_data().assign(x=lambda d: d["x"] * unit), time="stop", event="left"
    ).tidy()
    assert_allclose(other["estimate"] * unit, one["estimate"], rtol=1e-6)
    assert_allclose(other["conf_high"] * unit, one["conf_high"], rtol=1e-6)


def test_refusals() -> None:
    with pytest.raises(NotIdentifiedError, match="None of 80 rows has the event"):
        firth_cox("x", cox_data().assign(left=0), time="stop", event="left")
    with pytest.raises(NotIdentifiedError, match="combination"):
        firth_cox("x + y", cox_data().assign(y=lambda d: 2 * d["x"]), time="stop", event="left")
    with pytest.raises(DataError, match="no column 'lefft'"):
        firth_cox("x", cox_data(), time="stop", event="lefft")
    options = {"session": "session", "event": "left", "unit": "id"}
    with pytest.raises(NotIdentifiedError, match="'one' does not vary"):
        firth_discrete_hazard("x + one", rows().assign(one=1.0), **options)
    assert firth_discrete_hazard("1", rows(), **options).ratios().empty
    with pytest.raises(NotIdentifiedError, match="there is no hazard to model"):
        firth_discrete_hazard(
            "x", rows().assign(left=0.0), session="session", event="left", unit="id"
        )


def test_one_event_is_enough() -> None:
    data = cox_data()
    data["left"] = 0
    data.loc[4, "left"] = 1
    found = firth_cox("x", data, time="stop", event="left").tidy().iloc[0]
    assert np.isfinite(found[["estimate", "conf_low", "conf_high"]].astype(float)).all()
    assert found["conf_low"] < found["estimate"] < found["conf_high"]


def test_terms_are_tested_by_the_fall_of_the_same_function() -> None:
    data = cox_data().assign(kind=lambda d: np.arange(len(d)) % 3)
    model = firth_cox("C(kind)", data, time="stop", event="left")
    found = model.anova().iloc[0]
    assert_allclose(found["statistic"], model.glance()["statistic"][0], rtol=1e-8)
    assert found["df"] == 2.0
    both = firth_cox("C(kind) + x", data.assign(x=data.index % 5), time="stop", event="left")
    tests = both.anova().set_index("term")["statistic"]
    assert_allclose(tests["x"], both.tidy().set_index("term").loc["x", "statistic"], rtol=1e-8)
    by_session = firth_discrete_hazard(
        "C(kind)", rows().assign(kind=lambda d: pd.factorize(d["id"])[0] % 3), session="session",
        event="left", unit="id",
    )  # fmt: skip
    assert_allclose(by_session.anova()["statistic"], by_session.glance()["statistic"], rtol=1e-8)


def test_the_penalty_is_the_slope_of_half_the_log_determinant() -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"clinic": rng.integers(0, 9, 80), "x": rng.normal(size=80)})
    data["time"], data["event"] = rng.integers(1, 9, 80), rng.integers(0, 2, 80)
    model = firth_cox("x + C(clinic)", data, time="time", event="event")
    at = 0.3 * rng.normal(size=len(model.beta))
    step = 1e-5 * np.eye(len(at))
    numerical = [
        (model.fit.criterion(at + e).value - model.fit.criterion(at - e).value) / 2e-5 for e in step
    ]
    assert_allclose(model.fit.criterion(at).slope, numerical, rtol=1e-5, atol=1e-6)
