"""Small-sample inference on coefficients: Satterthwaite, and Kenward and Roger.

Both take the curvature of the likelihood at the fit and work on small arrays. Contrasts are rows of
a matrix ``C`` in the working basis; covariances are for a residual SD of 1 (the caller scales).
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.engine.curvature import Curvature
from alliance_stats.estimates import Array

__all__ = [
    "ConstantDf",
    "FTest",
    "KenwardRoger",
    "Satterthwaite",
    "independent_rows",
    "kenward_roger",
    "satterthwaite",
    "variance_of_variances",
]


# Degrees of freedom beyond which t is the normal distribution to double precision.
LARGE_DF = 1e10
# Distance from 2 denominator df within which F is not scaled (as in pbkrtest).
POLE = 1e-2
# Relative curvature under which a covariance parameter is not determined at all.
FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class FTest:
    """A joint test: F statistic with its two degrees of freedom."""

    statistic: float
    df1: float
    df2: float


@dataclass(frozen=True, slots=True)
class ConstantDf:
    """The same degrees of freedom for every function of the coefficients."""

    value: float

    def df(self, C: Array) -> Array:
        """Return them for each row of `C`."""
        return np.full(len(C), self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Satterthwaite:
    """The quantities of a fit needed by Satterthwaite's method.

    Attributes
    ----------
    Phi
        Covariance of the coefficients, (p, p).
    Phi_1
        Its derivatives in the covariance parameters, (k, p, p).
    W
        Covariance of the covariance parameters, (k, k): twice the inverse observed Hessian of
        the deviance.
    """

    Phi: Array
    Phi_1: Array
    W: Array

    def df(self, C: Array) -> Array:
        """Degrees of freedom of each row of `C`: ``2 (c'Phi c)^2 / Var(c'Phi c)``.

        Satterthwaite 1946 (doi:10.2307/3002019), as in Kuznetsova, Brockhoff & Christensen 2017
        (doi:10.18637/jss.v082.i13).
        """
        variance = np.einsum("rp,pq,rq->r", C, self.Phi, C)
        slopes = np.einsum("rp,kpq,rq->rk", C, self.Phi_1, C)
        spread = np.einsum("rk,kl,rl->r", slopes, self.W, slopes)
        return _finite_df(2.0 * variance**2, spread)

    def f_test(self, C: Array, beta: Array) -> FTest:
        """Test ``C beta = 0`` jointly, by the eigenvectors of its covariance.

        Fai & Cornelius 1996 (doi:10.1080/00949659608811740): each eigenvector gives an
        independent t with its own df; ``df2`` matches the mean of the corresponding F.
        """
        values, vectors = linalg.eigh(C @ self.Phi @ C.T)
        kept = values > values.max() * 1e-10
        rows = independent_rows(C, self.Phi)
        if kept.sum() < len(rows):  # functions in units too unlike for one matrix
            C, kept = rows, np.ones(len(rows), dtype=bool)
            values, vectors = linalg.eigh(C @ self.Phi @ C.T)
        rotated = vectors[:, kept].T @ C
        t_squared = (rotated @ beta) ** 2 / values[kept]
        return FTest(float(t_squared.mean()), float(kept.sum()), _pooled_df(self.df(rotated)))


@dataclass(frozen=True, slots=True, eq=False)
class KenwardRoger:
    """The quantities of a fit needed by Kenward and Roger's method.

    Attributes
    ----------
    Phi
        Unadjusted covariance of the coefficients, (p, p).
    adjusted
        Covariance corrected for the estimation of the covariance parameters, (p, p).
    P
        ``d(X'V^-1X)`` by the covariance parameters, (k, p, p).
    W
        Covariance of the covariance parameters: the inverse expected information, (k, k).
    """

    Phi: Array
    adjusted: Array
    P: Array
    W: Array

    def df(self, C: Array) -> Array:
        """Degrees of freedom of each row of `C`."""
        return np.array([self._scale_and_df(row[None])[1] for row in C])

    def f_test(self, C: Array, beta: Array) -> FTest:
        """Test ``C beta = 0`` jointly; the statistic is scaled (Kenward & Roger 1997)."""
        C = independent_rows(C, self.adjusted)
        scale, df = self._scale_and_df(C)
        estimate = C @ beta
        wald = float(estimate @ linalg.solve(C @ self.adjusted @ C.T, estimate)) / len(C)
        return FTest(scale * wald, float(len(C)), df)

    def _scale_and_df(self, C: Array) -> tuple[float, float]:
        """Scale factor and denominator df that match the F's first two moments."""
        ell = len(C)
        Theta = C.T @ linalg.solve(C @ self.Phi @ C.T, C)
        TPPP = Theta @ self.Phi @ self.P @ self.Phi
        traces = np.trace(TPPP, axis1=1, axis2=2)
        A1 = float(traces @ self.W @ traces)
        A2 = float(np.einsum("kl,kpq,lqp->", self.W, TPPP, TPPP))
        if A2 < 2.0 / LARGE_DF:  # the covariance of C beta is known: F is chi-squared over ell
            return 1.0, float("inf")
        if ell == 1:  # A1 is A2 then: the formulas below come to this, but for their poles
            return 1.0, 2.0 / A2
        B = (A1 + 6.0 * A2) / (2.0 * ell)
        g = ((ell + 1.0) * A1 - (ell + 4.0) * A2) / ((ell + 2.0) * A2)
        denominator = 3.0 * ell + 2.0 * (1.0 - g)
        c1, c2, c3 = g / denominator, (ell - g) / denominator, (ell + 2.0 - g) / denominator
        E = 1.0 / (1.0 - A2 / ell)
        V = (2.0 / ell) * (1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        rho = V / (2.0 * E**2)
        df = 4.0 + (ell + 2.0) / (ell * rho - 1.0)
        if abs(df - 2.0) < POLE:  # F has no mean there that could be matched
            return 1.0, float(df)
        return float(df / (E * (df - 2.0))), float(df)


def satterthwaite(curve: Curvature, *, reml: bool) -> Satterthwaite:
    """Prepare Satterthwaite's method from the curvature of the (restricted) deviance.

    With ``X'V^-1X = F``, ``v = (-beta, 1)`` and subscripts for derivatives, the Hessian of the
    deviance profiled over the coefficients is

        log|V|_ij + v'G_ij v - 2 (G_i v)_X' F^-1 (G_j v)_X
            + [REML] tr(F^-1 F_ij) - tr(F^-1 F_i F^-1 F_j)
    """
    p = len(curve.G) - 1
    F, F_1, F_2 = curve.G[:p, :p], curve.G_1[:, :p, :p], curve.G_2[:, :, :p, :p]
    Phi = linalg.inv(F) if p else F
    v = np.append(-(Phi @ curve.G[:p, p]), 1.0)
    pulled = np.einsum("kij,j->ki", curve.G_1, v)[:, :p]
    hessian = curve.log_det_2 + np.einsum("klij,i,j->kl", curve.G_2, v, v)
    hessian -= 2.0 * pulled @ Phi @ pulled.T
    if reml:
        Phi_F = np.einsum("pq,kqr->kpr", Phi, F_1)
        hessian += np.einsum("pq,klqp->kl", Phi, F_2) - np.einsum("kpq,lqp->kl", Phi_F, Phi_F)
    Phi_1 = -Phi @ F_1 @ Phi
    return Satterthwaite(Phi, Phi_1, 2.0 * _inverse_where_curved(hessian))


def kenward_roger(curve: Curvature) -> KenwardRoger:
    """Prepare Kenward and Roger's method (1997, doi:10.2307/2533558).

    The parameters enter V linearly, so ``X'V^-1 V_i V^-1 V_j V^-1 X``, made symmetric, is half of
    ``F_ij``, and ``tr(V^-1 V_i V^-1 V_j)`` is ``-log|V|_ij``: no array of the size of the data is
    formed. (Halekoh & Hojsgaard 2014, doi:10.18637/jss.v059.i09, give the formulas.)
    """
    Phi, P, Q, PhiP = _of_coefficients(curve)
    W = variance_of_variances(curve, reml=True)
    inner = np.einsum("kl,klpq->pq", W, Q) - np.einsum("kl,kpq,lqr->pr", W, P, PhiP)
    return KenwardRoger(Phi, Phi + 2.0 * Phi @ inner @ Phi, P, W)


def _of_coefficients(curve: Curvature) -> tuple[Array, Array, Array, Array]:
    """Return ``Phi = (X'V^-1 X)^-1``, first and half of second derivatives of X'V^-1 X, Phi P."""
    p = len(curve.G) - 1
    Phi = linalg.inv(curve.G[:p, :p])
    P = curve.G_1[:, :p, :p]
    return Phi, P, curve.G_2[:, :, :p, :p] / 2.0, np.einsum("pq,kqr->kpr", Phi, P)


def variance_of_variances(curve: Curvature, *, reml: bool) -> Array:
    """Return twice the inverse expected information on covariance parameters linear in V."""
    if not reml:
        return 2.0 * _inverse_where_curved(-curve.log_det_2)
    Phi, _, Q, PhiP = _of_coefficients(curve)
    crossed = np.einsum("kpq,lqp->kl", PhiP, PhiP)
    information = -curve.log_det_2 - 2.0 * np.einsum("pq,klqp->kl", Phi, Q) + crossed
    return 2.0 * _inverse_where_curved(information)


def _inverse_where_curved(hessian: Array) -> Array:
    """Inverse over the directions in which the deviance curves upward.

    A flat direction (a correlation at its boundary) carries no information, and a downward one is
    rounding error.
    """
    if not len(hessian):
        return hessian
    scale = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-300))
    values, vectors = linalg.eigh(hessian / np.outer(scale, scale))
    curved = values > FLAT * values.max()
    half = vectors[:, curved] / np.sqrt(values[curved])
    return np.asarray(half @ half.T / np.outer(scale, scale))


def _finite_df(numerator: Array, spread: Array) -> Array:
    """Quotient, infinite where no part of the variance was estimated."""
    known = spread <= numerator / LARGE_DF
    return np.where(known, np.inf, numerator / np.where(known, 1.0, spread))


def independent_rows(C: Array, covariance: Array) -> Array:
    """Return independent combinations of the rows of `C`, whose covariance can be inverted.

    Rows are taken in units of their own standard errors: which depend on others does not change
    with the units of columns.
    """
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", C, covariance, C), 0.0))
    rows = C / np.where(errors > 0.0, errors, 1.0)[:, None]
    values, vectors = linalg.eigh(rows @ covariance @ rows.T)
    return np.asarray(vectors[:, values > values.max() * 1e-10].T @ rows)


def _pooled_df(dfs: Array) -> float:
    """Denominator df whose F has the mean of the average of independent t-squares."""
    if len(dfs) == 1:
        return float(dfs[0])
    if np.isinf(dfs).all():
        return float("inf")
    if np.isfinite(dfs).all() and np.ptp(dfs) < 1e-8:
        return float(dfs.mean())
    if (dfs <= 2.0).any():
        return 2.0
    mean = float((1.0 / (1.0 - 2.0 / dfs)).sum())
    return 2.0 * mean / (mean - len(dfs))
