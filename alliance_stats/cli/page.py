"""One self-contained page of a study's texts, figures and tables, where there is no Quarto."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import to_html, to_markdown
from alliance_stats.tables import ReportTable

__all__ = ["Part", "markdown", "write_page"]

Part = str | ReportFigure | ReportTable
"""A paragraph, a figure or a table."""

_REFERENCE = re.compile(r"@((?:fig|tbl)-[a-z0-9]+(?:-[a-z0-9]+)*)")
_STYLE = """
body { font-family: sans-serif; line-height: 1.5; max-width: 46rem; margin: auto; padding: 1rem; }
figure { margin: 0; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: 0.2rem 0.6rem; }
thead, tbody { border-top: 1px solid; border-bottom: 1px solid; }
th { text-align: left; } caption { text-align: left; padding-bottom: 0.4rem; }
.part { overflow-x: auto; margin: 2rem 0; }
"""


def write_page(
    path: Path, *, title: str, source: str, sections: Mapping[str, Sequence[Part]]
) -> None:
    """Write an HTML page that needs no file beside it: a heading a section, its parts under it.

    Parameters
    ----------
    path
        File to write.
    source
        Where the data come from; stands under the title.
    sections
        Heading -> parts, in order. A text may refer to a part as ``@fig-x`` or ``@tbl-x``.

    Raises
    ------
    ValueError
        If a text refers to a part that is not on the page, or two parts share a label.
    """
    names = _names([part for parts in sections.values() for part in parts])
    body = "\n".join(
        f"<h2>{to_html(heading)}</h2>\n" + "\n".join(_html(part, names) for part in parts)
        for heading, parts in sections.items()
    )
    path.write_text(
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{to_html(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{to_html(title)}</h1>\n<p>{to_html(source)}</p>\n{body}\n</body>\n</html>\n",
        encoding="utf-8",
        newline="\n",
    )


def markdown(part: Part, folder: Path) -> str:
    """Return a part as Quarto Markdown; figures and tables are saved into `folder` first.

    `folder` lies one folder below the document, as ``generated`` does below ``report.qmd``.
    """
    if isinstance(part, str):
        return _text(part) + "\n"
    if isinstance(part, ReportFigure):
        return part.save(folder, included_from=folder.parent).read_text(encoding="utf-8")
    return part.save(folder).read_text(encoding="utf-8")


def _names(parts: Sequence[Part]) -> dict[str, str]:
    """Give every figure and table its name, ``Figure 1`` or ``Table 1``, in order."""
    names: dict[str, str] = {}
    counts = {"Figure": 0, "Table": 0}
    for part in parts:
        if isinstance(part, str):
            continue
        if part.label in names:
            raise ValueError(f"Two parts of the page are labelled '{part.label}'.")
        kind = "Figure" if isinstance(part, ReportFigure) else "Table"
        counts[kind] += 1
        names[part.label] = f"{kind} {counts[kind]}"
    return names


def _html(part: Part, names: Mapping[str, str]) -> str:
    if not isinstance(part, str):
        name = f"<strong>{names[part.label]}.</strong> "
        tag = "<figcaption>" if isinstance(part, ReportFigure) else "<caption>"
        return f'<div class="part">{part.html().replace(tag, tag + name, 1)}</div>'
    return f"<p>{''.join(_linked(part, names))}</p>"


def _linked(text: str, names: Mapping[str, str]) -> Iterator[str]:
    for place, piece in enumerate(_REFERENCE.split(text)):
        if place % 2 == 0:
            yield _between(piece, partial(to_html, italics=True))
        elif piece in names:
            yield f'<a href="#{piece}">{names[piece]}</a>'
        else:
            raise ValueError(f"A text refers to '@{piece}', which is not on the page.")


def _text(text: str) -> str:
    """Return text as Markdown, its references left for Quarto to resolve."""
    pieces = _REFERENCE.split(text)
    first, rest = pieces[0], pieces[1:]
    return _between(first, to_markdown) + "".join(
        f"@{piece}" if i % 2 == 0 else _between(piece, _markdown_within)
        for i, piece in enumerate(rest)
    )


def _markdown_within(text: str) -> str:
    """Return text as Markdown that stands within a line, where ``:`` or ``-`` begin nothing."""
    return to_markdown(f"x{text}")[1:]


def _between(piece: str, written: Callable[[str], str]) -> str:
    """Return a piece between two references as it is written, the spaces beside them kept."""
    if not piece.strip():
        return piece
    before, after = len(piece) - len(piece.lstrip()), len(piece.rstrip())
    return piece[:before] + written(piece.strip()) + piece[after:]
