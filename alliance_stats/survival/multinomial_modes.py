"""Most likely effects of groups on competing endings, and the likelihood about them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.multinomial import EndingRows

__all__ = ["GroupedRows", "Mode", "densities", "find_mode", "group_rows"]

# Log odds of an ending that cannot come: its probability is exactly 0, without infinities.
_NEVER = -1e300
_STEPS = 60
_HALVINGS = 30
# Squared length of a mode's Newton step, in SDs, after which the next is rounding.
_DONE = 1e-24


@dataclass(frozen=True, slots=True, eq=False)
class GroupedRows:
    """Rows in the order of their groups.

    Attributes
    ----------
    X
        (n, p).
    came
        (endings, n): 1 where the ending came.
    blocked
        (endings, n): added to the log odds; 0 where the ending can come.
    starts, sizes
        (groups,) first row and number of rows of each.
    """

    X: Array
    came: Array
    blocked: Array
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def sums(self, values: Array) -> Array:
        """Sum (..., n) over each group's rows."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))

    def spread(self, values: Array) -> Array:
        """Give each row its group's value: (groups, k) to (k, n)."""
        return np.repeat(values.T, self.sizes, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """Most likely effects of each group, and the likelihood about them.

    Attributes
    ----------
    u
        (groups, q) spherical effects.
    height
        (groups,) log of density times prior.
    P
        (endings, n) probabilities.
    score
        (groups, endings) slopes of the log density.
    information
        (groups, endings, endings) minus its curvature.
    A
        (groups, q, q) minus the curvature of ``height`` in u.
    """

    u: Array
    height: Array
    P: Array
    score: Array
    information: Array
    A: Array


def group_rows(rows: EndingRows, group: npt.NDArray[np.int64]) -> GroupedRows:
    """Bring rows into the order of their groups, numbered 0, 1, ... without gaps."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    return GroupedRows(
        rows.X[order],
        np.ascontiguousarray(rows.came[order, 1:].T),
        np.ascontiguousarray(np.where(rows.possible[order], 0.0, _NEVER).T),
        np.cumsum(sizes) - sizes,
        sizes,
    )


def find_mode(rows: GroupedRows, fixed: Array, L: Array, u: Array) -> Mode:
    """Climb to every group's mode by Newton's method: the function is strictly concave.

    Parameters
    ----------
    fixed
        (endings, n) log odds without effects.
    L
        (endings, q) factor.
    u
        (groups, q) start.
    """
    at = _mode_at(rows, fixed, L, u)
    for _ in range(_STEPS):
        slope = at.score @ L - at.u
        step = np.linalg.solve(at.A, slope[:, :, None])[:, :, 0]
        share = np.ones((len(step), 1))
        for _ in range(_HALVINGS):
            new = _mode_at(rows, fixed, L, at.u + share * step)
            worse = new.height < at.height - 1e-12 * (1.0 + np.abs(at.height))
            if not worse.any():
                break
            share[worse] /= 2.0
        at = new
        if float(np.max((step * slope).sum(axis=1), initial=0.0)) < _DONE:
            return at
    raise NotIdentifiedError(
        "The effects of a group could not be computed: the spread between groups ran away."
    )


def _mode_at(rows: GroupedRows, fixed: Array, L: Array, u: Array) -> Mode:
    log_density, P = densities(rows, fixed + rows.spread(u @ L.T))
    height = rows.sums(log_density) - (u**2).sum(axis=1) / 2.0
    score = rows.sums(rows.came - P).T
    k = len(P)
    information = np.empty((len(u), k, k))
    for a in range(k):
        for b in range(a + 1):
            information[:, a, b] = information[:, b, a] = rows.sums(P[a] * ((a == b) - P[b]))
    A = np.eye(L.shape[1]) + L.T @ information @ L
    return Mode(u, height, P, score, information, A)


def densities(rows: GroupedRows, eta: Array) -> tuple[Array, Array]:
    """Return each row's log probability of what came (n,), and of each ending (endings, n)."""
    top = np.maximum(eta.max(axis=0), 0.0)
    odds = np.exp(eta - top)
    total = np.exp(-top) + odds.sum(axis=0)
    return (rows.came * eta).sum(axis=0) - top - np.log(total), odds / total
