"""From cells as written in a file to values: what is missing, what is a number, what is an id."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import describe_rows
from alliance_stats.errors import DataError
from alliance_stats.estimates import Booleans, Integers

__all__ = ["Cells", "TableFile", "refuse_repeated_names", "settled"]

_MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")
_ERRORS = ("#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!")
_IMPORT_ID = '{"ImportId"'  # the third header row of a Qualtrics export
_MOST_STRAY = 0.5  # share of the cells; with more of them a column is one of words
_STRAY_SHOWN = 3
_MOST_DIGITS = 10**15  # a spreadsheet keeps 15 digits of a number
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,18}\s*")
_WHOLE = re.compile(r"\s*[-+]?[0-9]+\s*")
_PLAIN_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")
_NUMBER = {
    mark: re.compile(
        rf"\s*[-+]?(?:[0-9]+{m}?[0-9]*|{m}[0-9]+|(?i:inf|infinity))(?:[eE][-+]?[0-9]+)?\s*"
    )
    for mark, m in ((".", r"\."), (",", ","))
}
# one mark and digits, or digits in groups of three: a number in some country, but in which?
_DOUBTFUL = re.compile(
    r"\s*[-+]?(?:[0-9]+[.,][0-9]+|[0-9]{1,3}(?:[.,'’\s][0-9]{3})+(?:[.,][0-9]+)?)\s*"
)
_LARGEST_EXACT = 2.0**53  # beyond it a float no longer tells neighbouring whole numbers apart


@dataclass(frozen=True, slots=True, eq=False)
class TableFile:
    """A table as read from a file, and notes on what the reader changed."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of a column, with each distinct text stored once, so that a rule is applied to it once.

    Attributes
    ----------
    name
        The column's name.
    codes, texts
        ``texts[codes]`` are the texts, (n,); a code of -1 is a cell without text.
    others
        (n,) contents of the cells without text, NaN if empty; None if all cells are text or blank,
        as in a text file.
    """

    name: str
    codes: Integers
    texts: npt.NDArray[np.object_]
    others: npt.NDArray[np.object_] | None = None

    @classmethod
    def mixed(cls, name: str, values: npt.NDArray[np.object_]) -> "Cells":
        """Split a column into texts and values already typed in the file."""
        is_text = np.fromiter((isinstance(v, str) for v in values), dtype=bool, count=len(values))
        codes = np.full(len(values), -1, dtype=np.int64)
        codes[is_text], texts = pd.factorize(values[is_text])
        return cls(name, codes, texts, np.where(is_text, np.nan, values))

    @property
    def filled(self) -> Booleans:
        """Which cells are not empty."""
        text = self.codes >= 0
        return text if self.others is None else text | ~pd.isna(self.others)

    @property
    def only_text(self) -> bool:
        """Whether every non-empty cell holds text."""
        return self.others is None or bool(pd.isna(self.others).all())

    def rows(self, kept: Booleans) -> "Cells":
        """Return the cells of some rows, with only the texts that occur in them."""
        others = None if self.others is None else self.others[kept]
        codes = self.codes[kept]
        used = np.zeros(len(self.texts), dtype=bool)
        used[codes[codes >= 0]] = True
        renumbered = np.append(np.cumsum(used) - 1, -1)
        return replace(self, codes=renumbered[codes], texts=self.texts[used], others=others)

    def values(self) -> npt.NDArray[np.object_]:
        """Return the contents of the cells, NaN where empty."""
        return self.with_texts(self.texts)

    def with_texts(self, new: npt.NDArray[np.generic]) -> npt.NDArray[np.object_]:
        """Return the cells with each distinct text replaced by `new`."""
        if self.others is None:
            return np.append(new.astype(object), np.nan)[self.codes]
        cells = self.others.copy()
        text = self.codes >= 0
        cells[text] = new.astype(object)[self.codes[text]]
        return cells

    def where(self, chosen: Booleans) -> Booleans:
        """Return which cells hold one of the chosen texts; `chosen` is as long as `texts`."""
        return np.append(chosen, False)[self.codes]


def settled(
    columns: Sequence[Cells],
    index: pd.Index,
    *,
    ids: Sequence[str],
    labelled: Sequence[str] = (),
    file_name: str,
    decimal: str = ".",
    header_rows: int = 1,
) -> TableFile:
    """Convert cells to values; rows without any value are skipped.

    Parameters
    ----------
    columns
        Cells as written, column by column.
    index
        Row numbers, as a spreadsheet shows them.
    ids
        Columns that stay text, unless all their texts are exactly how whole numbers are written.
    labelled
        Columns of words; in them, as in ids, a spreadsheet's error is not a missing value.
    file_name
        For messages.
    decimal
        The decimal mark of numbers written as text.
    header_rows
        How many rows name the columns; those after the first are set aside.

    Raises
    ------
    DataError
        If a column is numeric, but some of its numbers are ambiguous; if an id or label
        is a spreadsheet's error, or a number with more digits than a spreadsheet keeps; or if
        further rows of names stand under the header.
    """
    columns, index, notes = _under_the_header(columns, index, header_rows)
    found = [_without_missing_words(cells, index) for cells in columns]
    columns = [cells for cells, _ in found]
    filled = np.zeros(len(index), dtype=bool)
    for cells in columns:
        filled |= cells.filled
    if not filled.all():
        columns, index = [cells.rows(filled) for cells in columns], index[filled]
    if header_rows == 1:
        _refuse_more_headers(columns, index, decimal, file_name)
    values = {}
    for cells in columns:
        if cells.name in ids or cells.name in labelled:
            _refuse_errors(cells, index, file_name)
        if cells.name in ids:
            values[cells.name] = _lossless_whole(cells, index, file_name)
            continue
        values[cells.name] = _typed(cells, index, decimal=decimal, file_name=file_name)
        if cells.name not in labelled:
            notes = (*notes, *_text_among_numbers(cells, index, decimal))
    words = [part for _, part in found if part]
    if words:
        notes = (*notes, f"Read as missing: {'; '.join(words)}.")
    return TableFile(pd.DataFrame(values, index=index, copy=False), notes)


def refuse_repeated_names(header: Sequence[str], file_name: str) -> None:
    """Refuse a header that names two columns alike."""
    seen: set[str] = set()
    for name in header:
        if name in seen and name:
            raise DataError(f"'{file_name}' names the column '{name}' twice; rename one of them.")
        seen.add(name)


def _under_the_header(
    columns: Sequence[Cells], index: pd.Index, header_rows: int
) -> tuple[Sequence[Cells], pd.Index, tuple[str, ...]]:
    """Set aside the rows under the first that name columns too."""
    if not isinstance(header_rows, int) or header_rows < 1:
        raise ValueError(f"header_rows must be a whole number, 1 or more; got {header_rows!r}.")
    more = header_rows - 1
    if not more:
        return columns, index, ()
    body = np.arange(len(index)) >= more
    note = f"Set aside as further header: {describe_rows(~body, index)}."
    return [cells.rows(body) for cells in columns], index[body], (note,)


def _without_missing_words(cells: Cells, index: pd.Index) -> tuple[Cells, str]:
    """Return the cells without blanks and words for missing values, and where those words were."""
    kept = np.array([t not in _MISSING_WORDS and bool(t.strip()) for t in cells.texts], dtype=bool)
    if kept.all():
        return cells, ""
    parts = []
    for place in np.flatnonzero(~kept):
        here = cells.codes == place
        if cells.texts[place] in _MISSING_WORDS and here.any():
            parts.append(
                f"{int(here.sum())} x '{cells.texts[place]}', {describe_rows(here, index)}"
            )
    renumbered = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    left = replace(cells, codes=renumbered[cells.codes], texts=cells.texts[kept])
    return left, f"{cells.name} ({'; '.join(parts)})" if parts else ""


def _refuse_more_headers(
    columns: Sequence[Cells], index: pd.Index, decimal: str, file_name: str
) -> None:
    """Refuse a table in which the first rows are no data: a second row of names."""
    top = np.arange(len(index)) < 2  # rows
    first = {cells.name: [str(v) for v in cells.rows(top).values()] for cells in columns}
    qualtrics = any(text.startswith(_IMPORT_ID) for texts in first.values() for text in texts)
    if qualtrics:
        raise DataError(
            f"Rows 2 and 3 of '{file_name}' are no data: Qualtrics writes the questions and its "
            "import ids there. Pass header_rows=3 to set them aside."
        )
    for n_rows in (1, 2):
        odd = [cells.name for cells in columns if _numbers_but_at_the_top(cells, n_rows, decimal)]
        if len(odd) >= 2:
            rows = np.arange(len(index)) < n_rows
            found = f"{describe_rows(rows, index)} of '{file_name}'"
            raise DataError(
                f"Under the names of the columns, {found} seem{'s' if n_rows == 1 else ''} "
                "to name them again: "
                f"'{first[odd[0]][0]}' and '{first[odd[1]][0]}' stand above the numbers of "
                f"'{odd[0]}' and '{odd[1]}'. Pass header_rows={n_rows + 1} to set such rows aside."
            )


def _numbers_but_at_the_top(cells: Cells, n_rows: int, decimal: str) -> bool:
    """Tell whether all cells under the first `n_rows` are numbers and those at the top are text."""
    top, under = cells.codes[:n_rows], cells.codes[n_rows:]
    number, under = _NUMBER[decimal], under[under >= 0]
    if (top < 0).any() or _fit(number, cells.texts[top]).any():
        return False
    if len(cells.codes) <= n_rows + 1 or not _fit(number, cells.texts[under[:1]]).all():
        return False
    used = np.zeros(len(cells.texts), dtype=bool)
    used[under] = True
    return bool(_fit(number, cells.texts[used]).all() and cells.filled[n_rows:].any())


def _refuse_errors(cells: Cells, index: pd.Index, file_name: str) -> None:
    errors = np.isin(cells.texts, _ERRORS)
    if errors.any():
        raise DataError(
            f"Column '{cells.name}' of '{file_name}' holds a spreadsheet's error, "
            f"{cells.texts[errors][0]!r}, in {describe_rows(cells.where(errors), index)}. Correct "
            "the formula, or clear the cell."
        )


def _fit(pattern: re.Pattern[str], texts: npt.NDArray[np.object_]) -> Booleans:
    match = pattern.fullmatch
    return np.fromiter((match(text) is not None for text in texts), dtype=bool, count=len(texts))


def _typed(
    cells: Cells, index: pd.Index, *, decimal: str, file_name: str
) -> npt.NDArray[np.generic] | pd.Series:
    """Return numbers and truth values as such if all texts of a column are; else unchanged."""
    texts = cells.texts
    if not len(texts):
        return pd.Series(cells.values(), index=index, dtype=object).infer_objects()
    if cells.only_text and all(text in _TRUTH for text in texts):
        truth = cells.with_texts(np.array([_TRUTH[text] for text in texts], dtype=object))
        return pd.Series(truth, index=index, dtype=object).infer_objects()
    number = _fit(_NUMBER[decimal], texts)
    if number.all():
        return _numbers(cells, index, decimal)
    if all(_DOUBTFUL.fullmatch(text) for text in texts[~number]):
        where = describe_rows(cells.where(~number), index)
        first = texts[~number][0]
        raise DataError(
            f"Column '{cells.name}' of '{file_name}' holds '{first}' in {where}, "
            f"{_doubt(first, decimal)}"
        )
    return cells.values()


def _text_among_numbers(cells: Cells, index: pd.Index, decimal: str) -> Iterator[str]:
    """Say which cells prevent a column from being numeric."""
    if not len(cells.texts):
        return
    stray = cells.where(~_fit(_NUMBER[decimal], cells.texts))
    n_stray = int(stray.sum())
    if not 0 < n_stray < _MOST_STRAY * cells.filled.sum():
        return
    shown = list(dict.fromkeys(map(repr, cells.values()[stray])))
    more = ", ..." if len(shown) > _STRAY_SHOWN else ""
    yield (
        f"Column '{cells.name}' was not read as numbers, for "
        f"{', '.join(shown[:_STRAY_SHOWN])}{more} in {describe_rows(stray, index)}."
    )


def _numbers(cells: Cells, index: pd.Index, decimal: str) -> npt.NDArray[np.generic] | pd.Series:
    """Return the numbers that all texts of a column are, unless two codes would become one."""
    texts = cells.texts
    if (cells.codes >= 0).all() and _fit(_INTEGER, texts).all():
        whole = np.array([int(text) for text in texts], dtype=np.int64)
        return whole[cells.codes]
    points = np.array([float(text.replace(decimal, ".")) for text in texts], dtype=np.float64)
    large = np.isfinite(points) & (np.abs(points) > _LARGEST_EXACT)
    if _fit(_WHOLE, texts[large]).any():
        return cells.values()
    if not cells.only_text:
        mixed = cells.with_texts(points)
        return pd.Series(mixed, index=index, dtype=object).infer_objects()
    return np.append(points, np.nan)[cells.codes]


def _doubt(cell: str, decimal: str) -> str:
    """Say why a number is ambiguous, and what to do."""
    if decimal == ",":
        return (
            "which under decimal=',' could be read in two ways: its mark may separate thousands "
            "or decimals. Write the column with decimal commas and without thousands separators."
        )
    if re.fullmatch(r"\s*[-+]?[0-9]+,[0-9]+\s*", cell):
        return (
            "whose comma may separate decimals or thousands. If decimals, pass decimal=',' (text "
            "files) or store them as numbers (Excel); if thousands, take the commas out of the "
            "file; if it is text, read the file yourself and use Study.from_frame."
        )
    return (
        "which seems to separate thousands. Take the separators out of the file; if it is text, "
        "read the file yourself and use Study.from_frame."
    )


def _lossless_whole(cells: Cells, index: pd.Index, file_name: str) -> npt.NDArray[np.generic]:
    """Return ids as integers where each is written exactly as its integer is."""
    typed = list(_typed_ids(cells, index, file_name))
    if len(cells.codes) and _fit(_PLAIN_WHOLE, np.append(cells.texts, typed)).all():
        if cells.only_text and (cells.codes >= 0).all():
            return np.array([int(text) for text in cells.texts], dtype=np.int64)[cells.codes]
        if cells.filled.all():
            return cells.values().astype(np.int64)
    return cells.values()


def _typed_ids(cells: Cells, index: pd.Index, file_name: str) -> Iterator[str]:
    """Yield the ids that the file has as numbers; refuse those it could not keep whole."""
    if cells.others is None:
        return
    for place in np.flatnonzero(cells.codes < 0):
        value = cells.others[place]
        if isinstance(value, int | float) and abs(value) >= _MOST_DIGITS:
            raise DataError(
                f"Column '{cells.name}' of '{file_name}' holds the number {value:.0f} in row "
                f"{index[place]}. A spreadsheet keeps at most 15 digits of a number, so that "
                "longer ids can no longer be told apart: enter them as text, from the original."
            )
        yield str(value)
