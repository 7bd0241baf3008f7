"""What a result answers, and whether two results answer the same."""

import numpy as np
import pandas as pd

import alliance_stats as als

CLOSE = 2e-4  # of a number's size: searches from other row orders stop elsewhere in the flat


def asked(result: object) -> None:
    """Ask a result everything that it can be asked without arguments."""
    for name in ("tidy", "glance", "summary", "_repr_html_"):
        question = getattr(result, name, None)
        if callable(question) and not isinstance(result, pd.DataFrame):
            question()
    if hasattr(result, "account"):
        als.report(result)


def tables_of(result: object) -> list[pd.DataFrame]:
    """Return the tables that hold a result's numbers."""
    if isinstance(result, pd.DataFrame):
        return [result]
    answers = [getattr(result, name, None) for name in ("tidy", "glance", "table")]
    found = [answer() if callable(answer) else answer for answer in answers]
    return [table for table in found if isinstance(table, pd.DataFrame)]


def differences(got: list[pd.DataFrame], right: list[pd.DataFrame], *, ordered: bool) -> str:
    """Say where tables differ in more than the last digits; nothing where they do not."""
    for mine, theirs in zip(got, right, strict=True):
        if len(mine) != len(theirs):
            return f"{len(mine)} rows instead of {len(theirs)}"
        if not ordered:
            mine, theirs = _sorted(mine, theirs)  # noqa: PLW2901
        for column in theirs.columns.difference(["row"], sort=False):  # the caller's own label
            if column not in mine.columns:
                return f"no column {column}"
            if not _alike(mine[column], theirs[column]):
                return f"{column}: {mine[column].tolist()[:6]}, not {theirs[column].tolist()[:6]}"
    return ""


def _sorted(mine: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return tables with rows in one order: that of their labels, else that of their words."""
    if mine.index.is_unique and set(mine.index) == set(theirs.index) and len(mine) > 60:
        return mine.sort_index(), theirs.sort_index()
    words = [table.select_dtypes(exclude="number").astype(str) for table in (mine, theirs)]
    if words[0].shape[1] == 0:
        return mine, theirs
    orders = [np.lexsort(text.to_numpy(dtype=str).T) for text in words]
    return mine.iloc[orders[0]], theirs.iloc[orders[1]]


def _alike(mine: pd.Series, theirs: pd.Series) -> bool:
    try:
        a, b = (
            pd.to_numeric(s).to_numpy(dtype=np.float64, na_value=np.nan) for s in (mine, theirs)
        )
    except (TypeError, ValueError):
        return list(map(str, mine)) == list(map(str, theirs))
    size = np.abs(b[np.isfinite(b)]).max(initial=1.0)
    return np.allclose(a, b, rtol=CLOSE, atol=CLOSE * min(size, 1.0), equal_nan=True)
