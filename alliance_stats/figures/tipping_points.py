"""Where a finding is overturned: along shifts of the unobserved outcomes, for all or by arm."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.interpolate import interpn

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import dress, one_panel, room_beside, set_limits, write_above
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    format_alone,
    format_count,
    format_level,
    plural,
    write_estimate,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, GREY, RULE, Look, look, naming
from alliance_stats.figures.text import in_sentence
from alliance_stats.survival import DropoutSensitivity, SensitivityByGroup
from alliance_stats.survival.unseen.completed_analyses import CompletedAnalyses

__all__ = [
    "draw_tipping_point",
    "draw_tipping_region",
    "tipping_point_figure",
    "tipping_region_figure",
]

_HEIGHT = 190.0  # pt
_KEY_WIDTH = 90.0  # pt
_SHADE = "#d9d9d9"
_FINE = 101  # places along an axis at which limits are interpolated


def draw_tipping_point(
    ax: Axes,
    table: pd.DataFrame,
    tips: pd.DataFrame,
    *,
    no_shift: float = 0.0,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw the estimate and its band along the shifts, lines at 0 and at the tipping points.

    Parameters
    ----------
    ax
        Axes to draw on; tipping points are written above.
    table, tips
        :meth:`DropoutSensitivity.tidy` and :meth:`DropoutSensitivity.tipping_points`.
    no_shift
        The shift that changes nothing: 0, or 1 for a factor.
    limits
        Limits of the axis of the estimate.
    """
    style = look(0)
    delta = table["delta"].to_numpy(dtype=float)
    low, high = (table[name].to_numpy(dtype=float) for name in ("conf_low", "conf_high"))
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    ax.fill_between(delta, low, high, color=style.colour, alpha=0.18, lw=0)
    ax.plot(delta, table["estimate"], color=style.colour, lw=1.6, gid="estimate")
    at_zero = table.loc[table["delta"] == no_shift, "estimate"]
    ax.scatter([no_shift], at_zero, s=26, color=style.colour, zorder=3, gid="no shift")
    ax.set_xlim(delta[0], delta[-1])
    bottom, top = min(low.min(), 0.0), max(high.max(), 0.0)
    room = 0.06 * (top - bottom)
    ax.set_ylim(bottom - room, top + room)
    set_limits(ax, limits, axis="y")
    found = [float(tip) for tip in tips["delta"].dropna()]
    for tip in found:
        ax.axvline(tip, color=GREY, lw=0.9, ls=(0, (1, 1.5)), zorder=1, gid="tipping point")
    write_above(ax, found, [format_alone(tip, "time") for tip in found])


@laid_out(COLUMN_AND_HALF)
def tipping_point_figure(
    result: DropoutSensitivity,
    *,
    estimate_label: str,
    shift_label: str,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how a coefficient changes as the unobserved outcomes are shifted.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.dropout_sensitivity`.
    estimate_label
        The coefficient and its unit.
    shift_label
        The shifted quantity and its unit: ``"Shift of symptoms after leaving (points)"``.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy()``.

    Examples
    --------
    >>> from alliance_stats import dropout_sensitivity, endings, example_study, lmm
    >>> from alliance_stats.figures import tipping_point_figure
    >>> study = example_study()
    >>> model = lmm("symptoms ~ session + (1 | family/person)", study.sessions)
    >>> families = endings(study).units.query("state == 'dropout'")
    >>> unseen = study.persons.merge(families[["family", "last_session"]], on="family")
    >>> unseen = unseen.assign(session=unseen["last_session"] + 1)
    >>> shifted = dropout_sensitivity(
    ...     model, unseen, term="session", deltas=[5.0, 10.0], n_imputations=5, seed=1
    ... )
    >>> figure = tipping_point_figure(
    ...     shifted, estimate_label="Change a session", shift_label="Shift of unseen symptoms"
    ... )
    >>> figure.label
    'fig-tipping-point'
    """
    asked = "tipping_point_figure draws a result of dropout_sensitivity"
    require_kind(result, DropoutSensitivity, asked=asked, instead=DRAWN_BY)
    if len(result.deltas) < 2:
        raise DataError("It needs a shift beside none for its tipping points to be drawn.")
    table = result.tidy(conf_level=conf_level)
    tips = result.tipping_points(conf_level=conf_level)
    naming(common["words"], [])
    figure, ax = one_panel(
        _HEIGHT,
        left=max(62.0, room_beside(estimate_label, _HEIGHT)),
        right=18.0,
        above=20.0,
        x_label=shift_label,
    )
    draw_tipping_point(ax, table, tips, no_shift=result.no_shift, limits=common["limits"])
    dress(ax, x_label=shift_label, y_label=estimate_label)
    row = table.loc[table["delta"] == result.no_shift].iloc[0]
    brief, at_rest = _at_rest(row, conf_level)
    dotted = " Dotted: where the finding is overturned." if tips["delta"].notna().any() else ""
    first, last = (format_alone(table["delta"].iloc[end], "time") for end in (0, -1))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-tipping-point",
        caption=f"{estimate_label} by {in_sentence(shift_label)}, with the "
        f"{format_level(conf_level)} confidence band; without a shift {brief}; "
        f"{plural(result.rows.n_used, 'row')}.{dotted}",
        alt=f"A line with its band over shifts from {first} to {last}, and a line at 0. Without a "
        f"shift it is {at_rest}; {_tips_in_words(tips, result.no_shift)}.",
        note=f"{_completed(result.completed)}{dotted}",
        data=table,
    )


def _at_rest(row: pd.Series, conf_level: float) -> tuple[str, str]:
    """Return the estimate without a shift with its interval, in brief and in words."""
    found = write_estimate(row["estimate"], row["conf_low"], row["conf_high"])
    zero = "holds" if row["conf_low"] <= 0.0 <= row["conf_high"] else "leaves out"
    level = format_level(conf_level)
    return (
        f"{found.estimate} {found.interval}",
        f"{found.estimate}, {level} CI {found.interval}, which {zero} 0",
    )


def _tips_in_words(tips: pd.DataFrame, no_shift: float) -> str:
    parts = []
    for row in tips.itertuples():
        sign = "downwards" if row.direction.startswith("below") else "upwards"
        searched, found = (format_alone(x, "time") for x in (row.searched_to, row.delta))
        if row.searched_to == no_shift:
            parts.append(f"no shift {sign} was tried")
        elif np.isnan(row.delta):
            parts.append(f"no shift {sign} to {searched} overturns that")
        else:
            parts.append(f"a shift {sign} of {found} overturns that")
    return "; ".join(parts)


def _completed(found: CompletedAnalyses) -> str:
    """Return how the unobserved outcomes were imputed and the intervals computed."""
    unseen, seen = plural(found.n_unseen, "unseen outcome"), plural(found.n_seen, "seen one")
    if found.variance == "rubin":
        return (
            f"{unseen} imputed {format_count(found.estimates.shape[1])} times under the mixed "
            f"model fitted to {seen}, shifted, analysed with the same model and pooled by Rubin’s "
            "rules, Barnard-Rubin df."
        )
    return (
        f"{unseen} completed by their means under the mixed model fitted to {seen}, shifted and "
        f"analysed with the same model; intervals by the jackknife over {found.left_out[1]} values "
        f"of {found.left_out[0]}."
    )


def draw_tipping_region(
    ax: Axes, deltas: tuple[Array, Array], margins: Array, *, no_shift: float = 0.0
) -> None:
    """Shade the pairs of shifts that overturn the finding, and draw their edge.

    Parameters
    ----------
    ax
        Axes to draw on: the first arm's shifts across, the second's upwards.
    deltas, margins
        Of :class:`SensitivityByGroup`: its ``deltas`` and ``margins()``; between shifts each limit
        is interpolated linearly.
    no_shift
        The shift that changes nothing: 0, or 1 for a factor.
    """
    first, second = deltas
    if margins.min() < 0.0:
        fine = [np.unique([*np.linspace(d[0], d[-1], _FINE), *d]) for d in deltas]
        places = np.stack(np.meshgrid(*fine), axis=-1)
        margin = np.min([interpn(deltas, own, places) for own in margins], axis=0)
        low, style = float(margin.min()) - 1.0, look(0)
        ax.contourf(*fine, margin, levels=[low, 0.0], colors=[_SHADE], zorder=0.5)
        ax.contour(*fine, margin, levels=[0.0], colors=[style.colour], linewidths=1.6, zorder=2)
    for line in (ax.axvline, ax.axhline):
        line(no_shift, color=RULE, lw=0.8, zorder=1)
    across, up = np.meshgrid(first, second)
    ax.scatter(across, up, s=5.0, color=GREY, lw=0, zorder=3, gid="shifts")
    ax.scatter([no_shift], [no_shift], s=30, color=look(0).colour, zorder=4, gid="no shift")
    ax.set_xlim(*_widened(first))
    ax.set_ylim(*_widened(second))


def _widened(deltas: Array) -> tuple[float, float]:
    room = 0.03 * (deltas[-1] - deltas[0])
    return float(deltas[0] - room), float(deltas[-1] + room)


@laid_out(COLUMN_AND_HALF)
def tipping_region_figure(
    result: SensitivityByGroup,
    *,
    estimate_label: str,
    shift_label: str,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show which shifts of two arms' unobserved outcomes overturn a finding.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.sensitivity_by_group`.
    estimate_label
        The coefficient and its unit.
    shift_label
        The shifted quantity and its unit; the arm is written after it.
    limits
        Limits of the vertical axis.
    words
        Arm -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy()``.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, lmm, sensitivity_by_group
    >>> from alliance_stats.figures import tipping_region_figure
    >>> study = example_study()
    >>> model = lmm("symptoms ~ session * framework + (1 | family/person)", study.sessions)
    >>> families = endings(study).units.query("state == 'dropout'")
    >>> unseen = study.persons.merge(families[["family", "last_session"]], on="family")
    >>> unseen = unseen.assign(session=unseen["last_session"] + 1)
    >>> arms = study.persons["framework"].unique()
    >>> found = sensitivity_by_group(
    ...     model, unseen, term="session:framework[T.usual]", group="framework",
    ...     deltas={arm: [-10.0, 10.0] for arm in arms}, n_imputations=3, seed=1,
    ... )
    >>> figure = tipping_region_figure(
    ...     found, estimate_label="Change a session", shift_label="Shift of unseen symptoms"
    ... )
    >>> figure.label
    'fig-tipping-region'
    """
    asked = "tipping_region_figure draws a result of sensitivity_by_group"
    require_kind(result, SensitivityByGroup, asked=asked, instead=DRAWN_BY)
    if min(map(len, result.deltas)) < 2:
        raise DataError("Each arm needs a shift beside none for its tipping points to be drawn.")
    called = naming(common["words"], list(map(str, result.arms)))
    across, up = (f"{shift_label}, {called(str(arm))}" for arm in result.arms)
    margins, table = result.margins(conf_level=conf_level), result.tidy(conf_level=conf_level)
    turned = bool(table["overturned"].any())
    keys = {"overturned": Look(_SHADE, GREY, "-", ""), "tipping points": look(0)} if turned else {}
    labels = LineLabels.of([[key] for key in keys], [*keys.values()], width=_KEY_WIDTH)
    figure, ax = one_panel(
        _HEIGHT, left=room_beside(up, _HEIGHT), right=labels.right, above=8.0 + labels.above,
        x_label=across,
    )  # fmt: skip
    draw_tipping_region(ax, result.deltas, margins, no_shift=result.no_shift)
    dress(ax, x_label=across, y_label=up)
    set_limits(ax, common["limits"], axis="y")
    low, high = ax.get_ylim()
    labels.write(ax, [high - 0.12 * (k + 0.5) * (high - low) for k in range(len(keys))])
    none = table[(table[list(result.columns)] == result.no_shift).all(axis=1)].iloc[0]
    brief, at_rest = _at_rest(none, conf_level)
    share = f"{format_count(table['overturned'].sum())} of {plural(len(table), 'pair')} of shifts"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-tipping-region",
        caption=f"{estimate_label} where the unseen outcomes of two arms are shifted; without a "
        f"shift (large dot) {brief}; {plural(result.rows.n_used, 'row')}. "
        + ("Shaded: the finding is overturned." if turned else "No pair overturns the finding."),
        alt=f"A map over shifts of two arms. Without a shift the estimate is {at_rest}; {share} "
        "overturn that.",
        note=f"{_completed(result.completed)} Small dots: pairs that were analysed; the edge "
        "between them is interpolated.",
        data=table,
    )
