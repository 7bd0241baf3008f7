"""Values set side by side, so that each is seen."""

import numpy as np

from alliance_stats.estimates import Array

__all__ = ["swarm"]


def swarm(values: Array, *, bins: int = 40, widest: float = 0.3) -> Array:
    """Return sideways offsets that set near values side by side instead of over one another.

    Values are taken in `bins` bands of their range; in each band they stand symmetrically around
    0, the fullest band reaching at most `widest` to either side. Nothing is random.
    """
    offsets = np.zeros(len(values))
    if len(values) == 0:
        return offsets
    span = float(np.ptp(values)) or 1.0
    band = np.minimum(((values - values.min()) / span * bins).astype(int), bins - 1)
    fullest = int(np.bincount(band).max())
    step = min(0.07, 2 * widest / max(fullest - 1, 1))
    for number in np.unique(band):
        members = np.flatnonzero(band == number)
        members = members[np.argsort(values[members], kind="stable")]
        places = (np.arange(len(members)) - (len(members) - 1) / 2.0) * step
        # neighbours in value go to far places (golden ratio), else bands look like slanted lines
        offsets[members[np.argsort(np.arange(len(members)) * 0.618034 % 1.0)]] = places
    return offsets
