"""What every figure takes, and the sheet it is laid out on."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from typing import Any, ParamSpec, TypedDict, TypeVar

from alliance_stats.figures.axes import check_limits
from alliance_stats.figures.style import PER_MM, Sheet, Theme, on_sheet, sheet

__all__ = ["Common", "laid_out"]

P = ParamSpec("P")
R = TypeVar("R")


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
            with on_sheet(Sheet(theme, wide * PER_MM, sheet().parent, sheet().whole)):
                made = function(*args, **given)
            again: Any = partial(on_its_sheet, *args, **kwargs)
            return replace(made, again=again) if hasattr(made, "again") else made  # type: ignore[type-var]

        on_its_sheet.__signature__ = signature  # type: ignore[attr-defined]
        on_its_sheet.__doc__ = _with_common(function.__doc__ or "", width)
        return on_its_sheet

    return decorated


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
