"""lme4's formula language: ``y ~ fixed + (random | grouping)``.

The random terms are read here; the fixed part is formulaic's. What ``lme4`` abbreviates is written
out: ``(x | a/b)`` becomes ``(x | a) + (x | a:b)``, and ``(1 + x || g)`` becomes
``(1 | g) + (0 + x | g)`` (Bates, Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01,
Table 2).
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from formulaic import Formula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Term
from formulaic.transforms import TRANSFORMS

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import FormulaError

__all__ = ["MixedFormula", "RandomTerm", "parse_formula", "variables_of"]

INTERCEPT = "(Intercept)"
_BACKTICKED = re.compile(r"`([^`]*)`")
_OUTSIDE = r"(?=(?:[^`]*`[^`]*`)*[^`]*$)"  # an even number of back-ticks follows


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One random term: `columns` vary over the units of `grouping`.

    Attributes
    ----------
    columns
        The right-hand side of a formulaic formula, as ``"1 + session"``.
    grouping
        The columns whose combination names a unit, as ``("therapist", "family")``.
    """

    columns: str
    grouping: tuple[str, ...]

    @property
    def group(self) -> str:
        """The grouping factor's name, ``"therapist:family"``."""
        return ":".join(self.grouping)

    def __str__(self) -> str:
        """Write the term as in a formula."""
        return f"({self.columns} | {self.group})"


@dataclass(frozen=True, slots=True)
class MixedFormula:
    """A mixed-model formula taken apart.

    Attributes
    ----------
    text
        The formula as the caller wrote it.
    response
        The left-hand side, as text.
    fixed
        The fixed right-hand side, as text that formulaic reads.
    random
        The random terms, written out.
    """

    text: str
    response: str
    fixed: str
    random: tuple[RandomTerm, ...]


def parse_formula(formula: str, *, needs_response: bool = True) -> MixedFormula:
    """Take a mixed-model formula apart.

    Raises
    ------
    FormulaError
        If a side is missing, a bracket is not closed, or a random term cannot be read.
    """
    if not isinstance(formula, str):
        raise FormulaError(f"The formula must be text; got {type(formula).__name__}.")
    response, tilde, right = _partition(formula, "~")
    if needs_response and (not tilde or not response.strip() or not right.strip()):
        raise FormulaError(
            f"The formula {formula!r} needs an outcome, a '~' and a right-hand side, "
            "as in 'alliance ~ session + (1 | person)'."
        )
    if not tilde:
        response, right = "", formula
    fixed, bars = _split_random(right, formula)
    random = tuple(term for bar in bars for term in _expand(bar, formula))
    clashes = {str(t) for t in random if [str(u) for u in random].count(str(t)) > 1}
    if clashes:
        raise FormulaError(f"The random term {min(clashes)} stands twice in {formula!r}.")
    return MixedFormula(formula, response.strip(), fixed, random)


def variables_of(terms: Iterable[Term], data: pd.DataFrame) -> list[str]:
    """Return the columns of `data` that formulaic `terms` use, in order of appearance.

    Raises
    ------
    FormulaError
        If a term names what is neither a column nor one of formulaic's functions.
    """
    found: dict[str, None] = {}
    for term in terms:
        for factor in term.factors:
            if factor.expr in data.columns:  # a back-ticked name may hold any character
                found[factor.expr] = None
                continue
            for name in _names_in(factor.expr, literal=factor.eval_method.value == "literal"):
                if name in data.columns:
                    found[name] = None
                elif name == "lag":
                    raise FormulaError(
                        "lag() in a formula takes the row before, whoever's it is. Make a column "
                        "with alliance_stats.lag(data, column, person=, session=) instead."
                    )
                elif name not in TRANSFORMS:
                    raise FormulaError(
                        f"The formula uses '{name}', but the data have no such column. "
                        f"{did_you_mean(name, data.columns)}"
                    )
    return list(found)


def read_terms(text: str, formula: str) -> Formula:
    """Parse a right-hand side with formulaic; its complaint becomes a :class:`FormulaError`."""
    try:
        return Formula(text)
    except FormulaicError as complaint:
        first_line = str(complaint).splitlines()[0]
        raise FormulaError(f"Cannot read '{text}' in {formula!r}: {first_line}") from complaint


def _names_in(expression: str, *, literal: bool) -> list[str]:
    """Names used in one formulaic factor, functions left out unless called on nothing known."""
    if literal:
        return []
    quoted = _BACKTICKED.findall(expression)
    bare = _BACKTICKED.sub("0", expression)
    try:
        tree = ast.parse(bare, mode="eval")
    except SyntaxError:  # formulaic hands over a back-ticked name without its ticks
        return [expression]
    return quoted + [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def _split_random(right: str, formula: str) -> tuple[str, list[str]]:
    """Separate the bracketed terms that hold a bar from the rest of the right-hand side."""
    fixed, bars, depth, start = [], [], 0, 0
    quoted = False
    for position, character in enumerate(right):
        quoted ^= character == "`"
        if quoted:
            continue
        if character == "(":
            if depth == 0:
                fixed.append(right[start:position])
                start = position
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                raise FormulaError(f"A ')' in {formula!r} closes nothing.")
            if depth == 0:
                piece = right[start : position + 1]
                if "|" in _BACKTICKED.sub("", piece):
                    bars.append(piece[1:-1])
                    fixed.append("\0")
                else:
                    fixed.append(piece)
                start = position + 1
    if depth:
        raise FormulaError(f"A '(' in {formula!r} is not closed.")
    text = "".join([*fixed, right[start:]])
    if "|" in _BACKTICKED.sub("", text):
        raise FormulaError(f"A random term in {formula!r} needs brackets: '(1 | group)'.")
    summands = [summand.strip() for summand in re.split(r"\+(?![^(]*\))", text)]
    if any("\0" in summand and summand != "\0" for summand in summands):
        raise FormulaError(f"Random terms in {formula!r} must be joined by '+'.")
    kept = [summand for summand in summands if summand != "\0"]
    return " + ".join(kept) or "1", bars


def _expand(bar: str, formula: str) -> list[RandomTerm]:
    """Write out ``||`` and ``/`` of one random term."""
    columns, correlated, grouping = _partition(bar, "||")
    if not correlated:
        columns, _, grouping = _partition(bar, "|")
    if not columns.strip() or not grouping.strip() or "|" in _BACKTICKED.sub("", grouping):
        raise FormulaError(
            f"Cannot read the random term '({bar})' in {formula!r}; write '(1 + x | group)'."
        )
    nested = [[name.strip() for name in _split(part, ":")] for part in _split(grouping, "/")]
    chain = [[n for part in nested[: depth + 1] for n in part] for depth in range(len(nested))]
    names = [tuple(name.strip("`") for name in units) for units in chain]
    for name in chain[-1]:
        if not name or re.search(r"[()*+|]", _BACKTICKED.sub("", name)):
            raise FormulaError(
                f"Cannot read the grouping '{grouping.strip()}' in {formula!r}; groupings are "
                "column names joined by ':' or '/'."
            )
    pieces = _uncorrelated(columns, formula) if correlated else [columns.strip()]
    return [RandomTerm(piece, units) for units in names for piece in pieces]


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that stands outside back-ticks."""
    return re.split(f"{re.escape(mark)}{_OUTSIDE}", text)


def _partition(text: str, mark: str) -> tuple[str, str, str]:
    """Partition at the first mark that stands outside back-ticks."""
    found = re.search(f"{re.escape(mark)}{_OUTSIDE}", text)
    if found is None:
        return text, "", ""
    return text[: found.start()], mark, text[found.end() :]


def _uncorrelated(columns: str, formula: str) -> list[str]:
    """Split ``1 + x`` into ``1`` and ``0 + x``, a piece a term."""
    terms = [str(term) for term in read_terms(columns, formula)]
    return [term if term == "1" else f"0 + {term}" for term in terms]
