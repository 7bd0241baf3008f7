"""Likelihood-ratio tests, profile intervals and models side by side."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.engine.lag_fit import highest
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.panel.lag_tables import lagged_effects
from alliance_stats.panel.lagged_model import FittedLags, LagOptions, fit_model, refit

__all__ = ["likelihood_ratio_tests", "profile_intervals", "with_and_without_trends"]

# Accuracy of a profile interval's end, in standard errors.
END = 1e-6
# Standard errors from the estimate within which a profile's end is looked for.
FARTHEST = 12.0
MOST_SECANTS = 25


def likelihood_ratio_tests(model: FittedLags) -> pd.DataFrame:
    """Return ``test, statistic, df, p_value``: what the data say against each restriction."""
    rows = []
    options, outcomes = model.options, model.table.outcomes
    if options.lags == "equal" and options.start != "stationary" and len(model.table.sessions) > 3:
        free = refit(model, replace(options, lags="free"))
        rows.append(_row("lagged effects equal over sessions", model, free))
    if len(model.table.groups) > 1 and not options.groups_equal:
        equal = refit(model, replace(options, groups_equal=True))
        rows.append(_row("lagged effects equal in groups", equal, model))
    if options.start == "free":
        off = refit(model, replace(options, start="correlated"))
        rows.append(_row("start uncorrelated with the intercepts", model, off))
    if options.start == "free" and options.lags == "equal":
        still = refit(model, replace(options, start="stationary"))
        rows.append(_row("start in equilibrium (stationary)", still, model))
    if options.trends is None:
        own = refit(model, replace(options, trends="linear"))
        rows.append(_row("no linear trends of persons", model, own))
    for k, outcome in enumerate(outcomes):
        others = [j for j in range(len(outcomes)) if j != k]
        for j in others:
            none = refit(model, replace(options, zero=(*options.zero, (k, j))))
            rows.append(_row(f"{outcomes[j]} -> {outcome} zero", none, model))
        if len(others) > 1:
            zero = tuple((k, j) for j in others)
            none = refit(model, replace(options, zero=(*options.zero, *zero)))
            rows.append(_row(f"all others -> {outcome} zero", none, model))
    return pd.DataFrame(rows)


def _row(name: str, restricted: FittedLags, wider: FittedLags) -> dict[str, object]:
    statistic = 2.0 * (wider.log_lik - restricted.log_lik)
    df = wider.n_parameters - restricted.n_parameters
    sound = restricted.fit.converged and wider.fit.converged and statistic > -1e-4
    boundary = name.startswith("no linear trends") or wider.fit.at_zero.any()
    value = max(statistic, 0.0) if sound else np.nan
    return {
        "test": name,
        "statistic": value,
        "df": df,
        "p_value": float(stats.chi2.sf(value, df)),
        "boundary": bool(boundary),
        "log_lik_restricted": restricted.log_lik,
        "log_lik": wider.log_lik,
    }


def with_and_without_trends(model: FittedLags, *, conf_level: float) -> pd.DataFrame:
    """Return the lagged effects without and with linear trends of persons, one under the other."""
    parts = []
    for trends, name in ((None, "none"), ("linear", "linear")):
        options: LagOptions = replace(model.options, trends=trends)
        other = model if options == model.options else fit_model(model.table, options)
        found = lagged_effects(other, conf_level=conf_level)
        found.insert(0, "trends", name)
        parts.append(found.assign(log_lik=other.log_lik, aic=aic(other)))
    return pd.concat(parts, ignore_index=True)


def aic(model: FittedLags) -> float:
    """Return Akaike's criterion."""
    return 2.0 * model.n_parameters - 2.0 * model.log_lik


def profile_intervals(model: FittedLags, *, conf_level: float) -> pd.DataFrame:
    """Return the lagged effects with intervals that end where the deviance has risen enough."""
    bound = float(np.sqrt(stats.chi2.ppf(check_conf_level(conf_level), 1)))
    table = lagged_effects(model, conf_level=conf_level)
    positions = np.unique(model.parameters.phi)
    if model.options.groups_equal:
        raise NotIdentifiedError("Profiles are made for lagged effects that no group shares.")
    low, high = [], []
    for position in positions[positions >= 0]:
        if not model.fit.free[position]:
            low.append(np.nan)
            high.append(np.nan)
            continue
        rise = _signed_root(model, int(position))
        low.append(_end(rise, -bound, model, int(position)))
        high.append(_end(rise, bound, model, int(position)))
    kept = [c for c in table.columns if c not in ("statistic", "df", "p_value", "std_error")]
    return table[kept].assign(conf_low=low, conf_high=high, method="profile likelihood")


def _signed_root(model: FittedLags, position: int) -> Callable[[float], float]:
    """Return the signed root of the rise in deviance, a parameter held so many SEs away."""
    fit = model.fit
    free = fit.free.copy()
    free[position] = False
    scaled = replace(model.parameters, fixed_error=model.parameters.fixed_error / model.sd**2)
    step = float(np.sqrt(model.vcov[position, position])) / model.unit[position]
    # other parameters move along their regression on the one that is held
    along = model.vcov[:, position] / model.unit / (step * model.unit[position])

    def root(distance: float) -> float:
        if distance == 0.0:
            return 0.0
        theta: Array = fit.theta + distance * np.where(free, along, 0.0)
        theta[position] = fit.theta[position] + distance * step
        _, _, log_lik = highest(
            model.problem, scaled, theta=theta, coefficients=fit.coefficients, free=free
        )
        rise = max(2.0 * (fit.log_lik - log_lik), 0.0)
        return float(np.sign(distance) * np.sqrt(rise))

    return root


def _end(root: Callable[[float], float], bound: float, model: FittedLags, position: int) -> float:
    """Return where the signed root reaches `bound`, on the parameter's own scale.

    The root is nearly a straight line in standard errors, so secants from the estimate meet it.
    """
    before, value_before = 0.0, 0.0
    distance = bound
    for _ in range(MOST_SECANTS):
        value = root(distance)
        if abs(value - bound) < END:
            step = float(np.sqrt(model.vcov[position, position]))
            return float(model.theta[position] + distance * step)
        slope = (value - value_before) / (distance - before)
        if not slope > 0.02 or abs(distance) > FARTHEST:  # the likelihood no longer falls
            return float(np.sign(bound) * np.inf)
        before, value_before = distance, value
        distance += float(np.clip((bound - value) / slope, -3.0, 3.0))
    return float("nan")
