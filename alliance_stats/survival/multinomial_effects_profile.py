"""Profile likelihood of how much groups differ in one ending.

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
from alliance_stats.engine.criterion import Template
from alliance_stats.engine.search import trapezoid
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.multinomial_effects_fit import EffectsFit, Search, run
from alliance_stats.survival.multinomial_modes import GroupedRows

__all__ = ["sd_limits"]

_LIMIT = 1e-4  # limits are found to this
_AWAY_FROM_ZERO = 0.1  # other SDs start from at least this: no search leaves exactly zero
_LARGEST = 20.0  # beyond this SD there is no upper limit to speak of
_LOWER = 1e-4  # by how much a profile may dip under the minimum before that was none
_NEAR = 1e-3  # gradient at which a point of the profile is good to 1e-6


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
        found = run(self.search, self.template, start, scale, near=_NEAR)
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
