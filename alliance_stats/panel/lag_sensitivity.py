"""Deviations from persons' levels, and lagged effects had those who dropped out fared worse."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.engine.lag_criterion import person_effects
from alliance_stats.engine.lag_model import fit_model
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, estimate_columns
from alliance_stats.panel.lag_tables import check_grid, lagged_effects
from alliance_stats.panel.session_table import LaggedModel
from alliance_stats.seeds import Seed

Bools = npt.NDArray[np.bool_]

__all__ = ["deviations", "over_shifts"]


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
    rng = np.random.default_rng(seed)
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


def _after_the_end(y: Array) -> Bools:
    """Mark sessions after a person's last rating: (T, N)."""
    seen: Bools = np.asarray(np.isfinite(y).any(axis=1))
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


def _impute(model: LaggedModel, gone: Bools, rng: np.random.Generator) -> Array:
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


def _matrix(model: LaggedModel, index: npt.NDArray[np.int64]) -> Array:
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
