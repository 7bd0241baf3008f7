"""Files that the package writes: whole or not at all, and safe to open.

A file is written aside and then renamed, so that a disk that fills up leaves no half file under
its name.
"""

import os
import re
import threading
from pathlib import Path

import pandas as pd

__all__ = ["csv_text", "write_whole"]

# A spreadsheet takes a cell that opens so for a formula and runs it.
_RUNS = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?%?")


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Write a file under its name once all of it is on the disk.

    Parameters
    ----------
    path
        The file.
    content
        What to write; text as UTF-8.
    mode
        Who may read and write it, from its first byte on; what the user's own mask forbids goes.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; what stood there before stays.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    # two runs, or two threads of one, may write the same file: each aside under a name of its own
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        aside.unlink(missing_ok=True)  # of a killed run whose number this one got
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV that a spreadsheet shows and does not run.

    A text that opens with ``=``, ``+``, ``-`` or ``@`` and is no number gets an apostrophe in
    front (as spreadsheets mark text); numbers are untouched.
    """
    safe = frame.copy()
    for i in range(safe.shape[1]):
        column = safe.iloc[:, i]
        if not pd.api.types.is_numeric_dtype(column.dtype):
            safe.isetitem(i, column.astype(object).map(_safe))
    safe.columns = pd.Index([_safe(name) for name in frame.columns])
    return str(safe.to_csv(index=False, lineterminator="\n"))


def _safe(cell: object) -> object:
    if isinstance(cell, str) and _RUNS.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
