"""Terms and models of hazards compared as survival, car, stats and nnet compare them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.multilevel import compare_models, likelihood_ratio_test
from alliance_stats.survival import competing_hazards, cox_ph, discrete_hazard, fine_gray
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("survival_comparing")
# Newton's method on both sides.
TOLERANCE = 1e-7
# nnet stops once its value moves by less than 1e-14 of itself, or at its own gradient.
MULTINOM = 1e-5
WHEN = {"time": "time", "event": "status"}
FORMULAS = {"veteran": "karno + age + celltype", "interaction": "C(trt) * karno + age"}
ROWS = pd.DataFrame(REFERENCE["rows"])
HAZARD = {"session": "session", "event": "event", "unit": "id", "random": None}
COMPETING = {"session": "session", "event": "ending", "unit": "id"}


def veteran() -> pd.DataFrame:
    return r_data("survival", "veteran")


@pytest.mark.parametrize("name", list(FORMULAS))
@pytest.mark.parametrize(("test", "kind"), [("likelihood-ratio", "lr"), ("wald", "wald")])
def test_terms_of_a_cox_model_are_tested_as_car_does(name: str, test: str, kind: str) -> None:
    fit = cox_ph(FORMULAS[name], veteran(), **WHEN)
    found, reference = fit.anova(test=test), REFERENCE[name][kind]
    named = [term.replace("C(trt)", "trt") for term in found["term"]]
    order = [named.index(term) for term in reference["term"]]
    assert_allclose(found["statistic"].to_numpy()[order], reference["statistic"], rtol=TOLERANCE)
    assert_allclose(found["df"].to_numpy()[order], reference["df"])


@pytest.mark.parametrize("name", list(FORMULAS))
def test_aic_and_bic_are_those_of_r(name: str) -> None:
    glance = cox_ph(FORMULAS[name], veteran(), **WHEN).glance().iloc[0]
    assert_allclose(glance["aic"], REFERENCE[name]["aic"], rtol=TOLERANCE)
    assert_allclose(glance["bic"], REFERENCE[name]["bic"], rtol=TOLERANCE)


def test_two_cox_models_are_compared_as_anova_does() -> None:
    small = cox_ph("karno + age", veteran(), **WHEN)
    large = cox_ph(FORMULAS["veteran"], veteran(), **WHEN)
    found = likelihood_ratio_test(large, small)
    assert_allclose(found.statistic, REFERENCE["ratio"]["statistic"], rtol=TOLERANCE)
    assert found.df == REFERENCE["ratio"]["df"]
    assert_allclose(found.p_value, REFERENCE["ratio"]["p"], rtol=TOLERANCE)
    table = compare_models(small, large)
    assert table["formula"].tolist() == [FORMULAS["veteran"], "karno + age"]
    assert_allclose(
        table.loc[0, ["aic", "bic"]].astype(float),
        [REFERENCE["veteran"]["aic"], REFERENCE["veteran"]["bic"]],
        rtol=TOLERANCE,
    )


@pytest.mark.parametrize("term", ["celltype", "karno"])
def test_score_tests_are_those_at_the_restricted_maximum(term: str) -> None:
    found = cox_ph(FORMULAS["veteran"], veteran(), **WHEN).anova(test="score").set_index("term")
    assert_allclose(found.loc[term, "statistic"], REFERENCE["score"][term], rtol=TOLERANCE)


def test_the_robust_score_test_is_that_of_survival() -> None:
    data = veteran().assign(id=np.tile(np.arange(46), 3)[:137])
    found = cox_ph("celltype", data, **WHEN, cluster="id").anova(test="score").iloc[0]
    assert found["method"] == "robust score"
    assert_allclose(found["statistic"], REFERENCE["robust"]["score"], rtol=TOLERANCE)


@pytest.mark.parametrize("baseline", ["dummies", "linear"])
def test_discrete_hazards_have_the_likelihood_of_glm(baseline: str) -> None:
    linear = {"baseline": "polynomial", "baseline_df": 1}
    options = {"baseline": "dummies"} if baseline == "dummies" else linear
    fits = {f: discrete_hazard(f, ROWS, **HAZARD, **options) for f in ("x + g", "x", "g")}
    reference = REFERENCE["discrete"][baseline]
    glance = fits["x + g"].glance().iloc[0]
    assert_allclose(
        glance[["log_lik", "aic", "bic"]].astype(float),
        [reference[k] for k in ("loglik", "aic", "bic")],
        rtol=TOLERANCE,
    )
    for left_out, small in (("g", "x"), ("x", "g")):
        found = likelihood_ratio_test(fits[small], fits["x + g"])
        at = reference["lr"]["term"].index(left_out)
        assert_allclose(found.statistic, reference["lr"]["statistic"][at], rtol=1e-6)
        assert found.df == reference["lr"]["df"][at]


def test_baselines_are_compared_by_their_deviances() -> None:
    """Singer & Willett's question: is a line as good as a level for each session?"""
    free = discrete_hazard("x + g", ROWS, **HAZARD)
    line = discrete_hazard("x + g", ROWS, **HAZARD, baseline="polynomial", baseline_df=1)
    found = likelihood_ratio_test(line, free)
    reference = REFERENCE["discrete"]
    expected = 2.0 * (reference["dummies"]["loglik"] - reference["linear"]["loglik"])
    assert_allclose(found.statistic, expected, rtol=1e-6)
    assert found.df == 6
    assert compare_models(line, free)["aic"].iloc[0] == pytest.approx(reference["linear"]["aic"])


def test_sessions_without_an_ending_are_parameters_at_their_limit() -> None:
    """With nobody leaving after session 8 its dummy is at minus infinity: glm would count it."""
    stayed = ROWS.assign(event=ROWS["event"].where(ROWS["session"] < 8, 0.0))
    free = discrete_hazard("x", stayed, **HAZARD)
    line = discrete_hazard("x", stayed, **HAZARD, baseline="polynomial", baseline_df=1)
    assert free.rows.n_used < line.rows.n_used
    assert likelihood_ratio_test(line, free).df == 6
    own = stayed["session"] < 8
    share = stayed[own].groupby("session")["event"].mean()
    alone = discrete_hazard("1", stayed, **HAZARD)
    n = stayed[own].groupby("session").size()
    by_hand = (n * (share * np.log(share) + (1 - share) * np.log1p(-share))).sum()
    assert_allclose(alone.likelihood().log_lik, by_hand, rtol=1e-10)


def test_competing_hazards_have_the_likelihood_of_multinom() -> None:
    small = competing_hazards("x", ROWS, **COMPETING)
    large = competing_hazards("x + g", ROWS, **COMPETING)
    for fit, reference in zip((small, large), REFERENCE["competing"].values(), strict=True):
        glance = fit.glance().iloc[0]
        assert_allclose(
            glance[["log_lik", "aic", "bic"]].astype(float),
            [reference[k] for k in ("loglik", "aic", "bic")],
            rtol=MULTINOM,
        )
    found = likelihood_ratio_test(small, large)
    assert found.df == 4
    logs = [r["loglik"] for r in REFERENCE["competing"].values()]
    assert_allclose(found.statistic, 2.0 * (logs[1] - logs[0]), rtol=1e-3)
    tests = large.anova()
    both = tests[tests["state"].isna() & (tests["term"] == "g")].iloc[0]
    # Wald's and the ratio's statistics agree to their second order
    assert_allclose(both["statistic"], found.statistic, rtol=0.15)
    assert both["df"] == 4


def test_wald_tests_of_one_coefficient_are_its_z() -> None:
    one = discrete_hazard("x + g", ROWS, **HAZARD)
    z = one.tidy().set_index("term").loc["x", "statistic"]
    assert_allclose(one.anova().set_index("term").loc["x", "statistic"], z**2, rtol=1e-9)
    fine = fine_gray("x", ROWS.groupby("id").tail(1), time="session", event="ending", cause=1)
    assert_allclose(fine.anova()["statistic"], fine.tidy()["statistic"] ** 2, rtol=1e-9)


def test_a_random_effect_is_tested_at_its_boundary() -> None:
    rng = np.random.default_rng(1)
    data = ROWS.assign(therapist=ROWS["id"].map(dict(enumerate(rng.integers(0, 20, 251)))))
    columns = {"session": "session", "event": "event", "unit": "id"}
    without = discrete_hazard("x", data, **columns, random=None)
    found = likelihood_ratio_test(without, discrete_hazard("x", data, **columns))
    assert found.reference == "equal mixture of chi-squared with 0 and 1 df"
    frail = cox_ph(
        "x", data.groupby("id").tail(1), time="session", event="event", frailty="therapist"
    )
    plain = cox_ph("x", data.groupby("id").tail(1), time="session", event="event")
    test = likelihood_ratio_test(plain, frail)
    gain = 2.0 * max(frail.frailty.log_lik - frail.frailty.log_lik_without, 0.0)
    assert_allclose(test.statistic, gain, atol=1e-6)


def test_what_cannot_be_compared_is_refused() -> None:
    data = veteran().assign(id=np.tile(np.arange(46), 3)[:137])
    one = cox_ph("karno", data, **WHEN)
    with pytest.raises(DataError, match="neither is larger"):
        likelihood_ratio_test(one, cox_ph("age", data, **WHEN))
    with pytest.raises(DataError, match="is not nested in"):
        likelihood_ratio_test(one, cox_ph("age + celltype", data, **WHEN))
    with pytest.raises(DataError, match="did not use the same rows"):
        likelihood_ratio_test(one, cox_ph("karno + age", data.iloc[1:], **WHEN))
    with pytest.raises(DataError, match="over clusters"):
        likelihood_ratio_test(one, cox_ph("karno + age", data, **WHEN, cluster="id"))
    with pytest.raises(DataError, match="different kinds of models"):
        likelihood_ratio_test(one, cox_ph("karno + age", data, **WHEN, ties="breslow"))
    with pytest.raises(DataError, match="test='wald' or test='score'"):
        cox_ph("karno", data, **WHEN, cluster="id").anova(test="likelihood-ratio")
    fine = [
        fine_gray(f, ROWS.groupby("id").tail(1), time="session", event="ending", cause=1)
        for f in ("x", "x + g")
    ]
    with pytest.raises(DataError, match="pseudo-likelihood"):
        likelihood_ratio_test(*fine)
    assert list(compare_models(*fine).columns[:4]) == ["formula", "n_parameters", "log_lik", "aic"]
