"""One number of ours beside one of theirs, and what their difference means."""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd

__all__ = [
    "AGREES",
    "CLOSED",
    "DEFINITION",
    "DIFFERS",
    "FAULT",
    "ITERATED",
    "NOT_ASKED",
    "Answer",
    "Known",
    "both",
    "by_definition",
    "by_fault",
    "known_names",
    "library",
    "not_asked",
    "quiet",
    "widest",
]

AGREES = "agrees"
DEFINITION = "differs by definition"
FAULT = "differs by a fault of theirs"
NOT_ASKED = "not asked"
DIFFERS = "differs"

# Two ways through the same closed form part after some ten digits.
CLOSED = 1e-7
# Two searches stop at different places of the flat around one maximum: as a share of the standard
# error, or of the number where it has none.
ITERATED = 2e-3


@dataclass(frozen=True, slots=True)
class Answer:
    """One number, and what another library says.

    Attributes
    ----------
    term, measure
        What the number refers to, and which number it is.
    ours, theirs
        Both; theirs is NaN if not requested.
    library
        Who answered, with the version.
    allowed
        The largest difference that counts as agreement.
    kind, reason
        Class of a larger difference: :data:`DEFINITION`, :data:`FAULT` or :data:`NOT_ASKED`,
        with the source; empty if none is known.
    explained
        The largest difference that the reason can explain.
    """

    term: str
    measure: str
    ours: float
    theirs: float
    library: str
    allowed: float
    kind: str = ""
    reason: str = ""
    explained: float = math.inf

    @property
    def verdict(self) -> str:
        """What the difference says."""
        if self.kind == NOT_ASKED:
            return NOT_ASKED
        if self.ours == self.theirs or abs(self.ours - self.theirs) <= self.allowed:
            return AGREES
        if math.isnan(self.ours) and math.isnan(self.theirs):
            return AGREES
        if not abs(self.ours - self.theirs) <= self.explained:
            return DIFFERS
        return self.kind or DIFFERS


@dataclass(frozen=True, slots=True)
class Known:
    """Why another library's number may differ, and by how much at most.

    Attributes
    ----------
    kind, reason
        :data:`DEFINITION` or :data:`FAULT`, with the source; both empty if nothing is known.
    explains
        The largest difference that it explains, as a multiple of the number's scale.
    """

    kind: str = ""
    reason: str = ""
    explains: float = math.inf


def by_definition(reason: str, *, explains: float = math.inf) -> Known:
    """Return a difference of definitions; none if `reason` is empty."""
    return Known(DEFINITION, reason, explains) if reason else Known()


def by_fault(reason: str) -> Known:
    """Return a documented fault of theirs; none if `reason` is empty."""
    return Known(FAULT, reason) if reason else Known()


def both(
    term: str,
    measure: str,
    ours: float,
    theirs: float,
    who: str,
    *,
    close: float = CLOSED,
    scale: float | None = None,
    known: Known = Known(),
) -> Answer:
    """Return a number of ours beside theirs.

    They agree within `close` times `scale`: a standard error, or the number's own size. A `known`
    reason explains a difference up to its limit only.
    """
    ours, theirs = float(ours), float(theirs)
    size = abs(ours) if scale is None else float(scale)
    allowed = max(close * size, 1e-12) if np.isfinite(size) else 1e-12
    explained = known.explains * size if np.isfinite(size) else math.inf
    return Answer(term, measure, ours, theirs, who, allowed, known.kind, known.reason, explained)


def not_asked(term: str, measure: str, ours: float, who: str, reason: str) -> Answer:
    """Return a number that the other library is known to get wrong, or does not have."""
    return Answer(term, measure, float(ours), math.nan, who, 0.0, NOT_ASKED, reason)


def widest(
    named: tuple[str, str], at: Iterable[float], ours: np.ndarray, theirs: np.ndarray, who: str
) -> Answer:
    """Return the point of two curves at which they are furthest apart, with term and measure."""
    term, measure = named
    places, apart = list(at), np.abs(np.asarray(ours) - np.asarray(theirs))
    if np.isnan(apart).all():
        return not_asked(term, measure, math.nan, who, "there is no time at which both have it")
    worst = int(np.nanargmax(apart))
    label = f"{term}, furthest apart of {len(places)} times: {places[worst]:g}"
    return both(label, measure, ours[worst], theirs[worst], who, scale=1.0)


def library(name: str, what: str) -> str:
    """Return who answered: ``"statsmodels 0.15.0, MixedLM"``."""
    return f"{name} {version(name)}, {what}"


def known_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Return pingouin's table with its column names since version 0.6."""
    return frame.rename(columns=lambda name: str(name).replace("-", "_").rstrip("%"))


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the other libraries' warnings and contain their floating-point states."""
    # recorded, not filtered: statsmodels puts filters of its own in front when it is imported
    with warnings.catch_warnings(record=True), np.errstate(all="ignore"):
        warnings.simplefilter("always")
        yield
