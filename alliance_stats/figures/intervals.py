"""Estimates with their intervals, a row each: the drawing that forest and caterpillar share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.estimates import Array
from alliance_stats.figures.style import INK, RULE, SMALL, font
from alliance_stats.figures.text import lines_height, wrap

__all__ = ["draw_intervals", "row_heights", "write_rows"]


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
