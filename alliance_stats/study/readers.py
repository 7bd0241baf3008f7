"""From files to frames, with nothing lost on the way and every change reported."""

import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural
from alliance_stats.spelling import plain_number
from alliance_stats.study.cells import TableFile
from alliance_stats.study.text_files import SEPARATORS, read_text
from alliance_stats.study.workbooks import DAMAGED, WORKBOOKS, extra, read_excel

__all__ = ["TableFile", "read_table"]

_STATISTICS_PACKAGES = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
}
"""Suffix -> the function of pyreadstat that reads it."""

_SUFFIXES = (*SEPARATORS, *WORKBOOKS, ".parquet", *_STATISTICS_PACKAGES)

_HEADER, _WIDEST = 176, 255  # bytes of an SPSS file before its variables, and of its widest text

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
    """Read a table according to its file's suffix.

    Parameters
    ----------
    path
        A ``.csv, .tsv, .xlsx, .parquet, .sav, .zsav, .dta`` or ``.sas7bdat`` file.
    ids
        Columns of ids. From text files and Excel they are read as text, so that ``001`` and ``1``
        stay different; they become whole numbers only if nothing is lost.
    labelled
        Columns whose values are words (role, rater, ending). In SPSS and Stata files their value
        labels replace the codes.
    sheet
        Sheet of an Excel file; required if there are several sheets.
    header_rows
        How many rows name the columns of a text or Excel file: 3 in a Qualtrics export, 2 in one
        of SoSci Survey. The first contains the names; the others are set aside, with a note.
    separator, decimal, encoding
        How a text file is written: the mark between columns (by default ``","`` in .csv and a tab
        in .tsv), the decimal mark (``"."`` or ``","``) and the encoding (UTF-8, with or without a
        mark at the beginning, unless named). German, Dutch or Swedish Excel on Windows mostly
        writes ``separator=";", decimal=",", encoding="cp1252"``. None of these is ever guessed.

    Returns
    -------
    TableFile
        Rows of text files and Excel carry the row number a spreadsheet shows (2 is the first under
        the header); those of SPSS, Stata and SAS files the case number from 1. Of text files and
        Excel, entirely blank rows and entirely blank unnamed columns are skipped, blank cells are
        missing, and so are ``NA, N/A, n/a, #N/A, <NA>, NaN, nan, NULL, null`` (a note counts them;
        ``None`` stays a word, and a code such as -99 a number; whole numbers of a text file with
        too many digits to be distinguished as numbers stay text). In SPSS, Stata and SAS files,
        values declared as user-missing are read as missing (a note counts them per column), and
        blank text is missing; labelled numbers of all other columns, ids among them, stay numbers.

    Raises
    ------
    DataError
        If the file does not exist, is empty, names a column twice, is not what its suffix says or
        not in the declared encoding, or contains ambiguous numbers (``1.234``
        under ``decimal=","``, ``4,5`` or ``1,234`` under ``decimal="."``).
    ValueError
        If `separator` is not one mark, or `decimal` or `encoding` is unknown.
    ImportError
        If the format needs the optional extra ``files``.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    _check_is_file(file)
    if sheet is not None and suffix not in WORKBOOKS:
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
    if suffix in WORKBOOKS:
        return read_excel(file, ids=ids, labelled=labelled, sheet=sheet, header_rows=header_rows)
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
    extra("pyarrow", file)
    try:
        frame = pd.read_parquet(file, engine="pyarrow")
    except DAMAGED as error:
        raise DataError(f"'{file.name}' cannot be read as Parquet: {error}.") from error
    kept = [name for name in frame.index.names if name is not None]
    return frame.reset_index(level=kept) if kept else frame  # row labels that were columns


def _read_statistics_package(
    file: Path, *, ids: Sequence[str], labelled: Sequence[str]
) -> TableFile:
    """Read a file with its value labels and user-missing codes; see ``read_table``."""
    pyreadstat = extra("pyreadstat", file)
    read: Callable[..., tuple[pd.DataFrame, object]] = getattr(
        pyreadstat, _STATISTICS_PACKAGES[file.suffix.lower()]
    )
    if file.suffix.lower() in (".sav", ".zsav"):
        _check_dictionary(file)
    try:
        frame, meta = read(str(file))
        with_codes, _ = read(str(file), user_missing=True)
    except (pyreadstat.ReadstatError, *DAMAGED) as error:
        raise DataError(f"'{file.name}' cannot be read: {error}.") from error
    frame.index = with_codes.index = pd.RangeIndex(1, len(frame) + 1)
    notes = []
    for column in frame.columns:
        declared = (frame[column].isna() & with_codes[column].notna()).to_numpy()
        if declared.any():
            shown = ", ".join(
                str(plain_number(code)) for code in with_codes.loc[declared, column].unique()
            )
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


def _check_dictionary(file: Path) -> None:
    """Refuse an SPSS file whose description of its variables is damaged.

    The library that reads it would follow an impossible width, place or number of rows, and stop
    the interpreter. Records begin with their kind: 2 a variable (then its width, -1 of more of the
    text before, whether it has a label, how many of its values are missing ones, two formats, its
    name, the label, those values), 3 labels of values, 4 the variables (by place) that have them, 6
    text, 7 whatever else (kind, size, number), and 999 the end.
    """
    content = file.read_bytes()
    order = next((sign for sign in "<>" if content[64:68] in _layouts(sign)), None)
    if order is None:
        return  # not of this format: the reader says so
    try:
        _walk(content, order)
    except (struct.error, IndexError):
        raise DataError(
            f"'{file.name}' cannot be read: its description of the variables is damaged. Open it "
            "in the program that wrote it and save it again."
        ) from None


def _layouts(order: str) -> tuple[bytes, ...]:
    return tuple(struct.pack(order + "i", code) for code in (2, 3))


def _walk(content: bytes, order: str) -> None:
    """Go from record to record of an SPSS file, and raise where one cannot be."""
    at, n_variables, more = _HEADER, 0, 0

    def numbers(count: int) -> tuple[int, ...]:
        nonlocal at
        at += 4 * count
        return struct.unpack_from(f"{order}{count}i", content, at - 4 * count)

    def expect(sound: bool) -> None:
        if not (sound and at <= len(content)):
            raise IndexError

    (packed,) = struct.unpack_from(order + "i", content, 72)
    (n_rows,) = struct.unpack_from(order + "i", content, 80)
    while (kind := numbers(1)[0]) != 999:
        if kind == 2:
            width, labelled, missing, *_ = numbers(5)
            expect(-1 <= width <= _WIDEST and labelled in (0, 1) and abs(missing) <= 3)
            expect((width == -1) == (more > 0))
            n_variables, more = n_variables + 1, more - 1 if more else max(0, width - 1) // 8
            at += 8  # its name
            letters = numbers(1)[0] if labelled else 0
            at += -(-letters // 4) * 4 + 8 * abs(missing)
        elif kind == 3:
            for _ in range(numbers(1)[0]):
                at += 8
                at += (content[at] // 8 + 1) * 8
        elif kind == 4:
            places = numbers(numbers(1)[0])
            expect(all(1 <= place <= n_variables for place in places))
        elif kind == 6:
            lines = numbers(1)[0]
            at += 80 * lines
        else:
            _, size, count = numbers(3)
            expect(kind == 7 and size >= 0 and count >= 0)
            at += size * count
        expect(at > _HEADER)
    most = len(content) * (1032 if packed == 2 else 1)  # a byte or more a cell; zlib packs 1032
    expect(n_rows * n_variables <= most)


def _note_on_labelled_numbers(values: pd.Series, labels: Mapping[object, str]) -> Iterator[str]:
    """Say which numbers are labelled where others are not, or labelled "missing"."""
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
        f"{plain_number(code)} ('{word}') in "
        f"{describe_rows((values == code).to_numpy(), values.index)}"
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
                f"{plain_number(c)} ({describe_rows((frame[column] == c).to_numpy(), frame.index)})"
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
            f"Column '{column}' has value labels, but none for {plain_number(first)} "
            f"in {describe_rows(unlabelled, frame.index)}. Label that value in the file, or set it "
            "to missing."
        )
    return words
