"""What the analyses of the example study share: its words, and that it is simulated."""

from dataclasses import replace

import pandas as pd

from alliance_stats.datasets import example_folder
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import Theme
from alliance_stats.study import Study
from alliance_stats.transforms import last_session

__all__ = [
    "ALLIANCE",
    "LEVELS",
    "OF_ROLES",
    "PARENTAL_TRAUMA",
    "ROLES",
    "SOURCE",
    "SYMPTOMS",
    "built_in",
    "called_simulated",
    "chance",
    "families_of",
    "rated",
]

ROLES = {"mother": "Mother", "father": "Father", "child": "Child", "partner": "Partner"}
OF_ROLES = Theme(groups=tuple(ROLES.values()))  # a role has its colour in every figure
PARENTAL_TRAUMA = {0: "No parental trauma", 1: "Parental trauma"}
LEVELS = {
    "therapist": "Therapists",
    "therapist:family": "Families of a therapist",
    "therapist:family:person": "Members of a family",
    "Residual": "Sessions of a person",
    "residual": "Sessions of a person",  # as tables of models call it
}
ALLIANCE = "Alliance, mean item score (1–7)"
SYMPTOMS = "Symptom score (points)"
SOURCE = (
    "The example study is simulated: no person in it exists, and its effects are those that were "
    "built in (data/example/truth.csv)."
)


def built_in(model: str) -> pd.Series:
    """Return the true parameters of a model of the example study: term -> value."""
    truth = pd.read_csv(example_folder() / "truth.csv").set_index("parameter")["value"]
    own = truth[truth.index.str.startswith(f"{model}.")]
    return own.rename(lambda name: name.removeprefix(f"{model}."))


def called_simulated(
    figure: ReportFigure, *sources: object, seed: int | None = None
) -> ReportFigure:
    """Return the figure with "Simulated data." in front of its caption.

    Where it was drawn from frames, `sources` are the results that they came from.
    """
    caption = f"Simulated data. {figure.caption}"
    return replace(figure, caption=caption, sources=sources, seed=seed)


def chance(*rows: pd.Series, nothing: float = 0.0) -> str:
    """Say so where an interval leaves out `nothing`, which is what was built in."""
    missed = any(row["conf_low"] > nothing or row["conf_high"] < nothing for row in rows)
    return (
        " (an interval that leaves out no effect all the same is what chance gives one time in 20)"
        if missed
        else ""
    )


def rated(data: Study) -> Study:
    """Return the study without the rows whose alliance rating is missing."""
    present = data.sessions["alliance"].notna().to_numpy()
    return data.keep(present, reason="alliance rating missing")


def families_of(data: Study) -> pd.DataFrame:
    """Return a row per family: its ending, and its members' means in the first and last session."""
    families = last_session(data.sessions, unit="family", session="session", ending="ending")
    scores = data.sessions.groupby(["family", "session"])[["symptoms", "alliance"]].mean()
    first, last = (
        scores.loc[pd.MultiIndex.from_frame(families[["family", session]])]
        for session in ("first_session", "last_session")
    )
    return families.assign(
        barrier=families["parent_trauma"].map(PARENTAL_TRAUMA),
        first_symptoms=first["symptoms"].to_numpy(),
        last_symptoms=last["symptoms"].to_numpy(),
        first_alliance=first["alliance"].to_numpy(),
        last_alliance=last["alliance"].to_numpy(),
    )
