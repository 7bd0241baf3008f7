"""Forest plots: estimates a row each, an own estimate among published ones, columns beside them."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from alliance_stats.checks import (
    check_choice,
    check_frame,
    require_columns,
    require_kind,
    require_present,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.evidence.meta.beside_published import NO_INTERVAL, OWN, Comparison
from alliance_stats.figures.axes import (
    add_axes,
    draw_intervals,
    dress,
    room_below,
    row_heights,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, require_frame
from alliance_stats.figures.style import FULL_WIDTH, INK, RULE, look, new_figure, plain, styled
from alliance_stats.figures.text import text_width, wrap
from alliance_stats.formatting import (
    Kind,
    decimals_for,
    format_bounded,
    format_level,
    format_number,
    format_percent,
    plural,
)

__all__ = ["comparison_figure", "draw_forest", "forest_figure", "forest_page", "number_on"]

Scale = Literal["ratio", "difference"]
InWords = Callable[[float, int], str]

_NAME_WIDTH = 150.0  # pt
_WIDEST_RATIO = 64.0  # the axis goes no further than this from 1; longer intervals end in arrows
_TICKS = (  # from fine to coarse
    (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6),
    (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0),
    (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    tuple(round(m * 10.0**power, 9) for power in range(-4, 5) for m in (1, 2, 5)),
    tuple(10.0**power for power in range(-9, 10)),
)
_TICK_ROOM = 24.0  # pt, between labels of ticks


def draw_forest(
    ax: Axes,
    estimates: pd.DataFrame,
    *,
    scale: Scale = "ratio",
    in_words: InWords = format_number,
    digits: int | None = None,
) -> None:
    """Draw a row an estimate, from the top down; names at the left, numbers at the right.

    Parameters
    ----------
    ax
        Axes to draw on; nothing else is touched.
    estimates
        ``term, estimate, conf_low, conf_high``, ratios as ratios (not as logarithms). With a
        column ``weight``, squares have areas in proportion. With a column ``kind``, rows that are
        ``"pooled"`` are drawn as diamonds and ``"prediction"`` as bars without a centre.
    scale
        ``"ratio"``: logarithmic axis, line at 1. ``"difference"``: line at 0.
    in_words
        How a number is written with so many decimals; from :mod:`alliance_stats.formatting`.
    digits
        Least number of decimals; if not given, as many as a row's interval needs.
    """
    names = [str(name) for name in estimates["term"]]
    heights = row_heights(names, _NAME_WIDTH)
    centres = np.cumsum(heights) - heights / 2.0
    low, high = _limits(estimates, scale)
    if scale == "ratio":
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(_ratio_ticks(low, high, width_in_points(ax))))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(low, high)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    kinds = _kinds(estimates)
    single = kinds == "study"
    seen = estimates.assign(
        conf_low=estimates["conf_low"].clip(lower=low),
        conf_high=estimates["conf_high"].clip(upper=high),
    )
    draw_intervals(
        ax,
        seen.loc[single],
        centres[single],
        reference=1.0 if scale == "ratio" else 0.0,
        sizes=_sides(estimates.loc[single]),
    )
    for place in np.flatnonzero(~single):
        _draw_summary(ax, seen.iloc[place], centres[place], kind=str(kinds[place]))
    beyond = [(estimates["conf_low"] < low, low, "<"), (estimates["conf_high"] > high, high, ">")]
    for mask, edge, arrow in beyond:
        for centre in centres[mask.to_numpy()]:
            ax.plot(
                edge, centre, marker=arrow, markersize=4, color=INK, clip_on=False, gid="beyond"
            )
    write_rows(ax, names, centres, x=-8.0, ha="right", width=_NAME_WIDTH)
    write_rows(
        ax, _numbers(estimates, scale, in_words, digits), centres, x=10.0, ha="left", width=200.0
    )


@styled
def forest_figure(
    estimates: pd.DataFrame,
    *,
    estimate_label: str,
    method: str,
    scale: Scale = "ratio",
    conf_level: float = 0.95,
    in_words: InWords = format_number,
    digits: int | None = None,
    label: str = "fig-forest",
) -> ReportFigure:
    """Show estimates with their intervals, a row each.

    Parameters
    ----------
    estimates
        ``term, estimate, conf_low, conf_high`` and, if there are, ``weight`` and ``kind``; see
        :func:`draw_forest`. :meth:`CoxModel.hazard_ratios` gives such a frame.
    estimate_label
        What the estimates are, in words: ``"Hazard ratio of dropout"``.
    method
        What model and interval they come from, for the note.
    scale
        ``"ratio"`` or ``"difference"``.
    conf_level
        Coverage of the intervals in `estimates`.
    in_words
        How estimates and limits are written: ``format_bounded`` for correlations.
    digits
        See :func:`draw_forest`.

    Returns
    -------
    ReportFigure
        ``data`` is `estimates`.

    Raises
    ------
    DataError
        If a column or an estimate is missing, or a ratio is not above 0.
    """
    require_frame(
        estimates, asked="forest_figure draws a frame with term, estimate, conf_low, conf_high"
    )
    check_frame(estimates, what="estimates")
    check_choice(scale, ("ratio", "difference"), name="scale")
    columns = ["term", "estimate", "conf_low", "conf_high"]
    require_columns(estimates, columns, what="estimates")
    require_present(estimates, "estimate", why="to draw it")
    if scale == "ratio" and (estimates[columns[1:]] <= 0).to_numpy().any():
        raise DataError(
            "A ratio or a limit of it is not above 0, and has no place on a log axis. Give ratios, "
            "not their logarithms, or scale='difference'."
        )
    names = [str(name) for name in estimates["term"]]
    numbers = _numbers(estimates, scale, in_words, digits)
    left = 14.0 + max(text_width(line) for name in names for line in wrap(name, _NAME_WIDTH))
    right = 18.0 + max(text_width(words) for words in numbers)
    height = float(row_heights(names, _NAME_WIDTH).sum())
    axis = "log scale" if scale == "ratio" else "0: none"
    drawn = bool(estimates["conf_low"].notna().any())
    level = f"{format_level(conf_level)} CI" if drawn else "no intervals"
    x_label = f"{estimate_label} ({level + '; ' if drawn else ''}{axis})"
    wide = 72 * FULL_WIDTH - left - right
    whole = 8.0 + height + room_below(x_label, wide)
    figure = new_figure(FULL_WIDTH, whole / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 8.0, wide, height)
    draw_forest(ax, estimates, scale=scale, in_words=in_words, digits=digits)
    dress(ax, x_label=x_label)
    ax.spines["left"].set_visible(False)
    line = "1" if scale == "ratio" else "0"
    found = "; ".join(f"{name}: {words}" for name, words in zip(names, numbers, strict=True))
    return ReportFigure(
        figure,
        label=label,
        caption=f"{estimate_label} with {level}. {found}.",
        alt=f"Forest plot of {plural(len(names), 'row')}, with a line at {line}. {found}.",
        note=_note(estimates, method),
        data=estimates.reset_index(drop=True),
    )


def _kinds(estimates: pd.DataFrame) -> npt.NDArray[np.str_]:
    if "kind" not in estimates:
        return np.full(len(estimates), "study")
    kinds = [str(kind) for kind in estimates["kind"]]
    for kind in kinds:
        check_choice(kind, ("study", "pooled", "prediction"), name="kind")
    return np.array(kinds)


def _limits(estimates: pd.DataFrame, scale: Scale) -> tuple[float, float]:
    """Return limits that show every estimate, and every interval that is not endless."""
    values = estimates[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float)
    if scale == "ratio":
        logs = np.log(values[np.isfinite(values) & (values > 0)])
        far = np.abs(np.log(estimates["estimate"].to_numpy(dtype=float))).max()
        widest = max(np.log(_WIDEST_RATIO), 1.1 * far)
        low, high = max(logs.min(), -widest), min(logs.max(), widest)
        pad = max(0.06 * (high - low), 0.05)
        return float(np.exp(min(low, 0.0) - pad)), float(np.exp(max(high, 0.0) + pad))
    finite = values[np.isfinite(values)]
    low, high = min(finite.min(), 0.0), max(finite.max(), 0.0)
    pad = 0.06 * (high - low) or 0.5
    return float(low - pad), float(high + pad)


def _ratio_ticks(low: float, high: float, width: float) -> Sequence[float]:
    """Return the finest round ratios that span the axis and can be read."""
    if high / low < 1.5:
        near = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [float(tick) for tick in near if low <= tick <= high]
    for ticks in _TICKS:
        inside = [tick for tick in ticks if low <= tick <= high]
        apart = np.diff(np.log(inside)) / np.log(high / low) * width
        spans = ticks[0] / 1.3 <= low and high <= ticks[-1] * 1.3
        if spans and len(inside) > 1 and apart.min() >= _TICK_ROOM:
            return inside
    return [1.0]


def _sides(estimates: pd.DataFrame) -> Array:
    """Return the side of each square in points, its area in proportion to the weight."""
    if "weight" not in estimates:
        return np.full(len(estimates), 4.5)
    weight = estimates["weight"].to_numpy(dtype=float)
    return np.asarray(np.maximum(9.0 * np.sqrt(weight / weight.max()), 2.0))


def _draw_summary(ax: Axes, row: pd.Series, centre: float, *, kind: str) -> None:
    if kind == "prediction":
        ends = [row["conf_low"], row["conf_high"]]  # butt: no end reaches beyond its limit
        ax.plot(ends, [centre] * 2, color=INK, lw=3.5, solid_capstyle="butt", gid="prediction")
        return
    corners = [
        (row["conf_low"], centre),
        (row["estimate"], centre - 4.0),
        (row["conf_high"], centre),
        (row["estimate"], centre + 4.0),
    ]
    ax.add_patch(Polygon(corners, facecolor=INK, edgecolor=INK, lw=0.5, gid="pooled"))


def _numbers(
    estimates: pd.DataFrame, scale: Scale, in_words: InWords, least: int | None
) -> list[str]:
    words = []
    how: Kind = "ratio" if scale == "ratio" else "number"
    if in_words is format_bounded:
        how = "bounded"
    missing = " (no interval)" if estimates["conf_low"].notna().any() else ""
    for kind, row in zip(_kinds(estimates), estimates.itertuples(), strict=True):
        drawn = [row.estimate, row.conf_low, row.conf_high]
        digits = max(least or 0, decimals_for(*drawn, kind=how))
        number, *limits = (_number(value, scale, in_words, digits) for value in drawn)
        number = "" if kind == "prediction" else number
        known = not (np.isnan(row.conf_low) and np.isnan(row.conf_high))
        words.append(f"{number} [{', '.join(limits)}]".strip() if known else f"{number}{missing}")
    return words


def _number(value: float, scale: Scale, in_words: InWords, digits: int) -> str:
    """Return a number in words; a ratio above 0 is never printed as 0.00."""
    least = 10.0**-digits
    if scale == "ratio" and value < 0.5 * least:
        return f"< {in_words(least, digits)}"
    return in_words(value, digits)


def _note(estimates: pd.DataFrame, method: str) -> str:
    parts = [f"{method.rstrip('.')}."]
    if "weight" in estimates:
        parts.append("Areas of the squares are in proportion to the weights.")
    kinds = set(_kinds(estimates))
    if "pooled" in kinds:
        parts.append("Diamonds: pooled estimates, as wide as their intervals.")
    if "prediction" in kinds:
        parts.append("Bar without a centre: prediction interval for a new study.")
    return " ".join(parts)


_PAGE_NAME_WIDTH = 150.0  # pt, as forest plots wrap their names
_HEAD = 18.0  # pt, for the headings of the columns
_GAP = 14.0  # pt, between columns
_SCALES = {
    "r": "Correlation (r)",
    "fisher_z": "Correlation (Fisher z)",
    "d": "Standardised mean difference (d)",
    "g": "Standardised mean difference (g)",
    "odds_ratio": "Odds ratio",
    "log_odds_ratio": "Log odds ratio",
    "hazard_ratio": "Hazard ratio",
    "log_hazard_ratio": "Log hazard ratio",
    "exp_b": "exp(b)",
}
_RATIOS = ("odds_ratio", "hazard_ratio", "exp_b")


@styled
def comparison_figure(
    comparison: Comparison, *, digits: int = 3, label: str = "fig-comparison"
) -> ReportFigure:
    """Show an own estimate beside published ones on one effect-size scale.

    Parameters
    ----------
    comparison
        What :func:`alliance_stats.evidence.compare_with` returned.
    digits
        Decimals of the numbers; correlations of this field are printed with two or three.

    Returns
    -------
    ReportFigure
        ``data`` is ``comparison.tidy()``. Where the page printed no interval, none is drawn and
        the row says so.

    Raises
    ------
    DataError
        If an estimate has no place on the axis.
    WrongObjectError
        If `comparison` is something else.
    """
    asked = "comparison_figure draws a result of compare_with"
    require_kind(comparison, Comparison, asked=asked, instead=DRAWN_BY)
    frame, on = comparison.tidy(), comparison.on
    scale: Scale = "ratio" if on in _RATIOS else "difference"
    _check_places(frame, scale)
    frame.insert(0, "term", [_name(row) for _, row in frame.iterrows()])
    words = [_comparison_words(row, on, digits) for _, row in frame.iterrows()]
    level, own = format_level(comparison.conf_level), frame.iloc[0]
    figure = forest_page(frame, words, heading="Estimate [CI]", scale=scale, x_label=_SCALES[on])
    _mark_own(figure.axes[0])
    others = frame[frame["origin"] != OWN]
    without = int((others["interval"] == NO_INTERVAL).sum())
    found = "; ".join(f"{n}: {w}" for n, w in zip(frame["term"], words, strict=True))
    counted = (
        f"{plural(len(others), 'published estimate')}, {without} of them with no interval printed"
    )
    return ReportFigure(
        figure,
        label=label,
        caption=f"{_SCALES[on]}: {own['label']} beside {counted}. {found}.",
        alt=f"Forest plot of an own estimate (a circle, on top) and {counted}, with a line at "
        f"{1 if scale == 'ratio' else 0}. {found}.",
        note=_comparison_note(on, level),
        data=frame.drop(columns="term"),
    )


def forest_page(
    frame: pd.DataFrame, words: Sequence[str], *, heading: str, scale: Scale, x_label: str
) -> Figure:
    """Return a forest plot under headings, with a column of weights if `frame` has weights.

    Parameters
    ----------
    frame
        As for :func:`draw_forest`; ``weight`` in per cent.
    words
        What stands at the right of each row.
    """
    names = [str(name) for name in frame["term"]]
    heights = row_heights(names, _PAGE_NAME_WIDTH)
    centres, height = np.cumsum(heights) - heights / 2.0, float(heights.sum())
    left = 14.0 + max(text_width(line) for name in names for line in wrap(name, _PAGE_NAME_WIDTH))
    right = _GAP + max(text_width(text) for text in [heading, *words])
    weights = _weights(frame)
    if weights:
        right += _GAP + max(text_width(text) for text in ["Weight", *weights])
    width = 72 * FULL_WIDTH - left - right - 8.0
    below = f"{x_label} ({'log scale' if scale == 'ratio' else '0: none'})"
    whole = _HEAD + height + room_below(below, width)
    figure = new_figure(FULL_WIDTH, whole / 72, placed_by_hand=True)
    ax = add_axes(figure, left, _HEAD, width, height)
    draw_forest(ax, frame, scale=scale)
    # draw_forest writes the numbers last; here they say more
    for text, told in zip(ax.texts[-len(words) :], words, strict=True):
        text.set_text(plain(told))
    above = np.array([-0.5 * _HEAD])
    write_rows(ax, [heading], above, x=_GAP, ha="left", width=200.0)
    if weights:
        write_rows(ax, ["Weight"], above, x=right, ha="right", width=200.0)
        write_rows(ax, weights, centres, x=right, ha="right", width=200.0)
        first = int(np.flatnonzero(frame["kind"] != "study")[0])
        ax.axhline(float(heights[:first].sum()), color=RULE, lw=0.6, gid="rule")
    dress(ax, x_label=below)
    ax.spines["left"].set_visible(False)
    return figure


def number_on(value: float, on: str, digits: int = 2) -> str:
    """Return a number as its scale is printed; a ratio above 0 never as 0."""
    if on in (*_RATIOS, "ratio") and 0.0 < value < 0.5 * 10.0**-digits:
        return f"< {10.0**-digits:.{digits}f}"
    return format_bounded(value, digits) if on == "r" else format_number(value, digits)


def _check_places(frame: pd.DataFrame, scale: Scale) -> None:
    estimate = frame["estimate"].to_numpy(dtype=float)
    bad = ~np.isfinite(estimate) | ((estimate <= 0) if scale == "ratio" else False)
    if bad.any():
        found = ", ".join(f"{row['label']}: {row['estimate']}" for _, row in frame[bad].iterrows())
        raise DataError(f"An estimate has no place on the axis ({found}). Leave it out (records=).")


def _weights(frame: pd.DataFrame) -> list[str]:
    if "weight" not in frame:
        return []
    return ["" if np.isnan(w) else format_percent(w / 100.0, 1) for w in frame["weight"]]


def _name(row: pd.Series) -> str:
    about = str(row["about"]).strip()
    key = str(row["label"])
    if not about and row["origin"] != OWN:  # a record's key breaks into lines only at spaces
        return key.replace("/", ": ").replace("-", " ")
    return f"{key}: {about}" if about else key


def _comparison_words(row: pd.Series, on: str, digits: int) -> str:
    number, low, high = (
        number_on(row[column], on, digits) for column in ("estimate", "conf_low", "conf_high")
    )
    if np.isnan(row["conf_low"]) or np.isnan(row["conf_high"]):
        return f"{number} (no interval{' printed' if row['origin'] != OWN else ''})"
    return f"{number} [{low}, {high}]"


def _mark_own(ax: Axes) -> None:
    """Tell the own estimate, in the first row, by colour and marker."""
    style = look(0)
    for gid in ("interval", "estimate"):
        line = next(line for line in ax.lines if line.get_gid() == gid)
        line.set(color=style.colour, marker=style.marker if gid == "estimate" else "", zorder=3)
        line.set_markersize(6.0)


def _comparison_note(on: str, level: str) -> str:
    parts = [
        f"Circle: own estimate, with its {level} CI; squares: published estimates, with the "
        "intervals printed beside them (taken as 95%). Overlapping intervals are no test: the "
        "differences and their intervals are in the data of the figure."
    ]
    if on in ("hazard_ratio", "log_hazard_ratio", "exp_b"):
        parts.append("Hazard ratios are per unit of each study's own predictor.")
    else:
        parts.append(
            "Effects on other scales were converted as between two groups of equal size "
            "(Borenstein et al., 2009, ch. 7)."
        )
    return " ".join(parts)
