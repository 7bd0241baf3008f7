"""The same ratings under other options: tests, profiles, trends, reliabilities, shifts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.engine.lag_criterion import person_effects
from alliance_stats.engine.lag_fit import held_rise
from alliance_stats.engine.lag_model import fit_model, refit
from alliance_stats.engine.lag_parameters import LagOptions
from alliance_stats.engine.likelihood_rise import reach
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers, estimate_columns
from alliance_stats.panel.lag_tables import (
    check_grid,
    lag_positions,
    lagged_effects,
    within_person_variances,
)
from alliance_stats.panel.session_table import LaggedModel, SessionTable
from alliance_stats.seeds import Seed, generator_of

__all__ = [
    "check_reliabilities",
    "deviations",
    "errors_from",
    "fit_reliable",
    "likelihood_ratio_tests",
    "over_reliabilities",
    "over_shifts",
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


def deviations(model: LaggedModel) -> pd.DataFrame:
    """Return each rating minus what is expected of this person: ``person, session, ...``.

    The expectation is the mean and the person's predicted stable level (with those of families and
    therapists, and slopes if any): a deviation is what the model calls w, with its error.
    """
    table = model.table
    effects = person_effects(model.problem, model.scaled, model.fit.theta, model.fit.coefficients)
    parts, at = [], 0
    for g, ratings in enumerate(model.problem.groups):
        n = ratings.n_persons
        r = ratings.residuals(model.fit.coefficients[None, g])[:, 0]
        stable = np.einsum("tkq,qn->tkn", ratings.loadings, effects[:, at : at + n])
        w = np.where(ratings.seen > 0.0, (r - stable) * model.sd[:, None], np.nan)
        T = len(table.sessions)
        frame = pd.DataFrame(
            {
                table.names["person"]: np.tile(table.persons[at : at + n], T),
                table.names["session"]: np.repeat(table.sessions, n),
            }
            | {name: w[:, k].ravel() for k, name in enumerate(table.outcomes)}
        )
        parts.append(frame[frame[list(table.outcomes)].notna().any(axis=1)])
        at += n
    return pd.concat(parts, ignore_index=True)


def over_shifts(
    model: LaggedModel,
    shifts: Sequence[float],
    *,
    outcome: str,
    n_imputations: int,
    seed: Seed,
    conf_level: float,
) -> pd.DataFrame:
    """Return the lagged effects had those who dropped out been `shift` points off expectation.

    Each session that a person did not reach is drawn from the fitted model given the ratings that
    were made; `outcome` is then shifted, and the model fitted to what results. The estimates of
    the imputations are pooled by Rubin's rules, t with his degrees of freedom. Ratings missing in
    between stay missing at random.
    """
    table = model.table
    if outcome not in table.outcomes:
        raise DataError(f"outcome names '{outcome}', which is none of {list(table.outcomes)}.")
    gone = _after_the_end(table.y)
    if not gone.any():
        raise NotIdentifiedError(
            "Everybody was rated to the last session, so there is nobody who left to speak of."
        )
    if not isinstance(n_imputations, int) or n_imputations < 2:
        raise DataError(f"n_imputations must be a whole number, 2 or more; got {n_imputations!r}.")
    shifts = check_grid(shifts, name="shifts")
    rng = generator_of(seed)
    drawn = [_impute(model, gone, rng) for _ in range(n_imputations)]
    k = table.outcomes.index(outcome)
    parts = []
    for shift in shifts:
        estimates, variances = [], []
        for y in drawn:
            moved = y.copy()
            moved[:, k][gone] += shift
            fit = fit_model(replace(table, y=moved), model.options, near=model)
            found = lagged_effects(fit)
            estimates.append(found["estimate"].to_numpy())
            variances.append(found["std_error"].to_numpy() ** 2)
        pooled = _pooled(np.array(estimates), np.array(variances), conf_level)
        keys = [c for c in ("strata", "session", "outcome", "predictor", "lag") if c in found]
        part = pd.concat([found[keys], pooled], axis=1)
        part.insert(0, "delta", float(shift))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _after_the_end(y: Array) -> Booleans:
    """Mark sessions after a person's last rating: (T, N)."""
    seen: Booleans = np.asarray(np.isfinite(y).any(axis=1))
    later = np.cumsum(seen[::-1], axis=0)[::-1]
    return np.asarray(later == 0, dtype=np.bool_)


def _pooled(estimates: Array, variances: Array, conf_level: float) -> pd.DataFrame:
    """Pool by Rubin's rules (1987, doi:10.1002/9780470316696): within plus (1 + 1/m) between.

    df are ``(m - 1) (1 + within / ((1 + 1/m) between))^2``.
    """
    m = len(estimates)
    within, between = variances.mean(axis=0), (1 + 1 / m) * estimates.var(axis=0, ddof=1)
    with np.errstate(divide="ignore"):
        df = (m - 1) * (1.0 + within / between) ** 2
    return estimate_columns(
        estimates.mean(axis=0), np.sqrt(within + between), df=df, conf_level=conf_level
    )


def _impute(model: LaggedModel, gone: Booleans, rng: np.random.Generator) -> Array:
    """Draw sessions after the last rating, given a person's ratings; parameters are drawn, too.

    Persons are drawn one pattern at a time from their own normal distribution; what families and
    therapists share enters by its variance, as if each person had families and therapists of
    their own, which leaves a person's own distribution unchanged.
    """
    drawn = _drawn_parameters(model, rng)
    out = model.table.y.copy()
    for g, ratings in enumerate(model.problem.groups):
        own = np.flatnonzero(model.table.group_of == g)
        V = _person_covariance(drawn, g, ratings.loadings)
        mean = _means(model, g)
        T, K, _ = ratings.y.shape
        for i, n in enumerate(own):
            if not gone[:, n].any():
                continue
            y = out[:, :, n].ravel()
            seen, lost = np.isfinite(y), np.repeat(gone[:, n], K)
            half = np.linalg.solve(V[np.ix_(seen, seen)], V[np.ix_(seen, lost)])
            expected = mean[:, :, i].ravel()
            centre = expected[lost] + half.T @ (y[seen] - expected[seen])
            spread = V[np.ix_(lost, lost)] - V[np.ix_(lost, seen)] @ half
            values, vectors = np.linalg.eigh(spread)
            noise = vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(values)))
            y[lost] = centre + noise
            out[:, :, n] = y.reshape(T, K)
    return out


def _drawn_parameters(model: LaggedModel, rng: np.random.Generator) -> LaggedModel:
    """Return the model at parameters drawn from their normal distribution, still in bounds."""
    values, vectors = np.linalg.eigh(model.vcov)
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    for _ in range(100):
        theta = model.theta + half @ rng.standard_normal(len(values))
        first = model.parameters.residual(theta[None], 0).first
        if np.isfinite(first).all():
            return replace(model, theta=theta)
    return model


def _person_covariance(model: LaggedModel, g: int, loadings: Array) -> Array:
    """Return the covariance of all a person's ratings, sessions by outcomes: (TK, TK)."""
    T, K, q = loadings.shape
    residual = model.residual(model.theta[None], g)
    phi, new = residual.phi[0], residual.innovation[0]
    now = residual.first[0]
    V = np.zeros((T, K, T, K))
    for s in range(T):
        if s:
            now = phi[s - 1] @ now @ phi[s - 1].T + new[s - 1]
        carried = now
        for t in range(s, T):
            if t > s:
                carried = phi[t - 1] @ carried
            V[t, :, s] = carried
            V[s, :, t] = carried.T
    Z = loadings.reshape(T * K, q).copy()
    pulled = residual.pull[0]
    for s in range(T):
        if s:
            pulled = phi[s - 1] @ pulled
        Z.reshape(T, K, q)[s, :, :K] += pulled
    G = _matrix(model, model.parameters.person[g])
    for index in model.parameters.above:
        G[:K, :K] += _matrix(model, index)
    errors = np.tile(residual.error[0], T)
    return np.asarray(V.reshape(T * K, T * K) + Z @ G @ Z.T + np.diag(errors))


def _matrix(model: LaggedModel, index: Integers) -> Array:
    padded = np.append(model.theta, 0.0)
    factor = padded[index]
    return np.asarray(factor @ factor.T)


def _means(model: LaggedModel, g: int) -> Array:
    """Return expected ratings in the ratings' units: (T, K, N)."""
    ratings = model.problem.groups[g]
    coefficients = model.coefficients[g]
    n = ratings.basis.shape[1]
    common = ratings.basis @ coefficients[:n]
    X = model.table.covariates[..., model.table.group_of == g]
    own = np.einsum("tmn,mk->tkn", X, coefficients[n:])
    return np.asarray(common[:, :, None] + own)
