"""Rainclouds: the density of each group, its quartiles, and every value."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    TALLEST,
    dress,
    one_panel,
    set_limits,
    swarm,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import (
    decimals_of_spread,
    format_count,
    format_number,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, RULE, SMALL, Look, font, looks, naming, sheet
from alliance_stats.figures.text import lines_height, widest, wrap
from alliance_stats.groups.comparing.group_comparison import GroupComparison
from alliance_stats.groups.comparing.group_samples import Outcome

__all__ = ["draw_raincloud", "raincloud_figure"]

_NAME_WIDTH = 110.0  # pt
_ROW = 78.0  # pt
_FEWEST = 5  # values a density is drawn from


def draw_raincloud(ax: Axes, outcome: Outcome) -> None:
    """Draw a row per group: density above, box of quartiles on the line, values below.

    Parameters
    ----------
    ax
        Axes to draw on; names are written to the left.
    outcome
        Complete cases of one outcome. Densities are Gaussian kernel estimates with Scott's (1992)
        bandwidth, cut at the smallest and largest value, all of the same area per value.
    """
    peak = max(_density(outcome.of(g))[1].max(initial=0.0) for g in range(len(outcome.labels)))
    styles, room = [*looks(outcome.labels).values()], sheet().part(_NAME_WIDTH)
    if outcome.design == "paired":
        firsts, seconds = outcome.of(0), outcome.of(1)
        heights = (-0.26 + 0.45 * swarm(firsts), -1.26 + 0.45 * swarm(seconds))
        both = np.vstack([firsts, seconds]), np.vstack(heights)
        ax.plot(*both, color=RULE, lw=0.5, alpha=0.5, zorder=0.8, gid="pair")
    for place, name in enumerate(outcome.labels):
        own, style = outcome.of(place), styles[place]
        centre = float(-place)
        across, height = _density(own)
        if len(across):
            top = centre + 0.1 + 0.42 * height / peak
            ax.fill_between(across, centre + 0.1, top, color=style.colour, alpha=0.35, lw=0)
        _draw_box(ax, own, centre, style)
        ax.scatter(
            own,
            centre - 0.26 + 0.45 * swarm(own),
            s=float(np.clip(700.0 / max(len(own), 1), 4.0, 14.0)),
            color=style.colour,
            marker=style.marker,
            alpha=0.6,
            lw=0,
            gid=f"values {name}",
        )
        words = [*wrap(name, room), f"$n$ = {format_count(len(own))}"]
        ax.annotate(
            "\n".join(words),
            (0.0, centre),
            (-10, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            annotation_clip=False,
            **font(SMALL, colour=style.text),
        )
    ax.set_ylim(-len(outcome.labels) + 0.45, 0.58)
    ax.set_yticks([])


@laid_out(FULL_WIDTH)
def raincloud_figure(
    comparison: GroupComparison,
    *,
    outcome: str,
    outcome_label: str = "",
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how a numeric outcome is distributed in each group.

    Parameters
    ----------
    comparison
        From :func:`~alliance_stats.groups.compare_groups`; it holds the values.
    outcome
        Which of its outcomes.
    outcome_label
        Quantity, unit and range; the column's name by default. Matched pairs are joined.
    limits
        Limits of the axis of the values.
    words
        Group or outcome -> label to print.

    Raises
    ------
    DataError
        If the comparison has no such outcome, or it is not continuous.

    Examples
    --------
    >>> from alliance_stats import compare_groups, example_study
    >>> from alliance_stats.figures import raincloud_figure
    >>> first = example_study().sessions.query("session == 1")
    >>> found = compare_groups(
    ...     first, outcomes=["symptoms"], group="parent_alliance", cluster="family"
    ... )
    >>> raincloud_figure(found, outcome="symptoms").label
    'fig-raincloud'
    """
    asked = "raincloud_figure draws a result of compare_groups"
    require_kind(comparison, GroupComparison, asked=asked, instead=DRAWN_BY)
    values = comparison[outcome].outcome
    if values.kind != "continuous":
        raise DataError(
            f"Outcome '{outcome}' is {values.kind}; a density needs a continuous one. "
            "estimation_figure shows others."
        )
    said = naming(common["words"], [*values.labels, outcome])
    called = outcome_label or said(outcome)
    names = tuple(said(name) for name in values.labels)
    room = sheet().part(_NAME_WIDTH)
    lines = max(len(wrap(name, room)) for name in names)
    left = 20.0 + max(50.0 if not sheet().narrow else 36.0, widest(names, room))
    rows = [max(_ROW, lines_height(1 + lines) + 8.0)] * len(names)
    height = min(sum(rows), TALLEST)
    figure, ax = one_panel(height, left=left, right=16.0, x_label=called)
    draw_raincloud(ax, replace(values, labels=names))
    set_limits(ax, common["limits"], axis="x")
    dress(ax, x_label=called)
    ax.spines["left"].set_visible(False)
    table = comparison.describe()
    own = table.loc[table["outcome"] == outcome]
    own = own.assign(group=[said(name) for name in own["group"]])
    found = "; ".join(
        f"{row['group']}: median {_with_quartiles(row)}, n = {format_count(row['n'])}"
        for _, row in own.iterrows()
    )
    labels = np.asarray(names, dtype=object)[values.group]
    data = own.assign(part="group").rename(columns={"group": "label"})
    drawn = pd.DataFrame({"part": "value", "label": labels, "value": values.values})
    return ReportFigure(
        figure,
        label=common["label"] or "fig-raincloud",
        caption=f"Distribution of {called} by {comparison.group}: density, quartiles, every value "
        f"(n = {format_count(sum(values.n))}).",
        alt=f"For {plural(len(values.labels), 'group')} the density, the quartiles and every "
        f"value of {called}. {found}.",
        note="Density: Gaussian kernel, Scott's bandwidth, cut at the extremes. Bar: quartiles; "
        "mark: median; line: smallest to largest value." + _without_density(names, values.n),
        data=pd.concat([drawn, data], ignore_index=True),
    )


def _without_density(names: Sequence[str], sizes: Sequence[int]) -> str:
    few = [name for name, size in zip(names, sizes, strict=True) if size < _FEWEST]
    return f" No density from fewer than {_FEWEST} values: {', '.join(few)}." if few else ""


def _with_quartiles(row: pd.Series) -> str:
    digits = decimals_of_spread(row["q3"] - row["q1"])
    median, low, high = (format_number(row[name], digits) for name in ("median", "q1", "q3"))
    return f"{median}, quartiles {low} and {high}"


def _density(values: Array) -> tuple[Array, Array]:
    """Return a grid and the kernel density on it; none for few or equal values."""
    if len(values) < _FEWEST or np.ptp(values) == 0:
        return np.empty(0), np.empty(0)
    grid = np.linspace(values.min(), values.max(), 201)
    unit = np.abs(values).max()  # in which nothing exceeds 1: squares of 1e160 are infinite
    return grid, np.asarray(stats.gaussian_kde(values / unit)(grid / unit)) / unit


def _draw_box(ax: Axes, values: Array, centre: float, style: Look) -> None:
    if len(values) == 0:
        return
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    ax.plot([values.min(), values.max()], [centre, centre], color=style.text, lw=0.8)
    ax.plot([low, high], [centre, centre], color=style.text, lw=4, solid_capstyle="butt")
    ax.plot(middle, centre, marker=style.marker, ms=6, mec="white", mew=0.8, color=style.text)
