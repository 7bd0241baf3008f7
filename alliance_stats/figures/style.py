"""How every figure of this package looks: fonts, sizes, colours, dashes.

Everything is named explicitly and nothing global is set: a figure looks the same whatever the
caller's rcParams are. Colours are those of Okabe and Ito (2008), which stay apart under colour
blindness; the text variants are darkened until they reach a contrast of 4.5:1 on white (WCAG 2.1).
No group is told by colour alone: a :class:`Look` has a dash and a marker too.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alliance_stats.figures.fonts import families, quiet
from alliance_stats.formatting import printable

__all__ = [
    "BODY",
    "COLUMN_AND_HALF",
    "FULL_WIDTH",
    "GREY",
    "INK",
    "RULE",
    "SINGLE_COLUMN",
    "SMALL",
    "Look",
    "font",
    "house_style",
    "look",
    "new_figure",
    "plain",
    "settle",
    "styled",
]

BODY = 9.0  # pt, axis labels and headings
SMALL = 8.0  # pt, tick labels and notes: the smallest text there is
INK = "#1a1a1a"  # text
GREY = "#595959"  # text that stands back; 7.0:1 on white
RULE = "#8c8c8c"  # axes, reference lines

SINGLE_COLUMN = 3.5  # in
COLUMN_AND_HALF = 5.0
FULL_WIDTH = 6.5

_LEFT_TO_RIGHT_MARK = "\u200e"
_RIGHT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff"  # Hebrew to Arabic Extended, their forms
_RIGHT_TO_LEFT = re.compile(f"[{_RIGHT}](?:[^A-Za-z0-9]*[{_RIGHT}])*")

_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.6)),
    (0, (1.2, 1.4)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1.2)),
    (0, (6, 1.5, 1.2, 1.5, 1.2, 1.5)),
    (0, (8, 2.5)),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_COLOURS = (  # (drawn, written)
    ("#0072B2", "#0072B2"),  # blue
    ("#D55E00", "#B84A00"),  # vermilion
    ("#009E73", "#007A59"),  # bluish green
    ("#CC79A7", "#A34A7C"),  # reddish purple
    ("#E69F00", "#8A5F00"),  # orange
    ("#56B4E9", "#1F73A3"),  # sky blue
    ("#000000", "#000000"),  # black
)


@dataclass(frozen=True, slots=True)
class Look:
    """How one group is told from the others: ``colour`` drawn, ``text`` written, dash, marker."""

    colour: str
    text: str
    dash: Any
    marker: str


def look(position: int) -> Look:
    """Return the look of the group at `position`; after seven, colours meet other dashes."""
    turn, place = divmod(position, len(_COLOURS))
    colour, text = _COLOURS[place]
    shifted = (place + turn) % len(_DASHES)
    return Look(colour, text, _DASHES[shifted], _MARKERS[shifted])


@contextmanager
def house_style() -> Iterator[None]:
    """Shut the caller's rcParams out while a figure is made or written, and fonts' log."""
    settings = {
        "font.family": families(),
        "font.size": SMALL,
        "mathtext.fontset": "dejavusans",
        "svg.fonttype": "none",  # text stays text
        "pdf.fonttype": 42,
        "path.simplify": False,
        "lines.solid_capstyle": "butt",  # no end of an interval reaches beyond its limit
    }
    with quiet(), matplotlib.style.context(["default", settings]):
        yield


styled = house_style()  # as a decorator: the function runs within the style


def new_figure(width: float, height: float, *, placed_by_hand: bool = False) -> Figure:
    """Return a figure of `width` x `height` inches that pyplot knows nothing of.

    Its axes are laid out by matplotlib's constrained layout (then :func:`settle` it), or stand
    where :func:`add_axes` puts them.
    """
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    if not placed_by_hand:
        pads = {"w_pad": 0.04, "h_pad": 0.04, "wspace": 0.03, "hspace": 0.03}
        figure.set_layout_engine("constrained", **pads)
    return figure


def settle(figure: Figure) -> Figure:
    """Lay the figure out once and keep it so, that each rendering is the same."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def font(size: float = SMALL, *, colour: str = INK, bold: bool = False) -> dict[str, Any]:
    """Return the text properties of the house."""
    return {
        "fontfamily": families(),
        "fontsize": size,
        "color": colour,
        "fontweight": "bold" if bold else "normal",
        "math_fontfamily": "dejavusans",
    }


def _drawable(text: object) -> str:
    """Return text without what cannot be drawn; lines that are broken already stay broken."""
    return "\n".join(printable(line) for line in str(text).split("\n"))


def plain(text: object) -> str:
    """Return a caller's text as it is to be read on the page.

    A dollar sign in it does not open mathematics. What reads from right to left (Arabic, Hebrew)
    stands between left-to-right marks: without them it would draw the numbers beside it to its
    other side, and "1 of 7" after an Arabic name would read "of 7 1" (Unicode Standard Annex 9).
    """
    marked = _RIGHT_TO_LEFT.sub(
        f"{_LEFT_TO_RIGHT_MARK}\\g<0>{_LEFT_TO_RIGHT_MARK}", _drawable(text)
    )
    return marked.replace("$", r"\$")
