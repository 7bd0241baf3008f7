"""Corrections for several tests."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.estimates import Array
from alliance_stats.multilevel.multiplicity import holm

__all__ = ["adjusted_p"]


def adjusted_p(p_values: npt.ArrayLike, *, method: str = "holm") -> Array:
    """Return p-values corrected over all that are not NaN; NaN stays NaN and is not counted.

    ``"holm"`` holds the familywise error rate (Holm 1979), ``"fdr"`` the false discovery rate
    (Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x).
    """
    check_choice(method, ("holm", "fdr"), name="method")
    p = np.asarray(p_values, dtype=np.float64)
    if method == "holm":
        return holm(p)
    corrected = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        corrected[tested] = stats.false_discovery_control(p[tested])
    return corrected
