"""What the analyses of the example study share: its words, and that it is simulated."""

from dataclasses import replace

from alliance_stats.figures.report import ReportFigure
from alliance_stats.study import Study

__all__ = ["ALLIANCE", "LEVELS", "ROLES", "SOURCE", "SYMPTOMS", "called_simulated", "rated"]

ROLES = {"mother": "Mother", "father": "Father", "child": "Child", "partner": "Partner"}
LEVELS = {
    "therapist": "Therapists",
    "therapist:family": "Families of a therapist",
    "therapist:family:person": "Members of a family",
    "Residual": "Sessions of a person",
}
ALLIANCE = "Alliance, mean item score (1–7)"
SYMPTOMS = "Symptom score (points)"
SOURCE = (
    "The example study is simulated: no person in it exists, and its effects are those that were "
    "built in (data/example/truth.csv)."
)


def called_simulated(figure: ReportFigure) -> ReportFigure:
    """Return the figure with "Simulated data." in front of its caption."""
    return replace(figure, caption=f"Simulated data. {figure.caption}")


def rated(data: Study) -> Study:
    """Return the study without the rows whose alliance rating is missing."""
    present = data.sessions["alliance"].notna().to_numpy()
    return data.keep(present, reason="alliance rating missing")
