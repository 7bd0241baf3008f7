"""Sentences say the result's own numbers: every printed one is looked up in its tidy frame."""

import re

import numpy as np
import pandas as pd
import pytest

from alliance_stats.formatting import decimals_needed, decimals_of_spread, format_number, p_phrase
from alliance_stats.groups import compare_groups
from alliance_stats.multilevel import AR1, VarianceBy, glmm, lmm
from alliance_stats.sentences import methods_paragraph, report
from alliance_stats.survival import cox_ph, kaplan_meier, log_rank

N = r"([−\d.,]+|∞)"
PRINTED = {"role[T.mother]": "role: mother", "framework[T.usual]": "framework: usual"}
INTERVAL = rf"(\d+)% CI \[{N}, {N}\]"


def printed(text: str, value: float) -> None:
    """Check that `text` is `value` rounded to the decimals that `text` has."""
    digits = len(text.partition(".")[2])
    number = float(text.replace("−", "-").replace(",", ""))
    assert abs(number - value) <= 0.5 * 10.0**-digits + 1e-12, (text, value)


@pytest.fixture(scope="module")
def ratings():
    rng = np.random.default_rng(1)
    family = np.repeat(np.arange(24), 8)
    effect = rng.normal(0, 0.6, 24)[family]
    session = np.tile(np.arange(1, 9), 24)
    frame = pd.DataFrame(
        {
            "therapist": [f"T{f // 4}" for f in family],
            "family": [f"F{f}" for f in family],
            "session": session,
            "role": np.where(family % 3 == 0, "mother", "child"),
        }
    )
    frame["alliance"] = 4 + 0.05 * session + effect + rng.normal(0, 0.5, len(frame))
    frame.loc[::25, "alliance"] = np.nan
    frame["high"] = (frame["alliance"] > 4.3).astype(int)
    return frame


@pytest.fixture(scope="module")
def endings():
    rng = np.random.default_rng(2)
    n = 90
    framework = np.repeat(["trauma-informed", "usual"], n // 2)
    time = 1 + rng.geometric(np.where(framework == "usual", 0.12, 0.06))
    frame = pd.DataFrame({"framework": framework, "years": rng.uniform(0, 30, n)})
    frame["time"], frame["event"] = np.minimum(time, 16), (time <= 16).astype(int)
    frame["therapist"] = [f"T{i // 5}" for i in range(n)]
    frame["score"] = rng.normal(50, 8, n) + 4 * (framework == "usual")
    frame.loc[3, "score"] = np.nan
    frame["better"] = rng.integers(0, 2, n)
    return frame


@pytest.fixture(scope="module")
def model(ratings):
    return lmm("alliance ~ session + role + (1 | therapist/family)", ratings)


@pytest.mark.parametrize("df_method", ["satterthwaite", "kenward-roger", "normal"])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_a_mixed_models_sentences_hold_its_own_numbers(model, df_method, level):
    text = report(model, df_method=df_method, conf_level=level)
    tidy = model.tidy(df_method=df_method, conf_level=level)
    for row in tidy.itertuples():
        test = r"z" if df_method == "normal" else rf"t\({N}\)"
        found = re.search(
            rf"{re.escape(PRINTED.get(row.term, row.term))}: b = {N}, {INTERVAL}, {test} = {N}, "
            r"(p [<=] [.\d]+?)\.( |$)",
            text,
        )
        assert found, row.term
        parts = list(found.groups())
        assert parts.pop(1) == str(round(100 * level))
        wanted = [row.estimate, row.conf_low, row.conf_high, row.df, row.statistic]
        if df_method == "normal":
            wanted.remove(row.df)
        for part, value in zip(parts, wanted, strict=False):
            printed(part, value)
        assert parts[len(wanted)] == p_phrase(row.p_value)
    sds = re.findall(rf"(?:SD of intercepts|residual) {N}(?:;|\. )", text)
    for part, value in zip(sds, model.tidy(effects="ran_pars")["estimate"], strict=True):
        printed(part, value)


def test_the_estimator_the_df_method_and_n_at_each_level_are_said(ratings, model):
    text = report(model)
    fit = model.glance().iloc[0]
    assert "fitted by REML (alliance ~ session + role + (1 | therapist/family))" in text
    assert "t tests with Satterthwaite df" in text
    sizes = "6 units of therapist, 24 units of therapist:family"
    assert f"n = {fit['nobs']} rows, {sizes}." in text
    assert fit["nobs"] == ratings["alliance"].notna().sum()
    other = lmm("alliance ~ session + (1 | family)", ratings, reml=False)
    assert "fitted by maximum likelihood" in report(other)
    assert "Kenward-Roger standard errors and df" in report(model, df_method="kenward-roger")


def test_words_take_the_place_of_names_and_nothing_is_left_out(model):
    text = report(model, words={"session": "Growth a session", "therapist:family": "families"})
    assert "Growth a session: b = " in text
    assert "24 families" in text
    assert "role: mother: b = " in text


def test_warnings_come_first(ratings):
    flat = ratings.assign(alliance=ratings["session"] + np.tile([0.1, -0.1], len(ratings) // 2))
    model = lmm("alliance ~ session + (1 | therapist)", flat)
    assert model.singular
    assert report(model).startswith("Boundary (singular) fit: ")


def test_a_coefficient_that_is_not_estimable_is_called_so(ratings):
    model = lmm("alliance ~ session + again + (1 | family)", ratings.assign(again=ratings.session))
    text = report(model)
    assert "again: not estimable." in text
    assert text.startswith("Not estimable, since other columns determine them: again.")


@pytest.mark.parametrize(("link", "ratio"), [("logit", "odds ratio"), ("cloglog", "hazard ratio")])
def test_a_generalized_models_sentences_hold_its_own_numbers(ratings, link, ratio):
    data = ratings.dropna()
    model = glmm("high ~ session + (1 | family)", data, family="binomial", link=link)
    text = report(model)
    row = model.tidy().set_index("term").loc["session"]
    found = re.search(
        rf"session: b = {N}, {INTERVAL}, z = {N}, (p [<=] [.\d]+), {ratio} = {N}, {INTERVAL}\.",
        text,
    )
    b, _, low, high, z, p, exp_b, _, exp_low, exp_high = found.groups()
    for part, value in ((b, row.estimate), (low, row.conf_low), (high, row.conf_high)):
        printed(part, value)
    for part, value in ((exp_b, row.estimate), (exp_low, row.conf_low), (exp_high, row.conf_high)):
        printed(part, np.exp(value))
    printed(z, row.statistic)
    assert p == p_phrase(row.p_value)
    assert f"(binomial, {link} link)" in text
    assert "Laplace approximation" in text
    assert f"n = {len(data)} rows, 24 units of family" in text


def test_curves_are_said_with_their_medians_and_ends(endings):
    curves = kaplan_meier(endings, time="time", event="event", strata="framework")
    text = report(curves, conf_level=0.9)
    assert "Greenwood standard errors; n = 90 rows, " in text
    tidy = curves.tidy(conf_level=0.9)
    medians = curves.medians(conf_level=0.9)
    for row in medians.itertuples():
        last = tidy[tidy["strata"] == row.strata].iloc[-1]
        found = re.search(
            rf"{row.strata}: {N} rows, {N} events, (median .*?), without the event at the end = "
            rf"{N}%, 90% CI \[{N}%, {N}%\], last time = {N}\.",
            text,
        )
        n, events, median, *percent, time = found.groups()
        for part, value in ((n, row.nobs), (events, row.n_event), (time, last.time)):
            printed(part, value)
        for part, name in zip(percent, ("estimate", "conf_low", "conf_high"), strict=True):
            printed(part, 100 * last[name])
        if np.isnan(row.estimate):
            assert median == "median not reached"
        else:
            printed(re.match(rf"median = {N}, ", median)[1], row.estimate)
    assert np.isnan(medians["conf_high"]).any()
    assert "not reached" in text


def test_a_log_rank_test_is_said_with_events_by_group(endings):
    test = log_rank(endings, time="time", event="event", group="framework")
    text = report(test)
    found = re.search(rf"chi-squared\(1\) = {N}, (p [<=] [.\d]+?)\.$", text)
    printed(found[1], test.statistic)
    assert found[2] == p_phrase(test.p_value)
    for row in test.tidy().itertuples():
        counts = re.search(rf"{row.group}: {N} rows, {N} events, expected = {N}\.", text).groups()
        for part, value in zip(counts, (row.nobs, row.n_event, row.n_expected), strict=True):
            printed(part, value)


def test_a_cox_models_hazard_ratios_are_its_own(endings):
    model = cox_ph("framework + years", endings, time="time", event="event", cluster="therapist")
    text = report(model)
    assert "Efron's method for ties, standard errors over 18 clusters; n = 90 rows" in text
    z = model.tidy().set_index("term")["statistic"]
    for row in model.hazard_ratios().itertuples():
        found = re.search(
            rf"{re.escape(PRINTED.get(row.term, row.term))}: hazard ratio = {N}, {INTERVAL}, "
            rf"z = {N}, "
            r"(p [<=] [.\d]+?)\.( |$)",
            text,
        )
        ratio, _, low, high, statistic, p, _ = found.groups()
        wanted = (row.estimate, row.conf_low, row.conf_high, z[row.term])
        for part, value in zip((ratio, low, high, statistic), wanted, strict=True):
            printed(part, value)
        assert p == p_phrase(row.p_value)


@pytest.mark.parametrize("level", [0.95, 0.9])
def test_groups_are_said_with_difference_effect_size_and_test(endings, level):
    found = compare_groups(endings, outcomes=["score", "better"], group="framework")
    text = report(found, words={"score": "Symptoms"}, conf_level=level)
    row = found.tidy(conf_level=level).iloc[0]
    parts = re.search(
        rf"Symptoms, trauma-informed: n = {N}, {N} missing, M = {N}, SD = {N}\. "
        rf"Symptoms, usual: n = {N}, M = {N}, SD = {N}\. .*"
        rf"Symptoms, trauma-informed - usual: mean difference = {N}, {INTERVAL}, "
        rf"t\({N}\) = {N}, (p [<=] [.\d]+?), .*Welch t test\. .*"
        rf"Symptoms: Hedges' g = {N}, {INTERVAL}, in units of: pooled SD\. ",
        text,
    ).groups()
    numbers = [part for i, part in enumerate(parts) if i not in {8, 13, 15}]
    names = "n_1 missing_1 mean_1 sd_1 n_2 mean_2 sd_2 estimate conf_low conf_high df statistic "
    names += "hedges_g hedges_g_low hedges_g_high"
    wanted = row[names.split()]
    for part, value in zip(numbers, wanted, strict=True):
        printed(part, value)
    assert {parts[8], parts[15]} == {str(round(100 * level))}
    assert parts[13] == p_phrase(row["p_value"])
    share = re.search(rf"better, trauma-informed: n = 45, share = {N}%", text)[1]
    printed(share, 100 * endings.loc[endings["framework"] != "usual", "better"].mean())


def test_three_groups_have_an_f_test_and_no_difference(ratings):
    data = ratings.drop_duplicates("family").assign(kind=np.arange(24) % 3)
    found = compare_groups(data, outcomes="alliance", group="kind")
    row = found.tidy().iloc[0]
    f = re.search(rf"F\({N}, {N}\) = {N}, (p [<=] [.\d]+?)\.$", report(found)).groups()
    for part, value in zip(f[:3], (row["df1"], row["df2"], row["statistic"]), strict=True):
        printed(part, value)


def test_clusters_warn_before_the_numbers(endings):
    mixed = endings.assign(therapist=[f"T{i % 9}" for i in range(len(endings))])
    found = compare_groups(mixed, outcomes="score", group="framework", cluster="therapist")
    assert report(found).startswith("Warning: score: clusters lie in both groups")


def test_enough_decimals_that_no_limit_prints_as_what_it_is_not():
    values = (0.08, 0.0004, 0.16)
    assert decimals_needed(values) == 4
    assert decimals_needed((0.08, 0.04, 0.16)) == 2
    assert decimals_needed((0.08, 0.0, 0.16)) == 2
    assert decimals_needed((0.97, 0.94, 0.998), null=1.0) == 3
    assert decimals_needed((0.97, 0.94, 1 - 1e-12), null=1.0) == 6
    assert [decimals_of_spread(v) for v in (0.0, 0.38, 0.013, 0.00064, 12.0)] == [2, 2, 3, 5, 2]


def test_the_methods_paragraph_has_versions_methods_rows_and_seed(model, endings):
    test = log_rank(
        endings, time="time", event="event", group="framework", cluster="therapist", seed=4
    )
    text = methods_paragraph({"Alliance": model, "Dropout": test}, seed=4)
    assert f"numpy {np.__version__}, " in text
    assert f"pandas {pd.__version__}" in text
    assert "alliance-stats " in text
    assert f"Alliance: linear mixed model fitted by REML ({model.formula})" in text
    assert str(model.rows) in text
    assert "set aside: 'alliance' is missing" in text
    assert f"Dropout: {test.method}. {test.rows}" in text
    assert text.endswith("Seed of random numbers: 4.")
    assert "Seed" not in methods_paragraph({"Alliance": model})


def test_random_permutations_without_a_seed_are_refused(endings):
    test = log_rank(
        endings, time="time", event="event", group="framework", cluster="therapist", seed=4
    )
    with pytest.raises(ValueError, match="Dropout rests on random numbers; give the seed="):
        methods_paragraph({"Dropout": test})
    few = compare_groups(
        endings, outcomes="score", group="framework", test="permutation", seed=1, n_resamples=99
    )
    with pytest.raises(ValueError, match="give the seed="):
        methods_paragraph({"Groups": few})


def test_a_frailty_is_said_at_the_level_asked_for(endings):
    model = cox_ph("years", endings, time="time", event="event", frailty="therapist")
    text = report(model, conf_level=0.9)
    assert "95%" not in text
    for row, name in zip(
        model.tidy(effects="ran_pars", conf_level=0.9).itertuples(),
        ("variance", "median hazard ratio"),
        strict=True,
    ):
        parts = re.search(rf"{name} {N}, {INTERVAL}", text).groups()
        wanted = (row.estimate, row.conf_low, row.conf_high)
        for part, value in zip((parts[0], *parts[2:]), wanted, strict=True):
            printed(part, value)
    assert "gamma frailty of therapist" in methods_paragraph({"Dropout": model})


def test_what_is_assumed_of_the_residual_is_said(ratings):
    by = lmm("alliance ~ session + (1 | family)", ratings, residual=VarianceBy("role"))
    assert "with residual variance by role, t tests" in report(by)
    assert re.search(rf"residual \(child\) {N}; residual \(mother\) {N}\. ", report(by))
    serial = lmm("alliance ~ 1 + (1 | family)", ratings, residual=AR1("session", within="family"))
    assert "with AR1 residuals over session, t tests" in report(serial)
    means = ratings.groupby("family", as_index=False)["alliance"].mean().assign(v=0.03)
    means["site"] = np.arange(len(means)) % 6
    known = lmm("alliance ~ 1 + (1 | site)", means, known_variance="v")
    assert "with known sampling variances, t tests" in report(known)
    assert "residual" not in report(known)


def test_weights_are_said_and_where_the_residual_stands(ratings):
    weighted = ratings.assign(w=1.0 + np.arange(len(ratings)) % 3)
    model = lmm("alliance ~ session + (1 | family)", weighted, weights="w")
    assert "with weighted rows (residual at weight 1), t tests" in report(model)
    assert "weighted" not in report(lmm("alliance ~ session + (1 | family)", weighted))


def test_small_numbers_keep_two_digits_of_their_sd():
    small = pd.DataFrame({"g": ["a", "b"] * 6, "y": [k * k * 1e-4 for k in range(12)]})
    row = (found := compare_groups(small, outcomes="y", group="g")).tidy().iloc[0]
    shown = f"M = {format_number(row['mean_1'], 4)}, SD = {format_number(row['sd_1'], 4)}"
    assert shown in report(found)


def test_strata_of_a_cox_model_are_said(endings):
    model = cox_ph("years", endings, time="time", event="event", strata="framework")
    assert "stratified by framework (2 strata), model-based" in report(model)


def test_a_rate_ratio_is_called_one(ratings):
    counts = ratings.assign(k=np.arange(len(ratings)) % 5)
    model = glmm("k ~ session + (1 | family)", counts, family="poisson")
    assert "rate ratio = " in report(model)


def test_what_cannot_be_said_is_refused(model, endings):
    with pytest.raises(TypeError, match="takes a result of this package; got DataFrame"):
        report(endings)
    with pytest.raises(ValueError, match="df_method"):
        report(model, df_method="welch")
    test = log_rank(endings, time="time", event="event", group="framework")
    with pytest.raises(ValueError, match="df_method is for linear mixed models; got LogRank"):
        report(test, df_method="normal")
    with pytest.raises(ValueError, match="conf_level"):
        report(model, conf_level=95)
