"""The lines of a fitted model, and how one model or several side by side are set from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.formatting import (
    decimals_needed,
    format_count,
    format_df,
    format_interval,
    format_level,
    format_number,
    format_p,
)
from alliance_stats.ledger import RowLedger

__all__ = [
    "SIZES",
    "Asked",
    "Line",
    "Printed",
    "alone",
    "estimate_line",
    "side_by_side",
    "size_lines",
    "units_used",
    "warned",
]

SIZES = "Sizes"


@dataclass(frozen=True, slots=True)
class Asked:
    """How the caller wants it printed."""

    words: Mapping[str, str]
    conf_level: float
    digits: int

    def of(self, name: object) -> str:
        """Return the caller's words for `name`, or the name itself."""
        return self.words.get(str(name), str(name))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one model, in words; what a line does not have is empty."""

    section: str
    name: str
    estimate: str
    interval: str = ""
    std_error: str = ""
    df: str = ""
    statistic: str = ""
    p: str = ""
    last: bool = False  # of its section


@dataclass(frozen=True, slots=True)
class Printed:
    """One model: its heading, what its estimates are (``b``, ``OR``), its test, its lines."""

    heading: str
    measure: str
    statistic: str
    lines: tuple[Line, ...]


def estimate_line(
    row: pd.Series, section: str, name: str, *, digits: int, null: float = 0.0
) -> Line:
    """Return the line of an estimate, with as many more decimals as its numbers need.

    Where an estimate is a ratio (`null` is 1), `row` holds ratios and no standard error.
    """
    std_error = float(row.get("std_error", float("nan")))
    limits = (float(row["conf_low"]), float(row["conf_high"]))
    if pd.isna(row["estimate"]):
        return Line(section, name, "not estimable")
    digits = decimals_needed(
        (float(row["estimate"]), *limits), null=null, std_error=std_error, at_least=digits
    )
    return Line(
        section,
        name,
        estimate=format_number(row["estimate"], digits),
        interval="" if pd.isna(limits[0]) else format_interval(*limits, digits),
        std_error="" if pd.isna(std_error) else format_number(std_error, digits),
        df=format_df(row["df"]) if "df" in row else "",
        statistic=format_number(row["statistic"]) if "statistic" in row else "",
        p=format_p(row["p_value"]) if "p_value" in row else "",
    )


def size_lines(sizes: Mapping[str, float], section: str = SIZES) -> list[Line]:
    """Return how many of each there are."""
    return [Line(section, name, format_count(n)) for name, n in sizes.items()]


def units_used(rows: RowLedger, words: Mapping[str, str]) -> dict[str, float]:
    """Return how many units of each level were used: ``"Units: therapist"``."""
    units = rows.steps[-1].units_left
    return {f"Units: {words.get(level, level)}": float(n) for level, n in units.items()}


def warned(notes: Sequence[str]) -> str:
    """Return a result's notes as sentences under a table."""
    said = [note.removeprefix("WARNING: ") for note in notes]
    return " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in said)


def alone(
    model: Printed, *, sections: Sequence[str], conf_level: float
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Set one model: a column for each thing that is known of an estimate."""
    lines = _in_order([model], sections)
    columns = {
        "Term": [line.name for line in lines],
        _upper(model.measure): [line.estimate for line in lines],
        "SE": [line.std_error for line in lines],
        f"{format_level(conf_level)} CI": [line.interval for line in lines],
        "df": [line.df for line in lines],
        model.statistic: [line.statistic for line in lines],
        "p": [line.p for line in lines],
    }
    known = {name: cells for name, cells in columns.items() if any(cells)}
    return pd.DataFrame(known), tuple(line.section for line in lines)


def side_by_side(
    models: Sequence[Printed], *, sections: Sequence[str], conf_level: float
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Set models in two columns each: estimate with interval, and p."""
    order = _in_order(models, sections)
    keys = list(dict.fromkeys((line.section, line.name) for line in order))
    level = format_level(conf_level)
    columns: dict[str, list[str]] = {"Term": [name for _, name in keys]}
    for model in models:
        found = {(line.section, line.name): line for line in model.lines}
        lines = [found.get(key, Line(*key, "")) for key in keys]
        estimates = [f"{line.estimate} {line.interval}".strip() for line in lines]
        heading = f"{model.heading}: {model.measure} [{level} CI]"
        if heading in columns:
            raise DataError(f"Two models have the heading '{model.heading}'.")
        columns[heading] = estimates
        columns[f"{model.heading}: p"] = [line.p for line in lines]
    return pd.DataFrame(columns), tuple(section for section, _ in keys)


def _in_order(models: Sequence[Printed], sections: Sequence[str]) -> list[Line]:
    """Return all lines by section, in the order in which the models have them."""
    for model in models:
        keys = [(line.section, line.name) for line in model.lines]
        twice = next((name for section, name in keys if keys.count((section, name)) > 1), None)
        if twice is not None:
            raise DataError(
                f"Two rows of one model are named '{twice}' in words=; each needs its own name."
            )
    lines = [line for model in models for line in model.lines]
    return sorted(lines, key=lambda line: (sections.index(line.section), line.last))


def _upper(measure: str) -> str:
    return "Estimate" if measure == "b" else measure
