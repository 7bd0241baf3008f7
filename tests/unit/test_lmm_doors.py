"""What stands at the doors of the multilevel room: each wrong question and the answer to it."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import (
    AR1,
    CR2,
    compare_models,
    comparisons,
    estimated_means,
    glmm,
    johnson_neyman,
    likelihood_ratio_test,
    lmm,
    parametric_bootstrap,
    profile,
    r_squared,
    simple_slopes,
    variance_partition,
)

FORMULA = "y ~ x + (1 | g)"
# The same arithmetic on the same numbers.
CLOSE = 1e-12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(10), 6)
    x = rng.normal(size=60) + 5
    y = rng.normal(size=10)[g] + rng.normal(size=60)
    return pd.DataFrame(
        {
            "y": y,
            "z": (y > 0).astype(int),
            "x": x,
            "g": g,
            "role": np.tile(["mother", "father", "child"], 20),
            "one": "only",
            "constant": 1,
            "session": np.tile(np.arange(6), 10),
            "w": 1.0 + rng.random(60),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.tile(np.arange(6), 10), "D"),
        }
    )


@pytest.fixture(scope="module")
def model(data):
    return lmm(FORMULA, data)


@pytest.fixture(scope="module")
def sloped(data):
    return lmm("y ~ x * role + (1 + session | g)", data)


ONE_LEVEL = {
    "y ~ x + C(one) + (1 | g)": r"'C\(one\)' has one level in the rows used \('only'\)",
    "y ~ x + C(constant) + (1 | g)": r"'C\(constant\)' has one level .* \('1'\)",
    "y ~ x * C(one) + (1 | g)": r"'C\(one\)' has one level",
    "y ~ 0 + one + (1 | g)": "'one' has one level",
    "y ~ x + (1 + one | g)": "'one' has one level",
    "y ~ x + (1 + C(constant) | g)": r"'C\(constant\)' has one level",
}


@pytest.mark.parametrize("formula", ONE_LEVEL)
def test_a_factor_with_one_level_does_not_vanish(data, formula):
    with pytest.raises(NotIdentifiedError, match=ONE_LEVEL[formula]):
        lmm(formula, data)


@pytest.mark.parametrize("factor", ["role", "C(role)", "C(role, Treatment('child'))"])
def test_a_factor_of_which_missing_values_leave_one_level(data, factor):
    left = data.assign(x=data["x"].where(data["role"] == "child"))
    with pytest.raises(NotIdentifiedError, match=r"has one level in the rows used \('child'\)"):
        lmm(f"y ~ x + {factor} + (1 | g)", left)


def test_a_factor_with_one_level_in_a_generalized_model(data):
    with pytest.raises(NotIdentifiedError, match=r"'C\(one\)' has one level"):
        glmm("z ~ session + C(one) + (1 | g)", data)


def test_a_constant_number_is_aliased_and_named(data):
    for column in ("constant", "yes"):
        table = lmm(f"y ~ x + {column} + (1 | g)", data.assign(yes=True)).tidy()
        assert table.set_index("term")["estimate"].isna().to_dict() == {
            "(Intercept)": False, "x": False, column: True,
        }  # fmt: skip


UNREADABLE = {
    "dates": ({"x": lambda d: d["day"]}, r"'x' holds datetime64\[.*\] values, .* no unit"),
    "time spans": ({"x": lambda d: d["day"] - d["day"].min()}, r"'x' holds timedelta64"),
    "periods": ({"x": lambda d: d["day"].dt.to_period("D")}, r"'x' holds period\[D\] values"),
    "a date as outcome": ({"y": lambda d: d["day"]}, r"'y' holds datetime64"),
    "complex numbers": ({"x": lambda d: d["x"] + 0j}, "'x' holds complex numbers"),
    "lists": ({"x": lambda d: [[1]] * len(d)}, "'x' holds a list in rows 0, 1"),
    "lists as units": ({"g": lambda d: [[1]] * len(d)}, "'g' holds a list in rows 0, 1"),
    "text weights": ({"w": lambda d: d["role"]}, "'w' must be numeric; its values are of type"),
    "an empty column": ({"x": np.nan}, "No row has all of 'y', 'x', 'g'.* 'x' is missing"),
    "an empty outcome": ({"y": None}, "No row has all of 'y', 'x', 'g'.* 'y' is missing"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_columns_that_are_no_numbers(data, case):
    change, message = UNREADABLE[case]
    with pytest.raises(DataError, match=message):
        lmm(FORMULA, data.assign(**change), weights="w")


def test_a_date_may_name_a_unit(data):
    by_day = lmm("y ~ x + (1 | day)", data)
    assert by_day.glance()["n_day"].iloc[0] == 6


def test_frames_that_are_none(data):
    several = data.copy()
    several.columns = pd.MultiIndex.from_product([["a"], data.columns])
    with pytest.raises(DataError, match=r"names of 2 parts, as \('a', 'y'\)"):
        lmm(FORMULA, several)
    with pytest.raises(DataError, match="'x' appears more than once"):
        lmm(FORMULA, pd.concat([data, data[["x"]]], axis=1))
    with pytest.raises(DataError, match="no rows"):
        lmm(FORMULA, pd.DataFrame())
    with pytest.raises(NotIdentifiedError, match=r"1 fixed effect \(the .* from 1 row: nothing"):
        lmm(FORMULA, data.iloc[:1])
    for fit in (lmm, glmm):
        with pytest.raises(DataError, match="must be a pandas DataFrame; got str"):
            fit(data, FORMULA, weights="w")


TYPES = {
    "nullable numbers": ("x", lambda d: d["x"].round().astype("Int64")),
    "nullable yes or no": ("x", lambda d: (d["x"] > 5).astype("boolean")),
    "yes or no": ("x", lambda d: d["x"] > 5),
    "text": ("role", lambda d: d["role"].astype("string")),
    "categories": ("role", lambda d: pd.Categorical(d["role"], ["child", "father", "mother", "x"])),
    "units as text": ("g", lambda d: d["g"].astype("string")),
    "nullable units": ("g", lambda d: d["g"].astype("Int64")),
    "units of unused categories": ("g", lambda d: pd.Categorical(d["g"], range(20))),
}


@pytest.mark.parametrize("case", TYPES)
def test_pandas_types_mean_what_their_values_mean(data, case):
    column, typed = TYPES[case]
    values = typed(data)
    plain = pd.Series(values).astype(object).infer_objects()
    if plain.dtype == bool:
        plain = plain.astype(float)
    formula = "y ~ x + role + (1 | g)"
    ours = lmm(formula, data.assign(**{column: values})).tidy()
    theirs = lmm(formula, data.assign(**{column: plain})).tidy()
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours["estimate"], theirs["estimate"], rtol=1e-9)


def test_a_covariate_of_huge_scale(data, model):
    for change, scale in ((lambda x: x * 1e9, 1e9), (lambda x: x + 1e7, 1.0)):
        table = lmm(FORMULA, data.assign(x=change(data["x"]))).tidy()
        # a shift by 1e7 costs the column seven of its sixteen digits
        assert table["estimate"].iloc[1] * scale == pytest.approx(model.beta["x"], rel=1e-6)
        assert table["df"].iloc[1] == pytest.approx(model.tidy()["df"].iloc[1], rel=1e-5)
    # further off, double precision cannot tell it from the intercept, and the fit says so
    lost = lmm(FORMULA, data.assign(x=data["x"] + 1e12))
    assert lost.summary().startswith("Not estimable, since other columns determine them: x")


def test_arguments_of_the_wrong_kind(data):
    with pytest.raises(TypeError, match="reml must be True or False; got 'ML'"):
        lmm(FORMULA, data, reml="ML")
    for residual in ("AR1", ["AR1"], AR1):
        with pytest.raises(DataError, match=r"residual= takes VarianceBy\('role'\), VariancePower"):
            lmm(FORMULA, data, residual=residual)
    with pytest.raises(DataError, match="at most one of AR1, CAR1, CompoundSymmetry, Toeplitz"):
        lmm(FORMULA, data, residual=[AR1("session", "g"), AR1("session", "g")])
    with pytest.raises(DataError, match="weights= takes the name of a column of data; got Series"):
        lmm(FORMULA, data, weights=data["w"])
    with pytest.raises(DataError, match="known_variance= takes the name .* got float"):
        lmm(FORMULA, data, known_variance=1.0)
    with pytest.raises(DataError, match="offset= takes the name .* got Series"):
        glmm("z ~ session + (1 | g)", data, offset=data["w"])
    with pytest.raises(FormulaError, match="'sesion', but .* no such column. Did you mean 'sess"):
        lmm("y ~ sesion + (1 | g)", data)


def test_one_row_speaks_of_one_inference(model):
    for asked in ({"df_method": "kenward-roger"}, {"vcov": CR2("g")}):
        for ci_method in ("profile", "bootstrap"):
            with pytest.raises(ValueError, match="are two inferences"):
                model.tidy(ci_method=ci_method, seed=1, **asked)
    for ci_method in ("profile", "bootstrap"):
        with pytest.raises(ValueError, match="not defined for predicted random effects"):
            model.tidy(effects="ran_vals", ci_method=ci_method, seed=1)
    with pytest.raises(ValueError, match="CR2.* is defined for effects='fixed', not 'ran_pars'"):
        model.tidy(effects="ran_pars", vcov=CR2("g"))
    with pytest.raises(ValueError, match=r"vcov takes CR2\('therapist'\).* got 'CR2'"):
        model.tidy(vcov="CR2")
    # of random parameters there is one inference only, whatever the df of coefficients
    shown = model.tidy(effects="ran_pars", ci_method="profile", df_method="kenward-roger")
    assert shown["conf_low"].notna().all()


def test_an_impossible_level_is_refused_where_no_interval_is_made(model):
    for effects in ("fixed", "ran_pars", "ran_vals"):
        with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
            model.tidy(effects=effects, conf_level=95)
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        variance_partition(model).tidy(conf_level=95)


def test_questions_to_what_is_no_model(data, model):
    with pytest.raises(DataError, match="compare_models needs fitted models"):
        compare_models()
    with pytest.raises(DataError, match="got list. Give the models one by one"):
        compare_models([model, model])
    with pytest.raises(
        DataError, match="profile takes a model fitted by lmm, glmm or ordinal; got str"
    ):
        profile("model")
    after = [
        r_squared,
        lambda m: estimated_means(m, "role"),
        lambda m: simple_slopes(m, "x", by="role"),
        lambda m: comparisons(m, "x"),
        lambda m: johnson_neyman(m, "x", moderator="session"),
    ]
    for ask in after:
        with pytest.raises(DataError, match="fitted by lmm, glmm or regression is needed; got str"):
            ask("model")


def test_numbers_of_draws(model):
    small = lmm("y ~ 1 + (1 | g)", model.design.frame)
    with pytest.raises(ValueError, match="n_resamples must be a number .* got -3"):
        likelihood_ratio_test(model, small, n_resamples=-3, seed=1)
    for n in (0, 1, 2.5):
        with pytest.raises(ValueError, match="n_resamples must be a whole number of data sets"):
            parametric_bootstrap(model, n_resamples=n, seed=1)
    with pytest.raises(TypeError, match="seed must be a whole number; got 'a'"):
        parametric_bootstrap(model, n_resamples=2, seed="a")
    with pytest.raises(ValueError, match="at least 1; got 0"):
        model.simulate(1, n=0)
    with pytest.raises(ValueError, match="likelihood must be one of 'ML', 'REML'; got 'ml'"):
        profile(model, likelihood="ml")
    with pytest.raises(TypeError, match=r"terms takes a list of names, as \['x'\]"):
        profile(model, terms="x")


def test_where_variances_are_asked(model, sloped):
    with pytest.raises(DataError, match="at= takes a dictionary.* got list"):
        variance_partition(sloped, at=[3])
    with pytest.raises(DataError, match="at= names 'nope', on which no variance"):
        variance_partition(model, at={"nope": 3})
    with pytest.raises(DataError, match="Did you mean 'session'"):
        variance_partition(sloped, at={"session": 1, "sesion": 3})
    for value in ([1, 2], "late"):
        with pytest.raises(DataError, match="at= must give 'session' one number"):
            variance_partition(sloped, at={"session": value})
    with pytest.raises(DataError, match="at= takes a dictionary.* got list"):
        estimated_means(sloped, "role", at=[3])


@pytest.mark.parametrize("fit", [lmm, glmm])
def test_predictions_that_do_not_exist_name_their_rows(data, fit):
    model = fit("z ~ log(x) + (1 | g)", data)
    new = data.head(3)
    with pytest.raises(DataError, match=r"'log\(x\)' is not a finite number in rows 1, 2"):
        model.predict(new.assign(x=[1.0, 0.0, -1.0]))
    with pytest.raises(DataError, match=r"newdata: 'log\(x\)' is not a finite number in row 1"):
        model.predict(new.assign(x=[1.0, np.inf, 1.0]))
    with pytest.raises(DataError, match="'x' must be numeric, as in the fit; .* type object"):
        model.predict(new.assign(x="much"))


def test_predictions_at_an_infinite_slope(data, sloped):
    with pytest.raises(DataError, match="'session' is not a finite number in row 1"):
        sloped.predict(data.head(3).assign(session=[1.0, np.inf, 1.0]), level="conditional")


def test_comparisons_name_the_residual_structure(data):
    plain = lmm(FORMULA, data)
    structured = lmm(FORMULA, data, residual=AR1("session", within="g"))
    named = "y ~ x + (1 | g), residual=AR1(time='session', within='g')"
    test = likelihood_ratio_test(plain, structured)
    assert test.large == named
    assert test.small == FORMULA
    assert set(compare_models(plain, structured)["formula"]) == {FORMULA, named}


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "float16", "Int8", "UInt8"])
@pytest.mark.parametrize("term", ["I(n * n)", "I(n ** 3)", "I(-n)", "I(n - 100)"])
def test_narrow_numbers_do_not_overflow(data, kind, term):
    wide = data.assign(n=10 * data["session"] + 60)
    narrow = wide.astype({"n": kind})
    expected = lmm(f"y ~ {term} + (1 | g)", wide)
    found = lmm(f"y ~ {term} + (1 | g)", narrow)
    pd.testing.assert_series_equal(found.beta, expected.beta, rtol=CLOSE)
    np.testing.assert_allclose(found.predict(narrow), expected.predict(wide), rtol=CLOSE)


def test_large_integers_do_not_overflow(data):
    seconds = data.assign(n=1_700_000_000 + 604_800 * data["session"])
    expected = lmm("y ~ I(n ** 3) + (1 | g)", seconds.astype({"n": float}))
    found = lmm("y ~ I(n ** 3) + (1 | g)", seconds)
    pd.testing.assert_series_equal(found.beta, expected.beta, rtol=CLOSE)


@pytest.mark.parametrize("fit", [lmm, glmm])
def test_the_row_before_may_be_another_persons(data, fit):
    with pytest.raises(FormulaError, match="takes the row before, whoever's it is"):
        fit("z ~ lag(x) + (1 | g)", data)


@pytest.mark.parametrize(("fit", "outcome"), [(lmm, "y"), (glmm, "z")])
def test_no_small_effect_is_printed_as_none(data, fit, outcome):
    text = fit(f"{outcome} ~ x + (1 | g)", data.assign(x=1000 * data["x"])).summary()
    line = next(line for line in text.splitlines() if line.startswith("x "))
    assert " 0.000 " not in line.replace("−", " ")
