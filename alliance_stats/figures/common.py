"""What every figure takes, and the sheet it is laid out on."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from itertools import pairwise
from typing import Any, ParamSpec, TypedDict, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, Formatter, MaxNLocator, ScalarFormatter

from alliance_stats.figures.axes import (
    TALLEST,
    PageError,
    add_axes,
    check_limits,
    height_in_points,
    page,
    room_below,
    room_beside,
    width_in_points,
)
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import plural
from alliance_stats.figures.style import BODY, INK, PER_MM, Sheet, Theme, font, on_sheet, sheet
from alliance_stats.figures.text import balanced, lines_height, text_width, wrap

__all__ = ["Common", "head", "in_grid", "laid_out", "settle", "stacked", "thin_ticks"]

P = ParamSpec("P")
R = TypeVar("R")
_APART = 3.0  # pt, between the numbers of an axis
_PAGE = 691.0  # pt, 9.6 in: what a page holds
_PASSES = 8
_LEAST_WIDTH = 40.0  # pt of axes, below which letters are made smaller where they can be
_LEAST_PANEL = 50.0  # pt, of panels one above the other
_LEAST_AXES = 64.0  # pt, below which axes show nothing


class Common(TypedDict, total=False):
    """What every figure takes besides its own arguments; :func:`laid_out` documents it."""

    label: str | None
    width: float | None
    theme: Theme | None
    limits: tuple[float, float] | None
    words: Mapping[str, str] | None


_SAID = {  # of what every figure takes, where its own words do not say more
    "label": "Cross-reference label: ``fig-`` and lower-case words joined by hyphens.",
    "width": "In mm; the theme's, or {:g}.",
    "theme": "How it looks; that of :func:`themed`, if there is one.",
    "limits": "Of the axis of values.",
    "words": "Name of a role, group or term -> words for it.",
}
_SECTION = re.compile(r"^(?:Returns|Raises|Notes|Warns|See Also|Examples)\n-+$", re.MULTILINE)


def laid_out(width: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a figure's function on a sheet of its ``theme=`` and ``width=`` (mm), or of `width`.

    The function takes ``**common: Unpack[Common]``: all five are always there, None if not given;
    signature and docstring show them one by one.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature = _explicit(inspect.signature(function))

        @wraps(function)
        def on_its_sheet(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            given: dict[str, Any] = dict.fromkeys(_SAID) | dict(kwargs)
            check_limits(given["limits"])
            theme = given["theme"] or sheet().theme
            wide = given["width"] or theme.width or width
            Theme(width=wide)  # refuses a width that is none
            made = _on_a_page(function, args, given, Sheet(theme, wide * PER_MM))
            again: Any = partial(on_its_sheet, *args, **kwargs)
            return replace(made, again=again) if hasattr(made, "again") else made  # type: ignore[type-var]

        on_its_sheet.__signature__ = signature  # type: ignore[attr-defined]
        on_its_sheet.__doc__ = _with_common(function.__doc__ or "", width)
        return on_its_sheet

    return decorated


def _on_a_page(
    function: Callable[..., R], args: tuple[Any, ...], given: dict[str, Any], wanted: Sheet
) -> R:
    """Draw on the sheet; in smaller letters, down to those of the house, what no page holds."""
    this, own = replace(wanted, parent=sheet().parent, whole=sheet().whole), Theme()
    while True:
        theme = this.theme
        least = theme.small <= own.small and theme.body <= own.body
        with on_sheet(this):
            try:
                made = function(*args, **given)
                figure = getattr(made, "figure", None)
                axes: list[Axes] = getattr(figure, "axes", [])
                for ax in axes:
                    thin_ticks(ax)
                if not isinstance(figure, Figure) or least or _fits(figure):
                    return made
            except PageError:
                if least:
                    raise
        small, body = max(theme.small - 1.0, own.small), max(theme.body - 1.0, own.body)
        this = replace(this, theme=replace(theme, small=min(small, body), body=body))


def _fits(figure: Figure) -> bool:
    wide = min(map(width_in_points, figure.axes), default=_LEAST_WIDTH)
    return wide >= _LEAST_WIDTH and 72.0 * figure.get_figheight() <= _PAGE


def head(ax: Axes, *parts: str, room: float, colour: str = INK, pad: float = 6.0) -> None:
    """Write a heading above `ax`, each part on lines of its own no wider than `room`."""
    lines = [line for part in parts for line in wrap(part, room, BODY)]
    title = ax.set_title("\n".join(lines), loc="left", pad=pad, **font(BODY, colour=colour))
    title.set_label("\n".join(parts))


def refit(ax: Axes) -> bool:
    """Wrap the words around `ax` to its present size and thin its ticks; say if that changed it.

    What :func:`dress` and :func:`head` wrote was for the size that the axes had then.
    """
    # axes that words have all but pressed shut are no measure of these words
    wide = max(width_in_points(ax), _LEAST_WIDTH)
    high = max(height_in_points(ax), _LEAST_AXES)
    fitted = [
        (ax.xaxis.label, balanced(str(ax.xaxis.label.get_label()), wide)),
        (ax.yaxis.label, balanced(str(ax.yaxis.label.get_label()), high)),
    ]
    for title in ax.get_children():
        if isinstance(title, Text) and title.get_label():
            parts = str(title.get_label()).split("\n")
            fitted.append((title, [line for part in parts for line in wrap(part, wide, BODY)]))
    changed = thin_ticks(ax)
    for text, lines in fitted:
        if text.get_label() and text.get_text() != "\n".join(lines):
            text.set_text("\n".join(lines))
            changed = True
    return changed


def thin_ticks(ax: Axes) -> bool:
    """Take coarser ticks where the numbers below `ax` would touch; say whether it did."""
    before = len(_numbers_below(ax))
    for most in range(before - 2, 0, -1):
        if not _touching(ax):
            break
        locator = ax.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            ax.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
        elif isinstance(locator, FixedLocator) and _counts(ax.xaxis.get_major_formatter()):
            ax.set_xticks(ax.get_xticks()[::2])
        else:
            break
    if _touching(ax) and _counts(ax.xaxis.get_major_formatter()):
        ax.set_xticks(ax.get_xticks()[-1:])
    return len(_numbers_below(ax)) != before


def _counts(formatter: Formatter) -> bool:
    """Say whether it writes plain numbers, in whatever decimal sign."""
    return isinstance(getattr(formatter, "written", formatter), ScalarFormatter)


def _numbers_below(ax: Axes) -> list[tuple[float, str]]:
    """Return the place (points) and the words of each tick of the horizontal axis in view."""
    if not ax.axison:
        return []
    places = [float(place) for place in ax.xaxis.get_majorticklocs()]
    words = ax.xaxis.get_major_formatter().format_ticks(places)
    scaled = ax.xaxis.get_transform()
    low, high = scaled.transform(np.sort(ax.get_xlim()))
    at = (scaled.transform(np.array(places)) - low) / ((high - low) or 1.0)
    wide = width_in_points(ax)
    return [(x * wide, word) for x, word in zip(at, words, strict=True) if -1e-9 <= x <= 1 + 1e-9]


def _touching(ax: Axes) -> bool:
    seen = [(x, max(map(text_width, word.split("\n")))) for x, word in _numbers_below(ax)]
    return any(b - a < (w + v) / 2.0 + _APART for (a, w), (b, v) in pairwise(seen))


def settle(figure: Figure) -> Figure:
    """Lay the figure out and fix it, so that each rendering is the same.

    Labels are wrapped to their axes as these now stand; axes that words have left too low are
    given a higher page.
    """
    whole = figure.get_figure(root=True)
    assert isinstance(whole, Figure)
    for _ in range(_PASSES):  # what is wrapped anew takes another room
        collapsed = _laid_out_anew(whole)
        refitted = [] if collapsed else [refit(ax) for ax in figure.axes]
        if not any(refitted) and not (whole is figure and _raised(figure, collapsed=collapsed)):
            break
    else:
        _laid_out_anew(whole)
    if whole is figure:
        whole.set_layout_engine("none")
    return figure


def stacked(
    headings: Mapping[str, str],
    labels: Mapping[str, LineLabels],
    *,
    height: float,
    axes: tuple[str, str],
    right: float = 12.0,
    tick_lines: int = 1,
) -> tuple[Figure, dict[str, Axes]]:
    """Return a page of panels one above the other, each under its heading and its lines' labels.

    Parameters
    ----------
    headings
        Panel -> what stands above it; empty for nothing.
    labels
        Panel -> labels of its lines, where they have any.
    height
        Of each panel in points, less where they would not all fit.
    axes
        Labels of the horizontal and the vertical axis.
    right
        Points that stay free on the right, if labels need no more.

    Raises
    ------
    PageError
        If so many panels do not fit on a page.
    """
    n, (x_label, y_label) = len(headings), axes
    left = room_beside(y_label, max(min(height, TALLEST / n), _LEAST_AXES))
    right = max([right, *(own.right for own in labels.values())])
    wide = sheet().width - left - right
    lines = {
        name: wrap(said, wide + right - 20.0, BODY) if said else []
        for name, said in headings.items()
    }
    above = {name: labels[name].above if name in labels else 10.0 for name in headings}
    tops = {name: lines_height(len(lines[name]), BODY) + above[name] for name in headings}
    below = room_below(x_label, wide, tick_lines=tick_lines)
    spare = (TALLEST - sum(tops.values())) / n - below
    least = max([_LEAST_PANEL, *(own.height for own in labels.values())])
    height = max(min(height, spare), least)
    if sum(tops.values()) + n * (height + below) > _PAGE:
        raise PageError(f"{plural(n, 'panel')} do not fit on a page: show fewer groups.")
    figure = page(sum(tops.values()) + n * (height + below))
    placed, top = {}, 0.0
    for name, said in lines.items():
        ax = placed[name] = add_axes(figure, left, top + tops[name], wide, height)
        ax.set_title("\n".join(said), loc="left", pad=above[name] - 3.0, **font(BODY))
        top += tops[name] + height + below
    return figure, placed


def in_grid(
    n: int, columns: int, each: float, *, least: float = 0.0, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a page of `n` panels in columns, its rows `each` points high or as a page allows."""
    down = -(-n // columns)
    figure = page(max(min(each, TALLEST / down), least) * down, by_hand=False)
    axes = figure.subplots(down, columns, squeeze=False, sharey=sharey)
    for spare in axes.flat[n:]:
        spare.remove()
    return figure, [*axes.flat[:n]]


def _laid_out_anew(figure: Figure) -> bool:
    """Lay the figure out; say whether words left the axes no room at all."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure.draw_without_rendering()
    return any("axes sizes collapsed" in str(warning.message) for warning in told)


def _raised(figure: Figure, *, collapsed: bool) -> bool:
    """Give the page what its lowest axes lack in height, as far as it goes; say if it did."""
    lowest = min((height_in_points(ax) for ax in figure.axes), default=_LEAST_AXES)
    rows = len({round(ax.get_position().y0, 3) for ax in figure.axes})
    lacking = rows * (_LEAST_AXES - (0.0 if collapsed else lowest))
    before = 72.0 * figure.get_figheight()
    after = max(before, min(before + lacking, _PAGE))
    figure.set_figheight(after / 72.0)
    return after > before + 0.5


def _explicit(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature that names what every figure takes."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = [
        one
        for one in signature.parameters.values()
        if one.kind != kinds[0] and one.name not in _SAID
    ]
    types = Common.__annotations__
    common = [
        inspect.Parameter(name, kinds[1], default=None, annotation=types[name]) for name in _SAID
    ]
    return signature.replace(parameters=[*own, *common])


def _with_common(text: str, width: float) -> str:
    """Return a docstring that describes what every figure takes, where it does not yet."""
    text = inspect.cleandoc(text)
    missing = {
        name: said
        for name, said in _SAID.items()
        if not re.search(rf"^{name}$", text, re.MULTILINE)
    }
    added = "\n".join(f"{name}\n    {said.format(width)}" for name, said in missing.items())
    section = _SECTION.search(text)
    place = section.start() if section else len(text)
    head = text[:place].rstrip()
    if "Parameters\n-" not in head:
        head += "\n\nParameters\n----------"
    return f"{head}\n{added}\n\n{text[place:]}".rstrip() + "\n"
