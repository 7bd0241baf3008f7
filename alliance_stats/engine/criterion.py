"""The profiled (restricted) deviance and its gradient, as a function of theta.

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

import numpy as np

from alliance_stats.engine.blocks import CrossProducts, Layout, RowArrays, cross_products
from alliance_stats.engine.descent import Descent, LevelPosterior
from alliance_stats.engine.elimination import Elimination, eliminate
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.template import Template
from alliance_stats.estimates import Array

__all__ = ["Problem", "Solution", "at_eta", "covariance_slopes", "posteriors", "solve"]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that the deviance needs besides theta.

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
        Added to the deviance: minus the log weights, what the change of basis of X costs, and the
        log-determinant of the residual shape.
    shape, rows
        A residual covariance to be estimated and the unwhitened rows it acts on, in the layout's
        order; None for residuals that are alike.
    eta
        Parameters of the shape at which `products` were summed.
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

    @property
    def N(self) -> int:
        """Residual degrees of freedom of the criterion."""
        return self.n - self.p if self.reml else self.n


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
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


def _by_factor(problem: Problem, Lambda: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    layout = problem.layout
    return [Lambda[level.factor] for level in layout.levels], [Lambda[f] for f in layout.crossed]


def solve(problem: Problem, Lambda: Sequence[Array]) -> Solution:
    """Eliminate the random effects, solve for the coefficients, and evaluate the deviance."""
    up = eliminate(problem.layout, problem.products, *_by_factor(problem, Lambda))
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


def at_eta(problem: Problem, eta: Array) -> Problem:
    """Whiten the rows at `eta` and sum their products anew."""
    shape, rows = problem.shape, problem.rows
    if shape is None or rows is None:
        return problem
    before = 0.0 if problem.eta is None else shape.log_det(problem.eta)
    return replace(
        problem,
        products=cross_products(problem.layout, shape.whiten_rows(rows, eta)),
        constant=problem.constant - before + shape.log_det(eta),
        eta=eta,
    )


def posteriors(problem: Problem, down: Descent) -> list[LevelPosterior]:
    """Put the downward pass into the order of the grouping factors."""
    found: dict[int, LevelPosterior] = {
        level.factor: post for level, post in zip(problem.layout.levels, down.levels, strict=True)
    }
    found.update(zip(problem.layout.crossed, down.crossed, strict=True))
    return [found[f] for f in range(len(found))]


def covariance_slopes(problem: Problem, solution: Solution, down: Descent) -> list[Array]:
    """Return ``d deviance / d D`` of each grouping factor, a symmetric (q, q) matrix.

    The entry for a pair counts once, as if ``D_ab`` and ``D_ba`` were free of one another.
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
