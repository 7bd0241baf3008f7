"""The analysis of the study: participant flow, trajectories, model, dropout, groups.

Put your own two files into `data` and your own column names below. Then run

    python analysis.py

which writes page.html; or render report.qmd with Quarto. Both show the same parts.
"""

import sys
from pathlib import Path

import pandas as pd

from alliance_stats.cli.page import Part, write_page
from alliance_stats.errors import AllianceStatsError
from alliance_stats.figures.estimation import estimation_figure
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.survival import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.groups import compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import lmm
from alliance_stats.study import Study
from alliance_stats.study.joining import join_families
from alliance_stats.study.readers import read_table
from alliance_stats.survival import kaplan_meier
from alliance_stats.tables import group_table, model_table
from alliance_stats.transforms import last_session

HERE = Path(__file__).parent

# --- Your study -------------------------------------------------------------------------------
TITLE = "A study of the alliance"
SOURCE = "The data of this page are simulated: they came with the templates and show nothing."

SESSIONS = HERE / "data" / "sessions.csv"  # a row per person x session
PERSON, ROLE, SESSION = "person", "role", "session"  # ROLE may be None
ALLIANCE, ALLIANCE_RANGE, ALLIANCE_LABEL = "alliance", (1, 7), "Alliance, mean item score (1–7)"
OUTCOME, OUTCOME_LABEL = "symptoms", "Symptoms (points, higher is worse)"

FAMILIES = HERE / "data" / "families.csv"  # a row per family
FAMILY, THERAPIST, ENDING = "family", "therapist", "ending"  # THERAPIST may be None
GROUP = "parent_alliance"  # two groups of families

FIXED = " + ".join(f"`{name}`" for name in (SESSION, ROLE) if name)
LEVELS = "/".join(f"`{name}`" for name in (THERAPIST, FAMILY, PERSON) if name)
MODEL = f"`{ALLIANCE}` ~ {FIXED} + (1 | {LEVELS})"
# ----------------------------------------------------------------------------------------------

LAST = f"{OUTCOME} in the last session"


def study() -> tuple[Study, RowLedger]:
    """Read the two files and check everything; return the study and the ledger of families."""
    sessions = read_table(SESSIONS, ids=[PERSON, FAMILY]).frame
    families = read_table(FAMILIES, ids=[name for name in (FAMILY, THERAPIST) if name]).frame
    joined, rows = join_families(sessions, families, family=FAMILY)
    data = Study.from_frame(
        joined,
        person=PERSON,
        family=FAMILY,
        therapist=THERAPIST,
        session=SESSION,
        role=ROLE,
        alliance=ALLIANCE,
        outcome=OUTCOME,
        ending=ENDING,
        score_range=ALLIANCE_RANGE,
    )
    return data, rows


def rated(data: Study) -> Study:
    """Keep the sessions in which the alliance was rated."""
    return data.keep(data.sessions[ALLIANCE].notna(), reason="alliance not rated")


def sample(data: Study) -> list[Part]:
    """Show who took part."""
    return [flow_figure(rated(data).rows, label="fig-flow")]


def course(data: Study) -> list[Part]:
    """Show the alliance over sessions and its model."""
    figure = trajectory_figure(
        data.sessions,
        session=SESSION,
        score=ALLIANCE,
        person=PERSON,
        role=ROLE,
        cluster=THERAPIST,
        score_label=ALLIANCE_LABEL,
        label="fig-trajectories",
    )
    fit = lmm(MODEL, rated(data).sessions)
    table = model_table(
        {"Alliance": fit}, label="tbl-model", caption="Linear mixed model of the alliance."
    )
    return [figure, table]


def families_of(data: Study) -> pd.DataFrame:
    """Return a row a family: how it ended, and its members' mean outcome in its last session."""
    families = last_session(data.sessions, unit=FAMILY, session=SESSION, ending=ENDING)
    means = data.sessions.groupby([FAMILY, SESSION])[OUTCOME].mean()
    last = pd.MultiIndex.from_frame(families[[FAMILY, "last_session"]])
    return families.assign(**{LAST: means.loc[last].to_numpy()})


def dropout(data: Study, rows: RowLedger) -> list[Part]:
    """Show after which session families dropped out; `rows` is the ledger of families."""
    families = families_of(data)
    at_risk, rows = rows.keep(
        families,
        families["last_interval"] > 0,
        reason="still in treatment and seen once: no interval observed",
    )
    curves = kaplan_meier(
        at_risk, time="last_interval", event="event", strata=GROUP, cluster=THERAPIST
    )
    figure = kaplan_meier_figure(
        curves, time_label="Session after which a family left", label="fig-dropout"
    )
    return [flow_figure(rows, label="fig-families"), figure]


def groups(data: Study) -> list[Part]:
    """Compare the groups in their last session."""
    found = compare_groups(families_of(data), outcomes=LAST, group=GROUP, cluster=THERAPIST)
    figure = estimation_figure(found, outcome=LAST, outcome_label=OUTCOME_LABEL, label="fig-groups")
    table = group_table(found, label="tbl-groups", caption="Outcome in the last session by group.")
    return [figure, table]


def main() -> None:
    """Analyse the study and write the page."""
    data, families = study()
    write_page(
        HERE / "page.html",
        title=TITLE,
        source=SOURCE,
        sections={
            "Who took part": sample(data),
            "The alliance over sessions": course(data),
            "Who drops out, and when": dropout(data, families),
            "The groups compared": groups(data),
        },
    )


if __name__ == "__main__":
    try:
        main()
    except AllianceStatsError as error:
        sys.exit(f"Error: {error}")
    sys.stdout.write(f"Wrote {HERE / 'page.html'}.\n")
