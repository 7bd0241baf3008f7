"""What a design assumes: its assumptions, their sources, and their possible values.

A design is a frozen record that can draw a study of its kind. What is varied is named by its field,
with a point before fields of a truth: ``"therapists"``, ``"alliance.experience"``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError, WrongObjectError

__all__ = ["Design", "assumption_table", "check_count", "check_finite", "check_share", "varied"]

_D = TypeVar("_D")


class Design(Protocol):
    """What can be planned: it draws a study and knows its true values."""

    @property
    def truth(self) -> Mapping[str, float]:
        """Name of a parameter -> its true value."""
        ...

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one study of this design."""
        ...

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the power of terms for which there is a formula."""
        ...

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``."""
        ...


def varied(design: _D, changes: Mapping[str, object]) -> _D:
    """Return the design with other values of some assumptions.

    Raises
    ------
    DataError
        If the design has no such assumption, or is impossible with that value.
    """
    if not is_dataclass(design) or isinstance(design, type):
        raise WrongObjectError(
            f"Assumptions are varied in a design, a dataclass; got {type(design).__name__}."
        )
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        own = [one.name for one in fields(design)]
        if head not in own:
            raise DataError(f"The design has no '{name}' to vary. {did_you_mean(name, own)}")
        design = replace(design, **{head: _changed(getattr(design, head), head, rest, value)})
    return design


def _changed(held: object, head: str, rest: str, value: object) -> object:
    if not rest:
        return value
    if isinstance(held, Mapping):
        return {**held, rest: value}
    if not is_dataclass(held):
        raise DataError(f"'{head}' is one value and has no '{rest}'.")
    return varied(held, {rest: value})


def assumption_table(record: Any, sources: Mapping[str, str]) -> pd.DataFrame:
    """Return ``assumption, value, source``, a row per field of the record and of the truths in it.

    Raises
    ------
    DataError
        If a source is named for anything that is not an assumption.
    """
    rows = _assumptions(record, sources)
    known = {str(row["assumption"]) for row in rows}
    known |= {name.rpartition(".")[0] for name in known if "." in name}
    for name in sources:
        if name not in known:
            near = did_you_mean(name, sorted(known))
            raise DataError(f"sources= has '{name}', which is no assumption. {near}")
    return pd.DataFrame(rows)


def _assumptions(record: Any, sources: Mapping[str, str], prefix: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one in fields(record):
        if one.name == "sources":
            continue
        called, value = f"{prefix}{one.name}", getattr(record, one.name)
        if is_dataclass(value):
            rows += _assumptions(value, sources, f"{called}.")
            continue
        above = called.rpartition(".")[0]
        source = sources.get(called, sources.get(above, "assumed"))
        shown = float(value) if isinstance(value, float) else value
        rows.append({"assumption": called, "value": shown, "source": source})
    return rows


def check_count(name: str, value: object, least: int) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{name} must be a whole number, at least {least}; got {value!r}.")


def check_share(name: str, value: float, *, open_ended: bool = False, closed: bool = False) -> None:
    """Refuse a number below 0 (or 0, if `open_ended`) or above 1 (or 1, unless `closed`)."""
    _check_number(name, value)
    low = value > 0.0 if open_ended else value >= 0.0
    if not (low and (value <= 1.0 if closed else value < 1.0)):
        raise DataError(f"{name} is a share and must lie between 0 and 1; got {value}.")


def check_finite(name: str, value: float, *, positive: bool = False) -> None:
    """Refuse anything but a finite number; if it has to be positive, also 0 and below."""
    _check_number(name, value)
    if not math.isfinite(value) or (positive and value <= 0.0):
        raise DataError(
            f"{name} must be a {'positive' if positive else 'finite'} number; got {value}."
        )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool | str | Sequence) or not isinstance(value, int | float | np.number):
        raise DataError(f"{name} must be a number; got {value!r}.")
