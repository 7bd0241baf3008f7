"""The room that text takes: its width, its lines, and places that do not overlap."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib import cbook
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from alliance_stats.figures.fonts import families, quiet
from alliance_stats.figures.style import BODY, SMALL, plain

__all__ = [
    "LEADING",
    "balanced",
    "in_sentence",
    "lines_height",
    "spread",
    "text_width",
    "wrap",
]

LEADING = 1.25  # line height over font size
_WORD = re.compile(r"(?:[^\s]|\u00a0)+")


def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Return how wide one line of text is, in points."""
    return _width(text, size, "bold" if bold else "normal", tuple(families()))


@lru_cache(maxsize=4096)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    if not text.strip():
        return 0.0
    properties = FontProperties(family=list(family), size=size, weight=weight)
    math = cbook.is_math_text(text)
    words = text if math else text.replace(r"\$", "$")
    with quiet():
        width, _, _ = text_to_path.get_text_width_height_descent(words, properties, math)
    return float(width)


def wrap(text: object, width: float, size: float = SMALL, *, bold: bool = False) -> list[str]:
    """Break text into lines no wider than `width` points, inside a word only where it must.

    A no-break space holds two words together.

    Returns
    -------
    list of str
        The lines, dollar signs made safe; at least one.
    """
    lines = [""]
    for word in _WORD.findall(str(text)):
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


def balanced(text: str, width: float) -> list[str]:
    """Wrap an axis' label into as few lines as needed, about equally long."""
    lines = wrap(text, width, BODY)
    for share in np.linspace(1.0 / len(lines), 1.0, 12):
        narrower = wrap(text, share * width, BODY)
        if len(narrower) == len(lines):
            return narrower
    return lines


# Labels that are ours; a caller's keep their letters (a German noun its capital)
_OURS = ("Session", "Session number", "Sessions since start", "Session after which a unit left")


def in_sentence(label: str) -> str:
    """Return an axis' label as it stands inside of a sentence: the caller's as it is."""
    return label.lower() if label in _OURS else label


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


def lines_height(count: int, size: float = SMALL) -> float:
    """Return the height of `count` lines of text, in points."""
    return count * size * LEADING
