"""Time to an ending: Kaplan-Meier curves over an aligned risk table."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alliance_stats.arguments import require_kind
from alliance_stats.figures.axes import (
    TALLEST,
    add_axes,
    dress,
    height_in_points,
    page,
    room_below,
    set_limits,
    width_in_points,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    clock,
    decimal_ticks,
    format_count,
    format_level,
    interval_of,
    plural,
    time_ticks,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    FULL_WIDTH,
    GREY,
    RULE,
    SMALL,
    Look,
    font,
    looks,
    naming,
    sheet,
)
from alliance_stats.figures.text import in_sentence, lines_height, text_width, wrap
from alliance_stats.survival.curves.kaplan_meier import KaplanMeier

__all__ = [
    "cell_width",
    "draw_kaplan_meier",
    "draw_risk_table",
    "kaplan_meier_figure",
    "risk_table",
    "risk_table_height",
    "whole_cells",
]

_ROW_GAP = 4.0  # pt


def risk_table(result: KaplanMeier, times: Sequence[float]) -> pd.DataFrame:
    """Return who was at risk, censored and dropped out at each of `times`, in each stratum.

    Returns
    -------
    DataFrame
        ``strata, time, n_risk, n_censor, n_event``: at risk just before `time`, and all who were
        censored or had the event before it. Without delayed entry the three add up to the stratum.
    """
    table = result.at_risk(times)
    tidy = result.tidy()
    before = {
        (name, time): part.loc[part["time"] < time, ["n_censor", "n_event"]].sum()
        for name, part in tidy.groupby("strata", sort=False)
        for time in times
    }
    keys = list(zip(table["strata"], table["time"], strict=True))
    return table.assign(
        n_censor=[int(before[key]["n_censor"]) for key in keys],
        n_event=[int(before[key]["n_event"]) for key in keys],
    )


def draw_risk_table(
    ax: Axes,
    table: pd.DataFrame,
    *,
    styles: Mapping[str, Look],
    heading: str,
    limits: tuple[float, float],
) -> None:
    """Write the risk table on `ax`, its columns at the times, a row per stratum.

    Where times are too close for whole cells, the numbers at risk stand alone.

    Parameters
    ----------
    table
        From :func:`risk_table`.
    limits
        Limits of the time axis above it, which this one shares.
    """
    width = width_in_points(ax)
    ax.set_xlim(*limits)
    ax.set_ylim(risk_table_height(list(styles), width), 0.0)
    ax.set_axis_off()
    across = ax.get_yaxis_transform()
    whole = whole_cells(table, width / (limits[1] - limits[0]))
    side = cell_width(table)
    left = -side / 2.0 / width
    lines = wrap(heading, width + side)
    grey = font(SMALL, colour=GREY)
    ax.text(left, 0.0, "\n".join(lines), va="top", transform=across, **grey)
    top = lines_height(len(lines)) + _ROW_GAP
    for name, style in styles.items():
        lines = wrap(name, width)
        said = "\n".join(lines)
        ax.text(left, top, said, va="top", transform=across, **font(SMALL, colour=style.text))
        top += lines_height(len(lines))
        own = table.loc[table["strata"] == name]
        for time, cell in zip(own["time"], _cells(own, whole=whole), strict=True):
            ax.text(time, top, cell, ha="center", va="top", **font())
        top += lines_height(1) + _ROW_GAP


def risk_table_height(names: Sequence[str], width: float) -> float:
    """Return the height, in points, of a table `width` points wide with these strata."""
    rows = [lines_height(len(wrap(name, width)) + 1) + _ROW_GAP for name in names]
    return lines_height(2 if sheet().narrow else 1) + _ROW_GAP + sum(rows)


def cell_width(table: pd.DataFrame) -> float:
    """Return the width, in points, of the widest cell."""
    return max(map(text_width, _cells(table)))


def whole_cells(table: pd.DataFrame, per_time: float) -> bool:
    """Say whether whole cells fit beside one another, at so many points per unit of time."""
    times = np.unique(table["time"].to_numpy(dtype=float))
    return len(times) < 2 or np.diff(times).min() * per_time > cell_width(table) + 4.0


def _cells(table: pd.DataFrame, *, whole: bool = True) -> list[str]:
    return [
        format_count(row.n_risk)
        + (f" ({format_count(row.n_censor)}; {format_count(row.n_event)})" if whole else "")
        for row in table.itertuples()
    ]


_LABEL_WIDTH = 104.0  # pt, at the right of the curves
_CURVE_HEIGHT = 190.0  # pt, at the least
_MOST_TOLD = 3  # strata whose sizes the caption tells


def draw_kaplan_meier(
    ax: Axes,
    curves: pd.DataFrame,
    medians: pd.DataFrame,
    *,
    styles: Mapping[str, Look] | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw step curves from (0, 1) with bands, censoring marks, medians and labels at the right.

    Parameters
    ----------
    ax
        Axes to draw on; the labels are written outside, to the right.
    curves
        As :meth:`KaplanMeier.tidy` gives them.
    medians
        As :meth:`KaplanMeier.medians` gives them.
    styles
        Look of each stratum; in order of appearance by default.
    limits
        Limits of the axis of the probability.
    """
    names = list(dict.fromkeys(curves["strata"]))
    styles = styles or looks(names)
    last = float(curves["time"].max())
    median = medians.set_index("strata")
    ax.axhline(0.5, color=RULE, lw=0.6, dashes=(2, 2), zorder=1)
    for name in names:
        _draw_curve(ax, curves.loc[curves["strata"] == name], styles[name], name)
        middle = float(median.loc[name, "estimate"])
        if np.isfinite(middle):
            ax.plot([middle, middle], [0.0, 0.5], color=styles[name].text, lw=0.7, dashes=(1, 1.5))
    ax.set_xlim(0.0, last * 1.02)
    ax.set_ylim(-0.02, 1.03)
    set_limits(ax, limits, axis="y")
    ends = [float(curves.loc[curves["strata"] == name, "estimate"].iloc[-1]) for name in names]
    labels = _labels(names, medians, styles)
    if labels.height > height_in_points(ax) + 1.0:  # then the medians are told in words alone
        labels = _labels(names, None, styles)
    labels.write(ax, ends)


@laid_out(FULL_WIDTH)
def kaplan_meier_figure(
    result: KaplanMeier,
    *,
    time_label: str = "Sessions since start",
    event_label: str = "dropped out",
    times: Sequence[float] | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show Kaplan-Meier curves with pointwise intervals over their risk table.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.kaplan_meier`.
    time_label
        The clock and its unit.
    event_label
        The event, as a past participle: "still without having <event_label>".
    times
        Times of the risk table (as KMunicate, Morris et al. 2019,
        doi:10.1136/bmjopen-2019-030215, asks for); as many as fit by default.
    limits
        Limits of the axis of the probability.
    words
        Stratum -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the curves (``part = "curve"``), the medians (``"median"``) and the risk
        table (``"risk"``: counts before `time`).

    Examples
    --------
    >>> from alliance_stats import endings, example_study, kaplan_meier
    >>> from alliance_stats.figures import kaplan_meier_figure
    >>> families = endings(example_study()).units
    >>> curve = kaplan_meier(families, time="time", event="event", strata="parent_trauma")
    >>> kaplan_meier_figure(curve).label
    'fig-kaplan-meier'
    """
    asked = "kaplan_meier_figure draws a result of kaplan_meier"
    require_kind(result, KaplanMeier, asked=asked, instead=DRAWN_BY)
    said = naming(common["words"], [*result.tidy()["strata"].unique()])
    curves, medians = (
        frame.assign(strata=[said(name) for name in frame["strata"]])
        for frame in (result.tidy(conf_level=conf_level), result.medians(conf_level=conf_level))
    )
    cell = cell_width(risk_table(result, [0.0, float(curves["time"].max())]))
    figure, ax, below = _curves_over_a_table(curves, medians, cell, time_label)
    wide = width_in_points(ax)
    if times is None:
        times = time_ticks(curves["time"].to_numpy(dtype=float), int(wide / (cell + 8.5)))
    table = risk_table(result, times).assign(strata=lambda rows: [said(x) for x in rows["strata"]])
    styles = looks([*dict.fromkeys(curves["strata"])])
    draw_kaplan_meier(ax, curves, medians, styles=styles, limits=common["limits"])
    dress(ax, x_label=time_label, y_label=f"Probability of not having {event_label} (0–1)")
    ax.set_xticks(times, [decimal_ticks(f"{time:g}") for time in times])
    counted = f" (censored; {event_label})" if whole_cells(table, wide / ax.get_xlim()[1]) else ""
    heading = f"At risk{counted} before that time"
    draw_risk_table(below, table, styles=styles, heading=heading, limits=ax.get_xlim())
    each = _each(medians, curves, event_label)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-kaplan-meier",
        caption=f"Kaplan-Meier probability of not having {event_label}, by "
        f"{in_sentence(time_label)}, with pointwise {format_level(conf_level)} confidence bands; "
        f"ticks are censored units. {_sizes(medians, event_label)}.",
        alt=f"{plural(len(medians), 'step curve')} falling from 1, against "
        f"{in_sentence(time_label)}, over a table of the numbers at risk. {each}.",
        note=_note(result, event_label, conf_level),
        data=pd.concat(
            [
                curves.assign(part="curve"),
                medians.assign(part="median"),
                table.assign(part="risk"),
            ],
            ignore_index=True,
        ),
    )


def _curves_over_a_table(
    curves: pd.DataFrame, medians: pd.DataFrame, cell: float, time_label: str
) -> tuple[Figure, Axes, Axes]:
    """Return the page, the axes of the curves and, as wide, those of the risk table."""
    names = [*dict.fromkeys(curves["strata"])]
    labels = _labels(names, medians, looks(names))
    left, right = max(58.0, cell / 2.0 + 4.0), max(labels.right, cell / 2.0)
    wide = sheet().width - left - right
    table, below = risk_table_height(names, wide), room_below(time_label, wide)
    most = TALLEST - table - below - labels.above
    high = max(_CURVE_HEIGHT, min(labels.height, most))
    under = high + below
    figure = page(labels.above + under + table + 6.0)
    ax = add_axes(figure, left, labels.above, wide, high)
    return figure, ax, add_axes(figure, left, labels.above + under, wide, table)


def _draw_curve(ax: Axes, curve: pd.DataFrame, style: Look, name: str) -> None:
    start = {"time": 0.0, "estimate": 1.0, "conf_low": 1.0, "conf_high": 1.0, "n_censor": 0}
    whole = pd.concat([pd.DataFrame([start]), curve[list(start)]], ignore_index=True)
    time = whole["time"].to_numpy(dtype=float)
    ax.fill_between(
        time,
        whole["conf_low"],
        whole["conf_high"],
        step="post",
        color=style.colour,
        alpha=0.16,
        lw=0,
    )
    ax.step(
        time,
        whole["estimate"],
        where="post",
        color=style.colour,
        lw=1.6,
        ls=style.dash,
        gid=f"curve {name}",
    )
    censored = whole.loc[whole["n_censor"] > 0]
    ax.plot(
        censored["time"],
        censored["estimate"],
        ls="",
        marker="|",
        markersize=6,
        markeredgewidth=0.9,
        color=style.text,
        zorder=3,
        gid=f"censored {name}",
    )


def _labels(
    names: Sequence[str], medians: pd.DataFrame | None, styles: Mapping[str, Look]
) -> LineLabels:
    """Name each curve, with its median if these are given."""
    texts = [[name] for name in names]
    if medians is not None:
        median = medians.set_index("strata")
        texts = [[name, _median_words(median.loc[name])] for name in names]
    return LineLabels.of(texts, [styles[name] for name in names], width=_LABEL_WIDTH)


def _median_words(median: pd.Series) -> str:
    if np.isnan(median["estimate"]):
        return "median not reached"
    return f"median {interval_of(median, kind='time')}"


def _final(curves: pd.DataFrame, name: str) -> str:
    last = curves.loc[curves["strata"] == name].iloc[-1]
    return f"{interval_of(last, kind='bounded')} at {clock(last['time'])}"


def _each(medians: pd.DataFrame, curves: pd.DataFrame, event_label: str) -> str:
    return "; ".join(
        f"{row.strata} (n = {format_count(row.nobs)}, {format_count(row.n_event)} {event_label}): "
        f"{_median_words(median)}, {_final(curves, row.strata)}"
        for row, (_, median) in zip(medians.itertuples(), medians.iterrows(), strict=True)
    )


def _sizes(medians: pd.DataFrame, event_label: str) -> str:
    """Say how many units there are and how many had the event, of few strata each."""
    if len(medians) > _MOST_TOLD:
        n, events = medians["nobs"].sum(), medians["n_event"].sum()
        return f"n = {format_count(n)}, {format_count(events)} {event_label}"
    return "; ".join(
        f"{row.strata}: n = {format_count(row.nobs)}, {format_count(row.n_event)} {event_label}"
        for row in medians.itertuples()
    )


def _note(result: KaplanMeier, event_label: str, conf_level: float) -> str:
    errors = (
        "Greenwood standard errors, rows taken as independent"
        if result.n_clusters is None
        else f"infinitesimal jackknife standard errors over {plural(result.n_clusters, 'cluster')}"
    )
    aside = result.rows.n_set_aside
    left_out = f" {plural(aside, 'row')} set aside." if aside else ""
    return (
        f"Pointwise {format_level(conf_level)} CI, log-log transformed, {errors}; CI of the "
        "median after Brookmeyer and Crowley. Table: at risk just before "
        f"that time, and in brackets all censored and all who had {event_label} before it. Other "
        "endings that are censored here (such as planned ones) are treated as if those units could "
        "still have "
        f"{event_label} later.{left_out}"
    )
