"""Curves at chosen times, weighted and pairwise tests, differences, ratios, adjusted curves."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import (
    cumulative_incidence,
    kaplan_meier,
    log_rank,
    restricted_mean,
)
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("survival_readings")
# The same sums in another order.
ROUNDING = 1e-9
# Printed to two decimals.
PRINTED = 0.006
LUNG = pd.DataFrame(REFERENCE["lung"])
WHEN = {"time": "time", "event": "left"}
TIMES = [0, 100, 250, 500, 800]
COLUMNS = {
    "n_risk": "n_risk", "n_event": "n_event", "estimate": "surv", "std_error": "se",
    "conf_low": "lower", "conf_high": "upper",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "robust"])
def test_curves_at_times_are_survfits_summary(kind: str) -> None:
    cluster = {} if kind == "plain" else {"cluster": "inst"}
    found = kaplan_meier(LUNG, **WHEN, strata="sex", **cluster).at(TIMES)
    for column, name in COLUMNS.items():
        assert_allclose(found[column], REFERENCE[kind][name], rtol=ROUNDING, err_msg=column)


def test_curves_of_units_that_enter_late_are_survfits_summary() -> None:
    heart = r_data("survival", "heart")
    found = kaplan_meier(heart, time="stop", event="event", entry="start", strata="surgery").at(
        [10, 30, 100]
    )
    for column, name in COLUMNS.items():
        assert_allclose(found[column], REFERENCE["heart"][name], rtol=ROUNDING, err_msg=column)


def test_incidences_at_times_are_survfits_summary() -> None:
    data = pd.DataFrame(REFERENCE["mgus2"])
    data["ending"] = np.where(data["pstat"] == 1, 1, 2 * data["death"])
    found = cumulative_incidence(data, time="etime", event="ending", strata="sex").at(
        [60, 120, 240]
    )
    reference = REFERENCE["states"]
    for k, state in enumerate(["1", "2"], start=1):
        own = found[found["state"] == state]
        assert_allclose(own["estimate"], np.array(reference["pstate"])[:, k], rtol=ROUNDING)
        assert_allclose(own["std_error"], np.array(reference["se"])[:, k], rtol=1e-6)
        assert own["n_event"].tolist() == [row[k] for row in reference["n_event"]]


def test_nothing_is_said_beyond_the_data() -> None:
    curve = kaplan_meier(LUNG, **WHEN, strata="sex")
    beyond = curve.at([5000])
    assert beyond["estimate"].isna().all()
    assert curve.differences([100, 5000])["estimate"].isna().tolist() == [False, True]
    gone = kaplan_meier(LUNG.assign(left=1), **WHEN).at([5000]).iloc[0]
    assert gone["estimate"] == 0.0
    assert gone["n_risk"] == 0
    with pytest.raises(ValueError, match="times must be numbers, 0 or later"):
        curve.at([-1])
    with pytest.raises(ValueError, match="times must ascend"):
        curve.at([5, 1])


def test_differences_rest_on_both_curves() -> None:
    curve = kaplan_meier(LUNG, **WHEN, strata="sex")
    at = curve.at([250, 500]).pivot(
        index="time", columns="strata", values=["estimate", "std_error"]
    )
    found = curve.differences([250, 500])
    assert_allclose(found["estimate"], at["estimate"]["2"] - at["estimate"]["1"], rtol=ROUNDING)
    assert_allclose(found["std_error"], np.hypot(*at["std_error"].to_numpy().T), rtol=ROUNDING)


def test_clustered_differences_allow_for_clusters_in_both_groups() -> None:
    """Every row once in either group, in one cluster: nothing is left of the difference's error."""
    twice = pd.concat([LUNG.assign(g="a"), LUNG.assign(g="b")]).reset_index(drop=True)
    twice["pair"] = np.tile(np.arange(len(LUNG)), 2)
    found = kaplan_meier(twice, **WHEN, strata="g", cluster="pair").differences([250])
    assert_allclose(found[["estimate", "std_error"]], 0.0, atol=1e-12)
    # in clusters of their own, the groups are independent
    twice["own"] = np.arange(len(twice))
    apart = kaplan_meier(twice, **WHEN, strata="g", cluster="own")
    errors = apart.at([250])["std_error"]
    assert_allclose(apart.differences([250])["std_error"], np.hypot(*errors), rtol=ROUNDING)


# Klein & Moeschberger (2003, doi:10.1007/b97377), table 7.3: infections of dialysis catheters.
PUBLISHED = {
    "fleming-harrington": (3.96, 6.21, 2.53, 0.112),
    "gehan-breslow": (-9.0, 38862.0, 0.002, 0.964),
    "tarone-ware": (13.20, 432.83, 0.40, 0.526),
}


@pytest.mark.parametrize("weights", list(PUBLISHED))
def test_weighted_tests_are_those_of_a_textbook(weights: str) -> None:
    kidney = r_data("KMsurv", "kidney")
    found = log_rank(kidney, time="time", event="delta", group="type", weights=weights)
    score, variance, statistic, p_value = PUBLISHED[weights]
    assert_allclose(found.score[0], score, atol=PRINTED)
    assert_allclose(found.covariance[0, 0], variance, rtol=1e-5, atol=PRINTED)
    assert_allclose(found.statistic, statistic, atol=PRINTED)
    assert_allclose(found.p_value, p_value, atol=PRINTED)


def by_hand(data: pd.DataFrame, weight) -> float:
    """Weighted observed less expected of group b, squared over its hypergeometric variance."""
    total, spread = 0.0, 0.0
    for t in np.unique(data.loc[data["left"] == 1, "time"]):
        risk = data["time"] >= t
        n, n1 = risk.sum(), (risk & (data["g"] == "b")).sum()
        dead = (data["time"] == t) & (data["left"] == 1)
        d, d1 = dead.sum(), (dead & (data["g"] == "b")).sum()
        w = weight(n)
        total += w * (d1 - d * n1 / n)
        if n > 1:
            spread += w**2 * d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
    return total**2 / spread


@pytest.mark.parametrize(
    ("weights", "weight"),
    [("fleming-harrington", lambda n: n**0), ("gehan-breslow", float), ("tarone-ware", np.sqrt)],
)
def test_weighted_tests_are_their_sums_written_out(weights: str, weight) -> None:
    data = LUNG.assign(g=np.where(LUNG["sex"] == 1, "a", "b"))
    found = log_rank(data, **WHEN, group="g", weights=weights)
    assert_allclose(found.statistic, by_hand(data, weight), rtol=ROUNDING)


def test_pairwise_tests_are_those_of_the_pairs_alone() -> None:
    veteran = r_data("survival", "veteran")
    test = log_rank(veteran, time="time", event="status", group="celltype")
    reference = pd.DataFrame(REFERENCE["pairwise"])
    for adjust in ("holm", "bonferroni"):
        found = test.pairwise(adjust=adjust)
        assert found["contrast"].tolist() == [
            f"{b} - {a}" for a, b in zip(reference["a"], reference["b"], strict=True)
        ]
        assert_allclose(found["statistic"], reference["chisq"], rtol=ROUNDING)
        assert_allclose(found["p_adjusted"], reference[adjust], rtol=1e-7)


def test_pairs_of_clusters_are_permuted_among_themselves() -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"clinic": np.repeat(np.arange(12), 6)})
    data["g"] = np.array(["a", "b", "c"])[data["clinic"] % 3]
    data["time"], data["left"] = rng.integers(1, 9, 72), rng.integers(0, 2, 72)
    test = log_rank(data, **WHEN, group="g", cluster="clinic", seed=1, n_resamples=40_000)
    pairs = test.pairwise(adjust="none")
    own = log_rank(data[data["g"] != "c"], **WHEN, group="g", cluster="clinic")
    assert_allclose(pairs.iloc[0]["p_value"], own.p_value, rtol=ROUNDING)
    assert own.permutation.exact


def test_ratios_of_restricted_means_are_tested_on_the_log() -> None:
    means = restricted_mean(LUNG, **WHEN, strata="sex", until=500)
    a, b = means.tidy().to_dict("records")
    found = means.ratios().iloc[0]
    assert found["contrast"] == "2 / 1"
    assert_allclose(found["estimate"], b["estimate"] / a["estimate"], rtol=ROUNDING)
    error = np.hypot(a["std_error"] / a["estimate"], b["std_error"] / b["estimate"])
    assert_allclose(found["statistic"], np.log(found["estimate"]) / error, rtol=ROUNDING)
    with pytest.raises(DataError, match="a ratio needs strata="):
        restricted_mean(LUNG, **WHEN, until=500).ratios()
