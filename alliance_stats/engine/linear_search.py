"""The search for the variances of a linear mixed model: its start, its scale, its end."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from alliance_stats.engine.criterion import Problem, at_eta, covariance_slopes, solve
from alliance_stats.engine.descent import descend
from alliance_stats.engine.search import Convergence, Coordinates, Minimum, Options, Slopes, search
from alliance_stats.engine.template import Template
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.estimates import Array

__all__ = ["LinearCriterion", "minimise", "newton_scaling"]

# Gradient norm per square root of the rows under which the fit has converged.
FLAT_GRADIENT = 1e-3
# Relative variances between which the search starts.
START_LOW, START_HIGH = 0.05**2, 2.0**2
# Step of the central differences in eta: error of the difference and of rounding about 1e-8.
ETA_STEP = 1e-4
# Step of the differences of the gradient that scale a warm start; 3 digits are plenty there.
HESSIAN_STEP = 1e-4
# Columns of a dense block from which on several BLAS threads help.
LARGE_BLOCK = 300
OPTIONS = Options(ftol=1e-13, gtol=1e-7, maxcor=20)


@dataclass(frozen=True, slots=True, eq=False)
class LinearCriterion:
    """The profiled deviance in (theta, eta); slopes in eta are central differences."""

    problem: Problem

    @property
    def template(self) -> Template:
        """Shape of the covariance factors at full rank."""
        return self.problem.template

    @property
    def n(self) -> int:
        """Rows."""
        return self.problem.n

    def evaluate(self, Lambda: Sequence[Array], other: Array, memory: Any) -> Slopes:
        """Return the deviance and its slopes."""
        problem = at_eta(self.problem, other)
        solution = solve(problem, Lambda)
        D = covariance_slopes(problem, solution, descend(problem.layout, solution.up))
        by_factor = [2.0 * slope @ factor for slope, factor in zip(D, Lambda, strict=True)]
        slopes = np.empty(len(other))
        for j in range(len(other)):
            step = ETA_STEP * np.eye(len(other))[j]
            ahead = solve(at_eta(self.problem, other + step), Lambda).deviance
            behind = solve(at_eta(self.problem, other - step), Lambda).deviance
            slopes[j] = (ahead - behind) / (2.0 * ETA_STEP)
        return Slopes(solution.deviance, by_factor, slopes, D, memory)

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Any
    ) -> Coordinates:
        """Return theta and eta themselves: relative SDs are of the order of 1."""
        origin = np.concatenate([template.theta(Lambda), other])
        return Coordinates(template, origin, np.eye(len(origin)), memory)


def minimise(
    problem: Problem,
    start: Sequence[Array] | None = None,
    eta: Array | None = None,
    *,
    scaling: Array | None = None,
) -> Minimum:
    """Minimise the profiled deviance over positive semi-definite covariances.

    Parameters
    ----------
    problem
        The deviance; its template is of full rank.
    start
        Covariance factors to start from; :func:`moment_start` if not given.
    eta
        Parameters of the residual shape to start from.
    scaling
        Square matrix P: the search runs over z in ``(theta, eta) = start + P z``. With
        ``P P'`` near the inverse Hessian (see :func:`newton_scaling`) a few steps are enough; a
        variance found at zero is then tried again only if the deviance falls that way.
    """
    large = problem.layout.n_crossed > LARGE_BLOCK
    with nullcontext() if large else one_blas_thread():
        if eta is None:
            eta = np.empty(0) if problem.shape is None else problem.shape.start
        first = moment_start(problem) if start is None else [x.copy() for x in start]
        stop = search(LinearCriterion(problem), first, eta, options=OPTIONS, scaling=scaling)
        norm = float(np.abs(_gradient(stop.template, stop.slopes)).max(initial=0.0))
    flat = norm < FLAT_GRADIENT * max(1.0, np.sqrt(problem.n))
    record = Convergence(bool(flat), stop.evaluations, norm, stop.restarts, stop.message)
    return Minimum(stop.template, tuple(stop.Lambda), stop.other, stop.deviance, record)


def moment_start(problem: Problem) -> list[Array]:
    """Diagonal relative factors from how far each effect's unit sums spread.

    With one effect alone, ``E (z'y)^2 / (z'z s^2)`` is about ``1 + theta^2 z'z``. The start only
    has to be of the right order: it is kept between 0.05 and 2.
    """
    layout, products = problem.layout, problem.products
    s2 = products.R[-1, -1] / problem.n
    sums: dict[int, tuple[Array, Array]] = {}
    for k, level in enumerate(layout.levels):
        squares = products.A[k][np.arange(level.q), np.arange(level.q)]
        sums[level.factor] = squares, products.C[k][:, -1]
    offset = 0
    for f, q, n in zip(layout.crossed, layout.crossed_q, layout.crossed_n, strict=True):
        own = slice(offset, offset + q * n)
        squares = np.diag(products.R)[own].reshape(n, q).T
        sums[f] = squares, products.R[own, -1].reshape(n, q).T
        offset += q * n
    found = []
    for f in range(len(sums)):
        squares, pulls = sums[f]
        weight = np.maximum(squares.mean(axis=1), 1e-12)
        ratio = (pulls**2).mean(axis=1) / (weight * s2)
        found.append(np.diag(np.sqrt(np.clip((ratio - 1.0) / weight, START_LOW, START_HIGH))))
    return found


def newton_scaling(problem: Problem, fit: Minimum) -> Array | None:
    """Factor P of the inverse Hessian of the deviance at a regular fit, ``P P' = H^-1``.

    None for a singular fit, or where the Hessian is not positive definite.
    """
    theta = np.concatenate([fit.template.theta(fit.Lambda), fit.other])
    k, n_theta = len(theta), fit.template.n_theta
    if fit.singular or k == 0:
        return None
    criterion = LinearCriterion(problem)

    def gradient(values: Array) -> Array:
        factors = fit.template.factors(values[:n_theta])
        return _gradient(fit.template, criterion.evaluate(factors, values[n_theta:], None))

    hessian = np.empty((k, k))
    for j in range(k):
        step = np.zeros(k)
        step[j] = HESSIAN_STEP * max(1.0, abs(theta[j]))
        hessian[:, j] = (gradient(theta + step) - gradient(theta - step)) / (2.0 * step[j])
    try:
        factor = linalg.cholesky((hessian + hessian.T) / 2.0, lower=True)
    except linalg.LinAlgError:
        return None
    return np.asarray(linalg.inv(factor).T)


def _gradient(template: Template, slopes: Slopes) -> Array:
    return np.concatenate([template.theta(slopes.Lambda), slopes.other])
