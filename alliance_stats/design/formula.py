"""lme4's formula language: ``y ~ fixed + (random | grouping)``, read as terms.

A term is a tuple of factors (columns or calls) that are multiplied; the constant is the empty
tuple. ``+ - * / : ^ %in%`` are R's. What lme4 abbreviates is written out: ``(x | a/b)`` becomes
``(x | a) + (x | a:b)``, and ``(1 + x || g)`` becomes ``(1 | g) + (0 + x | g)`` (Bates, Maechler,
Bolker & Walker 2015, doi:10.18637/jss.v067.i01, Table 2).

Rooms that make a formula of their own hand over its parts (:func:`column`, :func:`crossed`,
:class:`RandomTerm`, :class:`MixedFormula`), never a text: a name of a column is a value there.
"""

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alliance_stats.checks import did_you_mean
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
_LARGEST_POWER = 20

Term = tuple[Expression, ...]
"""Factors that are multiplied; ``()`` is the constant."""


@dataclass(frozen=True, slots=True)
class OwnColumn:
    """The label of a column that a room adds to a frame: no column of a caller can be called so.

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
        """Join two right-hand sides; a constant of either stays."""
        return Terms(_ordered([*self.terms, *other.terms]), (*self.offset, *other.offset))

    def __str__(self) -> str:
        """Write the right-hand side as a formula has it."""
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
        The columns whose combination names a unit, as ``("therapist", "family")``.
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
    """A mixed-model formula taken apart.

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
    """Write a factor as a coefficient's name has it: a column by its bare name."""
    return str(tree.name) if isinstance(tree, Column) else written(tree)


def column(name: Hashable) -> Terms:
    """Return the right-hand side of one column, without a constant; any name will do."""
    return Terms(((Column(name, ticked=True),),))


def intercepts(grouping: Sequence[str]) -> RandomTerm:
    """Return ``(1 | a:b)`` of the columns `grouping`, whatever their names."""
    return RandomTerm(CONSTANT, tuple(grouping), "1")


def crossed(left: Terms, right: Terms) -> Terms:
    """Return ``left * right``: both, and every product of a term of each; constants stay."""
    products = [(*a, *b) for a in left.terms for b in right.terms]
    return Terms(
        _ordered([*left.terms, *right.terms, *map(_distinct, products)]),
        (*left.offset, *right.offset),
    )


def transformed(function: str, name: Hashable, *arguments: float, **named: float) -> Terms:
    """Return the right-hand side of one transform of a column: ``poly(name, 2)``."""
    further = [Constant(value, "number") for value in arguments]
    return Terms(
        (
            (
                Call(
                    function,
                    (Column(name, ticked=True), *further),
                    tuple((key, Constant(value, "number")) for key, value in named.items()),
                ),
            ),
        )
    )


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
    """Take a mixed-model formula apart; one that is apart already is given back.

    Raises
    ------
    FormulaError
        If a side is missing, a bracket is not closed, or a term cannot be read.
    """
    if isinstance(formula, MixedFormula):
        return formula
    sides = str(formula).partition("~")
    if needs_response and isinstance(formula, str) and not (sides[0].strip() and sides[2].strip()):
        raise _one_sided(formula)
    tree = parse(formula)
    if needs_response and not (isinstance(tree, Binary) and tree.mark == "~"):
        raise _one_sided(formula)
    outcome = None
    if isinstance(tree, Binary) and tree.mark == "~":
        outcome, tree = tree.left, tree.right
    elif isinstance(tree, Unary) and tree.mark == "~":
        tree = tree.operand
    reader = _Algebra(formula)
    fixed = reader.right_side(tree)
    random = tuple(term for bar in reader.bars for term in _expanded(bar, formula))
    clashes = {str(t) for t in random if [str(u) for u in random].count(str(t)) > 1}
    if clashes:
        raise FormulaError(f"The random term {min(clashes)} stands twice in {formula!r}.")
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
        A name that is no column, or a call that is no named transform.
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
        _ordered([_distinct(bound(f, columns) for f in term) for term in terms.terms]),
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


def _distinct(factors: Iterable[Expression]) -> Term:
    """Return the factors of a product, each once: ``a:a`` is ``a``."""
    return tuple({_key(factor): factor for factor in factors}.values())


def _key(factor: Expression) -> Expression:
    return Column(factor.name) if isinstance(factor, Column) else factor


def _ordered(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Return each term once, those of fewer factors first."""
    once: dict[frozenset[Expression], Term] = {}
    for term in terms:
        once.setdefault(frozenset(map(_key, term)), term)
    return tuple(sorted(once.values(), key=len))


def _shown(term: RandomTerm) -> str:
    return f"({term.columns} | {':'.join(written(Column(name)) for name in term.grouping)})"


@dataclass(frozen=True, slots=True)
class _Sum:
    """Terms as R adds them up: what stands there, and what was last said of the constant."""

    terms: tuple[Term, ...] = ()
    intercept: bool | None = None


class _Algebra:
    """Reads a right-hand side as a sum of terms; random terms and offsets are put aside."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.bars: list[Binary] = []
        self.offset: list[Expression] = []

    def right_side(self, tree: Expression, *, intercept: bool = True) -> Terms:
        found = self._sum(tree, outermost=True)
        constant = intercept if found.intercept is None else found.intercept
        terms = [(), *found.terms] if constant else list(found.terms)
        return Terms(_ordered(terms), tuple(self.offset))

    def _sum(self, tree: Expression, *, outermost: bool) -> _Sum:
        match tree:
            case Column("."):
                raise self._error(
                    "'.' (every other column) is not understood; write the columns out, "
                    "joined by '+'"
                )
            case Column():
                return _Sum(((tree,),))
            case Constant(0 | 1, "number"):
                return _Sum((), bool(tree.value))
            case Call("offset", (inside,), ()) if outermost:
                self.offset.append(inside)
                return _Sum()
            case Call("offset"):
                raise self._error("offset() takes one expression and is joined by '+'")
            case Call():
                return _Sum(((tree,),))
            case Unary("+", operand):
                return self._sum(operand, outermost=outermost)
            case Unary("-", operand):
                return self._without(_Sum(), self._sum(operand, outermost=False))
            case Binary("|" | "||", bracketed=bracketed):
                if not bracketed:
                    raise FormulaError(
                        f"A random term in {self.formula!r} needs brackets: '(1 | group)'."
                    )
                if not outermost:
                    raise FormulaError(f"Random terms in {self.formula!r} must be joined by '+'.")
                self.bars.append(tree)
                return _Sum()
            case Binary("+", left, right):
                one, two = (self._sum(side, outermost=outermost) for side in (left, right))
                return self._joined(one, two, [*one.terms, *two.terms])
            case Binary("-", left, right):
                one = self._sum(left, outermost=outermost)
                return self._without(one, self._sum(right, outermost=False))
            case Binary("*" | ":" | "%in%" | "/" as mark, left, right):
                one, two = (self._sum(side, outermost=False) for side in (left, right))
                return self._joined(one, two, _product(mark, one.terms, two.terms))
            case Binary("^" | "**", left, Constant(power, "number")) if (
                isinstance(power, int) and 1 <= power <= _LARGEST_POWER
            ):
                one = self._sum(left, outermost=False)
                terms = one.terms
                for _ in range(power - 1):
                    terms = _ordered(_product("*", terms, one.terms))
                return replace(one, terms=terms)
        raise self._no_term(tree)

    @staticmethod
    def _joined(one: _Sum, two: _Sum, terms: Iterable[Term]) -> _Sum:
        intercept = one.intercept if two.intercept is None else two.intercept
        return _Sum(_ordered(terms), intercept)

    @staticmethod
    def _without(one: _Sum, two: _Sum) -> _Sum:
        gone = [frozenset(map(_key, term)) for term in two.terms]
        left = tuple(t for t in one.terms if frozenset(map(_key, t)) not in gone)
        return _Sum(left, one.intercept if two.intercept is None else not two.intercept)

    def _no_term(self, tree: Expression) -> FormulaError:
        if isinstance(tree, Constant):
            return self._error(
                f"'{written(tree)}' is no term: beside 0 and 1 for the constant, numbers belong "
                "inside I(...) or offset(...)"
            )
        return self._error(f"arithmetic such as '{written(tree)}' stands inside I(...)")

    def _error(self, why: str) -> FormulaError:
        return FormulaError(f"Cannot read the formula {self.formula!r}: {why}.")


def _product(mark: str, left: Sequence[Term], right: Sequence[Term]) -> list[Term]:
    """Return the terms of a product as R reads it."""
    if mark == "/":  # b within every combination of a
        whole = _distinct(itertools.chain.from_iterable(left))
        return [*left, *(_distinct([*whole, *term]) for term in right)]
    products = [_distinct([*a, *b]) for a in left for b in right]
    return [*left, *right, *products] if mark == "*" else products


def _expanded(bar: Binary, formula: str) -> list[RandomTerm]:
    """Write out ``||`` and ``/`` of one random term."""
    reader = _Algebra(formula)
    columns = reader.right_side(bar.left)
    if reader.bars or reader.offset:
        raise FormulaError(
            f"Cannot read the random term '{written(bar)}' in {formula!r}; write '(1 + x | group)'."
        )
    units = _nested(bar.right, formula)
    if bar.mark == "|":
        pieces = [(columns, _tidied(bar.left))]
    else:
        pieces = [
            (Terms((term,)), f"0 + {':'.join(map(written, term))}" if term else "1")
            for term in columns.terms
        ]
    return [RandomTerm(piece, names, text) for names in units for piece, text in pieces]


def _tidied(tree: Expression) -> str:
    return written(replace(tree, bracketed=False) if isinstance(tree, Binary) else tree)


def _nested(tree: Expression, formula: str) -> list[tuple[str, ...]]:
    """Return the columns of each grouping: of ``a/b`` those of a, then those of a and b."""
    if isinstance(tree, Binary) and tree.mark == "/":
        outer, inner = _nested(tree.left, formula), _nested(tree.right, formula)
        return [*outer, *(tuple(dict.fromkeys((*outer[-1], *names))) for names in inner)]
    if isinstance(tree, Binary) and tree.mark in (":", "%in%"):
        sides = [_nested(side, formula) for side in (tree.left, tree.right)]
        if all(len(side) == 1 for side in sides):
            return [tuple(dict.fromkeys((*sides[0][0], *sides[1][0])))]
    if isinstance(tree, Column) and tree.name != ".":
        return [(str(tree.name),)]
    raise FormulaError(
        f"Cannot read the grouping '{written(tree)}' in {formula!r}; groupings are "
        "column names joined by ':' or '/'."
    )
