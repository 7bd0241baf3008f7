"""An own estimate drawn among published ones, and the page of a forest plot with columns."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alliance_stats.checks import require_kind
from alliance_stats.errors import DataError
from alliance_stats.evidence.meta.beside_published import NO_INTERVAL, OWN, Comparison
from alliance_stats.figures.axes import add_axes, dress, room_below
from alliance_stats.figures.forest import Scale, draw_forest
from alliance_stats.figures.intervals import row_heights, write_rows
from alliance_stats.figures.report import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, RULE, look, new_figure, plain, styled
from alliance_stats.figures.text import text_width, wrap
from alliance_stats.formatting import (
    format_bounded,
    format_level,
    format_number,
    format_percent,
    plural,
)

__all__ = ["comparison_figure", "forest_page", "number_on"]

_NAME_WIDTH = 150.0  # pt, as forest plots wrap their names
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
    heights = row_heights(names, _NAME_WIDTH)
    centres, height = np.cumsum(heights) - heights / 2.0, float(heights.sum())
    left = 14.0 + max(text_width(line) for name in names for line in wrap(name, _NAME_WIDTH))
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
