"""Excel workbooks: the cells of one sheet, none of them lost."""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.study.cells import Cells, TableFile, refuse_repeated_names, settled

__all__ = ["DAMAGED", "WORKBOOKS", "extra", "read_excel"]

WORKBOOKS = (".xlsx",)
"""Suffixes of files that have sheets."""

_CELLS_SHOWN = 5
_MOST_CELLS = 50_000_000
_MOST_CELLS_A_VALUE = 20  # a sparse table may be wide; one cell in a corner makes it millions
DAMAGED = (  # what a damaged or foreign file makes readers of stored tables raise
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
_HIDDEN = re.compile(r"<(?:\w+:)?row ([^>]*hidden=\"(?:1|true)\"[^>]*)>")
_PLACE = re.compile(r'\br="(\d+)"')
_STYLES = "xl/styles.xml"
_PERCENT = re.compile(r'xf [^>]*numFmtId="(?:9|10)"|formatCode="[^"]*%')
_WITHOUT_VALUE = re.compile(
    r'<(?:\w+:)?c r="([A-Z]+[0-9]+)"([^>]*)>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*'
    r"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


def extra(module: str, file: Path) -> ModuleType:
    """Return a module that reads `file`, or say which extra installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Reading '{file.name}' needs the package {module}, which is not installed. "
            'Install the extra that brings it: pip install "alliance-stats[files]".'
        ) from error


def read_excel(
    file: Path, *, ids: Sequence[str], labelled: Sequence[str], sheet: str | None, header_rows: int
) -> TableFile:
    """Read one sheet of a workbook; see ``read_table``."""
    chosen, rows, notes = _opened(file, sheet)
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
    table = settled(
        columns,
        index,
        ids=ids,
        labelled=labelled,
        file_name=file.name,
        header_rows=header_rows,
    )
    return replace(table, notes=(*notes, *table.notes))


def _opened(file: Path, sheet: str | None) -> tuple[str, list[tuple[object, ...]], tuple[str, ...]]:
    """Return the sheet that is meant, the cells of its rows, and what is not seen of it."""
    openpyxl = extra("openpyxl", file)
    try:
        with ZipFile(file) as parts:
            damaged = parts.testzip()
            if damaged is not None:
                raise BadZipFile(f"its part '{damaged}' is damaged")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            try:
                chosen = _sheet([part.title for part in book.worksheets], file, sheet)
                written = parts.read(_part_of(parts, chosen)).decode("utf-8", errors="replace")
                _refuse_lost_cells(written, chosen, file)
                rows = _cells_of_rows(book[chosen])
                notes = tuple(_note_on_hidden(written))
                styles = parts.read(_STYLES) if _STYLES in parts.namelist() else b""
                if _PERCENT.search(styles.decode("utf-8", errors="replace")):
                    notes += tuple(_note_on_percent(book[chosen]))
            finally:
                book.close()
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"'{file.name}' cannot be read as an Excel file: {error}. Open it in the program that "
            "wrote it and save it again as .xlsx, without a password."
        ) from error
    return chosen, rows, notes


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
    """Refuse a table that is huge because of one cell far from the others."""
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


def _note_on_hidden(written: str) -> Iterator[str]:
    """Yield a note on rows that a filter, or a hand, has hidden: they are read."""
    hidden = [int(place) for row in _HIDDEN.findall(written) for place in _PLACE.findall(row)]
    if hidden:
        listed = describe_rows(np.ones(len(hidden), bool), pd.Index(hidden))
        yield (
            f"Read although hidden in the sheet (by a filter or by hand): {listed}. Delete what "
            "does not belong to the data."
        )


def _note_on_percent(sheet: Any) -> Iterator[str]:
    """Yield a note on columns whose numbers the sheet shows a hundred times as large."""
    first: dict[int, str] = {}
    names: tuple[object, ...] = ()
    for row in sheet.rows:
        names = names or tuple(cell.value for cell in row)
        for place, cell in enumerate(row[: len(names)]):
            shown = place not in first and "%" in str(getattr(cell, "number_format", ""))
            if shown and isinstance(cell.value, int | float):
                first[place] = f"'{names[place]}' ({cell.value:.0%} in {cell.coordinate} is "
                first[place] += f"{cell.value:g})"
    if first:
        yield f"Shown in per cent by the sheet and read as shares: {', '.join(first.values())}."


def _refuse_lost_cells(written: str, sheet: str, file: Path) -> None:
    """Refuse merged cells, of which only the first has a value, and formulas without one."""
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
            lacking = describe_rows(np.ones(len(rows), bool), labels)
            without = f", so that {lacking} lack{'s' if len(rows) == 1 else ''} it"
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
