"""Families and persons through a study, arms side by side, as CONSORT and STROBE require."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any, Unpack

import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.figures.axes import (
    TALLEST,
    PageError,
    add_axes,
    height_in_points,
    no_limits,
    page,
    width_in_points,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.flow import GAP, Box, arrow, box_of, put_box
from alliance_stats.figures.numbers import format_count, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, INK, RULE, naming, points, sheet
from alliance_stats.study import ParticipantFlow

__all__ = ["draw_participants", "participant_flow_figure"]

_LEAST = (13.0, 10.0, 8.0)  # times the size of small text: the least width of an arm's column
_PLURALS = {"family": "families", "person": "persons", "therapist": "therapists"}
_STAGES = (("in group", "In group"), ("left", "Left early"), ("stayed", "Stayed"),
           ("ending not known", "Ending not known"), ("analysed", "Analysed"))  # fmt: skip
_WITH_ALL_LEVELS = ("in group", "ending not known", "analysed")

Said = Callable[[object], str]


@dataclass(frozen=True, slots=True)
class _Placed:
    """The boxes: for all arms, for those excluded from each of these, and for each arm."""

    above: list[Box]
    aside: list[tuple[Box, Box]]
    columns: list[list[Box]]
    rail: float  # from where lines lead to the arms of the rows below the first

    @property
    def height(self) -> float:
        boxes = [*self.above, *(side for _, side in self.aside), *chain(*self.columns)]
        return max(box.bottom for box in boxes)


def draw_participants(ax: Axes, flow: ParticipantFlow, said: Said = str) -> None:
    """Draw the flow of families and persons on `ax`, from its upper edge down.

    Parameters
    ----------
    said
        Labels of arms, endings and reasons.

    Raises
    ------
    ValueError
        If the axes are too low: boxes would lie over one another.
    """
    width, height = width_in_points(ax), height_in_points(ax)
    placed = _placed(flow, width, said)
    if placed.height > height + 0.5:
        raise ValueError(
            f"The flow needs axes {placed.height / 72:.2f} in high at this width; these are "
            f"{height / 72:.2f} in. Make them higher."
        )
    ax.set_xlim(0.0, width)
    ax.set_ylim(height, 0.0)
    ax.set_axis_off()
    for above, below in pairwise(placed.above):
        arrow(ax, (above.middle, above.bottom), (below.middle, below.top))
    for box, side in placed.aside:
        turn = side.top + side.height / 2
        arrow(ax, (box.middle, turn), (side.left, turn))
        put_box(ax, side, edge=RULE)
    for column in placed.columns:
        _lead(ax, placed, column[0])
        for above, below in pairwise(column):
            arrow(ax, (above.middle, above.bottom), (below.middle, below.top))
    for box in (*placed.above, *chain(*placed.columns)):
        put_box(ax, box, edge=INK)


@laid_out(COLUMN_AND_HALF)
def participant_flow_figure(
    flow: ParticipantFlow,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show who entered, in which arm, left for which reason and was analysed, arms side by side.

    Parameters
    ----------
    flow
        From :func:`~alliance_stats.participant_flow`.
    limits
        Refused: there is no axis.
    words
        Arm, ending or reason -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is :meth:`ParticipantFlow.tidy`.

    Raises
    ------
    DataError
        If there are more arms than fit on a page of this width.

    Examples
    --------
    >>> from alliance_stats import example_study, participant_flow
    >>> from alliance_stats.figures import participant_flow_figure
    >>> flow = participant_flow(example_study(), group="framework")
    >>> participant_flow_figure(flow).label
    'fig-participants'
    """
    asked = "participant_flow_figure draws a result of participant_flow"
    require_kind(flow, ParticipantFlow, asked=asked, instead=DRAWN_BY)
    no_limits(common["limits"])
    data = flow.tidy()
    said = naming(common["words"], [*flow.groups, *dict.fromkeys(data["term"][data["term"] != ""])])
    inside = sheet().width - 7.2
    height = _placed(flow, inside, said).height + 2.0
    if height > TALLEST + 7.2:
        raise PageError(
            f"{len(flow.groups)} arms make a figure of {height / 72:.1f} in, higher than a page. "
            "Give width= more millimetres, or compare fewer groups."
        )
    figure = page(height + 7.2)
    draw_participants(add_axes(figure, 3.6, 3.6, inside, height), flow, said)
    told = " ".join(_told(flow, said))
    counted = ", ".join(_PLURALS[level] for level in flow.levels)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-participants",
        caption=_caption(flow),
        alt=f"Flow chart from top to bottom. {told}",
        note=" ".join([f"Counted at each stage: {counted}.", *_rule(flow), *flow.notes]),
        data=data,
    )


def _caption(flow: ParticipantFlow) -> str:
    found = flow.glance().iloc[0]
    entered = plural(int(found["n_entered"]), flow.unit, _PLURALS[flow.unit])
    arms = f" in {plural(len(flow.groups), 'arm')}" if flow.groups else ""
    said = f"{entered}{arms} entered"
    if "group not known" in set(flow.table["stage"]):
        inside = flow.table.loc[flow.table["stage"] == "in group", f"n_{_PLURALS[flow.unit]}"]
        said = f"{entered} entered, {format_count(inside.sum())} of them{arms}"
    analysed = f", of whom {format_count(found['n_analysed'])} were analysed" if flow.rated else ""
    return f"Flow of participants: {said}{analysed}."


def _rule(flow: ParticipantFlow) -> Iterator[str]:
    if flow.rated:
        yield f"Analysed are those with at least one rating of {flow.rated}."


def _told(flow: ParticipantFlow, said: Said) -> Iterator[str]:
    """Yield the chart in sentences, stage by stage."""
    for stage in dict.fromkeys(flow.table["stage"]):
        parts = []
        for row in flow.table[flow.table["stage"] == stage].to_dict("records"):
            of = [said(row[name]) for name in ("group", "term") if row[name]]
            counts = ", ".join(_counts(row, flow))
            parts.append(f"{', '.join(of)}: {counts}" if of else counts)
        yield f"{stage.capitalize()}: {'; '.join(parts)}."


def _counts(row: Mapping[str, Any], flow: ParticipantFlow) -> list[str]:
    """Return how many there are of each level, the unit first."""
    levels = [flow.unit, *(level for level in flow.levels if level != flow.unit)]
    numbers = {level: float(row[f"n_{_PLURALS[level]}"]) for level in levels}
    return [
        plural(int(n), level, _PLURALS[level]) for level, n in numbers.items() if not math.isnan(n)
    ]


def _placed(flow: ParticipantFlow, width: float, said: Said) -> _Placed:
    """Place the boxes of all arms above, and the arms' columns side by side as the width allows."""
    placed = [_with_columns(flow, width, said, least) for least in _LEAST]
    return next((one for one in placed if one.height <= TALLEST), placed[-1])


def _with_columns(flow: ParticipantFlow, width: float, said: Said, least: float) -> _Placed:
    rail, wide, abreast = _columns(flow, width, least)
    room = (rail, wide if abreast == 2 else 0.48 * width)
    above, aside = _before_arms(flow, width, said, room)
    top = max([above[-1].bottom, *(side.bottom for _, side in aside)]) + 2 * GAP
    names = list(flow.groups) or [""]
    columns: list[list[Box]] = []
    for first in range(0, len(names), abreast):
        texts = [_texts(flow, name, said) for name in names[first : first + abreast]]
        row = [
            [
                box_of(head, lines, left=rail + k * (wide + GAP), width=wide, top=0.0)
                for head, lines in one
            ]
            for k, one in enumerate(texts)
        ]
        if texts[0]:
            columns += _aligned(row, top)
            top = max(box.bottom for column in columns for box in column) + 2 * GAP
    return _Placed(above, aside, columns, 2.0)


def _columns(flow: ParticipantFlow, width: float, least: float) -> tuple[float, float, int]:
    """Return where the first column begins, how wide columns are, and how many fit side by side."""
    if not flow.groups:
        return 1.0, 0.48 * width, 1
    most = int((width + GAP) // (least * points("small") + GAP))
    abreast = max(1, min(len(flow.groups), most))
    rail = 9.0 if abreast < len(flow.groups) else 1.0
    return rail, (width - rail - 1.0 - GAP * (abreast - 1)) / abreast, abreast


def _aligned(columns: Sequence[list[Box]], top: float) -> list[list[Box]]:
    """Return the columns with the boxes of one stage at one height."""
    placed: list[list[Box]] = [[] for _ in columns]
    for stage in zip(*columns, strict=True):
        for column, box in zip(placed, stage, strict=True):
            column.append(replace(box, top=top))
        top += max(box.height for box in stage) + GAP
    return placed


def _before_arms(
    flow: ParticipantFlow, width: float, said: Said, room: tuple[float, float]
) -> tuple[list[Box], list[tuple[Box, Box]]]:
    """Return the boxes of all arms together, and of those excluded from them."""
    stages = dict(iter(flow.table.groupby("stage", sort=False)))
    left, wide = room
    above: list[Box] = []
    aside: list[tuple[Box, Box]] = []
    top = 1.0
    for name, lost in (("screened", "excluded"), ("entered", "group not known")):
        if name not in stages:
            continue
        row = stages[name].iloc[0].to_dict()
        box = _headed(name.capitalize(), row, flow, left=left, width=wide, top=top)
        above.append(box)
        top = box.bottom + 2 * GAP
        if lost in stages:
            beside = (left + wide + GAP, width - left - wide - GAP - 1.0)
            side = _side(lost, stages[lost], flow, said, room=beside, top=box.bottom + GAP)
            aside.append((box, side))
            top = side.bottom + GAP
    return above, aside


def _headed(
    name: str,
    row: Mapping[str, Any],
    flow: ParticipantFlow,
    *,
    left: float,
    width: float,
    top: float,
) -> Box:
    first, *others = _counts(row, flow)
    return box_of(f"{name}: {first}", others, left=left, width=width, top=top)


def _side(
    name: str,
    rows: pd.DataFrame,
    flow: ParticipantFlow,
    said: Said,
    *,
    room: tuple[float, float],
    top: float,
) -> Box:
    of = f"n_{_PLURALS[flow.unit]}"
    lines = [
        f"{said(term)}: {format_count(n)}"
        for term, n in zip(rows["term"], rows[of], strict=True)
        if term
    ]
    total = plural(int(rows[of].sum()), flow.unit, _PLURALS[flow.unit])
    left, width = room
    return box_of(f"{name.capitalize()}: {total}", lines, left=left, width=width, top=top)


def _texts(flow: ParticipantFlow, name: str, said: Said) -> list[tuple[str, list[str]]]:
    """Return heading and lines of each box of an arm; empty stages have their box too."""
    own = flow.table[flow.table["group"] == name]
    known = set(flow.table["stage"])
    found = []
    for stage, called in _STAGES:
        if stage not in known and not (stage == "left" and "stayed" in known):
            continue
        rows = own[own["stage"] == stage]
        heading = said(name) if stage == "in group" else called
        lines = _reasons(rows, flow, said)
        if stage in _WITH_ALL_LEVELS and len(rows):
            first, *others = _counts(rows.iloc[0].to_dict(), flow)
            heading, lines = f"{heading}: {first}", others
            gone = own[own["stage"] == "not analysed"] if stage == "analysed" else own.head(0)
            lines += _reasons(gone, flow, said)
        else:
            of = f"n_{_PLURALS[flow.unit]}"
            total = plural(int(rows[of].sum()), flow.unit, _PLURALS[flow.unit])
            heading = f"{heading}: {total}"
        found.append((heading, lines))
    return found


def _reasons(rows: pd.DataFrame, flow: ParticipantFlow, said: Said) -> list[str]:
    """Return each reason with its number of units, and of persons where families are counted."""
    found = []
    for row in rows.to_dict("records"):
        n = _counts(row, flow)[0]
        persons = flow.unit == "family" and "person" in flow.levels
        also = f" ({plural(int(row['n_persons']), 'person', 'persons')})" if persons else ""
        found.append(f"{said(row['term'])}: {n.split()[0]}{also}")
    return found


def _lead(ax: Axes, placed: _Placed, arm: Box) -> None:
    """Draw the line from the box of all arms to an arm, past the arms in the rows above it."""
    above, first = placed.above[-1], placed.columns[0][0]
    places = [(above.middle, above.bottom)]
    if abs(arm.middle - above.middle) >= 1.0 or arm.top > first.top:
        places.append((above.middle, first.top - GAP))
        if arm.top > first.top:
            places += [(placed.rail, first.top - GAP), (placed.rail, arm.top - GAP)]
        places.append((arm.middle, arm.top - GAP))
        ax.plot(*zip(*places, strict=True), color=INK, lw=0.8, solid_joinstyle="miter")
    arrow(ax, places[-1], (arm.middle, arm.top))
