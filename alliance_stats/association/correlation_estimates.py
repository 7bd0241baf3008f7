"""Correlations of two columns, also within and between persons: estimates, errors, differences.

Everything is on one of two scales: r itself, or Fisher's ``z = atanh(r)``, on which intervals are
made; each function says which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.panel import SeveralOutcomes

__all__ = [
    "CorrelationEstimate",
    "Method",
    "Pair",
    "check_pair",
    "clustered_error",
    "correlation",
    "difference_dependent",
    "difference_independent",
    "latent_levels",
    "observed_levels",
    "partial_correlation",
    "residuals_given",
]

Method = Literal["pearson", "spearman", "kendall"]


@dataclass(frozen=True, slots=True)
class CorrelationEstimate:
    """A correlation and what its interval needs.

    Attributes
    ----------
    r
        The coefficient.
    n
        Pairs of values.
    z_error
        Standard error of ``atanh(r)``.
    df
        Degrees of freedom of the interval on that scale; infinite unless there are clusters.
    statistic, statistic_df, p_value
        The test of no correlation: t with its df (Pearson, Spearman), z (Kendall, clusters).
    """

    r: float
    n: int
    z_error: float
    df: float
    statistic: float
    statistic_df: float
    p_value: float

    def interval(self, conf_level: float) -> tuple[float, float]:
        """Return the limits of r, back-transformed from Fisher's z."""
        if not np.isfinite(self.z_error):
            return np.nan, np.nan
        half = float(stats.t.isf((1.0 - conf_level) / 2.0, self.df)) * self.z_error
        with np.errstate(divide="ignore"):  # of -1 and 1, whose limits are themselves
            z = np.arctanh(np.clip(self.r, -1.0, 1.0))
        return float(np.tanh(z - half)), float(np.tanh(z + half))


def check_pair(x: Array, y: Array, one: str, other: str) -> None:
    """Refuse two columns that are too short or do not vary, naming them."""
    if len(x) < 4:
        raise NotIdentifiedError(
            f"'{one}' and '{other}' have {len(x)} complete pairs; a correlation with an interval "
            "needs four or more."
        )
    for values, name in ((x, one), (y, other)):
        if np.ptp(values) == 0.0:
            raise NotIdentifiedError(
                f"'{name}' is {values[0]:g} in all {len(values)} pairs with "
                f"'{other if name == one else one}': it correlates with nothing."
            )


def correlation(
    x: Array,
    y: Array,
    *,
    method: Method = "pearson",
    given: int = 0,
    clusters: Integers | None = None,
) -> CorrelationEstimate:
    """Correlate two columns without missing values.

    Parameters
    ----------
    x, y
        (n,) values; for a partial correlation the residuals of both (see
        :func:`residuals_given`), or of their ranks for Spearman's.
    method
        Kendall's is tau-b.
    given
        How many variables were partialled out; each costs a degree of freedom.
    clusters
        Cluster of each pair; the error is then that of sums over clusters.

    Notes
    -----
    Errors of ``atanh(r)``: Pearson ``1/sqrt(n - 3 - k)`` (Fisher 1921); Spearman
    ``sqrt((1 + r^2/2)/(n - 3 - k))`` and Kendall ``sqrt(.437/(n - 4 - k))`` (Bonett & Wright 2000,
    doi:10.1007/BF02294183; Fieller, Hartley & Pearson 1957). With clusters: the sandwich of the
    influence of each pair on r, ``u v - r (u^2 + v^2)/2`` with u and v the standardised values,
    summed over clusters, times ``G/(G - 1)``, with G - 1 degrees of freedom.
    """
    n = len(x)
    if method == "kendall":
        r, p = (float(value) for value in stats.kendalltau(x, y))
        error = np.sqrt(0.437 / (n - 4 - given)) if n > 4 + given else np.nan
        statistic = float(np.sign(r) * stats.norm.isf(p / 2.0)) if p > 0 else np.inf
        return CorrelationEstimate(r, n, float(error), np.inf, statistic, np.inf, p)
    if method == "spearman" and not given:
        x, y = stats.rankdata(x), stats.rankdata(y)
    r = _pearson(x, y)
    if clusters is not None:
        return _clustered(x, y, r, clusters)
    spread = 1.0 + r**2 / 2.0 if method == "spearman" else 1.0
    left = n - 3 - given
    error = float(np.sqrt(spread / left)) if left > 0 else np.nan
    df = n - 2 - given
    if df < 1:
        return CorrelationEstimate(r, n, error, np.inf, np.nan, np.nan, np.nan)
    with np.errstate(divide="ignore"):
        t = float(r * np.sqrt(df / np.float64(1.0 - r**2)))
    return CorrelationEstimate(r, n, error, np.inf, t, df, float(2.0 * stats.t.sf(abs(t), df)))


def partial_correlation(
    x: Array,
    y: Array,
    held: Sequence[Array],
    *,
    method: Method,
    clusters: Integers | None,
) -> CorrelationEstimate:
    """Correlate what regressions on the columns `held` leave (of the ranks, for Spearman's)."""
    if not held:
        return correlation(x, y, method=method, clusters=clusters)
    columns, given = np.column_stack([x, y]), np.column_stack(held)
    if method == "spearman":
        columns, given = (np.apply_along_axis(stats.rankdata, 0, z) for z in (columns, given))
    left = residuals_given(columns, given)
    if (left.std(axis=0) <= 1e-10 * columns.std(axis=0)).any():
        raise NotIdentifiedError(
            "partial= determines a variable without error: nothing of it is left to correlate."
        )
    x, y = left.T
    return correlation(x, y, method=method, given=len(held), clusters=clusters)


def residuals_given(columns: Array, given: Array) -> Array:
    """Return residuals of columns (n, m) regressed on `given` (n, k) and a constant."""
    X = np.column_stack([np.ones(len(given)), given])
    Q = linalg.orth(X / np.maximum(np.abs(X).max(axis=0), 1e-300))
    return np.asarray(columns - Q @ (Q.T @ columns))


def clustered_error(x: Array, y: Array, r: float, clusters: Integers) -> float:
    """Return the standard error of r from sums of its influence over clusters."""
    u, v = _standardised(x), _standardised(y)
    influence = u * v - r * (u**2 + v**2) / 2.0
    n_clusters = int(clusters.max()) + 1
    sums = np.bincount(clusters, weights=influence, minlength=n_clusters)
    return float(np.sqrt(n_clusters / (n_clusters - 1.0) * (sums @ sums)) / len(x))


def difference_independent(
    first: CorrelationEstimate, second: CorrelationEstimate
) -> tuple[float, float]:
    """Return the difference of two independent correlations in Fisher's z, and its error."""
    z = float(np.arctanh(first.r) - np.arctanh(second.r))
    return z, float(np.hypot(first.z_error, second.z_error))


def difference_dependent(
    R: Array, first: tuple[int, int], second: tuple[int, int], n: int
) -> tuple[float, float]:
    """Return the difference in Fisher's z of two correlations of one sample, and its error.

    Parameters
    ----------
    R
        Correlations of the variables, each once.
    first, second
        Which two correlations: positions in `R`; the pairs may have a variable in common.
    n
        Cases.

    Notes
    -----
    Steiger (1980, doi:10.1037/0033-2909.87.2.245): the covariance of the two r (Pearson & Filon
    1898), with both r replaced by the one whose z is their mean, as he advises.
    """
    (j, k), (h, m) = first, second
    mean = float(np.tanh((np.arctanh(R[j, k]) + np.arctanh(R[h, m])) / 2.0))
    pooled = R.copy()
    for a, b in (first, second):
        pooled[a, b] = pooled[b, a] = mean
    covariance = _pearson_filon(pooled, first, second) / (1.0 - mean**2) ** 2
    z = float(np.arctanh(R[j, k]) - np.arctanh(R[h, m]))
    return z, float(np.sqrt(max(0.0, 2.0 - 2.0 * covariance) / (n - 3)))


def _pearson_filon(R: Array, first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return n times the covariance of two correlations, jk and hm."""
    (j, k), (h, m) = first, second
    jk, jh, jm, kh, km, hm = R[j, k], R[j, h], R[j, m], R[k, h], R[k, m], R[h, m]
    return (
        float(
            (jh - jk * kh) * (km - kh * hm)
            + (jm - jh * hm) * (kh - jk * jh)
            + (jh - jm * hm) * (km - jk * jm)
            + (jm - jk * km) * (kh - km * hm)
        )
        / 2.0
    )


def _standardised(values: Array) -> Array:
    centred = values - values.mean()
    return np.asarray(centred / np.sqrt((centred**2).mean()))


def _pearson(x: Array, y: Array) -> float:
    u, v = x - x.mean(), y - y.mean()
    u, v = u / np.abs(u).max(), v / np.abs(v).max()  # squares of 1e-200 would vanish
    return float(np.clip(u @ v / np.sqrt((u @ u) * (v @ v)), -1.0, 1.0))


def _clustered(x: Array, y: Array, r: float, clusters: Integers) -> CorrelationEstimate:
    n_clusters = int(clusters.max()) + 1
    if n_clusters < 2:
        raise NotIdentifiedError("An error over clusters needs two clusters or more.")
    error = clustered_error(x, y, r, clusters)
    df = n_clusters - 1
    z_error = error / (1.0 - r**2) if abs(r) < 1.0 else np.nan
    statistic = np.arctanh(r) / z_error if z_error > 0 else np.nan
    p = float(2.0 * stats.t.sf(abs(statistic), df))
    return CorrelationEstimate(r, len(x), float(z_error), df, float(statistic), df, p)


Pair = tuple[str, str, str, CorrelationEstimate]


def observed_levels(  # noqa: PLR0917
    x: Array, y: Array, units: Integers, one: str, other: str, within: str
) -> list[tuple[str, str, str, CorrelationEstimate]]:
    """Correlate deviations from the units' means, and the means."""
    frame = pd.DataFrame({"unit": units, "x": x, "y": y})
    means = frame.groupby("unit").mean()
    deviations = frame[["x", "y"]].to_numpy() - means.loc[frame["unit"]].to_numpy()
    u, v = deviations.T
    small = [
        name
        for values, name in ((u, one), (v, other))
        if np.abs(values).max() <= 1e-12 * np.abs(frame[["x", "y"]].to_numpy()).max()
    ]
    if small:
        raise NotIdentifiedError(
            f"'{small[0]}' does not vary within '{within}': there is no correlation within. "
            "Correlate the means of the units without within=."
        )
    lost = len(means) - 1  # as in an analysis of covariance with a mean for each unit
    inside = correlation(u, v, given=lost)
    inside = CorrelationEstimate(
        inside.r,
        len(x),
        inside.z_error,
        np.inf,
        inside.statistic,
        inside.statistic_df,
        inside.p_value,
    )
    check_pair(means["x"].to_numpy(), means["y"].to_numpy(), f"mean {one}", f"mean {other}")
    between = correlation(means["x"].to_numpy(), means["y"].to_numpy())
    return [(f"within {within}", one, other, inside), (f"between {within}", one, other, between)]


def latent_levels(model: SeveralOutcomes, data: pd.DataFrame, within: str) -> tuple[Pair, ...]:
    """Return the correlations of a model of several outcomes, one level after the other."""
    found = []
    for row in model.tidy().to_dict("records"):
        inside = row["level"] == f"within {within}"
        one, other = row["other"], row["outcome"]
        both = data[[one, other]].notna().all(axis=1)
        n = int(both.sum()) if inside else int(data.loc[both, within].nunique())
        r, error = float(row["estimate"]), float(row["std_error"])
        z_error = error / (1.0 - r**2) if abs(r) < 1.0 else np.nan
        z = float(np.arctanh(r)) / z_error if z_error > 0 else np.nan
        p = float(2.0 * stats.norm.sf(abs(z)))
        level = row["level"] if inside else f"between {within}"
        found.append((level, one, other, CorrelationEstimate(r, n, z_error, np.inf, z, np.inf, p)))
    return tuple(sorted(found, key=lambda pair: pair[0].startswith("between")))
