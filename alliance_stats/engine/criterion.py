"""The profiled (restricted) deviance as a function of theta, its gradient, its minimum.

``theta`` holds the lower triangles of the relative covariance factors: the random effects of one
unit have covariance ``sigma^2 Lambda Lambda'``. With ``R = [X y]'V^-1[X y]``, ``rss`` the
generalised residual sum of squares and ``N`` the residual degrees of freedom (``n`` for ML,
``n - p`` for REML), the deviance profiled over the coefficients and sigma is

    log|V| + [REML] log|X'V^-1X| + N (1 + log(2 pi rss / N))

(Bates, Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01, eqs 34 and 41). Where the
residual variance is known it is not profiled: ``log|V| + [REML] log|X'V^-1X| + N log 2 pi + rss``.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from alliance_stats.engine.blocks import CrossProducts, Layout, RowArrays, cross_products
from alliance_stats.engine.descent import Descent, LevelPosterior, chain_covariance, descend
from alliance_stats.engine.elimination import Elimination, eliminate
from alliance_stats.engine.residual_correlation import Serial
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.search import (
    SAME_DEVIANCE,
    Convergence,
    Minimum,
    Options,
    Stop,
    run,
    search,
)
from alliance_stats.engine.template import Coordinates, Slopes, Template, reduce_rank
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.estimates import Array

__all__ = [
    "LinearCriterion",
    "Problem",
    "Solution",
    "at_eta",
    "by_factor",
    "covariance_slopes",
    "has_slopes",
    "minimise",
    "newton_scaling",
    "of_effects",
    "posteriors",
    "pulled_rows",
    "shape_slopes",
    "solve",
]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Everything the deviance needs besides theta.

    Attributes
    ----------
    layout, products
        From :mod:`alliance_stats.engine.blocks`.
    template
        The shape of theta.
    n, p
        Rows and fixed-effects columns.
    reml
        Whether the deviance is restricted.
    known
        Whether the residual variance is known (1 on the scale of the weighted rows).
    constant
        Added to the deviance: minus the log weights, the effect of the change of basis of X, and
        the log-determinant of the residual shape.
    shape, rows
        A residual covariance to be estimated and the unwhitened rows it acts on, in the layout's
        order; None for independent residuals of equal variance.
    eta, white
        Parameters of the shape at which the rows were whitened and `products` summed, and these
        rows.
    """

    layout: Layout
    products: CrossProducts
    template: Template
    n: int
    p: int
    reml: bool
    known: bool
    constant: float
    shape: ResidualShape | None = None
    rows: RowArrays | None = None
    eta: Array | None = None
    white: RowArrays | None = None

    @property
    def N(self) -> int:
        """Residual degrees of freedom of the criterion."""
        return self.n - self.p if self.reml else self.n


class Solution(NamedTuple):
    """The linear algebra at one theta.

    Attributes
    ----------
    deviance
        -2 (restricted) log-likelihood.
    beta
        Coefficients in the working basis, (p,).
    XX_factor
        Lower Cholesky factor of ``X'V^-1X``, (p, p).
    rss
        Generalised residual sum of squares.
    up
        The upward pass.
    """

    deviance: float
    beta: Array
    XX_factor: Array
    rss: float
    up: Elimination


def by_factor(problem: Problem, Lambda: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Return the covariance factors of the chain's levels, and of the crossed factors."""
    layout = problem.layout
    return [Lambda[level.factor] for level in layout.levels], [Lambda[f] for f in layout.crossed]


def solve(problem: Problem, Lambda: Sequence[Array]) -> Solution:
    """Eliminate the random effects, solve for the coefficients, and evaluate the deviance."""
    up = eliminate(problem.layout, problem.products, *by_factor(problem, Lambda))
    p, N = problem.p, problem.N
    whole = np.asarray(
        np.linalg.cholesky(up.R), dtype=np.float64
    )  # of [X y]'V^-1[X y]: its corner is the root of the rss
    factor, half, rss = whole[:p, :p], whole[p, :p], float(whole[p, p] ** 2)
    beta = np.asarray(np.linalg.solve(factor.T, half), dtype=np.float64)
    value = up.log_det + problem.constant
    if problem.reml:
        value += 2.0 * float(np.log(np.diag(factor)).sum())
    value += (
        N * np.log(2.0 * np.pi) + rss
        if problem.known
        else N * (1.0 + np.log(2.0 * np.pi * rss / N))
    )
    return Solution(float(value), beta, factor, rss, up)


def of_effects(problem: Problem) -> CrossProducts:
    """Return the products of nested random effects alone, without ``[X y]``."""
    layout, products = problem.layout, problem.products
    C = tuple(own[:, : layout.above(k)] for k, own in enumerate(products.C))
    return CrossProducts(products.A, C, np.empty((0, 0)))


def at_eta(problem: Problem, eta: Array) -> Problem:
    """Whiten the rows at `eta` and sum their products anew."""
    shape, rows = problem.shape, problem.rows
    if shape is None or rows is None:
        return problem
    before = 0.0 if problem.eta is None else shape.log_det(problem.eta)
    white = shape.whiten_rows(rows, eta)
    return replace(
        problem,
        products=cross_products(problem.layout, white),
        constant=problem.constant - before + shape.log_det(eta),
        eta=eta,
        white=white,
    )


def pulled_rows(problem: Problem, rows: RowArrays, Lambda: Sequence[Array]) -> Array:
    """Return ``V^-1 [X y]`` in (whitened) rows, in the layout's order, (p + 1, n).

    The columns need not be independent.
    """
    up = eliminate(problem.layout, problem.products, *by_factor(problem, Lambda))
    return _pulled(problem, rows, descend(problem.layout, up))


def _pulled(problem: Problem, rows: RowArrays, down: Descent) -> Array:
    pulled = rows.Xy.copy()
    levels = zip(rows.Z, down.levels, _units_of_rows(problem), strict=True)
    crossed = zip(rows.crossed_Z, down.crossed, rows.crossed_codes, strict=True)
    for Z, post, unit in (*levels, *crossed):
        for z, own in zip(Z, post.B, strict=True):
            pulled -= z * own[:, unit]
    return pulled


def _units_of_rows(problem: Problem) -> list[np.ndarray]:
    """Return the unit of each row at every level of the chain."""
    return [
        np.repeat(np.arange(len(level.units)), np.diff(np.r_[level.row_starts, problem.n]))
        for level in problem.layout.levels
    ]


def has_slopes(problem: Problem) -> bool:
    """Return whether :func:`shape_slopes` has the derivatives by the residual shape."""
    return problem.shape is not None and problem.shape.has_slopes and not problem.layout.crossed


def shape_slopes(problem: Problem, solution: Solution, down: Descent) -> tuple[Array, Array]:
    """Differentiate ``log|V|`` and ``R`` by the residual shape's parameters: (k,), (k, m, m)."""
    layout, shape, white, eta = problem.layout, problem.shape, problem.white, problem.eta
    if shape is None or white is None or eta is None:
        raise ValueError("The rows have not been whitened.")
    pulled = _pulled(problem, white, down)
    Z = np.concatenate([np.empty((0, problem.n)), *white.Z])
    KZ = Z
    if layout.levels:
        K = chain_covariance(layout, solution.up)
        KZ = np.einsum("abn,bn->an", K[:, :, _units_of_rows(problem)[0]], Z)
    return shape.slopes(pulled, Z, KZ, eta)


def posteriors(problem: Problem, down: Descent) -> list[LevelPosterior]:
    """Put the downward pass into the order of the grouping factors."""
    found: dict[int, LevelPosterior] = {
        level.factor: post for level, post in zip(problem.layout.levels, down.levels, strict=True)
    }
    found.update(zip(problem.layout.crossed, down.crossed, strict=True))
    return [found[f] for f in range(len(found))]


def covariance_slopes(problem: Problem, solution: Solution, down: Descent) -> list[Array]:
    """Return ``d deviance / d D`` of each grouping factor, a symmetric (q, q) matrix.

    The entry for a pair counts once, as if ``D_ab`` and ``D_ba`` were separate.
    """
    p = problem.p
    weight = 1.0 if problem.known else problem.N / solution.rss
    slopes = []
    for post in posteriors(problem, down):
        H_X, h_y = post.H[:, :p], post.H[:, p]
        e = h_y - np.einsum("qpn,p->qn", H_X, solution.beta)
        slope = post.S - weight * (e @ e.T)
        if problem.reml and p:
            q = len(H_X)
            wide = H_X.swapaxes(0, 1).reshape(p, -1)
            half = np.linalg.inv(solution.XX_factor) @ wide
            half = half.reshape(p, q, -1).swapaxes(0, 1).reshape(q, -1)
            slope = slope - half @ half.T
        slopes.append(slope)
    return slopes


# Gradient norm per square root of the rows under which the fit has converged.
FLAT_GRADIENT = 1e-3
# Relative variances between which the search starts.
START_LOW, START_HIGH = 0.05**2, 2.0**2
# Relative SD, and information, below which the scale of the search does not go.
LEAST_SIZE = 0.1
# Step of the central differences in eta: error of the difference and of rounding about 1e-8.
ETA_STEP = 1e-4
# Step of the differences of the gradient that scale a warm start; 3 digits are plenty there.
HESSIAN_STEP = 1e-4
# Columns of a dense block from which on several BLAS threads help.
LARGE_BLOCK = 300
OPTIONS = Options(ftol=1e-13, gtol=1e-7, maxcor=20)
# A look whether another minimum is lower: to about 1e-4 of the deviance.
LOOK = Options(ftol=1e-7, gtol=1e-3, maxcor=20)


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
        down = descend(problem.layout, solution.up)
        D = covariance_slopes(problem, solution, down)
        by_factor = [2.0 * slope @ factor for slope, factor in zip(D, Lambda, strict=True)]
        slopes = (
            _slopes_of_deviance(problem, solution, *shape_slopes(problem, solution, down))
            if has_slopes(problem)
            else self._differences(Lambda, other)
        )
        return Slopes(solution.deviance, by_factor, slopes, D, memory)

    def value(self, Lambda: Sequence[Array], other: Array, memory: Any) -> float:  # noqa: ARG002
        """Return the deviance alone, for which no effect is predicted."""
        return solve(at_eta(self.problem, other), Lambda).deviance

    def _differences(self, Lambda: Sequence[Array], other: Array) -> Array:
        """Return central differences of the deviance in eta."""
        slopes = np.empty(len(other))
        for j, step in enumerate(ETA_STEP * np.eye(len(other))):
            ahead = solve(at_eta(self.problem, other + step), Lambda).deviance
            behind = solve(at_eta(self.problem, other - step), Lambda).deviance
            slopes[j] = (ahead - behind) / (2.0 * ETA_STEP)
        return slopes

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Any
    ) -> Coordinates:
        """Scale theta by about its expected information, unless the residuals have a shape.

        -2 log-likelihood of one unit with information s on its relative variance D curves like s^2
        in D, hence like ``4 theta^2 s^2`` in theta. (A shape competes with theta for the same
        variation: there theta and eta are their own coordinates.)
        """
        origin = np.concatenate([template.theta(Lambda), other])
        scale = np.ones(len(origin))
        if self.problem.shape is not None:
            return Coordinates(template, origin, np.diag(scale), memory)
        squares = _left_to_units(self.problem, Lambda)
        for i, (f, row, column) in enumerate(template.entries):
            sizes = np.maximum(np.abs(np.diag(Lambda[f])[[row, column]]), LEAST_SIZE)
            a = squares[f][[row, column]]
            s = (a / (1.0 + sizes[:, None] ** 2 * a)).prod(axis=0).sum()
            scale[i] = 1.0 / max(2.0 * float(sizes[1] * np.sqrt(s)), LEAST_SIZE)
        return Coordinates(template, origin, np.diag(scale), memory)


def _slopes_of_deviance(problem: Problem, solution: Solution, log_det: Array, R: Array) -> Array:
    """Return the deviance's derivatives from those of ``log|V|`` and ``R``."""
    p = problem.p
    v = np.append(-solution.beta, 1.0)
    weight = 1.0 if problem.known else problem.N / solution.rss
    slopes = log_det + weight * np.einsum("kij,i,j->k", R, v, v)
    if problem.reml and p:
        half = np.linalg.inv(solution.XX_factor)
        slopes += np.einsum("kij,ij->k", R[:, :p, :p], half.T @ half)
    return np.asarray(slopes)


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
            eta = np.empty(0)
            if problem.shape is not None and problem.rows is not None:
                eta = problem.shape.start(problem.rows.Xy[-1])
        first = moment_start(problem) if start is None else [x.copy() for x in start]
        stop = search(LinearCriterion(problem), first, eta, options=OPTIONS, scaling=scaling)
        if start is None:
            stop = _from_either_side(LinearCriterion(problem), stop, first)
        norm = float(np.abs(_gradient(stop.template, stop.slopes)).max(initial=0.0))
    flat = norm < FLAT_GRADIENT * max(1.0, np.sqrt(problem.n))
    record = Convergence(bool(flat), stop.evaluations, norm, stop.restarts, stop.message)
    return Minimum(stop.template, tuple(stop.Lambda), stop.other, stop.deviance, record)


def _from_either_side(criterion: LinearCriterion, stop: Stop, first: Sequence[Array]) -> Stop:
    """Look for a lower deviance from where one of two rivals takes all that both explain.

    Random effects of units and a serial correlation within these units compete, and the deviance
    may have a minimum with much of either: one look starts without the effects, one without the
    correlation.
    """
    problem, shape = criterion.problem, criterion.problem.shape
    if shape is None or problem.rows is None or not isinstance(shape.correlation, Serial):
        return stop
    n_units = len(np.unique(shape.correlation.units))
    rivals = [x.factor for x in problem.layout.levels if len(x.row_starts) == n_units]
    if not rivals:
        return stop
    eta = shape.start(problem.rows.Xy[-1])
    alone = [np.zeros_like(own) if f in rivals else own for f, own in enumerate(first)]
    effects = criterion.coordinates(*reduce_rank(criterion.template, alone), eta, None)
    eta = np.append(eta[:-1], shape.correlation.independent)
    freed = criterion.coordinates(criterion.template, first, eta, None)
    last = np.eye(len(freed.origin))[-1:]
    bare = run(criterion, freed.holding(last), options=LOOK)
    begin = replace(freed, origin=np.append(freed.template.theta(bare.Lambda), bare.other))
    looks = [run(criterion, own, options=LOOK) for own in (effects, begin)]
    for look in (bare, *looks):
        if look.deviance < stop.deviance - SAME_DEVIANCE:
            lower = search(criterion, look.Lambda, look.other, options=OPTIONS)
            stop = lower.after(look).after(stop, restarts=1)
        else:
            stop = stop.after(look, restarts=1)
    return stop


def moment_start(problem: Problem) -> list[Array]:
    """Diagonal relative factors from the spread of each effect's unit sums.

    With a single effect, ``E (z'y)^2 / (z'z s^2)`` is about ``1 + theta^2 z'z``. The start only has
    to be of the right order of magnitude: it is kept between 0.05 and 2.
    """
    s2 = problem.products.R[-1, -1] / problem.n
    found = []
    for squares, pulls in unit_sums(problem):
        weight = np.maximum(squares.mean(axis=1), 1e-12)
        ratio = (pulls**2).mean(axis=1) / (weight * s2)
        found.append(np.diag(np.sqrt(np.clip((ratio - 1.0) / weight, START_LOW, START_HIGH))))
    return found


def _left_to_units(problem: Problem, Lambda: Sequence[Array]) -> list[Array]:
    """Return ``z'z`` of every unit, (q, units), less what nested effects below it explain."""
    layout = problem.layout
    if layout.crossed:
        return [squares for squares, _ in unit_sums(problem)]
    up = eliminate(layout, of_effects(problem), *by_factor(problem, Lambda))
    A = {level.factor: own for level, own in zip(layout.levels, up.A, strict=True)}
    return [A[f][np.arange(len(A[f])), np.arange(len(A[f]))] for f in range(len(A))]


def unit_sums(problem: Problem) -> list[tuple[Array, Array]]:
    """Return ``z'z`` and ``z'y`` of every unit, (q, units) each, for each grouping factor."""
    layout, products = problem.layout, problem.products
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
    return [sums[f] for f in range(len(sums))]


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
