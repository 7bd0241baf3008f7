"""Coefficients of agreement between coders: kappas and Krippendorff's alpha."""

import math

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats import inter_rater

from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.effect_sizes import EffectSize
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["cohen_kappa", "fleiss_kappa", "krippendorff_alpha"]

_NONE = (math.nan, math.nan, math.nan)


def cohen_kappa(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    weights: str = "none",
    categories: npt.ArrayLike | None = None,
    conf_level: float = 0.95,
) -> EffectSize:
    """Return Cohen's kappa of two coders, weighted by distance of categories if asked.

    Parameters
    ----------
    first, second
        Codes of the same cases, none missing. Weights take the distance of sorted categories'
        ranks: ``"linear"`` or ``"quadratic"``.
    categories
        All possible codes in order, if some were not used.

    Returns
    -------
    EffectSize
        The interval is normal with the large-sample error of Fleiss, Cohen & Everitt (1969),
        doi:10.1037/h0028106, cut at 1; NaN where the cases show no sampling variance (all agree).
        All is NaN where both coders use one and the same code throughout.
    """
    alpha = 1.0 - check_conf_level(conf_level)
    check_choice(weights, ("none", "linear", "quadratic"), name="weights")
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape:
        raise DataError(f"Two coders must code the same cases; got {a.size} and {b.size} codes.")
    codes = np.unique(np.concatenate([a, b])) if categories is None else np.asarray(categories)
    rows, cols = _position(codes, a), _position(codes, b)
    if len({*rows.tolist(), *cols.tolist()}) < 2:
        return EffectSize(*_NONE, conf_level)
    table = np.zeros((codes.size, codes.size))
    np.add.at(table, (rows, cols), 1.0)
    kappa, variance = _weighted_kappa(table, _agreement_weights(codes.size, weights))
    if variance <= 1e-15:  # all cases agree, up to rounding
        return EffectSize(kappa, math.nan, math.nan, conf_level)
    half = float(stats.norm.isf(alpha / 2.0)) * math.sqrt(variance)
    return EffectSize(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), conf_level)


def _agreement_weights(k: int, weights: str) -> Array:
    """Return how far two categories count as agreement: 1 on the diagonal, 0 at the ends."""
    if weights == "none":
        return np.eye(k)
    distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) / (k - 1.0)
    return np.asarray(1.0 - distance ** (1 if weights == "linear" else 2))


def _weighted_kappa(table: Array, weights: Array) -> tuple[float, float]:
    """Return weighted kappa and its large-sample variance (Fleiss, Cohen & Everitt 1969)."""
    n = table.sum()
    p = table / n
    rows, cols = p.sum(axis=1), p.sum(axis=0)
    observed = float(np.sum(weights * p))
    expected = float(np.sum(weights * np.outer(rows, cols)))
    kappa = (observed - expected) / (1.0 - expected)
    by_chance = (weights @ cols)[:, None] + (rows @ weights)[None, :]
    spread = float(np.sum(p * (weights - by_chance * (1.0 - kappa)) ** 2))
    return kappa, (spread - (kappa - expected * (1.0 - kappa)) ** 2) / (n * (1.0 - expected) ** 2)


def fleiss_kappa(codes: npt.NDArray[np.int64]) -> float:
    """Return Fleiss' kappa of cases x coders without missing codes (Fleiss 1971).

    doi:10.1037/h0031619. NaN where one category is used throughout.
    """
    table, used = inter_rater.aggregate_raters(codes)
    return math.nan if used.size < 2 else float(inter_rater.fleiss_kappa(table))


def krippendorff_alpha(ratings: Array, *, level: str = "nominal") -> float:
    """Return Krippendorff's alpha of cases x coders, NaN where a case was not coded.

    ``1 - D_o / D_e`` over all pairs of codes within and between cases; cases with one code add
    nothing. `level` is ``"nominal"``, ``"ordinal"`` or ``"interval"`` and sets the difference of
    two codes (Krippendorff 2019, Content Analysis, 4th ed., ch. 12). NaN where all codes are alike.
    """
    check_choice(level, ("nominal", "ordinal", "interval"), name="level")
    values = np.unique(ratings[~np.isnan(ratings)])
    if values.size < 2:
        return math.nan
    counts = (ratings[:, :, None] == values).sum(axis=1).astype(float)  # cases x values
    per_case = counts.sum(axis=1)
    paired = per_case >= 2
    counts, per_case = counts[paired], per_case[paired]
    # o[c, k]: pairs of codes within cases, each case weighing 1 / (its codes - 1)
    weighted = counts / (per_case - 1.0)[:, None]
    coincidence = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    totals = coincidence.sum(axis=1)
    n = totals.sum()
    difference = _differences(values, totals, level)
    expected = float(np.sum(np.outer(totals, totals) * difference)) / (n - 1.0)
    if expected == 0:
        return math.nan
    return float(1.0 - np.sum(coincidence * difference) / expected)


def _differences(values: Array, totals: Array, level: str) -> Array:
    """Return squared differences between codes."""
    if level == "nominal":
        return np.asarray(1.0 - np.eye(values.size))
    if level == "interval":
        return np.asarray((values[:, None] - values[None, :]) ** 2)
    # ordinal: how many codes lie between, the two ends half
    middle = np.cumsum(totals) - totals / 2.0
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)


def _position(
    codes: npt.NDArray[np.generic], given: npt.NDArray[np.generic]
) -> npt.NDArray[np.intp]:
    order = {code: i for i, code in enumerate(codes.tolist())}
    unknown = [value for value in given.tolist() if value not in order]
    if unknown:
        raise DataError(f"Code {unknown[0]!r} is not among the categories {codes.tolist()}.")
    return np.array([order[value] for value in given.tolist()], dtype=np.intp)
