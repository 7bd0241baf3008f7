"""The log of a report: each figure, table and number with what it was made of.

``log.json`` holds the SHA-256 of the data files and of what each figure and table shows, the
versions of the libraries, the seed, the call, the method, the notes and the ledger of the rows.
Fingerprints of frames are of six digits, so that another order of additions is no change.
"""

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.account import Account, Accountable
from alliance_stats.errors import DataError
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.ledger import RowLedger
from alliance_stats.output import write_whole
from alliance_stats.tables import ReportTable

__all__ = ["FORMAT", "NAME", "file_hash", "frame_hash", "read_log", "record", "versions"]

FORMAT, NAME = 2, "log.json"
_LIBRARIES = (
    "alliance-stats", "numpy", "scipy", "pandas", "statsmodels", "pingouin", "lifelines",
    "matplotlib", "formulaic",
)  # fmt: skip
_MOST_NUMBERS = 400  # of a result that are written one by one


def record(
    folder: str | Path,
    parts: Sequence[object] = (),
    *,
    script: str | Path,
    writes: str | Path | None = None,
    inputs: Sequence[str | Path] = (),
    seed: int | Mapping[str, int] | None = None,
    numbers: Mapping[str, float | tuple[float, Accountable]] | None = None,
    results: Mapping[str, Accountable] | None = None,
) -> Path:
    """Write ``log.json`` into a report's folder, whole or not at all.

    Parameters
    ----------
    folder
        Where the figures and tables were saved, such as ``generated``.
    parts
        Figures and tables of the report; texts among them are passed over.
    script
        What makes the report again: a Python file, or the name of a module (``"analyses"``). It is
        run with one argument, the folder to write into.
    writes
        Where in that folder the log stands; `folder` itself if not given.
    inputs
        Data files that the report rests on.
    seed
        Of random numbers; by name where there are several.
    numbers
        Name -> a number that the text is made of, or ``(number, result)``: with the result that it
        was read from, its method, notes and ledger are written too.
    results
        Name -> a result: its method, notes, ledger and numbers are written.

    Returns
    -------
    Path
        The log.

    Raises
    ------
    DataError
        Two parts of one label, an input that is not there, or a number that is none.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.provenance import record
    >>> model = lmm("alliance ~ session + (1 | person)", example_study().sessions)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = record(folder, script=Path(folder) / "analysis.py", results={"model": model})
    ...     log.name
    'log.json'
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shown = [part for part in parts if isinstance(part, ReportFigure | ReportTable)]
    labels = [part.label for part in shown]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise DataError(f"Two parts of the report are labelled '{twice}'.")
    document = {
        "format": FORMAT,
        "script": _script(folder, script),
        "writes": Path(writes or ".").as_posix(),
        "versions": versions(),
        "seed": seed,
        "inputs": {_beside(folder, Path(path)): _input(Path(path)) for path in inputs},
        "parts": {part.label: _part(part, folder) for part in shown},
        "numbers": {name: _number(name, value) for name, value in (numbers or {}).items()},
        "results": {name: _result(result) for name, result in (results or {}).items()},
    }
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    write_whole(folder / NAME, text + "\n")
    return folder / NAME


def read_log(folder: str | Path) -> dict[str, Any]:
    """Return a report's log.

    Raises
    ------
    DataError
        If there is none, or it is none that this version reads.
    """
    path = Path(folder) / NAME
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"'{folder}' has no {NAME}: make the report again, which writes it."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        raise DataError(f"'{path}' is no log of a report: {reason}.") from reason
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"'{path}' is no log that this version of alliance_stats reads.")
    return document


def versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that numbers and figures rest on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frame_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame in writing, numbers to six digits.

    Where a search ends moves in the ninth digit with the threads of linear algebra.
    """
    text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _beside(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _script(folder: Path, script: str | Path) -> dict[str, str]:
    if isinstance(script, str) and "/" not in script and not script.endswith(".py"):
        return {"module": script, "from": _beside(folder, Path.cwd())}
    return {"file": _beside(folder, Path(script))}


def _input(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"The report is said to rest on '{path}', which is not there.")
    return file_hash(path)


def _part(part: ReportFigure | ReportTable, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "table", "caption": part.caption, "note": part.note}
    if isinstance(part, ReportFigure):
        found |= {"kind": "figure", "data": frame_hash(part.data)}
    else:
        found |= {"data": frame_hash(part.frame)}
    found |= _made_by(part.again)
    files = sorted(folder.rglob(f"{part.label}.*")) + sorted(folder.rglob(f"_{part.label}.qmd"))
    return found | {"files": {_beside(folder, path): file_hash(path) for path in files}}


def _made_by(again: object) -> dict[str, str]:
    """Return the call that made a figure or table, and method and ledger of what it shows."""
    if not isinstance(again, partial):
        return {}
    given = [_said(value) for value in again.args]
    given += [f"{name}={_said(value)}" for name, value in again.keywords.items()]
    found = {"call": f"{getattr(again.func, '__name__', 'part')}({', '.join(given)})"}
    shown = [one for value in (*again.args, *again.keywords.values()) for one in _shown(value)]
    for key, said in dict.fromkeys(shown):
        found[key] = f"{found[key]} | {said}" if key in found else said
    return found


def _shown(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield method and ledger of the results in an argument, each with its name in front."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _shown(one, f"{key}: ")
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _shown(one, name)
    else:
        if isinstance(value, Accountable) and hasattr(value, "method"):
            yield "method", f"{name}{value.method}"
        rows = value if isinstance(value, RowLedger) else getattr(value, "rows", None)
        if isinstance(rows, RowLedger):
            yield "rows", f"{name}{rows}"


def _said(value: object) -> str:
    if isinstance(value, pd.DataFrame):
        return f"DataFrame of {value.shape[0]} rows ({frame_hash(value)[:12]})"
    if isinstance(value, Accountable):
        return type(value).__name__
    if isinstance(value, Mapping) and any(isinstance(one, Accountable) for one in value.values()):
        return "{" + ", ".join(f"{key!r}: {_said(one)}" for key, one in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= 80 and " at 0x" not in text else type(value).__name__


def _number(name: str, value: float | tuple[float, Accountable]) -> dict[str, Any]:
    if not isinstance(value, tuple):
        return {"value": _plain(value)}
    if len(value) != 2 or not isinstance(value[1], Accountable):
        raise DataError(f"The number '{name}' is a number or (number, result); got {value!r}.")
    return {"value": _plain(value[0])} | _origin(value[1].account())


def _origin(account: Account) -> dict[str, Any]:
    return {
        "method": str(account.method),
        "notes": list(account.notes),
        "rows": "" if account.rows is None else str(account.rows),
    }


def _result(result: Accountable) -> dict[str, Any]:
    account = result.account()
    tidy = getattr(result, "tidy", None)
    table = tidy() if callable(tidy) else pd.DataFrame()
    found = {"class": type(result).__name__, **_origin(account), "data": frame_hash(table)}
    return found | {"numbers": _numbers(table)}


def _numbers(table: pd.DataFrame) -> dict[str, float | int | None]:
    """Return a tidy frame's numbers by row and column, where they are not too many."""
    own = table.select_dtypes("number")
    if own.size > _MOST_NUMBERS:
        return {}
    named = [name for name in ("outcome", "group", "state", "strata", "level", "term", "contrast")
             if name in table and table[name].notna().all()]  # fmt: skip
    rows = [" ".join(str(row[name]) for name in named) for row in table.to_dict("records")]
    return {
        f"{i + 1} {row}: {column}".replace(" :", ":"): _plain(own[column].iloc[i])
        for i, row in enumerate(rows)
        for column in own.columns
    }


def _plain(value: float) -> float | int | None:
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
