"""What happens at which level: shares of the variance, and slopes on one scale."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import check_frame, require_columns, require_present
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    draw_band,
    dress,
    one_panel,
    room_beside,
    row_heights,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    MISSING,
    format_level,
    format_percent,
    interval_of,
    plural,
)
from alliance_stats.figures.report_figure import ReportFigure, listed, require_frame
from alliance_stats.figures.style import COLUMN_AND_HALF, INK, RULE, looks, naming, sheet
from alliance_stats.figures.text import text_width, widest
from alliance_stats.multilevel import VariancePartition, WithinBetween

__all__ = [
    "draw_slopes",
    "draw_variance_partition",
    "slopes_figure",
    "variance_partition_figure",
]

_NAME_WIDTH = 126.0  # pt, on a full page
_ROW_GAP = 12.0  # pt
_LABEL_WIDTH = 104.0  # pt, on a page of one and a half columns
_HEIGHT = 190.0  # pt
_THREE_TICKS = 72.0  # pt, that three percentages take


def draw_variance_partition(ax: Axes, shares: pd.DataFrame) -> None:
    """Draw a bar per level from 0 to its share, with its interval; numbers on the right.

    Parameters
    ----------
    ax
        Axes to draw on.
    shares
        ``group, estimate, conf_low, conf_high`` as proportions, from the top down.
    """
    names, room = [str(name) for name in shares["group"]], sheet().part(_NAME_WIDTH)
    heights = row_heights(names, room, gap=_ROW_GAP)
    centres = np.cumsum(heights) - heights / 2.0
    ax.barh(
        centres,
        shares["estimate"],
        height=np.minimum(heights - 6.0, 16.0),
        color=[style.colour for style in looks(range(len(shares))).values()],
        alpha=0.65,
        lw=0,
    )
    for centre, row in zip(centres, shares.itertuples(), strict=True):
        ax.plot([row.conf_low, row.conf_high], [centre] * 2, color=INK, lw=1.4, gid="interval")
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    wide = width_in_points(ax)
    ticks = np.linspace(0, 1, 2 if wide < _THREE_TICKS else 3 if sheet().narrow else 6)
    ax.set_xticks(ticks, [format_percent(tick) for tick in ticks])
    write_rows(ax, names, centres, x=-8.0, ha="right", width=room)
    write_rows(ax, _numbers(shares), centres, x=10.0, ha="left", width=200.0)


@laid_out(COLUMN_AND_HALF)
def variance_partition_figure(
    shares: VariancePartition | pd.DataFrame,
    *,
    outcome_label: str = "the outcome",
    method: str | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the share of variance at each level.

    Parameters
    ----------
    shares
        From :func:`~alliance_stats.multilevel.variance_partition`; or a frame ``group, estimate,
        conf_low, conf_high``: proportions of the total variance that add up to 1, a row per level
        (limits may be missing).
    outcome_label
        The quantity whose variance it is.
    method
        The model, and the method of the intervals; required for a frame.
    limits
        Limits of the axis of shares.
    words
        Level -> label to print.

    Raises
    ------
    DataError
        If a column is missing, or the shares are not proportions that add up to 1.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, variance_partition
    >>> from alliance_stats.figures import variance_partition_figure
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | therapist/person)", sessions)
    >>> variance_partition_figure(variance_partition(model)).label
    'fig-variance'
    """
    if isinstance(shares, VariancePartition):
        method = method or shares.method
        shares = shares.tidy(conf_level=conf_level)
    else:
        require_frame(
            shares, asked="variance_partition_figure draws VariancePartition.tidy() or its like"
        )
    if method is None:
        raise DataError("A frame does not say how it was made: give method=.")
    check_frame(shares, what="shares")
    require_columns(shares, ["group", "estimate", "conf_low", "conf_high"], what="shares")
    require_present(shares, "estimate", why="as a share of the variance")
    total = float(shares["estimate"].sum())
    if abs(total - 1.0) > 1e-6 or (shares["estimate"] < 0).any():
        raise DataError(
            f"The shares add up to {total:.4g}; shares of one variance are not below 0 and add up "
            "to 1. Divide each level's variance by their sum, the residual's included."
        )
    said = naming(common["words"], [*shares["group"]])
    shares = shares.assign(group=[said(name) for name in shares["group"]])
    names, numbers, room = [*shares["group"]], _numbers(shares), sheet().part(_NAME_WIDTH)
    left, right = 14.0 + widest(names, room), 18.0 + max(map(text_width, numbers))
    height = float(row_heights(names, room, gap=_ROW_GAP).sum())
    bounded = shares["conf_low"].notna().any()
    interval = f"{format_level(conf_level)} CI" if bounded else ""
    x_label = f"Share of variance ({interval})" if interval else "Share of variance"
    figure, ax = one_panel(height, left=left, right=right, x_label=x_label)
    draw_variance_partition(ax, shares)
    set_limits(ax, common["limits"], axis="x")
    dress(ax, x_label=x_label)
    found = listed(names, numbers, of=plural(len(names), "level"))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-variance",
        caption=f"Share of the variance of {outcome_label} at "
        f"{plural(len(names), 'level')}" + (f", with {interval}." if interval else "."),
        alt=f"Bars of the share of variance at {plural(len(names), 'level')}. {found}.",
        note=f"{method[:1].upper()}{method[1:].rstrip('.')}. Shares add up to 100%"
        + (f"; {MISSING} where there is no interval." if bounded else "."),
        data=shares.reset_index(drop=True),
    )


def _numbers(shares: pd.DataFrame) -> list[str]:
    """Return each share with its interval; a dash for a missing one where others have theirs."""
    absent = f" [{MISSING}]" if shares["conf_low"].notna().any() else ""
    return [
        interval_of(row, kind="share") + ("" if np.isfinite(row["conf_low"]) else absent)
        for _, row in shares.iterrows()
    ]


def draw_slopes(
    ax: Axes, slopes: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw each slope through the origin, as far as its predictor reaches, labelled at its end.

    Parameters
    ----------
    ax
        Axes to draw on.
    slopes
        ``term, estimate, conf_low, conf_high, reach``: change of the outcome per unit of the
        predictor, and how far the predictor is drawn to either side of its mean (one SD of its part
        at that level shows how much it varies).
    limits
        Limits of the axis of the outcome.
    """
    ax.axhline(0.0, color=RULE, lw=0.7, zorder=1)
    ax.axvline(0.0, color=RULE, lw=0.7, zorder=1)
    styles = looks([*slopes["term"]])
    for row in slopes.itertuples():
        style = styles[row.term]
        across = np.array([-row.reach, 0.0, row.reach])
        edges = np.sort(np.outer([row.conf_low, row.conf_high], across), axis=0)
        draw_band(ax, across, edges[0], edges[1], style.colour)
        ax.plot(
            across,
            row.estimate * across,
            color=style.colour,
            ls=style.dash,
            lw=1.8,
            gid=f"slope {row.term}",
        )
    low, high = limits or ax.get_ylim()
    right = float(slopes["reach"].max()) * 1.04
    ax.set_xlim(-right, right)
    ax.set_ylim(low, high)
    ends = [float(row.estimate * row.reach) for row in slopes.itertuples()]
    _labels(slopes).write(ax, ends)


@laid_out(COLUMN_AND_HALF)
def slopes_figure(
    slopes: WithinBetween | pd.DataFrame,
    *,
    predictor_label: str | None = None,
    outcome_label: str | None = None,
    method: str | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the slope of a predictor at each level.

    Parameters
    ----------
    slopes
        From :func:`~alliance_stats.multilevel.within_between`, its slopes drawn as far as one unit
        of the predictor; or a frame, see :func:`draw_slopes`.
    predictor_label, outcome_label
        Quantities with their units: ``"Alliance (WAI points)"``. Required for a frame.
    method
        The model and its intervals. Required for a frame.
    limits
        Limits of the axis of the outcome.
    words
        Slope -> label to print.

    Raises
    ------
    DataError
        If a column or a slope is missing, or a reach is not above 0.

    Examples
    --------
    >>> from alliance_stats import example_study, within_between
    >>> from alliance_stats.figures import slopes_figure
    >>> sessions = example_study().sessions
    >>> found = within_between(
    ...     sessions, outcome="symptoms", predictor="alliance", levels=["person"]
    ... )
    >>> slopes_figure(found).label
    'fig-slopes'
    """
    if isinstance(slopes, WithinBetween):
        method, predictor_label = method or slopes.method, predictor_label or "the predictor"
        outcome_label = outcome_label or "the outcome"
        slopes = _of_levels(slopes, conf_level)
    else:
        require_frame(slopes, asked="slopes_figure draws a frame of slopes")
    if method is None or predictor_label is None or outcome_label is None:
        raise DataError(
            "A frame does not say what it holds: give predictor_label=, outcome_label=, method=."
        )
    check_frame(slopes, what="slopes")
    columns = ["estimate", "conf_low", "conf_high", "reach"]
    require_columns(slopes, ["term", *columns], what="slopes")
    for column in columns:
        require_present(slopes, column, why="to draw the slope")
    if (slopes["reach"] <= 0).any():
        raise DataError("Column 'reach' must be above 0: how far the predictor is drawn.")
    said = naming(common["words"], [*slopes["term"]])
    slopes = slopes.assign(term=[said(name) for name in slopes["term"]])
    labels = _labels(slopes)
    x_label, y_label = f"Difference in {predictor_label}", f"Difference in {outcome_label}"
    height = max(_HEIGHT, labels.height)
    left = room_beside(y_label, height)
    figure, ax = one_panel(
        height, left=left, right=labels.right, above=labels.above + 8.0, x_label=x_label
    )
    draw_slopes(ax, slopes, limits=common["limits"])
    dress(ax, x_label=x_label, y_label=y_label)
    numbers = [interval_of(row) for _, row in slopes.iterrows()]
    found = listed(slopes["term"], numbers, of=plural(len(slopes), "slope"))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-slopes",
        caption=f"{outcome_label[:1].upper()}{outcome_label[1:]} per unit of {predictor_label}, "
        f"at {plural(len(slopes), 'level')}, with {format_level(conf_level)} confidence bands.",
        alt=f"{plural(len(slopes), 'line')} through the origin: {outcome_label} per unit of "
        f"{predictor_label}. {found}.",
        note=f"{method[:1].upper()}{method[1:].rstrip('.')}. Each line reaches as far as its part "
        "of the predictor does.",
        data=slopes.reset_index(drop=True),
    )


def _of_levels(found: WithinBetween, conf_level: float) -> pd.DataFrame:
    tidy = found.tidy(conf_level=conf_level)
    own = tidy[tidy["term"] != "(Intercept)"] if "term" in tidy else tidy
    name = "level" if "level" in own and own["level"].notna().all() else "term"
    return own.assign(term=own[name].astype(str), reach=1.0)[
        ["term", "estimate", "conf_low", "conf_high", "reach"]
    ].reset_index(drop=True)


def _labels(slopes: pd.DataFrame) -> LineLabels:
    texts = [[str(row["term"]), interval_of(row)] for _, row in slopes.iterrows()]
    styles = looks([*slopes["term"]])
    return LineLabels.of(texts, [styles[name] for name in slopes["term"]], width=_LABEL_WIDTH)
