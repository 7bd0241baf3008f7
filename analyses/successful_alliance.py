"""Successful and unsuccessful alliances: thirteen families followed up, and a whole study.

On simulated data. The small design is that of a qualitative study of parents' alliances with their
child's therapist (17 interviewed, 13 again; Smith College School for Social Work, 2012), which
describes and estimates nothing. What so few families can show at all is part of the answer.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.effect_sizes import clopper_pearson
from alliance_stats.figures.estimation import estimation_figure
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.group_trajectories import group_trajectory_figure
from alliance_stats.figures.raincloud import raincloud_figure
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.themes import theme_figure
from alliance_stats.figures.transitions import transition_figure
from alliance_stats.formatting import (
    format_bounded,
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
    ThemeComparison,
    classify_many,
    compare_groups,
    compare_themes,
    compare_trajectories,
    cut_point,
    judged,
    retained,
    table_one,
    theme_transitions,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.simulate import simulate_study
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable
from analyses.chapter import Chapter, Section
from analyses.simulated import SOURCE, SYMPTOMS, called_simulated, families_of

NAME = "successful_alliance"
GROUP = "parent alliance"
INTERVIEWED, AGAIN, SEED = 17, 13, 1
EARLY = "Early problem"
THEMES = {
    "theme_early_problem": EARLY,
    "theme_became_rupture": "Problem became a rupture",
    "theme_became_strength": "Problem became a strength",
    "theme_positive_aspects": "Positive aspects",
    "theme_unresolved_issues": "Unresolved issues",
}
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
            "symptoms in the last session, successful less unsuccessful alliances: "
            f"{format_number(whole_numbers['last_symptoms_difference'], 1)} points, 95% CI "
            + format_interval(
                whole_numbers["last_symptoms_low"], whole_numbers["last_symptoms_high"], 1
            )
            + " (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


def interviews() -> pd.DataFrame:
    """Return the simulated small design: a row a parent, and whether they were seen ``again``."""
    study = simulate_study(
        n_therapists=8, n_families=INTERVIEWED, n_interviewed=INTERVIEWED, seed=SEED
    )
    order = np.random.default_rng(SEED).permutation(INTERVIEWED)
    return study.themes.rename(columns={"parent_alliance": GROUP, **THEMES}).assign(
        again=(order < AGAIN).astype(int)
    )


def seen_again(parents: pd.DataFrame) -> tuple[pd.DataFrame, RowLedger]:
    """Return the parents who were interviewed again, and how many were not."""
    rows = RowLedger.start(parents, {"family": ("family",)})
    return rows.keep(parents, parents["again"] == 1, reason="not interviewed again")


def followed_up() -> tuple[Section, dict[str, float]]:
    """Compare themes by group where there are thirteen families."""
    parents = interviews()
    again, rows = seen_again(parents)
    kept = clopper_pearson(rows.n_used, rows.n_in)
    stayed = compare_groups(parents, outcomes="again", group=GROUP).tidy().iloc[0]
    compared = compare_themes(again, themes=list(THEMES.values()), group=GROUP)
    themes = compared.tidy().set_index("theme")
    became = theme_transitions(
        again,
        early=EARLY,
        later={
            "rupture": THEMES["theme_became_rupture"],
            "strength": THEMES["theme_became_strength"],
        },
        group=GROUP,
    )
    test = became.glance().set_index("early").loc[True]
    largest = themes.loc[themes["estimate"].abs().idxmax()]
    text = (
        f"Of {format_count(rows.n_in)} interviewed parents {format_count(rows.n_used)} were "
        f"interviewed again, {format_percent(kept.estimate)} (exact 95% CI "
        f"{format_percent(kept.conf_low)} to {format_percent(kept.conf_high)}; "
        f"@fig-small-flow): {format_percent(stayed['mean_1'])} of those with a "
        f"{stayed['group_1']} alliance and {format_percent(stayed['mean_2'])} of the others, "
        f"{p_phrase(stayed['p_value'])}. Who was seen again was drawn at random.\n\n"
        f"Themes were compared between {format_count(largest['n_1'])} {largest['group_1']} and "
        f"{format_count(largest['n_2'])} {largest['group_2']} alliances (@fig-small-themes, "
        f"@tbl-small-themes). The largest difference was that of “{largest.name}”: "
        f"{format_count(largest['count_1'])} of {format_count(largest['n_1'])} against "
        f"{format_count(largest['count_2'])} of {format_count(largest['n_2'])}, "
        f"{p_phrase(largest['p_value'])}, and {p_phrase(largest['p_holm'])} when Holm’s correction "
        "counts all themes. With so few families each proportion is known within a wide interval, "
        "and with as many parents voicing a theme no test could have given less than the p in "
        "the last column of the table, however they fell into the groups. A theme that is absent "
        "from an interview may have been felt.\n\n"
        f"@fig-small-transitions shows what early problems became; between the groups "
        f"{p_phrase(test['p_value'])} (exact test; the least it could give was "
        f"{_exact(test['p_smallest'])})."
    )
    parts = (
        called_simulated(flow_figure(rows, label="fig-small-flow")),
        called_simulated(
            theme_figure(compared.prevalence(), method="Clopper-Pearson", label="fig-small-themes")
        ),
        _theme_table(compared),
        called_simulated(
            transition_figure(became, early_label=EARLY.lower(), label="fig-small-transitions")
        ),
    )
    numbers = {
        "interviewed": rows.n_in,
        "interviewed_again": rows.n_used,
        "retention": kept.estimate,
        "retention_low": kept.conf_low,
        "retention_high": kept.conf_high,
        "transition_p": test["p_value"],
        "transition_p_smallest": test["p_smallest"],
    }
    return Section("sec-success-small", "Thirteen families followed up", text, parts), numbers


def _exact(value: float) -> str:
    """Return a p with the digits that a smallest attainable one needs: ``.0006``."""
    if np.isnan(value) or value < 0.0001 or value > 0.9995:
        return format_p(value)
    return format_bounded(value, 4)


def _theme_table(compared: ThemeComparison) -> ReportTable:
    themes = compared.tidy()
    first, second = themes["group_1"].iloc[0], themes["group_2"].iloc[0]
    table = pd.DataFrame(
        {
            "Theme": themes["theme"],
            str(first).capitalize(): [
                f"{format_count(row.count_1)} of {format_count(row.n_1)}"
                for row in themes.itertuples()
            ],
            str(second).capitalize(): [
                f"{format_count(row.count_2)} of {format_count(row.n_2)}"
                for row in themes.itertuples()
            ],
            "Difference (%)": [format_number(100 * value, 0) for value in themes["estimate"]],
            "95% CI": [
                format_interval(100 * low, 100 * high, 0)
                for low, high in zip(themes["conf_low"], themes["conf_high"], strict=True)
            ],
            "p": [_exact(value) for value in themes["p_value"]],
            "p (Holm)": [_exact(value) for value in themes["p_holm"]],
            "Smallest p": [_exact(value) for value in themes["p_smallest"]],
        }
    )
    return ReportTable(
        table,
        label="tbl-small-themes",
        caption="Themes of thirteen simulated follow-up interviews by parent alliance.",
        note=f"{themes['method'].iloc[0]}; difference of proportions with Newcombe’s interval. "
        "Smallest p: the least that the test could give with these group sizes and this many "
        "parents who voiced the theme.",
    )


def whole_study(data: Study) -> tuple[Section, dict[str, float]]:
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
        nested_in=("therapist", "family"),
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
        _balance(first),
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
    numbers = {
        "last_symptoms_difference": found["estimate"],
        "last_symptoms_low": found["conf_low"],
        "last_symptoms_high": found["conf_high"],
        "slope_difference": slope["estimate"],
        "largest_smd": first.glance()["largest_smd"].iloc[0],
    }
    parts = (_first_table(first), *(called_simulated(figure) for figure in figures))
    return Section("sec-success-whole", "The whole study", text, parts), numbers


def _first_table(first: TableOne) -> ReportTable:
    frame = first.frame()
    indented = frame["Variable"].str.startswith("  ")
    frame["Variable"] = frame["Variable"].where(~indented, "– " + frame["Variable"].str.strip())
    return ReportTable(
        frame,
        label="tbl-success-first",
        caption="Families at the start of the simulated study, by parent alliance.",
        note=" ".join(first.footnotes()),
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


def several_rules(data: Study) -> tuple[Section, dict[str, float]]:
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
    parts = (
        called_simulated(figure),
        ReportTable(
            table,
            label="tbl-success-rules",
            caption="Symptoms in the last session under several rules of success in the "
            "simulated study.",
            note=f"{method}; points, higher is worse. Families that a rule "
            "cannot place (transferred; alliance not rated in the last session) are undecided. "
            "Nothing is corrected over rules.",
        ),
    )
    numbers = {
        "rules": len(found),
        "rule_estimate_min": found["estimate"].min(),
        "rule_estimate_max": found["estimate"].max(),
    }
    return Section("sec-success-rules", "What counts as success", text, parts), numbers
