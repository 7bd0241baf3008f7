"""What happens at which level: shares of the variance, and slopes on one scale."""

from typing import Literal, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.account import method_and_notes
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    draw_band,
    dress,
    one_panel,
    percent_axis,
    room_beside,
    row_heights,
    set_limits,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.forest import coefficients_of
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    MISSING,
    format_level,
    interval_of,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import COLUMN_AND_HALF, INK, RULE, looks, naming, sheet
from alliance_stats.figures.text import text_width, widest
from alliance_stats.multilevel import SimpleSlopes, VariancePartition, WithinBetween
from alliance_stats.multilevel.after.asked_model import link_of
from alliance_stats.renaming import known

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
_REACH = {
    "unit": "Each line reaches one unit of the predictor to either side.",
    "sd": "Each line reaches one SD of its part of the predictor to either side.",
}


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
    percent_axis(ax)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    write_rows(ax, names, centres, x=-8.0, ha="right", width=room)
    write_rows(ax, _numbers(shares), centres, x=10.0, ha="left", width=200.0)


@known(method="variance_partition")
@laid_out(COLUMN_AND_HALF)
def variance_partition_figure(
    result: VariancePartition,
    *,
    outcome_label: str = "the outcome",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the share of variance at each level.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.multilevel.variance_partition`, its intervals with it.
    outcome_label
        The quantity whose variance it is.
    limits
        Limits of the axis of shares.
    words
        Level -> label to print.

    Raises
    ------
    WrongObjectError
        If `result` is anything else.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, variance_partition
    >>> from alliance_stats.figures import variance_partition_figure
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | therapist/person)", sessions)
    >>> variance_partition_figure(variance_partition(model)).label
    'fig-variance'
    """
    asked = "variance_partition_figure draws a result of variance_partition"
    require_kind(result, VariancePartition, asked=asked, instead=DRAWN_BY)
    shares, method = result.tidy(conf_level=conf_level), method_and_notes(result.account())
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
    rows = plural(result.rows.n_used, "row")
    return ReportFigure(
        figure,
        label=common["label"] or "fig-variance",
        caption=f"Share of the variance of {outcome_label} at "
        f"{plural(len(names), 'level')}"
        + (f", with {interval}; {rows}." if interval else f", without intervals; {rows}."),
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
    _labels(slopes).write(ax, ends, lift=8.0)


@known(method="within_between")
@laid_out(COLUMN_AND_HALF)
def slopes_figure(
    result: WithinBetween | SimpleSlopes,
    *,
    predictor_label: str = "",
    outcome_label: str = "",
    reach: Literal["unit", "sd"] = "unit",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the slope of a predictor at each level, or at each value of a moderator.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.multilevel.within_between` (its slopes within and between; the
        contextual effects are differences of these), or from
        :func:`~alliance_stats.multilevel.simple_slopes`.
    predictor_label, outcome_label
        Quantities with their units: ``"alliance (WAI points)"``; by default as the model has them.
        With a link, slopes are in units of the linear predictor: log odds, log counts.
    reach
        How far each line goes to either side: one ``"unit"`` of the predictor, or one ``"sd"`` of
        it (of its part at that level) in the rows used, which shows how much it varies.
    limits
        Limits of the axis of the outcome.
    words
        Slope -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has ``term, estimate, conf_low, conf_high, reach``.

    Raises
    ------
    WrongObjectError
        If `result` is anything else.
    DataError
        If no slope is estimable from the data.

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
    asked = "slopes_figure draws a result of within_between or simple_slopes"
    require_kind(result, (WithinBetween, SimpleSlopes), asked=asked, instead=DRAWN_BY)
    check_choice(reach, ("unit", "sd"), name="reach")
    found = coefficients_of(result, conf_level)
    rows = len(result.components) if isinstance(result, WithinBetween) else None
    slopes = found.frame.iloc[:rows].reset_index(drop=True)
    if slopes.empty:
        raise DataError("None of these slopes is estimable from the data: there is none to draw.")
    slopes["reach"] = _reaches(result, len(slopes)) if reach == "sd" else 1.0
    said = naming(common["words"], [*slopes["term"]])
    slopes = slopes.assign(term=[said(name) for name in slopes["term"]])
    labels = _labels(slopes)
    predictor_label = predictor_label or (
        result.variable if isinstance(result, SimpleSlopes) else "the predictor"
    )
    outcome_label = outcome_label or _modelled(result)
    x_label, y_label = f"Difference in {predictor_label}", f"Difference in {outcome_label}"
    height = max(_HEIGHT, labels.height)
    left = room_beside(y_label, height)
    figure, ax = one_panel(
        height, left=left, right=labels.right, above=labels.above + 8.0, x_label=x_label
    )
    draw_slopes(ax, slopes, limits=common["limits"])
    dress(ax, x_label=x_label, y_label=y_label)
    numbers = [interval_of(row) for _, row in slopes.iterrows()]
    told = listed(slopes["term"], numbers, of=plural(len(slopes), "slope"))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-slopes",
        caption=f"{outcome_label[:1].upper()}{outcome_label[1:]} per unit of {predictor_label}: "
        f"{plural(len(slopes), 'slope')} with {format_level(conf_level)} confidence bands; "
        f"{plural(result.rows.n_used, 'row')}.",
        alt=f"{plural(len(slopes), 'line')} through the origin: {outcome_label} per unit of "
        f"{predictor_label}. {told}.",
        note=f"{found.method[:1].upper()}{found.method[1:].rstrip('.')}. {_REACH[reach]}",
        data=slopes,
    )


def _modelled(result: WithinBetween | SimpleSlopes) -> str:
    """Return the outcome of a model on the scale of its slopes: the log odds of ``low``."""
    model, scale = result.model, ""
    if isinstance(result, SimpleSlopes) and link_of(result.model).name != "identity":
        scale = link_of(result.model).mean_of_scale.removeprefix("mean ") + " of "
    return f"{scale}{model.design.formula.response}"


def _reaches(result: WithinBetween | SimpleSlopes, slopes: int) -> list[float]:
    """Return the SD of each slope's predictor, or of its part, in the rows used."""
    frame = result.model.design.frame
    if isinstance(result, WithinBetween):
        return [float(frame[part].std()) for part in result.components]
    return [float(frame[result.variable].std())] * slopes


def _labels(slopes: pd.DataFrame) -> LineLabels:
    texts = [[str(row["term"]), interval_of(row)] for _, row in slopes.iterrows()]
    styles = looks([*slopes["term"]])
    return LineLabels.of(texts, [styles[name] for name in slopes["term"]], width=_LABEL_WIDTH)
