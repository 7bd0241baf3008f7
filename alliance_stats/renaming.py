"""Names that were changed or are asked elsewhere: refused with the right one in the message."""

import functools
import inspect
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

__all__ = ["asked_of_tidy", "known", "moved", "renamed"]

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


def asked_of_tidy(*names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator of a method that refuses settings which belong to ``tidy``.

    The message names ``tidy`` where that of the result has the setting, and says so where not.
    """

    def refusing(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in (name for name in names if name in kwargs):
                has = name in inspect.signature(getattr(args[0], "tidy", called)).parameters
                raise TypeError(
                    f"summary() has no argument '{name}': "
                    + (f"it belongs to tidy({name}=...)." if has else "nor has tidy() of this.")
                )
            return function(*args, **kwargs)

        return called

    return refusing


def known(**results: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that refuses arguments which the result handed over knows by itself.

    Parameters
    ----------
    **results
        Argument = function whose result knows it, as in ``known(method="compare_themes")``.

    Examples
    --------
    >>> @known(n="survey")
    ... def draw(result):
    ...     return result
    >>> draw([], n=3)
    Traceback (most recent call last):
        ...
    TypeError: draw() has no argument 'n' any more: give the result of survey(), which knows it.
    """

    def refusing(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            for old in results.keys() & kwargs.keys():
                raise TypeError(
                    f"{function.__name__}() has no argument '{old}' any more: give the result of "
                    f"{results[old]}(), which knows it."
                )
            return function(*args, **kwargs)

        return called

    return refusing


def moved(old: str, new: str) -> Callable[..., NoReturn]:
    """Return a function of the old name that refuses to run and names the new one.

    Examples
    --------
    >>> moved("meta_funnel_figure", "funnel_figure")()
    Traceback (most recent call last):
        ...
    TypeError: meta_funnel_figure() is called funnel_figure() now.
    """

    def refused(*_: object, **__: object) -> NoReturn:
        raise TypeError(f"{old}() is called {new}() now.")

    refused.__name__ = refused.__qualname__ = old
    refused.__doc__ = f"Refuse: it is called ``{new}`` now."
    return refused
