"""The space that text takes: its width, its lines, and places that do not overlap."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from matplotlib import cbook
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from alliance_stats.figures.fonts import families, quiet
from alliance_stats.figures.style import BODY, SMALL, plain, points, sheet

__all__ = [
    "LEADING",
    "balanced",
    "in_sentence",
    "lines_height",
    "number_room",
    "spread",
    "text_width",
    "widest",
    "wrap",
]

LEADING = 1.25  # line height over font size
# an interval is one word, as are "(n = 12)", "= 0.2" and "z)" with what stands before it
_WORD = re.compile(
    r"(?:\(\w+ = [^\s]+|\[[^\s\[\]]+[,;] [^\s\[\]]+\]|= [^\s]+|\d: \w+\)|\w+ \w\)|[^\s]|\u00a0)+"
)
_WIDE = ("W", "F")  # letters of scripts that are written without spaces
_SOFT = re.compile(r"(?<=[-–/_.:;,|·])(?=\w)")  # where a word without spaces may break


def text_width(text: str, size: str | float = SMALL, *, bold: bool = False) -> float:
    """Return how wide one line of text is, in points."""
    family = tuple(families(sheet().theme.family))
    return _width(text, points(size), "bold" if bold else "normal", family)


@lru_cache(maxsize=8192)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    if not text.strip():
        return 0.0
    properties = FontProperties(family=list(family), size=size, weight=weight)
    formula = cbook.is_math_text(text)
    words = text if formula else text.replace(r"\$", "$")
    with quiet():
        width, _, _ = text_to_path.get_text_width_height_descent(words, properties, formula)
    return float(width)


def wrap(text: object, width: float, size: str | float = SMALL, *, bold: bool = False) -> list[str]:
    """Break text into lines no wider than `width` points, never inside a word.

    A no-break space holds two words together. A word breaks after a hyphen, a slash, a point or an
    underscore, and between letters of scripts without spaces; one that is still too wide is
    shortened in the middle by an ellipsis (captions, alternative texts and data keep it whole).

    Returns
    -------
    list of str
        The lines, dollar signs made safe; at least one.
    """

    def fits(words: str) -> bool:
        return text_width(plain(words), size, bold=bold) <= width

    lines = [""]
    for word in _WORD.findall(str(text)):
        joined = f"{lines[-1]} {word}".strip()
        if fits(joined):
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for piece in [word] if fits(word) else _pieces(word):
            if fits(lines[-1] + piece):
                lines[-1] += piece
                continue
            if lines[-1]:
                lines.append("")
            lines[-1] = piece if fits(piece) else _shortened(piece, fits)
    return [plain(line) for line in lines]


def number_room(numbers: Sequence[str], free: float) -> float:
    """Return the width of a column of numbers, intervals below their estimates beyond `free`."""
    whole = widest(numbers)
    if whole <= free:
        return whole
    return max(widest(text.replace(" [", "\n[").split("\n")) for text in numbers)


def balanced(text: str, width: float, size: str | float = BODY) -> list[str]:
    """Wrap an axis label into as few lines as needed, of about equal length."""
    lines = wrap(text, width, size)
    for share in np.linspace(1.0 / len(lines), 1.0, 12):
        narrower = wrap(text, share * width, size)
        if len(narrower) == len(lines) and not any("…" in line for line in narrower):
            return narrower
    return lines


def widest(texts: Iterable[object], width: float = math.inf, size: str | float = SMALL) -> float:
    """Return the width of the widest line of texts wrapped to `width`."""
    lines = [line for text in texts for line in wrap(text, width, size)]
    return max((text_width(line, size) for line in lines), default=0.0)


# Labels that are ours; a caller's keep their letters (a German noun its capital)
_OURS = (
    "Session",
    "Session number",
    "Sessions",
    "Sessions since start",
    "Session after which a unit left",
)


def in_sentence(label: str) -> str:
    """Return an axis label as used within a sentence: the caller's unchanged."""
    return label.lower() if label in _OURS else label


def _pieces(word: str) -> list[str]:
    """Cut a word where it may break."""
    pieces: list[str] = []
    for part in _SOFT.split(word):
        start = 0
        for place, letter in enumerate(part):
            if place > start and unicodedata.east_asian_width(letter) in _WIDE:
                pieces.append(part[start:place])
                start = place
        pieces.append(part[start:])
    return pieces


def _shortened(word: str, fits: Callable[[str], bool]) -> str:
    """Return as much of a word's ends as fits, an ellipsis between them."""
    low, high = 0, len(word) - 1
    while low < high:
        kept = (low + high + 1) // 2
        if fits(_ends(word, kept)):
            low = kept
        else:
            high = kept - 1
    return _ends(word, low)


def _ends(word: str, kept: int) -> str:
    first = (kept + 1) // 2
    return f"{word[:first]}…{word[len(word) - (kept - first) :]}" if kept else "…"


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Move labels apart, as little as needed (in order of their wanted places), within a range.

    Parameters
    ----------
    wanted
        Preferred centre of each label.
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


def lines_height(count: int, size: str | float = SMALL) -> float:
    """Return the height of `count` lines of text, in points."""
    return count * points(size) * LEADING
