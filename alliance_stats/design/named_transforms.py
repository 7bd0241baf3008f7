"""The transforms that a formula may name, and nothing else.

Stateful ones (``scale``, ``poly``, splines) are formulaic's; they learn their constants once, in a
dictionary of their own, and are given it back for new rows.
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

_PLAIN: Mapping[str, Callable[..., Any]] = {
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "sqrt": np.sqrt, "cbrt": np.cbrt, "square": np.square, "abs": np.abs, "sign": np.sign,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "floor": np.floor, "ceil": np.ceil, "round": np.round, "trunc": np.trunc,
}  # fmt: skip
_SPELLED: Mapping[str, Callable[..., Any]] = {
    "absolute": np.abs, "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan,
    "arcsinh": np.arcsinh, "arccosh": np.arccosh, "arctanh": np.arctanh, "power": np.power,
    "minimum": np.minimum, "maximum": np.maximum, "where": np.where, "clip": np.clip,
    "isnan": np.isnan, "reciprocal": np.reciprocal,
}  # fmt: skip

# One number a row from the numbers of the same row; NumPy's names also as ``np.log``.
ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    **_PLAIN,
    **{f"np.{name}": function for name, function in {**_PLAIN, **_SPELLED}.items()},
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "ceiling": np.ceil,
    "pmin": np.minimum, "pmax": np.maximum, "ifelse": np.where,
    "exp10": lambda x: np.power(10.0, x),
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
