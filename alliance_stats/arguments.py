"""What an argument must be whose wrong type would be read as something else, or fail far away."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

__all__ = ["mapping_of", "whole_number"]


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
