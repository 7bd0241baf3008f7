"""Every result gives an account of itself, and prints it through the one renderer."""

import importlib
import inspect
import pkgutil

import pytest

import alliance_stats
from alliance_stats.account import html_of, summary_of


def _results() -> list[type]:
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(alliance_stats.__path__, "alliance_stats."):
        if ".templates" in module.name or module.name.endswith("__main__"):
            continue
        for name, thing in vars(importlib.import_module(module.name)).items():
            if not inspect.isclass(thing) or thing.__module__ != module.name:
                continue
            if hasattr(thing, "summary") and not getattr(thing, "_is_protocol", False):
                found[name] = thing
    return list(found.values())


@pytest.mark.parametrize("result", _results(), ids=lambda result: result.__name__)
def test_a_result_speaks_through_its_account(result: type):
    for name in ("method", "notes", "account", "rows"):
        assert hasattr(result, name) or name in getattr(result, "__annotations__", {}), name
    parameters = inspect.signature(result.account).parameters
    # None where the level was chosen when the result was made
    assert parameters["conf_level"].default in (0.95, None)
    assert all(p.kind == p.KEYWORD_ONLY for n, p in parameters.items() if n != "self")
    assert result.summary is summary_of
    assert result._repr_html_ is html_of
