"""A .qmd as the check reads it: front matter, text and cells, with includes put in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

_INCLUDE = re.compile(r"\{\{<\s*include\s+(\S+)\s*>\}\}")
_VARIABLE = re.compile(r"\{\{<\s*var\s+(\S+)\s*>\}\}")
_CELL = re.compile(r"^```\{python\}[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)^---\n", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """A Python cell: its ``#|`` options and its code."""

    options: dict[str, object]
    code: str


@dataclass(frozen=True)
class Document:
    """Front matter, pieces in order (text or cell), and what was amiss while reading them."""

    settings: dict[str, object]
    pieces: tuple[str | Cell, ...]
    problems: tuple[str, ...]

    @property
    def cells(self) -> list[Cell]:
        return [piece for piece in self.pieces if isinstance(piece, Cell)]


def read_document(path: Path) -> Document:
    problems: list[str] = []
    source = path.read_text(encoding="utf-8")
    front = _FRONT_MATTER.match(source)
    settings = yaml.safe_load(front[1]) if front else {}
    text = _included(_FRONT_MATTER.sub("", source, count=1), path.parent, problems)
    text = _with_variables(text, path.parent, problems)
    return Document(settings or {}, tuple(_pieces(text, problems)), tuple(problems))


def _included(text: str, folder: Path, problems: list[str]) -> str:
    def put_in(found: re.Match[str]) -> str:
        file = folder / found[1]
        if not file.is_file():
            problems.append(f"included file '{found[1]}' is not there")
            return ""
        return _included(file.read_text(encoding="utf-8"), folder, problems)

    return _INCLUDE.sub(put_in, text)


def _with_variables(text: str, folder: Path, problems: list[str]) -> str:
    file = folder / "_variables.yml"
    known = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def put_in(found: re.Match[str]) -> str:
        value = known
        for name in found[1].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            problems.append(f"variable '{found[1]}' is not in _variables.yml")
            return ""
        return str(value)

    return _VARIABLE.sub(put_in, text)


def _pieces(text: str, problems: list[str]) -> Iterator[str | Cell]:
    end = 0
    for found in _CELL.finditer(text):
        yield _COMMENT.sub("", text[end : found.start()])
        yield _cell(found[1], problems)
        end = found.end()
    yield _COMMENT.sub("", text[end:])


def _cell(source: str, problems: list[str]) -> Cell:
    lines = source.splitlines()
    n_options = next((i for i, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = yaml.safe_load("\n".join(line[2:] for line in lines[:n_options])) or {}
    if not isinstance(options, dict):
        problems.append(f"cell options are not 'name: value' pairs: {lines[:n_options]}")
        options = {}
    return Cell(options, "\n".join(lines[n_options:]))
