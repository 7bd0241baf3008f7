"""Session to session: what is refused, what is said, and small answers known by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.panel import cross_lagged
from alliance_stats.sentences import report
from tests.simulation.panel_recovery import Cell, study

NAMES = {"outcomes": ["alliance", "symptoms"], "person": "person", "session": "session"}
PHI = np.array([[0.35, -0.15], [-0.25, 0.40]])


def simulate(
    n=120, sessions=6, *, phi=PHI, seed=3, missing=0.1, therapists=12, error=0.0, first_sd=1.0
):
    """Return ratings of n persons, who lie in therapists of their own level."""
    rng = np.random.default_rng(seed)
    K = len(phi)
    therapist = np.arange(n) % therapists
    level = 0.6 * rng.normal(size=(therapists, K))[therapist] + 0.8 * rng.normal(size=(n, K))
    w = first_sd * rng.normal(size=(n, K))
    parts = []
    for s in range(1, sessions + 1):
        if s > 1:
            w = w @ phi.T + rng.normal(size=(n, K))
        y = 5 + level + w + error * rng.normal(size=(n, K))
        y[rng.random(y.shape) < missing] = np.nan
        names = ["alliance", "symptoms", "third"][:K]
        parts.append(
            pd.DataFrame({"person": np.arange(n), "therapist": therapist, "session": s})
            .assign(age=20.0 + np.arange(n) % 30)
            .assign(**{name: y[:, k] for k, name in enumerate(names)})
        )
    return pd.concat(parts, ignore_index=True)


DATA = simulate()


@pytest.fixture(scope="module")
def found():
    return cross_lagged(DATA, order=["symptoms", "alliance"], **NAMES)


def test_a_row_for_each_lagged_effect(found):
    table = found.tidy()
    assert table[["outcome", "predictor"]].to_numpy().tolist() == [
        ["alliance", "alliance"], ["alliance", "symptoms"],
        ["symptoms", "alliance"], ["symptoms", "symptoms"],
    ]  # fmt: skip
    assert (table["lag"] == 1).all()
    assert (np.abs(table["estimate"] - PHI.ravel()) < 3.5 * table["std_error"]).all()
    np.testing.assert_allclose(np.sqrt(np.diag(found.vcov())), table["std_error"])


def test_long_run_and_responses_follow_from_the_lags(found):
    phi = found.tidy()["estimate"].to_numpy().reshape(2, 2)
    long_run = found.long_run()["estimate"].to_numpy().reshape(2, 2)
    np.testing.assert_allclose(long_run, np.linalg.inv(np.eye(2) - phi))
    alone = cross_lagged(DATA, **NAMES).impulse_responses(horizon=3)
    third = alone[alone["sessions_after"] == 3].set_index(["outcome", "impulse"])["estimate"]
    np.testing.assert_allclose(third["symptoms", "alliance"], np.linalg.matrix_power(phi, 3)[1, 0])


def test_order_moves_what_is_rated_later_in_the_same_session(found):
    new = found.residual_covariances().set_index(["part", "outcome", "other"])["estimate"]
    new = new.loc["new at a session"]
    slope = new["symptoms", "alliance"] / new["symptoms", "symptoms"]
    responses = found.impulse_responses(horizon=1)
    at_once = responses[responses["sessions_after"] == 0].set_index(["impulse", "outcome"])
    assert at_once.loc[("symptoms", "alliance"), "estimate"] == pytest.approx(slope)
    assert at_once.loc[("alliance", "symptoms"), "estimate"] == pytest.approx(0.0, abs=1e-12)
    same = found.same_session()
    lag0 = same[same["lag"] == 0]
    assert lag0[["outcome", "predictor"]].to_numpy().tolist() == [["alliance", "symptoms"]]
    assert lag0["estimate"].iloc[0] == pytest.approx(slope)


def test_without_an_order_nothing_is_said_on_one_session():
    with pytest.raises(NotIdentifiedError, match="order of rating"):
        cross_lagged(DATA, **NAMES).same_session()


def test_groups_have_lags_of_their_own_and_a_test_whether_they_are_equal():
    arm = np.where(DATA["person"] < 60, "one", "two")
    apart = cross_lagged(DATA.assign(arm=arm), group="arm", **NAMES)
    for name in ("one", "two"):
        alone = cross_lagged(DATA[arm == name], **NAMES).tidy()["estimate"]
        together = apart.tidy().query("strata == @name")["estimate"]
        np.testing.assert_allclose(together, alone, atol=1e-6)
    tests = apart.tests().set_index("test")
    equal = tests.loc["lagged effects equal in groups"]
    assert equal["df"] == 4
    assert equal["p_value"] > 0.01
    zero = tests.loc["alliance -> symptoms zero"]
    assert zero["df"] == 2
    assert len(apart.profile(outcome="symptoms")) == 4
    assert set(apart.impulse_responses()["strata"]) == {"one", "two"}


def test_clusters_by_sandwich_and_too_few_of_them(found):
    table = found.tidy(cluster="person")
    assert (table["df"] == 119).all()
    ratio = table["std_error"] / found.tidy()["std_error"]
    assert ((ratio > 0.6) & (ratio < 1.6)).all()
    nested = cross_lagged(DATA, nested_in=["therapist"], **NAMES)
    assert (nested.tidy(cluster="therapist")["df"] == 11).all()
    with pytest.raises(DataError, match="not independent"):
        nested.tidy(cluster="person")
    few = cross_lagged(simulate(therapists=6), cluster="therapist", **NAMES)
    with pytest.raises(NotIdentifiedError, match="6 units of 'therapist'"):
        few.tidy(cluster="therapist")


def test_profile_intervals_end_where_the_deviance_has_risen_by_the_quantile(found):
    profile = found.profile()
    wald = found.tidy()
    np.testing.assert_allclose(profile["estimate"], wald["estimate"])
    width = (profile["conf_high"] - profile["conf_low"]) / (wald["conf_high"] - wald["conf_low"])
    assert ((width > 0.9) & (width < 1.15)).all()


def test_tests_name_their_restrictions(found):
    tests = found.tests().set_index("test")
    assert tests.loc["lagged effects equal over sessions", "df"] == 4 * 4
    assert tests.loc["start uncorrelated with the intercepts", "df"] == 4
    assert tests.loc["start in equilibrium (stationary)", "df"] == 3
    assert tests.loc["alliance -> symptoms zero", "df"] == 1
    assert tests.loc["alliance -> symptoms zero", "p_value"] < 1e-3
    assert tests.loc["no linear trends of persons", "boundary"]


def test_a_reliability_raises_what_error_has_lowered():
    data = simulate(n=400, sessions=8, error=0.7, seed=5)
    plain = cross_lagged(data, **NAMES).tidy()["estimate"]
    mended = cross_lagged(data, reliability=0.7, **NAMES).tidy()
    assert abs(plain[2]) < abs(mended["estimate"][2])
    assert (np.abs(mended["estimate"] - PHI.ravel()) < 3.5 * mended["std_error"]).all()
    curve = cross_lagged(data, **NAMES).sensitivity(reliabilities=[0.7, 1.0])
    at = curve[curve["reliability"] == 0.7]["estimate"].to_numpy()
    np.testing.assert_allclose(at, mended["estimate"], rtol=1e-5)


def test_those_who_left_can_be_shifted(found):
    data = DATA[~((DATA["person"] % 3 == 0) & (DATA["session"] > 4))]
    model = cross_lagged(data, **NAMES)
    curve = model.sensitivity_to_leaving(
        outcome="symptoms", shifts=[0.0, 1.0], seed=1, n_imputations=5
    )
    at = curve[curve["delta"] == 0.0]
    wald = model.tidy()
    assert (np.abs(at["estimate"].to_numpy() - wald["estimate"]) < wald["std_error"]).all()
    complete = cross_lagged(simulate(missing=0.0), **NAMES)
    with pytest.raises(NotIdentifiedError, match="nobody who left"):
        complete.sensitivity_to_leaving(outcome="symptoms", shifts=[1.0], seed=1)


def test_deviations_leave_out_what_is_stable(found):
    frame = found.deviations()
    assert len(frame) == found.rows.n_used
    spread = frame.groupby("person")["alliance"].mean().std()
    assert spread < 0.5 * DATA.groupby("person")["alliance"].mean().std()


def test_notes_say_the_worst_first():
    growing = simulate(phi=np.array([[1.1, 0.0], [0.0, 0.3]]), missing=0.0)
    notes = cross_lagged(growing, **NAMES).notes
    assert "do not die out" in notes[0]
    with pytest.raises(NotIdentifiedError, match="no long run"):
        cross_lagged(growing, **NAMES).long_run()
    few = cross_lagged(DATA, nested_in=["therapist"], **NAMES).notes
    assert any("12 units of therapist" in note for note in few)
    three = cross_lagged(DATA[DATA["session"] <= 3], **NAMES).notes
    assert any("Three sessions" in note for note in three)
    ceiling = DATA.assign(alliance=DATA["alliance"].clip(upper=5.5))
    assert any("highest value" in note for note in cross_lagged(ceiling, **NAMES).notes)


def test_a_variance_at_zero_is_a_boundary_and_no_crash():
    rng = np.random.default_rng(1)
    rows = [(i, s, *rng.normal(size=2)) for i in range(60) for s in range(1, 7)]
    data = pd.DataFrame(rows, columns=["person", "session", "alliance", "symptoms"])
    data["family"] = data["person"] // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = cross_lagged(data, nested_in=["family"], **NAMES)
    assert model.glance()["singular"].item()
    assert any("boundary" in note for note in model.notes)
    assert np.isfinite(model.tidy()["std_error"]).all()


def test_gaps_are_missing_sessions():
    without = DATA.drop(DATA.index[(DATA["person"] == 4) & (DATA["session"] == 3)])
    blank = DATA.copy()
    blank.loc[(blank["person"] == 4) & (blank["session"] == 3), ["alliance", "symptoms"]] = np.nan
    one, other = (cross_lagged(d, **NAMES) for d in (without, blank))
    assert one.model.log_lik == pytest.approx(other.model.log_lik, rel=1e-12)


def test_a_session_that_nobody_rated_takes_its_time_and_has_no_mean():
    data = DATA[DATA["session"] != 4]
    model = cross_lagged(data, **NAMES)
    assert len(model.means()) == 2 * 5
    assert model.glance()["n_sessions"].item() == 6
    later = data.assign(session=data["session"].where(data["session"] < 4, data["session"] - 1))
    closed = cross_lagged(later, **NAMES)
    assert closed.model.log_lik != pytest.approx(model.model.log_lik, abs=1e-3)


def test_covariates_shift_the_level():
    data = DATA.assign(alliance=DATA["alliance"] + 0.5 * DATA["age"])
    model = cross_lagged(data, covariates="age", **NAMES)
    age = model.means().query("term == 'age' and outcome == 'alliance'").iloc[0]
    assert abs(age["estimate"] - 0.5) < 4 * age["std_error"]


def test_a_covariate_that_one_of_many_persons_has_is_no_trouble():
    data = simulate(n=450, sessions=4, missing=0.0)
    data["rare"] = (data["person"] == 1).astype(float)
    with_it, without = (
        cross_lagged(data, covariates=covariates, **NAMES) for covariates in ("rare", None)
    )
    assert with_it.glance()["converged"].item()
    gained = with_it.model.log_lik - without.model.log_lik
    wald = with_it.means().query("term == 'rare'")["statistic"]
    assert 0.0 < gained < (wald**2).sum()


def test_wald_intervals_at_a_boundary_are_said_to_be_short_and_profiles_let_it_go():
    cell = Cell(4, 300, 30, off_equilibrium=True)
    found = cross_lagged(study(cell, 0), nested_in=["therapist"], start="correlated", **NAMES)
    assert found.glance()["singular"].item()
    assert "profile()" in found.notes[0]
    wald = found.tidy().iloc[3]
    profile = found.profile(outcome="symptoms").iloc[1]
    assert wald["conf_low"] > 0.5  # the truth is .4
    assert profile["conf_low"] < 0.42
    assert profile["conf_high"] == pytest.approx(wald["conf_high"], abs=0.01)


@pytest.mark.parametrize("seed", [11, 25, 52])
def test_first_deviations_that_follow_the_intercepts_wholly_have_standard_errors(seed):
    data = study(Cell(4, 300, 30, off_equilibrium=True), seed)
    found = cross_lagged(data, nested_in=["therapist"], start="correlated", **NAMES)
    assert found.glance()["converged"].item()
    assert np.isfinite(found.tidy()["std_error"]).all()


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda d: d[d["session"] == 1], {}, NotIdentifiedError, "one session"),
        (lambda d: d[d["session"] <= 2], {}, NotIdentifiedError, "two sessions"),
        (lambda d: pd.concat([d, d.head(1)]), {}, DataError, "Person '0' has 2 rows at session 1"),
        (lambda d: d.assign(session=d["session"] + 0.5), {}, DataError, "not whole in rows 0"),
        (lambda d: d.assign(session=d["session"] * 100), {}, DataError, "Count sessions"),
        (lambda d: d.assign(alliance=d["age"]), {}, DataError, "the same at all"),
        (lambda d: d.assign(alliance=np.nan, symptoms=np.nan), {}, DataError, "No row has a value"),
        (lambda d: d.assign(alliance=d["alliance"].astype(str) + "x"), {}, DataError, "alliance"),
        (lambda d: d, {"covariates": "symptoms"}, DataError, "stands among the covariates"),
        (
            lambda d: d.assign(later=d.groupby("person")["symptoms"].shift(-1)),
            {"covariates": "later"}, DataError, "of the next session",
        ),
        (lambda d: d.assign(symptoms=7 - 2 * d["alliance"]), {}, DataError, "follows from"),
        (
            lambda d: d.assign(total=d["alliance"] + d["symptoms"]),
            {"outcomes": ["alliance", "symptoms", "total"]}, DataError, "'total' follows from",
        ),
        (lambda d: d.assign(arm="a"), {"group": "arm"}, DataError, "no groups to compare"),
        (lambda d: d.assign(t=1), {"nested_in": ["t"]}, NotIdentifiedError, "of one 't'"),
        (
            lambda d: d.assign(t=d["person"]), {"nested_in": ["t"]}, NotIdentifiedError,
            "cannot be told apart",
        ),
        (lambda d: d.head(0), {}, DataError, "no rows"),
        (lambda d: d, {"covariates": "C(session)"}, DataError, "the same for everybody"),
        (
            lambda d: d.assign(months=12 * d["age"]), {"covariates": "age + months"},
            DataError, "'months' is the same in every row, or follows",
        ),
        (lambda d: d, {"outcomes": ["alliance", "person"]}, DataError, "two roles"),
        (lambda d: d, {"outcomes": "alliance"}, TypeError, "list of columns"),
        (lambda d: d, {"order": ["alliance"]}, DataError, "each outcome once"),
        (lambda d: d, {"order": ["alliance", "simptoms"]}, DataError, "Did you mean 'symptoms'"),
        (lambda d: d, {"reliability": 1.3}, DataError, "at most 1"),
        (lambda d: d, {"reliability": {"mood": 0.8}}, DataError, "reliability names 'mood'"),
        (lambda d: d, {"start": "stationary", "lags": "free"}, NotIdentifiedError, "no one state"),
        (lambda d: d, {"nested_in": ["age"], "group": "session"}, DataError, "two roles"),
        (lambda d: d, {"means": "weekly"}, ValueError, "means must be one of"),
        (
            lambda d: d.assign(therapist=d["session"] % 3), {"nested_in": ["therapist"]},
            DataError, "more than one value of 'therapist'",
        ),
    ],
)  # fmt: skip
def test_refused(change, options, error, message):
    with pytest.raises(error, match=message):
        cross_lagged(change(DATA), **{**NAMES, **options})


def test_report_names_each_effect_and_the_notes_come_first(found):
    said = report(found)
    assert said.startswith("Ratings of alliance and symptoms are taken to be free of error")
    row = found.tidy().loc[2]
    assert f"b = \N{MINUS SIGN}{abs(row['estimate']):.2f}" in said
    assert found.summary().count("alliance") > 4
