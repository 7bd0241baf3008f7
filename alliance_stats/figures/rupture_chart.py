"""The control chart of one person's alliance: ratings, own level, limit, ruptures and repair."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alliance_stats.arguments import require_kind
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.family import Ruptures
from alliance_stats.figures.axes import (
    dress,
    one_panel,
    room_beside,
    set_limits,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import format_alone, integer_ticks, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, INK, look, naming

__all__ = ["draw_rupture_chart", "rupture_chart_figure"]

_LABEL_WIDTH = 92.0  # pt
_HEIGHT = 170.0


def draw_rupture_chart(ax: Axes, ratings: pd.DataFrame, episodes: pd.DataFrame) -> None:
    """Draw a series with its level, its limit and its episodes.

    Parameters
    ----------
    ax
        Axes to draw on.
    ratings
        ``session, score, rupture, level, limit`` of one person, in order.
    episodes
        ``onset, end`` of the person's episodes.
    """
    for row in episodes.itertuples():
        ax.axvspan(row.onset - 0.3, row.end + 0.3, color="#f3e3d7", lw=0, zorder=0.4, gid="episode")
    level, limit = look(0), look(1)
    ax.plot(
        ratings["session"], ratings["level"], color=level.colour, ls=level.dash, lw=1.4, gid="level"
    )
    ax.plot(
        ratings["session"], ratings["limit"], color=limit.colour, ls=limit.dash, lw=1.4, gid="limit"
    )
    rated = ratings[ratings["score"].notna()]
    ax.plot(rated["session"], rated["score"], color=INK, lw=0.9, zorder=3)
    judged = rated["rupture"].notna()
    for own, face, name in (
        (rated[judged], INK, "judged"),
        (rated[~judged], "white", "not judged"),
    ):
        ax.scatter(
            own["session"],
            own["score"],
            s=16,
            color=face,
            edgecolor=INK,
            lw=0.8,
            zorder=4,
            gid=name,
        )
    hit = rated[rated["rupture"] == 1.0]
    ax.scatter(
        hit["session"], hit["score"], s=70, marker="v", color=limit.text, zorder=5, gid="rupture"
    )


@laid_out(COLUMN_AND_HALF)
def rupture_chart_figure(
    found: Ruptures,
    *,
    person: object,
    score_label: str,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show one person's ratings as a control chart.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.family.ruptures`.
    person
        Whose ratings.
    score_label
        Quantity, unit and range.
    limits
        Limits of the axis of the score.
    words
        The person -> label to print.

    Raises
    ------
    DataError
        If the person is absent or has no rating.

    Examples
    --------
    >>> from alliance_stats import example_study, ruptures
    >>> from alliance_stats.figures import rupture_chart_figure
    >>> from alliance_stats.family import DropBelowRunningMean
    >>> sessions = example_study().sessions
    >>> found = ruptures(
    ...     sessions, person="person", session="session", score="alliance",
    ...     rule=DropBelowRunningMean(k=2.0, sd="within", min_before=3),
    ... )
    >>> rupture_chart_figure(
    ...     found, person=sessions["person"].iloc[0], score_label="Alliance (1-7)"
    ... ).label
    'fig-rupture-chart'
    """
    asked = "rupture_chart_figure draws a result of ruptures"
    require_kind(found, Ruptures, asked=asked, instead=DRAWN_BY)
    own = found.table[found.table[found.person] == person]
    if own[found.score].notna().sum() == 0:
        names = found.table.loc[found.table[found.score].notna(), found.person].unique()
        raise DataError(f"No rating of '{person}'. {did_you_mean(person, names)}")
    columns = {found.session: "session", found.score: "score"}
    ratings = own.rename(columns=columns)[["session", "score", "rupture", "level", "limit"]]
    ratings = ratings.sort_values("session").reset_index(drop=True)
    if not ratings["limit"].notna().any():
        ratings[["level", "limit"]] = np.nan  # rules without a limit have no running level either
    episodes = found.episodes[found.episodes[found.person] == person]
    said = naming(common["words"], [person])
    figure = _page(ratings, episodes, score_label, common["limits"])
    first, last = int(ratings["session"].min()), int(ratings["session"].max())
    flagged = ratings.loc[ratings["rupture"] == 1.0, "session"]
    judged = int(ratings["rupture"].notna().sum())
    told = (
        f"{plural(len(flagged), 'rupture')} in {plural(judged, 'session')} that could be judged"
        + (f" (at session {', '.join(str(s) for s in flagged)})" if len(flagged) else "")
    )
    repaired = episodes["repaired"].map({True: "repaired", False: "not repaired"})
    depths = "; ".join(
        f"session {row.onset}: {format_alone(row.depth)} points deep"
        + (f", {fate}" if isinstance(fate, str) else "")
        for row, fate in zip(episodes.itertuples(), repaired, strict=True)
    )
    rule = found.rule + (f"; repair: {found.repair.words}" if found.repair else "")
    sessions = plural(int(ratings["score"].notna().sum()), "rated session")
    limited = bool(ratings["limit"].notna().any())
    known = ", with the person's own level and limit known before each" if limited else ""
    return ReportFigure(
        figure,
        label=common["label"] or "fig-rupture-chart",
        caption=f"{score_label} of {said(person)} over {sessions}{known}: "
        f"{plural(len(flagged), 'rupture')} in {plural(judged, 'session')} that could be judged.",
        alt=f"{score_label} of one person over sessions {first} to {last} as a control chart: "
        f"{told}." + (f" Episodes from {depths}." if depths else ""),
        note=f"Rule: {rule}. Triangles: ruptures, flagged at the session where they are known. "
        "Open circles: too few ratings before. Shaded: episodes, which look back.",
        data=ratings,
    )


def _page(
    ratings: pd.DataFrame,
    episodes: pd.DataFrame,
    score_label: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Return the chart with its axis and labels."""
    labels, ends = _labels(ratings)
    figure, ax = one_panel(
        _HEIGHT,
        left=room_beside(score_label, _HEIGHT),
        right=labels.right if ends else 12.0,
        above=labels.above if ends else 10.0,
        x_label="Session",
    )
    draw_rupture_chart(ax, ratings, episodes)
    first, last = int(ratings["session"].min()), int(ratings["session"].max())
    ax.set_xlim(first - 0.6, last + 0.6)
    values = ratings[["score", "level", "limit"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.08 * (high - low) or 0.5
    ax.set_ylim(low - pad, high + pad)
    set_limits(ax, limits, axis="y")
    ax.set_xticks(integer_ticks(first, last, most=10))
    labels.write(ax, ends)
    dress(ax, x_label="Session", y_label=score_label)
    return figure


def _labels(ratings: pd.DataFrame) -> tuple[LineLabels, list[float]]:
    """Return the labels of level and limit, if drawn, and the ends of their lines."""
    drawn = [
        (words, style, float(ratings[name].dropna().iloc[-1]))
        for name, words, style in (
            ("level", "Mean of the ratings before", look(0)),
            ("limit", "Limit", look(1)),
        )
        if ratings[name].notna().any()
    ]
    texts, styles = [[words] for words, _, _ in drawn], [style for _, style, _ in drawn]
    return LineLabels.of(texts, styles, width=_LABEL_WIDTH), [end for _, _, end in drawn]
