"""Sudden gains and losses: large, lasting changes from one session to the next."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.family.ruptures.rupture_rule import ROUNDING, Scan, check_positive

__all__ = ["SuddenGain", "SuddenLoss"]

# two-sided .05 quantiles of t with 4, 3 and 2 df, as the criterion prints them: 6, 5, 4 values
_SUDDEN_CRITICAL = {6: 2.776, 5: 3.182, 4: 4.303}


@dataclass(frozen=True, slots=True)
class _SuddenChange:
    """What sudden gains and losses share; a subclass sets the direction."""

    cut_off: float
    better: Literal["lower", "higher"]
    share: float = 0.25

    _kind: ClassVar[Literal["gain", "loss"]]

    def __post_init__(self) -> None:
        """Refuse constants with which no change could be compared."""
        check_positive(self.cut_off, "cut_off")
        check_choice(self.better, ("lower", "higher"), name="better")
        if not 0.0 <= self.share < 1.0:
            raise DataError(f"share lies from 0 up to below 1; got {self.share}.")

    @property
    def words(self) -> str:
        """The rule in words."""
        return (
            f"sudden {self._kind} of at least {self.cut_off:g} points and {self.share:.0%}, lasting"
        )

    @property
    def sign(self) -> int:
        """1 where the score falls: gains where lower is better, losses where higher is."""
        return 1 if (self.better == "lower") == (self._kind == "gain") else -1

    @property
    def shared_sd(self) -> Literal["within", "between"] | float | None:
        """No SD is shared."""
        return None

    @property
    def looks_ahead(self) -> int:
        """Sessions n + 2 and n + 3 are waited for."""
        return 2

    @property
    def lowest(self) -> float:
        """A share of the score before needs a zero."""
        return 0.0

    def scan(self, scores: Array, shared: Array) -> Scan:
        """Apply the rule."""
        del shared
        return _sudden(scores, self.sign, self.cut_off, self.share)

    def false_alarms(self, scores: Array, shared: Array, error: float) -> Array | None:
        """Return None: there is no closed form."""
        del scores, shared, error
        return None


@dataclass(frozen=True, slots=True)
class SuddenGain(_SuddenChange):
    """A large, lasting improvement from one session to the next, by three criteria.

    Between sessions n and n + 1: (1) the improvement is at least `cut_off`; (2) at least `share` of
    the score at n; (3) the mean of sessions n - 2 to n differs from the mean of n + 1 to n + 3 by
    more than ``t sqrt(((n1 - 1) s1^2 + (n2 - 1) s2^2) / (n1 + n2 - 2))``, with at least two values
    on each side and t = 2.776, 3.182 or 4.303 for 6, 5 or 4 values. It is known, and flagged, at
    session n + 3; its onset is n + 1. (Tang & DeRubeis 1999, doi:10.1037/0022-006X.67.6.894;
    critical values for missing sessions after Lutz et al. 2013, and the third criterion's formula,
    as the R package suddengains has them.)

    Attributes
    ----------
    cut_off
        Points, as from a reliable change index:
        :func:`~alliance_stats.change.least_reliable_change`.
    better
        ``"lower"`` scores (symptoms) or ``"higher"`` ones (alliance).
    share
        Of the score before; it is meaningful only on scales with a zero.
    """

    _kind: ClassVar[Literal["gain", "loss"]] = "gain"


@dataclass(frozen=True, slots=True)
class SuddenLoss(_SuddenChange):
    """A large, lasting worsening from one session to the next: :class:`SuddenGain` reversed.

    The second criterion requires a worsening of at least `share` of the score before.

    Attributes
    ----------
    cut_off, better, share
        As in :class:`SuddenGain`; `better` says which scores are better, so that losses go the
        other way.
    """

    _kind: ClassVar[Literal["gain", "loss"]] = "loss"


def _sudden(scores: Array, sign: int, cut_off: float, share: float) -> Scan:
    flag, onset = np.full(scores.shape, np.nan), np.full(scores.shape, -1)
    level, happened = np.full(scores.shape, np.nan), np.full(scores.shape, np.nan)
    for n in range(scores.shape[1] - 3):
        pre, post = scores[:, max(n - 2, 0) : n + 1], scores[:, n + 1 : n + 4]
        n1, mean1, ss1 = _moments(pre)
        n2, mean2, ss2 = _moments(post)
        last, first = pre[:, -1], post[:, 0]
        judged = np.isfinite(last) & np.isfinite(first) & (n1 >= 2) & (n2 >= 2)
        critical = np.select([n1 + n2 == m for m in _SUDDEN_CRITICAL], [*_SUDDEN_CRITICAL.values()])
        pooled = np.sqrt((ss1 + ss2) / np.maximum(n1 + n2 - 2, 1))
        change = sign * (last - first)
        slack = ROUNDING * np.abs(np.nan_to_num(last))
        hit = (
            judged
            & (change >= cut_off - slack)
            & (change >= share * last - slack)
            & (sign * (mean1 - mean2) > critical * pooled)
        )
        flag[:, n + 3] = np.where(judged, hit.astype(np.float64), np.nan)
        happened[:, n + 1] = flag[:, n + 3]
        onset[:, n + 3] = np.where(hit, n + 1, -1)
        level[:, n + 3] = np.where(hit, last, np.nan)
    return Scan(flag, onset, level, np.full(scores.shape, np.nan), happened)


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """Count, mean and sum of squares around it, one row per series."""
    known = np.isfinite(values)
    n = known.sum(axis=1)
    mean = np.where(known, values, 0.0).sum(axis=1) / np.maximum(n, 1)
    squares = np.where(known, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return n, mean, squares
