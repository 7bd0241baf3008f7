"""Time to an ending: Kaplan-Meier curves over their own aligned risk table."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import require_kind
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    height_in_points,
    label_line,
    width_in_points,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    FULL_WIDTH,
    GREY,
    RULE,
    SMALL,
    Look,
    font,
    look,
    new_figure,
    styled,
)
from alliance_stats.figures.text import in_sentence, lines_height, spread, text_width, wrap
from alliance_stats.formatting import format_count, format_level, plural, with_interval
from alliance_stats.survival.curves.kaplan_meier import KaplanMeier

__all__ = [
    "cell_width",
    "draw_kaplan_meier",
    "draw_risk_table",
    "kaplan_meier_figure",
    "risk_table",
    "risk_table_height",
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
    looks: Mapping[str, Look],
    heading: str,
    limits: tuple[float, float],
) -> None:
    """Write the risk table on `ax`, its columns at the times, a row a stratum.

    Parameters
    ----------
    table
        From :func:`risk_table`.
    limits
        Limits of the time axis above it, which this one shares.
    """
    width = width_in_points(ax)
    ax.set_xlim(*limits)
    ax.set_ylim(risk_table_height(list(looks), width), 0.0)
    ax.set_axis_off()
    across = ax.get_yaxis_transform()
    left = -cell_width(table) / 2.0 / width
    ax.text(left, 0.0, heading, va="top", transform=across, **font(SMALL, colour=GREY))
    top = lines_height(1) + _ROW_GAP
    for name, style in looks.items():
        lines = wrap(name, width)
        words = "\n".join(lines)
        ax.text(left, top, words, va="top", transform=across, **font(SMALL, colour=style.text))
        top += lines_height(len(lines))
        for row in table.loc[table["strata"] == name].itertuples():
            cell = _cell(row.n_risk, row.n_censor, row.n_event)
            ax.text(row.time, top, cell, ha="center", va="top", **font())
        top += lines_height(1) + _ROW_GAP


def risk_table_height(names: Sequence[str], width: float) -> float:
    """Return the height, in points, of a table `width` points wide with these strata."""
    rows = [lines_height(len(wrap(name, width)) + 1) + _ROW_GAP for name in names]
    return lines_height(1) + _ROW_GAP + sum(rows)


def cell_width(table: pd.DataFrame) -> float:
    """Return the width, in points, of the widest cell."""
    return max(
        text_width(_cell(row.n_risk, row.n_censor, row.n_event)) for row in table.itertuples()
    )


def _cell(n_risk: int, n_censor: int, n_event: int) -> str:
    return f"{format_count(n_risk)} ({format_count(n_censor)}; {format_count(n_event)})"


_LABEL_WIDTH = 104.0  # pt, at the right of the curves
_CURVE_HEIGHT = 190.0  # pt, at the least
_AXIS_ROOM = 40.0  # pt, for the time axis' ticks and label
_CURVE_ROW_GAP = 3.0  # pt, between rows of the risk table and between labels


def draw_kaplan_meier(
    ax: Axes,
    curves: pd.DataFrame,
    medians: pd.DataFrame,
    *,
    looks: Mapping[str, Look] | None = None,
) -> None:
    """Draw step curves from (0, 1) with bands, censoring marks, medians and labels at the right.

    Parameters
    ----------
    ax
        Axes to draw on; the labels stand outside, at its right.
    curves
        As :meth:`KaplanMeier.tidy` gives them.
    medians
        As :meth:`KaplanMeier.medians` gives them.
    looks
        Look of each stratum; in order of appearance, if not given.
    """
    names = list(dict.fromkeys(curves["strata"]))
    looks = looks or {name: look(place) for place, name in enumerate(names)}
    last = float(curves["time"].max())
    median = medians.set_index("strata")
    ax.axhline(0.5, color=RULE, lw=0.6, dashes=(2, 2), zorder=1)
    for name in names:
        _draw_curve(ax, curves.loc[curves["strata"] == name], looks[name], name)
        middle = float(median.loc[name, "estimate"])
        if np.isfinite(middle):
            ax.plot([middle, middle], [0.0, 0.5], color=looks[name].text, lw=0.7, dashes=(1, 1.5))
    ax.set_xlim(0.0, last * 1.02)
    ax.set_ylim(-0.02, 1.03)
    ends = [float(curves.loc[curves["strata"] == name, "estimate"].iloc[-1]) for name in names]
    _label_curves(ax, names, ends, median, looks)


@styled
def kaplan_meier_figure(
    result: KaplanMeier,
    *,
    time_label: str = "Sessions since start",
    event_label: str = "dropped out",
    conf_level: float = 0.95,
    label: str = "fig-kaplan-meier",
) -> ReportFigure:
    """Show Kaplan-Meier curves with pointwise intervals over their risk table.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.kaplan_meier.kaplan_meier`.
    time_label
        The clock and its unit.
    event_label
        The event, as a past participle: "still without having <event_label>".

    Returns
    -------
    ReportFigure
        ``data`` has the curves (``part = "curve"``), the medians (``"median"``) and the risk
        table (``"risk"``: counts before `time`).
    """
    asked = "kaplan_meier_figure draws a result of kaplan_meier"
    require_kind(result, KaplanMeier, asked=asked, instead=DRAWN_BY)
    curves, medians = result.tidy(conf_level=conf_level), result.medians(conf_level=conf_level)
    names = list(dict.fromkeys(curves["strata"]))
    looks = {name: look(place) for place, name in enumerate(names)}
    last = float(curves["time"].max())
    cell = cell_width(risk_table(result, [0.0, last]))
    left = max(58.0, cell / 2.0 + 4.0)
    width = 72 * FULL_WIDTH - left - _LABEL_WIDTH - 40.0
    times = _ticks(curves["time"].to_numpy(dtype=float), int(width / (cell + 8.5)))
    table = risk_table(result, times)
    curve_height = max(_CURVE_HEIGHT, _labels_height(names, medians))
    table_height = risk_table_height(names, width)
    figure = new_figure(
        FULL_WIDTH, (curve_height + _AXIS_ROOM + table_height + 14.0) / 72, placed_by_hand=True
    )
    ax = add_axes(figure, left, 8.0, width, curve_height)
    draw_kaplan_meier(ax, curves, medians, looks=looks)
    dress(ax, x_label=time_label, y_label=f"Probability of not having {event_label} (0–1)")
    ax.set_xticks(times)
    below = add_axes(figure, left, 8.0 + curve_height + _AXIS_ROOM, width, table_height)
    heading = f"At risk (censored; {event_label}) before that time"
    draw_risk_table(below, table, looks=looks, heading=heading, limits=ax.get_xlim())
    return ReportFigure(
        figure,
        label=label,
        caption=_caption(medians, curves, event_label, time_label, conf_level),
        alt=_alt(medians, curves, event_label, time_label),
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
        clip_on=False,
        gid=f"censored {name}",
    )


def _label_curves(
    ax: Axes,
    names: Sequence[str],
    ends: Sequence[float],
    median: pd.DataFrame,
    looks: Mapping[str, Look],
) -> None:
    """Name each curve at the right of `ax`, apart from one another, with its dash as the key."""
    points = height_in_points(ax)
    low, high = ax.get_ylim()
    per_point = (high - low) / points
    texts = [_label_lines(name, median.loc[name]) for name in names]
    room = [(lines_height(len(lines)) + 2 * _CURVE_ROW_GAP) * per_point for lines in texts]
    centres = spread(ends, room, low, high)
    for name, lines, centre in zip(names, texts, centres, strict=True):
        label_line(ax, lines, centre, looks[name])


def _label_lines(name: str, median: pd.Series) -> list[str]:
    return [*wrap(name, _LABEL_WIDTH), *wrap(_median_words(median), _LABEL_WIDTH)]


def _median_words(median: pd.Series) -> str:
    if np.isnan(median["estimate"]):
        return "median not reached"
    time = with_interval(median["estimate"], median["conf_low"], median["conf_high"], kind="time")
    return f"median {time}"


def _labels_height(names: Sequence[str], medians: pd.DataFrame) -> float:
    median = medians.set_index("strata")
    lines = [_label_lines(name, median.loc[name]) for name in names]
    return sum(lines_height(len(text)) + 2 * _CURVE_ROW_GAP for text in lines)


def _ticks(time: Array, most: int) -> list[float]:
    """Return at most `most` times to label, from 0, whole where the clock runs in whole numbers."""
    last = float(time.max())
    whole = bool(np.all(time == np.round(time)))
    size = 10.0 ** np.floor(np.log10(last))
    steps = [
        step * scale
        for scale in (size / 100, size / 10, size)
        for step in (1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
    ]
    allowed = [step for step in steps if not whole or step.is_integer()]
    fits = [step for step in allowed if last / step < max(most, 2)]
    step = min(fits, default=last)
    return [step * count for count in range(int(last / step + 1e-9) + 1)]


def _final(curves: pd.DataFrame, name: str) -> str:
    last = curves.loc[curves["strata"] == name].iloc[-1]
    share = with_interval(last["estimate"], last["conf_low"], last["conf_high"], kind="bounded")
    return f"{share} at {last['time']:g}"


def _each(medians: pd.DataFrame, curves: pd.DataFrame, event_label: str) -> str:
    return "; ".join(
        f"{row.strata} (n = {format_count(row.nobs)}, {format_count(row.n_event)} {event_label}): "
        f"{_median_words(median)}, {_final(curves, row.strata)}"
        for row, (_, median) in zip(medians.itertuples(), medians.iterrows(), strict=True)
    )


def _caption(
    medians: pd.DataFrame,
    curves: pd.DataFrame,
    event_label: str,
    time_label: str,
    conf_level: float,
) -> str:
    return (
        f"Kaplan-Meier probability of not having {event_label}, by {in_sentence(time_label)}, with "
        f"pointwise {format_level(conf_level)} confidence bands; ticks are censored units. "
        "Median time and probability at the last observed time: "
        f"{_each(medians, curves, event_label)}."
    )


def _alt(medians: pd.DataFrame, curves: pd.DataFrame, event_label: str, time_label: str) -> str:
    shape = plural(len(medians), "step curve")
    return (
        f"{shape} falling from 1, against {in_sentence(time_label)}, over a table of the numbers "
        f"at risk. {_each(medians, curves, event_label)}."
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
        "median after Brookmeyer and Crowley (– where not reached). Table: at risk just before "
        f"that time, and in brackets all censored and all who had {event_label} before it. Other "
        "endings that are censored here (such as planned ones) are treated as if those units could "
        "still have "
        f"{event_label} later.{left_out}"
    )
