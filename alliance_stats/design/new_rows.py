"""New rows, coded as the fit's were: for predictions and everything built on them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import check_frame, describe_rows, did_you_mean, require_columns
from alliance_stats.design.design import Design, all_fixed_columns, fixed_columns
from alliance_stats.design.groupings import Grouping, random_columns, units_of
from alliance_stats.design.rows import columns_as_read
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["NewRows", "code_new_rows"]


class NewRows(NamedTuple):
    """New data coded as the fit's were.

    Attributes
    ----------
    X
        Estimated fixed columns, (n, p).
    Z
        For each grouping factor, its random columns as given, (n, q).
    units
        For each grouping factor, the fitted unit of each row, -1 where unknown.
    offset
        What the formula's ``offset()`` adds, (n,); zero where it has none.
    """

    X: Array
    Z: list[Array]
    units: list[npt.NDArray[np.int64]]
    offset: Array


def code_new_rows(design: Design, newdata: pd.DataFrame, *, with_units: bool) -> NewRows:
    """Code new rows; refuse missing values and, if units are asked for, unknown units."""
    newdata = check_frame(newdata, what="newdata")
    codings = [design.fixed.coding, *(b.coding for g in design.groupings for b in g.terms)]
    needed = dict.fromkeys(name for coding in codings for name in coding.variables)
    require_columns(newdata, list(needed), what="newdata")
    for column in needed:
        _check_values(design.frame[column], newdata[column])
    newdata = columns_as_read(newdata, list(needed))
    X = _estimable_columns(design, newdata)
    Z = [np.hstack([random_columns(b, newdata) for b in g.terms]) for g in design.groupings]
    units = [_known_units(g, newdata) for g in design.groupings] if with_units else []
    return NewRows(X, Z, units, design.fixed.coding.offsets(newdata))


def _estimable_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code the estimated fixed columns; refuse rows on which an aliased coefficient bears."""
    X = fixed_columns(design, newdata)
    if not design.fixed.aliased:
        return X
    fitted = all_fixed_columns(design, design.frame)
    aliased = np.setdiff1d(np.arange(len(design.fixed.names)), design.fixed.kept)
    rule = np.linalg.lstsq(design.X, fitted[:, aliased], rcond=None)[0]
    off = np.abs(all_fixed_columns(design, newdata)[:, aliased] - X @ rule)
    bad = (off > 1e-7 * np.abs(fitted[:, aliased]).max(axis=0)).any(axis=1)
    if bad.any():
        raise DataError(
            f"newdata: {describe_rows(bad, newdata.index)} cannot be predicted, since the fit's "
            f"data do not determine {', '.join(design.fixed.aliased)}: the combination does not "
            "occur there."
        )
    return X


def _check_values(seen: pd.Series, new: pd.Series) -> None:
    """Refuse missing predictors and categories that the fit has not seen."""
    missing = new.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"newdata: '{new.name}' is missing in {describe_rows(missing, new.index)}; "
            "a prediction needs it."
        )
    if pd.api.types.is_numeric_dtype(seen) and not pd.api.types.is_numeric_dtype(
        new.infer_objects()
    ):
        raise DataError(
            f"newdata: '{new.name}' must be numeric, as in the fit; its values are of type "
            f"{new.dtype}. Convert it first."
        )
    if not pd.api.types.is_numeric_dtype(seen):
        unseen = ~new.astype(object).isin(set(seen.dropna().unique())).to_numpy()
        if unseen.any():
            raise DataError(
                f"newdata: '{new.name}' is '{new[unseen].iloc[0]}' in "
                f"{describe_rows(unseen, new.index)}, which the fit has not seen. "
                f"{did_you_mean(new[unseen].iloc[0], sorted(map(str, seen.dropna().unique())))}"
            )


def _known_units(grouping: Grouping, newdata: pd.DataFrame) -> npt.NDArray[np.int64]:
    require_columns(newdata, grouping.columns, what="newdata")
    units = units_of(grouping, newdata)
    unknown = units < 0
    if unknown.any():
        names = newdata.loc[unknown, list(grouping.columns)].drop_duplicates()
        shown = ", ".join(":".join(map(str, row)) for row in names.head(5).to_numpy())
        raise DataError(
            f"newdata has {len(names)} unit(s) of '{grouping.name}' that the fit has not seen "
            f"({shown}), in {describe_rows(unknown, newdata.index)}. Their own effects are "
            "unknown: predict with level='population'."
        )
    return units
