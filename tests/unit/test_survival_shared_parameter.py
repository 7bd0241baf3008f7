"""The joint model of outcome and leaving: brute force, limits, units, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.survival import shared_parameter
from alliance_stats.survival.unseen.shared_likelihood import Rule, log_likelihood, placed

COLUMNS = {"session": "session", "event": "event", "unit": "id", "baseline_df": 1}
LEVEL, GROWTH = "y ~ time + (1 | id)", "y ~ time + (1 + time | id)"
THERAPISTS = " + (1 | therapist)"
# Central differences of a log-likelihood of some -400, by steps of 1e-5.
DIFFERENCES = 1e-5
# The search stops at a slope of about 1e-5 of a standard error; twice that of both sides.
SEARCH = 1e-3


def study(n: int = 60, seed: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw six sessions of persons of six therapists; whose level is high leave, or few."""
    rng = np.random.default_rng(seed)
    outcomes, periods = [], []
    lift = rng.normal(0.0, 1.0, 6)
    for i in range(n):
        b0, b1 = rng.normal(0, 2.0), rng.normal(0, 0.6)
        for session in range(1, 7):
            y = 20 + b0 + lift[i % 6] + (b1 - 1) * (session - 1) + rng.normal(0, 1.5)
            outcomes.append((f"P {i:02}", f"T {i % 6}", session - 1, y))
            if session == 6:
                break
            left = float(rng.random() < -np.expm1(-np.exp(-2.0 + 0.4 * b0)))
            periods.append((f"P {i:02}", f"T {i % 6}", session - 1, session, left))
            if left:
                break
    return (
        pd.DataFrame(outcomes, columns=["id", "therapist", "time", "y"]),
        pd.DataFrame(periods, columns=["id", "therapist", "time", "session", "event"]),
    )


@pytest.fixture(scope="module")
def both() -> tuple[pd.DataFrame, pd.DataFrame]:
    return study()


@pytest.fixture(scope="module")
def level(both):
    return shared_parameter(LEVEL, "1", *both, **COLUMNS)


@pytest.fixture(scope="module")
def value(both):
    return shared_parameter(LEVEL + THERAPISTS, "1", *both, association="value", **COLUMNS)


ASKED = {
    "effects": (GROWTH, {}),
    "logit": (LEVEL, {"link": "logit"}),
    "therapists shared": (LEVEL + THERAPISTS, {}),
    "therapists apart": (
        LEVEL + THERAPISTS,
        {"association": "unit effects", "random": "(1 | therapist)", "nodes": 5},
    ),
    "value": (LEVEL + THERAPISTS, {"association": "value", "link": "logit"}),
    "value + slope": (GROWTH, {"association": "value + slope", "time": "time"}),
}  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_slopes_are_those_of_the_likelihood_and_it_is_flat_where_the_search_ends(both, asked):
    formula, options = ASKED[asked]
    fit = shared_parameter(formula, "1", *both, **COLUMNS, **options)
    assert fit.converged
    assert fit.found.stands
    rules = (Rule.of(9, fit.data.Z.shape[1]), Rule.of(9, fit.data.n_outer))
    at = fit.found.parameters + 0.3 * np.sqrt(np.diag(fit.found.covariance))
    places = placed(at, fit.data, rules[0])

    def value(x: np.ndarray) -> float:
        return float(log_likelihood(x, fit.data, rules, places)[0].sum())

    scores = log_likelihood(at, fit.data, rules, places)[1].sum(axis=0)
    numeric = optimize.approx_fprime(at, value, 1e-6)
    errors = np.sqrt(np.diag(fit.found.covariance))
    assert_allclose(scores * errors, numeric * errors, atol=100 * DIFFERENCES)
    assert fit.log_lik >= fit.log_lik_separate - DIFFERENCES


def test_without_association_the_likelihoods_multiply(value) -> None:
    at = value.found.parameters.copy()
    hazard, association = value.data.sizes[4], 1
    p = len(value.outcome.beta)
    fixed = value.outcome
    D = fixed.covariances()
    at[:p] = fixed.beta
    at[p] = np.log(np.sqrt(D["id"].to_numpy()[0, 0]))
    at[p + 1 : p + 3] = np.log(fixed.sigma), np.sqrt(D["therapist"].to_numpy()[0, 0])
    at[p + 3 : p + 3 + hazard] = value.hazard.fit.beta
    at[p + 3 + hazard : p + 3 + hazard + association] = 0.0
    rules = (Rule.of(9, 1), Rule.of(9, 1))
    found = log_likelihood(at, value.data, rules, placed(at, value.data, rules[0]))[0].sum()
    assert_allclose(found, value.log_lik_separate, rtol=1e-10)


def test_likelihood_equals_brute_force_integration(both) -> None:
    fit = shared_parameter(GROWTH, "1", *both, association="value", **COLUMNS)
    data, at = fit.data, fit.found.parameters
    found = log_likelihood(at, data, (Rule.of(15, 2), Rule.of(1, 0)), None)[0]
    table = fit.tidy().set_index(["part", "term"])["estimate"]
    spread = fit.tidy(effects="ran_pars").set_index("term")["estimate"]
    s0, s1, r = spread["sd__(Intercept)"], spread["sd__time"], spread["cor__(Intercept).time"]
    D = np.array([[s0**2, r * s0 * s1], [r * s0 * s1, s1**2]])
    b0, b1 = np.meshgrid(np.linspace(-16, 16, 801), np.linspace(-5, 5, 801), indexing="ij")
    cell = (b0[1, 0] - b0[0, 0]) * (b1[0, 1] - b1[0, 0])
    prior = stats.multivariate_normal([0, 0], D).pdf(np.stack([b0, b1], axis=-1))
    beta, gamma = table["outcome"].to_numpy(), table["hazard"].to_numpy()
    for person in (0, 7, 23):
        density = prior.copy()
        for row in np.flatnonzero(data.unit == person):
            z = data.Z[row]
            mean = data.X[row] @ beta + z[0] * b0 + z[1] * b1
            density *= stats.norm.pdf(data.y[row], mean, spread["sd__Observation"])
        for row in np.flatnonzero(data.at_risk == person):
            # the value at zero, not at the mean that the search takes off
            time = both[1]["time"][row]
            now = beta[0] + beta[1] * time + b0 + b1 * time
            eta = data.W[row] @ gamma + table["association", "value"] * now
            stay = np.exp(-np.exp(eta))
            density *= (1 - stay) if data.event[row] else stay
        assert_allclose(found[person], np.log(density.sum() * cell), atol=1e-5)


def test_it_finds_who_leaves_and_says_what_it_stands_on(level, both) -> None:
    row = level.tidy().query("part == 'association'").iloc[0]
    assert abs(row["estimate"] - 0.4) < 3.0 * row["std_error"]
    assert level.notes[0].startswith("The numbers stand on an assumption")
    assert level.glance()["p_value"].item() < 0.05
    finer = shared_parameter(LEVEL, "1", *both, **COLUMNS, nodes=21)
    assert_allclose(finer.log_lik, level.log_lik, atol=1e-6)


def test_a_current_value_of_an_intercept_alone_is_that_effect(both) -> None:
    """Without a course, the value is constant + b: the association is that of b."""
    outcomes, periods = both
    of_b = shared_parameter("y ~ 1 + (1 | id)", "1", outcomes, periods, **COLUMNS)
    options = COLUMNS | {"association": "value"}
    of_m = shared_parameter("y ~ 1 + (1 | id)", "1", outcomes, periods, **options)
    assert_allclose(of_m.log_lik, of_b.log_lik, rtol=1e-9)
    one, other = (f.tidy().set_index(["part", "term"]) for f in (of_b, of_m))
    alpha, se = one.loc[("association", "(Intercept)"), ["estimate", "std_error"]]
    assert_allclose(other.loc[("association", "value"), "estimate"], alpha, atol=SEARCH * se)
    assert_allclose(other.loc[("association", "value"), "std_error"], se, rtol=SEARCH)
    constant = one.loc[("hazard", "(Intercept)"), "estimate"]
    at_zero = constant - alpha * one.loc[("outcome", "(Intercept)"), "estimate"]
    assert_allclose(other.loc[("hazard", "(Intercept)"), "estimate"], at_zero, atol=SEARCH)


@pytest.mark.parametrize(("factor", "shift"), [(1e-4, 0.0), (1e5, 3e6)])
def test_the_outcomes_unit_and_origin_do_not_matter(both, value, factor, shift) -> None:
    outcomes, periods = both
    moved = outcomes.assign(y=outcomes["y"] * factor + shift)
    other = shared_parameter(
        LEVEL + THERAPISTS, "1", moved, periods, association="value", **COLUMNS
    )
    one = value.tidy().set_index("part").loc["association"]
    two = other.tidy().set_index("part").loc["association"]
    assert_allclose(two["estimate"] * factor, one["estimate"], atol=SEARCH * one["std_error"])
    assert_allclose(two["std_error"] * factor, one["std_error"], rtol=SEARCH)
    assert_allclose(two["p_value"], one["p_value"], rtol=10 * SEARCH)


def test_who_was_never_rated_still_tells_of_leaving(both, level) -> None:
    outcomes, periods = both
    seen = outcomes.assign(y=outcomes["y"].mask(outcomes["id"].isin(["P 00", "P 01"])))
    fit = shared_parameter(LEVEL, "1", seen, periods, **COLUMNS)
    assert fit.n_unrated == 2
    assert any("2 units at risk without any outcome" in note for note in fit.notes)
    assert fit.data.n_units == level.data.n_units
    # the log-likelihood of such a unit: its hazards over the population's effects
    sd = fit.tidy(effects="ran_pars")["estimate"].iloc[0]
    table = fit.tidy().set_index("part")["estimate"]
    b = np.linspace(-9, 9, 4001) * sd
    rows = np.flatnonzero(fit.data.at_risk == fit.data.n_units - 1)
    eta = fit.data.W[rows] @ table["hazard"].to_numpy() + np.outer(b, [table["association"]])
    stay = np.exp(-np.exp(eta))
    chance = np.prod(np.where(fit.data.event[rows] == 1.0, 1 - stay, stay), axis=1)
    expected = np.log(np.sum(chance * stats.norm.pdf(b, 0, sd)) * (b[1] - b[0]))
    found = log_likelihood(fit.found.parameters, fit.data, (Rule.of(25, 1), Rule.of(1, 0)), None)
    assert_allclose(found[0][-1], expected, atol=1e-8)


def test_nested_ids_are_read_as_the_unit_under_its_therapist(both, value) -> None:
    nested = shared_parameter(
        "y ~ time + (1 | therapist/id)", "1", *both, association="value", **COLUMNS
    )
    assert_allclose(nested.log_lik, value.log_lik, rtol=1e-9)
    assert [note for note in nested.notes if "6 therapists" in note]


def test_refusals(both) -> None:
    outcomes, periods = both
    for formula in ("y ~ time + (1 | id) + (1 | therapist) + (1 | time)", "y ~ time"):
        with pytest.raises(DataError, match="needs one random term, of 'id'"):
            shared_parameter(formula, "1", outcomes, periods, **COLUMNS)
    with pytest.raises(DataError, match="one level with an intercept"):
        shared_parameter(
            "y ~ time + (1 | id) + (1 + time | therapist)", "1", outcomes, periods, **COLUMNS
        )
    with pytest.raises(DataError, match="No unit at risk has an outcome: 'id' is 'P 00' in per"):
        shared_parameter(LEVEL, "1", outcomes.assign(id=outcomes["id"] + "x"), periods, **COLUMNS)
    other = periods.assign(therapist=periods["therapist"].mask(periods["id"] == "P 00", "T 9"))
    with pytest.raises(DataError, match="'P 00' has several values of 'therapist'"):
        shared_parameter(LEVEL + THERAPISTS, "1", outcomes, other, **COLUMNS)
    with pytest.raises(DataError, match="periods has no column 'time'"):
        shared_parameter(
            LEVEL, "1", outcomes, periods.drop(columns="time"), association="value", **COLUMNS
        )
    with pytest.raises(ValueError, match="needs time="):
        shared_parameter(LEVEL, "1", outcomes, periods, association="slope", **COLUMNS)
    options = COLUMNS | {"association": "slope", "time": "tim"}
    with pytest.raises(FormulaError, match="time='tim' must be the clock"):
        shared_parameter(LEVEL, "1", outcomes, periods, **options)
    options = COLUMNS | {"association": "slope", "time": "time"}
    with pytest.raises(NotIdentifiedError, match="all units of one kind have the same slope"):
        shared_parameter(LEVEL, "1", outcomes, periods, **options)
    options = COLUMNS | {"association": "value"}
    with pytest.raises(FormulaError, match="an offset"):
        shared_parameter("y ~ offset(time) + (1 | id)", "1", outcomes, periods, **options)
    certain = periods.assign(x=(periods["event"] == 1.0) * 1.0)
    with pytest.raises(NotIdentifiedError):  # whoever has x leaves at once
        shared_parameter(LEVEL, "x", outcomes, certain, **COLUMNS)
    with pytest.raises(NotIdentifiedError, match="ends with the event"):
        shared_parameter(LEVEL, "1", outcomes, periods.assign(event=0.0), **COLUMNS)


def test_a_therapist_of_the_hazard_may_stand_in_the_periods_alone(both) -> None:
    outcomes, periods = both
    options = COLUMNS | {"random": "(1 | therapist)", "nodes": 5}
    whole = shared_parameter(LEVEL, "1", outcomes, periods, **options)
    bare = outcomes.drop(columns="therapist")
    assert_allclose(
        shared_parameter(LEVEL, "1", bare, periods, **options).log_lik, whole.log_lik, rtol=1e-12
    )
    with pytest.raises(DataError, match="'P 00' has outcomes and no row at risk"):
        shared_parameter(LEVEL, "1", bare, periods[periods["id"] != "P 00"], **options)


@pytest.mark.parametrize("where", ["outcome", "hazard"])
def test_one_therapist_tells_nothing_of_therapists(both, where) -> None:
    outcomes, periods = (frame.assign(therapist="T 1") for frame in both)
    formula = LEVEL + (THERAPISTS if where == "outcome" else "")
    random = None if where == "outcome" else "(1 | therapist)"
    with pytest.raises((DataError, NotIdentifiedError), match="therapist"):
        shared_parameter(formula, "1", outcomes, periods, random=random, **COLUMNS)


def test_nodes_are_raised_until_the_answer_stands() -> None:
    # few outcomes a unit and a strong association: what leaving says of an effect lies far from
    # what its outcomes say, and nodes placed by these miss it
    rng = np.random.default_rng(4)
    outcomes, periods = [], []
    for i in range(60):
        own = rng.normal()
        outcomes += [(i, t, own + rng.normal() * 2.0) for t in (0.0, 6.0)]
        for t in range(1, 13):
            left = int(rng.random() < 1.0 - np.exp(-np.exp(-2.5 + 1.6 * own)))
            periods.append((i, t, left))
            if left:
                break
    outcomes = pd.DataFrame(outcomes, columns=["id", "time", "y"])
    periods = pd.DataFrame(periods, columns=["id", "session", "event"])
    few = shared_parameter(LEVEL, "1", outcomes, periods, **COLUMNS, nodes=2)
    many = shared_parameter(LEVEL, "1", outcomes, periods, **COLUMNS, nodes=65)
    assert few.nodes > 2
    assert few.found.stands
    assert many.found.stands
    for column in ("estimate", "std_error"):
        one, other = few.tidy().iloc[-1][column], many.tidy().iloc[-1][column]
        # a hundredth of a standard error, and that again for what is left of the search
        assert abs(one - other) < 0.02 * many.tidy().iloc[-1]["std_error"]


def test_an_integral_that_does_not_settle_is_said_to_be_so(both) -> None:
    fit = shared_parameter(LEVEL, "1", *both, **COLUMNS, nodes=129)  # no room for twice as many
    assert np.isnan(fit.found.log_lik_moved)
    assert fit.notes[0].startswith("The integral over the shared effects has not settled")


@pytest.mark.parametrize("seconds", [1e6, 1e-4])
def test_the_clocks_unit_does_not_matter(both, seconds) -> None:
    """A slope a second is tiny, and is none the less a slope that differs."""
    clocks = [[f.assign(time=f["time"] * by) for f in both] for by in (1.0, seconds)]
    options = {"association": "slope", "time": "time", **COLUMNS}
    one, two = (shared_parameter(GROWTH, "1", *frames, **options).tidy() for frames in clocks)
    scale = np.where(one["term"] == "time", 1.0 / seconds, 1.0)
    scale = np.where(one["term"] == "slope", seconds, scale)
    assert_allclose(two["estimate"], one["estimate"] * scale, rtol=1e-3)
    assert_allclose(two["std_error"], one["std_error"] * scale, rtol=1e-3)


def test_who_enters_late_is_counted(both, value) -> None:
    """Who would have entered as late and had left before is not there, which nothing corrects."""
    outcomes, periods = both
    sizes = periods.groupby("id")["session"].transform("max")
    late = periods["id"].isin(["P 03", "P 11"]) | (periods["id"].isin(["P 20"]) & (sizes > 2))
    entered = periods[~(late & (periods["session"] < 3) & (sizes > 2))]
    n = int((entered.groupby("id")["session"].min() > 1).sum())
    assert n > 0
    fit = shared_parameter(LEVEL, "1", outcomes, entered, **COLUMNS)
    what = f"{n} unit{'s' if n > 1 else ''} whose first row at risk is after session 1"
    assert any(note.startswith(what) for note in fit.notes)
    assert not any("first row at risk" in note for note in value.notes)
