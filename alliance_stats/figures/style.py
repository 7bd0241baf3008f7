"""How every figure of this package looks: fonts, sizes, colours, dashes, and the room text takes.

Everything is named explicitly and nothing global is set: a figure looks the same whatever the
caller's rcParams are. Colours are those of Okabe and Ito (2008), which stay apart under colour
blindness; the text variants are darkened until they reach a contrast of 4.5:1 on white (WCAG 2.1).
No group is told by colour alone: a :class:`Look` has a dash and a marker too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

__all__ = [
    "BODY",
    "COLUMN_AND_HALF",
    "FAMILY",
    "FULL_WIDTH",
    "GREY",
    "INK",
    "LEADING",
    "RULE",
    "SINGLE_COLUMN",
    "SMALL",
    "Look",
    "add_axes",
    "dress",
    "font",
    "height_in_points",
    "house_style",
    "integer_ticks",
    "lines_height",
    "look",
    "new_figure",
    "plain",
    "settle",
    "spread",
    "styled",
    "text_width",
    "width_in_points",
    "wrap",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

FAMILY = "DejaVu Sans"  # ships with matplotlib: there on every machine
BODY = 9.0  # pt, axis labels and headings
SMALL = 8.0  # pt, tick labels and notes: the smallest text there is
LEADING = 1.25  # line height over font size
INK = "#1a1a1a"  # text
GREY = "#595959"  # text that stands back; 7.0:1 on white
RULE = "#8c8c8c"  # axes, reference lines

SINGLE_COLUMN = 3.5  # in
COLUMN_AND_HALF = 5.0
FULL_WIDTH = 6.5

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
    """Shut the caller's rcParams out while a figure is made or written."""
    settings = {
        "font.family": [FAMILY],
        "font.sans-serif": [FAMILY, "Verdana"],  # named in the SVG: of the same widths
        "font.size": SMALL,
        "mathtext.fontset": "dejavusans",
        "svg.fonttype": "none",  # text stays text
        "pdf.fonttype": 42,
        "path.simplify": False,
    }
    with matplotlib.style.context(["default", settings]):
        yield


def styled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a figure function run within :func:`house_style`."""

    @wraps(function)
    def within(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with house_style():
            return function(*args, **kwargs)

    return within


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
        "fontfamily": FAMILY,
        "fontsize": size,
        "color": colour,
        "fontweight": "bold" if bold else "normal",
        "math_fontfamily": "dejavusans",
    }


def plain(text: object) -> str:
    """Return a caller's text so that a dollar sign in it does not open mathematics."""
    return str(text).replace("$", r"\$")


def dress(ax: Axes, *, x_label: str = "", y_label: str = "", grid: str = "") -> None:
    """Give `ax` the house's spines, ticks and labels.

    Parameters
    ----------
    x_label, y_label
        Quantity, unit and scale range in words, as in ``"WAI mean item score (1–7)"``; broken
        into lines where longer than the axis.
    grid
        ``"x"`` or ``"y"`` for faint lines along that axis' ticks; empty for none.
    """
    ax.set_facecolor("white")
    ax.grid(visible=False)
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(RULE)
        spine.set_linewidth(0.8)
    ax.tick_params(
        labelsize=SMALL,
        labelfontfamily=FAMILY,
        labelcolor=INK,
        color=RULE,
        length=3,
        width=0.8,
        which="major",
    )
    ax.tick_params(which="minor", length=0)
    if x_label:
        lines = _balanced(x_label, width_in_points(ax))
        ax.set_xlabel("\n".join(lines), labelpad=4, **font(BODY))
    if y_label:
        lines = _balanced(y_label, height_in_points(ax))
        ax.set_ylabel("\n".join(lines), labelpad=4, **font(BODY))
    if grid in {"x", "y"}:
        ax.grid(visible=True, axis="x" if grid == "x" else "y", color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)


def integer_ticks(low: float, high: float, *, most: int = 8) -> list[int]:
    """Return about `most` whole-number ticks: `low`, and round ones up to `high`."""
    if high <= low:
        return [round(low)]
    found = MaxNLocator(nbins=most, integer=True, steps=[1, 2, 4, 5, 10]).tick_values(low, high)
    step = float(found[1] - found[0])
    inside = [round(tick) for tick in found if low + 0.6 * step < tick <= high]
    return [round(low), *inside]


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Return how wide one line of text is, in points."""
    if not text.strip():
        return 0.0
    properties = FontProperties(family=FAMILY, weight="bold" if bold else "normal")
    with mpl.rc_context({"text.usetex": False}):
        return float(TextPath((0, 0), text, size=size, prop=properties).get_extents().width)


def wrap(text: object, width: float, size: float = SMALL, *, bold: bool = False) -> list[str]:
    """Break text into lines no wider than `width` points, inside a word only where it must.

    Returns
    -------
    list of str
        The lines, dollar signs made safe; at least one.
    """
    lines = [""]
    for word in str(text).split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(plain(joined), size, bold=bold) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for piece in _pieces(word, width, size, bold=bold):
            lines[-1] = piece
            lines.append("")
        lines.pop()
    return [plain(line) for line in lines]


def _balanced(text: str, width: float) -> list[str]:
    """Wrap an axis' label into as few lines as needed, about equally long."""
    lines = wrap(text, width, BODY)
    for share in np.linspace(1.0 / len(lines), 1.0, 12):
        narrower = wrap(text, share * width, BODY)
        if len(narrower) == len(lines):
            return narrower
    return lines


def _pieces(word: str, width: float, size: float, *, bold: bool) -> list[str]:
    """Cut one word into pieces that fit, each at least one character long."""
    pieces = [word[:1]]
    for letter in word[1:]:
        if text_width(plain(pieces[-1] + letter), size, bold=bold) <= width:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Move labels apart, as little as needed (in order of their wanted places), within a range.

    Parameters
    ----------
    wanted
        Centre each label would like.
    heights
        Room each label takes, in the same unit.
    low, high
        Range to stay in; where all labels together need more, they stand around its middle.

    Returns
    -------
    list of float
        Centres, no two labels overlapping.
    """
    order = np.argsort(np.asarray(wanted, dtype=float), kind="stable")
    tall = np.asarray(heights, dtype=float)[order]
    # Offsets of the centres in a tight stack; what is left of each wish is made monotone (pooling
    # adjacent violators), which is the least-squares placement without overlap.
    offset = np.concatenate([[0.0], np.cumsum((tall[:-1] + tall[1:]) / 2.0)])
    wish = np.asarray(wanted, dtype=float)[order] - offset
    blocks: list[tuple[float, int]] = []
    for value in wish:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    fitted = np.concatenate([np.full(count, mean) for mean, count in blocks])
    first, last = low + tall[0] / 2.0, high - tall[-1] / 2.0 - offset[-1]
    if last >= first:
        fitted = np.clip(fitted, first, last)
    else:
        fitted = np.full(len(fitted), (first + last) / 2.0)
    placed = np.empty(len(order))
    placed[order] = fitted + offset
    return [float(value) for value in placed]


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in points from the figure's upper left corner."""
    wide, high = (72.0 * inches for inches in figure.get_size_inches())
    return figure.add_axes((left / wide, 1.0 - (top + height) / high, width / wide, height / high))


def height_in_points(ax: Axes) -> float:
    """Return how high `ax` stands now, in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().height * figure.bbox.height / figure.dpi * 72.0)


def width_in_points(ax: Axes) -> float:
    """Return how wide `ax` stands now, in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().width * figure.bbox.width / figure.dpi * 72.0)


def lines_height(count: int, size: float = SMALL) -> float:
    """Return the height of `count` lines of text, in points."""
    return count * size * LEADING
