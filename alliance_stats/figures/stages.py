"""States over any number of stages: who moved from which state to which, one panel per group."""

from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    TALLEST,
    PageError,
    add_axes,
    no_limits,
    page,
    width_in_points,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_count, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import BODY, FULL_WIDTH, SMALL, Look, font, looks, naming, sheet
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.figures.themes import ribbon_between
from alliance_stats.groups import StageTransitions

__all__ = ["draw_stages", "stage_figure"]

_TALL, _GAP, _EDGE = 132.0, 8.0, 4.0  # pt: of a panel, between nodes, beside the outer nodes
_MOST_STATES = 12
_UPRIGHT = 110.0  # pt, of a name of a stage that may stand upright


def draw_stages(
    ax: Axes,
    result: StageTransitions,
    group: str,
    *,
    styles: dict[str, Look],
    said: Callable[[object], str] = str,
) -> None:
    """Draw one group: a stack of states at each stage, ribbons between as wide as their counts.

    Parameters
    ----------
    styles
        State -> its look.
    said
        Labels of the stages.
    """
    wide, high = width_in_points(ax), _TALL
    ax.set_xlim(0.0, wide)
    ax.set_ylim(high, 0.0)
    ax.set_axis_off()
    own = result.codes[result.groups == result.labels.index(group)]
    n_stages, n_states = len(result.stages), len(result.states)
    node = max(text_width(format_count(len(own))) + 6.0, 14.0)
    lefts = np.linspace(_EDGE, wide - node - _EDGE, n_stages)
    per_case = (high - _GAP * (n_states - 1)) / max(len(own), 1)
    counts = np.array([np.bincount(own[:, k], minlength=n_states) for k in range(n_stages)])
    tops = _tops(counts * per_case)
    for k in range(n_stages - 1):
        leave, reach = tops[k].copy(), tops[k + 1].copy()
        for i, j in np.ndindex(n_states, n_states):
            n = int(((own[:, k] == i) & (own[:, k + 1] == j)).sum())
            if n:
                start, end = (lefts[k] + node, leave[i]), (lefts[k + 1], reach[j])
                shape = ribbon_between(start, end, n * per_case)
                colour = styles[result.states[i]].colour
                ax.add_patch(PathPatch(shape, facecolor=colour, alpha=0.3, lw=0, gid="ribbon"))
            leave[i] += n * per_case
            reach[j] += n * per_case
    for k, i in np.ndindex(n_stages, n_states):
        tall = float(counts[k, i] * per_case)
        style = styles[result.states[i]]
        box = (float(lefts[k]), float(tops[k, i]))
        ax.add_patch(Rectangle(box, node, tall, facecolor=style.colour, lw=0, gid="state"))
        if tall >= lines_height(1):
            ax.text(
                box[0] + node / 2, box[1] + tall / 2, format_count(int(counts[k, i])), ha="center",
                va="center", bbox={"facecolor": "white", "lw": 0, "pad": 1.0}, **font(),
            )  # fmt: skip
    room = wide / n_stages - 6.0
    turned = _turned([said(stage) for stage in result.stages], wide)
    for k, stage in enumerate(result.stages):
        ha = "left" if k == 0 else "right" if k == n_stages - 1 else "center"
        x = lefts[k] + node * (0.0 if k == 0 else 1.0 if k == n_stages - 1 else 0.5)
        lines = "\n".join([said(stage)] if turned else wrap(said(stage), room))
        if turned:  # names that have no room side by side
            ha, x = "center", lefts[k] + node / 2.0
        ax.text(x, high + 4.0, lines, ha=ha, va="top", rotation=90 if turned else 0, **font())


def _turned(stages: Sequence[str], wide: float) -> bool:
    """Say whether a word of a stage's name is wider than the stage."""
    lines = [line for name in stages for line in wrap(name, wide / len(stages) - 6.0)]
    short = max(map(text_width, stages)) <= _UPRIGHT
    return short and any("…" in line for line in lines)


@laid_out(FULL_WIDTH)
def stage_figure(
    result: StageTransitions,
    *,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show who moved from which state to which over several stages, one panel per group.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.stage_transitions`.
    conf_level
        Coverage of the intervals in the data.
    limits
        Refused: there is no axis.
    words
        Group, stage or state -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is :meth:`StageTransitions.tidy`.

    Raises
    ------
    DataError
        If there are more states than can be distinguished, or more groups than fit on a page.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import stage_transitions
    >>> from alliance_stats.figures import stage_figure
    >>> seen = pd.DataFrame({"start": ["low", "low", "high"], "end": ["low", "high", "high"]})
    >>> stage_figure(stage_transitions(seen, stages=["start", "end"])).label
    'fig-stages'
    """
    asked = "stage_figure draws a result of stage_transitions"
    require_kind(result, StageTransitions, asked=asked, instead=DRAWN_BY)
    no_limits(common["limits"])
    if len(result.states) > _MOST_STATES:
        raise DataError(f"{len(result.states)} states cannot be told apart; at most 12.")
    said = naming(common["words"], [*result.labels, *result.stages, *result.states])
    styles, key = looks(result.states), _key([said(state) for state in result.states])
    names, wide = [said(stage) for stage in result.stages], sheet().width - 12.0
    below = 8.0 + (
        max(map(text_width, names))
        if _turned(names, wide)
        else lines_height(max(len(wrap(name, wide / len(names) - 6.0)) for name in names))
    )
    titles = [_title(result, label, said) for label in result.labels]
    above = max(lines_height(len(lines), BODY) for lines in titles) + 6.0
    start = 6.0 + len(key) * 15.0
    height = start + len(titles) * (above + _TALL + below)
    if height > TALLEST:
        raise PageError(f"{plural(len(titles), 'group')} do not fit on a page: show fewer.")
    figure = page(height)
    _write_key(figure, key, [styles[state] for state in result.states], height)
    for place, (label, lines) in enumerate(zip(result.labels, titles, strict=True)):
        top = start + place * (above + _TALL + below) + above
        ax = add_axes(figure, 6.0, top, sheet().width - 12.0, _TALL)
        draw_stages(ax, result, label, styles=styles, said=said)
        ax.set_title("\n".join(lines), loc="left", pad=4, **font(BODY))
    n, n_stages = format_count(len(result.codes)), plural(len(result.stages), "stage")
    stages = ", ".join(said(stage) for stage in result.stages)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-stages",
        caption=f"States at {n_stages} ({stages}): ribbons are as wide "
        f"as the counts of those who went from one to the next (n = {n}).",
        alt=f"{plural(len(titles), 'panel')} of ribbons over {n_stages}. "
        f"{' '.join(_told(result, said))}",
        note=f"{result.method}. {_aside(result)}",
        data=result.tidy(conf_level=conf_level),
    )


def _title(result: StageTransitions, label: str, said: Callable[[object], str]) -> list[str]:
    n = format_count(int((result.groups == result.labels.index(label)).sum()))
    words = f"{said(label)} (n = {n})" if label else f"n = {n}"
    return wrap(words, sheet().width - 24.0, BODY)


def _tops(heights: np.ndarray) -> np.ndarray:
    """Return the upper end of each node: stages x states, stacked a gap apart."""
    return np.hstack([np.zeros((len(heights), 1)), np.cumsum(heights + _GAP, axis=1)[:, :-1]])


def _key(states: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Break the key of the states into lines: ``(place, words)`` side by side."""
    lines: list[list[tuple[int, str]]] = [[]]
    x = 6.0
    for place, state in enumerate(states):
        first, *more = wrap(state, min(300.0, sheet().width - 40.0))
        words = f"{first} …" if more else first
        room = 30.0 + text_width(words)
        if lines[-1] and x + room > sheet().width:
            lines.append([])
            x = 6.0
        lines[-1].append((place, words))
        x += room
    return lines


def _write_key(
    figure: object, lines: list[list[tuple[int, str]]], styles: list[Look], height: float
) -> None:
    wide = sheet().width
    for row, line in enumerate(lines):
        x, y = 6.0, 1.0 - (9.0 + 15.0 * row) / height
        for place, words in line:
            style = styles[place]
            key = Line2D([x / wide, (x + 10.0) / wide], [y, y], color=style.colour, lw=6.0)
            key.set_transform(figure.transSubfigure)  # type: ignore[attr-defined]
            figure.add_artist(key)  # type: ignore[attr-defined]
            figure.text(  # type: ignore[attr-defined]
                (x + 15.0) / wide, y, words, va="center", **font(SMALL, colour=style.text)
            )
            x += 30.0 + text_width(words)


def _told(result: StageTransitions, said: Callable[[object], str]) -> Iterator[str]:
    """Say how many were in each state at each stage."""
    for label in result.labels:
        parts = []
        for stage in result.stages:
            counts = result.counts(label, stage)
            told = ", ".join(f"{said(state)} {format_count(n)}" for state, n in counts.items())
            parts.append(f"{said(stage)}: {told}")
        yield f"{said(label) + ', ' if label else ''}{'; '.join(parts)}."


def _aside(result: StageTransitions) -> str:
    lost = [
        f"{plural(step.rows_set_aside, 'case')} set aside: {step.reason}."
        for step in result.rows.steps[1:]
        if step.rows_set_aside
    ]
    return " ".join(lost) or "Every case has its state at every stage."
