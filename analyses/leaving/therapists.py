"""How much lies with therapists: in the hazard of dropout, and in each of the endings."""

import pandas as pd

from alliance_stats.figures.caterpillar import hazard_caterpillar_figure
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import format_count, format_number, plural
from alliance_stats.multilevel import GeneralizedLinearMixedModel
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.survival import CompetingHazards, DiscreteHazard, competing_hazards
from alliance_stats.transforms import ENDING_CODES, person_period, running_mean
from analyses.chapter import Numbers, Section
from analyses.leaving.hazards import FORMULA, hazard_of
from analyses.leaving.wording import in_words
from analyses.simulated import called_simulated

__all__ = ["CATERPILLAR", "competing_endings", "what_lies_with_therapists"]

WORDS = {
    "alliance_running_mean": "alliance so far",
    "parent_trauma": "parental trauma",
}
CATERPILLAR = "fig-dropout-therapists"
NODES = 7  # with more, neither the spread nor the likelihood moves in these data


def what_lies_with_therapists(
    study: Study, table: pd.DataFrame, laplace: DiscreteHazard
) -> tuple[Section, Numbers]:
    """Compare therapists' hazards, and ask which endings they differ in.

    Where the variance is estimated as zero there is no order of therapists, and no picture of one.
    """
    exact = hazard_of(table, FORMULA, nodes=NODES)
    ratio = exact.median_ratios().iloc[0]
    competing = competing_endings(study)
    ratios = competing.odds_ratios().set_index(["term", "state"]).loc["alliance_running_mean"]
    medians = competing.median_ratios().set_index("state")
    parts = [_endings_figure(competing)]
    alike = bool(ratio["estimate"] == 1.0)
    if alike:
        picture = (
            "The variance is estimated as zero: the therapists’ predicted effects are all alike, "
            "and no order of them is drawn."
        )
    else:
        caterpillar = hazard_caterpillar_figure(
            exact,
            group="therapist",
            event_label="dropping out",
            units_label="families",
            label=CATERPILLAR,
        )
        parts.insert(0, called_simulated(caterpillar))
        apart = (caterpillar.data["conf_low"] > 1) | (caterpillar.data["conf_high"] < 1)
        picture = (
            f"@{CATERPILLAR} puts the therapists in order: the intervals of "
            f"{format_count(apart.sum())} of {format_count(len(apart))} leave out the average one, "
            "and few families each do not make a ranking."
        )
    text = (
        "Of families with the same barriers and the same alliance so far, under two therapists "
        f"drawn at random, the higher hazard was in the median {in_words(ratio)} times the lower; "
        "per session, so not to be set beside shares of final dropout. That is by quadrature with "
        f"{NODES} nodes; the Laplace approximation, which can misplace the variance of small "
        "clusters, gives "
        f"{format_number(_median_ratio(laplace))}. {picture}\n\n"
        + _endings_in_words(ratios, medians)
    )
    found = {
        "median_hazard_ratio": ratio["estimate"],
        "median_hazard_ratio_low": ratio["conf_low"],
        "median_hazard_ratio_high": ratio["conf_high"],
    }
    odds = {
        **{f"odds_ratio_level_{state}": row["estimate"] for state, row in ratios.iterrows()},
        **{f"median_odds_ratio_{state}": row["estimate"] for state, row in medians.iterrows()},
    }
    numbers = numbers_from(exact, found) | numbers_from(competing, odds)
    title = "How much lies with therapists"
    return Section("sec-dropout-therapists", title, text, tuple(parts)), numbers


def competing_endings(study: Study) -> CompetingHazards:
    """Model dropout, planned ending and transfer together, therapists differing in each.

    Effects on different endings are independent: with few transfers a correlation is not known.
    """
    table = person_period(
        study.sessions,
        unit="family",
        session="session",
        ending="ending",
        scores=("alliance",),
        ending_session=study.roles.get("ending_session"),
    )
    table = running_mean(table, "alliance", person="family", session="session")
    return competing_hazards(
        "alliance_running_mean + parent_trauma",
        table,
        session="session",
        event="ending_code",
        unit="family",
        labels={code: ending for ending, code in ENDING_CODES.items()},
        random="(1 || therapist)",
    )


def _endings_figure(model: CompetingHazards) -> ReportFigure:
    ratios = model.odds_ratios()
    counts = ", ".join(
        f"{state} {format_count(model.observed[state].sum())}" for state in model.states
    )
    figure = forest_figure(
        ratios.assign(term=ratios["state"].str.capitalize() + ": " + ratios["term"].map(WORDS)),
        estimate_label="Odds ratio of each ending against coming back",
        method=(
            "Competing endings in discrete time (multinomial logit, a level each session, an "
            "effect of each therapist on each ending, independent of one another; Laplace "
            f"approximation): {counts}, of "
            f"{plural(int(model.glance()['n_units'].iloc[0]), 'family', 'families')}; Wald "
            "intervals. Alliance: mean of the ratings so far, per point"
        ),
        label="fig-dropout-endings",
    )
    return called_simulated(figure, model)


def _endings_in_words(ratios: pd.DataFrame, medians: pd.DataFrame) -> str:
    alliance = ", ".join(f"of {state} {in_words(row)}" for state, row in ratios.iterrows())
    spread = ", ".join(
        f"{state} {in_words(row)}"
        + (" (variance estimated as zero)" if row["estimate"] == 1.0 else "")
        for state, row in medians.iterrows()
    )
    return (
        "Families do not only drop out. In one likelihood for all endings, whose hazards sum to at "
        "most 1, a point more of alliance so far multiplied the odds, against coming back, "
        f"{alliance} (@fig-dropout-endings). Do therapists differ in each ending? Median odds "
        f"ratios between two of them: {spread}."
    )


def _median_ratio(model: DiscreteHazard) -> float:
    """Return the median hazard ratio between two therapists, without its interval."""
    assert isinstance(model.fit, GeneralizedLinearMixedModel)
    return float(model.fit.median_ratios(ci_method="wald")["estimate"].iloc[0])
