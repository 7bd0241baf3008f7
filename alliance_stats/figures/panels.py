"""Several figures in one: letters, aligned axes, one caption."""

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter

from alliance_stats.arguments import require_kind
from alliance_stats.errors import AllianceStatsWarning, DataError, warn
from alliance_stats.figures.common import thin_ticks
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import (
    BODY,
    Sheet,
    Theme,
    font,
    new_figure,
    on_sheet,
    points,
    sheet,
)

__all__ = ["panel"]

_PER_MM = 72.0 / 25.4
_LETTER = 4.0  # pt, between a letter and its part
_GAP = 10.0  # pt, between rows
_PAGE = 691.0  # pt, 9.6 in: what a page holds
_MOST_WORDS = 60  # of a caption


def panel(
    figures: Sequence[ReportFigure],
    *,
    layout: str,
    caption: str | None = None,
    label: str | None = None,
    width: float | None = None,
    theme: Theme | None = None,
    words: Mapping[str, str] | None = None,
) -> ReportFigure:
    """Combine several figures into one, each redrawn for its place.

    Parameters
    ----------
    figures
        What figure functions of this package returned, in the order of their letters.
    layout
        Rows separated by ``/``, a letter per column: ``"AB/CC"`` sets the third below the first
        two, as wide as both.
    caption
        What the whole shows; by default, each part's caption after its letter.
    width
        In mm; 183 unless the theme sets it.
    theme
        For all of them; by default that of each.
    words
        Letter -> heading beside it.

    Returns
    -------
    ReportFigure
        ``data`` combines those of all parts, with their letter in ``panel``. Alternative text and
        note are those of the parts, each after its letter.

    Warns
    -----
    AllianceStatsWarning
        If the whole is higher than a page.

    Raises
    ------
    DataError
        If the layout does not name each figure once (as one rectangle of a row), or a figure cannot
        be redrawn.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, kaplan_meier
    >>> from alliance_stats.figures import kaplan_meier_figure, panel
    >>> families = endings(example_study()).units
    >>> curves = [
    ...     kaplan_meier_figure(kaplan_meier(families, time="time", event="event", strata=by))
    ...     for by in ("parent_trauma", "parent_alliance")
    ... ]
    >>> panel(curves, layout="AB").label
    'fig-panel'
    """
    asked = "panel takes a list of figures, as in panel([first, second], layout='AB')"
    require_kind(figures, (list, tuple), asked=asked)
    for figure in figures:
        require_kind(figure, ReportFigure, asked="panel lays out figures of this package")
    rows = _rows(layout, len(figures))
    again = [figure.again for figure in figures]
    if any(draw is None for draw in again):
        raise DataError("A figure of the panel was not made by a figure function: draw it by one.")
    theme = theme or sheet().theme
    wide = (width or theme.width or 183.0) * _PER_MM
    columns = len(layout.split("/", maxsplit=1)[0])
    widths = {letter: wide * n / columns for row in rows for letter, n in row}
    with on_sheet(Sheet(theme, wide, whole=wide)):
        alone = {
            letter: draw(width=widths[letter] / _PER_MM, theme=theme)  # type: ignore[misc]
            for letter, draw in zip(string.ascii_uppercase, again, strict=False)
        }
        high = {letter: 72.0 * part.figure.get_figheight() for letter, part in alone.items()}
        above = points(BODY) * 1.3 + _LETTER
        heights = [max(high[letter] for letter, _ in row) + above + _GAP for row in rows]
        if sum(heights) > _PAGE:
            warn(
                f"The panel is {sum(heights) / 72.0:.1f} in high, and a page holds "
                f"{_PAGE / 72.0:.1f}: make two of it, or give width= more millimetres.",
                AllianceStatsWarning,
            )
        whole = new_figure(wide / 72.0, sum(heights) / 72.0, placed_by_hand=True)
        parts = _drawn(
            whole,
            rows,
            heights=heights,
            above=above,
            widths=widths,
            high=high,
            again=again,
            theme=theme,
        )
        _letter(whole, rows, heights, widths, words or {})
        for letter, part in parts.items():
            _settle(part.figure, alone[letter].figure)
    _align(parts, rows)
    letters = list(parts)
    return ReportFigure(
        whole,
        label=label or "fig-panel",
        caption=caption or _captions({x: parts[x].caption for x in letters}),
        alt=" ".join(f"{x}: {parts[x].alt}" for x in letters),
        note=" ".join(f"{x}: {parts[x].note}" for x in letters),
        data=pd.concat([parts[x].data.assign(panel=x) for x in letters], ignore_index=True),
    )


def _rows(layout: str, n: int) -> list[list[tuple[str, int]]]:
    """Return each row's letters with how many columns they take."""
    lines = layout.split("/")
    letters = string.ascii_uppercase[:n]
    rows: list[list[tuple[str, int]]] = []
    for line in lines:
        row: list[tuple[str, int]] = []
        for letter in line:
            if row and row[-1][0] == letter:
                row[-1] = (letter, row[-1][1] + 1)
            else:
                row.append((letter, 1))
        rows.append(row)
    found = sorted(letter for row in rows for letter, _ in row)
    if found != list(letters) or len({len(line) for line in lines}) > 1:
        raise DataError(
            f"layout={layout!r} is to name each of {', '.join(letters)} once, in rows of the same "
            "length, as 'AB/CC' does."
        )
    return rows


def _drawn(
    whole: Figure,
    rows: Sequence[Sequence[tuple[str, int]]],
    *,
    heights: Sequence[float],
    above: float,
    widths: Mapping[str, float],
    high: Mapping[str, float],
    again: Sequence[Any],
    theme: Theme,
) -> dict[str, ReportFigure]:
    """Draw each part into its place, under the room of its letter."""
    wide, tall = (72.0 * inches for inches in whole.get_size_inches())
    made: dict[str, ReportFigure] = {}
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        left = 0.0
        for letter, _ in row:
            place = whole.add_subfigure(whole.add_gridspec(1, 1)[0])
            box = place.bbox_relative
            box.p0 = (left / wide, 1.0 - (top + above + high[letter]) / tall)
            box.p1 = ((left + widths[letter]) / wide, 1.0 - (top + above) / tall)
            place.set_facecolor("none")
            with on_sheet(Sheet(theme, widths[letter], place, wide)):
                draw = again[string.ascii_uppercase.index(letter)]
                made[letter] = draw(width=widths[letter] / _PER_MM, theme=theme)
            left += widths[letter]
        top += height
    return dict(sorted(made.items()))


def _settle(part: Figure, alone: Figure) -> None:
    """Keep axes and words of a part as they are when it is drawn alone at the same size."""
    for ax, settled in zip(part.axes, alone.axes, strict=True):
        ax.set_position(settled.get_position())
        ax.xaxis.label.set_text(settled.get_xlabel())
        ax.yaxis.label.set_text(settled.get_ylabel())
        for text, settled_text in zip(_texts(ax), _texts(settled), strict=True):
            text.set_text(settled_text.get_text())
        thin_ticks(ax)
        ticks, names = settled.get_xticks(), [text.get_text() for text in settled.get_xticklabels()]
        if isinstance(settled.xaxis.get_major_formatter(), FixedFormatter):
            ax.set_xticks(ticks, names)
    for text, settled_text in zip(part.texts, alone.texts, strict=True):
        text.set_position(settled_text.get_position())


def _texts(ax: Axes) -> list[Text]:
    """Return headings and words of `ax`."""
    return [child for child in ax.get_children() if isinstance(child, Text)]


def _letter(
    whole: Figure,
    rows: Sequence[Sequence[tuple[str, int]]],
    heights: Sequence[float],
    widths: Mapping[str, float],
    words: Mapping[str, str],
) -> None:
    wide, tall = (72.0 * inches for inches in whole.get_size_inches())
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        left = 0.0
        for letter, _ in row:
            said = f"{letter}  {words[letter]}" if letter in words else letter
            place = ((left + 2.0) / wide, 1.0 - (top + 2.0) / tall)
            whole.text(*place, said, va="top", **font(BODY, bold=True))
            left += widths[letter]
        top += height


def _align(parts: Mapping[str, ReportFigure], rows: Sequence[Sequence[tuple[str, int]]]) -> None:
    """Align the lower ends of the first axes of parts in one row."""
    for row in rows:
        axes = [parts[letter].figure.axes[0] for letter, _ in row if parts[letter].figure.axes]
        if len(axes) < 2:
            continue
        tops = [ax.get_window_extent().y1 for ax in axes]
        spread = float(np.ptp(tops))
        if 0.0 < spread < 24.0:  # pt at 72 dpi and a little more: headings of different length
            for ax, top in zip(axes, tops, strict=True):
                box, high = ax.get_position(), ax.get_window_extent().height
                share = (top - min(tops)) / high * box.height
                ax.set_position((box.x0, box.y0, box.width, box.height - share))


def _captions(captions: Mapping[str, str]) -> str:
    """Return the first sentence of each, or its first words where these are too many."""
    whole = {letter: _first(said) for letter, said in captions.items()}
    told = " ".join(f"{letter}: {said}" for letter, said in whole.items())
    if len(told.split()) <= _MOST_WORDS:
        return told
    short = {letter: re.split(r"[,;:] ", said)[0].rstrip(".") for letter, said in whole.items()}
    return " ".join(f"{letter}: {said}." for letter, said in short.items())


def _first(caption: str) -> str:
    """Return a caption's first sentence, whole."""
    end = caption.find(". ")
    return caption if end < 0 else caption[: end + 1]
