"""The command line: options and exit codes.

What a command needs is imported when it runs, so that ``--help`` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from alliance_stats.cli.check_settings import CheckSettings, asks_for

__all__ = ["app"]

app = typer.Typer(
    name="alliance-stats",
    help="Statistics of the therapeutic alliance in nested treatment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
@asks_for(CheckSettings)
def check(settings: CheckSettings) -> None:
    """Check a table and count what it holds. Exit code 1 where it cannot be used.

    No column is guessed: name each role that the table has.
    """
    from alliance_stats.cli.check_command import check_table

    raise typer.Exit(check_table(settings))


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
        str | None,
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
    from alliance_stats.cli.reproduce_command import print_verification

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
