"""The product-limit curve, by lifelines where it can: the one module that knows that package.

Only the curve itself is taken from it. Counts at risk, medians, standard errors and restricted
means are our own: lifelines' risk table is off by those who enter or leave at the tick, its median
of a curve that is flat at one half depends on rounding, and it has no clustered standard errors.
"""

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.intervals import Spells
from alliance_stats.survival.life_table import LifeTable

__all__ = ["product_limit"]


def product_limit(spells: Spells, table: LifeTable) -> Array:
    """Return the Kaplan-Meier estimate of S(t) (Kaplan & Meier 1958) at the table's times.

    Parameters
    ----------
    spells
        Times at risk and whether an event closed each.
    table
        Their life table.

    Returns
    -------
    Array
        (k,) survival just after each time of the table.
    """
    if spells.entry.any():
        # lifelines refuses delayed entry wherever the risk set runs empty for a while
        return np.asarray(np.cumprod(1.0 - table.n_event / table.n_risk))
    from lifelines import KaplanMeierFitter

    curve = KaplanMeierFitter().fit(spells.exit, spells.event).survival_function_["KM_estimate"]
    position = np.searchsorted(curve.index.to_numpy(), table.time)
    return np.asarray(curve.to_numpy()[position], dtype=np.float64)
