"""Mediation: the paths with their estimates, and the distributions of the effects."""

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats

from alliance_stats.arguments import require_kind
from alliance_stats.association import Mediation
from alliance_stats.checks import check_conf_level
from alliance_stats.estimates import Array, wald_interval
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    page,
    room_below,
    row_heights,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_level, format_number, plural, with_interval
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import (
    BODY,
    FULL_WIDTH,
    INK,
    RULE,
    SMALL,
    font,
    look,
    naming,
    sheet,
)
from alliance_stats.figures.text import number_room, widest, wrap
from alliance_stats.formatting import decimals_for

__all__ = ["draw_effect_draws", "draw_mediation_paths", "mediation_figure"]

_PATHS = 128.0  # pt, height of a diagram
_MOST_TOLD = 3  # effects that the caption tells
_NAME_WIDTH = 150.0  # pt
_BOX_WIDTH = 110.0  # pt
_LEAST_AXIS = 76.0  # pt, of effects; narrower, intervals stand below estimates
_POINTS = 200  # of a density
_ROW, _TITLE = 26.0, 16.0  # pt, least height of an effect's row; of a level's name


def draw_mediation_paths(ax: Axes, paths: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Draw the treatment on the left, mediators above, the outcome on the right, and the paths.

    Parameters
    ----------
    ax
        Axes to draw on; their spines and ticks are removed.
    paths
        ``from, to, estimate, conf_low, conf_high``; arrows whose interval includes zero are dashed.
    names
        Treatment, mediators in order, outcome.
    """
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(0.0, 1.0)
    ax.set_axis_off()
    k = len(names) - 2
    place = {names[0]: (0.12, 0.16), names[-1]: (0.88, 0.16)}
    for i, name in enumerate(names[1:-1]):
        place[name] = ((i + 1) / (k + 1), 0.84)
    boxes = {}
    for name, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": INK, "lw": 0.8}
        text = "\n".join(wrap(name, _BOX_WIDTH))
        said = ax.text(x, y, text, ha="center", va="center", bbox=box, zorder=3, **font(SMALL))
        boxes[name] = said.get_bbox_patch()  # arrows end at its edge
    for row in paths.to_dict("records"):
        if row["from"] not in place:
            continue
        (x0, y0), (x1, y1) = place[row["from"]], place[row["to"]]
        told = row["conf_low"] > 0 or row["conf_high"] < 0
        dash = "-" if told else (0, (4, 2))
        ax.annotate(
            "", xy=(x1, y1), xytext=(x0, y0),
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.1, "linestyle": dash,
                        "patchA": boxes[row["from"]], "patchB": boxes[row["to"]],
                        "shrinkA": 2, "shrinkB": 3},
        )  # fmt: skip
        digits = decimals_for(row["estimate"], row["conf_low"], row["conf_high"])
        along = 0.5 if k < 2 or row["from"] == names[0] else 0.6
        ax.text(
            x0 + along * (x1 - x0), y0 + along * (y1 - y0),
            format_number(row["estimate"], digits), ha="center", va="center", zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2}, **font(SMALL),
        )  # fmt: skip


def draw_effect_draws(ax: Axes, effects: pd.DataFrame, draws: np.ndarray) -> None:
    """Draw each effect's draws as a hill, with its interval and estimate below.

    Parameters
    ----------
    ax
        Axes to draw on.
    effects
        ``name, estimate, conf_low, conf_high, null``, a row per effect, from the top down.
    draws
        (draws, effects).
    """
    names, room = [str(name) for name in effects["name"]], sheet().part(_NAME_WIDTH)
    numbers = [with_interval(r.estimate, r.conf_low, r.conf_high) for r in effects.itertuples()]
    heights, beside = _rows(names, numbers)
    centres = np.cumsum(heights) - heights / 2.0
    ends = effects[["conf_low", "conf_high", "estimate", "null"]].to_numpy(dtype=float)
    low, high = np.nanmin(ends), np.nanmax(ends)
    pad = 0.12 * (high - low)
    ax.set_xlim(low - pad, high + pad)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(max(int(width_in_points(ax) / 40.0), 1)))
    null = float(np.nanmax(effects["null"]))
    ax.axvline(null, color=RULE, lw=0.8, zorder=1)
    style = look(0)
    x = np.linspace(low - pad, high + pad, _POINTS)
    for i, row in enumerate(effects.itertuples()):
        own = draws[:, i]
        if own.std() > 0:
            density = stats.gaussian_kde(own[:: max(len(own) // 4000, 1)])(x)
            hill = density / density.max() * 13.0
            base = centres[i] + 5.0
            ax.fill_between(x, base, base - hill, color=style.colour, alpha=0.3, lw=0)
        ends = [row.conf_low, row.conf_high]
        ax.plot(ends, [centres[i] + 8.0] * 2, color=style.text, lw=1.6, gid="interval")
        ax.plot(row.estimate, centres[i] + 8.0, marker="o", ms=4, color=style.text, gid="estimate")
    write_rows(ax, names, centres, x=-8.0, ha="right", width=room)
    write_rows(ax, numbers, centres, x=10.0, ha="left", width=beside)


def _rows(names: Sequence[str], numbers: Sequence[str]) -> tuple[Array, float]:
    """Return the heights of the rows and the room of their numbers, in points."""
    room = sheet().part(_NAME_WIDTH)
    beside = number_room(numbers, sheet().width - widest(names, room) - 32.0 - _LEAST_AXIS)
    return np.maximum(row_heights(names, room), row_heights(numbers, beside)).clip(_ROW), beside


@laid_out(FULL_WIDTH)
def mediation_figure(
    found: Mediation,
    *,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the paths of a mediation, and the effects with their distributions.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.mediation`.
    conf_level
        Coverage of the intervals.
    limits
        Limits of the axis of effects.
    words
        Variable -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the effects.

    Examples
    --------
    >>> from alliance_stats import example_study, mediation
    >>> from alliance_stats.figures import mediation_figure
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> found = mediation(
    ...     last, treatment="experience", mediator="alliance", outcome="symptoms", seed=1,
    ...     cluster="therapist",
    ... )
    >>> mediation_figure(found).label
    'fig-mediation'
    """
    require_kind(found, Mediation, asked="mediation_figure draws a mediation", instead=DRAWN_BY)
    check_conf_level(conf_level)
    asked = found.asked
    variables = (asked.treatment, *asked.mediators, asked.outcome)
    known = naming(common["words"], variables)
    effects = _effects(found, known, conf_level)
    names = [str(name) for name in effects["name"]]
    numbers = [with_interval(r.estimate, r.conf_low, r.conf_high) for r in effects.itertuples()]
    room = sheet().part(_NAME_WIDTH)
    heights, beside = _rows(names, numbers)
    left, right, below = 14.0 + widest(names, room), 18.0 + beside, float(heights.sum())
    wide = sheet().width - left - right
    null = "1" if (effects["null"] == 1.0).any() else "0"
    x_label = f"Effect ({format_level(conf_level)} CI; {null}: none)"
    levels = list(dict.fromkeys(found.paths["level"]))
    titled = _TITLE if len(levels) > 1 else 0.0
    top = len(levels) * (_PATHS + titled) + 12.0
    figure = page(top + below + room_below(x_label, wide))
    for place, level in enumerate(levels):
        start = 4.0 + place * (_PATHS + titled) + titled
        ax = add_axes(figure, 4.0, start, sheet().width - 8.0, _PATHS)
        _draw_level(ax, _with_limits(found, level, conf_level), variables, known)
        if titled:
            heading = f"{level[:1].upper()}{level[1:]}"
            ax.annotate(heading, (0.0, 1.0), (4.0, 6.0), textcoords="offset points",
                        xycoords="axes fraction", annotation_clip=False, **font(BODY))  # fmt: skip
    ax = add_axes(figure, left, top, wide, below)
    own = found.effects["null"].notna().to_numpy()
    draw_effect_draws(ax, effects, found.draws[:, own])
    set_limits(ax, common["limits"], axis="x")
    dress(ax, x_label=x_label)
    ax.spines["left"].set_visible(False)
    said = listed(names, numbers, of=plural(len(names), "effect"))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-mediation",
        caption=f"Effects of {known(asked.treatment)} on {known(asked.outcome)} through "
        f"{' and '.join(map(known, asked.mediators))}, with {format_level(conf_level)} CI; "
        f"{plural(found.rows.n_used, 'row')}."
        + (f" {said[:1].upper()}{said[1:]}." if len(names) <= _MOST_TOLD else ""),
        alt=f"Diagram of {plural(len(variables), 'variable')} with arrows for the paths, above "
        f"{plural(len(names), 'distribution')} of effects. {said}.",
        note=_note(found),
        data=effects.reset_index(drop=True),
    )


def _draw_level(
    ax: Axes, paths: pd.DataFrame, variables: Sequence[str], known: Callable[[object], str]
) -> None:
    """Draw the paths of one level under the reader's names."""
    for end in ("from", "to"):
        paths[end] = [known(name) if name in variables else name for name in paths[end]]
    draw_mediation_paths(ax, paths, tuple(known(name) for name in variables))


def _note(found: Mediation) -> str:
    moderator = found.asked.moderator
    return " ".join(
        [
            f"{found.method[:1].upper()}{found.method[1:]}.",
            "Dashed arrows: intervals that hold 0. Hills: how the effects vary over the draws.",
            *([] if moderator is None else [f"Moderated arrows: where {moderator} is 0."]),
            *found.notes,
        ]
    )


def _effects(found: Mediation, known: Callable[[object], str], conf_level: float) -> pd.DataFrame:
    """Return the effects that have a null, by name."""
    table = found.tidy(conf_level=conf_level).assign(null=found.effects["null"])
    table = table[table["null"].notna()]
    by_name = sorted(found.asked.mediators, key=len, reverse=True)
    names = []
    for row in table.to_dict("records"):
        name = str(row["term"])
        for mediator in by_name:
            name = name.replace(mediator, known(mediator))
        if row["level"]:
            name = f"{name}, {row['level']}"
        if pd.notna(row["at"]):
            name = f"{name}, at {format_number(float(row['at']), 2)}"
        names.append(name)
    return table.assign(name=names)


def _with_limits(found: Mediation, level: str, conf_level: float) -> pd.DataFrame:
    paths = found.paths[found.paths["level"] == level]
    df = paths.get("df", np.inf)
    low, high = wald_interval(paths["estimate"], paths["std_error"], df=df, conf_level=conf_level)
    return paths.assign(conf_low=low, conf_high=high)
