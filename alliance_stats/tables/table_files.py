"""A table as a Word file and in LaTeX, set as APA prints tables: three rules, no vertical ones."""

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from alliance_stats.formatting import printable

__all__ = ["Cells", "latex", "word"]

_STATISTIC = re.compile(r"(?<![\w.])(SD|SE|df|[bdgkMNnprtUzF])(?=\([\d., ∞]+\) [=<>]| [=<>] )")
_NOTHING_NEWER = (1980, 1, 1, 0, 0, 0)  # of the files in a Word file, so that bytes repeat
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "−": r"$-$", "∞": r"$\infty$", "×": r"$\times$",
    "τ": r"$\tau$", "²": r"\textsuperscript{2}", "–": "--", "…": r"\ldots{}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cells:
    """What a table prints: its words, which columns are numbers, what is in italics.

    Attributes
    ----------
    label, caption, note
        As the table's own.
    headings
        One heading per column, in pieces: ``(text, whether it is in italics)``.
    rows
        Section that opens with the row (empty for none), and its cells.
    numeric
        Whether a column contains numbers, which are right-aligned.
    """

    label: str
    caption: str
    note: str
    headings: Sequence[Sequence[tuple[str, bool]]]
    rows: Sequence[tuple[str, Sequence[str]]]
    numeric: Sequence[bool]


def word(table: Cells) -> bytes:
    """Return a Word file with the caption, the table and its note; the same bytes each time.

    Raises
    ------
    ImportError
        If python-docx, which writes it, is not installed.
    """
    try:
        import docx
        from docx.enum.text import WD_ALIGN_PARAGRAPH
        from docx.shared import Pt
    except ImportError as error:
        raise ImportError(
            "Word files are written by python-docx, which is not installed: "
            "pip install 'alliance-stats[word]' (or python-docx)."
        ) from error
    document = docx.Document()
    style = document.styles["Normal"]
    style.font.name, style.font.size = "Times New Roman", Pt(11)
    document.core_properties.author = "alliance_stats"
    document.core_properties.created = document.core_properties.modified = _moment()
    title = document.add_paragraph()
    title.paragraph_format.keep_with_next = True
    _write(title, _pieces(table.caption), italic=True)
    lines: list[list[Sequence[tuple[str, bool]]]] = [[*table.headings]]
    sections = []
    for section, cells in table.rows:
        if section:
            sections.append(len(lines))
            lines.append([[(section, False)]])
        lines.append([[(cell, False)] for cell in cells])
    made = document.add_table(rows=len(lines), cols=len(table.numeric))
    made.autofit = True
    right, left = WD_ALIGN_PARAGRAPH.RIGHT, WD_ALIGN_PARAGRAPH.LEFT
    for at in sections:
        made.cell(at, 0).merge(made.cell(at, len(table.numeric) - 1))
    for at, line in enumerate(lines):
        for place, pieces in enumerate(line):
            paragraph = made.cell(at, place).paragraphs[0]
            paragraph.alignment = right if table.numeric[place] else left
            paragraph.paragraph_format.space_after = Pt(1)
            _write(paragraph, pieces, bold=at in sections)
    _rule(made.rows[0].cells, "top", "bottom")
    _rule(made.rows[-1].cells, "bottom")
    _repeat(made.rows[0])
    note = document.add_paragraph()
    note.paragraph_format.space_before = Pt(4)
    _write(note, [("Note. ", True), *_pieces(table.note)], size=Pt(9))
    return _same_bytes(document)


def latex(table: Cells) -> str:
    """Return a LaTeX table (booktabs, threeparttable), to be read in with its command ``input``."""
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    heading = " & ".join(
        "".join(rf"\emph{{{_escaped(text)}}}" if italic else _escaped(text) for text, italic in own)
        for own in table.headings
    )
    lines = []
    for section, cells in table.rows:
        if section:
            lines.append(
                rf"\multicolumn{{{len(columns)}}}{{l}}{{\textbf{{{_escaped(section)}}}}} \\"
            )
        lines.append(" & ".join(_escaped(cell) for cell in cells) + r" \\")
    return "\n".join(
        [
            r"% \usepackage{booktabs,threeparttable}",
            r"\begin{table}",
            r"\begin{threeparttable}",
            rf"\caption{{{_italic(table.caption)}}}",
            rf"\label{{{table.label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{heading} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\begin{tablenotes}\small",
            rf"\item \emph{{Note.}} {_italic(table.note)}",
            r"\end{tablenotes}",
            r"\end{threeparttable}",
            r"\end{table}",
            "",
        ]
    )


def _pieces(text: str) -> list[tuple[str, bool]]:
    """Cut text into ``(text, whether it is in italics)``: symbols of statistics are."""
    found = _STATISTIC.split(printable(text))
    return [(piece, i % 2 == 1) for i, piece in enumerate(found) if piece]


def _italic(text: str) -> str:
    return "".join(
        rf"\emph{{{_escaped(piece)}}}" if italic else _escaped(piece)
        for piece, italic in _pieces(text)
    )


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text.replace("\n", " "))


def _write(
    paragraph: object,
    pieces: Sequence[tuple[str, bool]],
    *,
    italic: bool = False,
    bold: bool = False,
    size: object = None,
) -> None:
    for text, slanted in pieces:
        run = paragraph.add_run(text.replace("\n", " "))  # type: ignore[attr-defined]
        run.italic, run.bold = slanted != italic, bold
        if size is not None:
            run.font.size = size


def _rule(cells: Sequence[object], *sides: str) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for cell in cells:
        properties = cell._tc.get_or_add_tcPr()  # type: ignore[attr-defined]
        borders = OxmlElement("w:tcBorders")
        for side in sides:
            border = OxmlElement(f"w:{side}")
            for name, value in (
                ("val", "single"),
                ("sz", "8"),
                ("space", "0"),
                ("color", "000000"),
            ):
                border.set(qn(f"w:{name}"), value)
            borders.append(border)
        properties.append(borders)


def _repeat(row: object) -> None:
    """Repeat a heading row where the table continues on another page."""
    from docx.oxml import OxmlElement

    row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))  # type: ignore[attr-defined]


def _moment() -> object:
    import datetime

    return datetime.datetime(*_NOTHING_NEWER[:3], tzinfo=datetime.UTC)


def _same_bytes(document: object) -> bytes:
    """Return a document whose archive has no dates."""
    first, last = io.BytesIO(), io.BytesIO()
    document.save(first)  # type: ignore[attr-defined]
    with zipfile.ZipFile(first) as old, zipfile.ZipFile(last, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            fresh = zipfile.ZipInfo(entry.filename, date_time=_NOTHING_NEWER)
            fresh.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(fresh, old.read(entry))
    return last.getvalue()
