"""Files: what each reader keeps, says and refuses."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from alliance_stats.errors import DataError
from alliance_stats.study import Study
from alliance_stats.study.readers import read_table

ROLES = {"person": "person", "family": "family", "session": "session", "alliance": "alliance"}


@pytest.fixture
def data() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "family": [1, 1, 2],
            "person": ["Ána", "b", "c"],
            "session": [1, 1, 1],
            "alliance": [4.5, np.nan, 3.0],
        }
    )


def refused(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as error:
        Study.from_file(path, **{**ROLES, **options})
    return str(error.value)


def written(folder: Path, text: str, *, name: str = "study.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


# ---- every format gives the same study -----------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet", ".sav", ".zsav", ".dta"])
def test_every_format_gives_the_same_study(tmp_path: Path, data: pd.DataFrame, suffix: str):
    path = tmp_path / f"study{suffix}"
    match suffix:
        case ".csv":
            data.to_csv(path, index=False, encoding="utf-8-sig")  # as Excel writes it
        case ".tsv":
            data.to_csv(path, index=False, sep="\t")
        case ".xlsx":
            data.to_excel(path, index=False)
        case ".parquet":
            data.to_parquet(path)
        case ".sav" | ".zsav":
            pyreadstat.write_sav(data, str(path), compress=suffix == ".zsav")
        case ".dta":
            pyreadstat.write_dta(data, str(path))
    study = Study.from_file(path, **ROLES, score_range=(1, 7))
    assert study.notes == ()
    pd.testing.assert_frame_equal(study.sessions.reset_index(drop=True), data)


# ---- which file ----------------------------------------------------------------------------------


def test_an_unknown_suffix_is_refused():
    assert refused(Path("study.ods")).startswith(
        "Cannot tell the format of 'study.ods': its suffix must be one of .csv, .tsv, .xlsx, "
    )


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path: Path):
    written(tmp_path, "person\n1\n", name="sessions.csv")
    path = tmp_path / "session.csv"
    assert refused(path) == f"There is no file '{path}'. Did you mean 'sessions.csv'?"
    lone = tmp_path / "nowhere" / "x.csv"
    assert refused(lone) == f"There is no file '{lone}'."


def test_a_sheet_is_for_excel_only(tmp_path: Path):
    path = written(tmp_path, "person\n1\n")
    assert refused(path, sheet="data") == (
        "sheet='data' was given, but 'study.csv' is not an Excel file."
    )


# ---- text files ----------------------------------------------------------------------------------


def test_an_empty_file_is_refused(tmp_path: Path):
    assert refused(written(tmp_path, "")) == "'study.csv' is empty: it has no header row."
    header_only = written(tmp_path, "person,family,session,alliance\n")
    assert refused(header_only) == "data has no rows: there is nothing to compute from."


def test_another_encoding_is_refused_with_what_to_do(tmp_path: Path):
    path = written(tmp_path, "person,family\nJosé,1\n", encoding="cp1252")
    assert refused(path).startswith(
        "'study.csv' is not UTF-8 text (byte 17). Save it as UTF-8, or read it yourself: "
        "Study.from_frame(pandas.read_csv('study.csv', encoding='cp1252'), ...)"
    )


def test_semicolons_are_refused_with_the_line_to_run(tmp_path: Path):
    path = written(tmp_path, "person;family;session;alliance\na;1;1;4,5\n")
    assert refused(path).startswith(
        "'study.csv' separates its columns by ';', not ','. Read it yourself: Study.from_frame("
        "pandas.read_csv('study.csv', sep=';', decimal=','), ...)"
    )


def test_decimal_commas_in_quotes_are_recognised(tmp_path: Path):
    path = written(tmp_path, 'person,family,session,alliance\na,1,1,"4,5"\nb,1,1,3\n')
    assert refused(path) == (
        "Column 'alliance' must be numeric, but holds '4,5' in row 2. Those are decimal commas: "
        "read the file with decimal=','."
    )


def test_a_name_that_stands_twice_is_refused(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance,alliance\na,1,1,4,5\n")
    assert refused(path) == "'study.csv' names the column 'alliance' twice; rename one of them."


@pytest.mark.parametrize("row", ["a,1,1,4,5\n", "a,1,1,4\nb,1,1,4,5\n"])
def test_a_row_longer_than_the_header_is_refused(tmp_path: Path, row: str):
    path = written(tmp_path, "person,family,session,alliance\n" + row)
    assert "is not a table: some row has more values than the header has names" in refused(path)


def test_leading_zeros_are_not_lost(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance\n001,1,1,4\n002,1,1,4\n")
    assert Study.from_file(path, **ROLES).persons["person"].tolist() == ["001", "002"]
    path = written(tmp_path, "person,family,session,alliance\n001,1,1,4\n1,1,2,4\n")
    assert refused(path).startswith(
        "Column 'person' spells what looks like one unit in 2 ways: '001' (row 2), '1' (row 3)."
    )


def test_plain_numbers_become_whole_numbers(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance\n10,-1,1,4\n2,0,1,4\n")
    study = Study.from_file(path, **ROLES)
    assert study.persons["person"].tolist() == [10, 2]
    assert study.families["family"].tolist() == [-1, 0]


def test_ids_too_long_for_a_number_stay_text(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance\n12345678901234567890,1,1,4\n")
    assert Study.from_file(path, **ROLES).persons["person"].tolist() == ["12345678901234567890"]


def test_rows_carry_the_spreadsheets_numbers_and_blank_ones_are_passed_over(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance\na,1,1,4\n\n,,,\nb,1,-1,4\n\n")
    assert refused(path).startswith("Column 'session' is negative in row 5 (-1).")


# ---- Excel ---------------------------------------------------------------------------------------


def test_one_of_several_sheets_must_be_named(tmp_path: Path, data: pd.DataFrame):
    path = tmp_path / "study.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"x": [1]}).to_excel(book, sheet_name="notes", index=False)
        data.to_excel(book, sheet_name="ratings", index=False)
    assert refused(path) == (
        "'study.xlsx' has several sheets ('notes', 'ratings'): name one with sheet=."
    )
    assert refused(path, sheet="rating") == (
        "'study.xlsx' has no sheet 'rating'. Did you mean 'ratings'?"
    )
    assert Study.from_file(path, **ROLES, sheet="ratings").rows.n_used == 3


def test_excel_keeps_leading_zeros_blank_rows_and_row_numbers(tmp_path: Path):
    path = tmp_path / "study.xlsx"
    rows = [
        ["person", "family", "session", "alliance"],
        ["001", 1, 1, 4],
        [None, None, None, None],
        ["002", 1, -1, 4],
    ]
    pd.DataFrame(rows).to_excel(path, index=False, header=False)
    assert refused(path).startswith("Column 'session' is negative in row 4 (-1).")
    table = read_table(path, ids=["person", "family"]).frame
    assert table["person"].tolist() == ["001", "002"]
    assert table["family"].tolist() == [1, 1]
    assert table.index.tolist() == [2, 4]


def test_excel_refuses_an_empty_sheet_and_a_name_that_stands_twice(tmp_path: Path):
    path = tmp_path / "study.xlsx"
    pd.DataFrame().to_excel(path, index=False, sheet_name="ratings")
    assert refused(path) == "Sheet 'ratings' of 'study.xlsx' is empty: it has no header row."
    pd.DataFrame([["person", "person"], [1, 2]]).to_excel(path, index=False, header=False)
    assert refused(path) == "'study.xlsx' names the column 'person' twice; rename one of them."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("study.xlsx", "'study.xlsx' cannot be read as an Excel file"),
        ("study.parquet", "'study.parquet' cannot be read as Parquet"),
        ("study.sav", "'study.sav' cannot be read"),
        ("study.dta", "'study.dta' cannot be read"),
        ("study.sas7bdat", "'study.sas7bdat' cannot be read"),
    ],
)
def test_a_file_that_is_not_what_its_suffix_says_is_refused(tmp_path: Path, name: str, text: str):
    assert refused(written(tmp_path, "person,family\na,1\n", name=name)).startswith(text)


# ---- SPSS, Stata, SAS ----------------------------------------------------------------------------


@pytest.fixture
def coded() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": [101.0, 102.0, 103.0],
            "family": [1.0, 1.0, 2.0],
            "session": [1.0, 1.0, 1.0],
            "alliance": [4.0, 9.0, 3.0],
            "role": [1.0, 2.0, np.nan],
            "ending": [2.0, 2.0, 1.0],
            "site": ["x", "", "y"],
        }
    )


LABELS = {
    "role": {1.0: "mother", 2.0: "child"},
    "ending": {1.0: "planned", 2.0: "dropout"},
    "alliance": {1.0: "never", 7.0: "always"},
    "person": {101.0: "Anna", 102.0: "Anna"},
}


def test_spss_codes_and_labels(tmp_path: Path, coded: pd.DataFrame):
    path = tmp_path / "study.sav"
    pyreadstat.write_sav(
        coded, str(path), variable_value_labels=LABELS, missing_ranges={"alliance": [9]}
    )
    study = Study.from_file(path, **ROLES, role="role", ending="ending", score_range=(1, 7))
    assert study.notes == (
        "User-missing codes of 'alliance' (9) were read as missing: 1 values.",
        "Codes of 'role' were replaced by their value labels.",
        "Codes of 'ending' were replaced by their value labels.",
    )
    sessions = study.sessions
    np.testing.assert_array_equal(sessions["alliance"], [4.0, np.nan, 3.0])
    assert sessions["role"].tolist()[:2] == ["mother", "child"]
    assert sessions["role"].isna().tolist() == [False, False, True]
    assert sessions["ending"].tolist() == ["dropout", "dropout", "planned"]
    assert sessions["person"].tolist() == [101, 102, 103]  # labels of ids need not be unique
    assert sessions["site"].isna().tolist() == [False, True, False]
    assert sessions.index.tolist() == [1, 2, 3]
    assert "Note: User-missing codes of 'alliance' (9)" in study.describe().summary()


def test_stata_labels(tmp_path: Path, coded: pd.DataFrame):
    path = tmp_path / "study.dta"
    labels = {
        name: {int(code): text for code, text in LABELS[name].items()}
        for name in ("ending", "role")
    }
    pyreadstat.write_dta(
        coded.assign(role=[1, 2, 1], ending=[2, 2, 1]), str(path), variable_value_labels=labels
    )
    study = Study.from_file(path, **ROLES, role="role", ending="ending")
    assert study.sessions["role"].tolist() == ["mother", "child", "mother"]
    assert study.families["ending"].tolist() == ["dropout", "planned"]


def test_stata_user_missing_letters(tmp_path: Path):
    path = tmp_path / "study.dta"
    data = pd.DataFrame({"person": [1, 2], "alliance": pd.Series([4, "a"], dtype=object)})
    pyreadstat.write_dta(data, str(path), missing_user_values={"alliance": ["a"]})
    study = Study.from_file(path, person="person", alliance="alliance")
    np.testing.assert_array_equal(study.sessions["alliance"], [4.0, np.nan])
    assert study.notes == ("User-missing codes of 'alliance' (a) were read as missing: 1 values.",)


def test_a_code_without_a_label_is_refused(tmp_path: Path, coded: pd.DataFrame):
    path = tmp_path / "study.sav"
    pyreadstat.write_sav(coded.assign(role=[1, 2, 3]), str(path), variable_value_labels=LABELS)
    assert refused(path, role="role") == (
        "Column 'role' has value labels, but none for 3.0 in row 3. Label that value in the file, "
        "or set it to missing."
    )


# ---- optional packages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module"),
    [("study.xlsx", "openpyxl"), ("study.parquet", "pyarrow"), ("study.sav", "pyreadstat")],
)
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
):
    path = written(tmp_path, "", name=name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as error:
        Study.from_file(path, **ROLES)
    assert str(error.value) == (
        f"Reading '{name}' needs the package {module}, which is not installed. "
        'Install the extra that brings it: pip install "alliance-stats[files]".'
    )
