"""Estimates one below the other, and meta-analyses."""

import numpy as np
import pandas as pd

from alliance_stats.evidence import MetaAnalysis, compare_with, meta_analysis
from alliance_stats.figures import (
    ReportFigure,
    comparison_figure,
    forest_figure,
    funnel_figure,
    meta_forest_figure,
)
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, hazard_ratios


def forest(estimates: pd.DataFrame) -> ReportFigure:
    return forest_figure(
        estimates, estimate_label="Hazard ratio of dropout", method="Cox model, 90 units"
    )


def differences(*terms: str, times: float = 1.0) -> ReportFigure:
    estimates = hazard_ratios(*terms).drop(columns="term").sub(1.0).mul(times)
    return forest_figure(
        estimates.assign(term=terms),
        estimate_label="Difference (points)",
        method="Linear mixed model",
        scale="difference",
    )


def differences_with_one_huge_error() -> ReportFigure:
    estimates = hazard_ratios("a", "b", "c", "d").assign(conf_low=[0.4, 0.5, 0.6, -900.0])
    return forest_figure(
        estimates.assign(conf_high=[0.9, 1.5, 1.8, 1000.0]),
        estimate_label="Difference (points)",
        method="Linear mixed model",
        scale="difference",
    )


def forest_of_many(n: int) -> ReportFigure:
    return forest_figure(
        studies_of_alliance(n),
        estimate_label="Correlation (Fisher z)",
        method="as printed",
        scale="difference",
    )


def in_subgroups() -> ReportFigure:
    """Return a forest plot of two subgroups and the whole."""
    rng = np.random.default_rng(24)
    data = pd.DataFrame({"r": rng.normal(0.25, 0.1, 10), "n": rng.integers(20, 300, 10)})
    own = data.index < 4
    parts = {
        name: meta_analysis(data[mask], r="r", n="n")
        for name, mask in (("Individual therapy", own), ("Family therapy", ~own))
    }
    return meta_forest_figure(meta_analysis(data, r="r", n="n"), subgroups=parts, scale="r")


def studies_of_alliance(n: int = 12) -> pd.DataFrame:
    """Return invented Fisher z of `n` studies with their intervals."""
    rng = np.random.default_rng(23)
    error = rng.uniform(0.05, 0.3, n)
    effect = 0.25 + rng.normal(0, 0.1, n) + error * rng.normal(size=n)
    studies = pd.DataFrame({"term": [f"Study {i} (20{i:02})" for i in range(n)]})
    studies["estimate"], studies["std_error"] = effect, error
    studies["conf_low"], studies["conf_high"] = effect - 1.96 * error, effect + 1.96 * error
    return studies


def pooled_forest() -> ReportFigure:
    studies = studies_of_alliance().assign(kind="study", weight=lambda d: 1 / d["std_error"] ** 2)
    last = pd.DataFrame(
        {
            "term": ["Pooled", "New study"],
            "estimate": [0.25, 0.25],
            "conf_low": [0.18, 0.02],
            "conf_high": [0.32, 0.48],
            "kind": ["pooled", "prediction"],
        }
    )
    return forest_figure(
        pd.concat([studies, last], ignore_index=True),
        estimate_label="Correlation of alliance and outcome (Fisher z)",
        method="REML, Hartung-Knapp interval",
        scale="difference",
    )


def funnel(studies: pd.DataFrame, *, times: float = 1.0, method: str = "REML") -> ReportFigure:
    own = pd.DataFrame(
        {
            "estimate": studies["estimate"] * times,
            "variance": (studies["std_error"] * times) ** 2,
        }
    )
    return funnel_figure(
        meta_analysis(own, estimate="estimate", variance="variance", method=method)
    )


def pooled(k: int, **options: str) -> MetaAnalysis:
    """Return a meta-analysis of `k` invented correlations, four to a study."""
    rng = np.random.default_rng(24)
    data = pd.DataFrame(
        {"r": rng.normal(0.25, 0.2, k).clip(-0.9, 0.9), "n": rng.integers(9, 300, k)}
    )
    data["study"] = [f"Study {i // 4}" for i in range(k)]
    return meta_analysis(data, r="r", n="n", **options)


def long_names(k: int, others: tuple[str, ...] = OTHER_SCRIPTS) -> pd.Series:
    return pd.Series([(LONG, *others)[i % 4] if i % 3 == 0 else f"{i}" for i in range(k)])


CASES = {
    forest_figure: {
        "forest": lambda: forest(hazard_ratios("alliance, within", "alliance, between", "trauma")),
        "forest, one row": lambda: forest(hazard_ratios("alliance")),
        "forest, long and other names": lambda: forest(hazard_ratios(LONG, *OTHER_SCRIPTS, "x")),
        "forest, eastern names": lambda: forest(hazard_ratios(*EASTERN)),
        "forest, endless intervals": lambda: forest(
            hazard_ratios("a", "b").assign(conf_low=[1e-6, 0.5], conf_high=[np.inf, 2.0])
        ),
        "forest, narrow": lambda: forest(
            hazard_ratios("a").assign(estimate=1.01, conf_low=0.99, conf_high=1.03)
        ),
        "forest, zero on a log axis": lambda: forest(
            hazard_ratios("a", "b", "c").assign(conf_low=[0.0, 0.5, 0.4])
        ),
        "forest, one huge error": differences_with_one_huge_error,
        "forest, 120 studies": lambda: forest_of_many(120),
        "forest, limits": lambda: forest_figure(
            hazard_ratios("a", "b", "c"),
            estimate_label="Hazard ratio",
            method="Cox model",
            limits=(0.7, 1.5),
        ),
        "forest, differences": lambda: differences("a", "b", "c"),
        "forest, huge differences": lambda: differences("a", "b", "c", times=1e7),
        "forest, tiny differences": lambda: differences("a", "b", "c", times=1e-5),
        "forest, pooled": pooled_forest,
    },
    funnel_figure: {
        "funnel": lambda: funnel_figure(pooled(12)),
        "funnel, 120 studies": lambda: funnel(studies_of_alliance(120)),
        "funnel, one study": lambda: funnel_figure(pooled(1, method="fixed")),
        "funnel, huge": lambda: funnel(studies_of_alliance(), times=1e7),
        "funnel, tiny": lambda: funnel(studies_of_alliance(), times=1e-5),
        "funnel, 40 studies and a long label": lambda: funnel_figure(
            pooled(40, study="study"), effect_label=LONG
        ),
    },
    comparison_figure: {
        "comparison": lambda: comparison_figure(compare_with(pooled(12), scale="fisher_z")),
        "comparison, odds ratios and a long name": lambda: comparison_figure(
            compare_with(pooled(12), scale="fisher_z", on="odds_ratio", label=LONG)
        ),
        "comparison, eastern name": lambda: comparison_figure(
            compare_with(pooled(12), scale="fisher_z", label=EASTERN[3])
        ),
    },
    meta_forest_figure: {
        "meta-analysis": lambda: meta_forest_figure(pooled(12), scale="r"),
        "meta-analysis, subgroups": in_subgroups,
        "meta-analysis, 120 studies": lambda: meta_forest_figure(pooled(120), scale="r"),
        "meta-analysis, 40 studies and long names": lambda: meta_forest_figure(
            pooled(40), names=long_names(40), effect_label=LONG
        ),
        "meta-analysis, eastern names": lambda: meta_forest_figure(
            pooled(12), names=long_names(12, EASTERN[1:])
        ),
        "meta-analysis, three levels": lambda: meta_forest_figure(pooled(16, study="study")),
        "meta-analysis, one study": lambda: meta_forest_figure(
            pooled(1, method="fixed"), scale="r"
        ),
    },
}
