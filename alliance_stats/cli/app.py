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


def _column(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="COLUMN", help=text)
    return option


def _limits(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="LOW HIGH", help=text)
    return option


Name = str | None
Limits = tuple[float, float] | None


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A row per person x session; the suffix says how.")],
    *,
    person: Annotated[Name, _column("Column of person ids (needed).")] = None,
    family: Annotated[Name, _column("Column of family ids.")] = None,
    therapist: Annotated[Name, _column("Column of therapist ids.")] = None,
    session: Annotated[Name, _column("Session number: whole, 0 or more.")] = None,
    time: Annotated[Name, _column("Continuous time since start.")] = None,
    role: Annotated[Name, _column("Place in the family: mother, child, ...")] = None,
    rater: Annotated[Name, _column("Who rated, where several did.")] = None,
    alliance: Annotated[Name, _column("Alliance score.")] = None,
    outcome: Annotated[Name, _column("Outcome score.")] = None,
    ending: Annotated[Name, _column("ongoing, dropout, planned or transferred.")] = None,
    ending_word: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD=ENDING", help="What an ending stands for: abgebrochen=dropout."),
    ] = None,
    ending_session: Annotated[Name, _column("Last attended session.")] = None,
    score: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A further score; may be repeated.")
    ] = None,
    wide: Annotated[
        Name,
        typer.Option(metavar="PATTERN", help="Columns repeat by session: '{score}_s{session}'."),
    ] = None,
    repeated: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Which rows are sessions: redcap_repeat_instrument=session_form; may be repeated.",
        ),
    ] = None,
    missing: Annotated[
        list[float] | None,
        typer.Option(metavar="NUMBER", help="A number that stands for missing; may be repeated."),
    ] = None,
    alliance_range: Annotated[Limits, _limits("Limits of the alliance scale.")] = None,
    outcome_range: Annotated[Limits, _limits("Limits of the outcome scale.")] = None,
    unit: Annotated[
        Name, typer.Option(metavar="LEVEL", help="Who ends treatment: family or person.")
    ] = None,
    local_ids: Annotated[
        list[str] | None,
        typer.Option(metavar="LEVEL", help="family or person, if numbered anew in each parent."),
    ] = None,
    families: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A second table, a row per family, to be joined."),
    ] = None,
    sheet: Annotated[Name, typer.Option(help="Sheet of an Excel file.")] = None,
    separator: Annotated[
        Name, typer.Option(metavar="MARK", help="Between columns of a text file, such as ';'.")
    ] = None,
    decimal: Annotated[str, typer.Option(metavar="MARK", help="Decimal mark: . or ,")] = ".",
    encoding: Annotated[str, typer.Option(help="Of a text file, such as cp1252.")] = "utf-8",
    header_rows: Annotated[
        int, typer.Option(metavar="N", help="Rows that name the columns: 3 in a Qualtrics export.")
    ] = 1,
    families_sheet: Annotated[Name, typer.Option(help="Sheet of the families' file.")] = None,
    families_separator: Annotated[
        Name,
        typer.Option(metavar="MARK", help="If the families file is written otherwise."),
    ] = None,
    families_decimal: Annotated[Name, typer.Option(metavar="MARK", help="Likewise.")] = None,
    families_encoding: Annotated[Name, typer.Option(help="Likewise.")] = None,
) -> None:
    """Check a table and count what it holds. Exit code 1 where it cannot be used.

    No column is guessed: name each role that the table has.
    """
    from alliance_stats.cli.check_command import Question, Written, check_table

    question = Question(
        file=file,
        families=families,
        person=person,
        roles={
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
        },
        scores=tuple(score or ()),
        wide=wide,
        repeated_rows=tuple(repeated or ()),
        ranges={"alliance": alliance_range, "outcome": outcome_range},
        unit=unit,
        local_ids=tuple(local_ids or ()),
        missing=tuple(missing or ()),
        ending_words=tuple(ending_word or ()),
        written=Written(sheet, separator, decimal, encoding, header_rows),
        families_written=Written(
            families_sheet, families_separator, families_decimal, families_encoding, 1
        ),
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
    from alliance_stats.cli.reproduce_command import print_reproduction

    raise typer.Exit(print_reproduction(name, strict=strict, folder=folder))


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must be new or empty.")],
    *,
    report: Annotated[
        Name,
        typer.Option(
            metavar="KIND", help="apa: a manuscript too, also into a study folder that is there."
        ),
    ] = None,
) -> None:
    """Make a study folder: two data files to replace, an analysis, a report."""
    from alliance_stats.cli.new_command import start_study

    raise typer.Exit(start_study(folder, report))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="The folder with log.json: generated.")],
    *,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Run the report's own script again.")
    ] = True,
) -> None:
    """Compare a report with its log and what its script makes today. Exit code 1 if changed."""
    from alliance_stats.cli.verify_command import print_verification

    raise typer.Exit(print_verification(folder, run=run))


@app.command()
def power(
    plan: Annotated[Path, typer.Argument(help="A TOML file of design and analysis.")],
    *,
    template: Annotated[
        bool, typer.Option("--template", help="Write a commented plan there, to be filled in.")
    ] = False,
) -> None:
    """Simulate a planned study and its analysis, and say how often it would find what is there."""
    from alliance_stats.cli.power_command import print_power, write_plan

    raise typer.Exit(write_plan(plan) if template else print_power(plan))
