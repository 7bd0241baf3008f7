"""One self-contained page of all that the analyses show: no file beside it, no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from alliance_stats import __version__
from alliance_stats.cli.page import PARTS_STYLE, at_hand, drawing, with_labels
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import plural, to_html
from alliance_stats.tables import ReportTable
from analyses.chapter import REFERENCE, Chapter, Part, Section

__all__ = ["page_html"]

_STYLE = Path(__file__).with_name("page.css")
_BADGES = {"simulated": "Simulated data", "real": "Real trial", "published": "Published numbers"}
_LONG = 40  # rows of a table that is folded


def page_html(chapters: Sequence[Chapter]) -> str:
    """Return the page.

    Raises
    ------
    ValueError
        If two parts or sections share a label, or a text refers to a part that is not there.
    """
    names = _numbered(chapters)
    body = "\n".join(_chapter(chapter, names) for chapter in chapters)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>alliance_stats: figures and tables</title>
<style>
{_STYLE.read_text(encoding="utf-8")}{PARTS_STYLE}</style>
</head>
<body>
<header>
<p class="package">alliance_stats {to_html(__version__)}</p>
<h1>The alliance in nested treatment</h1>
<p>Multilevel models, dropout and group comparisons, on simulated studies and two real trials,
and the field’s printed numbers recomputed. Every number on this page was computed by the package
from data that come with it or with its dependencies.</p>
</header>
<nav aria-label="Contents">
<h2>Contents</h2>
<ol>
{_contents(chapters)}
</ol>
</nav>
<main>
{body}
</main>
</body>
</html>
"""


def _numbered(chapters: Sequence[Chapter]) -> Mapping[str, str]:
    """Give every part its name, ``Figure 1`` or ``Table 1``, in the order of the page."""
    names: dict[str, str] = {}
    counts = {"Figure": 0, "Table": 0}
    for part in (part for chapter in chapters for part in chapter.parts):
        if part.label in names:
            raise ValueError(f"Two parts of the page are labelled '{part.label}'.")
        kind = "Figure" if isinstance(part, ReportFigure) else "Table"
        counts[kind] += 1
        names[part.label] = f"{kind} {counts[kind]}"
    sections = [section.label for chapter in chapters for section in chapter.sections]
    twice = next((label for label in sections if sections.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"Two sections of the page are labelled '{twice}'.")
    return names


def _contents(chapters: Sequence[Chapter]) -> str:
    return "\n".join(
        f'<li><a href="#{chapter.name}">{to_html(chapter.title)}</a> {_badge(chapter)}\n<ul>'
        + "".join(
            f'<li><a href="#{section.label}">{to_html(section.title)}</a></li>'
            for section in chapter.sections
        )
        + "</ul></li>"
        for chapter in chapters
    )


def _badge(chapter: Chapter) -> str:
    return f'<span class="badge {chapter.data}">{_BADGES[chapter.data]}</span>'


def _chapter(chapter: Chapter, names: Mapping[str, str]) -> str:
    sections = "\n".join(_section(section, names) for section in chapter.sections)
    return (
        f'<article id="{chapter.name}">\n<h2>{to_html(chapter.title)} {_badge(chapter)}</h2>\n'
        f'<p class="source">{to_html(chapter.source)}</p>\n{sections}\n</article>'
    )


def _section(section: Section, names: Mapping[str, str]) -> str:
    text = "\n".join(f"<p>{_linked(p, names)}</p>" for p in section.text.split("\n\n"))
    parts = "\n".join(_part(part, names[part.label]) for part in section.parts)
    return (
        f'<section id="{section.label}">\n<h3>{to_html(section.title)}</h3>\n{text}\n{parts}\n'
        "</section>"
    )


def _linked(text: str, names: Mapping[str, str]) -> str:
    """Return a paragraph with each ``@fig-x`` as a link that reads ``Figure 1``."""
    pieces = REFERENCE.split(text)
    unknown = next((label for label in pieces[1::2] if label not in names), None)
    if unknown is not None:
        raise ValueError(f"A text refers to '@{unknown}', which is not on the page.")
    return "".join(
        to_html(piece, italics=True) if i % 2 == 0 else f'<a href="#{piece}">{names[piece]}</a>'
        for i, piece in enumerate(pieces)
    )


def _part(part: Part, name: str) -> str:
    """Return a figure or table, which a phone shows laid out for its width."""
    shown = _table(part) if isinstance(part, ReportTable) else drawing(part)
    kind = "table" if isinstance(part, ReportTable) else "figure"
    caption = f"<b>{name}.</b> {to_html(part.caption, italics=True)}"
    note = f'<p class="note"><em>Note.</em> {to_html(part.note, italics=True)}</p>'
    if isinstance(part, ReportTable) and len(part.frame) > _LONG:
        rows = plural(len(part.frame), "row")
        shown = f"<details><summary>Show {rows}</summary>\n{shown}\n</details>"
    inside = (
        f"<figcaption>{caption}</figcaption>\n{shown}\n{note}"
        if isinstance(part, ReportTable)
        else f"{shown}\n<figcaption>{caption}</figcaption>\n{note}\n{at_hand(part)}"
    )
    return f'<figure id="{part.label}" class="{kind}">\n{inside}\n</figure>'


def _table(table: ReportTable) -> str:
    """Return the bare table: its caption and note stand outside of what scrolls."""
    html = table.html()
    opening = html.index("<thead>")
    return with_labels(f"<table>\n{html[opening : html.index('</table>')]}</table>", table)
