"""What one analysis shows, in order: the same parts go to the page and to Quarto."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import to_markdown
from alliance_stats.output import write_whole
from alliance_stats.provenance import Number
from alliance_stats.tables import ReportTable

__all__ = ["REFERENCE", "Chapter", "Numbers", "Part", "Section", "with_limits"]

Part = ReportFigure | ReportTable
Numbers = dict[str, Number]

REFERENCE = re.compile(r"@((?:fig|tbl)-[a-z0-9]+(?:-[a-z0-9]+)*)")
"""A cross-reference in a section's text, as Quarto writes it: ``@fig-dropout``."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what was found, and the figures and tables that show it.

    Attributes
    ----------
    label
        ``sec-`` and lower-case words joined by hyphens; unique among all analyses.
    title
        The heading.
    text
        Paragraphs, parted by an empty line; refers to parts as ``@fig-x`` and ``@tbl-x``.
    parts
        Figures and tables, in order.
    """

    label: str
    title: str
    text: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """All that one analysis shows.

    Attributes
    ----------
    name
        Module of the analysis: ``family_alliance``.
    title
        The research question in a few words.
    data
        ``"simulated"``, ``"real"``, or ``"published"`` where printed numbers are the data.
    source
        Where the data come from and what they do not hold, in plain words.
    sections
        What was done and found.
    numbers
        Name -> every number the text is made of, with what it was read from (:func:`~alliance_stats
        .provenance.numbers_from`). The name says how it is printed where a Quarto document asks for
        it (see :func:`analyses.variables.in_words`).
    headline
        One sentence for the terminal.
    """

    name: str
    title: str
    data: Literal["simulated", "real", "published"]
    source: str
    sections: tuple[Section, ...]
    numbers: Mapping[str, Number]
    headline: str

    @property
    def parts(self) -> Iterator[Part]:
        """Every figure and table, in order."""
        return (part for section in self.sections for part in section.parts)

    @property
    def values(self) -> dict[str, float]:
        """Name -> every number, a count as a whole number."""
        return {name: number.value for name, number in self.numbers.items()}

    def save(self, out: Path) -> None:
        """Write every part, the texts as Quarto fragments and ``numbers.json`` into `out`.

        `out` lies two folders below the .qmd that includes the fragments
        (``reports/x.qmd`` and ``reports/generated/x/``).
        """
        out.mkdir(parents=True, exist_ok=True)
        for part in self.parts:
            if isinstance(part, ReportFigure):
                part.save(out, included_from=out.parents[1])
            else:
                part.save(out)
        write_whole(out / "_source.qmd", _markdown(self.source))
        for section in self.sections:
            write_whole(out / f"_{section.label}.qmd", _markdown(section.text))
        numbers = {name: _plain(value) for name, value in self.values.items()}
        write_whole(out / "numbers.json", json.dumps(numbers, indent=1, sort_keys=True) + "\n")


def with_limits(name: str, row: pd.Series) -> dict[str, float]:
    """Return an estimate and its limits as numbers of a chapter."""
    return {
        name: row["estimate"],
        f"{name}_low": row["conf_low"],
        f"{name}_high": row["conf_high"],
    }


def _markdown(text: str) -> str:
    """Return text as Markdown, cross-references left for Quarto to resolve."""
    pieces = REFERENCE.split(text)
    escaped = [_between(part) if i % 2 == 0 else f"@{part}" for i, part in enumerate(pieces)]
    return "".join(escaped) + "\n"


def _between(text: str) -> str:
    """Return what stands between references as Markdown, paragraphs and outer spaces kept."""
    inside = text.strip()
    if not inside:
        return text
    start = text.index(inside)
    paragraphs = "\n\n".join(to_markdown(paragraph) for paragraph in inside.split("\n\n"))
    return f"{text[:start]}{paragraphs}{text[start + len(inside) :]}"


def _plain(value: float) -> float | int | None:
    """Return a number as JSON has it: no NumPy types, null for what is missing."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number
