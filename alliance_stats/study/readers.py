"""Files into frames, with nothing lost on the way and every change said."""

import csv
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from zipfile import BadZipFile

import pandas as pd

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.errors import DataError

__all__ = ["TableFile", "read_table"]

_STATISTICS_PACKAGES = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_SEPARATORS, ".xlsx", ".parquet", *_STATISTICS_PACKAGES)


@dataclass(frozen=True, slots=True, eq=False)
class TableFile:
    """A table as read from a file, and notes on what the reader changed."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_table(
    path: str | Path,
    *,
    ids: Sequence[str] = (),
    labelled: Sequence[str] = (),
    sheet: str | None = None,
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

    Returns
    -------
    TableFile
        Rows of text files and Excel carry the row number a spreadsheet shows (2 is the first under
        the header); those of SPSS, Stata and SAS files the case number from 1. Wholly blank rows
        of text files and Excel are passed over. In SPSS, Stata and SAS files, values declared as
        user-missing are read as missing (a note counts them per column), and blank text is
        missing; labelled numbers of all other columns, ids among them, stay numbers.

    Raises
    ------
    DataError
        If the file is not there, is empty, names a column twice, or is not what its suffix says.
    ImportError
        If the format needs the optional extra ``files``.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(
            f"Cannot tell the format of '{file.name}': its suffix must be one of "
            f"{', '.join(_SUFFIXES)}. Read it yourself and use Study.from_frame."
        )
    if not file.is_file():
        near = did_you_mean(file.name, _siblings(file)) if _siblings(file) else ""
        raise DataError(f"There is no file '{file}'. {near}".rstrip())
    if sheet is not None and suffix != ".xlsx":
        raise DataError(f"sheet={sheet!r} was given, but '{file.name}' is not an Excel file.")
    if suffix in _SEPARATORS:
        return TableFile(_read_text(file, ids, separator=_SEPARATORS[suffix]))
    if suffix == ".xlsx":
        return TableFile(_read_excel(file, ids, sheet))
    if suffix == ".parquet":
        return TableFile(_read_parquet(file))
    return _read_statistics_package(file, labelled)


def _siblings(file: Path) -> list[str]:
    if not file.parent.is_dir():
        return []
    return sorted(p.name for p in file.parent.iterdir() if p.suffix.lower() == file.suffix.lower())


def _read_text(file: Path, ids: Sequence[str], *, separator: str) -> pd.DataFrame:
    try:
        header = _header(file, separator)
        with warnings.catch_warnings():
            # a row longer than the header would lose its last values with no more than a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                file,
                sep=separator,
                encoding="utf-8-sig",
                dtype=dict.fromkeys(set(ids) & set(header), str),
                skip_blank_lines=False,
                index_col=False,
                low_memory=False,
            )
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{file.name}' is not UTF-8 text (byte {error.start}). Save it as UTF-8, or read it "
            f"yourself: Study.from_frame(pandas.read_csv('{file.name}', encoding='cp1252'), ...); "
            "Windows programs often write cp1252, Excel's Unicode text is utf-16."
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(
            f"'{file.name}' is not a table: some row has more values than the header has names "
            f"({error}). Put text that contains the separator in quotes."
        ) from error
    return _numbered(frame, ids, first=2)


def _header(file: Path, separator: str) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines, delimiter=separator), None)
    if not header:
        raise DataError(f"'{file.name}' is empty: it has no header row.")
    if len(header) == 1:
        for other in (";", "\t", ","):
            if other in header[0]:
                raise DataError(
                    f"'{file.name}' separates its columns by {other!r}, not {separator!r}. Read it "
                    f"yourself: Study.from_frame(pandas.read_csv('{file.name}', sep={other!r}, "
                    "decimal=','), ...), with decimal=',' if it writes 4,5 for four and a half."
                )
    _refuse_repeated_names(header, file)
    return header


def _refuse_repeated_names(header: Sequence[object], file: Path) -> None:
    for name in header:
        if list(header).count(name) > 1 and not pd.isna(name) and name != "":
            raise DataError(f"'{file.name}' names the column '{name}' twice; rename one of them.")


def _read_excel(file: Path, ids: Sequence[str], sheet: str | None) -> pd.DataFrame:
    _extra("openpyxl", file)
    try:
        book = pd.ExcelFile(file, engine="openpyxl")
    except (BadZipFile, ValueError, KeyError, OSError) as error:
        raise DataError(f"'{file.name}' cannot be read as an Excel file: {error}.") from error
    with book:
        names = [str(name) for name in book.sheet_names]
        if sheet is None and len(names) > 1:
            listed = ", ".join(f"'{name}'" for name in names)
            raise DataError(f"'{file.name}' has several sheets ({listed}): name one with sheet=.")
        if sheet is not None and sheet not in names:
            raise DataError(f"'{file.name}' has no sheet '{sheet}'. {did_you_mean(sheet, names)}")
        chosen = sheet or names[0]
        header = book.parse(chosen, header=None, nrows=1)
        if not len(header):
            raise DataError(f"Sheet '{chosen}' of '{file.name}' is empty: it has no header row.")
        _refuse_repeated_names(header.iloc[0].tolist(), file)
        frame = book.parse(chosen, dtype=dict.fromkeys(ids, object))
    return _numbered(frame, ids, first=2)


def _read_parquet(file: Path) -> pd.DataFrame:
    _extra("pyarrow", file)
    try:
        return pd.read_parquet(file, engine="pyarrow")
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"'{file.name}' cannot be read as Parquet: {error}.") from error


def _read_statistics_package(file: Path, labelled: Sequence[str]) -> TableFile:
    pyreadstat = _extra("pyreadstat", file)
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


def _numbered(frame: pd.DataFrame, ids: Sequence[str], *, first: int) -> pd.DataFrame:
    """Give the rows the numbers the file shows them, pass over blank ones, settle the ids."""
    numbered = frame.set_axis(pd.RangeIndex(first, first + len(frame)), axis="index")
    filled = numbered[numbered.notna().any(axis=1)]
    whole = {column: _lossless_whole(filled[column]) for column in ids if column in filled}
    return filled.assign(**whole)


def _lossless_whole(values: pd.Series) -> pd.Series:
    """Return ids as integers where each text is exactly how its integer is written."""
    written = values.astype(str).str.fullmatch(r"0|-?[1-9]\d{0,14}")
    return values.astype("int64") if len(values) and written.all() else values


def _extra(module: str, file: Path) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Reading '{file.name}' needs the package {module}, which is not installed. "
            'Install the extra that brings it: pip install "alliance-stats[files]".'
        ) from error
