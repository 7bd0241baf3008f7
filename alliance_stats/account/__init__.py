"""A result's account as data, and the common renderer that prints it.

By ``account()`` a result states how it was computed (``method``), what must be known
before any number is read (``notes``, the worst first), how much was counted (``sizes``), its
numbers (``sections``: tidy frames, with the names and formats of their columns),
further sentences (``remarks``) and what happened to its rows (``rows``). ``summary()``, the
notebook's HTML, ``report()``, captions and notes of tables are all made from it here; no other
module writes a number of a result, and no text is parsed.

How to give a result its words
------------------------------
In the class body::

    @property
    def method(self) -> str:                       # a phrase, no full stop
        return "Gray's test of equal cumulative incidence"

    notes: tuple[str, ...] = ()                    # a field, or a property: whole sentences

    def account(self, *, conf_level: float = 0.95) -> Account:
        tests = Section("Ending", self.tidy(), names=("state",), statistic="chi-squared")
        sizes = {"rows": self.rows.n_used, "groups": len(self.groups)}
        return Account(self.method, self.notes, sizes, (tests,), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of

- A section finds ``estimate, std_error, statistic, df`` (or ``df1, df2``), ``p_value, conf_low,
  conf_high`` by their names in the glossary; `measure` is what the estimate is called ("b", "odds
  ratio"), `kind` how it is written. Other columns are asked for by ``columns={"n_event":
  Column("events", "count")}``; a second estimate with an interval names its `low` and `high`.
- `measure`, `kind` and `statistic` may name a column of the frame that says it for each row.
- A name composed of names is a :class:`Phrase`: ``Phrase("SD of {}", ("session",))``, so that words
  can be given for the names in it. So is a remark: ``Phrase("From {} {} on.", ("session", 4.0))``.
- Sizes: the keys of :data:`NOUNS` are nouns ("1 row", "1,240 rows"), any other key is a column
  whose units were counted ("6 units of therapist").
- `sources` names the publications of the method, by their keys in ``references.bib``.
- `lead` joins a section's rows into one sentence ("Random effects: therapist, SD of ... 0.42.").
"""

from alliance_stats.account.rendering import (
    REFERENCES,
    Accountable,
    Result,
    as_html,
    as_sentences,
    as_text,
    entries_of,
    html_of,
    method_and_notes,
    section_cells,
    sizes_in_words,
    summary_of,
)
from alliance_stats.account.sections import (
    NOUNS,
    Account,
    Column,
    Phrase,
    Section,
    parameter_words,
)
from alliance_stats.account.speaker import Speaker

__all__ = [
    "NOUNS",
    "REFERENCES",
    "Account",
    "Accountable",
    "Column",
    "Phrase",
    "Result",
    "Section",
    "Speaker",
    "as_html",
    "as_sentences",
    "as_text",
    "entries_of",
    "html_of",
    "method_and_notes",
    "parameter_words",
    "section_cells",
    "sizes_in_words",
    "summary_of",
]
