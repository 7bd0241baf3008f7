"""The check itself: a list of what is amiss in a document, empty where nothing is."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.quarto_check.document import Cell, Document, read_document
from tests.quarto_check.execution import run_cells
from tests.quarto_check.options import (
    unknown_cell_options,
    unknown_document_options,
    unknown_project_options,
)

_DIV = re.compile(r"^::: \{#((fig|tbl)-[^\s}]+)[^}]*\}\n(.*?)^:::[ \t]*$", re.MULTILINE | re.DOTALL)
_IMAGE = re.compile(r"!\[((?:[^\]\\]|\\.)*)\]\(([^)]*)\)(?:\{([^}]*)\})?")
_ALT = re.compile(r'fig-alt="((?:[^"\\]|\\.)*)"')
_REFERENCE = re.compile(r"(?<![\\\w])@((?:fig|tbl|sec|eq|lst)-[\w-]*\w)")
_CITED = re.compile(r"(?<![\\\w])@(?!fig-|tbl-|sec-|eq-|lst-)([a-zA-Z]\w*)")
_BIB_KEY = re.compile(r"^@\w+\{([^,\s]+),", re.MULTILINE)
_HEADING_LABEL = re.compile(r"^#+ .*\{#(sec-[\w-]+)", re.MULTILINE)
_ESCAPED = re.compile(r"&(?:amp;)?(?:lt|gt);|&amp;(?:lt|gt);|\\\\[<>]")
_HTML = re.compile(r"<(table|figure|svg|p|div)\b.*?</\1>", re.DOTALL)
_CODE = re.compile(r"^```.*?^```[ \t]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_IN_WORD = re.compile(
    r'^::: \{\.content-visible when-format="docx"\}\n\n!\[(.*)\]\((.*)\)\\ \n\n:::\n\n',
    re.MULTILINE,
)
_ELSEWHERE = re.compile(
    r'^::: \{\.content-hidden when-format="docx"\}\n\n(.*?)\n\n:::$', re.MULTILINE | re.DOTALL
)
_OPENED = re.compile(r"^:::+ *\{", re.MULTILINE)


@dataclass(frozen=True)
class Checked:
    """What is amiss, and the text that would go to Pandoc."""

    problems: tuple[str, ...]
    text: str


def check_document(path: Path) -> Checked:
    """Read, run and check one .qmd in the folder it stands in."""
    document = read_document(path)
    problems = list(document.problems)
    outputs = iter(run_cells(document.cells, path.parent, problems))
    text = "\n".join(
        next(outputs) if isinstance(piece, Cell) else piece for piece in document.pieces
    )
    problems += _options(document, path.parent)
    problems += _labels(text, document.cells)
    problems += _word(text, path.parent)
    text = _ELSEWHERE.sub(r"\1", _IN_WORD.sub("", text))
    problems += _divs(text, path.parent)
    problems += _references(text)
    problems += _citations(text, document.settings, path.parent)
    problems += ["a shortcode is left as it was"] if "{{<" in _CODE.sub("", text) else []
    problems += _escapes(text)
    return Checked(tuple(problems), text)


def _options(document: Document, folder: Path) -> Iterator[str]:
    """Yield options that Quarto does not know, of cells, document and project."""
    yield from unknown_document_options(document.settings)
    for cell in document.cells:
        yield from unknown_cell_options(cell.options)
    project = folder / "_quarto.yml"
    if project.is_file():
        yield from unknown_project_options(project)


def _labels(text: str, cells: list[Cell]) -> Iterator[str]:
    labels = [found[1] for found in _DIV.finditer(text)] + _HEADING_LABEL.findall(text)
    others = [str(cell.options["label"]) for cell in cells if "label" in cell.options]
    labels += [name for name in others if not name.startswith(("fig-", "tbl-"))]
    for label, n in Counter(labels).items():
        if n > 1:
            yield f"label '{label}' stands {n} times"


def _word(text: str, folder: Path) -> Iterator[str]:
    """Yield what the pictures that Word shows lack."""
    for alt, file in _IN_WORD.findall(text):
        if not alt.strip():
            yield f"'{file}' has no alternative text in Word"
        if not (folder / file).is_file():
            yield f"Word shows '{file}', which is not there"


def _divs(text: str, folder: Path) -> Iterator[str]:
    """Yield what labelled figures and tables lack, and images outside of them."""
    for found in _DIV.finditer(text):
        label, kind, body = found.groups()
        images = _IMAGE.findall(body)
        if _OPENED.search(body):
            yield f"'{label}' holds another div"
        if kind == "fig":
            yield from _figure(label, images, folder)
        elif "|" not in body and "<table" not in body:
            yield f"'{label}' holds no table"
        rest = _HTML.sub("", _IMAGE.sub("", body))
        words = [line for line in rest.splitlines() if line.strip() and not line.startswith("|")]
        if not words:
            yield f"'{label}' has no caption"
    if _IMAGE.search(_CODE.sub("", _DIV.sub("", text))):
        yield "an image stands outside of any labelled figure"


def _figure(label: str, images: list[tuple[str, str, str]], folder: Path) -> Iterator[str]:
    if len(images) != 1:
        yield f"'{label}' holds {len(images)} images"
    for _, file, attributes in images:
        alt = _ALT.search(attributes)
        if alt is None or not alt[1].strip():
            yield f"'{label}' has no alternative text"
        if file != "cell-output" and not (folder / file).is_file():
            yield f"'{label}' shows '{file}', which is not there"


def _references(text: str) -> Iterator[str]:
    prose = _CODE.sub("", text)
    known = {found[1] for found in _DIV.finditer(text)} | set(_HEADING_LABEL.findall(text))
    referred = dict.fromkeys(_REFERENCE.findall(_IMAGE.sub("", prose)))
    for name in referred:
        if name not in known:
            yield f"'@{name}' refers to nothing"
    if "?@" in prose:
        yield "'?@' stands in the text"


def _citations(text: str, settings: Mapping[str, object], folder: Path) -> Iterator[str]:
    """Yield citations without a reference, and bibliographies that are not there or repeat keys."""
    named = settings.get("bibliography", [])
    files = [named] if isinstance(named, str) else list(named)  # type: ignore[call-overload]
    keys: list[str] = []
    for name in files:
        if (folder / name).is_file():
            keys += _BIB_KEY.findall((folder / name).read_text(encoding="utf-8"))
        else:
            yield f"the bibliography '{name}' is not there"
    yield from (f"'{key}' has {n} references" for key, n in Counter(keys).items() if n > 1)
    prose = _IMAGE.sub("", _CODE.sub("", text))
    for key in dict.fromkeys(_CITED.findall(prose)):
        if key not in keys:
            yield f"'@{key}' cites nothing"


def _escapes(text: str) -> Iterator[str]:
    """Yield signs that would print as ``&lt;``; HTML escapes them rightly."""
    for found in _ESCAPED.finditer(_HTML.sub("", text)):
        around = text_around(_HTML.sub("", text), found.start())
        yield f"'{found[0]}' would be printed as it stands: {around}"


def text_around(text: str, place: int) -> str:
    """Return the few words about `place`."""
    return text[max(0, place - 20) : place + 20].replace("\n", " ")
