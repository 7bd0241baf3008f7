"""A linear mixed model as papers print it: coefficients, then standard deviations by level."""

from collections.abc import Mapping

import pandas as pd

from alliance_stats.formatting import format_df, format_interval, format_number, format_p
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.tables import ReportTable

__all__ = ["model_table"]


def model_table(
    fit: LinearMixedModel,
    *,
    terms: Mapping[str, str],
    levels: Mapping[str, str],
    label: str,
    caption: str,
    note: str,
    digits: int = 2,
) -> ReportTable:
    """Print a fit.

    Parameters
    ----------
    terms, levels
        Coefficient -> row heading; grouping factor -> row heading. All must be named: a table that
        left one out would mislead. Uncorrelated random slopes stand under both.
    digits
        Decimals of estimates, standard errors and limits.
    """
    fixed = fit.tidy()
    spread = fit.tidy(effects="ran_pars")
    unnamed = [*(set(fixed["term"]) - set(terms)), *(set(spread["group"]) - set(levels))]
    if unnamed:
        raise ValueError(f"{label} has no heading for {unnamed[0]!r}.")
    rows = [
        {
            "Term": terms[row.term],
            "Estimate": format_number(row.estimate, digits),
            "SE": format_number(row.std_error, digits),
            "95% CI": format_interval(row.conf_low, row.conf_high, digits),
            "df": format_df(row.df),
            "t": format_number(row.statistic),
            "p": format_p(row.p_value),
        }
        for row in fixed.itertuples()
    ]
    blank = dict.fromkeys(("SE", "95% CI", "df", "t", "p"), "")
    rows += [
        {
            "Term": _spread_heading(row.group, row.term, terms, levels),
            "Estimate": format_number(row.estimate, digits),
            **blank,
        }
        for row in spread.itertuples()
    ]
    sections = ("Coefficients",) * len(fixed) + ("Standard deviations",) * len(spread)
    return ReportTable(
        pd.DataFrame(rows), label=label, caption=caption, note=note, sections=sections
    )


def _spread_heading(
    group: str, term: str, terms: Mapping[str, str], levels: Mapping[str, str]
) -> str:
    """Return the heading of one standard deviation or correlation of a level."""
    kind, _, names = term.partition("__")
    if names in {"(Intercept)", "Observation"}:
        return levels[group]
    if kind == "sd":
        return f"{levels[group]}, slope: {terms[names]}"
    raise ValueError(f"No heading for '{term}' of '{group}': correlations are not printed here.")
