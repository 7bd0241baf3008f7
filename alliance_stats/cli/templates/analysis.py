"""The analysis of the study: participant flow, trajectories, model, dropout, groups.

Put your own files into `data` and your own column names below. Then run

    python analysis.py

which writes page.html, and generated/log.json, by which `alliance-stats verify generated` says
later what changed; or render report.qmd with Quarto. Both show the same parts.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.account import method_and_notes
from alliance_stats.checks import require_columns
from alliance_stats.cli.page import Part, write_page
from alliance_stats.cross_check import cross_check
from alliance_stats.errors import AllianceStatsError, AllianceStatsWarning
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.group_values import estimation_figure
from alliance_stats.figures.study_overview import study_overview_figure
from alliance_stats.figures.survival_curves import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.formatting import plural
from alliance_stats.groups import GroupComparison, compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.provenance import record
from alliance_stats.scales import Scale, ScaleReliability, reliability, score_study
from alliance_stats.sentences import methods_paragraph, report
from alliance_stats.study import Study
from alliance_stats.study.joining import join_families
from alliance_stats.study.readers import read_table
from alliance_stats.survival import Endings, KaplanMeier, LogRank, endings, kaplan_meier, log_rank
from alliance_stats.tables import group_table, model_table, tidy_table
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
# Where a row is a person (or a family): how the columns repeat, "{score}_s{session}", or of items
# "{rater}_{item}_s{session}"; SESSION, RATER and ROLE are then "session", "rater" and "role"
WIDE: str | None = None
# Where rows of persons stand among those of sessions, as in REDCap's exports: which are sessions,
# {"redcap_repeat_instrument": "session_form"}; SESSION is then "redcap_repeat_instance"
REPEATED: dict[str, Any] | None = None
# Where there are items: {"alliance": Scale(name="wai", items=("i1", ...), limits=(1, 7))}; ALLIANCE
# (or OUTCOME) is then the name of the scale
SCALES: dict[str, Scale] = {}
MISSING: tuple[float, ...] = ()  # numbers that stand for a missing value: (-9, 99)
PERSON = "person"
LOCAL_IDS: tuple[str, ...] = ()  # ("person",) where persons are numbered anew in each family
ROLE: str | None = "role"  # None where there are no roles, or only one
RATER: str | None = None  # the column of who rated, where a session was rated by several, ...
RATED_BY: str | None = None  # ... and whose ratings the page shows
SESSION = "session"
TIME: str | None = None  # a column of dates, or of time since the start, beside session numbers
ALLIANCE, ALLIANCE_RANGE, ALLIANCE_LABEL = "alliance", (1, 7), "Alliance, mean item score (1–7)"
OUTCOME: str | None = "symptoms"  # None where there is none
OUTCOME_LABEL = "Symptoms (points, higher is worse)"
OUTCOME_RANGE: tuple[float, float] | None = None  # the limits of its scale

FAMILIES: Path | None = HERE / "data" / "families.csv"  # a row per family; None: all in SESSIONS
FAMILIES_WRITTEN: dict[str, Any] = {}  # likewise
FAMILY: str | None = "family"  # None where persons are treated alone; UNIT is then "person"
THERAPIST: str | None = "therapist"  # None where you do not know who treated whom
ENDING: str | None = "ending"  # None where you do not know how treatments ended
ENDINGS: dict[str | int, str] = {}  # what yours stand for: {"abgebrochen": "dropout", ...}
ENDING_SESSION: str | None = None  # the last attended session, where it may have no row
UNIT = "family"  # who ends treatment: "family", or "person" where members leave one by one
GROUP: str | None = "parent_alliance"  # the groups of families (or persons) to compare

CHECK = False  # whether statsmodels, lifelines and pingouin are asked the same; takes a minute
SEED = 1  # of random numbers, where a test draws some
WORDS: dict[str, str] = {}  # name of a coefficient -> words for it: {"session": "Session"}
# ----------------------------------------------------------------------------------------------

# The model names columns by their roles, whatever they are called in the files
FIXED = "session + role" if ROLE else "session"
CALLED = {"therapist": "therapists", "family": "families", "person": "persons"}
LAST = f"{OUTCOME} in the last session"
CHECKED = {"term": "Number", "quantity": "Quantity", "estimate": "Ours", "theirs": "Theirs",
           "library": "Library", "verdict": "Verdict"}  # fmt: skip
WHO = FAMILY if UNIT == "family" and FAMILY else PERSON


@dataclass(frozen=True)
class Dropout:
    """What was computed of leaving."""

    families: RowLedger
    late: int  # families first seen after the study's first session
    curves: KaplanMeier
    test: LogRank | None


@dataclass(frozen=True)
class Results:
    """What was computed: the data, and one result a question; None where it was not asked."""

    data: Study
    everyone: Study  # the ratings of all raters
    rated: Study
    scales: dict[str, ScaleReliability]
    model: LinearMixedModel
    dropout: Dropout | None
    comparison: GroupComparison | None


def analyse() -> Results:
    """Read the files, check everything, and compute what the page shows."""
    everyone, rows = read()
    data, scales = rated_by(everyone)
    rated = data.keep(data.sessions[ALLIANCE].notna(), reason="alliance not rated")
    treated = None if ENDING is None else units_of(data)
    if treated is not None and GROUP is not None:
        require_columns(treated, [GROUP], what="The table of families")
    comparison = None
    if treated is not None and OUTCOME is not None and GROUP and are_groups(treated):
        cluster = therapists(treated)
        comparison = compare_groups(treated, outcomes=LAST, group=GROUP, cluster=cluster)
    model = f"alliance ~ {FIXED} + (1 | {'/'.join(levels(rated.sessions))})"
    return Results(
        data=data,
        everyone=everyone,
        rated=rated,
        scales=scales,
        model=lmm(model, by_role(rated)),
        dropout=None if treated is None else dropout_of(data, treated, rows),
        comparison=comparison,
    )


def therapists(frame: pd.DataFrame) -> str | None:
    """Return the column of therapists, if there are several: one alone has no variance."""
    return THERAPIST if THERAPIST and len(frame[THERAPIST].unique()) > 1 else None


def levels(frame: pd.DataFrame) -> list[str]:
    """Return the levels that the ratings are nested in, the outermost first."""
    columns = {"therapist": therapists(frame), "family": FAMILY, "person": PERSON}
    return [level for level, column in columns.items() if column]


def units(results: Results) -> dict[str, str]:
    """Return what the levels of the model are called on the page."""
    found = levels(results.rated.sessions)
    return {":".join(found[: i + 1]): CALLED[level] for i, level in enumerate(found)}


def are_groups(frame: pd.DataFrame) -> bool:
    """Say whether there are groups to compare."""
    return GROUP is not None and len(frame[GROUP].dropna().unique()) > 1


def read() -> tuple[Study, RowLedger | None]:
    """Read, join and score; return the checked study and the ledger of the families."""
    ids = [name for name in (PERSON, FAMILY, THERAPIST) if name]
    labelled = [name for name in (ROLE, RATER, ENDING) if name]
    frame = read_table(SESSIONS, ids=ids, labelled=labelled, **SESSIONS_WRITTEN).frame
    rows = None
    if FAMILIES is not None and FAMILY is not None:
        families = read_table(FAMILIES, ids=ids, labelled=labelled, **FAMILIES_WRITTEN).frame
        frame, rows = join_families(
            frame, families, family=FAMILY, therapist=THERAPIST, ending=ENDING, endings=ENDINGS
        )
    given = {"alliance": (ALLIANCE, ALLIANCE_RANGE), "outcome": (OUTCOME, OUTCOME_RANGE)}
    scored = {role: pair for role, pair in given.items() if role not in SCALES and pair[0]}
    shared: dict[str, Any] = {
        **{role: column for role, (column, _) in scored.items()},
        "family": FAMILY,
        "therapist": THERAPIST,
        "time": TIME,
        "ending": ENDING,
        "endings": ENDINGS if ENDING else None,
        "ending_session": ENDING_SESSION,
        "unit": UNIT,
        "score_range": {role: limits for role, (_, limits) in scored.items() if limits},
        "local_ids": LOCAL_IDS,
        "missing": MISSING,
    }
    if WIDE is None:
        own: dict[str, Any] = {"session": SESSION, "rater": RATER, "repeated": REPEATED}
        data = Study.from_frame(frame, person=PERSON, role=ROLE, **own, **shared)
    else:
        own = {} if "{role}" in WIDE else {"person": PERSON, "role": ROLE}
        data = Study.from_wide(frame, wide=WIDE, **own, **shared)
    for role, scale in SCALES.items():
        data = score_study(data, scale, role=role)
    return data, rows


def rated_by(data: Study) -> tuple[Study, dict[str, ScaleReliability]]:
    """Return the ratings that the page shows, and how reliable their scales are."""
    if RATER is not None:
        of_rater = (data.sessions[RATER] == RATED_BY).to_numpy(dtype=bool)
        data = data.keep(of_rater, reason=f"not rated by {RATED_BY}")
    scales = {
        scale.name: reliability(data.sessions, items=scale, person=PERSON, session=SESSION)
        for scale in SCALES.values()
    }
    return data, scales


def dropout_of(data: Study, treated: pd.DataFrame, rows: RowLedger | None) -> Dropout:
    """Return the curves of those who left, and their test between the groups."""
    if rows is None or UNIT == "person":
        rows = RowLedger.start(treated, {UNIT: (WHO,)})
    ended = endings_of(data)
    _, rows = rows.keep(
        treated,
        treated[WHO].isin(ended.units[WHO]),
        reason="still in treatment after the first session, no interval observed yet",
    )
    at_risk = ended.units
    if GROUP is not None:
        at_risk, rows = rows.keep(at_risk, at_risk[GROUP].notna(), reason=f"{GROUP} not known")
    return Dropout(
        families=rows,
        late=int((at_risk["entry"] > 0).sum()),
        curves=kaplan_meier(
            at_risk,
            time="time",
            event="event",
            entry="entry",
            strata=GROUP,
            cluster=therapists(at_risk),
        ),
        test=dropout_test(at_risk) if are_groups(at_risk) and at_risk["event"].any() else None,
    )


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
    """Return a row per unit: how it ended, and its members' mean outcome in its last session."""
    units = last_session(data.sessions, unit=WHO, session=SESSION, ending=ENDING)
    if OUTCOME is None:
        return units
    means = data.sessions.groupby([WHO, SESSION])[OUTCOME].mean()
    last = pd.MultiIndex.from_frame(units[[WHO, "last_session"]])
    return units.assign(**{LAST: means.loc[last].to_numpy()})


def dropout_test(families: pd.DataFrame) -> LogRank:
    """Compare dropout: within therapists, or by whole therapists where each has one group."""
    therapist = therapists(families)
    whole = therapist is not None and families.groupby(therapist)[GROUP].nunique().max() == 1
    return log_rank(
        families,
        time="time",
        event="event",
        entry="entry",
        group=GROUP,
        strata=None if whole else therapist,
        cluster=therapist if whole else None,
        seed=SEED if whole else None,
    )


def sample(results: Results) -> list[Part]:
    """Show who took part, and whose ratings there are."""
    parts: list[Part] = [
        "@fig-flow follows the sessions to the model; @fig-overview shows who was rated when.",
        flow_figure(results.rated.rows, label="fig-flow"),
        study_overview_figure(results.data.describe(), words=WORDS, label="fig-overview"),
    ]
    if results.dropout is not None:
        families = flow_figure(results.dropout.families, label="fig-families")
        parts += ["@fig-families follows the families to the curves of dropout.", families]
    return parts


def scales(results: Results) -> list[Part]:
    """Show how reliable the scores of items are."""
    if not results.scales:
        return ["The scores came ready made; nothing can be said of their items."]
    return [f"{name}: {report(found)}" for name, found in results.scales.items()]


def course(results: Results, *, conf_level: float = 0.95) -> list[Part]:
    """Show the alliance over sessions and its model."""
    said = report(results.model, words={**units(results), **WORDS}, conf_level=conf_level)
    figure = trajectory_figure(
        results.data.sessions,
        session=SESSION,
        score=ALLIANCE,
        person=PERSON,
        role=ROLE,
        cluster=therapists(results.data.sessions),
        score_label=ALLIANCE_LABEL,
        conf_level=conf_level,
        label="fig-trajectories",
    )
    model = model_table(
        results.model,
        label="tbl-model",
        caption="Linear mixed model of the alliance.",
        words={**units(results), **WORDS},
        conf_level=conf_level,
    )
    return [f"@fig-trajectories shows every rating, @tbl-model the model. {said}", figure, model]


def dropout(results: Results, *, conf_level: float = 0.95) -> list[Part]:
    """Show after which session families dropped out."""
    found = results.dropout
    if found is None:
        return ["How treatments ended is not known, so that leaving is not shown."]
    figure = kaplan_meier_figure(
        found.curves,
        time_label="Session after which a family left",
        conf_level=conf_level,
        label="fig-dropout",
    )
    test = "" if found.test is None else report(found.test)
    curves = report(found.curves, conf_level=conf_level)
    nobody = "" if found.curves.tidy()["n_event"].any() else " Nobody dropped out."
    said = f"@fig-dropout shows the curves.{nobody} {curves} {test}".rstrip()
    if found.late:
        said += (
            f" {plural(found.late, 'family', 'families')} first seen after the first session of "
            "the study count as at risk from then on."
        )
    return [said, figure]


def groups(results: Results, *, conf_level: float = 0.95) -> list[Part]:
    """Compare the groups in their last session."""
    found = results.comparison
    if found is None:
        return ["Without an outcome, groups and endings, nothing is compared."]
    said = report(found, conf_level=conf_level)
    figure = estimation_figure(
        found, outcome=LAST, outcome_label=OUTCOME_LABEL, conf_level=conf_level, label="fig-groups"
    )
    compared = group_table(
        found,
        label="tbl-groups",
        caption="Outcome in the last session by group.",
        words=WORDS,
        conf_level=conf_level,
    )
    return [f"@fig-groups shows every family, @tbl-groups the comparison. {said}", figure, compared]


def named(results: Results, *names: str) -> dict[str, Any]:
    """Return model, dropout curves, their test and the comparison by name, where there is one."""
    of = results.dropout
    parts = (results.model, of and of.curves, of and of.test, results.comparison)
    return {name: part for name, part in zip(names, parts, strict=True) if part is not None}


def used(results: Results) -> dict[str, Any]:
    """Return what each result was for -> the result."""
    return named(results, "Alliance", "Dropout curves", "Dropout by group", "Last session")


def methods(results: Results) -> list[Part]:
    """Say how it was computed."""
    return [methods_paragraph(used(results), seed=SEED)]


def checks(results: Results) -> list[Part]:
    """Show the numbers beside those of other libraries, if CHECK says so."""
    if not CHECK:
        return ["Not asked: CHECK is False in analysis.py."]
    parts: list[Part] = []
    for name, result in named(results, "model", "curves", "test", "comparison").items():
        check = cross_check(result)
        said = check.account()
        table = tidy_table(
            check.tidy(),
            CHECKED,
            label=f"tbl-check-{name}",
            caption=f"The {name} beside other libraries.",
            note=" ".join([method_and_notes(said), *map(str, said.remarks)]),
            digits=4,
            source=check,
        )
        parts += [f"@tbl-check-{name} has the numbers of the {name} beside theirs.", table]
    return parts


def log(results: Results, parts: list[Part], out: Path = HERE) -> None:
    """Write generated/log.json: what every figure, table and number was made of."""
    found = named(results, "model", "curves", "dropout by group", "last session")
    record(
        out / "generated",
        parts,
        script=HERE / "analysis.py",
        writes="generated",
        inputs=[path for path in (SESSIONS, FAMILIES) if path is not None],
        seed=SEED,
        results={"model": results.model, **results.scales, **found},
    )


def main(out: Path = HERE) -> None:
    """Analyse the study, write the page and its log."""
    results = analyse()
    sections = {
        "Who took part": sample(results),
        "The scales": scales(results),
        "The alliance over sessions": course(results),
        "Who drops out, and when": dropout(results),
        "The groups compared": groups(results),
        "How it was computed": methods(results),
        **({"Asked of other libraries": checks(results)} if CHECK else {}),
    }
    write_page(out / "page.html", title=TITLE, source=SOURCE, sections=sections)
    log(results, [part for parts in sections.values() for part in parts], out)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    try:
        main(folder)
    except AllianceStatsError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: '{error.filename}' cannot be read or written: {error.strerror}.")
    sys.stdout.write(f"Wrote {folder / 'page.html'}.\n")
