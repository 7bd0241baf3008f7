"""What a rule that finds ruptures is, and what it says of every session.

A rule is a small frozen object given to :func:`~alliance_stats.family.ruptures.ruptures`. Constants
that published rules leave open or differ in are required arguments, and no rule carries an author's
name.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["ROUNDING", "RuptureRule", "Scan", "check_positive"]

ROUNDING = 1e-9
"""Relative slack at limits: 5.1 - 4.1 is a hair below 1 in floating point."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What a rule says of every session; arrays series x sessions.

    Attributes
    ----------
    flag
        1 where the rule fires with what is known at the session, 0 where not, NaN where it cannot
        be applied (no rating, or too few before).
    onset
        Column of the session at which the shift happened (the session itself, or an earlier one
        that is recognised only now); -1 where not flagged.
    level
        The level that the shift is measured from; NaN where not flagged, except for rules with a
        limit.
    limit
        Score that had to be reached; NaN for rules without one.
    happened
        Looking back: 1 where a shift happened at the session, whenever it was recognised, 0 where
        not, NaN where that cannot be said. It describes and predicts nothing.
    """

    flag: Array
    onset: npt.NDArray[np.int64]
    level: Array
    limit: Array
    happened: Array


class RuptureRule(Protocol):
    """What :func:`~alliance_stats.family.ruptures.ruptures` needs of a rule."""

    @property
    def words(self) -> str:
        """The rule in words."""
        ...

    @property
    def sign(self) -> int:
        """1 where a fall of the score is flagged, -1 where a rise is."""
        ...

    @property
    def shared_sd(self) -> Literal["within", "between"] | float | None:
        """The SD that all series share, if the rule uses one."""
        ...

    @property
    def looks_ahead(self) -> int:
        """How many sessions after the shift the rule may wait before it says so."""
        ...

    @property
    def lowest(self) -> float:
        """Lowest score that the rule has a meaning for."""
        ...

    def scan(self, scores: Array, shared: Array) -> Scan:
        """Apply the rule; `shared` is the SD of :attr:`shared_sd` at each session."""
        ...

    def false_alarms(self, scores: Array, shared: Array, error: float) -> Array | None:
        """Return the chance of a flag at each session if only measurement error moves the score.

        None where there is no closed form.
        """
        ...


def check_positive(value: float, name: str) -> None:
    """Refuse a constant of a rule that is not a positive number."""
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"{name} must be a positive number; got {value}.")
