"""One self-contained page of a study's texts, figures and tables, without Quarto."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import to_html, to_markdown
from alliance_stats.output import csv_text, write_whole
from alliance_stats.tables import ReportTable

__all__ = ["PARTS_STYLE", "Part", "at_hand", "drawing", "markdown", "with_labels", "write_page"]

Part = str | ReportFigure | ReportTable
"""A paragraph, a figure or a table."""

_LEFT = re.compile(  # for Quarto to resolve: cross-references, and citations
    r"(@(?:fig|tbl)-[a-z0-9]+(?:-[a-z0-9]+)*|\[@[a-z]+\w*(?:; @[a-z]+\w*)*\])"
)
_REFERENCE = re.compile(r"@((?:fig|tbl)-[a-z0-9]+(?:-[a-z0-9]+)*)")
PARTS_STYLE = """
svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.drawing { background: #fff; border-radius: 4px; }
.drawing.narrow { display: none; }
.frame { overflow-x: auto; }
.at-hand { font-size: .8125rem; } .at-hand summary { cursor: pointer; }
.at-hand code { overflow-wrap: anywhere; }
td, th { overflow-wrap: break-word; }
@media (max-width: 40rem) {
  .drawing.wide { display: none; }
  .drawing.narrow { display: block; }
  table, tbody, tr, td, tbody th { display: block; }
  thead { position: absolute; clip-path: inset(50%); height: 1px; width: 1px; overflow: hidden; }
  tr { border-top: 1px solid currentColor; padding: .375rem 0; }
  tr:first-child { border-top: 0; }
  td, td[style] { display: flex; justify-content: space-between; gap: 1rem; padding: .125rem 0; }
  td { text-align: right; overflow-wrap: anywhere; }
  td::before { content: attr(data-label); text-align: left; font-weight: 600; }
  td:first-child { font-weight: 600; text-align: left; }
  td:first-child::before, td:empty { display: none; }
}
@media print {
  .drawing.narrow, .at-hand { display: none; } .drawing.wide { display: block; }
  figure, table, tr { break-inside: avoid; } h2, h3, figcaption { break-after: avoid; }
}
"""
"""How figures and tables stand on a page: narrower ones on a phone, rows as cards, print."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2327; --paper: #fff; --link: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --link: #6db7e8; }
}
body {
  font-family: sans-serif; line-height: 1.5; max-width: 46rem; margin: auto; padding: 1rem;
  color: var(--ink); background: var(--paper);
}
a { color: var(--link); }
figure { margin: 0; }
table { border-collapse: collapse; } td, th { padding: 0.2rem 0.6rem; }
thead, tbody { border-top: 1px solid; border-bottom: 1px solid; }
th { text-align: left; } caption { text-align: left; padding-bottom: 0.4rem; }
.part { margin: 2rem 0; }
@media print { :root { --ink: #000; --paper: #fff; } }
"""

_PHONE = 89.0  # mm, about the width of a phone's screen
_MOST_DATA = 200_000  # characters of a figure's numbers that a page carries


def drawing(figure: ReportFigure) -> str:
    """Return a figure's picture twice: as it is, and laid out for phones."""
    wide = f'<div class="drawing wide">{_svg(figure)}</div>'
    if figure.again is None:
        return f'<div class="drawing">{_svg(figure)}</div>'
    phone = replace(figure.again(width=_PHONE), label=f"{figure.label}-phone", alt=figure.alt)
    return f'{wide}\n<div class="drawing narrow">{_svg(phone)}</div>'


def _svg(figure: ReportFigure) -> str:
    svg = figure.svg()
    return svg[svg.index("<svg ") :]


def at_hand(figure: ReportFigure) -> str:
    """Return what a reader may want beside a figure: its description, its numbers, its function."""
    text = csv_text(figure.data)
    numbers = f"{len(figure.data):,} rows of data stand in {figure.label}.csv."
    if len(text) <= _MOST_DATA:
        coded = base64.b64encode(text.encode("utf-8")).decode("ascii")
        numbers = (
            f'<a download="{figure.label}.csv" href="data:text/csv;base64,{coded}">'
            f"Data ({figure.label}.csv)</a>."
        )
    code = _code(figure.again)
    by = f"<p>Drawn by <code>{to_html(code)}</code>.</p>\n" if code else ""
    return (
        f'<details class="at-hand"><summary>Description, data and code</summary>\n'
        f"<p>{to_html(figure.alt)}</p>\n<p>{numbers}</p>\n{by}</details>"
    )


def _code(again: object) -> str:
    """Return the call that draws a figure: what it is of stands by its kind, options as given."""
    if not isinstance(again, partial):
        return ""
    options = {
        name: value
        for name, value in again.keywords.items()
        if isinstance(value, str | int | float | tuple | list | dict) and name != "words"
    }
    given = [
        *(type(part).__name__ for part in again.args),
        *(f"{name}={value!r}" for name, value in options.items()),
    ]
    return f"{again.func.__name__}({', '.join(given)})"


def with_labels(html: str, table: ReportTable) -> str:
    """Return a table's HTML whose cells carry their heading, shown beside them on phones.

    On wider screens, a table with more columns than fit scrolls within its frame.
    """
    headings = [to_html(str(name)) for name in table.frame.columns]

    def named(row: re.Match[str]) -> str:
        cells = iter(headings)
        return re.sub(r"<td", lambda _: f'<td data-label="{next(cells)}"', row[0])

    framed = html.replace("<table", '<div class="frame"><table', 1)
    framed = framed.replace("</table>", "</table></div>", 1)
    return re.sub(r"<tr><td.*?</tr>", named, framed, flags=re.DOTALL)


def write_page(
    path: Path, *, title: str, source: str, sections: Mapping[str, Sequence[Part]]
) -> None:
    """Write a self-contained HTML page: one heading per section, its parts below.

    Parameters
    ----------
    path
        File to write.
    source
        Where the data come from; printed below the title.
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
    html = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{to_html(title)}</title>\n<style>{_STYLE}{PARTS_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{to_html(title)}</h1>\n<p>{to_html(source)}</p>\n{body}\n</body>\n</html>\n"
    )
    write_whole(path, html)


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
    if isinstance(part, str):
        return f"<p>{''.join(_linked(part, names))}</p>"
    name, html = f"<strong>{names[part.label]}.</strong> ", part.html()
    if isinstance(part, ReportFigure):
        before, after = html.index("<svg "), html.index("<figcaption>")
        html = html[:before] + drawing(part) + "\n" + html[after:]
        html = html.replace("<figcaption>", f"<figcaption>{name}", 1)
        return f'<div class="part">{html}{at_hand(part)}</div>'
    html = with_labels(html.replace("<caption>", f"<caption>{name}", 1), part)
    return f'<div class="part">{html}</div>'


def _linked(text: str, names: Mapping[str, str]) -> Iterator[str]:
    for place, piece in enumerate(_REFERENCE.split(text)):
        if place % 2 == 0:
            yield _between(piece, partial(to_html, italics=True))
        elif piece in names:
            yield f'<a href="#{piece}">{names[piece]}</a>'
        else:
            raise ValueError(f"A text refers to '@{piece}', which is not on the page.")


def _text(text: str) -> str:
    """Return text as Markdown, its references and citations left for Quarto to resolve."""
    first, *rest = _LEFT.split(text)
    return _between(first, to_markdown) + "".join(
        piece if i % 2 == 0 else _between(piece, _markdown_within) for i, piece in enumerate(rest)
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
