"""A fitted linear mixed model as a record: the design, the criterion and its minimum.

Everything else is derived from these. The engine works on rows whose weights have a geometric mean
of 1 and whose outcome is of the order of 1; `units` converts its numbers back to the caller's
units, so that no start, step or limit depends on the unit of the outcome or of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import linalg

from alliance_stats.design.design import Design
from alliance_stats.design.groupings import back_transform
from alliance_stats.design.residual import ResidualStructure
from alliance_stats.engine.array_door import Columns, arranged, sorted_rows
from alliance_stats.engine.blocks import by_label, with_outcome
from alliance_stats.engine.criterion import Problem, Solution, at_eta, posteriors, solve
from alliance_stats.engine.curvature import Curvature, covariance_curvature, curvature
from alliance_stats.engine.descent import LevelPosterior, descend
from alliance_stats.engine.linear_search import minimise, newton_scaling
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.search import Convergence, Minimum
from alliance_stats.engine.template import Template
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "LinearFit",
    "Units",
    "fit_linear",
    "in_units",
    "make_problem",
    "ml_refit",
    "refitted",
    "working_columns",
]

# Share of the outcome's (ordinary) residual variance below which nothing is left to the residual.
NO_RESIDUAL = 1e-10


class Units(NamedTuple):
    """The units in which the engine's numbers are expressed.

    Attributes
    ----------
    outcome
        Size of the (weighted) outcome's residual; 1 where residual variances are known.
    weight
        Geometric mean of the rows' root weights.
    """

    outcome: float
    weight: float


@dataclass(frozen=True, eq=False, repr=False)
class LinearFit:
    """A fit and what is derived from it, as arrays.

    Attributes
    ----------
    design
        Arrays, names and the row ledger.
    problem
        The deviance as a function of theta, at the fitted residual shape.
    minimum
        Where its minimum lies and how it was found, in the engine's units.
    units
        The engine's units in the caller's.
    structures
        The residual structures as the caller named them.
    """

    design: Design
    problem: Problem
    minimum: Minimum
    units: Units
    structures: tuple[ResidualStructure, ...] = ()

    @property
    def Lambda(self) -> tuple[Array, ...]:
        """Covariance factors relative to ``sigma``: ``D = sigma^2 Lambda Lambda'``."""
        return tuple(factor / self.units.weight for factor in self.minimum.Lambda)

    @property
    def eta(self) -> Array:
        """Parameters of the residual shape (empty for independent residuals of equal variance)."""
        return self.minimum.other

    @property
    def template(self) -> Template:
        """The free entries of the factors, of reduced rank where the fit is singular."""
        return self.minimum.template

    @property
    def deviance(self) -> float:
        """-2 (restricted) log-likelihood."""
        return self.minimum.deviance

    @property
    def convergence(self) -> Convergence:
        """How the optimiser ended."""
        return self.minimum.convergence

    @property
    def singular(self) -> bool:
        """Whether any term's covariance lost rank."""
        return self.minimum.singular

    @property
    def n_parameters(self) -> int:
        """Coefficients, variances, covariances and parameters of the residuals."""
        problem = self.problem
        return problem.p + problem.template.n_theta + len(self.eta) + (not problem.known)

    @cached_property
    def solution(self) -> Solution:
        """The linear algebra at the minimum, in the engine's units."""
        return solve(self.problem, self.minimum.Lambda)

    @cached_property
    def sigma(self) -> float:
        """Residual SD at weight 1, in units of the outcome (1 where the variances are known)."""
        return self.units.outcome * self.relative_sigma

    @property
    def relative_sigma(self) -> float:
        """Residual SD in the engine's units."""
        return 1.0 if self.problem.known else float(np.sqrt(self.solution.rss / self.problem.N))

    @cached_property
    def beta(self) -> Array:
        """Estimated coefficients, (p,)."""
        fixed = self.design.fixed
        added = self.units.outcome * self.solution.beta
        return np.asarray(fixed.offset + linalg.solve_triangular(fixed.R, added))

    @property
    def fixed_part(self) -> Array:
        """``X beta`` and the formula's offset on the rows used, (n,)."""
        found = self.design.X @ self.beta
        return found if self.design.offset is None else found + self.design.offset

    @cached_property
    def vcov(self) -> Array:
        """Covariance of the estimated coefficients, ``sigma^2 (X'V^-1X)^-1``, (p, p)."""
        back = linalg.inv(self.design.fixed.R).T
        half = linalg.solve_triangular(self.solution.XX_factor, back, lower=True)
        return np.asarray(self.sigma**2 * half.T @ half)

    @property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance of each grouping factor's random effects, in the columns as given."""
        halves = [
            back_transform(grouping.terms) @ factor * self.sigma
            for grouping, factor in zip(self.design.groupings, self.Lambda, strict=True)
        ]
        return tuple(half @ half.T for half in halves)

    @cached_property
    def _posteriors(self) -> list[LevelPosterior]:
        return posteriors(self.problem, descend(self.problem.layout, self.solution.up))

    @property
    def working_effects(self) -> list[Array]:
        """Predicted effects of each factor's working columns, (q, units) by label."""
        v = np.append(-self.solution.beta, 1.0)
        unit = self.units.outcome / self.units.weight
        effects = [unit * np.einsum("qrn,r->qn", post.B, v) for post in self._posteriors]
        return by_label(self.problem.layout, effects)

    @property
    def effect_covariances(self) -> list[Array]:
        """Conditional covariances of those effects, theta and beta given: (q, q, units)."""
        unit = self.sigma / self.units.weight
        return by_label(self.problem.layout, [unit**2 * post.K for post in self._posteriors])

    @cached_property
    def curvature(self) -> Curvature:
        """The likelihood's curvature, random effects reduced to what varies."""
        return curvature(
            self.problem, self.minimum.Lambda, self.relative_sigma, solution=self.solution
        )

    @cached_property
    def boundary_curvature(self) -> Curvature:
        """The curvature in what V is linear in, variances at zero counted as estimated."""
        if self.problem.shape is not None:
            return covariance_curvature(self.problem, self.relative_sigma) or self.curvature
        if not self.singular:
            return self.curvature
        return curvature(self.problem, self.minimum.Lambda, self.relative_sigma, boundary=True)

    @cached_property
    def scaling(self) -> Array | None:
        """Coordinates in which a refit is a few steps away."""
        return newton_scaling(self.problem, self.minimum)


def fit_linear(
    design: Design,
    *,
    reml: bool,
    known: bool = False,
    shape: ResidualShape | None = None,
    structures: Sequence[ResidualStructure] = (),
) -> LinearFit:
    """Fit a linear mixed model to a design.

    Raises
    ------
    NotIdentifiedError
        The fixed and random effects leave no residual variation.
    """
    units = _units(design, known=known)
    problem = make_problem(design, units, reml=reml, known=known, shape=shape)
    try:
        fit = minimise(problem)
        found = LinearFit(design, at_eta(problem, fit.other), fit, units, tuple(structures))
        explained = not known and found.solution.rss <= NO_RESIDUAL * problem.products.R[-1, -1]
    except np.linalg.LinAlgError as breakdown:
        raise _no_residual(design) from breakdown
    if explained:
        raise _no_residual(design)
    return found


def _no_residual(design: Design) -> NotIdentifiedError:
    names = " or ".join(f"'{grouping.name}'" for grouping in design.groupings)
    return NotIdentifiedError(
        f"The fixed effects and the units of {names} explain '{design.formula.response}' without "
        "error, so that the residual variance is zero and no variance can be set against it. Does "
        "the outcome vary within units?"
    )


def _units(design: Design, *, known: bool) -> Units:
    weight = float(np.exp(np.log(design.root_weights).mean()))
    return Units(1.0 if known else float(np.abs(design.residual).max()) or 1.0, weight)


def make_problem(
    design: Design,
    units: Units,
    *,
    reml: bool,
    known: bool,
    shape: ResidualShape | None = None,
) -> Problem:
    """Arrange the design's rows for elimination and sum their products."""
    constant = -2.0 * float(np.log(design.root_weights).sum())
    constant += _restriction(design, units, known=known) if reml else 0.0
    constant += 0.0 if known else 2.0 * len(design.y) * float(np.log(units.outcome))
    Xy, columns = working_columns(design, units)
    return arranged(Xy, columns, reml=reml, known=known, constant=constant, shape=shape)


def working_columns(design: Design, units: Units) -> tuple[Array, list[Columns]]:
    """Return fixed columns and outcome, and each grouping's columns, in the engine's units."""
    Xy = np.concatenate([design.Q, design.residual[None] / units.outcome])
    return Xy, [
        (g.codes, g.Z / units.weight, [len(basis.names) for basis in g.terms])
        for g in design.groupings
    ]


def _restriction(design: Design, units: Units, *, known: bool) -> float:
    """Add to a restricted deviance: the basis of X, and p fewer log units."""
    fewer = 0.0 if known else 2.0 * len(design.fixed.kept) * float(np.log(units.outcome))
    return design.fixed.log_det - fewer


def ml_refit(fit: LinearFit) -> LinearFit:
    """Fit the same model by maximum likelihood."""
    if not fit.problem.reml:
        return fit
    restriction = _restriction(fit.design, fit.units, known=fit.problem.known)
    problem = replace(fit.problem, reml=False, constant=fit.problem.constant - restriction)
    minimum = minimise(problem, None, fit.eta)
    return replace(fit, problem=at_eta(problem, minimum.other), minimum=minimum)


def refitted(fit: LinearFit, y: Array) -> LinearFit:
    """Fit `y` on the same rows with the same model, starting from the fitted theta."""
    design = fit.design
    if y.shape != design.y.shape:
        raise DataError(
            f"The new outcome has shape {y.shape}; the model used {len(design.y)} rows."
        )
    if np.ptp(y) == 0.0:
        raise NotIdentifiedError("The new outcome is the same in all rows: no variance to model.")
    if not np.isfinite(y).all():
        raise DataError("The new outcome has missing or infinite values.")
    left = y if design.offset is None else y - design.offset
    weighted = left * design.root_weights
    on_basis = design.Q @ weighted / len(y)
    residual = weighted - design.Q.T @ on_basis
    offset = linalg.solve_triangular(design.fixed.R, on_basis) if len(on_basis) else on_basis
    new = replace(design, y=y, residual=residual, fixed=replace(design.fixed, offset=offset))
    units = _units(new, known=fit.problem.known)
    layout = fit.problem.layout
    rows = sorted_rows(layout, *working_columns(new, units))
    rescaled = 2.0 * fit.problem.N * float(np.log(units.outcome / fit.units.outcome))
    problem = replace(fit.problem, constant=fit.problem.constant + rescaled)
    if problem.shape is None:
        problem = replace(problem, products=with_outcome(layout, problem.products, rows))
    else:
        problem = replace(problem, rows=rows)
    # a start on a boundary could not leave it
    start = [
        factor + 1e-2 * np.eye(len(factor)) if fit.singular else factor
        for factor in fit.minimum.Lambda
    ]
    minimum = minimise(problem, start, fit.eta, scaling=fit.scaling)
    return LinearFit(new, at_eta(problem, minimum.other), minimum, units, fit.structures)


def in_units(fit: LinearFit, Lambda: Sequence[Array]) -> list[Array]:
    """Bring covariance factors relative to ``sigma`` into the engine's units."""
    return [factor * fit.units.weight for factor in Lambda]
