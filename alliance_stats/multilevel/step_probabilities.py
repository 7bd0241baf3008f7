"""Probabilities of steps: averaged over units, with their derivatives and intervals."""

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.engine.ordered import cumulative, density
from alliance_stats.estimates import Array
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.predictions import step_predictors

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
    fit: OrdinalFit, newdata: pd.DataFrame, *, level: str, conf_level: float
) -> pd.DataFrame:
    """See :meth:`OrdinalMixedModel.step_probabilities`."""
    below, slopes = cumulative_with_slopes(fit, newdata, level=level)
    J, estimate = np.diff(slopes, axis=1), np.diff(below, axis=1)
    error = np.sqrt(np.einsum("njp,pq,njq->nj", J, fit.joint_vcov, J))
    low, high = logit_limits(estimate, error, conf_level)
    n, k = estimate.shape
    frame = newdata.loc[newdata.index.repeat(k)]
    return frame.assign(
        step=np.tile(np.array(fit.steps, dtype=object), n),
        estimate=estimate.ravel(),
        std_error=error.ravel(),
        conf_low=low.ravel(),
        conf_high=high.ravel(),
    )
