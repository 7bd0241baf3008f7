"""Participant flow: what came in, what was set aside and why, what was used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Unpack

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from alliance_stats.arguments import require_kind
from alliance_stats.figures.axes import (
    add_axes,
    height_in_points,
    no_limits,
    page,
    width_in_points,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_count, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    BODY,
    COLUMN_AND_HALF,
    GREY,
    INK,
    RULE,
    SMALL,
    font,
    naming,
    sheet,
)
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.ledger import LedgerStep, RowLedger

__all__ = ["GAP", "Box", "arrow", "box_of", "draw_flow", "flow_figure", "flow_height", "put_box"]

_PAD = 6.0  # pt, between a box and its text
GAP = 12.0  # pt, least distance between boxes
_MOST_LINES = 6  # of a reason
_MAIN, _ASIDE = 0.44, 0.46  # shares of the width


@dataclass(frozen=True, slots=True)
class Box:
    """A box with its heading and lines; all lengths in points, `top` from the upper edge."""

    heading: tuple[str, ...]
    lines: tuple[str, ...]
    left: float
    width: float
    top: float

    @property
    def height(self) -> float:
        """Height with its heading and lines."""
        heading = lines_height(len(self.heading), BODY)
        return heading + lines_height(len(self.lines)) + 2 * _PAD

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """Its middle, from the left."""
        return self.left + self.width / 2


def flow_height(rows: RowLedger, width: float) -> float:
    """Return how many inches of height the flow needs at a width of `width` inches."""
    main, aside = _boxes(rows, 72.0 * width)
    return (max(box.bottom for box in (*main, *aside)) + 2.0) / 72.0


def draw_flow(ax: Axes, rows: RowLedger) -> None:
    """Draw the flow on `ax`, from its upper edge down.

    Raises
    ------
    ValueError
        If the axes are lower than :func:`flow_height`: boxes would lie over one another.
    """
    width, height = width_in_points(ax), height_in_points(ax)
    main, aside = _boxes(rows, width)
    needed = max(box.bottom for box in (*main, *aside))
    if needed > height + 0.5:
        raise ValueError(
            f"The flow needs axes {needed / 72:.2f} in high at this width; these are "
            f"{height / 72:.2f} in. Make them higher (see flow_height)."
        )
    ax.set_xlim(0.0, width)
    ax.set_ylim(height, 0.0)
    ax.set_axis_off()
    for above, below in pairwise(main):
        arrow(ax, (above.middle, above.bottom), (below.middle, below.top))
    for above, side in zip(main, aside, strict=False):  # none where nothing was set aside
        turn = side.top + side.height / 2
        arrow(ax, (above.middle, turn), (side.left, turn))
    for box in main:
        put_box(ax, box, edge=INK)
    for box in aside:
        put_box(ax, box, edge=RULE)


@laid_out(COLUMN_AND_HALF)
def flow_figure(
    rows: RowLedger,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show a row ledger as a participant flow; steps that set nothing aside are skipped.

    Parameters
    ----------
    rows
        ``result.rows`` of any result, or a study's.
    limits
        Refused: there is no axis.
    words
        Reason or unit -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is :meth:`RowLedger.tidy`.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.figures import flow_figure
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | person)", sessions)
    >>> flow_figure(model.rows).label
    'fig-flow'
    """
    asked = "flow_figure draws a row ledger (result.rows)"
    require_kind(rows, RowLedger, asked=asked, instead=DRAWN_BY)
    no_limits(common["limits"])
    known = [step.reason for step in rows.steps] + [*rows.steps[0].units_left]
    shown = _in_words(rows, naming(common["words"], known))
    height = 72.0 * flow_height(shown, (sheet().width - 7.2) / 72.0)
    figure = page(height + 7.2)
    draw_flow(add_axes(figure, 3.6, 3.6, sheet().width - 7.2, height), shown)
    aside = _asides(shown)
    share = f"{plural(rows.n_used, 'row')} of {format_count(rows.n_in)} were used"
    lost = plural(rows.n_set_aside, "row") if aside else "none"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-flow",
        caption=f"Flow of rows and units: {share}, {lost} set aside.",
        alt=f"Flow chart from top to bottom. {shown}",
        note=(
            "A unit is counted at a step while it has at least one row left; "
            "a minus says how many units lost their last row."
        ),
        data=rows.tidy(),
    )


def _in_words(rows: RowLedger, said: Callable[[object], str]) -> RowLedger:
    """Return the ledger with the caller's words for reasons and units."""
    steps = tuple(
        replace(
            step,
            reason=said(step.reason),
            units_left={said(name): n for name, n in step.units_left.items()},
        )
        for step in rows.steps
    )
    return replace(rows, steps=steps)


def _asides(rows: RowLedger) -> list[LedgerStep]:
    return [step for step in rows.steps[1:] if step.rows_set_aside]


def _boxes(rows: RowLedger, width: float) -> tuple[list[Box], list[Box]]:
    """Place the boxes: one below another on the left, what was set aside between them on the right.

    Where nothing was, the rows used follow directly below those that came in.
    """
    wide, narrow = _MAIN * width, _ASIDE * width
    steps = [rows.steps[0], *_asides(rows)]
    main = [_state_box("Came in", steps[0], wide, top=1.0)]
    aside: list[Box] = []
    for before, step in pairwise(steps):
        side = _aside_box(
            before, step, narrow, left=width - narrow - 1.0, top=main[-1].bottom + GAP
        )
        name = "Used" if step is steps[-1] else "Remaining"
        main.append(_state_box(name, step, wide, top=side.bottom + GAP))
        aside.append(side)
    if not aside:
        main.append(_state_box("Used", steps[0], wide, top=main[0].bottom + 2 * GAP))
    return main, aside


def _state_box(name: str, step: LedgerStep, width: float, *, top: float) -> Box:
    heading = f"{name}: {plural(step.rows_left, 'row')}"
    units = [f"{level}: {format_count(count)}" for level, count in step.units_left.items()]
    return box_of(heading, units, left=1.0, width=width, top=top)


def _aside_box(
    before: LedgerStep, step: LedgerStep, width: float, *, left: float, top: float
) -> Box:
    lost = {level: count - step.units_left[level] for level, count in before.units_left.items()}
    units = [f"{level}: −{format_count(count)}" for level, count in lost.items() if count]
    heading = f"Set aside: {plural(step.rows_set_aside, 'row')}"
    return box_of(heading, [step.reason, *units], left=left, width=width, top=top)


def box_of(heading: str, lines: Sequence[str], *, left: float, width: float, top: float) -> Box:
    """Return a box whose words are wrapped to its width."""
    room = width - 2 * _PAD
    wrapped = [piece for line in lines for piece in _at_most(line, room)]
    return Box(tuple(wrap(heading, room, BODY)), tuple(wrapped), left, width, top)


def _at_most(text: str, room: float) -> list[str]:
    """Return a reason's lines, only the first of a very long one; the data have all of it."""
    lines = wrap(text, room)
    if len(lines) <= _MOST_LINES:
        return lines
    last = lines[_MOST_LINES - 1]
    while last and text_width(f"{last} …") > room:
        last = last[:-1]
    return [*lines[: _MOST_LINES - 1], f"{last.rstrip()} …"]


def put_box(ax: Axes, box: Box, *, edge: str) -> None:
    """Draw a box with its words; the heights of `ax` run downwards, in points."""
    ax.add_patch(
        Rectangle(
            (box.left, box.top), box.width, box.height, facecolor="white", edgecolor=edge, lw=0.8
        )
    )
    top = box.top + _PAD
    for line in box.heading:
        ax.text(box.left + _PAD, top, line, va="top", **font(BODY))
        top += lines_height(1, BODY)
    for line in box.lines:
        ax.text(box.left + _PAD, top, line, va="top", **font(SMALL, colour=GREY))
        top += lines_height(1)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow from one point to another."""
    ax.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": INK,
            "lw": 0.8,
            "mutation_scale": 7,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
