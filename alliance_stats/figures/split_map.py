"""A map of split alliances: which families were split at which session."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from alliance_stats.checks import require_kind
from alliance_stats.errors import DataError
from alliance_stats.family import SplitAlliance
from alliance_stats.figures.axes import add_axes, dress, height_in_points, integer_ticks
from alliance_stats.figures.report import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, INK, font, new_figure, styled
from alliance_stats.figures.text import text_width
from alliance_stats.formatting import format_percent, plural

__all__ = ["draw_split_map", "split_map_figure"]

_STATES = {0.0: "#d9d9d9", 1.0: "#B84A00", -1.0: "#ffffff"}
_WORDS = {0.0: "not split", 1.0: "split", -1.0: "could not be judged"}


def draw_split_map(ax: Axes, states: pd.DataFrame) -> None:
    """Draw a row a family and a column a session: split, not split, could not be judged.

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


@styled
def split_map_figure(split: SplitAlliance, *, label: str = "fig-split-map") -> ReportFigure:
    """Show which families were split at which session.

    Parameters
    ----------
    split
        From :func:`~alliance_stats.family.split_alliance`, of one kind of rater.

    Raises
    ------
    DataError
        If there are several kinds of raters, or no family session could be judged.
    """
    asked = "split_map_figure draws a result of split_alliance"
    require_kind(split, SplitAlliance, asked=asked, instead=DRAWN_BY)
    table = split.table
    if len(table["rater"].unique()) > 1:
        raise DataError("Splits of several kinds of raters do not fit into one map; choose one.")
    if not table["split"].notna().any():
        raise DataError("No family session could be judged: there is no split to show.")
    wide = _states(split)
    sessions, n = wide.columns, len(wide)
    height = float(np.clip(9.0 * n, 60.0, 420.0))
    figure = new_figure(FULL_WIDTH, (height + 74.0) / 72, placed_by_hand=True)
    ax = add_axes(figure, 44.0, 26.0, 72 * FULL_WIDTH - 56.0, height)
    draw_split_map(ax, wide)
    dress(
        ax,
        x_label="Session",
        y_label=f"{plural(n, 'family', 'families')}, most often split first",
    )
    ax.set_yticks([])
    ax.set_xticks(integer_ticks(sessions[0], sessions[-1], most=14))
    _state_key(figure)
    tidy = split.tidy().set_index("term")
    observed, expected = tidy.loc["split"], tidy.loc["expected from measurement error"]
    ever = split.glance().iloc[0]
    error = (
        f" Measurement error alone would split {format_percent(expected['estimate'], 1)}."
        if np.isfinite(expected["estimate"])
        else ""
    )
    words = (
        f"{format_percent(observed['estimate'], 1)} of {int(observed['of'])} family sessions that "
        f"could be judged were split, and {ever['n_ever_split']} of {n} families at least once."
    )
    return ReportFigure(
        figure,
        label=label,
        caption=f"Split alliances by family and session: {words}{error}",
        alt=f"Map of {plural(n, 'row')}, one a family, over sessions {sessions[0]} to "
        f"{sessions[-1]}; dark cells are split. {words}",
        note=f"Rule: {split.rule}. Crosses: fewer members rated than the rule needs; no cell: no "
        "session.",
        data=table.drop(columns="pair").reset_index(drop=True),
    )


def _states(split: SplitAlliance) -> pd.DataFrame:
    """Return families x sessions as drawn: those most often split, then the longest, first."""
    table = split.table
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


def _state_key(figure: Figure) -> None:
    wide, high = (72.0 * inches for inches in figure.get_size_inches())
    x = 44.0
    for state, words in _WORDS.items():
        box = Rectangle(
            (x / wide, 1 - 17.0 / high),
            10.0 / wide,
            9.0 / high,
            facecolor=_STATES[state],
            edgecolor="#8c8c8c",
            lw=0.6,
            transform=figure.transFigure,
        )
        figure.add_artist(box)
        if state < 0:
            middle = Line2D(
                [(x + 5) / wide], [1 - 12.5 / high], marker="x", color=INK, markersize=3, mew=0.6
            )
            middle.set_transform(figure.transFigure)
            figure.add_artist(middle)
        figure.text((x + 14.0) / wide, 1 - 12.5 / high, words, va="center", **font())
        x += 14.0 + text_width(words) + 18.0
