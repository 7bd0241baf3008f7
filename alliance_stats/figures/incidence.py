"""How often treatments end: cumulative incidence of competing endings, hazards by session."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.figures.axes import (
    dress,
    one_panel,
    room_beside,
    set_limits,
    width_in_points,
)
from alliance_stats.figures.common import Common, laid_out, stacked
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    clock,
    counted_ticks,
    decimal_ticks,
    format_count,
    format_level,
    interval_of,
    plural,
    time_ticks,
    with_interval,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    FULL_WIDTH,
    GREY,
    Look,
    look,
    looks,
    naming,
)
from alliance_stats.figures.text import in_sentence
from alliance_stats.survival import CumulativeIncidence, DiscreteHazard

__all__ = [
    "cumulative_incidence_figure",
    "draw_cumulative_incidence",
    "draw_hazard",
    "hazard_figure",
]

_LABEL_WIDTH = 116.0  # pt
_PANEL_HEIGHT = 130.0  # pt


def draw_cumulative_incidence(
    ax: Axes, curves: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw one group's curves from (0, 0) with bands, labelled at the right, n under the ticks.

    Parameters
    ----------
    ax
        Axes to draw on.
    curves
        One stratum of :meth:`CumulativeIncidence.tidy`.
    limits
        Limits of the axis of the incidence.
    """
    states = list(dict.fromkeys(curves["state"]))
    styles = looks(states)
    for state in states:
        style = styles[state]
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
    set_limits(ax, limits, axis="y")
    _labels(curves).write(ax, [float(_last(curves, state)["estimate"]) for state in states])
    first = curves.loc[curves["state"] == states[0]]
    time = first["time"].to_numpy(dtype=float)
    ticks = time_ticks(time, int(np.clip(width_in_points(ax) / 40.0, 2, 7)))
    ax.set_xlim(0.0, float(time.max()) * 1.02)
    counts = ["" if _enters_late(curves) else f"\n{_at_risk(first, tick)}" for tick in ticks]
    named = [f"{decimal_ticks(f'{x:g}')}{n}" for x, n in zip(ticks, counts, strict=True)]
    ax.set_xticks(ticks, named)


@laid_out(FULL_WIDTH)
def cumulative_incidence_figure(
    result: CumulativeIncidence,
    *,
    time_label: str = "Sessions since start",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the probability of each ending by each time, a panel per group.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.cumulative_incidence`.
    time_label
        The clock and its unit.
    limits
        Limits of the axis of the incidence.
    words
        Ending or group -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy()``.

    Examples
    --------
    >>> from alliance_stats import cumulative_incidence, endings, example_study
    >>> from alliance_stats.figures import cumulative_incidence_figure
    >>> families = endings(example_study()).units
    >>> curves = cumulative_incidence(families, time="time", event="state", censored="ongoing")
    >>> cumulative_incidence_figure(curves).label
    'fig-cumulative-incidence'
    """
    asked = "cumulative_incidence_figure draws a result of cumulative_incidence"
    require_kind(result, CumulativeIncidence, asked=asked, instead=DRAWN_BY)
    curves = result.tidy(conf_level=conf_level)
    said = naming(common["words"], [*curves["strata"].unique(), *result.states])
    curves = curves.assign(
        strata=[said(name) for name in curves["strata"]],
        state=[said(name) for name in curves["state"]],
    )
    groups, states = ([*dict.fromkeys(curves[name])] for name in ("strata", "state"))
    own = {group: curves.loc[curves["strata"] == group] for group in groups}
    labels = {group: _labels(own[group]) for group in groups}
    late = any(_enters_late(part) for part in own.values())
    clock = time_label if late else f"{time_label}; under it, number at risk"
    y_label = "Cumulative incidence (0–1)"
    figure, placed = stacked(
        {group: _sized(own[group], group) for group in groups},
        labels,
        height=_PANEL_HEIGHT,
        axes=(clock, y_label),
        tick_lines=1 if late else 2,
    )
    for group, ax in placed.items():
        draw_cumulative_incidence(ax, own[group], limits=common["limits"])
        dress(ax, x_label=clock, y_label=y_label)
    found = "; ".join(_found(own[group], group, states) for group in groups)
    sizes = "; ".join(_sized(own[group], group) for group in groups)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-cumulative-incidence",
        caption=f"Cumulative incidence of competing endings by {in_sentence(time_label)}, with "
        f"pointwise {format_level(conf_level)} confidence bands. {sizes}.",
        alt=f"{plural(len(groups), 'panel')} of step curves that rise from 0, one per ending. "
        f"{found}.",
        note=_note(result, conf_level),
        data=curves,
    )


def _last(curves: pd.DataFrame, state: str) -> pd.Series:
    return curves.loc[curves["state"] == state].iloc[-1]


def _labels(curves: pd.DataFrame) -> LineLabels:
    """Name each ending's curve with where it ends."""
    states = list(dict.fromkeys(curves["state"]))
    last = [_last(curves, state) for state in states]
    texts = [
        [str(state), f"{interval_of(row, kind='bounded')} at {clock(row['time'])}"]
        for state, row in zip(states, last, strict=True)
    ]
    styles = looks(states)
    return LineLabels.of(texts, [styles[state] for state in states], width=_LABEL_WIDTH)


def _found(own: pd.DataFrame, group: str, states: Sequence[str]) -> str:
    told = ", ".join(
        f"{state} {interval_of(_last(own, state), kind='bounded')} "
        f"({plural(int(own.loc[own['state'] == state, 'n_event'].sum()), 'unit')})"
        for state in states
    )
    return f"{_sized(own, group)}, by {clock(own['time'].max())}: {told}"


def _sized(curves: pd.DataFrame, group: str) -> str:
    if _enters_late(curves):
        return group
    return f"{group} (n = {format_count(curves['n_risk'].max())})"


def _enters_late(curves: pd.DataFrame) -> bool:
    """Say whether the number at risk changes for reasons other than endings and censoring.

    Then the counts at the endings do not tell how many were at risk at other times.
    """
    gone = curves.groupby("time")["n_event"].sum().to_numpy()
    first = curves.loc[curves["state"] == curves["state"].iloc[0]]
    gone = gone + first["n_censor"].to_numpy()
    at_risk = first["n_risk"].to_numpy()
    return bool((at_risk[1:] != at_risk[:-1] - gone[:-1]).any())


def _at_risk(curve: pd.DataFrame, time: float) -> str:
    """Return the number at risk just before `time`, where the curve's times allow it.

    Before the first of them rows may still have entered: nothing is returned.
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


def draw_hazard(
    ax: Axes, curve: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw the modelled hazard with its band, the observed shares as circles, n under the ticks.

    Parameters
    ----------
    ax
        Axes to draw on; keys are written to the right.
    curve
        As :meth:`DiscreteHazard.curve` gives it.
    limits
        Limits of the axis of the hazard.
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
    beside = np.pad(curve["hazard_low"].notna().to_numpy(), 1)
    alone = beside[1:-1] & ~beside[:-2] & ~beside[2:]  # a band without width would not be seen
    if alone.any():
        ends = curve.loc[alone, "hazard_low"], curve.loc[alone, "hazard_high"]
        ax.vlines(time[alone], *ends, color=style.colour, lw=1.2, gid="interval")
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
    ax.set_ylim(0.0, min(1.0, 1.08 * float(top)) or 1.0)
    set_limits(ax, limits, axis="y")
    ax.set_xlim(time[0] - 0.6, time[-1] + 0.6)
    ticks = counted_ticks(time[0], time[-1], most=int(np.clip(width_in_points(ax) / 36.0, 3, 8)))
    counts = curve[known].set_index("time")["n_risk"]
    named = [
        f"{tick}\n{format_count(counts[tick])}" if tick in counts else f"{tick}" for tick in ticks
    ]
    ax.set_xticks(ticks, named)
    bottom, top = ax.get_ylim()
    labels = _keys(any_seen=bool(known.any()))
    labels.write(ax, [top - 0.24 * place * (top - bottom) for place in range(len(labels.texts))])


@laid_out(FULL_WIDTH)
def hazard_figure(
    model: DiscreteHazard,
    newdata: pd.DataFrame | None = None,
    *,
    time_label: str = "Session after which a unit left",
    event_label: str = "leaving",
    of: str = "",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the population's hazard by session, beside the shares observed.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.discrete_hazard`.
    newdata
        Covariate values over time, as :meth:`DiscreteHazard.curve` takes them. Circles and numbers
        at risk then refer to the rows with exactly these, and are omitted if there are none.
    time_label, event_label
        The clock, and the event as a noun.
    of
        Whose hazard it is, if `newdata` is given: ``"a family at the mean alliance"``.
    limits
        Limits of the axis of the hazard.

    Returns
    -------
    ReportFigure
        ``data`` is ``model.curve(newdata)``, its counts those of ``model.observed(newdata)``.

    Examples
    --------
    >>> from alliance_stats import discrete_hazard, example_study, person_period
    >>> from alliance_stats.figures import hazard_figure
    >>> sessions = example_study().sessions
    >>> periods = person_period(
    ...     sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    ... )
    >>> model = discrete_hazard(
    ...     "1", periods, session="session", event="event", unit="family", random=None,
    ...     baseline="polynomial",
    ... )
    >>> hazard_figure(model).label
    'fig-hazard'
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
    naming(common["words"], [])
    labels = _keys(any_seen=any_seen)
    figure, ax = one_panel(
        _HEIGHT,
        left=room_beside(y_label, _HEIGHT),
        right=labels.right,
        above=labels.above,
        x_label=x_label,
        tick_lines=2 if any_seen else 1,
    )
    draw_hazard(ax, curve, limits=common["limits"])
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
        label=common["label"] or "fig-hazard",
        caption=f"Hazard of {event_label}{whose} by session, with the pointwise "
        f"{format_level(conf_level)} confidence band; "
        f"{plural(model.n_event, 'event')} in {plural(model.rows.n_used, 'row')}.",
        alt=f"A line with its band over {plural(len(curve), 'session')}"
        f"{', and a circle for the share observed at each' if any_seen else ''}: {found}.",
        note=f"Discrete-time hazard model ({model.link} link, {model.baseline} baseline), the mean "
        f"over the units still there; {plural(model.n_event, 'event')} in "
        f"{plural(model.rows.n_used, 'row')}, {aside} set aside. Pointwise intervals by the delta "
        f"method.{cut}",
        data=curve,
    )


def _keys(*, any_seen: bool) -> LineLabels:
    """Return the labels of the line and the circles."""
    keys = {"model, with its band": look(0)}
    if any_seen:
        keys["share who left, area by n at risk"] = _SEEN
    return LineLabels.of([[text] for text in keys], [*keys.values()], width=_KEY_WIDTH)


def _hazard_found(curve: pd.DataFrame) -> str:
    rows = [curve.iloc[0]]
    if len(curve) > 1:
        enough = curve[curve["n_risk"] >= min(_FEW, curve["n_risk"].max())]
        rows.append(enough.iloc[-1])
    return "; ".join(
        f"after session {clock(row['time'])} "
        + with_interval(row["hazard"], row["hazard_low"], row["hazard_high"], kind="bounded")
        + (f" ({format_count(row['n_risk'])} at risk)" if row["n_risk"] else "")
        for row in rows
    )
