"""Excel workbooks."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.study.cells import TableFile, refuse_repeated_names, settled

__all__ = ["read_excel"]


def read_excel(file: Path, *, ids: Sequence[str], sheet: str | None) -> TableFile:
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
