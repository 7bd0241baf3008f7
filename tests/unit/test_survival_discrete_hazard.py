"""Discrete-time hazards: what is refused, what is said, what is set aside."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.account import as_sentences
from alliance_stats.datasets import example_study
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import profile, residual_checks
from alliance_stats.simulate import EndingTruth, simulate_study
from alliance_stats.survival import competing_hazards, discrete_hazard, endings
from alliance_stats.transforms import person_period

COLUMNS = {"session": "session", "event": "event", "unit": "family"}


@pytest.fixture(scope="module")
def periods() -> pd.DataFrame:
    return endings(example_study()).periods(("alliance",))


@pytest.fixture(scope="module")
def several() -> pd.DataFrame:
    return person_period(
        example_study().sessions,
        unit="family",
        session="session",
        ending="ending",
        scores=("alliance",),
    )


def four_families() -> pd.DataFrame:
    """F1 leaves after session 2, F2 after 3, F3 goes on, F4 ends otherwise after 3."""
    rows = [("F1", 1, 0), ("F1", 2, 1), ("F2", 1, 0), ("F2", 2, 0), ("F2", 3, 1)]
    rows += [
        ("F3", 1, 0),
        ("F3", 2, 0),
        ("F3", 3, np.nan),
        ("F4", 1, 0),
        ("F4", 2, 0),
        ("F4", 3, 0),
    ]
    return pd.DataFrame(rows, columns=["family", "session", "event"])


def test_hazards_by_hand_and_the_ledger_names_sessions_without_events() -> None:
    fit = discrete_hazard("1", four_families(), **COLUMNS, random=None)
    curve = fit.curve()
    assert curve["n_risk"].tolist() == [4, 4, 2]
    assert_allclose(curve["hazard"], [0.0, 1 / 4, 1 / 2])
    assert_allclose(curve["survival"], [1.0, 3 / 4, 3 / 8])
    assert np.isnan(curve.loc[0, "hazard_low"])
    reasons = [step.reason for step in fit.rows.steps]
    assert "whether the unit came back is not known yet" in reasons
    assert "after session 1 no one left: hazard 0" in reasons
    assert fit.rows.steps[1].rows_set_aside == 1
    assert fit.rows.steps[2].rows_set_aside == 4
    assert len(fit.hazard_ratios()) == 0


def test_a_session_after_which_everyone_left_has_hazard_one() -> None:
    data = four_families()
    data.loc[data["session"] == 3, "event"] = [1.0, np.nan, 1.0]
    fit = discrete_hazard("1", data, **COLUMNS, random=None)
    assert fit.curve()["hazard"].tolist() == [0.0, 0.25, 1.0]
    assert fit.curve()["survival"].iloc[-1] == 0.0
    assert "after session 3 everyone left: hazard 1" in str(fit.rows)
    assert fit.n_event == 1


def test_the_callers_frame_is_not_changed(periods: pd.DataFrame) -> None:
    before = periods.copy(deep=True)
    discrete_hazard("alliance", periods, **COLUMNS, random=None)
    pd.testing.assert_frame_equal(periods, before)


@pytest.mark.parametrize("random", ["(1 | family)", "(1 | therapist/family)"])
def test_a_variance_of_families_that_end_once_is_refused(
    periods: pd.DataFrame, random: str
) -> None:
    with pytest.raises(NotIdentifiedError, match="family' ends once: a variance between"):
        discrete_hazard("alliance", periods, **COLUMNS, random=random)


def test_member_rows_that_share_an_ending_are_refused(periods: pd.DataFrame) -> None:
    members = pd.concat(
        [periods.assign(person=periods["family"] + role) for role in ("-mother", "-child")],
        ignore_index=True,
    )
    with pytest.raises(DataError, match="copies of one event.*with unit='family'"):
        discrete_hazard(
            "alliance",
            members,
            session="session",
            event="event",
            unit="person",
            random="(1 | family)",
        )
    with pytest.raises(DataError, match="has several rows of one 'session'"):
        discrete_hazard("alliance", members, **COLUMNS)


def test_members_who_leave_one_by_one_may_have_a_family_variance() -> None:
    rng = np.random.default_rng(3)
    rows = [
        (f"F{i // 3}", f"P{i}", t, float(t == last))
        for i, last in enumerate(rng.integers(1, 7, 300))
        for t in range(1, last + 1)
    ]
    data = pd.DataFrame(rows, columns=["family", "person", "session", "event"])
    fit = discrete_hazard(
        "1", data, session="session", event="event", unit="person", random="(1 | family)"
    )
    assert fit.glance()["n_units"].item() == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign(event=d["event"].replace(1.0, 2.0)), "must be 1 .*; see rows 1, 4"),
        (lambda d: d.assign(session=d["session"] + 0.5), "must hold whole session numbers"),
        (lambda d: d.drop(index=3), "'F2' .* has a gap in 'session': rows 2, 4"),
        (lambda d: d.assign(event=[1.0, *d["event"][1:]]), "'F1' .* goes on after its ending"),
        (lambda d: d.assign(event=[np.nan, *d["event"][1:]]), "'F1' .* has rows after one whose"),
        (lambda d: d.drop(columns="session"), "has no column 'session'"),
        (lambda d: d.assign(family=d["family"].where(d.index > 0)), "'family' is missing in row 0"),
    ],
)
def test_impossible_courses_are_refused(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        discrete_hazard("1", change(four_families()), **COLUMNS, random=None)


def test_no_events_are_refused_with_the_counts() -> None:
    with pytest.raises(NotIdentifiedError, match="None of 10 rows ends with the event"):
        discrete_hazard(
            "1", four_families().assign(event=lambda d: d["event"] * 0), **COLUMNS, random=None
        )


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("alliance + (1 | therapist)", FormulaError, "Random terms have an argument of their own"),
        ("event ~ alliance", FormulaError, "has a left-hand side"),
        ("event", DataError, "says when or how the unit ended"),
        ("aliance", FormulaError, "aliance"),
    ],
)
def test_formulas_are_refused(
    periods: pd.DataFrame, formula: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        discrete_hazard(formula, periods, **COLUMNS)


@pytest.mark.parametrize("random", [None, "(1 | therapist)"])
def test_separation_is_named(periods: pd.DataFrame, random: str | None) -> None:
    left = periods.groupby("family")["event"].transform("max") == 1
    data = periods.assign(setting=np.where(left, "clinic", "home"))
    with pytest.raises(NotIdentifiedError, match="setting = home .no event in"):
        discrete_hazard("setting", data, **COLUMNS, random=random)


def test_means_over_the_whole_course_are_refused(periods: pd.DataFrame) -> None:
    mean = periods.groupby("family")["alliance"].transform("mean")
    with pytest.raises(DataError, match="knows when the course ended"):
        discrete_hazard("level", periods.assign(level=mean), **COLUMNS)
    with pytest.raises(DataError, match="deviation from a mean over the whole course"):
        discrete_hazard("off", periods.assign(off=periods["alliance"] - mean), **COLUMNS)
    coded = periods.assign(code=periods["event"], level=mean)
    with pytest.raises(DataError, match="knows when the course ended"):
        competing_hazards(
            "level",
            coded.assign(code=coded["code"].where(coded["session"] % 2 == 1, coded["code"] * 2)),
            **COLUMNS | {"event": "code"},
        )


def test_curves_need_their_covariates(periods: pd.DataFrame) -> None:
    fit = discrete_hazard("alliance", periods, **COLUMNS)
    with pytest.raises(DataError, match="give newdata="):
        fit.curve()
    with pytest.raises(DataError, match="must have one row, or one for each session"):
        fit.curve(pd.DataFrame({"session": [1, 2], "alliance": [4.0, 5.0]}))
    falling = pd.DataFrame({"session": range(1, 21), "alliance": np.linspace(5, 3, 20)})
    level = fit.curve(pd.DataFrame({"alliance": [5.0]}))
    fallen = fit.curve(falling.sample(frac=1.0, random_state=1))
    assert_allclose(level["hazard"].iloc[0], fallen["hazard"].iloc[0])
    assert fallen["survival"].iloc[-1] < level["survival"].iloc[-1]


def test_a_smooth_baseline_cannot_have_more_columns_than_sessions() -> None:
    with pytest.raises(
        ValueError, match="baseline_df=3 columns beside the constant need more than 3"
    ):
        discrete_hazard("1", four_families(), **COLUMNS, random=None, baseline="spline")


def test_summary_says_what_the_median_ratio_is(periods: pd.DataFrame) -> None:
    fit = discrete_hazard("alliance + parent_trauma", periods, **COLUMNS)
    text = fit.summary()
    assert text.startswith("Discrete-time hazard of 'event'")
    said = as_sentences(fit.account())
    assert "alliance: hazard ratio = 0.61" in said
    assert "median hazard ratio 1.46, 95% CI [1.00, 2.10]" in said
    assert "(per session; Laplace)" in text
    assert "3 set aside: 'alliance' is missing" in text
    with pytest.raises(ValueError, match="no random effects"):
        discrete_hazard("alliance", periods, **COLUMNS, random=None).median_ratios()


def test_a_variance_of_zero_opens_the_summary() -> None:
    alike = simulate_study(endings=EndingTruth(sd_therapist=0.0), seed=2025).study
    fit = discrete_hazard("alliance", endings(alike).periods(("alliance",)), **COLUMNS)
    text = fit.summary()
    assert text.startswith("A variance of random effects is at zero (boundary fit).")
    assert "median hazard ratio 1.00, 95% CI [1.00, " in as_sentences(fit.account())


def test_quadrature_is_as_glmm_takes_it(periods: pd.DataFrame) -> None:
    fit = discrete_hazard("alliance", periods, **COLUMNS, nodes=7)
    assert fit.nodes == 7
    assert "(per session; quadrature with 7 nodes)" in fit.summary()
    with pytest.raises(ValueError, match="random=None leaves none"):
        discrete_hazard("alliance", periods, **COLUMNS, random=None, nodes=7)
    with pytest.raises(ValueError, match="Two effects need nodes=9 or more"):
        discrete_hazard("alliance", periods, **COLUMNS, random="(1 + session | therapist)", nodes=7)
    enough = discrete_hazard("alliance", periods, **COLUMNS, nodes="enough")
    assert enough.nodes > 1
    with pytest.raises(ValueError, match="nodes must be a whole number from 1 to 100"):
        discrete_hazard("alliance", periods, **COLUMNS, nodes=0)


def test_competing_hazards_sum_to_at_most_one_and_relabelled_endings_permute(
    several: pd.DataFrame,
) -> None:
    columns = {"session": "session", "event": "ending_code", "unit": "family"}
    fit = competing_hazards("alliance + parent_trauma", several, **columns, cluster="therapist")
    worst = pd.DataFrame({"alliance": [1.0], "parent_trauma": [1]})
    curve = fit.curve(worst)
    assert curve.groupby("time")["hazard"].sum().max() <= 1 + 1e-12
    assert curve.groupby("time")["estimate"].sum().is_monotonic_increasing
    swapped = several.assign(
        ending_code=several["ending_code"].map({0.0: 0.0, 1.0: 3.0, 2.0: 1.0, 3.0: 2.0})
    )
    other = competing_hazards("alliance + parent_trauma", swapped, **columns, cluster="therapist")
    mine = fit.tidy().set_index(["state", "term"])[["estimate", "std_error"]]
    theirs = other.tidy().replace({"state": {"3": "1", "1": "2", "2": "3"}})
    theirs = theirs.set_index(["state", "term"])[["estimate", "std_error"]]
    assert_allclose(mine, theirs.loc[mine.index], rtol=1e-7, atol=1e-9)
    assert "standard errors over 30 clusters" in fit.summary()


def test_two_endings_with_one_impossible_are_a_logit_hazard() -> None:
    """With the rare ending only where the other cannot come, the likelihood factors."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(400):
        x = rng.normal()
        for t in (1, 2):
            p = 1 / (1 + np.exp(1.5 - 0.6 * x))
            came = rng.random() < p
            rows.append((f"F{i}", t, x, float(t) if came else 0.0))
            if came:
                break
    data = pd.DataFrame(rows, columns=["family", "session", "x", "code"])
    both = competing_hazards("x", data, session="session", event="code", unit="family")
    binary = data.assign(event=(data["code"] == 1).astype(float)).query("session == 1")
    one = discrete_hazard("x", binary, **COLUMNS, random=None, link="logit")
    found = both.odds_ratios().set_index("state").loc["1"]
    assert_allclose(found["estimate"], one.odds_ratios()["estimate"].item(), rtol=1e-9)


def test_competing_hazards_refuse_what_they_cannot_tell(several: pd.DataFrame) -> None:
    columns = {"session": "session", "event": "ending_code", "unit": "family"}
    with pytest.raises(DataError, match="is never 'none'"):
        competing_hazards("1", several, **columns, censored="none")
    one = several.assign(ending_code=several["ending_code"].replace({2.0: 0.0, 3.0: 0.0}))
    with pytest.raises(NotIdentifiedError, match="holds 1 ending: competing hazards need two"):
        competing_hazards("1", one, **columns)
    known = several["ending_code"].groupby(several["family"]).transform("max")
    leaky = several.assign(kind=np.where(known == 1, "a", "b"))
    with pytest.raises(NotIdentifiedError, match="Separation: .*kind"):
        competing_hazards("kind", leaky, **columns, baseline="polynomial", baseline_df=2)


def test_the_ledger_says_how_many_endings_missing_values_cost(several: pd.DataFrame) -> None:
    came = several["ending_code"] > 0
    dropped = several["event"] == 1
    other = several.index[~came & several["event"].notna()]
    holes = several.assign(x=np.arange(len(several)) % 7.0)
    holes.loc[[*several.index[dropped][:3], *several.index[came & ~dropped][:2]], "x"] = np.nan
    holes.loc[other[:4], "x"] = np.nan
    one = discrete_hazard("x", holes, **COLUMNS, random=None)
    assert "9 set aside: 'x' is missing, 3 of them with the event" in str(one.rows)
    both = competing_hazards("x", holes, **COLUMNS | {"event": "ending_code"}, baseline="spline")
    assert "9 set aside: 'x' is missing, 5 of them with an ending" in str(both.rows)
    none = several.assign(x=np.arange(len(several)) % 7.0)
    none.loc[other[:4], "x"] = np.nan
    assert "4 set aside: 'x' is missing." in str(
        discrete_hazard("x", none, **COLUMNS, random=None, baseline="spline").rows
    )


def test_a_covariate_that_others_determine_has_a_row_without_an_estimate(
    several: pd.DataFrame,
) -> None:
    twice = several.assign(x=np.arange(len(several)) % 7.0, y=lambda d: 14.0 - 2.0 * d["x"])
    options = COLUMNS | {"event": "ending_code"}
    model = competing_hazards("x + y", twice, **options, baseline="spline")
    alone = competing_hazards("x", twice, **options, baseline="spline")
    found = model.odds_ratios()
    assert found["term"].tolist() == ["x", "y"] * len(model.states)
    assert found.loc[found["term"] == "y", "estimate"].isna().all()
    assert_allclose(found.loc[found["term"] == "x", "estimate"], alone.odds_ratios()["estimate"])
    tidy = model.tidy().dropna(subset="estimate")
    assert tidy["term"].tolist() == alone.tidy()["term"].tolist()
    assert_allclose(tidy["std_error"], alone.tidy()["std_error"])
    assert "odds ratio NaN" not in model.summary()


def test_endings_as_words_and_numbers_are_refused(several: pd.DataFrame) -> None:
    mixed = several.assign(
        ending_code=several["ending_code"].astype(object).replace(2.0, "planned")
    )
    with pytest.raises(DataError, match="holds both words and numbers .*'planned'.*: write each"):
        competing_hazards("1", mixed, **COLUMNS | {"event": "ending_code"})


@pytest.mark.parametrize(("link", "asked", "other"), [
    ("logit", "hazard_ratios", "odds ratios"), ("cloglog", "odds_ratios", "hazard ratios"),
])  # fmt: skip
def test_ratios_are_called_what_they_are(link: str, asked: str, other: str) -> None:
    data = pd.DataFrame(
        {
            "family": [f"F{i}" for i in range(8)],
            "session": 1,
            "x": [0, 1] * 4,
            "event": [0, 1, 1, 0] * 2,
        }
    )
    fit = discrete_hazard("x", data, **COLUMNS, random=None, link=link)
    with pytest.raises(ValueError, match=f"exponentiated coefficients are {other}"):
        getattr(fit, asked)()


@pytest.mark.parametrize("random", ["therapist", "1 + therapist", "x + (1 | therapist)"])
def test_a_random_term_is_written_as_one(random: str) -> None:
    data = pd.DataFrame(
        {
            "u": list("aabbcc"),
            "s": [1, 2] * 3,
            "left": [0, 1, 0, 0, 0, 1],
            "therapist": list("xxyyzz"),
        }
    )
    with pytest.raises(FormulaError, match="is no random term"):
        discrete_hazard("1", data, session="s", event="left", unit="u", random=random)


def test_a_model_without_random_effects_answers_or_says_why(periods):
    model = discrete_hazard("alliance", periods, **COLUMNS, random=None).fit
    assert model.random_effects().empty
    assert model.tidy(effects="ran_pars").empty
    assert model.method.startswith("generalized linear model (")
    assert residual_checks(model, n_resamples=20, seed=1).tidy()["p_value"].between(0, 1).all()
    for ask in (
        lambda: profile(model),
        lambda: model.anova(test="likelihood-ratio"),
        lambda: model.tidy(ci_method="profile"),
    ):
        with pytest.raises(NotIdentifiedError, match="has no random effects, and profiles"):
            ask()
