"""Means that a model expects: rows with their intervals, or lines over a numeric predictor."""

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    TALLEST,
    PageError,
    draw_band,
    draw_beyond,
    dress,
    one_panel,
    room_beside,
    row_heights,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    Kind,
    decimal_ticks,
    format_level,
    integer_ticks,
    intervals_of,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import COLUMN_AND_HALF, looks, naming, sheet
from alliance_stats.figures.text import text_width, widest
from alliance_stats.multilevel.after.asked_model import IMPLIED, link_of
from alliance_stats.multilevel.after.estimated_means import (
    EstimatedMeans,
    Scale,
    cell,
    outcome_on,
)

__all__ = ["draw_means_along", "draw_means_in_rows", "estimated_means_figure"]

_NAME_WIDTH = 130.0  # pt, on a full page
_LABEL_WIDTH = 100.0  # pt
_HEIGHT = 190.0  # pt
_FEW = 12  # values of a predictor that are drawn as points; more as a line with its band
_MOST_LINES = 7


def draw_means_in_rows(
    ax: Axes, means: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw a row per mean with its interval, from the top down; numbers at the right.

    Parameters
    ----------
    ax
        Axes to draw on; names are written to the left.
    means
        ``name, group, told, estimate, conf_low, conf_high``; rows of a group share colour and
        marker, ``told`` is written at the right.
    limits
        Limits of the axis of the means; intervals that leave it end in arrows.
    """
    names, room = [*means["name"]], sheet().part(_NAME_WIDTH)
    heights = row_heights(names, room, gap=7.0)
    centres = np.cumsum(heights) - heights / 2.0
    styles = looks([*dict.fromkeys(means["group"])])
    _set_range(ax, means, limits, axis="x")
    low, high = ax.get_xlim()
    for centre, row in zip(centres, means.itertuples(), strict=True):
        style = styles[row.group]
        ends = np.clip([row.conf_low, row.conf_high], low, high)
        ax.plot(ends, [centre] * 2, color=style.colour, lw=1.4, gid="interval")
        if low <= row.estimate <= high:
            ax.plot(row.estimate, centre, style.marker, color=style.text, ms=5, gid="mean")
        draw_beyond(ax, row.conf_low, row.conf_high, row.estimate, centre, colour=style.colour)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    write_rows(ax, names, centres, x=-8.0, ha="right", width=room)
    write_rows(ax, [*means["told"]], centres, x=10.0, ha="left", width=200.0)


def draw_means_along(
    ax: Axes, means: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw means over a numeric predictor, a line per group: points with intervals, or a band.

    Parameters
    ----------
    means
        ``at, group, estimate, conf_low, conf_high``; few values are drawn as points.
    limits
        Limits of the axis of the means.
    """
    groups = [*dict.fromkeys(means["group"])]
    values = np.unique(means["at"].to_numpy(dtype=float))
    few = len(values) <= _FEW
    aside = 0.012 * np.ptp(values) * (np.arange(len(groups)) - (len(groups) - 1) / 2.0)
    for (name, style), shift in zip(looks(groups).items(), aside, strict=True):
        own = means[means["group"] == name].sort_values("at")
        at = own["at"].to_numpy(dtype=float) + (shift if few else 0.0)
        if few:
            ax.vlines(
                at, own["conf_low"], own["conf_high"], color=style.colour, lw=1.3, gid="intervals"
            )
        else:
            draw_band(ax, at, own["conf_low"], own["conf_high"], style.colour)
        ax.plot(
            at,
            own["estimate"],
            color=style.text,
            ls=style.dash,
            lw=1.2 if few else 1.8,
            marker=style.marker if few else None,
            ms=4.5,
            gid=f"means {name}",
        )
    _set_range(ax, means, limits, axis="y")
    room = 0.04 * np.ptp(values)
    ax.set_xlim(values[0] - room, values[-1] + room)
    if few:
        ax.set_xticks(values, [decimal_ticks(cell(value)) for value in values])
    elif np.all(values == np.round(values)):
        ax.set_xticks(integer_ticks(values[0], values[-1], most=int(width_in_points(ax) / 36.0)))


@laid_out(COLUMN_AND_HALF)
def estimated_means_figure(
    result: EstimatedMeans,
    *,
    outcome_label: str = "",
    scale: Scale = "response",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the means that a model expects, with their intervals.

    A numeric predictor with three values or more is the horizontal axis, the other predictors
    shown are lines; without one, each mean has a row. Differences between means have figures of
    their own: :func:`forest_figure` draws what :func:`~alliance_stats.contrasts` and
    :func:`~alliance_stats.comparisons` find.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.estimated_means`.
    outcome_label
        The outcome with its unit and range: ``"Alliance (WAI, 1-7)"``; by default its name in the
        model.
    scale
        As in :meth:`EstimatedMeans.tidy`: ``"response"`` (expected responses, probabilities or
        counts, at random effects of zero), ``"link"``, ``"median"`` or ``"mean"``.
    conf_level
        Coverage of each interval separately.
    limits
        Limits of the axis of the means.
    words
        Level, predictor or outcome -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy(scale=..., conf_level=...)``.

    Raises
    ------
    WrongObjectError
        If `result` is anything else.
    DataError
        If there are more lines than can be told apart, or more rows than a page holds.

    Examples
    --------
    >>> from alliance_stats import estimated_means, example_study, lmm
    >>> from alliance_stats.figures import estimated_means_figure
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session * role + (1 | family/person)", sessions)
    >>> means = estimated_means(model, "role", by="session", at={"session": [1, 5, 10]})
    >>> estimated_means_figure(means, outcome_label="Alliance (1-7)").label
    'fig-estimated-means'
    """
    asked = "estimated_means_figure draws a result of estimated_means"
    require_kind(result, EstimatedMeans, asked=asked, instead=DRAWN_BY)
    data = result.tidy(scale=scale, conf_level=conf_level)
    shown, kind = [*result.labels.columns], _kind(result, scale)
    levels = [value for name in shown for value in result.labels[name].unique()]
    outcome = outcome_on(result, scale)
    said = naming(common["words"], [*shown, *levels, outcome])
    along = _numeric(result.labels)
    drawn = _named(data[data["estimate"].notna()], shown, along, said)
    drawn = drawn.assign(told=intervals_of(drawn, kind=kind))
    kind_of_mean = _MEASURES.get(scale) or link_of(result.model).mean_of_scale
    what = f"{outcome_label or said(outcome)}, {kind_of_mean}"
    axis = f"{what} ({format_level(conf_level)} CI)"
    if along is None:
        figure = _in_rows(drawn, axis, common["limits"])
    else:
        figure = _along(drawn, (said(along), axis), common["limits"])
    told = listed(drawn["name"], [*drawn["told"]], of=plural(len(drawn), "mean"))
    over = f"by {' and '.join(said(name) for name in shown)}" if shown else "overall"
    n = plural(result.rows.n_used, "row")
    lines = drawn["group"].nunique()
    form = f"{plural(len(drawn), 'mean')} in rows" if along is None else plural(lines, "line")
    return ReportFigure(
        figure,
        label=common["label"] or "fig-estimated-means",
        caption=f"{what[:1].upper()}{what[1:]} {over}, as the model expects it, with "
        f"{format_level(conf_level)} CI; {n}.",
        alt=f"{form} with intervals: {what}. {told}.",
        note=f"{_how(result, scale)} Intervals of each alone: contrasts tell whether means differ.",
        data=data,
    )


_MEASURES = {"response": "mean", "median": "median", "mean": "mean"}


def _how(result: EstimatedMeans, scale: str) -> str:
    """Return the notes of the result and what scale its means are on."""
    account, link = result.account(), link_of(result.model).name
    on = {
        "response": ""
        if link == "identity"
        else ", brought back from the " + link + " scale, random effects at zero",
        "link": "" if link == "identity" else f" on the {link} scale, random effects at zero",
    }.get(scale, f", {scale}s in the units of the outcome")
    return " ".join([*account.notes, f"Estimated means{on}."])


def _kind(result: EstimatedMeans, scale: str) -> Kind:
    """Say how the means are written: probabilities without a leading zero."""
    chance = scale == "response" and link_of(result.model).name in IMPLIED
    return "bounded" if chance else "number"


def _numeric(labels: pd.DataFrame) -> str | None:
    """Return the numeric predictor that has most values, three or more."""
    counts = {
        str(name): column.nunique()
        for name, column in labels.items()
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    }
    most = max(counts, key=lambda name: counts[name], default=None)
    return most if most is not None and counts[most] > 2 else None


def _named(
    data: pd.DataFrame, shown: Sequence[str], along: str | None, said: Callable[[object], str]
) -> pd.DataFrame:
    """Add each mean's ``name``, its ``group`` (whose look it has) and where it stands (``at``)."""

    def words(row: pd.Series, names: Sequence[str]) -> str:
        parts = [
            f"{said(name)} = {decimal_ticks(cell(row[name]))}"
            if isinstance(row[name], bool | np.bool_ | int | float | np.number)
            else said(row[name])
            for name in names
        ]
        return ", ".join(parts)

    looked = [name for name in shown if name != along] if along else shown[-1:]
    rows = [row for _, row in data.astype(object).iterrows()]
    return data.assign(
        name=[words(row, shown) or "overall" for row in rows],
        group=[words(row, looked) for row in rows],
        at=np.nan if along is None else data[along].astype(float),
    )


def _in_rows(drawn: pd.DataFrame, axis: str, limits: tuple[float, float] | None) -> Figure:
    room = sheet().part(_NAME_WIDTH)
    height = float(row_heights([*drawn["name"]], room, gap=7.0).sum())
    if height > TALLEST:
        raise PageError(
            f"{plural(len(drawn), 'mean')} in rows do not fit on a page: ask estimated_means for "
            "fewer, or give the numeric predictor three values or more, which makes lines."
        )
    left = 14.0 + widest(drawn["name"], room)
    right = 18.0 + max(map(text_width, drawn["told"]))
    figure, ax = one_panel(height, left=left, right=right, x_label=axis)
    draw_means_in_rows(ax, drawn, limits=limits)
    dress(ax, x_label=axis)
    ax.spines["left"].set_visible(False)
    return figure


def _along(
    drawn: pd.DataFrame, axes: tuple[str, str], limits: tuple[float, float] | None
) -> Figure:
    groups = [*dict.fromkeys(drawn["group"])]
    if len(groups) > _MOST_LINES:
        raise DataError(
            f"{len(groups)} lines cannot be told apart; at most {_MOST_LINES}: show fewer "
            "predictors or levels at a time."
        )
    named = [name for name in groups if name]
    styles = looks(groups)
    labels = LineLabels.of(
        [[name] for name in named], [styles[n] for n in named], width=_LABEL_WIDTH
    )
    height = max(_HEIGHT, labels.height)
    left, right = room_beside(axes[1], height), labels.right if named else 14.0
    figure, ax = one_panel(
        height, left=left, right=right, above=labels.above + 10.0, x_label=axes[0]
    )
    draw_means_along(ax, drawn, limits=limits)
    dress(ax, x_label=axes[0], y_label=axes[1], grid="y")
    ends = drawn.sort_values("at").groupby("group", sort=False)["estimate"].last()
    labels.write(ax, [float(ends[name]) for name in named], lift=10.0)
    return figure


def _set_range(
    ax: Axes, means: pd.DataFrame, limits: tuple[float, float] | None, *, axis: str
) -> None:
    """Give the axis of the means the caller's limits, or those of the intervals and some room."""
    ends = means[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    pad = 0.06 * (high - low) or 0.5
    set_limits(ax, limits or (low - pad, high + pad), axis=axis)
