"""Caterpillars of ranks: intervals, and probabilities of being among the lowest or highest."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level
from alliance_stats.figures.axes import (
    TALLEST,
    add_axes,
    draw_intervals,
    dress,
    page,
    room_below,
    set_limits,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_count, format_level, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, GREY, RULE, look, naming, sheet
from alliance_stats.figures.text import lines_height, widest, wrap
from alliance_stats.multilevel import UnitRanks

__all__ = ["draw_rank_chances", "draw_ranks", "ranks_figure"]

_NAME_WIDTH = 110.0  # pt
_ROW = 4.0  # pt, of units without names
_GAP = 16.0  # pt, between the two parts
_SURE = 0.95


def draw_ranks(ax: Axes, table: pd.DataFrame, *, limits: tuple[float, float] | None = None) -> None:
    """Draw each unit's mean rank with its interval, the lowest effect at the bottom.

    Parameters
    ----------
    ax
        Axes to draw on.
    table
        ``rank, conf_low, conf_high``, from the lowest predicted effect up.
    limits
        Limits of the axis of ranks.
    """
    n = len(table)
    ax.set_xlim(0.5, n + 0.5)
    set_limits(ax, limits, axis="x")
    places = np.arange(n, dtype=float)
    shown = table.assign(estimate=table["rank"])
    sizes = np.full(n, float(np.clip(160.0 / n, 1.6, 4.5)))
    middle = (n + 1) / 2.0
    draw_intervals(ax, shown, places, reference=middle, sizes=sizes, colour=look(0).text)
    ax.set_ylim(-0.8, n - 0.2)
    ax.set_yticks([])


def draw_rank_chances(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the probabilities of being among the lowest (leftwards) and the highest (rightwards).

    Parameters
    ----------
    ax
        Axes to draw on.
    table
        ``lowest, highest``: probabilities, in the order of :func:`draw_ranks`.
    """
    places = np.arange(len(table), dtype=float)
    for name, sign, style in (("lowest", -1.0, look(1)), ("highest", 1.0, look(0))):
        chance = table[name].to_numpy(dtype=float)
        sure = chance >= _SURE
        for chosen, alpha in ((sure, 0.9), (~sure, 0.35)):
            ax.barh(
                places[chosen], sign * chance[chosen], height=0.7, color=style.colour,
                alpha=alpha, lw=0, gid=name,
            )  # fmt: skip
    ax.axvline(0.0, color=RULE, lw=0.8)
    for edge in (-_SURE, _SURE):
        ax.axvline(edge, color=GREY, lw=0.7, ls=(0, (4, 2)), zorder=0)
    ax.set_xlim(-1.02, 1.02)
    ax.set_ylim(-0.8, len(table) - 0.2)
    ax.set_yticks([])
    ax.set_xticks([-1.0, 0.0, 1.0], ["1", "0", "1"])


@laid_out(COLUMN_AND_HALF)
def ranks_figure(
    ranks: UnitRanks,
    *,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how certain the ranks of units are: not a league table.

    Parameters
    ----------
    ranks
        From :func:`~alliance_stats.unit_ranks`.
    conf_level
        Coverage of the intervals of ranks.
    limits
        Limits of the axis of ranks.
    words
        Unit or grouping factor -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``ranks.tidy()`` with the names drawn.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, unit_ranks
    >>> from alliance_stats.figures import ranks_figure
    >>> model = lmm("symptoms ~ session + (1 | therapist/person)", example_study().sessions)
    >>> ranks_figure(unit_ranks(model, "therapist", n_resamples=500, seed=1)).label
    'fig-ranks'
    """
    require_kind(ranks, UnitRanks, asked="ranks_figure draws ranks of units", instead=DRAWN_BY)
    check_conf_level(conf_level)
    table = ranks.tidy(conf_level=conf_level)
    said = naming(common["words"], [ranks.group, *table["level"]])
    table = table.assign(level=[said(name) for name in table["level"]])
    n, few = len(table), format_count(ranks.n_extreme)
    room = sheet().part(_NAME_WIDTH)
    row = lines_height(max(len(wrap(name, room)) for name in table["level"])) + 4.0
    named = row * (n + 0.6) <= TALLEST
    left = 16.0 + widest(table["level"], room) if named else 14.0
    body = min(max((row if named else _ROW) * (n + 0.6), 40.0), TALLEST)
    each = (sheet().width - left - _GAP - 12.0) / 2.0
    labels = (f"Rank ({format_level(conf_level)} interval)", f"P(lowest {few}), P(highest {few})")
    figure = page(body + 8.0 + max(room_below(text, each) for text in labels))
    first = add_axes(figure, left, 4.0, each, body)
    draw_ranks(first, table, limits=common["limits"])
    if named:
        write_rows(
            first, [*table["level"].astype(str)], np.arange(n, dtype=float), x=-8.0, ha="right",
            width=room,
        )  # fmt: skip
    dress(first, x_label=labels[0])
    second = add_axes(figure, left + each + _GAP, 4.0, each, body)
    draw_rank_chances(second, table)
    dress(second, x_label=labels[1])
    for ax in (first, second):
        ax.spines["left"].set_visible(False)
    found = _surely(table, few)
    units = plural(n, f"unit of {said(ranks.group)}", f"units of {said(ranks.group)}")
    return ReportFigure(
        figure,
        label=common["label"] or "fig-ranks",
        caption=f"Ranks of {units} by predicted effect, rank 1 the smallest, with their "
        f"{format_level(conf_level)} intervals; right: probabilities of being among the lowest and "
        f"the highest {few}. {found}.",
        alt=f"Left, {units} with intervals of their ranks; right, bars of two probabilities. "
        f"{found}.",
        note=f"{' '.join(ranks.notes)} Dashed: a probability of .95; fainter bars do not reach it.",
        data=table,
    )


def _surely(table: pd.DataFrame, few: str) -> str:
    """Say how many are at either end with a probability of .95 or more."""
    sure = {end: int((table[end] >= _SURE).sum()) for end in ("lowest", "highest")}
    return (
        f"{format_count(sure['lowest'])} of {format_count(len(table))} are among the lowest {few} "
        f"with a probability of .95 or more, {format_count(sure['highest'])} among the highest "
        f"{few}"
    )
