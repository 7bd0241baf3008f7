"""Session to session on tables that were made to mislead: copies, gaps, units, few persons."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.panel import cross_lagged, several_outcomes
from tests.unit.test_panel_cross_lagged import DATA, NAMES, PHI, simulate

# The same model after shifts and scales of up to 1e9, in standard errors and relative.
SAME = 1e-6
# Sums of a thousand terms in another order, relative.
DENSE = 1e-8

IN_ORDER = DATA.sort_values(["person", "session"])


def shifted(by: int) -> pd.DataFrame:
    return IN_ORDER.assign(z=IN_ORDER.groupby("person")["symptoms"].shift(by))


def of_person(how: str) -> pd.DataFrame:
    return IN_ORDER.assign(z=IN_ORDER.groupby("person")["symptoms"].transform(how))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DATA.assign(z=3 * DATA["alliance"] + 1), "is 'alliance' at the same session"),
        (shifted(-1).assign(z=lambda d: 10 - 2 * d["z"]), "of the next session"),
        (shifted(-2), "of 2 sessions later"),
        (of_person("last"), "last session"),
        (of_person("first"), "first session"),
        (of_person("mean"), "person's mean"),
    ],
)
def test_a_rating_under_another_name_is_no_covariate(data, said):
    for ask in (cross_lagged, several_outcomes):
        with pytest.raises(DataError, match=said):
            ask(data, covariates="z", **NAMES)


def test_covariates_that_only_go_with_ratings_stay():
    rng = np.random.default_rng(1)
    near = of_person("mean").assign(z=lambda d: d["z"] + 0.01 * rng.normal(size=len(d)))
    arm = DATA.assign(z=(DATA["person"] % 2).astype(float))
    for data in (near, arm):
        assert "z" in set(cross_lagged(data, covariates="z", **NAMES).means()["term"])


def test_an_offset_is_no_covariate():
    with pytest.raises(FormulaError, match="no offset"):
        cross_lagged(DATA, covariates="offset(age)", **NAMES)


@pytest.mark.parametrize(("shift", "scale"), [(2e9, 1.0), (0.0, 1e6), (1e5, 1e-3)])
@pytest.mark.parametrize("means", ["session", "linear"])
def test_covariates_of_any_unit(shift, scale, means):
    other = DATA.assign(age=DATA["age"] * scale + shift)
    one, two = (cross_lagged(d, covariates="age", means=means, **NAMES) for d in (DATA, other))
    a, b = one.tidy(), two.tidy()
    assert (np.abs(a["estimate"] - b["estimate"]) / a["std_error"]).max() < SAME
    assert b["std_error"].to_numpy() == pytest.approx(a["std_error"].to_numpy(), rel=SAME)
    a, b = (m.means().query("term == 'age'") for m in (one, two))
    assert b["std_error"].to_numpy() * scale == pytest.approx(a["std_error"].to_numpy(), rel=SAME)
    assert one.model.log_lik == pytest.approx(two.model.log_lik, rel=1e-10)
    assert two.deviations()["alliance"].std() == pytest.approx(one.deviations()["alliance"].std())


def test_restricted_likelihood_with_a_covariate_is_that_of_one_dense_normal():
    data = DATA[DATA["person"] < 40].assign(age=lambda d: 1e3 + 50 * d["age"])
    found = several_outcomes(data, nested_in=["therapist"], covariates="age", **NAMES)
    levels, residual = found.random_effects(), found.residual_covariances()

    def matrix(rows: pd.DataFrame) -> np.ndarray:
        S = np.zeros((2, 2))
        S[np.tril_indices(2)] = rows["estimate"]
        return S + np.tril(S, -1).T

    long = data.melt(["person", "therapist", "session", "age"], NAMES["outcomes"]).dropna()
    k = (long["variable"] == "symptoms").to_numpy().astype(int)
    person, therapist, session = (long[c].to_numpy() for c in ("person", "therapist", "session"))
    V = np.zeros((len(long), len(long)))
    for name, unit in (("person", person), ("therapist", therapist)):
        V += matrix(levels[levels["level"] == name])[np.ix_(k, k)] * (unit[:, None] == unit)
    same = (person[:, None] == person) & (session[:, None] == session)
    V += matrix(residual)[np.ix_(k, k)] * same
    X = [(session == s) & (k == j) for s in np.unique(session) for j in (0, 1)]
    X = np.array([*X, *[long["age"] * (k == j) for j in (0, 1)]], dtype=float).T
    y, VX = long["value"].to_numpy(), np.linalg.solve(V, X)
    beta = np.linalg.solve(X.T @ VX, VX.T @ y)
    r = y - X @ beta
    deviance = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ VX)[1] + r @ np.linalg.solve(V, r)
    deviance += (len(y) - X.shape[1]) * np.log(2 * np.pi)
    assert -2 * found.model.log_lik == pytest.approx(deviance, rel=DENSE)
    means = found.means()
    assert means["estimate"].to_numpy() == pytest.approx(beta, rel=1e-6, abs=1e-9)
    errors = np.sqrt(np.diag(np.linalg.inv(X.T @ VX)))
    assert means["std_error"].to_numpy() == pytest.approx(errors, rel=1e-6)


def test_sessions_of_which_none_follows_another_have_no_lagged_effects():
    odd = DATA[DATA["session"] % 2 == 1]
    with pytest.raises(NotIdentifiedError, match=r"two sessions in a row .*\(1, 3, 5\)"):
        cross_lagged(odd, **NAMES)
    numbered = odd.assign(session=(odd["session"] + 1) // 2)
    assert cross_lagged(numbered, **NAMES).glance()["n_sessions"].item() == 3
    assert several_outcomes(odd, **NAMES).glance()["converged"].item()


def test_groups_of_too_few_persons_are_refused():
    few = DATA.assign(arm=np.where(DATA["person"] < 3, "new arm", "old"))
    with pytest.raises(NotIdentifiedError, match="Group 'new arm' has 3 persons"):
        cross_lagged(few, group="arm", **NAMES)
    with pytest.raises(NotIdentifiedError, match="There are 3 persons"):
        cross_lagged(DATA[DATA["person"] < 3], **NAMES)


def test_the_summary_says_of_which_group_stable_differences_are():
    halves = DATA.assign(arm=np.where(DATA["person"] < 60, "new arm", "old"))
    text = cross_lagged(halves, group="arm", nested_in=["therapist"], **NAMES).summary()
    stable = text[text.index("Stable differences") :]
    assert stable.count("new arm") == 3
    assert stable.count("all") >= 3


def test_deviations_that_grow_are_tested_against_a_stationary_start():
    data = simulate(n=200, phi=np.array([[1.05, 0.0], [0.0, 0.4]]), seed=12)
    tests = cross_lagged(data, **NAMES).tests().set_index("test")
    still = tests.loc["start in equilibrium (stationary)"]
    assert still["statistic"] > 50
    assert still["df"] == 3
    assert still["p_value"] < 1e-10


LEAVERS = DATA[DATA["session"] <= 6 - DATA["person"] % 4]


def test_imputations_are_pooled_by_rubins_rules_with_his_df():
    found = cross_lagged(LEAVERS, **NAMES)
    asked = {"outcome": "symptoms", "shifts": [0.0], "seed": 3}
    few = found.sensitivity_to_leaving(n_imputations=2, **asked)
    many = found.sensitivity_to_leaving(n_imputations=12, **asked)
    assert (few["df"] > 1.0).all()
    assert few["df"].median() < many["df"].median()
    width = stats.t.ppf(0.975, few["df"]) * few["std_error"]
    np.testing.assert_allclose(few["conf_high"] - few["estimate"], width)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda m: m.sensitivity(reliabilities=0.8), TypeError, "reliabilities takes a list"),
        (lambda m: m.sensitivity(reliabilities=[]), DataError, "one finite number or more"),
        (lambda m: m.sensitivity(reliabilities=["high"]), TypeError, "list of numbers"),
        (lambda m: left(m, shifts=0.5), TypeError, "shifts takes a list"),
        (lambda m: left(m, shifts=[np.nan]), DataError, "one finite number"),
        (lambda m: left(m, shifts=[]), DataError, "one finite number"),
        (lambda m: left(m, shifts=[0.0], n_imputations=1), DataError, "2 or more; got 1"),
        (lambda m: left(m, shifts=[0.0], n_imputations=2.5), DataError, "whole number"),
        (lambda m: m.impulse_responses(horizon=2.5), ValueError, "1 or more; got 2.5"),
    ],
)
def test_grids_that_are_none_are_refused(ask, error, message):
    with pytest.raises(error, match=message):
        ask(cross_lagged(LEAVERS, **NAMES))


def left(model, **given):
    return model.sensitivity_to_leaving(outcome="symptoms", seed=1, **given)


def noisy(seed: int) -> pd.DataFrame:
    """200 persons of 25 therapists, who leave one by one, rated with much error."""
    rng = np.random.default_rng(seed)
    therapist = rng.integers(0, 25, 200)
    level = 0.8 * rng.normal(size=(200, 2)) + 0.5 * rng.normal(size=(25, 2))[therapist]
    rng.normal(size=(200, 2))
    w, there, parts = rng.normal(size=(200, 2)), np.ones(200, bool), []
    for session in range(1, 9):
        if session > 1:
            w = w @ PHI.T + rng.normal(size=(200, 2))
        y = level + w + 0.7 * rng.normal(size=(200, 2))
        y[rng.random(y.shape) < 0.1] = np.nan
        rows = {"person": np.arange(200), "therapist": therapist, "session": session}
        parts.append(pd.DataFrame(rows | {"alliance": y[:, 0], "symptoms": y[:, 1]})[there])
        there = there & (rng.random(200) > 0.05)
    return pd.concat(parts, ignore_index=True)


def test_a_fit_that_says_nothing_is_tried_from_other_starts():
    found = cross_lagged(
        noisy(13), reliability="estimate", start="stationary", nested_in=["therapist"], **NAMES
    )
    assert found.model.fit.identified
    assert found.tidy()["std_error"].notna().all()
    assert "error variance of alliance is zero" in found.notes[0]
