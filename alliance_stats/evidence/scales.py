"""Effect-size scales, and the way from one to another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

__all__ = ["SCALES", "STABLE", "Scale", "convert"]

_LOGIT_PER_D = np.pi / np.sqrt(3.0)

Conversion = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale: its family, and the way to and from the family's common scale.

    Common to r, d and odds ratios is d (groups of equal size); common to hazard ratios is their
    logarithm. Each step is increasing, so the ends of an interval convert one by one.
    """

    family: str
    to_common: Conversion
    from_common: Conversion


def _identity(value: float) -> float:
    return value


# r = d / sqrt(d^2 + 4), atanh r = asinh(d / 2), ln OR = d pi / sqrt(3)
SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "r": Scale("d", lambda r: 2.0 * r / np.sqrt(1.0 - r * r), lambda d: d / np.hypot(d, 2.0)),
        "fisher_z": Scale("d", lambda z: 2.0 * np.sinh(z), lambda d: np.arcsinh(d / 2.0)),
        "d": Scale("d", _identity, _identity),
        "g": Scale("d", _identity, _identity),
        "log_odds_ratio": Scale("d", lambda b: b / _LOGIT_PER_D, lambda d: d * _LOGIT_PER_D),
        "odds_ratio": Scale(
            "d", lambda x: np.log(x) / _LOGIT_PER_D, lambda d: np.exp(d * _LOGIT_PER_D)
        ),
        "log_hazard_ratio": Scale("hazard", _identity, _identity),
        "hazard_ratio": Scale("hazard", np.log, np.exp),
        "exp_b": Scale("hazard", np.log, np.exp),
    }
)

# where estimates are near normal, and differences are taken: Fisher's z, d, logarithms
STABLE = MappingProxyType({"d": "fisher_z", "hazard": "log_hazard_ratio"})


def convert(value: float, scale: str, on: str) -> float:
    """Return `value`, on `scale`, as it is on the scale `on` of the same family."""
    if scale == on:
        return float(value)
    with np.errstate(divide="ignore", over="ignore"):
        return float(SCALES[on].from_common(SCALES[scale].to_common(float(value))))
