"""Profile likelihoods, and the exact null distribution of a likelihood ratio.

The interval of a parameter contains the values at which the deviance, minimised over everything
else, exceeds its minimum by less than a chi-squared quantile on one degree of freedom (Venzon &
Moolgavkar 1988, doi:10.2307/2347496). With few units this is a better interval than one from the
curvature, and it exists where an SD is estimated as zero.

For a model with a single variance, the null distribution of its likelihood-ratio test is known. For
``y = X beta + Z b + e`` with independent b of one variance ``lambda sigma^2``, the (restricted)
likelihood ratio against ``lambda = 0`` is distributed, in samples of any size, as

    RLR = sup_l [ (n - p) log(1 + N(l) / D(l)) - sum_s log(1 + l mu_s) ]
    LR  = n log(1 + sum_q u^2 / sum_{n-p} w^2)
          + sup_l [ n log(1 + N(l) / D(l)) - sum_s log(1 + l xi_s) ]

with ``N(l) = sum_s l mu_s / (1 + l mu_s) w_s^2``, ``D(l) = sum_s w_s^2 / (1 + l mu_s) + rest``, mu
the eigenvalues of ``Z'(I - H)Z``, xi those of ``Z'Z``, and independent standard normal w and u
(Crainiceanu & Ruppert 2004, doi:10.1111/j.1467-9868.2004.00438.x). The half-half mixture of
chi-squared distributions is its limit for many independent units, and conservative for few.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize

from alliance_stats.engine.search import Criterion, Options, run
from alliance_stats.estimates import Array

__all__ = ["HeldProfile", "null_likelihood_ratios", "reach"]

# Relative accuracy of an interval's end, in units of the parameter's own scale.
END_TOLERANCE = 1e-6
# Strides grow by this while the deviance has not risen enough.
GROWTH = 1.7
MOST_STRIDES = 60
# Other SDs start from at least this: from exactly zero no search can leave.
AWAY_FROM_ZERO = 0.1
# A search that fell by less than this is at its minimum.
AGAIN = 1e-6
OPTIONS = Options(ftol=1e-13, gtol=1e-5, maxiter=200, maxcor=10)


def reach(
    rise: Callable[[float], float],
    centre: float,
    limit: float,
    *,
    bound: float,
    unit: float,
    stride: float | None = None,
    furthest: float = np.inf,
) -> float:
    """Find where the rise in deviance reaches `bound` on one side of `centre`.

    Parameters
    ----------
    rise
        Value of the parameter -> rise of the deviance over its minimum.
    centre
        The estimate.
    limit
        The last value that the parameter can take on this side (may be infinite).
    bound
        The rise to find.
    unit
        The parameter's own scale: the end is accurate to a millionth of it.
    stride
        First step outwards; a tenth of `unit` if not given.
    furthest
        Distance from zero beyond which the end counts as infinite.

    Returns
    -------
    float
        The end; `limit` where the deviance does not rise so far before it, or plus or minus
        infinity beyond `furthest`.
    """
    sign = 1.0 if limit > centre else -1.0
    stride = 0.1 * unit if stride is None else stride
    outer = centre
    for _ in range(MOST_STRIDES):
        inner, outer = outer, centre + sign * stride
        if sign * (outer - limit) >= 0:
            outer = limit
        if abs(outer) > furthest:
            break
        if rise(outer) >= bound:
            return float(
                optimize.brentq(
                    lambda value: np.sqrt(rise(value)) - np.sqrt(bound),
                    inner,
                    outer,
                    xtol=END_TOLERANCE * unit,
                )
            )
        if outer == limit:
            return float(limit)
        stride *= GROWTH
    return sign * np.inf


@dataclass(slots=True)
class HeldProfile:
    """The deviance minimised with linear functions held fixed, starting from its last minimum.

    Attributes
    ----------
    criterion
        The deviance.
    directions
        The functions of (theta, other), (m, k); of an SD that is an entry of theta, 1 there.
    Lambda, other, memory
        Where the last minimum was.
    """

    criterion: Criterion
    directions: Array
    Lambda: Sequence[Array]
    other: Array
    memory: Any

    def deviance(self, value: float) -> float:
        """Return the lowest deviance with every function at `value`."""
        template = self.criterion.template
        theta, n_theta = template.theta(self.Lambda), template.n_theta
        diagonal = template.entries[:, 1] == template.entries[:, 2]
        theta = np.where(diagonal & (np.abs(theta) < AWAY_FROM_ZERO), AWAY_FROM_ZERO, theta)
        C, start = self.directions, np.r_[theta, self.other]
        start = start + linalg.lstsq(C, value - C @ start)[0]
        other, memory = start[n_theta:], self.memory
        lowest, Lambda = np.inf, template.factors(start[:n_theta])
        while True:  # again where a search ended at a step too far
            begin = self.criterion.coordinates(template, Lambda, other, memory)
            stop = run(self.criterion, begin.holding(C), options=OPTIONS)
            Lambda, other, memory = list(stop.Lambda), stop.other, stop.slopes.memory
            if lowest - stop.deviance < AGAIN:
                break
            lowest = stop.deviance
        self.Lambda, self.other, self.memory = Lambda, other, memory
        return stop.deviance


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
        Columns of its random effects, one per unit, (n, units).
    reml
        Whether the likelihoods are restricted.
    n_fixed
        Number of fixed effects the smaller model lacks (for ordinary likelihoods).
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
