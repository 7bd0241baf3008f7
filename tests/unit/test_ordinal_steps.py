"""Ratings in steps: effects by threshold, means, differences, shares, and their figure."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from alliance_stats import (
    likelihood_ratio_test,
    ordinal,
    parametric_bootstrap,
    r_squared,
    step_means,
    variance_partition,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.figures import step_figure

# Central differences of a probability with half-width 1e-5.
DIFFERENCES = 1e-8


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    n, g = 600, np.repeat(np.arange(40), 15)
    u, x = 0.7 * rng.normal(size=40), rng.normal(size=600)
    arm = np.where(np.arange(n) % 3 == 0, "t", "c")
    latent = u[g] + rng.logistic(size=n) + 0.4 * x
    moved = np.array([-1.0, 0.0, 1.3]) - (arm == "t")[:, None] * np.array([0.2, 0.8, 1.4])
    rating = (latent[:, None] > moved).sum(axis=1)
    return pd.DataFrame({"g": g, "x": x, "arm": arm, "rating": rating + 1})


@pytest.fixture(scope="module")
def plain(data):
    return ordinal("rating ~ x + arm + (1 | g)", data)


@pytest.fixture(scope="module")
def partial(data):
    return ordinal("rating ~ x + arm + (1 | g)", data, nominal="~ arm")


def test_the_test_of_proportional_odds_is_that_of_the_two_models(plain, partial):
    table = plain.proportional_odds().set_index("term")
    test = likelihood_ratio_test(partial, plain)
    assert table.loc["arm", "statistic"] == pytest.approx(test.statistic, abs=1e-6)
    assert table.loc["arm", "df"] == test.df == 2
    assert table.loc["arm", "p_value"] == pytest.approx(stats.chi2.sf(test.statistic, 2))
    assert table.loc["arm", "p_value"] < 0.001 < table.loc["x", "p_value"]
    assert partial.proportional_odds()["term"].tolist() == ["x"]


def test_units_of_a_predictor_do_not_matter(data, partial):
    told = data.assign(x=data["x"] * 1e5 + 3e7)
    one = ordinal("rating ~ x + arm + (1 | g)", data, nominal="~ x")
    other = ordinal("rating ~ x + arm + (1 | g)", told, nominal="~ x")
    assert other.log_lik == pytest.approx(one.log_lik, abs=1e-7)
    ratio = other.tidy()["estimate"] / one.tidy()["estimate"]
    own = one.tidy()["term"].str.startswith("x")
    assert ratio[own].to_numpy() == pytest.approx(np.full(3, 1e-5), rel=1e-4)


def test_probabilities_of_partial_models(data, partial):
    rows = data.head(3)
    given = partial.tidy().set_index("term")["estimate"]
    t = partial.tidy(effects="thresholds")["estimate"].to_numpy()
    arm = np.array([given[f"arm[T.t] at {a}"] for a in ("1|2", "2|3", "3|4")])
    eta = (
        given["x"] * rows["x"].to_numpy()[:, None] + (rows["arm"] == "t").to_numpy()[:, None] * arm
    )
    below = special.expit(t - eta)
    wanted = np.diff(np.c_[np.zeros(3), below, np.ones(3)], axis=1)
    assert partial.predict(rows, level="typical").to_numpy() == pytest.approx(wanted, rel=1e-12)
    assert partial.vcov().shape == (7, 7)
    assert parametric_bootstrap(partial, n_resamples=2, seed=1).tidy()["term"].tolist() == [
        "x", "1|2", "2|3", "3|4", *(f"arm[T.t] at {a}" for a in ("1|2", "2|3", "3|4")),
        "g|sd__(Intercept)",
    ]  # fmt: skip


def test_a_profile_says_where_thresholds_cross(data):
    far = data.assign(x=np.where(np.arange(len(data)) == 3, 40.0, data["x"]))
    model = ordinal("rating ~ x + (1 | g)", far, nominal="~ x")
    with pytest.raises(NotIdentifiedError, match=r"thresholds cross .*parametric_bootstrap"):
        model.tidy(ci_method="profile")


def test_what_partial_models_refuse(data, partial):
    with pytest.raises(FormulaError, match="names armm, which is no term .* 'arm'"):
        ordinal("rating ~ x + arm + (1 | g)", data, nominal="~ armm")
    with pytest.raises(FormulaError, match="leave thresholds= out"):
        ordinal("rating ~ x + (1 | g)", data, nominal="x", thresholds="equidistant")
    with pytest.raises(FormulaError, match="names no term"):
        ordinal("rating ~ x + (1 | g)", data, nominal="~ 1")
    with pytest.raises(NotIdentifiedError, match="likelihood_ratio_test"):
        partial.anova()
    for asked in (r_squared, variance_partition):
        with pytest.raises(NotIdentifiedError, match="threshold to threshold"):
            asked(partial)


def test_means_are_averages_of_predictions(data, partial):
    found = step_means(partial, "arm")
    for arm in ("c", "t"):
        chances = partial.predict(data.assign(arm=arm)).mean()
        own = found.tidy().query("arm == @arm")["estimate"].to_numpy()
        assert own == pytest.approx(chances.to_numpy(), rel=1e-10)
        mean = found.means().query("arm == @arm")["estimate"].iloc[0]
        assert mean == pytest.approx(float(chances @ [1.0, 2.0, 3.0, 4.0]), rel=1e-10)
        below = found.cumulative().query("arm == @arm")["estimate"].to_numpy()
        assert below == pytest.approx(np.cumsum(chances)[:-1].to_numpy(), rel=1e-10)
    table = found.contrasts().set_index("step")
    means = found.means().set_index("arm")["estimate"]
    assert table.loc["mean", "contrast"] == "t - c"
    assert table.loc["mean", "estimate"] == pytest.approx(means["t"] - means["c"])
    assert table.loc[[1, 2, 3, 4], "estimate"].sum() == pytest.approx(0.0, abs=1e-12)


def test_standard_errors_of_means_are_the_delta_method(data, plain):
    # by differences in every parameter of a one-row average
    found = step_means(plain, "arm", level="typical")
    fit, V = plain.fit, plain.fit.joint_vcov
    x = data["x"].to_numpy()

    def mean(values, arm):
        beta, t = values[:2], values[2:]
        below = special.expit(t - (beta[0] * x + beta[1] * arm)[:, None])
        return 4.0 - below.mean(axis=0).sum()

    at = np.r_[plain.tidy()["estimate"], fit.thresholds]
    steps = 1e-5 * np.eye(5)
    gradients = [
        np.array([(mean(at + h, arm) - mean(at - h, arm)) / 2e-5 for h in steps]) for arm in (0, 1)
    ]
    errors = [np.sqrt(g @ V @ g) for g in gradients]
    assert found.means()["std_error"].to_numpy() == pytest.approx(errors, rel=1e-6)
    change = gradients[1] - gradients[0]
    error = found.contrasts().set_index("step").loc["mean", "std_error"]
    assert error == pytest.approx(np.sqrt(change @ V @ change), rel=1e-6)


def test_means_take_several_predictors_text_steps_and_values(data):
    words = pd.Categorical.from_codes(
        data["rating"] - 1, ["never", "rarely", "often", "always"], ordered=True
    )
    model = ordinal(
        "word ~ x * arm + (1 | g)", data.assign(word=words, arm=data["arm"].astype("category"))
    )
    found = step_means(model, ["x", "arm"], at={"x": [-1, 0, 1]})
    assert found.means()[["x", "arm"]].drop_duplicates().shape == (6, 2)
    assert found.means()["estimate"].between(1.0, 4.0).all()
    assert "never" in found.summary()
    for wrong, words in (
        ({"by": "arms"}, "'arms' is not among the fixed effects .* 'arm'"),
        ({"by": "x"}, "different values: say at which"),
        ({"by": "arm", "at": {"z": 1}}, "'z' is not among .* There are: 'x', 'arm'"),
        ({"by": "arm", "at": {"arm": ["q"]}}, "no level 'q'"),
    ):
        with pytest.raises((DataError, FormulaError), match=words):
            step_means(model, **wrong)
    with pytest.raises(DataError, match="fitted by ordinal; got DataFrame"):
        step_means(data, "arm")
    with pytest.raises(DataError, match="at= gives 'x' several values: name it in by="):
        step_means(model, "arm", at={"x": [-1, 0, 1]})
    each = step_means(model, ["arm", "x"], at={"x": [-1, 0, 1]}).means()
    one = step_means(model, "arm", at={"x": 1}).means()["estimate"]
    assert one.tolist() == pytest.approx(each.query("x == 1")["estimate"].tolist())


def test_values_between_whole_numbers_stay_as_they_are(data):
    whole = data.assign(x=(10 * data["x"]).round().astype(int))
    model = ordinal("rating ~ x + (1 | g)", whole)
    half = step_means(model, "x", at={"x": [0, 0.5, 1]}).means()["estimate"].diff()
    assert half[1] == pytest.approx(half[2], rel=0.05)
    with pytest.raises(FormulaError, match="'step' is the name of a column of this result"):
        step_means(ordinal("rating ~ step + (1 | g)", data.assign(step=data["x"])), "step")


def test_shares_of_variance_on_both_scales(data, plain):
    sd = plain.tidy(effects="ran_pars").loc[0, "estimate"]
    table = variance_partition(plain, ci_method="wald").tidy().set_index(["scale", "group"])
    latent = sd**2 / (sd**2 + np.pi**2 / 3.0)
    assert table.loc[("latent", "g"), "estimate"] == pytest.approx(latent)
    # of the mean step, by draws of units: 2,000 leave a standard error of 0.003
    rng, t = np.random.default_rng(1), plain.fit.thresholds
    eta, u = plain.fit.fixed_part[:200], sd * rng.normal(size=2000)
    F = special.expit(t[:, None, None] - eta[:, None] - u)
    first, second = 4.0 - F.sum(axis=0), 16.0 - np.tensordot([3.0, 5.0, 7.0], F, 1)
    between, chance = first.var(axis=1).mean(), (second - first**2).mean()
    share = table.loc[("observation", "g"), "estimate"]
    assert share == pytest.approx(between / (between + chance), abs=0.012)
    explained = r_squared(plain).glance().iloc[0]
    fixed = np.var(plain.fit.fixed_part, ddof=1)
    whole = fixed + sd**2 + np.pi**2 / 3.0
    assert explained["r2_marginal"] == pytest.approx(fixed / whole)
    assert explained["r2_conditional"] == pytest.approx((fixed + sd**2) / whole)


def test_more_nodes_end_at_the_integral(data):
    # the likelihood by dense integration over each unit's effect
    model = ordinal("rating ~ x + (1 | g)", data, nodes=25)
    t, b = model.fit.thresholds, model.tidy().loc[0, "estimate"]
    sd = model.tidy(effects="ran_pars").loc[0, "estimate"]
    u = np.linspace(-9.0, 9.0, 2001)
    prior = np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi) * (u[1] - u[0])
    total = 0.0
    for _, own in data.groupby("g"):
        eta = b * own["x"].to_numpy()[:, None] + sd * u
        ends = np.concatenate([[-np.inf], t, [np.inf]])
        y = own["rating"].to_numpy() - 1
        p = special.expit(ends[y + 1][:, None] - eta) - special.expit(ends[y][:, None] - eta)
        total += np.log(np.prod(p, axis=0) @ prior)
    assert model.log_lik == pytest.approx(total, abs=1e-7)
    assert "quadrature with 25 nodes" in model.method


def test_the_figure_stacks_probabilities(data, plain):
    found = step_means(plain, ["x", "arm"], at={"x": [-1.0, 0.0, 1.0]})
    report = step_figure(found, outcome_label="Rating", x_label="Mood", words={"t": "Treated"})
    assert len(report.figure.axes) == 2
    assert report.data["estimate"].between(0.0, 1.0).all()
    assert "stacked" in report.caption
    with pytest.raises(DataError, match="two values or more"):
        step_figure(step_means(plain, "x", at={"x": [0.0]}))


def test_a_hazard_ratio_is_that_of_stopping_at_a_step(data):
    model = ordinal("rating ~ x + (1 | g)", data, link="cloglog")
    row = model.account().sections[0].frame.iloc[0]
    above = 1.0 - model.predict(pd.DataFrame({"x": [0.0, 1.0]}), level="typical").cumsum(axis=1)
    hazard = -np.log(above.iloc[:, :-1].to_numpy())
    assert row["ratio"] == pytest.approx(hazard[1] / hazard[0])
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    assert row["ratio"] * np.exp(row["estimate"]) == pytest.approx(1.0)
    assert "where its ratio is below 1, ratings are higher" in model.summary()


def test_a_step_without_a_row_keeps_its_place_on_the_scale(data):
    names = ["never", "once", "rarely", "often", "always", "without end"]
    place = data["rating"].map({1: 0, 2: 2, 3: 3, 4: 4})
    words = pd.Categorical.from_codes(place, names, ordered=True)
    model = ordinal("word ~ x + (1 | g)", data.assign(word=words))
    assert model.notes[0].startswith("No row used is in 2 steps (once, without end)")
    assert model.scores.tolist() == [1.0, 3.0, 4.0, 5.0]
    found = model.predict(data.head(3))
    assert list(found.columns) == names
    assert (found[["once", "without end"]] == 0.0).all(axis=None)
    assert found.sum(axis=1).tolist() == pytest.approx([1.0, 1.0, 1.0])
    plain = ordinal("rating ~ x + (1 | g)", data)
    assert model.log_lik == plain.log_lik


def test_offsets_and_nodes_that_are_out_of_range(data):
    plain = ordinal("rating ~ x + (1 | g)", data)
    far = ordinal("rating ~ x + offset(o) + (1 | g)", data.assign(o=1e4))
    assert far.log_lik == pytest.approx(plain.log_lik, abs=1e-6)
    assert far.fit.thresholds - 1e4 == pytest.approx(plain.fit.thresholds, abs=1e-4)
    with pytest.raises(DataError, match="offset must lie within 100 of its median"):
        ordinal("rating ~ x + offset(o) + (1 | g)", data.assign(o=3e4 * data["x"] ** 3))
    with pytest.raises(ValueError, match="whole number from 1 to 100; got 2.5"):
        ordinal("rating ~ x + (1 | g)", data, nodes=2.5)


def test_thresholds_that_cross_are_refused_in_words(data):
    # thresholds meet at x = 2.5, and one row is beyond
    rng = np.random.default_rng(5)
    x = rng.uniform(-2.0, 2.0, len(data))
    latent = rng.logistic(size=len(data))
    rating = 1 + (latent > -1.0).astype(int) + (latent > 1.0 - 0.8 * x)
    wide = data.assign(
        x=np.where(data.index == 5, 9.0, x), rating=np.where(data.index == 5, 3, rating)
    )
    with pytest.raises(NotIdentifiedError, match="Thresholds cross in some rows"):
        ordinal("rating ~ x + (1 | g)", wide, nominal="~ x")


def test_shares_of_no_variance_have_no_wald_limits(data):
    alike = data.assign(rating=1 + np.arange(len(data)) % 4)
    model = ordinal("rating ~ x + (1 | g)", alike)
    assert model.fit.singular
    table = variance_partition(model, ci_method="wald").tidy().set_index(["scale", "group"])
    assert table.loc[("latent", "g"), "estimate"] == 0.0
    assert np.isnan(table.loc[("latent", "g"), "conf_high"])
