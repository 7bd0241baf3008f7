"""A map of correlations: a cell a pair, its tint the size and sign, its number written in it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from alliance_stats.association import Correlations
from alliance_stats.checks import check_conf_level, require_kind
from alliance_stats.figures.axes import add_axes
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    COLUMN_AND_HALF,
    FULL_WIDTH,
    GREY,
    INK,
    RULE,
    SMALL,
    font,
    look,
    new_figure,
    styled,
)
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.formatting import format_bounded, format_level, plural

__all__ = ["correlation_figure", "draw_correlations"]

_NAME_WIDTH = 130.0  # pt
_SMALLEST, _LARGEST = 30.0, 46.0  # pt, side of a cell
_DEEPEST = 0.62  # share of colour at r = 1, under which black numbers stay readable


def draw_correlations(ax: Axes, cells: pd.DataFrame, names: Sequence[str]) -> None:
    """Draw a square of cells with their correlations.

    Parameters
    ----------
    ax
        Axes to draw on; the first variable stands at the top left.
    cells
        ``row, column`` (places from 0), ``estimate, conf_low, conf_high``. Those whose interval
        holds 0 are written in grey.
    names
        What the variables are called, by place; written at the left, numbered at the top.
    """
    k = len(names)
    ax.set_xlim(0.0, k)
    ax.set_ylim(k, 0.0)
    ax.set_axis_off()
    for row in cells.itertuples():
        place = (float(row.column), float(row.row))
        ax.add_patch(
            Rectangle(place, 1.0, 1.0, facecolor=_tint(row.estimate), edgecolor="white", lw=1.2)
        )
        told = row.conf_low > 0 or row.conf_high < 0
        ax.text(
            place[0] + 0.5, place[1] + 0.5, format_bounded(row.estimate), ha="center", va="center",
            **font(SMALL, colour=INK if told else GREY),
        )  # fmt: skip
    for i, name in enumerate(names):
        ax.add_patch(
            Rectangle((i, i), 1.0, 1.0, facecolor="white", edgecolor=RULE, lw=0.6, clip_on=False)
        )
        ax.text(i + 0.5, i + 0.5, str(i + 1), ha="center", va="center", **font(SMALL))
        ax.annotate(
            "\n".join(wrap(f"{i + 1}. {name}", _NAME_WIDTH)), (0.0, i + 0.5), (-6.0, 0.0),
            textcoords="offset points", ha="right", va="center", annotation_clip=False, **font(),
        )  # fmt: skip


@styled
def correlation_figure(
    found: Correlations,
    *,
    words: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
    label: str = "fig-correlations",
) -> ReportFigure:
    """Show correlations as a map.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.association.correlations`. Of correlations within and between
        units, those within stand below the diagonal and those between above it; of one kind, below.
    words
        Variable -> words for it.
    conf_level
        Of the intervals that decide which numbers stand back.

    Returns
    -------
    ReportFigure
        ``data`` has the cells.
    """
    asked = "correlation_figure draws correlations"
    require_kind(found, Correlations, asked=asked, instead=DRAWN_BY)
    check_conf_level(conf_level)
    known = dict(words or {})
    names = [known.get(name, name) for name in found.variables]
    cells = _cells(found, conf_level)
    longest = [line for i, n in enumerate(names) for line in wrap(f"{i + 1}. {n}", _NAME_WIDTH)]
    left = 14.0 + max(text_width(line) for line in longest)
    most = max(len(wrap(f"{i + 1}. {name}", _NAME_WIDTH)) for i, name in enumerate(names))
    k = len(names)
    wide = FULL_WIDTH if left + k * _SMALLEST > 72 * COLUMN_AND_HALF - 8 else COLUMN_AND_HALF
    side = float(np.clip((72 * wide - left - 8.0) / k, _SMALLEST, _LARGEST))
    side = max(side, lines_height(most) + 4.0)
    width = max(72 * wide, left + k * side + 8.0)
    figure = new_figure(width / 72, (k * side + 12.0) / 72, placed_by_hand=True)
    draw_correlations(add_axes(figure, left, 6.0, k * side, k * side), cells, names)
    levels = list(dict.fromkeys(cells["level"]))
    where = "" if len(levels) == 1 else f" Below the diagonal {levels[0]}, above it {levels[1]}."
    said = "; ".join(
        f"{names[row.column if row.row > row.column else row.row]} with "
        f"{names[row.row if row.row > row.column else row.column]}"
        f"{f' ({row.level})' if row.level else ''}: {format_bounded(row.estimate)}"
        for row in cells.itertuples()
    )
    n = sorted({pair[3].n for pair in found.pairs})
    sizes = f"n = {n[0]:,}" if len(n) == 1 else f"n = {n[0]:,} to {n[-1]:,}"
    return ReportFigure(
        figure,
        label=label,
        caption=f"{found.method}, {sizes}.{where}",
        alt=f"Map of correlations of {plural(k, 'variable')}. {said}.",
        note=" ".join(
            [
                "Blue: positive, orange: negative, the deeper the larger. Grey numbers: the "
                f"{format_level(conf_level)} interval holds 0.",
                *found.notes,
            ]
        ),
        data=cells,
    )


def _cells(found: Correlations, conf_level: float) -> pd.DataFrame:
    levels = list(dict.fromkeys(pair[0] for pair in found.pairs))
    place = {name: i for i, name in enumerate(found.variables)}
    rows = []
    for level, one, other, r in found.pairs:
        i, j = sorted((place[one], place[other]))
        row, column = (j, i) if level == levels[0] else (i, j)
        low, high = r.interval(conf_level)
        rows.append(
            {"level": level, "row": row, "column": column, "term": one, "with": other,
             "estimate": r.r, "conf_low": low, "conf_high": high}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _tint(r: float) -> tuple[float, float, float]:
    colour = to_rgb(look(0).colour if r >= 0 else look(1).colour)
    share = _DEEPEST * min(abs(r), 1.0)
    red, green, blue = (1.0 - share * (1.0 - part) for part in colour)
    return red, green, blue
