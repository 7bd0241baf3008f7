"""The available tests, each design's default, and how pairs of groups are compared afterwards.

The default follows from the outcome's type and the design, never from a test of normality.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.effect_sizes import hedges_g
from alliance_stats.engine.multiple_tests import tukey_critical, tukey_p
from alliance_stats.errors import DataError
from alliance_stats.groups.comparing import (
    cluster_tests,
    count_tests,
    means_and_ranks,
    permutation_tests,
)
from alliance_stats.groups.comparing.cluster_tests import fit_mixed_model
from alliance_stats.groups.comparing.count_tests import fisher
from alliance_stats.groups.comparing.finding import Finding, TestOptions, adjusted_p, not_tested
from alliance_stats.groups.comparing.group_samples import Design, Kind, Outcome
from alliance_stats.groups.comparing.means_and_ranks import adjusted_means, mann_whitney, welch_df
from alliance_stats.multilevel import infer

__all__ = ["TESTS", "GroupTest", "choose_test", "pairwise_table", "sources_of"]


_MOST_PAIRS = 5_000  # of 100 groups: some seconds to half a minute


def pairwise_table(outcome: Outcome, finding: Finding, conf_level: float) -> pd.DataFrame:
    """Return one row per pair of groups, by the method that goes with the test of all groups.

    Welch's analysis of variance: Games & Howell (1976), doi:10.3102/10769986001002113. Analysis of
    (co)variance: Tukey-Kramer. Kruskal-Wallis and permutation: Mann-Whitney, Fisher for 0/1
    outcomes; the mixed model: its own contrasts. For the latter three, ``p_value`` and the interval
    are those of one pair and ``p_holm`` is corrected over the outcome's pairs; for the former, both
    hold for all pairs jointly and there is no ``p_holm``. `method` says which.
    """
    check_conf_level(conf_level)
    if len(outcome.labels) < 3:
        raise DataError(
            f"Outcome '{outcome.name}' has two groups: its one pair is in tidy() already."
        )
    if finding.test == "none":
        raise DataError(f"Outcome '{outcome.name}': {finding.note}.")
    n_pairs = math.comb(len(outcome.labels), 2)
    if n_pairs > _MOST_PAIRS:
        raise DataError(
            f"{len(outcome.labels)} groups make {n_pairs:,} pairs; pairwise() compares at most "
            f"{_MOST_PAIRS:,}. Compare fewer groups; where groups are units of a kind (therapists, "
            "sites), model them: lmm('y ~ 1 + (1 | therapist)')."
        )
    rows = _METHODS[finding.test](outcome, conf_level)
    frame = pd.DataFrame(rows)
    if "p_holm" not in frame:
        return frame
    return frame.assign(p_holm=adjusted_p(frame["p_value"], adjust="holm"))


def _games_howell(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    found = []
    for i, j in _pairs(outcome):
        x, y = outcome.of(i), outcome.of(j)
        found.append((float(x.mean() - y.mean()), *welch_df(x, y)))
    return _studentised(outcome, found, "Games-Howell", conf_level)


def _tukey(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    groups = [outcome.of(g) for g in range(len(outcome.labels))]
    df = float(outcome.values.size - len(groups))
    mean_square = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / df
    found = []
    for i, j in _pairs(outcome):
        x, y = groups[i], groups[j]
        error = math.sqrt(mean_square * (1.0 / x.size + 1.0 / y.size))
        found.append((float(x.mean() - y.mean()), error, df))
    return _studentised(outcome, found, "Tukey-Kramer", conf_level)


def _tukey_adjusted(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    means, covariance, df = adjusted_means(outcome)
    found = []
    for i, j in _pairs(outcome):
        error = math.sqrt(covariance[i, i] + covariance[j, j] - 2.0 * covariance[i, j])
        found.append((float(means[i] - means[j]), error, df))
    return _studentised(outcome, found, "Tukey-Kramer, baseline-adjusted", conf_level)


def _by_ranks(outcome: Outcome, conf_level: float) -> list[dict[str, object]]:
    test, name = (fisher, "Fisher") if outcome.kind == "binary" else (mann_whitney, "Mann-Whitney")
    rows = []
    for i, j in _pairs(outcome):
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
    pairs = _pairs(outcome)
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
    outcome: Outcome, found: list[tuple[float, float, float]], name: str, conf_level: float
) -> list[dict[str, object]]:
    """Return differences (with error and df) referred to the studentised range of all."""
    difference, error, df = np.array(found).T
    k = len(outcome.labels)
    p_values = tukey_p(difference / error, df, k)
    half = tukey_critical(df, k, conf_level) * error
    rows = []
    for place, (i, j) in enumerate(_pairs(outcome)):
        g = hedges_g(outcome.of(i), outcome.of(j), conf_level=conf_level)
        rows.append(
            _names(outcome, (i, j))
            | {
                "estimand": "mean difference",
                "estimate": difference[place],
                "std_error": error[place],
                "df": df[place],
                "conf_low": difference[place] - half[place],
                "conf_high": difference[place] + half[place],
                "p_value": p_values[place],
                "hedges_g": g.estimate,
                "hedges_g_low": g.conf_low,
                "hedges_g_high": g.conf_high,
                "method": f"{name} (p and interval hold for all {len(found)} pairs together)",
            }
        )
    return rows


def _singly(name: str, outcome: Outcome) -> str:
    return (
        f"{name} (p and interval of one pair; p_holm for all {math.comb(len(outcome.labels), 2)})"
    )


def _pairs(outcome: Outcome) -> list[tuple[int, int]]:
    return list(combinations(range(len(outcome.labels)), 2))


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


TestFunction = Callable[[Outcome, TestOptions], Finding]


@dataclass(frozen=True, slots=True)
class GroupTest:
    """A test, and the outcomes and designs it is for.

    Attributes
    ----------
    run
        The test itself.
    kinds
        Outcome types that it accepts.
    designs
        Designs that it takes into account.
    groups
        ``"two"``, ``"many"`` (more than two) or ``"any"``.
    """

    run: TestFunction
    kinds: frozenset[Kind]
    designs: frozenset[Design]
    groups: str = "two"

    def takes(self, outcome: Outcome) -> bool:
        """Return whether this test fits the outcome's type, design and number of groups."""
        many = len(outcome.labels) > 2
        return (
            outcome.kind in self.kinds
            and outcome.design in self.designs
            and (self.groups == "any" or (self.groups == "many") == many)
        )


_NUMBERS: frozenset[Kind] = frozenset({"continuous"})
_RANKS: frozenset[Kind] = frozenset({"continuous", "ordinal"})
_BINARY: frozenset[Kind] = frozenset({"binary"})
_MEANS: frozenset[Kind] = frozenset({"continuous", "binary"})
_ANY: frozenset[Kind] = frozenset({"continuous", "ordinal", "binary"})
_INDEPENDENT: frozenset[Design] = frozenset({"independent"})
_PAIRED: frozenset[Design] = frozenset({"paired"})
_CLUSTERED: frozenset[Design] = frozenset({"clustered"})

TESTS: Mapping[str, GroupTest] = {
    "welch": GroupTest(means_and_ranks.welch, _NUMBERS, _INDEPENDENT),
    "student": GroupTest(means_and_ranks.student, _NUMBERS, _INDEPENDENT),
    "mann_whitney": GroupTest(means_and_ranks.mann_whitney, _RANKS, _INDEPENDENT),
    "fisher": GroupTest(count_tests.fisher, _BINARY, _INDEPENDENT),
    "boschloo": GroupTest(count_tests.boschloo, _BINARY, _INDEPENDENT),
    "fisher_mid_p": GroupTest(count_tests.fisher_mid_p, _BINARY, _INDEPENDENT),
    "ancova": GroupTest(means_and_ranks.ancova, _NUMBERS, frozenset({"covariate"}), "any"),
    "welch_anova": GroupTest(means_and_ranks.welch_anova, _NUMBERS, _INDEPENDENT, "many"),
    "anova": GroupTest(means_and_ranks.anova, _NUMBERS, _INDEPENDENT, "many"),
    "kruskal_wallis": GroupTest(means_and_ranks.kruskal_wallis, _RANKS, _INDEPENDENT, "many"),
    "permutation": GroupTest(
        permutation_tests.permutation,
        _ANY,
        frozenset({"independent", "clustered", "paired"}),
        "any",
    ),
    "freeman_halton": GroupTest(count_tests.freeman_halton, _BINARY, _INDEPENDENT, "many"),
    "paired_t": GroupTest(means_and_ranks.paired_t, _NUMBERS, _PAIRED),
    "wilcoxon": GroupTest(means_and_ranks.wilcoxon, _NUMBERS, _PAIRED),
    "sign": GroupTest(means_and_ranks.sign_test, _RANKS, _PAIRED),
    "mcnemar": GroupTest(count_tests.mcnemar, _BINARY, _PAIRED),
    "mcnemar_mid_p": GroupTest(count_tests.mcnemar_mid_p, _BINARY, _PAIRED),
    "mixed_model": GroupTest(cluster_tests.mixed_model, _NUMBERS, _CLUSTERED, "any"),
    "cluster_robust": GroupTest(cluster_tests.cluster_robust, _MEANS, _CLUSTERED),
}

# (design, outcome type, more than two groups) -> name
_DEFAULTS: Mapping[tuple[Design, Kind, bool], str] = {
    ("independent", "continuous", False): "welch",
    ("independent", "continuous", True): "welch_anova",
    ("independent", "ordinal", False): "mann_whitney",
    ("independent", "ordinal", True): "kruskal_wallis",
    ("independent", "binary", False): "fisher",
    ("independent", "binary", True): "freeman_halton",
    ("covariate", "continuous", False): "ancova",
    ("covariate", "continuous", True): "ancova",
    ("paired", "continuous", False): "paired_t",
    ("paired", "ordinal", False): "sign",
    ("paired", "binary", False): "mcnemar",
    ("clustered", "continuous", False): "mixed_model",
    ("clustered", "continuous", True): "mixed_model",
    ("clustered", "ordinal", False): "permutation",
    ("clustered", "binary", False): "cluster_robust",
}


_SOURCES: Mapping[str, tuple[str, ...]] = {
    "welch": ("welch1947", "hedges1981"),
    "student": ("hedges1981",),
    "mann_whitney": ("mann1947",),
    "boschloo": ("boschloo1970",),
    "fisher_mid_p": ("fagerland2013",),
    "welch_anova": ("welch1951", "games1976"),
    "kruskal_wallis": ("kruskal1952",),
    "permutation": ("phipson2010",),
    "mcnemar_mid_p": ("fagerland2013",),
    "mixed_model": ("kenward1997", "hedges2007"),
    "cluster_robust": ("pustejovsky2018", "hedges2007"),
}


def sources_of(tests: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of the publications of these tests, each once."""
    return tuple(dict.fromkeys(key for test in tests for key in _SOURCES.get(test, ())))


def choose_test(outcome: Outcome, asked: str) -> tuple[str, GroupTest]:
    """Return the name and the test for `outcome`; ``"auto"`` takes the design's default."""
    many = len(outcome.labels) > 2
    if asked == "auto":
        name = _DEFAULTS.get((outcome.design, outcome.kind, many))
        if name is None:
            raise DataError(
                f"Outcome '{outcome.name}' is {outcome.kind}, and there is no test for that in "
                f"{_design_in_words(outcome)}. {_what_fits(outcome)}"
            )
        return name, TESTS[name]
    if asked not in TESTS:
        raise DataError(f"There is no test '{asked}'. {did_you_mean(asked, ['auto', *TESTS])}")
    if not TESTS[asked].takes(outcome):
        raise DataError(
            f"test='{asked}' does not fit outcome '{outcome.name}' ({outcome.kind}) in "
            f"{_design_in_words(outcome)}. {_what_fits(outcome)}"
        )
    return asked, TESTS[asked]


def _design_in_words(outcome: Outcome) -> str:
    words = {
        "independent": "independent groups",
        "covariate": "groups with a baseline",
        "paired": "matched pairs",
        "clustered": "groups with clusters",
    }
    return f"{words[outcome.design]} ({len(outcome.labels)} groups)"


def _what_fits(outcome: Outcome) -> str:
    fitting = [name for name, test in TESTS.items() if test.takes(outcome)]
    return "Fitting tests: " + (", ".join(fitting) or "none") + "."
