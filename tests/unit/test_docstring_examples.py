"""Every public function has a short example in its docstring, and it prints what it says."""

import doctest
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
    scales,
    simulate,
    study,
    survival,
    tables,
    transforms,
)

ROOMS = (
    als, archive, association, effect_sizes, evidence, family, figures, groups, panel, scales,
    simulate, study, survival, tables, transforms,
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
    doctest.DocTestRunner(verbose=False).run(found, out=said.append)
    assert not said, "".join(said)
