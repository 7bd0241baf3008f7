"""Power over two varied assumptions, and with one assumption changed at a time."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    TALLEST,
    draw_intervals,
    dress,
    one_panel,
    room_beside,
    row_heights,
    set_limits,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import format_level, format_percent, plural, with_interval
from alliance_stats.figures.power_curves import (
    all_numbers,
    capital,
    one_term,
    power_rows,
    rejected_label,
    round_ticks,
    simulation_note,
    sizes_words,
    value_words,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import COLUMN_AND_HALF, GREY, Look, look, naming, sheet
from alliance_stats.figures.text import widest
from alliance_stats.power import Power, Sensitivity

__all__ = ["draw_power_map", "power_map_figure", "power_sensitivity_figure"]

_HEIGHT = 190.0  # pt
_KEY_WIDTH = 110.0  # pt
_OPEN = Look("#d9d9d9", GREY, "-", "")
_LEVELS = (0.2, 0.5, 0.8, 0.9)  # beside the aim


def draw_power_map(
    ax: Axes, cells: pd.DataFrame, levels: Sequence[float], styles: Sequence[Look], *, aim: float
) -> None:
    """Draw lines of equal power over two assumptions, a point at every design simulated.

    Parameters
    ----------
    ax
        Axes to draw on.
    cells
        ``x, y, estimate, conf_low, conf_high``, shares: a full grid.
    levels, styles
        The powers shown as lines, and their looks; power is interpolated linearly between designs.
    aim
        Power to reach; where the power cannot be distinguished from it, the map is shaded.
    """
    grid = {
        name: cells.pivot_table(index="y", columns="x", values=name)
        for name in ("estimate", "conf_low", "conf_high")
    }
    x, y = grid["estimate"].columns.to_numpy(), grid["estimate"].index.to_numpy()
    unsure = np.minimum(aim - grid["conf_low"], grid["conf_high"] - aim).to_numpy()
    if unsure.max() > 0.0:
        ax.contourf(x, y, unsure, levels=[0.0, 1.0], colors=[_OPEN.colour], zorder=0.5)
    for level, style in zip(levels, styles, strict=True):
        if grid["estimate"].to_numpy().min() < level < grid["estimate"].to_numpy().max():
            ax.contour(
                x, y, grid["estimate"].to_numpy(), levels=[level], colors=[style.colour],
                linestyles=[style.dash], linewidths=1.6,
            )  # fmt: skip
    ax.scatter(cells["x"], cells["y"], s=7.0, color=GREY, lw=0, zorder=3, gid="design")


@laid_out(COLUMN_AND_HALF)
def power_map_figure(
    found: Power,
    *,
    term: str | None = None,
    aim: float = 0.8,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show lines of equal power over two assumptions, as over therapists and families.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.power.power`, with two numbers varied, the first of which is on
        the horizontal axis.
    term
        Which of the analysis's terms; required if there are several.
    aim
        Power to reach, a share. Where the Monte Carlo interval includes it the map is shaded.
    conf_level
        Of that interval.
    limits
        Limits of the vertical axis.
    words
        Assumption -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the designs with their powers.

    Raises
    ------
    DataError
        Unless two numeric assumptions were varied, each with two or more values.

    Examples
    --------
    >>> from alliance_stats.figures import power_map_figure
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power
    >>> over = {"clusters": [3, 9], "members": [3, 9]}
    >>> trial = ClusterTrial(clusters=4, members=5)
    >>> found = power(trial, ArmDifference(), vary=over, n_studies=10, seed=1)
    >>> power_map_figure(found).label
    'fig-power-map'
    """
    table = power_rows(found, term, conf_level, asked="power_map_figure draws a result of power")
    numeric = [name for name in found.varied if all_numbers(table[name])]
    if len(found.varied) != 2 or len(numeric) != 2 or min(table[numeric].nunique()) < 2:
        raise DataError(
            "A map is over two numbers that were varied, each with two values at least; varied "
            f"were {', '.join(found.varied) or 'none'}. power_figure draws curves."
        )
    if not 0.0 < aim < 1.0:
        raise DataError(f"aim is a power and lies between 0 and 1; got {aim}.")
    called = str(table["term"].iloc[0])
    names = naming(common["words"], [*found.varied, called])
    cells = table.rename(columns=dict(zip(found.varied, "xy", strict=True)))
    cells[["x", "y"]] = cells[["x", "y"]].astype(np.float64)
    unsure = bool(((cells["conf_low"] < aim) & (cells["conf_high"] > aim)).any())
    told = f"not told from {format_percent(aim)}"
    called_axes = [capital(names(name)) for name in found.varied]
    figure = _map(cells, called_axes, aim=aim, told=told if unsure else "", limits=common["limits"])
    first, second = map(names, found.varied)
    where = [
        f"{first} {value_words(row.x)}, {second} {value_words(row.y)}" for row in cells.itertuples()
    ]
    powers = [format_percent(power) for power in cells["estimate"]]
    shaded = f" Shaded: {told} by its {format_level(conf_level)} interval." if unsure else ""
    return ReportFigure(
        figure,
        label=common["label"] or "fig-power-map",
        caption=f"Power to find {names(called)} over {names(found.varied[0])} and "
        f"{names(found.varied[1])}, {sizes_words(cells)} simulated studies of each of "
        f"{plural(len(cells), 'design')} (points).{shaded}",
        alt=f"Map of power from {format_percent(cells['estimate'].min())} to "
        f"{format_percent(cells['estimate'].max())}. "
        f"{listed(where, powers, of=plural(len(cells), 'design'))}.",
        note=simulation_note(found, "Lines: linear interpolation between the designs."),
        data=table,
    )


@laid_out(COLUMN_AND_HALF)
def power_sensitivity_figure(
    found: Sensitivity,
    *,
    term: str | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the effect of each assumption on power, beside the study as planned.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.power.power_sensitivity`.
    term
        Which of the analysis's terms; required if there are several.
    conf_level
        Of the intervals.
    limits
        Limits of the axis of power, in per cent.
    words
        Assumption -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the powers, as :meth:`Sensitivity.tidy` does.

    Examples
    --------
    >>> from alliance_stats.figures import power_sensitivity_figure
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power_sensitivity
    >>> trial = ClusterTrial(clusters=4, members=5)
    >>> found = power_sensitivity(
    ...     trial, ArmDifference(), vary={"icc": [0.0, 0.2]}, n_studies=10, seed=1
    ... )
    >>> power_sensitivity_figure(found).label
    'fig-power-sensitivity'
    """
    asked = "power_sensitivity_figure draws a result of power_sensitivity"
    require_kind(found, Sensitivity, asked=asked, instead=DRAWN_BY)
    check_conf_level(conf_level)
    table = found.tidy(conf_level=conf_level)
    table = table[table["term"] == one_term(found.power, term)].reset_index(drop=True)
    called = str(table["term"].iloc[0])
    names = naming(common["words"], [*table["assumption"], called])
    rows = [
        names(row.assumption) + ("" if row.value is None else f" = {value_words(row.value)}")
        for row in table.itertuples()
    ]
    shares = table.copy()
    shares[["estimate", "conf_low", "conf_high"]] *= 100.0
    numbers = [
        with_interval(row.estimate, row.conf_low, row.conf_high, kind="share")
        for row in table.itertuples()
    ]
    figure = _rows(
        shares, rows, numbers, x_label=rejected_label(found.power), limits=common["limits"]
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-power-sensitivity",
        caption=f"Power to find {names(called)} with one assumption changed at a time, "
        f"{sizes_words(table)} simulated studies each, with the {format_level(conf_level)} "
        "interval of the Monte Carlo error. Line: the study as planned.",
        alt=f"Power of {plural(len(table), 'design')}. "
        f"{listed(rows, numbers, of=plural(len(table), 'design'))}.",
        note=simulation_note(found.power, "Wilson's intervals of shares."),
        data=table,
    )


def _map(
    cells: pd.DataFrame,
    labels: Sequence[str],
    *,
    aim: float,
    told: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Draw the map on a figure of its own; `told` names what is shaded, if anything."""
    low, high = float(cells["estimate"].min()), float(cells["estimate"].max())
    levels = [level for level in sorted({*_LEVELS, aim}) if low < level < high]
    styles = [look(place) for place in range(len(levels))]
    texts = [[f"{format_percent(level)} power"] for level in levels] + [[told]] * bool(told)
    keys = LineLabels.of(texts, [*styles, *[_OPEN] * bool(told)], width=_KEY_WIDTH)
    height = max(_HEIGHT, keys.height)
    figure, ax = one_panel(
        height, left=room_beside(labels[1], height), right=max(keys.right, 14.0),
        above=keys.above, x_label=labels[0],
    )  # fmt: skip
    draw_power_map(ax, cells, levels, styles, aim=aim)
    for axis, values in ((ax.xaxis, cells["x"]), (ax.yaxis, cells["y"])):
        room = 0.05 * float(values.max() - values.min())
        axis.axes.set(**{f"{axis.axis_name}lim": (values.min() - room, values.max() + room)})
        round_ticks(axis, values)
    set_limits(ax, limits, axis="y")
    dress(ax, x_label=labels[0], y_label=labels[1])
    bottom, top = ax.get_ylim()
    keys.write(ax, list(np.linspace(top, bottom, len(texts) + 2)[1:-1]))
    return figure


def _rows(
    shares: pd.DataFrame,
    rows: Sequence[str],
    numbers: Sequence[str],
    *,
    x_label: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Draw one row per power, with its name and number, on a new figure."""
    room, wide = sheet().part(170.0), widest(numbers)
    heights = row_heights(rows, room)
    figure, ax = one_panel(
        min(float(heights.sum()) + 8.0, TALLEST), left=14.0 + widest(rows, room),
        right=18.0 + wide, x_label=x_label,
    )  # fmt: skip
    centres = -(np.cumsum(heights) - heights / 2.0)
    ax.set_ylim(-float(heights.sum()) - 4.0, 4.0)
    ax.set_xlim(0.0, 100.0)
    set_limits(ax, limits, axis="x")
    draw_intervals(ax, shares, centres, reference=float(shares["estimate"].iloc[0]))
    write_rows(ax, rows, centres, x=-8.0, ha="right", width=room)
    write_rows(ax, numbers, centres, x=8.0, ha="left", width=wide + 1.0)
    dress(ax, x_label=x_label)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    return figure
