"""What predicts leaving: the hazard by session, barriers and the alliance so far."""

import pandas as pd

from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.incidence import hazard_figure
from alliance_stats.formatting import format_count, p_phrase, plural
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.survival import DiscreteHazard, discrete_hazard, endings
from alliance_stats.transforms import running_mean
from analyses.chapter import Numbers, Section
from analyses.leaving.wording import CLOCK, TERMS, in_words
from analyses.simulated import called_simulated

__all__ = ["FORMULA", "hazard_of", "periods", "what_predicts"]

FORMULA = (
    "alliance_running_mean + alliance_deviation + parent_trauma * framework + investment"
    " + therapist_emotion"
)
SAID = {
    "whether the unit came back is not known yet": "still in treatment, not known to come back",
    "'alliance_deviation' is missing": "no rating of the alliance at that session",
}


def periods(study: Study) -> pd.DataFrame:
    """Return a row per family and session, with the alliance so far and the deviation from it."""
    table = endings(study).periods(("alliance",))
    table = running_mean(table, "alliance", person="family", session="session")
    return table.assign(framework=pd.Categorical(table["framework"], ["trauma-informed", "usual"]))


def hazard_of(
    table: pd.DataFrame, formula: str, *, kind: str = "dummies", nodes: int = 1
) -> DiscreteHazard:
    """Model the families' hazard of dropout, therapists differing."""
    return discrete_hazard(
        formula,
        table,
        session="session",
        event="event",
        unit="family",
        random="(1 | therapist)",
        baseline=kind,
        nodes=nodes,
    )


def what_predicts(table: pd.DataFrame, full: DiscreteHazard) -> tuple[Section, Numbers]:
    """Show the hazard by session, and what `full` says of barriers and the alliance so far."""
    smooth = hazard_of(table, "1", kind="spline")
    ratios = full.hazard_ratios()
    by_term = ratios.set_index("term")
    level, change = by_term.loc["alliance_running_mean"], by_term.loc["alliance_deviation"]
    both = by_term.loc["parent_trauma:framework[T.usual]"]
    told = "can be told from 1" if both["p_value"] < 0.05 else "cannot be told from 1"
    text = (
        "A family’s mean over the whole course knows when the course ended, and is not used: what "
        "stands in the row of a session was known by then. Of two families with the same barriers, "
        "the one whose alliance so far was a point higher had "
        f"{in_words(level)} times the hazard of leaving; a last session a point above the mean so "
        f"far went with {in_words(change)} times (@fig-dropout-ratios). Does parental trauma weigh "
        "more under a usual framework? The ratio of the two hazard ratios was "
        f"{in_words(both)}, {p_phrase(both['p_value'])}, and {told}. @fig-dropout-hazard shows the "
        f"hazard over sessions. Of the {format_count(full.rows.n_in)} family-sessions "
        f"{format_count(full.rows.n_set_aside)} say nothing about these ratios: "
        + "; ".join(
            f"{format_count(step.rows_set_aside)}, {_said(step.reason)}"
            for step in full.rows.steps[1:]
            if step.rows_set_aside
        )
        + "."
    )
    forest = forest_figure(
        ratios.assign(term=ratios["term"].map(TERMS)),
        estimate_label="Hazard ratio of dropout",
        method=(
            f"Discrete-time hazard model (cloglog link, a level each session, therapists "
            f"random), {plural(full.n_event, 'dropout')} of "
            f"{plural(int(full.glance()['n_units'].iloc[0]), 'family', 'families')}; Wald intervals"
        ),
        label="fig-dropout-ratios",
    )
    hazard = hazard_figure(
        smooth, time_label=CLOCK, event_label="dropping out", label="fig-dropout-hazard"
    )
    found = {
        "ratio_level": level["estimate"],
        "ratio_level_low": level["conf_low"],
        "ratio_level_high": level["conf_high"],
        "ratio_change": change["estimate"],
        "ratio_interaction": both["estimate"],
    }
    numbers = numbers_from(full, found)
    parts = (called_simulated(hazard), called_simulated(forest, full))
    return Section("sec-dropout-hazard", "What predicts dropout", text, parts), numbers


def _said(reason: str) -> str:
    """Say in words why rows were set aside, and how many dropouts went with them."""
    why, _, lost = reason.partition(", ")
    if why not in SAID:
        return reason
    return SAID[why] + (
        f" ({lost.replace('with the event', 'the last of a dropout')})" * bool(lost)
    )
