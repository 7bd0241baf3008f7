"""Likelihood-ratio tests, profile intervals and models side by side."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.engine.lag_fit import held_rise
from alliance_stats.engine.likelihood_rise import reach
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.panel.lag_tables import lag_positions, lagged_effects
from alliance_stats.panel.lagged_model import FittedLags, LagOptions, fit_model, refit

__all__ = ["likelihood_ratio_tests", "profile_intervals", "with_and_without_trends"]

# Standard errors from the estimate within which a profile's end is looked for.
FARTHEST = 20.0


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


def profile_intervals(model: FittedLags, *, on: str | None, conf_level: float) -> pd.DataFrame:
    """Return lagged effects with intervals that end where the deviance has risen enough."""
    bound = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
    if model.options.groups_equal:
        raise NotIdentifiedError("Profiles are made for lagged effects that no group shares.")
    table = lagged_effects(model, conf_level=conf_level)
    wanted = np.ones(len(table), bool) if on is None else (table["outcome"] == on).to_numpy()
    positions = lag_positions(model)[wanted]
    low, high = zip(*(_ends(model, int(at), bound) for at in positions), strict=True)
    dropped = ["statistic", "df", "p_value", "std_error"]
    found = table[wanted].drop(columns=dropped).reset_index(drop=True)
    return found.assign(conf_low=low, conf_high=high, method="profile likelihood")


def _ends(model: FittedLags, position: int, bound: float) -> tuple[float, float]:
    """Return the interval's ends; NaN for an effect that is held, infinite where there is none."""
    if not model.fit.free[position]:
        return np.nan, np.nan
    unit, centre = model.unit[position], float(model.fit.theta[position])
    std_error = float(np.sqrt(model.vcov[position, position])) / unit
    if not np.isfinite(std_error):
        std_error = 0.1
    rises = [held_rise(model.problem, model.scaled, model.fit, position) for _ in range(2)]
    low, high = (
        reach(
            rise, centre, limit, bound=bound, unit=std_error,
            stride=1.1 * std_error * bound**0.5, furthest=abs(centre) + FARTHEST * std_error,
        )
        for rise, limit in zip(rises, (-np.inf, np.inf), strict=True)
    )  # fmt: skip
    return low * unit, high * unit
