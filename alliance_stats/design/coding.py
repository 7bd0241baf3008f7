"""Terms -> columns of numbers: coded once on the rows of a fit, and again for new rows.

Categories are coded by contrasts where the terms before hold what their levels span, and by an
indicator a level where they do not (the rule of patsy and formulaic: a term adds what its margins
leave, nothing twice). Truth values are read as R reads logicals: as a factor of two levels, whose
one column beside a constant carries the bare name.
"""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from formulaic.transforms.contrasts import Contrasts, CustomContrasts, TreatmentContrasts
from scipy import linalg

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.design.expressions import States, as_numbers, constant, evaluate
from alliance_stats.design.formula import INTERCEPT, OwnColumn, Terms, printed, variables_of
from alliance_stats.design.grammar import Call, Column, Expression, Listed, quoted
from alliance_stats.design.named_transforms import CONTRASTS
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "CodedTerm",
    "Coding",
    "Factor",
    "code_terms",
    "independent_columns",
    "numeric_values",
]

# A column whose part not explained by the columns before it is relatively smaller is aliased.
ALIASED = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One factor of a term and how it is coded.

    Attributes
    ----------
    expression
        A column or a call.
    name
        As coefficients are called.
    columns
        The columns of the data that it uses.
    levels
        The categories in order; None of numbers.
    contrasts
        Their coding where the terms before span their mean.
    truth
        Whether the levels are false and true.
    fields
        What numbers of several columns are called, ``("1", "2")``; None of one column.
    spans_constant
        Whether its columns add up to the constant.
    """

    expression: Expression
    name: str
    columns: tuple[Hashable, ...]
    levels: tuple[Hashable, ...] | None = None
    contrasts: Contrasts | None = None
    truth: bool = False
    fields: tuple[Hashable, ...] | None = None
    spans_constant: bool = False

    @property
    def is_categorical(self) -> bool:
        """Whether its values are categories."""
        return self.levels is not None


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
        ``"arm:session"``; ``"1"`` of the constant.
    factors
        Its factors.
    columns
        Where its columns stand.
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
        Of the columns, the constant as ``(Intercept)``.
    terms
        The terms and where their columns stand.
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
            Values of another kind than the fit's, or such as give no finite number (``log(0)``).
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
        """Code rows with an indicator a level in every term, whatever its contrasts.

        Returns
        -------
        matrix, columns
            The columns of all terms, each spanning the terms that it contains, and where those of
            each term stand. Numbers are as they are.
        """
        values = [_values(factor, frame, frame, self._states) for factor in self._factors]
        place = {id(factor): i for i, factor in enumerate(self._factors)}
        blocks, slices, at = [], [], 0
        for term in self.terms:
            block = np.ones((len(frame), 1))
            for factor in term.factors:
                own = _block(factor, values[place[id(factor)]], reduced=False)
                block = (own[:, :, None] * block[:, None, :]).reshape(len(frame), -1)
            blocks.append(block)
            slices.append(slice(at, at + block.shape[1]))
            at += block.shape[1]
        return np.hstack(blocks), tuple(slices)

    def offsets(self, newdata: pd.DataFrame) -> Array:
        """Return the offset of new rows, (n,), zero where the formula has none."""
        return _offset(self.offset, newdata, newdata, self._states)

    def _matrix(self, frame: pd.DataFrame, learn: pd.DataFrame) -> Array:
        values = [_values(factor, frame, learn, self._states) for factor in self._factors]
        matrix = np.empty((len(frame), len(self.names)), order="F")
        at = 0
        for piece in self._pieces:
            blocks = [
                _block(self._factors[i], values[i], reduced=reduced) for i, reduced in piece.factors
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
        Rows whose values say what ``scale()``, ``poly()`` and splines take for mean, SD and knots:
        all in which the column is there, as in R, also those that are set aside for another
        column. The rows used if not given.

    Returns
    -------
    coding, matrix
        How new rows are coded, and the columns of the rows used, (n, columns).

    Raises
    ------
    FormulaError
        A term that cannot be evaluated, or two columns of one name.
    DataError
        A column that is not a finite number everywhere.
    NotIdentifiedError
        A factor of one level.
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
            factors.append(_factor(key, used, learn, states))
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
    """Evaluate an outcome or an offset: one number a row.

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
            f"{value.dtype}. Text cannot be an outcome of a linear model."
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


def _factor(tree: Expression, used: pd.DataFrame, learn: pd.DataFrame, states: States) -> Factor:
    """Look at a factor's values on the rows used: numbers, truth values or categories."""
    plain = Factor(tree, printed(tree), tuple(variables_of(tree)))
    if isinstance(tree, Call) and tree.function == "C":
        return _categories(plain, tree, used, learn, states)
    value = evaluate(tree, used, learn, states)
    if isinstance(value, pd.Series) and not pd.api.types.is_numeric_dtype(value.dtype):
        return _with_levels(plain, _levels_of(value), TreatmentContrasts())
    if getattr(getattr(value, "dtype", None), "kind", "") == "b":
        return replace(_with_levels(plain, (False, True), TreatmentContrasts()), truth=True)
    spans = bool(getattr(getattr(value, "__formulaic_metadata__", None), "spans_intercept", False))
    return replace(plain, fields=_fields(value), spans_constant=spans)


def _fields(value: Any) -> tuple[Hashable, ...] | None:
    if isinstance(value, dict):
        return tuple(value)
    if np.ndim(value) < 2:
        return None
    own = getattr(getattr(value, "__formulaic_metadata__", None), "column_names", None)
    return tuple(own) if own else tuple(range(value.shape[1]))


def _categories(
    plain: Factor, call: Call, used: pd.DataFrame, learn: pd.DataFrame, states: States
) -> Factor:
    named = dict(call.named)
    value = evaluate(call.arguments[0], used, learn, states)
    levels = (
        _levels_of(_as_series(value, used))
        if "levels" not in named
        else _listed_levels(call, constant(named["levels"]))
    )
    given = [*call.arguments[1:], *(named[k] for k in ("contrasts",) if k in named)]
    factor = _with_levels(plain, levels, _contrasts(given[0]) if given else TreatmentContrasts())
    _check_known(factor, _codes(factor, value, used), used, value)
    return factor


def _listed_levels(call: Call, levels: object) -> tuple[Hashable, ...]:
    if not isinstance(levels, list) or any(isinstance(level, list) for level in levels):
        raise FormulaError(f"levels= of '{printed(call)}' takes a list, levels=['a', 'b'].")
    return tuple(levels)


def _contrasts(tree: Expression) -> Contrasts:
    """Make the contrasts that a formula names."""
    if isinstance(tree, Listed):
        return _made(lambda: CustomContrasts(constant(tree)), tree)
    function, arguments, named = (
        (tree.function, tree.arguments, tree.named)
        if isinstance(tree, Call)
        else (str(getattr(tree, "name", "")), (), ())
    )
    positional = [constant(argument) for argument in arguments]
    further = {name: constant(value) for name, value in named}
    return _made(lambda: CONTRASTS[function](*positional, **further), tree)


def _made(make: Any, tree: Expression) -> Any:
    try:
        return make()
    except (IndexError, TypeError, ValueError) as complaint:
        raise FormulaError(
            f"Cannot use the contrasts '{printed(tree)}': {complaint}"
        ) from complaint


def _with_levels(factor: Factor, levels: tuple[Hashable, ...], contrasts: Contrasts) -> Factor:
    if len(levels) < 2:
        seen = ", ".join(map(str, levels))
        raise NotIdentifiedError(
            f"'{factor.name}' has one level in the rows used ('{seen}'): its effect cannot be "
            "estimated. Leave it out of the formula."
        )
    base = getattr(contrasts, "base", None)
    if isinstance(base, Hashable) and isinstance(base, str | int | float) and base not in levels:
        raise FormulaError(
            f"'{factor.name}' has no level '{base}' to compare with. {did_you_mean(base, levels)}"
        )
    found = replace(factor, levels=levels, contrasts=contrasts, spans_constant=True)
    matrix = _made(lambda: _coding_matrix(found, reduced=True), factor.expression)
    if matrix.shape[0] != len(levels) or not np.isfinite(matrix).all():
        raise FormulaError(
            f"The contrasts of '{factor.name}' have {matrix.shape[0]} rows for its "
            f"{len(levels)} levels."
        )
    return found


def _levels_of(values: pd.Series) -> tuple[Hashable, ...]:
    """Return the categories that occur, in their own order or sorted."""
    return tuple(values.astype("category").cat.remove_unused_categories().cat.categories)


def _as_series(value: Any, used: pd.DataFrame) -> pd.Series:
    """Return a column, or what was computed of columns, as a column of categories."""
    if isinstance(value, pd.Series):
        return value
    if isinstance(value, dict | list) or np.ndim(value) > 1:
        raise FormulaError("C() takes one column, not several.")
    numbers = np.array(np.broadcast_to(value, (len(used),)))
    whole = numbers.dtype.kind == "f" and bool((numbers == np.round(numbers)).all())
    return pd.Series(numbers.astype(np.int64) if whole else numbers, index=used.index)


def _codes(factor: Factor, value: Any, frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return each row's level by number, -1 where it is none."""
    series = _as_series(value, frame)
    if isinstance(series.dtype, pd.CategoricalDtype):
        own = pd.Index(list(factor.levels or ()), dtype=object)
        places = own.get_indexer(pd.Index(series.cat.categories, dtype=object))
        codes = series.cat.codes.to_numpy()
        return np.where(codes < 0, -1, places[codes]).astype(np.int64)
    levels = pd.Index(list(factor.levels or ()))
    if levels.dtype != series.dtype:
        levels, series = levels.astype(object), series.astype(object)
    found: npt.NDArray[np.int64] = levels.get_indexer(pd.Index(series)).astype(np.int64)
    return found


def _check_known(
    factor: Factor, codes: npt.NDArray[np.int64], frame: pd.DataFrame, value: Any
) -> None:
    strange = codes < 0
    if strange.any():
        first = _as_series(value, frame)[strange].iloc[0]
        raise DataError(
            f"'{factor.name}' is '{first}' in {describe_rows(strange, frame.index)}, which is "
            f"none of its levels. {did_you_mean(first, factor.levels or ())}"
        )


def _values(factor: Factor, frame: pd.DataFrame, learn: pd.DataFrame, states: States) -> Any:
    """Evaluate a factor: the number of each row's level, or (n, k) numbers."""
    tree = factor.expression
    if factor.is_categorical:
        inside = tree.arguments[0] if isinstance(tree, Call) and tree.function == "C" else tree
        value = evaluate(inside, frame, learn, states)
        codes = _codes(factor, value, frame)
        _check_known(factor, codes, frame, value)
        return codes
    value = evaluate(tree, frame, learn, states)
    if isinstance(value, dict):
        return np.column_stack([np.asarray(v, dtype=np.float64) for v in value.values()])
    numbers = np.asarray(as_numbers(value, tree), dtype=np.float64)
    if numbers.ndim < 2:
        numbers = np.broadcast_to(numbers, (len(frame),))[:, None]
    return numbers


def _block(factor: Factor, values: Any, *, reduced: bool) -> Array:
    """Return a factor's columns, without what the constant spans if `reduced`."""
    if factor.is_categorical:
        return np.asarray(_coding_matrix(factor, reduced=reduced)[values])
    return np.asarray(values[:, 1:] if reduced else values)


def _coding_matrix(factor: Factor, *, reduced: bool) -> Array:
    levels = list(factor.levels or ())
    if not reduced or factor.contrasts is None:
        return np.eye(len(levels))
    matrix = factor.contrasts.get_coding_matrix(levels, reduced_rank=True)
    return np.asarray(matrix, dtype=np.float64)


def _field_names(factor: Factor, *, reduced: bool, name: str) -> list[str]:
    """Return the names of a factor's columns."""
    if factor.is_categorical:
        levels = list(factor.levels or ())
        if factor.truth and reduced:
            return [name]
        if not reduced or factor.contrasts is None:
            return [f"{name}[{level}]" for level in levels]
        form = factor.contrasts.get_factor_format(levels, reduced_rank=True)
        fields = factor.contrasts.get_coding_column_names(levels, reduced_rank=True)
        return [form.format(name=name, field=own) for own in fields]
    if factor.fields is None:
        return [name]
    return [f"{name}[{own}]" for own in factor.fields[1 if reduced else 0 :]]


def _named(
    terms: Terms, positions: Sequence[tuple[int, ...]], factors: Sequence[Factor], states: States
) -> Coding:
    """Lay out the columns of all terms; a column's name goes between back-ticks if it must."""
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
        np.prod([len(_field_names(factors[i], reduced=r, name="")) for i, r in piece.factors])
    )


def _column_names(
    layout: Sequence[Sequence[_Piece]], names: Sequence[str], factors: Sequence[Factor]
) -> list[str]:
    found = []
    for piece in itertools.chain.from_iterable(layout):
        parts = [_field_names(factors[i], reduced=r, name=names[i]) for i, r in piece.factors]
        if not parts:
            found.append(INTERCEPT)
            continue
        for own in itertools.product(*reversed(parts)):  # the first factor's levels change fastest
            found.append(":".join(reversed(own)))
    return found


def _pieces(
    positions: Sequence[tuple[int, ...]], factors: Sequence[Factor]
) -> list[tuple[_Piece, ...]]:
    """Say of each term which of its factors are coded whole, so that nothing is spanned twice.

    A factor whose columns add up to the constant stands for itself without the constant, and for
    the constant: ``a:b`` spans 1, a, b and their product. What terms before span is left out, and
    what remains is joined again: ``(all):(without constant) + (all)`` is ``(all):(whole)``.
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


def independent_columns(X: Array) -> npt.NDArray[np.int64]:
    """Positions of the columns that are not combinations of the columns before them.

    As in R, the first of a dependent set stays. The triangle of a QR decomposition has the same
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
