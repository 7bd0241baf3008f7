"""The room that text takes: its width, its lines, and places that do not overlap."""

from collections.abc import Sequence
from functools import lru_cache

import matplotlib as mpl
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from alliance_stats.figures.style import BODY, FAMILY, SMALL, plain

__all__ = [
    "LEADING",
    "balanced",
    "lines_height",
    "spread",
    "text_width",
    "wrap",
]

LEADING = 1.25  # line height over font size


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


def balanced(text: str, width: float) -> list[str]:
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


def lines_height(count: int, size: float = SMALL) -> float:
    """Return the height of `count` lines of text, in points."""
    return count * size * LEADING
