"""Every figure can be imported from the room's door."""

import importlib
import pkgutil

import pytest

from alliance_stats import figures

_UNFINISHED: set[str] = set()  # not tested yet: no promise is made of them
_MODULES = sorted({module.name for module in pkgutil.iter_modules(figures.__path__)} - _UNFINISHED)


def _is_figure(name: str) -> bool:
    return name.endswith("_figure") and name != "new_figure"  # new_figure makes an empty canvas


def _public(module: str) -> list[str]:
    names = getattr(importlib.import_module(f"alliance_stats.figures.{module}"), "__all__", [])
    return [name for name in names if name.startswith("draw_") or _is_figure(name)]


@pytest.mark.parametrize("module", _MODULES)
def test_public_figures_and_drawings_are_exported(module: str) -> None:
    missing = [name for name in _public(module) if name not in figures.__all__]
    assert missing == []


def test_all_names_exist_once_and_in_order() -> None:
    assert "ReportFigure" in figures.__all__
    assert list(figures.__all__) == sorted(set(figures.__all__))
    assert all(hasattr(figures, name) for name in figures.__all__)


def test_the_door_says_what_is_behind_it() -> None:
    assert figures.__doc__ is not None
    assert "ReportFigure" in figures.__doc__
