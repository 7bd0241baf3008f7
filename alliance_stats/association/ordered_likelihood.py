"""The likelihood of proportional odds: its maximum, derivatives and clusters. Arrays only.

``logit P(Y <= k) = threshold_k - x'beta`` (McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x).
"""

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from alliance_stats.engine.sandwich import ClusterRobust, cr2
from alliance_stats.estimates import Array

__all__ = ["clustered", "derivatives", "log_lik_of", "maximum"]

Codes = npt.NDArray[np.int64]
_MOST_STEPS, _MOST_HALVINGS = 60, 40


def maximum(X: Array, codes: Codes) -> tuple[Array, Array]:
    """Return coefficients and thresholds at the maximum of the likelihood, which is concave.

    Newton's steps (Pratt 1981, doi:10.1080/01621459.1981.10477613, shows the concavity), halved
    where the likelihood would fall, from the thresholds of a model without columns.
    """
    b, shares = np.zeros(X.shape[1]), np.bincount(codes) / len(codes)
    tau = special.logit(np.cumsum(shares)[:-1])
    now = log_lik_of(b, tau, X, codes)
    for _ in range(_MOST_STEPS):
        gradient, information, _ = derivatives(b, tau, X, codes)
        step = linalg.lstsq(information, gradient)[0]
        for _ in range(_MOST_HALVINGS):
            b_new, tau_new = b + step[: len(b)], tau + step[len(b) :]
            found = log_lik_of(b_new, tau_new, X, codes)
            if found >= now - 1e-12 * abs(now):
                break
            step = step / 2.0
        else:
            break
        settled = np.abs(gradient @ step) < 1e-16 * len(codes)
        b, tau, now = b_new, tau_new, found
        if settled:
            break
    return b, tau


def log_lik_of(b: Array, tau: Array, X: Array, codes: Codes) -> float:
    """Return the log-likelihood; minus infinity where thresholds are out of order."""
    if (np.diff(tau) <= 0).any():
        return -np.inf
    with np.errstate(divide="ignore"):  # a probability of 0 is no place to go to
        return float(np.log(_probabilities(b, tau, X, codes)).sum())


def _edges(b: Array, tau: Array, X: Array, codes: Codes) -> tuple[Array, Array]:
    eta = X @ b
    padded = np.concatenate([[-np.inf], tau, [np.inf]])
    return padded[codes] - eta, padded[codes + 1] - eta


def _probabilities(b: Array, tau: Array, X: Array, codes: Codes) -> Array:
    low, high = _edges(b, tau, X, codes)
    # of two differences the one of small numbers loses no digits
    return np.asarray(
        np.where(low > 0, special.expit(-low) - special.expit(-high),
                 special.expit(high) - special.expit(low))
    )  # fmt: skip


def derivatives(b: Array, tau: Array, X: Array, codes: Codes) -> tuple[Array, Array, Array]:
    """Return gradient, observed information and the rows' scores in (beta, thresholds)."""
    low, high = _edges(b, tau, X, codes)
    P = _probabilities(b, tau, X, codes)
    f_low, f_high = (special.expit(e) * special.expit(-e) for e in (low, high))
    g_low, g_high = (
        f * (special.expit(-e) - special.expit(e)) for f, e in ((f_low, low), (f_high, high))
    )
    J_low, J_high = _edge_slopes(X, codes, len(tau))
    slope = (f_high[:, None] * J_high - f_low[:, None] * J_low) / P[:, None]
    second = (J_high * (g_high / P)[:, None]).T @ J_high - (J_low * (g_low / P)[:, None]).T @ J_low
    return slope.sum(axis=0), slope.T @ slope - second, slope


def clustered(b: Array, tau: Array, X: Array, codes: Codes, clusters: Codes) -> ClusterRobust:
    """Return CR2 of coefficients and thresholds.

    Row and category make a row of the multinomial's working linear model, ``sqrt(P) d log P`` with
    the residual ``(1{y = k} - P) / sqrt(P)``: sums of products are scores and expected information.
    Each cluster's residuals are corrected as there (Bell & McCaffrey 2002; for estimating equations
    Kauermann & Carroll 2001, doi:10.1198/016214501753382309).
    """
    columns, left = [], []
    for k in range(len(tau) + 1):
        own = np.full(len(X), k)
        root = np.sqrt(_probabilities(b, tau, X, own))
        columns.append(derivatives(b, tau, X, own)[2] * root[:, None])
        left.append(((codes == k) - root**2) / root)
    whole, residual = np.stack(columns, axis=1), np.stack(left, axis=1)
    order = np.argsort(clusters, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(clusters))[:-1])
    halves, rests = [], []
    for rows in parts:
        # the correction lives in the span of the columns: a few rows say all of a large cluster
        Q, R = linalg.qr(whole[rows].reshape(-1, whole.shape[2]), mode="economic")
        halves.append(R)
        rests.append(Q.T @ residual[rows].ravel())
    return cr2(halves, rests, [np.eye(len(half)) for half in halves])


def _edge_slopes(X: Array, codes: Codes, m: int) -> tuple[Array, Array]:
    """Return the derivatives of each row's two edges in (beta, thresholds)."""
    n = len(X)
    D_low, D_high = np.zeros((n, m + 2)), np.zeros((n, m + 2))
    D_low[np.arange(n), codes] = 1.0
    D_high[np.arange(n), codes + 1] = 1.0
    low, high = np.column_stack([-X, D_low[:, 1:-1]]), np.column_stack([-X, D_high[:, 1:-1]])
    return low, high
