"""Which families were split when: one row per family, one column per session."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.family import SplitAlliance
from alliance_stats.figures.axes import (
    dress,
    height_in_points,
    no_limits,
    one_panel,
    size_in_points,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_percent, integer_ticks, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    FULL_WIDTH,
    INK,
    RULE,
    font,
    naming,
    sheet,
)
from alliance_stats.figures.text import text_width

__all__ = ["draw_split_map", "split_map_figure"]

_STATES = {0.0: "#d9d9d9", 1.0: "#B84A00", -1.0: "#ffffff"}
_WORDS = {0.0: "not split", 1.0: "split", -1.0: "could not be judged"}


def draw_split_map(ax: Axes, states: pd.DataFrame) -> None:
    """Draw a row per family and a column per session: split, not split, could not be judged.

    Parameters
    ----------
    ax
        Axes to draw on.
    states
        Families x sessions: 1 split, 0 not, -1 could not be judged, NaN where there was no session.
    """
    order = sorted(_STATES)
    codes = states.replace({state: place for place, state in enumerate(order)}).to_numpy(float)
    cmap = ListedColormap([_STATES[state] for state in order]).with_extremes(bad="white")
    sessions = states.columns.to_numpy(dtype=float)
    extent = (sessions[0] - 0.5, sessions[-1] + 0.5, len(states), 0.0)
    ax.imshow(
        np.ma.masked_invalid(codes),
        cmap=cmap,
        vmin=-0.5,
        vmax=2.5,
        aspect="auto",
        interpolation="nearest",
        extent=extent,
    )
    down, across = np.nonzero(states.to_numpy() == -1.0)
    # Crosses that fill half of their rows at most: in low rows, larger ones would run together
    side = min(1.8, 0.5 * height_in_points(ax) / len(states))
    places = (sessions[across], down + 0.5)
    width = min(0.5, 0.35 * side)
    ax.scatter(*places, s=side**2, marker="x", color=INK, lw=width, gid="unjudged")
    ax.set_ylim(len(states), 0)


@laid_out(FULL_WIDTH)
def split_map_figure(
    split: SplitAlliance,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show which families were split at which session.

    Parameters
    ----------
    split
        From :func:`~alliance_stats.family.split_alliance`, of one kind of rater.
    limits
        Refused: there is no axis of values.
    words
        A state (``"split"``, ``"not split"``, ``"could not be judged"``) -> label to print.

    Raises
    ------
    DataError
        If there are several kinds of raters, or no family session could be judged.

    Examples
    --------
    >>> from alliance_stats import example_study, family_indices, split_alliance
    >>> from alliance_stats.figures import split_map_figure
    >>> sessions = example_study().sessions.query("session <= 4")
    >>> indices = family_indices(
    ...     sessions, family="family", person="person", session="session", score="alliance",
    ...     role="role",
    ... )
    >>> split_map_figure(split_alliance(indices, threshold=1.0, sd="sample")).label
    'fig-split-map'
    """
    asked = "split_map_figure draws a result of split_alliance"
    require_kind(split, SplitAlliance, asked=asked, instead=DRAWN_BY)
    wide = _states(split)
    sessions, n = wide.columns, len(wide)
    height = float(np.clip(9.0 * n, 60.0, 420.0))
    no_limits(common["limits"])
    said = naming(common["words"], [*_WORDS.values()])
    keys = _key_rows({state: said(word) for state, word in _WORDS.items()})
    above = 11.0 + 15.0 * len(keys)
    figure, ax = one_panel(height, left=44.0, right=12.0, above=above, x_label="Session")
    draw_split_map(ax, wide)
    dress(
        ax,
        x_label="Session",
        y_label=f"{plural(n, 'family', 'families')}, most often split first",
    )
    ax.set_yticks([])
    ax.set_xticks(integer_ticks(sessions[0], sessions[-1], most=int(sheet().width / 34.0)))
    _state_key(figure, keys)
    tidy = split.tidy().set_index("term")
    observed, ever = tidy.loc["split"], split.glance().iloc[0]
    error = _by_error(float(tidy.loc["expected from measurement error", "estimate"]))
    told = (
        f"{format_percent(observed['estimate'], 1)} of {int(observed['of'])} family sessions that "
        f"could be judged were split, and {ever['n_ever_split']} of {n} families at least once."
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-split-map",
        caption=f"Split alliances by family and session: {told}",
        alt=f"Map of {plural(n, 'row')}, one per family, over sessions {sessions[0]} to "
        f"{sessions[-1]}; dark cells are split. {told}{error}",
        note=f"Rule: {split.rule}. Crosses: fewer members rated than the rule needs; no cell: no "
        "session.",
        data=split.table.drop(columns="pair").reset_index(drop=True),
    )


def _by_error(expected: float) -> str:
    if not np.isfinite(expected):
        return ""
    return f" Measurement error alone would split {format_percent(expected, 1)}."


def _states(split: SplitAlliance) -> pd.DataFrame:
    """Return families x sessions as drawn: those most often split, then the longest, first."""
    table = split.table
    if len(table["rater"].unique()) > 1:
        raise DataError("Splits of several kinds of raters do not fit into one map; choose one.")
    if not table["split"].notna().any():
        raise DataError("No family session could be judged: there is no split to show.")
    share = table.groupby(split.family)["split"].mean().fillna(-1.0)
    length = table.groupby(split.family)[split.session].max()
    order = pd.DataFrame({"share": share, "length": length}).sort_values(
        ["share", "length"], ascending=False, kind="stable"
    )
    wide = table.assign(state=table["split"].fillna(-1.0)).pivot_table(
        index=split.family, columns=split.session, values="state"
    )
    sessions = range(int(table[split.session].min()), int(table[split.session].max()) + 1)
    return wide.reindex(index=order.index, columns=list(sessions))


def _key_rows(said: Mapping[float, str]) -> list[list[tuple[float, str]]]:
    """Break the key of states into lines that the page holds."""
    rows: list[list[tuple[float, str]]] = [[]]
    x = 44.0
    for state, word in said.items():
        room = 32.0 + text_width(word)
        if rows[-1] and x + room > sheet().width:
            rows.append([])
            x = 44.0
        rows[-1].append((state, word))
        x += room
    return rows


def _state_key(figure: Figure, rows: Sequence[Sequence[tuple[float, str]]]) -> None:
    wide, high = size_in_points(figure)
    for place, row in enumerate(rows):
        x, middle = 44.0, 12.5 + 15.0 * place
        for state, word in row:
            box = Rectangle(
                (x / wide, 1 - (middle + 4.5) / high),
                10.0 / wide,
                9.0 / high,
                facecolor=_STATES[state],
                edgecolor=RULE,
                lw=0.6,
                transform=figure.transSubfigure,
            )
            figure.add_artist(box)
            if state < 0:
                at = [(x + 5) / wide], [1 - middle / high]
                cross = Line2D(*at, marker="x", color=INK, markersize=3, mew=0.6)
                cross.set_transform(figure.transSubfigure)
                figure.add_artist(cross)
            figure.text((x + 14.0) / wide, 1 - middle / high, word, va="center", **font())
            x += 32.0 + text_width(word)
