"""A map of correlations: a cell per pair, its tint the size and sign, its number written in it."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from alliance_stats.arguments import require_kind
from alliance_stats.association import Correlations
from alliance_stats.checks import check_conf_level
from alliance_stats.figures.axes import add_axes, no_limits, page, width_in_points
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import (
    format_bounded,
    format_count,
    format_level,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import (
    COLUMN_AND_HALF,
    GREY,
    INK,
    RULE,
    SMALL,
    font,
    look,
    naming,
    sheet,
)
from alliance_stats.figures.text import lines_height, text_width, widest, wrap

__all__ = ["correlation_figure", "draw_correlations"]

_NAME_WIDTH = 130.0  # pt
_LARGEST = 46.0  # pt, side of a cell
_DEEPEST = 0.62  # share of colour at r = 1, under which black numbers stay readable


def draw_correlations(ax: Axes, cells: pd.DataFrame, names: Sequence[str]) -> None:
    """Draw a square of cells with their correlations.

    Parameters
    ----------
    ax
        Axes to draw on; the first variable is at the top left.
    cells
        ``row, column`` (places from 0), ``estimate, conf_low, conf_high``. Those whose interval
        includes 0 are written in grey.
    names
        What the variables are called, by place; written at the left, numbered at the top.
    """
    k, room = len(names), sheet().part(_NAME_WIDTH)
    fits = width_in_points(ax) / k > text_width("−.00") + 2.0
    ax.set_xlim(0.0, k)
    ax.set_ylim(k, 0.0)
    ax.set_axis_off()
    for row in cells.itertuples():
        place = (float(row.column), float(row.row))
        ax.add_patch(
            Rectangle(place, 1.0, 1.0, facecolor=_tint(row.estimate), edgecolor="white", lw=1.2)
        )
        if not fits:
            continue
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
            "\n".join(wrap(f"{i + 1}. {name}", room)), (0.0, i + 0.5), (-6.0, 0.0),
            textcoords="offset points", ha="right", va="center", annotation_clip=False, **font(),
        )  # fmt: skip


@laid_out(COLUMN_AND_HALF)
def correlation_figure(
    found: Correlations,
    *,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show correlations as a map.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.association.correlations`. With correlations within and between
        units, those within are below the diagonal and those between above it; a single kind is
        below.
    conf_level
        Level of the intervals that decide which numbers are greyed.
    limits
        Refused: there is no axis of values.
    words
        Variable -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the cells.

    Examples
    --------
    >>> from alliance_stats import correlations, example_study
    >>> from alliance_stats.figures import correlation_figure
    >>> first = example_study().sessions.query("session == 1")
    >>> found = correlations(first, ["alliance", "symptoms", "investment"])
    >>> correlation_figure(found).label
    'fig-correlations'
    """
    asked = "correlation_figure draws correlations"
    require_kind(found, Correlations, asked=asked, instead=DRAWN_BY)
    check_conf_level(conf_level)
    no_limits(common["limits"])
    known, room = naming(common["words"], found.variables), sheet().part(_NAME_WIDTH)
    names = [known(name) for name in found.variables]
    cells, numbered = _cells(found, conf_level), [f"{i + 1}. {n}" for i, n in enumerate(names)]
    k, left = len(names), 14.0 + widest(numbered, room)
    side = float(np.clip((sheet().width - left - 8.0) / k, 0.0, _LARGEST))
    most = max(len(wrap(name, room)) for name in numbered)
    high = max(side, lines_height(most) + 4.0)
    figure = page(k * high + 12.0)
    draw_correlations(add_axes(figure, left, 6.0, k * side, k * high), cells, names)
    levels = list(dict.fromkeys(cells["level"]))
    where = "" if len(levels) == 1 else f" Below the diagonal {levels[0]}, above it {levels[1]}."
    pairs = [
        f"{names[min(row.row, row.column)]} with {names[max(row.row, row.column)]}"
        f"{f' ({row.level})' if row.level else ''}"
        for row in cells.itertuples()
    ]
    numbers = [format_bounded(r) for r in cells["estimate"]]
    said = listed(pairs, numbers, of=plural(len(cells), "correlation"))
    n = sorted({pair[3].n for pair in found.pairs})
    sizes = " to ".join(dict.fromkeys(format_count(size) for size in (n[0], n[-1])))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-correlations",
        caption=f"{found.method}, n = {sizes}.{where}",
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
