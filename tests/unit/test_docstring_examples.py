"""Every public function has a short example in its docstring, and it prints what it says.

It leaves the caller's settings as they were: random states, warnings, locale, folder and the rest.
"""

import doctest
import importlib
import inspect

import pytest

import alliance_stats as als
from alliance_stats import (
    archive,
    association,
    effect_sizes,
    evidence,
    family,
    figures,
    groups,
    panel,
    provenance,
    scales,
    simulate,
    study,
    survival,
    tables,
    transforms,
)
from tests.fuzz.driver import changed_settings, settings

# as an attribute of the package it is the function of the same name
cross_check = importlib.import_module("alliance_stats.cross_check")
ROOMS = (
    als, archive, association, cross_check, effect_sizes, evidence, family, figures, groups, panel,
    provenance, scales, simulate, study, survival, tables, transforms,
)  # fmt: skip
FUNCTIONS = {
    f"{found.__module__}.{name}": found
    for room in ROOMS
    for name in room.__all__
    # draw_x is the part of x_figure that draws on the caller's own axes
    if inspect.isfunction(found := getattr(room, name)) and not name.startswith("draw_")
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_example_runs(name):
    function = inspect.unwrap(FUNCTIONS[name])
    (found,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert found.examples, f"{name} has no example"
    said: list[str] = []
    before = settings()
    doctest.DocTestRunner(verbose=False).run(found, out=said.append)
    assert not said, "".join(said)
    assert changed_settings(before, settings()) == {}
