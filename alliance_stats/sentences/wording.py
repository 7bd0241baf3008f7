"""How a caller wants results said, and how many decimals a number needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from alliance_stats.formatting import decimals_needed, format_interval, format_level

__all__ = ["DF_WORDS", "DfMethod", "Wording", "decimals"]

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
DF_WORDS = {
    "satterthwaite": "Satterthwaite df",
    "kenward-roger": "Kenward-Roger standard errors and df",
    "normal": "the normal distribution",
}


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
        return format_level(self.conf_level)

    def interval(self, row: pd.Series, digits: int = 2) -> str:
        """Return ``"95% CI [0.12, 0.30]"``."""
        return f"{self.level} CI {format_interval(row['conf_low'], row['conf_high'], digits)}"


def decimals(row: pd.Series, *, null: float = 0.0, std_error: float = math.nan) -> int:
    """Return how many decimals (2 to 6) the estimate and the limits of a row need."""
    values = [float(row[name]) for name in ("estimate", "conf_low", "conf_high")]
    return decimals_needed(values, null=null, std_error=std_error)
