"""Every changed sign of a core formula is of a line that the package still has, once."""

from tests.mutants.__main__ import ROOT, places_of, sources_of
from tests.mutants.changes import CHANGES


def test_each_changed_line_stands_in_one_place():
    sources = sources_of(ROOT)
    astray = {
        change.formula: places
        for change in CHANGES
        if len(places := places_of(change, sources)) != 1
    }
    assert astray == {}
