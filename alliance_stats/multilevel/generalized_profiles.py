"""Profile likelihood of a generalized fit: coefficients, thresholds, dispersions, SDs.

Coefficients, thresholds and log dispersions are linear in the parameters of the search; the SD of
an effect is one entry of the covariance factor, if that effect comes first in its term. Each is
therefore held fixed by searching the plane on which it has its value, starting from the lowest
point of that plane predicted by the curvature at the minimum.
"""

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.design.formula import INTERCEPT
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.generalized_search import GeneralizedCriterion
from alliance_stats.engine.laplace import laplace
from alliance_stats.engine.likelihood_rise import HeldProfile, reach
from alliance_stats.errors import AllianceStatsWarning, DataError, NotIdentifiedError
from alliance_stats.estimates import Array, link_words, wald_interval
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
    "median_ratio_table",
    "profile_generalized",
    "sd_limits",
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
    sds = [name for name in random if "|sd__" in name]
    correlations = [name for name in random if "|cor__" in name]
    known = [*sds, *linear]
    chosen = list(terms) if terms is not None else known
    for term in chosen:
        if term in correlations or (fit.at_limit and term.startswith("dispersion|")):
            raise NotIdentifiedError(
                f"'{term}' has no profile here: a correlation is not held by itself, and a "
                "dispersion at its limit has no curvature. Ask parametric_bootstrap for it."
            )
        if term not in known:
            raise DataError(f"No parameter '{term}'. {did_you_mean(term, known)}")
    curves = {
        term: _linear_curve(fit, term, linear[term][1])
        if term in linear
        else _sd_curve(fit, term, random[term])
        for term in chosen
    }
    values = {**random, **{term: value for term, (value, _) in linear.items()}}
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


def _sd_curve(fit: GeneralizedFit, term: str, estimate: float) -> Curve:
    """Rise in deviance with the SD of one effect held, its own units first in its term."""
    factor, place = _place_of(fit, term)
    rise = partial(_sd_rise, fit, factor, place)
    size = float(np.abs(back_transform(fit.design.groupings[factor].terms)[place]).max())
    unit = max(estimate, SMALL * size)
    return Curve(rise, 0.0, np.inf, unit, LARGEST * max(size, estimate))


def _place_of(fit: GeneralizedFit, term: str) -> tuple[int, int]:
    """Return the grouping factor and the effect whose SD a name refers to."""
    name = term.partition("|sd__")
    for factor, grouping in enumerate(fit.design.groupings):
        if grouping.name == name[0] and name[2] in grouping.names:
            return factor, grouping.names.index(name[2])
    raise DataError(f"No parameter '{term}'.")


@named
def _sd_rise(fit: GeneralizedFit, factor: int, place: int, value: float) -> float:
    """Return the rise: in the columns as given, that effect first, its SD is an entry of Lambda."""
    grouping, start = fit.design.groupings[factor], 0
    for basis in grouping.terms:
        size = len(basis.names)
        if place < start + size:
            break
        start += size
    own = np.arange(start, start + size)
    order = np.r_[place, own[own != place]]
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
    entries = problem.template.entries
    entry = int(np.flatnonzero((entries == (factor, start, start)).all(axis=1))[0])
    direction = np.eye(1, problem.template.n_theta + len(fit.minimum.other), entry)[0]
    plane = _Plane(direction, float(Lambda[factor][start, start]), direction, 1.0)
    return _checked(fit, _lowest(criterion, Lambda, fit, plane, value))


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


def sd_limits(fit: GeneralizedFit, factor: int, *, conf_level: float) -> tuple[float, float]:
    """Return the limits of a grouping factor's single relative SD in a generalized model.

    Raises
    ------
    ValueError
        If the factor has more than one random effect.
    NotIdentifiedError
        If the profile shows a lower deviance than the fit.

    Warns
    -----
    AllianceStatsWarning
        If it does so above the estimate under the Laplace approximation, which with few units of
        extreme outcomes has a second minimum at large SDs that the integral itself lacks.
    """
    template = fit.problem.template
    if sum(template.blocks[factor]) != 1:
        raise ValueError(
            "Profile limits are for a grouping factor with a single random effect; with slopes "
            "use method='wald'."
        )
    entry = int(np.flatnonzero(template.entries[:, 0] == factor)[0])
    estimate = abs(float(fit.Lambda[factor][0, 0]))
    bound = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
    lowest = (fit.deviance, estimate)

    def rises() -> Callable[[float], float]:
        criterion = GeneralizedCriterion(fit.problem, fit.approximation, joint_steps=0)
        direction = np.eye(1, template.n_theta + len(fit.minimum.other), entry)
        warm = HeldProfile(
            criterion, direction, list(fit.Lambda), fit.minimum.other, fit.minimum.memory
        )

        def rise(size: float) -> float:
            nonlocal lowest
            value = warm.deviance(size)
            if value < fit.deviance - LOWER:
                if fit.approximation is not laplace or size < estimate:
                    raise NotIdentifiedError(
                        f"The profile found a deviance {fit.deviance - value:.1e} under that of "
                        "the fit; do not use the fit."
                    )
                lowest = min(lowest, (value, size))
            return max(value - fit.deviance, 0.0)

        return rise

    low = 0.0
    if estimate > 0.0:
        low = reach(rises(), estimate, 0.0, bound=bound, unit=1.0, stride=estimate)
    high = reach(
        rises(),
        estimate,
        np.inf,
        bound=bound,
        unit=1.0,
        stride=max(0.5 * estimate, 0.2),
        furthest=LARGEST,
    )
    if lowest[1] > estimate:
        warnings.warn(_second_minimum(estimate, fit.deviance, lowest), AllianceStatsWarning, 2)
    return low, high


def _second_minimum(estimate: float, deviance: float, lowest: tuple[float, float]) -> str:
    value, size = lowest
    return (
        f"The Laplace deviance at an SD of {size:.1f} is {deviance - value:.2f} below that of the "
        f"fit (SD {estimate:.2f}): few units with extreme outcomes are more than the approximation "
        "can tell apart. The interval holds both; fit again with nodes=15 before you use the SD."
    )


def median_ratio_table(fit: GeneralizedFit, *, method: str, conf_level: float) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.median_ratios`."""
    link = fit.family.link
    ratio = link_words(link, fit.family.support).ratio
    if ratio is None:
        raise ValueError(
            f"The {link} link has no ratio between units; median ratios are defined for logit "
            "(odds), cloglog (hazards) and log (rates)."
        )
    quartile = np.sqrt(2.0) * stats.norm.ppf(0.75)
    rows = []
    for f, grouping in enumerate(fit.design.groupings):
        if INTERCEPT not in grouping.names:
            continue
        position = grouping.names.index(INTERCEPT)
        sd, log_sd_error = _sd_with_error(fit, f, position)
        if method == "wald":
            limits = np.ravel(wald_interval(0.0, log_sd_error, conf_level=conf_level))
            low, high = sd * np.exp(limits)
        else:
            unit = abs(float(back_transform(grouping.terms)[0, 0]))
            relative = sd_limits(fit, f, conf_level=conf_level)
            low, high = unit * np.array(relative)
        rows.append(
            {
                "group": grouping.name,
                "term": f"median {ratio}",
                "estimate": np.exp(quartile * sd),
                "conf_low": np.exp(quartile * low),
                "conf_high": np.exp(quartile * high),
            }
        )
    return pd.DataFrame(rows, columns=["group", "term", "estimate", "conf_low", "conf_high"])


def _sd_with_error(fit: GeneralizedFit, f: int, position: int) -> tuple[float, float]:
    """SD of one random effect (as given) and the standard error of its logarithm.

    The variance is ``t'Lambda Lambda't`` for a row t of the back-transformation, so its slope in
    Lambda is ``2 t t' Lambda``.
    """
    t = back_transform(fit.design.groupings[f].terms)[position]
    half = t @ fit.Lambda[f]
    variance = float(half @ half)
    if variance == 0.0:
        return 0.0, np.nan
    slopes = [np.zeros_like(Lambda) for Lambda in fit.Lambda]
    slopes[f] = 2.0 * np.outer(t, half)
    gradient = fit.template.theta(slopes) / (2.0 * variance)
    k = len(gradient)
    error = float(gradient @ fit.minimum.covariance[:k, :k] @ gradient)
    return float(np.sqrt(variance)), float(np.sqrt(max(error, 0.0)))
