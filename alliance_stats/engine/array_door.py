"""The engine's interface for arrays: from outcome, fixed columns and groupings to a fit.

No frame, formula or name is needed: anyone with an existing design (a simulation, another package's
model matrix) passes arrays and gets arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from alliance_stats.engine.blocks import Layout, RowArrays, cross_products, lay_out
from alliance_stats.engine.criterion import Problem, at_eta, solve
from alliance_stats.engine.linear_search import minimise
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.search import Minimum
from alliance_stats.engine.template import Template
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["ArrayFit", "Columns", "Grouped", "arranged", "fit_arrays", "sorted_rows"]

Columns = tuple[Integers, Array, Sequence[int]]
"""A grouping in the engine's terms: unit of each row, columns (q, n), sizes of its terms."""


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """One grouping: the unit of each row, and the columns with effects that vary over units.

    Attributes
    ----------
    codes
        Unit of each row, numbered from 0 without gaps, (n,).
    Z
        Columns whose effects vary over units, (n, q).
    sizes
        Sizes of the blocks of adjacent columns with correlated effects: ``(2,)`` for a correlated
        intercept and slope, ``(1, 1)`` for uncorrelated ones; by default one block.
    """

    codes: Integers
    Z: Array
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ArrayFit:
    """A linear mixed model fitted to arrays, in the original units.

    Attributes
    ----------
    beta, vcov
        Coefficients (p,) and their covariance (p, p).
    sigma
        Residual SD at weight 1.
    covariances
        Covariance of each grouping's random effects, (q, q).
    log_lik
        (Restricted) log-likelihood.
    eta
        Parameters of the residual shape; empty for independent residuals of equal variance.
    minimum
        Where the search ended, and how.
    """

    beta: Array
    vcov: Array
    sigma: float
    covariances: tuple[Array, ...]
    log_lik: float
    eta: Array
    minimum: Minimum


def arranged(
    Xy: Array,
    groups: Sequence[Columns],
    *,
    reml: bool,
    known: bool = False,
    constant: float = 0.0,
    shape: ResidualShape | None = None,
) -> Problem:
    """Arrange weighted rows for elimination, and sum their products.

    Parameters
    ----------
    Xy
        Fixed columns and, last, the outcome, (p + 1, n).
    groups
        For each grouping the unit of each row, its columns (q, n) and the sizes of its terms.
    reml, known, constant, shape
        As in :class:`~alliance_stats.engine.criterion.Problem`.
    """
    n = Xy.shape[1]
    layout = lay_out([codes for codes, _, _ in groups], [len(Z) for _, Z, _ in groups], n)
    rows = sorted_rows(layout, Xy, groups)
    template = Template.full([sizes for _, _, sizes in groups])
    problem = Problem(
        layout, cross_products(layout, rows), template, n, len(Xy) - 1, reml, known, constant
    )
    if shape is None:
        return problem
    return replace(problem, shape=shape.sorted(layout.order), rows=rows)


def sorted_rows(layout: Layout, Xy: Array, groups: Sequence[Columns]) -> RowArrays:
    """Bring columns into a layout's order of rows."""
    order = layout.order
    return RowArrays(
        tuple(groups[level.factor][1].take(order, axis=1) for level in layout.levels),
        tuple(groups[f][1].take(order, axis=1) for f in layout.crossed),
        tuple(groups[f][0][order] for f in layout.crossed),
        Xy.take(order, axis=1),
    )


def fit_arrays(
    y: Array,
    X: Array,
    groups: Sequence[Grouped],
    *,
    weights: Array | None = None,
    reml: bool = True,
    shape: ResidualShape | None = None,
) -> ArrayFit:
    """Fit ``y = X beta + sum_g Z_g b_g + e`` by (restricted) maximum likelihood.

    Parameters
    ----------
    y
        Outcome, (n,).
    X
        Fixed columns, (n, p), linearly independent.
    groups
        Groupings, nested or crossed in any order; may be empty where there is a `shape`.
    weights
        Row i has residual variance ``sigma^2 / weights[i]``; ones if not given.
    reml
        Restricted or ordinary likelihood.
    shape
        A residual covariance of the rows.

    Returns
    -------
    ArrayFit
        Coefficients, covariances and log-likelihood, in the units of `y` and the columns.

    Raises
    ------
    DataError
        Arrays whose rows do not match, or that are not finite.
    NotIdentifiedError
        Linearly dependent fixed columns, or no more rows than columns.

    Examples
    --------
    >>> import numpy as np
    >>> person = np.repeat(np.arange(6), 4)
    >>> y = np.tile([1.0, 2.0, 4.0, 3.0], 6) + 0.5 * person
    >>> X = np.ones((24, 1))
    >>> fit = fit_arrays(y, X, [Grouped(person, X)])
    >>> round(float(fit.beta[0]), 2)
    3.75
    """
    y, X = np.asarray(y, dtype=np.float64), np.asarray(X, dtype=np.float64)
    roots = np.ones(len(y)) if weights is None else np.sqrt(np.asarray(weights, dtype=np.float64))
    _check(y, X, roots, groups)
    n, p = X.shape
    Q, R = linalg.qr(X * roots[:, None], mode="economic")
    if p >= n or (p and np.abs(np.diag(R)).min() < 1e-9 * np.abs(R).max()):
        raise NotIdentifiedError(f"{p} fixed columns of {n} rows are not independent.")
    Q, R = np.ascontiguousarray(Q.T) * np.sqrt(n), R / np.sqrt(n)
    start = Q @ (y * roots) / n
    residual = y * roots - Q.T @ start
    unit, weight = float(np.abs(residual).max()) or 1.0, float(np.exp(np.log(roots).mean()))
    bases = [_basis(group) for group in groups]
    working = [
        (g.codes, np.ascontiguousarray(basis.T) * np.sqrt(n) * roots / weight, _sizes(g))
        for g, (basis, _) in zip(groups, bases, strict=True)
    ]
    log_unit = 2.0 * (n - p if reml else n) * float(np.log(unit))
    basis_of_X = 2.0 * float(np.log(np.abs(np.diag(R))).sum()) if reml else 0.0
    constant = log_unit + basis_of_X - 2.0 * float(np.log(roots).sum())
    Xy = np.concatenate([Q, residual[None] / unit])
    problem = arranged(Xy, working, reml=reml, constant=constant, shape=shape)
    minimum = minimise(problem)
    solution = solve(at_eta(problem, minimum.other), minimum.Lambda)
    sigma = unit * float(np.sqrt(solution.rss / problem.N))
    half = linalg.solve_triangular(solution.XX_factor, linalg.inv(R).T, lower=True)
    covariances = []
    for (_, triangle), Lambda in zip(bases, minimum.Lambda, strict=True):
        factor = linalg.solve_triangular(triangle / np.sqrt(n), Lambda) * sigma / weight
        covariances.append(factor @ factor.T)
    return ArrayFit(
        linalg.solve_triangular(R, start + unit * solution.beta),
        sigma**2 * half.T @ half,
        sigma,
        tuple(covariances),
        -minimum.deviance / 2.0,
        minimum.other,
        minimum,
    )


def _sizes(group: Grouped) -> tuple[int, ...]:
    return group.sizes or (group.Z.shape[1],)


def _basis(group: Grouped) -> tuple[Array, Array]:
    """Return an orthonormal basis of each term's columns, and the triangular factors."""
    edges = np.cumsum(_sizes(group))[:-1]
    found = [linalg.qr(part, mode="economic") for part in np.split(group.Z, edges, axis=1)]
    return np.hstack([Q for Q, _ in found]), linalg.block_diag(*(R for _, R in found))


def _check(y: Array, X: Array, roots: Array, groups: Sequence[Grouped]) -> None:
    """Refuse arrays that do not match one another."""
    lengths = {len(y), len(X), len(roots), *(len(g.codes) for g in groups)}
    if len(lengths | {len(g.Z) for g in groups}) > 1:
        raise DataError("y, X, weights, and the codes and Z of each grouping need one row each.")
    columns = [y, X, np.log(np.where(roots > 0, roots, np.nan)), *(g.Z for g in groups)]
    if not all(np.isfinite(column).all() for column in columns):
        raise DataError("y, X, Z must be finite and weights positive.")
    for group in groups:
        if len(np.unique(group.codes)) != int(group.codes.max()) + 1 or group.codes.min() < 0:
            raise DataError("The units of a grouping are numbered 0, 1, ... without gaps.")
        if sum(_sizes(group)) != group.Z.shape[1]:
            raise DataError(f"sizes {group.sizes} do not add up to {group.Z.shape[1]} columns.")
