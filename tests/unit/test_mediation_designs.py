"""Mediation of arms in words, of hazards, in units: against brute force and by laws."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from alliance_stats import (
    HazardOutcome,
    discrete_hazard,
    from_dict,
    mediation,
    regression,
    to_dict,
)
from alliance_stats.errors import DataError, NotIdentifiedError

EXACT = 1e-8
QUADRATURE = 1e-6  # 24 nodes against an adaptive integral
COMMON = {"mediator": "m", "outcome": "y", "seed": 1, "n_resamples": 2000}


def _arms(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    arm = rng.choice(["waiting list", "group", "family"], n)
    m = 0.5 * (arm == "family") + 0.2 * (arm == "group") + rng.normal(size=n)
    return pd.DataFrame(
        {
            "arm": arm,
            "m": m,
            "m2": 0.3 * (arm == "family") + 0.5 * m + rng.normal(size=n),
            "y": 0.5 * m + 0.3 * (arm == "family") + rng.normal(size=n),
            "yes": (rng.uniform(size=n) < 1 / (1 + np.exp(-m))).astype(int),
            "w": rng.normal(size=n),
            "therapist": [f"T {k}" for k in rng.integers(0, 15, n)],
        }
    )


ARMS = _arms()


def _periods(n: int = 250, sessions: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x, z = np.arange(n) % 2, rng.normal(size=n)
    m = 0.6 * x + 0.3 * z + rng.normal(size=n)
    rows = []
    for i in range(n):
        for session in range(1, sessions + 1):
            hazard = 1.0 - np.exp(-np.exp(-1.6 - 0.5 * m[i] + 0.2 * x[i]))
            event = int(rng.uniform() < hazard)
            rows.append((f"P {i}", session, event, x[i], z[i], m[i], f"T {i % 12}"))
            if event:
                break
    names = ["person", "session", "event", "x", "z", "m", "therapist"]
    return pd.DataFrame(rows, columns=names)


PERIODS = _periods()
LEAVING = {"event": "event", "session": "session", "unit": "person"}
HAZARD = {"treatment": "x", "mediator": "m", "covariates": "z", "seed": 1, "n_resamples": 2000}


def test_two_words_are_zero_and_one() -> None:
    data = ARMS[ARMS["arm"] != "group"]
    words = mediation(data, treatment="arm", **COMMON)
    numbers = mediation(data.assign(arm=(data["arm"] != "family").astype(float)),
                        treatment="arm", **COMMON)  # fmt: skip
    assert words.tidy()["estimate"].to_numpy() == pytest.approx(
        numbers.tidy()["estimate"].to_numpy(), rel=EXACT
    )
    assert "(waiting list against family)" in words.method
    categories = pd.Categorical(data["arm"], categories=["waiting list", "family", "group"])
    turned = mediation(data.assign(arm=categories), treatment="arm", **COMMON)
    assert turned.tidy()["estimate"].iloc[-1] == pytest.approx(-words.tidy()["estimate"].iloc[-1])


def test_of_three_arms_two_are_compared_and_all_rows_stay() -> None:
    found = mediation(ARMS, treatment="arm", values=("waiting list", "family"), **COMMON)
    coded = ARMS.assign(
        arm=pd.Categorical(ARMS["arm"], categories=["waiting list", "family", "group"])
    )
    a = regression("m ~ arm", coded).beta.iloc[1]
    b = regression("y ~ m + arm", coded).beta["m"]
    assert found.tidy()["estimate"].iloc[0] == pytest.approx(a * b, rel=EXACT)
    assert found.rows.n_used == len(ARMS)


def test_natural_effects_by_way_of_two_mediators_are_those_of_both() -> None:
    """Linear models: the sum of both products."""
    named = {"treatment": "arm", "values": ("waiting list", "family"), "mediator": ["m", "m2"]}
    plain = mediation(ARMS, **(COMMON | named)).tidy().set_index("term")["estimate"]
    logistic = mediation(ARMS, outcome_family="logistic", **(COMMON | named | {"outcome": "yes"}))
    drawn = mediation(ARMS, interaction=True, **(COMMON | named))
    assert np.isfinite(logistic.tidy()["estimate"].iloc[:3]).all()
    table = drawn.tidy().set_index("term")["estimate"]
    total = table["natural direct"] + table["natural indirect"]
    assert table["total"] == pytest.approx(total, rel=EXACT)
    assert table["natural indirect"] == pytest.approx(plain["indirect"], abs=0.15)


def test_natural_effects_at_values_of_a_moderator() -> None:
    """A linear model with an interaction has the products at each value."""
    found = mediation(
        ARMS, treatment="arm", values=("waiting list", "family"), interaction=True, moderator="w",
        moderates=("a",), at=[-1.0, 1.0], **COMMON,
    )  # fmt: skip
    coded = ARMS.assign(
        family=(ARMS["arm"] == "family") * 1.0, group=(ARMS["arm"] == "group") * 1.0
    )
    a = regression("m ~ family + group + w + family:w", coded).beta
    b = regression("y ~ family + m + group + w + family:m", coded).beta
    table = found.tidy().set_index(["term", "at"])["estimate"]
    for w in (-1.0, 1.0):
        expected = (a["family"] + w * a["family:w"]) * (b["m"] + b["family:m"])
        assert table["natural indirect", w] == pytest.approx(expected, rel=EXACT)
    last = found.tidy().iloc[-1]
    difference = table["natural indirect", 1.0] - table["natural indirect", -1.0]
    assert last["term"] == "natural indirect at 1.00 less that at −1.00"
    assert last["estimate"] == pytest.approx(difference, rel=EXACT)


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_who_is_still_there_by_brute_force(link: str) -> None:
    outcome = HazardOutcome(**LEAVING, horizon=4, link=link)
    sessions = HazardOutcome(**LEAVING, horizon=4, link=link, measure="sessions")
    found = mediation(PERIODS, outcome=outcome, **HAZARD)
    first = PERIODS.drop_duplicates("person")
    m = regression("m ~ x + z", first)
    y = discrete_hazard(
        "x + m + z", PERIODS, session="session", event="event", unit="person", random=None,
        link=link, known_before=["x", "z"],
    )  # fmt: skip
    b = y.tidy().set_index("term")["estimate"]
    levels = [b[f"C(session)[{k}]"] for k in (1, 2, 3, 4)]

    def stays(eta: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(eta)) if link == "logit" else np.exp(-np.exp(eta))

    def mean(x: float, other: float, survival: bool) -> float:
        """Integrate over the mediator of each person on a fine grid."""
        z = first["z"].to_numpy()[:, None]
        v = np.linspace(-9.0, 9.0, 4001) * m.sigma
        centre = m.beta["(Intercept)"] + m.beta["x"] * other + m.beta["z"] * z
        rest = b["x"] * x + b["z"] * z + b["m"] * (centre + v)
        left = np.cumprod([stays(level + rest) for level in levels], axis=0)
        what = left[-1] if survival else 1.0 + left[:-1].sum(axis=0)
        return float(integrate.trapezoid(what * stats.norm.pdf(v, 0.0, m.sigma), v).mean())

    for survival, result in (
        (True, found),
        (False, mediation(PERIODS, outcome=sessions, **HAZARD)),
    ):
        table = result.tidy().set_index("term")["estimate"]
        direct = mean(1, 0, survival) - mean(0, 0, survival)
        assert table["natural direct"] == pytest.approx(direct, abs=QUADRATURE)
        total = mean(1, 1, survival) - mean(0, 0, survival)
        assert table["total"] == pytest.approx(total, abs=QUADRATURE)
    assert "staying beyond session 4" in found.method


def test_clusters_of_a_hazard_go_with_those_of_its_mediator() -> None:
    plain = mediation(PERIODS, outcome=HazardOutcome(**LEAVING), **HAZARD)
    robust = mediation(PERIODS, outcome=HazardOutcome(**LEAVING), cluster="therapist", **HAZARD)
    assert robust.tidy()["estimate"].iloc[0] == pytest.approx(plain.tidy()["estimate"].iloc[0])
    assert (robust.paths["df"] < 12).all()
    y = discrete_hazard(
        "x + m + z", PERIODS, session="session", event="event", unit="person", random=None,
        cluster="therapist", vcov="CR2", known_before=["x", "z"],
    )  # fmt: skip
    error = y.tidy().set_index("term")["std_error"]
    table = robust.paths.set_index(["from", "to"])["std_error"]
    assert table["m", "event"] == pytest.approx(error["m"], rel=EXACT)


@pytest.mark.parametrize(
    ("match", "change", "asked"),
    [
        ("changes within 'person'", {"m": lambda d: d["m"] + 0.1 * d["session"]}, {}),
        ("not known yet", {"when": 3}, {"times": {"m": "when"}}),
        ("are seen, and not all gone", {}, {"horizon": 20}),
        ("has its own link", {}, {"outcome_family": "logistic"}),
        ("No row is of session 9", {}, {"first_session": 9}),
    ],
)
def test_what_no_hazard_can_tell_is_refused(
    match: str, change: dict[str, object], asked: dict[str, object]
) -> None:
    of_hazard = {k: asked[k] for k in ("horizon", "first_session") if k in asked}
    rest = {k: v for k, v in asked.items() if k not in of_hazard}
    with pytest.raises((DataError, NotIdentifiedError), match=match):
        mediation(
            PERIODS.assign(**change), outcome=HazardOutcome(**LEAVING, **of_hazard),
            **(HAZARD | rest),
        )  # fmt: skip


def test_from_the_session_at_which_the_mediator_is_known() -> None:
    found = mediation(
        PERIODS.assign(when=3), outcome=HazardOutcome(**LEAVING, first_session=3),
        times={"m": "when"}, **HAZARD,
    )  # fmt: skip
    assert found.rows.n_used == (PERIODS["session"] >= 3).sum()
    sessions = HazardOutcome(**LEAVING, first_session=3, measure="sessions")
    assert "sessions from 3 to" in mediation(PERIODS, outcome=sessions, **HAZARD).method


def _levels(J: int = 40, n: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(J), n)
    u = rng.normal(size=(3, J))
    x = u[0][unit] + rng.normal(size=J * n)
    m = 0.5 * x + u[1][unit] + rng.normal(size=J * n)
    y = 0.4 * m + 0.2 * x + u[2][unit] + rng.normal(size=J * n)
    return pd.DataFrame(
        {
            "unit": [f"U {k}" for k in unit],
            "clinic": unit // 4,
            "x": x,
            "m": m,
            "y": y,
            "w": rng.normal(size=J)[unit],
            "sex": np.where(unit % 3 == 0, "f", "m"),
        }
    )


LEVELS = _levels()
NESTED = COMMON | {"treatment": "x", "nested_in": "unit"}


def test_robust_errors_of_levels_are_the_sandwich_of_their_scores() -> None:
    """Scores of each clinic by differences of its own log-likelihood, dense."""
    from alliance_stats.association.mediation.two_levels import fit_two_levels

    Z = LEVELS[["x", "m", "y"]].to_numpy()
    units = np.repeat(np.arange(40), 6)
    model = fit_two_levels(Z, units, np.ones((40, 1)))
    scores = model.deviance.scores(model.theta)
    d, k = 3, 6
    rows, columns = np.tril_indices(d)

    def log_lik(theta: np.ndarray, own: np.ndarray) -> float:
        W, B = np.zeros((d, d)), np.zeros((d, d))
        for S, part in ((W, theta[:k]), (B, theta[k : 2 * k])):
            S[rows, columns] = part
            S[columns, rows] = part
        z = Z[own] / model.scale
        V = np.kron(np.eye(len(z)), W) + np.kron(np.ones((len(z), len(z))), B)
        return float(
            stats.multivariate_normal(np.tile(theta[2 * k :], len(z)), V).logpdf(z.ravel())
        )

    for j in (0, 17):
        own = units == j
        steps = 1e-5 * np.eye(len(model.theta))
        expected = [
            (log_lik(model.theta + h, own) - log_lik(model.theta - h, own)) / 2e-5 for h in steps
        ]
        assert scores[j] == pytest.approx(np.array(expected), abs=1e-6)
    assert np.abs(scores.sum(axis=0)).max() < 1e-2  # flat at the estimates


def test_clusters_of_units_change_errors_and_nothing_else() -> None:
    plain, robust = mediation(LEVELS, **NESTED), mediation(LEVELS, cluster="clinic", **NESTED)
    assert robust.paths["estimate"].to_numpy() == pytest.approx(plain.paths["estimate"].to_numpy())
    assert (robust.paths["df"] == 9).all()
    assert "robust errors over clusters of clinic" in robust.method
    crossed = LEVELS.assign(clinic=np.arange(len(LEVELS)) % 5)
    with pytest.raises(DataError, match="several clusters"):
        mediation(crossed, cluster="clinic", **NESTED)


@pytest.mark.parametrize("slopes", [(), pytest.param(("a", "b"), marks=pytest.mark.slow)])
def test_the_bootstrap_draws_whole_units(slopes: tuple[str, ...]) -> None:
    asked = NESTED | {"random_slopes": slopes, "n_resamples": 4000}  # of the bootstrap a twentieth
    boot = mediation(LEVELS, ci_method="bootstrap", **asked)
    drawn = mediation(LEVELS, **asked)
    assert "bootstrap of whole units (200 draws)" in boot.method
    one, other = (f.tidy().query("level == 'within'").iloc[0] for f in (boot, drawn))
    assert one["estimate"] == pytest.approx(other["estimate"])
    # 200 resamples: a standard error to a tenth of itself, thrice
    assert one["std_error"] == pytest.approx(other["std_error"], rel=0.35)


def test_profiles_of_levels_are_near_the_draws_and_say_what_the_likelihood_says() -> None:
    found = mediation(LEVELS, ci_method="profile", **NESTED)
    drawn = mediation(LEVELS, **NESTED).tidy()
    table = found.tidy()
    size = drawn["std_error"].to_numpy()
    for end in ("conf_low", "conf_high"):
        assert ((table[end] - drawn[end]).abs().to_numpy() < 0.35 * size).all()
    rise = found.rise
    assert rise is not None
    assert rise.of(np.zeros(rise.dimension))[0] == pytest.approx(0.0, abs=1e-6)
    # in its coordinates the likelihood is a sphere, near its top
    z = np.eye(rise.dimension)[3] * 0.01
    assert rise.of(z)[0] == pytest.approx(1e-4, rel=0.05)


def test_random_slopes_turn_with_units_of_measurement_and_shifts() -> None:
    asked = NESTED | {"random_slopes": ("a", "b")}
    plain = mediation(LEVELS, **asked)
    moved = LEVELS.assign(x=LEVELS["x"] * 1e5, m=LEVELS["m"] * 1e-4 + 70.0, y=3e5 * LEVELS["y"])
    other = mediation(moved, **asked)
    for column in ("estimate", "conf_low", "conf_high"):
        assert other.tidy()[column].to_numpy() == pytest.approx(
            plain.tidy()[column].to_numpy() * 3.0, rel=1e-4
        )


def test_a_path_between_units_does_not_touch_the_paths_within() -> None:
    """Levels of units moved by what they have: paths within stay, but for what slopes borrow."""
    means = LEVELS.groupby("unit")["m"].transform("mean")
    moved = LEVELS.assign(y=LEVELS["y"] + 3.0 * means)
    one, other = (
        mediation(d, random_slopes=("a", "b"), **NESTED).paths.iloc[:2] for d in (LEVELS, moved)
    )
    off = (one["estimate"] - other["estimate"]).abs() / one["std_error"]
    assert (off < 0.15).all()  # of a standard error; a conflated b would move by thirty


def test_moderators_and_covariates_in_units() -> None:
    found = mediation(
        LEVELS, moderator="w", moderates=("a", "b"), covariates="sex", at=[0.0, 1.0], **NESTED
    )
    paths = found.paths.set_index(["from", "to"])["estimate"]
    table = found.tidy().set_index(["term", "at"])["estimate"]
    expected = (paths["x", "m"] + paths["x x w", "m"]) * (paths["m", "y"] + paths["m x w", "y"])
    assert table["indirect through m", 1.0] == pytest.approx(expected, rel=EXACT)
    again = found.conditional([1.0]).set_index("term")
    assert again.loc["indirect through m", "estimate"] == pytest.approx(expected, rel=EXACT)
    with pytest.raises(DataError, match="varies within 'unit'"):
        mediation(LEVELS.assign(w=np.arange(len(LEVELS)) % 7), moderator="w", **NESTED)
    still = LEVELS.assign(x=LEVELS.groupby("unit")["x"].transform("mean"))
    with pytest.raises(NotIdentifiedError, match="a 2-1-1 design has not"):
        mediation(still, random_slopes="a", **NESTED)
    with pytest.raises(NotIdentifiedError, match=r"moderates=\('a', 'c'\)"):
        mediation(still, moderator="w", **NESTED)
    with pytest.raises(NotIdentifiedError, match="asked|with moderator"):
        mediation(LEVELS, **NESTED).conditional([1.0])


def test_sensitivity_recovers_the_effect_of_errors_that_go_together() -> None:
    """Simulated with a correlation of errors of 0.4 (Imai, Keele & Yamamoto 2010)."""
    rng = np.random.default_rng(2)
    n = 40_000
    x = (np.arange(n) % 2).astype(float)
    e = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], n)
    m = 0.5 * x + e[:, 0]
    y = 0.3 * m + 0.2 * x + e[:, 1]
    data = pd.DataFrame({"x": x, "m": m, "y": y})
    found = mediation(data, treatment="x", mediator="m", outcome="y", seed=1, n_resamples=1000)
    table = found.sensitivity(correlations=[0.4])
    assert table["estimate"].iloc[0] == pytest.approx(0.5 * 0.3, abs=0.015)  # 3 standard errors
    assert found.tidy()["estimate"].iloc[0] > 0.3


def test_e_values_have_their_closed_form() -> None:
    found = mediation(
        ARMS[ARMS["arm"] != "group"], treatment="arm", outcome_family="logistic", scale="ratio",
        **(COMMON | {"outcome": "yes"}),
    )  # fmt: skip
    table, values = found.tidy().iloc[:3], found.e_value()
    for ratio, value in zip(table["estimate"], values["estimate"], strict=True):
        above = max(ratio, 1.0 / ratio)
        assert value == pytest.approx(above + np.sqrt(above * (above - 1.0)), rel=EXACT)
    assert list(values.columns) == ["term", "estimate", "limit"]


def test_several_mediators_of_units_share_their_error() -> None:
    """2-2-1 with two mediators: the errors of both paths to them go together."""
    rng = np.random.default_rng(7)
    J, n = 60, 4
    x, e = rng.normal(size=J), rng.normal(size=J)
    unit = np.repeat(np.arange(J), n)
    m1, m2 = 0.4 * x + e, 0.4 * x + 0.8 * e + 0.6 * rng.normal(size=J)
    y = (0.5 * m1 + 0.5 * m2)[unit] + rng.normal(size=J)[unit] + rng.normal(size=J * n)
    data = pd.DataFrame({"unit": unit, "x": x[unit], "m1": m1[unit], "m2": m2[unit], "y": y})
    found = mediation(
        data, treatment="x", mediator=["m1", "m2"], outcome="y", nested_in="unit", seed=1
    )
    assert found.products is not None
    V, table = found.products.paths.covariance, found.paths.reset_index()
    i, j = (int(table.index[table["to"] == name][0]) for name in ("m1", "m2"))
    X = np.column_stack([np.ones(J), x])
    left = [m - X @ np.linalg.lstsq(X, m, rcond=None)[0] for m in (m1, m2)]
    bread = np.linalg.inv(X.T @ X)[1, 1]
    assert V[i, j] == pytest.approx(left[0] @ left[1] / (J - 2) * bread, rel=EXACT)


@pytest.mark.parametrize(
    "options",
    [{"ci_method": "profile"}, {"random_slopes": ("a", "b")}, {"moderator": "w"}],
)
def test_results_in_units_are_saved_and_loaded(options: dict[str, object]) -> None:
    found = mediation(LEVELS, **(NESTED | {"n_resamples": 200} | options))
    loaded = from_dict(to_dict(found))
    if found.rise is not None:
        z = 0.3 * np.ones(found.rise.dimension)
        assert loaded.rise.of(z)[0] == pytest.approx(found.rise.of(z)[0], rel=1e-9)
        return
    pd.testing.assert_frame_equal(loaded.tidy(), found.tidy(), rtol=1e-9)
    if "moderator" in options:
        pd.testing.assert_frame_equal(loaded.conditional([0.5]), found.conditional([0.5]))


def test_mediators_of_units_in_very_different_units_of_measurement() -> None:
    rng = np.random.default_rng(7)
    unit = np.repeat(np.arange(30), 4)
    x = rng.normal(size=30)
    m = 0.4 * x + rng.normal(size=30)
    y = (0.5 * m)[unit] + rng.normal(size=30)[unit] + rng.normal(size=120)
    data = pd.DataFrame({"unit": unit, "x": x[unit], "m": m[unit], "y": y})
    moved = data.assign(x=data["x"] * 1e6, m=data["m"] * 1e-5)
    one, other = (
        mediation(d, treatment="x", mediator="m", outcome="y", nested_in="unit", seed=1).tidy()
        for d in (data, moved)
    )
    assert other["conf_high"].to_numpy() * 1e6 == pytest.approx(
        one["conf_high"].to_numpy(), rel=1e-4
    )


def test_few_clusters_of_units_are_said() -> None:
    found = mediation(LEVELS, cluster="clinic", **NESTED)
    assert any("10 clusters of clinic" in note for note in found.notes)


def test_a_linear_equation_of_a_yes_or_no_is_said_with_natural_effects_too() -> None:
    yes = PERIODS.assign(m=(PERIODS["m"] > 0).astype(int))
    found = mediation(yes, outcome=HazardOutcome(**LEAVING), **HAZARD)
    assert any("mediator_family='logistic'" in note for note in found.notes)
    logistic = mediation(
        yes, outcome=HazardOutcome(**LEAVING), mediator_family="logistic", **HAZARD
    )
    assert not logistic.notes


def test_one_session_is_attended_whatever_happens() -> None:
    with pytest.raises(NotIdentifiedError, match="everyone attends session 1"):
        mediation(
            PERIODS, outcome=HazardOutcome(**LEAVING, horizon=1, measure="sessions"), **HAZARD
        )


def test_draws_that_are_all_no_effect_tell_nothing() -> None:
    from alliance_stats.association.mediation.mediation_result import _judged

    effects = pd.DataFrame({"estimate": [0.0], "null": [0.0]})
    assert _judged(effects, np.zeros((50, 1)), 0.95)["p_value"].iloc[0] == 1.0
