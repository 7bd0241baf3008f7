"""The reference grid: combinations of predictor values at which a model is evaluated.

A factor takes its levels and a numeric predictor its mean; values given by the caller override both
(Searle, Speed & Milliken 1980, doi:10.1080/00031305.1980.10483031; Lenth's R package emmeans uses
the same grid, except that it also splits numeric predictors with two values).
"""

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.design.design import Design, all_fixed_columns
from alliance_stats.design.formula import OwnColumn
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import format_number

__all__ = [
    "At",
    "Predictor",
    "ReferenceGrid",
    "Weights",
    "check_at",
    "label_of",
    "levels_of",
    "names_of",
    "predictors",
    "reference_grid",
    "require_predictor",
    "several",
    "values_at",
]

At = Mapping[str, Any]
Weights = Literal["equal", "proportional", "cells"]

WEIGHTS = ("equal", "proportional", "cells")
# Columns that results of means, slopes, contrasts and comparisons have beside the predictors.
_RESULT_COLUMNS = (
    "adjust", "conf_high", "conf_low", "contrast", "df", "df1", "df2", "df_method", "estimate",
    "expected_from", "expected_to", "p_value", "statistic", "std_error", "step", "term",
)  # fmt: skip
LARGEST_GRID = 100_000
# Numbers in the grid's coded columns that are held at once (400 MB).
LARGEST_CODED = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A column of the fixed effects.

    Attributes
    ----------
    name
        The column.
    levels
        Its observed levels in order if it is a factor (text, categorical, boolean, or wrapped in
        ``C()``), else ``None``.
    values
        The column on the rows used.
    """

    name: str
    levels: tuple[Hashable, ...] | None
    values: pd.Series

    @property
    def numeric(self) -> bool:
        """Whether it is a number rather than a factor."""
        return self.levels is None

    def column(self, values: Sequence[Any]) -> pd.Series:
        """Return values as a column that the fit's coding reads."""
        if self.numeric:
            return pd.Series(values, dtype=np.float64, name=self.name)
        if isinstance(self.values.dtype, pd.CategoricalDtype):
            return pd.Series(pd.Categorical(values, dtype=self.values.dtype), name=self.name)
        return pd.Series(values, dtype=self.values.dtype, name=self.name)


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceGrid:
    """Combinations of predictor values; the shown predictors vary slowest.

    Attributes
    ----------
    frame
        One row per combination, one column per predictor.
    shown
        The predictors shown; results are averaged over the others.
    labels
        The combinations of the shown predictors, one per row.
    counts
        Number of data rows with each combination of factor levels, (shown, averaged).
    notes
        What to know before reading: values beyond the data.
    """

    frame: pd.DataFrame
    shown: tuple[str, ...]
    labels: pd.DataFrame
    counts: Array
    notes: tuple[str, ...]

    def average(self, rows: Array, weights: Weights) -> Array:
        """Average functions at the grid's rows over the predictors not shown: (shown, columns).

        Parameters
        ----------
        rows
            One function per row of the grid, (grid, columns).
        weights
            ``"equal"``: every combination equally. ``"proportional"``: by its frequency in the
            data. ``"cells"``: by its frequency within the shown combination; where that has no row
            the average is NaN.
        """
        check_choice(weights, WEIGHTS, name="weights")
        w = np.ones_like(self.counts)
        if weights == "proportional":
            w = w * self.counts.sum(axis=0)
        elif weights == "cells":
            w = self.counts
        total = w.sum(axis=1, keepdims=True)
        share = np.divide(w, total, out=np.full_like(w, np.nan), where=total > 0)
        blocks = rows.reshape(*self.counts.shape, rows.shape[1])
        return np.asarray(np.einsum("sa,sap->sp", share, blocks))


def predictors(design: Design) -> dict[str, Predictor]:
    """Return the predictors of the fixed effects, in the order of the formula."""
    frame = design.frame
    factors: dict[Any, bool] = {}
    for factor in design.fixed.coding.factors:
        for name in factor.columns:
            dtype = frame[name].dtype
            text = not pd.api.types.is_numeric_dtype(dtype) or dtype.kind == "b"
            coded = factor.is_categorical and not factor.truth
            factors[name] = factors.get(name, False) or coded or text
    return {
        name: Predictor(name, levels_of(frame[name]) if is_factor else None, frame[name])
        for name, is_factor in factors.items()
    }


def reference_grid(design: Design, shown: Sequence[str], at: At | None = None) -> ReferenceGrid:
    """Lay out the grid.

    Parameters
    ----------
    design
        Of the fitted model.
    shown
        Predictors to show. A numeric one needs values in `at`, unless it has only two.
    at
        Predictor -> one or more values.

    Raises
    ------
    FormulaError
        If a name is not a predictor of the fixed effects.
    DataError
        If a level is not in the data, a value is not a finite number, or the grid is too large.
    NotIdentifiedError
        If a numeric predictor is to be shown and no values are given.
    """
    known = predictors(design)
    at = dict(check_at(at) or {})
    for name in [*shown, *at]:
        require_predictor(name, known)
    order = [*shown, *(name for name in known if name not in shown)]
    values = {
        name: _values(known[name], at.get(name), is_shown=name in shown, given=name in at)
        for name in order
    }
    size = math.prod(len(v) for v in values.values())
    if size > LARGEST_GRID or size * len(design.fixed.names) > LARGEST_CODED:
        raise DataError(
            f"The reference grid would have {size} combinations of {', '.join(order)}; "
            "fix some of them with at=."
        )
    rows = list(itertools.product(*values.values()))
    frame = pd.DataFrame(
        {name: known[name].column([row[i] for row in rows]) for i, name in enumerate(order)},
        index=range(len(rows)),
    )
    n_shown = math.prod(len(values[name]) for name in shown)
    labels = frame.loc[:: max(len(rows) // n_shown, 1), list(shown)].reset_index(drop=True)
    labels.columns = pd.Index([label_of(name) for name in shown], dtype=object)
    counts = _counts(known, values, order).reshape(n_shown, -1)
    notes = (
        *(
            f"Averaged over {name} = {', '.join(map(str, own))}: name '{name}' in by= for a result "
            "at each."
            for name, own in several(at, shown).items()
        ),
        *_beyond(known, values),
    )
    return ReferenceGrid(frame, tuple(shown), labels, counts, notes)


def label_of(name: str) -> Hashable:
    """Return the name of a predictor's column in a result, distinct from the result's own columns.

    A predictor called ``estimate`` keeps its name in print; ``tidy()["estimate"]`` holds the
    estimates.
    """
    return OwnColumn(name) if name in _RESULT_COLUMNS else name


def check_at(at: At | None) -> At | None:
    """Refuse anything but a mapping of predictors to values."""
    if at is not None and not isinstance(at, Mapping):
        raise DataError(
            f"at= takes a dictionary, as in at={{'session': 4}}; got {type(at).__name__} {at!r}."
        )
    return at


def grid_columns(design: Design, grid: ReferenceGrid) -> Array:
    """Code the grid's rows: all fixed columns, including aliased ones."""
    if grid.frame.shape[1] == 0:  # an intercept alone: no column says how many rows
        return np.ones((1, len(design.fixed.names)))
    return all_fixed_columns(design, grid.frame)


def names_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Read one name or several; refuse one that appears twice."""
    several: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
    names = tuple(name for name in several if name is not None)
    for name in names:
        if names.count(name) > 1:
            raise FormulaError(f"'{name}' is given twice.")
    return names


def several(at: At | None, shown: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return the predictors that are not shown and have several values in `at`, with these."""
    listed = {name: _listed(wanted) for name, wanted in (check_at(at) or {}).items()}
    return {name: own for name, own in listed.items() if len(own) > 1 and name not in shown}


def require_predictor(name: str, known: Mapping[str, Predictor]) -> Predictor:
    """Return the predictor of that name, or raise with the nearest one and all that there are."""
    if name not in known:
        listed = ", ".join(f"'{one}'" for one in known)
        near = did_you_mean(name, known)
        there = near if near.startswith("There") else f"{near} There are: {listed}."
        raise FormulaError(
            f"'{name}' is not among the fixed effects of the model. "
            + (there if known else "There is only the intercept.")
        )
    return known[name]


def levels_of(values: pd.Series) -> tuple[Hashable, ...]:
    """Return a column's observed values in the order of its categories, or sorted."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return tuple(values.cat.remove_unused_categories().cat.categories)
    return tuple(values.astype("category").cat.categories)  # as the formula orders them


def _values(predictor: Predictor, wanted: Any, *, is_shown: bool, given: bool) -> list[Any]:
    name = predictor.name
    if given:
        return values_at(predictor, wanted)
    if predictor.levels is not None:
        return list(predictor.levels)
    if not is_shown:
        return [float(predictor.values.mean())]
    seen = sorted(predictor.values.unique())
    if len(seen) > 2:
        raise NotIdentifiedError(
            f"'{name}' is numeric ({len(seen)} values from {seen[0]:g} to {seen[-1]:g}): say where "
            f"to look with at={{'{name}': [...]}}."
        )
    return seen


def _listed(wanted: Any) -> list[Any]:
    return list(wanted) if np.iterable(wanted) and not isinstance(wanted, str) else [wanted]


def values_at(predictor: Predictor, wanted: Any) -> list[Any]:
    """Return the values that `at` gives a predictor; refuse what is not one, or is repeated."""
    name, levels, listed = predictor.name, predictor.levels, _listed(wanted)
    for value in listed:
        if levels is not None and value not in levels:
            raise DataError(
                f"'{name}' has no level {value!r} in the rows used. {did_you_mean(value, levels)}"
            )
        if levels is None and not (isinstance(value, Real) and np.isfinite(float(value))):
            raise DataError(f"'{name}' is numeric; at= gave {value!r}.")
    if not listed or len(set(listed)) < len(listed):
        raise DataError(f"at= must give '{name}' one or more different values; got {wanted!r}.")
    return listed


def _counts(
    known: Mapping[str, Predictor], values: Mapping[str, list[Any]], order: Sequence[str]
) -> Array:
    """Count the data rows in each combination of factor levels of the grid."""
    factors = [name for name in order if known[name].levels is not None]
    sizes = [len(values[name]) for name in factors]
    table = np.ones(())
    if factors:
        codes = [pd.Index(values[name]).get_indexer(known[name].values) for name in factors]
        inside = np.all([code >= 0 for code in codes], axis=0)
        cell = np.ravel_multi_index([code[inside] for code in codes], sizes)
        table = np.bincount(cell, minlength=math.prod(sizes)).reshape(sizes).astype(np.float64)
    full = [len(values[name]) for name in order]
    shape = [len(values[name]) if known[name].levels is not None else 1 for name in order]
    return np.broadcast_to(table.reshape(shape), full).ravel()


def _beyond(known: Mapping[str, Predictor], values: Mapping[str, list[Any]]) -> tuple[str, ...]:
    notes = []
    for name, listed in values.items():
        if known[name].numeric:
            low, high = float(known[name].values.min()), float(known[name].values.max())
            out = [format_number(value) for value in listed if not low <= value <= high]
            if out:
                notes.append(
                    f"Extrapolation: {name} = {', '.join(out)} lies outside the data "
                    f"({format_number(low)} to {format_number(high)})."
                )
    return tuple(notes)
