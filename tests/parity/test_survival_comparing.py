"""Terms and models of hazards compared as survival, car, stats and nnet compare them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from alliance_stats.errors import DataError
from alliance_stats.multilevel import compare_models, likelihood_ratio_test
from alliance_stats.survival import competing_hazards, cox_ph, discrete_hazard, fine_gray
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("survival_comparing")
# Newton's method on both sides.
TOLERANCE = 1e-7
# nnet stops once its value moves by less than 1e-14 of itself, or at its own gradient.
MULTINOM = 1e-5
# A censoring curve's variation has 1 / Y where that of a product limit has 1 / (Y - c).
CENSORED = 0.01
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


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_terms_by_session_are_tested_as_glm_does(link: str) -> None:
    fit = discrete_hazard("x + g", ROWS, **HAZARD, link=link)
    rao, reference = fit.anova(test="score").set_index("term"), REFERENCE["rao"][link]
    assert_allclose(rao["statistic"], [reference["x"], reference["g"]], rtol=TOLERANCE)
    assert rao["df"].tolist() == [1.0, 2.0]
    crossed = discrete_hazard("x * g", ROWS, **HAZARD, link=link).anova(test="score")
    # type II: main effects without the interaction that contains them
    assert_allclose(
        crossed["statistic"], [reference["x"], reference["g"], reference["both"]], rtol=TOLERANCE
    )
    ratios = fit.anova(test="likelihood-ratio").set_index("term")["statistic"]
    if link == "cloglog":
        lr = REFERENCE["discrete"]["dummies"]["lr"]
        expected = dict(zip(lr["term"], lr["statistic"], strict=True))
        assert_allclose(ratios[["x", "g"]], [expected["x"], expected["g"]], rtol=1e-6)


def test_endings_are_tested_together_as_multinom_does() -> None:
    fit = competing_hazards("x + g", ROWS, **COMPETING)
    found = fit.anova(test="likelihood-ratio")
    whole = found[found["state"].isna()].set_index("term")["statistic"]
    logs = [r["loglik"] for r in (*REFERENCE["competing"].values(), REFERENCE["without_x"])]
    assert_allclose(whole["g"], 2.0 * (logs[1] - logs[0]), rtol=1e-3)
    assert_allclose(whole["x"], 2.0 * (logs[1] - logs[2]), rtol=1e-3)


def log_lik_by_hand(beta: np.ndarray, X: np.ndarray, ending: np.ndarray) -> float:
    """Return the multinomial log-likelihood, a column of coefficients an ending."""
    eta = np.column_stack([np.zeros(len(X)), X @ beta.reshape(2, -1).T])
    return float((eta[np.arange(len(X)), ending] - np.log(np.exp(eta).sum(axis=1))).sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_one_ending_is_tested_by_hand(weighted: bool) -> None:
    """By maximising and differentiating the likelihood that is written out."""
    rows = ROWS[ROWS["session"] <= 4].assign(w=1.0 + (ROWS["id"] % 3) * weighted)
    given = COMPETING | {"baseline": "constant"} | ({"weights": "w"} if weighted else {})
    fit = competing_hazards("x", rows, **given)
    x, ending = rows["x"].to_numpy(), rows["ending"].to_numpy()
    X, n = np.column_stack([np.ones(len(x)), x]), len(x)
    weight = (rows["w"] / rows["w"].mean()).to_numpy()
    copies = np.repeat(np.arange(n), (rows["w"]).astype(int)) if weighted else np.arange(n)
    share = weight[0] / rows["w"].iloc[0] if weighted else 1.0

    def minus(free: np.ndarray) -> float:
        beta = np.array([free[0], 0.0, free[1], free[2]])  # no effect of x on the first ending
        return -share * log_lik_by_hand(beta, X[copies], ending[copies])

    small = optimize.minimize(minus, np.array([-2.0, -2.0, 0.0]), method="BFGS", tol=1e-10)
    beta = np.array([small.x[0], 0.0, small.x[1], small.x[2]])
    P = np.exp(np.column_stack([np.zeros(n), X @ beta.reshape(2, -1).T]))
    P /= P.sum(axis=1, keepdims=True)
    scores = np.column_stack(
        [X * ((ending == k) - P[:, k])[:, None] * weight[:, None] for k in (1, 2)]
    )
    information = np.zeros((4, 4))
    for j in (0, 1):
        for k in (0, 1):
            own = weight * P[:, j + 1] * ((j == k) - P[:, k + 1])
            information[2 * j : 2 * j + 2, 2 * k : 2 * k + 2] = (X * own[:, None]).T @ X
    others = [0, 2, 3]
    taken = information[1, others] @ np.linalg.inv(information[np.ix_(others, others)])
    if weighted:
        units = pd.DataFrame(scores).groupby(rows["id"].to_numpy()).sum().to_numpy()
        spread = ((units[:, 1] - units[:, others] @ taken) ** 2).sum()
    else:
        spread = information[1, 1] - taken @ information[others, 1]
    expected = scores[:, 1].sum() ** 2 / spread
    found = fit.anova(test="score").iloc[0]
    assert found["method"] == ("robust score" if weighted else "score")
    assert_allclose(found["statistic"], expected, rtol=1e-4)
    if not weighted:
        ratio = fit.anova(test="likelihood-ratio").iloc[0]["statistic"]
        assert_allclose(ratio, 2.0 * (fit.log_lik + small.fun), rtol=1e-6)


def test_fine_gray_scores_are_those_of_survival_where_nobody_was_censored() -> None:
    ended = pd.DataFrame(REFERENCE["ended"]).assign(ending=lambda d: d["ending"].astype(int))
    given = {"time": "session", "event": "ending", "cause": 1, "censored": ()}
    for formula in ("x", "g"):
        found = fine_gray(formula, ended, **given).anova(test="score").iloc[0]
        assert_allclose(found["statistic"], REFERENCE["fine_score"][formula], rtol=TOLERANCE)
    over = fine_gray("g", ended, **given, cluster="site").anova(test="score").iloc[0]
    assert_allclose(over["statistic"], REFERENCE["fine_score"]["clustered"], rtol=TOLERANCE)
    assert over["method"] == "robust score"


def test_fine_gray_scores_allow_for_estimated_weights() -> None:
    """By a little more weight of each row: its part in the restricted fit and in the weights."""
    last = ROWS.groupby("id").tail(1).head(36).assign(k=1.0).reset_index(drop=True)
    last.loc[::5, "ending"] = 0
    given = {"time": "session", "event": "ending", "cause": 1}

    def slope(weight: np.ndarray) -> float:
        small = fine_gray("x", last.assign(k=weight), weights="k", **given)
        whole = fine_gray(
            "x + g2", last.assign(k=weight, g2=last["g"] == "b"), weights="k", **given
        )
        beta = np.array([small.beta[0] * whole.design.scale[0], 0.0])
        return float(whole.sets.derivatives(whole.sets.at(beta))[0][1] / whole.design.scale[1])

    step, moved = 1e-4, []
    for row in range(len(last)):
        aside = step * (np.arange(len(last)) == row)
        moved.append((slope(1.0 + aside) - slope(1.0 - aside)) / (2.0 * step))
    plain = slope(np.ones(len(last)))
    fit = fine_gray("x + g2", last.assign(g2=last["g"] == "b"), **given)
    found = fit.anova(test="score").set_index("term").loc["g2", "statistic"]
    assert_allclose(found, plain**2 / (np.array(moved) ** 2).sum(), rtol=CENSORED)


def test_robust_scores_by_session_are_those_of_clusters_by_hand() -> None:
    data = ROWS.assign(site=ROWS["id"] % 23)
    fit = discrete_hazard("x + g", data, **HAZARD, baseline="log", link="logit", cluster="site")
    small = discrete_hazard("g", data, **HAZARD, baseline="log", link="logit")
    b, c = (data["g"] == level for level in "bc")
    X = np.column_stack([np.ones(len(data)), np.log(data["session"]), b, c, data["x"]])
    p = 1.0 / (1.0 + np.exp(-X[:, :4] @ small.fit.beta.to_numpy()))
    scores = X * (data["event"].to_numpy() - p)[:, None]
    information = (X * (p * (1.0 - p))[:, None]).T @ X
    sites = pd.DataFrame(scores).groupby(data["site"].to_numpy()).sum().to_numpy()
    own = sites[:, 4] - sites[:, :4] @ np.linalg.solve(information[:4, :4], information[:4, 4])
    expected = scores[:, 4].sum() ** 2 / (own**2).sum()
    found = fit.anova(test="score").set_index("term")
    assert_allclose(found.loc["x", "statistic"], expected, rtol=1e-6)


# What is asked of each kind of model, and what it answers: a test, or words.
ASKED = ("wald", "likelihood-ratio", "score", "likelihood_ratio_test", "compare_models")
RATIO = "test='wald' or test='score'"
ANSWERS = {
    "Cox": (True, True, True, True, True),
    "Cox, strata": (True, True, True, True, True),
    "Cox, clusters": (True, RATIO, True, "over clusters", True),
    "Cox, CR2": (True, RATIO, True, "over clusters", True),
    "Cox, weights": (True, RATIO, True, "over clusters", True),
    "Cox, gamma frailty": (True, "With a frailty", "With a frailty", True, True),
    "Cox, lognormal frailty": (
        True, "With a frailty", "With a frailty", "restricted likelihood", True,
    ),
    "Fine-Gray": (True, "weights are estimated", True, "pseudo-likelihood", True),
    "Fine-Gray, clusters": (True, "weights are estimated", True, "pseudo-likelihood", True),
    "discrete": (True, True, True, True, True),
    "discrete, clusters": (True, RATIO, True, "over clusters", True),
    "discrete, CR2": (True, RATIO, True, "over clusters", True),
    "discrete, weights": (True, RATIO, True, "over clusters", True),
    "discrete, therapists": (
        True, "With random effects", "With random effects", True, True,
    ),
    "competing": (True, True, True, True, True),
    "competing, clusters": (True, RATIO, True, "over clusters", True),
    "competing, weights": (True, RATIO, True, "over clusters", True),
    "competing, therapists": (
        True, "With random effects", "With random effects", True, True,
    ),
}  # fmt: skip


def of_kind(kind: str, formula: str):
    """Return a model of a kind, on data that all kinds share."""
    rows = ROWS[ROWS["id"] < 120].assign(site=lambda d: d["id"] % 13, w=lambda d: 1.0 + d["id"] % 2)
    last = rows.groupby("id").tail(1)
    model, _, how = kind.partition(", ")
    given = {
        "clusters": {"cluster": "site"}, "weights": {"weights": "w"}, "strata": {"strata": "w"},
        "CR2": {"cluster": "site", "vcov": "CR2"}, "gamma frailty": {"frailty": "site"},
        "lognormal frailty": {"frailty": "site", "frailty_distribution": "lognormal"},
        "therapists": {"random": "(1 | site)"},
    }.get(how, {})  # fmt: skip
    if model == "Cox":
        return cox_ph(formula, last, time="session", event="event", **given)
    if model == "Fine-Gray":
        return fine_gray(formula, last, time="session", event="ending", cause=1, **given)
    if model == "discrete":
        return discrete_hazard(formula, rows, **(HAZARD | {"baseline": "log"} | given))
    return competing_hazards(formula, rows, **COMPETING, baseline="log", **given)


@pytest.mark.filterwarnings("ignore::alliance_stats.errors.AllianceStatsWarning")
@pytest.mark.parametrize("kind", list(ANSWERS))
def test_each_question_is_answered_or_refused_in_words(kind: str) -> None:
    small, large = of_kind(kind, "x"), of_kind(kind, "x + g")
    ask = {test: lambda test=test: large.anova(test=test) for test in ASKED[:3]}
    ask["likelihood_ratio_test"] = lambda: likelihood_ratio_test(small, large)
    ask["compare_models"] = lambda: compare_models(small, large)
    for question, answer in zip(ASKED, ANSWERS[kind], strict=True):
        if answer is not True:
            with pytest.raises(DataError, match=answer):
                ask[question]()
            continue
        found = ask[question]()
        if question in ASKED[:3]:
            tests = found[found["term"] == "g"]
            assert tests["p_value"].between(0.0, 1.0).all(), question
            assert (tests["statistic"] >= 0.0).all()
        elif question == "compare_models":
            for model, row in ((small, "x"), (large, "x + g")):
                glance = model.glance().iloc[0]
                own = found[[f.split(" (")[0] == row for f in found["formula"]]].iloc[0]
                # AIC by hand: glance and the comparison count parameters alike
                assert_allclose(own["aic"] - glance["aic"], 0.0, atol=1e-6, err_msg=kind)


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
