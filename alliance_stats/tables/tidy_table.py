"""Tidy frames into tables, each column in the way its name asks for."""

from collections.abc import Callable, Mapping

import pandas as pd

from alliance_stats.account import Accountable
from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.formatting import (
    MISSING,
    format_count,
    format_df,
    format_number,
    format_p,
)
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable, remembers_call

__all__ = ["tidy_table"]


@remembers_call
def tidy_table(
    tidy: pd.DataFrame,
    headings: Mapping[str, str],
    *,
    label: str,
    caption: str,
    note: str,
    digits: int = 2,
    source: Accountable | Mapping[str, Accountable] | None = None,
) -> ReportTable:
    """Print some columns of a tidy frame, each in the format that its name calls for.

    Parameters
    ----------
    tidy
        A row per estimate, columns named as in :data:`alliance_stats.estimates.GLOSSARY`.
    headings
        Column -> heading, in the order to print. The name ``"conf_low"`` denotes the interval
        ``[conf_low, conf_high]``.
    digits
        Decimals of estimates, standard errors, statistics and limits.
    source
        The result that the frame came from, or name -> result, whose method and ledger the log of a
        report records.

    Returns
    -------
    ReportTable
        p-values as ``< .001``, degrees of freedom, counts (``n``, ``n_*``, ``nobs``) and other
        numbers in APA style; text as it is.

    Raises
    ------
    DataError
        If a column does not exist.
    WrongObjectError
        If `source` is not a result.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.tables import tidy_table
    >>> tidy = pd.DataFrame({"term": ["session"], "estimate": [0.123]})
    >>> tidy_table(
    ...     tidy, {"term": "Term", "estimate": "b"}, label="tbl-b", caption="Slope", note="Made up."
    ... ).frame
          Term     b
    0  session  0.12
    """
    require_kind(tidy, pd.DataFrame, asked="tidy_table prints a frame", instead=PRINTED_BY)
    for result in source.values() if isinstance(source, Mapping) else (source,):
        if result is not None and not isinstance(result, Accountable):
            raise WrongObjectError(
                "source is the result that the frame came from (or name -> result); got "
                f"{type(result).__name__}."
            )
    missing = [name for name in headings if name not in tidy.columns]
    if missing:
        raise DataError(f"The tidy frame has no column '{missing[0]}': {list(tidy.columns)}.")
    cells = {heading: _cells(tidy, name, digits) for name, heading in headings.items()}
    return ReportTable(pd.DataFrame(cells), label=label, caption=caption, note=note)


def _cells(tidy: pd.DataFrame, name: str, digits: int) -> list[str]:
    """Return one column's cells in words."""
    values = tidy[name]
    if name == "conf_low":
        low, high = values.tolist(), tidy["conf_high"].tolist()
        return [
            f"[{format_number(a, digits)}, {format_number(b, digits)}]"
            for a, b in zip(low, high, strict=True)
        ]
    if not pd.api.types.is_numeric_dtype(values.dtype) or values.dtype == bool:
        return [MISSING if pd.isna(value) else str(value) for value in values]
    return [_formatter(name, digits)(float(value)) for value in values]


def _formatter(name: str, digits: int) -> Callable[[float], str]:
    if name.startswith("p_value") or name == "p":
        return format_p
    if name in {"df", "df1", "df2"}:
        return format_df
    if name in {"n", "nobs"} or name.startswith("n_"):
        return format_count
    return lambda value: format_number(value, digits)
