"""Spreads and coefficients of competing endings, found by the engine's one search and profile.

The deviance of groups' effects on several endings is a criterion as any other: a block of several
linear predictors a row, with one covariance factor. Boundaries, restarts, the last Newton steps and
profiles are those of :mod:`alliance_stats.engine.search` and
:mod:`alliance_stats.engine.likelihood_rise`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.engine.likelihood_rise import HeldProfile, reach
from alliance_stats.engine.search import (
    Convergence,
    Coordinates,
    Minimum,
    Options,
    Slopes,
    polished,
    search,
)
from alliance_stats.engine.template import Template, trapezoid
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.by_session.ending_likelihood import GroupedRows, deviance, group_rows
from alliance_stats.survival.by_session.ending_logit import EndingRows, MultinomialFit

__all__ = ["EffectsFit", "EndingCriterion", "minimise_effects", "sd_limits"]

_FIRST_SD = 0.5
# An SD of log odds beyond this is none of a population.
_LARGEST_SD = 10.0
# Beyond this SD a profile has no upper limit to speak of.
_FURTHEST = 20.0
# By how much a profile may dip under the minimum before that was none.
_LOWER = 1e-4
_RAN_AWAY = (
    "The likelihood of the competing endings could not be computed: the spread between groups, or "
    "a coefficient, ran away. Leave a term out, or join endings."
)


@dataclass(frozen=True, slots=True, eq=False)
class EndingCriterion:
    """The deviance in (theta, coefficients); the memory is where the modes were.

    Attributes
    ----------
    rows
        The data in the order of the groups.
    counts
        (endings, p): whether the ending has a coefficient of that column.
    scale
        Root of half the coefficients' covariance, near which the deviance curves like |x|^2 / 2.
    nodes
        Quadrature nodes a dimension; 1 for the Laplace approximation.
    template
        Which entries of the factor are free, at full rank.
    """

    rows: GroupedRows
    counts: npt.NDArray[np.bool_]
    scale: Array
    nodes: int
    template: Template

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.rows.X)

    def evaluate(self, Lambda: Sequence[Array], other: Array, memory: Array) -> Slopes:
        """Evaluate; far out, where numbers break down, say that there is no fit there."""
        beta = np.zeros(self.counts.shape)
        beta[self.counts] = other
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                found = deviance(self.rows, beta, Lambda[0], memory, self.nodes)
            except linalg.LinAlgError as broken:
                raise NotIdentifiedError(_RAN_AWAY) from broken
        if not (np.isfinite(found.deviance) and np.isfinite(found.beta).all()):
            raise NotIdentifiedError(_RAN_AWAY)
        return Slopes(found.deviance, [found.Lambda], found.beta[self.counts], None, found.u)

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Array
    ) -> Coordinates:
        """Scale an SD by its error were effects known, coefficients by theirs without effects."""
        about = np.eye(template.n_theta) / np.sqrt(2.0 * len(self.rows.sizes))
        scale = linalg.block_diag(about, self.scale)
        return Coordinates(template, np.r_[template.theta(Lambda), other], scale, memory)


@dataclass(frozen=True, slots=True, eq=False)
class EffectsFit:
    """The maximum of the likelihood, and the criterion that it is the maximum of."""

    criterion: EndingCriterion
    minimum: Minimum

    @property
    def beta(self) -> Array:
        """(endings, p) coefficients, NaN where a column does not count."""
        beta = np.full(self.criterion.counts.shape, np.nan)
        beta[self.criterion.counts] = self.minimum.other
        return beta

    @property
    def Lambda(self) -> Array:
        """(endings, endings) factor of the effects' covariance."""
        return self.minimum.Lambda[0]

    @property
    def u(self) -> Array:
        """(groups, endings) spherical effects at their modes."""
        return np.asarray(self.minimum.memory)

    @property
    def log_lik(self) -> float:
        """Log-likelihood."""
        return -self.minimum.deviance / 2.0

    @property
    def covariance(self) -> Array:
        """Of the free entries of theta, then of the coefficients: inverse observed information."""
        return self.minimum.covariance

    @property
    def convergence(self) -> Convergence:
        """How it was found."""
        return self.minimum.convergence


def minimise_effects(
    rows: EndingRows,
    group: npt.NDArray[np.int64],
    plain: MultinomialFit,
    *,
    nodes: int,
    correlated: bool,
) -> EffectsFit:
    """Maximise the likelihood over the spreads and the coefficients.

    Parameters
    ----------
    rows, group
        The data, and the number of each row's group.
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
    scale = linalg.cholesky(plain.covariance / 2.0, lower=True)
    criterion = EndingCriterion(group_rows(rows, group), rows.counts, scale, nodes, template)
    first, u = [_FIRST_SD * np.eye(k)], np.zeros((len(criterion.rows.sizes), k))
    stop = search(criterion, first, plain.beta[rows.counts], u, options=Options())
    largest = np.sqrt((stop.Lambda[0] ** 2).sum(axis=1)).max()
    if largest > _LARGEST_SD:
        raise NotIdentifiedError(
            f"The spread of log odds between groups ran to {largest:.0f}: an ending comes in "
            "some groups always and in others never. Leave the random term out, or join endings."
        )
    return EffectsFit(criterion, polished(criterion, stop))


def sd_limits(fit: EffectsFit, ending: int, *, conf_level: float) -> tuple[float, float]:
    """Return the limits of the SD of groups' effects on one ending, by its profile likelihood.

    The ending is put first: its SD is then the first entry of the covariance's factor.

    Raises
    ------
    NotIdentifiedError
        If the profile shows a lower deviance than the fit.
    """
    sd = float(np.linalg.norm(fit.Lambda[ending]))
    bound = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
    low = 0.0
    if sd > 0.0:
        low = reach(_rise(fit, ending), sd, 0.0, bound=bound, unit=1.0, stride=sd)
    high = reach(
        _rise(fit, ending), sd, np.inf, bound=bound, unit=1.0, stride=max(0.5 * sd, 0.2),
        furthest=_FURTHEST,
    )  # fmt: skip
    return low, high


def _rise(fit: EffectsFit, ending: int) -> Callable[[float], float]:
    """Return how far the deviance lies above its minimum where that ending's SD is held."""
    profile = _held(fit, ending)
    known: dict[float, float] = {}

    def rise(size: float) -> float:
        if size not in known:
            above = profile.deviance(size) - fit.minimum.deviance
            if above < -_LOWER:
                raise NotIdentifiedError(
                    f"The profile found a deviance {-above:.1e} under that of the fit; do not use "
                    "the fit."
                )
            known[size] = max(above, 0.0)
        return known[size]

    return rise


def _held(fit: EffectsFit, ending: int) -> HeldProfile:
    own, template = fit.criterion, fit.criterion.template
    counts = own.counts
    order = np.r_[ending, np.delete(np.arange(len(counts)), ending)]
    place = np.zeros(counts.shape, dtype=np.int64)
    place[counts] = np.arange(int(counts.sum()))
    moved = place[order][counts[order]]
    k = fit.minimum.template.n_theta
    covariance = fit.covariance[k:, k:][np.ix_(moved, moved)]
    rows = replace(own.rows, came=own.rows.came[order], blocked=own.rows.blocked[order])
    criterion = EndingCriterion(
        rows, counts[order], linalg.cholesky(covariance / 2.0, lower=True), own.nodes, template
    )
    independent = len(template.blocks[0]) > 1
    Lambda = fit.Lambda[np.ix_(order, order)] if independent else trapezoid(fit.Lambda[order])
    return HeldProfile(criterion, 0, [Lambda], fit.minimum.other[moved], np.zeros_like(fit.u))
