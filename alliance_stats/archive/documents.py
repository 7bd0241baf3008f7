"""A saved result: one JSON document with its class and versions; opened as frames."""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy

from alliance_stats.account import Accountable
from alliance_stats.archive.codec import Reader, Writer
from alliance_stats.arguments import kind_of
from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.design.formula import OwnColumn
from alliance_stats.errors import AllianceStatsWarning, DataError, WrongObjectError, warn
from alliance_stats.output import write_whole

__all__ = ["FORMAT", "from_dict", "load_result", "opened", "save_result", "to_dict"]

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
            f"{kind_of(result)}."
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
        warn(doubt, AllianceStatsWarning)
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


What = Literal["design_matrix", "augment", "residuals", "random_effects", "draws"]
_INSIDE = ("model", "fit", "outcome", "analysis")  # where a result holds the model it rests on
_IN_WORDS: Mapping[str, tuple[str, str]] = {
    "design_matrix": ("columns of predictors", "no regression on columns lies behind it"),
    "augment": ("rows with fitted values", "no regression of rows lies behind it"),
    "residuals": ("residuals", "no regression of rows lies behind it"),
    "random_effects": ("random effects", "none are in it"),
    "draws": (
        "draws",
        "nothing was drawn for it; parametric_bootstrap(model) draws, and its result holds them",
    ),
}
_OF_CHANCES = {  # of models that foretell chances
    "residuals": "its outcome is steps, endings or times, from which no chance can be subtracted; "
    "opened(result, 'augment') has the chances where rows have them",
    "augment": "chances over time belong to no row; predict(newdata) has them at any time",
}
_JOINT = "it is fitted to members or outcomes together, in which a row has no prediction of its own"
_OF_PAIRS = ("APIM", "OneWithMany", "CrossLagged", "SeveralOutcomes", "FactorModel", "Invariance")


def opened(result: object, what: What) -> pd.DataFrame:
    """Return what a result was computed from or with, as a frame.

    Results based on a model (estimated means, a within-between split, a discrete hazard) are
    opened through it. If a class has a method of that name, it is called with its defaults.

    Parameters
    ----------
    result
        Any result.
    what
        ``"design_matrix"``: the columns of the predictors by name, one row per row used; of several
        outcomes' models as they were stacked. ``"augment"``: the rows used with the caller's
        columns and the fitted values. ``"residuals"``: one column. ``"random_effects"``: predicted
        effects of the units. ``"draws"``: one row per draw of a bootstrap or a simulation.

    Returns
    -------
    DataFrame

    Raises
    ------
    WrongObjectError
        If it is not a result, or `what` is not defined for it; with the reason.
    ValueError
        If `what` is another word.

    Examples
    --------
    >>> from alliance_stats import estimated_means, example_study, lmm, opened
    >>> early = example_study().sessions.query("session <= 3")
    >>> means = estimated_means(lmm("alliance ~ role + (1 | person)", early), "role")
    >>> list(opened(means, "residuals"))
    ['residual']
    """
    if isinstance(result, type) or not isinstance(result, Accountable):
        raise WrongObjectError(f"opened takes a result of alliance_stats; got {kind_of(result)}.")
    check_choice(what, tuple(_IN_WORDS), name="what")
    for holder in _holders(result):
        found = _asked(holder, what)
        if found is not None:
            return found
    named, why = _IN_WORDS[what]
    kind = type(result).__name__
    if what in _OF_CHANCES and getattr(result, "design", None) is not None:
        why = _OF_CHANCES[what]
    elif what in ("design_matrix", "augment", "residuals") and kind in _OF_PAIRS:
        why = _JOINT
    raise WrongObjectError(f"{kind} has no {named}: {why}.")


def _holders(result: object) -> Iterator[object]:
    """Yield the result, and the models that it is based on."""
    yield result
    for name in _INSIDE:
        inner = getattr(result, name, None)
        if isinstance(inner, Accountable) and not isinstance(inner, type):
            yield from _holders(inner)


def _asked(holder: Any, what: str) -> pd.DataFrame | None:
    own = getattr(holder, what, None)
    if what == "random_effects" and not getattr(_design_of(holder), "groupings", True):
        return None
    if own is not None:
        return _as_frame(holder, own() if callable(own) else own, what)
    design = _design_of(holder)
    if what == "design_matrix" and design is not None:
        if isinstance(design, Design):
            return design.matrix()
        scaled = (design.X * design.scale[:, None]).T
        return pd.DataFrame(scaled, index=holder.intervals.frame.index, columns=design.terms)
    if what == "augment" and isinstance(design, Design):
        fitted = holder.predict(design.frame)
        return _printed(design.beside(fitted.set_axis(design.index)))
    if what == "residuals" and hasattr(holder, "augment"):
        rows = holder.augment()
        name = next((name for name in ("residual", "martingale") if name in rows), None)
        return None if name is None else rows[[name]]
    return None


def _design_of(holder: object) -> Any:
    design = getattr(holder, "design", None)
    if isinstance(design, Design):
        return design
    return design if hasattr(holder, "intervals") and hasattr(design, "scale") else None


def _as_frame(holder: Any, found: Any, what: str) -> pd.DataFrame | None:
    """Return what was found as a frame; None where there is nothing in it."""
    if isinstance(found, pd.DataFrame):
        return _printed(found) if len(found) or what != "draws" else None
    if isinstance(found, pd.Series):
        return found.rename("residual").to_frame()
    if isinstance(found, Mapping):
        return pd.DataFrame(dict(found)) if found else None
    columns = np.asarray(found, dtype=np.float64)
    if columns.size == 0:
        return None
    columns = columns.reshape(len(columns), -1)
    terms = holder.tidy().get("term", pd.Series(dtype=object)).tolist()
    if columns.shape[0] == len(holder.tidy()) != columns.shape[1]:
        columns = columns.T
    named = len(terms) == columns.shape[1] and len(set(terms)) == len(terms)
    return pd.DataFrame(columns, columns=terms if named else [
        f"{what} {k + 1}" for k in range(columns.shape[1])])  # fmt: skip


def _printed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its internal columns under their printed names."""
    return frame.rename(columns=lambda name: str(name) if isinstance(name, OwnColumn) else name)
