"""Groups compared, in sentences."""

import math

import pandas as pd

from alliance_stats.formatting import (
    decimals_of_spread,
    format_count,
    format_df,
    format_interval,
    format_number,
    format_percent,
    p_phrase,
    plural,
    t_phrase,
)
from alliance_stats.groups import GroupComparison
from alliance_stats.sentences.wording import Wording, decimals

__all__ = ["group_sentences"]


def group_sentences(result: GroupComparison, wording: Wording) -> list[str]:
    """Return a sentence an outcome: groups, difference, effect size, test."""
    tidy = result.tidy(conf_level=wording.conf_level)
    return [_outcome(row, len(result.labels), wording) for _, row in tidy.iterrows()]


def _outcome(row: pd.Series, n_groups: int, wording: Wording) -> str:
    groups = "; ".join(_group(row, place, wording) for place in range(1, n_groups + 1))
    parts = [f"{wording.of(row['outcome'])}: {groups}"]
    if not math.isnan(row["estimate"]):
        digits = decimals(row, std_error=row["std_error"])
        limits = "" if math.isnan(row["conf_low"]) else f", {wording.interval(row, digits)}"
        name = f"{row['estimand']} ({row['contrast']})"
        parts.append(f"{name} = {format_number(row['estimate'], digits)}{limits}")
    if not math.isnan(row.get("hedges_g", math.nan)):
        limits = format_interval(row["hedges_g_low"], row["hedges_g_high"])
        parts.append(f"Hedges' g = {format_number(row['hedges_g'])}, {wording.level} CI {limits}")
    test = "" if math.isnan(row["p_value"]) else f": {_test(row)}"
    return "; ".join([*parts, f"{row['method']}{test}"]) + "."


def _group(row: pd.Series, place: int, wording: Wording) -> str:
    name, n = wording.of(row[f"group_{place}"]), f"n = {format_count(row[f'n_{place}'])}"
    if row[f"missing_{place}"]:
        n += f", {format_count(row[f'missing_{place}'])} missing"
    clusters = row.get(f"clusters_{place}", math.nan)
    if not math.isnan(clusters):
        n += f", {plural(int(clusters), 'cluster')}"
    mean, sd = row[f"mean_{place}"], row[f"sd_{place}"]
    if math.isnan(mean):
        return f"{name} {n}"
    if "proportion" in row["estimand"] or row["estimand"] == "risk difference":
        return f"{name} {format_percent(mean, 1)}, {n}"
    digits = decimals_of_spread(sd)
    spread = "" if math.isnan(sd) else f"SD = {format_number(sd, digits)}, "
    return f"{name} M = {format_number(mean, digits)}, {spread}{n}"


def _test(row: pd.Series) -> str:
    name, p = row["statistic_name"], p_phrase(row["p_value"])
    if name == "t":
        return t_phrase(row["statistic"], row["df"], row["p_value"])
    if not name:
        return p
    degrees = [row[key] for key in ("df", "df1", "df2") if not math.isnan(row[key])]
    shown = f"({', '.join(format_df(value) for value in degrees)})" if degrees else ""
    return f"{name}{shown} = {format_number(row['statistic'])}, {p}"
