"""A coefficient with each therapist left out in turn, beside that of the whole model."""

from collections.abc import Mapping
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import wald_interval
from alliance_stats.figures.axes import (
    TALLEST,
    draw_intervals,
    dress,
    one_panel,
    set_limits,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import (
    decimals_of_spread,
    format_count,
    format_interval,
    format_level,
    format_number,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, RULE, look, naming, natural, sheet
from alliance_stats.figures.text import lines_height, text_width, widest, wrap
from alliance_stats.multilevel import LeaveOneOut

__all__ = ["draw_leave_one_out", "leave_one_out_figure"]

_NAMES = 110.0  # pt
_LEAST_AXIS = 90.0  # pt
_TALLEST = 480.0  # pt


def draw_leave_one_out(
    ax: Axes,
    estimates: pd.DataFrame,
    *,
    whole: Mapping[str, float],
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw estimates upwards in the order given, over the interval of the whole model.

    Parameters
    ----------
    ax
        Axes to draw on.
    estimates
        ``estimate, conf_low, conf_high``, a row per unit left out.
    whole
        The same from the model of all rows: a line and a band.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    """
    ends = ["estimate", "conf_low", "conf_high"]
    values = np.append(estimates[ends].to_numpy(dtype=float).ravel(), [whole[end] for end in ends])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
    ax.set_xlim(low - pad, high + pad)
    set_limits(ax, limits, axis="x")
    left, right = ax.get_xlim()
    band = np.clip([whole["conf_low"], whole["conf_high"]], left, right)
    ax.axvspan(*band, color=RULE, alpha=0.2, lw=0, zorder=0, gid="whole")
    if left <= 0.0 <= right:
        ax.axvline(0.0, color=RULE, lw=0.8, ls=(0, (2, 2)), zorder=1)
    known = estimates[estimates["estimate"].notna()]
    draw_intervals(
        ax,
        known,
        np.flatnonzero(estimates["estimate"].notna()).astype(float),
        reference=whole["estimate"],
        sizes=np.full(len(known), float(np.clip(160.0 / len(estimates), 1.6, 4.5))),
        colour=look(0).text,
    )
    ax.set_ylim(-0.8, len(estimates) - 0.2)
    ax.set_yticks([])


@laid_out(COLUMN_AND_HALF)
def leave_one_out_figure(
    result: LeaveOneOut,
    *,
    term: str,
    effect_label: str = "",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show a coefficient with each cluster left out in turn, from the lowest to the highest.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.leave_one_out`.
    term
        Which coefficient.
    effect_label
        The coefficient and its unit: ``"Alliance (points) per year of experience"``.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Unit, cluster or coefficient -> label to print.

    Returns
    -------
    ReportFigure
        ``data``: a row per unit left out, ``level, n, term, estimate, std_error, statistic, df,
        p_value, conf_low, conf_high, change``, in the order drawn, from the bottom.

    Raises
    ------
    DataError
        If the model has no such coefficient, or it is lost whichever cluster is left out.
    WrongObjectError
        If `result` is of another class.

    Examples
    --------
    >>> from alliance_stats import example_study, leave_one_out, lmm
    >>> from alliance_stats.figures import leave_one_out_figure
    >>> early = example_study().sessions.query("session <= 3")
    >>> model = lmm("alliance ~ experience + (1 | therapist)", early)
    >>> leave_one_out_figure(leave_one_out(model, "therapist"), term="experience").label
    'fig-leave-one-out'
    """
    asked = "leave_one_out_figure draws a result of leave_one_out"
    require_kind(result, LeaveOneOut, asked=asked, instead=DRAWN_BY)
    check_conf_level(conf_level)
    own = _in_order(result, term, conf_level)
    whole = _of_all(result, term, conf_level)
    said = naming(common["words"], [result.cluster, term, *own["level"]])
    names = [said(name) for name in own["level"]]
    digits = decimals_of_spread(float(own["std_error"].median()))
    numbers = [_number(row, digits) for row in own.to_dict("records")]
    what, level = effect_label or f"Coefficient of {said(term)}", format_level(conf_level)
    x_label = f"{what}, {level} interval; band: nobody left out"
    row, named = _row_height(names)
    room = sheet().part(_NAMES)
    left = 16.0 + widest(names, room) if named else 30.0
    beside = 14.0 + max(text_width(number) for number in numbers)
    numbered = named and sheet().width - left - beside > _LEAST_AXIS
    height = max(row * (len(own) + 0.6), 40.0)
    right = beside if numbered else 14.0
    figure, ax = one_panel(height, left=left, right=right, x_label=x_label)
    draw_leave_one_out(ax, own, whole=whole, limits=common["limits"])
    places = np.arange(len(own), dtype=float)
    if named:
        write_rows(ax, names, places, x=-8.0, ha="right", width=room)
    if numbered:
        write_rows(ax, numbers, places, x=10.0, ha="left", width=200.0)
    many = plural(len(own), "model")
    without = f"each without one {said(result.cluster)}"
    dress(ax, x_label=x_label, y_label="" if named else f"{many}, {without}, lowest to highest")
    ax.spines["left"].set_visible(not named)
    all_rows = _number(whole, digits)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-leave-one-out",
        caption=f"{what} in {many}, {without}, in order, with {level} intervals; line and band: "
        f"nobody left out, {all_rows} ({plural(result.rows.n_used, 'row')}).",
        alt=f"{many}, {without}, around a line at {all_rows} of the whole model. "
        f"{_told(own, names, numbers, whole)}",
        note=_note(result, own, names),
        data=own,
    )


def _number(row: Mapping[str, float], digits: int) -> str:
    """Write an estimate with its interval, with the same decimals in all rows."""
    if np.isnan(row["estimate"]):
        return "not determined"
    shown = format_interval(row["conf_low"], row["conf_high"], digits)
    return f"{format_number(row['estimate'], digits)} {shown}"


def _in_order(result: LeaveOneOut, term: str, conf_level: float) -> pd.DataFrame:
    table = result.tidy(conf_level=conf_level)
    own = table[table["term"] == term]
    if own.empty:
        raise DataError(
            f"The model estimates no '{term}'. {did_you_mean(term, dict.fromkeys(table['term']))}"
        )
    if own["estimate"].isna().all():
        raise DataError(
            f"No model without one {result.cluster} determines '{term}': there is nothing to draw."
        )
    names = own["level"].map(natural)
    order = sorted(range(len(own)), key=lambda i: (own["estimate"].iloc[i], names.iloc[i]))
    known = [i for i in order if not np.isnan(own["estimate"].iloc[i])]
    lost = [i for i in range(len(own)) if np.isnan(own["estimate"].iloc[i])]
    return own.iloc[[*lost, *known]].reset_index(drop=True)


def _of_all(result: LeaveOneOut, term: str, conf_level: float) -> dict[str, float]:
    row = result.whole.set_index("term").loc[term]
    low, high = wald_interval(
        row["estimate"], row["std_error"], df=row["df"], conf_level=conf_level
    )
    return {"estimate": float(row["estimate"]), "conf_low": float(low), "conf_high": float(high)}


def _row_height(names: list[str]) -> tuple[float, bool]:
    """Return the height of a row in points, and whether there is room for names."""
    row = lines_height(max(len(wrap(name, sheet().part(_NAMES))) for name in names)) + 4.0
    if row * (len(names) + 0.6) <= TALLEST:
        return row, True
    return max(_TALLEST / len(names), min(2.0, TALLEST / len(names))), False


def _told(
    own: pd.DataFrame, names: list[str], numbers: list[str], whole: Mapping[str, float]
) -> str:
    """State the extremes, who changes it most, and how often it keeps its sign."""
    known = own["estimate"].notna().to_numpy().nonzero()[0]
    first, last = known[0], known[-1]
    most = int(own["change"].abs().idxmax())
    away = (own["conf_low"] > 0) | (own["conf_high"] < 0)
    stands = "leaves out" if whole["conf_low"] > 0 or whole["conf_high"] < 0 else "holds"
    return (
        f"Lowest without {names[first]}: {numbers[first]}; highest without {names[last]}: "
        f"{numbers[last]}; largest change without {names[most]}: "
        f"{format_number(own['change'].iloc[most])} standard errors. The whole model's interval "
        f"{stands} 0; {format_count(int(away.sum()))} of {format_count(len(own))} leave it out."
    )


def _note(result: LeaveOneOut, own: pd.DataFrame, names: list[str]) -> str:
    lost = [name for name, gone in zip(names, own["estimate"].isna(), strict=True) if gone]
    alone = f" Not determined without {', '.join(lost)}." if lost else ""
    return (
        f"{result.formula}, variances and coefficients refitted each time; "
        f"{plural(result.rows.n_used, 'row')}. Intervals with Satterthwaite df. An estimate far "
        "from the line names whom a finding rests on; it is no reason to leave anybody out."
        f"{alone}"
    )
