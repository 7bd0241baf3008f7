"""The same ratings under other options: tests, profiles, trends and reliabilities side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.engine.lag_fit import held_rise
from alliance_stats.engine.lag_model import fit_model, refit
from alliance_stats.engine.lag_table import LagOptions
from alliance_stats.engine.likelihood_rise import reach
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.panel.lag_tables import (
    check_grid,
    lag_positions,
    lagged_effects,
    within_person_variances,
)
from alliance_stats.panel.session_table import LaggedModel, SessionTable

__all__ = [
    "check_reliabilities",
    "errors_from",
    "fit_reliable",
    "likelihood_ratio_tests",
    "over_reliabilities",
    "profile_intervals",
    "with_and_without_trends",
]

# Standard errors from the estimate within which a profile's end is looked for.
FARTHEST = 20.0


def likelihood_ratio_tests(model: LaggedModel) -> pd.DataFrame:
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


def _row(name: str, restricted: LaggedModel, wider: LaggedModel) -> dict[str, object]:
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


def with_and_without_trends(model: LaggedModel, *, conf_level: float) -> pd.DataFrame:
    """Return the lagged effects without and with linear trends of persons, stacked."""
    parts = []
    for trends, name in ((None, "none"), ("linear", "linear")):
        options: LagOptions = replace(model.options, trends=trends)
        other = model if options == model.options else fit_model(model.table, options)
        found = lagged_effects(other, conf_level=conf_level)
        found.insert(0, "trends", name)
        parts.append(found.assign(log_lik=other.log_lik, aic=aic(other)))
    return pd.concat(parts, ignore_index=True)


def aic(model: LaggedModel) -> float:
    """Return Akaike's criterion."""
    return 2.0 * model.n_parameters - 2.0 * model.log_lik


def profile_intervals(model: LaggedModel, *, on: str | None, conf_level: float) -> pd.DataFrame:
    """Return lagged effects with profile-likelihood intervals."""
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


def _ends(model: LaggedModel, position: int, bound: float) -> tuple[float, float]:
    """Return the interval's limits; NaN for a fixed effect, infinite where there is none."""
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


def over_reliabilities(
    model: LaggedModel, reliabilities: Sequence[float], *, conf_level: float
) -> pd.DataFrame:
    """Return the lagged effects at each of some reliabilities that all outcomes share."""
    reliabilities = check_grid(reliabilities, name="reliabilities")
    for value in reliabilities:
        if not 0.0 < value <= 1.0:
            raise DataError(f"A reliability lies above 0 and is at most 1; got {value!r}.")
    plain = model
    if model.options.errors:
        plain = fit_model(model.table, replace(model.options, errors=()))
    variances = within_person_variances(plain, plain.theta[None])[0].mean(axis=(0, 1))
    parts = []
    near = plain
    for value in sorted(reliabilities, reverse=True):
        errors = tuple(float((1.0 - value) * variance) for variance in variances)
        if value < 1.0:
            near = fit_model(model.table, replace(model.options, errors=errors), near=near)
        found = lagged_effects(near if value < 1.0 else plain, conf_level=conf_level)
        found.insert(0, "reliability", float(value))
        fit = near if value < 1.0 else plain
        parts.append(found.assign(log_lik=fit.log_lik, converged=fit.fit.converged))
    return pd.concat(parts, ignore_index=True)


def check_reliabilities(
    reliability: Mapping[str, float | str] | float | str | None, outcomes: Sequence[str]
) -> dict[str, float | str]:
    """Return each outcome's reliability: a number in (0, 1] or ``"estimate"``."""
    if reliability is None:
        return dict.fromkeys(outcomes, 1.0)
    given = (
        reliability if isinstance(reliability, Mapping) else dict.fromkeys(outcomes, reliability)
    )
    for name in given:
        if name not in outcomes:
            raise DataError(f"reliability names '{name}'. {did_you_mean(name, outcomes)}")
    found: dict[str, float | str] = {}
    for name in outcomes:
        value = given.get(name, 1.0)
        if value == "estimate":
            found[name] = "estimate"
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1:
            found[name] = float(value)
        else:
            raise DataError(
                f"The reliability of '{name}' must be above 0 and at most 1, or 'estimate'; got "
                f"{value!r}."
            )
    return found


def fit_reliable(
    table: SessionTable, options: LagOptions, reliability: Mapping[str, float | str]
) -> LaggedModel:
    """Fit with error variances that follow from reliabilities."""
    values = [reliability[name] for name in table.outcomes]
    if all(value == 1.0 for value in values):
        return fit_model(table, options)
    plain = fit_model(table, replace(options, errors=()))
    errors = errors_from(plain, values)
    return fit_model(table, replace(options, errors=errors), near=plain)


def errors_from(plain: LaggedModel, values: Sequence[float | str]) -> tuple[float | None, ...]:
    """Return error variances that give the within-person variances these reliabilities."""
    variances = within_person_variances(plain, plain.theta[None])[0].mean(axis=(0, 1))
    return tuple(
        None if value == "estimate" else (1.0 - float(value)) * float(variance)
        for value, variance in zip(values, variances, strict=True)
    )
