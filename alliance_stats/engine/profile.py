"""Profile likelihood: the deviance minimised over all but one value, and where it has risen.

The interval of a parameter holds the values at which the deviance, minimised over everything else,
exceeds its minimum by less than a chi-squared quantile on one degree of freedom (Venzon &
Moolgavkar 1988, doi:10.2307/2347496). With few units this is a better interval than one from the
curvature, and it exists where an SD is estimated as zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from alliance_stats.engine.search import Criterion, Options, run
from alliance_stats.estimates import Array

__all__ = ["HeldProfile", "reach"]

# Relative accuracy of an interval's end, in units of the parameter's own scale.
END_TOLERANCE = 1e-6
# Strides grow by this while the deviance has not risen enough.
GROWTH = 1.7
MOST_STRIDES = 60
# Other SDs start from at least this: from exactly zero no search can leave.
AWAY_FROM_ZERO = 0.1
# A search that fell by less than this is at its minimum.
AGAIN = 1e-6
OPTIONS = Options(ftol=1e-13, gtol=1e-5, maxiter=200, maxcor=10)


def reach(
    rise: Callable[[float], float],
    centre: float,
    limit: float,
    *,
    bound: float,
    unit: float,
    stride: float | None = None,
    furthest: float = np.inf,
) -> float:
    """Find where the rise in deviance reaches `bound` on one side of `centre`.

    Parameters
    ----------
    rise
        Value of the parameter -> rise of the deviance over its minimum.
    centre
        The estimate.
    limit
        The last value that the parameter can take on this side (may be infinite).
    bound
        The rise that is looked for.
    unit
        The parameter's own scale: the end is right to a millionth of it.
    stride
        First step outwards; a tenth of `unit` if not given.
    furthest
        Distance from zero beyond which there is no end to speak of.

    Returns
    -------
    float
        The end; `limit` where the deviance does not rise so far before it, or plus or minus
        infinity beyond `furthest`.
    """
    sign = 1.0 if limit > centre else -1.0
    stride = 0.1 * unit if stride is None else stride
    outer = centre
    for _ in range(MOST_STRIDES):
        inner, outer = outer, centre + sign * stride
        if sign * (outer - limit) >= 0:
            outer = limit
        if abs(outer) > furthest:
            break
        if rise(outer) >= bound:
            return float(
                optimize.brentq(
                    lambda value: np.sqrt(rise(value)) - np.sqrt(bound),
                    inner,
                    outer,
                    xtol=END_TOLERANCE * unit,
                )
            )
        if outer == limit:
            return float(limit)
        stride *= GROWTH
    return sign * np.inf


@dataclass(slots=True)
class HeldProfile:
    """The deviance minimised over all but one entry of theta, warm from its last minimum.

    Attributes
    ----------
    criterion
        The deviance.
    entry
        Which entry of theta is held.
    Lambda, other, memory
        Where the last minimum was.
    """

    criterion: Criterion
    entry: int
    Lambda: Sequence[Array]
    other: Array
    memory: Any

    def deviance(self, size: float) -> float:
        """Return the lowest deviance with the entry at `size`."""
        template = self.criterion.template
        theta = template.theta(self.Lambda)
        diagonal = template.entries[:, 1] == template.entries[:, 2]
        theta = np.where(diagonal & (np.abs(theta) < AWAY_FROM_ZERO), AWAY_FROM_ZERO, theta)
        theta[self.entry] = size
        lowest, Lambda = np.inf, template.factors(theta)
        other, memory = self.other, self.memory
        while True:  # again where a search ended at a step too far
            begin = self.criterion.coordinates(template, Lambda, other, memory)
            stop = run(self.criterion, begin.holding(self.entry), options=OPTIONS)
            Lambda, other, memory = list(stop.Lambda), stop.other, stop.slopes.memory
            if lowest - stop.deviance < AGAIN:
                break
            lowest = stop.deviance
        self.Lambda, self.other, self.memory = Lambda, other, memory
        return stop.deviance
