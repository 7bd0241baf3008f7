"""Meta-analysis against metafor (and clubSandwich) on four data sets of metadat."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from alliance_stats.evidence.meta.meta_analysis import (
    funnel_asymmetry,
    leave_one_study_out,
    meta_analysis,
    robust_tests,
)
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from tests.parity.reference import load_reference

# Closed forms (fixed effects, DerSimonian-Laird) in double precision on both sides.
CLOSED_FORM = 1e-9
# Roots: metafor's REML stops at a step below 1e-12, its Paule-Mandel and Q-profile root finders at
# about 1e-8 of tau2 although tightened; ours find roots to machine precision.
ITERATED = 1e-6
# metafor's three-level variances come from Nelder-Mead at a relative tolerance of 1e-16 in the
# criterion, which leaves them good to about 1e-7; the engine's own L-BFGS to about 1e-6.
THREE_LEVEL = 1e-5

REFERENCE = load_reference("evidence_meta")
TWO_LEVEL = ("molloy2014", "bcg", "normand1999")
METHODS = ("fixed", *(f"{m} {t}" for m in ("REML", "DL", "PM") for t in ("z", "knha", "adhoc")))
OURS = {"z": "normal", "knha": "knapp-hartung", "adhoc": "knapp-hartung-adhoc"}


def data_of(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE[name]["data"])


def fitted(name: str, label: str, **options: Any) -> MetaAnalysis:
    method, _, test = label.partition(" ")
    return meta_analysis(
        data_of(name), estimate="estimate", variance="variance", method=method,
        test=OURS.get(test), **options,
    )  # fmt: skip


def close(found: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(
        np.atleast_1d(np.asarray(found, dtype=float)),
        np.atleast_1d(np.asarray(expected, dtype=float)),
        rtol=tolerance,
        atol=tolerance * 1e-3,
    )


COLUMNS = {"coefficients": "estimate", "std_error": "std_error", "statistic": "statistic",
           "p_value": "p_value", "conf_low": "conf_low", "conf_high": "conf_high"}  # fmt: skip


def check_fit(model: MetaAnalysis, expected: dict[str, Any], tolerance: float) -> None:
    tidy, glance = model.tidy(), model.glance().iloc[0]
    for theirs, ours in COLUMNS.items():
        close(tidy[ours], expected[theirs], tolerance)
    if expected["df"] is not None:
        close(tidy["df"].iloc[0], np.atleast_1d(expected["df"])[0], tolerance)
    close(model.tau2, expected["tau2"], tolerance)
    for theirs in ("i_squared", "h_squared", "q", "q_p", "log_lik", "aic", "bic"):
        close(glance[theirs], expected[theirs], tolerance)
    if not model.is_pooled:
        close(glance["qm"], expected["qm"], tolerance)
        close(glance["qm_p"], expected["qm_p"], tolerance)
        if model.estimator != "fixed":
            close(glance["r_squared"], expected["r_squared"], tolerance)
    elif model.estimator != "fixed":
        interval = model.prediction().iloc[0]
        close(interval["conf_low"], expected["pi_low"], tolerance)
        close(interval["conf_high"], expected["pi_high"], tolerance)


@pytest.mark.parametrize("label", METHODS)
@pytest.mark.parametrize("name", TWO_LEVEL)
def test_pooled_estimates(name: str, label: str) -> None:
    tolerance = CLOSED_FORM if label.startswith(("fixed", "DL")) else ITERATED
    check_fit(fitted(name, label), REFERENCE[name]["fits"][label], tolerance)


def test_correlations_are_pooled_as_fisher_z() -> None:
    model = meta_analysis(data_of("molloy2014"), r="r", n="n")
    expected = REFERENCE["molloy2014"]["fits"]["REML knha"]
    check_fit(model, expected, ITERATED)
    back = model.tidy(scale="r").iloc[0]
    close(back["estimate"], np.tanh(expected["coefficients"]), ITERATED)
    close(back["conf_low"], np.tanh(expected["conf_low"]), ITERATED)


@pytest.mark.parametrize(
    ("label", "ours", "tolerance"),
    [
        ("REML_knha", "REML knha", ITERATED),
        ("REML_z", "REML z", ITERATED),
        ("DL_z", "DL z", CLOSED_FORM),
        ("PM_z", "PM z", ITERATED),
        ("fixed", "fixed", CLOSED_FORM),
    ],
)
def test_meta_regression(label: str, ours: str, tolerance: float) -> None:
    model = fitted("bcg", ours, moderators="ablat + year")
    check_fit(model, REFERENCE["bcg"]["regression"][label], tolerance)


def test_meta_regression_on_a_factor() -> None:
    model = fitted("bcg", "REML knha", moderators="alloc")
    assert list(model.tidy()["term"]) == ["(Intercept)", "alloc[T.random]", "alloc[T.systematic]"]
    check_fit(model, REFERENCE["bcg"]["regression"]["factor"], ITERATED)


@pytest.mark.parametrize("name", TWO_LEVEL)
def test_each_study_left_out(name: str) -> None:
    found = leave_one_study_out(fitted(name, "REML knha"))
    expected = REFERENCE[name]["sensitivity"]["leave_one_out"]
    theirs = {"estimate": "estimate", "std_error": "se", "statistic": "tval", "p_value": "pval",
              "conf_low": "ci.lb", "conf_high": "ci.ub", "q": "Q", "q_p": "Qp", "tau2": "tau2",
              "i_squared": "I2"}  # fmt: skip
    for column, name_in_r in theirs.items():
        close(found[column], expected.get(name_in_r, expected.get("zval")), ITERATED)


@pytest.mark.parametrize("name", TWO_LEVEL)
def test_profile_interval_of_tau_squared(name: str) -> None:
    found = fitted(name, "REML knha").heterogeneity().iloc[0]
    expected = REFERENCE[name]["sensitivity"]
    close(found["tau2_low"], expected["tau2_low"], ITERATED)
    close(found["tau2_high"], expected["tau2_high"], ITERATED)


@pytest.mark.parametrize(
    ("method", "label", "tolerance"),
    [("egger", "egger", CLOSED_FORM), ("mixed", "mixed", ITERATED)],
)
@pytest.mark.parametrize("name", TWO_LEVEL)
def test_funnel_asymmetry(name: str, method: str, label: str, tolerance: float) -> None:
    found = funnel_asymmetry(fitted(name, "REML knha"), method=method).iloc[0]
    expected = REFERENCE[name]["sensitivity"][label]
    theirs = {"statistic": "statistic", "p_value": "p", "limit": "limit", "limit_low": "low",
              "limit_high": "high"}  # fmt: skip
    for column, key in theirs.items():
        close(found[column], expected[key], tolerance)


def test_cluster_robust_at_two_levels() -> None:
    model = fitted("bcg", "REML knha")
    found = robust_tests(model, cluster=data_of("bcg")["alloc"]).iloc[0]
    expected = REFERENCE["bcg"]["robust"]
    theirs = {"std_error": "std_error", "statistic": "statistic", "df": "df", "p_value": "p",
              "conf_low": "low", "conf_high": "high"}  # fmt: skip
    for column, key in theirs.items():
        close(found[column], expected[key], ITERATED)


@pytest.mark.parametrize(
    ("label", "moderators"), [("intercept", None), ("year", "year"), ("deltype", "deltype")]
)
def test_effects_in_studies(label: str, moderators: str | None) -> None:
    expected = REFERENCE["assink2016"][label]
    model = meta_analysis(
        data_of("assink2016"), estimate="estimate", variance="variance", study="study",
        moderators=moderators,
    )  # fmt: skip
    tidy, glance = model.tidy(), model.glance().iloc[0]
    for theirs, ours in COLUMNS.items():
        close(tidy[ours], expected[theirs], THREE_LEVEL)
    close([model.components["study"], model.components["effect"]], expected["sigma2"], THREE_LEVEL)
    close(glance["log_lik"], expected["log_lik"], THREE_LEVEL)
    close([glance["q"], glance["q_p"]], [expected["q"], expected["q_p"]], CLOSED_FORM)
    close(model.heterogeneity()["i_squared"], expected["i2"], THREE_LEVEL)
    if moderators is None:
        interval = model.prediction().iloc[0]
        close(
            interval[["conf_low", "conf_high"]],
            [expected["pi_low"], expected["pi_high"]],
            THREE_LEVEL,
        )
    else:
        close([glance["qm"], glance["qm_p"]], [expected["qm"], expected["qm_p"]], THREE_LEVEL)
    robust = robust_tests(model)
    theirs = {"std_error": "cr_se", "statistic": "cr_t", "df": "cr_df", "p_value": "cr_p",
              "conf_low": "cr_low", "conf_high": "cr_high"}  # fmt: skip
    for column, key in theirs.items():
        close(robust[column], expected[key], THREE_LEVEL)
