"""Pooling estimates with known sampling variances: generalised least squares and tau squared.

Arrays only. ``y`` holds k estimates, ``v`` their known sampling variances, ``X`` (k, p) the
moderators with the intercept. The marginal covariance is ``M = diag(v + tau2)``, plus, with effects
in studies, a variance shared by the effects of a study.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import linalg, optimize, stats

from alliance_stats.estimates import Array

__all__ = [
    "ESTIMATORS",
    "Gls",
    "dersimonian_laird",
    "fit_gls",
    "paule_mandel",
    "profile_interval",
    "reml",
    "typical_variance",
]

# tau2 is sought up to this multiple of the estimates' variance plus the mean sampling variance,
# from this fraction of it on: beyond, one of the two variances is nothing beside the other.
_LARGEST, _SMALLEST, _PLACES = 1e4, 1e-8, 120
# roots are found to a few units in the last place
_RELATIVE = 4.0 * np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class Gls:
    """A generalised least-squares fit at a given marginal covariance.

    Attributes
    ----------
    beta, vcov
        Coefficients (p,) and ``(X' M^-1 X)^-1`` (p, p).
    residual
        ``y - X beta`` (k,).
    quadratic
        ``residual' M^-1 residual``.
    log_det
        ``log |M|``.
    """

    beta: Array
    vcov: Array
    residual: Array
    quadratic: float
    log_det: float

    def log_likelihood(self, X: Array, *, restricted: bool) -> float:
        """Return the (restricted) log-likelihood, with ``log |X'X| / 2`` where restricted."""
        k, p = X.shape
        free = k - p if restricted else k
        value = -0.5 * (free * np.log(2.0 * np.pi) + self.log_det + self.quadratic)
        if restricted:
            value += 0.5 * (np.linalg.slogdet(X.T @ X)[1] + np.linalg.slogdet(self.vcov)[1])
        return float(value)


def fit_gls(y: Array, X: Array, M: Array) -> Gls:
    """Fit at marginal covariance `M`: (k,) where it is diagonal, else (k, k)."""
    if M.ndim == 1:
        half_y, half_X = y / np.sqrt(M), X / np.sqrt(M)[:, None]
        log_det = float(np.log(M).sum())
    else:
        lower = linalg.cholesky(M, lower=True)
        half_y = linalg.solve_triangular(lower, y, lower=True)
        half_X = linalg.solve_triangular(lower, X, lower=True)
        log_det = float(2.0 * np.log(np.diag(lower)).sum())
    Q, R = np.linalg.qr(half_X)
    beta = linalg.solve_triangular(R, Q.T @ half_y)
    root = linalg.solve_triangular(R, np.eye(len(R)))
    rest = half_y - half_X @ beta
    return Gls(beta, root @ root.T, y - X @ beta, float(rest @ rest), log_det)


def _trace_p(w: Array, X: Array) -> float:
    """Return ``tr P``, ``P = W - W X (X'WX)^-1 X'W``."""
    inside = X.T @ (X * w[:, None])
    squared = X.T @ (X * (w**2)[:, None])
    return float(w.sum() - np.trace(np.linalg.solve(inside, squared)))


def typical_variance(v: Array, X: Array) -> float:
    """Return the "typical" sampling variance ``(k - p) / tr P`` (Higgins & Thompson 2002)."""
    k, p = X.shape
    return float((k - p) / _trace_p(1.0 / v, X))


def dersimonian_laird(y: Array, v: Array, X: Array) -> float:
    """Return the moment estimate of tau2 (DerSimonian & Laird 1986)."""
    k, p = X.shape
    excess = fit_gls(y, X, v).quadratic - (k - p)
    return max(0.0, float(excess / _trace_p(1.0 / v, X)))


def paule_mandel(y: Array, v: Array, X: Array) -> float:
    """Return tau2 at which the generalised Q equals its df (Paule & Mandel 1982)."""
    k, p = X.shape
    return _where_q_is(y, v, X, float(k - p)) or 0.0


def profile_interval(y: Array, v: Array, X: Array, conf_level: float) -> tuple[float, float]:
    """Return the Q-profile interval of tau2 (Viechtbauer 2007, doi:10.1002/sim.2514).

    A limit is 0 where Q is already below its quantile there; both limits are NaN (the set is empty)
    where the estimates differ less than chance allows even at ``tau2 = 0``.
    """
    k, p = X.shape
    tail = (1.0 - conf_level) / 2.0
    low = _where_q_is(y, v, X, float(stats.chi2.isf(tail, k - p)))
    high = _where_q_is(y, v, X, float(stats.chi2.ppf(tail, k - p)))
    return (np.nan, np.nan) if high is None else (low or 0.0, high)


def _where_q_is(y: Array, v: Array, X: Array, target: float) -> float | None:
    """Return tau2 at which the generalised Q falls to `target`; ``None`` if it starts below."""

    def excess(tau2: float) -> float:
        return fit_gls(y, X, v + tau2).quadratic - target

    if excess(0.0) < 0.0:
        return None
    upper = _scale(y, v)
    while excess(upper) > 0.0:
        upper *= 10.0
    return _root(excess, 0.0, upper)


def reml(y: Array, v: Array, X: Array) -> float:
    """Return the restricted maximum-likelihood tau2, 0 where the likelihood falls from there.

    The score is followed over a wide grid, each place where it turns negative is found to machine
    precision, and the best of these and 0 is taken, so that a second maximum is harmless.
    """

    def score(tau2: float) -> float:
        w = 1.0 / (v + tau2)
        pulled = w * fit_gls(y, X, v + tau2).residual
        return float(pulled @ pulled) - _trace_p(w, X)

    def height(tau2: float) -> float:
        return fit_gls(y, X, v + tau2).log_likelihood(X, restricted=True)

    scale = _scale(y, v)
    grid = np.concatenate([[0.0], scale * np.geomspace(_SMALLEST, _LARGEST, _PLACES)])
    slopes = [score(tau2) for tau2 in grid]
    maxima = [0.0] if slopes[0] <= 0.0 else []
    maxima += [
        _root(score, left, right)
        for left, right, at_left, at_right in zip(
            grid[:-1], grid[1:], slopes[:-1], slopes[1:], strict=True
        )
        if at_left > 0.0 >= at_right
    ]
    return max(maxima, key=height)


# how the variance between effects is estimated
ESTIMATORS: Mapping[str, Callable[[Array, Array, Array], float]] = MappingProxyType(
    {
        "REML": reml,
        "DL": dersimonian_laird,
        "PM": paule_mandel,
        "fixed": lambda y, v, X: 0.0,  # noqa: ARG005
    }
)


def _scale(y: Array, v: Array) -> float:
    return float(np.var(y) + v.mean())


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(function, low, high, xtol=1e-300, rtol=_RELATIVE, maxiter=500))
