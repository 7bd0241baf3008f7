"""What a plan may ask for: values of assumptions, numbers of studies, seeds, precision."""

import math
from collections.abc import Sequence

import numpy as np

from alliance_stats.errors import DataError
from alliance_stats.formatting import format_count
from alliance_stats.power.drawn_studies import Workers

__all__ = ["Z_95", "check_plan", "check_precision", "plain_values"]

_FEWEST = 2  # studies
Z_95 = 1.959963984540054  # reach of a 95% interval in standard errors


def plain_values(values: Sequence[object], name: str) -> list[object]:
    """Return the values of a varied assumption as plain Python values, each once.

    Raises
    ------
    DataError
        If there is none, a text is given for a list, or a value appears twice.
    """
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise DataError(f"vary= takes a list of values of '{name}'; got {values!r}.")
    found = [value.item() if isinstance(value, np.generic) else value for value in values]
    if not found:
        raise DataError(f"vary= gives no value of '{name}'.")
    for place, value in enumerate(found):
        if value in found[:place]:
            raise DataError(f"vary= gives {value!r} of '{name}' twice.")
    return found


def check_plan(n_studies: int, seed: int, alpha: float, workers: Workers) -> None:
    """Refuse what cannot be drawn."""
    if isinstance(n_studies, bool) or not isinstance(n_studies, int) or n_studies < _FEWEST:
        raise DataError(f"n_studies must be a whole number, at least {_FEWEST}; got {n_studies!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed must be a whole number from 0 on; got {seed!r}.")
    if isinstance(alpha, str) or not 0.0 < alpha < 1.0:
        raise DataError(f"alpha must lie between 0 and 1; got {alpha!r}.")
    if isinstance(workers, bool | str | float | None) or workers == 0:
        raise DataError(f"workers is a number of processes or a Dask client; got {workers!r}.")


def check_precision(n_studies: int, precision: float | None) -> None:
    """Refuse a precision that so many studies do not reach."""
    if precision is None:
        return
    if not 0.0 < precision < 0.5:
        raise DataError(f"precision is half the width of a share's interval; got {precision}.")
    needed = math.ceil(0.25 * (Z_95 / precision) ** 2)
    if n_studies < needed:
        raise DataError(
            f"A power of 50% is known to {100 * precision:g} points either way from "
            f"{format_count(needed)} studies on; n_studies = {format_count(n_studies)} is fewer."
        )
