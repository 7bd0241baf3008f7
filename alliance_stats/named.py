"""Functions that results hold, by name: what a saved result says of them.

A result that asks later (for limits at a level, for a profile) holds a pure function and its
arguments, ``functools.partial(function, ...)``. Marked here, the function has a name that a file
can carry; a file can name no other.
"""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["FUNCTIONS", "named"]

Function = TypeVar("Function", bound=Callable[..., Any])

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""``module.function`` -> the function, for each that is marked."""


def named(function: Function) -> Function:
    """Let results hold this pure function of arrays and levels: a file knows it by its name."""
    FUNCTIONS[f"{function.__module__.rpartition('.')[2]}.{function.__name__.lstrip('_')}"] = (
        function
    )
    return function
