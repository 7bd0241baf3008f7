"""What a Cox model says of a row: baseline hazard, survival, residuals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alliance_stats.checks import check_frame, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.survival.cox_design import new_covariates
from alliance_stats.survival.curve_intervals import probability_interval
from alliance_stats.survival.interval_columns import IntArray, read_labels
from alliance_stats.survival.partial_likelihood import covariate_sums, score_residuals

if TYPE_CHECKING:
    from alliance_stats.survival.cox_model import CoxModel

__all__ = [
    "augmented",
    "baseline_hazard",
    "dfbeta",
    "linear_predictor",
    "predicted_survival",
    "standardised_rows",
]


def baseline_hazard(model: "CoxModel") -> pd.DataFrame:
    """Return the cumulative hazard of a row whose covariates are all 0.

    Efron's estimate under Efron's ties (each tied event leaves the risk set in turn), Breslow's
    under Breslow's.

    Returns
    -------
    DataFrame
        ``strata, time, n_event, hazard, cumulative_hazard, survival``, a row an event time.
    """
    frames = []
    bounds = model.sets.bounds
    for number, label in enumerate(model.intervals.strata):
        at = slice(bounds[number], bounds[number + 1])
        shift = float(np.exp(-model.design.centre[number] @ model.beta))
        hazard = model.fit.at.hazard[at] * shift
        frames.append(
            pd.DataFrame(
                {
                    "strata": label,
                    "time": model.sets.time[at],
                    "n_event": model.sets.n_event[at],
                    "hazard": hazard,
                    "cumulative_hazard": np.cumsum(hazard),
                    "survival": np.exp(-np.cumsum(hazard)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def linear_predictor(model: "CoxModel", newdata: pd.DataFrame) -> Array:
    """Return the log hazard ratio of each row against a row of zeros, NaN where one is missing."""
    return np.asarray(
        new_covariates(model.design, check_frame(newdata, what="newdata")) @ model.beta
    )


def predicted_survival(
    model: "CoxModel",
    newdata: pd.DataFrame,
    times: Sequence[float] | None,
    *,
    conf_level: float,
    conf_type: str,
) -> pd.DataFrame:
    """Return the survival of new rows whose covariates stay as they are.

    ``exp(-H0(t) exp(x beta))``; its standard error follows Tsiatis (1981, doi:10.1214/aos/
    1176345335), with Efron's sums under Efron's ties and the robust covariance where the model has
    one.
    """
    if model.frailty is not None:
        raise ValueError(
            "Survival under a frailty model depends on the group's frailty, whose uncertainty this "
            "method does not carry. Fit with cluster= instead, or use predict for hazard ratios."
        )
    X = new_covariates(model.design, check_frame(newdata, what="newdata"))
    stratum = _strata_of(model, newdata)
    frames = []
    for row, (x, number) in enumerate(zip(X, stratum, strict=True)):
        time, cumulative, variance = _cumulative_hazard(model, x, int(number))
        at = time if times is None else np.asarray(times, dtype=np.float64)
        place = np.searchsorted(time, at, side="right")
        survival = np.exp(-np.concatenate(([0.0], cumulative))[place])
        std_error = survival * np.sqrt(np.concatenate(([0.0], variance))[place])
        low, high = probability_interval(
            survival, std_error, conf_level=conf_level, conf_type=conf_type
        )
        frames.append(
            pd.DataFrame(
                {
                    "row": newdata.index[row],
                    "time": at,
                    "estimate": survival,
                    "std_error": std_error,
                    "conf_low": low,
                    "conf_high": high,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _cumulative_hazard(model: "CoxModel", x: Array, number: int) -> tuple[Array, Array, Array]:
    """Return times, cumulative hazard and its variance (k,) for one row in one stratum."""
    at = slice(model.sets.bounds[number], model.sets.bounds[number + 1])
    weights, scale = model.fit.at, model.design.scale
    z = (x - model.design.centre[number]) / scale
    risk, tied = covariate_sums(standardised_rows(model), weights, model.sets)
    q1, q2 = weights.squares[0][at, None], weights.squares[1][at, None]
    mean_hazard = np.cumsum(q1 * risk[at] - q2 * tied[at], axis=0)
    hazard = np.cumsum(weights.hazard[at])
    slope = hazard[:, None] * z - mean_hazard
    covariance = model.covariance * np.outer(scale, scale)
    relative = float(np.exp(z @ model.fit.beta))
    own = np.cumsum(weights.squares[0][at])
    variance = relative**2 * (own + np.einsum("kp,pq,kq->k", slope, covariance, slope))
    return model.sets.time[at], relative * hazard, variance


def standardised_rows(model: "CoxModel") -> Array:
    """Return the standardised covariates (p, r) in the order of the risk sets."""
    return model.design.X.take(model.sets.order, axis=1)


def _strata_of(model: "CoxModel", newdata: pd.DataFrame) -> IntArray:
    columns = model.intervals.strata_columns
    if not columns:
        return np.zeros(len(newdata), dtype=np.int64)
    for column in columns:
        if column not in newdata.columns:
            raise DataError(f"newdata has no column '{column}', whose strata the model has.")
    codes, labels = read_labels(newdata, columns)
    known = {label: number for number, label in enumerate(model.intervals.strata)}
    for label in labels:
        if label not in known:
            raise DataError(
                f"newdata holds the stratum '{label}', which the model was not fitted to. "
                f"{did_you_mean(label, known)}"
            )
    return np.array([known[label] for label in labels])[codes]


def augmented(model: "CoxModel") -> pd.DataFrame:
    """Return the rows used, with the model's linear predictor and residuals.

    Returns
    -------
    DataFrame
        The caller's columns and ``linear_predictor`` (log hazard ratio against a row of zeros),
        ``expected`` (events expected of the row), ``martingale`` (event - expected) and
        ``deviance_residual`` (Therneau, Grambsch & Fleming 1990, doi:10.1093/biomet/77.1.147).
    """
    intervals, design = model.intervals, model.design
    expected = np.zeros(len(intervals.exit))
    expected[model.sets.order] = model.fit.at.expected
    event = intervals.event.astype(np.float64)
    martingale = event - expected
    log_part = event * np.log(np.where(event > 0, expected, 1.0))
    size = np.sqrt(np.maximum(-2.0 * (martingale + log_part), 0.0))
    centred = design.X.T @ model.fit.beta + (design.centre @ model.beta)[intervals.stratum]
    return intervals.frame.assign(
        linear_predictor=centred,
        expected=expected,
        martingale=martingale,
        deviance_residual=np.sign(martingale) * size,
    )


def dfbeta(model: "CoxModel") -> pd.DataFrame:
    """Return how much each log hazard ratio would change, about, without each row.

    Returns
    -------
    DataFrame
        A row a row used (indexed as the caller's frame), a column a term.
    """
    if model.frailty is not None:
        raise ValueError("dfbeta is not defined for a frailty model; fit with cluster= instead.")
    score = score_residuals(standardised_rows(model), model.fit.at, model.sets)
    change = np.zeros((len(model.intervals.exit), len(model.beta)))
    change[model.sets.order] = np.linalg.solve(model.fit.information, score).T / model.design.scale
    return pd.DataFrame(change, index=model.intervals.frame.index, columns=model.design.terms)
