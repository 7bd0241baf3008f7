"""Frailties of families nested in therapists: how far the hazards of each level differ.

With log frailties ``u = b + A c`` of families, b their own and c their therapists', u is normal
with covariance ``S = s_b I + s_c A A'``. The penalised partial likelihood ``log PL(beta, u) - u'
S^-1 u / 2`` is climbed for given variances; the variances maximise its restricted Laplace
approximation ``log PL - u' S^-1 u / 2 - log|S| / 2 - log|H| / 2`` with H the penalised information
about u and beta (Ripatti & Palmgren 2000, doi:10.1111/j.0006-341X.2000.01016.x).
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import optimize, stats

from alliance_stats.account import Phrase, Section
from alliance_stats.checks import check_conf_level, group_codes
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import p_phrase
from alliance_stats.survival.cox.cox_fit import CoxFit, fit_cox
from alliance_stats.survival.cox.frailty import (
    FACTOR,
    SMALLEST,
    crossing,
    fit_of,
    median_hazard_ratio,
)
from alliance_stats.survival.cox.frailty_likelihood import FrailtyState, Penalty, Pull, maximise
from alliance_stats.survival.cox.risk_sets import RiskSets
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = ["NestedFrailty", "fit_nested_frailty"]

_LARGEST = 100.0  # variance of a log frailty above which a search is on its way to infinity
_NONE = 1e-5  # variance under which a level's is put at 0, if the likelihood does not mind
_LOG_TOLERANCE = 1e-4  # of the logarithm of a variance, at a limit
_STARTS = ((0.25, 0.25), (0.25, 0.01), (0.01, 0.25))
_FLAT = 1e-9


@dataclass(slots=True, eq=False)
class NestedProblem:
    """One model of nested frailties; remembers the last maximum, from which the next starts.

    Attributes
    ----------
    X, sets
        Standardised covariates (p, r), and who was at risk when.
    above
        (q,) the therapist of each family.
    beta
        (p,) coefficients without frailties.
    """

    X: Array
    sets: RiskSets
    above: Integers
    beta: Array
    _start: tuple[Array, Array] = field(init=False)

    def __post_init__(self) -> None:
        self._start = (self.beta, np.zeros(len(self.above)))

    @property
    def size(self) -> Array:
        """(t,) families of each therapist."""
        return np.bincount(self.above).astype(np.float64)

    def state(self, own: float, upper: float) -> FrailtyState:
        """Return the penalised maximum at these variances of families and of therapists."""
        state = maximise(self.X, self.sets, self._penalty(own, upper), self._start)
        self._start = (state.beta, state.b)
        return state

    def _penalty(self, own: float, upper: float) -> Penalty:
        """Return ``u' S^-1 u / 2``: deviations from a therapist's mean have variance s_b.

        The means, of n families, have ``s_b / n + s_c``: written so, nothing large is subtracted.
        """
        n = self.size
        shared = np.zeros((len(n), len(self.above)))
        root = np.sqrt(1.0 / (n + own / upper) / own)
        shared[self.above, np.arange(len(self.above))] = root[self.above]

        def penalty(u: Array) -> Pull:
            mean = np.bincount(self.above, weights=u) / n
            apart, pulled = u - mean[self.above], mean / (own + n * upper)
            value = float(apart @ apart) / own + float(n * mean @ pulled)
            slope = apart / own + pulled[self.above]
            return Pull(value / 2.0, slope, np.full(len(u), 1.0 / own), shared)

        return penalty

    def log_lik(self, state: FrailtyState, own: float, upper: float) -> float:
        """Return Laplace's log-likelihood with the frailties integrated out."""
        n = self.size
        log_det = float(((n - 1.0) * np.log(own) + np.log(own + n * upper)).sum())
        value = state.at.log_lik - state.penalty
        return float(value - (log_det + state.arrow.log_det_groups) / 2.0)

    def restricted(self, own: float, upper: float) -> float:
        """Return the restricted log-likelihood, the criterion of both variances."""
        state = self.state(max(own, SMALLEST), max(upper, SMALLEST))
        half = float(np.linalg.slogdet(state.arrow.schur)[1]) / 2.0
        return self.log_lik(state, max(own, SMALLEST), max(upper, SMALLEST)) - half

    def best_other(self, place: int, value: float, near: float) -> tuple[float, float]:
        """Return the criterion's height where one variance is held, and the best other there."""

        def fall(log_other: float) -> float:
            other = float(np.exp(log_other))
            return -self.restricted(*((value, other) if place == 0 else (other, value)))

        middle = np.log(max(near, 1e-4))
        found = optimize.minimize_scalar(
            fall,
            bounds=(max(middle - 4.0, np.log(SMALLEST)), min(middle + 3.0, np.log(_LARGEST))),
            method="bounded",
            options={"xatol": 1e-2},
        )
        at_zero = -fall(float(np.log(SMALLEST)))
        return max(-float(found.fun), at_zero), float(np.exp(found.x))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NestedFrailty:
    """The estimated spreads of families' and therapists' log frailties.

    Attributes
    ----------
    groups
        Names of the two columns, the inner first.
    variances
        (2,) of the log frailties.
    labels
        Names of the inner and of the outer groups.
    effects
        Their predicted log frailties: (q,) and (t,).
    above
        (q,) the outer group of each inner one.
    log_lik
        Laplace's log-likelihood with the frailties integrated out.
    heights
        Restricted log-likelihood at the estimate, and where the inner, the outer spread is 0.
    problem
        What profiles are computed from.
    """

    groups: tuple[str, str]
    variances: tuple[float, float]
    labels: tuple[pd.Index, pd.Index]
    effects: tuple[Array, Array]
    above: Integers
    log_lik: float
    heights: tuple[float, float, float]
    problem: NestedProblem

    __repr__ = one_line

    @property
    def distribution(self) -> str:
        """``"lognormal"``."""
        return "lognormal"

    @property
    def group(self) -> str:
        """The levels, in a phrase."""
        return f"{self.groups[0]} in {self.groups[1]}"

    @property
    def levels(self) -> pd.Index:
        """The outer groups, from which the outer variance is estimated."""
        return self.labels[1]

    @property
    def n_parameters(self) -> int:
        """Variances."""
        return 2

    @property
    def b(self) -> Array:
        """(q,) log frailty of each inner group, its outer one's added."""
        return self.effects[0] + self.effects[1][self.above]

    def interval(self, place: int, *, conf_level: float = 0.95) -> tuple[float, float]:
        """Return a variance's profile-likelihood interval (from 0 if it extends so far)."""
        drop = stats.chi2.isf(1.0 - check_conf_level(conf_level), 1) / 2.0
        near = self.variances[1 - place]

        def profile(value: float) -> float:
            return self.problem.best_other(place, value, near)[0]

        start = max(self.variances[place], 10.0 * SMALLEST)
        target = self.heights[0] - drop
        low = 0.0
        if self.heights[1 + place] < target:
            low = crossing(profile, target, start, 1.0 / FACTOR, tolerance=_LOG_TOLERANCE)
        return low, crossing(profile, target, start, FACTOR, tolerance=_LOG_TOLERANCE)

    def tidy_spread(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``effect, group, term, estimate, conf_low, conf_high``, two rows per level.

        ``sd__(Intercept)`` of the log hazard, and ``median_hazard_ratio`` of two otherwise equal
        units from different groups of that level (for families: of one therapist).
        """
        frames = []
        for place, group in enumerate(self.groups):
            values = np.array([self.variances[place], *self.interval(place, conf_level=conf_level)])
            sds = np.sqrt(values)
            ratios = [median_hazard_ratio(value, "lognormal") for value in values]
            frames.append(
                pd.DataFrame(
                    {
                        "effect": "ran_pars",
                        "group": group,
                        "term": ["sd__(Intercept)", "median_hazard_ratio"],
                        "estimate": [sds[0], ratios[0]],
                        "conf_low": [sds[1], ratios[1]],
                        "conf_high": [sds[2], ratios[2]],
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def tidy_groups(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``effect, group, level, term, estimate, conf_low, conf_high`` of each group's own.

        The limits are normal, from the curvature at the mode, and take the variances, the
        coefficients and the baseline hazard as known.
        """
        z = stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0)
        frames = [
            pd.DataFrame(
                {
                    "effect": "ran_vals",
                    "group": group,
                    "level": labels,
                    "term": "(Intercept)",
                    "estimate": values,
                    "conf_low": values - z * sds,
                    "conf_high": values + z * sds,
                }
            )
            for group, labels, values, sds in zip(
                self.groups, self.labels, self.effects, self._sds(), strict=True
            )
        ]
        return pd.concat(frames, ignore_index=True)

    def _sds(self) -> tuple[Array, Array]:
        """Return conditional SDs: roots of the diagonal of the inverse of the levels' curvature.

        A family's diagonal element is ``E + 1/s_b``, a therapist's ``sum E + 1/s_c``, and those of
        a family with its therapist are E, the family's expected events.
        """
        own, upper = self.variances
        at = (max(own, SMALLEST), max(upper, SMALLEST))
        expected = self.problem.state(*at).expected
        within = 1.0 / (expected + 1.0 / at[0])
        left = np.bincount(self.above, weights=expected - expected**2 * within)
        outer = 1.0 / (left + 1.0 / at[1])
        inner = within + (expected * within) ** 2 * outer[self.above]
        return np.sqrt(inner) * (own > 0.0), np.sqrt(outer) * (upper > 0.0)

    def section(self, *, conf_level: float = 0.95) -> Section:
        """Return the spreads and the median ratios, as data."""
        spread = self.tidy_spread(conf_level=conf_level)
        names = [
            Phrase(words, (group,))
            for group in self.groups
            for words in ("{}, SD of the log hazard", "{}, median hazard ratio")
        ]
        counts = [
            f"{len(labels)} of {group}"
            for labels, group in zip(self.labels, self.groups, strict=True)
        ]
        lead = f"lognormal frailties over {' in '.join(counts)}"
        return Section(
            lead,
            spread.assign(parameter=names, kind=["number", "ratio"] * 2),
            names=("parameter",),
            measure="",
            kind="kind",
            conf_level=conf_level,
            lead=lead,
        )

    def verdict(self) -> str:
        """Return the test of each spread against none in words (half a chi-squared(1))."""
        said = []
        for group, variance, without in zip(
            self.groups, self.variances, self.heights[1:], strict=True
        ):
            if variance == 0.0:
                said.append(f"the spread of {group} is at its lower bound, none was found")
                continue
            rise = 2.0 * max(self.heights[0] - without, 0.0)
            said.append(
                f"the spread of {group} against none: {p_phrase(stats.chi2.sf(rise, 1) / 2.0)}"
            )
        text = "; ".join(said)
        return f"{text[:1].upper()}{text[1:]}."


def fit_nested_frailty(
    X: Array,
    sets: RiskSets,
    intervals: Intervals,
    terms: tuple[str, ...],
    levels: tuple[Hashable, Hashable],
) -> tuple[CoxFit, Array, NestedFrailty]:
    """Fit a Cox model with a random effect of each inner and each outer group.

    Returns
    -------
    fit, covariance, result
        The covariates' fit, their covariance (p, p) allowing for the frailties, and the variances.
    """
    inner, outer = levels
    codes, labels = group_codes(intervals.frame[inner])
    upper, upper_labels = group_codes(intervals.frame[outer])
    above = _outer_of(codes, upper, labels, levels)
    if len(upper_labels) < 2 or len(labels) == len(upper_labels):
        raise DataError(
            f"Column '{outer}' must have two values or more, and fewer than '{inner}': it has "
            f"{len(upper_labels)} and {len(labels)}. Give the inner level first."
        )
    plain = fit_cox(X, sets, terms)
    problem = NestedProblem(X, sets, above, plain.beta)
    variances, height = _highest(problem)
    at = (max(variances[0], SMALLEST), max(variances[1], SMALLEST))
    heights = (
        height,
        problem.best_other(0, SMALLEST, at[1])[0],
        problem.best_other(1, SMALLEST, at[0])[0],
    )
    state = problem.state(*at)
    summed = np.bincount(above, weights=state.b)
    theirs = np.asarray(summed / (problem.size + at[0] / at[1]))
    effects = (state.b - theirs[above], theirs)
    result = NestedFrailty(
        groups=(str(inner), str(outer)),
        variances=variances,
        labels=(labels, upper_labels),
        effects=(effects[0] * (variances[0] > 0.0), effects[1] * (variances[1] > 0.0)),
        above=above,
        log_lik=problem.log_lik(state, *at),
        heights=heights,
        problem=problem,
    )
    covariance = np.asarray(np.linalg.inv(state.arrow.schur), dtype=np.float64)
    return fit_of(state, plain), covariance, result


def _outer_of(
    codes: Integers, upper: Integers, labels: pd.Index, levels: tuple[Hashable, Hashable]
) -> Integers:
    """Return each inner group's outer one, refusing an id that occurs under two."""
    above = np.zeros(len(labels), dtype=np.int64)
    above[codes] = upper
    astray = above[codes] != upper
    if astray.any():
        found = str(labels[codes[np.flatnonzero(astray)[0]]])
        raise DataError(
            f"'{found}' of column '{levels[0]}' stands under two values of '{levels[1]}': it is no "
            "level within it. Make ids unique, as in f'{therapist}-{family}', or correct them."
        )
    return above


def _highest(problem: NestedProblem) -> tuple[tuple[float, float], float]:
    """Return the variances that maximise the restricted likelihood, and its maximum."""

    def fall(logs: Array) -> float:
        return -problem.restricted(*np.exp(logs).tolist())

    bounds = [(float(np.log(SMALLEST)), float(np.log(_LARGEST)))] * 2
    best = None
    for start in _STARTS:
        found = optimize.minimize(
            fall, np.log(start), jac="3-point", bounds=bounds, method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": _FLAT},
        )  # fmt: skip
        if best is None or found.fun < best.fun - _FLAT:
            best = found
    assert best is not None
    values, height = np.exp(best.x), -float(best.fun)
    if values.max() > 0.99 * _LARGEST:
        raise NotIdentifiedError(
            f"A frailty's variance runs past {_LARGEST:g}: groups differ without bound, as where "
            "each has only events or none. Leave the level out."
        )
    for place in (0, 1):
        lower = values.copy()
        lower[place] = SMALLEST
        if values[place] < _NONE or problem.restricted(*lower.tolist()) >= height - _FLAT:
            values[place] = 0.0
    return (float(values[0]), float(values[1])), height
