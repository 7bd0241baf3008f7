"""Finding theta: quasi-Newton steps, honest about boundaries.

The deviance is even in every column of Lambda, so a zero variance is always a stationary point and
a bound at zero can trap an optimiser. Theta is therefore left unbounded. A stop near a singular
covariance is put exactly onto it, and then judged by the first-order condition of the covariance
itself: at a minimum over positive semi-definite ``D``, the slope of the deviance in every direction
that ``D`` leaves out must be upward. Where it is downward, the search goes on from a step in that
direction.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize

from alliance_stats.engine.criterion import (
    Problem,
    Solution,
    Template,
    at_eta,
    covariance_slopes,
    deviance,
    deviance_and_gradient,
    solve,
)
from alliance_stats.engine.descent import descend
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.estimates import Array

__all__ = ["Convergence", "Fit", "minimise", "newton_scaling", "reduce_rank", "trapezoid"]

# A relative SD under this is tried at zero; it stays there if the deviance does not mind.
NEARLY_ZERO = 1e-3
# By how much the deviance may rise when a nearly singular covariance is made singular.
SAME_DEVIANCE = 1e-7
# Slopes of the deviance (per unit of relative variance) that count as flat, per unit of the group.
FLAT_SLOPE = 1e-8
# Gradient norm per square root of the deviance's scale under which the fit has converged.
FLAT_GRADIENT = 1e-3
# Sizes (relative SD) at which a variance that went to zero is tried again.
RESTART_SIZES = (0.05, 0.3, 1.0)
MAX_RESTARTS = 5
# Relative variances between which the search starts.
START_LOW, START_HIGH = 0.05**2, 2.0**2
# Step of the central differences in eta: error of the difference and of rounding about 1e-8.
ETA_STEP = 1e-4
# Step of the differences of the gradient that scale a warm start; 3 digits are plenty there.
HESSIAN_STEP = 1e-4
# Columns of a dense block from which on several BLAS threads help.
LARGE_BLOCK = 300


@dataclass(frozen=True, slots=True)
class Convergence:
    """How the optimiser got where it stopped.

    Attributes
    ----------
    converged
        Whether the gradient of the deviance is flat there.
    evaluations
        How often the deviance and its gradient were computed.
    gradient_norm
        Largest absolute element of the gradient with respect to theta.
    restarts
        How often the search went on from another start.
    message
        The optimiser's own words.
    """

    converged: bool
    evaluations: int
    gradient_norm: float
    restarts: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The minimum and how it was found.

    Attributes
    ----------
    template
        Which entries of the factors are free; of reduced rank where the fit is singular.
    Lambda
        Relative covariance factor of each grouping factor.
    eta
        Parameters of the residual shape (empty where residuals are alike).
    deviance
        -2 (restricted) log-likelihood.
    convergence
        The optimiser's record.
    solution
        The linear algebra at the minimum.
    """

    template: Template
    Lambda: tuple[Array, ...]
    eta: Array
    deviance: float
    convergence: Convergence
    solution: Solution | None

    @property
    def singular(self) -> bool:
        """Whether any term's covariance lost rank."""
        return self.template.ranks != self.template.blocks


@dataclass(slots=True)
class _Tally:
    evaluations: int = 0
    restarts: int = 0
    message: str = ""


def minimise(
    problem: Problem,
    start: Sequence[Array] | None = None,
    eta: Array | None = None,
    *,
    scaling: Array | None = None,
) -> Fit:
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
        return _minimise(problem, start, eta, scaling)


def _minimise(
    problem: Problem, start: Sequence[Array] | None, eta: Array | None, scaling: Array | None
) -> Fit:
    full = problem.template
    tally = _Tally()
    if eta is None:
        eta = np.empty(0) if problem.shape is None else problem.shape.start
    first = moment_start(problem) if start is None else [x.copy() for x in start]
    best = _descend_from(problem, first, eta, tally, scaling)
    tried = set() if scaling is None else {(f, i) for i, (f, _) in enumerate(full.terms())}
    for _ in range(MAX_RESTARTS):
        better = _try_directions_left_out(problem, best, tally, tried)
        if better is None:
            break
        best = better
    theta = best.template.theta(best.Lambda)
    _, gradient = _objective(
        replace(problem, template=best.template), np.concatenate([theta, best.eta])
    )
    norm = float(np.abs(gradient).max(initial=0.0))
    flat = norm < FLAT_GRADIENT * max(1.0, np.sqrt(problem.n))
    record = Convergence(bool(flat), tally.evaluations, norm, tally.restarts, tally.message)
    solution = solve(at_eta(problem, best.eta), best.Lambda)
    return replace(best, convergence=record, solution=solution)


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


def newton_scaling(problem: Problem, fit: Fit) -> Array | None:
    """Factor P of the inverse Hessian of the deviance at a regular fit, ``P P' = H^-1``.

    None for a singular fit, or where the Hessian is not positive definite.
    """
    theta = np.concatenate([fit.template.theta(fit.Lambda), fit.eta])
    k = len(theta)
    if fit.singular or k == 0:
        return None
    hessian = np.empty((k, k))
    for j in range(k):
        step = np.zeros(k)
        step[j] = HESSIAN_STEP * max(1.0, abs(theta[j]))
        ahead = _objective(problem, theta + step)[1]
        hessian[:, j] = (ahead - _objective(problem, theta - step)[1]) / (2.0 * step[j])
    try:
        factor = linalg.cholesky((hessian + hessian.T) / 2.0, lower=True)
    except linalg.LinAlgError:
        return None
    return np.asarray(linalg.inv(factor).T)


def _descend_from(
    problem: Problem,
    start: Sequence[Array],
    eta: Array,
    tally: _Tally,
    scaling: Array | None = None,
) -> Fit:
    """Run the optimiser, then put nearly singular covariances onto their boundary."""
    template = problem.template
    Lambda, eta, value = _run(problem, template, start, eta, tally, scaling)
    while True:
        smaller, reduced = reduce_rank(template, Lambda)
        if smaller.ranks == template.ranks:
            break
        at_boundary, eta_there, lower = _run(problem, smaller, reduced, eta, tally)
        if lower > value + SAME_DEVIANCE:
            break
        template, Lambda, eta, value = smaller, at_boundary, eta_there, lower
    unknown = Convergence(False, 0, np.inf, 0, "")
    return Fit(template, tuple(Lambda), eta, value, unknown, None)


def _objective(problem: Problem, x: Array) -> tuple[float, Array]:
    """Deviance and gradient in theta (analytic) and eta (central differences)."""
    k = problem.template.n_theta
    theta, eta = x[:k], x[k:]
    value, gradient = deviance_and_gradient(at_eta(problem, eta), theta)
    slopes = np.empty(len(eta))
    for j in range(len(eta)):
        step = np.zeros(len(eta))
        step[j] = ETA_STEP
        ahead = deviance(at_eta(problem, eta + step), theta)
        slopes[j] = (ahead - deviance(at_eta(problem, eta - step), theta)) / (2.0 * ETA_STEP)
    return value, np.concatenate([gradient, slopes])


def _run(  # noqa: PLR0917
    problem: Problem,
    template: Template,
    start: Sequence[Array],
    eta: Array,
    tally: _Tally,
    scaling: Array | None = None,
) -> tuple[list[Array], Array, float]:
    """L-BFGS over the free entries of `template` and the residual shape's parameters."""
    k = template.n_theta
    inner = replace(problem, template=template)
    if k + len(eta) == 0:
        return template.factors(eta), eta, deviance(inner, eta)
    origin = np.concatenate([template.theta(start), eta])
    P = np.eye(len(origin)) if scaling is None else scaling

    def scaled(z: Array) -> tuple[float, Array]:
        value, gradient = _objective(inner, origin + P @ z)
        return value, P.T @ gradient

    found = optimize.minimize(
        scaled,
        np.zeros(len(origin)),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500, "maxcor": 20},
    )
    tally.evaluations += int(found.nfev)
    tally.message = str(found.message)
    best = origin + P @ found.x
    return template.factors(best[:k]), best[k:], float(found.fun)


def reduce_rank(template: Template, Lambda: Sequence[Array]) -> tuple[Template, list[Array]]:
    """Drop the nearly zero dimensions of every term's covariance."""
    ranks = [list(free) for free in template.ranks]
    reduced = [factor.copy() for factor in Lambda]
    position = dict.fromkeys(range(len(ranks)), 0)
    for f, rows in template.terms():
        t = position[f]
        position[f] += 1
        block = Lambda[f][rows, rows]
        U, s, _ = linalg.svd(block)
        rank = min(ranks[f][t], int((s > NEARLY_ZERO).sum()))
        if rank < ranks[f][t]:
            ranks[f][t] = rank
            reduced[f][rows, rows] = trapezoid(U[:, :rank] * s[:rank])
    return Template.of_rank(template.blocks, ranks), reduced


def trapezoid(B: Array) -> Array:
    """Return the lower-trapezoidal square ``Lambda`` with ``Lambda Lambda' = B B'``."""
    q, r = B.shape
    out = np.zeros((q, q))
    if r:
        upper = linalg.qr(B.T, mode="r")[0]
        signs = np.where(np.diag(upper[:, :r]) < 0, -1.0, 1.0)
        out[:, : len(upper)] = (signs[:, None] * upper).T
    return out


def _try_directions_left_out(
    problem: Problem, best: Fit, tally: _Tally, tried: set[tuple[int, int]]
) -> Fit | None:
    """Look for a lower deviance off the boundary: by slope, and once from afar for each term."""
    if not best.singular:
        return None
    problem = at_eta(problem, best.eta)
    solution = solve(problem, best.Lambda)
    slopes = covariance_slopes(problem, solution, descend(problem.layout, solution.up))
    full = problem.template
    for number, (f, rows) in enumerate(full.terms()):
        block = best.Lambda[f][rows, rows]
        U, s, _ = linalg.svd(block)
        null = U[:, s <= NEARLY_ZERO]
        if null.shape[1] == 0:
            continue
        slope = null.T @ slopes[f][rows, rows] @ null
        values, vectors = linalg.eigh(slope)
        downhill = values[0] < -FLAT_SLOPE * problem.n
        key = (f, number)
        if not downhill and key in tried:
            continue
        tried.add(key)
        direction = null @ vectors[:, :1]
        for size in RESTART_SIZES:
            start = [factor.copy() for factor in best.Lambda]
            start[f][rows, rows] = trapezoid(
                np.c_[U[:, s > NEARLY_ZERO] * s[s > NEARLY_ZERO], size * direction]
            )
            tally.restarts += 1
            other = _descend_from(problem, start, best.eta, tally)
            if other.deviance < best.deviance - SAME_DEVIANCE:
                return other
    return None
