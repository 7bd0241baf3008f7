"""Which families were split, and how many measurement error alone would split."""

from typing import Literal

import numpy as np

from alliance_stats.family import (
    Reliability,
    SplitAlliance,
    family_indices,
    rule_agreement,
    split_alliance,
)
from alliance_stats.figures.family_maps import split_map_figure
from alliance_stats.figures.family_strips import family_strips_figure
from alliance_stats.formatting import format_bounded, format_percent
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from analyses.chapter import Numbers, Section
from analyses.simulated import ALLIANCE, OF_ROLES, ROLES, called_simulated, rated

__all__ = ["RELIABILITY", "split_families", "split_of"]

# invented, as the study is: a scale of this reliability in a sample of this SD
SEED = 1
RELIABILITY = Reliability(0.85, sd=0.8, seed=11)


def split_of(data: Study, *, sd: Literal["sample", "within"] = "sample") -> SplitAlliance:
    """Call a family split where its members lie one SD apart."""
    indices = family_indices(
        data.sessions,
        family="family",
        person="person",
        session="session",
        score="alliance",
        reliability=RELIABILITY,
    )
    return split_alliance(indices, threshold=1.0, sd=sd)


def split_families(data: Study, splits: SplitAlliance) -> tuple[Section, Numbers]:
    """Show which families were split, and how many measurement error alone would split."""
    shares = splits.tidy().set_index("term")
    observed = shares.loc["split"]
    by_error = shares.loc["expected from measurement error", "estimate"]
    other = split_of(data, sd="within")
    rules = rule_agreement(splits, other, seed=SEED)
    agreement = rules.tidy().iloc[0]
    text = (
        "A family counts as split at a session where two of its members lie at least one SD of "
        f"all ratings so far apart: {format_percent(observed['estimate'])} of the family sessions "
        "that could be judged, 95% CI "
        f"{format_percent(observed['conf_low'])} to {format_percent(observed['conf_high'])} over "
        f"families (@fig-systemic-splits). With a reliability of "
        f"{format_bounded(float(np.asarray(RELIABILITY.value)))} measurement error alone would "
        f"split {format_percent(by_error)} if all members of a family were alike. With the SD "
        "within families in place of that of all ratings, "
        f"{format_percent(agreement['n_second'] / agreement['of'])} are split; kappa of the two "
        f"rules is {format_bounded(agreement['estimate'])}, 95% CI "
        f"[{format_bounded(agreement['conf_low'])}, {format_bounded(agreement['conf_high'])}]. "
        "@fig-systemic-strips shows the families that were split at most sessions."
    )
    often = (
        splits.table.groupby("family")["split"].sum().sort_values(ascending=False, kind="stable")
    )
    strips = family_strips_figure(
        data,
        families=list(often.index[:6]),
        score_label=ALLIANCE,
        label="fig-systemic-strips",
        theme=OF_ROLES,
        words={role: ROLES[role] for role in data.sessions["role"].unique()},
    )
    parts = (
        called_simulated(
            split_map_figure(splits, label="fig-systemic-splits"), splits, seed=RELIABILITY.seed
        ),
        called_simulated(strips, rated(data)),
    )
    shares = {
        "split_share": observed["estimate"],
        "split_share_low": observed["conf_low"],
        "split_share_high": observed["conf_high"],
        "split_by_error_share": by_error,
    }
    numbers = numbers_from(splits, shares, seed=RELIABILITY.seed) | numbers_from(
        rules, {"split_kappa": agreement["estimate"]}, seed=SEED
    )
    return Section("sec-systemic-splits", "Split alliances", text, parts), numbers
