"""Names that were changed or are asked elsewhere: refused with the right one in the message."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import NoReturn, ParamSpec, TypeVar

__all__ = ["asked_of_tidy", "known", "moved", "renamed"]

P = ParamSpec("P")
T = TypeVar("T")


def _refusing(
    names: Iterable[str], said: Callable[[str, str, object], str]
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that refuses these arguments.

    `said` makes the message of the function's name, the argument's and the first positional one.
    """
    refused = tuple(names)

    def refusing(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            found = next((name for name in refused if name in kwargs), None)
            if found is not None:
                raise TypeError(said(function.__name__, found, args[0] if args else None))
            return function(*args, **kwargs)

        return called

    return refusing


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

    def said(function: str, old: str, _: object) -> str:
        return (
            f"{function}() has no argument '{old}' any more: it is called '{new_names[old]}' now."
        )

    return _refusing(new_names, said)


def asked_of_tidy(*names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator of a method that refuses settings which belong to ``tidy``.

    The message names ``tidy`` where that of the result has the setting, and says so where not.
    """

    def said(_: str, name: str, result: object) -> str:
        has = name in inspect.signature(getattr(result, "tidy", said)).parameters
        where = f"it belongs to tidy({name}=...)." if has else "nor has tidy() of this."
        return f"summary() has no argument '{name}': {where}"

    return _refusing(names, said)


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

    def said(function: str, old: str, _: object) -> str:
        return (
            f"{function}() has no argument '{old}' any more: give the result of {results[old]}(), "
            "which knows it."
        )

    return _refusing(results, said)


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
