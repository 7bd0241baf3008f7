"""A saturated two-level model of several variables: their covariances within and between units.

``z_ij = B w_j + u_j + e_ij`` with unstructured covariances of u (between) and e (within), by
maximum likelihood: every path of a saturated mediation model is a function of them (Preacher,
Zyphur & Zhang 2010, doi:10.1037/a0020141). Arrays only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["TwoLevels", "fit_two_levels"]

_STEP = 2e-4  # of the differences, in units of standardised variables
_SETTLED = 1e-3  # of the last Newton step, in standard errors
_SINGULAR = 1e-5  # of the correlations between units, under which a level has no paths
_NO_BETWEEN = (
    "Between units a variable does not vary beyond what its rows within them bring, or one tells "
    "another: there are no paths between. Mediation within units alone is a regression of "
    "deviations from the units' means, without nested_in."
)


@dataclass(frozen=True, slots=True, eq=False)
class TwoLevels:
    """The fitted covariances, and how they vary.

    Attributes
    ----------
    within, between
        (d, d) covariances.
    coefficients
        (q, d): of the units' columns on the variables between.
    information
        Observed information of the free parameters, of variables in units of their SDs.
    scale
        (d,) these SDs.
    log_lik
        Log-likelihood.
    sizes
        Rows of each unit.
    """

    within: Array
    between: Array
    coefficients: Array
    information: Array
    scale: Array
    log_lik: float
    sizes: npt.NDArray[np.int64]

    def delta(self, paths: Callable[[Array, Array, Array], Array]) -> tuple[Array, Array]:
        """Return functions of within, between and coefficients, and their covariance."""
        theta = _packed(*self._standardised())
        d, q = len(self.within), len(self.coefficients)

        def at(values: Array) -> Array:
            W, B, beta = _unpacked(values, d, q)
            s = self.scale
            return paths(W * np.outer(s, s), B * np.outer(s, s), beta * s)

        centre = at(theta)
        J = np.empty((len(centre), len(theta)))
        for i in range(len(theta)):
            step = np.zeros(len(theta))
            step[i] = _STEP
            J[:, i] = (at(theta + step) - at(theta - step)) / (2.0 * _STEP)
        return centre, np.asarray(J @ linalg.inv(self.information) @ J.T)

    def _standardised(self) -> tuple[Array, Array, Array]:
        s = self.scale
        return self.within / np.outer(s, s), self.between / np.outer(s, s), self.coefficients / s


def fit_two_levels(Z: Array, units: npt.NDArray[np.int64], columns: Array) -> TwoLevels:
    """Fit the model.

    Parameters
    ----------
    Z
        (n, d) variables that vary within units.
    units
        Unit of each row, from 0.
    columns
        (J, q) what is known of each unit, with the constant.

    Raises
    ------
    NotIdentifiedError
        Too few units, units of one row only, or a search that did not settle.
    """
    d, (J, q) = Z.shape[1], columns.shape
    sizes = np.bincount(units)
    if q + d + 1 > J or len(Z) - J < d + 1:
        raise NotIdentifiedError(
            f"{J} units with {len(Z)} rows are too few for the covariances of {d} variables within "
            "and between them."
        )
    scale = Z.std(axis=0)
    Z = Z / scale
    means = np.column_stack([np.bincount(units, weights=z) / sizes for z in Z.T])
    left = Z - means[units]
    S = left.T @ left
    W0 = S / (len(Z) - J)
    beta0 = linalg.lstsq(columns, means)[0]
    off = means - columns @ beta0
    B0 = off.T @ off / max(J - q, 1) - W0 / len(Z) * J
    values, vectors = linalg.eigh(B0)
    B0 = (vectors * np.maximum(values, 0.05 * np.diag(W0).mean())) @ vectors.T
    deviance = _Deviance(means, S, sizes, columns, len(Z))
    start = _to_free(W0, B0)
    found = optimize.minimize(
        deviance.free, start, jac=True, method="BFGS",
        options={"gtol": 1e-6 * len(Z) ** 0.5, "maxiter": 2000},
    )  # fmt: skip
    W, B = _from_free(found.x, d)
    beta = deviance.coefficients(W, B)
    eigenvalues = linalg.eigvalsh(B)
    if eigenvalues.min() < _SINGULAR * max(eigenvalues.max(), 1e-12):
        raise NotIdentifiedError(_NO_BETWEEN)
    theta, hessian, step = _newton(deviance.packed, _packed(W, B, beta))
    W, B, beta = _unpacked(theta, d, q)
    settled = np.isfinite(hessian).all() and linalg.eigvalsh(hessian)[0] > 0 and step < _SETTLED
    if not settled or linalg.eigvalsh(B)[0] <= 0:
        raise NotIdentifiedError("The covariances within and between units did not settle.")
    constant = len(Z) * d * np.log(2.0 * np.pi) + 2.0 * len(Z) * np.log(scale).sum()
    log_lik = -0.5 * (deviance.packed(theta)[0] + constant)
    outer = np.outer(scale, scale)
    return TwoLevels(W * outer, B * outer, beta * scale, hessian / 2.0, scale, log_lik, sizes)


@dataclass(frozen=True, slots=True, eq=False)
class _Deviance:
    """-2 log-likelihood of what is sufficient, without the constant."""

    means: Array
    S: Array
    sizes: npt.NDArray[np.int64]
    columns: Array
    n: int

    def slopes(self, W: Array, B: Array, beta: Array) -> tuple[float, Array, Array, Array]:
        """Return the deviance and its derivatives by W, B (as matrices) and the coefficients."""
        J, P = len(self.sizes), linalg.inv(W)
        value = (self.n - J) * _log_det(W) + float((P * self.S).sum())
        by_W, by_B = (self.n - J) * P - P @ self.S @ P, np.zeros_like(B)
        by_beta = np.zeros_like(beta)
        off = self.means - self.columns @ beta
        for size in np.unique(self.sizes):
            own = self.sizes == size
            left = off[own]
            V = B + W / size
            P = linalg.inv(V)
            R = left.T @ left
            value += len(left) * (_log_det(V) + len(W) * np.log(size)) + float((P * R).sum())
            by_V = len(left) * P - P @ R @ P
            by_B += by_V
            by_W += by_V / size
            by_beta -= 2.0 * self.columns[own].T @ left @ P
        return value, by_W, by_B, by_beta

    def coefficients(self, W: Array, B: Array) -> Array:
        """Return the generalized least-squares coefficients of the units' columns."""
        d, q = len(W), self.columns.shape[1]
        left, right = np.zeros((q * d, q * d)), np.zeros((q, d))
        for size in np.unique(self.sizes):
            own = self.sizes == size
            P = linalg.inv(B + W / size)
            X = self.columns[own]
            left += np.kron(X.T @ X, P)
            right += X.T @ self.means[own] @ P
        return np.asarray(linalg.solve(left, right.ravel(), assume_a="sym").reshape(q, d))

    def free(self, values: Array) -> tuple[float, Array]:
        """Return the deviance at the best coefficients, and its slopes, in free parameters."""
        d = len(self.S)
        W, B = _from_free(values, d)
        try:
            value, *slopes, _ = self.slopes(W, B, self.coefficients(W, B))
        except (np.linalg.LinAlgError, ValueError):  # a step to where covariances overflow
            return np.inf, np.zeros(len(values))
        found = []
        for part, slope in zip(np.split(values, 2), slopes, strict=True):
            L = _factor(part, d)
            by_L = 2.0 * slope @ L
            by_L[np.diag_indices(d)] *= np.diag(L)  # its diagonal is free in logarithms
            found.append(by_L[np.tril_indices(d)])
        return value, np.concatenate(found)

    def packed(self, theta: Array) -> tuple[float, Array]:
        """Return the deviance and its slopes in covariances and coefficients."""
        d, q = len(self.S), self.columns.shape[1]
        value, by_W, by_B, by_beta = self.slopes(*_unpacked(theta, d, q))
        twice = 2.0 * np.ones((d, d)) - np.eye(d)  # an element off the diagonal stands twice
        return value, _packed(by_W * twice, by_B * twice, by_beta)


def _log_det(S: Array) -> float:
    sign, log_det = np.linalg.slogdet(S)
    if sign <= 0:
        raise np.linalg.LinAlgError("not positive definite")
    return float(log_det)


def _factor(part: Array, d: int) -> Array:
    L = np.zeros((d, d))
    L[np.tril_indices(d)] = part
    L[np.diag_indices(d)] = np.exp(np.clip(np.diag(L), -20.0, 20.0))
    return L


def _to_free(W: Array, B: Array) -> Array:
    parts = []
    for S in (W, B):
        L = linalg.cholesky(S, lower=True)
        L[np.diag_indices_from(L)] = np.log(np.diag(L))
        parts.append(L[np.tril_indices_from(L)])
    return np.concatenate(parts)


def _from_free(free: Array, d: int) -> tuple[Array, Array]:
    W, B = (_factor(part, d) for part in np.split(free, 2))
    return W @ W.T, B @ B.T


def _packed(W: Array, B: Array, beta: Array) -> Array:
    lower = np.tril_indices_from(W)
    return np.concatenate([W[lower], B[lower], beta.ravel()])


def _unpacked(theta: Array, d: int, q: int) -> tuple[Array, Array, Array]:
    k = d * (d + 1) // 2
    squares = []
    for part in (theta[:k], theta[k : 2 * k]):
        S = np.zeros((d, d))
        S[np.tril_indices(d)] = part
        squares.append(S + np.tril(S, -1).T)
    return squares[0], squares[1], theta[2 * k :].reshape(q, d)


def _newton(
    deviance: Callable[[Array], tuple[float, Array]], theta: Array
) -> tuple[Array, Array, float]:
    """Polish a minimum; return it, the second derivatives and the last step in standard errors."""
    size, steps = np.inf, _STEP * np.eye(len(theta))
    H = np.full((len(theta), len(theta)), np.nan)
    try:
        for _ in range(8):
            rows = [deviance(theta + s)[1] - deviance(theta - s)[1] for s in steps]
            H = np.array(rows) / (2.0 * _STEP)
            H = (H + H.T) / 2.0
            step = linalg.solve(H, deviance(theta)[1], assume_a="pos")
            theta = theta - step
            size = float(np.sqrt(step @ H @ step / 2.0))
            if size < _SETTLED / 100.0:
                break
    except np.linalg.LinAlgError:  # a covariance on its boundary, or no minimum
        return theta, H, np.inf
    return theta, H, size
