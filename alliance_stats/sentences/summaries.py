"""Results whose own summary is sentences already, at 95%: it is passed on line by line."""

from alliance_stats.evidence import Comparison, ConsistencyCheck, MetaAnalysis, Reproduction
from alliance_stats.family import (
    FalseAlarms,
    OneWithMany,
    Ruptures,
    SplitAlliance,
    WithinFamilyICC,
)
from alliance_stats.groups import (
    Classification,
    CoderAgreement,
    ThemeComparison,
    ThemeTransitions,
)
from alliance_stats.multilevel import LikelihoodRatioTest

__all__ = ["Summarised", "method_of_summary", "summary_sentences"]

Summarised = (
    LikelihoodRatioTest
    | Classification
    | CoderAgreement
    | ThemeComparison
    | ThemeTransitions
    | SplitAlliance
    | Ruptures
    | FalseAlarms
    | WithinFamilyICC
    | OneWithMany
    | MetaAnalysis
    | Comparison
    | ConsistencyCheck
    | Reproduction
)
"""Results whose ``summary()`` is sentences."""

_METHODS: dict[type, str] = {
    LikelihoodRatioTest: "likelihood-ratio test",
    Classification: "classification by a rule",
    CoderAgreement: "agreement of coders",
    ThemeComparison: "themes compared between groups",
    ThemeTransitions: "transitions between themes",
    SplitAlliance: "split alliances of families",
    Ruptures: "ruptures and repairs",
    FalseAlarms: "false alarms expected from measurement error",
    WithinFamilyICC: "coherence within families",
    OneWithMany: "one-with-many model",
    MetaAnalysis: "meta-analysis",
    Comparison: "an own estimate beside published ones",
    ConsistencyCheck: "consistency of printed numbers",
    Reproduction: "recomputation of printed numbers",
}


def method_of_summary(result: Summarised) -> str:
    """Return the method in a phrase."""
    return _METHODS[type(result)]


def summary_sentences(result: Summarised) -> list[str]:
    """Return the lines of the summary as sentences, the row ledger left out."""
    ledger = str(getattr(result, "rows", ""))
    lines = [
        line.replace(ledger, "").strip() if ledger else line.strip()
        for line in result.summary().splitlines()
    ]
    return [line if line[-1] in ".:" else f"{line}." for line in lines if line]
