"""A factor of a term: numbers, truth values or categories, and the columns that it gives.

Categories are coded by contrasts where preceding terms already span part of their levels, and
otherwise by one indicator per level. Truth values are read as R reads logicals: as a factor with
two levels, whose single column, if there is a constant, has the bare name.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from formulaic.transforms.contrasts import Contrasts, CustomContrasts, TreatmentContrasts

from alliance_stats.checks import describe_rows, did_you_mean, only_used
from alliance_stats.design.expressions import States, as_numbers, constant, evaluate
from alliance_stats.design.formula import printed, variables_of
from alliance_stats.design.grammar import Call, Expression, Listed
from alliance_stats.design.named_functions import CONTRASTS
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["Factor", "block_of", "field_names", "read_factor", "values_of"]

_FIRST_IS_REFERENCE = TreatmentContrasts()


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """One factor of a term and how it is coded.

    Attributes
    ----------
    expression
        A column or a call.
    name
        The name used for coefficients.
    columns
        The columns of the data that it uses.
    levels
        The categories in order; None for numbers.
    contrasts
        Their coding where preceding terms span their mean.
    truth
        Whether the levels are false and true.
    fields
        Suffixes for numbers in several columns, ``("1", "2")``; None for one column.
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


def read_factor(
    tree: Expression, used: pd.DataFrame, learn: pd.DataFrame, states: States
) -> Factor:
    """Read a factor's values on the rows used: numbers, truth values or categories."""
    plain = Factor(tree, printed(tree), tuple(variables_of(tree)))
    if isinstance(tree, Call) and tree.function == "C":
        return _categories(plain, tree, used, learn, states)
    value = evaluate(tree, used, learn, states)
    if isinstance(value, pd.Series) and not pd.api.types.is_numeric_dtype(value.dtype):
        return _with_levels(plain, _levels_of(value), _FIRST_IS_REFERENCE)
    if getattr(getattr(value, "dtype", None), "kind", "") == "b":
        return replace(_with_levels(plain, (False, True), _FIRST_IS_REFERENCE), truth=True)
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
    factor = _with_levels(plain, levels, _contrasts(given[0]) if given else _FIRST_IS_REFERENCE)
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
    own = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    return tuple(only_used(own).array.categories)


def _as_series(value: Any, used: pd.DataFrame) -> pd.Series:
    """Return a column, or what was computed of columns, as a column of categories."""
    if isinstance(value, pd.Series):
        return value
    if isinstance(value, dict | list) or np.ndim(value) > 1:
        raise FormulaError("C() takes one column, not several.")
    numbers = np.array(np.broadcast_to(value, (len(used),)))
    whole = numbers.dtype.kind == "f" and bool((numbers == np.round(numbers)).all())
    return pd.Series(numbers.astype(np.int64) if whole else numbers, index=used.index)


def _codes(factor: Factor, value: Any, frame: pd.DataFrame) -> Integers:
    """Return each row's level by number, -1 where it has none."""
    series = _as_series(value, frame)
    if isinstance(series.dtype, pd.CategoricalDtype):
        own = pd.Index(list(factor.levels or ()), dtype=object)
        places = own.get_indexer(pd.Index(series.array.categories, dtype=object))
        codes = series.array.codes
        return np.where(codes < 0, -1, places[codes]).astype(np.int64)
    levels = pd.Index(list(factor.levels or ()))
    if levels.dtype != series.dtype:
        levels, series = levels.astype(object), series.astype(object)
    found: Integers = levels.get_indexer(pd.Index(series)).astype(np.int64)
    return found


def _check_known(factor: Factor, codes: Integers, frame: pd.DataFrame, value: Any) -> None:
    strange = codes < 0
    if strange.any():
        first = _as_series(value, frame)[strange].iloc[0]
        raise DataError(
            f"'{factor.name}' is '{first}' in {describe_rows(strange, frame.index)}, which is "
            f"none of its levels. {did_you_mean(first, factor.levels or ())}"
        )


def values_of(factor: Factor, frame: pd.DataFrame, learn: pd.DataFrame, states: States) -> Any:
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


def block_of(factor: Factor, values: Any, *, reduced: bool) -> Array:
    """Return a factor's columns, without what the constant spans if `reduced`."""
    if factor.is_categorical:
        return np.asarray(_coding_matrix(factor, reduced=reduced)[values])
    return np.asarray(values[:, 1:] if reduced else values)


def _coding_matrix(factor: Factor, *, reduced: bool) -> Array:
    levels = list(factor.levels or ())
    if not reduced or factor.contrasts is None:
        return np.eye(len(levels))
    if factor.contrasts == _FIRST_IS_REFERENCE:
        return np.eye(len(levels))[:, 1:]
    matrix = factor.contrasts.get_coding_matrix(levels, reduced_rank=True)
    return np.asarray(matrix, dtype=np.float64)


def field_names(factor: Factor, *, reduced: bool, name: str) -> list[str]:
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
