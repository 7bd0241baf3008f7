"""Which of more than two groups differ: simultaneous intervals, corrected p-values."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd

from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes import hedges_g
from alliance_stats.engine.multiple_tests import range_sf, tukey_critical
from alliance_stats.errors import DataError
from alliance_stats.groups.comparing.cluster_tests import fit_mixed_model
from alliance_stats.groups.comparing.count_tests import fisher
from alliance_stats.groups.comparing.finding import Finding, TestOptions, adjusted_p, not_tested
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.groups.comparing.means_and_ranks import adjusted_means, mann_whitney, welch_df
from alliance_stats.multilevel import infer

__all__ = ["pairwise_table"]


def pairwise_table(outcome: Outcome, finding: Finding, conf_level: float) -> pd.DataFrame:
    """Return one row a pair of groups, by the method that goes with the test of all groups.

    Welch's analysis of variance: Games & Howell (1976), doi:10.3102/10769986001002113. Analysis of
    (co)variance: Tukey-Kramer. Kruskal-Wallis and permutation: Mann-Whitney, Fisher for 0/1
    outcomes; the mixed model: its own contrasts. Of the latter three, ``p_value`` and the interval
    are those of one pair and ``p_holm`` is corrected over the outcome's pairs; of the former,
    both hold for all pairs together and there is no ``p_holm``. `method` says which.
    """
    check_conf_level(conf_level)
    if len(outcome.labels) < 3:
        raise DataError(
            f"Outcome '{outcome.name}' has two groups: its one pair stands in tidy() already."
        )
    if finding.test == "none":
        raise DataError(f"Outcome '{outcome.name}': {finding.note}.")
    rows = _METHODS[finding.test](outcome, conf_level)
    frame = pd.DataFrame(rows)
    if "p_holm" not in frame:
        return frame
    return frame.assign(p_holm=adjusted_p(frame["p_value"], method="holm"))


def _games_howell(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    rows = []
    for i, j in combinations(range(len(outcome.labels)), 2):
        x, y = outcome.of(i), outcome.of(j)
        error, df = welch_df(x, y)
        rows.append(
            _studentised(outcome, (i, j), (float(x.mean() - y.mean()), error, df), conf_level)
            | {"method": _jointly("Games-Howell", outcome)}
        )
    return rows


def _tukey(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    groups = [outcome.of(g) for g in range(len(outcome.labels))]
    df = float(outcome.values.size - len(groups))
    mean_square = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / df
    rows = []
    for i, j in combinations(range(len(groups)), 2):
        x, y = groups[i], groups[j]
        error = math.sqrt(mean_square * (1.0 / x.size + 1.0 / y.size))
        rows.append(
            _studentised(outcome, (i, j), (float(x.mean() - y.mean()), error, df), conf_level)
            | {"method": _jointly("Tukey-Kramer", outcome)}
        )
    return rows


def _tukey_adjusted(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    means, covariance, df = adjusted_means(outcome)
    rows = []
    for i, j in combinations(range(len(outcome.labels)), 2):
        error = math.sqrt(covariance[i, i] + covariance[j, j] - 2.0 * covariance[i, j])
        rows.append(
            _studentised(outcome, (i, j), (float(means[i] - means[j]), error, df), conf_level)
            | {"method": _jointly("Tukey-Kramer, baseline-adjusted", outcome)}
        )
    return rows


def _by_ranks(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    test, name = (fisher, "Fisher") if outcome.kind == "binary" else (mann_whitney, "Mann-Whitney")
    rows = []
    for i, j in combinations(range(len(outcome.labels)), 2):
        pair = outcome.between(i, j)
        finding = not_tested("", math.nan, "")
        if np.ptp(pair.values) > 0:
            finding = test(pair, TestOptions())
        low, high = finding.interval(conf_level)
        rows.append(
            _names(outcome, (i, j))
            | {
                "estimand": finding.estimand,
                "estimate": finding.estimate,
                "conf_low": low,
                "conf_high": high,
                "p_value": finding.p_value,
                "p_holm": math.nan,
                "method": _singly(name, outcome) if finding.estimand else "not tested (all alike)",
            }
        )
    return rows


def _by_mixed_model(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    model = fit_mixed_model(outcome)
    pairs = list(combinations(range(len(outcome.labels)), 2))
    # columns: intercept, an indicator for each group but the last, perhaps the baseline
    L = np.zeros((len(pairs), len(model.beta)))
    for place, (i, j) in enumerate(pairs):
        L[place, 1 + i] = 1.0
        if j < len(outcome.labels) - 1:
            L[place, 1 + j] = -1.0
    found = infer(model, "kenward-roger").of(L).columns(conf_level=conf_level)
    kept = ["estimate", "std_error", "df", "conf_low", "conf_high", "p_value"]
    return [
        _names(outcome, pair)
        | {"estimand": "mean difference"}
        | {name: float(row[name]) for name in kept}
        | {"p_holm": math.nan, "method": _singly("mixed model", outcome)}
        for pair, (_, row) in zip(pairs, found.iterrows(), strict=True)
    ]


def _studentised(
    outcome: Outcome, pair: tuple[int, int], estimate: tuple[float, float, float], conf_level: float
) -> dict[str, object]:
    """Return a difference (with its error and df) held against the studentised range of all."""
    difference, error, df = estimate
    k = len(outcome.labels)
    q = abs(difference) / error * math.sqrt(2.0)
    half = float(tukey_critical(np.array([df]), k, conf_level)[0]) * error
    g = hedges_g(outcome.of(pair[0]), outcome.of(pair[1]), conf_level=conf_level)
    return _names(outcome, pair) | {
        "estimand": "mean difference",
        "estimate": difference,
        "std_error": error,
        "df": df,
        "conf_low": difference - half,
        "conf_high": difference + half,
        "p_value": range_sf(q, k, df),
        "hedges_g": g.estimate,
        "hedges_g_low": g.conf_low,
        "hedges_g_high": g.conf_high,
    }


def _jointly(name: str, outcome: Outcome) -> str:
    return f"{name} (p and interval hold for all {_n_pairs(outcome)} pairs together)"


def _singly(name: str, outcome: Outcome) -> str:
    return f"{name} (p and interval of one pair; p_holm for all {_n_pairs(outcome)})"


def _n_pairs(outcome: Outcome) -> int:
    return math.comb(len(outcome.labels), 2)


def _names(outcome: Outcome, pair: tuple[int, int]) -> dict[str, object]:
    first, second = outcome.labels[pair[0]], outcome.labels[pair[1]]
    return {"outcome": outcome.name, "contrast": f"{first} - {second}"}


_METHODS: dict[str, Callable[[Outcome, float], list[dict[str, object]]]] = {
    "welch_anova": _games_howell,
    "anova": _tukey,
    "ancova": _tukey_adjusted,
    "kruskal_wallis": _by_ranks,
    "permutation": _by_ranks,
    "freeman_halton": _by_ranks,
    "mixed_model": _by_mixed_model,
}
