"""The example study. Its data are SIMULATED: nothing in them is a finding."""

from collections.abc import Iterator
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.study import Study

__all__ = ["example_folder", "example_study", "example_themes"]


def example_study() -> Study:
    """Return the simulated example study: families of two to four members in treatment.

    Returns
    -------
    Study
        One row per person x session, with the member's `alliance` and the therapist's
        `therapist_alliance` (both 1 to 7), `symptoms` (higher is worse), the family's `ending`,
        the therapist's `experience` and `framework`, and the family's barriers.
        ``data/README.md`` is its codebook.

    Raises
    ------
    DataError
        If the data file was not installed.

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> example_study().sessions.shape
    (5947, 15)
    """
    with as_file(_example("sessions.csv")) as path:
        return Study.from_file(
            path,
            person="person",
            family="family",
            therapist="therapist",
            session="session",
            role="role",
            alliance="alliance",
            outcome="symptoms",
            ending="ending",
            unit="family",
            score_range=(1, 7),
        )


def example_themes() -> pd.DataFrame:
    """Return the simulated coded interviews: a row per parent, a 0/1 column per theme.

    Examples
    --------
    >>> from alliance_stats import example_themes
    >>> example_themes().shape
    (26, 8)
    """
    with as_file(_example("themes.csv")) as path:
        return pd.read_csv(path)


def example_folder() -> Path:
    """Return where the example data lie: in the installed package, or beside it in a checkout.

    A package that is run from within a zipped file has no folder on the disk; ask for
    :func:`example_study` and :func:`example_themes` there.
    """
    sessions = _example("sessions.csv")
    if not isinstance(sessions, Path):
        raise DataError(
            "The package is run from within a zipped file, so that its example data lie in no "
            "folder. example_study() and example_themes() read them; or unpack the file."
        )
    return sessions.parent


def _example(name: str) -> Traversable:
    package = files("alliance_stats")
    for file in (package / "data" / "example" / name, *_beside(package, name)):
        if file.is_file():
            return file
    raise DataError(
        "The example data are not installed with the package. Install alliance-stats again, or "
        "run from a full checkout of the repository."
    )


def _beside(package: Traversable, name: str) -> Iterator[Path]:
    """Yield where the data of a checkout lie, beside the package."""
    if isinstance(package, Path):
        yield package.parent / "data" / "example" / name
