"""The algebra of R's formulas: what ``+ - * / : ^ %in%`` make of terms (Wilkinson & Rogers 1973).

A term is a tuple of factors (columns or calls) that are multiplied; the constant is the empty
tuple. Random terms and offsets are set aside for :mod:`alliance_stats.design.formula`.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from alliance_stats.design.grammar import Binary, Call, Column, Constant, Expression, Unary, written
from alliance_stats.errors import FormulaError

__all__ = ["Algebra", "Term", "distinct", "nested", "ordered"]

_LARGEST_POWER = 20

Term = tuple[Expression, ...]
"""Factors that are multiplied; ``()`` is the constant."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """Terms as R adds them: the terms so far, and the last statement about the constant."""

    terms: tuple[Term, ...] = ()
    intercept: bool | None = None


class Algebra:
    """Reads a right-hand side as a sum of terms; random terms and offsets are set aside."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.bars: list[Binary] = []
        self.offset: list[Expression] = []

    def right_side(self, tree: Expression) -> tuple[Term, ...]:
        """Return the terms, with the constant first where there is one."""
        found = self._sum(tree, outermost=True)
        return ordered(found.terms if found.intercept is False else [(), *found.terms])

    def _sum(self, tree: Expression, *, outermost: bool) -> _Sum:
        match tree:
            case Column(".", False):
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
            case Binary("|" | "||"):
                return self._random(tree, outermost=outermost)
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
                    terms = ordered(_product("*", terms, one.terms))
                return replace(one, terms=terms)
        raise self._no_term(tree)

    def _random(self, tree: Binary, *, outermost: bool) -> _Sum:
        if not tree.bracketed:
            raise FormulaError(f"A random term in {self.formula!r} needs brackets: '(1 | group)'.")
        if not outermost:
            raise FormulaError(f"Random terms in {self.formula!r} must be joined by '+'.")
        self.bars.append(tree)
        return _Sum()

    @staticmethod
    def _joined(one: _Sum, two: _Sum, terms: Iterable[Term]) -> _Sum:
        intercept = one.intercept if two.intercept is None else two.intercept
        return _Sum(ordered(terms), intercept)

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
        whole = distinct(itertools.chain.from_iterable(left))
        return [*left, *(distinct([*whole, *term]) for term in right)]
    products = [distinct([*a, *b]) for a in left for b in right]
    return [*left, *right, *products] if mark == "*" else products


def nested(tree: Expression, formula: str) -> list[tuple[str, ...]]:
    """Return the columns of each grouping: of ``a/b`` those of a, then those of a and b."""
    if isinstance(tree, Binary) and tree.mark == "/":
        outer, inner = nested(tree.left, formula), nested(tree.right, formula)
        return [*outer, *(tuple(dict.fromkeys((*outer[-1], *names))) for names in inner)]
    if isinstance(tree, Binary) and tree.mark in (":", "%in%"):
        sides = [nested(side, formula) for side in (tree.left, tree.right)]
        if all(len(side) == 1 for side in sides):
            return [tuple(dict.fromkeys((*sides[0][0], *sides[1][0])))]
    if isinstance(tree, Column) and (tree.name != "." or tree.ticked):
        return [(str(tree.name),)]
    raise FormulaError(
        f"Cannot read the grouping '{written(tree)}' in {formula!r}; groupings are "
        "column names joined by ':' or '/'."
    )


def distinct(factors: Iterable[Expression]) -> Term:
    """Return the factors of a product, each once: ``a:a`` is ``a``."""
    return tuple({_key(factor): factor for factor in factors}.values())


def _key(factor: Expression) -> Expression:
    return Column(factor.name) if isinstance(factor, Column) else factor


def ordered(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Return each term once, those of fewer factors first."""
    once: dict[frozenset[Expression], Term] = {}
    for term in terms:
        once.setdefault(frozenset(map(_key, term)), term)
    return tuple(sorted(once.values(), key=len))
