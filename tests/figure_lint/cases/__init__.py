"""Every figure the package makes, on ordinary data and on the hard cases, a module a room.

Each module's ``CASES`` maps a public figure function to what is drawn with it; :data:`CASES` here
has all of them by name.
"""

from collections.abc import Callable, Mapping

from alliance_stats.figures import ReportFigure
from tests.figure_lint.cases import (
    across_models,
    association,
    evidence,
    groups,
    models,
    panel,
    power,
    study,
    survival,
    trajectories,
)

ROOMS = (
    across_models,
    trajectories,
    survival,
    groups,
    models,
    evidence,
    study,
    panel,
    association,
    power,
)
BY_FIGURE: Mapping[Callable[..., ReportFigure], Mapping[str, Callable[[], ReportFigure]]] = {
    figure: cases for room in ROOMS for figure, cases in room.CASES.items()
}
CASES = {name: draw for cases in BY_FIGURE.values() for name, draw in cases.items()}
