"""A study at a glance: whose ratings are there, by score, role and session."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from alliance_stats.checks import require_kind
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.figures.axes import add_axes
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    COLUMN_AND_HALF,
    FULL_WIDTH,
    SINGLE_COLUMN,
    SMALL,
    font,
    look,
    new_figure,
    styled,
)
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.formatting import format_count, format_percent, plural
from alliance_stats.study.description import RATED, StudyDescription

__all__ = ["draw_rated", "study_overview_figure"]

_NAME_WIDTH = 130.0  # pt
_CELL_WIDTH = 22.0  # pt: "100" and a little room
_WIDEST = 40.0  # pt
_GAP = 4.0  # pt between a row's text and the next
_DEEPEST = 0.55  # share of colour where all are rated, under which black numbers stay readable


class _Row(NamedTuple):
    """A line of the map: the heading of a score (no role), or a role with its shares."""

    score: str
    role: str
    lines: list[str]
    of: int


def draw_rated(
    ax: Axes, cells: pd.DataFrame, heights: Sequence[float], columns: Sequence[str]
) -> None:
    """Draw a cell for each line and block of sessions, its tint and number the share rated.

    Parameters
    ----------
    ax
        Axes to draw on; the first line stands at the top.
    cells
        ``row, column`` (places from 0) and ``share``.
    heights
        Of the lines.
    columns
        What the blocks of sessions are called; written at the top.
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


@styled
def study_overview_figure(
    description: StudyDescription,
    *,
    words: Mapping[str, str] | None = None,
    label: str = "fig-study-overview",
) -> ReportFigure:
    """Show how many persons were rated at each session, by score and role.

    Parameters
    ----------
    description
        ``study.describe()`` of a study with sessions and scores.
    words
        Score or role -> words for it.

    Returns
    -------
    ReportFigure
        ``data`` has a row a cell: ``term`` (score), ``role, session_from, session_to, share``: of
        all persons of the role, how many have a value (the mean over the sessions of a cell).

    Raises
    ------
    NotIdentifiedError
        If the study has no sessions or no scores.
    """
    asked = "study_overview_figure draws study.describe()"
    require_kind(description, StudyDescription, asked=asked, instead=DRAWN_BY)
    table = description.tidy()
    rated = table[table["about"] == RATED]
    if rated.empty:
        raise NotIdentifiedError(
            "The study has no rating at any session: name session= and a score when it is made."
        )
    known = dict(words or {})
    rows = _rows(rated, known)
    names = [text_width(line, bold=not row.of) for row in rows for line in row.lines]
    left = 14.0 + max(*names, text_width("Session"))
    blocks = _blocks(rated["session"].to_numpy(np.int64), 72.0 * FULL_WIDTH - left - 8.0)
    columns = [f"{a}" if a == b else f"{a}–{b}" for a, b in blocks]
    cells = _cells(rated, rows, blocks)
    heights = [_GAP + lines_height(len(row.lines)) for row in rows]
    side = min((72.0 * FULL_WIDTH - left - 8.0) / len(blocks), _WIDEST)
    top, high, wide = 20.0, sum(heights), side * len(blocks)
    width = next(w for w in (SINGLE_COLUMN, COLUMN_AND_HALF, FULL_WIDTH) if 72.0 * w >= left + wide)
    figure = new_figure(width, (top + high + 6.0) / 72, placed_by_hand=True)
    ax = add_axes(figure, left, top, wide, high)
    draw_rated(ax, cells, heights, columns)
    _write_names(ax, rows, heights)
    ax.annotate(
        "Session", (0.0, 0.0), (-6.0, 4.0), textcoords="offset points", ha="right", va="bottom",
        annotation_clip=False, **font(SMALL),
    )  # fmt: skip
    return ReportFigure(
        figure,
        label=label,
        caption=f"Persons with a rating, in per cent, by session. {_span(cells, known)}.",
        alt=f"Map with a row for each score and role and {plural(len(blocks), 'column')} of "
        f"sessions. {_span(cells, known)}.",
        note=_note(rows, blocks),
        data=cells.drop(columns=["row", "column"]),
    )


def _rows(rated: pd.DataFrame, words: Mapping[str, str]) -> list[_Row]:
    rows = []
    for score, own in rated.groupby("term", sort=False):
        named = words.get(str(score), str(score))
        sizes = own.drop_duplicates("role").set_index("role")["of"]
        if list(sizes.index) == [""]:
            rows.append(_Row(str(score), "", wrap(named, _NAME_WIDTH), int(sizes.iloc[0])))
            continue
        rows.append(_Row(str(score), "", wrap(named, _NAME_WIDTH, bold=True), 0))
        for role, of in sizes.items():
            text = f"{words.get(str(role), str(role)) or 'role not known'} (n = {of:,.0f})"
            rows.append(
                _Row(str(score), str(role) or "role not known", wrap(text, _NAME_WIDTH), int(of))
            )
    return rows


def _blocks(sessions: np.ndarray, room: float) -> list[tuple[int, int]]:
    """Return first and last session of each column: one each, or as many as there is room for."""
    first, last = int(sessions.min()), int(sessions.max())
    most = max(int(room // _CELL_WIDTH), 1)
    size = int(np.ceil((last - first + 1) / most))
    if size > 1:  # "9–10" is wider than "9"
        widest = text_width(f"{last}–{last}") + 4.0
        most = max(int(room // max(_CELL_WIDTH, widest)), 1)
        size = int(np.ceil((last - first + 1) / most))
    starts = range(first, last + 1, size)
    return [(start, min(start + size - 1, last)) for start in starts]


def _cells(
    rated: pd.DataFrame, rows: Sequence[_Row], blocks: Sequence[tuple[int, int]]
) -> pd.DataFrame:
    found = []
    for place, row in enumerate(rows):
        if not row.of:
            continue
        role = "" if row.role in ("", "role not known") else row.role
        own = rated[(rated["term"] == row.score) & (rated["role"] == role)]
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


def _span(cells: pd.DataFrame, words: Mapping[str, str]) -> str:
    """Say for each score how much was rated at the first and at the last session shown."""
    said = []
    for score, own in cells.groupby("term", sort=False):
        ends = [own[own["column"] == at]["share"].mean() for at in (0, own["column"].max())]
        first, last = map(format_percent, ends)
        said.append(f"{words.get(str(score), str(score))}: {first} at first, {last} at last")
    return "; ".join(said)


def _note(rows: Sequence[_Row], blocks: Sequence[tuple[int, int]]) -> str:
    whole = {row.role: row.of for row in rows if row.of}
    averaged = " Sessions that share a column are averaged." if blocks[0][0] != blocks[0][1] else ""
    return (
        f"Of all persons of a role, whether they were still in treatment or not (n = "
        f"{format_count(sum(whole.values()))}); shares at first and last are means over roles."
        f"{averaged}"
    )
