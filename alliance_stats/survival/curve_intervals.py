"""Confidence intervals for a probability that changes with time, and quantiles of a curve."""

import numpy as np
from scipy import stats

from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.estimates import Array

__all__ = ["CONF_TYPES", "crossing_time", "probability_interval"]

CONF_TYPES = ("log-log", "log", "plain")

# A curve this near to the level counts as lying on it (R: the square root of the precision).
_ON_THE_LEVEL = float(np.sqrt(np.finfo(np.float64).eps))


def probability_interval(
    probability: Array, std_error: Array, *, conf_level: float, conf_type: str
) -> tuple[Array, Array]:
    """Return pointwise limits of a survival probability or a cumulative incidence.

    Parameters
    ----------
    probability, std_error
        (k,) the estimate and its standard error, both on the probability scale.
    conf_level
        Pointwise coverage.
    conf_type
        ``"log-log"``: symmetric on log(-log p); stays between 0 and 1. ``"log"``: symmetric on
        log p, cut at 1. ``"plain"``: symmetric on p, cut at 0 and 1.
        (Kalbfleisch & Prentice 2002, section 1.4, doi:10.1002/9781118032985.)

    Returns
    -------
    low, high
        (k,) NaN where the scale is undefined: everywhere p is 0 with no standard error, and for
        ``"log-log"`` also where p is 1.
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    z = stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0)
    if conf_type == "plain":
        half = z * std_error
        return np.maximum(probability - half, 0.0), np.minimum(probability + half, 1.0)
    inside = (probability > 0) & ((probability < 1) | (conf_type == "log"))
    log_p = np.log(probability, out=np.full_like(probability, np.nan), where=inside)
    relative = np.divide(std_error, probability, out=np.full_like(log_p, np.nan), where=inside)
    if conf_type == "log":
        return np.exp(log_p - z * relative), np.minimum(np.exp(log_p + z * relative), 1.0)
    half = z * relative / log_p  # negative, as log p is
    return np.exp(log_p * np.exp(-half)), np.exp(log_p * np.exp(half))


def crossing_time(time: Array, curve: Array, level: float) -> float:
    """Return the first time at which a falling curve lies below `level`, NaN if it never does.

    Where the curve runs flat on the level, the middle of the flat piece is returned; a NaN in the
    curve (an undefined limit) is passed over.
    """
    low = np.flatnonzero(curve < level + _ON_THE_LEVEL)
    if not len(low):
        return float("nan")
    first = low[0]
    if abs(curve[first] - level) < _ON_THE_LEVEL:
        below = low[curve[low] < curve[first]]
        if len(below):
            return float((time[first] + time[below[0]]) / 2.0)
    return float(time[first])
