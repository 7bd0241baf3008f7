"""The term ``log|X'V^-1X|`` of the restricted likelihood without lagged effects.

Sessions are then independent within a person given the random effects, so that a column that
belongs to one session affects only that session's ratings. ``X'V^-1X`` is summed up over sessions,
persons' effects and those of the levels above are taken out of it (as in stacked_levels, with only
the products with the effects' own columns kept by person), and its derivatives are carried back the
same way. The cost is linear in persons; in sessions it is linear but for one product of matrices a
random effect, which grows with the square of the number of coefficients.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alliance_stats.engine.lag_filter import Ratings
from alliance_stats.engine.lag_parameters import LagParameters, add, take
from alliance_stats.engine.stacked_levels import Level
from alliance_stats.estimates import Array

__all__ = ["RestrictedPart", "restricted_part"]


class RestrictedPart(NamedTuple):
    """What the restricted likelihood needs at R points.

    ``log|X'V^-1X|`` (R,), its derivatives by theta (R, P), the number of coefficients with ratings,
    and ``(X'V^-1X)^-1 X'V^-1 r`` (R, B).
    """

    log_det: Array
    slope: Array
    n_rated: int
    move: Array


class _Step(NamedTuple):
    """A random effect taken out: its column (R, m), products before, slopes and scales."""

    column: Array
    before: Array
    slope: Array
    scale: Array


def restricted_part(
    ratings: Ratings,
    columns: Array,
    r: Array,
    *,
    levels: Sequence[Level],
    parameters: LagParameters,
    theta: Array,
) -> RestrictedPart:
    """Return ``log|X'V^-1X|`` and what goes with it at R points.

    Parameters
    ----------
    columns
        The coefficients' columns: (T, K, B, N).
    r
        The values to which the coefficients are fitted, 0 where missing: (T, K, N).
    levels
        Levels above persons, innermost first.
    theta
        (R, P).
    """
    q = ratings.loadings.shape[2]
    sums = _Sums(ratings, columns, r, _precisions(ratings, parameters, theta))
    total, thin = sums.forward(len(theta))
    ladder = [None, *levels]
    indices = [parameters.person[0], *parameters.above]
    steps = []
    for level, index in zip(ladder, indices, strict=True):
        thin = thin if level is None else level.gather(thin)
        own, thin = _up(thin, take(theta, index), total)
        steps.append(own)
    XX, Xr = total[:, 1 + q :, 1 + q :], total[:, 1 + q :, q]
    empty = np.flatnonzero(np.einsum("rcc->rc", XX)[0] <= 0.0)  # sessions that nobody rated
    XX[:, empty, empty] = 1.0
    inverse = np.linalg.inv(XX)
    Y = np.zeros_like(total)
    Y[:, 1 + q :, 1 + q :] = inverse
    Y[:, 1 + q + empty, 1 + q + empty] = 0.0
    T = np.zeros_like(thin)
    slope = np.zeros((parameters.size + 1, len(theta)))
    for level, index, own in zip(ladder[::-1], indices[::-1], steps[::-1], strict=True):
        by_factor, T = _down(own, T, Y)
        add(slope, index, by_factor)
        T = T if level is None else level.spread(T)
    by_covariance = sums.backward(Y, T)
    factor = take(theta, parameters.innovation[0, 0])
    add(slope, parameters.innovation[0, 0], 2.0 * by_covariance @ factor)
    error = take(theta, parameters.error[0])
    add(slope, parameters.error[0], 2.0 * np.einsum("rkk->rk", by_covariance) * error)
    move = (inverse @ Xr[..., None])[..., 0]
    n_rated = XX.shape[1] - len(empty)
    return RestrictedPart(np.linalg.slogdet(XX)[1], slope[:-1].T, n_rated, move)


def _precisions(ratings: Ratings, parameters: LagParameters, theta: Array) -> Array:
    """Return the inverse covariance of what was rated, 0 beside it: (R, T, K, K, N)."""
    residual = parameters.residual(theta, 0)
    T, K, N = ratings.seen.shape
    rows = ratings.seen.transpose(0, 2, 1).reshape(T * N, K)
    patterns, code = np.unique(rows, axis=0, return_inverse=True)
    both = patterns[:, :, None] * patterns[:, None]
    V = residual.first + residual.error[:, :, None] * np.eye(K)
    kept = np.linalg.inv(V[:, None] * both + (1.0 - patterns)[:, :, None] * np.eye(K)) * both
    return np.ascontiguousarray(
        kept[:, code.ravel()].reshape(-1, T, N, K, K).transpose(0, 1, 3, 4, 2)
    )


class _Sums:
    """Products of the columns ``[Z r X]`` over sessions, and derivatives the way back."""

    def __init__(self, ratings: Ratings, columns: Array, r: Array, P: Array) -> None:
        self.P, self.q = P, ratings.loadings.shape[2]
        T, K, B, N = columns.shape
        live = (columns != 0.0).any(axis=3).any(axis=1)
        self.size = 1 + self.q + B
        self.where, self.columns = [], []
        for s in range(T):
            own = np.flatnonzero(live[s])
            Z = np.broadcast_to(ratings.loadings[s][:, :, None], (K, self.q, N))
            self.where.append(np.r_[0 : 1 + self.q, 1 + self.q + own])
            self.columns.append(np.concatenate([Z, r[s][:, None], columns[s][:, own]], axis=1))

    def forward(self, R: int) -> tuple[Array, Array]:
        """Return products summed over persons (R, C, C), and with Z by person (R, C, q, N)."""
        C, q, N = self.size, self.q, self.P.shape[-1]
        total, thin = np.zeros((R, C, C)), np.zeros((R, C, q, N))
        for s, (where, a) in enumerate(zip(self.where, self.columns, strict=True)):
            Pa = np.einsum("rkjn,jmn->rmkn", self.P[:, s], a)
            flat = a.transpose(1, 0, 2).reshape(len(where), -1)
            total[:, where[:, None], where] += Pa.reshape(R, len(where), -1) @ flat.T
            for k in range(a.shape[0]):
                thin[:, where] += a[k][:, None] * Pa[:, None, :q, k]
        return total, thin

    def backward(self, Y: Array, T: Array) -> Array:
        """Return derivatives by the covariance within a session (R, K, K).

        `Y` (R, C, C) and `T` (R, C, q, N) are those by what :meth:`forward` gave.
        """
        R, K, q = len(Y), self.P.shape[2], self.q
        found = np.zeros((R, K, K))
        for s, (where, a) in enumerate(zip(self.where, self.columns, strict=True)):
            m = len(where)
            Ya = (Y[:, where[:, None], where] @ a.transpose(1, 0, 2).reshape(m, -1)).reshape(
                R, m, K, -1
            )
            by_thin = np.einsum("kmn,rmqn->rkqn", a, T[:, where])
            by_P = np.einsum("kmn,rmjn->rkjn", a, Ya)
            by_P += np.einsum("rkqn,jqn->rkjn", by_thin, a[:, :q])
            P = self.P[:, s]
            left = np.einsum("rkjn,rjln->rkln", P, by_P)
            found -= np.einsum("rkln,rlin->rki", left, P)
        return np.asarray(0.5 * (found + np.swapaxes(found, 1, 2)))


def _up(thin: Array, factor: Array, total: Array) -> tuple[list[_Step], Array]:
    """Take a level's effects, the columns of its factor (R, m, m), out one by one."""
    steps = []
    for j in range(factor.shape[2]):
        step, thin = _take_out(thin, factor[:, :, j], total)
        steps.append(step)
    return steps, thin


def _down(steps: list[_Step], T: Array, Y: Array) -> tuple[Array, Array]:
    """Return derivatives by the level's factor (R, m, m) and by the products below it."""
    columns = []
    for step in reversed(steps):
        by_column, T = _put_back(step, T, Y)
        columns.append(by_column)
    return np.stack(columns[::-1], axis=2), T


def _take_out(thin: Array, column: Array, total: Array) -> tuple[_Step, Array]:
    """Take one random effect out of `thin` (R, C, q, n), and out of `total` (R, C, C) in place."""
    m, q = column.shape[1], thin.shape[2]
    slope = np.einsum("rcmn,rm->rcn", thin[:, :, :m], column)
    scale = 1.0 + np.einsum("rm,rmn->rn", column, slope[:, :m])
    scaled = slope / scale[:, None]
    total -= slope @ np.swapaxes(scaled, 1, 2)
    return _Step(column, thin, slope, scale), thin - slope[:, :, None] * scaled[:, None, :q]


def _put_back(step: _Step, T: Array, Y: Array) -> tuple[Array, Array]:
    """Return derivatives by the effect's column (R, m) and by the products before it."""
    column, before, slope, scale = step
    m, q = column.shape[1], before.shape[2]
    scaled = slope / scale[:, None]
    by_slope = -2.0 * (Y @ scaled)
    by_scale = -0.5 * np.einsum("rcn,rcn->rn", by_slope, scaled)
    Ts = np.einsum("rcqn,rqn->rcn", T, scaled[:, :q])
    by_slope -= Ts
    by_slope[:, :q] -= np.einsum("rcqn,rcn->rqn", T, scaled)
    by_scale += np.einsum("rcn,rcn->rn", Ts, scaled)
    by_slope[:, :m] += by_scale[:, None] * column[:, :, None]
    by_column = np.einsum("rn,rmn->rm", by_scale, slope[:, :m])
    by_column += np.einsum("rcn,rcmn->rm", by_slope, before[:, :, :m])
    T = T.copy()
    T[:, :, :m] += by_slope[:, :, None] * column[:, None, :, None]
    return by_column, T
