"""What an effect size is: an estimate and its interval; and what samples must fulfil."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["EffectSize", "finite_sample"]


@dataclass(frozen=True, slots=True)
class EffectSize:
    """An effect and its interval, on the scale that the function's docstring states.

    Attributes
    ----------
    estimate, conf_low, conf_high
        Point estimate and the limits of its confidence interval.
    conf_level
        Coverage that the interval was made for.
    """

    estimate: float
    conf_low: float
    conf_high: float
    conf_level: float = 0.95

    def negated(self) -> "EffectSize":
        """Return the effect with the groups exchanged, for scales where that flips the sign."""
        return EffectSize(-self.estimate, -self.conf_high, -self.conf_low, self.conf_level)


def finite_sample(values: npt.ArrayLike, name: str) -> Array:
    """Return `values` as a one-dimensional float array; missing and infinite values are refused."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} must be one-dimensional; it has {array.ndim} dimensions.")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise DataError(
            f"{name} has {bad} missing or infinite value{'s' if bad > 1 else ''}; "
            "leave them out and count them first."
        )
    return array
