"""Successful and unsuccessful alliances: thirteen families followed up, and a whole study.

On simulated data. The small design is that of a qualitative study of parents' alliances with their
child's therapist (17 interviewed, 13 again; Smith College School for Social Work, 2012), which
describes and estimates nothing. What so few families can show at all is part of the answer.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.group_trajectories import group_trajectory_figure
from alliance_stats.figures.group_values import estimation_figure
from alliance_stats.figures.raincloud import raincloud_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import (
    format_count,
    format_interval,
    format_number,
    format_p,
    format_percent,
    p_phrase,
)
from alliance_stats.groups import (
    Multiverse,
    TableOne,
    classify_many,
    compare_groups,
    compare_trajectories,
    cut_point,
    judged,
    retained,
    table_one,
)
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable, sample_table
from alliance_stats.tables.report_table import remembers_call
from analyses.chapter import Chapter, Numbers, Part, Section
from analyses.interviews import GROUP, followed_up
from analyses.simulated import SOURCE, SYMPTOMS, called_simulated, families_of

NAME = "successful_alliance"
GOOD_ALLIANCE = 5.0  # points of the 1-7 score; a stated choice, not a published cut-point
BASELINE = {
    "experience": "Therapist’s experience (years)",
    "framework": "Framework",
    "investment": "Parents’ investment (standardised)",
    "parent_trauma": "Parental trauma",
    "therapist_emotion": "Therapist’s emotion (standardised)",
    "first_symptoms": "Symptoms, first session",
}
RULES = {
    "As the parent described it": judged(
        "parent_alliance", success=["successful"], failure=["unsuccessful"]
    ),
    "Did not drop out": retained(),
    f"Alliance of at least {GOOD_ALLIANCE:g} at the end": cut_point(
        "last_alliance", GOOD_ALLIANCE, better="higher"
    ),
    "Described so, and did not drop out": judged(
        "parent_alliance", success=["successful"], failure=["unsuccessful"]
    )
    & retained(),
}


def load() -> Study:
    """Return the simulated example study."""
    return example_study()


def main(data: Study, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    small, small_numbers = followed_up()
    whole, whole_numbers = whole_study(data)
    rules, rule_numbers = several_rules(data)
    chapter = Chapter(
        name=NAME,
        title="Successful and unsuccessful alliances",
        data="simulated",
        source=(
            f"{SOURCE} The small follow-up is a second, smaller simulation with the same built-in "
            "effects. Its design is that of an interview study with 17 parents, 13 of them seen "
            "again (doctoral dissertation, Smith College School for Social Work, 2012), which "
            "describes and estimates nothing; no number here is a result of it."
        ),
        sections=(small, whole, rules),
        numbers={**small_numbers, **whole_numbers, **rule_numbers},
        headline=(
            "symptoms in the last session, successful minus unsuccessful alliances: "
            f"{format_number(whole_numbers['last_symptoms_difference'], 1)} points, 95% CI "
            + format_interval(
                whole_numbers["last_symptoms_low"], whole_numbers["last_symptoms_high"], 1
            )
            + " (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


def whole_study(data: Study) -> tuple[Section, Numbers]:
    """Compare families of the whole study: at the start, over sessions, and in the end."""
    families = families_of(data).rename(columns={"parent_alliance": GROUP})
    first = table_one(
        families.rename(columns=BASELINE).assign(
            **{BASELINE["framework"]: families["framework"].astype(str)}
        ),
        variables=list(BASELINE.values()),
        group=GROUP,
        unit_name="family",
    )
    comparison = compare_groups(
        families, outcomes="last_symptoms", group=GROUP, cluster="therapist"
    )
    found = comparison.tidy().iloc[0]
    course = compare_trajectories(
        data.sessions.rename(columns={"parent_alliance": GROUP}),
        outcome="symptoms",
        time="session",
        group=GROUP,
        person="person",
        nested_in=["family", "therapist"],
    )
    slope = course.tidy().iloc[-1]
    since = course.differ_from()
    apart = (
        "at no stretch up to the last session can their course be told apart"
        if np.isnan(since)
        else f"from session {since:g} on they can be told apart at all later sessions together"
    )
    text = (
        f"{format_count(found['n_1'])} families had an alliance that the parent described as "
        f"successful, {format_count(found['n_2'])} an unsuccessful one. @tbl-success-first and "
        "@fig-success-balance say how unlike they were to begin with. The change of their "
        f"symptoms a session differed by {format_number(slope['estimate'], 3)} points "
        "(successful − unsuccessful), 95% CI "
        f"{format_interval(slope['conf_low'], slope['conf_high'], 3)}; {apart} "
        "(@fig-success-course).\n\n"
        "In their last session, families with a successful alliance had a mean symptom score of "
        f"{format_number(found['mean_1'], 1)}, the others {format_number(found['mean_2'], 1)}; "
        f"difference {format_number(found['estimate'], 1)}, 95% CI "
        f"{format_interval(found['conf_low'], found['conf_high'], 1)}, "
        f"{p_phrase(found['p_value'])} (@fig-success-last, @fig-success-raincloud). Which "
        "alliances are called successful was drawn from the parents’ alliance, and a better "
        "alliance goes with fewer symptoms here: a difference was built in."
    )
    outcome = "Symptom score in the last session (points)"
    figures = (
        group_trajectory_figure(course, outcome_label=SYMPTOMS, label="fig-success-course"),
        estimation_figure(
            comparison, outcome="last_symptoms", outcome_label=outcome, label="fig-success-last"
        ),
        raincloud_figure(
            comparison,
            outcome="last_symptoms",
            outcome_label=outcome,
            label="fig-success-raincloud",
        ),
    )
    last = {
        "last_symptoms_difference": found["estimate"],
        "last_symptoms_low": found["conf_low"],
        "last_symptoms_high": found["conf_high"],
    }
    numbers = {
        **numbers_from(comparison, last),
        **numbers_from(course, {"slope_difference": slope["estimate"]}),
        **numbers_from(first, {"largest_smd": first.glance()["largest_smd"].iloc[0]}),
    }
    parts: tuple[Part, ...] = (
        _first_table(first),
        called_simulated(_balance(first), first),
        *(called_simulated(figure) for figure in figures),
    )
    return Section("sec-success-whole", "The whole study", text, parts), numbers


def _first_table(first: TableOne) -> ReportTable:
    return sample_table(
        first,
        label="tbl-success-first",
        caption="Families at the start of the simulated study, by parent alliance.",
    )


def _balance(first: TableOne) -> ReportFigure:
    largest = first.tidy().drop_duplicates("variable")
    frame = pd.DataFrame(
        {
            "term": largest["variable"],
            "estimate": largest["smd"],
            "conf_low": np.nan,
            "conf_high": np.nan,
        }
    )
    return forest_figure(
        frame.reset_index(drop=True),
        estimate_label="Absolute standardised difference of the groups (SD)",
        method="Differences are described, not tested; each family counts once",
        scale="difference",
        label="fig-success-balance",
    )


def under_rules(data: Study) -> tuple[Multiverse, pd.DataFrame, pd.DataFrame]:
    """Compare last symptoms under each rule; return also counts and agreement of the rules."""
    agreement = classify_many(families_of(data), RULES)
    found = agreement.compare(outcomes="last_symptoms", cluster="therapist")
    return found, agreement.counts().set_index("rule"), agreement.tidy()


def several_rules(data: Study) -> tuple[Section, Numbers]:
    """Run the same comparison under several definitions of success."""
    comparisons, counts, agreement = under_rules(data)
    found = comparisons.tidy()
    least = agreement.loc[agreement["kappa"].idxmin()]
    method = str(found["method"].iloc[0])
    method = f"{method[:1].upper()}{method[1:]}"
    text = (
        "What is called a successful alliance is a rule, and the answer depends on it. "
        "@fig-success-rules and @tbl-success-rules run the same comparison under "
        f"{format_count(len(found))} rules: the difference lies between "
        f"{format_number(found['estimate'].min(), 1)} and "
        f"{format_number(found['estimate'].max(), 1)} points. The rules that agree least are "
        f"“{least['rule_1']}” and “{least['rule_2']}”: alike for "
        f"{format_percent(least['agreement'])} of {format_count(least['n'])} families, kappa "
        f"{format_number(least['kappa'])}. The rows are several definitions of one question, not "
        "several findings. A last session comes early for those who drop out, so a rule that "
        "counts dropout as failure also compares shorter with longer treatments."
    )
    figure = forest_figure(
        found.rename(columns={"rule": "term"})[["term", "estimate", "conf_low", "conf_high"]],
        estimate_label="Successful − unsuccessful, symptoms in the last session (points)",
        method=f"{method}, families in therapists",
        scale="difference",
        label="fig-success-rules",
    )
    parts = (called_simulated(figure, comparisons), _rule_table(comparisons, counts, method))
    spread = {
        "rules": len(found),
        "rule_estimate_min": found["estimate"].min(),
        "rule_estimate_max": found["estimate"].max(),
    }
    numbers = numbers_from(comparisons, spread)
    return Section("sec-success-rules", "What counts as success", text, parts), numbers


@remembers_call
def _rule_table(comparisons: Multiverse, counts: pd.DataFrame, method: str) -> ReportTable:
    found = comparisons.tidy()
    table = pd.DataFrame(
        {
            "Rule": found["rule"],
            "Successful": [format_count(counts.loc[rule, "successful"]) for rule in found["rule"]],
            "Unsuccessful": [
                format_count(counts.loc[rule, "unsuccessful"]) for rule in found["rule"]
            ],
            "Undecided": [format_count(counts.loc[rule, "undecided"]) for rule in found["rule"]],
            "Difference": [format_number(value) for value in found["estimate"]],
            "95% CI": [
                format_interval(low, high)
                for low, high in zip(found["conf_low"], found["conf_high"], strict=True)
            ],
            "p": [format_p(value) for value in found["p_value"]],
        }
    )
    return ReportTable(
        table,
        label="tbl-success-rules",
        caption="Symptoms in the last session under several rules of success in the "
        "simulated study.",
        note=f"{method}; points, higher is worse. Families that a rule "
        "cannot place (transferred; alliance not rated in the last session) are undecided. "
        "Nothing is corrected over rules.",
    )
