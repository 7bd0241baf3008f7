"""Files into frames, with nothing lost on the way and every change said."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from zipfile import BadZipFile

import pandas as pd

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.study.cells import TableFile, refuse_repeated_names, settled
from alliance_stats.study.text_files import SEPARATORS, read_text

__all__ = ["TableFile", "read_table"]

_STATISTICS_PACKAGES = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
}
"""Suffix -> the function of pyreadstat that reads it."""

_SUFFIXES = (*SEPARATORS, ".xlsx", ".parquet", *_STATISTICS_PACKAGES)


def read_table(
    path: str | Path,
    *,
    ids: Sequence[str] = (),
    labelled: Sequence[str] = (),
    sheet: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
) -> TableFile:
    """Read a table by its file's suffix.

    Parameters
    ----------
    path
        A ``.csv, .tsv, .xlsx, .parquet, .sav, .zsav, .dta`` or ``.sas7bdat`` file.
    ids
        Columns of ids. From text files and Excel they are read as text, so that ``001`` and ``1``
        stay two spellings; they become whole numbers only where that loses nothing.
    labelled
        Columns whose values are words (role, rater, ending). In SPSS and Stata files their value
        labels take the place of the codes.
    sheet
        Sheet of an Excel file; needed where it has more than one.
    separator, decimal, encoding
        How a text file is written: the mark between columns (by default ``","`` in .csv and a tab
        in .tsv), the decimal mark (``"."`` or ``","``) and the encoding (UTF-8, with or without a
        mark at the beginning, unless named). German, Dutch or Swedish Excel on Windows mostly
        writes ``separator=";", decimal=",", encoding="cp1252"``. None of them is ever guessed.

    Returns
    -------
    TableFile
        Rows of text files and Excel carry the row number a spreadsheet shows (2 is the first under
        the header); those of SPSS, Stata and SAS files the case number from 1. Of text files and
        Excel, wholly blank rows and wholly blank columns without a name are passed over, blank
        cells are missing, and so are ``NA, N/A, n/a, #N/A, <NA>, NaN, nan, NULL, null`` (a note
        counts them; ``None`` stays the word that it is, a code such as -99 the number; whole
        numbers of a text file too long to be told apart as numbers stay text). In SPSS,
        Stata and SAS files, values declared as user-missing are read as missing (a note counts
        them per column), and blank text is missing; labelled numbers of all other columns, ids
        among them, stay numbers.

    Raises
    ------
    DataError
        If the file is not there, is empty, names a column twice, is not what its suffix says or
        not in the declared encoding, or holds numbers that can be read in two ways (``1.234``
        under ``decimal=","``, ``4,5`` or ``1,234`` under ``decimal="."``).
    ValueError
        If `separator` is not one mark, or `decimal` or `encoding` is unknown.
    ImportError
        If the format needs the optional extra ``files``.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    _check_is_file(file)
    if sheet is not None and suffix != ".xlsx":
        raise DataError(f"sheet={sheet!r} was given, but '{file.name}' is not an Excel file.")
    if suffix in SEPARATORS:
        return read_text(file, ids=ids, separator=separator, decimal=decimal, encoding=encoding)
    if (separator, decimal, encoding) != (None, ".", "utf-8"):
        raise DataError(
            f"separator=, decimal= and encoding= say how a text file is written; '{file.name}' "
            "is none. Leave them out."
        )
    if suffix == ".xlsx":
        _extra("openpyxl", file)
        return _read_excel(file, ids=ids, sheet=sheet)
    if suffix == ".parquet":
        return TableFile(_read_parquet(file))
    return _read_statistics_package(file, _extra("pyreadstat", file), labelled=labelled)


def _check_is_file(file: Path) -> None:
    if file.suffix.lower() not in _SUFFIXES:
        raise DataError(
            f"Cannot tell the format of '{file.name}': its suffix must be one of "
            f"{', '.join(_SUFFIXES)}. Read it yourself and use Study.from_frame."
        )
    if file.is_dir():
        raise DataError(f"'{file}' is a folder, not a file. Name a file in it.")
    if not file.is_file():
        near = did_you_mean(file.name, _siblings(file)) if _siblings(file) else ""
        raise DataError(f"There is no file '{file}'. {near}".rstrip())


def _siblings(file: Path) -> list[str]:
    if not file.parent.is_dir():
        return []
    return sorted(p.name for p in file.parent.iterdir() if p.suffix.lower() == file.suffix.lower())


def _read_parquet(file: Path) -> pd.DataFrame:
    _extra("pyarrow", file)
    try:
        return pd.read_parquet(file, engine="pyarrow")
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"'{file.name}' cannot be read as Parquet: {error}.") from error


def _extra(module: str, file: Path) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Reading '{file.name}' needs the package {module}, which is not installed. "
            'Install the extra that brings it: pip install "alliance-stats[files]".'
        ) from error


def _read_excel(file: Path, *, ids: Sequence[str], sheet: str | None) -> TableFile:
    """Read one sheet of a workbook; see ``read_table``."""
    try:
        book = pd.ExcelFile(file, engine="openpyxl")
    except (BadZipFile, ValueError, KeyError, OSError) as error:
        raise DataError(f"'{file.name}' cannot be read as an Excel file: {error}.") from error
    with book:
        chosen = _sheet([str(name) for name in book.sheet_names], file, sheet)
        cells = book.parse(chosen, header=None, dtype=object, keep_default_na=False)
    cells = cells.mask(cells == "")
    if not len(cells):
        raise DataError(f"Sheet '{chosen}' of '{file.name}' is empty: it has no header row.")
    header = cells.iloc[0]
    if header.isna().all():
        raise DataError(
            f"The first row of sheet '{chosen}' of '{file.name}' is blank. Names of columns stand "
            "in the first row; delete what is above them."
        )
    refuse_repeated_names(header.tolist(), file.name)
    raw = cells.iloc[1:].set_axis(pd.RangeIndex(2, 1 + len(cells)), axis="index")
    empty = header.isna() & raw.isna().all()
    named = header.where(header.notna(), [f"Unnamed: {place}" for place in range(len(header))])
    raw = raw.set_axis(pd.Index(named.tolist()), axis="columns").loc[:, ~empty.to_numpy()]
    return settled(raw, ids=ids, file_name=file.name)


def _sheet(names: Sequence[str], file: Path, sheet: str | None) -> str:
    if sheet is None and len(names) > 1:
        listed = ", ".join(f"'{name}'" for name in names)
        raise DataError(f"'{file.name}' has several sheets ({listed}): name one with sheet=.")
    if sheet is not None and sheet not in names:
        raise DataError(f"'{file.name}' has no sheet '{sheet}'. {did_you_mean(sheet, names)}")
    return sheet or names[0]


def _read_statistics_package(
    file: Path, pyreadstat: ModuleType, *, labelled: Sequence[str]
) -> TableFile:
    """Read a file with its value labels and user-missing codes; see ``read_table``."""
    read: Callable[..., tuple[pd.DataFrame, object]] = getattr(
        pyreadstat, _STATISTICS_PACKAGES[file.suffix.lower()]
    )
    try:
        frame, meta = read(str(file))
        with_codes, _ = read(str(file), user_missing=True)
    except pyreadstat.ReadstatError as error:
        raise DataError(f"'{file.name}' cannot be read: {error}.") from error
    notes = []
    for column in frame.columns:
        n_codes = int((frame[column].isna() & with_codes[column].notna()).sum())
        if n_codes:
            codes = with_codes.loc[frame[column].isna(), column].dropna().unique()
            shown = ", ".join(
                f"{code:g}" if isinstance(code, float) else str(code) for code in codes
            )
            notes.append(
                f"User-missing codes of '{column}' ({shown}) were read as missing: "
                f"{n_codes} values."
            )
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    text = frame.select_dtypes(include="object").columns
    frame[text] = frame[text].mask(frame[text] == "")
    labels: dict[str, dict[object, str]] = getattr(meta, "variable_value_labels", {})
    for column in labelled:
        if column in labels and column in frame:
            frame[column] = _with_labels(frame, column, labels[column])
            notes.append(f"Codes of '{column}' were replaced by their value labels.")
    return TableFile(frame, tuple(notes))


def _with_labels(frame: pd.DataFrame, column: str, labels: dict[object, str]) -> pd.Series:
    words = frame[column].map(labels)
    unlabelled = (words.isna() & frame[column].notna()).to_numpy()
    if unlabelled.any():
        first = frame.loc[unlabelled, column].iloc[0]
        raise DataError(
            f"Column '{column}' has value labels, but none for {first} "
            f"in {describe_rows(unlabelled, frame.index)}. Label that value in the file, or set it "
            "to missing."
        )
    return words
