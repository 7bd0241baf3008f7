"""What lies at which level: shares of the variance, and slopes on one scale."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import check_frame, require_columns, require_present
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    height_in_points,
    label_line,
    room_below,
    room_beside,
    row_heights,
    write_rows,
)
from alliance_stats.figures.report_figure import ReportFigure, require_frame
from alliance_stats.figures.style import COLUMN_AND_HALF, INK, RULE, look, new_figure, styled
from alliance_stats.figures.text import lines_height, spread, text_width, wrap
from alliance_stats.formatting import MISSING, format_level, format_percent, plural, with_interval

__all__ = ["draw_slopes", "draw_variance_partition", "slopes_figure", "variance_partition_figure"]

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


_LABEL_WIDTH = 104.0  # pt
_ABOVE = 14.0  # pt, for the power of ten of an axis of very large or small numbers


def draw_slopes(ax: Axes, slopes: pd.DataFrame) -> None:
    """Draw each slope through the origin, as far as its predictor reaches, labelled at the right.

    Parameters
    ----------
    ax
        Axes to draw on.
    slopes
        ``term, estimate, conf_low, conf_high, reach``: change of the outcome per unit of the
        predictor, and how far from its mean the predictor is drawn to either side (one SD of that
        level's part of it shows how much there is of it).
    """
    ax.axhline(0.0, color=RULE, lw=0.7, zorder=1)
    ax.axvline(0.0, color=RULE, lw=0.7, zorder=1)
    for place, row in enumerate(slopes.itertuples()):
        style = look(place)
        across = np.array([-row.reach, 0.0, row.reach])
        edges = np.sort(np.outer([row.conf_low, row.conf_high], across), axis=0)
        ax.fill_between(across, edges[0], edges[1], color=style.colour, alpha=0.18, lw=0)
        ax.plot(
            across,
            row.estimate * across,
            color=style.colour,
            ls=style.dash,
            lw=1.8,
            gid=f"slope {row.term}",
        )
    low, high = ax.get_ylim()
    per_point = (high - low) / height_in_points(ax)
    texts = [_lines(row) for _, row in slopes.iterrows()]
    room = [(lines_height(len(lines)) + 5.0) * per_point for lines in texts]
    ends = [float(row.estimate * row.reach) for row in slopes.itertuples()]
    right = float(slopes["reach"].max()) * 1.04
    ax.set_xlim(-right, right)
    ax.set_ylim(low, high)
    for place, centre in enumerate(spread(ends, room, low, high)):
        label_line(ax, texts[place], centre, look(place))


@styled
def slopes_figure(
    slopes: pd.DataFrame,
    *,
    predictor_label: str,
    outcome_label: str,
    method: str,
    conf_level: float = 0.95,
    label: str = "fig-slopes",
) -> ReportFigure:
    """Show what the same difference in a predictor goes with at each level.

    Parameters
    ----------
    slopes
        See :func:`draw_slopes`; :meth:`LinearMixedModel.tidy` gives all columns but ``reach``.
    predictor_label, outcome_label
        Quantities with their units: ``"Alliance (WAI points)"``.
    method
        The model and its intervals.

    Raises
    ------
    DataError
        If a column or a slope is missing, or a reach is not above 0.
    """
    require_frame(slopes, asked="slopes_figure draws a frame of slopes")
    check_frame(slopes, what="slopes")
    columns = ["estimate", "conf_low", "conf_high", "reach"]
    require_columns(slopes, ["term", *columns], what="slopes")
    for column in columns:
        require_present(slopes, column, why="to draw the slope")
    if (slopes["reach"] <= 0).any():
        raise DataError("Column 'reach' must be above 0: how far the predictor is drawn.")
    lines = sum(len(_lines(row)) for _, row in slopes.iterrows())
    height = max(190.0, lines_height(lines) + 8.0 * len(slopes))
    x_label, y_label = f"Difference in {predictor_label}", f"Difference in {outcome_label}"
    left = room_beside(y_label, height)
    wide = 72 * COLUMN_AND_HALF - left - _LABEL_WIDTH - 40.0
    whole = _ABOVE + height + room_below(x_label, wide)
    figure = new_figure(COLUMN_AND_HALF, whole / 72, placed_by_hand=True)
    ax = add_axes(figure, left, _ABOVE, wide, height)
    draw_slopes(ax, slopes)
    dress(ax, x_label=x_label, y_label=y_label)
    found = "; ".join(f"{row['term']}: {_number(row)}" for _, row in slopes.iterrows())
    return ReportFigure(
        figure,
        label=label,
        caption=f"{outcome_label[:1].upper()}{outcome_label[1:]} per unit of {predictor_label}, "
        f"with {format_level(conf_level)} confidence bands. {found}.",
        alt=f"{plural(len(slopes), 'line')} through the origin. {found}.",
        note=f"{method.rstrip('.')}. Each line reaches as far as its part of the predictor does.",
        data=slopes.reset_index(drop=True),
    )


def _lines(row: pd.Series) -> list[str]:
    return [*wrap(row["term"], _LABEL_WIDTH), *wrap(_number(row), _LABEL_WIDTH)]


def _number(row: pd.Series) -> str:
    return with_interval(row["estimate"], row["conf_low"], row["conf_high"])
