"""Cells as a file wrote them into values: what is missing, what is a number, what is an id."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import describe_rows
from alliance_stats.errors import DataError

__all__ = ["TableFile", "refuse_repeated_names", "settled"]

_MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")
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
    columns = [_Cells.read(raw.iloc[:, place]) for place in range(raw.shape[1])]
    filled = np.zeros(len(raw), dtype=bool)
    for column in columns:
        if not filled.all():
            filled |= column.values.notna().to_numpy()
    values = {
        column.values.name: _lossless_whole(column)
        if column.values.name in ids
        else _typed(column, decimal=decimal, file_name=file_name)
        for column in (column.rows(filled) for column in columns)
    }
    frame = pd.DataFrame(values, index=raw.index[filled])
    return TableFile(frame, _note_on_words({str(c.values.name): c.words for c in columns}))


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Cells of a column, each distinct text among them once: a rule looks at it once.

    Attributes
    ----------
    values
        (n,) what the cells hold; NaN for blanks and words for missing.
    is_text
        (n,) whether a cell holds text.
    codes, texts
        ``texts[codes]`` are the texts, in the order of the cells that hold one.
    words
        How often each word for missing stood.
    """

    values: pd.Series
    is_text: npt.NDArray[np.bool_]
    codes: npt.NDArray[np.intp]
    texts: npt.NDArray[np.object_]
    words: Counter[str]

    @classmethod
    def read(cls, cells: pd.Series) -> "_Cells":
        values = cells.to_numpy(dtype=object, copy=True)
        is_text = _is_text(values)
        codes, texts = pd.factorize(values[is_text])
        counts = np.bincount(codes, minlength=len(texts))
        kept = np.array([text not in _MISSING_WORDS and bool(text.strip()) for text in texts], bool)
        words = {
            texts[k]: int(counts[k]) for k in np.flatnonzero(~kept) if texts[k] in _MISSING_WORDS
        }
        if not kept.all():
            left = kept[codes]
            values[np.flatnonzero(is_text)[~left]] = np.nan
            is_text[is_text] = left
            codes, texts = (np.cumsum(kept) - 1)[codes[left]], texts[kept]
        return cls(
            pd.Series(values, index=cells.index, name=cells.name, dtype=object),
            is_text,
            codes,
            texts,
            Counter(words),
        )

    def rows(self, filled: npt.NDArray[np.bool_]) -> "_Cells":
        """Return the cells of some rows; the other rows hold no text."""
        if filled.all():
            return self
        return replace(self, values=self.values[filled], is_text=self.is_text[filled])


def refuse_repeated_names(header: Sequence[object], file_name: str) -> None:
    """Refuse a header that names two columns alike."""
    for name in header:
        if not pd.isna(name) and name != "" and list(header).count(name) > 1:
            raise DataError(f"'{file_name}' names the column '{name}' twice; rename one of them.")


def _note_on_words(words: Mapping[str, Counter[str]]) -> tuple[str, ...]:
    found = sum(words.values(), start=Counter())
    if not found:
        return ()
    texts = ", ".join(f"'{text}'" for text in found)
    columns = ", ".join(f"{column} {n.total()}" for column, n in words.items() if n)
    return (f"Read as missing: {texts} ({columns}).",)


def _is_text(cells: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    if pd.api.types.infer_dtype(cells, skipna=False) == "string":
        return np.ones(len(cells), dtype=bool)
    return np.fromiter((isinstance(cell, str) for cell in cells), dtype=bool, count=len(cells))


def _fit(pattern: re.Pattern[str], texts: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    match = pattern.fullmatch
    return np.array([match(text) is not None for text in texts], dtype=bool)


def _typed(column: _Cells, *, decimal: str, file_name: str) -> pd.Series:
    """Return numbers and truth values as such where all texts of a column are; else as they are."""
    values, texts = column.values, column.texts
    if not len(texts):
        return values.infer_objects()
    only_text = bool((column.is_text == values.notna().to_numpy()).all())
    if only_text and all(text in _TRUTH for text in texts):
        return _replaced(column, np.array([_TRUTH[text] for text in texts], dtype=object))
    number = _fit(_NUMBER[decimal], texts)
    if number.all():
        return _numbers(column, decimal, only_text=only_text)
    if all(_DOUBTFUL.fullmatch(text) for text in texts[~number]):
        first = texts[~number][0]
        where = describe_rows(values.isin(list(texts[~number])), values.index)
        raise DataError(
            f"Column '{values.name}' of '{file_name}' holds '{first}' in {where}, "
            f"{_doubt(first, decimal)}"
        )
    return values


def _numbers(column: _Cells, decimal: str, *, only_text: bool) -> pd.Series:
    """Return the numbers that all texts of a column are, unless two codes would become one."""
    values, texts = column.values, column.texts
    if column.is_text.all() and _fit(_INTEGER, texts).all():
        whole = np.array([int(text) for text in texts], dtype=np.int64)
        return pd.Series(whole[column.codes], index=values.index, name=values.name)
    points = np.array([float(text.replace(decimal, ".")) for text in texts], dtype=np.float64)
    large = np.isfinite(points) & (np.abs(points) > _LARGEST_EXACT)
    if _fit(_WHOLE, texts[large]).any():
        return values
    if not only_text:
        return _replaced(column, points.astype(object))
    floats = np.full(len(values), np.nan)
    floats[column.is_text] = points[column.codes]
    return pd.Series(floats, index=values.index, name=values.name)


def _replaced(column: _Cells, new: npt.NDArray[np.object_]) -> pd.Series:
    cells = column.values.to_numpy(dtype=object, copy=True)
    cells[column.is_text] = new[column.codes]
    return pd.Series(
        cells, index=column.values.index, name=column.values.name, dtype=object
    ).infer_objects()


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


def _lossless_whole(column: _Cells) -> pd.Series:
    """Return ids as integers where each is written exactly as its integer is."""
    values = column.values
    others = values[~column.is_text].astype(str).to_numpy(dtype=object)
    if len(values) and _fit(_PLAIN_WHOLE, column.texts).all() and _fit(_PLAIN_WHOLE, others).all():
        return values.astype(np.int64)
    return values
