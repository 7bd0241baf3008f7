"""The interface of rupture rules; rules that flag falls: running means, V shapes, charts.

A rule is a small frozen object given to :func:`~alliance_stats.family.ruptures`. Constants that
published rules leave open or differ in are required arguments, and no rule carries an author's
name.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.family.ruptures.rating_history import (
    SDKind,
    check_sd,
    last_before,
    mean_before,
    moving_range_before,
    n_before,
    own_sd_before,
)

__all__ = [
    "ROUNDING",
    "ControlChart",
    "DropBelowRunningMean",
    "RuptureRule",
    "Scan",
    "VShape",
    "check_positive",
]

ROUNDING = 1e-9
"""Relative slack at limits: 5.1 - 4.1 is a hair below 1 in floating point."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A rule's verdict on every session; arrays series x sessions.

    Attributes
    ----------
    flag
        1 where the rule fires given what is known at the session, 0 where not, NaN where it cannot
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
        not, NaN where unknown. It is descriptive, not predictive.
    """

    flag: Array
    onset: Integers
    level: Array
    limit: Array
    happened: Array


class RuptureRule(Protocol):
    """What :func:`~alliance_stats.family.ruptures` requires of a rule."""

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
        """How many sessions after the shift the rule may wait before flagging it."""
        ...

    @property
    def lowest(self) -> float:
        """Lowest score for which the rule is meaningful."""
        ...

    def scan(self, scores: Array, shared: Array) -> Scan:
        """Apply the rule; `shared` is the SD of :attr:`shared_sd` at each session."""
        ...

    def false_alarms(self, scores: Array, shared: Array, error: float) -> Array | None:
        """Return the probability of a flag at each session from measurement error alone.

        None where there is no closed form.
        """
        ...


def check_positive(value: float, name: str) -> None:
    """Refuse a constant of a rule that is not a positive number."""
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"{name} must be a positive number; got {value}.")


@dataclass(frozen=True, slots=True)
class DropBelowRunningMean:
    """A score at least `k` SDs below the mean of the person's earlier ratings.

    With n ratings before, errors of SD s and a constant true score, the probability of a false
    alarm is ``Phi(-k SD / (s sqrt(1 + 1/n)))`` for an SD in points, and ``P(t(n - 1) < -k / sqrt(1
    + 1/n))`` for the person's own SD.

    Attributes
    ----------
    k
        How many SDs.
    sd
        ``"own"`` (of the person's own ratings before), ``"within"`` (of all persons' ratings before
        that session around their own means, pooled), ``"between"`` (of all persons' means before
        it), or a number of points, such as a norm's.
    min_before
        Fewest own ratings before; at least 1, with the person's own SD at least 2.
    """

    k: float
    sd: SDKind
    min_before: int

    def __post_init__(self) -> None:
        check_positive(self.k, "k")
        check_sd(self.sd)
        _check_count(self.min_before, 2 if self.sd == "own" else 1)

    @property
    def words(self) -> str:
        """The rule in words."""
        return f"at least {self.k:g} {_sd_words(self.sd)} below the person's own running mean"

    @property
    def sign(self) -> int:
        """Falls are flagged."""
        return 1

    @property
    def shared_sd(self) -> Literal["within", "between"] | float | None:
        """The SD that all series share."""
        return None if self.sd == "own" else self.sd

    @property
    def looks_ahead(self) -> int:
        """The drop is known at once."""
        return 0

    @property
    def lowest(self) -> float:
        """Any score will do."""
        return -math.inf

    def scan(self, scores: Array, shared: Array) -> Scan:
        """Apply the rule."""
        level = mean_before(scores)
        scale = own_sd_before(scores) if self.sd == "own" else shared
        limit = np.where(n_before(scores) >= self.min_before, level - self.k * scale, np.nan)
        return _below(scores, level, limit, ROUNDING * scale)

    def false_alarms(self, scores: Array, shared: Array, error: float) -> Array | None:
        """Return the closed form of the class's docstring."""
        n = np.maximum(n_before(scores), 1.0)
        stretch = np.sqrt(1.0 + 1.0 / n)
        if self.sd == "own":
            return np.asarray(stats.t.sf(self.k / stretch, np.maximum(n - 1.0, 1.0)))
        return np.asarray(stats.norm.sf(self.k * shared / (error * stretch)))


@dataclass(frozen=True, slots=True)
class VShape:
    """A fall of at least `drop` SDs from the rating before, and a rise of at least `back` SDs.

    The rise is measured from the low, at one of the `within` sessions after it; only there is the V
    known, so only there is it flagged (its onset is the low).

    Attributes
    ----------
    drop, back
        How many SDs down and up.
    within
        Sessions that the return may take.
    sd
        As in :class:`DropBelowRunningMean`, at the low.
    """

    drop: float
    back: float
    within: int
    sd: SDKind

    def __post_init__(self) -> None:
        check_positive(self.drop, "drop")
        check_positive(self.back, "back")
        check_sd(self.sd)
        if self.within < 1:
            raise DataError(f"within counts sessions and is at least 1; got {self.within}.")

    @property
    def words(self) -> str:
        """The rule in words."""
        return (
            f"V: {self.drop:g} {_sd_words(self.sd)} down from the rating before and {self.back:g} "
            f"up within {self.within} sessions"
        )

    @property
    def sign(self) -> int:
        """Falls are flagged."""
        return 1

    @property
    def shared_sd(self) -> Literal["within", "between"] | float | None:
        """The SD that all series share."""
        return None if self.sd == "own" else self.sd

    @property
    def looks_ahead(self) -> int:
        """A V is known at its return."""
        return self.within

    @property
    def lowest(self) -> float:
        """Any score will do."""
        return -math.inf

    def scan(self, scores: Array, shared: Array) -> Scan:
        """Apply the rule."""
        before = last_before(scores)
        scale = own_sd_before(scores) if self.sd == "own" else shared
        fall = before - scores
        low = fall >= (self.drop - ROUNDING) * scale
        judged = np.isfinite(fall) & np.isfinite(scale)
        flag, onset = np.full(scores.shape, np.nan), np.full(scores.shape, -1)
        depth = np.zeros(scores.shape)
        open_low = low.copy()  # lows that have not returned yet
        happened = np.full(scores.shape, np.nan)
        for wait in range(1, self.within + 1):
            here, there = np.s_[:, :-wait], np.s_[:, wait:]
            rated = np.isfinite(scores[there])
            flag[there] = np.where(rated & judged[here], np.fmax(flag[there], 0.0), flag[there])
            up = scores[there] - scores[here] >= (self.back - ROUNDING) * scale[here]
            hit = open_low[here] & up
            deeper = hit & (fall[here] > depth[there])
            flag[there] = np.where(hit, 1.0, flag[there])
            place = np.broadcast_to(np.arange(scores.shape[1])[here[1]], hit.shape)
            onset[there] = np.where(deeper, place, onset[there])
            depth[there] = np.where(deeper, fall[here], depth[there])
            open_low[here] &= ~hit
            said = np.fmax(happened[here], np.where(hit, 1.0, 0.0))
            happened[here] = np.where(rated & judged[here], said, happened[here])
        return Scan(flag, onset, _at(before, onset), np.full(scores.shape, np.nan), happened)

    def false_alarms(self, scores: Array, shared: Array, error: float) -> Array | None:
        """Return None: there is no closed form."""
        del scores, shared, error
        return None


@dataclass(frozen=True, slots=True)
class ControlChart:
    """A score below the lower limit of a control chart of the person's earlier ratings.

    ``mean - multiplier MR / sqrt(1 - phi)`` with MR the mean absolute step between successive
    ratings: 2.66 is 3 / 1.128, three SDs as steps of independent ratings estimate them (Shewhart's
    individuals chart, see Montgomery 2012, Introduction to Statistical Quality Control, 7th ed.).
    Autocorrelation makes steps smaller by ``sqrt(1 - phi)``, for which the limit corrects.

    Attributes
    ----------
    autocorrelation
        phi, the correlation of successive ratings of a person around the person's own level, below
        1; 0 for none. An :func:`~alliance_stats.multilevel.lmm` with ``AR1`` residuals estimates
        it.
    min_before
        Fewest own ratings before; at least 2.
    multiplier
        2.66 for three SDs.
    """

    autocorrelation: float
    min_before: int
    multiplier: float = 2.66

    def __post_init__(self) -> None:
        if not -1.0 < self.autocorrelation < 1.0:
            raise DataError(
                f"autocorrelation lies strictly between -1 and 1; got {self.autocorrelation}."
            )
        _check_count(self.min_before, 2)
        check_positive(self.multiplier, "multiplier")

    @property
    def words(self) -> str:
        """The rule in words."""
        return (
            f"below the person's own mean by more than {self.multiplier:g} mean moving ranges"
            + f" / √(1 − {self.autocorrelation:g})" * (self.autocorrelation != 0)
        )

    @property
    def sign(self) -> int:
        """Falls are flagged."""
        return 1

    @property
    def shared_sd(self) -> Literal["within", "between"] | float | None:
        """Every series has its own limits."""
        return None

    @property
    def looks_ahead(self) -> int:
        """The signal is known at once."""
        return 0

    @property
    def lowest(self) -> float:
        """Any score will do."""
        return -math.inf

    def scan(self, scores: Array, shared: Array) -> Scan:
        """Apply the rule."""
        del shared
        level, step = mean_before(scores), moving_range_before(scores)
        wide = self.multiplier * step / math.sqrt(1.0 - self.autocorrelation)
        limit = np.where(n_before(scores) >= self.min_before, level - wide, np.nan)
        return _below(scores, level, limit, -ROUNDING * step)

    def false_alarms(self, scores: Array, shared: Array, error: float) -> Array | None:
        """Return None: there is no closed form."""
        del scores, shared, error
        return None


def _below(scores: Array, level: Array, limit: Array, slack: Array) -> Scan:
    """Flag scores at a lower limit (positive slack) or beyond it (negative slack)."""
    known = np.isfinite(scores) & np.isfinite(limit)
    hit = known & (scores <= limit + np.nan_to_num(slack))
    place = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    flag = np.where(known, hit.astype(np.float64), np.nan)
    return Scan(flag, np.where(hit, place, -1), level, limit, flag)


def _at(values: Array, column: Integers) -> Array:
    found = np.take_along_axis(values, np.maximum(column, 0), axis=1)
    return np.asarray(np.where(column >= 0, found, np.nan))


def _sd_words(sd: SDKind) -> str:
    if not isinstance(sd, str):
        return f"× {sd:g} points"
    return {"own": "own SDs", "within": "within-person SDs", "between": "between-person SDs"}[sd]


def _check_count(min_before: int, least: int) -> None:
    if min_before < least:
        raise DataError(
            f"min_before is at least {least} for this rule; got {min_before}: there would be no "
            "level or no spread to hold the score against."
        )
