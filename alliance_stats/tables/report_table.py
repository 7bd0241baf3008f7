"""A table as papers print it: cells already in words, with a label, a caption and a note."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec

import pandas as pd

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.formatting import is_blank, to_html, to_markdown
from alliance_stats.output import csv_text, write_whole
from alliance_stats.tables.table_files import Cells, latex, word

__all__ = ["FORMATS", "PRINTED_BY", "ReportTable", "remembers_call"]

FORMATS = ("html", "csv", "md", "tex", "docx")

# What prints which result as a table: for whoever hands one to another
PRINTED_BY = {
    "CompetingHazards": "model_table",
    "CoxModel": "model_table",
    "DiscreteHazard": "model_table",
    "FineGrayModel": "model_table",
    "GeneralizedLinearMixedModel": "model_table",
    "GroupComparison": "group_table",
    "LinearMixedModel": "model_table",
    "TableOne": "sample_table",
    "ThemeComparison": "tidy_table(themes.prevalence(), ...)",
}

_LABEL = re.compile(r"tbl-[a-z0-9]+(-[a-z0-9]+)*")
# Headings that are symbols of statistics stand in italics, as APA style asks
# (those in front of a sign, as in n = 12, are so already).
_SYMBOL = re.compile(
    r"(?<![\w.*])(SD|SE|df|[bdgkMNnprtUzF])(?![\w.'’:*-])(?! \((?:\*|<em>)?n(?:\*|</em>)? = )"
)
_LINE = 84  # characters of print on a line of a page
_GUTTER = 4  # characters that a cell's margins take
_BREAKS = re.compile(r"[\s/–-]+")
_BESIDE = re.compile(r" (?=[\[(])")  # between an estimate and its interval, a mean and its SD
_NUMERIC_CELL = re.compile(r"[<> −–∞.,%\[\]()\d]*")


@dataclass(frozen=True, slots=True, eq=False)
class ReportTable:
    """A table of words, with its label, caption and note.

    Attributes
    ----------
    frame
        The cells, every one a string; column names are the headings. Never changed.
    label
        Cross-reference label: ``tbl-`` and lower-case words joined by hyphens.
    caption, note
        What the table contains, and how it was computed; plain text.
    sections
        Section of each row (one per row), or empty for none. A heading row is
        printed where the section changes.
    again
        Makes it again with other options: ``table.again(digits=3)``. It holds the call and the
        results that the table was made from, for the log of a report; None for a table whose cells
        were written by hand.
    sources, seed
        Results that the numbers were read from, if the call was given frames, and the seed of
        random draws; for the log of a report.
    """

    frame: pd.DataFrame
    label: str
    caption: str
    note: str
    sections: tuple[str, ...] = ()
    again: Callable[..., "ReportTable"] | None = field(default=None, repr=False)
    sources: tuple[object, ...] = field(default=(), repr=False)
    seed: int | None = None

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.label):
            raise ValueError(
                f"label must be 'tbl-' and lower-case words joined by hyphens, such as "
                f"'tbl-models' (Quarto resolves no other); got {self.label!r}."
            )
        for name, text in (("caption", self.caption), ("note", self.note)):
            if is_blank(text):
                raise ValueError(f"{self.label} has an empty {name}.")
        if self.frame.empty:
            raise DataError(f"{self.label} has no rows: there is nothing to print.")
        for place, column in enumerate(self.frame.columns):
            if is_blank(str(column)) and (place or str(column)):
                raise DataError(
                    f"{self.label}, column {place + 1}: its heading {str(column)!r} cannot be seen."
                )
            odd = [cell for cell in self.frame.iloc[:, place] if not isinstance(cell, str)]
            if odd:
                raise DataError(
                    f"{self.label}, column '{column}' holds {odd[0]!r}, which is not text. "
                    "Numbers become cells through alliance_stats.formatting (or tidy_table)."
                )
        if self.sections and len(self.sections) != len(self.frame):
            raise ValueError(
                f"{self.label} has {len(self.frame)} rows but {len(self.sections)} section names."
            )

    def html(self) -> str:
        """Return an HTML table (escaped, captioned, right-aligned numbers) and its note."""
        right = self._numeric()
        head = "".join(
            f'<th scope="col"{_align(right[i])}>{_heading(name, "<em>", "</em>", to_html)}</th>'
            for i, name in enumerate(self.frame.columns)
        )
        body: list[str] = []
        for section, cells in self._rows():
            if section:
                body.append(
                    f'<tr><th scope="rowgroup" colspan="{len(right)}" '
                    f'style="text-align: left">{to_html(section)}</th></tr>'
                )
            row = "".join(
                f"<td{_align(right[i])}>{to_html(cell)}</td>" for i, cell in enumerate(cells)
            )
            body.append(f"<tr>{row}</tr>")
        rows = "\n".join(body)
        return (
            f'<table id="{self.label}">\n<caption>{to_html(self.caption, italics=True)}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n"
            f'<p class="table-note"><em>Note.</em> {to_html(self.note, italics=True)}</p>\n'
        )

    def markdown(self) -> str:
        """Return the Quarto fragment: a labelled div (pipe table, caption) and the note."""
        return (
            f"::: {{#{self.label}}}\n\n{self._pipes()}\n\n{to_markdown(self.caption)}\n\n:::\n\n"
            f"*Note.* {to_markdown(self.note)}\n"
        )

    def docx(self) -> bytes:
        """Return the table as a Word file, as APA prints tables; the same bytes each time.

        Raises
        ------
        ImportError
            If python-docx, which writes it, is not installed.
        """
        return word(self._as_cells())

    def tex(self) -> str:
        """Return the table in LaTeX (booktabs, threeparttable)."""
        return latex(self._as_cells())

    def save(self, folder: str | Path, *, formats: Sequence[str] = ("html", "csv")) -> Path:
        """Write ``<label>.html``, ``.csv`` (the cells) and ``_<label>.qmd``; return the fragment.

        Two runs write the same bytes; a file is written whole or not at all. In the CSV, a text
        that a spreadsheet would run as a formula (it opens with ``=``, ``+``, ``-`` or ``@``) has
        an apostrophe in front; numbers are untouched.

        Parameters
        ----------
        folder
            Target folder; created if it does not exist.
        formats
            Which files to write besides the fragment: ``"html"``, ``"csv"``, ``"md"`` (for Pandoc),
            ``"tex"`` (LaTeX) and ``"docx"`` (Word, by python-docx:
            ``pip install 'alliance-stats[word]'``).

        Raises
        ------
        ImportError
            If Word is requested and python-docx is not installed.
        """
        if isinstance(formats, str):
            formats = (formats,)
        for kind in formats:
            check_choice(kind, FORMATS, name="formats")
        written: dict[str, Callable[[], str | bytes]] = {
            "html": self.html,
            "csv": lambda: csv_text(self.frame),
            "md": lambda: (
                f"{self._pipes()}\n\n: {to_markdown(self.caption)}\n\n"
                f"*Note.* {to_markdown(self.note)}\n"
            ),
            "tex": self.tex,
            "docx": self.docx,
        }
        contents = {kind: written[kind]() for kind in formats}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in contents.items():
            write_whole(folder / f"{self.label}.{kind}", content)
        fragment = folder / f"_{self.label}.qmd"
        write_whole(fragment, self.markdown())
        return fragment

    def _as_cells(self) -> Cells:
        return Cells(
            self.label,
            self.caption,
            self.note,
            [_heading_pieces(str(name)) for name in self.frame.columns],
            [(section, [_one_line(cell) for cell in cells]) for section, cells in self._rows()],
            self._numeric(),
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show the table once, as HTML or Markdown, whichever the front end accepts."""
        del include, exclude  # the front end picks
        return {"text/html": self.html(), "text/markdown": self.markdown()}

    def _numeric(self) -> list[bool]:
        """Say for each column whether its cells are numbers (and are right-aligned)."""
        return [
            all(_NUMERIC_CELL.fullmatch(cell) for cell in self.frame.iloc[:, i])
            for i in range(self.frame.shape[1])
        ]

    def _rows(self) -> list[tuple[str, list[str]]]:
        """Return each row's cells, with the section's name in front where it changes."""
        names = self.sections or ("",) * len(self.frame)
        before = ("", *names[:-1])
        opened = [name if name != last else "" for name, last in zip(names, before, strict=True)]
        return list(zip(opened, self.frame.to_numpy().tolist(), strict=True))

    def _pipes(self) -> str:
        """Return the pipe table; the dashes of its rule set the columns' relative widths."""
        right = self._numeric()
        lines = [[_heading(name, "*", "*", to_markdown) for name in self.frame.columns]]
        for section, cells in self._rows():
            if section:
                lines.append([f"**{to_markdown(section)}**", *[""] * (len(cells) - 1)])
            lines.append([_one_line(to_markdown(cell)) for cell in cells])
        widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(right))]
        padded = [
            [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
        ]
        rule = [
            "-" * width + ":" if numeric else ":" + "-" * width
            for width, numeric in zip(self._widths(right), right, strict=True)
        ]
        return "\n".join("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]])

    def _widths(self, right: list[bool]) -> list[int]:
        """Return the width of each column in characters of print.

        Pandoc gives a table that is wider than 72 characters the whole page and divides it by
        these. Numbers must not break: their columns get the width they need, and columns of words
        share the rest of the line, never less than their longest word. If that exceeds a line, an
        interval or an SD may be printed below its estimate.
        """
        full, least, tight = [], [], []
        for i, name in enumerate(self.frame.columns):
            cells = [" ".join(cell.split()) for cell in self.frame.iloc[:, i]]
            words = _words([str(name), *(self.sections if i == 0 else ())])
            parts = [part for cell in cells for part in _BESIDE.split(cell)]
            tight.append(_GUTTER + max(map(len, [*words, *(parts if right[i] else _words(cells))])))
            least.append(_GUTTER + max(map(len, [*words, *(cells if right[i] else _words(cells))])))
            full.append(max(least[i], _GUTTER + max(len(text) for text in (str(name), *cells))))
        if sum(least) > _LINE:
            least = tight
        spare, wanted = _LINE - sum(least), sum(full) - sum(least)
        share = 1.0 if spare >= wanted or wanted == 0 else max(spare, 0) / wanted
        return [a + int(share * (b - a)) for a, b in zip(least, full, strict=True)]


P = ParamSpec("P")


def remembers_call(function: Callable[P, ReportTable]) -> Callable[P, ReportTable]:
    """Let the tables made by a function know the call that made them, as figures do."""

    @wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> ReportTable:
        return replace(function(*args, **kwargs), again=partial(made, *args, **kwargs))

    return made


def _words(texts: Sequence[str]) -> list[str]:
    """Return the parts within which a line is not broken."""
    return [word for text in texts for word in _BREAKS.split(text)]


def _heading(name: object, opens: str, closes: str, escape: Callable[[str], str]) -> str:
    return _SYMBOL.sub(rf"{opens}\1{closes}", escape(str(name)))


def _heading_pieces(name: str) -> list[tuple[str, bool]]:
    """Cut a heading into ``(text, whether it is in italics)``."""
    pieces = _SYMBOL.split(name)
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]


def _align(right: bool) -> str:
    return ' style="text-align: right"' if right else ""


def _one_line(cell: str) -> str:
    return " ".join(cell.split())
