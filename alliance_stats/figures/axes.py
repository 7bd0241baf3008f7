"""Axes as the house draws them: spines, ticks, labels, rows of estimates, values side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from alliance_stats.estimates import Array
from alliance_stats.figures.fonts import families
from alliance_stats.figures.style import BODY, INK, RULE, SMALL, Look, font
from alliance_stats.figures.text import balanced, lines_height, wrap

__all__ = [
    "add_axes",
    "draw_intervals",
    "dress",
    "height_in_points",
    "integer_ticks",
    "label_line",
    "room_below",
    "room_beside",
    "row_heights",
    "swarm",
    "width_in_points",
    "write_rows",
]


def dress(ax: Axes, *, x_label: str = "", y_label: str = "", grid: str = "") -> None:
    """Give `ax` the house's spines, ticks and labels.

    Parameters
    ----------
    x_label, y_label
        Quantity, unit and scale range in words, as in ``"WAI mean item score (1–7)"``; broken
        into lines where longer than the axis.
    grid
        ``"x"`` or ``"y"`` for faint lines along that axis' ticks; empty for none.
    """
    ax.set_facecolor("white")
    ax.grid(visible=False)
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(RULE)
        spine.set_linewidth(0.8)
    ax.tick_params(
        labelsize=SMALL,
        labelfontfamily=families(),
        labelcolor=INK,
        color=RULE,
        length=3,
        width=0.8,
        which="major",
    )
    ax.tick_params(which="minor", length=0)
    if x_label:
        lines = balanced(x_label, width_in_points(ax))
        ax.set_xlabel("\n".join(lines), labelpad=4, **font(BODY))
    if y_label:
        lines = balanced(y_label, height_in_points(ax))
        ax.set_ylabel("\n".join(lines), labelpad=4, **font(BODY))
    if grid in {"x", "y"}:
        ax.grid(visible=True, axis="x" if grid == "x" else "y", color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)


def integer_ticks(low: float, high: float, *, most: int = 8) -> list[int]:
    """Return about `most` whole-number ticks: `low`, and round ones up to `high`."""
    if high <= low:
        return [round(low)]
    found = MaxNLocator(nbins=most, integer=True, steps=[1, 2, 4, 5, 10]).tick_values(low, high)
    step = float(found[1] - found[0])
    inside = [round(tick) for tick in found if low + 0.6 * step < tick <= high]
    return [round(low), *inside]


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in points from the figure's upper left corner."""
    wide, high = (72.0 * inches for inches in figure.get_size_inches())
    return figure.add_axes((left / wide, 1.0 - (top + height) / high, width / wide, height / high))


def room_below(x_label: str, width: float, *, tick_lines: int = 1) -> float:
    """Return how many points ticks and label of a horizontal axis `width` points wide take."""
    ticks = 7.0 + lines_height(tick_lines)
    return 10.0 + ticks + lines_height(len(balanced(x_label, width)), BODY)


def room_beside(y_label: str, height: float) -> float:
    """Return how many points numbers and label of a vertical axis `height` points high take."""
    return 44.0 + lines_height(len(balanced(y_label, height)), BODY)


def height_in_points(ax: Axes) -> float:
    """Return how high `ax` stands now, in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().height * figure.bbox.height / figure.dpi * 72.0)


def width_in_points(ax: Axes) -> float:
    """Return how wide `ax` stands now, in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().width * figure.bbox.width / figure.dpi * 72.0)


def label_line(ax: Axes, lines: Sequence[str], centre: float, style: Look) -> None:
    """Write a line's label at the right of `ax`, with a piece of the line as its key.

    Parameters
    ----------
    lines
        The label's lines; the key stands before the first.
    centre
        Height of the label's middle, in the units of the vertical axis.
    """
    low, high = ax.get_ylim()
    per_point = (high - low) / height_in_points(ax)
    first = centre + lines_height(len(lines) - 1) * per_point / 2
    across, wide = ax.get_yaxis_transform(), width_in_points(ax)
    key = Line2D(
        [1 + 6 / wide, 1 + 26 / wide],
        [first, first],
        transform=across,
        color=style.colour,
        ls=style.dash,
        lw=1.6,
        clip_on=False,
    )
    ax.add_line(key)
    ax.text(
        1 + 31 / wide,
        centre,
        "\n".join(lines),
        transform=across,
        va="center",
        **font(SMALL, colour=style.text),
    )


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

    Parameters
    ----------
    estimates
        ``estimate, conf_low, conf_high``.
    centres
        Height of each row, in the units of the vertical axis.
    sizes
        Side of each square in points; 4.5 if not given.
    """
    ax.axvline(reference, color=RULE, lw=0.8, zorder=1)
    sides = np.full(len(estimates), 4.5) if sizes is None else sizes
    width = 1.2 if len(estimates) < 60 else 0.7
    for centre, side, row in zip(centres, sides, estimates.itertuples(), strict=True):
        ends = [row.conf_low, row.conf_high]  # butt: no end reaches beyond its limit
        ax.plot(ends, [centre] * 2, color=colour, lw=width, solid_capstyle="butt", gid="interval")
        ax.plot(
            row.estimate, centre, marker="s", markersize=side, color=colour, ls="", gid="estimate"
        )


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
    """Return sideways offsets that set near values side by side instead of over one another.

    Values are taken in `bins` bands of their range; in each band they stand symmetrically around
    0, the fullest band reaching at most `widest` to either side. Nothing is random.
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
