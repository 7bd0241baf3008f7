"""Results of rows of estimates in sentences: each number is that of the result's own table."""

import math

import numpy as np
import pandas as pd
import pytest

from alliance_stats.evidence import meta_analysis
from alliance_stats.family import (
    DropBelowRunningMean,
    VShape,
    apim,
    expected_false_alarms,
    ruptures,
)
from alliance_stats.formatting import (
    format_bounded,
    format_interval,
    format_number,
    format_percent,
    t_phrase,
)
from alliance_stats.groups import compare_trajectories
from alliance_stats.multilevel import (
    comparisons,
    contrasts,
    estimated_means,
    glmm,
    lmm,
    simple_slopes,
    variance_partition,
    within_between,
)
from alliance_stats.sentences import methods_paragraph, report
from alliance_stats.survival import (
    competing_hazards,
    discrete_hazard,
    dropout_sensitivity,
    fine_gray,
    gray_test,
    pattern_mixture,
    shared_parameter,
)

PRINTED = {"arm[T.old]": "arm: old"}


@pytest.fixture(scope="module")
def ratings():
    rng = np.random.default_rng(11)
    therapist = np.repeat(np.arange(10), 48)
    person = np.repeat(np.arange(60), 8)
    session = np.tile(np.arange(1, 9), 60)
    x = rng.normal(size=480) + rng.normal(size=60)[person]
    role = np.where(person % 2, "mother", "child")
    arm = np.where(therapist % 2, "a", "b")
    y = 4 + 0.2 * x + 0.05 * session + (role == "mother") * 0.3
    y = y + rng.normal(scale=0.4, size=60)[person] + rng.normal(size=480)
    low = (y < np.median(y)).astype(int)
    columns = {"therapist": therapist, "person": person, "session": session, "x": x, "y": y}
    return pd.DataFrame(columns | {"role": role, "arm": arm, "low": low})


@pytest.fixture(scope="module")
def model(ratings):
    return lmm("y ~ session + role * x + (1 | therapist/person)", ratings)


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


def said(row, measure, level="95%"):
    """Return how a row must read, at two decimals."""
    limits = format_interval(row["conf_low"], row["conf_high"])
    text = f"{measure} = {format_number(row['estimate'])}, {level} CI {limits}"
    if "statistic" not in row:
        return text
    return f"{text}, {t_phrase(row['statistic'], row.get('df', math.inf), row['p_value'])}"


def exponentials(tidy):
    columns = ["estimate", "conf_low", "conf_high"]
    return tidy.assign(**{name: np.exp(tidy[name].astype(float)) for name in columns})


@pytest.mark.parametrize("conf_level", [0.95, 0.9])
def test_hazards_are_said_as_the_ratios_they_are(units, periods, conf_level):
    level = f"{conf_level:.0%}"
    fine = fine_gray("x", units, time="time", event="state", cause="dropout", censored="ongoing")
    text = report(fine, words={"x": "Predictor"}, conf_level=conf_level)
    row = exponentials(fine.tidy(conf_level=conf_level)).iloc[0]
    assert f"dropout, Predictor: {said(row, 'subdistribution hazard ratio', level)}." in text
    assert f"n = 160 rows, {units['event'].sum()} events" in text

    names = {"session": "session", "event": "event", "unit": "unit"}
    for link, ratio in (("cloglog", "hazard ratio"), ("logit", "odds ratio")):
        hazard = discrete_hazard("x", periods, link=link, **names)
        text = report(hazard, conf_level=conf_level)
        asked = hazard.odds_ratios if link == "logit" else hazard.hazard_ratios
        own = asked(conf_level=conf_level).iloc[0]
        tidy = hazard.tidy(conf_level=conf_level).iloc[-1]
        row = pd.Series({**own, "statistic": tidy["statistic"]})
        assert f"x: {said(row, ratio, level)}." in text
        assert "C(session)" not in text
        spread = hazard.median_ratios(conf_level=conf_level).iloc[0]
        limits = format_interval(spread["conf_low"], spread["conf_high"])
        shown = f"{spread['term']} {format_number(spread['estimate'])}, {level} CI {limits}"
        assert f"therapist, {shown}." in text

    both = competing_hazards("x", periods, session="session", event="code", unit="unit")
    text = report(both, words={"1": "dropout", "2": "planned"}, conf_level=conf_level)
    tidy = exponentials(both.tidy(conf_level=conf_level))
    for state, name in (("1", "dropout"), ("2", "planned")):
        row = tidy[(tidy["state"] == state) & (tidy["term"] == "x")].iloc[0]
        assert f"{name}, x: {said(row, 'odds ratio', level)}." in text


def test_spread_on_each_ending_is_said(periods):
    names = {"session": "session", "event": "code", "unit": "unit", "baseline": "polynomial"}
    both = competing_hazards("x", periods, random="(1 | therapist)", **names)
    text = report(both, words={"1": "dropout", "2": "planned"})
    for _, row in both.median_ratios().iterrows():
        limits = format_interval(row["conf_low"], row["conf_high"])
        shown = f"median odds ratio {format_number(row['estimate'])}, 95% CI {limits}"
        name = {"1": "dropout", "2": "planned"}[row["state"]]
        assert f"therapist, {name}, {shown}" in text
    spread = both.tidy(effects="ran_pars").set_index("term")
    correlation = format_bounded(spread.loc["cor__1.2", "estimate"])
    assert f"Correlation of effects: dropout and planned {correlation}" in text


def test_what_follows_a_model_is_said_row_by_row(ratings, model):
    means = estimated_means(model, "role")
    _, row = next(means.tidy().iterrows())
    assert f"child: {said(row, 'mean')}." in report(means)
    between = contrasts(means)
    row = between.tidy().iloc[0]
    assert f"{row['contrast']}: {said(row, 'difference')}." in report(between)
    slopes = simple_slopes(model, "x", by="role", unit="person")
    row = slopes.tidy(conf_level=0.9).iloc[1]
    assert said(row, "slope", "90%") in report(slopes, conf_level=0.9)
    logistic = glmm("low ~ x + (1 | person)", ratings, family="binomial")
    odds = report(estimated_means(logistic, "x", at={"x": 30}))
    assert "x = 30: mean log odds = " in odds
    assert "on the logit scale, random effects at zero" in odds
    change = comparisons(logistic, "x")
    row = change.tidy().iloc[0]
    assert said(row, "difference") in report(change)
    assert "Differences in the expected response" in report(change)


def test_an_adjustment_of_several_contrasts_is_said(ratings):
    thirds = ratings.assign(third=np.array(["p", "q", "r"])[ratings["person"] % 3])
    several = contrasts(estimated_means(lmm("y ~ third + (1 | person)", thirds), "third"))
    assert "adjusted jointly by the multivariate t distribution" in report(several)


def test_shares_and_levels_are_said(ratings, model):
    shares = variance_partition(model, ci_method="bootstrap", n_resamples=20, seed=1)
    text = report(shares, words={"therapist": "Between therapists"})
    row = shares.tidy().iloc[0]
    limits = ", ".join(format_percent(row[name], 1) for name in ("conf_low", "conf_high"))
    share = f"share = {format_percent(row['estimate'], 1)}"
    assert f"Between therapists: {share}, 95% CI [{limits}]" in text
    levels = within_between(
        ratings, outcome="y", predictor="x", levels=["person", "therapist"], covariates="session"
    )
    row = levels.tidy().set_index("term").loc["within person"]
    assert f"within person: {said(row, 'b')}." in report(levels)
    paths = compare_trajectories(ratings, outcome="y", time="session", group="arm", person="person")
    row = paths.tidy().set_index("contrast").loc["a - b"]
    digits = max(2, -math.floor(math.log10(row["std_error"])))
    assert f"= {format_number(row['estimate'], digits)}, 95% CI [" in report(paths)


def test_dyads_are_said(ratings):
    pairs = ratings.assign(dyad=ratings["person"] // 2).groupby(["dyad", "role"]).head(1)
    model = apim(pairs, dyad="dyad", member="role", outcome="y", predictors="x")
    row = model.tidy().set_index("term").loc["actor_x_child"]
    assert f"actor effect of x, child: {said(row, 'b')}." in report(model)


@pytest.fixture(scope="module")
def course():
    """Return outcomes of units of which some leave, and the intervals at risk."""
    rng = np.random.default_rng(3)
    level, outcomes, intervals = rng.normal(size=60), [], []
    for unit in range(60):
        for session in range(1, 6):
            at = {"unit": f"unit {unit}", "session": session, "arm": "new" if unit % 2 else "old"}
            outcomes.append(at | {"y": 10 + level[unit] - 0.5 * session + rng.normal()})
            left = int(rng.random() < -np.expm1(-np.exp(-2 + 0.5 * level[unit])))
            if session < 5:
                intervals.append(at | {"left": left})
            if left:
                break
    return pd.DataFrame(outcomes), pd.DataFrame(intervals)


def test_shifts_of_unseen_outcomes_are_told_apart_and_their_tipping_points_said(course):
    outcomes, _ = course
    last = outcomes.groupby("unit").tail(1)
    later = [last[last["session"] < session].assign(session=session) for session in range(2, 6)]
    unseen = pd.concat(later).drop(columns="y")
    found = dropout_sensitivity(
        lmm("y ~ session + arm + (1 | unit)", outcomes),
        unseen, term="session", deltas=[-1.5, 0.004, 6], seed=1, n_imputations=5,
    )  # fmt: skip
    for conf_level in (0.95, 0.9):
        text = report(found, conf_level=conf_level)
        for shift, (_, row) in zip(
            ("−1.500", "0.000", "0.004", "6.000"),
            found.tidy(conf_level=conf_level).iterrows(),
            strict=True,
        ):
            number = said(row, "b", f"{conf_level:.0%}")
            assert f"shift = {shift}: {number}." in text
        below, above = found.tipping_points(conf_level=conf_level)["delta"]
        assert math.isnan(below)
        assert "Shifts below 0: not overturned up to −1.50." in text
        assert f"Shifts above 0: overturned from {format_number(above)}." in text
        assert (
            f"imputed 5 times; n = {len(outcomes)} outcomes, {len(unseen)} unseen outcomes" in text
        )


def test_outcome_and_leaving_are_said_with_their_sizes_and_scales(course):
    outcomes, intervals = course
    names = {"session": "session", "event": "left", "unit": "unit", "nodes": 5}
    both = shared_parameter("y ~ session + (1 | unit)", "arm", outcomes, intervals, **names)
    text = report(both, conf_level=0.9)
    for _, row in both.tidy(conf_level=0.9).iterrows():
        assert (
            f"{row['part']}, {PRINTED.get(row['term'], row['term'])}: {said(row, 'b', '90%')}."
            in text
        )
    assert f"n = {len(outcomes)} outcomes, {intervals['left'].sum()} events" in text
    assert "hazard and association on the cloglog scale" in text


def test_averaged_patterns_are_said_with_their_shares(course):
    outcomes, _ = course
    length = outcomes.groupby("unit")["session"].transform("max")
    patterns = outcomes.assign(when=np.where(length < 5, "left", "stayed"))
    mixed = pattern_mixture("y ~ session + (1 | unit)", patterns, pattern="when", unit="unit")
    text = report(mixed)
    for _, row in mixed.tidy().iterrows():
        assert f"{row['term']}: {said(row, 'b')}." in text
    left = int((outcomes.groupby("unit")["session"].max() < 5).sum())
    assert f"left: {left} units, share = {format_percent(left / 60, 1)}" in text
    assert f"n = {len(outcomes)}" in text


def test_whatever_drew_random_numbers_asks_for_its_seed(ratings, model):
    logistic = glmm("low ~ x + (1 | person)", ratings, family="binomial")
    rule = VShape(drop=1.0, back=1.0, within=2, sd="within")
    found = ruptures(ratings, person="person", session="session", score="y", rule=rule)
    drew = [
        comparisons(logistic, "x", n_resamples=100, seed=1),
        variance_partition(model, ci_method="bootstrap", n_resamples=20, seed=1),
        expected_false_alarms(found, error=0.5, seed=1, n_resamples=10),
    ]
    for result in drew:
        with pytest.raises(ValueError, match="rests on random numbers"):
            methods_paragraph({"It": result})
        assert "Seed of random numbers: 1." in methods_paragraph({"It": result}, seed=1)
    below = DropBelowRunningMean(k=1.0, sd="within", min_before=2)
    closed = ruptures(ratings, person="person", session="session", score="y", rule=below)
    for result in (comparisons(logistic, "x"), expected_false_alarms(closed, error=0.5)):
        assert "Seed" not in methods_paragraph({"It": result})


def test_a_singular_fit_of_dyads_is_said_first(ratings):
    flat = ratings.assign(dyad=ratings["person"] // 2).groupby(["dyad", "role"]).head(1)
    flat = flat.assign(y=flat["y"] - flat.groupby("therapist")["y"].transform("mean"))
    model = apim(
        flat, dyad="dyad", member="role", outcome="y", predictors="x", therapist="therapist"
    )
    assert model.model.singular
    assert report(model).startswith("Boundary (singular) fit: the variance is zero")


def test_clusters_of_competing_models_are_said(units, periods):
    fine = fine_gray(
        "x", units, time="time", event="state", cause="dropout", censored="ongoing",
        cluster="therapist",
    )  # fmt: skip
    assert "Fine-Gray model of 'dropout', standard errors over 20 clusters; n" in report(fine)
    both = competing_hazards(
        "x", periods, session="session", event="code", unit="unit", cluster="therapist"
    )
    assert "(multinomial logit), standard errors over 20 clusters; n" in report(both)


def test_a_summary_that_is_sentences_is_passed_on(units):
    studies = pd.DataFrame({"r": [0.19, 0.30, 0.05, 0.41, 0.22], "n": [60, 45, 120, 38, 80]})
    pooled = meta_analysis(studies, r="r", n="n")
    text = report(pooled)
    row = pooled.tidy().iloc[0]
    limits = format_interval(row["conf_low"], row["conf_high"])
    test = t_phrase(row["statistic"], row["df"], row["p_value"])
    assert f"Fisher's z = {format_number(row['estimate'])}, 95% CI {limits}, {test}." in text
    assert "90% CI" in report(pooled, conf_level=0.9)
    gray = gray_test(units, time="time", event="state", group="therapist", censored="ongoing")
    assert "\n" not in report(gray)
    assert "rows came in" not in report(gray)
    paragraph = methods_paragraph({"Pooled": pooled, "Endings": gray})
    assert "Pooled: " in paragraph
    assert f"Endings: {gray.method}. {gray.rows}" in paragraph


def test_what_is_no_result_is_refused(ratings):
    with pytest.raises(TypeError, match="takes a result of this package; got DataFrame"):
        report(ratings)
