"""A saved result: one JSON document that states its class and the versions that made it."""

import hashlib
import json
import platform
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from alliance_stats.account import Accountable
from alliance_stats.archive.codec import Reader, Writer
from alliance_stats.errors import AllianceStatsWarning, DataError, WrongObjectError
from alliance_stats.output import write_whole

__all__ = ["FORMAT", "from_dict", "load_result", "save_result", "to_dict"]

FORMAT = 1
"""Of the documents; one more with each change that older versions cannot read."""


def to_dict(result: object) -> dict[str, Any]:
    """Return a result as plain JSON: dicts, lists, texts, numbers, truth values and None.

    Everything in the result is kept, including the rows that a model was fitted to, so that the
    loaded result can answer further questions. (Names of persons in id columns are kept too:
    :meth:`Study.deidentify <alliance_stats.Study.deidentify>` before fitting makes them new ids.)

    Parameters
    ----------
    result
        Any result of this package: a model, curves, a comparison, a table of means.

    Returns
    -------
    dict
        ``format``, ``class``, ``versions`` (of alliance_stats, Python, numpy, scipy and pandas),
        ``sha256`` (of ``result``, which reveals changes by hand), ``method``, ``summary``
        (what was printed when it was saved) and ``result``.

    Raises
    ------
    WrongObjectError
        If it is not a result of this package.
    DataError
        If the result contains what JSON cannot hold, such as a function of the caller's.

    Examples
    --------
    >>> from alliance_stats import correlations, example_study
    >>> from alliance_stats.archive import from_dict, to_dict
    >>> first = example_study().sessions.query("session == 1")
    >>> found = correlations(first, ["alliance", "symptoms"])
    >>> document = to_dict(found)
    >>> from_dict(document).summary() == found.summary()
    True
    """
    if isinstance(result, type) or not isinstance(result, Accountable):
        raise WrongObjectError(
            f"to_dict takes a result of alliance_stats (it has summary() and account()); got "
            f"{type(result).__name__}."
        )
    written = Writer()(result)
    account = result.account()
    return {
        "format": FORMAT,
        "class": type(result).__name__,
        "versions": _versions(),
        "sha256": _fingerprint(written),
        "method": str(account.method),
        "summary": str(result.summary()),  # type: ignore[attr-defined]
        "result": written,
    }


def from_dict(document: Mapping[str, Any]) -> Any:
    """Return the result that :func:`to_dict` wrote.

    Parameters
    ----------
    document
        What :func:`to_dict` gave, or ``json.load`` of a saved file.

    Returns
    -------
    A result of the class that was saved, with the same ``summary()``, ``tidy()`` and answers.

    Raises
    ------
    DataError
        If the document has a newer format, an unknown class or unknown fields, or is not a saved
        result. Nothing named in a document is imported or run except classes and marked functions
        of this package.

    Warns
    -----
    AllianceStatsWarning
        If the result was changed after saving, was saved without a field that now has a default, or
        prints differently under the current versions.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study, from_dict, to_dict
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma", families, time="time", event="event")
    >>> from_dict(to_dict(model)).tidy().equals(model.tidy())
    True
    """
    if not isinstance(document, Mapping) or not {"format", "result"} <= set(document):
        raise DataError(
            "This is no saved result: it has no 'format' and 'result', as to_dict writes them."
        )
    written = document["format"]
    if not isinstance(written, int) or not 1 <= written <= FORMAT:
        raise DataError(
            f"The document has format {written}, and this version of alliance_stats "
            f"({version('alliance-stats')}) reads {FORMAT}. Update alliance_stats."
        )
    reader = Reader()
    try:
        found = reader(document["result"])
    except (KeyError, IndexError, AttributeError) as reason:
        raise DataError(
            f"The document is not as to_dict wrote it ({type(reason).__name__}: {reason}); parts "
            "of it are missing or were changed by hand."
        ) from reason
    if not isinstance(found, Accountable):
        raise DataError("The document holds no result of alliance_stats.")
    for doubt in _doubts(document, found, reader.defaults):
        warnings.warn(doubt, AllianceStatsWarning, stacklevel=2)
    return found


def _doubts(document: Mapping[str, Any], found: Any, defaults: Sequence[str]) -> Iterator[str]:
    """Yield why a loaded result may not be what was saved."""
    kind, today = type(found).__name__, _versions()
    saved = document.get("versions", {})
    if "sha256" in document and document["sha256"] != _fingerprint(document["result"]):
        yield f"The {kind} was changed after it was saved: its numbers are not those computed."
    if defaults:
        yield (
            f"The saved {kind} was written by alliance_stats {saved.get('alliance_stats', '?')}, "
            f"which had no {', '.join(defaults)}: the default of this version stands there."
        )
    if saved != today and document.get("summary", found.summary()) != found.summary():
        changed = ", ".join(
            f"{name} {saved.get(name, '?')} (now {now})"
            for name, now in today.items()
            if saved.get(name) != now
        )
        yield (
            f"The loaded {kind} prints otherwise than when it was saved by {changed}. What was "
            "printed then stands in the document under 'summary'."
        )


def _versions() -> dict[str, str]:
    return {
        "alliance_stats": version("alliance-stats"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pandas": pd.__version__,
    }


def _fingerprint(written: object) -> str:
    text = json.dumps(written, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def save_result(result: object, path: str | Path) -> Path:
    """Save a result as a JSON file, whole or not at all; return the path.

    Parameters
    ----------
    result
        Any result of this package.
    path
        The file; an existing one is replaced.

    Raises
    ------
    WrongObjectError, DataError
        As in :func:`to_dict`.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.archive import load_result, save_result
    >>> model = lmm("alliance ~ session + (1 | person)", example_study().sessions)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_result(model, Path(folder) / "model.json")
    ...     again = load_result(file)
    >>> again.summary() == model.summary()
    True
    """
    path = Path(path)
    text = json.dumps(to_dict(result), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_whole(path, text + "\n")
    return path


def load_result(path: str | Path) -> Any:
    """Return the result that :func:`save_result` saved; see :func:`from_dict`.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        If the file is not JSON (cut off, or another kind of file), or as in :func:`from_dict`.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from alliance_stats import endings, example_study, kaplan_meier, load_result, save_result
    >>> families = endings(example_study()).units
    >>> curves = kaplan_meier(families, time="time", event="event")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_result(curves, Path(folder) / "curves.json")
    ...     load_result(file).tidy().equals(curves.tidy())
    True
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        raise DataError(f"'{path}' is no JSON file: {reason}.") from reason
    return from_dict(document)
