"""The example study. Its data are SIMULATED: nothing in them is a finding."""

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
    """
    return Study.from_file(
        example_folder() / "sessions.csv",
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
    """Return the simulated coded interviews: a row per parent, a 0/1 column per theme."""
    return pd.read_csv(example_folder() / "themes.csv")


def example_folder() -> Path:
    """Return where the example data lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    for folder in (package / "data" / "example", package.parent / "data" / "example"):
        if (folder / "sessions.csv").is_file():
            return folder
    raise DataError(
        "The example data are not installed with the package. Install alliance-stats again, or "
        "run from a full checkout of the repository."
    )
