"""The analysis of the study: participant flow, trajectories, model, dropout, groups.

Put your own two files into `data` and your own column names below. Then run

    python analysis.py

which writes page.html; or render report.qmd with Quarto. Both show the same parts.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.checks import require_columns
from alliance_stats.cli.page import Part, write_page
from alliance_stats.errors import AllianceStatsError, AllianceStatsWarning
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.group_values import estimation_figure
from alliance_stats.figures.survival_curves import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.formatting import plural
from alliance_stats.groups import GroupComparison, compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.sentences import methods_paragraph, report
from alliance_stats.study import Study
from alliance_stats.study.joining import join_families
from alliance_stats.study.readers import read_table
from alliance_stats.survival import Endings, KaplanMeier, LogRank, endings, kaplan_meier, log_rank
from alliance_stats.tables import group_table, model_table
from alliance_stats.transforms import last_session

HERE = Path(__file__).parent

# --- Your study -------------------------------------------------------------------------------
TITLE = "A study of the alliance"
SOURCE = "The data of this page are simulated: they came with the templates and show nothing."

SESSIONS = HERE / "data" / "sessions.csv"  # a row per person x session (or .xlsx, .sav, ...)
# How it is written, where not as UTF-8 with commas and decimal points. Excel in German, Dutch or
# Swedish: {"separator": ";", "decimal": ",", "encoding": "cp1252"}; one sheet of a workbook:
# {"sheet": "Sessions"}; a Qualtrics export: {"header_rows": 3}
SESSIONS_WRITTEN: dict[str, Any] = {}
PERSON = "person"
LOCAL_IDS: tuple[str, ...] = ()  # ("person",) where persons are numbered anew in each family
ROLE: str | None = "role"  # None where there are no roles, or only one
RATER: str | None = None  # the column of who rated, where a session was rated by several, ...
RATED_BY: str | None = None  # ... and whose ratings the page shows
SESSION = "session"
TIME: str | None = None  # a column of time since the start, beside the session numbers
ALLIANCE, ALLIANCE_RANGE, ALLIANCE_LABEL = "alliance", (1, 7), "Alliance, mean item score (1–7)"
OUTCOME, OUTCOME_LABEL = "symptoms", "Symptoms (points, higher is worse)"
OUTCOME_RANGE: tuple[float, float] | None = None  # the limits of its scale

FAMILIES = HERE / "data" / "families.csv"  # a row per family
FAMILIES_WRITTEN: dict[str, Any] = {}  # likewise
FAMILY = "family"
THERAPIST: str | None = "therapist"  # None where you do not know who treated whom
ENDING = "ending"
ENDINGS: dict[str | int, str] = {}  # what yours stand for: {"abgebrochen": "dropout", ...}
ENDING_SESSION: str | None = None  # the last attended session, where it may have no row
UNIT = "family"  # who ends treatment: "family", or "person" where members leave one by one
GROUP = "parent_alliance"  # the groups of families (or persons) to compare

SEED = 1  # of random numbers, where a test draws some
WORDS: dict[str, str] = {}  # name of a coefficient -> words for it: {"session": "Session"}
# ----------------------------------------------------------------------------------------------

# The model names columns by their roles, whatever they are called in the files
FIXED = "session + role" if ROLE else "session"
LEVELS = "therapist/family/person" if THERAPIST else "family/person"
MODEL = f"alliance ~ {FIXED} + (1 | {LEVELS})"
UNITS = {  # what the levels of the model are called on the page
    ":".join(LEVELS.split("/")[: depth + 1]): {
        "therapist": "therapists",
        "family": "families",
        "person": "persons",
    }[level]
    for depth, level in enumerate(LEVELS.split("/"))
}
LAST = f"{OUTCOME} in the last session"
WHO = FAMILY if UNIT == "family" else PERSON


@dataclass(frozen=True)
class Results:
    """What was computed: the data, and one result a question."""

    data: Study
    rated: Study
    families: RowLedger
    late: int  # families first seen after the study's first session
    model: LinearMixedModel
    curves: KaplanMeier
    test: LogRank
    comparison: GroupComparison


def analyse() -> Results:
    """Read the two files, check everything, and compute what the page shows."""
    data, rows = read()
    rated = data.keep(data.sessions[ALLIANCE].notna(), reason="alliance not rated")
    treated = units_of(data)
    require_columns(treated, [GROUP], what="The table of families")
    if UNIT == "person":
        rows = RowLedger.start(treated, {"person": (PERSON,)})
    ended = endings_of(data)
    _, rows = rows.keep(
        treated,
        treated[WHO].isin(ended.units[WHO]),
        reason="still in treatment after the first session, no interval observed yet",
    )
    at_risk, rows = rows.keep(ended.units, ended.units[GROUP].notna(), reason=f"{GROUP} not known")
    return Results(
        data=data,
        rated=rated,
        families=rows,
        late=int((at_risk["entry"] > 0).sum()),
        model=lmm(MODEL, by_role(rated)),
        curves=kaplan_meier(
            at_risk, time="time", event="event", entry="entry", strata=GROUP, cluster=THERAPIST
        ),
        test=dropout_test(at_risk),
        comparison=compare_groups(treated, outcomes=LAST, group=GROUP, cluster=THERAPIST),
    )


def read() -> tuple[Study, RowLedger]:
    """Read and join the two files; return the checked study and the ledger of the families."""
    ids = [name for name in (PERSON, FAMILY, THERAPIST) if name]
    labelled = [name for name in (ROLE, RATER, ENDING) if name]
    sessions = read_table(SESSIONS, ids=ids, labelled=labelled, **SESSIONS_WRITTEN).frame
    families = read_table(FAMILIES, ids=ids, labelled=labelled, **FAMILIES_WRITTEN).frame
    joined, rows = join_families(
        sessions, families, family=FAMILY, therapist=THERAPIST, ending=ENDING, endings=ENDINGS
    )
    ranges = {"alliance": ALLIANCE_RANGE, "outcome": OUTCOME_RANGE}
    data = Study.from_frame(
        joined,
        person=PERSON,
        family=FAMILY,
        therapist=THERAPIST,
        session=SESSION,
        time=TIME,
        role=ROLE,
        rater=RATER,
        alliance=ALLIANCE,
        outcome=OUTCOME,
        ending=ENDING,
        endings=ENDINGS,
        ending_session=ENDING_SESSION,
        unit=UNIT,
        score_range={name: pair for name, pair in ranges.items() if pair is not None},
        local_ids=LOCAL_IDS,
    )
    if RATER is not None:
        own = (data.sessions[RATER] == RATED_BY).to_numpy(dtype=bool)
        data = data.keep(own, reason=f"not rated by {RATED_BY}")
    return data, rows


def endings_of(data: Study) -> Endings:
    """Return when each family was first and last at risk of dropping out, and whether it did."""
    with warnings.catch_warnings():  # late entry is allowed for: entry="entry" below
        warnings.simplefilter("ignore", AllianceStatsWarning)
        return endings(data)


def by_role(data: Study) -> pd.DataFrame:
    """Return the sessions with the columns named by their roles; other columns keep theirs."""
    names = {column: role for role, column in data.roles.items()}
    frame = data.sessions
    others = [name for name in frame.columns if name in data.roles and name not in names]
    return frame.drop(columns=others).rename(columns=names)


def units_of(data: Study) -> pd.DataFrame:
    """Return a row a unit: how it ended, and its members' mean outcome in its last session."""
    units = last_session(data.sessions, unit=WHO, session=SESSION, ending=ENDING)
    means = data.sessions.groupby([WHO, SESSION])[OUTCOME].mean()
    last = pd.MultiIndex.from_frame(units[[WHO, "last_session"]])
    return units.assign(**{LAST: means.loc[last].to_numpy()})


def dropout_test(families: pd.DataFrame) -> LogRank:
    """Compare dropout: within therapists, or by whole therapists where each has one group."""
    whole = THERAPIST is not None and families.groupby(THERAPIST)[GROUP].nunique().max() == 1
    return log_rank(
        families,
        time="time",
        event="event",
        entry="entry",
        group=GROUP,
        strata=None if whole else THERAPIST,
        cluster=THERAPIST if whole else None,
        seed=SEED if whole else None,
    )


def sample(results: Results) -> list[Part]:
    """Show who took part."""
    text = "@fig-flow follows the sessions to the model, @fig-families the families to the curves."
    return [
        text,
        flow_figure(results.rated.rows, label="fig-flow"),
        flow_figure(results.families, label="fig-families"),
    ]


def course(results: Results, *, conf_level: float = 0.95) -> list[Part]:
    """Show the alliance over sessions and its model."""
    said = report(results.model, words={**UNITS, **WORDS}, conf_level=conf_level)
    figure = trajectory_figure(
        results.data.sessions,
        session=SESSION,
        score=ALLIANCE,
        person=PERSON,
        role=ROLE,
        cluster=THERAPIST,
        score_label=ALLIANCE_LABEL,
        conf_level=conf_level,
        label="fig-trajectories",
    )
    model = model_table(
        results.model,
        label="tbl-model",
        caption="Linear mixed model of the alliance.",
        words={**UNITS, **WORDS},
        conf_level=conf_level,
    )
    return [f"@fig-trajectories shows every rating, @tbl-model the model. {said}", figure, model]


def dropout(results: Results, *, conf_level: float = 0.95) -> list[Part]:
    """Show after which session families dropped out."""
    figure = kaplan_meier_figure(
        results.curves,
        time_label="Session after which a family left",
        conf_level=conf_level,
        label="fig-dropout",
    )
    curves = report(results.curves, conf_level=conf_level)
    said = f"@fig-dropout shows the curves. {curves} {report(results.test)}"
    if results.late:
        said += (
            f" {plural(results.late, 'family', 'families')} first seen after the first session of "
            "the study count as at risk from then on."
        )
    return [said, figure]


def groups(results: Results, *, conf_level: float = 0.95) -> list[Part]:
    """Compare the groups in their last session."""
    found = results.comparison
    said = report(found, conf_level=conf_level)
    figure = estimation_figure(
        found,
        outcome=LAST,
        outcome_label=OUTCOME_LABEL,
        conf_level=conf_level,
        label="fig-groups",
    )
    compared = group_table(
        found,
        label="tbl-groups",
        caption="Outcome in the last session by group.",
        words=WORDS,
        conf_level=conf_level,
    )
    return [f"@fig-groups shows every family, @tbl-groups the comparison. {said}", figure, compared]


def methods(results: Results) -> list[Part]:
    """Say how it was computed."""
    return [
        methods_paragraph(
            {
                "Alliance": results.model,
                "Dropout curves": results.curves,
                "Dropout by group": results.test,
                "Last session": results.comparison,
            },
            seed=SEED,
        )
    ]


def main() -> None:
    """Analyse the study and write the page."""
    results = analyse()
    write_page(
        HERE / "page.html",
        title=TITLE,
        source=SOURCE,
        sections={
            "Who took part": sample(results),
            "The alliance over sessions": course(results),
            "Who drops out, and when": dropout(results),
            "The groups compared": groups(results),
            "How it was computed": methods(results),
        },
    )


if __name__ == "__main__":
    try:
        main()
    except AllianceStatsError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: '{error.filename}' cannot be read or written: {error.strerror}.")
    sys.stdout.write(f"Wrote {HERE / 'page.html'}.\n")
