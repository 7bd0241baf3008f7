"""What the parts say alike."""

import pandas as pd

from alliance_stats.formatting import format_interval, format_number, p_phrase

__all__ = ["limits", "points", "times"]


def points(row: pd.Series, digits: int = 2) -> str:
    """Say an estimate in points, with its interval."""
    return f"{format_number(row['estimate'], digits)} points ({limits(row, digits)})"


def times(row: pd.Series) -> str:
    """Say a ratio, with its interval and p."""
    ratio = format_number(row["estimate"])
    return f"{ratio} times ({limits(row)}, {p_phrase(row['p_value'])})"


def limits(row: pd.Series, digits: int = 2) -> str:
    """Say an interval."""
    return f"95% CI {format_interval(row['conf_low'], row['conf_high'], digits)}"
