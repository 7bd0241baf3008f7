"""The README's pictures, from the example study: ``python -m docs.make_pictures``."""

from pathlib import Path

from alliance_stats import compare_groups, endings, example_study, kaplan_meier
from alliance_stats.figures.group_values import estimation_figure
from alliance_stats.figures.survival_curves import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure

OUT = Path(__file__).parent / "pictures"


def main() -> None:
    """Draw and save the three pictures."""
    study = example_study()
    sessions = study.sessions
    left = endings(study).units.assign(
        trauma=lambda d: d["parent_trauma"].map({0: "No parental trauma", 1: "Parental trauma"})
    )
    last = sessions.sort_values("session").groupby("person").tail(1)
    figures = {
        "trajectories": trajectory_figure(
            sessions,
            session="session",
            score="alliance",
            person="person",
            role="role",
            cluster="therapist",
            score_label="Alliance, mean item score (1–7)",
        ),
        "dropout": kaplan_meier_figure(
            kaplan_meier(left, time="time", event="event", strata="trauma"),
            time_label="Session after which a family left",
            event_label="dropped out",
        ),
        "groups": estimation_figure(
            compare_groups(last, outcomes=["symptoms"], group="parent_alliance", cluster="family"),
            outcome="symptoms",
            outcome_label="Symptom score in the last session (0–100 points)",
        ),
    }
    for name, figure in figures.items():
        (OUT / f"{name}.png").write_bytes(figure.png(dpi=150))


if __name__ == "__main__":
    main()
