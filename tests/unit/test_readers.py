"""Files: what each reader keeps, says and refuses."""

import csv
import io
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
    ).astype({"person": object})


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


HEADER = "person,family,session,alliance\n"
EXCEL_EUROPE = {"separator": ";", "decimal": ",", "encoding": "cp1252"}


def test_european_excel_is_read_when_declared(tmp_path: Path):
    text = (
        "person;family;session;alliance;Größe;Datum;Notiz\r\n"
        "José;1;1;4,5;1,75;12.03.2024;kam zu spät; 10 min\r\n"
        "Ána;1;1;-0,5;;;\r\n"
        "007;2;1;3;1,60;13.03.2024;\r\n"
    ).replace("spät; 10", "spät, 10")
    path = written(tmp_path, text, encoding="cp1252")
    study = Study.from_file(path, **ROLES, **EXCEL_EUROPE)
    assert study.persons["person"].tolist() == ["José", "Ána", "007"]
    assert study.sessions["alliance"].tolist() == [4.5, -0.5, 3.0]
    np.testing.assert_array_equal(study.sessions["Größe"], [1.75, np.nan, 1.6])
    assert study.sessions["Datum"].tolist()[0] == "12.03.2024"
    assert study.notes == ()


def test_european_excel_is_refused_with_the_arguments_to_pass(tmp_path: Path):
    text = "person;family;session;alliance\nJosé;1;1;4,5\n"
    path = written(tmp_path, text, encoding="cp1252")
    assert refused(path).startswith(
        "'study.csv' is not UTF-8 text (byte 34). Pass the encoding it was saved in: Excel on "
        "Windows writes encoding='cp1252' as 'CSV', on a Mac 'mac_roman'. "
    )
    assert refused(path, encoding="cp1252") == (
        "'study.csv' separates its columns by ';', not ','. Pass separator=';', decimal=',' if "
        "commas such as in '4,5' separate decimals."
    )
    assert refused(path, encoding="cp1252", separator=";") == (
        "Column 'alliance' of 'study.csv' holds '4,5' in row 2, whose comma may separate decimals "
        "or thousands. If decimals, pass decimal=',' (text files) or store them as numbers "
        "(Excel); if thousands, take the commas out of the file; if it is text, read the file "
        "yourself and use Study.from_frame."
    )


def test_another_separator_without_decimals_is_named_alone(tmp_path: Path):
    path = written(tmp_path, "person\tfamily\tsession\talliance\na\t1\t1\t4\n")
    assert refused(path) == (
        "'study.csv' separates its columns by '\\t', not ','. Pass separator='\\t'."
    )


@pytest.mark.parametrize("cell", ["1.234", "1.234,5", "4.5", "1 234,5", "1\u00a0234", "1'234,5"])
def test_a_mark_of_two_meanings_is_refused_under_decimal_commas(tmp_path: Path, cell: str):
    text = f"person;family;session;alliance\na;1;1;4,5\nb;1;1;{cell}\n"
    path = written(tmp_path, text)
    assert refused(path, separator=";", decimal=",") == (
        f"Column 'alliance' of 'study.csv' holds '{cell}' in row 3, which under decimal=',' could "
        "be read in two ways: its mark may separate thousands or decimals. Write the column with "
        "decimal commas and without thousands separators."
    )


@pytest.mark.parametrize("cell", ["1,234.5", "1 234", "1.234.567"])
def test_thousands_are_refused_under_decimal_points(tmp_path: Path, cell: str):
    path = written(tmp_path, HEADER + f'a,1,1,"{cell}"\n')
    assert refused(path) == (
        f"Column 'alliance' of 'study.csv' holds '{cell}' in row 2, which seems to separate "
        "thousands. Take the separators out of the file; if it is text, read the file yourself "
        "and use Study.from_frame."
    )


def test_quoted_decimal_commas_are_read_when_declared(tmp_path: Path):
    path = written(tmp_path, HEADER + 'a,1,1,"4,5"\nb,1,1,3\n')
    assert "holds '4,5' in row 2, whose comma may separate decimals or thousands." in refused(path)
    study = Study.from_file(path, **ROLES, decimal=",")
    assert study.sessions["alliance"].tolist() == [4.5, 3.0]


def test_numbers_are_read_as_python_reads_them(tmp_path: Path):
    path = written(tmp_path, HEADER + "a,1,1, 0.1\nb,1,1,1e-3\nc,1,1,.30000000000000004\n")
    assert Study.from_file(path, **ROLES).sessions["alliance"].tolist() == [
        0.1,
        1e-3,
        0.30000000000000004,
    ]
    path = written(tmp_path, HEADER + "a,1,1,inf\n")
    assert refused(path).startswith("Column 'alliance' is infinite in row 2.")


def test_truth_values_and_words_keep_their_kind(tmp_path: Path):
    path = written(tmp_path, "person,left,seen,why\na,TRUE,True,None\nb,FALSE,,moved\n")
    frame = read_table(path, ids=["person"]).frame
    assert frame["left"].dtype == bool
    assert frame["seen"].tolist()[0] is True
    assert frame["seen"].isna().tolist() == [False, True]
    assert frame["why"].tolist() == ["None", "moved"]


def test_words_for_missing_are_counted(tmp_path: Path):
    path = written(tmp_path, HEADER + "a,1,1,NA\nb,1,1,4\nc,1,1,n/a\nd,1,1,  \n")
    study = Study.from_file(path, **ROLES)
    np.testing.assert_array_equal(study.sessions["alliance"], [np.nan, 4.0, np.nan, np.nan])
    assert study.notes == ("Read as missing: alliance (1 x 'NA', row 2; 1 x 'n/a', row 4).",)


def test_a_code_for_missing_is_never_guessed(tmp_path: Path):
    path = written(tmp_path, HEADER + "a,1,1,4\nb,1,1,-99\n")
    assert refused(path, score_range=(1, 7)) == (
        "Column 'alliance' is outside its declared range 1 to 7 in row 3 (-99). Correct them; "
        "say which numbers are codes for a missing rating, as in missing=(-9, 99)."
    )


def test_a_word_among_scores_is_refused(tmp_path: Path):
    path = written(tmp_path, HEADER + "a,1,1,4\nb,1,1,absent\n")
    assert refused(path) == (
        "Column 'alliance' must be numeric, but holds 'absent' in row 3. Correct those values, or "
        "set them to missing."
    )


@pytest.mark.parametrize("numbers", [("41", "38", "29"), ("4.1", "3.8", "2.9")])
def test_a_word_among_the_numbers_of_another_column_is_said(tmp_path: Path, numbers):
    rows = "".join(
        f"{who},1,1,4,{age}\n" for who, age in zip("abcd", (*numbers, "k.A."), strict=True)
    )
    path = written(tmp_path, HEADER.replace("alliance", "alliance,age") + rows)
    assert Study.from_file(path, **ROLES).notes == (
        "Column 'age' was not read as numbers, for 'k.A.' in row 5.",
    )


def test_a_column_of_words_is_no_column_of_numbers(tmp_path: Path):
    rows = "a,1,1,4,x\nb,1,1,4,y\nc,1,1,4,3\n"
    path = written(tmp_path, HEADER.replace("alliance", "alliance,group") + rows)
    assert Study.from_file(path, **ROLES).notes == ()


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_number_names_the_column_that_shows_it(tmp_path: Path, suffix: str):
    frame = pd.DataFrame(
        {"person": ["a", "b"], "session": [1, 1], "2020": [4.0, 5.0], 2021: [1, 2]}
    )
    path = tmp_path / f"study{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_excel(path, index=False)
    study = Study.from_file(
        path, person="person", session="session", alliance=2020, scores={2021: None}
    )
    assert study.roles["alliance"] == "2020"
    assert study.scores == ("2021",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_marked_and_wide_text_is_read_when_declared(tmp_path: Path, encoding: str):
    path = written(tmp_path, HEADER + "José,1,1,4\n", encoding=encoding)
    study = Study.from_file(path, **ROLES, encoding=encoding)
    assert study.persons["person"].tolist() == ["José"]


def test_wide_text_is_refused_with_its_encoding(tmp_path: Path):
    path = written(tmp_path, HEADER, encoding="utf-16")
    assert refused(path) == "'study.csv' is UTF-16 text: pass encoding='utf-16'."
    path = written(tmp_path, HEADER + "a,1,1,4\n", encoding="utf-16-le")
    assert refused(path) == (
        "'study.csv' holds NUL bytes (the first in line 1): it is damaged, not a text file, or "
        "UTF-16 without a mark (then pass encoding='utf-16-le')."
    )
    path = written(tmp_path, HEADER + "a,1,1,4\nb,1,\0,4\n")
    assert "holds NUL bytes (the first in line 3)" in refused(path)


def test_utf8_under_another_name_is_refused(tmp_path: Path):
    path = written(tmp_path, HEADER + "José,1,1,4\n")
    assert refused(path, encoding="cp1252") == (
        "'study.csv' is UTF-8 text, and encoding='cp1252' would garble its letters. Leave "
        "encoding= out."
    )


def test_declarations_are_checked(tmp_path: Path, data: pd.DataFrame):
    path = written(tmp_path, HEADER + "a,1,1,4\n")
    for option, value, message in [
        ("separator", ";;", "separator must be one mark"),
        ("separator", "a", "separator must be one mark"),
        ("decimal", ";", "decimal must be one of '.', ','"),
        ("encoding", "cp0", "encoding='cp0' is unknown."),
    ]:
        with pytest.raises(ValueError, match=message):
            Study.from_file(path, **ROLES, **{option: value})
    data.to_parquet(tmp_path / "study.parquet")
    assert refused(tmp_path / "study.parquet", decimal=",") == (
        "separator=, decimal= and encoding= say how a text file is written; 'study.parquet' is "
        "none. Leave them out."
    )


def test_a_folder_is_refused(tmp_path: Path):
    folder = tmp_path / "study.csv"
    folder.mkdir()
    assert refused(folder) == f"'{folder}' is a folder, not a file. Name a file in it."


def test_excels_empty_columns_and_short_rows_are_passed_over_and_said(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance,,\na,1,1,4,,\nb,1,1\n,,,,,\n")
    study = Study.from_file(path, **ROLES)
    assert study.sessions.columns.tolist() == ["person", "family", "session", "alliance"]
    np.testing.assert_array_equal(study.sessions["alliance"], [4.0, np.nan])
    assert study.notes == (
        "1 row ended before the last column (row 3): the rest was read as missing.",
    )
    path = written(tmp_path, "person,family,session,alliance,\na,1,1,4,x\n")
    assert read_table(path).frame["Unnamed: 4"].tolist() == ["x"]


def test_a_first_row_without_names_is_refused(tmp_path: Path):
    path = written(tmp_path, ",,\n" + HEADER + "a,1,1,4\n")
    assert refused(path) == (
        "The first row of 'study.csv' is blank. Names of columns stand in the first row; delete "
        "what is above them."
    )
    path = written(tmp_path, "sep=;\n" + HEADER.replace(",", ";") + "a;1;1;4\n")
    assert refused(path, separator=";") == (
        "Delete the first line of 'study.csv' ('sep='), which is for Excel only."
    )


def test_an_open_quotation_mark_is_refused(tmp_path: Path):
    path = written(tmp_path, HEADER + '"a,1,1,4\nb,1,1,4\n')
    assert refused(path).startswith("'study.csv' is not a table: unexpected end of data (line 3).")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path):
    path = written(tmp_path, "person,family,session,alliance,alliance\na,1,1,4,5\n")
    assert refused(path) == "'study.csv' names the column 'alliance' twice; rename one of them."


@pytest.mark.parametrize("row", ["a,1,1,4,5\n", "a,1,1,4\nb,1,1,4,5\n"])
def test_a_row_longer_than_the_header_is_refused(tmp_path: Path, row: str):
    path = written(tmp_path, "person,family,session,alliance\n" + row)
    assert refused(path) == (
        f"'study.csv' is not a table: row {1 + row.count(chr(10))} has 5 values, but the header "
        "has 4 names. Put text that contains the separator in quotes."
    )


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


@pytest.mark.parametrize(
    "cells",
    [
        ("12345678901234567", "12345678901234568", "NA"),
        ("1234567890123456788", "1234567890123456789"),
    ],
)
def test_long_codes_that_would_become_one_number_stay_text(tmp_path: Path, cells: tuple[str, ...]):
    path = written(tmp_path, "x,code\n" + "".join(f"1,{cell}\n" for cell in cells))
    codes = read_table(path).frame["code"]
    assert codes.dropna().tolist() == [cell for cell in cells if cell != "NA"]


def test_long_decimals_and_large_powers_stay_numbers(tmp_path: Path):
    path = written(tmp_path, "x\n0.12345678901234567890\n1e20\n1.234\n\n")
    assert read_table(path).frame["x"].tolist() == [0.12345678901234568, 1e20, 1.234]


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


def test_excel_cells_are_read_as_text_files_are(tmp_path: Path):
    path = tmp_path / "study.xlsx"
    rows = [
        ["person", "family", "session", "alliance", "why", None],
        ["a", 1, 1, "4.5", "None", None],
        ["b", 1, 1, "NA", "moved", None],
        ["c", 1, 1, 3, " ", None],
    ]
    pd.DataFrame(rows).to_excel(path, index=False, header=False)
    table = read_table(path, ids=["person", "family"])
    np.testing.assert_array_equal(table.frame["alliance"], [4.5, np.nan, 3.0])
    assert table.frame["why"].tolist()[:2] == ["None", "moved"]
    assert table.frame["why"].isna().tolist() == [False, False, True]
    assert table.frame.columns.tolist() == ["person", "family", "session", "alliance", "why"]
    assert table.notes == ("Read as missing: alliance (1 x 'NA', row 3).",)
    rows[1][3] = "4,5"
    pd.DataFrame(rows).to_excel(path, index=False, header=False)
    assert "holds '4,5' in row 2, whose comma may separate decimals or thousands." in refused(path)
    pd.DataFrame([[None, None], ["person", "family"]]).to_excel(path, index=False, header=False)
    assert refused(path).startswith("The first row of sheet 'Sheet1' of 'study.xlsx' is blank.")


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
        "User-missing codes of 'alliance' (9) were read as missing: 1 value, row 2.",
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
    assert "User-missing codes of 'alliance' (9)" in study.describe().summary()


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
    assert study.notes == (
        "User-missing codes of 'alliance' (a) were read as missing: 1 value, row 2.",
    )


def test_a_code_without_a_label_is_refused(tmp_path: Path, coded: pd.DataFrame):
    path = tmp_path / "study.sav"
    pyreadstat.write_sav(coded.assign(role=[1, 2, 3]), str(path), variable_value_labels=LABELS)
    assert refused(path, role="role") == (
        "Column 'role' has value labels, but none for 3 in row 3. Label that value in the file, "
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


# ---- nothing is lost in silence ------------------------------------------------------------------


def workbook(folder: Path, rows: list[list[object]], *, merged: tuple[str, ...] = ()) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for area in merged:
        book.active.merge_cells(area)
    book.save(folder / "study.xlsx")
    return folder / "study.xlsx"


HEAD = ["person", "family", "session", "alliance"]


def test_the_errors_of_a_spreadsheet_are_no_missing_values(tmp_path: Path):
    path = workbook(tmp_path, [HEAD, ["a", 1, 1, "#DIV/0!"], ["b", 1, 1, 4]])
    assert "must be numeric, but holds '#DIV/0!' in row 2" in refused(path)
    path = workbook(tmp_path, [HEAD, ["a", 1, 1, "#N/A"], ["b", 1, 1, 4]])
    study = Study.from_file(path, **ROLES)
    assert study.notes == ("Read as missing: alliance (1 x '#N/A', row 2).",)
    path = workbook(tmp_path, [HEAD, ["#REF!", 1, 1, 3], ["b", 1, 1, 4]])
    message = "Column 'person' of 'study.xlsx' holds a spreadsheet's error, '#REF!', in row 2."
    assert message in refused(path)
    path = written(tmp_path, "person,family,session,alliance\n#NAME?,1,1,4\n")
    assert "holds a spreadsheet's error, '#NAME?', in row 2" in refused(path)


def test_long_ids_that_a_spreadsheet_rounded_are_refused(tmp_path: Path):
    path = workbook(tmp_path, [HEAD, [20240115000000017, 1, 1, 3], [20240115000000018, 1, 1, 4]])
    assert "keeps at most 15 digits of a number" in refused(path)
    ids = ["20240115000000017", "20240115000000018"]
    path = workbook(tmp_path, [HEAD, *([id_, 1, 1, 3] for id_ in ids)])
    assert Study.from_file(path, **ROLES).rows.units("person") == 2


def test_merged_cells_are_refused_with_the_rows_that_lack_a_value(tmp_path: Path):
    rows = [HEAD, ["a", 1, 1, 3], ["a", 1, 2, 4], ["b", 1, 1, 4]]
    message = refused(workbook(tmp_path, rows, merged=("A2:A3",)))
    assert (
        "are merged (A2:A3): only the first of them holds the value, so that row 3 lack" in message
    )


def test_formulas_without_a_saved_value_are_refused(tmp_path: Path):
    path = workbook(tmp_path, [HEAD, ["a", 1, 1, "=1+2"], ["b", 1, 1, 4]])
    assert "holds formulas whose values were not saved: D2." in refused(path)


def test_a_cell_far_from_the_table_is_refused_and_formats_do_no_harm(tmp_path: Path):
    openpyxl = pytest.importorskip("openpyxl")
    path = workbook(tmp_path, [HEAD, ["a", 1, 1, 3], ["b", 1, 1, 4]])
    book = openpyxl.load_workbook(path)
    book.active["XFD1048576"].font = openpyxl.styles.Font(bold=True)
    book.save(path)
    assert len(Study.from_file(path, **ROLES).sessions) == 2
    book.active["XFD1048576"] = "x"
    book.save(path)
    message = refused(path)
    assert "13 filled cells in 1048576 rows and 16384 columns: a cell stands far" in message


def test_names_of_columns_are_text_as_the_sheet_shows_them(tmp_path: Path):
    path = workbook(tmp_path, [["person", "session", 2020, 7.5], ["a", 1, 4, 5]])
    study = Study.from_file(
        path, person="person", session="session", alliance="2020", outcome="7.5"
    )
    assert study.sessions.columns.tolist() == ["person", "session", "2020", "7.5"]


def test_a_damaged_workbook_is_refused_in_words(tmp_path: Path):
    good = workbook(tmp_path, [HEAD, ["a", 1, 1, 3], ["b", 1, 1, 4]]).read_bytes()
    path = tmp_path / "damaged.xlsx"
    draw = np.random.default_rng(5)
    n_read = 0
    for _ in range(60):
        damaged = bytearray(good)
        damaged[draw.integers(len(good))] ^= 1 << draw.integers(8)
        path.write_bytes(damaged)
        try:
            n_read += len(Study.from_file(path, **ROLES).sessions) == 2
        except DataError:
            continue
    assert n_read < 60  # where it is read (a bit of a date of saving), nothing is lost


DICTIONARIES = {
    "labels": {"column_labels": ["person's id", "a"], "variable_value_labels": {"x": {1: "yes"}}},
    "missing": {"missing_ranges": {"x": [{"lo": 7, "hi": 8}, 9]}, "note": "two\nlines"},
    "rows": {"row_compress": True, "variable_value_labels": {"person": {"b": "bb"}}},
    "packed": {"compress": True, "column_labels": ["person", "x of ten letters"]},
}


@pytest.mark.parametrize("case", DICTIONARIES)
def test_spss_files_of_every_kind_are_read(tmp_path: Path, case: str):
    data = pd.DataFrame(
        {
            "person": ["b", *(f"anna maria {i}" for i in range(9))],
            "x": range(10),
            "told": ["t" * 600, "ö"] * 5,
        }
    )
    path = tmp_path / ("study.zsav" if case == "packed" else "study.sav")
    options = {key: ([*value, "told"] if key == "column_labels" else value)
               for key, value in DICTIONARIES[case].items()}  # fmt: skip
    pyreadstat.write_sav(data, str(path), **options)
    study = Study.from_file(path, person="person", alliance="x")
    expected = [0, 1, 2, 3, 4, 5, 6] if case == "missing" else list(range(10))
    assert study.sessions["x"].dropna().tolist() == expected
    assert study.sessions["told"].str.len().tolist() == [600, 1] * 5


@pytest.mark.parametrize("suffix", ["sav", "dta", "parquet"])
def test_damaged_files_are_refused_in_words(tmp_path: Path, suffix: str):
    """The readers of such files raise whatever the damage led them to, or stop the interpreter."""
    data = pd.DataFrame({"person": ["a", "b"], "session": [1.0, 1.0], "alliance": [4.0, 5.0]})
    path = tmp_path / f"study.{suffix}"
    if suffix == "parquet":
        data.to_parquet(path)
    else:
        write = pyreadstat.write_sav if suffix == "sav" else pyreadstat.write_dta
        write(data, str(path))
    good, draw, refused_in_words = path.read_bytes(), np.random.default_rng(5), 0
    ends = [bytes(good[:n]) for n in (0, 100, 180, 300, len(good) - 1)]
    flips = []
    for _ in range(60):
        damaged = bytearray(good)
        damaged[draw.integers(len(good))] ^= 1 << draw.integers(8)
        flips.append(bytes(damaged))
    for content in (*ends, *flips):
        path.write_bytes(content)
        try:
            Study.from_file(path, person="person", session="session", alliance="alliance")
        except DataError:
            refused_in_words += 1
    assert refused_in_words >= 10


def test_impossible_widths_places_and_numbers_of_spss_are_refused(tmp_path: Path):
    """Each of these stopped the interpreter: a width, a place beyond the variables, the rows."""
    path = tmp_path / "study.sav"
    data = pd.DataFrame({"person": [1.0, 2.0], "alliance": [4.0, 5.0]})
    pyreadstat.write_sav(data, str(path), variable_value_labels={"alliance": {4: "four"}})
    good = path.read_bytes()
    place = good.index(b"\x04\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00") + 8
    for at, value in ((180, 2**21), (place, 2**17), (80, 2**28)):
        damaged = bytearray(good)
        damaged[at : at + 4] = value.to_bytes(4, "little")
        path.write_bytes(bytes(damaged))
        with pytest.raises(DataError, match="description of the variables is damaged"):
            Study.from_file(path, person="person", alliance="alliance")


def test_two_codes_under_one_label_are_refused(tmp_path: Path):
    path = tmp_path / "study.sav"
    data = pd.DataFrame(
        {"person": [1.0, 2.0, 3.0], "alliance": [4.0, 5.0, 3.0], "role": [1.0, 2.0, 3.0]}
    )
    labels = {"role": {1: "mother", 2: "mother", 3: "father"}}
    pyreadstat.write_sav(data, str(path), variable_value_labels=labels)
    with pytest.raises(DataError, match=r"one value label, 'mother': 1 \(row 1\), 2 \(row 2\)"):
        Study.from_file(path, person="person", alliance="alliance", role="role")
    one = data.assign(role=[1.0, 3.0, 3.0])  # the other code does not occur
    pyreadstat.write_sav(one, str(path), variable_value_labels=labels)
    study = Study.from_file(path, person="person", alliance="alliance", role="role")
    assert study.sessions["role"].tolist() == ["mother", "father", "father"]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({1: "nie", 7: "immer"}, None),
        ({1: "nie", 4: "teils", 7: "immer"}, None),
        ({0: "gar nie", 7: "immer"}, None),  # nobody said "gar nie"
        ({1: "nie", 7: "immer", 9: "?"}, "missing: 9 ('?') in row 8. They"),
        ({1: "nie", 9: "?"}, "1 ('nie') in row 1; 9 ('?') in row 8. They"),
        ({1: "nie", 6: "oft", 7: "?"}, "6 ('oft') in row 6; 7 ('?') in row 7. They"),
    ],
)
def test_labelled_ends_of_a_scale_are_no_codes(tmp_path: Path, labels: dict, told: str | None):
    path = tmp_path / "study.sav"
    scores = [1.0, 2, 3, 4, 5, 6, 7, 9 if 9 in labels else 5]
    data = pd.DataFrame({"person": np.arange(8.0), "wai": scores})
    pyreadstat.write_sav(data, str(path), variable_value_labels={"wai": labels})
    notes = Study.from_file(path, person="person", alliance="wai").notes
    assert (notes == ()) if told is None else (told in notes[0])


@pytest.mark.parametrize("suffix", [".sav", ".dta"])
def test_numbers_that_carry_a_label_of_their_own_are_noted(tmp_path: Path, suffix: str):
    path = tmp_path / f"study{suffix}"
    data = pd.DataFrame({"person": [1.0, 2.0, 3.0], "alliance": [4.0, 99.0, 3.0]})
    write = pyreadstat.write_sav if suffix == ".sav" else pyreadstat.write_dta
    write(data, str(path), variable_value_labels={"alliance": {99: "no answer"}})
    study = Study.from_file(path, person="person", alliance="alliance")
    assert len(study.notes) == 1
    assert (
        "declare as missing: 99 ('no answer') in row 2. They were read as the num" in study.notes[0]
    )
    anchors = {3: "never", 4: "often", 99: "sehr oft"}
    write(data, str(path), variable_value_labels={"alliance": anchors})
    assert Study.from_file(path, person="person", alliance="alliance").notes == ()
    write(data, str(path), variable_value_labels={"alliance": anchors | {99: "keine Angabe"}})
    assert (
        "99 ('keine Angabe')"
        in Study.from_file(path, person="person", alliance="alliance").notes[0]
    )


QUALTRICS = (
    'person,family,session,alliance\nCode,Family,Session,"How well, on the whole?"\n'
    '"{""ImportId"":""Q1""}","{""ImportId"":""Q2""}","{""ImportId"":""Q3""}","{""ImportId"":""Q4""}"\n'
    "a,1,1,4\nb,1,1,5\n"
)


def test_further_header_rows_are_named_and_set_aside_when_asked(tmp_path: Path):
    path = written(tmp_path, QUALTRICS)
    assert "Rows 2 and 3 of 'study.csv' are no data: Qualtrics" in refused(path)
    study = Study.from_file(path, **ROLES, header_rows=3)
    assert study.sessions["alliance"].tolist() == [4.0, 5.0]
    assert study.notes == ("Set aside as further header: rows 2, 3.",)
    path = written(
        tmp_path, "person,family,session,alliance\nWho,Which,No.,Score\na,1,1,4\nb,1,1,5\n"
    )
    assert "row 2 of 'study.csv' seems to name them again: 'Which' and 'No.' stand" in refused(path)
    assert len(Study.from_file(path, **ROLES, header_rows=2).sessions) == 2


@pytest.mark.parametrize(
    "text",
    [
        'person,note,alliance\r\n"a","x,y",4\r\nb,"he said ""no""",5\r\n',
        'person,note,alliance\na,"two\nlines",4\nb,"",5\n',
        "person,note,alliance\na,5' 3\" tall,4\nb,y,5\n",
        "person,note,alliance\n\na,x,4\nb,,5\n\n",
        "person,note,alliance\ra,x,4\rb,y,5\r",
        "person,note,alliance\na,x,4\nb, ,5",
    ],
)
def test_the_quick_way_and_the_closer_look_read_alike(tmp_path: Path, text: str):
    path = written(tmp_path, text)
    quick = read_table(path, ids=["person"]).frame
    records = list(csv.reader(io.StringIO(text, newline="")))
    body = [row for row in records[1:] if row]
    assert quick["person"].tolist() == [row[0] for row in body]
    expected = [row[1] if row[1].strip() else None for row in body]
    assert quick["note"].astype(object).where(quick["note"].notna(), None).tolist() == expected
    assert quick["alliance"].tolist() == [4, 5]


def test_row_labels_of_parquet_that_were_columns_are_columns(tmp_path: Path, data: pd.DataFrame):
    data.set_index("person").to_parquet(tmp_path / "study.parquet")
    study = Study.from_file(tmp_path / "study.parquet", **ROLES)
    assert study.sessions["person"].tolist() == ["Ána", "b", "c"]


def test_what_a_sheet_hides_or_shows_a_hundredfold_is_told(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["id", "score"], [1, 0.5], [2, 0.25], [3, 1]):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.active["B2"].number_format = "0%"
    book.save(tmp_path / "x.xlsx")
    found = read_table(tmp_path / "x.xlsx", ids=["id"])
    assert found.frame["score"].tolist() == [0.5, 0.25, 1]
    hidden, percent = found.notes
    assert hidden.startswith("Read although hidden in the sheet (by a filter or by hand): row 3.")
    assert (
        percent == "Shown in per cent by the sheet and read as shares: 'score' (50% in B2 is 0.5)."
    )
