"""What a result was computed from, as frames: columns, rows, residuals, effects, draws."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Accountable
from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.design.formula import OwnColumn
from alliance_stats.errors import WrongObjectError

__all__ = ["opened"]

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
        raise WrongObjectError(
            f"opened takes a result of alliance_stats; got {type(result).__name__}."
        )
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
