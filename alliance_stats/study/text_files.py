"""CSV and TSV: text whose separator, decimal mark and encoding must be declared."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, describe_rows
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural
from alliance_stats.study.cells import Cells, TableFile, refuse_repeated_names, settled

__all__ = ["SEPARATORS", "read_text"]

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""The separator that a suffix stands for."""

_OTHERS = (";", "\t", ",", "|")
_Record = tuple[str, ...]
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(
    file: Path,
    *,
    ids: Sequence[str],
    labelled: Sequence[str] = (),
    separator: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    header_rows: int = 1,
) -> TableFile:
    """Read a text table in its declared format; see ``read_table``."""
    check_choice(decimal, (".", ","), name="decimal")
    mark = SEPARATORS[file.suffix.lower()] if separator is None else separator
    if len(mark) != 1 or mark in "\"'\r\n. " or mark.isalnum():
        raise ValueError(f"separator must be one mark, such as ';' or '\\t'; got {separator!r}.")
    text = _decoded(file, encoding).rstrip("\r\n")
    notes: tuple[str, ...] = ()
    columns = _even_columns(text, file, mark)
    if columns is None:
        columns, notes = _uneven_columns(text, file, mark)
    table = settled(
        columns,
        pd.RangeIndex(2, 2 + len(columns[0].codes)),  # the row numbers that a spreadsheet shows
        ids=ids,
        labelled=labelled,
        file_name=file.name,
        decimal=decimal,
        header_rows=header_rows,
    )
    return TableFile(table.frame, (*notes, *table.notes))


def _even_columns(text: str, file: Path, mark: str) -> list[Cells] | None:
    """Return the columns of a table whose every line has as many cells as the header.

    None where a line does not, or quotation marks, line ends or the separator need closer
    inspection.
    """
    first = text.partition("\n")[0]
    raw = text.encode()
    if not mark.isascii() or first.count('"') % 2 or not _is_even(raw, mark):
        return None
    header = _header(_records(first, file, mark), file, mark)
    try:
        table = _categories(raw, mark, len(header), "category")
        if any(pd.api.types.is_numeric_dtype(table[i].cat.categories.dtype) for i in table):
            # pandas 3 reads categories as numbers where it can, and 007 is not 7
            table = _categories(raw, mark, len(header), "str").astype("category")
    except pd.errors.ParserError:  # a line has more cells than the one before it
        return None
    columns = [
        Cells(
            name or f"Unnamed: {place}",
            table[place].cat.codes.to_numpy(dtype=np.int64),
            table[place].cat.categories.to_numpy(dtype=object),
        )
        for place, name in enumerate(header)
    ]
    return _without_empty(columns, header)


def _categories(raw: bytes, mark: str, n_columns: int, dtype: str) -> pd.DataFrame:
    """Return the cells under the header as text."""
    return pd.read_csv(
        io.BytesIO(raw),
        sep=mark,
        header=None,
        names=list(range(n_columns)),
        dtype=dtype,
        na_filter=False,
        skip_blank_lines=False,
        low_memory=False,
        quoting=csv.QUOTE_MINIMAL,
        skiprows=1,
    )


def _is_even(raw: bytes, mark: str) -> bool:
    """Tell whether a table's lines all have the same number of cells, by their bytes alone.

    A quotation mark has to open a cell or close one (or be the half of a doubled one): anything
    else is left to the closer inspection.
    """
    if b"\n" not in raw or (b"\r" in raw and raw.count(b"\r") != raw.count(b"\r\n")):
        return False
    if b'"' not in raw:
        sign, start = mark.encode(), raw.index(b"\n")
        n_marks = raw.count(sign, 0, start)
        next_end = raw.find(b"\n", start + 1)
        second = raw.count(sign, start, next_end if next_end > 0 else len(raw))
        # as many in all, and in no line more than in the first of the table (pandas refuses one)
        in_all = n_marks * (raw.count(b"\n") + 1)
        return 0 < n_marks == second and raw.count(sign) == in_all
    signs = np.frombuffer(raw, dtype=np.uint8)
    ends, marks = signs == ord("\n"), signs == ord(mark)
    if b'"' in raw:
        quotes = signs == ord('"')
        inside = np.cumsum(quotes) % 2 == 1  # from an opening mark up to before the closing one
        limit = ends | marks | quotes | (signs == ord("\r"))
        before, after = np.append(True, limit[:-1]), np.append(limit[1:], True)
        opening, closing = quotes & inside, quotes & ~inside
        if inside[-1] or not before[opening].all() or not after[closing].all():
            return False
        ends, marks = ends & ~inside, marks & ~inside
    lines = np.append(np.flatnonzero(ends), len(signs))
    per_line = np.diff(np.searchsorted(np.flatnonzero(marks), lines), prepend=0)
    blank = np.diff(lines, prepend=-1) <= 2
    return bool(per_line[0] > 0 and (per_line == per_line[0]).all() and not blank.any())


def _uneven_columns(text: str, file: Path, mark: str) -> tuple[list[Cells], tuple[str, ...]]:
    """Return the columns of a table read line by line, with a note on lines that end early."""
    records = _records(text, file, mark)
    header = _header(records, file, mark)
    body, notes = _evened(records[1:], header, file)
    columns = []
    for place, name in enumerate(header):
        cells = np.array([record[place] for record in body], dtype=object)
        codes, texts = pd.factorize(cells)
        columns.append(Cells(name or f"Unnamed: {place}", codes.astype(np.int64), texts))
    return _without_empty(columns, header), notes


def _without_empty(columns: Sequence[Cells], header: Sequence[str]) -> list[Cells]:
    """Leave out columns that have neither a name nor a value."""
    return [
        cells
        for cells, name in zip(columns, header, strict=True)
        if name or any(text.strip() for text in cells.texts)
    ]


def _decoded(file: Path, encoding: str) -> str:
    raw = file.read_bytes()
    name = _codec(encoding)
    if raw.startswith(_UTF16_MARKS) and not name.startswith(("utf-16", "utf-32")):
        raise DataError(f"'{file.name}' is UTF-16 text: pass encoding='utf-16'.")
    if not name.startswith("utf") and not raw.isascii() and _is_utf8(raw):
        raise DataError(
            f"'{file.name}' is UTF-8 text, and encoding='{encoding}' would garble its letters. "
            "Leave encoding= out."
        )
    try:
        text = raw.decode("utf-8-sig" if name == "utf-8" else encoding)
    except UnicodeError as error:
        where = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        advice = "Excel on Windows writes encoding='cp1252' as 'CSV', on a Mac 'mac_roman'."
        raise DataError(
            f"'{file.name}' is not {name.upper()} text{where}. Pass the encoding it was saved in: "
            f"{advice} Look at names with accents afterwards, or save it as 'CSV UTF-8'."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"'{file.name}' holds NUL bytes (the first in line {line}): it is damaged, not a text "
            "file, or UTF-16 without a mark (then pass encoding='utf-16-le')."
        )
    return text


def _codec(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(
            f"encoding={encoding!r} is unknown. Most text files are 'utf-8', 'cp1252' or 'utf-16'."
        ) from error


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _records(text: str, file: Path, separator: str) -> list[_Record]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return list(
            map(tuple, lines)
        )  # unlike lists, tuples of text cost garbage collection nothing
    except csv.Error as error:
        raise DataError(
            f"'{file.name}' is not a table: {error} (line {lines.line_num}). A quotation mark "
            "opens text that the same mark must close; inside it, write the mark twice."
        ) from error


def _header(records: list[_Record], file: Path, separator: str) -> list[str]:
    if not any(cell.strip() for record in records for cell in record):
        raise DataError(f"'{file.name}' is empty: it has no header row.")
    header = list(records[0])
    if not any(cell.strip() for cell in header):
        raise DataError(
            f"The first row of '{file.name}' is blank. Names of columns stand in the first row; "
            "delete what is above them."
        )
    if re.fullmatch("sep=.?", separator.join(header).strip()):
        raise DataError(
            f"Delete the first line of '{file.name}' ('sep='), which is for Excel only."
        )
    if len(header) == 1:
        for other in _OTHERS:
            if other in header[0] and other != separator:
                raise DataError(_other_separator(records, file, separator, other))
    refuse_repeated_names(header, file.name)
    return header


def _other_separator(records: list[_Record], file: Path, separator: str, other: str) -> str:
    cells = [cell for record in records[1:] for cell in separator.join(record).split(other)]
    commas = other != "," and any(re.fullmatch(r"\s*-?[0-9]+,[0-9]+\s*", cell) for cell in cells)
    advice = f"separator={other!r}" + (", decimal=','" if commas else "")
    return f"'{file.name}' separates its columns by {other!r}, not {separator!r}. Pass {advice}" + (
        " if commas such as in '4,5' separate decimals." if commas else "."
    )


def _evened(
    records: list[_Record], header: list[str], file: Path
) -> tuple[list[_Record], tuple[str, ...]]:
    """Give every row as many cells as the header; a row that holds more values is refused."""
    width = len(header)
    evened = list(records)
    short = np.zeros(len(records), dtype=bool)
    for place, record in enumerate(records):
        if len(record) == width:
            continue
        if any(cell.strip() for cell in record[width:]):
            raise DataError(
                f"'{file.name}' is not a table: row {place + 2} has {len(record)} values, but the "
                f"header has {width} names. Put text that contains the separator in quotes."
            )
        short[place] = 0 < len(record) < width
        evened[place] = (*record, *[""] * width)[:width]
    if not short.any():
        return evened, ()
    rows = describe_rows(short, pd.RangeIndex(2, 2 + len(records)))
    note = f"{plural(int(short.sum()), 'row')} ended before the last column ({rows}): "
    return evened, (f"{note}the rest was read as missing.",)
