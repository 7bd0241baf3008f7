"""Numbers as figures write them, in the theme's sign, and where whole ones stand on an axis."""

import math
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import numpy as np
import pandas as pd

from alliance_stats import formatting
from alliance_stats.estimates import Array
from alliance_stats.figures.style import sheet
from alliance_stats.formatting import (
    MISSING,
    Kind,
    Written,
    decimals_for,
    decimals_of_spread,
    format_level,
    localised,
)

__all__ = [
    "MISSING",
    "Kind",
    "clock",
    "counted_ticks",
    "decimal_ticks",
    "decimals_for",
    "decimals_of_spread",
    "format_alone",
    "format_bounded",
    "format_count",
    "format_df",
    "format_interval",
    "format_level",
    "format_number",
    "format_percent",
    "integer_ticks",
    "interval_of",
    "intervals_of",
    "p_phrase",
    "plural",
    "t_phrase",
    "time_ticks",
    "with_interval",
    "write_estimate",
]

P = ParamSpec("P")


def _in_sign(write: Callable[P, str]) -> Callable[P, str]:
    @wraps(write)
    def written(*args: P.args, **kwargs: P.kwargs) -> str:
        return localised(write(*args, **kwargs), sheet().theme.decimal)

    return written


format_alone = _in_sign(formatting.format_alone)
format_bounded = _in_sign(formatting.format_bounded)
format_count = _in_sign(formatting.format_count)
format_df = _in_sign(formatting.format_df)
format_number = _in_sign(formatting.format_number)
format_percent = _in_sign(formatting.format_percent)
p_phrase = _in_sign(formatting.p_phrase)
plural = _in_sign(formatting.plural)
t_phrase = _in_sign(formatting.t_phrase)


def format_interval(low: float, high: float, digits: int = 2) -> str:
    """Return ``"[0.12, 0.30]"``."""
    parted = ", " if sheet().theme.decimal == "." else "; "
    return f"[{format_number(low, digits)}{parted}{format_number(high, digits)}]"


def write_estimate(
    estimate: float, low: float = math.nan, high: float = math.nan, *, kind: Kind = "number"
) -> Written:
    """Write an estimate with its interval, as :func:`formatting.write_estimate` does."""
    decimal = sheet().theme.decimal
    return formatting.write_estimate(estimate, low, high, kind=kind, decimal=decimal)


def with_interval(estimate: float, low: float, high: float, *, kind: Kind = "number") -> str:
    """Return ``"0.21 [0.12, 0.30]"``, or the estimate alone where there is no interval."""
    found = write_estimate(estimate, low, high, kind=kind)
    return found.estimate if found.interval == MISSING else f"{found.estimate} {found.interval}"


def interval_of(row: pd.Series, *, kind: Kind = "number") -> str:
    """Return the same for a row with ``estimate, conf_low, conf_high``."""
    return with_interval(row["estimate"], row["conf_low"], row["conf_high"], kind=kind)


def intervals_of(rows: pd.DataFrame, *, kind: Kind = "number") -> list[str]:
    """Return the same for each row; where some have an interval, those without say so."""
    without = rows[["conf_low", "conf_high"]].isna().all(axis=1).to_numpy()
    said = "" if without.all() else " (no interval)"
    return [
        interval_of(row, kind=kind) + (said if absent else "")
        for absent, (_, row) in zip(without, rows.iterrows(), strict=True)
    ]


def decimal_ticks(label: str, decimal: str | None = None) -> str:
    """Return a tick's label in the sign given, or in the theme's."""
    return re.sub(r"(?<=\d)\.(?=\d)", decimal or sheet().theme.decimal, label)


def clock(time: float) -> str:
    """Return a time as it stands in a sentence."""
    return decimal_ticks(f"{time:g}")


def integer_ticks(low: float, high: float, *, most: int = 8) -> list[int]:
    """Return about `most` whole-number ticks, evenly apart.

    Every one or every second from `low` on, or multiples of a rounder step; both ends where
    there is room for no more.
    """
    if high <= low:
        return [round(low)]
    steps = (step * 10**power for power in range(9) for step in (1, 2, 4, 5))
    step = next(step for step in steps if (high - low) / step <= max(most, 1))
    first = round(low) if step <= 2 else step * math.ceil(low / step)
    ticks = list(range(first, math.floor(high) + 1, step))
    return ticks if len(ticks) > 1 else [round(low), round(high)]


def counted_ticks(low: float, high: float, *, most: int = 8) -> list[int]:
    """Return whole-number ticks for numbers of units under them, evenly from `low` on."""
    step = max(math.ceil((high - low) / max(most, 1)), 1)
    step = step if step <= 10 else 5 * math.ceil(step / 5)
    return list(range(round(low), math.floor(high) + 1, step))


def time_ticks(time: Array, most: int) -> list[float]:
    """Return at most `most` times from 0, whole where the clock runs in whole numbers."""
    last = float(time.max())
    whole = bool(np.all(time == np.round(time)))
    size = 10.0 ** np.floor(np.log10(last))
    steps = [
        step * scale
        for scale in (size / 100, size / 10, size)
        for step in (1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
    ]
    allowed = [step for step in steps if not whole or step.is_integer()]
    fits = [step for step in allowed if last / step < max(most, 2)]
    step = min(fits, default=last)
    return [step * count for count in range(int(last / step + 1e-9) + 1)]
