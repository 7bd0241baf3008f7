"""The rows of a comparison's tables."""

import math

import numpy as np

from alliance_stats.groups.effects import effect_columns
from alliance_stats.groups.finding import Finding
from alliance_stats.groups.samples import Outcome

__all__ = ["comparison_row", "contrast_of", "describe_group"]


def contrast_of(outcome: Outcome) -> str:
    """Return what is subtracted from what."""
    labels = outcome.labels
    return f"{labels[0]} - {labels[1]}" if len(labels) == 2 else "all groups"


def comparison_row(outcome: Outcome, finding: Finding, conf_level: float) -> dict[str, object]:
    """Return the row of one outcome, intervals at `conf_level`."""
    low, high = finding.interval(conf_level)
    row: dict[str, object] = {
        "outcome": outcome.name,
        "contrast": contrast_of(outcome),
        "estimand": finding.estimand,
        "estimate": finding.estimate,
        "std_error": finding.std_error,
        "conf_low": low,
        "conf_high": high,
        "interval_method": finding.interval_method,
        "method": finding.method,
        "statistic_name": finding.statistic_name,
        "statistic": finding.statistic,
        "df": finding.df,
        "df1": finding.df1,
        "df2": finding.df2,
        "p_value": finding.p_value,
        "p_smallest": finding.p_smallest,
    }
    if len(outcome.labels) == 2:
        row |= effect_columns(outcome, finding, conf_level)
    for g in range(len(outcome.labels)):
        described = describe_group(outcome, g)
        row |= {
            f"group_{g + 1}": outcome.labels[g],
            f"n_{g + 1}": described["n"],
            f"missing_{g + 1}": described["n_missing"],
            f"mean_{g + 1}": described["mean"],
            f"sd_{g + 1}": described["sd"],
        }
        if outcome.cluster is not None:
            row[f"clusters_{g + 1}"] = described["n_clusters"]
    return row | {"note": finding.note}


def describe_group(outcome: Outcome, group: int) -> dict[str, object]:
    """Return what one group looks like on one outcome."""
    values = outcome.of(group)
    n = values.size
    quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if n else np.full(3, math.nan)
    metric = outcome.kind != "ordinal" and n > 0
    return {
        "outcome": outcome.name,
        "kind": outcome.kind,
        "group": outcome.labels[group],
        "n": n,
        "n_missing": outcome.n_missing[group],
        "mean": float(values.mean()) if metric else math.nan,
        "sd": float(values.std(ddof=1)) if metric and n > 1 else math.nan,
        "median": float(quartiles[1]),
        "q1": float(quartiles[0]),
        "q3": float(quartiles[2]),
        "minimum": float(values.min()) if n else math.nan,
        "maximum": float(values.max()) if n else math.nan,
        "count": float(values.sum()) if outcome.kind == "binary" else math.nan,
        "n_clusters": math.nan if outcome.cluster is None else outcome.n_clusters[group],
    }
