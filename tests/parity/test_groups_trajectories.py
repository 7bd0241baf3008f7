"""Trajectories of two groups against lmerTest, pbkrtest, emmeans and mvtnorm."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.engine.multiple_tests import JointT
from alliance_stats.groups import compare_trajectories
from tests.parity.reference import load_reference

MIXED = 1e-4  # lmer stops at a theta that is good to some 1e-5
DEGREES = 2e-3  # Satterthwaite and Kenward-Roger df move faster with theta than estimates do
GENZ = 2e-4  # qmvt integrates by randomised quasi-Monte Carlo

REFERENCE = load_reference("groups_trajectories")
METHODS = {"satterthwaite": "satterthwaite", "kenward-roger": "kenward"}


@pytest.fixture(scope="module", params=list(METHODS))
def case(request):
    data = pd.DataFrame(REFERENCE["data"])
    comparison = compare_trajectories(
        data,
        outcome="score",
        time="session",
        group="group",
        person="person",
        df_method=request.param,
    )
    return comparison, REFERENCE[METHODS[request.param]]


def test_slopes_are_emtrends(case):
    comparison, reference = case
    tidy = comparison.tidy()
    slopes, difference = reference["slopes"], reference["slope_diff"]
    assert tidy["contrast"].tolist() == ["a", "b", "a - b"]
    expected = [*slopes["session.trend"], *difference["estimate"]]
    assert tidy["estimate"].tolist() == pytest.approx(expected, rel=MIXED)
    expected = [*slopes["SE"], *difference["SE"]]
    assert tidy["std_error"].tolist() == pytest.approx(expected, rel=MIXED)
    expected = [*slopes["df"], *difference["df"]]
    assert tidy["df"].tolist() == pytest.approx(expected, rel=DEGREES)


def test_differences_at_each_session_are_emmeans(case):
    comparison, reference = case
    ours, theirs = comparison.differences(), reference["diffs"]
    for column, name, tolerance in (
        ("estimate", "estimate", MIXED),
        ("std_error", "SE", MIXED),
        ("df", "df", DEGREES),
        ("conf_low", "lower.CL", 1e-3),  # the limit of a difference near 0 loses digits
        ("conf_high", "upper.CL", 1e-3),
    ):
        assert ours[column].tolist() == pytest.approx(theirs[name], rel=tolerance), column


def test_means_are_emmeans(case):
    comparison, reference = case
    ours = comparison.means().sort_values(["time", "group"])
    theirs = pd.DataFrame(reference["means"]).sort_values(["session", "group"])
    for column, name in (("estimate", "emmean"), ("std_error", "SE")):
        assert ours[column].tolist() == pytest.approx(theirs[name].tolist(), rel=MIXED), column


def test_simultaneous_band_is_the_multivariate_t():
    reference = REFERENCE["satterthwaite"]
    joint = JointT.of(np.array(reference["correlation"]))
    ours = joint.critical(float(reference["critical_df"]), 0.95)
    assert ours == pytest.approx(reference["critical"], rel=GENZ)


def test_band_is_estimate_plus_critical_standard_errors(case):
    comparison, reference = case
    ours = comparison.differences()
    joint = JointT.of(np.array(reference["correlation"]))
    critical = joint.critical(float(reference["df"]), 0.95)
    width = (ours["band_high"] - ours["estimate"]) / ours["std_error"]
    assert width.tolist() == pytest.approx([critical] * 6, rel=1e-3)
