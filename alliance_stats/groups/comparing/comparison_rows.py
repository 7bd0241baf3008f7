"""The rows of a comparison's tables, and their wording: test, groups, effect sizes, design."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.account import Column, Phrase, Section
from alliance_stats.effect_sizes import (
    EffectSize,
    cluster_corrected_g,
    covariate_adjusted_g,
    hedges_g,
    hedges_g_paired,
    odds_ratio,
    pooled_sd,
    probability_of_superiority,
)
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.groups.comparing.finding import Finding
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.groups.comparing.no_difference import (
    detectable_g,
    detectable_h,
    detectable_ratio,
    smallest_p_of_design,
)

__all__ = [
    "comparison_row",
    "comparison_sections",
    "contrast_of",
    "describe_group",
    "drawn_tables",
    "worth_saying",
]

_NONE = EffectSize(math.nan, math.nan, math.nan)


def _effect_columns(
    outcome: Outcome, finding: Finding, conf_level: float
) -> Mapping[str, float | str]:
    """Return g, probability of superiority, odds ratio and detectable effect of two groups.

    What the outcome's type or the design does not support is NaN: no interval ever treats the
    members of a cluster as independent.
    """
    g, scale, icc = _g(outcome, finding, conf_level)
    superiority = _superiority(outcome, conf_level)
    odds = _odds(outcome, conf_level)
    detectable, detectable_scale = _detectable(outcome, icc)
    return {
        **_columns("hedges_g", g),
        "hedges_g_scale": scale,
        "icc": icc,
        **_columns("superiority", superiority),
        **_columns("odds_ratio", odds),
        "detectable": detectable,
        "detectable_scale": detectable_scale,
    }


def _columns(name: str, effect: EffectSize) -> dict[str, float | str]:
    return {name: effect.estimate, f"{name}_low": effect.conf_low, f"{name}_high": effect.conf_high}


def _g(outcome: Outcome, finding: Finding, conf_level: float) -> tuple[EffectSize, str, float]:
    if outcome.kind != "continuous" or not _describable(outcome):
        return _NONE, "", math.nan
    x, y = outcome.of(0), outcome.of(1)
    try:
        if finding.standardised is not None:
            effect = finding.standardised(conf_level)
            return effect, finding.standardised_by, effect.icc
        if outcome.design == "paired":
            return hedges_g_paired(x, y, conf_level=conf_level), "SD of differences", math.nan
        if outcome.design == "clustered":
            return _clustered_g(outcome, conf_level)
        if finding.test == "ancova":
            sd = pooled_sd(float(x.std(ddof=1)), float(y.std(ddof=1)), x.size, y.size)
            adjusted = covariate_adjusted_g(
                finding.estimate, finding.std_error, sd, finding.df, conf_level=conf_level
            )
            return adjusted, "pooled SD, baseline-adjusted", math.nan
        return hedges_g(x, y, conf_level=conf_level), "pooled SD", math.nan
    except NotIdentifiedError:  # no variance to standardise by: the raw difference stands alone
        return _NONE, "", math.nan


def _clustered_g(outcome: Outcome, conf_level: float) -> tuple[EffectSize, str, float]:
    assert outcome.cluster is not None  # design is clustered
    if outcome.clusters_cross or outcome.inner:
        return _NONE, "", math.nan
    effect = cluster_corrected_g(
        outcome.values, outcome.group, outcome.cluster, conf_level=conf_level
    )
    return effect, "total SD of members, cluster-corrected", effect.icc


def _superiority(outcome: Outcome, conf_level: float) -> EffectSize:
    if outcome.kind == "binary" or outcome.design == "paired" or min(outcome.n) < 1:
        return _NONE
    effect = probability_of_superiority(outcome.of(0), outcome.of(1), conf_level=conf_level)
    if outcome.design == "clustered":
        return EffectSize(effect.estimate, math.nan, math.nan, conf_level)
    return effect


def _odds(outcome: Outcome, conf_level: float) -> EffectSize:
    if outcome.kind != "binary" or outcome.design != "independent" or min(outcome.n) < 1:
        return _NONE
    (n_1, n_2), (x, y) = outcome.n, (outcome.of(0), outcome.of(1))
    return odds_ratio(int(x.sum()), n_1, int(y.sum()), n_2, conf_level=conf_level)


def _detectable(outcome: Outcome, icc: float) -> tuple[float, str]:
    """Return the effect detected with 80% power and its scale, where the design has one."""
    n_1, n_2 = outcome.n
    if not _describable(outcome) or outcome.kind == "ordinal":
        return math.nan, ""
    if outcome.design == "independent":
        if outcome.kind == "binary":
            return detectable_h(n_1, n_2), "Cohen's h"
        return detectable_g(n_1, n_2), "SD"
    if outcome.kind != "continuous":
        return math.nan, ""
    if outcome.design == "paired":
        return detectable_ratio(n_1 - 1.0) / math.sqrt(n_1), "SD of differences"
    if outcome.design == "clustered" and not math.isnan(icc) and not outcome.clusters_cross:
        assert outcome.cluster is not None  # design is clustered
        variance = 0.0
        for g, n in enumerate(outcome.n):
            sizes = np.unique(outcome.cluster[outcome.group == g], return_counts=True)[1]
            variance += icc * float((sizes**2).sum()) / n**2 + (1.0 - icc) / n
        ratio = detectable_ratio(sum(outcome.n_clusters) - 2.0)
        return ratio * math.sqrt(variance), "total SD, at the estimated ICC"
    return math.nan, ""


def _describable(outcome: Outcome) -> bool:
    return min(outcome.n) >= 2 and bool(np.ptp(outcome.values) > 0)


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
        row |= _effect_columns(outcome, finding, conf_level)
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
    """Describe one group on one outcome."""
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


_WORTH_SAYING = 1e-4  # a smallest p below this limits nobody (and may be too small for a double)
_OF_TWO_GROUPS = {"SD", "Cohen's h"}  # scales on which two independent groups have an effect
_SHARES = {"risk difference", "adjusted risk difference", "differences among proportions"}


def comparison_sections(
    tidy: pd.DataFrame, *, conf_level: float, names: tuple[str, ...] = ("outcome",)
) -> tuple[Section, ...]:
    """Return a comparison's ``tidy()`` as sections; `names` are the columns that name a row."""
    parts = [_groups(tidy, names), _differences(tidy, names, conf_level)]
    if "hedges_g" in tidy:
        parts += [_effect_sizes(tidy, names, conf_level), _design(tidy, names)]
    return tuple(part for part in parts if len(part.frame))


def _groups(tidy: pd.DataFrame, names: tuple[str, ...]) -> Section:
    """Return each group's size, mean and SD; the mean of a 0/1 outcome is a share."""
    places = [int(name.removeprefix("group_")) for name in tidy if name.startswith("group_")]
    kept = ("n", "missing", "clusters", "mean", "sd")
    rows = [
        {name: row[name] for name in names}
        | {"group": row[f"group_{i}"], "binary": row["estimand"] in _SHARES}
        | {name: row[f"{name}_{i}"] for name in kept if f"{name}_{i}" in tidy}
        for row in tidy.to_dict("records")
        for i in places
    ]
    frame = pd.DataFrame(rows)
    binary = frame["binary"].to_numpy(dtype=bool)
    frame["share"] = frame["mean"].where(binary)
    frame.loc[binary, ["mean", "sd"]] = np.nan
    frame["missing"] = frame["missing"].replace(0, np.nan)
    columns = {
        "n": Column("n", "count"),
        "missing": Column("missing", "count"),
        "clusters": Column("clusters", "count"),
        "mean": Column("M", spread="sd"),
        "sd": Column("SD", spread="sd"),
        "share": Column("share", "share"),
    }
    return Section("", frame, names=(*names, "group"), columns=_known(frame, columns))


def _differences(tidy: pd.DataFrame, names: tuple[str, ...], conf_level: float) -> Section:
    frame = tidy
    if "group_3" in tidy:
        frame = tidy.drop(columns=["estimate", "std_error"])  # there is no one difference
    else:
        pairs = zip(tidy["group_1"], tidy["group_2"], strict=True)
        frame = tidy.assign(contrast=[Phrase("{} - {}", pair) for pair in pairs])
        names = (*names, "contrast")
    alone = tidy["p_holm"].equals(tidy["p_value"])
    columns = {} if alone else {"p_holm": Column("Holm-corrected", "p")}
    return Section(
        "",
        frame,
        names=names,
        measure="estimand" if "estimate" in frame else "",
        statistic="statistic_name",
        columns=columns | {"method": Column("method", "text")},
        conf_level=conf_level,
    )


def _effect_sizes(tidy: pd.DataFrame, names: tuple[str, ...], conf_level: float) -> Section:
    """Return Hedges' g and odds ratios, where there are any."""
    kinds = (("hedges_g", "Hedges' g", "number"), ("odds_ratio", "odds ratio", "ratio"))
    parts = [
        tidy[[*names, "hedges_g_scale"]].assign(
            estimate=tidy[name],
            conf_low=tidy[f"{name}_low"],
            conf_high=tidy[f"{name}_high"],
            what=called,
            kind=kind,
        )
        for name, called, kind in kinds
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[frame["estimate"].notna()].reset_index(drop=True)
    frame["hedges_g_scale"] = frame["hedges_g_scale"].replace("", None)
    columns = {"hedges_g_scale": Column("in units of", "text", named=True)}
    return Section(
        "",
        frame,
        names=names,
        measure="what",
        kind="kind",
        columns=_known(frame, columns),
        conf_level=conf_level,
    )


def _design(tidy: pd.DataFrame, names: tuple[str, ...]) -> Section:
    """Return what the design detects, and the smallest p that an exact test of it can give."""
    rows = tidy.to_dict("records")
    frame = tidy[[*names, "detectable"]].assign(
        scale=tidy["detectable_scale"].replace("", None), smallest=[_smallest(r) for r in rows]
    )
    columns = {
        "smallest": Column("smallest p of an exact test", "bounded"),
        "detectable": Column("detected with 80% power"),
        "scale": Column("in units of", "text", named=True),
    }
    columns = _known(frame, columns)
    return Section("", frame.dropna(subset=list(columns), how="all"), names=names, columns=columns)


def _smallest(row: dict[str, Any]) -> float:
    least = float(row["p_smallest"])
    if math.isnan(least) and row["detectable_scale"] in _OF_TWO_GROUPS:
        least = smallest_p_of_design(int(row["n_1"]), int(row["n_2"]))
    return worth_saying(least)


def drawn_tables(*methods: str) -> bool:
    """Say whether a test among `methods` uses random draws."""
    return any("Monte Carlo" in method for method in methods)


def worth_saying(smallest: float) -> float:
    """Return the smallest p that a test could give, NaN where it is no limitation."""
    return smallest if smallest > _WORTH_SAYING else math.nan


def _known(frame: pd.DataFrame, columns: dict[str, Column]) -> dict[str, Column]:
    """Drop columns that do not exist or are empty."""
    return {k: c for k, c in columns.items() if k in frame and bool(frame[k].notna().any())}
