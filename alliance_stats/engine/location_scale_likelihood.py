"""The likelihood of a location-scale model: units differ in their mean and in their spread.

Row j of unit i is ``y = x'beta + b_i + e``, ``e`` normal with SD ``exp(z'tau + omega_i)``; ``(b,
omega)`` is bivariate normal over units (Hedeker, Mermelstein & Demirtas 2008,
doi:10.1111/j.1541-0420.2007.00924.x). Given omega the unit's outcomes are jointly normal, so b is
integrated in closed form from three sums over its rows; the remaining integral over omega is
computed by the trapezoidal rule on the line (Trefethen & Weideman 2014, doi:10.1137/130932132).
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["LocationScaleMinimum", "ScaleProblem", "fit_location_scale"]

# Standard deviations to which the integral reaches; beyond is 1e-11 of it.
REACH = 7.0
# Step of the rule in SDs of the narrowest unit's posterior at an SD of omega of 1: error 1e-7.
STEP = 0.8
MOST_POINTS = 801
# Logarithms of SDs, relative to the residual's and to 1, below which there is no variance.
LEAST = np.log(1e-3)
# Step of the differences of the gradient that make the Hessian: rounding and error about 1e-9.
HESSIAN_STEP = 1e-5
# Gradient per row at which the search has converged.
FLAT = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class ScaleProblem:
    """Rows and units.

    Attributes
    ----------
    y, X, Z
        Outcome (n,), columns of the mean (n, p) and of the log SD (n, q).
    units
        Unit of each row.
    varying
        Whether the spread varies between units.
    """

    y: Array
    X: Array
    Z: Array
    units: Integers
    varying: bool

    @property
    def nodes(self) -> Array:
        """Points of the rule, in SDs of omega."""
        if not self.varying:
            return np.zeros(1)
        largest = np.bincount(self.units).max()
        half = int(np.ceil(REACH * np.sqrt(1.0 + 2.0 * largest) / STEP))
        return np.linspace(-REACH, REACH, min(2 * half + 1, MOST_POINTS))

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the deviance and its gradient.

        `theta` holds beta, tau, log SD of b and, where units vary in spread, log SD of omega and
        the inverse hyperbolic tangent of the correlation.
        """
        p, q = self.X.shape[1], self.Z.shape[1]
        beta, tau = theta[:p], theta[p : p + q]
        sd_b = np.exp(theta[p + q])
        sd_w, rho = (np.exp(theta[-2]), np.tanh(theta[-1])) if self.varying else (0.0, 0.0)
        r, log_w = self.y - self.X @ beta, -2.0 * (self.Z @ tau)
        w = np.exp(log_w)
        n = np.bincount(self.units)
        W, S1, S2 = (np.bincount(self.units, weights=v)[:, None] for v in (w, w * r, w * r * r))
        u = self.nodes[None]
        s, m, c = np.exp(-2.0 * sd_w * u), rho * sd_b * u, sd_b**2 * (1.0 - rho**2)
        D = 1.0 + c * s * W
        A, B = S1 - m * W, S2 - 2.0 * m * S1 + m * m * W
        half_n = n[:, None] / 2.0
        log_f = -half_n * 2.0 * sd_w * u - 0.5 * (np.log(D) + s * B - c * (s * A) ** 2 / D)
        log_f = log_f - 0.5 * u * u
        top = log_f.max(axis=1, keepdims=True)
        density = np.exp(log_f - top)
        total = density.sum(axis=1, keepdims=True)
        width = (u[0, 1] - u[0, 0]) / np.sqrt(2.0 * np.pi) if self.varying else 1.0
        log_lik = float((top[:, 0] + np.log(total[:, 0] * width)).sum())
        log_lik += 0.5 * float(log_w.sum()) - 0.5 * len(r) * np.log(2.0 * np.pi)
        post = density / total
        # slopes of each unit's log density, averaged over what omega may be
        by_S2 = (post * -0.5 * s).sum(axis=1)
        by_S1 = (post * (s * m + c * s * s * A / D)).sum(axis=1)
        inner = -0.5 * c * s / D - 0.5 * s * m * m
        inner = inner - c * s * s * (m * A / D + 0.5 * A * A * c * s / D**2)
        by_W = (post * inner).sum(axis=1)
        by_m = post * s * A / D
        by_c = float((post * (-0.5 * s * W / D + 0.5 * (s * A / D) ** 2)).sum())
        per_row = [own[self.units] for own in (by_W, by_S1, by_S2)]
        pull = w * (per_row[1] + 2.0 * r * per_row[2])
        push = w * (per_row[0] + r * per_row[1] + r * r * per_row[2])
        slopes = [-(self.X.T @ pull), -(self.Z.T @ (2.0 * push + 1.0))]
        on_b = float((by_m * rho * u).sum()) * sd_b + 2.0 * by_c * c
        slopes.append(np.array([on_b]))
        if self.varying:
            by_s = half_n / s - 0.5 * c * W / D - 0.5 * B
            by_s = by_s + c * A * A * (s / D - 0.5 * s * s * c * W / D**2)
            on_w = float((post * by_s * (-2.0 * s) * u).sum()) * sd_w
            turn = 1.0 - rho**2
            on_rho = float((by_m * sd_b * u).sum()) - 2.0 * by_c * sd_b**2 * rho
            slopes.append(np.array([on_w, on_rho * turn]))
        return -2.0 * log_lik, -2.0 * np.concatenate(slopes)


@dataclass(frozen=True, slots=True, eq=False)
class LocationScaleMinimum:
    """Where the deviance is lowest.

    Attributes
    ----------
    theta
        Parameters, as in :meth:`ScaleProblem.value_and_gradient`.
    deviance
        -2 log-likelihood.
    covariance
        Covariance of theta, twice the inverse Hessian; NaN for parameters at their boundary.
    boundary
        Whether a variance is zero.
    converged
        Whether the gradient vanishes.
    """

    theta: Array
    deviance: float
    covariance: Array
    boundary: bool
    converged: bool


def fit_location_scale(problem: ScaleProblem) -> LocationScaleMinimum:
    """Minimise the deviance from least squares and the units' own means and spreads.

    The outcome should have a residual SD of the order of 1, and the columns be independent.
    """
    start, limits = _start(problem)
    found = optimize.minimize(
        problem.value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=limits,
        options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-8, "maxcor": 20},
    )  # fmt: skip
    theta = np.asarray(found.x, dtype=np.float64)
    low = np.array([np.nan if b[0] is None else b[0] for b in limits])
    at_limit = theta <= low + 1e-6
    if problem.varying and at_limit[-3:-1].any():
        at_limit[-1] = True  # no variance, no correlation
    free = np.flatnonzero(~at_limit)
    gradient = problem.value_and_gradient(theta)[1]
    covariance = np.full((len(theta), len(theta)), np.nan)
    hessian = np.empty((len(free), len(free)))
    for column, k in enumerate(free):
        step = HESSIAN_STEP * np.eye(len(theta))[k]
        ahead, behind = (problem.value_and_gradient(theta + d)[1] for d in (step, -step))
        hessian[:, column] = (ahead - behind)[free] / (2.0 * HESSIAN_STEP)
    try:
        factor = linalg.cho_factor((hessian + hessian.T) / 2.0)
    except linalg.LinAlgError as flat:
        raise NotIdentifiedError(
            "The likelihood of the location-scale model is flat or not at a maximum: the data do "
            "not tell the SDs of means and of spreads apart. Simplify scale=, or leave out the "
            "variation of spreads."
        ) from flat
    covariance[np.ix_(free, free)] = 2.0 * linalg.cho_solve(factor, np.eye(len(free)))
    converged = bool(np.abs(gradient[free]).max() < FLAT * len(problem.y))
    return LocationScaleMinimum(
        theta, float(found.fun), covariance, bool(at_limit.any()), converged
    )


def _start(problem: ScaleProblem) -> tuple[Array, list[tuple[float | None, float | None]]]:
    """Least squares, the spread of the units' means and of their log SDs."""
    X, Z, units = problem.X, problem.Z, problem.units
    beta = linalg.lstsq(X, problem.y)[0]
    r, n = problem.y - X @ beta, np.bincount(units)
    means = np.bincount(units, weights=r) / n
    left = r - means[units]
    tau = linalg.lstsq(Z, np.full(len(r), np.log(left.std())))[0]
    parts = [beta, tau, [np.log(max(float(means.std()), 0.1 * float(left.std())))]]
    limits: list[tuple[float | None, float | None]] = [(None, None)] * (len(beta) + len(tau))
    limits.append((LEAST + float(np.log(left.std())), None))
    if problem.varying:
        parts.append([np.log(0.3), 0.0])
        limits += [(LEAST, np.log(5.0)), (-4.0, 4.0)]
    return np.concatenate(parts), limits
