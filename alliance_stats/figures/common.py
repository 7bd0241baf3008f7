"""What every figure takes, and the sheet it is laid out on."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from typing import Any, ParamSpec, TypedDict, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alliance_stats.figures.axes import (
    PageError,
    check_limits,
    height_in_points,
    refit,
    thin_ticks,
    width_in_points,
)
from alliance_stats.figures.style import PER_MM, Sheet, Theme, on_sheet, sheet

__all__ = ["Common", "laid_out", "settle"]

P = ParamSpec("P")
R = TypeVar("R")
_PAGE = 691.0  # pt, 9.6 in: what a page holds
_PASSES = 8
_LEAST_WIDTH = 40.0  # pt of axes, below which letters are made smaller where they can be
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
