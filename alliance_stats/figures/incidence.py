"""How often endings come: cumulative incidence of competing ones, hazards by session."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import require_kind
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    height_in_points,
    integer_ticks,
    label_line,
    room_below,
    room_beside,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    BODY,
    FULL_WIDTH,
    GREY,
    Look,
    font,
    look,
    new_figure,
    styled,
)
from alliance_stats.figures.text import in_sentence, lines_height, spread, wrap
from alliance_stats.formatting import format_count, format_level, plural, with_interval
from alliance_stats.survival import CumulativeIncidence, DiscreteHazard

__all__ = [
    "cumulative_incidence_figure",
    "draw_cumulative_incidence",
    "draw_hazard",
    "hazard_figure",
]

_LABEL_WIDTH = 116.0  # pt
_PANEL_HEIGHT = 130.0  # pt
_BELOW = 48.0  # pt, two lines of tick labels and the axis' label


def draw_cumulative_incidence(ax: Axes, curves: pd.DataFrame) -> None:
    """Draw one group's curves from (0, 0) with bands, labelled at the right, n under the ticks.

    Parameters
    ----------
    ax
        Axes to draw on.
    curves
        One stratum of :meth:`CumulativeIncidence.tidy`.
    """
    states = list(dict.fromkeys(curves["state"]))
    for place, state in enumerate(states):
        style = look(place)
        own = curves.loc[curves["state"] == state]
        time = np.concatenate([[0.0], own["time"].to_numpy(dtype=float)])
        lines = {
            name: np.concatenate([[0.0], own[name].to_numpy(dtype=float)])
            for name in ("estimate", "conf_low", "conf_high")
        }
        band = (lines["conf_low"], lines["conf_high"])
        ax.fill_between(time, *band, step="post", color=style.colour, alpha=0.16, lw=0)
        ax.step(
            time,
            lines["estimate"],
            where="post",
            color=style.colour,
            ls=style.dash,
            lw=1.6,
            gid=f"incidence {state}",
        )
    ax.set_ylim(0.0, 1.0)
    per_point = 1.0 / height_in_points(ax)
    texts = [_label(curves, state) for state in states]
    room = [(lines_height(len(lines)) + 4.0) * per_point for lines in texts]
    ends = [float(_last(curves, state)["estimate"]) for state in states]
    for place, centre in enumerate(spread(ends, room, 0.0, 1.0)):
        label_line(ax, texts[place], centre, look(place))
    first = curves.loc[curves["state"] == states[0]]
    ticks = _ticks(first["time"].to_numpy(dtype=float))
    ax.set_xlim(0.0, float(first["time"].max()) * 1.02)
    counts = ["" if _enters_late(curves) else f"\n{_at_risk(first, tick)}" for tick in ticks]
    ax.set_xticks(ticks, [f"{tick:g}{n}" for tick, n in zip(ticks, counts, strict=True)])


@styled
def cumulative_incidence_figure(
    result: CumulativeIncidence,
    *,
    time_label: str = "Sessions since start",
    conf_level: float = 0.95,
    label: str = "fig-cumulative-incidence",
) -> ReportFigure:
    """Show the probability of each ending by each time, a panel a group.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.cumulative_incidence`.
    time_label
        The clock and its unit.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy()``.
    """
    asked = "cumulative_incidence_figure draws a result of cumulative_incidence"
    require_kind(result, CumulativeIncidence, asked=asked, instead=DRAWN_BY)
    curves = result.tidy(conf_level=conf_level)
    groups = list(dict.fromkeys(curves["strata"]))
    late = any(_enters_late(curves.loc[curves["strata"] == group]) for group in groups)
    labels = [sum(len(_label(curves, state)) for state in result.states) for _ in groups]
    height = max(_PANEL_HEIGHT, lines_height(max(labels)) + 6.0 * len(result.states))
    headings = [
        wrap(_sized(curves.loc[curves["strata"] == group], group), 300.0, BODY) for group in groups
    ]
    tops = [lines_height(len(lines), BODY) + 8.0 for lines in headings]
    whole = sum(tops) + len(groups) * (height + _BELOW) + 6.0
    figure = new_figure(FULL_WIDTH, whole / 72, placed_by_hand=True)
    top = 0.0
    width = 72 * FULL_WIDTH - 54.0 - _LABEL_WIDTH - 40.0
    for group, heading, above in zip(groups, headings, tops, strict=True):
        ax = add_axes(figure, 54.0, top + above, width, height)
        draw_cumulative_incidence(ax, curves.loc[curves["strata"] == group])
        clock = time_label if late else f"{time_label}; under it, number at risk"
        dress(ax, x_label=clock, y_label="Cumulative incidence (0–1)")
        ax.set_title("\n".join(heading), loc="left", pad=5, **font(BODY))
        top += above + height + _BELOW
    found = "; ".join(_found(curves, group, result.states) for group in groups)
    return ReportFigure(
        figure,
        label=label,
        caption=f"Cumulative incidence of competing endings by {in_sentence(time_label)}, with "
        f"pointwise {format_level(conf_level)} confidence bands. {found}.",
        alt=f"{plural(len(groups), 'panel')} of step curves that rise from 0, one an ending. "
        f"{found}.",
        note=_note(result, conf_level),
        data=curves,
    )


def _last(curves: pd.DataFrame, state: str) -> pd.Series:
    return curves.loc[curves["state"] == state].iloc[-1]


def _label(curves: pd.DataFrame, state: str) -> list[str]:
    row = _last(curves, state)
    return [*wrap(state, _LABEL_WIDTH), f"{_interval(row)} at {row['time']:g}"]


def _interval(row: pd.Series) -> str:
    return with_interval(row["estimate"], row["conf_low"], row["conf_high"], kind="bounded")


def _found(curves: pd.DataFrame, group: str, states: tuple[str, ...]) -> str:
    own = curves.loc[curves["strata"] == group]
    words = ", ".join(
        f"{state} {_interval(_last(own, state))} "
        f"({format_count(own.loc[own['state'] == state, 'n_event'].sum())} units)"
        for state in states
    )
    return f"{_sized(own, group)}, by {own['time'].max():g}: {words}"


def _ticks(time: Array) -> list[float]:
    """Return about six round times from 0."""
    step = 10.0 ** np.floor(np.log10(time.max()))
    for size in (0.1, 0.2, 0.4, 0.5, 1.0, 2.0, 5.0):
        if time.max() / (size * step) < 6.5:
            break
    whole = bool(np.all(time == np.round(time)))
    apart = max(1.0, round(size * step)) if whole else size * step
    return [apart * count for count in range(int(time.max() / apart + 1e-9) + 1)]


def _sized(curves: pd.DataFrame, group: str) -> str:
    if _enters_late(curves):
        return group
    return f"{group} (n = {format_count(curves['n_risk'].max())})"


def _enters_late(curves: pd.DataFrame) -> bool:
    """Say whether the number at risk changes otherwise than by endings and censoring.

    Then the counts at the endings do not tell how many were at risk at other times.
    """
    gone = curves.groupby("time")["n_event"].sum().to_numpy()
    first = curves.loc[curves["state"] == curves["state"].iloc[0]]
    gone = gone + first["n_censor"].to_numpy()
    at_risk = first["n_risk"].to_numpy()
    return bool((at_risk[1:] != at_risk[:-1] - gone[:-1]).any())


def _at_risk(curve: pd.DataFrame, time: float) -> str:
    """Return who is at risk just before `time`, where the curve's own times tell.

    Before the first of them rows may still have entered: nothing is said.
    """
    if time < curve["time"].iloc[0]:
        return ""
    later = curve.loc[curve["time"] >= time, "n_risk"]
    return format_count(later.iloc[0]) if len(later) else "0"


def _note(result: CumulativeIncidence, conf_level: float) -> str:
    over = "rows" if result.n_clusters is None else plural(result.n_clusters, "cluster")
    aside = result.rows.n_set_aside
    left_out = f" {plural(aside, 'row')} set aside." if aside else ""
    return (
        f"Aalen-Johansen estimate: the endings of a group and 'not ended' add up to 1. Pointwise "
        f"{format_level(conf_level)} CI, log-log transformed, infinitesimal jackknife standard "
        f"errors over {over}.{left_out}"
    )


_KEY_WIDTH = 96.0  # pt
_HEIGHT = 170.0  # pt
_FEW = 10  # at risk, below which an interval does not set the height of the axis
_SEEN = Look(GREY, GREY, "none", "o")


def draw_hazard(ax: Axes, curve: pd.DataFrame) -> None:
    """Draw the modelled hazard with its band, the observed shares as circles, n under the ticks.

    Parameters
    ----------
    ax
        Axes to draw on; keys stand at its right.
    curve
        As :meth:`DiscreteHazard.curve` gives it.
    """
    time = curve["time"].to_numpy(dtype=float)
    style = look(0)
    ax.fill_between(
        time,
        curve["hazard_low"].to_numpy(dtype=float),
        curve["hazard_high"].to_numpy(dtype=float),
        color=style.colour,
        alpha=0.18,
        lw=0,
    )
    ax.plot(time, curve["hazard"], color=style.colour, lw=1.6, gid="model")
    known = curve["n_risk"].to_numpy() > 0
    seen = (curve["n_event"] / curve["n_risk"].where(known)).fillna(0.0)
    size = 6.0 + 60.0 * curve["n_risk"] / max(curve["n_risk"].max(), 1)
    ax.scatter(
        time[known],
        seen[known],
        s=size[known],
        facecolor="none",
        edgecolor=GREY,
        lw=1.0,
        zorder=3,
        gid="seen",
    )
    many = curve["n_risk"] >= min(_FEW, curve["n_risk"].max())
    top = np.nanmax([curve.loc[many, "hazard_high"].max(), curve["hazard"].max(), seen[many].max()])
    ax.set_ylim(0.0, min(1.0, 1.08 * float(top)))
    ax.set_xlim(time[0] - 0.6, time[-1] + 0.6)
    ticks = integer_ticks(time[0], time[-1])
    counts = curve[known].set_index("time")["n_risk"]
    words = [
        f"{tick}\n{format_count(counts[tick])}" if tick in counts else f"{tick}" for tick in ticks
    ]
    ax.set_xticks(ticks, words)
    bottom, top = ax.get_ylim()
    label_line(ax, wrap("model, with its band", _KEY_WIDTH), top - 0.10 * (top - bottom), style)
    if known.any():
        label_line(
            ax,
            wrap("○ share who left, area by n at risk", _KEY_WIDTH),
            top - 0.34 * (top - bottom),
            _SEEN,
        )


@styled
def hazard_figure(
    model: DiscreteHazard,
    newdata: pd.DataFrame | None = None,
    *,
    time_label: str = "Session after which a unit left",
    event_label: str = "leaving",
    of: str = "",
    conf_level: float = 0.95,
    label: str = "fig-hazard",
) -> ReportFigure:
    """Show the population's hazard by session, beside the shares observed.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.discrete_hazard`.
    newdata
        Covariates of the course, as :meth:`DiscreteHazard.curve` takes them. Circles and numbers at
        risk are then of the rows with exactly these, and none are drawn where there are none.
    time_label, event_label
        The clock, and the event as a noun.
    of
        Whose hazard it is, where `newdata` is given: ``"a family at the mean alliance"``.

    Returns
    -------
    ReportFigure
        ``data`` is ``model.curve(newdata)``, its counts those of ``model.observed(newdata)``.
    """
    asked = "hazard_figure draws a model of discrete_hazard"
    require_kind(model, DiscreteHazard, asked=asked, instead=DRAWN_BY)
    seen = model.observed(newdata)
    curve = model.curve(newdata, conf_level=conf_level).assign(
        n_risk=seen["n_risk"], n_event=seen["n_event"]
    )
    any_seen = bool(seen["n_risk"].any())
    x_label = f"{time_label}; under it, number at risk" if any_seen else time_label
    y_label = f"Hazard of {event_label} (0–1)"
    left = room_beside(y_label, _HEIGHT)
    wide = 72 * FULL_WIDTH - left - _KEY_WIDTH - 44.0
    height = 8.0 + _HEIGHT + room_below(x_label, wide, tick_lines=2)
    figure = new_figure(FULL_WIDTH, height / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 8.0, wide, _HEIGHT)
    draw_hazard(ax, curve)
    dress(ax, x_label=x_label, y_label=y_label)
    found = _hazard_found(curve)
    whose = f" of {of}" if of else ""
    hidden = curve["hazard_high"] > ax.get_ylim()[1]
    cut = " Intervals that reach above the axis are cut." if hidden.any() else ""
    if curve["hazard_low"].isna().any():
        cut += " No interval where the model puts the hazard at 0."
    aside = plural(model.rows.n_set_aside, "row")
    return ReportFigure(
        figure,
        label=label,
        caption=f"Hazard of {event_label}{whose} by session, with the pointwise "
        f"{format_level(conf_level)} confidence band: {found}.",
        alt=f"A line with its band over {plural(len(curve), 'session')}"
        f"{', and a circle for the share observed at each' if any_seen else ''}: {found}.",
        note=f"Discrete-time hazard model ({model.link} link, {model.baseline} baseline), the mean "
        f"over the units still there; {plural(model.n_event, 'event')} in "
        f"{plural(model.rows.n_used, 'row')}, {aside} set aside. Pointwise intervals by the delta "
        f"method.{cut}",
        data=curve,
    )


def _hazard_found(curve: pd.DataFrame) -> str:
    rows = [curve.iloc[0]]
    if len(curve) > 1:
        enough = curve[curve["n_risk"] >= min(_FEW, curve["n_risk"].max())]
        rows.append(enough.iloc[-1])
    return "; ".join(
        f"after session {row['time']:g} "
        + with_interval(row["hazard"], row["hazard_low"], row["hazard_high"], kind="bounded")
        + (f" ({format_count(row['n_risk'])} at risk)" if row["n_risk"] else "")
        for row in rows
    )
