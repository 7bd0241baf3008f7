"""Trajectories of two groups: their model means, and their difference with a simultaneous band."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from alliance_stats.arguments import require_kind
from alliance_stats.figures.axes import dress, page, set_limits
from alliance_stats.figures.common import Common, head, laid_out, settle
from alliance_stats.figures.numbers import (
    clock,
    format_count,
    format_level,
    integer_ticks,
    interval_of,
    plural,
    with_interval,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    BODY,
    FULL_WIDTH,
    GREY,
    INK,
    RULE,
    SMALL,
    font,
    looks,
    naming,
    points,
    sheet,
)
from alliance_stats.figures.text import in_sentence, wrap
from alliance_stats.groups import TrajectoryComparison

__all__ = ["draw_difference_over_time", "draw_group_means", "group_trajectory_figure"]

_HEIGHT = 252.0  # pt


def draw_group_means(ax: Axes, means: pd.DataFrame) -> None:
    """Draw each group's model mean over time with its pointwise band.

    Parameters
    ----------
    means
        ``group, time, estimate, conf_low, conf_high``, as :meth:`TrajectoryComparison.means`
        gives them.
    """
    styles = looks([*means["group"]])
    for name, own in means.groupby("group", sort=False):
        style = styles[name]
        ax.fill_between(
            own["time"], own["conf_low"], own["conf_high"], color=style.colour, alpha=0.2, lw=0
        )
        ax.plot(
            own["time"],
            own["estimate"],
            color=style.text,
            ls=style.dash,
            lw=1.8,
            gid=f"mean {name}",
        )


def draw_difference_over_time(ax: Axes, differences: pd.DataFrame) -> None:
    """Draw the difference with its pointwise interval inside its simultaneous band.

    Parameters
    ----------
    differences
        ``time, estimate, conf_low, conf_high, band_low, band_high``, as
        :meth:`TrajectoryComparison.differences` gives them.
    """
    time = differences["time"]
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    ax.fill_between(
        time, differences["band_low"], differences["band_high"], color=RULE, alpha=0.3, lw=0
    )
    for end in ("conf_low", "conf_high"):
        ax.plot(time, differences[end], color=GREY, lw=0.8, ls=(0, (3, 2)), gid=end)
    ax.plot(time, differences["estimate"], color=INK, lw=1.8, gid="difference")


@laid_out(FULL_WIDTH)
def group_trajectory_figure(
    comparison: TrajectoryComparison,
    *,
    outcome_label: str,
    time_label: str = "Session number",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how two groups change, and from which time on they differ.

    Parameters
    ----------
    comparison
        From :func:`~alliance_stats.groups.compare_trajectories`.
    outcome_label
        Quantity, unit and range.
    time_label
        The clock and its unit.
    limits
        Limits of the axis of the outcome.
    words
        Group -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the means (``part = "mean"``) and the differences (``"difference"``).

    Examples
    --------
    >>> from alliance_stats import compare_trajectories, example_study
    >>> from alliance_stats.figures import group_trajectory_figure
    >>> sessions = example_study().sessions
    >>> paths = compare_trajectories(
    ...     sessions, outcome="alliance", time="session", group="parent_alliance", person="person"
    ... )
    >>> group_trajectory_figure(paths, outcome_label="Alliance (1-7)").label
    'fig-group-trajectories'
    """
    asked = "group_trajectory_figure draws a result of compare_trajectories"
    require_kind(comparison, TrajectoryComparison, asked=asked, instead=DRAWN_BY)
    means = comparison.means(times=comparison.times, conf_level=conf_level)
    said = naming(common["words"], comparison.labels)
    means = means.assign(group=[said(name) for name in means["group"]])
    differences = comparison.differences(conf_level=conf_level)
    sizes = {said(name): n for name, n in _persons(comparison).items()}
    beside = not sheet().narrow
    figure = page(_HEIGHT if beside else 1.7 * _HEIGHT, by_hand=False)
    left, right = figure.subplots(*((1, 2) if beside else (2, 1)))
    draw_group_means(left, means)
    draw_difference_over_time(right, differences)
    set_limits(left, common["limits"], axis="y")
    dress(left, x_label=time_label, y_label=outcome_label, grid="y")
    dress(right, x_label=time_label, y_label="Difference")
    most = 6 if beside else 8
    ticks = integer_ticks(float(comparison.times.min()), float(comparison.times.max()), most=most)
    for ax in (left, right):
        ax.set_xticks(ticks)
        ax.margins(x=0.02)
    _write_names(left, sizes)
    room = sheet().part(150.0) if beside else 150.0
    head(right, " − ".join(sizes), room=room, pad=8.0)
    settle(figure)
    found = _found(comparison, differences, conf_level)
    counts = "; ".join(f"{name}: {plural(n, 'person')}" for name, n in sizes.items())
    level = format_level(conf_level)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-group-trajectories",
        caption=f"{outcome_label} of two groups over time, model means with pointwise {level} CI, "
        f"and their difference with its simultaneous {level} band (grey) around the pointwise CI "
        f"(dashed). {counts}.",
        alt=f"Two lines with bands against {in_sentence(time_label)}, and beside them their "
        f"difference. {counts}. {found}",
        note=_note(comparison),
        data=pd.concat(
            [means.assign(part="mean"), differences.assign(part="difference")], ignore_index=True
        ),
    )


def _persons(comparison: TrajectoryComparison) -> dict[str, int]:
    """Return how many persons of each group are in the model."""
    frame = comparison.model.design.frame
    levels = [name for name in frame.columns if name not in ("outcome", "first", "time")]
    counted = frame.drop_duplicates(levels)["first"].value_counts()
    first, second = comparison.labels
    return {first: int(counted.get(1.0, 0)), second: int(counted.get(0.0, 0))}


def _write_names(ax: Axes, sizes: dict[str, int]) -> None:
    """Write the groups above the panel, each after a sample of its line, without overlap."""
    styles = [*looks([*sizes]).values()]
    lines = [Line2D([], [], color=style.text, ls=style.dash, lw=1.8) for style in styles]
    room = sheet().part(150.0) if not sheet().narrow else 116.0
    names = ["\n".join(wrap(f"{name} (n = {format_count(n)})", room)) for name, n in sizes.items()]
    legend = ax.legend(
        lines,
        names,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
        handlelength=2.6,
        borderaxespad=1.2,  # above the power of ten of an axis of very large numbers
        prop={"family": font(BODY)["fontfamily"], "size": points(SMALL)},
    )
    for style, text in zip(styles, legend.get_texts(), strict=True):
        text.set_color(style.text)


def _found(comparison: TrajectoryComparison, differences: pd.DataFrame, conf_level: float) -> str:
    slope = comparison.tidy(conf_level=conf_level).iloc[-1]
    start = comparison.differ_from(conf_level=conf_level)
    first, last = differences.iloc[0], differences.iloc[-1]
    since = (
        "At no stretch up to the last time does the simultaneous band leave out 0"
        if np.isnan(start)
        else f"From {clock(start)} on the simultaneous band leaves out 0"
    )
    return (
        f"Difference {_at(first)} and {_at(last)}; difference of slopes "
        f"{interval_of(slope)}. "
        f"{since}."
    )


def _at(row: pd.Series) -> str:
    found = with_interval(row["estimate"], row["band_low"], row["band_high"])
    return f"{found} at {clock(row['time'])}"


def _note(comparison: TrajectoryComparison) -> str:
    boundary = " The fit is on its boundary." if comparison.model.singular else ""
    return (
        "Linear mixed model with straight trajectories, by REML; brackets at a time are the "
        "simultaneous band (maximum of correlated t statistics). A straight line is drawn through "
        f"what the model has; {plural(comparison.model.nobs, 'rating')}.{boundary}"
    )
