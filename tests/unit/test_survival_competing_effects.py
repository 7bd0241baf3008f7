"""Therapists' effects on competing endings: by brute force, at the edges, and in words."""

import itertools
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from alliance_stats.account import as_sentences
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.survival import CompetingHazards, competing_hazards, discrete_hazard
from alliance_stats.survival.by_session.competing_hazards import _robust
from alliance_stats.survival.by_session.ending_effects import minimise_effects, sd_limits
from alliance_stats.survival.by_session.ending_likelihood import deviance, group_rows
from alliance_stats.survival.by_session.ending_logit import EndingRows, fit_multinomial
from tests.properties.test_survival_competing_laws import courses

COLUMNS = {"session": "session", "event": "ending", "unit": "family"}
# Central differences at 1e-5 of a deviance of some hundreds.
DIFFERENCES = 1e-6
# A grid of 161 x 161 points over +-8 SDs: the trapezoidal rule's error is rounding there.
GRID = 1e-9
# The error of 15 nodes an ending on groups of some ten rows.
QUADRATURE = 1e-8


def clinic(
    seed: int = 3,
    n_therapists: int = 24,
    *,
    sd: tuple[float, float] = (1.0, 0.9),
    cor: float = -0.3,
) -> pd.DataFrame:
    """Families of therapists that differ in how families end: as 'dropout' or 'planned'."""
    rng = np.random.default_rng(seed)
    S = np.diag(sd) @ np.array([[1.0, cor], [cor, 1.0]]) @ np.diag(sd)
    b = rng.multivariate_normal([0.0, 0.0], S, n_therapists)
    rows = []
    for family in range(6 * n_therapists):
        x = rng.normal()
        for session in range(1, 7):
            odds = np.exp(b[family // 6] + [-2.2 + 0.5 * x, -2.6 + 0.15 * session])
            code = rng.choice(3, p=np.r_[1.0, odds] / (1.0 + odds.sum()))
            ending = ("none", "dropout", "planned")[code]
            rows.append((f"T{family // 6:02}", f"F{family:03}", session, x, ending))
            if code:
                break
    return pd.DataFrame(rows, columns=["therapist", "family", "session", "x", "ending"])


def fitted(data: pd.DataFrame, random: str = "(1 | therapist)", **options: object):
    return competing_hazards(
        "x",
        data,
        **COLUMNS,
        censored="none",
        random=random,
        baseline="polynomial",
        baseline_df=1,
        **options,
    )


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return clinic()


@pytest.fixture(scope="module")
def model(data: pd.DataFrame) -> CompetingHazards:
    return fitted(data)


def drawn(seed: int, endings: int = 3) -> tuple[EndingRows, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, groups, coefficients and a factor, of no meaning."""
    rng = np.random.default_rng(seed)
    n, groups = 90, 7
    ending = rng.integers(0, endings + 1, n)
    possible = rng.random((n, endings)) < 0.8
    possible[np.flatnonzero(ending), ending[ending > 0] - 1] = True
    X = np.c_[np.ones(n), rng.normal(size=n)]
    rows = EndingRows(X, ending, np.ones((endings, 2), dtype=bool), possible)
    group = np.r_[np.arange(groups), rng.integers(0, groups, n - groups)]
    return rows, group, rng.normal(size=(endings, 2)), np.tril(rng.normal(size=(endings, endings)))


@pytest.mark.parametrize("nodes", [1, 4])
@pytest.mark.parametrize("shape", ["full", "of rank two", "diagonal"])
def test_the_gradient_is_that_of_the_deviance(nodes: int, shape: str) -> None:
    rows, group, beta, factor = drawn(1)
    if shape == "of rank two":
        factor[:, 2] = 0.0
    if shape == "diagonal":
        factor = np.diag(np.diag(factor))
    grouped = group_rows(rows, group)

    def at(values: np.ndarray):
        return deviance(
            grouped, values[:6].reshape(3, 2), values[6:].reshape(3, 3), np.zeros((7, 3)), nodes
        )

    here = np.r_[beta.ravel(), factor.ravel()]
    found = at(here)
    step = 1e-5 * np.eye(len(here))
    numeric = [(at(here + e).deviance - at(here - e).deviance) / 2e-5 for e in step]
    assert_allclose(np.r_[found.beta.ravel(), found.Lambda.ravel()], numeric, atol=DIFFERENCES)


def test_the_likelihood_is_the_integral_over_a_dense_grid(data: pd.DataFrame) -> None:
    """Written again from the formula: no code is shared with the fit but its estimates."""
    model = fitted(data, nodes=15)
    beta = model.beta
    X = model.design.X
    frame = data.loc[model.design.index]
    S = model.effects.covariance
    axis = np.linspace(-8.0, 8.0, 161)
    sds = np.sqrt(np.diag(S))
    b1, b2 = np.meshgrid(axis * sds[0], axis * sds[1], indexing="ij")
    prior = stats.multivariate_normal([0.0, 0.0], S).pdf(np.stack([b1, b2], axis=-1))
    cell = (axis[1] - axis[0]) ** 2 * sds[0] * sds[1]
    total = 0.0
    for therapist in frame["therapist"].unique():
        density = prior.copy()
        for i in np.flatnonzero(frame["therapist"] == therapist):
            odds = {
                "none": np.ones_like(b1),
                "dropout": np.exp(X[i] @ beta[0] + b1),
                "planned": np.exp(X[i] @ beta[1] + b2),
            }
            density *= odds[frame["ending"].iloc[i]] / sum(odds.values())
        total += np.log(density.sum() * cell)
    assert_allclose(model.log_lik, total, atol=QUADRATURE + GRID)


def test_no_other_spread_or_coefficient_is_more_likely(model: CompetingHazards) -> None:
    effects = model.effects
    rng = np.random.default_rng(4)
    for _ in range(25):
        beta = model.beta * (1.0 + 0.05 * rng.normal(size=model.beta.shape))
        factor = effects.fit.Lambda * (1.0 + 0.05 * rng.normal(size=(2, 2)))
        other = deviance(effects.fit.criterion.rows, beta, factor, effects.fit.u, 1).deviance
        assert other > -2.0 * model.log_lik


@pytest.mark.parametrize("nodes", [1, 9])
def test_with_one_ending_it_is_the_discrete_hazard(data: pd.DataFrame, nodes: int) -> None:
    binary = data.assign(event=(data["ending"] == "dropout").astype(float))
    one = discrete_hazard(
        "x", binary, session="session", event="event", unit="family", link="logit",
        baseline="polynomial", baseline_df=1, nodes=nodes,
    )  # fmt: skip
    X = one.fit.design.X
    p = X.shape[1]
    ending = one.fit.design.y.astype(np.int64)
    rows = EndingRows(X, ending, np.ones((1, p), dtype=bool), np.ones((len(X), 1), dtype=bool))
    groups = pd.factorize(binary.loc[one.fit.design.index, "therapist"])[0]
    plain = fit_multinomial(rows, names=["a"] * p)
    fit = minimise_effects(rows, groups, plain, nodes=nodes, correlated=True)
    table = one.tidy()
    assert_allclose(fit.log_lik, one.fit.log_lik, atol=1e-9)
    assert_allclose((fit.beta[0] - table["estimate"]) / table["std_error"], 0.0, atol=1e-5)
    errors = np.sqrt(np.diag(fit.covariance))[1:]
    assert_allclose(errors, table["std_error"], rtol=1e-4)  # differences of gradients on both sides
    spread = one.tidy(effects="ran_pars").iloc[0]
    assert_allclose(abs(fit.Lambda[0, 0]), spread["estimate"], rtol=1e-5)
    limits = sd_limits(fit, 0, conf_level=0.95)
    assert_allclose(limits, [spread["conf_low"], spread["conf_high"]], atol=5e-4)


@pytest.mark.parametrize("nodes", [1, 4])
def test_endings_that_never_compete_are_two_hazards(data: pd.DataFrame, nodes: int) -> None:
    """With dummies, and each ending in sessions of its own, the likelihood factors."""
    apart = data[(data["session"] > 3) | (data["ending"] != "planned")]
    ended = apart.loc[(apart["session"] <= 3) & (apart["ending"] != "none"), "family"]
    apart = apart[~(apart["family"].isin(ended) & (apart["session"] > 3))]
    apart = apart[(apart["session"] <= 3) | (apart["ending"] != "dropout")]
    gap = apart.groupby("family")["session"].transform("count") != apart.groupby("family")[
        "session"
    ].transform("max")
    apart = apart[~gap]
    both = competing_hazards(
        "x", apart, **COLUMNS, censored="none", random="(1 || therapist)", nodes=nodes
    )
    log_lik = 0.0
    for k, (ending, own) in enumerate(
        {"dropout": apart["session"] <= 3, "planned": apart["session"] > 3}.items()
    ):
        binary = apart[own].assign(event=(apart.loc[own, "ending"] == ending).astype(float))
        one = discrete_hazard(
            "x", binary, session="session", event="event", unit="family", link="logit", nodes=nodes
        )
        log_lik += one.fit.log_lik
        spread = both.tidy(effects="ran_pars").iloc[k]
        mine = one.tidy(effects="ran_pars").iloc[0]
        assert_allclose(spread["estimate"], mine["estimate"], atol=1e-5)
        for limit in ("conf_low", "conf_high"):
            assert_allclose(spread[limit], mine[limit], atol=1e-3)
        ratio = both.odds_ratios().set_index("state").loc[ending, "estimate"]
        assert_allclose(ratio, one.odds_ratios()["estimate"].item(), rtol=1e-6)
    assert_allclose(both.log_lik, log_lik, atol=1e-8)


def test_tables_say_whose_spread_it_is(model: CompetingHazards, data: pd.DataFrame) -> None:
    spreads = model.tidy(effects="ran_pars")
    assert spreads["state"].tolist() == ["dropout", "planned", None]
    assert spreads["term"].tolist() == [
        "sd__(Intercept)",
        "sd__(Intercept)",
        "cor__dropout.planned",
    ]
    assert (spreads["conf_low"] < spreads["estimate"]).all()
    assert (spreads["estimate"] < spreads["conf_high"]).all()
    ratios = model.median_ratios()
    assert_allclose(
        ratios["estimate"], np.exp(0.6744897501960817 * np.sqrt(2) * spreads["estimate"][:2])
    )
    effects = model.tidy(effects="ran_vals")
    assert len(effects) == 2 * data["therapist"].nunique()
    assert effects["level"].tolist()[:2] == ["T00", "T01"]
    glance = model.glance().iloc[0]
    assert glance["n_therapist"] == 24
    assert glance["n_parameters"] == 2 * 3 + 3
    assert glance["nodes"] == 1
    assert not glance["singular"]
    text = as_sentences(model.account())
    assert "therapist, dropout, median odds ratio " in text
    assert "(per session; Laplace)" in text
    assert "Correlation of effects: dropout and planned " in text


def test_who_loses_more_families_has_the_higher_effect(
    model: CompetingHazards, data: pd.DataFrame
) -> None:
    effects = model.tidy(effects="ran_vals").query("state == 'dropout'").set_index("level")
    left = (data["ending"] == "dropout").groupby(data["therapist"]).mean()
    assert stats.spearmanr(effects["estimate"], left.loc[effects.index]).statistic > 0.8


def test_population_curves_are_means_over_drawn_therapists(model: CompetingHazards) -> None:
    course = pd.DataFrame({"x": [0.5]})
    rng = np.random.default_rng(1)
    b = rng.multivariate_normal([0.0, 0.0], model.effects.covariance, 200_000)
    _, eta, _, _ = model._courses(course)
    there, ended = np.ones(len(b)), np.zeros_like(b)
    for row in eta:
        odds = np.exp(row + b)
        hazard = odds / (1.0 + odds.sum(axis=1, keepdims=True))
        ended += there[:, None] * hazard
        there *= 1.0 - hazard.sum(axis=1)
    last = model.curve(course).query("time == 6")
    assert_allclose(last["estimate"], ended.mean(axis=0), atol=4e-3)  # 4 Monte Carlo SEs
    typical = model.curve(course, level="typical").query("time == 6")
    assert (np.abs(typical["estimate"] - last["estimate"]) > 8e-3).all()
    with pytest.raises(ValueError, match="level must be"):
        model.curve(course, level="conditional")


def test_a_spread_of_zero_is_said(data: pd.DataFrame) -> None:
    last = data.groupby("family").tail(1).sort_values(["ending", "session", "family"])
    dealt = {family: f"T{i % 24:02}" for i, family in enumerate(last["family"])}
    alike = data.assign(therapist=data["family"].map(dealt))
    fit = fitted(alike, "(1 || therapist)")
    spreads = fit.tidy(effects="ran_pars").set_index("state")
    zero = spreads["estimate"] == 0.0
    assert zero.any()
    assert (spreads.loc[zero, "conf_low"] == 0.0).all()
    assert (spreads.loc[zero, "conf_high"] > 0.1).all()
    assert fit.glance()["singular"].item()
    first = fit.summary().splitlines()[0]
    assert first.startswith("The variance between units of 'therapist' is estimated as ze")
    assert fit.tidy()["std_error"].notna().all()
    own = fit.tidy(effects="ran_vals")
    assert (own.loc[own["state"].isin(spreads.index[zero]), "estimate"] == 0.0).all()


def test_a_correlation_at_its_limit_is_said() -> None:
    fit = fitted(clinic(seed=8, n_therapists=8, sd=(1.2, 1.2), cor=0.98))
    assert fit.glance()["singular"].item()
    row = fit.tidy(effects="ran_pars").iloc[2]
    assert_allclose(row["estimate"], 1.0, atol=1e-12)
    assert np.isnan(row["conf_low"])
    text = fit.summary()
    assert text.startswith("The effects of 'therapist' on the endings vary in 1 of 2")
    assert "independent effects are '(1 || therapist)'" in text


def test_a_search_that_stops_on_a_saddle_goes_on() -> None:
    """At an SD of nearly zero the deviance is nearly flat, and falls again beyond."""
    data = courses(2641469)
    names = {"none": "none", "dropout": "z left", "planned": "a planned"}
    columns = {"session": "session", "event": "ending", "unit": "family", "censored": "none"}
    one = competing_hazards("x", data, **columns, random="(1 | therapist)")
    renamed = data.assign(ending=data["ending"].map(names))
    other = competing_hazards("x", renamed, **columns, random="(1 | therapist)")
    assert other.glance()["converged"].item()
    assert_allclose(one.log_lik, other.log_lik, atol=1e-6)


def test_a_therapist_seen_once_is_kept_and_said(data: pd.DataFrame) -> None:
    one = data.assign(
        therapist=data["therapist"].mask(data["family"] == "F000", "T99"),
    )
    fit = fitted(one)
    assert "1 of 25 units of 'therapist' has one 'family': kept." in fit.summary()
    assert "T99" in fit.tidy(effects="ran_vals")["level"].tolist()


def test_labels_stand_in_place_of_codes(data: pd.DataFrame) -> None:
    codes = {"none": 0, "dropout": 1, "planned": 2}
    coded = data.assign(ending=data["ending"].map(codes))
    words = {1: "dropout", 2: "planned", 3: "transferred"}
    fit = competing_hazards("x", coded, **COLUMNS, labels=words)
    assert fit.states == ("dropout", "planned")
    assert "planned, x: odds ratio = " in as_sentences(fit.account())
    assert competing_hazards("x", coded, **COLUMNS).states == ("1", "2")
    with pytest.raises(DataError, match="holds 2, for which labels= has no word; it has 1"):
        competing_hazards("x", coded, **COLUMNS, labels={1: "dropout"})
    with pytest.raises(DataError, match="one word to several endings: left, left"):
        competing_hazards("x", coded, **COLUMNS, labels={1: "left", 2: "left"})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"random": "(1 + x | therapist)"}, FormulaError, "an effect on each ending"),
        ({"random": "(1 | therapist/family)"}, FormulaError, "one grouping"),
        ({"random": "(1 | therapist) + (1 | x)"}, FormulaError, "one grouping"),
        ({"random": "(1 | clinic)"}, DataError, "has no column 'clinic'"),
        ({"random": "(1 | family)"}, NotIdentifiedError, "Each 'family' ends once"),
        ({"random": "(1 | therapist)", "cluster": "therapist"}, ValueError, "give one of them"),
        ({"nodes": 5}, ValueError, "there are none: give random="),
        ({"random": "(1 | therapist)", "nodes": 0}, ValueError, "whole number from 1 to 100"),
        ({"random": "(1 | therapist)", "nodes": 99}, ValueError, "9,801 points|at most"),
    ],
)
def test_what_is_not_for_this_model_is_refused(
    data: pd.DataFrame, options: dict, error: type[Exception], message: str
) -> None:
    if options.get("nodes") == 99:
        several = data.assign(
            ending=data["ending"].where(
                (data["ending"] != "dropout") | (data["session"] < 3), "other"
            )
        )
        with pytest.raises(ValueError, match="970,299 points a group: give at most 27"):
            competing_hazards("x", several, **COLUMNS, censored="none", **options)
        return
    with pytest.raises(error, match=message):
        competing_hazards("x", data, **COLUMNS, censored="none", **options)


def test_the_ending_is_no_covariate_of_its_own(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="Covariate 'ending' says when or how the unit ended"):
        competing_hazards("x + ending", data, **COLUMNS, censored="none")


def test_one_therapist_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(NotIdentifiedError, match="'therapist' has one unit in the rows used"):
        fitted(data.assign(therapist="T00"))


def test_an_ending_that_comes_to_no_one_in_the_rows_used_is_refused(data: pd.DataFrame) -> None:
    hidden = data.assign(x=data["x"].mask(data["ending"] == "planned"))
    with pytest.raises(NotIdentifiedError, match="Ending 'planned' does not come in the rows used"):
        fitted(hidden)


def test_an_ending_of_some_therapists_only_and_always_runs_away() -> None:
    """Half of the therapists lose every family at once: their spread has no end."""
    rng = np.random.default_rng(2)
    rows = []
    for family, session in itertools.product(range(120), range(1, 4)):
        therapist = family // 6
        if therapist % 2:
            ending = "dropout" if session == 1 else None
        else:
            ending = "planned" if session == 3 and rng.random() < 0.5 else "none"
        if ending:
            rows.append((f"T{therapist:02}", f"F{family:03}", session, rng.normal(), ending))
    data = pd.DataFrame(rows, columns=["therapist", "family", "session", "x", "ending"])
    with pytest.raises(NotIdentifiedError, match="ran to|ran away|without error"):
        fitted(data)


def test_no_random_effects_no_questions_about_them(data: pd.DataFrame) -> None:
    plain = competing_hazards("x", data, **COLUMNS, censored="none")
    assert len(plain.tidy(effects="ran_pars")) == 0
    with pytest.raises(ValueError, match="has no random effects"):
        plain.median_ratios()
    with pytest.raises(ValueError, match="effects must be"):
        plain.tidy(effects="random")


def test_errors_over_clusters_by_hand() -> None:
    """Scores 3 and -1 of two clusters: meat (9 + 1) 2 / 1, between covariances of 1/2."""
    fit = cast("Any", SimpleNamespace(scores=np.array([[1.0, 2.0, -1.0]]), covariance=[[0.5]]))
    fit.covariance = np.array(fit.covariance)
    found, codes = _robust(fit, pd.DataFrame({"therapist": ["a", "a", "b"]}), "therapist")
    assert codes.tolist() == [0, 0, 1]
    assert_allclose(found, [[5.0]])
