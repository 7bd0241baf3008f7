import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.account import as_sentences
from alliance_stats.errors import (
    AllianceStatsWarning,
    DataError,
    FormulaError,
    NotIdentifiedError,
)
from alliance_stats.survival import (
    concordance,
    cox_ph,
    fine_gray,
    gray_test,
    proportional_hazards_test,
    schoenfeld_residuals,
)

FOUR = pd.DataFrame(
    {"time": [1, 2, 3, 4], "left": [1, 1, 1, 0], "x": [1.0, 0.0, 1.0, 0.0]}, index=[10, 11, 12, 13]
)
COLUMNS = {"time": "time", "event": "left"}
SPELLS = {"start": "start", "stop": "stop", "event": "left"}

rng = np.random.default_rng(5)
PERSONS = pd.DataFrame(
    {
        "time": rng.integers(1, 12, 80),
        "left": rng.integers(0, 2, 80),
        "alliance": rng.normal(5, 1, 80),
        "role": rng.choice(["mother", "father", "child"], 80),
        "therapist": np.arange(80) % 8,
        "site": np.arange(80) % 2,
    }
)
ROWS = pd.DataFrame(
    {
        "person": ["a", "a", "b", "b", "c", "c", "d"],
        "start": [0, 1, 0, 1, 0, 1, 0],
        "stop": [1, 2, 1, 3, 1, 4, 3],
        "left": [0, 1, 0, 1, 0, 0, 1],
        "alliance": [5.0, 4.0, 3.0, 5.0, 4.0, 6.0, 5.0],
    }
)


def test_four_rows_by_hand() -> None:
    fit = cox_ph("x", FOUR, **COLUMNS)
    # with w = exp(b): L = w / (2w + 2) * 1 / (w + 2) * w / (w + 1)
    w = float(np.exp(fit.beta[0]))
    score = 2 - 2 * w / (2 * w + 2) - w / (w + 2) - w / (w + 1)
    assert_allclose(score, 0.0, atol=1e-12)
    info = 1 / (2 * w + 2) * w * 2 / (2 * w + 2) * 2 + 2 * w / (w + 2) ** 2 + w / (w + 1) ** 2
    assert_allclose(fit.tidy()["std_error"], 1 / np.sqrt(info))
    assert_allclose(fit.glance().loc[0, "log_lik_null"], -np.log(4 * 3 * 2))
    assert_allclose(fit.hazard_ratios()["estimate"], w)


def test_tidy_glance_and_summary_speak_the_house_language() -> None:
    fit = cox_ph("alliance + role", PERSONS, **COLUMNS, cluster="therapist", strata="site")
    assert list(fit.tidy().columns) == [
        "effect",
        "term",
        "estimate",
        "std_error",
        "statistic",
        "df",
        "p_value",
        "conf_low",
        "conf_high",
    ]
    assert fit.tidy()["term"].tolist() == ["alliance", "role[T.father]", "role[T.mother]"]
    assert fit.glance().loc[0, "n_clusters"] == 8
    lines = fit.summary().splitlines()
    assert lines[0].startswith("Standard errors over 8 clusters: below about 40")
    assert lines[2].startswith("Cox model with Efron's method for ties, stratified by site")
    assert lines[-1] == ("80 rows came in (therapist: 8). 80 used (therapist: 8).")
    assert fit.vcov().shape == (3, 3)
    low, high = (fit.tidy(conf_level=level)["conf_high"] for level in (0.8, 0.95))
    assert (low < high).all()


def test_the_callers_frame_is_not_changed_and_missing_rows_are_counted() -> None:
    holed = PERSONS.assign(role=PERSONS["role"].where(PERSONS.index != 3))
    before = holed.copy()
    fit = cox_ph("alliance + role", holed, **COLUMNS)
    pd.testing.assert_frame_equal(holed, before)
    assert "1 set aside: 'role' is missing, 1 of them with the event." in str(fit.rows)
    assert len(fit.augment()) == 79
    assert 3 not in fit.dfbeta().index


def test_few_events_and_strata_without_events_are_warned_of() -> None:
    data = PERSONS.assign(left=np.where(PERSONS["site"] == 1, 0, PERSONS["left"]))
    text = cox_ph("alliance + role + therapist", data, **COLUMNS, strata="site").summary()
    assert "Nobody had the event in 1 stratum (1)" in text
    assert "events per covariate" in text


def test_prediction_needs_the_columns_and_known_strata() -> None:
    fit = cox_ph("alliance + role", PERSONS, **COLUMNS, strata="site")
    lone = PERSONS.iloc[[0]]
    assert_allclose(fit.predict(lone, scale="ratio"), np.exp(fit.predict(lone)), rtol=1e-15)
    assert fit.predict(lone.assign(alliance=np.nan))["estimate"].isna().all()
    survival = fit.survival(lone, times=[0, 5])
    assert survival["estimate"].iloc[0] == 1.0
    with pytest.raises(DataError, match="newdata has no column 'role'"):
        fit.predict(lone.drop(columns="role"))
    with pytest.raises(DataError, match="newdata has no column 'site'"):
        fit.survival(lone.drop(columns="site"))
    with pytest.raises(DataError, match="newdata holds the stratum '7'"):
        fit.survival(lone.assign(site=7))
    with pytest.raises(ValueError, match="scale must be one of"):
        fit.predict(lone, scale="lp")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ alliance", "has a left-hand side"),
        ("alliance + (1 | therapist)", "has a bar"),
        (
            "allliance",
            "uses 'allliance', but the data have no such column. Did you mean 'alliance'",
        ),
        ("alliance + (", "Cannot read the formula"),
        ("1", "names no covariate"),
        ("alliance.foo", "uses 'alliance.foo'"),
        ("lag(alliance)", "takes the row before, whoever's it is"),
        ("alliance + strata(site)", "give strata='column' as an argument of its own"),
        ("alliance + cluster(therapist)", "give cluster='column' as an argument of its own"),
    ],
)
def test_formulas_are_refused(formula: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        cox_ph(formula, PERSONS, **COLUMNS)


def test_what_cannot_be_estimated_is_named() -> None:
    with pytest.raises(NotIdentifiedError, match="None of 80 rows has the event"):
        cox_ph("alliance", PERSONS.assign(left=0), **COLUMNS)
    with pytest.raises(NotIdentifiedError, match="'constant' does not vary"):
        cox_ph("constant", PERSONS.assign(constant=3), **COLUMNS)
    with pytest.raises(NotIdentifiedError, match="'site' does not vary within strata"):
        cox_ph("site", PERSONS, **COLUMNS, strata="site")
    with pytest.raises(NotIdentifiedError, match="'twice' is a combination of those before it"):
        cox_ph("alliance + twice", PERSONS.assign(twice=PERSONS["alliance"] * 2), **COLUMNS)
    with pytest.raises(DataError, match=r"'np.log\(site\)' is not a finite number in rows"):
        cox_ph("np.log(site)", PERSONS, **COLUMNS)


def test_a_group_without_events_is_refused_not_estimated() -> None:
    data = PERSONS.assign(left=np.where(PERSONS["role"] == "father", 0, PERSONS["left"]))
    with pytest.raises(NotIdentifiedError, match=r"'role\[T.father\]' is at its higher value has"):
        cox_ph("alliance + role", data, **COLUMNS)
    reference_empty = PERSONS.assign(left=np.where(PERSONS["role"] == "child", 0, PERSONS["left"]))
    with pytest.raises(NotIdentifiedError, match=r"father\]', 'role\[T.mother\]' separates"):
        cox_ph("alliance + role", reference_empty, **COLUMNS)
    with pytest.raises(NotIdentifiedError, match="separates those who had the event"):
        cox_ph("alliance + role", data, **COLUMNS, strata="site")


def test_separation_by_a_continuous_covariate_is_refused() -> None:
    data = PERSONS.assign(alliance=-PERSONS["time"] - 0.5 * (PERSONS["left"] == 0))
    with pytest.raises(NotIdentifiedError, match="'alliance' separates those who had the event"):
        cox_ph("alliance", data, **COLUMNS)


def test_a_covariate_that_no_risk_set_tells_apart_is_refused() -> None:
    # the period differs between early and late rows, never among those at risk together
    early = pd.DataFrame({"start": [0, 0, 0], "stop": [1, 1, 1], "left": [1, 0, 0], "period": 1.0})
    late = early.assign(start=1, stop=2, period=2.0)
    with pytest.raises(NotIdentifiedError, match="'period' did not vary among those at risk"):
        cox_ph("period", pd.concat([early, late]), **SPELLS)


def test_clocks_and_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="Give either time="):
        cox_ph("alliance", ROWS, event="left")
    with pytest.raises(ValueError, match="Give either time="):
        cox_ph("alliance", ROWS, time="stop", start="start", event="left")
    with pytest.raises(DataError, match=r"'stop' does not come after 'start' in row 1"):
        cox_ph("alliance", ROWS.assign(start=[0, 2, 0, 1, 0, 1, 0]), **SPELLS)
    with pytest.raises(DataError, match=r"Rows of 'a' \(column 'person'\) overlap .* rows 0, 1"):
        cox_ph("alliance", ROWS.assign(start=[0, 0, 0, 1, 0, 1, 0]), **SPELLS, person="person")
    with pytest.raises(DataError, match="holds one value"):
        cox_ph("alliance", ROWS.assign(t=1), **SPELLS, cluster="t")
    with pytest.raises(ValueError, match="cannot go together"):
        cox_ph("alliance", ROWS, **SPELLS, cluster="person", frailty="person")
    with pytest.raises(ValueError, match="ties must be one of"):
        cox_ph("alliance", ROWS, **SPELLS, ties="exact")


def test_means_over_the_whole_course_are_refused() -> None:
    mean = ROWS.groupby("person")["alliance"].transform("mean")
    leaky = ROWS.assign(level=mean, deviation=ROWS["alliance"] - mean)
    with pytest.raises(DataError, match="'level' is, or comes from, a mean over all rows"):
        cox_ph("level", leaky, **SPELLS, person="person")
    # the deviation alone, under a name that says nothing
    with pytest.raises(DataError, match="'z' sums to zero over the rows of each 'person'"):
        cox_ph("z", leaky[[*ROWS.columns]].assign(z=leaky["deviation"]), **SPELLS, person="person")
    # what was known at the time passes
    first = ROWS.groupby("person")["alliance"].transform("first")
    known = ROWS.assign(first=first + 0.01 * np.arange(7) * 0, change=ROWS["alliance"] - first)
    assert cox_ph("first", known, **SPELLS, person="person").glance().loc[0, "converged"]


def test_frailty_speaks() -> None:
    fit = cox_ph("alliance", PERSONS, **COLUMNS, frailty="therapist")
    spread = fit.tidy(effects="ran_pars")
    assert spread["term"].tolist() == ["var__frailty", "median_hazard_ratio"]
    assert len(fit.tidy(effects="ran_vals")) == 8
    assert "gamma frailty over 8 groups of therapist" in fit.summary()
    assert fit.glance().loc[0, "n_clusters"] is None
    with pytest.raises(ValueError, match="needs a model with frailty="):
        cox_ph("alliance", PERSONS, **COLUMNS).tidy(effects="ran_pars")
    with pytest.raises(ValueError, match="effects must be one of"):
        fit.tidy(effects="random")
    for refused in (
        fit.dfbeta,
        lambda: fit.survival(PERSONS),
        lambda: proportional_hazards_test(fit),
    ):
        with pytest.raises(ValueError, match=r"[Ff]it with cluster="):
            refused()
    with pytest.raises(ValueError, match=r"[Ff]it with cluster="):
        schoenfeld_residuals(fit)


def test_no_spread_is_reported_as_a_boundary() -> None:
    # every therapist has the same rows: nothing is left for a frailty
    same = pd.concat([PERSONS.iloc[:10].assign(therapist=k) for k in range(6)])
    for distribution in ("gamma", "lognormal"):
        fit = cox_ph(
            "alliance", same, **COLUMNS, frailty="therapist", frailty_distribution=distribution
        )
        assert fit.frailty is not None
        assert fit.frailty.variance == 0.0
        assert "at its lower bound: no spread was found" in fit.summary()
        plain = cox_ph("alliance", same, **COLUMNS)
        assert_allclose(fit.beta, plain.beta)
        spread = fit.tidy(effects="ran_pars")
        assert spread.loc[0, "conf_low"] == 0.0
        assert spread.loc[0, "conf_high"] > 0.0


def test_concordance_by_hand() -> None:
    # times 1, 2, 3 with events; score by x: pairs (1,2) right, (1,3) tied, (1,4) right,
    # (2,3) wrong, (2,4) tied, (3,4) right
    found = concordance(cox_ph("x", FOUR, **COLUMNS))
    assert (found.concordant, found.discordant, found.tied) == (3, 1, 2)
    assert_allclose(found.estimate, 4 / 6)
    assert "Concordance: C = .67, 95% CI [" in as_sentences(found.account())
    assert found.glance().loc[0, "nobs"] == 4
    assert list(found.tidy().columns) == ["term", "estimate", "std_error", "conf_low", "conf_high"]


def test_ph_test_speaks() -> None:
    test = proportional_hazards_test(cox_ph("alliance + role", PERSONS, **COLUMNS))
    assert test.tidy()["term"].tolist() == ["alliance", "role", "GLOBAL"]
    assert test.glance().loc[0, "df"] == 3
    assert test.summary().startswith(
        "Score tests of proportional hazards against Kaplan-Meier time"
    )


def test_fine_gray_refuses() -> None:
    data = PERSONS.assign(ending=np.where(PERSONS["left"] == 1, PERSONS["site"] + 1, 0))
    columns = {"time": "time", "event": "ending"}
    with pytest.raises(DataError, match=r"several rows of one person .* takes fixed covariates"):
        fine_gray("alliance", data, **columns, cause=1, person="therapist")
    with pytest.raises(DataError, match="has no ending 7"):
        fine_gray("alliance", data, **columns, cause=7)
    with pytest.raises(DataError, match="holds one cluster"):
        fine_gray("alliance", data.assign(c=1), **columns, cause=1, cluster="c")
    with pytest.raises(NotIdentifiedError, match="separates"):
        fine_gray("site", data, **columns, cause=1)
    holed = data.assign(alliance=data["alliance"].where(data["ending"] != 1))
    with pytest.raises(NotIdentifiedError, match="ended as '1'"):
        fine_gray("alliance", holed, **columns, cause=1)


def test_units_seen_later_are_warned_of_where_nobody_asked() -> None:
    data = PERSONS.assign(
        ending=np.where(PERSONS["left"] == 1, PERSONS["time"] % 2 + 1, 0), entry=0.0
    )
    columns = {"time": "time", "event": "ending"}
    known = fine_gray("alliance", data, **columns, cause=1)
    assert_allclose(fine_gray("alliance", data, **columns, cause=1, entry="entry").beta, known.beta)
    late = data.assign(entry=np.where(data.index == 3, 0.5, 0.0))
    other = fine_gray("alliance", late, **columns, cause=1, entry="entry")
    assert other.rows.n_used == known.rows.n_used
    # as `endings` makes them, nobody has to ask
    with pytest.warns(AllianceStatsWarning, match="'entry' is above 0 in 1 row"):
        fine_gray("alliance", late.assign(first_session=1), **columns, cause=1)
    with pytest.warns(AllianceStatsWarning, match="'entry' is above 0 in 1 row"):
        gray_test(late.assign(first_session=1), **columns, group="role")


def test_fine_gray_speaks() -> None:
    data = PERSONS.assign(ending=np.where(PERSONS["left"] == 1, PERSONS["time"] % 2 + 1, 0))
    fit = fine_gray("alliance", data, time="time", event="ending", cause=1, cluster="therapist")
    assert fit.tidy()["state"].tolist() == ["1"]
    assert fit.glance().loc[0, "n_clusters"] == 8
    assert fit.vcov().shape == (1, 1)
    assert "subdistribution hazard ratio" in fit.summary()


def test_without_competing_endings_fine_gray_is_cox() -> None:
    fit = fine_gray("alliance + role", PERSONS, time="time", event="left", cause=1)
    cox = cox_ph("alliance + role", PERSONS, **COLUMNS, ties="breslow")
    assert_allclose(fit.beta, cox.beta, rtol=1e-9)


def test_doubled_rows_in_clusters_of_two_are_the_single_rows() -> None:
    data = PERSONS.assign(
        ending=np.where(PERSONS["left"] == 1, PERSONS["time"] % 2 + 1, 0), pair=np.arange(80)
    )
    columns = {"time": "time", "event": "ending", "cause": 1}
    single = fine_gray("alliance", data, **columns)
    doubled = fine_gray("alliance", pd.concat([data, data]), **columns, cluster="pair")
    assert_allclose(doubled.tidy()["std_error"], single.tidy()["std_error"], rtol=1e-9)


@pytest.mark.parametrize("size", [1e-100, 1e-8, 1e8, 1e100])
def test_no_number_depends_on_the_covariates_unit(size: float) -> None:
    data = PERSONS.assign(
        ending=np.where(PERSONS["left"] == 1, PERSONS["time"] % 2 + 1, 0),
        alliance=PERSONS["alliance"] * size,
    )
    plain = data.assign(alliance=PERSONS["alliance"])
    for one, other in (
        (cox_ph("alliance", data, **COLUMNS), cox_ph("alliance", plain, **COLUMNS)),
        *[
            tuple(fine_gray("alliance", d, time="time", event="ending", cause=1) for d in pair)
            for pair in [(data, plain)]
        ],
    ):
        a, b = one.tidy().iloc[0], other.tidy().iloc[0]
        assert_allclose(a["statistic"], b["statistic"], rtol=1e-9)
        assert_allclose(a["std_error"] * size, b["std_error"], rtol=1e-9)


@pytest.mark.parametrize(("size", "what"), [(1e-160, "small"), (1e160, "large")])
def test_covariates_that_cannot_be_squared_are_refused(size: float, what: str) -> None:
    data = PERSONS.assign(alliance=PERSONS["alliance"] * size, ending=PERSONS["left"])
    with pytest.raises(DataError, match=f"'alliance' is too {what} to be squared"):
        cox_ph("alliance", data, **COLUMNS)
    with pytest.raises(DataError, match=f"'alliance' is too {what} to be squared"):
        fine_gray("alliance", data, time="time", event="ending", cause=1)
