"""What lmm refuses, and what it says."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import (
    AllianceStatsWarning,
    DataError,
    FormulaError,
    NotIdentifiedError,
)
from alliance_stats.multilevel import AR1, CR2, VarianceBy, lmm


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.normal(size=60),
            "x": rng.normal(size=60),
            "g": np.repeat(np.arange(10), 6),
            "role": np.tile(["mother", "father", "child"], 20),
            "one": "only",
            "session": np.tile(np.arange(6), 10),
            "weight": 1.0,
            "fam id": np.repeat([f"fam {i}" for i in range(10)], 6),
        }
    )


FORMULAS = {
    "y ~ xs + (1 | g)": "The formula uses 'xs', but the data have no such column",
    "y ~ x + (1 | gg)": "groups by 'gg', but the data have no such column. Did you mean 'g'?",
    "y ~ x + (1 + rol | g)": "Did you mean 'role'?",
    "Y ~ x + (1 | g)": "Did you mean 'y'?",
    "y ~ x": "has no random term such as '(1 | person)'",
    "y ~ x + (1 | g": "is not closed",
    "y ~ x + 1 | g": "needs brackets: '(1 | group)'",
    "y ~ x * (1 | g)": "must be joined by '+'",
    "y ~ x + (1 | g) + (1 | g)": "appears twice",
    "y x + (1 | g)": "needs an outcome, a '~' and a right-hand side",
    "y ~ x + (0 | g)": "has no random effect",
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas(data, formula):
    with pytest.raises(FormulaError) as caught:
        lmm(formula, data)
    assert FORMULAS[formula] in str(caught.value)


def test_missing_values_are_set_aside_and_counted(data):
    data.loc[3, "g"] = np.nan
    data.loc[[5, 6], "x"] = np.nan
    model = lmm("y ~ x + (1 | g)", data)
    ledger = model.rows.tidy().set_index("reason")["rows_set_aside"]
    assert ledger["'g' is missing"] == 1
    assert ledger["'x' is missing"] == 2
    assert model.nobs == model.rows.n_used == 57
    assert "2 set aside: 'x' is missing" in model.summary()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": 1.0}, "The outcome 'y' is 1 in all 60 rows used"),
        ({"one_unit": "a"}, "'one_unit' has one unit in the rows used"),
        ({"x": np.nan}, "No row has all of 'y', 'x', 'one_unit'"),
    ],
)
def test_nothing_to_estimate(data, change, message):
    data = data.assign(one_unit=data["g"]).assign(**change)
    with pytest.raises((NotIdentifiedError, DataError), match=message):
        lmm("y ~ x + (1 | one_unit)", data)


def test_infinite_values_name_their_rows(data):
    data.loc[[2, 7], "y"] = np.inf
    with pytest.raises(DataError, match="'y' is not a finite number in rows 2, 7"):
        lmm("y ~ x + (1 | g)", data)
    with pytest.raises(DataError, match=r"'log\(x\)' is not a finite number in row"):
        lmm("y ~ log(x) + (1 | g)", data.assign(y=data["x"]))


def test_one_observation_per_unit(data):
    data["row"] = np.arange(60)
    with pytest.raises(NotIdentifiedError, match=r"\(1 \| row\): each of the 60 rows is a unit"):
        lmm("y ~ x + (1 | row)", data)
    assert lmm("y ~ x + (1 | row)", data, known_variance="weight").sigma == 1.0


def test_more_random_effects_than_rows(data):
    with pytest.raises(NotIdentifiedError, match="asks for 60 random effects"):
        lmm("y ~ x + (1 + x + role + role:x | g)", data)


def test_a_factor_with_one_level(data):
    with pytest.raises(NotIdentifiedError, match=r"'one' has one level .* \('only'\)"):
        lmm("y ~ one + (1 | g)", data)


def test_dependent_columns_are_aliased_and_named(data):
    model = lmm("y ~ x + I(2 * x) + (1 | g)", data)
    table = model.tidy().set_index("term")
    assert np.isnan(table.loc["I(2 * x)", "estimate"])
    assert table.loc["x", "estimate"] == pytest.approx(
        lmm("y ~ x + (1 | g)", data).beta["x"], rel=1e-9
    )
    assert model.summary().startswith("Not estimable, since other columns determine them: I(2 * x)")


def test_weights(data):
    data.loc[[1, 4], "weight"] = [-1.0, 0.0]
    with pytest.raises(
        DataError, match="'weight' must be positive and finite; it is not in rows 1, 4"
    ):
        lmm("y ~ x + (1 | g)", data, weights="weight")
    with pytest.raises(DataError, match="not both"):
        lmm("y ~ x + (1 | g)", data, weights="x", known_variance="weight")
    with pytest.raises(DataError, match="no column 'wieght'. Did you mean 'weight'?"):
        lmm("y ~ x + (1 | g)", data, weights="wieght")


def test_text_outcome(data):
    with pytest.raises(DataError, match="'role' must be one numeric column"):
        lmm("role ~ x + (1 | g)", data)


def test_outcome_without_residual(data):
    with pytest.raises(NotIdentifiedError, match="explain 'y' without error"):
        lmm("y ~ x + (1 | g)", data.assign(y=3 * data["x"]))
    with pytest.raises(NotIdentifiedError, match="Does the outcome vary within units"):
        lmm("y ~ 1 + (1 | g)", data.assign(y=data["g"].astype(float)))


def test_two_names_for_the_same_units(data):
    with pytest.raises(NotIdentifiedError, match="'g' and 'fam id' group the rows in the same way"):
        lmm("y ~ x + (1 | g) + (1 | `fam id`)", data)


def test_residual_structures(data):
    again = data.assign(session=data["session"].where(data.index != 1, 0))
    with pytest.raises(DataError, match="AR1 needs one row a 'g' and 'session'.* row 1"):
        lmm("y ~ x + (1 | g)", again, residual=AR1("session", within="g"))
    with pytest.raises(DataError, match="not a whole number in rows 1, 3, 5"):
        lmm(
            "y ~ x + (1 | g)",
            data.assign(session=data["session"] / 2),
            residual=AR1("session", within="g"),
        )
    with pytest.raises(NotIdentifiedError, match="needs two or more values"):
        lmm("y ~ x + (1 | g)", data, residual=VarianceBy("one"))
    with pytest.raises(DataError, match="at most one VarianceBy"):
        lmm("y ~ x + (1 | g)", data, residual=[VarianceBy("role"), VarianceBy("g")])
    with pytest.raises(DataError, match="lie in several units of 'role'"):
        lmm("y ~ x + (1 | role)", data, residual=AR1("session", within="g"))
    with pytest.raises(DataError, match="no column 'sesion'. Did you mean 'session'"):
        lmm("y ~ x + (1 | g)", data, residual=AR1("sesion", within="g"))


def test_predictions(data):
    model = lmm("y ~ x + role + (1 | g)", data)
    new = pd.DataFrame({"x": [0.0, 1.0], "role": ["mother", "child"], "g": [3, 99]})
    assert len(model.predict(new)) == 2
    with pytest.raises(
        DataError, match=r"1 unit\(s\) of 'g' that the fit has not seen \(99\), in row 1"
    ):
        model.predict(new, level="conditional")
    with pytest.raises(DataError, match="'role' is 'granny' in row 0, which the fit has not seen"):
        model.predict(new.assign(role=["granny", "child"]))
    with pytest.raises(DataError, match="'x' is missing in row 1"):
        model.predict(new.assign(x=[0.0, np.nan]))
    with pytest.raises(DataError, match="newdata has no column 'role'"):
        model.predict(new[["x"]])


def test_arguments(data):
    model = lmm("y ~ x + (1 | g)", data)
    with pytest.raises(ValueError, match="df_method must be one of"):
        model.tidy(df_method="satterthwait")
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        model.tidy(conf_level=95)
    with pytest.raises(DataError, match="'person' is not a grouping factor"):
        model.tidy(vcov=CR2("person"))
    with pytest.raises(ValueError, match="defined for REML fits"):
        lmm("y ~ x + (1 | g)", data, reml=False).tidy(df_method="kenward-roger")
    with pytest.raises(ValueError, match="linear in its parameters"):
        lmm("y ~ x + (1 | g)", data, residual=VarianceBy("role")).tidy(df_method="kenward-roger")
    with pytest.raises(DataError, match="must be a pandas DataFrame; got list"):
        lmm("y ~ x + (1 | g)", [1])
    with pytest.raises(DataError, match="no rows"):
        lmm("y ~ x + (1 | g)", data.iloc[:0])


def test_the_callers_frame_is_not_changed(data):
    before = data.copy(deep=True)
    lmm("y ~ x + role + (1 + x | g)", data, weights="weight").augment()
    pd.testing.assert_frame_equal(data, before)


def test_an_absent_category_is_never_the_reference(data):
    held = data.assign(role=pd.Categorical(data["role"]))
    some = held[held["role"] != "child"]
    model = lmm("y ~ role + (1 | g)", some)
    assert list(model.beta.index) == ["(Intercept)", "role[T.mother]"]
    means = some.groupby("role", observed=True)["y"].mean()
    assert model.beta["role[T.mother]"] == pytest.approx(
        means["mother"] - means["father"], abs=1e-8
    )


def test_pandas_nullable_types_are_read_like_numpys(data):
    plain = lmm("y ~ x + role + (1 | g)", data)
    nullable = lmm("y ~ x + role + (1 | g)", data.convert_dtypes())
    pd.testing.assert_frame_equal(plain.tidy(), nullable.tidy())
    new = data.convert_dtypes().head(4)
    np.testing.assert_allclose(
        nullable.predict(new)["estimate"], plain.predict(data.head(4))["estimate"]
    )


def test_numbers_written_as_text_are_not_categories(data):
    data["investment"] = [f"{value:.2f}".replace(".", ",") for value in data["x"]]
    with pytest.raises(DataError, match="'investment' holds numbers written as text"):
        lmm("y ~ investment + (1 | g)", data)


def test_whole_numbers_beside_a_word_are_categories_and_said_to_be(data):
    stray = data.assign(items=[str(place % 5) for place in range(len(data))])
    stray.loc[stray.index[3], "items"] = "k.A."
    said = "'items' holds whole numbers written as text .'0'. beside 'k.A.' in row"
    with pytest.warns(AllianceStatsWarning, match=said):
        found = lmm("y ~ items + (1 | g)", stray)
    told = lmm("y ~ items + (1 | g)", stray.assign(items=stray["items"].astype("category")))
    np.testing.assert_allclose(found.beta, told.beta)
    open_ended = stray.assign(items=stray["items"].replace({"k.A.": "5+"}))
    assert lmm("y ~ items + (1 | g)", open_ended).nobs == len(data)


def test_names_that_are_not_pythons(data):
    odd = data.rename(columns={"y": "WAI-S", "x": "score.2", "g": "fam id 2"})
    model = lmm("`WAI-S` ~ `score.2` + (1 + `score.2` | `fam id 2`)", odd)
    plain = lmm("y ~ x + (1 + x | g)", data)
    np.testing.assert_allclose(model.beta, plain.beta)
    np.testing.assert_allclose(
        model.predict(odd.head(3), level="conditional")["estimate"],
        plain.predict(data.head(3), level="conditional")["estimate"],
    )
