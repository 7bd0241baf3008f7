"""Mixed models as tables: every number the model's own, every row named, nothing left out."""

import math

import numpy as np
import pandas as pd
import pytest

from alliance_stats.association import regression
from alliance_stats.errors import DataError
from alliance_stats.formatting import format_df, format_interval, format_number, format_p
from alliance_stats.multilevel import AR1, VarianceBy, glmm, lmm
from alliance_stats.sentences import report
from alliance_stats.tables import model_table


@pytest.fixture(scope="module")
def grouped():
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(12), 8)
    x = rng.normal(size=96)
    y = (0.5 + rng.normal(size=12)[group]) * x + rng.normal(size=12)[group] + rng.normal(size=96)
    left = rng.binomial(1, 1.0 / (1.0 + np.exp(-x - rng.normal(size=12)[group])))
    return pd.DataFrame({"y": y, "x": x, "group": group, "left": left})


@pytest.fixture(scope="module")
def logistic(grouped):
    return glmm("left ~ x + (1 | group)", grouped, family="binomial")


def ratings():
    """Return invented ratings of persons of eight therapists over eight sessions."""
    rng = np.random.default_rng(20)
    therapist, person, session = (
        place.ravel() for place in np.meshgrid(range(8), range(6), range(1, 9), indexing="ij")
    )
    own = rng.normal(0, 0.4, 8)[therapist]
    return pd.DataFrame(
        {
            "therapist": therapist,
            "person": person,
            "session": session,
            "alliance": 4.6 + 0.04 * session + own + rng.normal(0, 0.8, len(own)),
        }
    )


def table(models, **given):
    return model_table(models, **({"label": "tbl-x", "caption": "c"} | given))


def cells(models, **given):
    return table(models, **given).frame.set_index("Term")


def interval(row, digits=2):
    return format_interval(row["conf_low"], row["conf_high"], digits)


def test_one_model_has_a_column_for_all_that_is_known(grouped):
    fit = lmm("y ~ x + (1 | group)", grouped)
    made = table(
        fit, words={"(Intercept)": "Start", "intercepts": "starts", "x": "Slope", "group": "Groups"}
    )
    assert made.frame["Term"].tolist()[:4] == [
        "Start", "Slope", "Groups, SD of starts", "residual",
    ]  # fmt: skip
    row = fit.tidy().set_index("term").loc["x"]
    shown = made.frame.set_index("Term").loc["Slope"]
    assert shown["Estimate"] == format_number(row["estimate"])
    assert shown["SE"] == format_number(row["std_error"])
    assert shown["95% CI"] == interval(row)
    assert shown["df"] == format_df(row["df"])
    assert shown["t"] == format_number(row["statistic"])
    assert shown["p"] == format_p(row["p_value"])
    assert made.frame.set_index("Term").loc["residual", "Estimate"] == format_number(fit.sigma)
    assert made.frame.set_index("Term").loc["Units: Groups", "Estimate"] == "12"


def test_models_stand_side_by_side():
    data = ratings()
    empty = lmm("alliance ~ 1 + (1 | therapist/person)", data)
    growth = lmm("alliance ~ session + (1 + session | therapist)", data, reml=False)
    made = table({"Empty": empty, "Growth": growth}, words={"(Intercept)": "Intercept"})
    shown = made.frame.set_index("Term")
    row = growth.tidy().set_index("term").loc["session"]
    b = "Growth: b [95% CI]"
    assert shown.loc["session", b] == f"{format_number(row['estimate'])} {interval(row)}"
    assert shown.loc["session", "Growth: p"] == format_p(row["p_value"])
    assert shown.loc["session", "Empty: b [95% CI]"] == ""
    assert shown.loc["Rows", "Empty: b [95% CI]"] == str(empty.nobs)
    assert shown.loc["Units: therapist", "Empty: b [95% CI]"] == "8"
    assert shown.loc["residual", "Empty: b [95% CI]"] == format_number(empty.sigma)
    # a restricted likelihood has no AIC that compares
    assert shown.loc["AIC", "Empty: b [95% CI]"] == ""
    assert shown.loc["AIC", b] == format_number(growth.glance()["aic"].iloc[0])
    assert list(dict.fromkeys(made.sections)) == ["Fixed effects", "Random effects", "Sizes", "Fit"]
    random = [term for term, part in zip(made.frame["Term"], made.sections, strict=True)
              if part == "Random effects"]  # fmt: skip
    assert random[-1] == "residual"
    assert "therapist, correlation of intercepts and session" in random
    assert "Empty: Linear mixed model fitted by REML (alliance ~ 1" in made.note
    assert "mixed model fitted by maximum likelihood (alliance ~ session + (1 +" in made.note
    assert "Satterthwaite df" in made.note
    assert len(made.frame) == len(set(made.frame["Term"]))


def test_linear_and_generalized_models_stand_side_by_side(grouped, logistic):
    made = table({"Score": lmm("y ~ x + (1 | group)", grouped), "Left": logistic}, scale="ratio")
    shown = made.frame.set_index("Term")
    row = logistic.tidy().set_index("term").loc["x"]
    ratios = np.exp(row[["estimate", "conf_low", "conf_high"]].astype(float))
    words = f"{format_number(ratios['estimate'])} {interval(ratios)}"
    assert shown.loc["x", "Left: OR [95% CI]"] == words
    assert shown.loc["x", "Left: p"] == format_p(row["p_value"])
    assert shown.loc["(Intercept)", "Left: OR [95% CI]"] == ""
    assert shown.loc["(Intercept)", "Score: b [95% CI]"] != ""
    spread = logistic.tidy(effects="ran_pars")["estimate"].iloc[0]
    assert shown.loc["group, SD of intercepts", "Left: OR [95% CI]"] == format_number(spread)
    assert shown.loc["residual", "Left: OR [95% CI]"] == ""
    log_lik = format_number(logistic.log_lik)
    assert shown.loc["Log-likelihood", "Left: OR [95% CI]"] == log_lik
    assert "Linear mixed model fitted by REML" in made.note
    assert "Left: 12 units of group: in " in made.note
    assert "Generalized linear mixed model (binomial, logit link)" in made.note
    assert "OR: odds ratio. Intercepts, which are no ratios, are left out." in made.note
    assert "Ratios are for units with the same random effects." in made.note


def test_a_generalized_model_is_printed_on_its_link_unless_asked(logistic):
    made = table(logistic)
    row = logistic.tidy().set_index("term").loc["(Intercept)"]
    shown = made.frame.set_index("Term").loc["(Intercept)"]
    assert shown["Estimate"] == format_number(row["estimate"])
    assert shown["SE"] == format_number(row["std_error"])
    assert "z" in made.frame.columns
    assert "df" not in made.frame.columns
    assert "b of a model with a link: log odds." in made.note
    ratio = table(logistic, scale="ratio").frame
    assert list(ratio.columns) == ["Term", "OR", "95% CI", "z", "p"]


def test_a_link_without_ratio_is_refused(grouped):
    probit = glmm("left ~ x + (1 | group)", grouped, family="binomial", link="probit")
    with pytest.raises(ValueError, match="probit link has no ratio: ask for scale='link'"):
        table(probit, scale="ratio")


def test_residual_strata_have_a_row_each(grouped):
    halves = grouped.assign(half=np.where(np.arange(96) % 2, "odd", "even"))
    fit = lmm("y ~ x + (1 | group)", halves, residual=VarianceBy("half"))
    shown = cells(fit)
    strata = fit.tidy(effects="ran_pars").query("group == 'Residual'").set_index("level")
    for level in ("even", "odd"):
        number = format_number(strata.loc[level, "estimate"])
        assert shown.loc[f"residual ({level})", "Estimate"] == number


def test_decimals_are_the_callers_and_more_where_a_number_needs_them(grouped):
    fit = lmm("y ~ x + (1 | group)", grouped)
    slope = fit.tidy().set_index("term").loc["x", "estimate"]
    assert cells(fit, digits=3).loc["x", "Estimate"] == format_number(slope, 3)
    coarse = lmm("y ~ k + (1 | group)", grouped.assign(k=grouped["x"] * 1000))
    row = coarse.tidy().set_index("term").loc["k"]
    digits = -math.floor(math.log10(row["std_error"]))
    shown = cells(coarse).loc["k"]
    assert digits > 2
    assert shown["Estimate"] == format_number(row["estimate"], digits)
    assert shown["95% CI"] == interval(row, digits)


def test_normal_quantiles_have_no_df(grouped):
    made = table(lmm("y ~ x + (1 | group)", grouped), df_method="normal")
    assert "df" not in made.frame.columns
    assert "z" in made.frame.columns
    assert "tests with the normal distribution" in made.note


def test_a_singular_model_is_said_to_be_one():
    data = ratings().assign(alliance=lambda d: np.arange(len(d)) % 7 + 0.0)
    flat = lmm("alliance ~ 1 + (1 | therapist)", data)
    assert flat.singular
    assert "Flat: Boundary (singular) fit: " in table({"Flat": flat}).note
    assert table(flat).note.startswith("Boundary (singular) fit: ")


def test_no_row_is_lost(grouped):
    fit = lmm("y ~ x + (1 | group)", grouped)
    with pytest.raises(DataError, match="Two rows of one model are named 'x' in words="):
        table({"M": fit}, words={"(Intercept)": "x"})
    with pytest.raises(DataError, match="models is empty"):
        table({})


def test_the_note_says_what_was_assumed_of_the_residual(grouped):
    weighted = grouped.assign(w=1.0 + np.arange(96) % 3, v=0.5)
    formula = "y ~ x + (1 | group)"
    by_weight = table(lmm(formula, weighted, weights="w")).note
    assert "with weighted rows (residual at weight 1)" in by_weight
    assert "weight" not in table(lmm(formula, weighted)).note
    both = table({"A": lmm(formula, weighted, weights="w"), "B": lmm(formula, weighted)}).note
    assert "A: Linear mixed model fitted by REML (y ~ x + (1 | group)) with weighted rows" in both
    known = lmm("y ~ 1 + (1 | group)", weighted, known_variance="v")
    assert "with known sampling variances" in table(known).note
    order = weighted.assign(time=np.arange(96) % 8)
    serial = lmm(formula, order, residual=AR1("time", within="group"))
    assert "with AR1 residuals over time" in table(serial).note


def test_the_heading_has_the_level_that_was_asked_for(grouped):
    fit = lmm("y ~ x + (1 | group)", grouped)
    assert "97.5% CI" in table(fit, conf_level=0.975).frame
    assert "A: b [99.9% CI]" in table({"A": fit}, conf_level=0.999).frame
    assert "97.5% CI [" in report(fit, conf_level=0.975)


def test_dots_in_names_stay_where_they_are():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 10), "week": np.tile(np.arange(10.0), 12)})
    data["WAI.total"] = rng.normal(size=120)
    data["y"] = rng.normal(size=120) + rng.normal(size=12)[data["g"]] * data["week"]
    model = lmm("y ~ `WAI.total` + week + (1 + `WAI.total` + week | g)", data)
    names = model_table(model, label="tbl-a", caption="c").frame.iloc[:, 0].tolist()
    assert "g, correlation of WAI.total and week" in names


def test_the_decimal_sign_is_the_readers(grouped):
    shown = cells(lmm("y ~ x + (1 | group)", grouped), decimal=",").loc["x"]
    assert "," in shown["Estimate"]
    assert ";" in shown["95% CI"]
    assert "." not in "".join(shown.astype(str))


def test_a_regression_stands_beside_a_mixed_model(grouped):
    plain = regression("y ~ x", grouped)
    made = table({"Plain": plain, "Nested": lmm("y ~ x + (1 | group)", grouped)}).frame
    row = plain.tidy().set_index("term").loc["x"]
    found = f"{format_number(row['estimate'])} {interval(row)}"
    assert made.set_index("Term").loc["x", "Plain: b [95% CI]"] == found
