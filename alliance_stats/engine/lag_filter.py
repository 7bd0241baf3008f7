"""Ratings with lagged effects between sessions: one forward pass, one backward pass.

Within a person the deviations of K outcomes follow ``w_s = Phi_s w_(s-1) + e_s`` with ``e_s ~ N(0,
Q_s)`` and ``w_1 ~ N(0, first)``; a rating is ``w + error``. The forward pass is the Kalman filter
that takes a session's ratings one by one (Koopman and Durbin 2000, doi:10.1111/1467-9892.00186), so
any of them may be missing. It runs on columns (the ratings' own deviations and the multipliers of
random effects) and so gives ``[r Z]' R^-1 [r Z]`` of each person. The backward pass gives the
derivatives (Koopman and Shephard 1992, doi:10.1093/biomet/79.4.823). The cost is linear in sessions
and in persons.

Arrays have the person last and, first, the number of parameter points evaluated in one call (R), so
that a whole set of differences costs little more than one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alliance_stats.estimates import Array

__all__ = ["LagGradient", "LagPass", "Ratings", "Residual", "backward", "forward"]

# Up to so many columns the products are cheaper pair by pair than person by person.
FEW_COLUMNS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """The ratings of N persons at T sessions in K outcomes.

    Attributes
    ----------
    y
        The ratings, 0 where missing: (T, K, N).
    seen
        1 where rated, 0 where missing: (T, K, N).
    loadings
        Multipliers of the q random effects, the same for everyone: (T, K, q).
    basis
        Fixed-effects columns that are the same for everyone (sessions): (T, P).
    covariates
        Fixed-effects columns that differ between persons: (T, M, N).
    """

    y: Array
    seen: Array
    loadings: Array
    basis: Array
    covariates: Array

    @property
    def n_persons(self) -> int:
        """Number of persons."""
        return int(self.y.shape[2])

    def residuals(self, coefficients: Array) -> Array:
        """Return ``y`` minus its mean at (R, P + M, K) coefficients: (T, R, K, N)."""
        n = self.basis.shape[1]
        common = np.einsum("tp,rpk->trk", self.basis, coefficients[:, :n])
        mean = common[..., None]
        if self.covariates.shape[1]:
            mean = mean + np.einsum("tmn,rmk->trkn", self.covariates, coefficients[:, n:])
        return np.asarray((self.y[:, None] - mean) * self.seen[:, None])


class Residual(NamedTuple):
    """Parameters of the deviations within persons, at R parameter points.

    Attributes
    ----------
    phi, innovation
        Lagged effects and innovation covariances at each later session: (R, T - 1, K, K).
    first
        Covariance of the first session's deviations: (R, K, K).
    pull
        Expected first deviations per unit of the K random intercepts (0 unless persons start away
        from their own equilibrium): (R, K, K).
    error
        Variances of the ratings' errors: (R, K).
    """

    phi: Array
    innovation: Array
    first: Array
    pull: Array
    error: Array


class LagPass(NamedTuple):
    """The result of the forward pass.

    ``products`` (R, C, C, N) are each person's ``[r Z]' R^-1 [r Z]`` and ``log_det`` (R,) the sum
    over persons of ``log|R|``; the others are for the backward pass: innovations (T, K, R, C, N),
    gains (T, K, R, K, N), precisions of innovations (T, K, R, N), filtered states (T, R, K, C, N)
    and their covariances (T, R, K, K, N).
    """

    products: Array
    log_det: Array
    innovations: Array
    gains: Array
    precisions: Array
    states: Array
    spreads: Array


class LagGradient(NamedTuple):
    """Derivatives of the log-likelihood, in the shapes of :class:`Residual`, and of the means.

    ``coefficients`` is (R, P + M, K); the derivatives by symmetric matrices are symmetric.
    """

    phi: Array
    innovation: Array
    first: Array
    pull: Array
    error: Array
    coefficients: Array


def forward(
    ratings: Ratings,
    residual: Residual,
    r: Array,
    extra: Array | None = None,
    *,
    begun: Sequence[int] = (),
) -> LagPass:
    """Whiten the columns ``[r Z extra]`` of every person.

    Parameters
    ----------
    r
        Ratings minus their means: (T, R, K, N).
    extra
        Further columns, (T, K, X, N), as for coefficients that are eliminated.
    begun
        For each session, how many of the further columns are nonzero up to it; all by default.
        Products are then left to the caller.
    """
    T, R, K, N = r.shape
    q = ratings.loadings.shape[2]
    C = 1 + q + (0 if extra is None else extra.shape[2])
    a = np.zeros((R, K, C, N))
    a[:, :, 1 : 1 + K] = -residual.pull[..., None]
    P = np.empty((R, K, K, N))
    P[:] = residual.first[..., None]
    kept = LagPass(
        np.zeros((R, C, C, N)),
        np.zeros(R),
        np.zeros((T, K, R, C, N)) if begun else np.empty((T, K, R, C, N)),
        np.empty((T, K, R, K, N)),
        np.empty((T, K, R, N)),
        np.empty((T, R, K, C, N)),
        np.empty((T, R, K, K, N)),
    )
    variances = np.empty((T, K, R, N))
    x = np.empty((R, C, N))
    for s in range(T):
        n = 1 + q + begun[s] if begun else C
        for k in range(K):
            seen = ratings.seen[s, k]
            x[:, 0] = r[s, :, k]
            x[:, 1 : 1 + q] = ratings.loadings[s, k, :, None]
            if extra is not None:
                x[:, 1 + q : n] = extra[s, k, : n - 1 - q]
            column = P[:, k]
            variance = np.where(seen > 0.0, column[:, k] + residual.error[:, k, None], 1.0)
            precision = np.divide(seen, variance, out=kept.precisions[s, k])
            gain = np.multiply(column, precision[:, None], out=kept.gains[s, k])
            v = np.subtract(x[:, :n], a[:, k, :n], out=kept.innovations[s, k, :, :n])
            v *= seen
            a[:, :, :n] += gain[:, :, None] * v[:, None]
            P -= gain[:, :, None] * column[:, None]
            variances[s, k] = variance
        kept.states[s], kept.spreads[s] = a, P
        if s + 1 < T:
            phi = residual.phi[:, s]
            a = _through(phi, a)
            P = np.matmul(phi[:, None], _through(phi, P))
            P += residual.innovation[:, s, :, :, None]
    kept.log_det[:] = np.log(variances).sum(axis=(0, 1, 3))
    if not begun:
        _cross_products(kept)
    return kept


def _cross_products(kept: LagPass) -> None:
    """Fill in each person's products of whitened columns."""
    T, K, R, C, N = kept.innovations.shape
    v = kept.innovations.reshape(T * K, R, C, N)
    weighted = v * kept.precisions.reshape(T * K, R, 1, N)
    if C > FEW_COLUMNS:
        by_person = np.ascontiguousarray(weighted.transpose(1, 3, 2, 0))
        products = by_person @ np.ascontiguousarray(v.transpose(1, 3, 0, 2))
        kept.products[:] = products.transpose(0, 2, 3, 1)
        return
    for c in range(C):
        for d in range(c + 1):
            kept.products[:, c, d] = np.einsum("srn,srn->rn", weighted[:, :, c], v[:, :, d])
            kept.products[:, d, c] = kept.products[:, c, d]


def backward(ratings: Ratings, residual: Residual, kept: LagPass, W: Array) -> LagGradient:
    """Return derivatives of the log-likelihood by the residual's parameters and by the means.

    Parameters
    ----------
    W
        Second moments, given the ratings, of the columns' multipliers: 1 for ``r``,
        minus the person's whole random effects for ``Z``. Shape (R, C, C, N).
    """
    T, K, R, C, N = kept.innovations.shape
    later = np.zeros((R, K, C, N))  # what later ratings say on the state: R^-1 x, carried back
    known = np.zeros((R, K, K, N))  # and how much they know
    d_phi, d_innovation = np.zeros((2, *residual.phi.shape))
    d_error = np.zeros((R, K))
    d_mean = np.zeros((T, R, K, N))
    d_first, d_pull = np.zeros((2, R, K, K))
    for s in reversed(range(T)):
        for k in reversed(range(K)):
            gain = kept.gains[s, k]
            u = kept.innovations[s, k] * kept.precisions[s, k][:, None]
            u -= np.einsum("rkn,rkcn->rcn", gain, later)
            spent = np.einsum("rijn,rjn->rin", known, gain)
            own = kept.precisions[s, k] + np.einsum("rkn,rkn->rn", gain, spent)
            uW = np.einsum("rcn,rcn->rn", u, W[:, :, 0])
            d_mean[s, :, k] = uW
            if residual.error.any():
                quadratic = np.einsum("rcn,rcdn,rdn->rn", u, W, u)
                # where a rating is missing, the information that the others have is not its own
                d_error[:, k] += 0.5 * ((quadratic - own) * ratings.seen[s, k]).sum(axis=-1)
            later[:, k] += u
            known[:, k] -= spent
            known[:, :, k] -= spent
            known[:, k, k] += own
        weighted = np.einsum("rkcn,rcdn->rkdn", later, W)
        G = _outer(weighted, later) - known.sum(axis=-1)
        if s == 0:
            d_first = 0.5 * G
            q = min(K, C - 1)
            d_pull[:, :, :q] = -weighted[:, :, 1 : 1 + q].sum(axis=-1)
            break
        phi = residual.phi[:, s - 1]
        d_innovation[:, s - 1] = 0.5 * G
        P = kept.spreads[s - 1]
        moved = _through(phi, P)
        per_lane = np.einsum("ricn,rjcn->rijn", weighted, later) - known
        d_phi[:, s - 1] = _outer(weighted, kept.states[s - 1]) + _outer(
            per_lane, np.swapaxes(moved, 1, 2)
        )
        turned = np.swapaxes(phi, 1, 2)
        later = _through(turned, later)
        known = np.matmul(turned[:, None], _through(turned, known))
    return LagGradient(
        d_phi, d_innovation, d_first, d_pull, d_error, _coefficient_gradient(ratings, d_mean)
    )


def _through(phi: Array, x: Array) -> Array:
    """Return ``phi x`` of every lane: (R, K, K) times (R, K, columns, N)."""
    R, K, columns, N = x.shape
    return np.asarray(phi @ x.reshape(R, K, columns * N)).reshape(R, K, columns, N)


def _outer(left: Array, right: Array) -> Array:
    """Sum products over columns and persons: (R, K, C, N), (R, L, C, N) -> (R, K, L)."""
    R, K = left.shape[:2]
    flat = np.swapaxes(right.reshape(R, right.shape[1], -1), 1, 2)
    return np.asarray(left.reshape(R, K, -1) @ flat)


def _coefficient_gradient(ratings: Ratings, d_mean: Array) -> Array:
    """Carry derivatives by each mean (T, R, K, N) to the coefficients (R, P + M, K)."""
    common = np.einsum("tp,trk->rpk", ratings.basis, d_mean.sum(axis=-1))
    if not ratings.covariates.shape[1]:
        return np.asarray(common)
    own = np.einsum("tmn,trkn->rmk", ratings.covariates, d_mean, optimize=True)
    return np.concatenate([common, own], axis=1)
