"""The common search: quasi-Newton steps over covariance factors and other parameters.

A deviance is even in every column of Lambda, so a zero variance is always a stationary point and a
bound at zero can trap an optimiser. Theta is therefore left unbounded. A stop near a singular
covariance is moved exactly onto it, and then judged by the first-order condition of the covariance
itself: at a minimum over positive semi-definite ``D``, the slope of the deviance in every direction
that ``D`` leaves out must be upward. Where it is downward, the search goes on from a step in that
direction.

What is minimised is a :class:`Criterion`: the deviance of covariance factors and of other
parameters (of a residual shape, or the coefficients), with its slopes. Where the curvature is
wanted too, :func:`polished` ends with Newton steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import linalg, optimize

from alliance_stats.engine.template import (
    NEARLY_ZERO,
    Coordinates,
    Slopes,
    Template,
    reduce_rank,
    trapezoid,
)
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "Convergence",
    "Criterion",
    "Minimum",
    "Options",
    "Stop",
    "polished",
    "run",
    "search",
]

# By how much the deviance may rise when a nearly singular covariance is made singular.
SAME_DEVIANCE = 1e-7
# Slopes of the deviance (per unit of relative variance) that count as flat, per row.
FLAT_SLOPE = 1e-8
# Sizes (relative SD) at which a variance that went to zero is tried again.
RESTART_SIZES = (0.05, 0.3, 1.0)
MAX_RESTARTS = 5
# A term is tried at zero if the deviance there, the others grown for it, is at most so much higher.
NEARLY_AS_LOW = 0.5
# What a point costs at which the deviance cannot be computed.
TOO_FAR = 1e6
# Gradient in coordinates of unit curvature at which a polished fit has converged: estimates are
# then right to about this many standard errors.
FLAT = 1e-6
# Step of the forward differences, in standard errors: it bounds their relative error, and is large
# beside the rounding of the gradient (1e-11).
STEP = 5e-5
MAX_NEWTON = 10


@dataclass(frozen=True, slots=True)
class Convergence:
    """How the optimiser ended.

    Attributes
    ----------
    converged
        Whether the gradient of the deviance vanishes there.
    evaluations
        Number of evaluations of the deviance and its gradient.
    gradient_norm
        Largest absolute element of the gradient.
    restarts
        Number of restarts from another point.
    message
        The optimiser's message.
    """

    converged: bool
    evaluations: int
    gradient_norm: float
    restarts: int
    message: str


class Criterion(Protocol):
    """A function that can be minimised."""

    @property
    def template(self) -> Template:
        """Shape of the covariance factors at full rank."""
        ...

    @property
    def n(self) -> int:
        """Rows, of which the deviance is a sum."""
        ...

    def evaluate(self, Lambda: Sequence[Array], other: Array, memory: Any) -> Slopes:
        """Return the deviance and its slopes.

        Raises
        ------
        NotIdentifiedError
            Where the deviance cannot be computed; the search then turns back.
        """
        ...

    def value(self, Lambda: Sequence[Array], other: Array, memory: Any) -> float:
        """Return the deviance alone, which may cost less; raise as :meth:`evaluate` does."""
        ...

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Any
    ) -> Coordinates:
        """Return coordinates about a start, in which the deviance has equal curvature."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Convergence criteria of a quasi-Newton run."""

    ftol: float = 1e-14
    gtol: float = 1e-4
    maxiter: int = 500
    maxcor: int = 30


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    """Where a quasi-Newton run ended, and its cost."""

    Lambda: Sequence[Array]
    other: Array
    slopes: Slopes
    coordinates: Coordinates
    evaluations: int
    message: str
    restarts: int = 0

    @property
    def deviance(self) -> float:
        """-2 log-likelihood."""
        return self.slopes.deviance

    @property
    def template(self) -> Template:
        """Which entries were free."""
        return self.coordinates.template

    def after(self, other: "Stop", *, restarts: int = 0) -> "Stop":
        """Add the work of another run."""
        return replace(
            self,
            evaluations=self.evaluations + other.evaluations,
            restarts=self.restarts + other.restarts + restarts,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """The minimum and how it was found.

    Attributes
    ----------
    template
        Which entries of the factors are free; of reduced rank where the fit is singular.
    Lambda
        Covariance factor of each grouping factor.
    other
        The other parameters.
    deviance
        -2 (restricted) log-likelihood.
    convergence
        The optimiser's record.
    memory
        The criterion's memory there (the modes of a generalized model's random effects).
    hessian
        Second derivatives in (theta, other), theta the free entries of `template`; None where they
        were not requested.
    """

    template: Template
    Lambda: tuple[Array, ...]
    other: Array
    deviance: float
    convergence: Convergence
    memory: Any = None
    hessian: Array | None = None

    @property
    def singular(self) -> bool:
        """Whether any term's covariance lost rank."""
        return self.template.ranks != self.template.blocks

    @property
    def covariance(self) -> Array:
        """Covariance of (theta, other): twice the inverse Hessian, NaN if it is not positive."""
        if self.hessian is None:
            size = self.template.n_theta + len(self.other)
            return np.full((size, size), np.nan)
        if not _is_positive(self.hessian):
            return np.full_like(self.hessian, np.nan)
        return 2.0 * np.asarray(linalg.inv(self.hessian))


def search(
    criterion: Criterion,
    Lambda: Sequence[Array],
    other: Array,
    memory: Any = None,
    *,
    options: Options,
    scaling: Array | None = None,
) -> Stop:
    """Search for the minimum over positive semi-definite covariances and the other parameters.

    Parameters
    ----------
    criterion
        The deviance; its template is of full rank.
    Lambda, other, memory
        Where to start.
    options
        Convergence criteria of a run.
    scaling
        Scale of the coordinates of the first run, in place of the criterion's own; with the inverse
        Hessian's root a few steps are enough. A variance found at zero is then tried again only if
        the deviance falls that way.
    """
    best = _descend_from(criterion, Lambda, other, memory, options=options, scaling=scaling)
    numbers = range(len(criterion.template.terms()))
    tried = set() if scaling is None else set(numbers)
    for _ in range(MAX_RESTARTS):
        best, better = _try_directions_left_out(criterion, best, tried, options=options)
        if not better:
            break
    # a refit that comes with a scaling starts beside the minimum of its model
    return best if scaling is not None else _try_without_each_term(criterion, best, options=options)


def run(criterion: Criterion, coordinates: Coordinates, *, options: Options) -> Stop:
    """L-BFGS in given coordinates; ends at the lowest deviance seen."""
    best: Stop | None = None
    memory, count = coordinates.memory, 0

    def objective(x: Array) -> tuple[float, Array]:
        nonlocal best, memory, count
        count += 1
        Lambda, other = coordinates.split(x)
        try:
            slopes = criterion.evaluate(Lambda, other, memory)
        except NotIdentifiedError:
            if best is None:
                raise
            # a step of the line search went too far: make it come back
            return best.deviance + TOO_FAR, np.zeros(len(x))
        memory = slopes.memory
        if best is None or slopes.deviance < best.deviance:
            best = Stop(Lambda, other, slopes, coordinates, 0, "")
        return slopes.deviance, coordinates.gradient(slopes)

    size = coordinates.scale.shape[1]
    message = "nothing to search for"
    if size == 0:
        objective(np.empty(0))
    else:
        found = optimize.minimize(
            objective,
            np.zeros(size),
            jac=True,
            method="L-BFGS-B",
            options={
                "ftol": options.ftol,
                "gtol": options.gtol,
                "maxiter": options.maxiter,
                "maxcor": options.maxcor,
            },
        )
        message = str(found.message)
    if best is None:
        raise NotIdentifiedError("The deviance could not be computed at the start.")
    return replace(best, evaluations=count, message=message)


def polished(criterion: Criterion, stop: Stop) -> Minimum:
    """End with Newton steps; converged where the Hessian is positive and the gradient flat."""
    coordinates = replace(
        stop.coordinates,
        origin=np.r_[stop.template.theta(stop.Lambda), stop.other],
        memory=stop.slopes.memory,
    )
    x = np.zeros(coordinates.scale.shape[1])
    slopes = stop.slopes
    gradient = coordinates.gradient(slopes)
    hessian = _hessian(criterion, coordinates, gradient)
    definite = _is_positive(hessian)
    evaluations = stop.evaluations + len(x)
    for _ in range(MAX_NEWTON):
        if not definite or len(x) == 0 or np.abs(gradient).max() < FLAT:
            break
        step = linalg.cho_solve(linalg.cho_factor(hessian), gradient)
        new = criterion.evaluate(*coordinates.split(x - step), slopes.memory)
        evaluations += 1
        if new.deviance > slopes.deviance + SAME_DEVIANCE:
            break
        x, slopes = x - step, new
        gradient = coordinates.gradient(slopes)
    norm = float(np.abs(gradient).max(initial=0.0))
    Lambda, other = coordinates.split(x)
    inverse = linalg.inv(coordinates.scale) if len(x) else coordinates.scale
    record = Convergence(
        bool(definite and norm < 100.0 * FLAT),
        evaluations,
        norm,
        stop.restarts,
        stop.message if definite else "The Hessian is not positive definite.",
    )
    return Minimum(
        stop.template,
        tuple(Lambda),
        other,
        slopes.deviance,
        record,
        slopes.memory,
        inverse.T @ hessian @ inverse,
    )


def _descend_from(
    criterion: Criterion,
    Lambda: Sequence[Array],
    other: Array,
    memory: Any,
    *,
    options: Options,
    scaling: Array | None = None,
) -> Stop:
    """Run the optimiser, then put nearly singular covariances onto their boundary."""
    begin = criterion.coordinates(criterion.template, Lambda, other, memory)
    if scaling is not None:
        begin = replace(begin, scale=scaling)
    stop = run(criterion, begin, options=options)
    while True:
        smaller, reduced = reduce_rank(stop.template, stop.Lambda)
        if smaller.ranks == stop.template.ranks:
            return stop
        begin = criterion.coordinates(smaller, reduced, stop.other, stop.slopes.memory)
        at_boundary = run(criterion, begin, options=options)
        if at_boundary.deviance > stop.deviance + SAME_DEVIANCE:
            return stop.after(at_boundary)
        stop = at_boundary.after(stop)


def _try_directions_left_out(
    criterion: Criterion, best: Stop, tried: set[int], *, options: Options
) -> tuple[Stop, bool]:
    """Look for a lower deviance off the boundary: by slope, and once from far off for each term."""
    if best.template.ranks == criterion.template.ranks:
        return best, False
    for number, (f, rows) in enumerate(criterion.template.terms()):
        U, s, _ = linalg.svd(best.Lambda[f][rows, rows])
        null = U[:, s <= NEARLY_ZERO]
        if null.shape[1] == 0:
            continue
        downhill, direction = False, null
        if best.slopes.D is not None:
            values, vectors = linalg.eigh(null.T @ best.slopes.D[f][rows, rows] @ null)
            downhill = bool(values[0] < -FLAT_SLOPE * criterion.n)
            direction = null @ vectors[:, :1]
        if not downhill and number in tried:
            continue
        tried.add(number)
        kept = U[:, s > NEARLY_ZERO] * s[s > NEARLY_ZERO]
        for size in RESTART_SIZES:
            start = [factor.copy() for factor in best.Lambda]
            start[f][rows, rows] = trapezoid(np.c_[kept, size * direction])
            other = _descend_from(criterion, start, best.other, best.slopes.memory, options=options)
            if other.deviance < best.deviance - SAME_DEVIANCE:
                return other.after(best, restarts=1), True
            best = best.after(other, restarts=1)
    return best, False


def _try_without_each_term(criterion: Criterion, best: Stop, *, options: Options) -> Stop:
    """Look for a lower deviance on the boundary, where going there hardly costs anything.

    Of two nested factors with little between them, either may take the other's variance.
    """
    for f, rows in criterion.template.terms():
        own = float((best.Lambda[f][rows, rows] ** 2).sum())
        total = sum(float((factor**2).sum()) for factor in best.Lambda)
        if not 0.0 < own < total:
            continue
        start = [np.sqrt(total / (total - own)) * factor for factor in best.Lambda]
        start[f][rows, rows] = 0.0
        memory = best.slopes.memory
        try:
            if criterion.value(start, best.other, memory) > best.deviance + NEARLY_AS_LOW:
                continue
            smaller, reduced = reduce_rank(best.template, start)
            begin = criterion.coordinates(smaller, reduced, best.other, memory)
            without = run(criterion, begin, options=options)
        except NotIdentifiedError:  # that start leads nowhere
            continue
        if without.deviance < best.deviance - SAME_DEVIANCE:
            best = without.after(best, restarts=1)
        else:
            best = best.after(without, restarts=1)
    return best


def _hessian(criterion: Criterion, at: Coordinates, gradient: Array) -> Array:
    """Forward differences of the gradient, from its value at the origin."""
    size = len(gradient)
    out = np.empty((size, size))
    for i in range(size):
        ahead = criterion.evaluate(*at.split(STEP * np.eye(size)[i]), at.memory)
        out[i] = (at.gradient(ahead) - gradient) / STEP
    return (out + out.T) / 2.0


def _is_positive(matrix: Array) -> bool:
    return bool(len(matrix) == 0 or linalg.eigvalsh(matrix)[0] > 0.0)
