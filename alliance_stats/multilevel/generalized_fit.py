"""A fitted generalized mixed model as a record, and what cannot be fitted.

What is stored is what was read, the data as the deviance sees them, and where its minimum lies;
everything else is derived.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import describe_rows, finite_or_missing
from alliance_stats.design.design import Design
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.blocks import by_label, lay_out
from alliance_stats.engine.descent import descend
from alliance_stats.engine.families import Family
from alliance_stats.engine.generalized_search import (
    Deviance,
    glm_coefficients,
    minimise_jointly,
    plain_minimum,
)
from alliance_stats.engine.laplace import GeneralizedProblem, find_mode
from alliance_stats.engine.quadrature import MOST_NODES, criterion_of
from alliance_stats.engine.row_sums import arrange_rows
from alliance_stats.engine.search import Convergence, Minimum
from alliance_stats.engine.template import Template
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import ConvergenceWarning, DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.separation import check_not_separated

__all__ = [
    "GeneralizedFit",
    "check_outcome",
    "fit_generalized",
    "make_generalized_problem",
    "numbers",
]

# A random-effects SD beyond this on the scale of a link says that units hardly vary within.
LARGEST_SD = 10.0
# Quadrature nodes to try where the Laplace approximation fails: glmer's 25 gives the same digits.
NODES_INSTEAD = 25


@dataclass(frozen=True, eq=False, repr=False)
class GeneralizedFit:
    """A fit and what is derived from it, as arrays.

    Attributes
    ----------
    design
        Arrays, names and the row ledger.
    problem
        The data as the deviance sees them.
    minimum
        Where the deviance is lowest and how it was found.
    nodes
        Quadrature nodes; 1 is the Laplace approximation.
    weights, offset
        Columns of trials and of the offset, if any.
    """

    design: Design
    problem: GeneralizedProblem
    minimum: Minimum
    nodes: int
    weights: str | None
    offset: str | None

    @property
    def family(self) -> Family:
        """The family with its link."""
        return self.problem.family

    @property
    def approximation(self) -> Deviance:
        """The deviance with its slopes, as a function of covariances and coefficients."""
        return criterion_of(self.nodes)

    @property
    def Lambda(self) -> tuple[Array, ...]:
        """Covariance factors, one a grouping factor."""
        return self.minimum.Lambda

    @property
    def gamma(self) -> Array:
        """Coefficients of the working basis."""
        return self.minimum.other

    @property
    def template(self) -> Template:
        """Shape of theta, of reduced rank where a covariance is singular."""
        return self.minimum.template

    @property
    def deviance(self) -> float:
        """-2 log-likelihood."""
        return self.minimum.deviance

    @property
    def convergence(self) -> Convergence:
        """How the optimiser got where it stopped."""
        return self.minimum.convergence

    @property
    def singular(self) -> bool:
        """Whether any term's covariance lost rank."""
        return self.minimum.singular

    @property
    def sigma(self) -> float:
        """1: nothing is relative to a residual SD."""
        return 1.0

    @property
    def n_parameters(self) -> int:
        """Coefficients, variances and covariances."""
        return self.problem.p + self.problem.template.n_theta

    @property
    def beta(self) -> Array:
        """Estimated coefficients on the scale of the linear predictor, (p,)."""
        return np.asarray(linalg.solve_triangular(self.design.fixed.R, self.gamma))

    @cached_property
    def vcov(self) -> Array:
        """Covariance of the estimated coefficients, (p, p); NaN where the fit has not converged."""
        back = linalg.inv(self.design.fixed.R)
        k = self.template.n_theta
        return np.asarray(back @ self.minimum.covariance[k:, k:] @ back.T)

    @property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance of each grouping factor's random effects, in the columns as given."""
        halves = [
            back_transform(grouping.terms) @ factor
            for grouping, factor in zip(self.design.groupings, self.Lambda, strict=True)
        ]
        return tuple(half @ half.T for half in halves)

    @property
    def working_effects(self) -> list[Array]:
        """Modes of each factor's working columns' effects, (q, units) by label."""
        u = self.problem.by_factor(self.minimum.memory)
        effects = [factor @ own for factor, own in zip(self.Lambda, u, strict=True)]
        return by_label(self.problem.layout, effects)

    @property
    def effect_covariances(self) -> list[Array]:
        """Conditional covariances of those effects, theta and beta given: (q, q, units)."""
        problem = self.problem
        mode = find_mode(problem, problem.arranged(self.Lambda), self.gamma, self.minimum.memory)
        down = descend(problem.layout, mode.up)
        covariances = problem.by_factor([post.K for post in (*down.levels, *down.crossed)])
        return by_label(problem.layout, covariances)

    @property
    def trials(self) -> Array:
        """Trials of each row used, in the design's order."""
        found = np.empty(self.problem.n)
        found[self.problem.layout.order] = self.problem.outcome.trials
        return found

    @property
    def fixed_part(self) -> Array:
        """Linear predictor without random effects of each row used, the offset included."""
        found = np.empty(self.problem.n)
        found[self.problem.layout.order] = self.problem.offset + self.gamma @ self.problem.Q
        return found


def fit_generalized(
    design: Design,
    family: Family,
    trials: Array,
    *,
    nodes: int,
    weights: str | None,
    offset: str | None,
) -> GeneralizedFit:
    """Check what was observed, fit, and look at what came out."""
    check_outcome(design, family, trials, weights)
    check_units_vary(design, family, trials)
    if nodes != 1:
        check_scalar(design, nodes)
    known = np.zeros(len(trials)) if offset is None else numbers(design.frame, offset)
    known = known if design.offset is None else known + design.offset
    problem = make_generalized_problem(design, family, trials, known)
    with one_blas_thread():
        gamma, eta = glm_coefficients(problem)
        check_not_separated(design, problem, eta)
        minimum = (
            minimise_jointly(problem, criterion_of(nodes), gamma)
            if design.groupings
            else plain_minimum(problem, gamma)
        )
    check_not_runaway(design, minimum, nodes)
    if not minimum.convergence.converged:
        warnings.warn(
            f"The fit of {design.formula.text!r} has not converged "
            f"({minimum.convergence.message}); do not use its numbers.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return GeneralizedFit(design, problem, minimum, nodes, weights, offset)


def numbers(frame: pd.DataFrame, column: str) -> Array:
    """Return a numeric, finite column."""
    return finite_or_missing(frame, column)


def make_generalized_problem(
    design: Design, family: Family, trials: Array, offset: Array
) -> GeneralizedProblem:
    """Arrange the design's rows for elimination."""
    groupings = design.groupings
    n = len(design.y)
    layout = lay_out([g.codes for g in groupings], [len(g.Z) for g in groupings], n)
    order = layout.order
    return GeneralizedProblem(
        layout,
        Template.full([[len(basis.names) for basis in g.terms] for g in groupings]),
        arrange_rows(layout, [g.Z for g in groupings], [g.codes for g in groupings], n),
        np.ascontiguousarray(design.Q[:, order]),
        offset[order],
        family,
        family.outcome(design.y[order], trials[order]),
    )


def check_outcome(design: Design, family: Family, trials: Array, weights: str | None) -> None:
    """Refuse an outcome that is not 0/1 or counts, or that never varies."""
    y, name = design.y, design.formula.response
    if family.name == "poisson":
        _refuse(design, (y < 0) | (y != np.floor(y)), f"'{name}' must be a count (0, 1, 2, ...)")
        if (y == 0).all():
            raise NotIdentifiedError(f"'{name}' is 0 in all {len(y)} rows used: no rate is known.")
        return
    if weights is None:
        _refuse(
            design,
            (y != 0) & (y != 1),
            f"'{name}' must be 0 or 1 (counts of successes need weights= for their trials)",
        )
    else:
        bad = (trials < 1) | (trials != np.floor(trials))
        _refuse(design, bad, f"'{weights}' must be a number of trials (1, 2, ...)")
        _refuse(
            design,
            (y < 0) | (y != np.floor(y)),
            f"'{name}' must be a count of successes (not a share: multiply it by '{weights}')",
        )
        _refuse(design, y > trials, f"'{name}' must not exceed its trials '{weights}'")
    for value, never in ((y == 0, "0"), (y == trials, "1" if weights is None else "all trials")):
        if value.all():
            raise NotIdentifiedError(
                f"'{name}' is {never} in all {len(y)} rows used: nothing distinguishes them."
            )


def _refuse(design: Design, bad: np.ndarray, what: str) -> None:
    if bad.any():
        raise DataError(f"{what}; it is not in {describe_rows(bad, design.index)}.")


def check_units_vary(design: Design, family: Family, trials: Array) -> None:
    """Refuse 0/1 outcomes whose units have one row each, or never vary within.

    With one row a unit, a unit's effect and the row's own randomness are the same thing. Where no
    unit varies within, the likelihood rises without end as the variance does.
    """
    if family.name != "binomial" or (trials > 1).any():
        return
    for grouping in design.groupings:
        n_units = len(grouping.labels)
        sizes = np.bincount(grouping.codes, minlength=n_units)
        if sizes.max() == 1:
            raise NotIdentifiedError(
                f"Every unit of '{grouping.name}' has one row: with a 0/1 outcome its variance "
                "cannot be told from chance. Leave the term out."
            )
        hits = np.bincount(grouping.codes, weights=design.y, minlength=n_units)
        if ((hits == 0) | (hits == sizes)).all():
            raise NotIdentifiedError(
                f"'{design.formula.response}' never varies within a unit of '{grouping.name}' "
                f"({n_units} units): their variance would grow without end. If the rows of a unit "
                "are copies of one event, keep one row a unit and leave the term out."
            )


def check_not_runaway(design: Design, fit: Minimum, nodes: int) -> None:
    """Refuse a random-effects SD that no population has on the scale of a link."""
    scalar = len(design.groupings) == 1 and len(design.groupings[0].names) == 1
    if nodes > 1:
        way_out = ""
    elif scalar:
        way_out = (
            " The Laplace approximation can do so where the integral does not: fit again with "
            f"nodes={NODES_INSTEAD} first."
        )
    else:
        way_out = (
            " The Laplace approximation can do so where the integral does not; quadrature "
            f"(nodes={NODES_INSTEAD}) is offered for one grouping factor with one random effect: "
            "see whether the SD stays finite with that term alone."
        )
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        start = 0
        for basis in grouping.terms:
            own = slice(start, start + len(basis.names))
            start = own.stop
            # the working columns have mean square 1, so this is the SD of z'b over the rows
            sd = float(np.linalg.norm(Lambda[own, own]))
            if sd > LARGEST_SD:
                raise NotIdentifiedError(
                    f"The SD of {basis.term} ran to {sd:.0f} on the scale of the link: the outcome "
                    f"hardly varies within units of '{grouping.name}', and the likelihood barely "
                    "holds the variance back. If rows of a unit are copies of one event, keep one; "
                    "otherwise leave the term out or use a coarser grouping." + way_out
                )


def check_scalar(design: Design, nodes: int) -> None:
    """Refuse quadrature where there is more than one random effect a unit, or several factors."""
    if not isinstance(nodes, int) or not 1 <= nodes <= MOST_NODES:
        raise ValueError(f"nodes must be a whole number from 1 to {MOST_NODES}; got {nodes!r}.")
    terms = [str(basis.term) for g in design.groupings for basis in g.terms]
    if len(design.groupings) > 1 or len(design.groupings[0].names) > 1:
        raise ValueError(
            f"nodes={nodes} is for one grouping factor with one random effect; the formula has "
            f"{', '.join(terms)}. Use nodes=1 (the Laplace approximation), or leave terms out."
        )
