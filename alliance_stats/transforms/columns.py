"""New columns beside the caller's, never over them."""

from collections.abc import Mapping, Sequence

import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import check_frame
from alliance_stats.errors import DataError

__all__ = ["require_new", "with_columns"]


def require_new(data: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse to write over a column that is already there."""
    for name in names:
        if name in data.columns:
            raise DataError(
                f"A new column '{name}' would be written over the one that is there. Drop or "
                "rename that one first."
            )


def with_columns(data: pd.DataFrame, new: Mapping[str, npt.ArrayLike]) -> pd.DataFrame:
    """Return a copy of `data` with new columns at its end, row labels untouched.

    A table that is none of pandas' comes back as one of pandas'.
    """
    frame = data if isinstance(data, pd.DataFrame) else check_frame(data)
    require_new(frame, list(new))
    return frame.assign(**new)
