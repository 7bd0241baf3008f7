"""What can go wrong, named.

Every error says what was found, where (column, rows, unit) and what to do about it.
"""

import sys
import warnings

__all__ = [
    "AllianceStatsError",
    "AllianceStatsWarning",
    "ConvergenceWarning",
    "DataError",
    "FormulaError",
    "NotIdentifiedError",
    "WrongObjectError",
    "warn",
]


class AllianceStatsError(Exception):
    """Base of every error that this package raises on purpose."""


class DataError(AllianceStatsError, ValueError):
    """The data cannot be what they claim to be: a missing column, an impossible value, a clash."""


class FormulaError(AllianceStatsError, ValueError):
    """The formula cannot be read, or names something that the data do not have."""


class NotIdentifiedError(AllianceStatsError, ValueError):
    """The data hold no information on a quantity that was asked for."""


class WrongObjectError(AllianceStatsError, TypeError):
    """A function was handed an object of another kind than the one it speaks of."""


class AllianceStatsWarning(UserWarning):
    """Base of every warning that this package gives."""


class ConvergenceWarning(AllianceStatsWarning):
    """An iterative fit stopped before its criterion was flat."""


def warn(told: str, kind: type[AllianceStatsWarning]) -> None:
    """Give a warning at the line outside this package from which it was called."""
    frame, level = sys._getframe(1), 2
    while frame.f_globals.get("__name__", "").split(".")[0] == __package__ and frame.f_back:
        frame, level = frame.f_back, level + 1
    warnings.warn(told, kind, stacklevel=level)
