"""Files into frames, with nothing lost on the way and every change said."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.study.cells import TableFile
from alliance_stats.study.excel_files import read_excel
from alliance_stats.study.statistics_files import STATISTICS_PACKAGES, read_statistics_package
from alliance_stats.study.text_files import SEPARATORS, read_text

__all__ = ["TableFile", "read_table"]

_SUFFIXES = (*SEPARATORS, ".xlsx", ".parquet", *STATISTICS_PACKAGES)


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
        return read_excel(file, ids=ids, sheet=sheet)
    if suffix == ".parquet":
        return TableFile(_read_parquet(file))
    return read_statistics_package(file, _extra("pyreadstat", file), labelled=labelled)


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
