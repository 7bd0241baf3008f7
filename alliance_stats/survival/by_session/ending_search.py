"""Finding spreads and coefficients of competing endings together, honest about boundaries.

Quasi-Newton steps in coordinates in which the deviance curves about equally in all directions, then
Newton steps with the Hessian, taken by differences of the analytic gradient, which gives the
standard errors too. A zero spread is always a stationary point: factors are unbounded, a nearly
singular covariance is put onto its boundary, and left again if the deviance is lower elsewhere (as
in :mod:`alliance_stats.engine.generalized_search`).

Profile likelihood of how much groups differ in one ending.

As :mod:`alliance_stats.multilevel.glmm_profile`: the deviance is minimised over everything else at
fixed values of one SD, and the limits are where it exceeds its minimum by a chi-squared quantile on
one degree of freedom (Venzon & Moolgavkar 1988, doi:10.2307/2347496). The ending in question is put
first: its SD is then the first entry of the covariance's factor.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.engine.search import Convergence
from alliance_stats.engine.template import Template, reduce_rank, trapezoid
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.by_session.ending_integral import Slopes, deviance
from alliance_stats.survival.by_session.ending_logit import EndingRows, GroupedRows, MultinomialFit

__all__ = ["EffectsFit", "Point", "Search", "minimise_effects", "run", "sd_limits"]


# Gradient, in coordinates of about unit curvature, at which quasi-Newton gives way to Newton.
_NEAR = 1e-4
# Gradient in those coordinates at which the fit has converged: within so many standard errors.
_FLAT = 1e-6
_STEP = 5e-5  # of the differences, in standard errors
_NEWTON_STEPS = 10
_FIRST_SD = 0.5
_RESTARTS = (0.05, 0.3, 1.0)
_SAME = 1e-7  # by how much the deviance may rise when a covariance is put onto its boundary
_TOO_FAR = 1e6  # what a point costs at which the deviance cannot be computed
# An SD of log odds beyond this is none of a population.
_LARGEST_SD = 10.0
_RAN_AWAY = (
    "The likelihood of the competing endings could not be computed: the spread between groups, or "
    "a coefficient, ran away. Leave a term out, or join endings."
)


@dataclass(frozen=True, slots=True, eq=False)
class EffectsFit:
    """The maximum of the likelihood.

    Attributes
    ----------
    beta
        (endings, p) coefficients, NaN where a column does not count.
    Lambda
        (endings, endings) factor of the effects' covariance.
    template
        Which of its entries are free: of reduced rank where the covariance is singular.
    covariance
        Of the free entries, then of the coefficients that count: inverse observed information.
    u
        (groups, endings) spherical effects at their modes.
    log_lik
        Log-likelihood.
    nodes
        Quadrature nodes a dimension.
    convergence
        How it was found.
    """

    beta: Array
    Lambda: Array
    template: Template
    covariance: Array
    u: Array
    log_lik: float
    nodes: int
    convergence: Convergence

    @property
    def singular(self) -> bool:
        """Whether a variance is zero or a correlation at its limit."""
        return self.template.ranks != self.template.blocks


@dataclass(slots=True)
class Search:
    """The deviance of some rows, with a memory of where the modes were last."""

    rows: GroupedRows
    counts: npt.NDArray[np.bool_]
    nodes: int
    u: Array
    evaluations: int = 0

    def evaluate(self, beta: Array, Lambda: Array) -> Slopes:
        """Evaluate; far out, where numbers break down, say that there is no fit there."""
        self.evaluations += 1
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                found = deviance(self.rows, beta, Lambda, self.u, self.nodes)
            except linalg.LinAlgError as broken:
                raise NotIdentifiedError(_RAN_AWAY) from broken
        if not (np.isfinite(found.deviance) and np.isfinite(found.beta).all()):
            raise NotIdentifiedError(_RAN_AWAY)
        self.u = found.u
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A place of the search, with coordinates about it: ``(theta, beta) = values + scale x``."""

    template: Template
    values: Array
    scale: Array
    slopes: Slopes

    @property
    def deviance(self) -> float:
        """-2 log-likelihood."""
        return self.slopes.deviance


def split(values: Array, template: Template, counts: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return coefficients and factor from the free values."""
    k = template.n_theta
    beta = np.zeros(counts.shape)
    beta[counts] = values[k:]
    return beta, template.factors(values[:k])[0]


def gathered(slopes: Slopes, template: Template, counts: npt.NDArray[np.bool_]) -> Array:
    """Return the gradient in the free values."""
    return np.concatenate([template.theta([slopes.Lambda]), slopes.beta[counts]])


def minimise_effects(
    rows: EndingRows, grouped: GroupedRows, plain: MultinomialFit, *, nodes: int, correlated: bool
) -> EffectsFit:
    """Maximise the likelihood over the spreads and the coefficients.

    Parameters
    ----------
    rows, grouped
        The data.
    plain
        The fit without effects: where the search begins.
    nodes
        Quadrature nodes a dimension.
    correlated
        Whether the effects on different endings may be correlated.

    Raises
    ------
    NotIdentifiedError
        A spread that runs away.
    """
    k = len(rows.counts)
    template = Template.full([[k] if correlated else [1] * k])
    search = Search(grouped, rows.counts, nodes, np.zeros((len(grouped.sizes), k)))
    scale = linalg.cholesky(plain.covariance / 2.0, lower=True)
    start = np.r_[template.theta([_FIRST_SD * np.eye(k)]), plain.beta[rows.counts]]
    best = _descend(search, template, start, scale)
    restarts = 0
    for size in _RESTARTS:
        if best.template.ranks == template.ranks:
            break
        restarts += 1
        again = _off_the_boundary(best, template, size)
        other = _descend(search, template, again, scale)
        best = other if other.deviance < best.deviance - _SAME else best
    sds = np.sqrt((split(best.values, best.template, rows.counts)[1] ** 2).sum(axis=1))
    if (sds > _LARGEST_SD).any():
        raise NotIdentifiedError(
            f"The spread of log odds between groups ran to {sds.max():.0f}: an ending comes in "
            "some groups always and in others never. Leave the random term out, or join endings."
        )
    return _polished(search, best, restarts)


def _off_the_boundary(best: Point, full: Template, size: float) -> Array:
    """Return values of full rank near a singular covariance."""
    k = best.template.n_theta
    Lambda = best.template.factors(best.values[:k])[0]
    moved = np.zeros_like(Lambda)
    for _, own in full.terms():
        U, s, _ = linalg.svd(Lambda[own, own])
        moved[own, own] = trapezoid(U * np.maximum(s, size))
    return np.concatenate([full.theta([moved]), best.values[k:]])


def _descend(search: Search, template: Template, start: Array, scale: Array) -> Point:
    """Run the optimiser, then put a nearly singular covariance onto its boundary."""
    stop = run(search, template, start, _coordinates(search, template, scale))
    while True:
        k = stop.template.n_theta
        smaller, reduced = reduce_rank(stop.template, stop.template.factors(stop.values[:k]))
        if smaller.ranks == stop.template.ranks:
            return stop
        begin = np.r_[smaller.theta(reduced), stop.values[k:]]
        there = run(search, smaller, begin, _coordinates(search, smaller, scale))
        if there.deviance > stop.deviance + _SAME:
            return stop
        stop = there


def _coordinates(search: Search, template: Template, scale: Array) -> Array:
    """Scale an SD by its error were effects known, coefficients by theirs without effects."""
    about = 1.0 / np.sqrt(2.0 * len(search.rows.sizes))
    return np.asarray(linalg.block_diag(about * np.eye(template.n_theta), scale))


def run(
    search: Search, template: Template, start: Array, scale: Array, *, near: float = _NEAR
) -> Point:
    """L-BFGS over ``start + scale x``; `scale` gives coordinates of about unit curvature.

    Values whose row of `scale` is zero stay as they are.
    """
    best: Point | None = None

    def objective(x: Array) -> tuple[float, Array]:
        nonlocal best
        values = start + scale @ x
        try:
            slopes = search.evaluate(*split(values, template, search.counts))
        except NotIdentifiedError:
            if best is None:
                raise
            # a step of the line search went too far: make it come back
            return best.deviance + _TOO_FAR, np.zeros(len(x))
        if best is None or slopes.deviance < best.deviance:
            best = Point(template, values, scale, slopes)
        return slopes.deviance, scale.T @ gathered(slopes, template, search.counts)

    optimize.minimize(
        objective,
        np.zeros(scale.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-14, "gtol": near, "maxiter": 500, "maxcor": 30},
    )
    if best is None:
        raise NotIdentifiedError(_RAN_AWAY)
    search.u = best.slopes.u
    return best


def _polished(search: Search, stop: Point, restarts: int) -> EffectsFit:
    """End with Newton steps; converged where the Hessian is positive and the gradient flat."""
    template, counts = stop.template, search.counts
    gradient = stop.scale.T @ gathered(stop.slopes, template, counts)
    hessian = _hessian(search, stop, gradient)
    definite = bool(linalg.eigvalsh(hessian)[0] > 0.0)
    for _ in range(_NEWTON_STEPS):
        if not definite or np.abs(gradient).max() < _FLAT:
            break
        step = linalg.cho_solve(linalg.cho_factor(hessian), gradient)
        values = stop.values - stop.scale @ step
        slopes = search.evaluate(*split(values, template, counts))
        if slopes.deviance > stop.deviance + _SAME:
            break
        stop = replace(stop, values=values, slopes=slopes)
        gradient = stop.scale.T @ gathered(slopes, template, counts)
    norm = float(np.abs(gradient).max())
    beta, Lambda = split(stop.values, template, counts)
    inverse = linalg.inv(hessian) if definite else np.full_like(hessian, np.nan)
    return EffectsFit(
        np.where(counts, beta, np.nan),
        Lambda,
        template,
        2.0 * stop.scale @ inverse @ stop.scale.T,
        stop.slopes.u,
        -stop.deviance / 2.0,
        search.nodes,
        Convergence(
            definite and norm < 100.0 * _FLAT,
            search.evaluations,
            norm,
            restarts,
            "" if definite else "The Hessian is not positive definite.",
        ),
    )


def _hessian(search: Search, at: Point, gradient: Array) -> Array:
    """Forward differences of the gradient, in the coordinates of the point."""
    out = np.empty((len(gradient), len(gradient)))
    for i, column in enumerate(at.scale.T):
        search.u = at.slopes.u
        ahead = search.evaluate(*split(at.values + _STEP * column, at.template, search.counts))
        out[i] = (at.scale.T @ gathered(ahead, at.template, search.counts) - gradient) / _STEP
    search.u = at.slopes.u
    return (out + out.T) / 2.0


_LIMIT = 1e-4  # limits are found to this
_AWAY_FROM_ZERO = 0.1  # other SDs start from at least this: no search leaves exactly zero
_LARGEST = 20.0  # beyond this SD there is no upper limit to speak of
_LOWER = 1e-4  # by how much a profile may dip under the minimum before that was none
_PROFILE_NEAR = 1e-3  # gradient at which a point of the profile is good to 1e-6


@dataclass(slots=True)
class _Profile:
    """The deviance minimised over all but the first SD, warm from its last minimum."""

    search: Search
    template: Template
    values: Array
    scale: Array

    def deviance(self, sd: float) -> float:
        diagonal = self.template.entries[:, 1] == self.template.entries[:, 2]
        theta = self.values[: len(diagonal)]
        theta = np.where(diagonal & (np.abs(theta) < _AWAY_FROM_ZERO), _AWAY_FROM_ZERO, theta)
        fixed = np.zeros(len(self.values), dtype=bool)
        fixed[0] = True
        if sd == 0.0:  # nothing else in that column can then be told from the next
            first = self.template.entries[:, 2] == 0
            fixed[: len(first)] |= first
            theta = np.where(first, 0.0, theta)
        theta[0] = sd
        start = np.r_[theta, self.values[len(diagonal) :]]
        scale = np.where(fixed[:, None], 0.0, self.scale)[:, ~fixed]
        found = run(self.search, self.template, start, scale, near=_PROFILE_NEAR)
        self.values = found.values
        return found.deviance


def sd_limits(
    rows: GroupedRows,
    counts: npt.NDArray[np.bool_],
    fit: EffectsFit,
    ending: int,
    *,
    conf_level: float,
) -> tuple[float, float]:
    """Return the limits of the SD of groups' effects on one ending.

    Raises
    ------
    NotIdentifiedError
        If the profile shows a lower deviance than the fit.
    """
    sd = float(np.linalg.norm(fit.Lambda[ending]))
    target = float(np.sqrt(stats.chi2.ppf(check_conf_level(conf_level), 1)))
    lowest = _begin(rows, counts, fit, ending).deviance(sd) if sd > 0.0 else -2.0 * fit.log_lik

    def root(profile: _Profile) -> Callable[[float], float]:
        known = {sd: -target}

        def beyond(value: float) -> float:
            """Nearly linear in the SD: a few secants find its root."""
            if value not in known:
                excess = profile.deviance(value) - lowest
                if excess < -_LOWER:
                    raise NotIdentifiedError(
                        f"The profile found a deviance {-excess:.1e} under that of the fit; do not "
                        "use the fit."
                    )
                known[value] = float(np.sqrt(max(excess, 0.0))) - target
            return known[value]

        return beyond

    low = 0.0
    down, up = (root(_begin(rows, counts, fit, ending)) for _ in range(2))
    if sd > 0.0 and down(0.0) > 0.0:
        down = root(_begin(rows, counts, fit, ending))
        low = float(optimize.brentq(down, sd / 1e4, sd, xtol=_LIMIT))
    above = max(1.5 * sd, sd + 0.2)
    while up(above) < 0.0:
        grown = (above - sd) * target / max(up(above) + target, target / 4.0)
        above = sd + 1.2 * grown
        if above > _LARGEST:
            return low, np.inf
    return low, float(optimize.brentq(up, sd, above, xtol=_LIMIT))


def _begin(
    rows: GroupedRows, counts: npt.NDArray[np.bool_], fit: EffectsFit, ending: int
) -> _Profile:
    """Put the ending first, at the fit."""
    order = np.r_[ending, np.delete(np.arange(len(counts)), ending)]
    template = Template.full(fit.template.blocks)
    if len(fit.template.blocks[0]) > 1:  # independent effects
        Lambda = np.diag(np.abs(np.diag(fit.Lambda))[order])
    else:
        Lambda = trapezoid(fit.Lambda[order])
    values = np.r_[template.theta([Lambda]), fit.beta[order][counts[order]]]
    k = fit.template.n_theta
    place = np.zeros(counts.shape, dtype=np.int64)
    place[counts] = np.arange(int(counts.sum()))
    own = place[order][counts[order]]
    covariance = fit.covariance[k:, k:][np.ix_(own, own)]
    about = np.eye(template.n_theta) / np.sqrt(2.0 * len(rows.sizes))
    moved = replace(rows, came=rows.came[order], blocked=rows.blocked[order])
    search = Search(moved, counts[order], fit.nodes, np.zeros_like(fit.u))
    return _Profile(
        search,
        template,
        values,
        linalg.block_diag(about, linalg.cholesky(covariance / 2.0, lower=True)),
    )
