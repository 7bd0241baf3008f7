"""Ratings in steps: derivatives, what is refused and said, predictions, what must always hold."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import (
    compare_models,
    comparisons,
    estimated_means,
    likelihood_ratio_test,
    ordinal,
)
from alliance_stats.engine.ordered import (
    ORDERED_LINKS,
    Steps,
    ordered_family,
    probability,
    threshold_slopes,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.sentences import report

DIFFERENCES = 1e-8  # central differences with half-width 1e-5
SEARCH = 1e-6  # two searches end within this of one another
THRESHOLDS = np.array([-1.0, 0.3, 1.4])


def simulate(n=60, rows=8, seed=1):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), rows)
    x = rng.normal(size=len(person))
    arm = np.where(person % 2 == 0, "one", "two")
    latent = 0.6 * x + (0.8 * rng.normal(size=n))[person] + rng.logistic(size=len(person))
    rating = 1.0 + np.digitize(latent, THRESHOLDS)
    return pd.DataFrame({"person": person, "x": x, "arm": arm, "rating": rating})


DATA = simulate()


@pytest.fixture(scope="module")
def model():
    return ordinal("rating ~ x + arm + (1 | person)", DATA)


@pytest.mark.parametrize("link", ORDERED_LINKS)
def test_derivatives_are_those_of_differences(link):
    rng = np.random.default_rng(0)
    y, eta, h = rng.integers(0, 4, 60).astype(float), 1.5 * rng.normal(size=60), 1e-5
    family, outcome = ordered_family(link), Steps.of(y, THRESHOLDS)

    def differences(function):
        return [(a - b) / (2 * h) for a, b in zip(function(h), function(-h), strict=True)]

    log_p, score, weight = family.slopes(eta, outcome)
    p = probability(link, THRESHOLDS, eta)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-15)
    np.testing.assert_allclose(np.exp(log_p), p[np.arange(60), y.astype(int)], atol=1e-14)
    by_eta = differences(lambda step: family.slopes(eta + step, outcome))
    for found, expected in zip((score, -weight, family.third(eta, outcome)), by_eta, strict=True):
        np.testing.assert_allclose(found, expected, atol=DIFFERENCES)
    slope = threshold_slopes(link, eta, outcome)
    for j in range(3):
        unit = np.eye(3)[j]
        moved = differences(lambda s, u=unit: family.slopes(eta, Steps.of(y, THRESHOLDS + s * u)))
        pairs = zip(slope[0:6:2], slope[1:6:2], strict=True)
        for found, (upper, lower) in zip(moved, pairs, strict=True):
            own = np.where(y == j, upper, 0.0) + np.where(y == j + 1, lower, 0.0)
            np.testing.assert_allclose(own, found, atol=DIFFERENCES)


def test_an_end_far_out_keeps_its_digits():
    outcome = Steps.of(np.array([0.0, 3.0]), THRESHOLDS)
    log_p, score, weight = ordered_family("logit").slopes(np.array([80.0, -80.0]), outcome)
    np.testing.assert_allclose(log_p, [-81.0, -81.4], rtol=1e-12)
    np.testing.assert_allclose(score, [-1.0, 1.0], rtol=1e-12)
    assert (weight >= 0.0).all()


def test_what_was_built_in_is_found(model):
    table = model.tidy().set_index("term")
    row = table.loc["x"]
    assert abs(row["estimate"] - 0.6) < 3 * row["std_error"]
    thresholds = model.tidy(effects="thresholds")
    assert thresholds["term"].tolist() == ["1|2", "2|3", "3|4"]
    assert (np.diff(thresholds["estimate"]) > 0).all()
    assert model.glance()["n_parameters"].item() == 6
    assert model.vcov().index.tolist() == ["x", "arm[T.two]", "1|2", "2|3", "3|4"]


def test_distances_between_numbers_do_not_matter(model):
    stretched = DATA.assign(rating=DATA["rating"].map({1: -3, 2: 0, 3: 2.5, 4: 100}))
    labels = pd.Categorical.from_codes(
        DATA["rating"].astype(int) - 1, ["no", "hardly", "rather", "yes"], ordered=True
    )
    for data in (stretched, DATA.assign(rating=labels)):
        other = ordinal("rating ~ x + arm + (1 | person)", data)
        assert other.log_lik == pytest.approx(model.log_lik, abs=1e-9)
        np.testing.assert_allclose(other.tidy()["estimate"], model.tidy()["estimate"], atol=SEARCH)
    assert other.steps == ("no", "hardly", "rather", "yes")


def test_a_turned_scale_turns_the_signs(model):
    turned = ordinal("rating ~ x + arm + (1 | person)", DATA.assign(rating=-DATA["rating"]))
    np.testing.assert_allclose(turned.tidy()["estimate"], -model.tidy()["estimate"], atol=SEARCH)
    assert turned.log_lik == pytest.approx(model.log_lik, abs=1e-9)


def test_another_origin_of_a_predictor_moves_the_thresholds_alone(model):
    moved = ordinal("rating ~ x + arm + (1 | person)", DATA.assign(x=1e3 * DATA["x"] + 5e4))
    slope = model.tidy()["estimate"][0]
    assert moved.tidy()["estimate"][0] == pytest.approx(slope / 1e3, rel=1e-5)
    before, after = (m.tidy(effects="thresholds")["estimate"] for m in (model, moved))
    np.testing.assert_allclose(after - before, slope * 50.0, rtol=1e-5)


def test_probabilities_at_every_level(model):
    new = DATA.head(3)
    for level in ("population", "typical", "conditional"):
        table = model.predict(new, level=level)
        assert table.columns.tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(table.sum(axis=1), 1.0)
    typical = model.step_probabilities(new, level="typical")
    np.testing.assert_allclose(
        typical["estimate"], model.predict(new, level="typical").to_numpy().ravel()
    )
    assert (typical["conf_low"] < typical["estimate"]).all()
    assert (typical["estimate"] < typical["conf_high"]).all()
    drawn = np.random.default_rng(0).normal(size=200_000)
    sd = model.tidy(effects="ran_pars")["estimate"].item()
    eta = model.tidy()["estimate"][0] * new["x"].iloc[0]
    thresholds = model.tidy(effects="thresholds")["estimate"].to_numpy()
    mean = probability("logit", thresholds, eta + sd * drawn).mean(axis=0)
    np.testing.assert_allclose(model.predict(new).iloc[0], mean, atol=2e-3)


def test_intervals_of_probabilities_are_those_of_the_delta_method(model):
    new = DATA.head(1)
    h, V = 1e-6, model.vcov().to_numpy()
    theta = np.r_[model.tidy()["estimate"], model.tidy(effects="thresholds")["estimate"]]
    x = np.array([new["x"].iloc[0], 0.0])

    def at(values):
        return probability("logit", values[2:], np.array([x @ values[:2]]))[0]

    J = np.array([(at(theta + h * e) - at(theta - h * e)) / (2 * h) for e in np.eye(5)]).T
    found = model.step_probabilities(new, level="typical")["std_error"]
    np.testing.assert_allclose(found, np.sqrt(np.diag(J @ V @ J.T)), rtol=1e-6)


def test_questions_that_have_no_answer_are_refused(model):
    for ask in (lambda: estimated_means(model, "arm"), lambda: comparisons(model, "x")):
        with pytest.raises(DataError, match="step_probabilities"):
            ask()


def test_models_are_compared_by_their_likelihoods(model):
    smaller = ordinal("rating ~ x + (1 | person)", DATA)
    test = likelihood_ratio_test(smaller, model)
    assert test.statistic == pytest.approx(2 * (model.log_lik - smaller.log_lik))
    assert test.df == 1
    even = ordinal("rating ~ x + arm + (1 | person)", DATA, thresholds="equidistant")
    assert likelihood_ratio_test(even, model).df == 1
    assert len(compare_models(smaller, even, model)) == 3
    probit = ordinal("rating ~ x + (1 | person)", DATA, link="probit")
    with pytest.raises(DataError, match="different kinds"):
        likelihood_ratio_test(probit, model)
    joint = model.anova().set_index("term")
    z = model.tidy().set_index("term")["statistic"]
    assert joint.loc["x", "statistic"] == pytest.approx(z["x"] ** 2)


def test_a_step_that_nobody_used_is_kept_out_and_said():
    labels = pd.Categorical(DATA["rating"], categories=[0, 1, 2, 3, 4, 5], ordered=True)
    found = ordinal("rating ~ x + (1 | person)", DATA.assign(rating=labels))
    assert found.steps == (1, 2, 3, 4)
    assert "2 steps (0, 5)" in found.notes[0]


def test_no_predictors_and_no_variance():
    rng = np.random.default_rng(3)
    data = DATA.assign(rating=rng.integers(1, 5, len(DATA)))
    found = ordinal("rating ~ 1 + (1 | person)", data)
    assert found.tidy().empty
    assert len(found.tidy(effects="thresholds")) == 3
    assert found.summary().count("|") >= 3
    if found.glance()["singular"].item():
        shares = np.bincount(data["rating"])[1:] / len(data)
        np.testing.assert_allclose(found.predict(data.head(1)).iloc[0], shares, atol=1e-6)
        assert "Boundary" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "formula", "error", "message"),
    [
        (lambda d: d.assign(rating=d["rating"].astype(str)), None, DataError, "text"),
        (
            lambda d: d.assign(rating=pd.Categorical(d["rating"])), None, DataError,
            "without an order",
        ),
        (lambda d: d.assign(rating=(d["rating"] > 2) + 1), None, DataError, "fitted by glmm"),
        (lambda d: d.assign(rating=3), None, NotIdentifiedError, "3 in all"),
        (lambda d: d.assign(rating=d["x"]), None, DataError, "no scale of steps"),
        (lambda d: d, "rating ~ 0 + x + (1 | person)", FormulaError, "intercept"),
        (lambda d: d, "rating ~ x", FormulaError, "no random term"),
        (lambda d: d, "ratng ~ x + (1 | person)", FormulaError, "Did you mean 'rating'"),
        (lambda d: d, "rating ~ xx + (1 | person)", FormulaError, "xx"),
        (
            lambda d: d.assign(row=range(len(d))), "rating ~ x + (1 | row)", NotIdentifiedError,
            "'row'",
        ),
        (lambda d: d.assign(one=1), "rating ~ x + (1 | one)", NotIdentifiedError, "one unit"),
        (lambda d: d.head(0), None, DataError, "no rows"),
        (
            lambda d: d.assign(x=100.0 * d["rating"]), None, NotIdentifiedError, "separation",
        ),
    ],
)  # fmt: skip
def test_refused(change, formula, error, message):
    with pytest.raises(error, match=message):
        ordinal(formula or "rating ~ x + (1 | person)", change(DATA))


@pytest.mark.parametrize("options", [{"link": "cauchit"}, {"thresholds": "free"}])
def test_unknown_options(options):
    with pytest.raises(ValueError, match="must be one of"):
        ordinal("rating ~ x + (1 | person)", DATA, **options)


def test_report_and_summary_say_odds_ratios(model):
    assert "odds ratio" in report(model)
    assert "1|2" in model.summary()
    assert model.rows.n_used == len(DATA)
