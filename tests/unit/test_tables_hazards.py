"""Models of leaving as tables: ratios, spread, sizes and endings equal the models' own."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.formatting import format_count, format_interval, format_number, format_p
from alliance_stats.survival import competing_hazards, cox_ph, discrete_hazard, fine_gray
from alliance_stats.tables import model_table


@pytest.fixture(scope="module")
def units():
    rng = np.random.default_rng(8)
    n = 160
    therapist = np.repeat(np.arange(20), 8)
    x = rng.normal(size=n)
    rate = 0.15 * np.exp(0.5 * x + rng.normal(scale=0.4, size=20)[therapist])
    time = np.minimum(np.ceil(rng.exponential(1.0 / rate)), 8).astype(int)
    state = np.where(time == 8, "ongoing", np.where(rng.random(n) < 0.7, "dropout", "planned"))
    return pd.DataFrame(
        {"unit": np.arange(n), "therapist": therapist, "x": x, "time": time, "state": state}
    ).assign(event=lambda d: (d["state"] == "dropout").astype(int))


@pytest.fixture(scope="module")
def periods(units):
    long = units.loc[units.index.repeat(units["time"])].reset_index(drop=True)
    long["session"] = long.groupby("unit").cumcount() + 1
    last = long["session"] == long["time"]
    ending = {"dropout": 1, "planned": 2, "ongoing": 0}
    return long.assign(
        event=np.where(last, long["event"], 0), code=np.where(last, long["state"].map(ending), 0)
    )


@pytest.fixture(scope="module")
def models(units, periods):
    clock = {"time": "time", "event": "event"}
    discrete = {"session": "session", "event": "event", "unit": "unit"}
    return {
        "Cox": cox_ph("x", units, cluster="therapist", **clock),
        "Frailty": cox_ph(
            "x", units, frailty="therapist", frailty_distribution="lognormal", **clock
        ),
        "Fine-Gray": fine_gray(
            "x", units, time="time", event="state", cause="dropout", censored="ongoing"
        ),
        "Discrete": discrete_hazard("x", periods, random="(1 | therapist)", **discrete),
        "Logit": discrete_hazard("x", periods, link="logit", random=None, **discrete),
        "Competing": competing_hazards(
            "x", periods, session="session", event="code", unit="unit", baseline="polynomial"
        ),
    }


def table(models, **given):
    return model_table(models, **({"label": "tbl-x", "caption": "c"} | given))


def ratio(row):
    limits = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])} {limits}"


def test_models_stand_side_by_side_each_on_its_scale(models):
    made = table(models, words={"x": "Predictor", "1": "dropout", "2": "planned ending"})
    shown = made.frame.set_index("Term")
    assert [name for name in shown.columns if not name.endswith(": p")] == [
        "Cox: HR [95% CI]", "Frailty: HR [95% CI]", "Fine-Gray: SHR [95% CI]",
        "Discrete: HR [95% CI]", "Logit: OR [95% CI]", "Competing, dropout: OR [95% CI]",
        "Competing, planned ending: OR [95% CI]",
    ]  # fmt: skip
    own = models["Cox"].hazard_ratios().iloc[0]
    assert shown.loc["Predictor", "Cox: HR [95% CI]"] == ratio(own)
    assert shown.loc["Predictor", "Cox: p"] == format_p(own["p_value"])
    tidy = models["Fine-Gray"].tidy().iloc[0]
    own = np.exp(tidy[["estimate", "conf_low", "conf_high"]].astype(float))
    assert shown.loc["Predictor", "Fine-Gray: SHR [95% CI]"] == ratio(own)
    for name, scale in (("Discrete", "HR"), ("Logit", "OR")):
        model = models[name]
        ratios = model.hazard_ratios() if scale == "HR" else model.odds_ratios()
        own = ratios.iloc[0]
        assert shown.loc["Predictor", f"{name}: {scale} [95% CI]"] == ratio(own)
        assert shown.loc["Predictor", f"{name}: p"] == format_p(own["p_value"])
    for state, (_, own) in zip(
        ("dropout", "planned ending"), models["Competing"].odds_ratios().iterrows(), strict=True
    ):
        assert shown.loc["Predictor", f"Competing, {state}: OR [95% CI]"] == ratio(own)
        assert shown.loc["Predictor", f"Competing, {state}: p"] == format_p(own["p_value"])


def test_spread_is_the_median_ratio(models):
    shown = table(models, words={"therapist": "Therapists"}).frame.set_index("Term")
    spread = shown.loc["Therapists, median hazard ratio"]
    own = models["Frailty"].tidy(effects="ran_pars").set_index("term").loc["median_hazard_ratio"]
    assert spread["Frailty: HR [95% CI]"] == ratio(own)
    own = models["Discrete"].median_ratios().iloc[0]
    assert spread["Discrete: HR [95% CI]"] == ratio(own)
    assert spread["Cox: HR [95% CI]"] == ""


def test_therapists_may_differ_in_each_ending(periods):
    model = competing_hazards(
        "x", periods, session="session", event="code", unit="unit", baseline="polynomial",
        random="(1 || therapist)",
    )  # fmt: skip
    made = table({"Both": model})
    shown = made.frame.set_index("Term")
    for _, own in model.median_ratios().iterrows():
        cell = shown.loc["therapist, median odds ratio", f"Both, {own['state']}: OR [95% CI]"]
        assert cell == ratio(own)
    assert shown.loc["Units: therapist", "Both, 1: OR [95% CI]"] == "20"
    assert "Ratios are for units with the same random effects." in made.note


def test_sizes_and_endings_are_counted(models, units):
    made = table(models)
    shown = made.frame.set_index("Term")
    assert shown.loc["Rows", "Cox: HR [95% CI]"] == "160"
    assert shown.loc["Units: therapist", "Cox: HR [95% CI]"] == "20"
    assert shown.loc["Units: unit", "Discrete: HR [95% CI]"] == "160"
    assert shown.loc["Units: therapist", "Discrete: HR [95% CI]"] == "20"
    rows = models["Discrete"].rows.n_used
    assert shown.loc["Rows", "Discrete: HR [95% CI]"] == format_count(rows)
    dropouts, planned = ((units["state"] == state).sum() for state in ("dropout", "planned"))
    assert shown.loc["Events", "Cox: HR [95% CI]"] == str(dropouts)
    assert shown.loc["Competing endings", "Fine-Gray: SHR [95% CI]"] == str(planned)
    assert shown.loc["Events", "Competing, 2: OR [95% CI]"] == str(planned)
    assert set(made.sections[-2:]) == {"Sizes"}


def test_the_note_says_what_each_ratio_is(models):
    note = table(models).note
    assert "Cox model with Efron's method for ties, standard errors over 20 clusters." in note
    assert "Frailty: Cox model with Efron's method for ties, lognormal frailty of ther" in note
    assert "Fine-Gray: Fine-Gray model of 'dropout'." in note
    assert "Discrete: Discrete-time hazard of 'event' (cloglog link, dummies baseline)." in note
    assert "Logit: Discrete-time hazard of 'event' (logit link, dummies baseline)." in note
    assert "Competing: Hazards of competing endings in discrete time, in one likelihood" in note
    assert "HR: hazard ratio. SHR: subdistribution hazard ratio. OR: odds ratio." in note
    assert "Ratios are for units with the same random effects." in note
    assert "tandard errors over 20 clusters: below about 40 they tend to be too small." in note


def test_one_model_has_a_column_for_its_test(models):
    made = table(models["Cox"])
    assert list(made.frame.columns) == ["Term", "HR", "95% CI", "z", "p"]
    statistic = format_number(models["Cox"].tidy()["statistic"].iloc[0])
    assert made.frame["z"].iloc[0] == statistic
    endings = table(models["Competing"]).frame
    assert list(endings.columns) == [
        "Term", "1: OR [95% CI]", "1: p", "2: OR [95% CI]", "2: p",
    ]  # fmt: skip


def test_a_limit_that_is_not_one_is_not_printed_as_one(units):
    fit = cox_ph("k", units.assign(k=units["x"] * 1000), time="time", event="event")
    cell = table(fit).frame.loc[0, "HR"]
    assert cell not in ("1.00", "1")
    assert cell == format_number(fit.hazard_ratios()["estimate"].iloc[0], len(cell) - 2)


def test_refuses(models, units):
    with pytest.raises(DataError, match="models is empty"):
        table({})
    two = cox_ph("x + z", units.assign(z=units["x"] ** 2), time="time", event="event")
    with pytest.raises(DataError, match="Two rows of one model are named 'z' in words="):
        table(two, words={"x": "z"})
    with pytest.raises(DataError, match="Two models have the heading 'A, B'"):
        table({"A, B": models["Logit"], "A": models["Competing"]}, words={"1": "B"})


def test_the_note_says_the_strata_of_a_cox_model(units):
    arms = units.assign(arm=np.where(units["unit"] % 2, "a", "b"))
    model = cox_ph("x", arms, time="time", event="event", strata="arm")
    assert (
        "Cox model with Efron's method for ties, stratified by arm (2 strata)" in table(model).note
    )
