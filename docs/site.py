"""Builds the site of the documentation: ``python -m docs.site``, into ``docs/_site``.

The sources of the site are put together in ``docs/_source``: the pages that are kept in the
repository, the executed pages of ``docs/pages``, a reference page for each room, and the glossary
of the columns. Sphinx makes HTML of them, with its own search, and needs no internet. A warning of
Sphinx (a link that leads nowhere, a docstring that does not parse) ends the build.
"""

import importlib
import inspect
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from sphinx.cmd.build import main as sphinx_build

from alliance_stats.estimates import GLOSSARY
from docs.build import FOLDER, built, sections

SOURCE, SITE = FOLDER / "_source", FOLDER / "_site"
KEPT = ("index.md", "names.md", "r_dictionary.md", "benchmarks.md", "census.md", "first_study.md")
# A link from a page to a file beside the documentation, which the site does not hold.
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)*(?:\.\./data|data|tests|analyses)/[^)]*\)")
COVERAGE = """# Simulation results: coverage and type I error

Each table comes from simulated studies with known truth, made by the tests that are marked slow.
"""
ROOMS = {
    "study": "The table, and files",
    "scales": "Items, scores, reliability",
    "transforms": "New columns: levels, lags, periods",
    "multilevel": "Multilevel models, and what follows a fit",
    "panel": "Session to session",
    "survival": "Dropout",
    "groups": "Groups, success, themes",
    "family": "The family as a system",
    "association": "Correlations, regression, ANOVA",
    "evidence": "Published numbers",
    "effect_sizes": "Effect sizes",
    "simulate": "Simulated studies",
    "power": "Planning a study",
    "figures": "Figures",
    "tables": "Tables",
    "sentences": "Sentences",
    "archive": "Saved results",
    "provenance": "Provenance of reports",
    "cross_check": "The same question to other libraries",
}


def main() -> int:
    """Put the sources together and build the site; return Sphinx's exit code."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "_static").mkdir(parents=True)
    shutil.copy(FOLDER / "conf.py", SOURCE)
    shutil.copy(FOLDER / "site.css", SOURCE / "_static")
    for name in KEPT:
        shutil.copy(FOLDER / name, SOURCE)
    for folder in ("coverage", "methods", "pictures"):
        shutil.copytree(FOLDER / folder, SOURCE / folder)
    for page in SOURCE.rglob("*.md"):
        page.write_text(OUTSIDE.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
    methods = (SOURCE / "methods" / "README.md").rename(SOURCE / "methods" / "index.md")
    _add_contents(methods, methods.read_text(encoding="utf-8"))
    _add_contents(SOURCE / "coverage" / "index.md", COVERAGE)
    for section in sections():
        _write_section(section)
    _write_reference()
    (SOURCE / "glossary.md").write_text("\n".join(_glossary()), encoding="utf-8")
    return int(sphinx_build(["-q", "-W", "--keep-going", "-b", "html", str(SOURCE), str(SITE)]))


def _add_contents(page: Path, text: str) -> None:
    """Write a section's first page, with a list of the other pages, unless its text links them."""
    shown = ":hidden:\n" if "](" in text else ""
    page.write_text(f"{text}\n\n```{{toctree}}\n:glob:\n{shown}\n*\n```\n", encoding="utf-8")


def _write_section(folder: Path) -> None:
    """Execute the pages of one section, and lay its pictures beside them."""
    out = SOURCE / folder.name
    out.mkdir()
    for data in sorted(folder.glob("*.csv")):
        shutil.copy(data, out)
    for path in sorted(folder.glob("*.md")):
        page, text = out / path.name, built(path, pictures=out)
        if path.stem == "index":
            _add_contents(page, text)
        else:
            page.write_text(text, encoding="utf-8")


def _write_reference() -> None:
    out = SOURCE / "reference"
    out.mkdir()
    entries = "\n".join(ROOMS)
    (out / "index.md").write_text(
        "# Reference\n\nEvery public name, room by room. Functions carry the method's name; what "
        f"they return is a noun.\n\n```{{toctree}}\n{entries}\n```\n",
        encoding="utf-8",
    )
    for room, title in ROOMS.items():
        module = importlib.import_module(f"alliance_stats.{room}")
        (out / f"{room}.md").write_text(
            "\n".join(_reference(room, module, title)), encoding="utf-8"
        )


def _reference(room: str, module: ModuleType, title: str) -> Iterator[str]:
    """Yield the lines of one room's page: functions first, then what they return."""
    yield f"# {title}\n"
    yield f"`{module.__name__}`. {inspect.getdoc(module) or ''}\n"
    public = {name: getattr(module, name) for name in module.__all__}
    # what a room shows to other rooms alone has no example
    functions = [
        name
        for name, found in public.items()
        if inspect.isfunction(found)
        and (name.startswith("draw_") or ">>>" in (inspect.getdoc(found) or "") or room == "power")
    ]
    classes = [name for name, found in public.items() if inspect.isclass(found)]
    yield "```{eval-rst}"
    yield f".. currentmodule:: {module.__name__}\n"
    for name in sorted(functions):
        yield f".. autofunction:: {name}"
    for name in sorted(classes):
        yield f".. autoclass:: {name}\n   :members:\n   :exclude-members: __init__\n"
    yield "```"


def _glossary() -> Iterator[str]:
    """Yield the glossary of the columns, in the order of the alphabet."""
    yield "# Glossary of columns\n"
    yield "A column means the same thing in every result.\n"
    yield "| column | meaning |"
    yield "|---|---|"
    for column, meaning in sorted(GLOSSARY.items()):
        yield f"| `{column}` | {meaning.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    sys.exit(main())
