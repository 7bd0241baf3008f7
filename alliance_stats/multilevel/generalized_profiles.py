"""Profile likelihood of a generalized fit: coefficients, thresholds, dispersions, SDs and more.

Coefficients, thresholds and log dispersions are linear in the parameters of the search; the SD of
an effect is one entry of the covariance factor, if that effect comes first in its term; and the
correlation r of two effects that come first makes ``sqrt(1 - r^2) L[1, 0] - r L[1, 1]`` zero. Each
is therefore held fixed by searching the plane on which it has its value, starting from a point of
that plane near the minimum.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.checks import did_you_mean
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.generalized_search import GeneralizedCriterion
from alliance_stats.engine.likelihood_rise import HeldProfile
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.clusters import problem_of
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_functions import ANOVA_COLUMNS, hypotheses
from alliance_stats.multilevel.model_profiles import Curve, Profile
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.parameter_tables import named_parameters
from alliance_stats.named import named

__all__ = [
    "likelihood_ratio_anova",
    "linear_parameters",
    "profile_generalized",
]

# Beyond this relative SD of a generalized model there is no upper limit to speak of.
LARGEST = 20.0
# A logarithm of a dispersion beyond which the family is that at the limit.
AT_LIMIT = 12.0
# By how much a profile may dip under the minimum before the fit was not the minimum.
LOWER = 1e-5
# An SD at zero has this as its scale, and every SD at least this share of it.
SMALL = 0.1


def profile_generalized(fit: GeneralizedFit, *, terms: Sequence[str] | None = None) -> Profile:
    """Profile the deviance of a generalized fit; see :func:`~alliance_stats.multilevel.profile`."""
    _check_mixed(fit)
    linear, random = linear_parameters(fit), named_parameters(fit)
    values = {**random, **{term: value for term, (value, _) in linear.items()}}
    chosen = [term for term in values if np.isfinite(values[term])] if terms is None else terms
    for term in chosen:
        if fit.at_limit and term.startswith("dispersion|"):
            raise NotIdentifiedError(
                f"'{term}' has no profile here: at its limit a dispersion has no curvature. Ask "
                "parametric_bootstrap for it."
            )
        if term not in values:
            raise DataError(f"No parameter '{term}'. {did_you_mean(term, values)}")
        if not np.isfinite(values[term]):
            raise NotIdentifiedError(
                f"'{term}' has no estimate, since the SD of one of its effects is zero: it has no "
                "profile either."
            )
    curves = {
        term: _linear_curve(fit, term, linear[term][1])
        if term in linear
        else _random_curve(fit, term, random[term])
        for term in chosen
    }
    estimates = pd.Series({term: values[term] for term in chosen}, dtype=np.float64)
    return Profile("ML", estimates, curves, fit.design.rows)


def _check_mixed(fit: GeneralizedFit) -> None:
    if not fit.design.groupings:
        raise NotIdentifiedError(
            "The model has no random effects, and profiles are made for those that have: ask for "
            "Wald's tests and limits, or compare two models by likelihood_ratio_test."
        )


def linear_parameters(fit: GeneralizedFit) -> dict[str, tuple[float, Array]]:
    """Return functions linear in the search's other parameters, by name: value and function."""
    design, other = fit.design, fit.minimum.other
    names = [design.fixed.names[i] for i in design.fixed.kept]
    if isinstance(fit, OrdinalFit):
        between = [f"{a}|{b}" for a, b in itertools.pairwise(fit.steps)]
        moved = [f"{names[i]} at {threshold}" for i in fit.nominal for threshold in between]
        names = [*(names[i] for i in fit.located[1:]), *between, *moved]
        sign = np.where(np.arange(len(names)) < len(names) - len(moved), 1.0, -1.0)
        rows = sign[:, None] * fit.back
    else:
        rows = linalg.inv(design.fixed.R)
        if fit.dispersion is not None and not fit.at_limit:
            names += [f"dispersion|{name}" for name in fit.dispersion.names]
            rows = linalg.block_diag(rows, linalg.inv(fit.dispersion.R))
    return {name: (float(row @ other), row) for name, row in zip(names, rows, strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """Where a linear function of (theta, other), theta of full rank, has a value.

    Attributes
    ----------
    direction
        The function.
    at
        Its value at the minimum.
    move
        By how much (theta, other) move for one unit of it, along the valley of the deviance.
    unit
        Its standard error.
    """

    direction: Array
    at: float
    move: Array
    unit: float


def _linear_plane(fit: GeneralizedFit, row: Array) -> _Plane:
    """Return the plane of a function of the other parameters."""
    n_theta, k = fit.problem.template.n_theta, fit.template.n_theta
    V = fit.minimum.covariance
    variance = float(row @ V[k:, k:] @ row)
    move = np.r_[np.zeros(n_theta), V[k:, k:] @ row / variance]
    if not fit.singular:
        move[:n_theta] = V[:k, k:] @ row / variance
    direction = np.r_[np.zeros(n_theta), row]
    return _Plane(direction, float(row @ fit.minimum.other), move, float(np.sqrt(variance)))


def _linear_curve(fit: GeneralizedFit, term: str, row: Array) -> Curve:
    """Rise in deviance along a linear function; a dispersion may run to its limit without any."""
    plane = _linear_plane(fit, row)
    furthest = AT_LIMIT if term.startswith("dispersion|") else np.inf
    return Curve(partial(_rise_at, fit, plane), -np.inf, np.inf, plane.unit, furthest)


@named
def _rise_at(fit: GeneralizedFit, plane: _Plane, value: float) -> float:
    """Rise in deviance with a linear function held at a given value."""
    criterion = GeneralizedCriterion(fit.problem, fit.approximation, joint_steps=0)
    try:
        lowest = _lowest(criterion, fit.Lambda, fit, plane, value)
    except NotIdentifiedError as crossed:
        if not (isinstance(fit, OrdinalFit) and fit.nominal):
            raise
        raise NotIdentifiedError(
            "A profile leads to where thresholds cross in some row, as effects on each threshold "
            "(nominal=) let them: there is no model beyond. Ask parametric_bootstrap for intervals."
        ) from crossed
    return _checked(fit, lowest)


def _lowest(
    criterion: GeneralizedCriterion,
    Lambda: Sequence[Array],
    fit: GeneralizedFit,
    plane: _Plane,
    value: float,
) -> float:
    template = criterion.template
    theta, n_theta = template.theta(Lambda), template.n_theta
    start = np.r_[theta, fit.minimum.other] + (value - plane.at) * plane.move
    profile = HeldProfile(
        criterion, plane.direction[None], template.factors(start[:n_theta]), start[n_theta:],
        criterion.problem.no_effects(),
    )  # fmt: skip
    return profile.deviance(value)


def _checked(fit: GeneralizedFit, lowest: float) -> float:
    if lowest < fit.deviance - LOWER:
        raise NotIdentifiedError(
            f"The profile found a deviance {fit.deviance - lowest:.1e} under that of the fit: few "
            "units with extreme outcomes are more than the approximation can tell apart. Fit again "
            "by quadrature (nodes=15, for one or two random effects), or ask parametric_bootstrap."
        )
    return max(lowest - fit.deviance, 0.0)


def _random_curve(fit: GeneralizedFit, term: str, estimate: float) -> Curve:
    """Rise in deviance with the SD of an effect, or the correlation of two, held."""
    factor, effects = _effects_of(fit, term)
    grouping = fit.design.groupings[factor]
    if len(effects) == 2:
        without = min(_sd_rise(fit, factor, effect, 0.0) for effect in effects)
        rise = partial(_correlation_rise, fit, factor, effects, without)
        return Curve(rise, -1.0, 1.0, max(abs(estimate), SMALL))
    size = float(np.abs(back_transform(grouping.terms)[effects[0]]).max())
    rise, unit = partial(_sd_rise, fit, factor, effects[0]), max(estimate, SMALL * size)
    return Curve(rise, 0.0, np.inf, unit, LARGEST * max(size, estimate))


def _effects_of(fit: GeneralizedFit, term: str) -> tuple[int, tuple[int, ...]]:
    """Return the grouping factor and the effects whose SD or correlation a name refers to."""
    for factor, grouping in enumerate(fit.design.groupings):
        places = range(len(grouping.names))
        for chosen in [*itertools.combinations(places, 1), *itertools.combinations(places, 2)]:
            kind, names = ("sd", "cor")[len(chosen) - 1], [grouping.names[i] for i in chosen]
            if term == f"{grouping.name}|{kind}__{'.'.join(names)}":
                return factor, chosen
    raise DataError(f"No parameter '{term}'.")


@dataclass(frozen=True, slots=True, eq=False)
class _Leading:
    """The deviance in the columns as given, some effects of a term first in it.

    Attributes
    ----------
    criterion
        The deviance.
    Lambda
        The fitted covariance factors, the diagonal positive.
    factor, start
        The grouping factor, and where the term begins in it.
    """

    criterion: GeneralizedCriterion
    Lambda: list[Array]
    factor: int
    start: int

    @classmethod
    def of(cls, fit: GeneralizedFit, factor: int, effects: tuple[int, ...]) -> "_Leading":
        """Rearrange the fit's."""
        grouping, start = fit.design.groupings[factor], 0
        for basis in grouping.terms:
            size = len(basis.names)
            if effects[0] < start + size:
                break
            start += size
        own = np.arange(start, start + size)
        order = np.r_[list(effects), np.setdiff1d(own, effects)]
        T = back_transform(grouping.terms)
        given, whole = np.eye(len(T)), np.eye(len(T))
        given[own] = T[order]  # from the working effects to these
        Z = linalg.solve(given.T, grouping.Z)
        problem = problem_of(
            fit, np.ones(len(fit.design.y), dtype=bool), {factor: replace(grouping, Z=Z)}
        )
        half = given @ fit.Lambda[factor]
        whole[np.ix_(own, own)] = linalg.qr(half[own][:, own].T, mode="r")[0].T
        others = np.setdiff1d(np.arange(len(T)), own)
        whole[np.ix_(others, others)] = fit.Lambda[factor][np.ix_(others, others)]
        Lambda = list(fit.Lambda)
        Lambda[factor] = whole * np.where(np.diag(whole) < 0.0, -1.0, 1.0)
        criterion = GeneralizedCriterion(problem, fit.approximation, joint_steps=0)
        return cls(criterion, Lambda, factor, start)

    def entry(self, row: int, column: int, size: int) -> Array:
        """Return the function that gives an entry of the term's factor: (size,)."""
        wanted = (self.factor, self.start + row, self.start + column)
        entries = self.criterion.problem.template.entries
        place = int(np.flatnonzero((entries == wanted).all(axis=1))[0])
        return np.asarray(np.eye(1, size, place)[0])


@named
def _sd_rise(fit: GeneralizedFit, factor: int, place: int, value: float) -> float:
    """Return the rise: of the effect that comes first, the SD is an entry of Lambda."""
    at = _Leading.of(fit, factor, (place,))
    size = at.criterion.problem.template.n_theta + len(fit.minimum.other)
    direction = at.entry(0, 0, size)
    plane = _Plane(direction, float(at.Lambda[factor][at.start, at.start]), direction, 1.0)
    return _checked(fit, _lowest(at.criterion, at.Lambda, fit, plane, value))


@named
def _correlation_rise(
    fit: GeneralizedFit, factor: int, effects: tuple[int, int], without: float, value: float
) -> float:
    """Return the rise: the second effect's entries of Lambda have the ratio r : sqrt(1 - r^2).

    At `without`, the lower of the rises with one of the two SDs at zero, no correlation counts:
    the rise is no higher anywhere. Where the search ends with the sign of an SD turned, the
    correlation is minus the value, and only that is left.
    """
    at = _Leading.of(fit, factor, effects)
    size = at.criterion.problem.template.n_theta + len(fit.minimum.other)
    rest, second = float(np.sqrt(1.0 - value**2)), at.start + 1
    direction = rest * at.entry(1, 0, size) - value * at.entry(1, 1, size)
    Lambda = [own.copy() for own in at.Lambda]
    sd = float(np.hypot(*Lambda[factor][second, at.start : second + 1]))
    Lambda[factor][second, at.start : second + 1] = value * sd, rest * sd
    held = HeldProfile(
        at.criterion, direction[None], Lambda, fit.minimum.other, at.criterion.problem.no_effects()
    )
    lowest = held.deviance(0.0)
    own = held.Lambda[factor][at.start : second + 1, at.start : second + 1]
    turned = own[0, 0] * (value * own[1, 0] + rest * own[1, 1]) < 0.0
    return without if turned else min(_checked(fit, lowest), without)


def likelihood_ratio_anova(fit: GeneralizedFit, *, kind: str) -> pd.DataFrame:
    """Test every term by likelihood ratio; see :meth:`GeneralizedLinearMixedModel.anova`."""
    _check_mixed(fit)
    named_as = "marginal" if kind == "marginal" else f"type {kind}"
    n_theta, k, found = fit.problem.template.n_theta, fit.template.n_theta, []
    criterion = GeneralizedCriterion(fit.problem, fit.approximation, joint_steps=0)
    for term, C in hypotheses(fit.design, kind):
        if not len(C):
            continue
        rows = C @ fit.from_search[:, k:]
        held = HeldProfile(
            criterion, np.c_[np.zeros((len(rows), n_theta)), rows], fit.Lambda,
            fit.minimum.other, criterion.problem.no_effects(),
        )  # fmt: skip
        df = float(np.linalg.matrix_rank(rows))
        ratio = _checked(fit, held.deviance(0.0))
        found.append(
            {
                "term": term.name, "statistic": ratio / df, "df1": df, "df2": np.inf,
                "p_value": float(stats.chi2.sf(ratio, df)),
                "method": f"{named_as}, likelihood ratio",
            }
        )  # fmt: skip
    return pd.DataFrame(found, columns=ANOVA_COLUMNS)
