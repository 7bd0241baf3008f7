"""What a comparison says: groups, differences, effect sizes, what the design could show."""

import math
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.account import Column, Phrase, Section
from alliance_stats.groups.comparing.no_difference import smallest_p_of_design

__all__ = ["comparison_sections", "drawn_tables", "worth_saying"]

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
    """Return what the design detects, and the p below which no exact test of it can go."""
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
    """Say whether a test among `methods` rests on random draws."""
    return any("Monte Carlo" in method for method in methods)


def worth_saying(smallest: float) -> float:
    """Return the smallest p that a test could give, NaN where it limits nobody."""
    return smallest if smallest > _WORTH_SAYING else math.nan


def _known(frame: pd.DataFrame, columns: dict[str, Column]) -> dict[str, Column]:
    """Leave out columns that there are not, or that hold nothing."""
    return {k: c for k, c in columns.items() if k in frame and bool(frame[k].notna().any())}
