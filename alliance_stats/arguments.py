"""What an argument must be whose wrong type would be read as something else, or fail far away."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from alliance_stats.errors import WrongObjectError

__all__ = ["kind_of", "mapping_of", "require_kind", "whole_number"]


def mapping_of(given: Mapping[Any, Any] | None, *, name: str, example: str) -> Mapping[Any, Any]:
    """Return a dictionary, empty for None; refuse what is none, such as a list of its keys."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{name}= takes a dictionary, as in {name}={example}; got {type(given).__name__} "
            f"{given!r}."
        )
    return given


def whole_number(given: object, *, name: str, least: int, of: str) -> int:
    """Return a whole number of at least `least` (things, in words: `of`)."""
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if not whole or int(given) < least:  # type: ignore[call-overload]
        raise ValueError(f"{name} must be a whole number of {of}, at least {least}; got {given!r}.")
    return int(given)  # type: ignore[call-overload,no-any-return]


def require_kind(
    value: object,
    kinds: type | tuple[type, ...],
    *,
    asked: str,
    instead: Mapping[str, str] | None = None,
) -> None:
    """Refuse an object of another kind, and say what takes it.

    Parameters
    ----------
    asked
        What the function takes, as the beginning of the sentence: ``"caterpillar_figure draws a
        model of lmm or glmm"``.
    instead
        Name of a class -> what takes it: ``{"CoxModel": "model_table"}``.

    Raises
    ------
    WrongObjectError
        If `value` is none of `kinds`.
    """
    if isinstance(value, kinds) and not isinstance(value, type):
        return
    name = type(value).__name__
    right = (instead or {}).get(name)
    hint = f" For {'an' if name[0] in 'AEI' else 'a'} {name}: {right}." if right else ""
    raise WrongObjectError(f"{asked}; got {kind_of(value)}.{hint}")


def kind_of(value: object) -> str:
    """Return the name of an object's class; of a class, that it is one."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
