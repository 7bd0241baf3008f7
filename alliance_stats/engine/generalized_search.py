"""Finding theta and beta of a generalized mixed model together, honest about boundaries.

Coefficients and covariance factors are searched jointly by quasi-Newton steps in coordinates in
which the deviance curves about equally in all directions; a Newton step with the Hessian, taken by
differences of the analytic gradient, ends the search and gives the standard errors. A nearly
singular covariance is put onto its boundary and left only where the deviance falls away from it
(see :mod:`alliance_stats.engine.search`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import linalg, optimize

from alliance_stats.engine.criterion import Template
from alliance_stats.engine.laplace import RAN_AWAY, GeneralizedProblem, Slopes
from alliance_stats.engine.search import (
    FLAT_SLOPE,
    MAX_RESTARTS,
    NEARLY_ZERO,
    RESTART_SIZES,
    SAME_DEVIANCE,
    Convergence,
    reduce_rank,
    trapezoid,
)
from alliance_stats.engine.starting import Start, joint_mode
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "Coordinates",
    "Criterion",
    "GeneralizedFit",
    "coordinates_at",
    "minimise_jointly",
]

Criterion = Callable[[GeneralizedProblem, Sequence[Array], Array, Sequence[Array]], Slopes]

# Gradient (in coordinates of about unit curvature) at which quasi-Newton gives way to Newton.
NEAR = 1e-4
# Gradient in those coordinates at which the fit has converged: estimates are then right to about
# this many standard errors.
FLAT = 1e-6
# Step of the forward differences, in standard errors: it bounds their relative error, and is large
# beside the rounding of the gradient (1e-11).
STEP = 5e-5
MAX_NEWTON = 10
# What a point costs at which the deviance cannot be computed.
TOO_FAR = 1e6
# First relative SD of every random effect.
FIRST_SD = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class GeneralizedFit:
    """The minimum of the deviance in theta and beta.

    Attributes
    ----------
    template
        Shape of theta, of reduced rank where a covariance is singular.
    Lambda
        Covariance factors, one a grouping factor.
    gamma
        Working coefficients.
    u
        Spherical random effects at the mode, in the order of the layout.
    deviance
        -2 log-likelihood.
    hessian
        Its second derivatives in (theta, gamma), theta the free entries of `template`.
    convergence
        How the minimum was found.
    """

    template: Template
    Lambda: tuple[Array, ...]
    gamma: Array
    u: tuple[Array, ...]
    deviance: float
    hessian: Array
    convergence: Convergence

    @property
    def singular(self) -> bool:
        """Whether any term's covariance lost rank."""
        return self.template.ranks != self.template.blocks

    @property
    def covariance(self) -> Array:
        """Covariance of (theta, gamma): twice the inverse Hessian, NaN if it is not positive."""
        if len(self.hessian) and not _is_positive(self.hessian):
            return np.full_like(self.hessian, np.nan)
        return 2.0 * np.asarray(linalg.inv(self.hessian))


@dataclass(slots=True)
class _Search:
    """The deviance with a memory: where the mode was last, and how often one looked."""

    problem: GeneralizedProblem
    criterion: Criterion
    u: list[Array]
    evaluations: int = 0
    restarts: int = 0
    message: str = ""

    def evaluate(self, Lambda: Sequence[Array], gamma: Array) -> Slopes:
        """Evaluate; far out, where the numbers break down, say that there is no fit there."""
        self.evaluations += 1
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                slopes = self.criterion(self.problem, Lambda, gamma, self.u)
            except linalg.LinAlgError as broken:
                raise NotIdentifiedError(RAN_AWAY) from broken
        if not (np.isfinite(slopes.deviance) and np.isfinite(slopes.gamma).all()):
            raise NotIdentifiedError(RAN_AWAY)
        self.u = slopes.mode.u
        return slopes


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """``(theta, gamma) = origin + scale @ x``: the deviance then curves about like |x|^2 / 2."""

    template: Template
    origin: Array
    scale: Array = field(repr=False)

    def split(self, x: Array) -> tuple[list[Array], Array]:
        """Return covariance factors and working coefficients at a point."""
        values = self.origin + self.scale @ x
        k = self.template.n_theta
        return self.template.factors(values[:k]), values[k:]

    def gradient(self, Lambda: Sequence[Array], slopes: Slopes) -> Array:
        """Return the deviance's gradient in these coordinates."""
        by_factor = [2.0 * D @ L for D, L in zip(slopes.D, Lambda, strict=True)]
        return np.asarray(self.scale.T @ np.r_[self.template.theta(by_factor), slopes.gamma])


def minimise_jointly(
    problem: GeneralizedProblem, criterion: Criterion, gamma: Array
) -> GeneralizedFit:
    """Minimise the deviance over positive semi-definite covariances and the coefficients.

    Parameters
    ----------
    problem
        The data; its template is of full rank.
    criterion
        :func:`~alliance_stats.engine.laplace.laplace` or adaptive quadrature.
    gamma
        Working coefficients to start from: those of a fit without random effects.
    """
    search = _Search(problem, criterion, problem.no_effects())
    template = problem.template
    first = template.factors(np.zeros(template.n_theta))
    for factor in first:
        np.fill_diagonal(factor, FIRST_SD)
    best = _descend_from(search, first, gamma)
    tried: set[int] = set()
    for _ in range(MAX_RESTARTS):
        better = _try_directions_left_out(search, best, tried)
        if better is None:
            break
        best = better
    return _polished(search, best)


@dataclass(frozen=True, slots=True, eq=False)
class _Stop:
    """Where a quasi-Newton run ended."""

    template: Template
    Lambda: list[Array]
    gamma: Array
    u: list[Array]
    deviance: float
    coordinates: Coordinates


def _descend_from(search: _Search, Lambda: Sequence[Array], gamma: Array) -> _Stop:
    """Run the optimiser, then put nearly singular covariances onto their boundary."""
    stop = _run(search, search.problem.template, Lambda, gamma)
    while True:
        smaller, reduced = reduce_rank(stop.template, stop.Lambda)
        if smaller.ranks == stop.template.ranks:
            return stop
        at_boundary = _run(search, smaller, reduced, stop.gamma)
        if at_boundary.deviance > stop.deviance + SAME_DEVIANCE:
            return stop
        stop = at_boundary


def _run(search: _Search, template: Template, Lambda: Sequence[Array], gamma: Array) -> _Stop:
    """L-BFGS over the free entries of `template` and the coefficients."""
    begin = joint_mode(search.problem, Lambda, gamma, search.u)
    search.u = begin.u
    coordinates = coordinates_at(template, Lambda, begin)
    best: _Stop | None = None

    def objective(x: Array) -> tuple[float, Array]:
        nonlocal best
        Lambda, gamma = coordinates.split(x)
        try:
            slopes = search.evaluate(Lambda, gamma)
        except NotIdentifiedError:
            if best is None:
                raise
            # a step of the line search went too far: make it come back
            return best.deviance + TOO_FAR, np.zeros(len(x))
        if best is None or slopes.deviance < best.deviance:
            best = _Stop(template, Lambda, gamma, slopes.mode.u, slopes.deviance, coordinates)
        return slopes.deviance, coordinates.gradient(Lambda, slopes)

    size = len(coordinates.origin)
    if size == 0:
        objective(np.empty(0))
    else:
        found = optimize.minimize(
            objective,
            np.zeros(size),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-14, "gtol": NEAR, "maxiter": 500, "maxcor": 30},
        )
        search.message = str(found.message)
    if best is None:
        raise NotIdentifiedError("The deviance could not be computed at the start.")
    search.u = best.u
    return best


def coordinates_at(template: Template, Lambda: Sequence[Array], begin: Start) -> Coordinates:
    """Scale theta by its expected information at the start, beta by its covariance there.

    For one unit with information S on its relative variance D, -2 log-likelihood curves like S^2
    in D, hence like ``4 theta^2 S^2`` in theta.
    """
    k, p = template.n_theta, len(begin.gamma)
    scale = np.zeros((k + p, k + p))
    for i, (f, row, column) in enumerate(template.entries):
        size = max(abs(Lambda[f][column, column]), 0.1)
        per_unit = np.sqrt(begin.S[f][row, row] * begin.S[f][column, column] / begin.units[f])
        scale[i, i] = 1.0 / max(2.0 * size * per_unit, 1e-3)
    if p:
        factor = linalg.cholesky(2.0 * begin.XX, lower=True)
        scale[k:, k:] = linalg.solve_triangular(factor, np.eye(p), lower=True).T
    return Coordinates(template, np.r_[template.theta(Lambda), begin.gamma], scale)


def _try_directions_left_out(search: _Search, best: _Stop, tried: set[int]) -> _Stop | None:
    """Look for a lower deviance off the boundary: by slope, and once from afar for each term."""
    full = search.problem.template
    if best.template.ranks == full.ranks:
        return None
    search.u = best.u
    slopes = search.evaluate(best.Lambda, best.gamma)
    for number, (f, rows) in enumerate(full.terms()):
        U, s, _ = linalg.svd(best.Lambda[f][rows, rows])
        null = U[:, s <= NEARLY_ZERO]
        if null.shape[1] == 0:
            continue
        values, vectors = linalg.eigh(null.T @ slopes.D[f][rows, rows] @ null)
        if values[0] >= -FLAT_SLOPE * search.problem.n and number in tried:
            continue
        tried.add(number)
        kept = U[:, s > NEARLY_ZERO] * s[s > NEARLY_ZERO]
        for size in RESTART_SIZES:
            start = [factor.copy() for factor in best.Lambda]
            start[f][rows, rows] = trapezoid(np.c_[kept, size * (null @ vectors[:, :1])])
            search.restarts += 1
            other = _descend_from(search, start, best.gamma)
            if other.deviance < best.deviance - SAME_DEVIANCE:
                return other
    return None


def _polished(search: _Search, stop: _Stop) -> GeneralizedFit:
    """End with Newton steps; converged where the Hessian is positive and the gradient flat."""
    search.u = stop.u
    coordinates = replace(
        stop.coordinates, origin=np.r_[stop.template.theta(stop.Lambda), stop.gamma]
    )
    x = np.zeros(len(coordinates.origin))
    Lambda, gamma = coordinates.split(x)
    slopes = search.evaluate(Lambda, gamma)
    gradient = coordinates.gradient(Lambda, slopes)
    hessian = _hessian(search, coordinates, gradient)
    definite = _is_positive(hessian)
    for _ in range(MAX_NEWTON):
        if not definite or len(x) == 0 or np.abs(gradient).max() < FLAT:
            break
        step = linalg.cho_solve(linalg.cho_factor(hessian), gradient)
        Lambda_new, gamma_new = coordinates.split(x - step)
        new = search.evaluate(Lambda_new, gamma_new)
        if new.deviance > slopes.deviance + SAME_DEVIANCE:
            break
        x, Lambda, gamma, slopes = x - step, Lambda_new, gamma_new, new
        gradient = coordinates.gradient(Lambda, slopes)
    norm = float(np.abs(gradient).max()) if len(x) else 0.0
    inverse = linalg.inv(coordinates.scale) if len(x) else coordinates.scale
    record = Convergence(
        bool(definite and norm < 100.0 * FLAT),
        search.evaluations,
        norm,
        search.restarts,
        search.message if definite else "The Hessian is not positive definite.",
    )
    return GeneralizedFit(
        stop.template,
        tuple(Lambda),
        gamma,
        tuple(slopes.mode.u),
        slopes.deviance,
        inverse.T @ hessian @ inverse,
        record,
    )


def _hessian(search: _Search, coordinates: Coordinates, gradient: Array) -> Array:
    """Forward differences of the gradient, from its value at the origin."""
    size = len(gradient)
    out = np.empty((size, size))
    u = search.u
    for i in range(size):
        moved = np.zeros(size)
        moved[i] = STEP
        Lambda, gamma = coordinates.split(moved)
        search.u = u
        ahead = coordinates.gradient(Lambda, search.evaluate(Lambda, gamma))
        out[i] = (ahead - gradient) / STEP
    search.u = u
    return (out + out.T) / 2.0


def _is_positive(matrix: Array) -> bool:
    return bool(len(matrix) == 0 or linalg.eigvalsh(matrix)[0] > 0.0)
