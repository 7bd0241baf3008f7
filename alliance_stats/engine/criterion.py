"""The profiled (restricted) deviance as a function of theta, and its gradient.

``theta`` holds the lower triangles of the relative covariance factors: the random effects of one
unit have covariance ``sigma^2 Lambda Lambda'``. With ``R = [X y]'V^-1[X y]``, ``rss`` the
generalised residual sum of squares and ``N`` the residual degrees of freedom (``n`` for ML,
``n - p`` for REML), the deviance profiled over the coefficients and sigma is

    log|V| + [REML] log|X'V^-1X| + N (1 + log(2 pi rss / N))

(Bates, Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01, eqs 34 and 41). Where the
residual variance is known it is not profiled: ``log|V| + [REML] log|X'V^-1X| + N log 2 pi + rss``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from alliance_stats.engine.blocks import CrossProducts, Layout, RowArrays, cross_products
from alliance_stats.engine.descent import Descent, LevelPosterior, chain_covariance, descend
from alliance_stats.engine.elimination import Elimination, eliminate
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.template import Coordinates, Slopes, Template
from alliance_stats.estimates import Array

__all__ = [
    "TWICE_STEP",
    "LinearCriterion",
    "Problem",
    "Solution",
    "at_eta",
    "by_factor",
    "covariance_slopes",
    "eta_slopes",
    "of_effects",
    "posteriors",
    "pulled_rows",
    "solve",
    "unit_sums",
]

# Step in a residual shape's parameters, which are differentiated twice by differences: rounding
# of the second difference about 1e-13 / step^2 of the criterion's scale.
TWICE_STEP = 1e-3


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


def _has_slopes(problem: Problem) -> bool:
    """Return whether :func:`_shape_slopes` has the derivatives by the residual shape."""
    return problem.shape is not None and problem.shape.has_slopes and not problem.layout.crossed


def _shape_slopes(problem: Problem, solution: Solution, down: Descent) -> tuple[Array, Array]:
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


def eta_slopes(
    problem: Problem, Lambda: Sequence[Array], solution: Solution
) -> tuple[Array, Array]:
    """Differentiate ``log|V|`` and ``R`` by the residual shape's parameters."""
    width = problem.p + 1
    if problem.eta is None or problem.shape is None:
        return np.empty(0), np.empty((0, width, width))
    if _has_slopes(problem):
        return _shape_slopes(problem, solution, descend(problem.layout, solution.up))
    log_det, R = np.empty(len(problem.eta)), np.empty((len(problem.eta), width, width))
    for j, step in enumerate(TWICE_STEP * np.eye(len(problem.eta))):
        etas = (problem.eta + step, problem.eta - step)
        ups = [solve(at_eta(problem, eta), Lambda).up for eta in etas]
        dets = [problem.shape.log_det(eta) + up.log_det for eta, up in zip(etas, ups, strict=True)]
        log_det[j] = (dets[0] - dets[1]) / (2.0 * TWICE_STEP)
        R[j] = (ups[0].R - ups[1].R) / (2.0 * TWICE_STEP)
    return log_det, R


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


# Relative SD, and information, below which the scale of the search does not go.
LEAST_SIZE = 0.1
# Step of the central differences in eta: error of the difference and of rounding about 1e-8.
ETA_STEP = 1e-4


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
            _slopes_of_deviance(problem, solution, *_shape_slopes(problem, solution, down))
            if _has_slopes(problem)
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
