"""A study at a glance: whose ratings exist, by score, role and session."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from alliance_stats.arguments import require_kind
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.figures.axes import add_axes, no_limits, page
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_count, format_percent, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, SMALL, font, look, naming, sheet
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.study.description import RATED, StudyDescription

__all__ = ["draw_rated", "study_overview_figure"]

_NAME_WIDTH = 130.0  # pt
_WIDEST = 40.0  # pt
_GAP = 4.0  # pt between a row's text and the next
_SCORES_TOLD = 3  # in the caption; of more the alternative text tells
_DEEPEST = 0.5  # share of colour where all are rated, under which black numbers stay readable


class _Row(NamedTuple):
    """A line of the map: the heading of a score (no role), or a role with its shares."""

    score: str
    role: str
    lines: list[str]
    of: int


def draw_rated(
    ax: Axes, cells: pd.DataFrame, heights: Sequence[float], columns: Sequence[str]
) -> None:
    """Draw a cell for each line and block of sessions, with the share rated as tint and number.

    Parameters
    ----------
    ax
        Axes to draw on; the first line is at the top.
    cells
        ``row, column`` (places from 0) and ``share``.
    heights
        Of the lines.
    columns
        Labels of the blocks of sessions; written at the top.
    """
    tops = np.concatenate([[0.0], np.cumsum(heights)])
    ax.set_xlim(0.0, len(columns))
    ax.set_ylim(float(tops[-1]), 0.0)
    ax.set_axis_off()
    for cell in cells.itertuples():
        top, height = float(tops[cell.row]), float(heights[cell.row])
        ax.add_patch(
            Rectangle(
                (cell.column, top), 1.0, height, facecolor=_tint(cell.share), edgecolor="white",
                lw=1.0, gid="rated",
            )
        )  # fmt: skip
        ax.text(
            cell.column + 0.5, top + height / 2.0, f"{100.0 * cell.share:.0f}", ha="center",
            va="center", **font(SMALL),
        )  # fmt: skip
    for place, name in enumerate(columns):
        ax.annotate(
            name, (place + 0.5, 0.0), (0.0, 4.0), textcoords="offset points", ha="center",
            va="bottom", annotation_clip=False, **font(SMALL),
        )  # fmt: skip


@laid_out(FULL_WIDTH)
def study_overview_figure(
    description: StudyDescription,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how many persons were rated at each session, by score and role.

    Parameters
    ----------
    description
        ``study.describe()`` of a study with sessions and scores.
    limits
        Refused: there is no axis of values.
    words
        Score or role -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has a row per cell: ``term`` (score), ``role, session_from, session_to, share``: of
        all persons of the role, how many have a value (the mean over the sessions of a cell).

    Raises
    ------
    NotIdentifiedError
        If the study has no sessions or no scores.

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> from alliance_stats.figures import study_overview_figure
    >>> study_overview_figure(example_study().describe()).label
    'fig-study-overview'
    """
    asked = "study_overview_figure draws study.describe()"
    require_kind(description, StudyDescription, asked=asked, instead=DRAWN_BY)
    table = description.tidy()
    rated = table[table["about"] == RATED]
    if rated.empty:
        raise NotIdentifiedError(
            "The study has no rating at any session: name session= and a score when it is made."
        )
    no_limits(common["limits"])
    known = naming(common["words"], [*rated["term"].unique(), *rated["role"].unique()])
    rows = _rows(rated, known)
    names = [text_width(line, bold=not row.of) for row in rows for line in row.lines]
    left = 14.0 + max(*names, text_width("Session"))
    room = sheet().width - left - 8.0
    blocks = _blocks(rated["session"].to_numpy(np.int64), room)
    columns = [f"{a}" if a == b else f"{a}–{b}" for a, b in blocks]
    cells = _cells(rated, rows, blocks)
    heights = [_GAP + lines_height(len(row.lines)) for row in rows]
    top, high = 10.0 + lines_height(1), sum(heights)
    wide = min(room / len(blocks), _WIDEST) * len(blocks)
    figure = page(top + high + 6.0)
    ax = add_axes(figure, left, top, wide, high)
    draw_rated(ax, cells, heights, columns)
    _write_names(ax, rows, heights)
    ax.annotate(
        "Session", (0.0, 0.0), (-6.0, 4.0), textcoords="offset points", ha="right", va="bottom",
        annotation_clip=False, **font(SMALL),
    )  # fmt: skip
    said = _ends_of(cells, known)
    shown = said if len(cells["term"].unique()) <= _SCORES_TOLD else ""
    return ReportFigure(
        figure,
        label=common["label"] or "fig-study-overview",
        caption=f"Persons with a rating, in per cent, by session.{shown}",
        alt=f"Map with a row for each score and role and {plural(len(blocks), 'column')} of "
        f"sessions.{said}",
        note=_note(rows, blocks),
        data=cells.drop(columns=["row", "column"]),
    )


def _rows(rated: pd.DataFrame, known: Callable[[object], str]) -> list[_Row]:
    room, rows = sheet().part(_NAME_WIDTH), list[_Row]()
    for score, own in rated.groupby("term", sort=False):
        named = known(score)
        sizes = own.drop_duplicates("role").set_index("role")["of"]
        if list(sizes.index) == [""]:
            rows.append(_Row(str(score), "", wrap(named, room), int(sizes.iloc[0])))
            continue
        rows.append(_Row(str(score), "", wrap(named, room, bold=True), 0))
        for role, of in sizes.items():
            text = f"{known(role) if role else 'role not known'} (n = {format_count(of)})"
            rows.append(_Row(str(score), str(role), wrap(text, room), int(of)))
    return rows


def _blocks(sessions: np.ndarray, room: float) -> list[tuple[int, int]]:
    """Return first and last session of each column: one each, or blocks if there is no room."""
    first, last = int(sessions.min()), int(sessions.max())
    cell = text_width("100") + 4.0
    size = int(np.ceil((last - first + 1) / max(int(room // cell), 1)))
    if size > 1:  # "9–10" is wider than "9"
        cell = max(cell, text_width(f"{last}–{last}") + 4.0)
        size = int(np.ceil((last - first + 1) / max(int(room // cell), 1)))
    starts = range(first, last + 1, size)
    return [(start, min(start + size - 1, last)) for start in starts]


def _cells(
    rated: pd.DataFrame, rows: Sequence[_Row], blocks: Sequence[tuple[int, int]]
) -> pd.DataFrame:
    found = []
    for place, row in enumerate(rows):
        if not row.of:
            continue
        own = rated[(rated["term"] == row.score) & (rated["role"] == row.role)]
        for column, (first, last) in enumerate(blocks):
            n = own.loc[own["session"].between(first, last), "n"].sum()
            share = float(n) / (row.of * (last - first + 1))
            found.append((place, column, row.score, row.role, first, last, share))
    names = ["row", "column", "term", "role", "session_from", "session_to", "share"]
    return pd.DataFrame(found, columns=names)


def _write_names(ax: Axes, rows: Sequence[_Row], heights: Sequence[float]) -> None:
    tops = np.concatenate([[0.0], np.cumsum(heights)])
    for row, top, height in zip(rows, tops, heights, strict=False):
        ax.annotate(
            "\n".join(row.lines), (0.0, float(top) + height / 2.0), (-6.0, 0.0),
            textcoords="offset points", ha="right", va="center", annotation_clip=False,
            **font(SMALL, bold=not row.of),
        )  # fmt: skip


def _tint(share: float) -> tuple[float, float, float]:
    red, green, blue = (1.0 - _DEEPEST * share * (1.0 - part) for part in to_rgb(look(0).colour))
    return red, green, blue


def _ends_of(cells: pd.DataFrame, known: Callable[[object], str]) -> str:
    """Say for each score how much was rated at the first and at the last session shown."""
    said = ""
    for score, own in cells.groupby("term", sort=False):
        ends = [own[own["column"] == at]["share"].mean() for at in (0, own["column"].max())]
        first, last = map(format_percent, ends)
        said += f" {known(score)}: {first} at first, {last} at last."
    return said


def _note(rows: Sequence[_Row], blocks: Sequence[tuple[int, int]]) -> str:
    whole = {row.role: row.of for row in rows if row.of}
    averaged = " Sessions that share a column are averaged." if blocks[0][0] != blocks[0][1] else ""
    return (
        f"Of all persons of a role, whether they were still in treatment or not (n = "
        f"{format_count(sum(whole.values()))}); shares at first and last are means over roles."
        f"{averaged}"
    )
