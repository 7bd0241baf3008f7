"""Names that were changed: the old one is refused with the new one in the message."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["renamed"]

P = ParamSpec("P")
T = TypeVar("T")


def renamed(**new_names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that refuses the old names of a function's arguments.

    Parameters
    ----------
    **new_names
        Old name = new name, as in ``renamed(n_permutations="n_resamples")``.

    Examples
    --------
    >>> @renamed(draws="n_resamples")
    ... def simulate(*, n_resamples=10):
    ...     return n_resamples
    >>> simulate(draws=5)
    Traceback (most recent call last):
        ...
    TypeError: simulate() has no argument 'draws' any more: it is called 'n_resamples' now.
    """

    def refusing(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            for old in new_names.keys() & kwargs.keys():
                raise TypeError(
                    f"{function.__name__}() has no argument '{old}' any more: it is called "
                    f"'{new_names[old]}' now."
                )
            return function(*args, **kwargs)

        return called

    return refusing
