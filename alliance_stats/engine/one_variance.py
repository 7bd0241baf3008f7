"""The exact null distribution of the likelihood-ratio test of the only variance of a model.

For ``y = X beta + Z b + e`` with independent b of one variance ``lambda sigma^2``, the (restricted)
likelihood ratio against ``lambda = 0`` is distributed, in samples of any size, as

    RLR = sup_l [ (n - p) log(1 + N(l) / D(l)) - sum_s log(1 + l mu_s) ]
    LR  = n log(1 + sum_q u^2 / sum_{n-p} w^2)
          + sup_l [ n log(1 + N(l) / D(l)) - sum_s log(1 + l xi_s) ]

with ``N(l) = sum_s l mu_s / (1 + l mu_s) w_s^2``, ``D(l) = sum_s w_s^2 / (1 + l mu_s) + rest``, mu
the eigenvalues of ``Z'(I - H)Z``, xi those of ``Z'Z``, and independent standard normal w and u
(Crainiceanu & Ruppert 2004, doi:10.1111/j.1467-9868.2004.00438.x). The half-half mixture of
chi-squared distributions is its limit for many independent units, and conservative for few.
"""

import numpy as np
from scipy import linalg

from alliance_stats.estimates import Array

__all__ = ["null_likelihood_ratios"]

# Relative variances looked at, in multiples of the inverse mean eigenvalue: neighbours are 9%
# apart, so that the largest value found is too low by less than a thousandth.
GRID = np.exp(np.linspace(-10.0, 8.0, 200))
# Eigenvalues relatively nearer than this count as one; smaller ones than this as zero.
SAME = 1e-8
# Draws held at once.
CHUNK = 4000


def null_likelihood_ratios(
    X: Array,
    Z: Array,
    *,
    reml: bool,
    n_fixed: int = 0,
    n: int,
    rng: np.random.Generator,
) -> Array:
    """Draw from the null distribution.

    Parameters
    ----------
    X
        (Weighted) fixed columns of the larger model, (n, p).
    Z
        Columns of its random effects, one a unit, (n, units).
    reml
        Whether the likelihoods are restricted.
    n_fixed
        How many of the fixed effects the smaller model lacks (of ordinary likelihoods).
    n
        Number of draws.
    rng
        Source of the draws.
    """
    rows, p = X.shape
    Q = linalg.qr(X, mode="economic")[0] if p else X
    left = Z - Q @ (Q.T @ Z)
    mu, times = _distinct(linalg.eigvalsh(left.T @ left))
    xi, xi_times = (mu, times) if reml else _distinct(linalg.eigvalsh(Z.T @ Z))
    scale = float((mu * times).sum() / times.sum())
    relative = GRID[:, None] / scale
    shrink = 1.0 / (1.0 + relative * mu)  # (grid, distinct)
    penalty = (np.log1p(relative * xi) * xi_times).sum(axis=1)
    size = rows - p if reml else rows
    found = []
    for start in range(0, n, CHUNK):
        k = min(CHUNK, n - start)
        w = rng.chisquare(times, size=(k, len(times)))
        rest = rng.chisquare(rows - p - int(times.sum()), size=k)
        D = w @ shrink.T + rest[:, None]
        total = w.sum(axis=1) + rest
        gain = size * np.log(total[:, None] / D) - penalty
        ratio = np.maximum(gain.max(axis=1), 0.0)
        if n_fixed:
            ratio += rows * np.log1p(rng.chisquare(n_fixed, size=k) / total)
        found.append(ratio)
    return np.concatenate(found)


def _distinct(values: Array) -> tuple[Array, Array]:
    """Distinct positive eigenvalues and how often each occurs."""
    positive = np.sort(values[values > SAME * values.max()])
    new = np.r_[True, np.diff(positive) > SAME * positive[-1]]
    first = np.flatnonzero(new)
    return positive[first], np.diff(np.r_[first, len(positive)]).astype(np.float64)
