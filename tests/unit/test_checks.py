"""The checks at the door: each names the column and the rows."""

import re

import numpy as np
import pandas as pd
import pytest

from alliance_stats import checks
from alliance_stats.errors import DataError


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"alliance": [1.0, np.nan, 3.0], "family": ["b", "a", "b"]}, index=[10, 20, 30]
    )


def test_nearest_name_is_proposed_whatever_the_case():
    assert checks.did_you_mean("Aliance", ["alliance", "family"]) == "Did you mean 'alliance'?"
    assert checks.did_you_mean("FAMILY", ["alliance", "Family"]) == "Did you mean 'Family'?"


def test_names_are_listed_where_none_is_near():
    assert checks.did_you_mean("zzz", ["a", "b"]) == "There are: 'a', 'b'."


@pytest.mark.parametrize(
    ("n_bad", "text"),
    [
        (1, "row 0"),
        (2, "rows 0, 1"),
        (5, "rows 0, 1, 2, 3, 4"),
        (6, "rows 0, 1, 2, 3, 4 and 1 more row"),
        (8, "rows 0, 1, 2, 3, 4 and 3 more rows"),
    ],
)
def test_rows_are_named_up_to_five(n_bad: int, text: str):
    mask = np.arange(9) < n_bad
    assert checks.describe_rows(mask, pd.RangeIndex(9)) == text


def test_rows_are_named_by_the_callers_labels(frame: pd.DataFrame):
    assert checks.describe_rows([False, True, True], frame.index) == "rows 20, 30"


def test_what_is_not_a_frame_is_refused():
    with pytest.raises(DataError, match=r"must be a pandas DataFrame; got list\. A file is read"):
        checks.check_frame([1, 2])


def test_a_column_that_stands_twice_is_refused():
    with pytest.raises(DataError, match="Column 'a' stands more than once in data; rename one"):
        checks.check_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_an_empty_frame_is_refused(frame: pd.DataFrame):
    with pytest.raises(DataError, match="ratings has no rows: there is nothing to compute from"):
        checks.check_frame(frame.iloc[:0], what="ratings")


def test_a_good_frame_passes_as_the_same_object(frame: pd.DataFrame):
    assert checks.check_frame(frame) is frame


def test_a_missing_column_is_named_with_its_neighbour(frame: pd.DataFrame):
    checks.require_columns(frame, ["alliance", None])
    with pytest.raises(DataError, match=r"data has no column 'familly'\. Did you mean 'family'\?"):
        checks.require_columns(frame, ["alliance", "familly"])


def test_a_needed_value_that_is_missing_is_refused(frame: pd.DataFrame):
    checks.require_present(frame, "family", why="to know the family")
    message = "Column 'alliance' is missing in row 20, but it is needed to fit. Fill it in"
    with pytest.raises(DataError, match=message):
        checks.require_present(frame, "alliance", why="to fit")


def test_numbers_come_back_as_floats_with_nan(frame: pd.DataFrame):
    values = checks.finite_or_missing(frame, "alliance")
    np.testing.assert_array_equal(values, [1.0, np.nan, 3.0])
    nullable = pd.DataFrame({"x": pd.array([1, None], dtype="Int64")})
    np.testing.assert_array_equal(checks.finite_or_missing(nullable, "x"), [1.0, np.nan])


def test_text_is_not_a_number(frame: pd.DataFrame):
    with pytest.raises(DataError, match="Column 'family' must be numeric; its values are of type"):
        checks.finite_or_missing(frame, "family")


def test_infinity_is_refused(frame: pd.DataFrame):
    with pytest.raises(DataError, match="Column 'alliance' is infinite in rows 10, 30"):
        checks.finite_or_missing(frame.assign(alliance=[np.inf, 1, -np.inf]), "alliance")


def test_groups_are_numbered_in_sorted_order_and_missing_is_minus_one():
    codes, labels = checks.group_codes(pd.Series(["b", None, "a", "b"]))
    assert codes.tolist() == [1, -1, 0, 1]
    assert labels.tolist() == ["a", "b"]


def test_unused_categories_do_not_count():
    values = pd.Series(pd.Categorical(["y", "x"], categories=["z", "y", "x"]))
    codes, labels = checks.group_codes(values)
    assert labels.tolist() == ["y", "x"]
    assert codes.tolist() == [0, 1]


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1, float("nan"), "95", None, [0.9]])
def test_a_confidence_level_lies_between_0_and_1(level: object):
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        checks.check_conf_level(level)
    assert checks.check_conf_level(0.9) == 0.9


def test_a_choice_is_refused_with_the_choices():
    assert checks.check_choice("a", ("a", "b"), name="how") == "a"
    with pytest.raises(ValueError, match=re.escape("how must be one of 'a', 'b'; got 'c'.")):
        checks.check_choice("c", ("a", "b"), name="how")


def test_units_with_several_values_come_in_order_of_appearance():
    data = pd.DataFrame(
        {"unit": ["z", "a", "z", "b", "b", None, None], "x": [1, 1, 2, 5, np.nan, 1, 2]}
    )
    assert checks.units_with_several(data, unit="unit", column="x").tolist() == ["z", "b"]


def test_units_all_missing_are_constant():
    data = pd.DataFrame({"unit": ["a", "a"], "x": [np.nan, np.nan]})
    assert not len(checks.units_with_several(data, unit="unit", column="x"))


def test_a_column_never_varies_within_itself():
    data = pd.DataFrame({"family": ["a", "a", "b"]})
    assert len(checks.units_with_several(data, unit="family", column="family")) == 0


# ---- spelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("usual", "usual "),
        ("usual", "Usual"),
        ("as usual", "as\u00a0usual"),
        ("as usual", "as  usual"),
        ("usual", "\u200busual"),
        ("José", "Jose\u0301"),
        ("trauma-informed", "trauma\u2013informed"),
        (1, "1"),
        (1.0, "01"),
    ],
)
def test_look_alikes_are_refused(one: object, other: object):
    values = pd.Series([one, other, None, "else"], index=[4, 5, 6, 7], name="arm", dtype=object)
    write = repr if other == "José" else ascii
    shown = f"{write(int(one) if isinstance(one, float) else one)} (row 4), {write(other)} (row 5)"
    with pytest.raises(DataError) as error:
        checks.check_spelling(values)
    assert str(error.value) == (
        f"Column 'arm' spells what looks like one label in 2 ways: {shown}. Spell it in one way; "
        "if they are different labels, rename one."
    )


@pytest.mark.parametrize("blank", ["", "  ", "\u00a0", "\u200b"])
def test_a_blank_is_no_label(blank: str):
    values = pd.Series(["a", blank, "b", blank], name="arm")
    with pytest.raises(DataError) as error:
        checks.check_spelling(values, kind="role")
    assert str(error.value) == (
        "Column 'arm' is blank in rows 1, 3, and a blank is no role. Fill it in, or set it to "
        "missing."
    )


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 1.0, 2, np.nan]),
        pd.Series([True, False]),
        pd.Series(["1", "10", "-1", "0.5", "0.05", "v1.10", "v1.1"]),
        pd.Series(["0,5 mg", "0,05 mg", "1,10", "1,1"]),
        pd.Series(["a", "b", None], dtype="category"),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series([None, None], dtype=object),
    ],
)
def test_what_differs_passes(values: pd.Series):
    checks.check_spelling(values)


def test_spellings_are_held_against_each_other_within_one_unit():
    values, within = pd.Series(["a", "A", "a"], name="id"), pd.Series([1, 2, 2])
    checks.check_spelling(values[:2], within=within[:2])
    with pytest.raises(DataError, match=re.escape("2 ways: 'A' (row 1), 'a' (row 2)")):
        checks.check_spelling(values, within=within)


def test_spellings_under_a_missing_unit_are_named():
    values = pd.Series(["a", "A", "a"], name="person", dtype=object)
    within = pd.Series([np.nan, np.nan, 1.0])
    with pytest.raises(DataError, match=r"in 2 ways: 'a' \(row 0\), 'A' \(row 1\)"):
        checks.check_spelling(values, within=within)


def test_a_spelling_is_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    looked_at: list[object] = []
    monkeypatch.setattr(checks, "_plain_spelling", lambda value: looked_at.append(value) or value)
    checks.check_spelling(pd.Series(["a", "b", "a", None, "b"], dtype=object))
    assert looked_at == ["a", "b"]
