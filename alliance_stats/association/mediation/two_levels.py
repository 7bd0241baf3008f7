"""A saturated two-level model of several variables: their covariances within and between units.

``z_ij = B w_j + u_j + e_ij`` with unstructured covariances of u (between) and e (within), by
maximum likelihood: every path of a saturated mediation model is a function of them (Preacher,
Zyphur & Zhang 2010, doi:10.1037/a0020141). Arrays only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["PathsOf", "TwoLevelDeviance", "TwoLevels", "fit_two_levels"]

PathsOf = Callable[[Array, Array, Array], Array]
"""Functions of the covariances within and between, and of the coefficients."""

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
    scale, sizes
        (d,) SDs of the variables and (q,) sizes of the units' columns; what follows is of variables
        and columns in these units.
    deviance
        -2 log-likelihood as a function of the parameters, without its constant.
    information
        Observed information of the free parameters; NaN where errors were not requested.
    log_lik
        Log-likelihood.
    """

    within: Array
    between: Array
    coefficients: Array
    scale: Array
    sizes: Array
    deviance: "TwoLevelDeviance"
    information: Array
    log_lik: float

    @property
    def theta(self) -> Array:
        """The free parameters, of variables in units of their SDs."""
        return _packed(*self._standardised())

    def at(self, theta: Array, paths: PathsOf) -> Array:
        """Return functions of within, between and coefficients at other parameters."""
        W, B, beta = _unpacked(theta, len(self.within), len(self.coefficients))
        return self._asked(paths, W, B, beta)

    def slopes(self, paths: PathsOf) -> Array:
        """Return the derivatives of such functions by the parameters, (functions, parameters)."""
        theta = self.theta
        steps = _STEP * np.eye(len(theta))
        found = [self.at(theta + h, paths) - self.at(theta - h, paths) for h in steps]
        return np.array(found).T / (2.0 * _STEP)

    def shares(self, paths: PathsOf, clusters: Integers) -> Array:
        """Return each cluster's share of such functions, (clusters, functions).

        Their squares, times ``G / (G - 1)``, sum to the robust covariance: the inverse information
        times the clusters' scores.
        """
        scores = self.deviance.scores(self.theta)
        summed = np.array([np.bincount(clusters, weights=column) for column in scores.T]).T
        return np.asarray(summed @ linalg.solve(self.information, self.slopes(paths).T))

    def unbounded(self) -> Array:
        """Return parameters that may take any value: factors of the covariances, coefficients."""
        W, B, beta = self._standardised()
        return np.concatenate([_to_free(W, B), beta.ravel()])

    def at_unbounded(self, values: Array, paths: PathsOf) -> Array:
        """Return functions of within, between and coefficients at such parameters, (..., k)."""
        d = len(self.within)
        W, B = _from_free(values[..., : d * (d + 1)], d)
        beta = values[..., d * (d + 1) :].reshape(*values.shape[:-1], *self.coefficients.shape)
        return self._asked(paths, W, B, beta)

    def _asked(self, paths: PathsOf, W: Array, B: Array, beta: Array) -> Array:
        s = self.scale
        own = beta * s / self.sizes[:, None]
        return paths(W * np.outer(s, s), B * np.outer(s, s), own)

    def _standardised(self) -> tuple[Array, Array, Array]:
        s = self.scale
        own = self.coefficients / s * self.sizes[:, None]
        return self.within / np.outer(s, s), self.between / np.outer(s, s), own


def fit_two_levels(Z: Array, units: Integers, columns: Array, *, errors: bool = True) -> TwoLevels:
    """Fit the model.

    Parameters
    ----------
    Z
        (n, d) variables that vary within units.
    units
        Unit of each row, from 0.
    columns
        (J, q) columns of each unit, with the constant.
    errors
        Whether the information is needed; a resample does without.

    Raises
    ------
    NotIdentifiedError
        Too few units, units of one row only, or a search that did not converge.
    """
    d, (J, q) = Z.shape[1], columns.shape
    sizes = np.bincount(units)
    if q + d + 1 > J or len(Z) - J < d + 1:
        raise NotIdentifiedError(
            f"{J} units with {len(Z)} rows are too few for the covariances of {d} variables within "
            "and between them."
        )
    scale, wide = Z.std(axis=0), np.sqrt((columns**2).mean(axis=0))
    Z, columns = Z / scale, columns / wide
    means = np.column_stack([np.bincount(units, weights=z) / sizes for z in Z.T])
    left = Z - means[units]
    products = np.einsum("ni,nj->nij", left, left)
    each = np.zeros((J, d, d))
    np.add.at(each, units, products)
    S = each.sum(axis=0)
    W0 = S / (len(Z) - J)
    deviance = TwoLevelDeviance(means, S, each, sizes, columns, len(Z))
    start = _to_free(W0, _first_between(means, columns, W0, J / len(Z)))
    found = optimize.minimize(
        deviance.free, start, jac=True, method="BFGS",
        options={"gtol": 1e-6 * len(Z) ** 0.5, "maxiter": 2000},
    )  # fmt: skip
    W, B = _from_free(found.x, d)
    beta = deviance.coefficients(W, B)
    eigenvalues = linalg.eigvalsh(B)
    if eigenvalues.min() < _SINGULAR * max(eigenvalues.max(), 1e-12):
        raise NotIdentifiedError(_NO_BETWEEN)
    theta, outer = _packed(W, B, beta), np.outer(scale, scale)
    hessian = np.full((len(theta), len(theta)), np.nan)
    if errors:
        theta, hessian, step = _newton(deviance.packed, theta)
        W, B, beta = _unpacked(theta, d, q)
        settled = np.isfinite(hessian).all() and linalg.eigvalsh(hessian)[0] > 0
        if not settled or step >= _SETTLED or linalg.eigvalsh(B)[0] <= 0:
            raise NotIdentifiedError("The covariances within and between units did not settle.")
    constant = len(Z) * d * np.log(2.0 * np.pi) + 2.0 * len(Z) * np.log(scale).sum()
    log_lik = -0.5 * (deviance.packed(theta)[0] + constant)
    return TwoLevels(
        W * outer, B * outer, beta * scale / wide[:, None], scale, wide, deviance, hessian / 2.0,
        log_lik,
    )  # fmt: skip


def _first_between(means: Array, columns: Array, W: Array, per_row: float) -> Array:
    """Return a start for the covariance between units: of their means, less the rows' share."""
    off = means - columns @ linalg.lstsq(columns, means)[0]
    B = off.T @ off / max(len(means) - columns.shape[1], 1) - W * per_row
    values, vectors = linalg.eigh(B)
    return np.asarray((vectors * np.maximum(values, 0.05 * np.diag(W).mean())) @ vectors.T)


@dataclass(frozen=True, slots=True, eq=False)
class TwoLevelDeviance:
    """-2 log-likelihood of what is sufficient, without the constant.

    Attributes
    ----------
    means
        (J, d) of the units.
    S, each
        (d, d) products of deviations from them, in all and (J, d, d) of each unit.
    sizes
        (J,) rows of the units.
    columns
        (J, q) what is known of them.
    n
        Rows.
    """

    means: Array
    S: Array
    each: Array
    sizes: Integers
    columns: Array
    n: int

    def slopes(self, W: Array, B: Array, beta: Array) -> tuple[float, Array, Array, Array]:
        """Return the deviance and its derivatives by W, B (as matrices) and the coefficients."""
        J, P = len(self.sizes), linalg.inv(W)
        off = self.means - self.columns @ beta
        V = B + W / self.sizes[:, None, None]
        signs, log_dets = np.linalg.slogdet(V)
        if (signs <= 0).any():
            raise np.linalg.LinAlgError("not positive definite")
        P_V = np.linalg.inv(V)
        pulled = np.einsum("jab,jb->ja", P_V, off)
        value = (self.n - J) * _log_det(W) + float((P * self.S).sum())
        value += float(log_dets.sum() + len(W) * np.log(self.sizes).sum() + (pulled * off).sum())
        by_V = P_V - pulled[:, :, None] * pulled[:, None, :]
        by_W = (self.n - J) * P - P @ self.S @ P + (by_V / self.sizes[:, None, None]).sum(axis=0)
        return value, by_W, by_V.sum(axis=0), -2.0 * self.columns.T @ pulled

    def coefficients(self, W: Array, B: Array) -> Array:
        """Return the generalized least-squares coefficients of the units' columns."""
        d, q = len(W), self.columns.shape[1]
        P = np.linalg.inv(B + W / self.sizes[:, None, None])
        X = self.columns
        left = np.einsum("jp,jr,jab->parb", X, X, P).reshape(q * d, q * d)
        right = np.einsum("jp,jab,jb->pa", X, P, self.means)
        return np.asarray(linalg.solve(left, right.ravel(), assume_a="sym").reshape(q, d))

    def scores(self, theta: Array) -> Array:
        """Return each unit's slopes of the log-likelihood, (J, parameters)."""
        d, q = len(self.S), self.columns.shape[1]
        W, B, beta = _unpacked(theta, d, q)
        P, off = linalg.inv(W), self.means - self.columns @ beta
        V = np.linalg.inv(B + W / self.sizes[:, None, None])
        pulled = np.einsum("jab,jb->ja", V, off)
        by_B = V - pulled[:, :, None] * pulled[:, None, :]
        n = self.sizes[:, None, None]
        by_W = (n - 1) * P - P @ self.each @ P + by_B / n
        by_beta = -2.0 * self.columns[:, :, None] * pulled[:, None, :]
        twice = 2.0 * np.ones((d, d)) - np.eye(d)  # an element off the diagonal appears twice
        rows, columns = np.tril_indices(d)
        parts = [(by * twice)[:, rows, columns] for by in (by_W, by_B)]
        return -0.5 * np.concatenate([*parts, by_beta.reshape(len(off), q * d)], axis=1)

    def free(self, values: Array) -> tuple[float, Array]:
        """Return the deviance at the best coefficients, and its slopes, in free parameters."""
        d = len(self.S)
        W, B = _from_free(values, d)
        try:
            value, *slopes, _ = self.slopes(W, B, self.coefficients(W, B))
        except (np.linalg.LinAlgError, ValueError):  # a step to where covariances overflow
            return np.inf, np.zeros(len(values))
        found = [_by_factor(f, s) for f, s in zip(np.split(values, 2), slopes, strict=True)]
        return value, np.concatenate(found)

    def unbounded(self, values: Array) -> tuple[float, Array]:
        """Return the deviance and its slopes in free parameters and coefficients."""
        d, q = len(self.S), self.columns.shape[1]
        k = d * (d + 1)
        W, B = _from_free(values[:k], d)
        try:
            value, by_W, by_B, by_beta = self.slopes(W, B, values[k:].reshape(q, d))
        except (np.linalg.LinAlgError, ValueError):  # a step to where covariances overflow
            return np.inf, np.zeros(len(values))
        parts = zip(np.split(values[:k], 2), (by_W, by_B), strict=True)
        return value, np.concatenate([*(_by_factor(f, s) for f, s in parts), by_beta.ravel()])

    def packed(self, theta: Array) -> tuple[float, Array]:
        """Return the deviance and its slopes in covariances and coefficients."""
        d, q = len(self.S), self.columns.shape[1]
        value, by_W, by_B, by_beta = self.slopes(*_unpacked(theta, d, q))
        twice = 2.0 * np.ones((d, d)) - np.eye(d)  # an element off the diagonal appears twice
        return value, _packed(by_W * twice, by_B * twice, by_beta)


def _log_det(S: Array) -> float:
    sign, log_det = np.linalg.slogdet(S)
    if sign <= 0:
        raise np.linalg.LinAlgError("not positive definite")
    return float(log_det)


def _factor(part: Array, d: int) -> Array:
    L = np.zeros((*part.shape[:-1], d, d))
    rows, columns = np.tril_indices(d)
    L[..., rows, columns] = part
    own = np.arange(d)
    L[..., own, own] = np.exp(np.clip(L[..., own, own], -20.0, 20.0))
    return L


def _by_factor(part: Array, slope: Array) -> Array:
    """Turn slopes by a covariance into slopes by the free elements of its factor."""
    d = len(slope)
    L = _factor(part, d)
    by_L = 2.0 * slope @ L
    by_L[np.diag_indices(d)] *= np.diag(L)  # its diagonal is free in logarithms
    return np.asarray(by_L[np.tril_indices(d)])


def _to_free(W: Array, B: Array) -> Array:
    parts = []
    for S in (W, B):
        L = linalg.cholesky(S, lower=True)
        L[np.diag_indices_from(L)] = np.log(np.diag(L))
        parts.append(L[np.tril_indices_from(L)])
    return np.concatenate(parts)


def _from_free(free: Array, d: int) -> tuple[Array, Array]:
    W, B = (_factor(part, d) for part in np.split(free, 2, axis=-1))
    return W @ W.swapaxes(-1, -2), B @ B.swapaxes(-1, -2)


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
