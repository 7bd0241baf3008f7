"""Cumulative incidence, Gray's test and restricted means equal those of survival and cmprsk."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats.survival import (
    cox_ph,
    cumulative_incidence,
    fine_gray,
    gray_test,
    restricted_mean,
)
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_competing")
ENDINGS = pd.DataFrame(REFERENCE["endings"])
CONTINUOUS = pd.DataFrame(REFERENCE["continuous"])
LUNG = pd.DataFrame(REFERENCE["lung"])

# Closed forms in doubles on both sides; the reference prints 15 significant digits.
CURVE_TOLERANCE = 1e-12
TEST_TOLERANCE = 1e-11

COLUMNS = {"time": "time", "event": "ending"}


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("ties", ENDINGS, {}),
        ("continuous_cif", CONTINUOUS, {}),
        ("entry", ENDINGS, {"entry": "entry"}),
        ("cluster", ENDINGS, {"cluster": "therapist"}),
    ],
)
def test_incidence_equals_survfit(name: str, data: pd.DataFrame, options: dict[str, Any]) -> None:
    result = cumulative_incidence(data, **COLUMNS, strata="framework", **options)
    reference = {key: np.array(value) for key, value in REFERENCE[name].items()}
    tidy = result.tidy(conf_type="log-log")
    in_r = {"estimate": "pstate", "std_error": "std_err"}
    if name != "cluster":  # R's limits there are those without clusters
        in_r |= {"conf_low": "lower", "conf_high": "upper"}
    for number, state in enumerate(result.states):
        mine = tidy[tidy["state"] == state]
        assert_array_equal(mine["time"], reference["time"])
        assert_array_equal(mine["n_risk"], reference["n_risk"])
        for column, key in in_r.items():
            assert_allclose(
                mine[column],
                reference[key].astype(float)[:, number + 1],
                rtol=CURVE_TOLERANCE,
                atol=CURVE_TOLERANCE,
                err_msg=f"{state} {column}",
            )
    survival = np.concatenate([curve.survival for curve in result.curves])
    std_error = np.concatenate([curve.survival_std_error for curve in result.curves])
    assert_allclose(survival, reference["pstate"].astype(float)[:, 0], atol=CURVE_TOLERANCE)
    assert_allclose(std_error, reference["std_err"].astype(float)[:, 0], atol=CURVE_TOLERANCE)


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("gray", ENDINGS, {"group": "framework"}),
        ("gray_continuous", CONTINUOUS, {"group": "framework"}),
        ("gray_rho", ENDINGS, {"group": "framework", "rho": 1.0}),
        ("gray_strata", ENDINGS, {"group": "framework", "strata": "site"}),
        ("gray_three", ENDINGS, {"group": "site"}),
    ],
)
def test_gray_equals_cmprsk(name: str, data: pd.DataFrame, options: dict[str, Any]) -> None:
    tidy = gray_test(data, **COLUMNS, **options).tidy()
    assert_allclose(tidy["statistic"], REFERENCE[name], rtol=TEST_TOLERANCE)


def test_restricted_mean_equals_survfit() -> None:
    tidy = restricted_mean(LUNG, time="time", event="left", strata="sex", until=500).tidy()
    for column in ("estimate", "std_error"):
        assert_allclose(tidy[column], REFERENCE["rmean"][column], rtol=CURVE_TOLERANCE)


def test_restricted_mean_with_entry_equals_survfit() -> None:
    tidy = restricted_mean(
        ENDINGS.assign(ended=ENDINGS["ending"] > 0),
        time="time",
        event="ended",
        entry="entry",
        strata="framework",
        until=20,
    ).tidy()
    for column in ("estimate", "std_error"):
        assert_allclose(tidy[column], REFERENCE["rmean_entry"][column], rtol=CURVE_TOLERANCE)


def test_restricted_mean_over_clusters_equals_summed_influence() -> None:
    result = restricted_mean(
        LUNG, time="time", event="left", strata="sex", until=500, cluster="inst"
    )
    assert_allclose(result.covariance, REFERENCE["rmean_cluster"], rtol=CURVE_TOLERANCE)
    difference = result.differences().loc[0]
    covariance = np.array(REFERENCE["rmean_cluster"])
    contrast = np.array([-1.0, 1.0])
    assert_allclose(difference["std_error"], np.sqrt(contrast @ covariance @ contrast))
    assert difference["contrast"] == "2 - 1"


def test_residuals_of_fine_gray_are_those_of_cox_where_nothing_competes() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=70), "time": rng.integers(1, 9, 70)})
    data["event"] = rng.integers(0, 2, 70)
    fine = fine_gray("x", data, time="time", event="event", cause=1).augment()
    cox = cox_ph("x", data, time="time", event="event", ties="breslow").augment()
    columns = ["linear_predictor", "expected", "martingale", "deviance_residual"]
    assert_allclose(fine[columns], cox[columns], atol=1e-7)
    data["state"] = data["event"] * rng.integers(1, 3, 70)
    mixed = fine_gray("x", data, time="time", event="state", cause=1).augment()
    assert_allclose(mixed["martingale"].sum(), 0.0, atol=1e-9)
    assert (mixed["expected"] > 0.0).sum() > 60
