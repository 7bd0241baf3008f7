"""A comparison in words."""

import math
from collections.abc import Sequence

import pandas as pd

from alliance_stats.formatting import (
    decimals_needed,
    decimals_of_spread,
    format_df,
    format_interval,
    format_number,
    format_percent,
    p_phrase,
    plural,
    t_phrase,
)
from alliance_stats.groups.comparing.no_difference import smallest_p_of_design
from alliance_stats.ledger import RowLedger

__all__ = ["comparison_text"]

_WORTH_SAYING = 1e-4  # a smallest p below this limits nobody (and may be too small for a double)
_OF_TWO_GROUPS = {"SD", "Cohen's h"}  # scales on which two independent groups have an effect


def comparison_text(
    tidy: pd.DataFrame, *, warnings: Sequence[str], rows: RowLedger, labels: Sequence[str]
) -> str:
    """Return one paragraph an outcome: groups, difference, effect, test; warnings first."""
    lines = [f"Warning: {warning}." for warning in warnings]
    lines.append(f"Groups: {', '.join(labels)}. {rows}")
    lines += [_outcome_text(row, len(labels)) for _, row in tidy.iterrows()]
    if len(tidy) > 1:
        lines.append(
            f"{plural(len(tidy), 'outcome')} compared: p_holm and p_fdr in tidy() correct for that."
        )
    return "\n".join(lines)


def _outcome_text(row: pd.Series, n_groups: int) -> str:
    groups = "; ".join(_group_text(row, i) for i in range(1, n_groups + 1))
    parts = [f"{row['outcome']}: {groups}."]
    if not math.isnan(row["estimate"]):
        interval, limits = "", (row["conf_low"], row["conf_high"])
        digits = decimals_needed((row["estimate"], *limits), std_error=row["std_error"])
        if not math.isnan(row["conf_low"]):
            interval = f", 95% CI {format_interval(*limits, digits)}"
        parts.append(
            f"{_capital(row['estimand'])} ({row['contrast']}) "
            f"{format_number(row['estimate'], digits)}{interval}."
        )
    if not math.isnan(row.get("hedges_g", math.nan)):
        parts.append(
            f"Hedges g = {format_number(row['hedges_g'])} "
            f"{format_interval(row['hedges_g_low'], row['hedges_g_high'])} "
            f"({row['hedges_g_scale']})."
        )
    if not math.isnan(row["p_value"]):
        parts.append(f"{_capital(row['method'])}: {_test_text(row)}.")
    if row["p_smallest"] > _WORTH_SAYING:
        parts.append(f"The smallest p it could have given is {_small(row['p_smallest'])}.")
    elif math.isnan(row["p_smallest"]) and row.get("detectable_scale") in {
        "SD",
        "Cohen's h",
    }:  # two independent groups
        least = smallest_p_of_design(row["n_1"], row["n_2"])
        if least > _WORTH_SAYING:
            parts.append(
                f"No exact test of {row['n_1']} against {row['n_2']} can give a p below "
                f"{_small(least)}."
            )
    if not math.isnan(row.get("detectable", math.nan)):
        parts.append(
            f"Effect detected with 80% power: {format_number(row['detectable'])} "
            f"({row['detectable_scale']})."
        )
    return " ".join(parts)


def _group_text(row: pd.Series, i: int) -> str:
    missing = f", {row[f'missing_{i}']} missing" if row[f"missing_{i}"] else ""
    size = f"n = {row[f'n_{i}']}{missing}"
    if not math.isnan(row.get(f"clusters_{i}", math.nan)):
        size += f" in {plural(int(row[f'clusters_{i}']), 'cluster')}"
    mean, sd = row[f"mean_{i}"], row[f"sd_{i}"]
    if math.isnan(mean):
        return f"{row[f'group_{i}']} ({size})"
    if row["estimand"] == "risk difference":
        return f"{row[f'group_{i}']} {format_percent(mean)} ({size})"
    digits = decimals_needed((mean,), at_least=decimals_of_spread(sd))
    spread = "" if math.isnan(sd) else f"SD {format_number(sd, digits)}, "
    return f"{row[f'group_{i}']} {format_number(mean, digits)} ({spread}{size})"


def _test_text(row: pd.Series) -> str:
    name = row["statistic_name"]
    if name == "t":
        return t_phrase(row["statistic"], row["df"], row["p_value"])
    if name == "F":
        degrees = f"{format_df(row['df1'])}, {format_df(row['df2'])}"
        return f"F({degrees}) = {format_number(row['statistic'])}, {p_phrase(row['p_value'])}"
    if not name:
        return p_phrase(row["p_value"])
    degrees = "" if math.isnan(row["df"]) else f"({format_df(row['df'])})"
    return f"{name}{degrees} = {format_number(row['statistic'])}, {p_phrase(row['p_value'])}"


def _small(p_value: float) -> str:
    """Return a small p with enough decimals to be seen: ``.0006`` rather than ``< .001``."""
    digits = 3 if p_value >= 0.01 else min(8, 1 - math.floor(math.log10(p_value)))
    return format_number(p_value, digits).replace("0.", ".", 1)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
