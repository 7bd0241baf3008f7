"""How far apart groups' courses are: curves at chosen times, and mean times."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    TALLEST,
    Figure,
    PageError,
    add_axes,
    draw_intervals,
    dress,
    page,
    room_below,
    row_heights,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out, stacked
from alliance_stats.figures.numbers import (
    clock,
    decimal_ticks,
    format_count,
    format_level,
    interval_of,
    intervals_of,
    plural,
    time_ticks,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import FULL_WIDTH, RULE, look, naming, sheet
from alliance_stats.figures.text import in_sentence, text_width, widest
from alliance_stats.survival import (
    AdjustedCurves,
    CumulativeIncidence,
    KaplanMeier,
    RestrictedMean,
)

__all__ = ["curve_differences_figure", "draw_curve_differences", "restricted_mean_figure"]

_PANEL_HEIGHT = 120.0  # pt
_NAME_WIDTH = 120.0  # pt, on a full page
_FEW_TIMES = 12  # that are drawn as points with intervals; more as a band


def draw_curve_differences(
    ax: Axes, differences: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw differences of probabilities over time around 0: points, or steps where they are many.

    Parameters
    ----------
    ax
        Axes to draw on.
    differences
        ``time, estimate, conf_low, conf_high`` of one contrast.
    limits
        Limits of the axis of the difference.
    """
    style, known = look(0), differences.dropna(subset=["estimate"])
    time, estimate, low, high = (
        known[name].to_numpy(dtype=float) for name in ("time", "estimate", "conf_low", "conf_high")
    )
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    if len(time) <= _FEW_TIMES:
        ax.vlines(time, low, high, color=style.colour, lw=1.4, gid="intervals")
        ax.plot(time, estimate, ls="", marker="o", ms=4.5, color=style.text, gid="differences")
    else:
        time = np.concatenate(([0.0], time))  # at the start nobody has ended anywhere
        estimate, low, high = (np.concatenate(([0.0], own)) for own in (estimate, low, high))
        ax.fill_between(time, low, high, step="post", color=style.colour, alpha=0.18, lw=0)
        ax.step(time, estimate, where="post", color=style.colour, lw=1.6, gid="differences")
    reach = np.nanmax(np.abs([estimate, low, high])) if len(time) else 1.0
    ax.set_ylim(-1.08 * (reach or 1.0), 1.08 * (reach or 1.0))
    set_limits(ax, limits, axis="y")
    last = float(differences["time"].max()) or 1.0
    ax.set_xlim(0.0, 1.03 * last)
    ticks = time_ticks(
        np.array([0.0, *differences["time"]]), int(np.clip(width_in_points(ax) / 40.0, 2, 8))
    )
    ax.set_xticks(ticks, [decimal_ticks(f"{tick:g}") for tick in ticks])


@laid_out(FULL_WIDTH)
def curve_differences_figure(
    result: KaplanMeier | CumulativeIncidence | AdjustedCurves,
    *,
    times: Sequence[float] | None = None,
    time_label: str = "Sessions since start",
    event_label: str = "ended",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how far apart groups' curves are, a panel per pair of groups (and ending).

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.kaplan_meier` or
        :func:`~alliance_stats.survival.cumulative_incidence` with `strata`, or from
        :func:`~alliance_stats.survival.adjusted_curves`.
    times
        Times at which curves are compared; their event times if None. Adjusted curves bring
        their own.
    time_label
        The clock and its unit.
    event_label
        The event, as a past participle, for curves of one ending.
    limits
        Limits of the axis of the difference.
    words
        Contrast or ending -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.differences(...)``.

    Raises
    ------
    DataError
        If there is one group, or more contrasts than fit on a page.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, kaplan_meier
    >>> from alliance_stats.figures import curve_differences_figure
    >>> families = endings(example_study()).units
    >>> curves = kaplan_meier(families, time="time", event="event", strata="parent_trauma")
    >>> curve_differences_figure(curves, times=[4, 8, 12]).label
    'fig-curve-differences'
    """
    require_kind(
        result,
        (KaplanMeier, CumulativeIncidence, AdjustedCurves),
        asked="curve_differences_figure draws a result of kaplan_meier, cumulative_incidence or "
        "adjusted_curves",
        instead=DRAWN_BY,
    )
    differences = _differences(result, times, conf_level)
    states = [*differences["state"].unique()] if "state" in differences else []
    said = naming(common["words"], [*differences["contrast"].unique(), *states])
    headings = [_minus(said(name)) for name in differences["contrast"]]
    if len(states) > 1:
        named = zip(headings, differences["state"], strict=True)
        headings = [f"{name}: {said(state)}" for name, state in named]
    drawn = differences.assign(panel=headings)
    names = [*dict.fromkeys(headings)]
    y_label = "Difference in incidence" if states else f"Difference in not having {event_label}"
    figure = _stacked(drawn, names, time_label, y_label, common["limits"])
    each = [drawn.loc[drawn["panel"] == name].dropna(subset=["estimate"]) for name in names]
    told = listed(
        names,
        [
            f"{interval_of(own.iloc[-1], kind='bounded')} at {clock(own['time'].iloc[-1])}"
            for own in each
        ],
        of=plural(len(names), "contrast"),
    )
    n_times = differences["time"].nunique()
    return ReportFigure(
        figure,
        label=common["label"] or "fig-curve-differences",
        caption=f"Differences between groups by {in_sentence(time_label)}, at "
        f"{plural(n_times, 'time')}, with pointwise {format_level(conf_level)} CI around a line at "
        f"0; {plural(result.rows.n_used, 'row')}.",
        alt=f"{plural(len(names), 'panel')} of differences against {in_sentence(time_label)}, with "
        f"a line at 0. {told}.",
        note=f"{result.method[:1].upper()}{result.method[1:]}. The group named first minus the "
        "other, on the probability scale; normal theory, pointwise, not corrected for the number "
        "of times.",
        data=differences,
    )


def _differences(
    result: KaplanMeier | CumulativeIncidence | AdjustedCurves,
    times: Sequence[float] | None,
    conf_level: float,
) -> pd.DataFrame:
    if isinstance(result, AdjustedCurves):
        if times is not None:
            raise DataError("Adjusted curves have their times: give times= to adjusted_curves.")
        return result.differences(conf_level=conf_level)
    if times is None:
        ends = np.concatenate(
            [curve.table.time[curve.table.n_event > 0] for curve in result.curves]
        )
        last = min(float(curve.table.time[-1]) for curve in result.curves)
        times = np.unique(ends[ends <= last]).tolist()
        if not times:
            raise DataError("Nobody had the event while all groups were seen: no curve falls.")
    return result.differences(times, conf_level=conf_level)


def _stacked(
    drawn: pd.DataFrame,
    names: Sequence[str],
    time_label: str,
    y_label: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Return a panel per contrast, one above the other, on one scale."""
    if limits is None:
        values = drawn[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float)
        reach = 1.08 * float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        limits = (-reach, reach)
    height = _PANEL_HEIGHT if len(names) > 1 else 1.4 * _PANEL_HEIGHT
    figure, placed = stacked(
        {name: name for name in names}, {}, height=height, axes=(time_label, y_label)
    )
    for name, ax in placed.items():
        draw_curve_differences(ax, drawn.loc[drawn["panel"] == name], limits=limits)
        dress(ax, x_label=time_label, y_label=y_label)
    return figure


@laid_out(FULL_WIDTH)
def restricted_mean_figure(
    result: RestrictedMean,
    *,
    time_label: str = "Sessions",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show each group's mean time up to the horizon and, below, how far apart groups are.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.restricted_mean`.
    time_label
        The unit of the clock.
    limits
        Limits of the axis of the means; the axis of the differences is equally wide, around 0.
    words
        Group or contrast -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the means (``part = "mean"``) and the differences (``"difference"``).

    Examples
    --------
    >>> from alliance_stats import endings, example_study, restricted_mean
    >>> from alliance_stats.figures import restricted_mean_figure
    >>> families = endings(example_study()).units
    >>> means = restricted_mean(
    ...     families, time="time", event="event", until=12, strata="parent_trauma"
    ... )
    >>> restricted_mean_figure(means).label
    'fig-restricted-mean'
    """
    asked = "restricted_mean_figure draws a result of restricted_mean"
    require_kind(result, RestrictedMean, asked=asked, instead=DRAWN_BY)
    means = result.tidy(conf_level=conf_level).rename(columns={"strata": "term"})
    parts = {"mean": means}
    if len(result.strata) > 1:
        apart = result.differences(conf_level=conf_level)
        parts["difference"] = apart.rename(columns={"contrast": "term"})
    causes = [] if result.cause is None else [result.cause]
    named = [name for part in parts.values() for name in part["term"]]
    said = naming(common["words"], [*named, *causes])
    parts = {
        name: part.assign(term=[_minus(said(term)) for term in part["term"]])
        for name, part in parts.items()
    }
    lost = f" lost to {said(causes[0])}" if causes else ""
    ends = {"mean": "mean", "difference": "difference (0: none)"}
    labels = [f"{time_label}{lost} up to {clock(result.until)}, {ends[name]}" for name in parts]
    figure = _rows_of_means([*parts.values()], labels, common["limits"])
    told = [listed(part["term"], intervals_of(part), of="rows") for part in parts.values()]
    counts = [plural(len(part), name) for name, part in parts.items()]
    around = f", under them {counts[-1]} around a line at 0" if len(parts) > 1 else ""
    level = f"{format_level(conf_level)} CI"
    limited = f", with {level}" if means["conf_low"].notna().any() else ", without intervals"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-restricted-mean",
        caption=f"Mean {in_sentence(time_label)}{lost} up to {clock(result.until)} of "
        f"{plural(len(means), 'group')} (n = {format_count(result.nobs.sum())})"
        + (f", and {counts[-1]}" if len(parts) > 1 else "")
        + f"{limited}.",
        alt=f"{counts[0]} with intervals{around}. {'. '.join(told)}.",
        note=_how(result, lost, level),
        data=pd.concat([part.assign(part=name) for name, part in parts.items()], ignore_index=True),
    )


def _how(result: RestrictedMean, lost: str, level: str) -> str:
    area = "Kaplan-Meier curve" if result.cause is None else "cumulative incidence"
    later = "; later group minus earlier, not corrected for their number"
    return " ".join(
        [
            *result.notes,
            f"Mean time{lost} up to {clock(result.until)}: the area under the {area}; "
            f"{plural(int(result.nobs.sum()), 'row')}. Normal {level}"
            f"{later if len(result.strata) > 1 else ''}.",
        ]
    )


def _rows_of_means(
    parts: Sequence[pd.DataFrame], labels: Sequence[str], limits: tuple[float, float] | None
) -> Figure:
    """Return rows of means over their axis, and rows of differences over one as wide."""
    room = sheet().part(_NAME_WIDTH)
    numbers = [intervals_of(part) for part in parts]
    left = 16.0 + widest([name for part in parts for name in part["term"]], room)
    right = 24.0 + max(text_width(text) for own in numbers for text in own)
    wide = sheet().width - left - right
    heights = [row_heights([*part["term"]], room, gap=9.0) for part in parts]
    tall = sum(float(own.sum()) for own in heights)
    below = [room_below(text, wide) for text in labels[: len(parts)]]
    if tall + sum(below) > TALLEST:
        raise PageError(
            f"{plural(len(parts[-1]), 'difference')} do not fit on a page: compare fewer groups."
        )
    figure = page(8.0 + tall + sum(below))
    ends = _ends(parts, limits)
    top = 8.0
    for part, own, axis, under, text, said in zip(
        parts, heights, ends, below, labels, numbers, strict=False
    ):
        ax = add_axes(figure, left, top, wide, float(own.sum()))
        centres = np.cumsum(own) - own / 2.0
        ax.set_xlim(*axis)
        ax.set_ylim(float(own.sum()), 0.0)
        ax.set_yticks([])
        ax.locator_params(axis="x", nbins=max(int(wide / 34.0), 2))
        draw_intervals(ax, part, centres, reference=0.0)
        write_rows(ax, [*part["term"]], centres, x=-8.0, ha="right", width=room)
        write_rows(ax, said, centres, x=10.0, ha="left", width=200.0)
        dress(ax, x_label=text)
        ax.spines["left"].set_visible(False)
        top += float(own.sum()) + under
    return figure


def _ends(
    parts: Sequence[pd.DataFrame], limits: tuple[float, float] | None
) -> list[tuple[float, float]]:
    """Return the axes' ends, equally wide so that lengths compare; of differences, around 0."""
    values = [part[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float) for part in parts]
    low, high = float(np.nanmin(values[0])), float(np.nanmax(values[0]))
    reach = max(float(np.nanmax(np.abs(values[-1]))) if len(parts) > 1 else 0.0, (high - low) / 2.0)
    half = 1.08 * reach or 1.0
    middle = (low + high) / 2.0
    if limits is not None:
        middle, half = (limits[0] + limits[1]) / 2.0, (limits[1] - limits[0]) / 2.0
    return [(middle - half, middle + half), (-half, half)]


def _minus(contrast: str) -> str:
    """Return the name of a difference with the sign of print."""
    return contrast.replace(" - ", " \N{MINUS SIGN} ")
