"""Themes of interviews: how many of each group voiced one, and what became of an early one."""

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from alliance_stats.arguments import require_kind
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    add_axes,
    dress,
    height_in_points,
    no_limits,
    one_panel,
    page,
    percent_axis,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import (
    format_count,
    format_level,
    format_percent,
    p_phrase,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    BODY,
    COLUMN_AND_HALF,
    FULL_WIDTH,
    INK,
    SMALL,
    Look,
    font,
    looks,
    naming,
    sheet,
)
from alliance_stats.figures.text import lines_height, spread, text_width, widest, wrap
from alliance_stats.groups import ThemeComparison, ThemeTransitions
from alliance_stats.renaming import known

__all__ = ["draw_themes", "draw_transitions", "ribbon_between", "theme_figure", "transition_figure"]

_NAME_WIDTH = 150.0  # pt
_WORDS_WIDTH = 130.0  # pt, group and count at the right


def draw_themes(ax: Axes, prevalence: pd.DataFrame) -> None:
    """Draw one row per theme, with a dot and interval for each group; counts at the right.

    Parameters
    ----------
    ax
        Axes to draw on.
    prevalence
        ``theme, group, count, n, estimate, conf_low, conf_high``, proportions.
    """
    themes, groups = _order(prevalence)
    heights = _heights(themes, groups)
    centres = np.cumsum(heights) - heights / 2.0
    rooms, styles = _lanes(groups), looks(groups)
    within = np.cumsum(rooms) - rooms / 2.0 - rooms.sum() / 2.0
    for place, group in enumerate(groups):
        own = prevalence.loc[prevalence["group"] == group].set_index("theme")
        for centre, theme in zip(centres, themes, strict=True):
            if theme in own.index:
                _draw_share(ax, own.loc[theme], group, centre + within[place], styles[group])
    for edge in np.cumsum(heights)[:-1]:
        ax.axhline(edge, color="#e6e6e6", lw=0.6, zorder=0)
    percent_axis(ax)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    names = [str(theme) for theme in themes]
    write_rows(ax, names, centres, x=-8.0, ha="right", width=_rooms()[0])


def _draw_share(ax: Axes, row: pd.Series, group: object, lane: float, style: Look) -> None:
    """Draw one group's share of a theme with its interval, and write its count beside it."""
    limits = [row["conf_low"], row["conf_high"]]
    ax.plot(limits, [lane, lane], color=style.colour, lw=1.2, ls=style.dash, gid="interval")
    ax.plot(  # not clipped: a dot at 0 or 100% stands half outside
        row["estimate"],
        lane,
        marker=style.marker,
        ms=5,
        color=style.text,
        clip_on=False,
        zorder=4,
        gid="dot",
    )
    told = f"{group}: {format_count(row['count'])} of {format_count(row['n'])}"
    ax.text(
        1.0 + 10.0 / width_in_points(ax),
        lane,
        "\n".join(wrap(told, _rooms()[1])),
        va="center",
        transform=ax.get_yaxis_transform(),
        **font(SMALL, colour=style.text),
    )


@known(method="compare_themes")
@laid_out(FULL_WIDTH)
def theme_figure(
    result: ThemeComparison,
    *,
    unit: str = "cases",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how often each theme was voiced in each group.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.groups.compare_themes`.
    unit
        Who was counted, in the plural: ``"parents"``.
    limits
        Limits of the axis of shares.
    words
        Theme or group -> label to print.

    Raises
    ------
    WrongObjectError
        If `result` is anything else.

    Examples
    --------
    >>> from alliance_stats import compare_themes, example_themes
    >>> from alliance_stats.figures import theme_figure
    >>> found = compare_themes(
    ...     example_themes(), themes=["theme_early_problem"], group="parent_alliance"
    ... )
    >>> theme_figure(found).label
    'fig-themes'
    """
    asked = "theme_figure draws a result of compare_themes"
    require_kind(result, ThemeComparison, asked=asked, instead=DRAWN_BY)
    prevalence = result.prevalence(conf_level=conf_level)
    said = naming(common["words"], [*prevalence["theme"], *prevalence["group"]])
    prevalence = prevalence.assign(
        **{name: [said(x) for x in prevalence[name]] for name in ("theme", "group")}
    )
    themes, groups = _order(prevalence)
    names_room, words_room = _rooms()
    left = 14.0 + widest(themes, names_room)
    counts = [f"{row['group']}: {row['count']} of {row['n']}" for row in _rows(prevalence)]
    right = 16.0 + widest(counts, words_room)
    height = float(_heights(themes, groups).sum())
    x_label = f"Share of {unit} who voiced the theme ({format_level(conf_level)} CI)"
    figure, ax = one_panel(height, left=left, right=right, x_label=x_label)
    draw_themes(ax, prevalence)
    set_limits(ax, common["limits"], axis="x")
    dress(ax, x_label=x_label)
    ax.spines["left"].set_visible(False)
    found = "; ".join(_theme_words(prevalence, theme) for theme in themes)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-themes",
        caption=f"Share of {unit} who voiced each of {plural(len(themes), 'theme')}, by group, "
        f"with {format_level(conf_level)} CI (Clopper-Pearson); "
        f"n = {format_count(result.rows.n_used)}.",
        alt=f"Dots of the share of {unit} for {plural(len(themes), 'theme')} in "
        f"{plural(len(groups), 'group')}. {found}.",
        note="Intervals: Clopper-Pearson. A theme that was not voiced may have been felt.",
        data=prevalence.reset_index(drop=True),
    )


def _rows(prevalence: pd.DataFrame) -> list[pd.Series]:
    return [row for _, row in prevalence.iterrows()]


def _order(prevalence: pd.DataFrame) -> tuple[list[object], list[object]]:
    return list(dict.fromkeys(prevalence["theme"])), list(dict.fromkeys(prevalence["group"]))


def _rooms() -> tuple[float, float]:
    """Return the space for names on the left and for counts on the right, in points."""
    return sheet().part(_NAME_WIDTH), sheet().part(_WORDS_WIDTH)


def _lanes(groups: list[object]) -> Array:
    """Return the room of each group within a theme's row, in points."""
    return np.array([lines_height(len(wrap(f"{g}: 00 of 00", _rooms()[1]))) + 2.0 for g in groups])


def _heights(themes: list[object], groups: list[object]) -> Array:
    lanes = float(_lanes(groups).sum())
    names = [lines_height(len(wrap(theme, _rooms()[0]))) for theme in themes]
    return np.array([max(name, lanes) + 6.0 for name in names])


def _theme_words(prevalence: pd.DataFrame, theme: object) -> str:
    own = prevalence.loc[prevalence["theme"] == theme]
    groups = ", ".join(
        f"{row['group']} {format_count(row['count'])} of {format_count(row['n'])} "
        f"({format_percent(row['estimate'])} [{format_percent(row['conf_low'])}, "
        f"{format_percent(row['conf_high'])}])"
        for row in _rows(own)
    )
    return f"{theme}: {groups}"


_SIDE = 104.0  # pt, room of the words at either side
_BAR = 6.0  # pt, width of a node
_GAP = 10.0  # pt, between nodes
_TALL = 96.0  # pt, of the largest group
_HEADING = 20.0  # pt
_LABEL_GAP = 4.0  # pt


def draw_transitions(
    ax: Axes, counts: Array, *, names: Sequence[str], states: Sequence[str]
) -> None:
    """Draw one group: ribbons from the early theme (present or not) to the later states.

    Parameters
    ----------
    ax
        Axes to draw on; the words are written inside, at the sides.
    counts
        (early theme present / absent, states) cases; a ribbon is as wide as its count.
    names
        Labels of the two rows.
    states
        Labels of the columns, from the top down.
    """
    wide, high = width_in_points(ax), height_in_points(ax)
    ax.set_xlim(0.0, wide)
    ax.set_ylim(high, 0.0)
    ax.set_axis_off()
    counted = [line for k in range(counts.shape[1]) for line in _from_each(counts, k)]
    side = max(sheet().part(_SIDE), max(map(text_width, counted)) + _LABEL_GAP + 2.0)
    n_gaps = max(counts.shape) - 1
    per_case = (high - n_gaps * _GAP) / max(counts.sum(), 1.0)
    left = _stack(counts.sum(axis=1) * per_case, high)
    right = _stack(counts.sum(axis=0) * per_case, high)
    start, end = side + _BAR, wide - side - _BAR
    begun, ended, styles = left.copy(), right.copy(), looks(states)
    for early, state in np.ndindex(*counts.shape):
        room = float(counts[early, state] * per_case)
        if room > 0:
            ribbon = ribbon_between((start, float(begun[early])), (end, float(ended[state])), room)
            style = styles[states[state]]
            ax.add_patch(PathPatch(ribbon, facecolor=style.colour, alpha=0.35, lw=0, gid="ribbon"))
        begun[early] += room
        ended[state] += room
    early_words = [
        [*wrap(name, side - _LABEL_GAP), f"$n$ = {format_count(n)}"]
        for name, n in zip(names, counts.sum(axis=1), strict=True)
    ]
    later_words = [
        [*wrap(state, side - _LABEL_GAP), *_from_each(counts, place)]
        for place, state in enumerate(states)
    ]
    for x, tops, ends, colours in (
        (side, left, begun, [INK] * len(left)),
        (end, right, ended, [styles[state].colour for state in states]),
    ):
        for top, bottom, colour in zip(tops, ends, colours, strict=True):
            ax.add_patch(Rectangle((x, top), _BAR, bottom - top, facecolor=colour, lw=0))
    _write(ax, early_words, (left + begun) / 2.0, x=side - _LABEL_GAP, ha="right")
    texts = [styles[state].text for state in states]
    middles = (right + ended) / 2.0
    _write(ax, later_words, middles, x=wide - side + _LABEL_GAP, ha="left", colours=texts)


@laid_out(COLUMN_AND_HALF)
def transition_figure(
    transitions: ThemeTransitions,
    *,
    early_label: str,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show what became of an early theme in each group.

    Parameters
    ----------
    transitions
        From :func:`~alliance_stats.groups.theme_transitions`.
    early_label
        The early theme in words: ``"early problem"``.
    limits
        Refused: there is no axis.
    words
        Group or later state -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is :meth:`ThemeTransitions.tidy`.

    Examples
    --------
    >>> from alliance_stats import example_themes, theme_transitions
    >>> from alliance_stats.figures import transition_figure
    >>> moved = theme_transitions(
    ...     example_themes(), early="theme_early_problem", later="theme_became_rupture",
    ...     group="parent_alliance",
    ... )
    >>> transition_figure(moved, early_label="Early problem").label
    'fig-transitions'
    """
    asked = "transition_figure draws a result of theme_transitions"
    require_kind(transitions, ThemeTransitions, asked=asked, instead=DRAWN_BY)
    no_limits(common["limits"])
    counts = transitions.counts[:, ::-1, :]  # the early theme first
    said = naming(common["words"], [*transitions.labels, *transitions.states])
    names, states = (early_label, f"no {early_label}"), [said(x) for x in transitions.states]
    room = sheet().part(_SIDE) - _LABEL_GAP
    tall = max(
        sum(lines_height(1 + len(wrap(name, room))) + _LABEL_GAP for name in side)
        for side in (names, [f"{state} 00 of 00 00 of 00" for state in states])
    )
    panel = max(_TALL + _GAP * (len(states) - 1), tall)
    n_groups = len(transitions.labels)
    height = n_groups * (panel + _HEADING + 14.0)
    figure = page(height)
    for place, group in enumerate(transitions.labels):
        top = place * (panel + _HEADING + 14.0) + _HEADING
        ax = add_axes(figure, 6.0, top, sheet().width - 12.0, panel)
        draw_transitions(ax, counts[place], names=names, states=states)
        heading = f"{said(group)} (n = {format_count(counts[place].sum())})"
        lines = wrap(heading, sheet().width - 24.0, BODY)
        ax.set_title("\n".join(lines), loc="left", pad=4, **font(BODY))
    found = _found(transitions, early_label, said)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-transitions",
        caption=f"What became of cases with {early_label}, and of the others, by group: ribbons "
        f"are as wide as their counts (n = {format_count(counts.sum())}).",
        alt=f"{plural(n_groups, 'panel')} of ribbons from {early_label} or none to "
        f"{', '.join(states)}. {found}",
        note=_note(transitions),
        data=transitions.tidy(),
    )


def _stack(heights: Array, total: float) -> Array:
    """Return the upper ends of nodes stacked around the middle, a gap apart."""
    used = heights.sum() + _GAP * (len(heights) - 1)
    tops = np.concatenate([[0.0], np.cumsum(heights[:-1] + _GAP)])
    return np.asarray(tops + (total - used) / 2.0)


def ribbon_between(start: tuple[float, float], end: tuple[float, float], room: float) -> Path:
    """Return a curved ribbon `room` high from one place to another."""
    (x0, y0), (x1, y1) = start, end
    middle = (x0 + x1) / 2.0
    upper = [(x0, y0), (middle, y0), (middle, y1), (x1, y1)]
    lower = [(x1, y1 + room), (middle, y1 + room), (middle, y0 + room), (x0, y0 + room)]
    curve = [Path.CURVE4] * 3
    return Path(
        [*upper, *lower, (x0, y0)], [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    )


def _from_each(counts: Array, state: int) -> list[str]:
    """Return how many came from each, as ``["4 of 6 with", "0 of 1 without"]``."""
    totals = counts.sum(axis=1)
    with_, without = (
        f"{format_count(counts[early, state])} of {format_count(totals[early])}" for early in (0, 1)
    )
    return [f"{with_} with", f"{without} without"]


def _write(
    ax: Axes,
    words: Sequence[Sequence[str]],
    centres: Array,
    *,
    x: float,
    ha: str,
    colours: Sequence[str] | None = None,
) -> None:
    """Write words beside their nodes, moved apart where they would overlap."""
    low, high = sorted(ax.get_ylim())
    rooms = [lines_height(len(lines)) + _LABEL_GAP for lines in words]
    for place, centre in enumerate(spread([float(c) for c in centres], rooms, low, high)):
        ax.text(
            x,
            centre,
            "\n".join(words[place]),
            ha=ha,
            va="center",
            **font(SMALL, colour=colours[place] if colours else INK),
        )


def _found(transitions: ThemeTransitions, early_label: str, said: Callable[[object], str]) -> str:
    tidy = transitions.tidy()
    told = tidy[tidy["early"] & (tidy["n"] > 0)]
    parts = [
        f"{said(group)}: "
        + ", ".join(
            f"{said(row['later'])} {format_count(row['count'])} of {format_count(row['n'])} "
            f"({format_percent(row['estimate'])} [{format_percent(row['conf_low'])}, "
            f"{format_percent(row['conf_high'])}])"
            for _, row in rows.iterrows()
        )
        for group, rows in told.groupby("group", sort=False)
    ]
    return f"Cases with {early_label}, {'; '.join(parts)}."


def _note(transitions: ThemeTransitions) -> str:
    row = transitions.glance().set_index("early").loc[True]
    test = (
        "no test: one group or one later state only"
        if np.isnan(row["p_value"])
        else f"{row['method']} among them, {p_phrase(float(row['p_value']))}"
    )
    aside = transitions.rows.n_set_aside
    left_out = f" {plural(aside, 'case')} without these codes set aside." if aside else ""
    return f"A ribbon is as wide as its count. Brackets: exact 95% CI; {test}.{left_out}"
