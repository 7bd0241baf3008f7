"""The likelihood of two stacked outcomes with random slopes, unit by unit. Arrays only.

``z_j = X_j beta + Z_j L u_j + e_j`` with u standard normal and residuals of one variance per
outcome. The likelihood of mediator and outcome together is this one although the mediator is among
the columns of the outcome (the change of variables is triangular); but coefficients and covariances
then vary together, so that their joint information is needed (Bauer, Preacher & Gil 2006,
doi:10.1037/1082-989X.11.2.142, take them as independent).
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["StackedDeviance", "stacked_deviance"]

_STEP = 1e-4  # of the differences of the slopes, in units of standardised variables


@dataclass(frozen=True, slots=True, eq=False)
class StackedDeviance:
    """-2 log-likelihood from each unit's products of columns.

    Attributes
    ----------
    products
        (strata, J, t, t) of ``[Z X z]``.
    counts
        (strata, J) rows.
    p, q, rank
        Coefficients, random effects, and rank of their covariance.
    """

    products: Array
    counts: Array
    p: int
    q: int
    rank: int

    def packed(self, beta: Array, D: Array, sigma: Array) -> Array:
        """Return the free parameters: coefficients, the covariance's factor, log variances."""
        values, vectors = linalg.eigh(D)
        half = vectors[:, -self.rank :] * np.sqrt(np.maximum(values[-self.rank :], 0.0))
        L = np.linalg.qr(half.T)[1].T  # trapezoidal: no rotation is left free
        return np.concatenate([beta, L[self._lower], 2.0 * np.log(sigma)])

    def covariance(self, theta: Array) -> Array:
        """Return the covariance of the random effects, (q, q)."""
        L = self._factor(theta)
        return np.asarray(L @ L.T)

    def slopes(self, theta: Array) -> tuple[float, Array]:
        """Return the deviance, without its constant, and each unit's slopes of it, (J, k)."""
        p, q, L = self.p, self.q, self._factor(theta)
        beta, log_variance = theta[:p], theta[-len(self.products) :]
        turn = np.concatenate([np.zeros(q), -beta, [1.0]])
        A = np.einsum("kjst,k->jst", self.products, np.exp(-log_variance))
        residual = A @ turn
        A_ZZ, A_Zr, A_Xr = A[:, :q, :q], residual[:, :q], residual[:, q : q + p]
        M = np.eye(self.rank) + L.T @ A_ZZ @ L
        K = L @ np.linalg.inv(M) @ L.T  # (J, q, q), the covariance of the effects given the rows
        u = np.einsum("jab,jb->ja", K, A_Zr)
        value = float((self.counts @ np.ones(self.counts.shape[1])) @ log_variance)
        value += float(np.linalg.slogdet(M)[1].sum())
        value += float((residual @ turn).sum() - (A_Zr * u).sum())
        by_beta = -2.0 * (A_Xr - np.einsum("jzx,jz->jx", A[:, :q, q : q + p], u))
        h = A_Zr - np.einsum("jab,jb->ja", A_ZZ, u)
        by_D = A_ZZ - A_ZZ @ K @ A_ZZ - h[:, :, None] * h[:, None, :]
        by_L = (2.0 * by_D @ L)[:, self._lower[0], self._lower[1]]
        left = np.broadcast_to(turn, (len(u), len(turn))).copy()
        left[:, :q] -= u  # of the rows, once the predicted effects are taken away
        spent = np.einsum("js,kjst,jt->kj", left, self.products, left)
        spent += np.einsum("kjab,jab->kj", self.products[:, :, :q, :q], K)
        by_log = self.counts - spent * np.exp(-log_variance)[:, None]
        return value, np.concatenate([by_beta, by_L, by_log.T], axis=1)

    def information(self, theta: Array) -> Array:
        """Return the observed information of the free parameters.

        Raises
        ------
        NotIdentifiedError
            If the likelihood has no peak there.
        """
        steps = _STEP * np.eye(len(theta))
        rows = [self.slopes(theta + h)[1] - self.slopes(theta - h)[1] for h in steps]
        H = np.array([row.sum(axis=0) for row in rows]) / (4.0 * _STEP)
        H = (H + H.T) / 2.0
        if not np.isfinite(H).all() or linalg.eigvalsh(H)[0] <= 0.0:
            raise NotIdentifiedError(
                "The likelihood of the random slopes has no peak in all directions: the units are "
                "too few for so many. Leave some of random_slopes= out."
            )
        return H

    def _factor(self, theta: Array) -> Array:
        L = np.zeros((self.q, self.rank))
        L[self._lower] = theta[self.p : len(theta) - len(self.products)]
        return L

    @property
    def _lower(self) -> tuple[Integers, Integers]:
        rows, columns = np.tril_indices(self.q, 0, self.rank)
        return rows.astype(np.int64), columns.astype(np.int64)


def stacked_deviance(  # noqa: PLR0917
    Z: Array,
    X: Array,
    z: Array,
    strata: Integers,
    units: Integers,
    rank: int,
) -> StackedDeviance:
    """Sum each unit's products.

    Parameters
    ----------
    Z, X, z
        (n, q) columns of random effects, (n, p) of fixed ones, and (n,) the stacked outcomes.
    strata, units
        Outcome and unit of each row, from 0.
    rank
        Of the covariance of the random effects.
    """
    columns = np.column_stack([Z, X, z])
    n_strata, J = int(strata.max()) + 1, int(units.max()) + 1
    products = np.zeros((n_strata, J, columns.shape[1], columns.shape[1]))
    np.add.at(products, (strata, units), np.einsum("ns,nt->nst", columns, columns))
    counts = np.zeros((n_strata, J))
    np.add.at(counts, (strata, units), 1.0)
    return StackedDeviance(products, counts, X.shape[1], Z.shape[1], rank)
