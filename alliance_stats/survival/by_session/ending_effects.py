"""Effects of groups on each of several endings: SDs, correlations, predicted effects.

The deviance of groups' effects on several endings is a criterion like any other: a block of
several linear predictors per row, with one covariance factor. Boundaries, restarts and the last
Newton steps are those of :mod:`alliance_stats.engine.search`, profiles of
:mod:`alliance_stats.engine.likelihood_rise`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.account import Phrase, Section
from alliance_stats.checks import check_conf_level
from alliance_stats.design.formula import INTERCEPT
from alliance_stats.engine.likelihood_rise import HeldProfile, reach
from alliance_stats.engine.search import Convergence, Minimum, Options, polished, search
from alliance_stats.engine.template import Template, trapezoid
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import (
    LOG_MEDIAN_RATIO,
    Array,
    Integers,
    wald_interval,
)
from alliance_stats.formatting import plural
from alliance_stats.multilevel import tidy_frame
from alliance_stats.survival.by_session.ending_likelihood import (
    EndingCriterion,
    find_mode,
    group_rows,
)
from alliance_stats.survival.by_session.ending_logit import EndingRows, MultinomialFit

__all__ = ["EffectsFit", "EndingEffects", "minimise_effects", "sd_limits"]

_FIRST_SD = 0.5
# Spreads from which a search that stopped on a saddle goes on.
_AWAY = (0.1, 0.5)
# An SD of log odds beyond this is none of a population.
_LARGEST_SD = 10.0
# Beyond this SD a profile has no upper limit to speak of.
_FURTHEST = 20.0
# By how much a profile may dip under the minimum before that was none.
_LOWER = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class EffectsFit:
    """The maximum of the likelihood, and the criterion it maximises."""

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
        """How the maximum was found."""
        return self.minimum.convergence


def minimise_effects(
    rows: EndingRows,
    group: Integers,
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
        Quadrature nodes per dimension.
    correlated
        Whether the effects on different endings may be correlated.

    Raises
    ------
    NotIdentifiedError
        A variance that diverges.
    """
    k = len(rows.counts)
    template = Template.full([[k] if correlated else [1] * k])
    scale = linalg.cholesky(plain.covariance / 2.0, lower=True)
    criterion = EndingCriterion(group_rows(rows, group), rows.counts, scale, nodes, template)
    first, u = [_FIRST_SD * np.eye(k)], np.zeros((len(criterion.rows.sizes), k))
    stop = search(criterion, first, plain.beta[rows.counts], u, options=Options())
    found = polished(criterion, stop)
    for size in _AWAY:
        if found.convergence.converged:
            break
        # a spread of nearly zero is nearly stationary, and a saddle: on from a step away
        again = search(criterion, _widened(found, size), found.other, u, options=Options())
        other = polished(criterion, again)
        found = other if other.deviance < found.deviance + _LOWER else found
    largest = np.sqrt((found.Lambda[0] ** 2).sum(axis=1)).max()
    if largest > _LARGEST_SD:
        raise NotIdentifiedError(
            f"The spread of log odds between groups ran to {largest:.0f}: an ending comes in "
            "some groups always and in others never. Leave the random term out, or join endings."
        )
    return EffectsFit(criterion, found)


def _widened(minimum: Minimum, size: float) -> list[Array]:
    """Return the factor with every direction's spread at least `size`."""
    Lambda = minimum.Lambda[0]
    moved = np.zeros_like(Lambda)
    for _, own in Template.full(minimum.template.blocks).terms():
        U, s, _ = linalg.svd(Lambda[own, own])
        moved[own, own] = trapezoid(U * np.maximum(s, size))
    return [moved]


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
    direction = np.eye(1, template.n_theta + len(moved))
    return HeldProfile(
        criterion, direction, [Lambda], fit.minimum.other[moved], np.zeros_like(fit.u)
    )


@dataclass(frozen=True, slots=True, eq=False)
class EndingEffects:
    """Groups that differ in each ending.

    Attributes
    ----------
    fit
        Spreads and coefficients at the maximum of the likelihood.
    states
        The endings.
    group
        Name of the grouping, and `labels` of its groups.
    n_units
        (groups,) number of units of each in the rows used.
    unit
        Column of the units.
    """

    fit: EffectsFit
    states: tuple[str, ...]
    group: str
    labels: tuple[object, ...]
    n_units: Integers
    unit: str

    @property
    def covariance(self) -> Array:
        """Of a group's effects on the endings: log odds against no ending."""
        return np.asarray(self.fit.Lambda @ self.fit.Lambda.T)

    @property
    def coefficients(self) -> Array:
        """Covariance of the coefficients, which allows for the estimation of the variances."""
        k = self.fit.minimum.template.n_theta
        return self.fit.covariance[k:, k:]

    @property
    def n_parameters(self) -> int:
        """Spreads, correlations and coefficients."""
        criterion = self.fit.criterion
        return criterion.template.n_theta + int(criterion.counts.sum())

    def parameters(self, *, conf_level: float) -> pd.DataFrame:
        """Return SDs with profile limits, and correlations with limits by Fisher's z."""
        sds = np.sqrt(np.diag(self.covariance))
        with one_blas_thread():
            limits = np.array(
                [sd_limits(self.fit, k, conf_level=conf_level) for k in range(len(sds))]
            )
        table = tidy_frame(
            "ran_pars",
            {
                "group": self.group,
                "term": [f"sd__{INTERCEPT}"] * len(sds),
                "estimate": sds,
                "conf_low": limits[:, 0],
                "conf_high": limits[:, 1],
            },
        ).assign(state=list(self.states))
        found = [table]
        if len(self.fit.criterion.template.blocks[0]) == 1:
            found.append(self._correlations(sds, conf_level))
        return pd.concat(found, ignore_index=True)

    def _correlations(self, sds: Array, conf_level: float) -> pd.DataFrame:
        names, estimates, limits = [], [], []
        for i in range(len(sds)):
            for j in range(i):
                defined = sds[i] > 0.0 and sds[j] > 0.0
                r = self.covariance[i, j] / (sds[i] * sds[j]) if defined else np.nan
                r = float(np.clip(r, -1.0, 1.0))
                error = self._z_error(i, j) if defined and abs(r) < 1.0 else np.nan
                with np.errstate(divide="ignore"):
                    limits.append(wald_interval(np.arctanh(r), error, conf_level=conf_level))
                names.append(f"cor__{self.states[j]}.{self.states[i]}")
                estimates.append(r)
        low, high = np.tanh(np.array(limits, dtype=np.float64)).T
        return tidy_frame(
            "ran_pars",
            {
                "group": self.group,
                "term": names,
                "estimate": np.array(estimates),
                "conf_low": low,
                "conf_high": high,
            },
        ).assign(state=None)

    def _z_error(self, i: int, j: int) -> float:
        """Return the standard error of a correlation's z; none on the boundary."""
        if self.fit.minimum.singular:
            return float("nan")
        theta = self.fit.minimum.template.theta([self.fit.Lambda])

        def z(values: Array) -> float:
            a, b = self.fit.minimum.template.factors(values)[0][[i, j]]
            return float(np.arctanh(a @ b / np.sqrt((a @ a) * (b @ b))))

        step = 1e-6
        slope = np.array(
            [(z(theta + step * e) - z(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
        )
        k = len(theta)
        return float(np.sqrt(slope @ self.fit.covariance[:k, :k] @ slope))

    def median_ratios(self, *, conf_level: float) -> pd.DataFrame:
        """Return ``group, state, term, estimate, conf_low, conf_high``: median odds ratios."""
        return self._as_ratios(self.parameters(conf_level=conf_level))

    def _as_ratios(self, parameters: pd.DataFrame) -> pd.DataFrame:
        sds = parameters[: len(self.states)]
        columns = ["estimate", "conf_low", "conf_high"]
        return sds.assign(
            term="median odds ratio",
            **{column: np.exp(LOG_MEDIAN_RATIO * sds[column]) for column in columns},
        )[["group", "state", "term", *columns]]

    def predicted(self, *, conf_level: float) -> pd.DataFrame:
        """Return each group's effect on each ending, with its conditional SD."""
        rows = self.fit.criterion.rows
        fixed = np.nan_to_num(self.fit.beta) @ rows.X.T + rows.blocked
        with one_blas_thread():
            mode = find_mode(rows, fixed, self.fit.Lambda, self.fit.u)
            spread = self.fit.Lambda @ np.linalg.inv(mode.A) @ self.fit.Lambda.T
        effects = mode.u @ self.fit.Lambda.T
        frames = []
        for k, state in enumerate(self.states):
            std_error = np.sqrt(np.maximum(spread[:, k, k], 0.0))
            low, high = wald_interval(effects[:, k], std_error, conf_level=conf_level)
            frames.append(
                tidy_frame(
                    "ran_vals",
                    {
                        "group": self.group,
                        "level": list(self.labels),
                        "term": INTERCEPT,
                        "estimate": effects[:, k],
                        "std_error": std_error,
                        "conf_low": low,
                        "conf_high": high,
                    },
                ).assign(state=state)
            )
        return pd.concat(frames, ignore_index=True)

    def doubts(self) -> list[str]:
        """Say what has not converged, or is on its boundary."""
        found = []
        if not self.fit.convergence.converged:
            found.append(f"The fit did not converge ({self.fit.convergence.message}).")
        sds = np.sqrt(np.diag(self.covariance))
        zero = [state for state, sd in zip(self.states, sds, strict=True) if sd == 0.0]
        if zero:
            found.append(
                f"The variance between units of '{self.group}' is estimated as zero for "
                f"{', '.join(zero)} (boundary fit)."
            )
        elif self.fit.minimum.singular:
            found.append(
                f"The effects of '{self.group}' on the endings vary in "
                f"{self.fit.minimum.template.ranks[0][0]} of {len(sds)} directions (boundary fit): "
                "the data hardly know a correlation, which stands at its limit; independent "
                f"effects are '(1 || {self.group})'."
            )
        return found

    def sections(self, *, conf_level: float = 0.95) -> list[Section]:
        """Return median odds ratios and correlations between units, as data."""
        integral = (
            "Laplace"
            if self.fit.criterion.nodes == 1
            else f"{self.fit.criterion.nodes} nodes an ending"
        )
        table = self.parameters(conf_level=conf_level)
        ratios = Section(
            f"Between units (per session; {integral})",
            self._as_ratios(table).assign(term="median odds ratio"),
            names=("group", "state", "term"),
            measure="",
            kind="ratio",
            conf_level=conf_level,
            lead=f"Between units (per session; {integral})",
        )
        pairs = table[table["state"].isna()].dropna(subset="estimate")
        if pairs.empty:
            return [ratios]
        states = [term.removeprefix("cor__") for term in pairs["term"]]
        named = [pair for pair in combinations(self.states, 2) if ".".join(pair) in states]
        correlated = Section(
            "Correlation of effects on",
            pairs.assign(pair=[Phrase("{} and {}", pair) for pair in named]),
            names=("pair",),
            measure="",
            kind="bounded",
            conf_level=conf_level,
            lead="Correlation of effects",
        )
        return [ratios, correlated]

    def remarks(self) -> tuple[str, ...]:
        """Say how many units were seen once."""
        once = int((self.n_units == 1).sum())
        if not once:
            return ()
        return (
            f"{once} of {plural(len(self.n_units), 'unit')} of '{self.group}' "
            f"{'has' if once == 1 else 'have'} one '{self.unit}': kept.",
        )
