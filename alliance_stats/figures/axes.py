"""Axes as the house draws them: spines, ticks, bands, rows of estimates."""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    Formatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.fonts import families
from alliance_stats.figures.numbers import decimal_ticks, format_percent
from alliance_stats.figures.style import (
    BODY,
    GREY,
    INK,
    RULE,
    SMALL,
    font,
    new_figure,
    points,
    sheet,
)
from alliance_stats.figures.text import balanced, lines_height, spread, text_width, wrap

__all__ = [
    "TALLEST",
    "Figure",
    "PageError",
    "add_axes",
    "check_limits",
    "draw_band",
    "draw_beyond",
    "draw_intervals",
    "dress",
    "height_in_points",
    "log_axis",
    "no_limits",
    "one_panel",
    "page",
    "percent_axis",
    "room_below",
    "room_beside",
    "row_heights",
    "set_limits",
    "size_in_points",
    "swarm",
    "width_in_points",
    "write_above",
    "write_rows",
]

TALLEST = 612.0  # pt, 8.5 in: what a page leaves beside a caption
_TICKS = (  # from fine to coarse
    (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6),
    (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0),
    (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    tuple(round(m * 10.0**power, 9) for power in range(-4, 5) for m in (1, 2, 5)),
    tuple(10.0**power for power in range(-9, 10)),
)
_TICK_ROOM = 24.0  # pt, between labels of ticks
_OFFSET = 26.0  # pt, what a power of ten takes


class PageError(DataError):
    """A figure would not fit on a page."""


def dress(ax: Axes, *, x_label: str = "", y_label: str = "", grid: str = "") -> None:
    """Give `ax` the house style of spines, ticks and labels.

    Parameters
    ----------
    x_label, y_label
        Quantity, unit and scale range in words, as in ``"WAI mean item score (1–7)"``; wrapped
        where longer than the axis.
    grid
        ``"x"`` or ``"y"`` for faint lines at the ticks of that axis; empty for none.
    """
    ax.set_facecolor("white")
    ax.grid(visible=False)
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(RULE)
        spine.set_linewidth(0.8)
    ax.tick_params(
        labelsize=points(SMALL),
        labelfontfamily=families(sheet().theme.family),
        labelcolor=INK,
        color=RULE,
        length=3,
        width=0.8,
        which="major",
    )
    ax.tick_params(which="minor", length=0)
    if x_label:
        wide = width_in_points(ax)
        lines = balanced(x_label, wide)
        beside = (wide - max(text_width(line, BODY) for line in lines)) / 2.0
        low = beside < _OFFSET and bool(_offset(ax.xaxis))  # stand below the power of ten
        ax.set_xlabel("\n".join(lines), labelpad=12 if low else 4, **font(BODY))
        ax.xaxis.label.set_label(x_label)
    if y_label:
        lines = balanced(y_label, height_in_points(ax))
        ax.set_ylabel("\n".join(lines), labelpad=4, **font(BODY))
        ax.yaxis.label.set_label(y_label)
    if grid in {"x", "y"}:
        ax.grid(visible=True, axis="x" if grid == "x" else "y", color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)
    if sheet().theme.decimal != ".":
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(_InSign(axis.get_major_formatter(), sheet().theme.decimal))


class _InSign(Formatter):
    """Numbers of an axis in another decimal sign, as its formatter writes them."""

    def __init__(self, written: Formatter, decimal: str) -> None:
        self.written, self.decimal = written, decimal

    def set_axis(self, axis: Any) -> None:
        super().set_axis(axis)
        self.written.set_axis(axis)

    def set_locs(self, locs: list[float]) -> None:
        self.written.set_locs(locs)

    def get_offset(self) -> str:
        return decimal_ticks(self.written.get_offset(), self.decimal)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return decimal_ticks(self.written(x, pos), self.decimal)


def _offset(axis: Axis) -> str:
    """Return the power of ten, or the constant, that an axis' numbers are short of."""
    written = axis.get_major_formatter()
    written.set_locs(list(axis.get_majorticklocs()))
    return written.get_offset()


def percent_axis(ax: Axes) -> None:
    """Give `ax` an axis of shares from 0 to 100%, with as many ticks as its width holds."""
    ax.set_xlim(0.0, 1.0)
    each = text_width("100%") + 6.0
    count = next((n for n in (6, 5, 3, 2) if (n - 1) * each <= width_in_points(ax)), 2)
    ticks = np.linspace(0.0, 1.0, count)
    ax.set_xticks(ticks, [format_percent(tick) for tick in ticks])


def log_axis(ax: Axes, low: float, high: float) -> None:
    """Give `ax` a log axis of ratios with ticks at round ones."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(_ratio_ticks(low, high, width_in_points(ax))))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _ratio_ticks(low: float, high: float, width: float) -> Sequence[float]:
    """Return the finest round ratios that span the axis and can be read."""
    if high / low < 1.5:
        near = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [float(tick) for tick in near if low <= tick <= high]
    for ticks in _TICKS:
        inside = [tick for tick in ticks if low <= tick <= high]
        apart = np.diff(np.log(inside)) / np.log(high / low) * width
        spans = ticks[0] / 1.3 <= low and high <= ticks[-1] * 1.3
        if spans and len(inside) > 1 and apart.min() >= _TICK_ROOM:
            return inside
    return [1.0]


def check_limits(limits: Any) -> None:
    """Refuse limits that are not two numbers, the lower first.

    Raises
    ------
    DataError
    """
    if limits is None:
        return
    two = isinstance(limits, Sequence | np.ndarray) and len(limits) == 2
    if (
        not two
        or not all(isinstance(limit, Real) and math.isfinite(limit) for limit in limits)
        or not limits[0] < limits[1]
    ):
        raise DataError(f"limits= takes two numbers, the lower first; got {limits!r}.")


def set_limits(ax: Axes, limits: tuple[float, float] | None, *, axis: str) -> None:
    """Give the axis of the values the caller's limits, if there are any.

    Intervals that they cut end in arrows; marks outside them are not shown.

    Raises
    ------
    DataError
        If they are not two numbers, the lower first.
    """
    check_limits(limits)
    if limits is None:
        return
    if axis == "x":
        ax.set_xlim(*limits)
    else:
        ax.set_ylim(*limits)
    for spans, colour in _intervals(ax):
        along = spans[:, :: 1 if axis == "x" else -1]  # the way of the limits first
        if along[0, 1] == along[-1, 1] and not np.isnan(along).any():
            first, last = along[:, 0].min(), along[:, 0].max()
            draw_beyond(ax, first, last, first, along[0, 1], colour=colour, axis=axis)
    for line in ax.lines:
        if line.get_gid() == "dot":
            line.set_clip_on(True)


def _intervals(ax: Axes) -> Iterator[tuple[Array, Any]]:
    """Yield the ends and the colour of each interval that is drawn on `ax`."""
    for line in ax.lines:
        if line.get_gid() == "interval":
            yield np.asarray(line.get_xydata(), dtype=float), line.get_color()
    for lines in ax.collections:
        if lines.get_gid() in ("interval", "intervals"):
            for path in lines.get_paths():
                yield np.asarray(path.vertices, dtype=float), lines.get_edgecolor()[0]


def no_limits(limits: tuple[float, float] | None) -> None:
    """Refuse limits for a figure that has no axis of values.

    Raises
    ------
    DataError
    """
    if limits is not None:
        raise DataError("This figure has no axis of values: leave limits= out.")


def page(height: float, *, by_hand: bool = True) -> Figure:
    """Return the figure of the sheet that is drawn on, `height` points high."""
    return new_figure(sheet().width / 72.0, height / 72.0, placed_by_hand=by_hand)


def size_in_points(figure: Figure) -> tuple[float, float]:
    """Return the width and the height of a figure, or of a part of one."""
    whole = figure.get_figure(root=True)
    assert whole is not None
    per_point = whole.dpi / 72.0
    return float(figure.bbox.width / per_point), float(figure.bbox.height / per_point)


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in points from the figure's upper left corner."""
    wide, high = size_in_points(figure)
    if width <= 0.0 or height <= 0.0:
        raise PageError(
            f"Names and numbers leave no room for the axes on {wide * 25.4 / 72.0:.0f} mm: give "
            "width= more millimetres, or words= that are shorter."
        )
    return figure.add_axes((left / wide, 1.0 - (top + height) / high, width / wide, height / high))


def one_panel(
    height: float,
    *,
    left: float,
    right: float,
    above: float = 8.0,
    x_label: str,
    tick_lines: int = 1,
    below: float = 0.0,
) -> tuple[Figure, Axes]:
    """Return a figure and its axes, `height` points high, with the room named around them."""
    wide = sheet().width - left - right
    under = room_below(x_label, wide, tick_lines=tick_lines)
    figure = page(above + height + under + below)
    return figure, add_axes(figure, left, above, wide, height)


def room_below(x_label: str, width: float, *, tick_lines: int = 1) -> float:
    """Return how many points ticks and label of a horizontal axis `width` points wide take."""
    ticks = 7.0 + lines_height(tick_lines)
    return 10.0 + ticks + lines_height(len(balanced(x_label, width)), BODY)


def room_beside(y_label: str, height: float) -> float:
    """Return how many points numbers and label of a vertical axis `height` points high take."""
    return 44.0 + lines_height(len(balanced(y_label, height)), BODY)


def height_in_points(ax: Axes) -> float:
    """Return how high `ax` stands now, in points."""
    return float(ax.get_position().height * size_in_points(_parent(ax))[1])


def width_in_points(ax: Axes) -> float:
    """Return how wide `ax` stands now, in points."""
    return float(ax.get_position().width * size_in_points(_parent(ax))[0])


def _parent(ax: Axes) -> Figure:
    figure: Any = ax.get_figure(root=False)  # a figure, or the part of a panel
    assert figure is not None
    return figure  # type: ignore[no-any-return]


def draw_band(
    ax: Axes, x: Array, low: Array, high: Array, colour: str, *, alpha: float = 0.2
) -> None:
    """Fill between the limits of a pointwise interval."""
    ax.fill_between(x, low, high, color=colour, alpha=alpha, lw=0)


def write_above(ax: Axes, places: Sequence[float] | Array, words: Sequence[str]) -> None:
    """Write words above `ax` at their places, moved aside where two are close."""
    if len(places) == 0:
        return
    low, high = ax.get_xlim()
    per_point = (high - low) / width_in_points(ax)
    room = [(text_width(word) + 6.0) * per_point for word in words]
    over = ax.get_xaxis_transform()
    for word, place in zip(words, spread(list(places), room, low, high), strict=True):
        ax.text(place, 1.02, word, transform=over, ha="center", va="bottom", **font(colour=GREY))


def row_heights(names: Sequence[str], width: float, *, gap: float = 5.0) -> Array:
    """Return how many points each row takes, its name wrapped to `width` points."""
    return np.array([lines_height(len(wrap(name, width))) + gap for name in names])


def draw_intervals(
    ax: Axes,
    estimates: pd.DataFrame,
    centres: Array,
    *,
    reference: float,
    sizes: Array | None = None,
    colour: str = INK,
) -> None:
    """Draw each estimate as a square with its interval, around a line at `reference`.

    What extends beyond the axis ends in an arrow at its edge. Set the axis' limits first.

    Parameters
    ----------
    estimates
        ``estimate, conf_low, conf_high``.
    centres
        Height of each row, in the units of the vertical axis.
    sizes
        Side of each square in points; 4.5 if not given.
    """
    low, high = ax.get_xlim()
    if low <= reference <= high:
        ax.axvline(reference, color=RULE, lw=0.8, zorder=1)
    sides = np.full(len(estimates), 4.5) if sizes is None else sizes
    width = 1.2 if len(estimates) < 60 else 0.7
    for centre, side, row in zip(centres, sides, estimates.itertuples(), strict=True):
        if row.conf_high >= low and row.conf_low <= high:
            ends = [max(row.conf_low, low), min(row.conf_high, high)]  # butt: none reaches beyond
            ax.plot(
                ends, [centre] * 2, color=colour, lw=width, solid_capstyle="butt", gid="interval"
            )
        if low <= row.estimate <= high:
            ax.plot(row.estimate, centre, marker="s", ms=side, color=colour, ls="", gid="estimate")
        draw_beyond(ax, row.conf_low, row.conf_high, row.estimate, centre, colour=colour)


def draw_beyond(
    ax: Axes,
    first: float,
    last: float,
    estimate: float,
    centre: float,
    *,
    colour: Any = INK,
    axis: str = "x",
) -> None:
    """Draw an arrow at each edge of the axis that an estimate or its interval leaves it by."""
    low, high = ax.get_xlim() if axis == "x" else ax.get_ylim()
    for edge, leaves, arrow in (
        (low, min(first, estimate) < low, "<" if axis == "x" else "v"),
        (high, max(last, estimate) > high, ">" if axis == "x" else "^"),
    ):
        if leaves:
            place = (edge, centre) if axis == "x" else (centre, edge)
            ax.plot(*place, marker=arrow, ms=4, color=colour, clip_on=False, gid="beyond")


def write_rows(
    ax: Axes, words: Sequence[str], centres: Array, *, x: float, ha: str, width: float
) -> None:
    """Write a column of words beside `ax`, `x` points from its left (below 0) or right edge.

    Parameters
    ----------
    x
        Points from the left edge if negative, from the right edge if positive.
    ha
        ``"left"`` or ``"right"``: which end of the words stands there.
    width
        Points after which words are wrapped.
    """
    edge = 0.0 if x < 0 else 1.0
    for centre, text in zip(centres, words, strict=True):
        ax.annotate(
            "\n".join(wrap(text, width)),
            (edge, centre),
            xycoords=ax.get_yaxis_transform(),
            xytext=(x, 0),
            textcoords="offset points",
            ha=ha,
            va="center",
            annotation_clip=False,
            **font(SMALL),
        )


def swarm(values: Array, *, bins: int = 40, widest: float = 0.3) -> Array:
    """Return sideways offsets that place close values side by side, not on top of each other.

    Values are taken in `bins` bands of their range; in each band they are placed symmetrically
    around 0, the fullest band reaching at most `widest` to either side. Nothing is random.
    """
    offsets = np.zeros(len(values))
    if len(values) == 0:
        return offsets
    span = float(np.ptp(values)) or 1.0
    band = np.minimum(((values - values.min()) / span * bins).astype(int), bins - 1)
    fullest = int(np.bincount(band).max())
    step = min(0.07, 2 * widest / max(fullest - 1, 1))
    for number in np.unique(band):
        members = np.flatnonzero(band == number)
        members = members[np.argsort(values[members], kind="stable")]
        places = (np.arange(len(members)) - (len(members) - 1) / 2.0) * step
        # neighbours in value go to far places (golden ratio), else bands look like slanted lines
        offsets[members[np.argsort(np.arange(len(members)) * 0.618034 % 1.0)]] = places
    return offsets
