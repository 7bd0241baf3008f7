"""Which tests there are, what each is for, and which one a design gets by default.

The default follows from the outcome's type and the design, never from a test of normality.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.groups.comparing import (
    cluster_tests,
    count_tests,
    means_and_ranks,
    permutation_tests,
)
from alliance_stats.groups.comparing.finding import Finding, TestOptions
from alliance_stats.groups.comparing.group_samples import Design, Kind, Outcome

__all__ = ["TESTS", "GroupTest", "choose_test"]

TestFunction = Callable[[Outcome, TestOptions], Finding]


@dataclass(frozen=True, slots=True)
class GroupTest:
    """A test, and the outcomes and designs it is for.

    Attributes
    ----------
    run
        The test itself.
    kinds
        Outcome types that it takes.
    designs
        Designs that it honours.
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
