"""Cells as a file wrote them into values: what is missing, what is a number, what is an id."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import describe_rows
from alliance_stats.errors import DataError

__all__ = ["TableFile", "refuse_repeated_names", "settled"]

_MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_INTEGER = r"\s*[-+]?[0-9]{1,18}\s*"
_NUMBER = {
    mark: rf"\s*[-+]?(?:[0-9]+{m}?[0-9]*|{m}[0-9]+|(?i:inf|infinity))(?:[eE][-+]?[0-9]+)?\s*"
    for mark, m in ((".", r"\."), (",", ","))
}
# one mark and digits, or digits in groups of three: a number in some country, but in which?
_DOUBTFUL = r"\s*[-+]?(?:[0-9]+[.,][0-9]+|[0-9]{1,3}(?:[.,'’\s][0-9]{3})+(?:[.,][0-9]+)?)\s*"


@dataclass(frozen=True, slots=True, eq=False)
class TableFile:
    """A table as read from a file, and notes on what the reader changed."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def settled(
    raw: pd.DataFrame, *, ids: Sequence[str], file_name: str, decimal: str = "."
) -> TableFile:
    """Give text cells their values; rows without any value are passed over.

    Parameters
    ----------
    raw
        Cells as written (text, or values that the file itself has typed).
    ids
        Columns that stay text, unless all their texts are exactly how whole numbers are written.
    file_name
        For messages.
    decimal
        The decimal mark of numbers written as text.

    Raises
    ------
    DataError
        If a column is all numbers, but some of them could be read in two ways.
    """
    words: dict[str, Counter[str]] = {}
    cells = {}
    for column in raw.columns:
        cells[column], words[str(column)] = _without_missing(raw[column].astype(object))
    frame = pd.DataFrame(cells, index=raw.index)
    filled = frame[frame.notna().any(axis="columns")]
    values = {
        column: _lossless_whole(filled[column])
        if column in ids
        else _typed(filled[column], decimal=decimal, file_name=file_name)
        for column in filled.columns
    }
    return TableFile(filled.assign(**values), _note_on_words(words))


def refuse_repeated_names(header: Sequence[object], file_name: str) -> None:
    """Refuse a header that names two columns alike."""
    for name in header:
        if not pd.isna(name) and name != "" and list(header).count(name) > 1:
            raise DataError(f"'{file_name}' names the column '{name}' twice; rename one of them.")


def _without_missing(cells: pd.Series) -> tuple[pd.Series, Counter[str]]:
    """Return the cells with NaN for blanks and words for missing, and how often each word stood."""
    is_text = _is_text(cells)
    codes, distinct = pd.factorize(cells[is_text])
    counts = np.bincount(codes, minlength=len(distinct))
    gone = np.array([not text.strip() or text in _MISSING_WORDS for text in distinct], dtype=bool)
    missing = is_text.copy()
    missing[is_text] = gone[codes] if len(distinct) else False
    words = {
        str(text): int(n)
        for text, n in zip(distinct, counts, strict=True)
        if text in _MISSING_WORDS
    }
    return cells.mask(missing), Counter(words)


def _note_on_words(words: Mapping[str, Counter[str]]) -> tuple[str, ...]:
    found = sum(words.values(), start=Counter())
    if not found:
        return ()
    texts = ", ".join(f"'{text}'" for text in found)
    columns = ", ".join(f"{column} {n.total()}" for column, n in words.items() if n)
    return (f"Read as missing: {texts} ({columns}).",)


def _is_text(cells: pd.Series) -> npt.NDArray[np.bool_]:
    return np.fromiter((isinstance(cell, str) for cell in cells), dtype=bool, count=len(cells))


def _typed(values: pd.Series, *, decimal: str, file_name: str) -> pd.Series:
    """Return numbers and truth values as such where all texts of a column are; else as they are."""
    is_text = _is_text(values)
    codes, distinct = pd.factorize(values[is_text])
    if not len(distinct):
        return values.infer_objects()
    texts = pd.Series(distinct, dtype=object)
    only_text = bool((is_text == values.notna().to_numpy()).all())
    if only_text and texts.isin(list(_TRUTH)).all():
        return _replaced(values, is_text, texts.map(_TRUTH).to_numpy(dtype=object)[codes])
    number = texts.str.fullmatch(_NUMBER[decimal])
    if number.all():
        if is_text.all() and texts.str.fullmatch(_INTEGER).all():
            whole = texts.astype(np.int64).to_numpy()[codes]
            return pd.Series(whole, index=values.index, name=values.name)
        points = texts.str.replace(decimal, ".", regex=False).astype(float)
        return _replaced(values, is_text, points.to_numpy(dtype=object)[codes])
    doubtful = ~number & texts.str.fullmatch(_DOUBTFUL)
    if (number | doubtful).all():
        first = texts[doubtful].iloc[0]
        where = describe_rows(values.isin(list(texts[doubtful])), values.index)
        raise DataError(
            f"Column '{values.name}' of '{file_name}' holds '{first}' in {where}, "
            f"{_doubt(first, decimal)}"
        )
    return values


def _replaced(
    values: pd.Series, is_text: npt.NDArray[np.bool_], new: npt.NDArray[np.object_]
) -> pd.Series:
    cells = values.to_numpy(dtype=object, copy=True)
    cells[is_text] = new
    return pd.Series(cells, index=values.index, name=values.name).infer_objects()


def _doubt(cell: str, decimal: str) -> str:
    """Say why a number can be read in two ways, and what to do."""
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


def _lossless_whole(values: pd.Series) -> pd.Series:
    """Return ids as integers where each text is exactly how its integer is written."""
    written = values.astype(str).str.fullmatch(r"0|-?[1-9]\d{0,14}")
    return values.astype("int64") if len(values) and written.all() else values
