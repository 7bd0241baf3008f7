"""Numbers as figures write them: those of :mod:`alliance_stats.formatting`, in the theme's sign."""

import math
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import pandas as pd

from alliance_stats import formatting
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
    "interval_of",
    "intervals_of",
    "p_phrase",
    "plural",
    "t_phrase",
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
    some = rows["conf_low"].notna().any()
    return [
        interval_of(row, kind=kind)
        + (" (no interval)" if some and pd.isna(row["conf_low"]) else "")
        for _, row in rows.iterrows()
    ]


def decimal_ticks(label: str, decimal: str | None = None) -> str:
    """Return a tick's label in the sign given, or in the theme's."""
    return re.sub(r"(?<=\d)\.(?=\d)", decimal or sheet().theme.decimal, label)
