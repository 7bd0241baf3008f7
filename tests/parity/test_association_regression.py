"""Regressions agree with lm, glm, sandwich, clubSandwich and car; and with statsmodels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from alliance_stats import contrasts, estimated_means, regression, simple_slopes
from alliance_stats.association.ordered_regression import clustered
from tests.parity.reference import load_reference

REFERENCE = load_reference("association_regression")
DATA = pd.DataFrame(REFERENCE["data"])
EXACT = 1e-8  # least squares on both sides
OTHER_ROOT = 0.02  # two roots of one correction, 12 clusters
SEARCHED = 1e-7  # glm stops its reweighting at 1e-14 of the deviance
MODELS = {
    "linear": ("symptoms ~ alliance * experience + role", {}),
    "weighted": ("symptoms ~ alliance + experience", {"weights": "w"}),
    "logistic": ("left ~ alliance + experience + role", {"family": "logistic"}),
    "poisson": ("missed ~ alliance + experience", {"family": "poisson"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_coefficients_and_errors_of_every_kind(name: str) -> None:
    formula, options = MODELS[name]
    expected: dict[str, Any] = REFERENCE[name]
    model = regression(formula, DATA, cluster="therapist", **options)
    plain, robust = model.tidy(vcov="classical"), model.tidy()
    hc3 = model.tidy(vcov="HC3")
    assert plain["estimate"].to_numpy() == pytest.approx(expected["estimate"], rel=SEARCHED)
    assert plain["std_error"].to_numpy() == pytest.approx(expected["se"], rel=SEARCHED)
    assert plain["p_value"].to_numpy() == pytest.approx(expected["p"], rel=1e-5)
    assert hc3["std_error"].to_numpy() == pytest.approx(expected["hc3"], rel=SEARCHED)
    assert robust["std_error"].to_numpy() == pytest.approx(expected["cr2"], rel=SEARCHED)
    if name != "weighted":  # whose df clubSandwich takes under equal variances; see below
        assert robust["df"].to_numpy() == pytest.approx(expected["cr2_df"], rel=1e-6)
        assert robust["p_value"].to_numpy() == pytest.approx(expected["cr2_p"], rel=1e-5)
    fit = model.glance().iloc[0]
    for column in ("log_lik", "aic", "bic"):
        assert fit[column] == pytest.approx(expected[column], rel=EXACT)


def test_df_with_weights_are_those_of_the_quadratic_form() -> None:
    model = regression("symptoms ~ alliance + experience", DATA, weights="w", cluster="therapist")
    order = np.argsort(pd.factorize(DATA["therapist"], sort=True)[0], kind="stable")
    data = DATA.iloc[order]
    w = data["w"].to_numpy()
    X = sm.add_constant(data[["alliance", "experience"]]).to_numpy()
    M = np.linalg.inv(X.T @ (X * w[:, None]))
    left = np.eye(len(X)) - X @ M @ (X * w[:, None]).T
    sizes = data.groupby("therapist", sort=False).size().to_numpy()
    for column, df in enumerate(model.tidy()["df"]):
        A = np.zeros((len(sizes), len(X)))
        for i, own in enumerate(np.split(np.arange(len(X)), np.cumsum(sizes)[:-1])):
            D = np.diag(1.0 / np.sqrt(w[own]))
            B = D @ (np.diag(1.0 / w[own]) - X[own] @ M @ X[own].T) @ D
            values, vectors = np.linalg.eigh(B)
            root = (vectors / np.sqrt(values)) @ vectors.T
            A[i, own] = (D @ root @ D @ (X[own] * w[own, None]) @ M)[:, column]
        P = A @ left @ np.diag(1.0 / w) @ left.T @ A.T
        assert df == pytest.approx(np.trace(P) ** 2 / (P**2).sum(), rel=1e-8)


def test_the_fit_of_a_linear_regression() -> None:
    fit = regression(MODELS["linear"][0], DATA).glance().iloc[0]
    expected = REFERENCE["linear_fit"]
    for ours, theirs in (
        ("r2", "r2"),
        ("r2_adjusted", "adj"),
        ("statistic", "f"),
        ("df1", "df1"),
        ("df2", "df2"),
        ("sigma", "sigma"),
    ):
        assert fit[ours] == pytest.approx(expected[theirs], rel=EXACT)


def test_steps_are_those_of_anova() -> None:
    model = regression(
        "symptoms ~ experience + alliance + role", DATA, steps=["experience", "alliance", "role"]
    )
    table, expected = model.step_table(), REFERENCE["steps"]
    assert table["r2"].to_numpy() == pytest.approx(expected["r2"], rel=EXACT)
    assert table["statistic"].to_numpy()[1:] == pytest.approx(expected["f"], rel=EXACT)
    assert table["p_value"].to_numpy()[1:] == pytest.approx(expected["p"], rel=1e-6)
    logistic = regression(
        MODELS["logistic"][0], DATA, family="logistic", steps=["experience"]
    ).step_table()
    last, chi2 = logistic.iloc[-1], REFERENCE["logistic_steps"]
    assert last["statistic"] == pytest.approx(chi2["chi2"], rel=1e-7)
    assert (last["df"], last["p_value"]) == pytest.approx((chi2["df"], chi2["p"]), rel=1e-6)


def test_standardised_partial_influence_and_collinearity() -> None:
    model = regression("symptoms ~ alliance + experience", DATA)
    correlations = model.correlations()
    assert correlations["partial"].to_numpy() == pytest.approx(REFERENCE["partial"], rel=EXACT)
    assert correlations["semipartial"].to_numpy() == pytest.approx(REFERENCE["semi"], rel=EXACT)
    betas = model.standardised()["estimate"].to_numpy()
    assert betas == pytest.approx(REFERENCE["standardised"], rel=EXACT)
    rows = model.influence()
    assert rows["leverage"].to_numpy() == pytest.approx(REFERENCE["hat"], rel=EXACT)
    assert rows["residual_studentised"].to_numpy() == pytest.approx(
        REFERENCE["rstudent"], rel=EXACT
    )
    assert rows["cooks_distance"].to_numpy() == pytest.approx(REFERENCE["cooks"], rel=EXACT)
    vif = regression("symptoms ~ alliance + experience + role", DATA).collinearity()
    assert vif["vif"].to_numpy() == pytest.approx(REFERENCE["vif"]["gvif"], rel=EXACT)
    assert list(vif["df"]) == REFERENCE["vif"]["df"]


@pytest.mark.parametrize(
    ("name", "formula", "family"),
    [
        ("rate_poisson", "visits ~ x + arm + offset(log_weeks)", "poisson"),
        ("rate_logistic", "came ~ x + arm + offset(known)", "logistic"),
    ],
)
def test_offsets_are_those_of_glm(name: str, formula: str, family: Any) -> None:
    data, expected = pd.DataFrame(REFERENCE["rates"]), REFERENCE[name]
    model = regression(formula, data, family=family)
    table = model.tidy()
    assert table["estimate"].to_numpy() == pytest.approx(expected["estimate"], rel=SEARCHED)
    assert table["std_error"].to_numpy() == pytest.approx(expected["se"], rel=SEARCHED)
    hc3 = model.tidy(vcov="HC3")["std_error"].to_numpy()
    assert hc3 == pytest.approx(expected["hc3"], rel=SEARCHED)
    glance = model.glance().iloc[0]
    assert glance["log_lik"] == pytest.approx(expected["log_lik"], rel=SEARCHED)
    assert glance["log_lik_null"] == pytest.approx(expected["null"], rel=SEARCHED)
    new = pd.DataFrame(
        {"x": [0.0, 1.0], "arm": ["a", "b"], "log_weeks": np.log([10.0, 2.0]), "known": [1.0, -1.0]}
    )
    found = model.predict(new, interval="confidence")
    eta, se = np.array(expected["eta"]), np.array(expected["eta_se"])
    mean = np.exp if family == "poisson" else lambda x: 1.0 / (1.0 + np.exp(-x))
    assert found["estimate"].to_numpy() == pytest.approx(mean(eta), rel=SEARCHED)
    high = mean(eta + 1.959963984540054 * se)
    assert found["conf_high"].to_numpy() == pytest.approx(high, rel=SEARCHED)
    # each step keeps the offset
    steps = regression(formula, data, family=family, steps=["x"]).step_table()
    assert steps["log_lik"].iloc[-1] == pytest.approx(expected["log_lik"], rel=SEARCHED)
    first = regression(formula.replace(" + arm", ""), data, family=family)
    assert steps["log_lik"].iloc[0] == pytest.approx(first.glance().loc[0, "log_lik"])


def test_statsmodels_gives_the_same_tables() -> None:
    X = sm.add_constant(DATA[["alliance", "experience"]])
    theirs = sm.OLS(DATA["symptoms"], X).fit()
    ours = regression("symptoms ~ alliance + experience", DATA).tidy()
    assert ours["std_error"].to_numpy() == pytest.approx(theirs.bse.to_numpy(), rel=EXACT)
    assert ours[["conf_low", "conf_high"]].to_numpy() == pytest.approx(
        theirs.conf_int().to_numpy(), rel=EXACT
    )
    logit = sm.Logit(DATA["left"], X).fit(disp=0, tol=1e-14)
    own = regression("left ~ alliance + experience", DATA, family="logistic")
    assert own.beta.to_numpy() == pytest.approx(logit.params.to_numpy(), rel=1e-6)
    assert own.glance()["r2_mcfadden"].iloc[0] == pytest.approx(logit.prsquared, rel=1e-9)


def test_what_is_asked_after_a_fit_uses_the_robust_errors() -> None:
    model = regression("symptoms ~ alliance + role", DATA, cluster="therapist")
    slope = simple_slopes(model, "alliance").tidy().iloc[0]
    row = model.tidy().set_index("term").loc["alliance"]
    for column in ("estimate", "std_error", "df", "p_value"):
        assert slope[column] == pytest.approx(row[column], rel=1e-7)
    compared = contrasts(estimated_means(model, "role"), adjust="none").tidy()
    own = model.tidy().set_index("term").loc["role[T.father]"]
    found = compared[
        compared["contrast"].str.contains("father") & compared["contrast"].str.contains("child")
    ]
    assert abs(found["estimate"].iloc[0]) == pytest.approx(abs(own["estimate"]), rel=EXACT)
    assert found["std_error"].iloc[0] == pytest.approx(own["std_error"], rel=1e-7)


def test_predictions_are_those_of_the_linear_function() -> None:
    model = regression("symptoms ~ alliance", DATA)
    X = sm.add_constant(DATA[["alliance"]])
    theirs = sm.OLS(DATA["symptoms"], X).fit().get_prediction(X.head(3)).summary_frame(alpha=0.05)
    mean = model.predict(DATA.head(3), interval="confidence")
    new = model.predict(DATA.head(3), interval="prediction")
    assert mean["conf_low"].to_numpy() == pytest.approx(theirs["mean_ci_lower"].to_numpy())
    assert new["conf_high"].to_numpy() == pytest.approx(theirs["obs_ci_upper"].to_numpy())
    assert np.allclose(model.augment()["residual"].sum(), 0.0, atol=1e-9)


ORDERED = 1e-6  # polr stops its search at a relative 1e-14 of the deviance
ORDERED_SE = 1e-4  # polr's Hessian is a numerical one


def test_ordered_categories_as_polr() -> None:
    expected = REFERENCE["ordinal"]
    model = regression("step ~ alliance + role", DATA, family="ordinal")
    table = model.tidy()
    own = table[table["effect"] == "coefficient"]["estimate"].to_numpy()
    cuts = table[table["effect"] == "threshold"]["estimate"].to_numpy()
    assert own == pytest.approx(expected["estimate"], rel=ORDERED)
    assert cuts == pytest.approx(expected["thresholds"], rel=ORDERED)
    assert table["std_error"].to_numpy() == pytest.approx(expected["se"], rel=ORDERED_SE)
    assert model.log_lik == pytest.approx(expected["log_lik"], rel=1e-10)
    shares = model.predict(DATA)
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1.0)
    seen = DATA["step"].value_counts(normalize=True).sort_index()
    assert shares.mean().to_numpy() == pytest.approx(seen.to_numpy(), abs=0.01)


def test_each_row_its_own_cluster_is_the_sandwich_of_scores() -> None:
    data = DATA.assign(row=np.arange(len(DATA)))
    model = regression("step ~ alliance + role", data, family="ordinal", cluster="row")
    bread = np.linalg.inv(model.information)
    n = len(data)
    V = bread @ (model.scores.T @ model.scores) @ bread * n / (n - 1)
    own = model.tidy(vcov="CR1")["std_error"].to_numpy()
    assert own == pytest.approx(np.sqrt(np.diag(V)), rel=1e-10)


def test_cr2_of_two_ordered_categories_is_near_that_of_a_logistic_regression() -> None:
    """Which clubSandwich holds, by another root of the same correction; the constant is -threshold.

    Both are unbiased where the model is true: their expectation is the model's own covariance.
    """
    model = regression("left ~ alliance + experience", DATA, family="logistic", cluster="therapist")
    codes = DATA["left"].to_numpy(dtype=np.int64)
    clusters = pd.factorize(DATA["therapist"])[0]
    X, b = model.design.X[:, 1:], model.beta.to_numpy()
    found = clustered(b[1:], -b[:1], X, codes, clusters)
    expected = model.tidy()
    order = [1, 2, 0]
    assert np.sqrt(np.diag(found.vcov)) == pytest.approx(
        expected["std_error"].to_numpy()[order], rel=OTHER_ROOT
    )
    assert found.df(np.eye(3)) == pytest.approx(expected["df"].to_numpy()[order], rel=OTHER_ROOT)
    mean = sum(
        half.T @ half - half.T @ rows @ found.M @ rows.T @ half
        for half, rows in zip(found.halves, found.X, strict=True)
    )
    assert mean == pytest.approx(found.M, rel=1e-8)
    assert np.sqrt(np.diag(found.M)) == pytest.approx(
        model.tidy(vcov="classical")["std_error"].to_numpy()[order], rel=1e-8
    )


JOINT = {
    "linear": ("linear", ("role[T.father]", "role[T.mother]")),
    "linear_three": ("linear", ("alliance", "experience", "alliance:experience")),
    "logistic": ("logistic", ("role[T.father]", "role[T.mother]")),
}


@pytest.mark.parametrize("case", JOINT)
def test_joint_tests_with_cr2_as_wald_test(case: str) -> None:
    name, terms = JOINT[case]
    formula, options = MODELS[name]
    expected = REFERENCE["joint"][case]
    found = regression(formula, DATA, cluster="therapist", **options).joint_test(*terms).iloc[0]
    assert found["statistic"] == pytest.approx(expected["f"], rel=SEARCHED)
    assert found["df1"] == expected["df1"]
    assert found["df2"] == pytest.approx(expected["df2"], rel=1e-6)
    assert found["p_value"] == pytest.approx(expected["p"], rel=1e-5)


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_the_whole_model_and_its_steps_are_tested_over_the_clusters(family: str) -> None:
    """As :meth:`joint_test`, which agrees with clubSandwich's Wald_test(test = "HTZ")."""
    formula = "left ~ alliance + experience + role"
    if family == "linear":
        formula = "symptoms ~ alliance + experience + role"
    model = regression(
        formula, DATA, family=family, cluster="therapist", steps=["alliance + experience", "role"]
    )
    names = [name for name in model.tidy()["term"] if name != "(Intercept)"]
    shown = ["statistic", "df1", "df2", "p_value"]
    whole = model.joint_test(*names)[shown].iloc[0]
    np.testing.assert_allclose(model.glance()[shown].iloc[0], whole, rtol=SEARCHED)
    steps = model.step_table()
    roles = [name for name in names if name.startswith("role")]
    np.testing.assert_allclose(
        steps[shown].iloc[1], model.joint_test(*roles)[shown].iloc[0], rtol=SEARCHED
    )
    first = regression(
        formula.removesuffix(" + role"), DATA, family=family, cluster="therapist"
    ).glance()
    np.testing.assert_allclose(steps[shown].iloc[0], first[shown].iloc[0], rtol=SEARCHED)
    cells = regression(formula.replace("~ ", "~ 0 + role + "), DATA, family=family,
                       cluster="therapist").glance()  # fmt: skip
    np.testing.assert_allclose(cells[shown].iloc[0], whole, rtol=SEARCHED)


def test_a_joint_test_without_clusters_is_the_f_of_nested_models() -> None:
    large = regression("symptoms ~ alliance * experience + role", DATA)
    table = regression(
        "symptoms ~ alliance * experience + role",
        DATA,
        steps=["alliance + experience + alliance:experience", "role"],
    ).step_table()
    found = large.joint_test("role[T.father]", "role[T.mother]").iloc[0]
    assert found["statistic"] == pytest.approx(table["statistic"].iloc[1], rel=EXACT)
    assert found["df2"] == pytest.approx(table["df2"].iloc[1], rel=EXACT)


def test_means_of_ordered_categories_as_emmeans() -> None:
    model = regression("step ~ alliance + role", DATA, family="ordinal")
    found = estimated_means(model, "role").tidy().set_index("role")
    expected = pd.DataFrame(REFERENCE["latent"]).set_index("role").loc[found.index]
    assert found["estimate"].to_numpy() == pytest.approx(expected["mean"].to_numpy(), rel=1e-4)
    assert found["std_error"].to_numpy() == pytest.approx(expected["se"].to_numpy(), rel=1e-3)
