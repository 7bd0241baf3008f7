"""Which means a contrast weighs, and how: pairwise, with a reference, or as the caller says."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np

from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.estimated_means import cell

__all__ = ["Method", "coefficients_of", "mean_name"]

Method = Literal["pairwise", "reference"]


def coefficients_of(
    method: Method | Mapping[str, Sequence[float]], names: list[str], reference: object
) -> dict[str, Array]:
    """Return name -> coefficients of the means called `names`; see :func:`contrasts`."""
    if not isinstance(method, str):
        return _custom(method, names)
    check_choice(method, ("pairwise", "reference"), name="method")
    return _pairwise(names) if method == "pairwise" else _versus(names, reference)


def mean_name(values: Sequence[object]) -> str:
    """Name a mean by the values of its predictors."""
    return " ".join(cell(value) for value in values)


def _pairwise(names: list[str]) -> dict[str, Array]:
    unit = np.eye(len(names))
    return {
        f"{names[i]} - {names[j]}": unit[i] - unit[j] for i, j in combinations(range(len(names)), 2)
    }


def _versus(names: list[str], reference: object) -> dict[str, Array]:
    wanted = names[0]
    if reference is not None:
        wanted = mean_name(reference if isinstance(reference, tuple) else (reference,))
    if wanted not in names:
        raise FormulaError(f"There is no mean of '{wanted}'. {did_you_mean(wanted, names)}")
    base, unit = names.index(wanted), np.eye(len(names))
    return {f"{name} - {wanted}": unit[i] - unit[base] for i, name in enumerate(names) if i != base}


def _custom(given: Mapping[str, Sequence[float]], names: list[str]) -> dict[str, Array]:
    found = {}
    for name, coefficients in given.items():
        values = np.asarray(coefficients, dtype=np.float64)
        if values.shape != (len(names),):
            raise FormulaError(
                f"The contrast '{name}' has {values.size} coefficients for {len(names)} means "
                f"({', '.join(names)})."
            )
        if not np.isfinite(values).all() or not values.any():
            raise DataError(f"The contrast '{name}' needs finite coefficients, not all zero.")
        found[name] = values
    if not found:
        raise FormulaError("The mapping of contrasts is empty.")
    return found
