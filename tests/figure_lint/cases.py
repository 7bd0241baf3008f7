"""Every figure the package makes, on ordinary data and on the hard cases."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import scipy.stats

from alliance_stats.evidence import MetaAnalysis, compare_with, meta_analysis
from alliance_stats.figures.caterpillar import caterpillar_figure
from alliance_stats.figures.estimation import estimation_figure
from alliance_stats.figures.evidence import comparison_figure
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.funnel import funnel_figure
from alliance_stats.figures.incidence import cumulative_incidence_figure
from alliance_stats.figures.meta_forest import meta_forest_figure
from alliance_stats.figures.meta_funnel import meta_funnel_figure
from alliance_stats.figures.raincloud import raincloud_figure
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.residuals import residual_figure
from alliance_stats.figures.slopes import slopes_figure
from alliance_stats.figures.survival import kaplan_meier_figure
from alliance_stats.figures.themes import theme_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.figures.variance_partition import variance_partition_figure
from alliance_stats.groups import compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.survival import cumulative_incidence, kaplan_meier

LONG = "Großmutter väterlicherseits, nach der zweiten Eheschließung im Haushalt lebend, §4"
OTHER_SCRIPTS = ("Ωμέγα μητέρα", "отец ребёнка", "mère & père <$5>")
WAI = "WAI mean item score (1–7)"


def ratings(
    roles: tuple[str, ...] = ("child", "father", "mother"),
    *,
    therapists: int = 8,
    sessions: int = 16,
) -> pd.DataFrame:
    """Return invented ratings of five families a therapist, of decreasing length."""
    rng = np.random.default_rng(20)
    rows = [
        (f"T{t}", f"T{t}-{f}-{role}", role, session)
        for t in range(therapists)
        for f in range(5)
        for role in roles
        for session in range(1, 1 + int(rng.integers(1, sessions + 1)))
    ]
    data = pd.DataFrame(rows, columns=["therapist", "person", "role", "session"])
    own = data["therapist"].map({f"T{t}": rng.normal(0, 0.4) for t in range(therapists)})
    score = 4.6 + 0.04 * data["session"] + own + rng.normal(0, 0.8, len(data))
    data["alliance"] = score.clip(1, 7).where(rng.random(len(data)) > 0.1)
    return data


def endings(groups: tuple[str, ...], n: int = 90) -> pd.DataFrame:
    """Return invented endings of `n` units in each group."""
    rng = np.random.default_rng(21)
    group = np.repeat(np.arange(len(groups)), n)
    event = 1 + rng.geometric(0.05 + 0.03 * group / len(groups))
    censor = np.minimum(1 + rng.geometric(0.04, len(group)), 24)
    return pd.DataFrame(
        {
            "group": np.asarray(groups, dtype=object)[group],
            "time": np.minimum(event, censor).astype(float),
            "event": (event <= censor).astype(int),
        }
    )


def scores(groups: tuple[str, ...], n: int = 30) -> pd.DataFrame:
    """Return invented scores of `n` units in each group."""
    rng = np.random.default_rng(22)
    return pd.DataFrame(
        {
            "group": np.repeat(np.asarray(groups, dtype=object), n),
            "pair": np.tile(np.arange(n), len(groups)),
            "alliance": rng.normal(4.8, 0.9, n * len(groups)).clip(1, 7),
        }
    )


def ledger(*reasons: str) -> RowLedger:
    """Return a ledger that sets rows aside for each of `reasons`."""
    data = pd.DataFrame({"row": np.arange(6000)})
    data["family"], data["person"] = data["row"] % 240, data["row"] % 650
    rows = RowLedger.start(data, {"family": ("family",), "person": ("person",)})
    for number, reason in enumerate(reasons):
        data, rows = rows.keep(data, data["person"] > 10 * (number + 1), reason=reason)
    return rows


def trajectories(data: pd.DataFrame, *, role: str | None = "role") -> ReportFigure:
    return trajectory_figure(
        data, session="session", score="alliance", person="person", role=role, score_label=WAI
    )


def survival(data: pd.DataFrame, *, strata: str | None = "group") -> ReportFigure:
    return kaplan_meier_figure(kaplan_meier(data, time="time", event="event", strata=strata))


def estimation(data: pd.DataFrame, *, paired: str | None = None) -> ReportFigure:
    compared = compare_groups(data, outcomes="alliance", group="group", paired=paired)
    return estimation_figure(compared, outcome="alliance", outcome_label=WAI)


def fitted(*, therapists: int = 8, random: str = "(1 | therapist/person)") -> LinearMixedModel:
    return lmm(f"alliance ~ session + {random}", ratings(therapists=therapists))


def hazard_ratios(*terms: str) -> pd.DataFrame:
    ratio = np.linspace(0.6, 1.7, len(terms))
    width = np.linspace(1.2, 2.0, len(terms))
    limits = {"conf_low": ratio / width, "conf_high": ratio * width}
    return pd.DataFrame({"term": terms, "estimate": ratio, **limits})


def forest(estimates: pd.DataFrame) -> ReportFigure:
    return forest_figure(
        estimates, estimate_label="Hazard ratio of dropout", method="Cox model, 90 units"
    )


def studies_of_alliance() -> pd.DataFrame:
    rng = np.random.default_rng(23)
    error = rng.uniform(0.05, 0.3, 12)
    effect = 0.25 + rng.normal(0, 0.1, 12) + error * rng.normal(size=12)
    studies = pd.DataFrame({"term": [f"Study {i} (20{i:02})" for i in range(12)]})
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


def funnel() -> ReportFigure:
    return funnel_figure(
        studies_of_alliance(), pooled=0.25, effect_label="Correlation (Fisher z)", method="REML"
    )


def pooled(k: int, **options: str) -> MetaAnalysis:
    """Return a meta-analysis of `k` invented correlations, four to a study."""
    rng = np.random.default_rng(24)
    data = pd.DataFrame(
        {"r": rng.normal(0.25, 0.2, k).clip(-0.9, 0.9), "n": rng.integers(9, 300, k)}
    )
    data["study"] = [f"Study {i // 4}" for i in range(k)]
    return meta_analysis(data, r="r", n="n", **options)


def long_names(k: int) -> pd.Series:
    return pd.Series([(LONG, *OTHER_SCRIPTS)[i % 4] if i % 3 == 0 else f"{i}" for i in range(k)])


def shares(*groups: str) -> ReportFigure:
    share = np.arange(1, len(groups) + 1) / np.arange(1, len(groups) + 1).sum()
    frame = pd.DataFrame({"group": groups, "estimate": share})
    frame["conf_low"], frame["conf_high"] = share / 2, np.minimum(share * 1.4, 1.0)
    frame.loc[0, ["conf_low", "conf_high"]] = np.nan
    return variance_partition_figure(
        frame, outcome_label="alliance", method="REML; parametric bootstrap, 1,000 draws, seed 1"
    )


def slopes(*terms: str) -> ReportFigure:
    slope = np.linspace(-0.4, -1.1, len(terms))
    frame = pd.DataFrame({"term": terms, "estimate": slope, "reach": 0.4 + slope**2})
    frame["conf_low"], frame["conf_high"] = slope - 0.3, slope + 0.3
    return slopes_figure(
        frame,
        predictor_label="alliance (WAI points)",
        outcome_label="symptoms (0–100)",
        method="Linear mixed model, Satterthwaite df",
    )


def prevalence(
    names: tuple[str, ...], groups: tuple[str, ...] = ("lasting", "broken")
) -> pd.DataFrame:
    cells = [(name, group) for name in names for group in groups]
    frame = pd.DataFrame(cells, columns=["theme", "group"])
    frame["n"], frame["count"] = 7, np.arange(len(frame)) * 7 // max(len(frame) - 1, 1)
    beta = scipy.stats.beta
    frame["estimate"] = frame["count"] / frame["n"]
    low = beta.ppf(0.025, frame["count"], frame["n"] - frame["count"] + 1)
    high = beta.ppf(0.975, frame["count"] + 1, frame["n"] - frame["count"])
    frame["conf_low"], frame["conf_high"] = np.nan_to_num(low), np.where(np.isnan(high), 1, high)
    return frame


def themes(names: tuple[str, ...], groups: tuple[str, ...] = ("lasting", "broken")) -> ReportFigure:
    return theme_figure(prevalence(names, groups), method="Clopper-Pearson")


def competing(
    groups: tuple[str, ...], names: tuple[str, str] = ("dropout", "planned")
) -> pd.DataFrame:
    data = endings(groups)
    other = np.where(data["time"] % 3 == 0, names[1], "ongoing")
    data["ending"] = np.where(data["event"] == 1, names[0], other)
    return data


def incidence(data: pd.DataFrame) -> ReportFigure:
    return cumulative_incidence_figure(
        cumulative_incidence(data, time="time", event="ending", strata="group")
    )


def raincloud(groups: tuple[str, ...], n: int = 30) -> ReportFigure:
    compared = compare_groups(scores(groups, n), outcomes="alliance", group="group")
    return raincloud_figure(compared, outcome="alliance", outcome_label=WAI)


FOUR = ("a", LONG, "usual", OTHER_SCRIPTS[0])

CASES: Mapping[str, Callable[[], ReportFigure]] = {
    "trajectories": lambda: trajectories(ratings()),
    "trajectories, one panel": lambda: trajectories(ratings(), role=None),
    "trajectories, 200 therapists": lambda: trajectories(ratings(("child",), therapists=200)),
    "trajectories, long and other names": lambda: trajectories(
        ratings((LONG, *OTHER_SCRIPTS, "child", "x"), sessions=40)
    ),
    "trajectories, n = 1": lambda: trajectories(ratings().dropna().head(1)),
    "trajectories, one session": lambda: trajectories(ratings().query("session == 1")),
    "survival": lambda: survival(endings(("trauma-informed", "usual"))),
    "survival, one group": lambda: survival(endings(("all",)), strata=None),
    "survival, all censored": lambda: survival(endings(("a", "b")).assign(event=0)),
    "survival, n = 1": lambda: survival(endings(("a",)).head(1)),
    "survival, thousands": lambda: survival(endings(("a", "b"), 3000)),
    "survival, eight groups": lambda: survival(endings((*FOUR, *OTHER_SCRIPTS[1:], "y", "z"))),
    "survival, short clock": lambda: survival(
        endings(("a", "b")).assign(time=lambda d: d.time / 90)
    ),
    "estimation": lambda: estimation(scores(("successful", "unsuccessful"))),
    "estimation, pairs": lambda: estimation(scores(("first", "last"), 13), paired="pair"),
    "estimation, four groups": lambda: estimation(scores(FOUR)),
    "estimation, n = 1": lambda: estimation(scores(("a", "b"), 5).iloc[4:]),
    "estimation, large": lambda: estimation(scores(("a", "b"), 800)),
    "incidence": lambda: incidence(competing(("trauma-informed", "usual"))),
    "incidence, one group": lambda: incidence(competing(("all",))),
    "incidence, long and other names": lambda: incidence(competing(FOUR, (LONG, OTHER_SCRIPTS[1]))),
    "raincloud": lambda: raincloud(("successful", "unsuccessful")),
    "raincloud, four groups": lambda: raincloud(FOUR),
    "raincloud, few": lambda: raincloud(("a", "b"), 3),
    "raincloud, large": lambda: raincloud(("a", "b"), 800),
    "caterpillar": lambda: caterpillar_figure(fitted(), group="therapist"),
    "caterpillar, 200 therapists": lambda: caterpillar_figure(
        fitted(therapists=200, random="(1 | therapist)"), group="therapist"
    ),
    "residuals": lambda: residual_figure(fitted(), outcome_label="alliance (WAI points)"),
    "residuals, slopes": lambda: residual_figure(
        fitted(random="(1 + session | therapist) + (1 | person)"), outcome_label="alliance (WAI)"
    ),
    "forest": lambda: forest(hazard_ratios("alliance, within", "alliance, between", "trauma")),
    "forest, one row": lambda: forest(hazard_ratios("alliance")),
    "forest, long and other names": lambda: forest(hazard_ratios(LONG, *OTHER_SCRIPTS, "x")),
    "forest, endless intervals": lambda: forest(
        hazard_ratios("a", "b").assign(conf_low=[1e-6, 0.5], conf_high=[np.inf, 2.0])
    ),
    "forest, narrow": lambda: forest(
        hazard_ratios("a").assign(estimate=1.01, conf_low=0.99, conf_high=1.03)
    ),
    "forest, pooled": pooled_forest,
    "funnel": funnel,
    "comparison": lambda: comparison_figure(compare_with(pooled(12), scale="fisher_z")),
    "comparison, odds ratios and a long name": lambda: comparison_figure(
        compare_with(pooled(12), scale="fisher_z", on="odds_ratio", label=LONG)
    ),
    "meta-analysis": lambda: meta_forest_figure(pooled(12), on="r"),
    "meta-analysis, 40 studies and long names": lambda: meta_forest_figure(
        pooled(40), names=long_names(40), effect_label=LONG
    ),
    "meta-analysis, three levels": lambda: meta_forest_figure(pooled(16, study="study")),
    "meta-analysis, one study": lambda: meta_forest_figure(pooled(1, method="fixed"), on="r"),
    "meta-analysis, funnel": lambda: meta_funnel_figure(pooled(12)),
    "meta-analysis, funnel of 40 and a long label": lambda: meta_funnel_figure(
        pooled(40, study="study"), effect_label=LONG
    ),
    "variance": lambda: shares("therapist", "family", "person", "session (residual)"),
    "variance, long and other names": lambda: shares(LONG, *OTHER_SCRIPTS),
    "slopes": lambda: slopes("within persons", "between persons"),
    "slopes, many": lambda: slopes("a", LONG, *OTHER_SCRIPTS, "b"),
    "themes": lambda: themes(("felt heard", "was told what to do", "asked for more")),
    "themes, long and other names": lambda: themes((LONG, *OTHER_SCRIPTS), FOUR),
    "flow": lambda: flow_figure(ledger("no rating", "after the planned ending")),
    "flow, nothing set aside": lambda: flow_figure(ledger()),
    "flow, long reasons": lambda: flow_figure(ledger(LONG * 3, *OTHER_SCRIPTS, "x" * 120)),
}
