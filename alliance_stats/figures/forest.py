"""Forest plots: a row per estimate, its interval around a line, numbers beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from alliance_stats.account import Accountable, Phrase, Speaker, method_and_notes
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, check_frame, require_columns, require_present
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    TALLEST,
    draw_beyond,
    draw_intervals,
    dress,
    log_axis,
    one_panel,
    row_heights,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import (
    Kind,
    format_level,
    format_percent,
    intervals_of,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import FULL_WIDTH, INK, RULE, naming, sheet
from alliance_stats.figures.text import number_room, text_width, widest
from alliance_stats.ledger import RowLedger

__all__ = [
    "Coefficients",
    "Scale",
    "coefficients_of",
    "draw_forest",
    "forest_figure",
    "forest_page",
    "limits_of",
]

Scale = Literal["ratio", "difference"]

_NAMES = 150.0  # pt, on a full page
_HEAD = 18.0  # pt, for the headings of the columns
_GAP = 12.0  # pt, between columns
_LEAST_AXIS = 76.0  # pt; narrower, weights give way and intervals stand below estimates
_MARGINS = 30.0  # pt, around names and numbers
_WIDEST_RATIO = 64.0  # the axis goes no further than this from 1; longer intervals end in arrows
_WIDEST_DIFFERENCE = 5.0  # median intervals that it goes beyond the estimates
_KINDS = ("study", "pooled", "prediction", "heading")


def draw_forest(
    ax: Axes,
    estimates: pd.DataFrame,
    *,
    scale: Scale = "ratio",
    numbers: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a row per estimate, from the top down; names at the left, numbers at the right.

    Parameters
    ----------
    ax
        Axes to draw on; nothing else is touched.
    estimates
        ``term, estimate, conf_low, conf_high``, ratios as ratios (not as logarithms). With a column
        ``weight``, squares have areas in proportion. With a column ``kind``, rows that are
        ``"pooled"`` are drawn as diamonds, ``"prediction"`` as bars without a centre and
        ``"heading"`` as words alone. More rows than fit on a page are drawn without names and
        numbers.
    scale
        ``"ratio"``: logarithmic axis, line at 1. ``"difference"``: line at 0.
    numbers
        Text to the right of each row; the estimate with its interval by default.
    limits
        Axis limits; what extends beyond them ends in an arrow.
    """
    words = numbers or _numbers(estimates, scale, None)
    rows = _Rows.of(estimates, words)
    low, high = limits or limits_of(estimates, scale)
    if scale == "ratio":
        log_axis(ax, low, high)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(max(int(width_in_points(ax) / 34.0), 2)))
    ax.set_xlim(low, high)
    ax.set_ylim(rows.height, 0.0)
    ax.set_yticks([])
    kinds = _kinds(estimates)
    single = kinds == "study"
    draw_intervals(
        ax,
        estimates.loc[single],
        rows.centres[single],
        reference=1.0 if scale == "ratio" else 0.0,
        sizes=_sides(estimates.loc[single]) * (1.0 if rows.named else 0.5),
    )
    for place in np.flatnonzero((kinds == "pooled") | (kinds == "prediction")):
        _draw_summary(ax, estimates.iloc[place], rows.centres[place], kind=str(kinds[place]))
    if not rows.named:
        return
    names = [str(name) for name in estimates["term"]]
    write_rows(ax, names, rows.centres, x=-8.0, ha="right", width=rows.names)
    write_rows(ax, words, rows.centres, x=10.0, ha="left", width=rows.numbers)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Where the rows stand: centres and height, room of names and numbers, whether named."""

    centres: Array
    height: float
    names: float
    numbers: float
    named: bool

    @classmethod
    def of(cls, estimates: pd.DataFrame, numbers: Sequence[str]) -> "_Rows":
        names = [str(name) for name in estimates["term"]]
        room = sheet().part(_NAMES)
        free = sheet().width - widest(names, room) - _MARGINS - _LEAST_AXIS
        beside = number_room(numbers, free)
        heights = np.maximum(row_heights(names, room), row_heights(numbers, beside))
        named = float(heights.sum()) <= TALLEST
        if not named:
            heights = np.full(len(names), TALLEST / len(names))
        centres = np.cumsum(heights) - heights / 2.0
        return cls(centres, float(heights.sum()), room, beside, named)


@laid_out(FULL_WIDTH)
def forest_figure(
    result: Accountable | pd.DataFrame,
    *,
    estimate_label: str | None = None,
    method: str | None = None,
    scale: Scale | None = None,
    kind: Kind | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the estimates of a result with their intervals, a row each.

    Parameters
    ----------
    result
        A result whose account has coefficients or ratios (a model, slopes, contrasts), which
        provides scale, method and size itself (intercepts are left out); or a frame ``term,
        estimate, conf_low, conf_high`` and optionally ``weight`` and ``kind`` (see
        :func:`draw_forest`).
    estimate_label
        What the estimates are, in words: ``"Hazard ratio of dropout"``. Required for a frame.
    method
        What model and interval they come from, for the note. Required for a frame.
    scale
        ``"ratio"`` or ``"difference"``; for a frame ``"ratio"`` by default.
    kind
        How numbers are written: ``"bounded"`` for correlations.
    conf_level
        Coverage of the intervals.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Row -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is the frame drawn.

    Raises
    ------
    DataError
        If a column or an estimate is missing, or a ratio is not above 0.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.figures import forest_figure
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> forest_figure(model, estimate_label="Hazard ratio").label
    'fig-forest'
    """
    if isinstance(result, Accountable) and not isinstance(result, pd.DataFrame | type):
        found = coefficients_of(result, conf_level)
        estimates, scale = found.frame, scale or found.scale
        estimate_label, method = estimate_label or found.label, method or found.method
    else:
        asked = "forest_figure draws a frame with term, estimate, conf_low, conf_high, or a result"
        require_kind(result, pd.DataFrame, asked=asked, instead=DRAWN_BY)
        estimates = result
    if estimate_label is None or method is None:
        raise DataError("A frame does not say what it holds: give estimate_label= and method=.")
    scale = scale or "ratio"
    _check(estimates, scale)
    said = naming(common["words"], [*estimates["term"]])
    estimates = estimates.assign(term=[said(name) for name in estimates["term"]])
    numbers = _numbers(estimates, scale, kind)
    drawn = bool(estimates["conf_low"].notna().any())
    level = f"{format_level(conf_level)} CI" if drawn else "no intervals"
    figure = forest_page(
        estimates,
        numbers,
        scale=scale,
        x_label=estimate_label,
        level=level if drawn else "",
        limits=common["limits"],
    )
    n = int((_kinds(estimates) == "study").sum())
    named = _Rows.of(estimates, numbers).named
    told = listed(estimates["term"], numbers, of=plural(n, "estimate"))
    line = "1" if scale == "ratio" else "0"
    shown = f"{plural(n, 'estimate')} of " if n > 1 else ""
    rows = getattr(result, "rows", None)
    of = f"; {plural(rows.n_used, 'row')}" if isinstance(rows, RowLedger) else ""
    return ReportFigure(
        figure,
        label=common["label"] or "fig-forest",
        caption=f"{shown}{estimate_label} with {level}"
        + (f". {told}{of}." if n <= 2 else f", around a line at {line}{of}."),
        alt=f"Forest plot of {plural(len(numbers), 'row')} on the scale of {estimate_label}, with "
        f"a line at {line}. {told}.",
        note=_note(estimates, method, named=named, limits=common["limits"]),
        data=estimates.reset_index(drop=True),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """What an account's first section of estimates says of itself."""

    frame: pd.DataFrame
    scale: Scale
    label: str
    method: str

    @property
    def kind(self) -> Kind:
        """How its numbers are written."""
        return "ratio" if self.scale == "ratio" else "number"


def coefficients_of(result: Accountable, conf_level: float) -> Coefficients:
    """Return the first estimates with intervals of an account, intercepts left out."""
    account = result.account(conf_level=conf_level)
    sections = [s for s in account.sections if "estimate" in s.frame and "conf_low" in s.frame]
    if not sections:
        name = type(result).__name__
        right = f" For a {name}: {DRAWN_BY[name]}." if name in DRAWN_BY else ""
        raise DataError(f"forest_figure draws estimates with intervals; a {name} has none.{right}")
    section = sections[0]
    frame, speaker = section.frame, Speaker(terms_as_code=False)
    ratios = "ratio" in section.columns
    if ratios:
        own = {"estimate": "ratio", "conf_low": "ratio_low", "conf_high": "ratio_high"}
        frame = frame.assign(**{name: frame[column] for name, column in own.items()})
    names = [
        ", ".join(
            speaker.term(value) if isinstance(value, str | Phrase) else f"{name} = {value:g}"
            for name, value in ((name, row[name]) for name in section.names)
            if value is not None and value == value  # noqa: PLR0124  (nan)
        )
        for row in frame.to_dict("records")
    ]
    frame = frame[["estimate", "conf_low", "conf_high"]].astype(float).assign(term=names)
    frame = frame[frame["estimate"].notna() & (frame["term"] != "(Intercept)")]
    measure = str(section.columns["ratio"].called if ratios else section.measure)
    called = {"b": "Coefficient", "": "Estimate", "estimate": "Estimate"}.get(measure, measure)
    scale: Scale = "ratio" if ratios or section.kind == "ratio" else "difference"
    said = f"{called[:1].upper()}{called[1:]}"
    columns = ["term", "estimate", "conf_low", "conf_high"]
    return Coefficients(
        frame[columns].reset_index(drop=True), scale, said, method_and_notes(account)
    )


def _check(estimates: pd.DataFrame, scale: Scale) -> None:
    check_frame(estimates, what="estimates")
    check_choice(scale, ("ratio", "difference"), name="scale")
    columns = ["term", "estimate", "conf_low", "conf_high"]
    require_columns(estimates, columns, what="estimates")
    shown = estimates[_kinds(estimates) != "heading"]
    require_present(shown, "estimate", why="to draw it")
    if scale == "ratio" and (
        (shown["estimate"] <= 0).any() or (shown[columns[2:]] < 0).to_numpy().any()
    ):
        raise DataError(
            "A ratio or a limit of it is not above 0, and has no place on a log axis. Give ratios, "
            "not their logarithms, or scale='difference'."
        )


def forest_page(
    frame: pd.DataFrame,
    numbers: Sequence[str],
    *,
    heading: str = "",
    scale: Scale,
    x_label: str,
    level: str = "",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Return a forest plot, with a column of weights if `frame` has weights and there is room.

    Parameters
    ----------
    frame
        As for :func:`draw_forest`; ``weight`` in per cent.
    numbers
        Text to the right of each row.
    heading
        Heading above them.
    """
    rows = _Rows.of(frame, numbers)
    left, right = 30.0, 14.0
    weights = _weights(frame) if heading else []
    if rows.named:
        left = 14.0 + widest(frame["term"], rows.names)
        right = _GAP + max(text_width(heading), widest(numbers, rows.numbers))
    beside = _GAP + max((text_width(text) for text in ["Weight", *weights]), default=0.0)
    weights = weights if rows.named and sheet().width - left - right - beside > _LEAST_AXIS else []
    right += beside if weights else 0.0
    head = _HEAD if heading and rows.named else 8.0
    axis = "log scale" if scale == "ratio" else "0: none"
    below = f"{x_label} ({level + '; ' if level else ''}{axis})"
    figure, ax = one_panel(rows.height, left=left, right=right + 4.0, above=head, x_label=below)
    set_limits(ax, limits, axis="x")
    draw_forest(ax, frame, scale=scale, numbers=numbers, limits=limits)
    above = np.array([-0.5 * _HEAD])
    if heading and rows.named:
        write_rows(ax, [heading], above, x=10.0, ha="left", width=200.0)
    if weights:
        write_rows(ax, ["Weight"], above, x=right, ha="right", width=200.0)
        write_rows(ax, weights, rows.centres, x=right, ha="right", width=200.0)
    summaries = np.flatnonzero(np.isin(_kinds(frame), ("pooled", "prediction")))
    if len(summaries) and "heading" not in _kinds(frame):
        edge = rows.height * summaries[0] / len(frame)
        if rows.named:
            half = (rows.centres[summaries[0]] - rows.centres[summaries[0] - 1]) / 2.0
            edge = rows.centres[summaries[0] - 1] + half
        ax.axhline(edge, color=RULE, lw=0.6, gid="rule")
    counted = "" if rows.named else f"{plural(len(frame), 'row')}, in the order of the data"
    dress(ax, x_label=below, y_label=counted)
    ax.spines["left"].set_visible(False)
    return figure


def _kinds(estimates: pd.DataFrame) -> npt.NDArray[np.str_]:
    if "kind" not in estimates:
        return np.full(len(estimates), "study")
    kinds = [str(kind) for kind in estimates["kind"]]
    for kind in kinds:
        check_choice(kind, _KINDS, name="kind")
    return np.array(kinds)


def limits_of(estimates: pd.DataFrame, scale: Scale) -> tuple[float, float]:
    """Return limits that show every estimate, and the intervals that are not out of proportion."""
    values = estimates[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float)
    if scale == "ratio":
        logs = np.log(values[np.isfinite(values) & (values > 0)])
        centres = estimates["estimate"].to_numpy(dtype=float)
        far = np.nanmax(np.abs(np.log(centres)))
        widest_log = max(np.log(_WIDEST_RATIO), 1.1 * far)
        low, high = max(logs.min(), -widest_log), min(logs.max(), widest_log)
        pad = max(0.06 * (high - low), 0.05)
        return float(np.exp(min(low, 0.0) - pad)), float(np.exp(max(high, 0.0) + pad))
    finite = values[np.isfinite(values)]
    centres = values[np.isfinite(values[:, 0]), 0]
    spans = (values[:, 2] - values[:, 1])[np.isfinite(values).all(axis=1)]
    room = max(
        _WIDEST_DIFFERENCE * (float(np.median(spans)) if len(spans) else 0.0), np.ptp(centres)
    )
    low = min(max(finite.min(), centres.min() - room), 0.0)
    high = max(min(finite.max(), centres.max() + room), 0.0)
    pad = 0.06 * (high - low) or 0.5
    return float(low - pad), float(high + pad)


def _sides(estimates: pd.DataFrame) -> Array:
    """Return the side of each square in points, its area in proportion to the weight."""
    if "weight" not in estimates:
        return np.full(len(estimates), 4.5)
    weight = estimates["weight"].to_numpy(dtype=float)
    return np.asarray(np.maximum(9.0 * np.sqrt(weight / weight.max()), 2.0))


def _draw_summary(ax: Axes, row: pd.Series, centre: float, *, kind: str) -> None:
    low, high = ax.get_xlim()
    ends = [max(row["conf_low"], low), min(row["conf_high"], high)]
    if kind == "prediction":  # butt: no end reaches beyond its limit
        ax.plot(ends, [centre] * 2, color=INK, lw=3.5, solid_capstyle="butt", gid="prediction")
    else:
        top, bottom = (row["estimate"], centre - 4.0), (row["estimate"], centre + 4.0)
        corners = [(ends[0], centre), top, (ends[1], centre), bottom]
        ax.add_patch(Polygon(corners, facecolor=INK, edgecolor=INK, lw=0.5, gid="pooled"))
    draw_beyond(ax, row["conf_low"], row["conf_high"], row["estimate"], centre)


def _numbers(estimates: pd.DataFrame, scale: Scale, kind: Kind | None) -> list[str]:
    how: Kind = kind or ("ratio" if scale == "ratio" else "number")
    told = intervals_of(estimates, kind=how)
    bare = {"prediction": [text[text.find("[") :] for text in told], "heading": [""] * len(told)}
    kinds = _kinds(estimates)
    return [bare.get(str(kind), told)[place] for place, kind in enumerate(kinds)]


def _note(
    estimates: pd.DataFrame, method: str, *, named: bool, limits: tuple[float, float] | None
) -> str:
    parts = [f"{method.rstrip('.')}."]
    if "weight" in estimates:
        parts.append("Areas of the squares are in proportion to the weights.")
    kinds = set(_kinds(estimates))
    if "pooled" in kinds:
        parts.append("Diamonds: pooled estimates, as wide as their intervals.")
    if "prediction" in kinds:
        parts.append("Bar without a centre: prediction interval for a new study.")
    if limits is not None:
        parts.append("Arrows: intervals that go on beyond the axis.")
    if not named:
        parts.append("Names and numbers of so many rows are in the data of the figure.")
    return " ".join(parts)


def _weights(frame: pd.DataFrame) -> list[str]:
    if "weight" not in frame:
        return []
    return ["" if np.isnan(w) else format_percent(w / 100.0, 1) for w in frame["weight"]]
