"""Expressions inside terms: checked against an allow-list, then evaluated by walking the tree.

Nothing is passed to Python's own parser: a column, whatever its name, is looked up in the
frame, and a call among the transforms of :mod:`alliance_stats.design.named_functions`.

Stateful ones (``scale``, ``poly``, splines) are formulaic's; they learn their constants once, store
them in a dictionary, and reuse it for new rows.
"""

import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from formulaic.errors import FormulaicError

from alliance_stats.checks import did_you_mean
from alliance_stats.design.grammar import (
    Binary,
    Call,
    Column,
    Constant,
    Expression,
    Listed,
    Unary,
    columns_in,
    is_plain,
    written,
)
from alliance_stats.design.named_functions import (
    ARITHMETIC,
    CONTRASTS,
    ELEMENTWISE,
    ELSEWHERE,
    NUMBERS,
    STATEFUL,
)
from alliance_stats.errors import FormulaError

__all__ = ["States", "as_numbers", "bound", "constant", "evaluate"]


States = dict[Expression, dict[str, Any]]
"""What each stateful call has learned, by the call itself."""

_EQUALITY = ("==", "!=")
_LOGICAL = ("<", ">", "<=", ">=", "&", "&&", "|", "||")


def bound(tree: Expression, columns: Sequence[Hashable]) -> Expression:
    """Return the tree with its names as labels of columns; refuse what no formula may hold.

    Raises
    ------
    FormulaError
        A name that is not a column, a call that is not a named transform, or an operator other than
        those of arithmetic and comparison.
    """
    return _Binder(columns).bind(tree)


def evaluate(tree: Expression, frame: pd.DataFrame, learn: pd.DataFrame, states: States) -> Any:
    """Evaluate a bound tree on the rows of a frame.

    Parameters
    ----------
    tree
        The result of :func:`bound`.
    frame
        Rows to evaluate on.
    learn
        Rows from which a stateful transform learns its constants if it has none yet: those in which
        its columns are not missing, as in R, whatever else is missing in the row.
    states
        What has been learned; added to.

    Returns
    -------
    Series, array, number or dict
        A column unchanged, or the computed values: (n,), (n, k), or one column per field.
    """
    match tree:
        case Column(name):
            return frame[name]
        case Constant(value):
            return value
        case Listed(items):
            return [evaluate(item, frame, learn, states) for item in items]
        case Unary(mark, operand):
            value = as_numbers(evaluate(operand, frame, learn, states), tree)
            if mark == "!":
                return np.logical_not(value)
            return -_floats(value) if mark == "-" else _floats(value)
        case Binary(mark, left, right):
            one, two = (evaluate(side, frame, learn, states) for side in (left, right))
            return _combined(mark, one, two, tree)
        case Call("I", (inside,)):
            return evaluate(inside, frame, learn, states)
        case Call(function) if function in STATEFUL:
            return _stateful(tree, frame, learn, states)
        case Call(function, arguments, named) if function in ELEMENTWISE:
            call = ELEMENTWISE[function]
            values = [
                _floats(as_numbers(evaluate(a, frame, learn, states), tree))
                for a in (*arguments, *(a for _, a in named))
            ]
            names = [name for name, _ in named]
            positional = values[: len(arguments)]
            further = dict(zip(names, values[len(arguments) :], strict=True))
            return _called(tree, lambda: call(*positional, **further))
    raise FormulaError(f"'{written(tree)}' does not belong where it is in the formula.")


def as_numbers(value: Any, where: Expression) -> Any:
    """Return a column or a result as an array of numbers or truth values.

    Raises
    ------
    FormulaError
        If it is text, or several columns.
    """
    if isinstance(value, pd.Series):
        if not pd.api.types.is_numeric_dtype(value.dtype):
            raise FormulaError(
                f"'{written(where)}' computes with '{value.name}', which is no column of numbers. "
                "Make numbers of it first, or write C(...) for categories."
            )
        value = value.to_numpy()
    if isinstance(value, str | dict | list) or value is None:
        raise FormulaError(f"'{written(where)}' computes with what is no number.")
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return value.astype(np.float64)
    return value


def constant(tree: Expression) -> Any:
    """Return the value of an argument without columns: a number, a text, a list.

    Raises
    ------
    FormulaError
        If it depends on a column.
    """
    match tree:
        case Constant(value):
            return value
        case Listed(items):
            return [constant(item) for item in items]
        case Unary("-", operand) if isinstance(number := constant(operand), int | float):
            return -number
        case Unary("+", operand):
            return constant(operand)
        case Binary(mark, left, right) if mark in ARITHMETIC:
            return float(_combined(mark, constant(left), constant(right), tree))
    raise FormulaError(f"'{written(tree)}' must be a number, a text or a list of them.")


def _combined(mark: str, left: Any, right: Any, tree: Expression) -> Any:
    if mark in _EQUALITY:
        sides = [_comparable(side) for side in (left, right)]
        same = np.asarray(sides[0] == sides[1])
        return same if mark == "==" else ~same
    numbers = [as_numbers(side, tree) for side in (left, right)]
    if mark not in _LOGICAL:
        numbers = [np.asarray(number, dtype=np.float64) for number in numbers]
    return _called(tree, lambda: ARITHMETIC[mark](*numbers))


def _floats(value: Any) -> Any:
    """Return truth values as numbers: NumPy takes logarithms of them to three digits."""
    truths = isinstance(value, np.ndarray) and value.dtype.kind == "b"
    return value.astype(np.float64) if truths else value


def _comparable(side: Any) -> Any:
    if isinstance(side, pd.Series):
        text = not pd.api.types.is_numeric_dtype(side.dtype)
        return side.to_numpy(dtype=object) if text else side.to_numpy()
    return side


def _called(tree: Expression, function: Callable[[], Any]) -> Any:
    """Call a listed function; its objections to arguments become a FormulaError."""
    try:
        with np.errstate(all="ignore"):  # log(-1) and its like are named by check_finite
            return function()
    except (
        ArithmeticError,
        FormulaicError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as complaint:
        first_line = (str(complaint).splitlines() or [type(complaint).__name__])[0]
        raise FormulaError(f"Cannot evaluate '{written(tree)}': {first_line}") from complaint


def _stateful(call: Call, frame: pd.DataFrame, learn: pd.DataFrame, states: States) -> Any:
    """Evaluate a stateful transform, learning its constants where they are unknown."""
    transform = STATEFUL[call.function]
    further = [constant(argument) for argument in call.arguments[1:]]
    named = {name: constant(argument) for name, argument in call.named}

    def values_on(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        inside = as_numbers(evaluate(call.arguments[0], rows, learn, states), call)
        values = np.asarray(inside, dtype=np.float64)
        return np.broadcast_to(values, (len(rows), *values.shape[1:]))

    values = values_on(frame)
    if call not in states:
        columns = list(dict.fromkeys(column.name for column in columns_in(call)))
        complete = ~np.any([learn[name].isna().to_numpy() for name in columns], axis=0)
        same = learn is frame and bool(complete.all()) and bool(np.isfinite(values).all())
        known = values if same else values_on(learn[complete])
        known = known[np.isfinite(known)] if known.ndim == 1 else known
        learned: dict[str, Any] = {}
        found = _called(call, lambda: transform(known, *further, _state=learned, **named))
        states[call] = learned
        if same:
            return found
    return _called(call, lambda: transform(values, *further, _state=states[call], **named))


def _check_signature(call: Call, function: Callable[..., Any]) -> None:
    """Refuse arguments that the function does not have, too few of them, or too many."""
    signature = inspect.signature(function)
    try:
        signature.bind(*call.arguments, **dict(call.named))
    except TypeError as complaint:
        raise FormulaError(
            f"'{written(call)}' cannot be read ({complaint}): {call.function}() takes "
            f"{', '.join(signature.parameters)}."
        ) from None


class _Binder:
    """Holds a tree to the allow-list and finds its columns."""

    def __init__(self, columns: Sequence[Hashable]) -> None:
        self.labels: dict[Hashable, Hashable] = {}
        for column in columns:  # a whole number as a name is written as text
            self.labels.setdefault(str(column), column)
        self.labels |= {column: column for column in columns}

    def bind(self, tree: Expression) -> Expression:
        match tree:
            case Column(name, ticked):
                return self._column(name, ticked)
            case Constant():
                return tree
            case Listed(items):
                return Listed(tuple(map(self.bind, items)))
            case Unary(mark, operand) if mark != "~":
                return Unary(mark, self.bind(operand))
            case Binary(mark, left, right) if mark in ARITHMETIC or mark in _EQUALITY:
                return replace(tree, left=self.bind(left), right=self.bind(right))
            case Call():
                return self._call(tree)
        raise FormulaError(f"'{written(tree)}' does not belong inside a term of a formula.")

    def _column(self, name: Hashable, ticked: bool) -> Expression:
        if name in self.labels:
            return Column(self.labels[name], ticked=not is_plain(str(name)))
        if not ticked and name in NUMBERS:
            return Constant(NUMBERS[str(name)], "number")
        raise FormulaError(
            f"The formula uses '{name}', but the data have no such column. "
            f"{did_you_mean(name, self.labels)}"
        )

    def _call(self, call: Call) -> Call:
        name, arguments = call.function, call.arguments
        if name in ELSEWHERE:
            first = written(arguments[0]) if arguments else "x"
            raise FormulaError(
                f"A formula here does not know {name}(): {ELSEWHERE[name].format(first)}"
            )
        if name == "C":
            return self._categories(call)
        if name != "I" and name not in STATEFUL and name not in ELEMENTWISE:
            known = ["C", "I", "offset", *STATEFUL, *ELEMENTWISE]
            near = did_you_mean(name, known)
            raise FormulaError(
                f"The formula calls '{name}', which is none of the transforms that a formula may "
                f"name: {near.removeprefix('There are: ')}"
            )
        if not arguments and (name in STATEFUL or name == "I"):
            raise FormulaError(f"{name}() needs what it is to transform.")
        if name == "I" and (len(arguments) > 1 or call.named):
            raise FormulaError(f"I() takes one expression; got '{written(call)}'.")
        if name in STATEFUL:
            self._check_arguments(call, STATEFUL[name])
            return replace(call, arguments=(self.bind(arguments[0]), *arguments[1:]))
        if name != "I":
            _check_signature(call, ELEMENTWISE[name])
        named = tuple((key, self.bind(value)) for key, value in call.named)
        return replace(call, arguments=tuple(map(self.bind, arguments)), named=named)

    def _categories(self, call: Call) -> Call:
        """Bind ``C(column, contrasts, levels=)``; the contrasts name none but listed ones."""
        names = ("contrasts", "levels")
        if not 1 <= len(call.arguments) <= 2 or any(key not in names for key, _ in call.named):
            raise FormulaError(
                f"'{written(call)}' cannot be read: C() takes a column, contrasts and levels=."
            )
        given = [*call.arguments[1:], *(value for key, value in call.named if key == names[0])]
        for contrasts in given:
            function = contrasts.name if isinstance(contrasts, Column) else None
            if isinstance(contrasts, Call):
                function = contrasts.function
                self._check_arguments(contrasts, CONTRASTS.get(function), first=0)
            if function not in CONTRASTS and not isinstance(contrasts, Listed):
                raise FormulaError(
                    f"'{written(contrasts)}' is not among the contrasts that C() takes: "
                    f"{', '.join(CONTRASTS)}."
                )
        for key, value in call.named:
            if key == names[1]:
                constant(value)
        return replace(call, arguments=(self.bind(call.arguments[0]), *call.arguments[1:]))

    def _check_arguments(
        self, call: Call, function: Callable[..., Any] | None, *, first: int = 1
    ) -> None:
        """Refuse arguments that the transform does not have, and any that is not a constant."""
        if function is None:
            return
        known = [name for name in inspect.signature(function).parameters if name[0] != "_"]
        strange: Sequence[str] = [name for name, _ in call.named if name not in known[first:]]
        if strange or len(call.arguments) > len(known):
            what = f"has no argument '{strange[0]}'" if strange else "has too many arguments"
            raise FormulaError(
                f"'{written(call)}' {what}; {call.function}() takes {', '.join(known)}."
            )
        for argument in (*call.arguments[first:], *(value for _, value in call.named)):
            constant(argument)
