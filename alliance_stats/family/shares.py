"""Shares of cells that lie in families or persons: how often a rule fires, with its uncertainty."""

import math

import numpy as np
import numpy.typing as npt

from alliance_stats.estimates import Array, wald_interval

__all__ = ["clustered_share"]


def clustered_share(
    flags: Array, clusters: npt.NDArray[np.generic], *, conf_level: float
) -> dict[str, float]:
    """Return a share of flagged cells with its interval over clusters.

    ``p = sum y_c / sum n_c``; its variance is that of a ratio, ``C/(C - 1) sum (y_c - p n_c)^2 /
    (sum n_c)^2`` (Cochran 1977, Sampling Techniques, 3rd ed., ch. 6), with t on C - 1 df.

    Parameters
    ----------
    flags
        1, 0, or NaN where the rule could not be applied (such cells do not count).
    clusters
        Family or person of each cell.

    Returns
    -------
    dict
        ``n`` (flagged), ``of`` (cells), ``estimate, std_error, conf_low, conf_high`` (limits cut at
        0 and 1). Error and limits are NaN with fewer than two clusters, and where all or no cells
        are flagged: clusters that do not differ leave nothing to judge their spread by.
    """
    known = np.isfinite(flags)
    y, of = float(flags[known].sum()), int(known.sum())
    found = {"n": int(y), "of": of, "estimate": math.nan, "std_error": math.nan}
    found |= {"conf_low": math.nan, "conf_high": math.nan}
    if of == 0:
        return found
    share = y / of
    _, codes = np.unique(clusters[known].astype(str), return_inverse=True)
    C = int(codes.max()) + 1
    found["estimate"] = share
    if C < 2 or y in (0.0, of):
        return found
    left = np.bincount(codes, flags[known] - share, minlength=C)
    found["std_error"] = math.sqrt(C / (C - 1) * float(left @ left)) / of
    low, high = wald_interval(share, found["std_error"], df=C - 1, conf_level=conf_level)
    return {**found, "conf_low": max(float(low), 0.0), "conf_high": min(float(high), 1.0)}
