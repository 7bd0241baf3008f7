"""Labels of lines: to the right of their axes, or above them where the page is narrow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from alliance_stats.figures.axes import height_in_points, width_in_points
from alliance_stats.figures.style import SMALL, Look, font, sheet
from alliance_stats.figures.text import lines_height, spread, text_width, wrap

__all__ = ["LineLabels", "label_line"]

_KEY = 31.0  # pt, a piece of a line and the gap to its name
_ABOVE = 25.0  # pt, the same of a label above its axes


def label_line(ax: Axes, lines: Sequence[str], centre: float, style: Look) -> None:
    """Write a line's label to the right of `ax`, with a sample of the line as its key.

    Parameters
    ----------
    lines
        The label's lines; the key precedes the first.
    centre
        Height of the label's middle, in the units of the vertical axis.
    """
    low, high = ax.get_ylim()
    per_point = (high - low) / height_in_points(ax)
    first = centre + lines_height(len(lines) - 1) * per_point / 2
    _key(ax, lines, style, x=(6.0, 26.0, _KEY), first=first, centre=centre)


def _key(
    ax: Axes,
    lines: Sequence[str],
    style: Look,
    *,
    x: tuple[float, float, float],
    first: float,
    centre: float,
) -> None:
    """Draw a sample of a line followed by words; `x` in points from the right edge of `ax`."""
    across, wide = ax.get_yaxis_transform(), width_in_points(ax)
    start, end, words = (1 + place / wide for place in x)
    look = {"color": style.colour, "ls": style.dash, "lw": 1.6}
    if style.dash == "none":
        look |= {"marker": style.marker, "ms": 5.0, "mfc": "none", "markevery": [1]}
    key = Line2D(
        [start, (start + end) / 2, end], [first] * 3, transform=across, clip_on=False, **look
    )
    ax.add_line(key)
    said, colour = "\n".join(lines), font(SMALL, colour=style.text)
    ax.text(words, centre, said, transform=across, va="center", **colour)


@dataclass(frozen=True, slots=True)
class LineLabels:
    """Labels of lines, to the right of their axes, or above them where the page is narrow.

    Attributes
    ----------
    texts
        Lines of words of each label.
    styles
        Look of each line.
    """

    texts: Sequence[Sequence[str]]
    styles: Sequence[Look]

    @classmethod
    def of(
        cls, texts: Sequence[Sequence[str]], styles: Sequence[Look], *, width: float
    ) -> "LineLabels":
        """Wrap each label to `width` points beside the axes, or to the page's width above them."""
        room = sheet().width - _ABOVE - 10.0 if sheet().narrow else width
        if sheet().narrow:
            texts = [[" ".join(own)] for own in texts]
        wrapped = [[line for text in own for line in wrap(text, room)] for own in texts]
        return cls(wrapped, styles)

    @property
    def right(self) -> float:
        """Points that they need on the right."""
        if sheet().narrow:
            return 10.0
        lines = [line for text in self.texts for line in text]
        return _KEY + 6.0 + max((text_width(line) for line in lines), default=0.0)

    @property
    def above(self) -> float:
        """Points that they need above."""
        if not sheet().narrow:
            return 8.0
        return 10.0 + sum(lines_height(len(text)) + 2.0 for text in self.texts)

    @property
    def height(self) -> float:
        """Least height of the axes for labels beside them, in points."""
        if sheet().narrow:
            return 0.0
        return sum(lines_height(len(text)) + 6.0 for text in self.texts)

    def _left(self, ax: Axes) -> float:
        """Return where labels above start, from the right edge of `ax`: at its left if they fit."""
        start = float(ax.get_position().x0) * sheet().width
        longest = max(text_width(line) for text in self.texts for line in text)
        beyond = start + _ABOVE + longest - (sheet().width - 4.0)
        return -width_in_points(ax) - max(beyond, 0.0)

    def write(self, ax: Axes, ends: Sequence[float], *, lift: float = 0.0) -> None:
        """Write them on `ax`, near where the lines end; those above it `lift` points higher."""
        if not self.texts:
            return
        low, high = ax.get_ylim()
        per_point = (high - low) / height_in_points(ax)
        if not sheet().narrow:
            room = [(lines_height(len(lines)) + 6.0) * abs(per_point) for lines in self.texts]
            ends = [float(np.clip(end, min(low, high), max(low, high))) for end in ends]
            centres = spread(ends, room, min(low, high), max(low, high))
            for lines, centre, style in zip(self.texts, centres, self.styles, strict=True):
                label_line(ax, lines, centre, style)
            return
        top, left = high + (self.above - 6.0 + lift) * per_point, self._left(ax)
        for lines, style in zip(self.texts, self.styles, strict=True):
            tall = lines_height(len(lines))
            first = top - lines_height(1) / 2 * per_point
            centre = top - tall / 2 * per_point
            _key(ax, lines, style, x=(left, left + 20.0, left + _ABOVE), first=first, centre=centre)
            top -= (tall + 2.0) * per_point
