"""Kaplan-Meier curves, medians, risk tables and log-rank tests equal those of R's survival."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats.survival import KaplanMeier, kaplan_meier, log_rank
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_curves")
LUNG = pd.DataFrame(REFERENCE["lung"])
SESSIONS = pd.DataFrame(REFERENCE["sessions"])

# Both sides are closed forms in doubles; the reference prints 15 significant digits.
CURVE_TOLERANCE = 1e-12
TEST_TOLERANCE = 1e-11

LUNG_COLUMNS = {"time": "time", "event": "left"}
SESSION_COLUMNS = {"time": "time", "event": "event"}

COLUMN_IN_R = {
    "estimate": "surv",
    "std_error": "std_err",
    "conf_low": "lower",
    "conf_high": "upper",
}


def by_sex() -> KaplanMeier:
    return kaplan_meier(LUNG, time="time", event="left", strata="sex")


FITS = {
    "lung_all": lambda: kaplan_meier(LUNG, time="time", event="left"),
    "lung_by_sex": by_sex,
    "lung_cluster": lambda: kaplan_meier(
        LUNG, time="time", event="left", strata="sex", cluster="inst"
    ),
    "entry": lambda: kaplan_meier(
        SESSIONS, time="time", event="event", entry="entry", strata="framework"
    ),
    "entry_cluster": lambda: kaplan_meier(
        SESSIONS,
        time="time",
        event="event",
        entry="entry",
        strata="framework",
        cluster="therapist",
    ),
}


def as_floats(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=np.float64)  # JSON null is None is NaN


@pytest.mark.parametrize("conf_type", ["log-log", "log", "plain"])
@pytest.mark.parametrize("name", list(FITS))
def test_curves_equal_survfit(name: str, conf_type: str) -> None:
    tidy = FITS[name]().tidy(conf_type=conf_type)
    reference = REFERENCE[name][conf_type]
    for column in ("time", "n_risk", "n_event", "n_censor"):
        assert_array_equal(tidy[column], reference[column], err_msg=column)
    for column, in_r in COLUMN_IN_R.items():
        assert_allclose(
            tidy[column],
            as_floats(reference[in_r]),
            rtol=CURVE_TOLERANCE,
            atol=CURVE_TOLERANCE,
            err_msg=column,
        )


@pytest.mark.parametrize("conf_type", ["log-log", "log", "plain"])
@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("medians_lung", FITS["lung_by_sex"]),
        ("medians_entry", FITS["entry"]),
        (
            "medians_flat",
            lambda: kaplan_meier(pd.DataFrame(REFERENCE["flat"]), **SESSION_COLUMNS),
        ),
        (
            "medians_even",
            lambda: kaplan_meier(pd.DataFrame(REFERENCE["even"]), **SESSION_COLUMNS),
        ),
    ],
)
def test_medians_equal_survfit(name: str, fit: Any, conf_type: str) -> None:
    medians = fit().medians(conf_type=conf_type)
    reference = REFERENCE[name][conf_type]
    for column, in_r in (("estimate", "median"), ("conf_low", "lower"), ("conf_high", "upper")):
        assert_array_equal(
            medians[column], np.atleast_1d(as_floats(reference[in_r])), err_msg=column
        )


def test_risk_table_equals_survfit() -> None:
    assert_array_equal(by_sex().at_risk([0, 100, 310, 500])["n_risk"], REFERENCE["risk_table"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("log_rank", {"group": "sex"}),
        ("log_rank_ecog", {"group": "ph.ecog"}),
        ("log_rank_strata", {"group": "sex", "strata": "ph.ecog"}),
        ("peto", {"group": "ph.ecog", "rho": 1.0}),
    ],
)
def test_log_rank_equals_survdiff(name: str, options: dict[str, Any]) -> None:
    reference = REFERENCE[name]
    test = log_rank(LUNG, **LUNG_COLUMNS, **options)
    assert_allclose(test.statistic, reference["chisq"], rtol=TEST_TOLERANCE)
    assert_allclose(test.p_value, reference["p"], rtol=TEST_TOLERANCE)
    assert_array_equal(test.nobs, reference["n"])
    if name != "peto":  # survdiff gives weighted counts there
        assert_allclose(test.expected, reference["exp"], rtol=TEST_TOLERANCE)
        assert_array_equal(test.observed, reference["obs"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", {"entry": "entry"}),
        ("fh", {"entry": "entry", "rho": 0.5, "gamma": 1.0}),
        ("late", {"gamma": 1.0}),
        ("early", {"rho": 1.0}),
    ],
)
def test_log_rank_with_entry_and_weights(name: str, options: dict[str, Any]) -> None:
    test = log_rank(SESSIONS, **SESSION_COLUMNS, group="framework", **options)
    assert_allclose(test.statistic, REFERENCE["log_rank_entry"][name], rtol=TEST_TOLERANCE)
