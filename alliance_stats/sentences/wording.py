"""How a caller wants results said, and how many decimals a number needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from alliance_stats.formatting import format_interval, format_number, format_percent

__all__ = ["DF_WORDS", "DfMethod", "Wording", "decimals", "spread_decimals"]

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
DF_WORDS = {
    "satterthwaite": "Satterthwaite df",
    "kenward-roger": "Kenward-Roger standard errors and df",
    "normal": "the normal distribution",
}
_MOST = 6  # decimals


@dataclass(frozen=True, slots=True)
class Wording:
    """How the caller wants it said."""

    words: Mapping[str, str]
    df_method: DfMethod
    conf_level: float

    def of(self, name: object) -> str:
        """Return the caller's words for `name`, or the name itself."""
        return self.words.get(str(name), str(name))

    @property
    def level(self) -> str:
        """The confidence level: ``"95%"``."""
        return format_percent(self.conf_level)

    def interval(self, row: pd.Series, digits: int = 2) -> str:
        """Return ``"95% CI [0.12, 0.30]"``."""
        return f"{self.level} CI {format_interval(row['conf_low'], row['conf_high'], digits)}"


def decimals(row: pd.Series, *, null: float = 0.0, std_error: float = math.nan) -> int:
    """Return how many decimals (2 to 6) an estimate and its limits need.

    Enough to show one digit of the standard error, and never so few that an estimate or a limit
    that is not `null` prints as `null`: an interval that ends at 0.004 shall not end at 0.00.
    """
    digits = 2
    if math.isfinite(std_error) and std_error > 0.0:
        digits = max(2, min(_MOST, -math.floor(math.log10(std_error))))
    values = [row[name] for name in ("estimate", "conf_low", "conf_high") if row[name] != null]
    while digits < _MOST and any(
        format_number(value, digits) == format_number(null, digits) for value in values
    ):
        digits += 1
    return digits


def spread_decimals(value: float) -> int:
    """Return how many decimals (2 to 6) show two digits of a standard deviation."""
    if not math.isfinite(value) or value <= 0.0:
        return 2
    return max(2, min(_MOST, 1 - math.floor(math.log10(value))))
