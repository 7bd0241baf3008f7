"""Hazards by session: what a model says, beside what was seen."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import require_kind
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    integer_ticks,
    label_line,
    room_below,
    room_beside,
)
from alliance_stats.figures.report import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, GREY, Look, look, new_figure, styled
from alliance_stats.figures.text import wrap
from alliance_stats.formatting import format_count, format_level, plural, with_interval
from alliance_stats.survival import DiscreteHazard

__all__ = ["draw_hazard", "hazard_figure"]

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
    found = _found(curve)
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


def _found(curve: pd.DataFrame) -> str:
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
