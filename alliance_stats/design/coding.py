"""Terms -> columns of numbers: coded once on the rows of a fit, and again for new rows.

Categories are coded by contrasts where preceding terms already span part of their levels, and
otherwise by one indicator per level (the rule of patsy and formulaic: a term adds only what its
margins do not span).
"""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import describe_rows
from alliance_stats.design.expressions import States, as_numbers, evaluate
from alliance_stats.design.factors import Factor, block_of, field_names, read_factor, values_of
from alliance_stats.design.formula import INTERCEPT, OwnColumn, Terms, printed, variables_of
from alliance_stats.design.grammar import Column, Expression, quoted
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, Integers

__all__ = ["CodedTerm", "Coding", "Factor", "code_terms", "independent_columns", "numeric_values"]

# A column whose part not explained by the columns before it is relatively smaller is aliased.
ALIASED = 1e-9


@dataclass(frozen=True, slots=True)
class _Piece:
    """Columns of a term: factors by position, each whole or without what the constant spans."""

    factors: tuple[tuple[int, bool], ...]


@dataclass(frozen=True, slots=True, eq=False)
class CodedTerm:
    """A term and its columns.

    Attributes
    ----------
    name
        ``"arm:session"``; ``"1"`` for the constant.
    factors
        Its factors.
    columns
        Positions of its columns.
    """

    name: str
    factors: tuple[Factor, ...]
    columns: slice

    @property
    def variables(self) -> tuple[Hashable, ...]:
        """The columns of the data that it uses."""
        return tuple(dict.fromkeys(c for factor in self.factors for c in factor.columns))


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """How terms become columns.

    Attributes
    ----------
    names
        Names of the columns; the constant is ``(Intercept)``.
    terms
        The terms and the positions of their columns.
    offset
        What is added to the linear predictor.
    """

    names: tuple[str, ...]
    terms: tuple[CodedTerm, ...]
    offset: tuple[Expression, ...]
    _factors: tuple[Factor, ...]
    _pieces: tuple[_Piece, ...]
    _states: States = field(repr=False)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factors of all terms, each once."""
        return self._factors

    @property
    def variables(self) -> tuple[Hashable, ...]:
        """The columns of the data that the terms and the offset use."""
        own = [column for factor in self._factors for column in factor.columns]
        added = [column for tree in self.offset for column in variables_of(tree)]
        return tuple(dict.fromkeys([*own, *added]))

    def columns(self, newdata: pd.DataFrame) -> Array:
        """Code new rows as the fitted ones were, (n, columns).

        Raises
        ------
        DataError
            Values of another kind than the fit's, or that give no finite number (``log(0)``).
        """
        try:
            matrix = self._matrix(newdata, newdata)
        except FormulaError as complaint:
            raise DataError(f"Cannot code the new data as the fit's: {complaint}") from complaint
        except DataError as complaint:
            raise DataError(f"newdata: {complaint}") from complaint
        found = not_finite(matrix, self.names, newdata.index)
        if found is not None:
            raise DataError(f"newdata: {found}, so that nothing can be predicted there.")
        return matrix

    def indicators(self, frame: pd.DataFrame) -> tuple[Array, tuple[slice, ...]]:
        """Code rows with one indicator per level in every term, whatever its contrasts.

        Returns
        -------
        matrix, columns
            The columns of all terms, each spanning the terms that it contains, and the positions of
            those of each term. Numbers are unchanged.
        """
        values = [values_of(factor, frame, frame, self._states) for factor in self._factors]
        place = {id(factor): i for i, factor in enumerate(self._factors)}
        blocks, slices, at = [], [], 0
        for term in self.terms:
            block = np.ones((len(frame), 1))
            for factor in term.factors:
                own = block_of(factor, values[place[id(factor)]], reduced=False)
                block = (own[:, :, None] * block[:, None, :]).reshape(len(frame), -1)
            blocks.append(block)
            slices.append(slice(at, at + block.shape[1]))
            at += block.shape[1]
        return np.hstack(blocks), tuple(slices)

    def offsets(self, newdata: pd.DataFrame) -> Array:
        """Return the offset of new rows, (n,), zero where the formula has none."""
        return _offset(self.offset, newdata, newdata, self._states)

    def _matrix(self, frame: pd.DataFrame, learn: pd.DataFrame) -> Array:
        values = [values_of(factor, frame, learn, self._states) for factor in self._factors]
        matrix = np.empty((len(frame), len(self.names)), order="F")
        at = 0
        for piece in self._pieces:
            blocks = [
                block_of(self._factors[i], values[i], reduced=reduced)
                for i, reduced in piece.factors
            ]
            for columns in itertools.product(*(range(b.shape[1]) for b in reversed(blocks))):
                matrix[:, at] = 1.0
                for block, column in zip(blocks, reversed(columns), strict=True):
                    matrix[:, at] *= block[:, column]
                at += 1
        return matrix


def code_terms(
    terms: Terms, used: pd.DataFrame, *, learn: pd.DataFrame | None = None
) -> tuple[Coding, Array]:
    """Learn the coding of bound terms on the rows used, and code them.

    Parameters
    ----------
    terms
        With labels of columns (:func:`alliance_stats.design.formula.bound_formula`).
    used
        Rows without a missing value in any of their columns, as :func:`columns_as_read` reads them.
    learn
        Rows that give ``scale()``, ``poly()`` and splines their mean, SD and knots: as in R, all in
        which the column is not missing, including those set aside for another column. By default
        the rows used.

    Returns
    -------
    coding, matrix
        How new rows are coded, and the columns of the rows used, (n, columns).

    Raises
    ------
    FormulaError
        A term that cannot be evaluated, or two columns with the same name.
    DataError
        A column with values that are not finite numbers.
    NotIdentifiedError
        A factor with one level.
    """
    states: States = {}
    learn = used if learn is None else learn
    distinct = list(dict.fromkeys(itertools.chain.from_iterable(terms.terms)))
    once: dict[Expression, int] = {}
    factors: list[Factor] = []
    for tree in distinct:
        key = Column(tree.name) if isinstance(tree, Column) else tree
        if key not in once:
            once[key] = len(factors)
            factors.append(read_factor(key, used, learn, states))
    positions = [
        tuple(once[Column(f.name) if isinstance(f, Column) else f] for f in term)
        for term in terms.terms
    ]
    coding = _named(terms, positions, factors, states)
    matrix = coding._matrix(used, learn)
    found = not_finite(matrix, coding.names, used.index)
    if found is not None:
        raise DataError(f"{found}. Correct those values, or set them to missing.")
    _offset(terms.offset, used, learn, states)  # learns what a stateful offset needs
    return coding, matrix


def numeric_values(
    tree: Expression,
    used: pd.DataFrame,
    *,
    learn: pd.DataFrame | None = None,
    states: States | None = None,
) -> Array:
    """Evaluate an outcome or an offset: one number per row.

    Raises
    ------
    DataError
        If it is text or categories, several columns, or not finite.
    """
    value = evaluate(tree, used, used if learn is None else learn, {} if states is None else states)
    name = printed(tree)
    if isinstance(value, pd.Series) and not pd.api.types.is_numeric_dtype(value.dtype):
        raise DataError(
            f"The outcome '{name}' must be one numeric column; its values are of type "
            f"{value.dtype}. Give numbers (for a yes or no 1 and 0)."
        )
    if isinstance(value, dict) or np.ndim(value) > 1:
        raise DataError(f"The outcome '{name}' must be one numeric column; it is several.")
    numbers = np.asarray(as_numbers(value, tree), dtype=np.float64)
    numbers = np.array(np.broadcast_to(numbers, (len(used),)))
    found = not_finite(numbers[:, None], [name], used.index)
    if found is not None:
        raise DataError(f"{found}. Correct those values, or set them to missing.")
    return numbers


def not_finite(matrix: Array, names: Sequence[str], index: pd.Index) -> str | None:
    """Name the first column that is not a finite number everywhere, and its rows."""
    if np.isfinite(matrix.sum()):
        return None
    for name, column in zip(names, matrix.T, strict=True):
        bad = ~np.isfinite(column)
        if bad.any():
            return f"'{name}' is not a finite number in {describe_rows(bad, index)}"
    return None


def _offset(
    trees: Sequence[Expression], frame: pd.DataFrame, learn: pd.DataFrame, states: States
) -> Array:
    total = np.zeros(len(frame))
    for tree in trees:
        total = total + numeric_values(tree, frame, learn=learn, states=states)
    return total


def _named(
    terms: Terms, positions: Sequence[tuple[int, ...]], factors: Sequence[Factor], states: States
) -> Coding:
    """Lay out the columns of all terms; a column's name is put between back-ticks where needed."""
    layout = _pieces(positions, factors)
    names = _column_names(layout, [factor.name for factor in factors], factors)
    if len(set(names)) < len(names):
        ticked = [_unmistakable(factor) for factor in factors]
        names = _column_names(layout, ticked, factors)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise FormulaError(
            f"Two columns of the formula would be called '{min(twice)}'. Rename a column or a "
            "category of the data."
        )
    coded, at = [], 0
    sizes = iter([_size(piece, factors) for own in layout for piece in own])
    for term, own, place in zip(terms.terms, layout, positions, strict=True):
        width = sum(itertools.islice(sizes, len(own)))
        label = ":".join(_label(factors[i]) for i in place) if term else "1"
        coded.append(CodedTerm(label, tuple(factors[i] for i in place), slice(at, at + width)))
        at += width
    pieces = tuple(itertools.chain.from_iterable(layout))
    return Coding(tuple(names), tuple(coded), terms.offset, tuple(factors), pieces, states)


def _unmistakable(factor: Factor) -> str:
    """Return a name that differs from a caller's column, an interaction or a level."""
    tree = factor.expression
    if not isinstance(tree, Column):
        return factor.name
    if isinstance(tree.name, OwnColumn):
        return f"{factor.name} (derived)"
    return factor.name if factor.name.isidentifier() else quoted(factor.name)


def _label(factor: Factor) -> str:
    """Return a factor's name in that of a term, where a colon joins."""
    colon = isinstance(factor.expression, Column) and ":" in factor.name
    return quoted(factor.name) if colon else factor.name


def _size(piece: _Piece, factors: Sequence[Factor]) -> int:
    return int(
        np.prod([len(field_names(factors[i], reduced=r, name="")) for i, r in piece.factors])
    )


def _column_names(
    layout: Sequence[Sequence[_Piece]], names: Sequence[str], factors: Sequence[Factor]
) -> list[str]:
    found = []
    for piece in itertools.chain.from_iterable(layout):
        parts = [field_names(factors[i], reduced=r, name=names[i]) for i, r in piece.factors]
        if not parts:
            found.append(INTERCEPT)
            continue
        for own in itertools.product(*reversed(parts)):  # the first factor's levels change fastest
            found.append(":".join(reversed(own)))
    return found


def _pieces(
    positions: Sequence[tuple[int, ...]], factors: Sequence[Factor]
) -> list[tuple[_Piece, ...]]:
    """Decide for each term which factors are coded in full, so that nothing is spanned twice.

    A factor whose columns add up to the constant represents itself without the constant, and the
    constant: ``a:b`` spans 1, a, b and their product. What terms before span is left out, and what
    remains is joined again: ``(all):(without constant) + (all)`` is ``(all):(whole)``.
    """
    spanned: set[frozenset[tuple[int, bool]]] = set()
    found = []
    for place in positions:
        choices: list[tuple[tuple[int, bool] | None, ...]] = [
            ((i, True), None) if factors[i].spans_constant else ((i, False),) for i in place
        ]
        span = [
            tuple(choice for choice in own if choice is not None)
            for own in itertools.product(*choices)
        ]
        new = [own for own in dict.fromkeys(span) if frozenset(own) not in spanned]
        spanned |= {frozenset(own) for own in new}
        found.append(tuple(_Piece(own) for own in _joined(new)))
    return found


_Own = tuple[tuple[int, bool], ...]


def _joined(pieces: Sequence[_Own]) -> list[_Own]:
    """Join pieces that differ by one factor without its constant, until none do."""
    kept: list[_Own] = []
    for piece in sorted(pieces, key=len):
        for other in kept:
            more = set(piece) - set(other)
            if len(piece) - 1 != len(other) or len(more) != 1:
                continue
            (place, reduced) = next(iter(more))
            if reduced:
                whole = tuple((i, False) if i == place else (i, r) for i, r in piece)
                kept = _joined([*(own for own in kept if own != other), whole])
                break
        else:
            kept.append(piece)
    return kept


def independent_columns(X: Array) -> Integers:
    """Positions of the columns that are not combinations of the columns before them.

    As in R, the first of a dependent set is kept. The triangle of a QR decomposition has the same
    inner products as X, so the columns are compared there.
    """
    if X.shape[1] == 0:
        return np.empty(0, dtype=np.int64)
    triangle = linalg.qr(X, mode="r", check_finite=False)[0][: X.shape[1]]
    basis: list[Array] = []
    kept = []
    for j in range(X.shape[1]):
        column = triangle[:, j].copy()
        length = float(np.linalg.norm(column))
        for _ in range(2):  # twice is enough
            for direction in basis:
                column -= (direction @ column) * direction
        left = float(np.linalg.norm(column))
        if length > 0 and left > ALIASED * length:
            basis.append(column / left)
            kept.append(j)
    return np.array(kept, dtype=np.int64)
