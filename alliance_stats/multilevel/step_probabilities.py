"""Probabilities of steps: averaged over units, with their derivatives and intervals."""

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.design.design import code_new_rows
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.ordered import Steps, cumulative, density, threshold_slopes
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.predictions import (
    DENSE_LIMIT,
    spread,
    step_predictors,
    unknown_variance,
)

__all__ = ["averaged", "cumulative_with_slopes", "logit_limits", "probability_table"]

# Nodes of the average over units: right to 1e-8 up to an SD of 5.
NODES = 60


def averaged(link: str, thresholds: Array, eta: Array, sd: Array) -> tuple[Array, Array]:
    """Average ``F(t - eta - sd U)`` and its slope in t over standard normal U: (n, thresholds)."""
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    w = w / w.sum()
    below, slope = np.zeros((2, len(eta), thresholds.shape[-1]))
    if not sd.any():
        x, w = np.zeros(1), np.ones(1)
    for node, weight in zip(x, w, strict=True):
        at = thresholds - (eta + node * sd)[:, None]
        below += weight * cumulative(link, at)
        slope += weight * density(link, at)
    return below, slope


def below_slopes(fit: OrdinalFit, X: Array, slope: Array) -> Array:
    """Differentiate P(y <= j) in (coefficients without intercept, thresholds, moves).

    With 0 and 1 as first and last: (n, J + 1, parameters).
    """
    n, k = slope.shape
    located = fit.located[1:]
    p, steps = len(located), np.arange(k)
    found = np.zeros((n, k + 2, p + k + k * len(fit.nominal)))
    found[:, 1:-1, :p] = -slope[:, :, None] * X[:, None, located]
    found[:, 1 + steps, p + steps] = slope
    for place, column in enumerate(fit.nominal):
        found[:, 1 + steps, p + (place + 1) * k + steps] = slope * X[:, [column]]
    return found


def unit_covariance(fit: OrdinalFit, newdata: pd.DataFrame, slopes: Array, slope: Array) -> Array:
    """Covariance of the errors of P(y <= j) at predicted effects, one block per row: (n, J, J).

    Thresholds, coefficients and effects have jointly the information of the rows at the mode, and
    effects that of their distribution besides; the variances are taken as known (as for a linear
    model by Henderson's equations; Booth & Hobert 1998, doi:10.1080/01621459.1998.10474121,
    section 3). Units unknown to the fit add their whole variance.

    Parameters
    ----------
    slopes, slope
        Derivatives of P(y <= j) in the coefficients, thresholds and moves, and in the threshold.
    """
    design = fit.design
    rows = code_new_rows(design, newdata, with_units=True, new_units=True)
    n_units = [len(g.labels) for g in design.groupings]
    size = sum(n * len(g.Z) for n, g in zip(n_units, design.groupings, strict=True))
    if size > DENSE_LIMIT:
        raise DataError(
            f"Conditional intervals need a dense matrix of {size} effects, more than "
            f"{DENSE_LIMIT}. Ask for level='population', or for predict(), which has no interval."
        )
    effects, new = [], []
    for grouping, Lambda, Z, units in zip(
        design.groupings, fit.Lambda, rows.Z, rows.units, strict=True
    ):
        effects.append(spread(Lambda.T @ grouping.Z, grouping.codes, len(grouping.labels)))
        working = Lambda.T @ (Z @ back_transform(grouping.terms)).T
        new.append(spread(working * (units >= 0), units, len(grouping.labels)))
    H = _joint_information(fit, np.hstack(effects))
    factor = linalg.cholesky(H, lower=True)
    whole = np.pad(slope, ((0, 0), (1, 1)))  # P(y <= j) from 0 to 1
    c = np.concatenate([slopes @ fit.back, -whole[:, :, None] * np.hstack(new)[:, None]], axis=2)
    half = linalg.solve_triangular(factor, c.reshape(-1, len(H)).T, lower=True)
    half = half.T.reshape(*c.shape[:2], -1)
    unknown = unknown_variance(fit, rows)
    return np.asarray(
        np.einsum("njh,nkh->njk", half, half) + np.einsum("nj,nk,n->njk", whole, whole, unknown)
    )


def _joint_information(fit: OrdinalFit, random: Array) -> Array:
    """Return that of coefficients, thresholds and effects; `random` has the effects' columns."""
    design, order = fit.design, fit.problem.layout.order
    eta = fit.problem.offset + fit.gamma @ fit.problem.Q
    for grouping, b in zip(design.groupings, fit.working_effects, strict=True):
        eta = eta + (grouping.Z * b[:, grouping.codes]).sum(axis=0)[order]
    outcome = fit.problem.outcome
    assert isinstance(outcome, Steps)
    own = threshold_slopes(fit.family.link, eta, outcome)
    aa, ab, bb = np.empty((3, len(eta)))
    aa[order], ab[order], bb[order] = -own.second_aa, -own.second_ab, -own.second_bb
    edges = below_slopes(fit, design.X, np.ones((len(eta), len(fit.J)))) @ fit.back
    step, each = design.y.astype(np.int64), np.arange(len(eta))
    upper = np.hstack([edges[each, step + 1], -random])
    lower = np.hstack([edges[each, step], -random])
    cross = upper.T @ (ab[:, None] * lower)
    H = upper.T @ (aa[:, None] * upper) + lower.T @ (bb[:, None] * lower) + cross + cross.T
    k = edges.shape[2]
    H[np.arange(k, len(H)), np.arange(k, len(H))] += 1.0
    return np.asarray(H)


def cumulative_with_slopes(
    fit: OrdinalFit, newdata: pd.DataFrame, *, level: str
) -> tuple[Array, Array]:
    """Return P(y <= j) of new rows, and its derivatives in coefficients, thresholds and moves.

    With 0 and 1 as first and last: (n, J + 1) and (n, J + 1, parameters).
    """
    eta, sd, X = step_predictors(fit, newdata, level=level)
    below, slope = averaged(fit.family.link, fit.thresholds_at(X), eta, sd)
    whole = np.c_[np.zeros(len(eta)), below, np.ones(len(eta))]
    return whole, below_slopes(fit, X, slope)


def logit_limits(estimate: Array, error: Array, conf_level: float) -> tuple[Array, Array]:
    """Return limits of probabilities, symmetric on the logit scale."""
    half = stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0) * error
    spread = np.maximum(estimate * (1.0 - estimate), np.finfo(float).tiny)
    with np.errstate(divide="ignore"):
        centre = np.log(estimate / (1.0 - estimate))
    return cumulative("logit", centre - half / spread), cumulative("logit", centre + half / spread)


def probability_table(
    fit: OrdinalFit,
    newdata: pd.DataFrame,
    *,
    level: str,
    conf_level: float,
    new_units: str = "refuse",
) -> pd.DataFrame:
    """See :meth:`OrdinalMixedModel.step_probabilities`."""
    eta, sd, X = step_predictors(fit, newdata, level=level, new_units=new_units)
    below, slope = averaged(fit.family.link, fit.thresholds_at(X), eta, sd)
    slopes = below_slopes(fit, X, slope)
    estimate = np.diff(below, axis=1, prepend=0.0, append=1.0)
    if level == "conditional":
        V = unit_covariance(fit, newdata, slopes, slope)
        variance = np.diagonal(np.diff(np.diff(V, axis=1), axis=2), axis1=1, axis2=2)
    else:
        J = np.diff(slopes, axis=1)
        variance = np.einsum("njp,pq,njq->nj", J, fit.joint_vcov, J)
    error = np.sqrt(np.maximum(variance, 0.0))
    low, high = logit_limits(estimate, error, conf_level)
    n, k = estimate.shape
    frame = newdata.iloc[np.repeat(np.arange(n), k)]
    return frame.assign(
        step=np.tile(np.array(fit.steps, dtype=object), n),
        estimate=estimate.ravel(),
        std_error=error.ravel(),
        conf_low=low.ravel(),
        conf_high=high.ravel(),
    )
