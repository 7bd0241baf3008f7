"""Leaving a trial: Beat the Blues, real data without alliance ratings."""

from dataclasses import replace

import pandas as pd

from alliance_stats.figures.incidence import hazard_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.tipping_points import tipping_point_figure
from alliance_stats.formatting import format_count, format_percent, plural
from alliance_stats.provenance import numbers_from
from alliance_stats.survival import discrete_hazard, dropout_sensitivity
from analyses import beat_the_blues
from analyses.chapter import Numbers, Section
from analyses.leaving.wording import in_words, tips

__all__ = ["in_the_trial", "trial_periods"]

SEED = 2024
BLUES_TERM = "treatment[T.Beat the Blues]"


def trial_periods(trial: pd.DataFrame) -> pd.DataFrame:
    """Return a row per patient and visit attended up to the last one, with the score known then.

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


def in_the_trial(trial: pd.DataFrame) -> tuple[Section, Numbers]:
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
        model, unseen, term=BLUES_TERM, deltas=range(-12, 13, 4), seed=SEED, n_imputations=50,
        shift="treated",
    )  # fmt: skip
    end = fit.curve(_course()).iloc[-1]
    text = (
        f"In the trial, {plural(fit.n_event, 'patient')} of {format_count(len(trial))} were not "
        "seen to the end. Patients on Beat the Blues left at "
        f"{in_words(arm)} times the rate of those on usual treatment with the same last score, and "
        f"a last score 10 points higher went with {in_words(score)} times (@fig-dropout-trial); a "
        "patient on usual treatment with a score of 20 throughout had a chance of "
        f"{format_percent(end['survival'])} to be seen at the last visit. Patients are not nested "
        "here, so there are no random effects.\n\n"
        "At the end of treatment the arms differed by "
        f"{in_words(found.seen)} points. @fig-dropout-trial-tipping shifts the "
        f"{format_count(unseen['treated'].sum())} unseen scores of Beat the Blues alone, as if its "
        f"leavers had fared better or worse than the scores before say. {tips(found, 'points')}"
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
        estimate_label="Beat the Blues minus usual treatment, month 2 (points)",
        shift_label="Shift of unseen scores of Beat the Blues (points; positive: worse)",
        label="fig-dropout-trial-tipping",
    )
    leaving = {
        "trial_left": fit.n_event,
        "trial_ratio_arm": arm["estimate"],
        "trial_ratio_score": score["estimate"],
    }
    seen = {"trial_difference": found.seen["estimate"]}
    numbers = numbers_from(fit, leaving) | numbers_from(model, seen)
    parts = (_by_visit(_real(hazard)), replace(_real(figure), seed=SEED))
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
