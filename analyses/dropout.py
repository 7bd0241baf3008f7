"""Who leaves, after which session, what foretells it, and what the leaving does to a finding.

On the example study, which is simulated, and on the trial of Beat the Blues, which is real.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.hazard import hazard_figure
from alliance_stats.figures.incidence import cumulative_incidence_figure
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.survival import kaplan_meier_figure
from alliance_stats.figures.tipping_point import tipping_point_figure
from alliance_stats.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    p_phrase,
    plural,
)
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.study import Study
from alliance_stats.survival import (
    DiscreteHazard,
    DropoutSensitivity,
    cumulative_incidence,
    discrete_hazard,
    dropout_sensitivity,
    endings,
    kaplan_meier,
    log_rank,
)
from alliance_stats.transforms import baseline, running_mean
from analyses import beat_the_blues
from analyses.chapter import Chapter, Section
from analyses.simulated import SOURCE, called_simulated

NAME = "dropout"
CLOCK = "Session after which a family left"
LAST = 12  # sessions over which the outcome is followed, seen or not
TERMS = {
    "alliance_running_mean": "Alliance, mean so far (per point)",
    "alliance_deviation": "Alliance, last session less mean so far (per point)",
    "parent_trauma": "Parental trauma, trauma-informed therapist",
    "framework[T.usual]": "Usual framework, no parental trauma",
    "parent_trauma:framework[T.usual]": "Parental trauma × usual framework (ratio of ratios)",
    "investment": "Parent investment (per SD)",
    "therapist_emotion": "Therapist’s emotion (per SD)",
}
FORMULA = (
    "alliance_running_mean + alliance_deviation + parent_trauma * framework + investment"
    " + therapist_emotion"
)
SAID = {
    "whether the unit came back is not known yet": "still in treatment, not known to come back",
    "'alliance_deviation' is missing": "no rating of the alliance at that session",
}
BLUES_TERM = "treatment[T.Beat the Blues]"


class Data(NamedTuple):
    """The two data sets."""

    study: Study
    trial: pd.DataFrame


def load() -> Data:
    """Return the simulated example study and the Beat the Blues trial."""
    from alliance_stats.datasets import example_study

    return Data(example_study(), beat_the_blues.load())


def main(data: Data, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    curves, curve_numbers = who_leaves(data.study)
    hazards, hazard_numbers = what_foretells(data.study)
    finding, finding_numbers = does_the_finding_hold(data.study)
    trial, trial_numbers = in_the_trial(data.trial)
    chapter = Chapter(
        name=NAME,
        title="Who leaves, and what that does to a finding",
        data="simulated",
        source=(
            f"{SOURCE} The last section alone is real: the trial of Beat the Blues (Proudfoot et "
            "al. 2003, Psychological Medicine 33, 217–227; data of the R package HSAUR), which "
            "holds no alliance ratings."
        ),
        sections=(curves, hazards, finding, trial),
        numbers={**curve_numbers, **hazard_numbers, **finding_numbers, **trial_numbers},
        headline=(
            "hazard ratio of dropout per point of alliance so far: "
            f"{format_number(hazard_numbers['ratio_level'])}, 95% CI "
            + format_interval(hazard_numbers["ratio_level_low"], hazard_numbers["ratio_level_high"])
            + " (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


def who_leaves(study: Study) -> tuple[Section, dict[str, float]]:
    """Follow families to their endings."""
    found = endings(study)
    units = found.units.assign(
        framework=found.units["framework"].map(
            {"trauma-informed": "Trauma-informed therapist", "usual": "Usual framework"}
        )
    )
    curves = kaplan_meier(
        units, time="time", event="event", strata="framework", cluster="therapist"
    )
    test = log_rank(units, time="time", event="event", group="framework")
    incidence = cumulative_incidence(units, time="time", event="ending", cluster="therapist")
    end = incidence.tidy().query("state == 'dropout'").iloc[-1]
    text = (
        f"Dropout is defined so: {found.definition}. The family is the unit that leaves: "
        f"{format_count(units['event'].sum())} of "
        f"{plural(len(units), 'family', 'families')}. Who attended T sessions and left has left in "
        "the interval after session T. @fig-dropout-curves answers how many would still come if no "
        "one ended otherwise, by the therapist’s framework (log-rank test, families taken as "
        f"independent: chi-squared({test.df}) = {format_number(test.statistic)}, "
        f"{p_phrase(test.p_value)}). @fig-dropout-incidence answers how many do end so: by session "
        f"{format_count(end['time'])}, {format_percent(end['estimate'])} had dropped out, 95% CI "
        f"{format_percent(end['conf_low'])} to {format_percent(end['conf_high'])}."
    )
    parts = (
        called_simulated(kaplan_meier_figure(curves, time_label=CLOCK, label="fig-dropout-curves")),
        called_simulated(
            cumulative_incidence_figure(incidence, time_label=CLOCK, label="fig-dropout-incidence")
        ),
    )
    numbers = {
        "families": len(units),
        "dropouts": int(units["event"].sum()),
        "incidence_at_end": end["estimate"],
        "log_rank_p": test.p_value,
    }
    return Section("sec-dropout-curves", "Who leaves, and when", text, parts), numbers


def periods(study: Study) -> pd.DataFrame:
    """Return a row a family and session, with the alliance so far and the deviation from it."""
    table = endings(study).periods(("alliance",))
    table = running_mean(table, "alliance", person="family", session="session")
    return table.assign(framework=pd.Categorical(table["framework"], ["trauma-informed", "usual"]))


def hazard_of(table: pd.DataFrame, formula: str, *, kind: str = "dummies") -> DiscreteHazard:
    """Model the families' hazard of dropout, therapists differing."""
    return discrete_hazard(
        formula,
        table,
        session="session",
        event="event",
        unit="family",
        random="(1 | therapist)",
        baseline=kind,
    )


def what_foretells(study: Study) -> tuple[Section, dict[str, float]]:
    """Model the hazard by session, barriers and the alliance so far."""
    table = periods(study)
    smooth = hazard_of(table, "1", kind="spline")
    full = hazard_of(table, FORMULA)
    ratios = full.hazard_ratios()
    by_term = ratios.set_index("term")
    level, change = by_term.loc["alliance_running_mean"], by_term.loc["alliance_deviation"]
    both = by_term.loc["parent_trauma:framework[T.usual]"]
    therapists = full.median_ratios().iloc[0]
    zero = " (its variance is estimated as zero)" if therapists["estimate"] == 1.0 else ""
    text = (
        "A family’s mean over the whole course knows when the course ended, and is not used: what "
        "stands in the row of a session was known by then. Of two families with the same barriers, "
        "the one whose alliance so far was a point higher had "
        f"{_ratio(level)} times the hazard of leaving; a last session a point above the mean so "
        f"far went with {_ratio(change)} times (@fig-dropout-ratios). Parental trauma did not "
        f"{'clearly ' if both['p_value'] >= 0.05 else ''}weigh "
        f"{'more' if both['estimate'] > 1 else 'less'} under a usual framework: the ratio of the "
        f"two hazard ratios was {_ratio(both)}, {p_phrase(both['p_value'])}.\n\n"
        "Between two therapists drawn at random, the higher hazard was in the median "
        f"{format_number(therapists['estimate'])} times the lower{zero}, 95% CI "
        f"{format_interval(therapists['conf_low'], therapists['conf_high'])}; per session, so not "
        "to be set beside shares of final dropout. With a spread of zero the therapists’ predicted "
        "effects are all alike, and no order of therapists is drawn. @fig-dropout-hazard shows the "
        f"hazard over sessions. Of the {format_count(full.rows.n_in)} family-sessions "
        f"{format_count(full.rows.n_set_aside)} say nothing about these ratios: "
        + "; ".join(
            f"{format_count(step.rows_set_aside)}, {SAID.get(step.reason, step.reason)}"
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
    numbers = {
        "ratio_level": level["estimate"],
        "ratio_level_low": level["conf_low"],
        "ratio_level_high": level["conf_high"],
        "ratio_change": change["estimate"],
        "ratio_interaction": both["estimate"],
        "median_hazard_ratio": therapists["estimate"],
        "median_hazard_ratio_high": therapists["conf_high"],
    }
    parts = (called_simulated(hazard), called_simulated(forest))
    return Section("sec-dropout-hazard", "What foretells leaving", text, parts), numbers


def early_alliance(study: Study) -> tuple[LinearMixedModel, pd.DataFrame]:
    """Model symptoms on the first rating of the alliance, and list the sessions not seen.

    Returns
    -------
    model, unseen
        The fit to sessions 1 to 12, and a row for each of these sessions after a dropout.
    """
    rows = baseline(study.sessions, "alliance", person="person", session="session")
    first = rows.groupby("person")["alliance_baseline"].max() - 5.0
    rows = rows.assign(early=rows["person"].map(first))
    seen = rows[rows["session"] <= LAST]
    model = lmm("symptoms ~ session + early + (1 | therapist/family/person)", seen)
    persons = rows[rows["ending"] == "dropout"].groupby("person", sort=False).tail(1)
    left_at = rows.groupby("family")["session"].max()
    unseen = [
        row.assign(session=session)
        for session in range(2, LAST + 1)
        for row in [persons[persons["family"].map(left_at) < session]]
    ]
    columns = ["therapist", "family", "person", "session", "early"]
    return model, pd.concat(unseen)[columns].dropna().reset_index(drop=True)


def does_the_finding_hold(study: Study) -> tuple[Section, dict[str, float]]:
    """Ask what the unseen outcomes would have to be to overturn the alliance-outcome finding."""
    model, unseen = early_alliance(study)
    found = dropout_sensitivity(
        model, unseen, term="early", deltas=range(-30, 31, 10), seed=2024, m=20
    )
    at_zero = found.tidy().query("delta == 0").iloc[0]
    interval = format_interval(found.seen["conf_low"], found.seen["conf_high"])
    text = (
        "Persons whose first rating of the alliance was a point higher had symptoms "
        f"{format_number(abs(found.seen['estimate']))} points "
        f"{'lower' if found.seen['estimate'] < 0 else 'higher'} over the first {LAST} sessions, "
        f"95% CI {interval}, from the "
        f"{format_count(found.n_seen)} scores that were seen. After dropping "
        f"out, {plural(found.n_unseen, 'score')} of these sessions were not. Imputed under the "
        "same model (therapists, families and persons with their own effects), with the alliance "
        f"of the first rating, which is known of all, the estimate is {_points(at_zero)}: that is "
        "the assumption that those who left went on as others with their history. "
        f"@fig-dropout-tipping shifts the unseen scores. {_tips(found, 'points')}"
    )
    figure = tipping_point_figure(
        found,
        estimate_label="Symptoms per point of first alliance rating",
        shift_label="Shift of symptoms after dropout (points; positive: worse)",
        label="fig-dropout-tipping",
    )
    numbers = {
        "early_seen": found.seen["estimate"],
        "early_imputed": at_zero["estimate"],
        "unseen_scores": found.n_unseen,
        **{
            f"tipping_{row.direction[:5]}": row.delta for row in found.tipping_points().itertuples()
        },
    }
    section = Section(
        "sec-dropout-tipping",
        "Does the alliance-outcome finding hold?",
        text,
        (called_simulated(figure),),
    )
    return section, numbers


def trial_periods(trial: pd.DataFrame) -> pd.DataFrame:
    """Return a row a patient and visit attended up to the last one, with the score known then.

    Visits are numbered 1 (start) to 5 (month 8); who was seen last at visit t left after it.
    """
    visits = beat_the_blues.visits(trial)
    order = {month: k + 1 for k, month in enumerate(sorted(visits["month"].unique()))}
    visits = visits.assign(visit=visits["month"].map(order))
    last = visits[visits["bdi"].notna()].groupby("patient")["visit"].max()
    rows = visits[visits["visit"] <= visits["patient"].map(last)]
    rows = rows[rows["visit"] < len(order)]
    known = rows.groupby("patient")["bdi"].ffill()
    return rows.assign(
        last_score=known / 10.0,
        left=(rows["visit"] == rows["patient"].map(last)).astype(float),
    )


def in_the_trial(trial: pd.DataFrame) -> tuple[Section, dict[str, float]]:
    """Model who leaves the trial, and what the scores not seen could have been."""
    fit = discrete_hazard(
        "treatment + last_score",
        trial_periods(trial),
        session="visit",
        event="left",
        unit="patient",
        random=None,
    )
    ratios = fit.hazard_ratios().set_index("term")
    arm, score = ratios.loc[BLUES_TERM], ratios.loc["last_score"]
    model = beat_the_blues.model(trial, month=2)
    after = beat_the_blues.visits(trial).query("month > 0")
    unseen = after[after["bdi"].isna()].assign(
        since=lambda d: d["month"] - 2, treated=lambda d: d["treatment"] == "Beat the Blues"
    )
    unseen = unseen.assign(treated=unseen["treated"].astype(float)).drop(columns="bdi")
    found = dropout_sensitivity(
        model, unseen, term=BLUES_TERM, deltas=range(-12, 13, 4), seed=2024, m=50,
        shift="treated",
    )  # fmt: skip
    end = fit.curve(_course()).iloc[-1]
    text = (
        f"In the trial, {plural(fit.n_event, 'patient')} of {format_count(len(trial))} were not "
        "seen to the end. Patients on Beat the Blues left at "
        f"{_ratio(arm)} times the rate of those on usual treatment with the same last score, and a "
        f"last score 10 points higher went with {_ratio(score)} times (@fig-dropout-trial); a "
        "patient on usual treatment with a score of 20 throughout had a chance of "
        f"{format_percent(end['survival'])} to be seen at the last visit. Patients are not nested "
        "here, so there are no random effects.\n\n"
        "At the end of treatment the arms differed by "
        f"{_points(found.seen)} points. @fig-dropout-trial-tipping shifts the "
        f"{format_count(unseen['treated'].sum())} unseen scores of Beat the Blues alone, as if its "
        f"leavers had fared better or worse than the scores before say. {_tips(found, 'points')}"
    )
    hazard = hazard_figure(
        fit,
        _course(),
        time_label="Visit after which a patient left (1: start, 5: month 8)",
        of="a patient on usual treatment with a score of 20",
        label="fig-dropout-trial",
    )
    figure = tipping_point_figure(
        found,
        estimate_label="Beat the Blues less usual treatment, month 2 (points)",
        shift_label="Shift of unseen scores of Beat the Blues (points; positive: worse)",
        label="fig-dropout-trial-tipping",
    )
    numbers = {
        "trial_left": fit.n_event,
        "trial_ratio_arm": arm["estimate"],
        "trial_ratio_score": score["estimate"],
        "trial_difference": found.seen["estimate"],
    }
    parts = (_by_visit(_real(hazard)), _real(figure))
    return Section("sec-dropout-trial", "Leaving a trial: Beat the Blues", text, parts), numbers


def _course() -> pd.DataFrame:
    arms = pd.CategoricalDtype(list(dict.fromkeys(beat_the_blues.ARMS.values())))
    return pd.DataFrame(
        {"treatment": pd.Series(["Usual treatment"], dtype=arms), "last_score": [2.0]}
    )


def _real(figure: ReportFigure) -> ReportFigure:
    return replace(figure, caption=f"Beat the Blues trial, real data. {figure.caption}")


def _by_visit(figure: ReportFigure) -> ReportFigure:
    """Return a figure over sessions as one over visits."""
    words = {
        name: getattr(figure, name)
        .replace("by session", "by visit")
        .replace("after session", "after visit")
        .replace("session", "visit")
        for name in ("caption", "alt", "note")
    }
    return replace(figure, **words)


def _ratio(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])} (95% CI {interval})"


def _points(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])} (95% CI {interval})"


def _tips(found: DropoutSensitivity, unit: str) -> str:
    row = found.tidy().query("delta == 0").iloc[0]
    holds = row["conf_low"] <= 0.0 <= row["conf_high"]
    words = []
    for tip in found.tipping_points().itertuples():
        way = "lower" if tip.direction == "below 0" else "higher"
        if np.isnan(tip.delta):
            limit = format_number(abs(tip.searched_to), 0)
            words.append(f"no shift up to {limit} {unit} {way} does")
        else:
            words.append(f"scores {format_number(abs(tip.delta), 1)} {unit} {way} would")
    finding = "could not be told from 0" if holds else "can be told from 0"
    return f"Would that overturn the finding, which is that it {finding}? " + (
        f"{words[0][:1].upper()}{words[0][1:]}; {words[1]}."
    )
