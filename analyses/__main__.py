"""Run every analysis and put what they show on one page: ``python -m analyses [folder]``."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import format_number, plural
from alliance_stats.output import write_whole
from alliance_stats.provenance import record
from analyses import (
    alliance_outcome,
    beat_the_blues,
    dropout,
    family_alliance,
    family_therapy,
    published_comparisons,
    successful_alliance,
    systemic_alliance,
    therapist_experience,
)
from analyses.chapter import Chapter
from analyses.page import page_html
from analyses.variables import write_variables

GENERATED = Path(__file__).parents[1] / "reports" / "generated"
DATA = tuple(Path(__file__).parents[1] / "data" / name for name in ("example", "published"))


class Analysis(NamedTuple):
    """One script: its name and how to run it into a folder."""

    name: str
    run: Callable[[Path], Chapter]


ANALYSES = (
    Analysis(family_alliance.NAME, lambda out: family_alliance.main(family_alliance.load(), out)),
    Analysis(
        alliance_outcome.NAME, lambda out: alliance_outcome.main(alliance_outcome.load(), out)
    ),
    Analysis(
        systemic_alliance.NAME, lambda out: systemic_alliance.main(systemic_alliance.load(), out)
    ),
    Analysis(
        therapist_experience.NAME,
        lambda out: therapist_experience.main(therapist_experience.load(), out),
    ),
    Analysis(
        successful_alliance.NAME,
        lambda out: successful_alliance.main(successful_alliance.load(), out),
    ),
    Analysis(dropout.NAME, lambda out: dropout.main(dropout.load(), out)),
    Analysis(beat_the_blues.NAME, lambda out: beat_the_blues.main(beat_the_blues.load(), out)),
    Analysis(family_therapy.NAME, lambda out: family_therapy.main(family_therapy.load(), out)),
    Analysis(
        published_comparisons.NAME,
        lambda out: published_comparisons.main(published_comparisons.load(), out),
    ),
)


def main(folder: Path = GENERATED, console: Console | None = None) -> Path:
    """Run all analyses into `folder`, write ``index.html`` there and return its path.

    The numbers that the Quarto documents name go beside `folder`, into ``_variables.yml``. What
    each figure, table and number was made of goes into ``log.json``.
    """
    console = console or Console()
    started = time.perf_counter()
    chapters: list[Chapter] = []
    columns = (
        TextColumn("{task.description}", style="bold"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(ANALYSES) + 1)
        for analysis in ANALYSES:
            progress.update(task, description=analysis.name.replace("_", " "))
            chapters.append(analysis.run(folder / analysis.name))
            progress.advance(task)
        progress.update(task, description="page")
        page = folder / "index.html"
        write_whole(page, page_html(chapters))
        write_variables(folder.parent / "_variables.yml", chapters)
        _record(folder, chapters)
        progress.update(task, advance=1, description="done")
    for chapter in chapters:
        console.print(_summary(chapter), soft_wrap=True, highlight=False)
    seconds = format_number(time.perf_counter() - started, 1)
    console.print(f"{seconds} s. Open [bold]{page}[/bold] in a browser.", soft_wrap=True)
    return page


def _record(folder: Path, chapters: list[Chapter]) -> None:
    """Write the log that ``alliance-stats verify`` reads."""
    data = [path for where in DATA for path in sorted(where.iterdir())]
    seeds = {f"{name}.{key}": value for name, module in sorted(sys.modules.items())
             if name.startswith("analyses.") for key, value in vars(module).items()
             if key == "SEED"}  # fmt: skip
    record(
        folder,
        [part for chapter in chapters for part in chapter.parts],
        script="analyses",
        inputs=[path for path in data if path.is_file()],
        seed=seeds,
        numbers={
            f"{chapter.name}.{n}": x for chapter in chapters for n, x in chapter.numbers.items()
        },
    )


def _summary(chapter: Chapter) -> str:
    parts = list(chapter.parts)
    figures = sum(isinstance(part, ReportFigure) for part in parts)
    counts = f"{plural(figures, 'figure')}, {plural(len(parts) - figures, 'table')}"
    kind = "published numbers" if chapter.data == "published" else f"{chapter.data} data"
    return f"[bold]{chapter.title}[/bold] ({kind}; {counts})\n  {chapter.headline}"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GENERATED)
