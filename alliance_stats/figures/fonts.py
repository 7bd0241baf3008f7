"""Fonts: one family everywhere, and installed ones behind it for scripts that it does not have.

DejaVu Sans has Latin, Greek, Cyrillic, Arabic and Hebrew, but neither Chinese, Japanese and Korean
nor most Indic scripts. matplotlib takes each glyph from the first font of a list that has it, so
DejaVu Sans is followed by the installed fonts of :data:`FALLBACKS`: they supply the glyphs missing
there and no others, and a text that needs none looks the same everywhere.
"""

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib import get_cachedir
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import Text

__all__ = ["FALLBACKS", "FAMILY", "families", "glyphless", "missing_glyphs", "quiet"]

FAMILY = "DejaVu Sans"  # ships with matplotlib: there on every machine

FALLBACKS = (
    "Noto Sans CJK SC",  # Linux; matplotlib before 3.11 finds a collection's first face only
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",  # macOS
    "PingFang HK",
    "Hiragino Sans GB",
    "Hiragino Sans",
    "Heiti TC",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Microsoft YaHei",  # Windows
    "SimHei",
    "Yu Gothic",
    "MS Gothic",
    "Malgun Gothic",
    "NanumGothic",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
    "Noto Sans Ethiopic",
    "FreeSans",
    "Nirmala UI",
    "Leelawadee UI",
    "Segoe UI Symbol",
)


def families(family: str = FAMILY) -> list[str]:
    """Return a family (the house's by default), followed by the installed fallbacks."""
    own = [family] if family == FAMILY else [family, FAMILY]
    return [*own, *_installed(FALLBACKS, len(fontManager.ttflist))]


@cache
def _installed(wanted: tuple[str, ...], n_known: int) -> tuple[str, ...]:
    """Look once for each number of fonts that matplotlib knows of."""
    del n_known
    known = {entry.name for entry in fontManager.ttflist}
    return tuple(name for name in wanted if name in known)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence matplotlib's messages on each font at each drawing.

    That is its warning of each missing glyph, which saving a figure gives once for all (see
    :func:`glyphless`), and its log that a font of another script has no bold face.
    """
    log = logging.getLogger("matplotlib.font_manager")
    log.addFilter(_not_of_weights)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
            yield
    finally:
        log.removeFilter(_not_of_weights)


def _not_of_weights(record: logging.LogRecord) -> bool:
    return "Failed to find font weight" not in record.msg


def glyphless(figure: Figure) -> str:
    """Return the characters of a figure's visible words that none of their fonts has, in order."""
    found: dict[str, None] = {}
    for text in figure.findobj(Text):
        if not text.get_visible():
            continue
        unknown = set(text.get_text())
        for family in text.get_fontfamily():
            unknown = {sign for sign in unknown if ord(sign) not in _characters(family)}
        unseen = ("Cc", "Cf")  # line ends, joiners: drawn as nothing
        shown = (sign for sign in unknown if unicodedata.category(sign) not in unseen)
        found |= dict.fromkeys(sorted(shown))
    return "".join(found)


@cache
def _characters(family: str) -> frozenset[int]:
    return frozenset(get_font(fontManager.findfont(FontProperties(family=[family]))).get_charmap())


def missing_glyphs(characters: str, *, label: str) -> str:
    """Return the warning for a figure with characters that no font has."""
    shown = ", ".join(f"'{sign}' (U+{ord(sign):04X}, {_called(sign)})" for sign in characters[:5])
    more = f" and {len(characters) - 5} more" if len(characters) > 5 else ""
    return (
        f"{label}: no font that this package draws with has {shown}{more}. The PNG and the PDF "
        "show boxes in their place; the SVG leaves its words to the reader's fonts. Install a font "
        "that has them (Chinese, Japanese, Korean: Noto Sans CJK, Debian's fonts-noto-cjk; others "
        "that are looked for are named in alliance_stats.figures.fonts.FALLBACKS). If it is "
        f"installed already, delete matplotlib's list of fonts, {get_cachedir()}/fontlist-*.json, "
        "and start Python anew."
    )


def _called(sign: str) -> str:
    return unicodedata.name(sign, "without a name").lower()
