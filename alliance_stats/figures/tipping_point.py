"""Tipping points: a finding along shifts of the outcomes that were not seen."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import require_kind
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    room_below,
    room_beside,
    width_in_points,
)
from alliance_stats.figures.report import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    COLUMN_AND_HALF,
    GREY,
    RULE,
    SMALL,
    font,
    look,
    new_figure,
    styled,
)
from alliance_stats.figures.text import in_sentence, spread, text_width
from alliance_stats.formatting import (
    format_alone,
    format_count,
    format_level,
    plural,
    write_estimate,
)
from alliance_stats.survival import DropoutSensitivity

__all__ = ["draw_tipping_point", "tipping_point_figure"]

_HEIGHT = 190.0  # pt


def draw_tipping_point(ax: Axes, table: pd.DataFrame, tips: pd.DataFrame) -> None:
    """Draw the estimate and its band along the shifts, lines at 0 and at the tipping points.

    Parameters
    ----------
    ax
        Axes to draw on; tipping points are written above.
    table, tips
        :meth:`DropoutSensitivity.tidy` and :meth:`DropoutSensitivity.tipping_points`.
    """
    style = look(0)
    delta = table["delta"].to_numpy(dtype=float)
    low, high = (table[name].to_numpy(dtype=float) for name in ("conf_low", "conf_high"))
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    ax.fill_between(delta, low, high, color=style.colour, alpha=0.18, lw=0)
    ax.plot(delta, table["estimate"], color=style.colour, lw=1.6, gid="estimate")
    at_zero = table.loc[table["delta"] == 0.0, "estimate"]
    ax.scatter([0.0], at_zero, s=26, color=style.colour, zorder=3, gid="no shift")
    ax.set_xlim(delta[0], delta[-1])
    bottom, top = min(low.min(), 0.0), max(high.max(), 0.0)
    room = 0.06 * (top - bottom)
    ax.set_ylim(bottom - room, top + room)
    found = [float(tip) for tip in tips["delta"].dropna()]
    for tip in found:
        ax.axvline(tip, color=GREY, lw=0.9, ls=(0, (1, 1.5)), zorder=1, gid="tipping point")
    if not found:
        return
    words = [format_alone(tip, "time") for tip in found]
    per_point = (delta[-1] - delta[0]) / width_in_points(ax)
    rooms = [(text_width(word, SMALL) + 6.0) * per_point for word in words]
    for word, place in zip(words, spread(found, rooms, delta[0], delta[-1]), strict=True):
        ax.text(
            place, 1.02, word, transform=ax.get_xaxis_transform(), ha="center", va="bottom",
            **font(SMALL, colour=GREY),
        )  # fmt: skip


@styled
def tipping_point_figure(
    result: DropoutSensitivity,
    *,
    estimate_label: str,
    shift_label: str,
    conf_level: float = 0.95,
    label: str = "fig-tipping-point",
) -> ReportFigure:
    """Show how a coefficient moves as the unseen outcomes are shifted.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.dropout_sensitivity`.
    estimate_label
        What the coefficient is, with its unit.
    shift_label
        What is shifted, and its unit: ``"Shift of symptoms after leaving (points)"``.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy()``.
    """
    asked = "tipping_point_figure draws a result of dropout_sensitivity"
    require_kind(result, DropoutSensitivity, asked=asked, instead=DRAWN_BY)
    table = result.tidy(conf_level=conf_level)
    tips = result.tipping_points(conf_level=conf_level)
    left = max(62.0, room_beside(estimate_label, _HEIGHT))
    wide = 72 * COLUMN_AND_HALF - left - 18.0
    height = 20.0 + _HEIGHT + room_below(shift_label, wide)
    figure = new_figure(COLUMN_AND_HALF, height / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 20.0, wide, _HEIGHT)
    draw_tipping_point(ax, table, tips)
    dress(ax, x_label=shift_label, y_label=estimate_label)
    row = table.loc[table["delta"] == 0.0].iloc[0]
    at_rest = write_estimate(row["estimate"], row["conf_low"], row["conf_high"])
    zero_in = row["conf_low"] <= 0.0 <= row["conf_high"]
    found = (
        f"Without a shift it is {at_rest.estimate}, "
        f"{format_level(conf_level)} CI {at_rest.interval}, which "
        f"{'holds' if zero_in else 'leaves out'} 0; " + _tips_in_words(tips)
    )
    m = result.estimates.shape[1]
    first, last = (format_alone(table["delta"].iloc[end], "time") for end in (0, -1))
    return ReportFigure(
        figure,
        label=label,
        caption=f"{estimate_label} by {in_sentence(shift_label)}, with the "
        f"{format_level(conf_level)} confidence band. {found}.",
        alt=f"A line with its band over shifts from {first} to {last}, and a line at 0. {found}.",
        note=f"{plural(result.n_unseen, 'unseen outcome')} imputed {format_count(m)} times under "
        f"the mixed model fitted to {plural(result.n_seen, 'seen one')}, shifted, analysed with "
        "the same model and pooled by Rubin’s rules, Barnard-Rubin df. Dotted: where the "
        "finding is overturned.",
        data=table,
    )


def _tips_in_words(tips: pd.DataFrame) -> str:
    parts = []
    for row in tips.itertuples():
        sign = "downwards" if row.direction == "below 0" else "upwards"
        searched, found = (format_alone(x, "time") for x in (row.searched_to, row.delta))
        if np.isnan(row.delta):
            parts.append(f"no shift {sign} to {searched} overturns that")
        else:
            parts.append(f"a shift {sign} of {found} overturns that")
    return "; ".join(parts)
