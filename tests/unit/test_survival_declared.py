"""What survival functions are told, and what they refuse to guess."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from alliance_stats import (
    cox_ph,
    cumulative_incidence,
    discrete_hazard,
    fine_gray,
    gray_test,
    kaplan_meier,
    log_rank,
)
from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.figures import hazard_figure, restricted_mean_figure
from alliance_stats.survival import concordance, proportional_hazards_test, restricted_mean

EXACT = 1e-12  # a few sums and products of doubles

CODED = pd.DataFrame(
    {
        "time": [1, 2, 3, 4, 5, 6, 7, 8],
        "state": [2, 1, 3, 2, 1, 2, 3, 1],
        "x": [0.3, 1.0, -0.4, 0.1, 0.8, -1.1, 0.2, 0.5],
        "g": list("aabbabab"),
    }
)


@pytest.mark.parametrize(
    "question",
    [
        lambda d: cumulative_incidence(d, time="time", event="state"),
        lambda d: gray_test(d, time="time", event="state", group="g"),
        lambda d: fine_gray("x", d, time="time", event="state", cause=2),
    ],
)
def test_codes_without_a_zero_are_declared(question):
    with pytest.raises(DataError, match=r"the codes 1, 2, 3.*censored=1.*censored=\(\)"):
        question(CODED)


def test_declared_codes_are_taken_at_their_word():
    coded = cumulative_incidence(CODED, time="time", event="state", censored=1).tidy()
    words = CODED.assign(state=CODED["state"].map({1: "ongoing", 2: "dropout", 3: "planned"}))
    named = cumulative_incidence(words, time="time", event="state").tidy()
    assert_allclose(coded["estimate"], named["estimate"], atol=EXACT)
    everyone = cumulative_incidence(CODED, time="time", event="state", censored=())
    assert everyone.states == ("1", "2", "3")
    assert_allclose(everyone.curves[0].incidence[:, -1].sum(), 1.0, atol=EXACT)


def test_strata_that_are_written_alike_stay_apart():
    frame = pd.DataFrame(
        {
            "time": [1, 2, 3, 4, 5, 1, 2, 3, 4, 5],
            "event": [1, 1, 1, 1, 0, 0, 1, 0, 1, 1],
            "x": [0.0, 1.0, 0.5, 0.2, 0.3, 1.0, 0.0, 0.4, 0.9, 0.1],
            "s": ["a, b"] * 5 + ["a"] * 5,
            "t": ["c"] * 5 + ["b, c"] * 5,
        }
    )
    plain = frame.assign(s=["P"] * 5 + ["Q"] * 5, t="z")
    fits = [cox_ph("x", d, time="time", event="event", strata=["s", "t"]) for d in (frame, plain)]
    for row in (0, 7):
        one, other = (
            fit.survival(d.iloc[[row]], times=[1, 2, 3, 4])["estimate"]
            for fit, d in zip(fits, (frame, plain), strict=True)
        )
        assert_allclose(one, other, atol=EXACT)
    curves = kaplan_meier(frame, time="time", event="event", strata=["s", "t"])
    assert [curve.label for curve in curves.curves] == ["'a', 'b, c'", "'a, b', 'c'"]


def test_nothing_is_said_beyond_the_data():
    frame = pd.DataFrame({"t": [1, 2, 3, 4, 14], "e": [1, 1, 0, 1, 0], "x": [0.1, 2, 1, 0.3, 1]})
    fit = cox_ph("x", frame, time="t", event="e")
    curve = fit.survival(frame.iloc[[0]], times=[4, 14, 500])
    assert curve["estimate"].notna().tolist() == [True, True, False]
    assert curve[["std_error", "conf_low", "conf_high"]].iloc[2].isna().all()


def test_a_horizon_that_differs_by_dust_is_the_last_time():
    frame = pd.DataFrame({"t": [0.1, 0.3, 0.1 + 0.2, 0.3], "e": [1, 0, 0, 0]})
    for until in (0.3, 0.1 + 0.2):
        found = restricted_mean(frame, time="t", event="e", until=until).tidy()["estimate"]
        # 1 up to 0.1, then 3/4 up to 0.3
        assert_allclose(found, 0.1 + 0.75 * 0.2, atol=EXACT)
    curve = kaplan_meier(frame, time="t", event="e")
    assert curve.at_risk([0.3])["n_risk"].tolist() == curve.at_risk([0.1 + 0.2])["n_risk"].tolist()


@pytest.mark.parametrize("cluster", [None, "k"])
def test_a_mean_of_a_stratum_where_nobody_left_has_no_error(cluster):
    frame = pd.DataFrame({"t": [8, 8, 8, 8, 3, 4, 8, 8], "e": [0, 0, 0, 0, 1, 1, 0, 0]})
    frame["g"], frame["k"] = list("aaaabbbb"), [1, 1, 2, 2, 3, 3, 4, 4]
    found = restricted_mean(frame, time="t", event="e", until=8, strata="g", cluster=cluster)
    means = found.tidy().set_index("strata")
    assert_allclose(means["estimate"], [8.0, 0.25 * 3 + 0.25 * 4 + 0.5 * 8], atol=EXACT)
    assert means["std_error"].isna().tolist() == [True, False]
    assert means.loc["a", ["conf_low", "conf_high"]].isna().all()
    for apart in (found.differences(), found.ratios()):
        assert apart["estimate"].notna().all()
        assert apart[["std_error", "p_value", "conf_low", "conf_high"]].isna().all(axis=None)
    assert found.notes[0].startswith("No standard error and no interval of stratum 'a'")
    assert "8.00 [8.00, 8.00]" not in found.summary()
    drawn = restricted_mean_figure(found)
    assert "a: 8.00 (no interval); b:" in drawn.alt
    assert drawn.note.startswith(found.notes[0])


def test_ratios_of_strata_that_vary_keep_their_errors_beside_one_that_does_not():
    frame = pd.DataFrame({"t": [8, 8, 3, 5, 8, 8, 2, 4, 8], "e": [0, 0, 1, 1, 0, 0, 1, 1, 0]})
    frame["g"] = list("aabbbbccc")
    three = restricted_mean(frame, time="t", event="e", until=8, strata="g")
    two = restricted_mean(frame[frame["g"] != "a"], time="t", event="e", until=8, strata="g")
    for name in ("differences", "ratios"):
        own, other = (getattr(found, name)().set_index("contrast") for found in (three, two))
        assert_allclose(own.loc[other.index], other, atol=EXACT)
        assert own["std_error"].isna().tolist() == [True, True, False]


def test_events_at_one_time_say_nothing_of_a_change():
    frame = pd.DataFrame({"t": [2, 2, 2, 3, 3], "e": [1, 1, 1, 0, 0], "x": [0.0, 1, 2, 0.5, 1.5]})
    fit = cox_ph("x", frame, time="t", event="e")
    with pytest.raises(NotIdentifiedError, match="All events fall at one time"):
        proportional_hazards_test(fit)


def test_glance_of_clustered_cox_is_robust():
    rng = np.random.default_rng(1)
    therapist = np.repeat(np.arange(20), 30)
    frame = pd.DataFrame({"th": therapist, "x": therapist % 2, "z": rng.normal(size=600)})
    rate = 0.1 * np.exp(rng.normal(size=20)[therapist])
    t = np.ceil(rng.exponential(1 / rate))
    frame = frame.assign(t=np.minimum(t, 20), e=(t <= 20).astype(int))
    one = cox_ph("x", frame, time="t", event="e", cluster="th")
    assert one.glance().loc[0, "test"] == "robust Wald"
    assert_allclose(one.glance()["p_value"], one.tidy()["p_value"], atol=EXACT)
    two = cox_ph("x + z", frame, time="t", event="e", cluster="th")
    wald = two.beta @ np.linalg.inv(two.vcov().to_numpy()) @ two.beta
    assert_allclose(two.glance()["p_value"], stats.chi2.sf(wald, 2), rtol=1e-9)
    plain = cox_ph("x", frame, time="t", event="e")
    assert plain.glance().loc[0, "test"] == "likelihood ratio"
    # by its definition, with one coefficient
    assert_allclose(plain.glance()["aic"], 2.0 - 2.0 * plain.glance()["log_lik"], rtol=1e-12)


def test_a_frailty_over_few_groups_says_so():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"t": rng.integers(1, 9, 60), "e": 1, "x": rng.normal(size=60)})
    fit = cox_ph("x", frame.assign(g=np.arange(60) % 2), time="t", event="e", frailty="g")
    assert fit.summary().startswith("A frailty over 2 groups of g")


def test_several_quantiles_are_asked_one_at_a_time():
    curve = kaplan_meier(CODED.assign(e=1), time="time", event="e")
    with pytest.raises(ValueError, match="one at a time"):
        curve.quantiles([0.25, 0.5])


def test_numpy_warns_as_before():
    before = np.geterr()
    kaplan_meier(CODED.assign(e=1), time="time", event="e")
    assert np.geterr() == before


def test_a_log_rank_test_without_events_says_so():
    frame = CODED.assign(e=0)
    with pytest.raises(NotIdentifiedError, match="None of 8 rows has the event 'e'"):
        log_rank(frame, time="time", event="e", group="g")


def periods() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for i in range(80):
        for session in range(1, 6):
            left = int(rng.random() < 0.15 + 0.2 * (i % 2))
            rows.append((i, session, left, i % 2))
            if left:
                break
    return pd.DataFrame(rows, columns=["id", "session", "event", "x"])


def test_observed_shares_beside_a_profile_are_of_that_profile():
    columns = {"session": "session", "event": "event", "unit": "id", "random": None}
    frame = periods()
    fit = discrete_hazard("x", frame, **columns)
    own = frame[frame["x"] == 0].groupby("session")["event"].agg(["size", "sum"])
    seen = fit.observed(pd.DataFrame({"x": [0]}))
    assert seen["n_risk"].tolist() == own["size"].tolist()
    assert seen["n_event"].tolist() == own["sum"].tolist()
    assert fit.observed()["n_risk"].tolist() == frame.groupby("session").size().tolist()
    drawn = hazard_figure(fit, pd.DataFrame({"x": [0]}), of="x = 0")
    assert drawn.data["n_risk"].tolist() == own["size"].tolist()
    nobody = hazard_figure(fit, pd.DataFrame({"x": [0.5]}), of="x = 0.5")
    assert "at risk" not in nobody.caption


def test_the_aic_of_a_discrete_hazard_is_by_its_definition():
    columns = {"session": "session", "event": "event", "unit": "id", "random": None}
    frame = periods()
    fit = discrete_hazard("x", frame, **columns, baseline="polynomial", baseline_df=1)
    design = np.column_stack([np.ones(len(frame)), frame["session"], frame["x"]])
    import statsmodels.api as sm

    link = sm.families.Binomial(link=sm.families.links.CLogLog())
    outside = sm.GLM(frame["event"], design, family=link).fit(tol=1e-12)
    # both iterate to their maximum, where the likelihood is flat to second order
    assert_allclose(fit.glance()["aic"], outside.aic, rtol=1e-8)


@pytest.mark.parametrize("question", [concordance, proportional_hazards_test])
def test_a_model_of_another_kind_is_named(question):
    other = fine_gray("x", CODED, time="time", event="state", cause=2, censored=1)
    with pytest.raises(WrongObjectError, match="takes a model of cox_ph; got"):
        question(other)


def test_values_too_large_to_square_are_refused_as_such():
    with pytest.raises(DataError, match="'x' is too large"):
        cox_ph("x", CODED.assign(x=CODED["x"] * 1e160, e=1), time="time", event="e")
