"""The checks at the door: each names the column and the rows."""

import re
from decimal import Decimal

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from alliance_stats import checks, spelling
from alliance_stats.door import plain_frame
from alliance_stats.errors import DataError
from alliance_stats.spelling import check_spelling


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"alliance": [1.0, np.nan, 3.0], "family": ["b", "a", "b"]}, index=[10, 20, 30]
    )


def test_nearest_name_is_proposed_whatever_the_case():
    assert checks.did_you_mean("Aliance", ["alliance", "family"]) == "Did you mean 'alliance'?"
    assert checks.did_you_mean("FAMILY", ["alliance", "Family"]) == "Did you mean 'Family'?"


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([12, 10, 12, 15], [1, 0, 1, 2]),
        ([-3, 2**40, -3], [0, 1, 0]),
        ([np.iinfo(np.int64).min, np.iinfo(np.int64).max], [0, 1]),
        ([2.0, np.nan, 1.0], [0, -1, 1]),
        (["b", None, "a", "b"], [0, -1, 1, 0]),
        (pd.Categorical(["b", None, "b"], ["a", "b"]), [0, -1, 0]),
    ],
)
def test_values_are_numbered_without_gaps(values, codes):
    assert checks.value_codes(pd.Series(values)).tolist() == codes


def test_whole_numbers_far_apart_or_close_have_the_same_groups():
    close = pd.Series([7, 3, 3, 5], name="unit")
    for values in (close, close * 10**15, close.astype(object), close.astype(float)):
        codes, labels = checks.group_codes(values)
        assert codes.tolist() == [2, 0, 0, 1]
        assert labels[codes].tolist() == values.tolist()


@pytest.mark.parametrize(
    ("outer", "inner", "codes"),
    [
        ([1, 0, 0, 1], [0, 1, 2, 0], [2, 0, 1, 2]),  # nested: by the outer one first
        ([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 2, 3]),  # crossed
        ([0, 0, 1, 1], [1, 1, 0, 1], [0, 0, 1, 2]),  # one inner unit in two outer ones
        ([0, -1, 1, 1], [0, 0, -1, 1], [0, -1, -1, 1]),
        ([-1, -1], [0, 1], [-1, -1]),
    ],
)
def test_pairs_of_codes_are_numbered_in_order(outer, inner, codes):
    assert checks.nested_codes(np.array(outer), np.array(inner)).tolist() == codes


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
    with pytest.raises(DataError, match="Column 'a' appears more than once in data; rename one"):
        checks.check_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_an_empty_frame_is_refused(frame: pd.DataFrame):
    with pytest.raises(DataError, match="ratings has no rows: there is nothing to compute from"):
        checks.check_frame(frame.iloc[:0], what="ratings")


def test_a_good_frame_passes_as_the_same_object(frame: pd.DataFrame):
    plain = frame.astype({"family": object})
    assert checks.check_frame(plain) is plain


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
        check_spelling(values)
    assert str(error.value) == (
        f"Column 'arm' spells what looks like one label in 2 ways: {shown}. Spell it in one way; "
        "if they are different labels, rename one."
    )


@pytest.mark.parametrize("blank", ["", "  ", "\u00a0", "\u200b"])
def test_a_blank_is_no_label(blank: str):
    values = pd.Series(["a", blank, "b", blank], name="arm")
    with pytest.raises(DataError) as error:
        check_spelling(values, kind="role")
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
    check_spelling(values)


def test_spellings_are_held_against_each_other_within_one_unit():
    values, within = pd.Series(["a", "A", "a"], name="id"), pd.Series([1, 2, 2])
    check_spelling(values[:2], within=within[:2])
    with pytest.raises(DataError, match=re.escape("2 ways: 'A' (row 1), 'a' (row 2)")):
        check_spelling(values, within=within)


def test_spellings_under_a_missing_unit_are_named():
    values = pd.Series(["a", "A", "a"], name="person", dtype=object)
    within = pd.Series([np.nan, np.nan, 1.0])
    with pytest.raises(DataError, match=r"in 2 ways: 'a' \(row 0\), 'A' \(row 1\)"):
        check_spelling(values, within=within)


def test_a_spelling_is_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    looked_at: list[object] = []
    monkeypatch.setattr(spelling, "_plain_spellings", lambda v: looked_at.extend(v) or list(v))
    check_spelling(pd.Series(["a", "b", "a", None, "b"], dtype=object))
    assert looked_at == ["a", "b"]


# ---- the door: a table of any kind becomes plain columns -----------------------------------------


def arrow(data: pd.DataFrame) -> pd.DataFrame:
    return data.convert_dtypes(dtype_backend="pyarrow")


@pytest.fixture
def course() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": ["b", "b", "a", "a"],
            "session": [1, 2, 1, 2],
            "alliance": [4.5, np.nan, 3.0, 5.0],
            "rated": [True, False, True, True],
            "day": pd.to_datetime(["2024-01-01", "2024-01-08", None, "2024-02-01"]),
        }
    ).astype({"person": object})  # as numpy has it; pandas 3 has a type of its own for text


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(lambda data: data.convert_dtypes(), id="nullable"),
        pytest.param(arrow, id="arrow"),
        pytest.param(lambda data: data.astype(object), id="objects"),
        pytest.param(
            lambda data: data.assign(
                session=pd.Series(data["session"].to_numpy().astype(">i8")),
                alliance=pd.Series(data["alliance"].to_numpy().astype(">f8")),
            ),
            id="big endian",
        ),
        pytest.param(
            lambda data: data.assign(alliance=data["alliance"].astype(pd.SparseDtype("float64"))),
            id="sparse",
        ),
        pytest.param(lambda data: data.set_index(["person", "session"], drop=False), id="index"),
        pytest.param(lambda data: data.set_axis([0, 0, 1, 1]), id="repeated labels"),
    ],
)
def test_columns_of_every_kind_become_plain(course: pd.DataFrame, spelled):
    data = spelled(course)
    before = data.copy()
    plain = checks.check_frame(data)
    expected = course.astype({"day": object}) if data["day"].dtype == object else course
    pd.testing.assert_frame_equal(plain.reset_index(drop=True), expected)
    pd.testing.assert_frame_equal(data, before)
    assert checks.check_frame(plain) is plain


@pytest.mark.parametrize(
    ("short", "wide"),
    [("int8", "int64"), ("uint8", "int64"), ("float16", "float64"), ("float32", "float64")],
)
def test_short_numbers_get_eight_bytes(short: str, wide: str):
    data = pd.DataFrame({"x": np.array([1, 2, 200 if short != "int8" else 100], dtype=short)})
    plain = checks.check_frame(data)["x"]
    assert plain.dtype == wide
    assert (plain == data["x"]).all()
    assert data["x"].dtype == short


def test_whole_numbers_with_gaps_are_floats_where_floats_tell_them_apart():
    data = pd.DataFrame({"n": pd.array([1, None], "Int64"), "id": pd.array([2**60, None], "Int64")})
    plain = checks.check_frame(data)
    assert plain["n"].dtype == np.float64
    assert plain["id"].tolist()[0] == 2**60
    ids = pd.DataFrame({"id": np.array([2**60, 2**60 + 1], dtype=object)})
    assert checks.check_frame(ids)["id"].tolist() == [2**60, 2**60 + 1]


def test_dictionaries_of_arrow_are_read_by_value():
    pa = pytest.importorskip("pyarrow")
    kind = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    data = pd.DataFrame({"arm": pd.Series(["a", None, "b"], dtype=kind)})
    assert checks.check_frame(data)["arm"].tolist()[0::2] == ["a", "b"]
    assert checks.check_frame(data)["arm"].dtype == object


def test_categories_stay_categories_of_plain_values():
    arms = (
        pd.Series(["x", "y"], dtype="string").astype("category").cat.reorder_categories(["y", "x"])
    )
    plain = checks.check_frame(pd.DataFrame({"arm": arms}))["arm"]
    assert list(plain.cat.categories) == ["y", "x"]
    assert plain.cat.categories.dtype == object
    assert plain.tolist() == ["x", "y"]


def test_true_false_and_missing_stay_and_count_as_one_and_zero():
    data = checks.check_frame(pd.DataFrame({"left": [True, None, False]}))
    assert data["left"].tolist()[0] is True
    np.testing.assert_array_equal(checks.finite_or_missing(data, "left"), [1.0, np.nan, 0.0])


def test_a_text_among_numbers_is_named():
    data = pd.DataFrame({"alliance": [4, "n.a.", 5]}, index=[2, 3, 4])
    with pytest.raises(DataError, match=r"of type object, as 'n\.a\.' in row 3"):
        checks.finite_or_missing(checks.check_frame(data), "alliance")


def test_numbers_beyond_all_doubles_are_refused():
    for cells in ([1, 10**400], ["a", 10**400], [0.5, -(10**400)]):
        data = pd.DataFrame({"x": pd.Series(cells, index=[7, 8], dtype=object)})
        with pytest.raises(DataError, match="'x' holds a whole number of more than 300 .* row 8"):
            checks.check_frame(data)


def test_attributes_are_left_at_the_door(frame: pd.DataFrame):
    frame.attrs = {"labels": np.array([1, 2])}
    assert checks.check_frame(frame).attrs == {}
    assert "labels" in frame.attrs
    careful = frame.rename_axis(None).set_flags(allows_duplicate_labels=False)
    assert checks.check_frame(careful).flags.allows_duplicate_labels


class _Polars:
    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})


def test_tables_of_other_makers_are_taken():
    assert checks.check_frame(_Polars())["a"].tolist() == [1]
    pa = pytest.importorskip("pyarrow")
    assert checks.check_frame(pa.table({"a": [1, 2]}))["a"].tolist() == [1, 2]


@pytest.mark.parametrize("data", [None, {"a": [1]}, pd.Series([1]), np.ones((2, 2)), "a.csv"])
def test_what_is_no_table_is_refused(data: object):
    with pytest.raises(DataError, match="data must be a pandas DataFrame; got"):
        checks.check_frame(data)


def test_names_of_several_parts_or_half_characters_are_refused(frame: pd.DataFrame):
    parts = frame.set_axis(pd.MultiIndex.from_product([["x"], frame.columns]), axis="columns")
    with pytest.raises(DataError, match=r"names of 2 parts, as \('x', 'alliance'\)"):
        checks.check_frame(parts)
    with pytest.raises(DataError, match=r"column name 'a\\ud800' of data holds half a character"):
        checks.check_frame(
            pd.DataFrame([[1]], columns=pd.Index(["a\ud800"], dtype=object))  # no text of Arrow
        )
    with pytest.raises(DataError, match=r"'arm' holds half a character.*\(row 1\)"):
        check_spelling(pd.Series(["x", "\udc80"], name="arm", dtype=object))


def test_a_column_that_is_the_index_is_pointed_to(course: pd.DataFrame):
    for keys in ("person", ["person", "session"]):
        data = checks.check_frame(course.set_index(keys))
        with pytest.raises(DataError, match=r"no column 'person': it is the index.*reset_index"):
            checks.require_columns(data, ["person"])


def test_lists_are_no_labels_and_no_names(frame: pd.DataFrame):
    lists = pd.DataFrame({"arm": [["a"], ["b"]]}, index=[5, 6])
    for ask in (
        lambda: check_spelling(lists["arm"]),
        lambda: checks.group_codes(lists["arm"]),
    ):
        with pytest.raises(
            DataError, match="Column 'arm' holds a list in rows 5, 6, where one value"
        ):
            ask()
    with pytest.raises(DataError, match=r"called by one name; got \['family'\]"):
        checks.require_columns(frame, [["family"]])


def test_tables_of_other_libraries_are_taken_at_the_door(monkeypatch: pytest.MonkeyPatch):
    pa = pytest.importorskip("pyarrow")
    plain = pd.DataFrame({"id": ["a", "b"], "wai": [4.0, np.nan]}).astype({"id": object})
    table = pa.Table.from_pandas(plain)
    for given in (table, nw.from_native(table), nw.from_native(plain).lazy()):
        pd.testing.assert_frame_equal(plain_frame(given, what="data"), plain)

    def missing(self: object) -> None:
        raise ModuleNotFoundError("pyarrow")

    monkeypatch.setattr(nw.DataFrame, "to_pandas", missing)
    pd.testing.assert_frame_equal(plain_frame(table, what="data"), plain)


def test_decimals_beside_other_numbers_are_numbers() -> None:
    numbers, others = [Decimal("1.5"), 2, 2.5, None], [1.5, True, 2, 3]
    plain = plain_frame(pd.DataFrame({"x": numbers, "y": others}, dtype=object), what="data")
    assert plain["x"].tolist()[:3] == [1.5, 2.0, 2.5]
    assert plain["x"].dtype == np.float64
    assert plain["y"].dtype == object
