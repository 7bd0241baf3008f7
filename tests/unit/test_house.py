"""The house as CONTRIBUTING draws it: names of files are unique, and what is named is there."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

import alliance_stats

PACKAGE = Path(alliance_stats.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)
REFERENCE = re.compile(r":(?:mod|func|class|data|meth|attr):`~?(alliance_stats[\w.]*)`")


def test_no_two_files_share_a_name() -> None:
    names = Counter(
        path.name for path in MODULES if path.name not in ("__init__.py", "__main__.py")
    )
    assert [name for name, n in names.items() if n > 1] == []


def test_every_file_that_the_picture_names_is_there() -> None:
    picture = PACKAGE.parent / "CONTRIBUTING.md"
    if not picture.is_file():
        pytest.skip("an installed package has no picture beside it")
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|bib))`", picture.read_text(encoding="utf-8")))
    named -= {"test_x.py", "analyses/x.py", "tests/end_to_end/test_x.py"}  # names of no file
    rooms = (PACKAGE, *(PACKAGE.parent / name for name in ("analyses", "tests", "docs")))
    there = {path.as_posix() for room in rooms for path in room.rglob("*.*")}
    assert len(named) > 30
    assert [n for n in sorted(named) if not any(path.endswith(f"/{n}") for path in there)] == []


def _stands(name: str) -> bool:
    parts = name.split(".")
    for known in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:known]))
        except ModuleNotFoundError:
            continue
        for part in parts[known:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_what_docstrings_refer_to_is_there() -> None:
    asked = {
        name: path.name
        for path in MODULES
        for name in REFERENCE.findall(path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 50
    assert {name: file for name, file in asked.items() if not _stands(name)} == {}
