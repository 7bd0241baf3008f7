"""Results that are rows of estimates, in sentences: a sentence a row, under the row's own names."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import pandas as pd

from alliance_stats.door import replaced
from alliance_stats.family import APIM
from alliance_stats.formatting import (
    decimals_needed,
    format_count,
    format_number,
    format_percent,
    t_phrase,
)
from alliance_stats.groups import TrajectoryComparison
from alliance_stats.sentences.wording import Wording, decimals

__all__ = ["Estimates", "estimate_sentences", "method_of_estimates"]

Estimates = TrajectoryComparison | APIM
"""Results whose ``tidy()`` says all there is to say, row by row."""

_NOT_NAMES = {"effect", "variance", "expected_from", "expected_to"}
_MOST = 6  # decimals


@dataclass(frozen=True, slots=True)
class _Kind:
    """How results of one class are said."""

    method: str
    measure: str = "b"
    number: Callable[[float, int], str] = format_number


_KINDS: dict[type, _Kind] = {
    TrajectoryComparison: _Kind("courses of groups compared in a linear mixed model", "estimate"),
    APIM: _Kind("actor-partner interdependence model"),
}


def method_of_estimates(result: Estimates) -> str:
    """Return the method in a phrase."""
    kind = _KINDS[type(result)]
    return kind.method


def estimate_sentences(result: Estimates, wording: Wording) -> list[str]:
    """Return what was computed from how many, and a sentence an estimate."""
    method = method_of_estimates(result)
    kind = _KINDS[type(result)]
    size = format_count(result.rows.n_used)
    said = [f"{method[:1].upper()}{method[1:]}; n = {size}."]
    rows = result.tidy(conf_level=wording.conf_level)
    names = [name for name in _names(rows) if name not in _NOT_NAMES]
    named = replaced(rows, {name: _told_apart(rows[name], wording) for name in names})
    for (_, row), (_, cells) in zip(rows.iterrows(), named[names].iterrows(), strict=True):
        name = ", ".join(cell for cell in cells if cell)
        said.append(f"{name}: {_estimate(row, kind.measure, kind, wording)}.")
    return said


def _names(rows: pd.DataFrame) -> list[str]:
    """Return the columns that say what a row is: those in front of its estimate."""
    names = list(rows.columns)
    return [name for name in names[: names.index("estimate")] if rows[name].notna().any()]


def _told_apart(values: pd.Series, wording: Wording) -> list[str]:
    """Return what names rows, in words; numbers with decimals enough to tell them apart."""
    numbers = [float(value) for value in values if _is_number(value)]
    digits = decimals_needed(numbers)
    while digits < _MOST and len({format_number(x, digits) for x in numbers}) < len(set(numbers)):
        digits += 1
    return [_cell(value, str(values.name), digits, wording) for value in values]


def _cell(value: object, column: str, digits: int, wording: Wording) -> str:
    """Return one name of a row in words, nothing where it has none."""
    if _is_number(value):
        return f"{wording.of(column)} = {format_number(float(value), digits)}"
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else wording.of(value)


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, float | int | np.number):
        return False
    return not math.isnan(float(value))


def _estimate(row: pd.Series, measure: str, kind: _Kind, wording: Wording) -> str:
    if pd.isna(row["estimate"]):
        return "not estimable"
    if kind.number is format_percent:
        text = f"{measure} = {format_percent(row['estimate'], 1)}"
        limits = [format_percent(row[name], 1) for name in ("conf_low", "conf_high")]
        return (
            text
            if pd.isna(row["conf_low"])
            else f"{text}, {wording.level} CI [{', '.join(limits)}]"
        )
    digits = decimals(row, std_error=float(row.get("std_error", math.nan)))
    text = f"{measure} = {format_number(row['estimate'], digits)}"
    if not pd.isna(row.get("conf_low", math.nan)):
        text += f", {wording.interval(row, digits)}"
    if "statistic" not in row or pd.isna(row["statistic"]):
        return text
    df = float(row["df"]) if "df" in row and not pd.isna(row["df"]) else math.inf
    return f"{text}, {t_phrase(row['statistic'], df, row['p_value'])}"
