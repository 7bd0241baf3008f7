"""What the sections on leaving share: clocks, terms, and numbers in words."""

import numpy as np
import pandas as pd

from alliance_stats.formatting import format_interval, format_number
from alliance_stats.survival import DropoutSensitivity

__all__ = ["CLOCK", "TERMS", "in_words", "tips"]

CLOCK = "Session after which a family left"
TERMS = {
    "alliance_running_mean": "Alliance, mean so far (per point)",
    "alliance_deviation": "Alliance, last session minus mean so far (per point)",
    "parent_trauma": "Parental trauma, trauma-informed therapist",
    "framework[T.usual]": "Usual framework, no parental trauma",
    "parent_trauma:framework[T.usual]": "Parental trauma × usual framework (ratio of ratios)",
    "investment": "Parent investment (per SD)",
    "therapist_emotion": "Therapist’s emotion (per SD)",
}


def in_words(row: pd.Series) -> str:
    """Return an estimate with its interval."""
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])} (95% CI {interval})"


def tips(found: DropoutSensitivity, unit: str) -> str:
    """Say which shifts of the unseen scores would overturn the finding."""
    row = found.tidy().query("delta == 0").iloc[0]
    holds = row["conf_low"] <= 0.0 <= row["conf_high"]
    words = []
    for tip in found.tipping_points().itertuples():
        way = "lower" if tip.direction == "below 0" else "higher"
        if np.isnan(tip.delta):
            limit = format_number(abs(tip.searched_to), 0)
            words.append(f"no shift up to {limit} {unit} {way} does")
        else:
            words.append(f"scores {format_number(abs(tip.delta), 1)} {unit} {way} would")
    finding = "cannot be told from 0" if holds else "can be told from 0"
    said = "; ".join(words)
    said = f"{said[:1].upper()}{said[1:]}."
    return f"Would that overturn what is found without a shift, that it {finding}? {said}"
