"""Correlations within and between persons: of observed means, and of a mixed model."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.association.correlation_estimates import (
    CorrelationEstimate,
    check_pair,
    correlation,
)
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.panel import SeveralOutcomes

__all__ = ["Pair", "latent_levels", "observed_levels"]

Pair = tuple[str, str, str, CorrelationEstimate]


def observed_levels(  # noqa: PLR0917
    x: Array, y: Array, units: npt.NDArray[np.int64], one: str, other: str, within: str
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
    return [
        (f"within {within}", one, other, inside),
        (f"between {within}", one, other, between),
    ]


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
