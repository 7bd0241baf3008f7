"""Variance partition: which share of the variance lies at which level, with intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import check_frame, require_columns, require_present
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import add_axes, dress
from alliance_stats.figures.intervals import row_heights, write_rows
from alliance_stats.figures.report import ReportFigure, require_frame
from alliance_stats.figures.style import COLUMN_AND_HALF, INK, look, new_figure, styled
from alliance_stats.figures.text import text_width, wrap
from alliance_stats.formatting import MISSING, format_level, format_percent, plural, with_interval

__all__ = ["draw_variance_partition", "variance_partition_figure"]

_NAME_WIDTH = 110.0  # pt
_ROW_GAP = 12.0  # pt


def draw_variance_partition(ax: Axes, shares: pd.DataFrame) -> None:
    """Draw a bar a level from 0 to its share, with its interval; numbers stand at the right.

    Parameters
    ----------
    ax
        Axes to draw on.
    shares
        ``group, estimate, conf_low, conf_high`` as proportions, from the top down.
    """
    names = [str(name) for name in shares["group"]]
    heights = row_heights(names, _NAME_WIDTH, gap=_ROW_GAP)
    centres = np.cumsum(heights) - heights / 2.0
    ax.barh(
        centres,
        shares["estimate"],
        height=np.minimum(heights - 6.0, 16.0),
        color=[look(place).colour for place in range(len(shares))],
        alpha=0.65,
        lw=0,
    )
    for centre, row in zip(centres, shares.itertuples(), strict=True):
        ax.plot([row.conf_low, row.conf_high], [centre] * 2, color=INK, lw=1.4, gid="interval")
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    ax.set_xticks(np.linspace(0, 1, 6), [format_percent(tick) for tick in np.linspace(0, 1, 6)])
    write_rows(ax, names, centres, x=-8.0, ha="right", width=_NAME_WIDTH)
    write_rows(ax, _numbers(shares), centres, x=10.0, ha="left", width=200.0)


@styled
def variance_partition_figure(
    shares: pd.DataFrame,
    *,
    outcome_label: str,
    method: str,
    conf_level: float = 0.95,
    label: str = "fig-variance",
) -> ReportFigure:
    """Show the share of variance at each level.

    Parameters
    ----------
    shares
        ``group, estimate, conf_low, conf_high``: proportions of the total variance that add up to
        1, a row a level; limits may be missing.
    outcome_label
        Whose variance it is.
    method
        The model, and by which method the intervals were made.

    Raises
    ------
    DataError
        If a column is missing, or the shares are no proportions that add up to 1.
    """
    require_frame(
        shares,
        asked="variance_partition_figure draws VariancePartition.tidy() or its like",
    )
    check_frame(shares, what="shares")
    require_columns(shares, ["group", "estimate", "conf_low", "conf_high"], what="shares")
    require_present(shares, "estimate", why="as a share of the variance")
    total = float(shares["estimate"].sum())
    if abs(total - 1.0) > 1e-6 or (shares["estimate"] < 0).any():
        raise DataError(
            f"The shares add up to {total:.4g}; shares of one variance are not below 0 and add up "
            "to 1. Divide each level's variance by their sum, the residual's included."
        )
    names = [str(name) for name in shares["group"]]
    left = 14.0 + max(text_width(line) for name in names for line in wrap(name, _NAME_WIDTH))
    right = 18.0 + max(text_width(words) for words in _numbers(shares))
    height = float(row_heights(names, _NAME_WIDTH, gap=_ROW_GAP).sum())
    figure = new_figure(COLUMN_AND_HALF, (height + 50.0) / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 8.0, 72 * COLUMN_AND_HALF - left - right, height)
    draw_variance_partition(ax, shares)
    dress(ax, x_label=f"Share of variance ({format_level(conf_level)} CI)")
    found = "; ".join(
        f"{name}: {words}" for name, words in zip(names, _numbers(shares), strict=True)
    )
    return ReportFigure(
        figure,
        label=label,
        caption=f"Variance of {outcome_label} by level, with {format_level(conf_level)} CI: "
        f"{found}.",
        alt=f"Bars of the share of variance at {plural(len(names), 'level')}. {found}.",
        note=f"{method.rstrip('.')}. Shares add up to 100%; – where there is no interval.",
        data=shares.reset_index(drop=True),
    )


def _numbers(shares: pd.DataFrame) -> list[str]:
    return [
        with_interval(row.estimate, row.conf_low, row.conf_high, kind="share")
        + ("" if np.isfinite(row.conf_low) else f" [{MISSING}]")
        for row in shares.itertuples()
    ]
