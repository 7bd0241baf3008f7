"""The table under survival curves: at risk, and in brackets censored and ended before."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.figures.axes import width_in_points
from alliance_stats.figures.style import GREY, SMALL, Look, font
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.formatting import format_count
from alliance_stats.survival.curves.kaplan_meier import KaplanMeier

__all__ = [
    "cell_width",
    "draw_risk_table",
    "risk_table",
    "risk_table_height",
]

_ROW_GAP = 4.0  # pt


def risk_table(result: KaplanMeier, times: Sequence[float]) -> pd.DataFrame:
    """Return who was at risk, censored and dropped out at each of `times`, in each stratum.

    Returns
    -------
    DataFrame
        ``strata, time, n_risk, n_censor, n_event``: at risk just before `time`, and all who were
        censored or had the event before it. Without delayed entry the three add up to the stratum.
    """
    table = result.at_risk(times)
    tidy = result.tidy()
    before = {
        (name, time): part.loc[part["time"] < time, ["n_censor", "n_event"]].sum()
        for name, part in tidy.groupby("strata", sort=False)
        for time in times
    }
    keys = list(zip(table["strata"], table["time"], strict=True))
    return table.assign(
        n_censor=[int(before[key]["n_censor"]) for key in keys],
        n_event=[int(before[key]["n_event"]) for key in keys],
    )


def draw_risk_table(
    ax: Axes,
    table: pd.DataFrame,
    *,
    looks: Mapping[str, Look],
    heading: str,
    limits: tuple[float, float],
) -> None:
    """Write the risk table on `ax`, its columns at the times, a row a stratum.

    Parameters
    ----------
    table
        From :func:`risk_table`.
    limits
        Limits of the time axis above it, which this one shares.
    """
    width = width_in_points(ax)
    ax.set_xlim(*limits)
    ax.set_ylim(risk_table_height(list(looks), width), 0.0)
    ax.set_axis_off()
    across = ax.get_yaxis_transform()
    left = -cell_width(table) / 2.0 / width
    ax.text(left, 0.0, heading, va="top", transform=across, **font(SMALL, colour=GREY))
    top = lines_height(1) + _ROW_GAP
    for name, style in looks.items():
        lines = wrap(name, width)
        words = "\n".join(lines)
        ax.text(left, top, words, va="top", transform=across, **font(SMALL, colour=style.text))
        top += lines_height(len(lines))
        for row in table.loc[table["strata"] == name].itertuples():
            cell = _cell(row.n_risk, row.n_censor, row.n_event)
            ax.text(row.time, top, cell, ha="center", va="top", **font())
        top += lines_height(1) + _ROW_GAP


def risk_table_height(names: Sequence[str], width: float) -> float:
    """Return the height, in points, of a table `width` points wide with these strata."""
    rows = [lines_height(len(wrap(name, width)) + 1) + _ROW_GAP for name in names]
    return lines_height(1) + _ROW_GAP + sum(rows)


def cell_width(table: pd.DataFrame) -> float:
    """Return the width, in points, of the widest cell."""
    return max(
        text_width(_cell(row.n_risk, row.n_censor, row.n_event)) for row in table.itertuples()
    )


def _cell(n_risk: int, n_censor: int, n_event: int) -> str:
    return f"{format_count(n_risk)} ({format_count(n_censor)}; {format_count(n_event)})"
