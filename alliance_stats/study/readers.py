"""Files into frames, with nothing lost on the way and every change said."""

import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural
from alliance_stats.study.cells import Cells, TableFile, refuse_repeated_names, settled
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

_CELLS_SHOWN = 5
_MOST_CELLS = 50_000_000
_MOST_CELLS_A_VALUE = 20  # a sparse table may be wide; one cell in a corner makes it millions
_NO_WORKBOOK = (  # what a damaged or foreign file makes the zip, XML and workbook readers raise
    BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    StopIteration,
    SyntaxError,
    struct.error,
)
_MERGED = re.compile(r'<(?:\w+:)?mergeCell [^>]*ref="([^"]+)"')
_WITHOUT_VALUE = re.compile(
    r'<(?:\w+:)?c r="([A-Z]+[0-9]+)"([^>]*)>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*'
    r"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_SAYS_MISSING = re.compile(
    r"(?i)\b(?:miss\w*|no answer|not (?:asked|answered|applicable|available|known)|"
    r"refus\w*|skipped|don.?t know|unknown|n/?a|no response|unanswered|declined|prefer not|"
    r"keine angabe|fehl\w*|"
    r"wei(?:ss|ß) nicht|nicht \w+|verweigert|geen antwoord|weet niet|n\.?v\.?t\.?|onbekend|"
    r"vet ej|ej svar|uppgift saknas|ubesvart|sans r[ée]ponse|ne sait pas|no contesta|no sabe|"
    r"nessuna risposta|brak)"
)


def read_table(
    path: str | Path,
    *,
    ids: Sequence[str] = (),
    labelled: Sequence[str] = (),
    sheet: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    header_rows: int = 1,
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
    header_rows
        How many rows name the columns of a text or Excel file: 3 in a Qualtrics export, 2 in one
        of SoSci Survey. The first has the names; the others are set aside, with a note.
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
        return read_text(
            file,
            ids=ids,
            labelled=labelled,
            separator=separator,
            decimal=decimal,
            encoding=encoding,
            header_rows=header_rows,
        )
    if (separator, decimal, encoding) != (None, ".", "utf-8"):
        raise DataError(
            f"separator=, decimal= and encoding= say how a text file is written; '{file.name}' "
            "is none. Leave them out."
        )
    if suffix == ".xlsx":
        return _read_excel(file, ids=ids, labelled=labelled, sheet=sheet, header_rows=header_rows)
    if header_rows != 1:
        raise DataError(f"header_rows= is for text files and Excel; '{file.name}' has no header.")
    if suffix == ".parquet":
        return TableFile(_read_parquet(file))
    return _read_statistics_package(file, ids=ids, labelled=labelled)


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
        frame = pd.read_parquet(file, engine="pyarrow")
    except (ValueError, OSError, NotImplementedError) as error:  # of pyarrow's errors, the bases
        raise DataError(f"'{file.name}' cannot be read as Parquet: {error}.") from error
    kept = [name for name in frame.index.names if name is not None]
    return frame.reset_index(level=kept) if kept else frame  # row labels that were columns


def _extra(module: str, file: Path) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Reading '{file.name}' needs the package {module}, which is not installed. "
            'Install the extra that brings it: pip install "alliance-stats[files]".'
        ) from error


def _read_excel(
    file: Path, *, ids: Sequence[str], labelled: Sequence[str], sheet: str | None, header_rows: int
) -> TableFile:
    """Read one sheet of a workbook; see ``read_table``."""
    openpyxl = _extra("openpyxl", file)
    try:
        with ZipFile(file) as parts:
            damaged = parts.testzip()
            if damaged is not None:
                raise BadZipFile(f"its part '{damaged}' is damaged")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            try:
                chosen = _sheet([part.title for part in book.worksheets], file, sheet)
                _refuse_lost_cells(parts, chosen, file)
                rows = _cells_of_rows(book[chosen])
            finally:
                book.close()
    except DataError:
        raise
    except _NO_WORKBOOK as error:
        raise DataError(
            f"'{file.name}' cannot be read as an Excel file: {error}. Open it in the program that "
            "wrote it and save it again as .xlsx, without a password."
        ) from error
    if not rows:
        raise DataError(f"Sheet '{chosen}' of '{file.name}' is empty: it has no header row.")
    if not rows[0]:
        raise DataError(
            f"The first row of sheet '{chosen}' of '{file.name}' is blank. Names of columns stand "
            "in the first row; delete what is above them."
        )
    _refuse_a_stray_cell(rows, chosen, file)
    names = ["" if name is None else _shown(name) for name in rows[0]]
    refuse_repeated_names(names, file.name)
    width = max(map(len, rows))
    names += [""] * (width - len(names))
    columns = []
    for place, name in enumerate(names):
        cells = [row[place] if place < len(row) else None for row in rows[1:]]
        values = np.empty(len(cells), dtype=object)
        values[:] = [np.nan if cell is None else cell for cell in cells]
        if name or not pd.isna(values).all():
            columns.append(Cells.mixed(name or f"Unnamed: {place}", values))
    index = pd.RangeIndex(2, 1 + len(rows))  # the row numbers that a spreadsheet shows
    return settled(
        columns,
        index,
        ids=ids,
        labelled=labelled,
        file_name=file.name,
        header_rows=header_rows,
    )


def _cells_of_rows(sheet: Any) -> list[tuple[object, ...]]:
    """Return the values of each row up to its last, blank rows at the end left out."""
    sheet.reset_dimensions()  # what a file says of its own size may be wrong, or huge
    rows: list[tuple[object, ...]] = []
    n_filled = 0
    for row in sheet.rows:
        values = [_value(cell) for cell in row]
        while values and values[-1] is None:
            values.pop()
        rows.append(tuple(values))
        n_filled = len(rows) if values else n_filled
    return rows[:n_filled]


def _value(cell: Any) -> object:
    value = cell.value
    if isinstance(value, float) and value.is_integer() and not isinstance(value, bool):
        return int(value)
    return None if value == "" else value


def _shown(name: object) -> str:
    """Return the name of a column as a spreadsheet shows it."""
    if isinstance(name, datetime):
        return f"{name:%Y-%m-%d}" if name.time() == time() else f"{name:%Y-%m-%d %H:%M:%S}"
    return str(name)


def _refuse_a_stray_cell(rows: list[tuple[object, ...]], sheet: str, file: Path) -> None:
    """Refuse a table that is huge for a cell far from the others."""
    width = max(map(len, rows))
    filled = sum(value is not None for row in rows for value in row)
    if len(rows) * width <= _MOST_CELLS or len(rows) * width <= filled * _MOST_CELLS_A_VALUE:
        return
    far = next(place for place, row in enumerate(rows, start=1) if len(row) == width)
    raise DataError(
        f"Sheet '{sheet}' of '{file.name}' has {filled} filled cells in {len(rows)} rows and "
        f"{width} columns: a cell stands far from the others, in row {far}, column {width} or in "
        f"the last row, {len(rows)}. Delete what does not belong to the table (at most "
        f"{_MOST_CELLS} cells are read)."
    )


def _refuse_lost_cells(parts: ZipFile, sheet: str, file: Path) -> None:
    """Refuse merged cells, of which only the first has a value, and formulas without one."""
    written = parts.read(_part_of(parts, sheet)).decode("utf-8", errors="replace")
    merged = _MERGED.findall(written)
    if merged:
        rows = sorted(
            {
                row
                for area in merged
                for first, *last in [[int(n) for n in re.findall(r"\d+", area)]]
                for row in range(first + 1, (last or [first])[0] + 1)
            }
        )
        listed = ", ".join(merged[:_CELLS_SHOWN]) + (", ..." if len(merged) > _CELLS_SHOWN else "")
        without = ""
        if rows:
            labels = pd.Index(rows)
            without = f", so that {describe_rows(np.ones(len(rows), bool), labels)} lack it"
        raise DataError(
            f"Cells of sheet '{sheet}' of '{file.name}' are merged ({listed}): only the first of "
            f"them holds the value{without}. Unmerge them and write the value into each cell."
        )
    unsaved = [place for place, kind in _WITHOUT_VALUE.findall(written) if 't="str"' not in kind]
    if unsaved:
        listed = ", ".join(unsaved[:_CELLS_SHOWN])
        listed += f" and {len(unsaved) - _CELLS_SHOWN} more" if len(unsaved) > _CELLS_SHOWN else ""
        raise DataError(
            f"Sheet '{sheet}' of '{file.name}' holds formulas whose values were not saved: "
            f"{listed}. Open the file in a spreadsheet program and save it, or write the values "
            "in the place of the formulas."
        )


def _part_of(parts: ZipFile, sheet: str) -> str:
    """Return the part of a workbook in which a sheet is written."""
    listed = ElementTree.fromstring(parts.read("xl/workbook.xml"))
    relation = next(
        value
        for element in listed.iter()
        if element.tag.endswith("}sheet") and element.get("name") == sheet
        for key, value in element.attrib.items()
        if key.endswith("}id")
    )
    targets = ElementTree.fromstring(parts.read("xl/_rels/workbook.xml.rels"))
    target = next(str(e.get("Target")) for e in targets if e.get("Id") == relation)
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _sheet(names: Sequence[str], file: Path, sheet: str | None) -> str:
    if sheet is None and len(names) > 1:
        listed = ", ".join(f"'{name}'" for name in names)
        raise DataError(f"'{file.name}' has several sheets ({listed}): name one with sheet=.")
    if sheet is not None and sheet not in names:
        raise DataError(f"'{file.name}' has no sheet '{sheet}'. {did_you_mean(sheet, names)}")
    return sheet or names[0]


def _read_statistics_package(
    file: Path, *, ids: Sequence[str], labelled: Sequence[str]
) -> TableFile:
    """Read a file with its value labels and user-missing codes; see ``read_table``."""
    pyreadstat = _extra("pyreadstat", file)
    read: Callable[..., tuple[pd.DataFrame, object]] = getattr(
        pyreadstat, _STATISTICS_PACKAGES[file.suffix.lower()]
    )
    try:
        frame, meta = read(str(file))
        with_codes, _ = read(str(file), user_missing=True)
    except pyreadstat.ReadstatError as error:
        raise DataError(f"'{file.name}' cannot be read: {error}.") from error
    frame.index = with_codes.index = pd.RangeIndex(1, len(frame) + 1)
    notes = []
    for column in frame.columns:
        declared = (frame[column].isna() & with_codes[column].notna()).to_numpy()
        if declared.any():
            shown = ", ".join(_code(code) for code in with_codes.loc[declared, column].unique())
            notes.append(
                f"User-missing codes of '{column}' ({shown}) were read as missing: "
                f"{plural(int(declared.sum()), 'value')}, {describe_rows(declared, frame.index)}."
            )
    text = [name for name in frame.columns if not is_numeric_dtype(frame[name].dtype)]
    frame[text] = frame[text].mask(frame[text] == "")
    labels: dict[str, dict[object, str]] = getattr(meta, "variable_value_labels", {})
    for column, words in labels.items():
        if column not in frame or column in ids:
            continue
        if column in labelled:
            frame[column] = _with_labels(frame, column, words)
            notes.append(f"Codes of '{column}' were replaced by their value labels.")
        else:
            notes.extend(_note_on_labelled_numbers(frame[column], words))
    return TableFile(frame, tuple(notes))


def _code(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _note_on_labelled_numbers(values: pd.Series, labels: Mapping[object, str]) -> Iterator[str]:
    """Say which numbers carry a label that the others do not, or one that says "missing"."""
    known = set(values.dropna().unique())
    named = {code: word for code, word in labels.items() if code in known}
    ends = _ends(known, labels)
    partly = len(named) < len(known)
    told = {
        code: word
        for code, word in named.items()
        if (partly and code not in ends) or _SAYS_MISSING.search(word)
    }
    if not told:
        return
    listed = "; ".join(
        f"{_code(code)} ('{word}') in {describe_rows((values == code).to_numpy(), values.index)}"
        for code, word in told.items()
    )
    yield (
        f"Column '{values.name}' holds numbers that the file labels and does not declare as "
        f"missing: {listed}. They were read as the numbers that they are; if they stand for a "
        "missing value, declare them so in the file, or set them to missing."
    )


def _ends(known: Collection[Any], labels: Mapping[Any, str]) -> tuple[object, ...]:
    """Return the labelled ends (and middle) of a scale whose other steps have no label.

    The scale is the run of neighbouring numbers around those without a label; nothing is returned
    where other steps of it are labelled, or an end is not.
    """
    plain = set(known) - set(labels)
    if not plain or any(isinstance(code, str) for code in (*known, *labels)):
        return ()
    numbers = np.unique([*known, *labels])
    apart = np.diff(numbers)
    runs = np.append(0, np.cumsum(apart > apart.min(initial=np.inf)))
    run = numbers[runs == runs[numbers == max(plain)][0]]
    inside = {code for code in labels if run[0] <= code <= run[-1]}
    ends = {run[0], run[-1]}
    return tuple(inside) if ends <= inside <= {*ends, (run[0] + run[-1]) / 2} else ()


def _with_labels(frame: pd.DataFrame, column: str, labels: dict[object, str]) -> pd.Series:
    codes = {code: str(labels[code]) for code in frame[column].dropna().unique() if code in labels}
    for word in codes.values():
        same = [code for code, other in codes.items() if other == word]
        if len(same) > 1:
            listed = ", ".join(
                f"{_code(c)} ({describe_rows((frame[column] == c).to_numpy(), frame.index)})"
                for c in same
            )
            raise DataError(
                f"Several codes of column '{column}' have one value label, '{word}': {listed}. "
                "Give each its own label in the file; if they mean the same, one code."
            )
    words = frame[column].map(codes)
    unlabelled = (words.isna() & frame[column].notna()).to_numpy()
    if unlabelled.any():
        first = frame.loc[unlabelled, column].iloc[0]
        raise DataError(
            f"Column '{column}' has value labels, but none for {_code(first)} "
            f"in {describe_rows(unlabelled, frame.index)}. Label that value in the file, or set it "
            "to missing."
        )
    return words
