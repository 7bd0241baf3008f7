"""Power and width of intervals along the varied assumptions: curves with Monte Carlo bands."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    draw_band,
    dress,
    one_panel,
    room_beside,
    set_limits,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    Kind,
    decimal_ticks,
    format_count,
    format_level,
    format_percent,
    plural,
    with_interval,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import COLUMN_AND_HALF, GREY, RULE, Look, look, naming, sheet
from alliance_stats.power import Power

__all__ = [
    "all_numbers",
    "capital",
    "draw_power_curves",
    "interval_width_figure",
    "one_term",
    "power_figure",
    "power_rows",
    "rejected_label",
    "round_ticks",
    "simulation_note",
    "sizes_words",
    "value_words",
]

_HEIGHT = 190.0  # pt
_KEY_WIDTH = 110.0  # pt
_FORMULA = Look(GREY, GREY, (0, (1.2, 1.4)), "")
_WHOLE = (0.0, 102.0)  # per cent


def draw_power_curves(
    ax: Axes, curves: Sequence[pd.DataFrame], styles: Sequence[Look], *, aim: float | None = None
) -> None:
    """Draw curves with their Monte Carlo bands, a mark at every design that was simulated.

    Parameters
    ----------
    ax
        Axes to draw on.
    curves
        ``x, estimate, conf_low, conf_high`` and, where there is a formula, ``closed_form``.
    styles
        Look of each curve.
    aim
        Height of a line to reach; None for none.
    """
    if aim is not None:
        ax.axhline(aim, color=RULE, lw=0.8, zorder=1, gid="aim")
    for curve, style in zip(curves, styles, strict=True):
        x = curve["x"].to_numpy(dtype=np.float64)
        draw_band(ax, x, curve["conf_low"].to_numpy(), curve["conf_high"].to_numpy(), style.colour)
        ax.plot(
            x, curve["estimate"], color=style.colour, ls=style.dash, lw=1.6, marker=style.marker,
            ms=4.0, gid="estimate",
        )  # fmt: skip
        if len(curve) == 1:  # a band of one design has no width
            ends = (curve["conf_low"], curve["conf_high"])
            ax.vlines(x, *ends, color=style.colour, lw=1.2, gid="intervals")
        known = curve.dropna(subset=["closed_form"]) if "closed_form" in curve else curve.head(0)
        if len(known):
            ax.plot(
                known["x"], known["closed_form"], color=GREY, ls=_FORMULA.dash, lw=1.2,
                marker="_" if len(known) == 1 else "", ms=12.0, mew=1.2,
                gid="closed form",
            )  # fmt: skip


@laid_out(COLUMN_AND_HALF)
def power_figure(
    found: Power,
    *,
    term: str | None = None,
    along: str | None = None,
    aim: float | None = 0.8,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show power along an assumption that was varied, with bands for the Monte Carlo error.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.power.power`, with one or more assumptions varied.
    term
        Which of the analysis's terms; required if there are several.
    along
        Assumption on the axis, the first varied one if None; each combination of the others has a
        curve.
    aim
        Power to reach, a share: a line. None for none.
    conf_level
        Of the bands.
    limits
        Limits of the axis of power, in per cent.
    words
        Assumption -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the curves, as :meth:`Power.tidy` does, and their ``closed_form``.

    Raises
    ------
    DataError
        If nothing was varied, or the term or assumption does not exist.

    Examples
    --------
    >>> from alliance_stats.figures import power_figure
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power
    >>> trial = ClusterTrial(clusters=4, members=5)
    >>> found = power(trial, ArmDifference(), vary={"clusters": [4, 8]}, n_studies=10, seed=1)
    >>> power_figure(found).label
    'fig-power'
    """
    table = power_rows(found, term, conf_level, asked="power_figure draws a result of power")
    if aim is not None and not 0.0 < aim < 1.0:
        raise DataError(f"aim is a power and lies between 0 and 1; got {aim}.")
    shares = ["estimate", "conf_low", "conf_high", "closed_form"]
    drawn = table.assign(**{name: 100.0 * table[name] for name in shares})
    called = str(table["term"].iloc[0])
    names = naming(common["words"], [*found.varied, called])
    axis, curves = _curves(found, drawn, along, names)
    across = names(axis)
    figure = _draw(
        curves, axis, capital(across), y_label=rejected_label(found),
        aim=None if aim is None else 100.0 * aim, limits=common["limits"] or _WHOLE,
    )  # fmt: skip
    has_formula = drawn["closed_form"].notna().any()
    formula = f" Dotted: by formula ({found.plan.closed_form_name})." if has_formula else ""
    reach = "" if aim is None else f" Line: {format_percent(aim)}."
    return ReportFigure(
        figure,
        label=common["label"] or "fig-power",
        caption=f"Share of {sizes_words(table)} simulated studies of each design that find "
        f"{names(called)}, along {across}, with the {format_level(conf_level)} interval of the "
        f"Monte Carlo error.{formula}{reach}",
        alt=f"{plural(len(curves), 'curve')} of power along {across}. "
        f"{_told(curves, axis, across, kind='share')}.",
        note=simulation_note(found, "Wilson's intervals of shares."),
        data=table,
    )


@laid_out(COLUMN_AND_HALF)
def interval_width_figure(
    found: Power,
    *,
    term: str | None = None,
    along: str | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how wide the planned analysis's 95% intervals are along an assumption.

    Other parameters and errors are as in :func:`power_figure`.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.power.power`; its analysis must return intervals.
    limits
        Limits of the axis of the width, in units of the estimate.

    Returns
    -------
    ReportFigure
        ``data`` has the curves.

    Raises
    ------
    DataError
        As :func:`power_figure`; and if the analysis gives no intervals.

    Examples
    --------
    >>> from alliance_stats.figures import interval_width_figure
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power
    >>> trial = ClusterTrial(clusters=4, members=5)
    >>> found = power(trial, ArmDifference(), vary={"clusters": [4, 8]}, n_studies=10, seed=1)
    >>> interval_width_figure(found).label
    'fig-interval-width'
    """
    table = power_rows(
        found, term, conf_level, asked="interval_width_figure draws a result of power"
    )
    table = table.dropna(subset=["width"])
    if table.empty:
        raise DataError(
            "The analysis gives no intervals (conf_low, conf_high), so none have widths."
        )
    widths = ["width", "width_low", "width_high"]
    own = dict(zip(["estimate", "conf_low", "conf_high"], widths, strict=True))
    drawn = table.assign(**{name: table[width] for name, width in own.items()})
    called = str(table["term"].iloc[0])
    names = naming(common["words"], [*found.varied, called])
    axis, curves = _curves(found, drawn.drop(columns="closed_form"), along, names)
    across = names(axis)
    figure = _draw(
        curves,
        axis,
        capital(across),
        y_label="Mean width of the 95% interval",
        limits=common["limits"],
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-interval-width",
        caption=f"Mean width of the 95% interval of {names(called)} in {sizes_words(table)} "
        f"simulated studies of each design, along {across}, with the {format_level(conf_level)} "
        "interval of the Monte Carlo error.",
        alt=f"{plural(len(curves), 'curve')} of the mean width along {across}. "
        f"{_told(curves, axis, across, kind='number')}.",
        note=simulation_note(found, "t intervals of means."),
        data=table,
    )


def power_rows(found: Power, term: str | None, conf_level: float, *, asked: str) -> pd.DataFrame:
    """Return the rows of one term, checked."""
    require_kind(found, Power, asked=asked, instead=DRAWN_BY)
    if not found.varied:
        raise DataError("Nothing was varied, so power has no axis: ask power with vary=.")
    table = found.tidy(conf_level=check_conf_level(conf_level))
    return table[table["term"] == one_term(found, term)].reset_index(drop=True)


def one_term(found: Power, term: str | None) -> str:
    """Return the requested term, or the only one.

    Raises
    ------
    DataError
        If there are several and none is named, or none has that name.
    """
    if term is None and len(found.terms) > 1:
        raise DataError(
            f"The analysis has several terms, {', '.join(found.terms)}: name one with term=."
        )
    if term is not None and term not in found.terms:
        raise DataError(f"The analysis has no term '{term}'. {did_you_mean(term, found.terms)}")
    return found.terms[0] if term is None else term


def rejected_label(found: Power) -> str:
    """Return the label of the share of findings."""
    level = f"{found.alpha:g}".replace("0.", sheet().theme.decimal, 1)
    return f"Studies with p < {level} (%)"


def _curves(
    found: Power, table: pd.DataFrame, along: str | None, names: Callable[[object], str]
) -> tuple[str, dict[str, pd.DataFrame]]:
    """Return the assumption on the axis, and a named curve for each combination of the others."""
    numbers = [name for name in found.varied if all_numbers(table[name])]
    axis = along or next(iter(numbers), found.varied[0])
    if axis not in found.varied:
        raise DataError(f"'{axis}' was not varied. {did_you_mean(axis, found.varied)}")
    others = [name for name in found.varied if name != axis]
    if axis in numbers:
        table = table.assign(x=table[axis].astype(np.float64)).sort_values("x", kind="stable")
    else:
        order = list(dict.fromkeys(map(str, table[axis])))
        table = table.assign(x=[float(order.index(str(value))) for value in table[axis]])
    said = [
        ", ".join(f"{names(name)} {value_words(row[name])}" for name in others)
        for _, row in table.iterrows()
    ]
    kinds = pd.Series(said, index=table.index)
    order = list(dict.fromkeys(kinds.sort_index()))
    return axis, {kind: table[kinds == kind].reset_index(drop=True) for kind in order}


def _draw(
    curves: Mapping[str, pd.DataFrame],
    axis: str,
    x_label: str,
    *,
    y_label: str,
    aim: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw the curves, with their names, on a new figure."""
    formula = any("closed_form" in c and c["closed_form"].notna().any() for c in curves.values())
    styles = [look(place) for place in range(len(curves))]
    texts = [[kind or "simulated"] for kind in curves] if formula or len(curves) > 1 else []
    keys = [*styles, _FORMULA] if formula else styles
    texts += [["by formula"]] if formula else []
    labels = LineLabels.of(texts, keys, width=_KEY_WIDTH)
    height = max(_HEIGHT, labels.height)
    figure, ax = one_panel(
        height, left=room_beside(y_label, height), right=max(labels.right, 14.0),
        above=labels.above, x_label=x_label,
    )  # fmt: skip
    draw_power_curves(ax, list(curves.values()), styles, aim=aim)
    whole = pd.concat(curves.values())
    _fit_across(ax, whole, axis)
    if limits is None:
        ax.set_ylim(0.0, 1.08 * float(whole["conf_high"].fillna(whole["estimate"]).max()))
    set_limits(ax, limits, axis="y")
    dress(ax, x_label=x_label, y_label=y_label)
    ends = [float(curve["estimate"].iloc[-1]) for curve in curves.values()]
    if formula:
        ends.append(float(next(iter(curves.values()))["closed_form"].iloc[-1]))
    labels.write(ax, ends[: len(texts)])
    return figure


def _fit_across(ax: Axes, table: pd.DataFrame, axis: str) -> None:
    """Give the horizontal axis its limits and ticks: numbers, or names of what is not numeric."""
    low, high = float(table["x"].min()), float(table["x"].max())
    room = 0.04 * (high - low) or 0.5
    ax.set_xlim(low - room, high + room)
    if all_numbers(table[axis]):
        round_ticks(ax.xaxis, table["x"])
        return
    first = table.drop_duplicates("x").sort_values("x")
    ax.set_xticks(first["x"].to_numpy(), [value_words(value) for value in first[axis]])


def round_ticks(axis: Axis, values: pd.Series) -> None:
    """Give an axis ticks that are whole where its values are, and the value where it is one."""
    whole = bool((values % 1.0 == 0.0).all())
    one = values.min() == values.max()
    ticks = FixedLocator([float(values.iloc[0])]) if one else MaxNLocator(nbins=6, integer=whole)
    axis.set_major_locator(ticks)


def all_numbers(values: pd.Series) -> bool:
    """Say whether all values are numbers."""
    return all(isinstance(value, Real) and not isinstance(value, bool) for value in values)


def value_words(value: object) -> str:
    """Return a value of an assumption in print."""
    if isinstance(value, tuple | list):
        return ", ".join(map(value_words, value))
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return format_count(float(value)) if float(value).is_integer() else decimal_ticks(f"{value:g}")


def _told(curves: Mapping[str, pd.DataFrame], axis: str, across: str, *, kind: Kind) -> str:
    """Return every point of every curve with its interval, or the first and last of many."""
    scale = 0.01 if kind == "share" else 1.0
    points, numbers = [], []
    for name, curve in curves.items():
        for _, row in curve.iterrows():
            points.append(", ".join(filter(None, [name, f"{across} {value_words(row[axis])}"])))
            found = (scale * row[key] for key in ("estimate", "conf_low", "conf_high"))
            numbers.append(with_interval(*found, kind=kind))
    return listed(points, numbers, of=plural(len(points), "design"))


def sizes_words(table: pd.DataFrame) -> str:
    """Return how many studies were simulated per design."""
    n = sorted({int(n) for n in table["n_studies"]})
    return " to ".join(dict.fromkeys(format_count(size) for size in (n[0], n[-1])))


def simulation_note(found: Power, intervals: str) -> str:
    """Return how the numbers were computed, and the caveats."""
    return " ".join([f"{capital(found.method)}. {intervals}", *found.notes])


def capital(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
