"""What a result says, as data: its method, notes, sizes, sections of numbers, remarks, rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pandas as pd

from alliance_stats.formatting import KINDS, Kind
from alliance_stats.ledger import RowLedger

__all__ = ["NOUNS", "Account", "Column", "Phrase", "Section", "parameter_words"]

NOUNS: Mapping[str, str] = {
    "rows": "row",
    "cases": "case",
    "clusters": "cluster",
    "coders": "coder",
    "estimates": "estimate",
    "events": "event",
    "endings": "ending",
    "competing endings": "competing ending",
    "families": "family",
    "groups": "group",
    "imputations": "imputation",
    "numbers": "number",
    "observations": "observation",
    "outcomes": "outcome",
    "pairs": "pair",
    "persons": "person",
    "records": "record",
    "rules": "rule",
    "samples": "sample",
    "sessions": "session",
    "studies": "study",
    "therapists": "therapist",
    "units": "unit",
    "unseen outcomes": "unseen outcome",
}
"""Keys of `Account.sizes` that are nouns -> the noun for one."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Text around names and numbers: ``Phrase("SD of {}", ("session",))``.

    The names can be relabelled, and the numbers given another decimal sign. A number is a float, or
    a pair of it and its decimals (``(-12.3, 2)``) or its kind (``(0.4, "share")``).
    """

    text: str
    parts: tuple[object, ...] = ()

    def __str__(self) -> str:
        """Return the phrase with its names as they are."""
        return self.filled(map(str, self.parts))

    def filled(self, words: Iterable[str]) -> str:
        """Return the phrase with these words in its gaps; other characters are literal."""
        gaps = self.text.split("{}")
        return "".join(text for pair in zip(gaps, [*words, ""], strict=True) for text in pair)


_SPREADS = {"sd": "SD of {}", "phi": "correlation {}", "rho": "correlation {}"}


def parameter_words(term: str, group: str | None = None) -> Phrase | str:
    """Return words for ``person|sd__session``: "person, SD of session"; correlations likewise.

    Other terms stay as they are; so do correlations of names that hold a dot.
    """
    whole = term
    if group is None:
        group, bar, term = term.partition("|")
        if not bar:
            return whole
    kind, _, of = term.partition("__")
    of = of.replace("(Intercept)", "intercepts")
    names: tuple[object, ...] = (group, of)
    if kind == "sd" and of.partition("|")[0] == "Observation":
        stratum = of.partition("|")[2]
        return Phrase("residual SD ({})", (stratum,)) if stratum else "residual SD"
    if kind == "cor" and of.count(".") == 1:
        return Phrase("{}, correlation of {} and {}", (group, *of.split(".")))
    if kind in _SPREADS and of:
        return Phrase(f"{{}}, {_SPREADS[kind]}", names)
    return whole


@dataclass(frozen=True, slots=True)
class Column:
    """A further column of a section: its name, format and interval.

    Attributes
    ----------
    called
        Its heading, and its name in sentences.
    kind
        How it is written.
    low, high
        The columns of its limits.
    spread
        The column of its SD, two digits of which set the decimals.
    named
        Whether sentences put its name before a text; numbers always have theirs.
    """

    called: str | Phrase
    kind: Kind = "number"
    low: str = ""
    high: str = ""
    spread: str = ""
    named: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Rows of numbers: a tidy frame, and its columns in print.

    Attributes
    ----------
    title
        Heads the table ("Fixed effects").
    frame
        A row per estimate, a count or a test; columns as the glossary names them.
    names
        The columns that name a row. Numbers among them are printed with their column: "session =
        3".
    measure
        Name of `estimate` ("b", "hazard ratio"), or the column that gives it row by row.
    kind
        How it is written, or the column that gives it row by row.
    statistic
        Name of `statistic`, or the column that gives it; a t with infinite df is a z.
    columns
        Further columns -> what they are.
    conf_level
        Level of ``conf_low`` and ``conf_high``.
    lead
        In sentences, the words before all rows as one sentence; empty for a sentence per row.
    undefined
        Text for a missing estimate.
    """

    title: str
    frame: pd.DataFrame
    names: tuple[str, ...]
    measure: str = "estimate"
    kind: str = "number"
    statistic: str = "t"
    columns: Mapping[str, Column] = field(default_factory=dict)
    conf_level: float = 0.95
    lead: str = ""
    undefined: str = "not estimable"

    def __post_init__(self) -> None:
        asked = [*self.names, *self.columns]
        asked += [
            limit for c in self.columns.values() for limit in (c.low, c.high, c.spread) if limit
        ]
        missing = [name for name in asked if name not in self.frame]
        if missing:
            raise KeyError(f"Section '{self.title}' has no column '{missing[0]}'.")
        if self.kind not in KINDS and self.kind not in self.frame:
            raise ValueError(f"kind is one of {KINDS} or a column; got {self.kind!r}.")

    @property
    def measure_by_row(self) -> bool:
        """Whether a column gives the name of the estimate row by row."""
        return self.measure in self.frame and self.measure != "estimate"

    def main(self, row: Mapping[str, object]) -> Column:
        """Return what the estimate of a row is."""
        kind = self.kind if self.kind in KINDS else str(row[self.kind])
        measure = str(row[self.measure]) if self.measure_by_row else self.measure
        return Column(measure, kind, "conf_low", "conf_high")  # type: ignore[arg-type]


class Told(Protocol):
    """A result that says how it was computed, what to know first, and what became of its rows."""

    @property
    def method(self) -> str:
        """How it was computed, as a phrase."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number."""
        ...

    @property
    def rows(self) -> RowLedger | None:
        """The ledger of its rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """A result's account; see the module's docstring.

    Attributes
    ----------
    method
        How it was computed, as a phrase.
    notes
        Whole sentences to read before any number, the worst first.
    sizes
        What was counted -> how many; the keys are of :data:`NOUNS` or columns.
    sections
        The numbers.
    remarks
        Further sentences computed from the data.
    rows
        The ledger, where the result has one.
    drawn
        Whether the numbers depend on random draws, so that a seed belongs to them.
    sources
        Keys of the methods' publications, as in :data:`~alliance_stats.account.REFERENCES`.
    """

    method: str
    notes: tuple[str, ...] = ()
    sizes: Mapping[str, float] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    remarks: tuple[str | Phrase, ...] = ()
    rows: RowLedger | None = None
    drawn: bool = False
    sources: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        result: Told,
        sizes: Mapping[str, float],
        sections: Iterable[Section] = (),
        remarks: Iterable[str | Phrase] = (),
        *,
        drawn: bool = False,
        sources: tuple[str, ...] = (),
    ) -> "Account":
        """Return the account of a result, with its own method, notes and rows."""
        parts, said = tuple(sections), tuple(remarks)
        return cls(result.method, result.notes, sizes, parts, said, result.rows, drawn, sources)
