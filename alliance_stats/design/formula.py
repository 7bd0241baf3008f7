"""lme4's formula language: ``y ~ fixed + (random | grouping)``, read as terms.

A term is a tuple of factors (columns or calls) that are multiplied; the constant is the empty
tuple. ``+ - * / : ^ %in%`` are R's. lme4's abbreviations are expanded: ``(x | a/b)`` becomes
``(x | a) + (x | a:b)``, and ``(1 + x || g)`` becomes ``(1 | g) + (0 + x | g)`` (Bates, Maechler,
Bolker & Walker 2015, doi:10.18637/jss.v067.i01, Table 2).

Packages that build a formula pass its parts (:func:`column`, :func:`crossed`,
:class:`RandomTerm`, :class:`MixedFormula`), never a text, so that a column's name is a value.
"""

import functools
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alliance_stats.checks import did_you_mean
from alliance_stats.design.algebra import Algebra, Term, distinct, nested, ordered
from alliance_stats.design.expressions import bound
from alliance_stats.design.grammar import (
    Binary,
    Call,
    Column,
    Constant,
    Expression,
    Unary,
    columns_in,
    parse,
    written,
)
from alliance_stats.errors import FormulaError

__all__ = [
    "CONSTANT",
    "INTERCEPT",
    "MixedFormula",
    "OwnColumn",
    "RandomTerm",
    "Term",
    "Terms",
    "bound_formula",
    "bound_terms",
    "column",
    "crossed",
    "formula_of",
    "intercepts",
    "nested_intercepts",
    "parse_formula",
    "parse_terms",
    "printed",
    "transformed",
    "variables_of",
]

INTERCEPT = "(Intercept)"


@dataclass(frozen=True, slots=True)
class OwnColumn:
    """The label of a column that a package adds to a frame; no caller's column can have it.

    Attributes
    ----------
    name
        How it is printed.
    """

    name: str

    def __str__(self) -> str:
        """Return the name as printed."""
        return self.name


@dataclass(frozen=True, slots=True)
class Terms:
    """A right-hand side: its terms, with ``()`` first where there is a constant.

    Attributes
    ----------
    terms
        In R's order: by the number of factors, then as written.
    offset
        What is added to the linear predictor with coefficient 1.
    """

    terms: tuple[Term, ...]
    offset: tuple[Expression, ...] = ()

    @property
    def has_intercept(self) -> bool:
        """Whether there is a constant."""
        return () in self.terms

    def without_intercept(self) -> "Terms":
        """Return the terms without the constant."""
        return replace(self, terms=tuple(term for term in self.terms if term))

    def __add__(self, other: "Terms") -> "Terms":
        """Join two right-hand sides, keeping the constant of either."""
        return Terms(ordered([*self.terms, *other.terms]), (*self.offset, *other.offset))

    def __str__(self) -> str:
        """Write the right-hand side as in a formula."""
        parts = [":".join(map(written, term)) for term in self.terms if term]
        parts += [f"offset({written(tree)})" for tree in self.offset]
        if not parts:
            return "1" if self.has_intercept else "0"
        return " + ".join(parts if self.has_intercept else ["0", *parts])


CONSTANT = Terms(((),))
"""The constant alone."""


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One random term: `terms` vary over the units of `grouping`.

    Attributes
    ----------
    terms
        The columns that vary.
    grouping
        The columns whose combination identifies a unit, such as ``("therapist", "family")``.
    text
        The columns as written, ``"1 + session"``.
    """

    terms: Terms
    grouping: tuple[str, ...]
    text: str = ""

    @property
    def columns(self) -> str:
        """The columns as written, ``"1 + session"``."""
        return self.text or str(self.terms)

    @property
    def group(self) -> str:
        """The grouping factor's name, ``"therapist:family"``."""
        return ":".join(map(str, self.grouping))

    def __str__(self) -> str:
        """Write the term as in a formula."""
        return f"({self.columns} | {self.group})"


@dataclass(frozen=True, slots=True)
class MixedFormula:
    """A parsed mixed-model formula.

    Attributes
    ----------
    text
        The formula as the caller wrote it.
    outcome
        The left-hand side, an expression; None where there is none.
    fixed
        The fixed right-hand side.
    random
        The random terms, written out.
    """

    text: str
    outcome: Expression | None
    fixed: Terms
    random: tuple[RandomTerm, ...] = ()

    @property
    def response(self) -> str:
        """The left-hand side as printed: the bare name of a column."""
        return "" if self.outcome is None else printed(self.outcome)


def printed(tree: Expression) -> str:
    """Write a factor as in a coefficient's name: a column by its bare name."""
    return str(tree.name) if isinstance(tree, Column) else written(tree)


def column(name: Hashable) -> Terms:
    """Return the right-hand side of one column, without a constant; any name will do."""
    return Terms(((Column(name, ticked=True),),))


def intercepts(grouping: Sequence[str]) -> RandomTerm:
    """Return ``(1 | a:b)`` of the columns `grouping`, whatever their names."""
    return RandomTerm(CONSTANT, tuple(grouping), "1")


def crossed(left: Terms, right: Terms) -> Terms:
    """Return ``left * right``: both, and every product of a term of each; constants are kept."""
    products = [(*a, *b) for a in left.terms for b in right.terms]
    return Terms(
        ordered([*left.terms, *right.terms, *map(distinct, products)]),
        (*left.offset, *right.offset),
    )


def transformed(
    function: str, name: Hashable, *, degree: float | None = None, df: float | None = None
) -> Terms:
    """Return the right-hand side of one transform: ``poly(name, 2)``, ``cr(name, df=4)``."""
    further = () if degree is None else (Constant(degree, "number"),)
    named = () if df is None else (("df", Constant(df, "number")),)
    return Terms(((Call(function, (Column(name, ticked=True), *further), named),),))


def nested_intercepts(path: Sequence[str]) -> list[RandomTerm]:
    """Return ``(1 | a/b)`` of the columns `path`, the outermost first, whatever their names."""
    return [intercepts(path[: depth + 1]) for depth in range(len(path))]


def formula_of(
    outcome: Hashable | Expression, fixed: Terms, random: Sequence[RandomTerm] = ()
) -> MixedFormula:
    """Put a formula together from its parts, the outcome a column's name or an expression."""
    tree = outcome if isinstance(outcome, Expression) else Column(outcome, ticked=True)
    parts = [str(fixed), *(_shown(term) for term in random)]
    return MixedFormula(f"{written(tree)} ~ {' + '.join(parts)}", tree, fixed, tuple(random))


def parse_formula(formula: str | MixedFormula, *, needs_response: bool = True) -> MixedFormula:
    """Parse a mixed-model formula; one already parsed is returned unchanged.

    Raises
    ------
    FormulaError
        If a side is missing, a bracket is not closed, or a term cannot be read.
    """
    if isinstance(formula, MixedFormula):
        return formula
    if not isinstance(formula, str):
        raise FormulaError(f"The formula must be text; got {type(formula).__name__}.")
    return _parsed(formula, needs_response)


@functools.lru_cache(maxsize=256)  # a planned study is fitted thousands of times
def _parsed(formula: str, needs_response: bool) -> MixedFormula:
    sides = str(formula).partition("~")
    if needs_response and not (sides[0].strip() and sides[2].strip()):
        raise _one_sided(formula)
    tree = parse(formula)
    if needs_response and not (isinstance(tree, Binary) and tree.mark == "~"):
        raise _one_sided(formula)
    outcome = None
    if isinstance(tree, Binary) and tree.mark == "~":
        outcome, tree = tree.left, tree.right
    elif isinstance(tree, Unary) and tree.mark == "~":
        tree = tree.operand
    reader = Algebra(formula)
    fixed = Terms(reader.right_side(tree), tuple(reader.offset))
    random = tuple(term for bar in reader.bars for term in _expanded(bar, formula))
    clashes = {str(t) for t in random if [str(u) for u in random].count(str(t)) > 1}
    if clashes:
        raise FormulaError(f"The random term {min(clashes)} appears twice in {formula!r}.")
    return MixedFormula(formula, outcome, fixed, random)


def _one_sided(formula: str) -> FormulaError:
    return FormulaError(
        f"The formula {formula!r} needs an outcome, a '~' and a right-hand side, "
        "as in 'alliance ~ session + (1 | person)'."
    )


def parse_terms(text: str | Terms) -> Terms:
    """Read a right-hand side without random terms, ``"alliance + role"``.

    Raises
    ------
    FormulaError
        If it has another side or a random term, or cannot be read.
    """
    if isinstance(text, Terms):
        return text
    parsed = parse_formula(text, needs_response=False)
    if parsed.outcome is not None or parsed.random:
        what = "a left-hand side" if parsed.outcome is not None else "a random term"
        raise FormulaError(f"The formula {text!r} has {what}; write the terms alone.")
    return parsed.fixed


def bound_formula(parsed: MixedFormula, columns: Sequence[Hashable]) -> MixedFormula:
    """Return the formula with its names as labels of columns.

    Raises
    ------
    FormulaError
        A name that is not a column, or a call that is not a named transform.
    """
    outcome = None if parsed.outcome is None else bound(parsed.outcome, columns)
    random = tuple(
        replace(
            term,
            terms=bound_terms(term.terms, columns),
            grouping=tuple(_bound_unit(name, columns) for name in term.grouping),
        )
        for term in parsed.random
    )
    return replace(parsed, outcome=outcome, fixed=bound_terms(parsed.fixed, columns), random=random)


def variables_of(terms: Terms | Expression | None) -> list[Hashable]:
    """Return the labels of the columns used, in order of appearance."""
    if terms is None:
        return []
    trees = (
        [*itertools.chain.from_iterable(terms.terms), *terms.offset]
        if isinstance(terms, Terms)
        else [terms]
    )
    return list(dict.fromkeys(c.name for tree in trees for c in columns_in(tree)))


def bound_terms(terms: Terms, columns: Sequence[Hashable]) -> Terms:
    """Return the terms with their names as labels of columns; see :func:`bound_formula`."""
    return Terms(
        ordered([distinct(bound(f, columns) for f in term) for term in terms.terms]),
        tuple(bound(tree, columns) for tree in terms.offset),
    )


def _bound_unit(name: str, columns: Sequence[Any]) -> Any:
    if name in columns:
        return name
    for label in columns:
        if str(label) == name:
            return label
    raise FormulaError(
        f"The formula groups by '{name}', but the data have no such column. "
        f"{did_you_mean(name, columns)}"
    )


def _shown(term: RandomTerm) -> str:
    return f"({term.columns} | {':'.join(written(Column(name)) for name in term.grouping)})"


def _expanded(bar: Binary, formula: str) -> list[RandomTerm]:
    """Write out ``||`` and ``/`` of one random term."""
    reader = Algebra(formula)
    columns = Terms(reader.right_side(bar.left))
    if reader.bars or reader.offset:
        raise FormulaError(
            f"Cannot read the random term '{written(bar)}' in {formula!r}; write '(1 + x | group)'."
        )
    units = nested(bar.right, formula)
    if bar.mark == "|":
        left = replace(bar.left, bracketed=False) if isinstance(bar.left, Binary) else bar.left
        pieces = [(columns, written(left))]
    else:
        pieces = [
            (Terms((term,)), f"0 + {':'.join(map(written, term))}" if term else "1")
            for term in columns.terms
        ]
    return [RandomTerm(piece, names, text) for names in units for piece, text in pieces]
