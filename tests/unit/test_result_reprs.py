"""A result shows itself in one line; what it found is asked for by tidy() and summary()."""

import ast
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import alliance_stats
from alliance_stats.datasets import example_study
from alliance_stats.estimates import one_line
from alliance_stats.family import family_indices
from alliance_stats.groups import compare_groups, compare_themes
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import lmm
from alliance_stats.survival import kaplan_meier

LONGEST = 200  # characters: a line of a notebook


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fit:
    values: np.ndarray
    rows: RowLedger
    formula: str

    __repr__ = one_line


def test_a_line_names_the_class_the_formula_and_the_rows():
    rows = RowLedger.start(pd.DataFrame({"x": np.arange(5453)}))
    assert (
        repr(Fit(np.arange(5453), rows, "y ~ x + (1 | g)")) == "<Fit: y ~ x + (1 | g), 5,453 rows>"
    )


def test_a_long_formula_is_cut():
    rows = RowLedger.start(pd.DataFrame({"x": [1]}))
    shown = repr(Fit(np.arange(1), rows, " + ".join(["predictor"] * 40)))
    assert shown.endswith("…, 1 row>")
    assert len(shown) < LONGEST


def test_a_result_without_rows_or_formula_is_its_name():
    class Bare:
        __repr__ = one_line

    assert repr(Bare()) == "<Bare>"


def _results_with_their_decorators() -> list[tuple[str, set[str]]]:
    found = []
    for path in sorted(Path(alliance_stats.__file__).parent.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            if not any("dataclass" in ast.unparse(one) for one in node.decorator_list):
                continue
            methods = {m.name for m in node.body if isinstance(m, ast.FunctionDef)}
            names = {t.id for a in node.body if isinstance(a, ast.Assign) for t in a.targets}
            if "summary" in methods:
                found.append((f"{path.stem}.{node.name}", methods | names))
    return found


@pytest.mark.parametrize(("name", "members"), _results_with_their_decorators())
def test_every_result_with_a_summary_has_its_one_line(name: str, members: set[str]):
    assert "__repr__" in members, name


def test_real_results_are_short():
    sessions = example_study().sessions
    persons = sessions.groupby("person", as_index=False).last()
    persons["left"] = persons["ending"] == "dropout"
    themes = pd.DataFrame({"group": ["a", "b"] * 4, "theme": [0, 1, 1, 0, 1, 1, 0, 0]})
    results = [
        lmm("symptoms ~ session + (1 | person)", sessions),
        kaplan_meier(persons, time="session", event="left"),
        compare_groups(persons, outcomes="symptoms", group="framework", cluster="family"),
        compare_themes(themes, themes=["theme"], group="group"),
        family_indices(
            sessions, family="family", person="person", session="session", score="alliance"
        ),
    ]
    for result in results:
        shown = repr(result)
        assert shown.startswith(f"<{type(result).__name__}")
        assert "rows>" in shown
        assert len(shown) < LONGEST
