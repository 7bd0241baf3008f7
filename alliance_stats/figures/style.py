"""How every figure looks, and the sheet it is drawn on: theme, width, sizes of text, colours.

Everything is named explicitly and nothing global is set: a figure looks the same whatever the
caller's rcParams are, unless the theme was read from them. The colours of the house are those of
Okabe and Ito (2008), which remain distinguishable with colour blindness; words are written in
darker ones that reach a contrast of 4.5:1 on white (WCAG 2.1). No group is identified by colour
alone: a :class:`Look` also has a dash and a marker.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from alliance_stats.checks import did_you_mean
from alliance_stats.figures.fonts import FAMILY, families, quiet
from alliance_stats.formatting import localised, printable

__all__ = [
    "BODY",
    "COLUMN_AND_HALF",
    "FULL_WIDTH",
    "GREY",
    "INK",
    "PER_MM",
    "RULE",
    "SINGLE_COLUMN",
    "SMALL",
    "Look",
    "Sheet",
    "Theme",
    "font",
    "house_style",
    "look",
    "looks",
    "naming",
    "natural",
    "new_figure",
    "on_sheet",
    "plain",
    "points",
    "sheet",
    "themed",
]

BODY, SMALL = "body", "small"  # kinds of text: labels and headings; ticks, names and numbers
INK = "#1a1a1a"  # text
GREY = "#595959"  # text that stands back; 7.0:1 on white
RULE = "#8c8c8c"  # axes, reference lines

SINGLE_COLUMN = 89.0  # mm
COLUMN_AND_HALF = 127.0
FULL_WIDTH = 165.1  # 6.5 in, the text of a letter page
_NARROW = 100.0  # mm; text of narrower figures is a point smaller
PER_MM = 72.0 / 25.4
_CONTRAST = 4.5

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
_OKABE_ITO = (  # blue, vermilion, bluish green, reddish purple, orange, sky blue, black
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
_GREYS = ("#1a1a1a", "#8f8f8f", "#5c5c5c", "#b5b5b5", "#3d3d3d", "#a3a3a3", "#757575")
_WRITTEN = {  # colours of the house as words, where darkening alone would be duller
    "#D55E00": "#B84A00",
    "#009E73": "#007A59",
    "#CC79A7": "#A34A7C",
    "#E69F00": "#8A5F00",
    "#56B4E9": "#1F73A3",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How a group is distinguished: ``colour`` drawn, ``text`` written, dash, marker."""

    colour: str
    text: str
    dash: Any
    marker: str


@dataclass(frozen=True, slots=True)
class Theme:
    """How figures are to look: given to one (``theme=``), or to all within :func:`themed`.

    Attributes
    ----------
    groups
        Roles, groups, strata of a report in their order: each keeps its colour, dash and marker in
        every figure, whichever of them it shows. Others take the remaining ones.
    width
        Default width of figures in mm: journals print 89, 127 and 183.
    small, body
        Sizes of text in pt, numbers and names, labels and headings; a point less on figures
        narrower than 100 mm.
    family
        Font family.
    colours
        Colours of groups, in order.
    grey
        Greys in place of the colours.
    decimal
        Decimal sign, ``"."`` or ``","``.
    words
        Name of a group, role or term -> label to print.
    own_rc
        Keep the caller's rcParams for what the house style does not set.
    """

    groups: tuple[str, ...] = ()
    width: float | None = None
    small: float = 8.0
    body: float = 9.0
    family: str = FAMILY
    colours: tuple[str, ...] = _OKABE_ITO
    grey: bool = False
    decimal: str = "."
    words: Mapping[str, str] = field(default_factory=dict)
    own_rc: bool = False

    def __post_init__(self) -> None:
        if self.width is not None and not 40.0 <= self.width <= 400.0:
            raise ValueError(f"width is in mm, from 40 to 400; got {self.width}.")
        if not 5.0 <= self.small <= self.body <= 14.0:
            raise ValueError(f"5 <= small <= body <= 14 pt; got {self.small}, {self.body}.")
        localised("0", self.decimal)  # refuses another sign

    @classmethod
    def from_rcparams(cls) -> "Theme":
        """Return a theme of the rcParams in force: family, sizes, colours."""
        sizes = mpl.font_manager.FontProperties(size=mpl.rcParams["axes.labelsize"])
        body = float(np.clip(sizes.get_size_in_points(), 5.0, 14.0))
        small = mpl.font_manager.FontProperties(size=mpl.rcParams["xtick.labelsize"])
        cycle = mpl.rcParams["axes.prop_cycle"].by_key().get("color", list(_OKABE_ITO))
        family = mpl.font_manager.FontProperties(family=mpl.rcParams["font.family"]).get_name()
        return cls(
            small=float(np.clip(small.get_size_in_points(), 5.0, body)),
            body=body,
            family=str(family),
            colours=tuple(to_hex(colour) for colour in cycle),
            own_rc=True,
        )


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a figure is laid out on: theme, width in pt, the panel it is part of and its width."""

    theme: Theme = field(default_factory=Theme)
    width: float = FULL_WIDTH * PER_MM
    parent: Any = None  # a SubFigure, which does what a Figure does
    whole: float | None = None

    @property
    def narrow(self) -> bool:
        """Whether it is as narrow as a journal column."""
        return self.width < _NARROW * PER_MM

    def part(self, points: float) -> float:
        """Return `points` of a full page's width, in proportion less on a narrower sheet."""
        return points * min(1.0, self.width / (FULL_WIDTH * PER_MM))


_SHEET: ContextVar[Sheet] = ContextVar("sheet", default=Sheet())  # noqa: B039  (it is frozen)


def sheet() -> Sheet:
    """Return the sheet that is being drawn on."""
    return _SHEET.get()


@contextmanager
def on_sheet(this: Sheet) -> Iterator[Sheet]:
    """Draw on this sheet, in the style of the house."""
    token = _SHEET.set(this)
    try:
        with house_style():
            yield this
    finally:
        _SHEET.reset(token)


@contextmanager
def themed(theme: Theme) -> Iterator[Theme]:
    """Give all figures made within a theme: ``with themed(Theme(groups=("mother", "father"))):``.

    A figure's ``theme=`` and ``width=`` take precedence.

    Examples
    --------
    >>> from alliance_stats.figures import Theme, themed
    >>> with themed(Theme()) as theme:
    ...     print(type(theme).__name__)
    Theme
    """
    token = _SHEET.set(replace(sheet(), theme=theme))
    try:
        yield theme
    finally:
        _SHEET.reset(token)


def points(size: str | float) -> float:
    """Return the size of a kind of text in pt, or the size itself."""
    this = sheet()
    known = {BODY: this.theme.body, SMALL: this.theme.small}
    narrow = (this.whole or this.width) < _NARROW * PER_MM
    return known[size] - narrow if isinstance(size, str) else float(size)


def look(position: int) -> Look:
    """Return the look of the group at `position`; no two share dash and marker."""
    theme = sheet().theme
    colours = _GREYS if theme.grey else theme.colours
    turn, place = divmod(position, len(colours))
    colour = colours[place]
    dash, marker = (place + turn) % len(_DASHES), (place + 2 * turn) % len(_MARKERS)
    return Look(colour, _written(colour), _DASHES[dash], _MARKERS[marker])


def looks(names: Sequence[Any]) -> dict[Any, Look]:
    """Return the look of each name: those of the theme's groups, the remaining ones for others."""
    own = list(sheet().theme.groups)
    others = [name for name in dict.fromkeys(names) if str(name) not in own]
    order = {name: len(own) + place for place, name in enumerate(others)}
    return {
        name: look(order[name] if name in order else own.index(str(name)))
        for name in dict.fromkeys(names)
    }


def _written(colour: str) -> str:
    """Return a colour dark enough for words on white."""
    if colour in _WRITTEN:
        return _WRITTEN[colour]
    rgb = np.array(to_rgb(colour))
    while _on_white(rgb) < _CONTRAST:
        rgb = 0.95 * rgb
    return to_hex((rgb[0], rgb[1], rgb[2]))


def _on_white(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ np.array([0.2126, 0.7152, 0.0722]) + 0.05))


def naming(words: Mapping[str, str] | None, known: Sequence[object]) -> Callable[[object], str]:
    """Return a label: the caller's, the theme's, or the name itself.

    Raises
    ------
    ValueError
        If the caller gives a label for anything that is not among `known`.
    """
    names = [str(name) for name in known]
    for key in words or {}:
        if str(key) not in names:
            raise ValueError(
                f"words= has '{key}', which names nothing in this figure. "
                f"{did_you_mean(key, list(dict.fromkeys(names)))}"
            )
    said = {**sheet().theme.words, **(words or {})}
    return lambda name: str(said.get(str(name), name))


def natural(name: object) -> tuple[tuple[tuple[bool, float, str], ...], str]:
    """Return a key that sorts "role 10" after "role 2", and "Älteste" and "anna" among the A."""
    letters = unicodedata.normalize("NFKD", str(name))
    plainly = "".join(sign for sign in letters if not unicodedata.combining(sign)).casefold()
    parts = re.split(r"(\d+)", plainly)
    key = tuple(
        (not part.isdecimal(), float(part) if part.isdecimal() else 0.0, part) for part in parts
    )
    return key, str(name)


@contextmanager
def house_style() -> Iterator[None]:
    """Ignore the caller's rcParams and silence the fonts' log while a figure is made or written."""
    theme = sheet().theme
    settings = {
        "font.family": families(theme.family),
        "font.size": points(SMALL),
        "mathtext.fontset": "dejavusans",
        "svg.fonttype": "none",  # text stays text
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "path.simplify": False,
        "axes.formatter.limits": (-3, 5),  # beyond these a power of ten stands beside the axis
        "text.hinting": "none",  # words are as wide on the screen as in print
        "lines.solid_capstyle": "butt",  # no end of an interval reaches beyond its limit
    }
    with quiet(), matplotlib.style.context([settings] if theme.own_rc else ["default", settings]):
        yield


def new_figure(width: float, height: float, *, placed_by_hand: bool = False) -> Figure:
    """Return a figure of `width` x `height` inches unknown to pyplot.

    Its axes are laid out by matplotlib's constrained layout (then it is settled), or stand
    where :func:`add_axes` puts them. As a part of a panel it is the part.
    """
    if sheet().parent is not None:
        return sheet().parent  # type: ignore[no-any-return]
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    if not placed_by_hand:
        pads = {"w_pad": 0.04, "h_pad": 0.04, "wspace": 0.03, "hspace": 0.03}
        figure.set_layout_engine("constrained", **pads)
    return figure


def font(size: str | float = SMALL, *, colour: str = INK, bold: bool = False) -> dict[str, Any]:
    """Return the text properties of the house."""
    return {
        "fontfamily": families(sheet().theme.family),
        "fontsize": points(size),
        "color": colour,
        "fontweight": "bold" if bold else "normal",
        "math_fontfamily": "dejavusans",
    }


def _drawable(text: object) -> str:
    """Return text without undrawable characters; existing line breaks are kept."""
    return "\n".join(printable(line) for line in str(text).split("\n"))


def plain(text: object) -> str:
    """Return a caller's text as it appears on the page.

    A dollar sign in it does not open mathematics. Right-to-left text (Arabic, Hebrew) is put
    between left-to-right marks: without them adjacent numbers would be drawn on its other side, and
    "1 of 7" after an Arabic name would read "of 7 1" (Unicode Standard Annex 9).
    """
    marked = _RIGHT_TO_LEFT.sub(
        f"{_LEFT_TO_RIGHT_MARK}\\g<0>{_LEFT_TO_RIGHT_MARK}", _drawable(text)
    )
    return marked.replace("$", r"\$")
