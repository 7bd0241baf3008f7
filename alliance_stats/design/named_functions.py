"""The functions a formula may call, by name, and the replies to other names from R.

Nothing else is evaluated: :mod:`alliance_stats.design.expressions` looks calls up here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from formulaic.transforms import (
    ContrastsRegistry,
    basis_spline,
    center,
    cyclic_cubic_spline,
    natural_cubic_spline,
    poly,
    scale,
)
from formulaic.transforms.contrasts import (
    DiffContrasts,
    HelmertContrasts,
    PolyContrasts,
    SumContrasts,
)
from formulaic.transforms.patsy_compat import Treatment, standardize

__all__ = ["ARITHMETIC", "CONTRASTS", "ELEMENTWISE", "ELSEWHERE", "NUMBERS", "STATEFUL"]


def _log(x: Any, base: Any = np.e) -> Any:
    return np.log(x) if base is np.e else np.log(x) / np.log(base)


def _round(x: Any, digits: Any = 0) -> Any:
    return np.round(x, int(digits))


def _np_round(x: Any, decimals: Any = 0) -> Any:
    return _round(x, decimals)


def _ifelse(test: Any, yes: Any, no: Any) -> Any:
    return np.where(test, yes, no)


def _clip(x: Any, a_min: Any = -np.inf, a_max: Any = np.inf) -> Any:
    return np.clip(x, a_min, a_max)


def _of_one(function: np.ufunc) -> Callable[..., Any]:
    """Take one column alone: NumPy's own second argument is a place to write the answer to."""

    def called(x: Any) -> Any:
        return function(x)

    return called


def _of_two(function: np.ufunc) -> Callable[..., Any]:
    def called(x: Any, y: Any) -> Any:
        return function(x, y)

    return called


_PLAIN: Mapping[str, Callable[..., Any]] = {
    **{
        name: _of_one(getattr(np, name))
        for name in (
            "log2", "log10", "log1p", "exp", "exp2", "expm1", "sqrt", "cbrt", "square", "abs",
            "sign", "sin", "cos", "tan", "sinh", "cosh", "tanh", "floor", "ceil", "trunc",
        )
    },
    "log": _log, "round": _round,
}  # fmt: skip
_SPELLED: Mapping[str, Callable[..., Any]] = {
    **{
        name: _of_one(getattr(np, name))
        for name in (
            "absolute", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "isnan",
            "reciprocal",
        )
    },
    "power": _of_two(np.power), "minimum": _of_two(np.minimum), "maximum": _of_two(np.maximum),
    "where": _ifelse, "clip": _clip, "log": _of_one(np.log), "round": _np_round,
}  # fmt: skip

# One number per row from the numbers of the same row; NumPy's names also as ``np.log``.
ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    **_PLAIN,
    **{f"np.{name}": function for name, function in {**_PLAIN, **_SPELLED}.items()},
    "asin": _SPELLED["arcsin"], "acos": _SPELLED["arccos"], "atan": _SPELLED["arctan"],
    "ceiling": _PLAIN["ceil"], "pmin": _SPELLED["minimum"], "pmax": _SPELLED["maximum"],
    "ifelse": _ifelse, "exp10": lambda x: np.power(10.0, x),
}  # fmt: skip

# Columns that depend on constants learned from all rows.
STATEFUL: Mapping[str, Callable[..., Any]] = {
    "poly": poly, "bs": basis_spline, "cr": natural_cubic_spline, "cs": natural_cubic_spline,
    "cc": cyclic_cubic_spline, "scale": scale, "center": center, "standardize": standardize,
}  # fmt: skip

# What may stand as the second argument of ``C()``, with or without arguments of its own.
CONTRASTS: Mapping[str, Callable[..., Any]] = {
    **{
        f"contr.{name}": getattr(ContrastsRegistry, name)
        for name in ("treatment", "sum", "helmert", "diff", "poly", "SAS", "custom")
    },
    "Treatment": Treatment,
    "Sum": SumContrasts,
    "Helmert": HelmertContrasts,
    "Diff": DiffContrasts,
    "Poly": PolyContrasts,
}

NUMBERS: Mapping[str, float] = {"pi": np.pi, "np.pi": np.pi, "np.e": np.e}

ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide,
    "^": np.power, "**": np.power, "%%": np.mod, "%": np.mod,
    "%/%": np.floor_divide, "//": np.floor_divide,
    "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal,
    "&": np.logical_and, "&&": np.logical_and, "|": np.logical_or, "||": np.logical_or,
}  # fmt: skip

# Words of other tools, and what this package says in their place.
ELSEWHERE: Mapping[str, str] = {
    "factor": "write C({0}) for a column whose values are categories.",
    "as.factor": "write C({0}) for a column whose values are categories.",
    "ordered": "write C({0}, contr.poly) for categories with polynomial contrasts.",
    "as.numeric": "make a number of the column first (pandas.to_numeric).",
    "as.integer": "make a number of the column first (pandas.to_numeric).",
    "ns": "write cr({0}, df=4) for a natural cubic spline (formulaic's knots).",
    "rcs": "write cr({0}, df=4) for a natural cubic spline (formulaic's knots).",
    "s": "write cr({0}, df=4) or bs({0}, df=4) for a spline of a stated number of columns.",
    "Q": "write a name of any kind between back-ticks.",
    "lag": "it takes the row before, whoever's it is. Make a column with "
    "alliance_stats.lag(data, column, person=, session=) instead.",
    "relevel": "write C({0}, contr.treatment('the reference')).",
    "cbind": "a model has one outcome.",
    "interaction": "write a:b.",
    "strata": "give strata='column' as an argument of its own.",
    "cluster": "give cluster='column' as an argument of its own.",
    "frailty": "give frailty='column' as an argument of its own.",
}
