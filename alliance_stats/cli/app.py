"""The command line: options and exit codes.

What a command needs is imported when it runs, so that ``--help`` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="alliance-stats",
    help="Statistics of the therapeutic alliance in nested treatment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A row per person x session; the suffix says how.")],
    *,
    person: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of person ids (needed).")
    ] = None,
    family: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of family ids.")
    ] = None,
    therapist: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of therapist ids.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Session number: whole, 0 or more.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Continuous time since start.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Place in the family: mother, child, ...")
    ] = None,
    rater: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Who rated, where several did.")
    ] = None,
    alliance: Annotated[str | None, typer.Option(metavar="COLUMN", help="Alliance score.")] = None,
    outcome: Annotated[str | None, typer.Option(metavar="COLUMN", help="Outcome score.")] = None,
    ending: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="ongoing, dropout, planned or transferred."),
    ] = None,
    ending_session: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Last attended session.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Who ends treatment: family or person.")
    ] = None,
    alliance_range: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Limits of the alliance scale."),
    ] = None,
    outcome_range: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Limits of the outcome scale."),
    ] = None,
    local_ids: Annotated[
        list[str] | None,
        typer.Option(metavar="LEVEL", help="family or person, if numbered anew in each parent."),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of an Excel file.")] = None,
    families: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A second table, a row per family, to be joined."),
    ] = None,
) -> None:
    """Check a table and count what it holds. Exit code 1 where it cannot be used.

    No column is guessed: name each role that the table has.
    """
    from alliance_stats.cli.checking import Question, check_table

    roles = {
        "person": person,
        "family": family,
        "therapist": therapist,
        "session": session,
        "time": time,
        "role": role,
        "rater": rater,
        "alliance": alliance,
        "outcome": outcome,
        "ending": ending,
        "ending_session": ending_session,
    }
    limits = {"alliance": alliance_range, "outcome": outcome_range}
    question = Question(
        file=file,
        roles={name: column for name, column in roles.items() if column is not None},
        unit=unit,
        ranges={name: pair for name, pair in limits.items() if pair is not None},
        local_ids=tuple(local_ids or ()),
        sheet=sheet,
        families=families,
    )
    raise typer.Exit(check_table(question))


@app.command()
def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="A record, source or file of the registry; all if none.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 where a number is not reproduced.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="A folder of records; the package's own if none.")
    ] = None,
) -> None:
    """Recompute published numbers from those printed beside them: a verdict a number."""
    from alliance_stats.cli.reproducing import print_reproduction

    raise typer.Exit(print_reproduction(name, strict=strict, folder=folder))


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must be new or empty.")],
) -> None:
    """Make a study folder: two data files to replace, an analysis, a report."""
    from alliance_stats.cli.starting import start_study

    raise typer.Exit(start_study(folder))
