"""A study without ids, dates and words; tables in which nobody can be found by subtraction."""

import datetime
import itertools

import numpy as np
import pandas as pd
import pytest

from alliance_stats import Study, example_study
from alliance_stats.errors import DataError
from alliance_stats.study import IdKey, small_cells, suppressed

ROLES = {"person": "person", "family": "family", "session": "session", "alliance": "alliance"}


def sessions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "family": ["Meyer", "Meyer", "Meyer", "Berg", "Berg"],
            "person": ["Ida", "Ida", "Jo", "Kim", "Kim"],
            "session": [1, 2, 1, 1, 2],
            "alliance": [4.0, 5.0, 3.0, 6.0, 5.5],
            "date": pd.to_datetime(
                ["2020-03-02", "2020-03-16", "2020-03-02", "2021-01-01", "2021-01-08"]
            ),
        }
    )


def test_no_name_and_no_date_is_left():
    coded, key = Study.from_frame(sessions(), **ROLES).deidentify()
    left = coded.sessions
    assert not {"Meyer", "Berg", "Ida", "Jo", "Kim"} & set(left.astype(str).to_numpy().ravel())
    back = {code: name for name, code in key.codes["person"].items()}
    days = left.assign(name=left["person"].map(back)).sort_values(["name", "session"])
    assert days["date"].tolist() == [0, 14, 0, 0, 7]
    assert left["alliance"].sum() == sessions()["alliance"].sum()


def test_a_later_export_keeps_the_codes(tmp_path):
    _, first = Study.from_frame(sessions(), **ROLES).deidentify()
    first.save(tmp_path / "key.json")
    more = pd.concat([sessions(), sessions().tail(1).assign(family="Alt", person="Lu")])
    study = Study.from_frame(more, **ROLES)
    _, again = study.deidentify(key=IdKey.load(tmp_path / "key.json"))
    for level, codes in first.codes.items():
        assert dict(codes).items() <= dict(again.codes[level]).items()
    assert len(set(again.codes["person"].values())) == 4
    assert (tmp_path / "key.json").stat().st_mode & 0o077 == 0


def test_the_order_of_codes_says_nothing():
    study = Study.from_frame(sessions(), **ROLES)
    orders = {tuple(study.deidentify()[1].codes["person"].values()) for _ in range(60)}
    assert len(orders) == 6  # all orders of three persons; missed once in 10,000 runs


@pytest.mark.parametrize(
    "words", [[f"note {i}" for i in range(25)], ["she spoke of her mother again"]]
)
def test_free_text_is_refused_by_name(words):
    data = pd.DataFrame({"person": [f"P{i}" for i in range(25)]}).assign(
        remark=(words * 25)[:25], alliance=4.0
    )
    data["remark"] = data["remark"].str.pad(35 if len(words) == 1 else 1, fillchar="x")
    with pytest.raises(DataError, match="'remark' \\(free text"):
        Study.from_frame(data, person="person", alliance="alliance").deidentify()


def test_file_numbers_are_refused_by_name():
    data = pd.DataFrame({"person": [f"P{i}" for i in range(25)], "file": range(100, 125)})
    with pytest.raises(DataError, match="'file' \\(a number of its own"):
        Study.from_frame(data, person="person").deidentify()


def test_the_example_study_says_the_same_without_names():
    study = example_study()
    coded, _ = study.deidentify()
    assert sorted(coded.sessions["alliance"].dropna()) == sorted(
        study.sessions["alliance"].dropna()
    )
    sizes = ["n_rows", "n_persons", "n_families", "n_therapists"]
    assert coded.describe().glance()[sizes].equals(study.describe().glance()[sizes])


def table(rows: list[list[int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, [f"r{i}" for i in range(len(rows))]).add_prefix("c")


def test_a_small_count_is_found_and_hidden():
    counts = table([[12, 6, 20], [9, 2, 14], [30, 11, 8]])
    assert small_cells(counts)[["row", "column", "found"]].values.tolist() == [
        ["r1", "c1", "printed"]
    ]
    left = suppressed(counts)
    assert left.isna().sum().sum() == 4
    assert small_cells(counts, printed=left).empty


def test_one_hidden_cell_is_worked_out_from_totals():
    counts = table([[12, 6], [9, 2]])
    hidden = counts.astype("Int64").mask(counts < 5)
    found = small_cells(counts, printed=hidden)
    assert found[["low", "high", "found"]].values.tolist() == [[2, 2, "totals"]]


def test_a_difference_of_two_tables_is_a_table():
    some = table([[12, 6], [9, 8]])
    everybody = table([[15, 16], [19, 9]])
    found = small_cells(some, larger=[everybody])
    assert found[["row", "column", "count", "found"]].values.tolist() == [
        ["r0", "c0", 3, "difference 1"],
        ["r1", "c1", 1, "difference 1"],
    ]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_can_be_had_by_subtraction(seed):
    """All tables with the printed cells and totals: every small cell keeps k possible values."""
    rng = np.random.default_rng(seed)
    counts = table((1 + rng.poisson(9, size=(3, 3))).tolist())
    left = suppressed(counts, k=3)
    truth, shown = counts.to_numpy(), left.to_numpy(dtype=float, na_value=np.nan)
    values: dict[tuple[int, int], set[int]] = {}
    free = np.argwhere(np.isnan(shown))
    for tried in fillings(truth, shown, free.tolist()):
        for i, j in free:
            values.setdefault((i, j), set()).add(int(tried[i, j]))
    for i, j in free:
        if 0 < truth[i, j] < 3:
            assert len(values[i, j]) >= 3


def fillings(truth, shown, free):
    """Yield every table of whole numbers with the printed cells and totals, hidden cells >= 1."""
    if not free:
        full = shown.astype(int)
        if (full.sum(0) == truth.sum(0)).all() and (full.sum(1) == truth.sum(1)).all():
            yield full
        return
    (i, j), rest = free[0], free[1:]
    top = min(truth[i].sum() - np.nansum(shown[i]), truth[:, j].sum() - np.nansum(shown[:, j]))
    open_row = any(r == i for r, _ in rest)
    for value in (
        range(1, int(top) + 1) if open_row else [int(truth[i].sum() - np.nansum(shown[i]))]
    ):
        if 1 <= value <= top:
            trial = shown.copy()
            trial[i, j] = value
            yield from fillings(truth, trial, rest)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([[1.5, 2.0]], "whole numbers"), ([[-1, 2]], "whole numbers"), ([[3, 2]], "cannot be hidden")],
)
def test_what_is_no_table_of_counts_is_refused(rows, said):
    with pytest.raises(DataError, match=said):
        suppressed(table(rows))


def test_a_larger_table_bounds_what_is_left_out():
    table = pd.DataFrame([[2, 10, 10], [10, 10, 10], [10, 10, 10]], list("abc"), list("xyz"))
    printed = suppressed(table)
    assert small_cells(table, printed=printed).empty
    whole = table + 30
    assert small_cells(table, printed=printed, larger=[whole]).empty
    near = whole.copy()
    near.loc["a", "x"] = 3  # so the cell that was left out is 1, 2 or 3
    found = small_cells(table, printed=printed, larger=[near])
    assert found[["low", "high"]].to_numpy().tolist() == [[1, 3], [0, 2]]
    assert found["found"].tolist() == ["totals", "difference 1"]


@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_cells_left_out_are_those_of_all_tables_that_there_can_be(seed):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.integers(1, 5, size=(2, 3)), list("ab"), list("xyz"))
    whole = table + rng.integers(0, 4, size=(2, 3))
    printed = table.astype("Int64").mask(pd.DataFrame(True, table.index, table.columns))
    found = small_cells(table, printed=printed, larger=[whole], k=9)
    grids = [range(1, int(most) + 1) for most in whole.to_numpy().ravel()]
    tables = np.array(list(itertools.product(*grids))).reshape(-1, 2, 3)
    fits = (tables.sum(axis=1) == table.to_numpy().sum(axis=0)).all(axis=1) & (
        tables.sum(axis=2) == table.to_numpy().sum(axis=1)
    ).all(axis=1)
    own = found[found["found"] == "totals"].set_index(["row", "column"])
    for i, row in enumerate("ab"):
        for j, column in enumerate("xyz"):
            cells = tables[fits][:, i, j]
            assert own.loc[(row, column), ["low", "high"]].tolist() == [cells.min(), cells.max()]


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-03"],
        ["3.1.2024"],
        ["03/01/24 10:00"],
        [datetime.date(2024, 1, 3)],
        [pd.Period("2024-01")],
    ],
    ids=["iso", "points", "slashes", "objects", "periods"],
)
def test_dates_that_are_no_date_type_are_refused(values):
    frame = pd.DataFrame({"person": ["a", "b"], "session": [1, 1], "seen": values * 2})
    with pytest.raises(DataError, match="'seen' .dates that are no date type"):
        Study.from_frame(frame, person="person", session="session").deidentify()


def test_a_number_of_its_own_with_one_missing_is_refused():
    numbers = np.append(np.arange(700.0, 729.0), np.nan)
    frame = pd.DataFrame({"person": [f"p{i}" for i in range(30)], "session": 1, "file": numbers})
    with pytest.raises(DataError, match="'file' .a number of its own"):
        Study.from_frame(frame, person="person", session="session").deidentify()


def test_categories_that_no_row_has_do_not_stay():
    kinds = pd.Categorical(["in", "in"], categories=["in", "Anna Muster"])
    frame = pd.DataFrame({"person": ["a", "b"], "session": [1, 1], "kind": kinds})
    study, _ = Study.from_frame(frame, person="person", session="session").deidentify()
    assert "Anna Muster" not in study.sessions["kind"].cat.categories


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (["seen 3.1.2024", "late"], "dates"),
        (["March 2024", "later"], "dates"),
        (["3 Mär 2024", "-"], "dates"),
        (["01/2024", "02/2024"], "dates"),
        (["20240103", "20240110"], "dates"),
        ([20240103, 20231231], "dates"),
        (["mother of p07", "a child"], "ids within its texts"),
        (["p07", "none"], "ids within its texts"),
    ],
)
def test_dates_and_ids_within_texts_and_numbers_are_refused(column, says):
    frame = pd.DataFrame({"person": [f"p{i:02d}" for i in range(12)], "session": 1})
    frame["said"] = (column * 12)[:12]
    with pytest.raises(DataError, match=f"'said' .*{says}"):
        Study.from_frame(frame, person="person", session="session").deidentify()


@pytest.mark.parametrize("level", ["person", "family", "therapist"])
def test_initials_and_file_numbers_of_any_level_are_refused(level):
    n = 48
    frame = pd.DataFrame({"person": [f"p{i:02d}" for i in range(n)], "session": 1})
    frame["family"] = [f"fam{i // 2:02d}" for i in range(n)]
    frame["therapist"] = [f"th{i // 8}" for i in range(n)]
    roles = {"person": "person", "family": "family", "therapist": "therapist"}
    codes = frame[level].factorize()[0]
    few = frame[frame["family"] < "fam06"] if level != "therapist" else frame
    initials = few.assign(
        short=[f"{chr(65 + c % 26)}.{chr(90 - c // 26)}." for c in codes[few.index]]
    )
    with pytest.raises(DataError, match="'short' .a text of its own for every"):
        Study.from_frame(initials, **roles).deidentify()
    if level != "therapist":  # of fewer than 20 units numbers are no file numbers
        with pytest.raises(DataError, match="'file' .a number of its own"):
            Study.from_frame(frame.assign(file=codes + 7000), **roles).deidentify()


def test_names_of_raters_are_refused_and_their_roles_are_not():
    frame = pd.DataFrame({"person": [f"p{i // 2}" for i in range(24)], "session": 1})
    roles = {"person": "person", "session": "session", "rater": "rater"}
    plain = frame.assign(rater=["client", "therapist"] * 12)
    assert Study.from_frame(plain, **roles).deidentify()[0].sessions["rater"].nunique() == 2
    names = frame.assign(rater=[f"Dr. A{chr(97 + i)}" for i in range(24)])
    with pytest.raises(DataError, match="'rater' .free text"):
        Study.from_frame(names, **roles).deidentify()


def test_rare_categories_are_named_by_their_column():
    frame = pd.DataFrame({"person": [f"p{i:02d}" for i in range(40)], "session": 1})
    frame = frame.assign(faith=["common"] * 37 + ["rare"] * 3, arm=["a", "b"] * 20)
    study, _ = Study.from_frame(frame, person="person", session="session").deidentify()
    rare = [note for note in study.notes if "fewer than 5 persons" in note]
    assert len(rare) == 1
    assert rare[0].startswith("'faith'")
    assert "rare" not in rare[0].removeprefix("'faith'")


def test_tables_that_are_not_protected_are_refused():
    rows = pd.MultiIndex.from_product([["girls", "boys"], ["a", "b"]])
    three = pd.DataFrame([[9, 6], [8, 7], [9, 9], [6, 8]], index=rows, columns=["x", "y"])
    for what in (small_cells, suppressed):
        with pytest.raises(DataError, match="several levels"):
            what(three)
        with pytest.raises(DataError, match="several levels"):
            what(three.T)
    plain = table([[12, 6, 20], [9, 2, 14]])
    for with_totals in (
        pd.concat([plain, plain.sum().to_frame("All").T]),
        plain.assign(All=plain.sum(axis=1)),
    ):
        with pytest.raises(DataError, match="'All' is the sum of the others"):
            suppressed(with_totals)
    with pytest.raises(DataError, match="called alike"):
        suppressed(pd.concat([plain, plain]))


def test_totals_and_rows_with_zeros_give_nothing_away_or_are_refused():
    assert suppressed(table([[0, 7, 0], [9, 0, 8], [0, 9, 9]])).notna().all(axis=None)
    with pytest.raises(DataError, match="cannot be hidden"):
        suppressed(table([[0, 3, 0], [9, 8, 8], [7, 9, 9]]))
    left = suppressed(table([[0, 3, 9], [9, 8, 8], [7, 9, 9]]))
    assert left.iloc[0, 0] == 0
    assert small_cells(table([[0, 3, 9], [9, 8, 8], [7, 9, 9]]), printed=left).empty


@pytest.mark.parametrize("seed", range(12))
def test_two_releases_and_nested_subgroups_are_found_by_their_difference(seed):
    """Every small cell that is left between two printed ones is named, and no large one."""
    rng = np.random.default_rng(seed)
    first = table((2 + rng.poisson(7, size=(3, 3))).tolist())
    second = first + rng.choice([0, 0, 1, 7], size=(3, 3))
    printed = suppressed(first, k=4)
    found = small_cells(first, k=4, printed=printed, larger=[second])
    rest = second - first
    told = found[found["found"] == "difference 1"]
    told = set(zip(told["row"], told["column"], strict=True))
    for row, column in itertools.product(rest.index, rest.columns):
        small = 0 < rest.loc[row, column] < 4
        if small and pd.notna(printed.loc[row, column]):  # both are printed: so is the difference
            assert (row, column) in told
        assert small or (row, column) not in told


def test_layers_are_found_by_the_sum_of_them():
    girls, boys = table([[9, 6], [8, 7]]), table([[9, 3], [8, 9]])
    found = small_cells(girls, larger=[girls + boys])
    assert found[["row", "column", "count"]].to_numpy().tolist() == [["r0", "c1", 3]]
