"""A fitted generalized mixed model as a record, and what cannot be fitted.

It stores the design, the data in the form the deviance uses, and the minimum; everything else is
derived.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy import linalg

from alliance_stats.checks import describe_rows, finite_or_missing
from alliance_stats.design.design import Design
from alliance_stats.design.formula import INTERCEPT
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.blocks import by_label
from alliance_stats.engine.descent import descend
from alliance_stats.engine.families import Family, family_of
from alliance_stats.engine.generalized_search import (
    Deviance,
    dispersed_start,
    glm_coefficients,
    minimise_jointly,
    plain_minimum,
)
from alliance_stats.engine.laplace import BEYOND, GeneralizedProblem, find_mode
from alliance_stats.engine.outcomes import NO_SHAPE, DispersionColumns
from alliance_stats.engine.quadrature import criterion_of
from alliance_stats.engine.search import Convergence, Minimum
from alliance_stats.engine.template import Template
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import ConvergenceWarning, NotIdentifiedError, warn
from alliance_stats.estimates import Array
from alliance_stats.multilevel.generalized_data import DispersionPart, make_generalized_problem
from alliance_stats.multilevel.outcome_checks import (
    check_nodes,
    check_not_runaway,
    check_not_separated,
    check_offset,
    check_outcome,
    check_units_vary,
)

__all__ = [
    "GeneralizedFit",
    "fit_generalized",
    "warn_not_converged",
    "with_enough_nodes",
]

# Nodes that are tried in turn, and by how much the log-likelihood may move from one to the next.
LADDER, STANDS = (9, 15, 25, 41), 1e-4
# Variance beyond that of the family at the limit of the dispersion (relative), below which that
# family is fitted too, and the deviance by which it must then be beaten.
NEAR_LIMIT, BEATEN = 0.05, 1e-6
# Share of all counts, zeros included, that must be seen for the rest to be told; and under which
# a search that does not end is on its way to none.
LEAST_SEEN, HALF_SEEN = 1e-3, 0.5
# Such an excess in some rows only is none.
NO_EXCESS = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class GeneralizedFit:
    """A fit and what is derived from it, as arrays.

    Attributes
    ----------
    design
        Arrays, names and the row ledger.
    problem
        The data in the form the deviance uses.
    minimum
        Where the deviance is lowest and how it was found.
    nodes
        Quadrature nodes; 1 is the Laplace approximation.
    weights, offset
        Columns of trials and of the offset, if any.
    asked
        The family requested, which differs from the fit's if its dispersion is at its limit.
    dispersion
        Predictors of the dispersion, if the family requested has one.
    """

    design: Design
    problem: GeneralizedProblem
    minimum: Minimum
    nodes: int
    weights: str | None
    offset: str | None
    asked: Family
    dispersion: DispersionPart | None

    @property
    def at_limit(self) -> bool:
        """Whether the dispersion ran to its limit, where the family becomes another one."""
        return self.asked.name != self.family.name

    @property
    def log_dispersion(self) -> tuple[Array, Array]:
        """Coefficients of the log dispersion, in the columns as given, and their covariance."""
        assert self.dispersion is not None
        if self.at_limit:
            nothing = np.full((1, 1), np.nan)
            return np.array([np.inf if self._limit_at else -np.inf]), nothing
        start = self.template.n_theta + self.problem.p
        back = linalg.inv(self.dispersion.R)
        covariance = back @ self.minimum.covariance[start:, start:] @ back.T
        return back @ self.minimum.other[self.problem.p :], np.asarray(covariance)

    @property
    def one_dispersion(self) -> float:
        """The dispersion, if it is the same in all rows; NaN otherwise."""
        plain = self.dispersion is not None and self.dispersion.names == (INTERCEPT,)
        return float(np.exp(self.log_dispersion[0][0])) if plain or self.at_limit else np.nan

    @property
    def _limit_at(self) -> float:
        assert self.asked.dispersion is not None
        return self.asked.dispersion.at

    @property
    def dispersions(self) -> Array:
        """Dispersion of each row used, in the design's order; empty where there is none."""
        return self._in_order(self.problem.outcome.dispersion)

    def _in_order(self, values: Array) -> Array:
        found = np.empty(len(values))
        if len(values):
            found[self.problem.layout.order] = values
        return found

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
        """Covariance factors, one per grouping factor."""
        return self.minimum.Lambda

    @property
    def gamma(self) -> Array:
        """Coefficients of the working basis."""
        return self.minimum.other[: self.problem.p]

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
        """How the optimiser ended."""
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
        """Coefficients, variances, covariances and the density's further parameters."""
        further = 1 if self.at_limit else self.problem.shape.size
        return self.problem.p + self.problem.template.n_theta + further

    @property
    def beta(self) -> Array:
        """Estimated coefficients on the scale of the linear predictor, (p,)."""
        return np.asarray(linalg.solve_triangular(self.design.fixed.R, self.gamma))

    @cached_property
    def vcov(self) -> Array:
        """Covariance of the estimated coefficients, (p, p); NaN where the fit has not converged."""
        back = linalg.inv(self.design.fixed.R)
        k = self.template.n_theta
        own = slice(k, k + self.problem.p)
        return np.asarray(back @ self.minimum.covariance[own, own] @ back.T)

    @property
    def by_threshold(self) -> bool:
        """Whether some effects differ from threshold to threshold, which ordinal models have."""
        return False

    @property
    def from_search(self) -> Array:
        """Linear map from theta and the search's other parameters to :attr:`beta`: (p, k)."""
        back = np.zeros((self.problem.p, len(self.minimum.covariance)))
        start = self.template.n_theta
        back[:, start : start + self.problem.p] = linalg.inv(self.design.fixed.R)
        return back

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
        if not self.design.groupings:
            return []
        mode = find_mode(problem, problem.arranged(self.Lambda), self.gamma, self.minimum.memory)
        down = descend(problem.layout, mode.up)
        covariances = problem.by_factor([post.K for post in (*down.levels, *down.crossed)])
        return by_label(problem.layout, covariances)

    @property
    def trials(self) -> Array:
        """Trials of each row used, in the design's order."""
        return self._in_order(self.problem.outcome.trials)

    @property
    def known_part(self) -> Array:
        """What the offset adds to the linear predictor of each row used."""
        return self._in_order(self.problem.offset)

    @property
    def fixed_part(self) -> Array:
        """Linear predictor without random effects of each row used, the offset included."""
        return self._in_order(self.problem.offset + self.gamma @ self.problem.Q)


Fitted = TypeVar("Fitted", bound=GeneralizedFit)


def fit_generalized(
    design: Design,
    family: Family,
    trials: Array,
    *,
    nodes: int,
    weights: str | None,
    offset: str | None,
    dispersion: DispersionPart | None = None,
    case_weight: Array | None = None,
) -> GeneralizedFit:
    """Check the outcome, fit, and check the result.

    `case_weight` (n,) gives how many rows each row of a 0/1 outcome represents, as its number of
    trials.
    """
    check_outcome(design, family, trials, weights)
    check_units_vary(design, family, trials)
    if nodes != 1:
        check_nodes(design, nodes)
    known = np.zeros(len(trials)) if offset is None else finite_or_missing(design.frame, offset)
    known = known if design.offset is None else known + design.offset
    check_offset(design, known)
    if case_weight is None:
        problem = make_generalized_problem(design, family, trials, known)
    else:
        weighted = replace(design, y=design.y * case_weight)
        problem = make_generalized_problem(weighted, family, case_weight, known)
    try:
        with one_blas_thread():
            if dispersion is None:
                problem, minimum = _minimise(design, problem, nodes)
            else:
                problem, minimum = _minimise_dispersed(design, problem, dispersion, nodes)
    except linalg.LinAlgError as broken:
        raise NotIdentifiedError(BEYOND) from broken
    check_not_runaway(design, minimum, nodes)
    if not minimum.convergence.converged:
        warn_not_converged(design, minimum)
    return GeneralizedFit(design, problem, minimum, nodes, weights, offset, family, dispersion)


def _minimise(
    design: Design, problem: GeneralizedProblem, nodes: int
) -> tuple[GeneralizedProblem, Minimum]:
    gamma, eta = glm_coefficients(problem)
    check_not_separated(design, problem, eta)
    if not design.groupings:
        return problem, plain_minimum(problem, gamma)
    return problem, minimise_jointly(problem, criterion_of(nodes), gamma)


def _minimise_dispersed(
    design: Design, problem: GeneralizedProblem, part: DispersionPart, nodes: int
) -> tuple[GeneralizedProblem, Minimum]:
    """Fit with a dispersion, or the family at its limit where that fits as well."""
    shape = DispersionColumns(np.ascontiguousarray(part.D[:, problem.layout.order]))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        log_dispersion, gamma = dispersed_start(problem)
    # the least-squares coefficients of a constant: D'D = n I
    psi = log_dispersion * shape.D.sum(axis=1) / problem.n
    problem = replace(problem, shape=shape)
    check_not_separated(design, problem.at(psi), problem.offset + gamma @ problem.Q)
    minimum = minimise_jointly(problem, criterion_of(nodes), np.r_[gamma, psi])
    at_end = _settled(problem.at(minimum.other[problem.p :]))
    _check_zeros_told(design, at_end, minimum)
    excess = _excess(at_end, minimum)
    if excess is None:
        return at_end, minimum
    if excess.max() < NEAR_LIMIT:
        limit, lowest = _at_limit(design, problem, nodes)
        gained = lowest.deviance - minimum.deviance
        if gained <= BEATEN or not minimum.convergence.converged:
            return limit, lowest
    if (excess < NO_EXCESS).any():
        raise NotIdentifiedError(_no_excess(design, problem, excess))
    return at_end, minimum


def _settled(problem: GeneralizedProblem) -> GeneralizedProblem:
    """Give a family its mean where that depends on the (one) dispersion."""
    settled = problem.family.settled
    if settled is None:
        return problem
    return replace(problem, family=settled(float(problem.outcome.dispersion[0])))


def _check_zeros_told(design: Design, at_end: GeneralizedProblem, minimum: Minimum) -> None:
    """Refuse a rate that tends to 0, where counts of at least 1 follow a logarithmic series."""
    if at_end.family.settled is None:
        return
    eta = at_end.offset + minimum.other[: at_end.p] @ at_end.Q
    seen = float((np.exp(eta) / at_end.family.mean(eta)).max())
    if seen < (LEAST_SEEN if minimum.convergence.converged else HALF_SEEN):
        raise NotIdentifiedError(
            f"The counts of '{design.formula.response}' that are seen do not tell how many zeros "
            "are not: the rate runs to 0, and the dispersion away with it (what is left is a "
            'logarithmic series). Use family="truncated poisson", or a model of another kind.'
        )


def _excess(at_end: GeneralizedProblem, minimum: Minimum) -> Array | None:
    """Return the excess variation of rows over the family at the dispersion's limit."""
    dispersion = at_end.family.dispersion
    if dispersion is None or dispersion.excess is None:
        return None
    mean = at_end.family.mean(at_end.offset + minimum.other[: at_end.p] @ at_end.Q)
    found = dispersion.excess(mean, at_end.outcome.trials, at_end.outcome.dispersion)
    return (
        np.where(at_end.outcome.trials == 1.0, found.max(), found)
        if (at_end.family.support == "trials")
        else found
    )


def _at_limit(
    design: Design, problem: GeneralizedProblem, nodes: int
) -> tuple[GeneralizedProblem, Minimum]:
    dispersion = problem.family.dispersion
    assert dispersion is not None
    assert dispersion.limit is not None
    family = family_of(dispersion.limit, problem.family.link)
    outcome = family.outcome(problem.outcome.y, problem.outcome.trials)
    return _minimise(
        design, replace(problem, family=family, outcome=outcome, shape=NO_SHAPE), nodes
    )


def _no_excess(design: Design, problem: GeneralizedProblem, excess: Array) -> str:
    rows = np.zeros(problem.n, dtype=bool)
    rows[problem.layout.order] = excess < NO_EXCESS
    assert problem.family.dispersion is not None
    return (
        f"'{design.formula.response}' scatters no more than a {problem.family.dispersion.limit} "
        f"outcome in {describe_rows(rows, design.index)}, and does elsewhere: the dispersion there "
        "runs to its limit. Leave dispersion= out, or give it a coarser grouping."
    )


def with_enough_nodes(fitted: Callable[[int], Fitted]) -> Fitted:
    """Fit with more and more nodes until the log-likelihood is stable to within 0.0001.

    Raises
    ------
    NotIdentifiedError
        If it is not stable with the largest number of nodes tried.
    """
    before, moved = None, np.inf
    for nodes in LADDER:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            now = fitted(nodes)
        if before is not None:
            moved = abs(now.deviance - before.deviance) / 2.0
        if moved < STANDS:
            if not now.convergence.converged:
                warn_not_converged(now.design, now.minimum)
            return now
        before = now
    raise NotIdentifiedError(
        f"The log-likelihood still moves by {moved:.2g} from {LADDER[-2]} to {LADDER[-1]} nodes: "
        "units vary beyond what quadrature can follow. Look for units whose rows are all alike."
    )


def warn_not_converged(design: Design, minimum: Minimum) -> None:
    """Warn that a fit's results are unusable."""
    warn(
        f"The fit of {design.formula.text!r} has not converged "
        f"({minimum.convergence.message}); do not use its numbers.",
        ConvergenceWarning,
    )
