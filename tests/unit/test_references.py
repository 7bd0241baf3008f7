"""Every result names the publications of its method, and each of these has an entry."""

import ast
import re
from pathlib import Path

import pytest

import alliance_stats
from alliance_stats import bibliography, endings, example_study, kaplan_meier, lmm
from alliance_stats.account import REFERENCES, entries_of
from alliance_stats.sentences import methods_paragraph

ROOT = Path(alliance_stats.__file__).parent
DOI = re.compile(r"10\.\d{4,9}/\S+")
# they count, compare or check, by no published method; the last is the example of the docstring
WITHOUT = {
    "association/brought_models.py",
    "cross_check/cross_check.py",
    "evidence/meta/beside_published.py",
    "evidence/printed/reproduction.py",
    "family/indices.py",
    "family/ruptures/finding_ruptures.py",
    "family/splits.py",
    "groups/classification.py",
    "groups/stage_transitions.py",
    "groups/theme_transitions.py",
    "multilevel/after/resampling.py",
    "multilevel/after/standardised_coefficients.py",
    "study/description.py",
    "survival/rows/unit_endings.py",
}


def accounts() -> dict[str, list[ast.Call]]:
    found: dict[str, list[ast.Call]] = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Account", "Account.of"):
                found.setdefault(path.relative_to(ROOT).as_posix(), []).append(node)
    return found


def test_every_account_names_its_sources():
    calls = accounts()
    assert len(calls) > 70
    without = {
        file
        for file, nodes in calls.items()
        if any("sources" not in {k.arg for k in node.keywords} for node in nodes)
    }
    assert without == WITHOUT


def test_every_key_in_the_code_has_an_entry_and_every_entry_is_named():
    text = "\n".join(p.read_text(encoding="utf-8") for p in ROOT.rglob("*.py"))
    named = set(re.findall(r'"([a-z]+(?:19|20)\d\d(?:book)?)"', text))
    named -= {"welmers2018"}  # a published record
    assert named <= set(REFERENCES)
    assert set(REFERENCES) <= named


@pytest.mark.parametrize("key", REFERENCES)
def test_an_entry_has_what_a_reference_list_needs(key):
    entry = REFERENCES[key]
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
    assert {"author", "title", "year"} <= set(fields)
    assert fields["year"] in key
    assert fields.keys() & {"journal", "publisher", "booktitle"}
    assert all(value.count("{") == value.count("}") for value in fields.values())
    assert DOI.fullmatch(fields.get("doi", "10.1000/none"))


def test_a_key_without_an_entry_is_refused():
    with pytest.raises(KeyError, match="Did you mean 'bates2015'"):
        entries_of(["bates2014"])


def test_what_the_methods_paragraph_cites_is_in_the_bibliography():
    study = example_study()
    families = endings(study).units.head(60)
    model = lmm("alliance ~ session + (1 | family)", study.sessions.head(600))
    curves = kaplan_meier(families, time="time", event="event")
    found = {"alliance": model, "leaving": curves}
    for df_method, key in (("satterthwaite", "kuznetsova2017"), ("kenward-roger", "kenward1997")):
        text = methods_paragraph(found, df_method=df_method, cited=True)
        cited = set(re.findall(r"@(\w+)", text))
        assert {"bates2015", key, "kaplan1958", "harris2020"} <= cited
        bib = bibliography(found, df_method=df_method)
        assert set(re.findall(r"^@\w+\{(\w+),", bib, re.MULTILINE)) == cited
    assert "[@" not in methods_paragraph(found)
