"""For which values of a moderator an effect differs from zero (Johnson-Neyman)."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    dress,
    one_panel,
    room_beside,
    set_limits,
    write_above,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    format_alone,
    format_count,
    format_level,
    format_percent,
    interval_of,
    plural,
    write_estimate,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, GREY, RULE, Look, look, naming
from alliance_stats.figures.text import in_sentence, lines_height
from alliance_stats.multilevel import JohnsonNeyman

__all__ = ["draw_johnson_neyman", "johnson_neyman_figure"]

_KEY_WIDTH = 84.0  # pt
_HEIGHT = 200.0  # pt
_POINTS = 201
_NOT_TOLD = Look(RULE, GREY, (0, (4, 2)), "o")
_METHODS = {
    "satterthwaite": "t intervals with Satterthwaite df",
    "kenward-roger": "Kenward-Roger intervals",
    "normal": "normal intervals",
}


def draw_johnson_neyman(
    ax: Axes,
    band: pd.DataFrame,
    regions: pd.DataFrame,
    support: Array,
    *,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw the effect, its band and a rug of the moderator's values, by region.

    Parameters
    ----------
    ax
        Axes to draw on; bounds stand above, keys at its right.
    band
        ``value, estimate, conf_low, conf_high``, as :meth:`JohnsonNeyman.band` gives them.
    regions
        ``region_low, region_high, direction``, as :meth:`JohnsonNeyman.tidy` gives them.
    support
        The moderator's observed values.
    limits
        Limits of the axis of the effect.
    """
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    for row in regions.itertuples():
        style = _NOT_TOLD if row.direction == "undetermined" else look(0)
        across, middle, low, high = _stretch(band, row.region_low, row.region_high)
        ax.fill_between(across, low, high, color=style.colour, alpha=0.22, lw=0)
        ax.plot(across, middle, color=style.text, ls=style.dash, lw=1.8, gid=row.direction)
    first, last = float(band["value"].iloc[0]), float(band["value"].iloc[-1])
    room = 0.03 * (last - first)
    ax.set_xlim(first - room, last + room)
    bottom = min(float(band["conf_low"].min()), 0.0)
    top = max(float(band["conf_high"].max()), 0.0)
    ax.set_ylim(bottom - 0.14 * (top - bottom), top + 0.05 * (top - bottom))
    set_limits(ax, limits, axis="y")
    ax.vlines(
        support,
        0.0,
        0.05,
        transform=ax.get_xaxis_transform(),
        color=GREY,
        lw=0.7,
        alpha=float(np.clip(40.0 / len(support), 0.08, 0.8)),
        gid="rug",
    )
    _write_bounds(ax, regions["region_high"].to_numpy(dtype=float)[:-1])
    bottom, top = ax.get_ylim()
    labels = _keys(regions)
    ends = [top - 0.18 * place * (top - bottom) for place in range(len(labels.texts))]
    labels.write(ax, ends, lift=_bounds_room(regions))


@laid_out(COLUMN_AND_HALF)
def johnson_neyman_figure(
    result: JohnsonNeyman,
    *,
    effect_label: str,
    moderator_label: str,
    units: str = "",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show at which values of a moderator an effect differs from zero.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.multilevel.johnson_neyman`.
    effect_label
        The effect and its unit: ``"Symptoms per point of alliance"``.
    moderator_label
        The moderator and its unit: ``"Therapist's experience (years)"``.
    units
        Units the moderator belongs to, in the plural: ``"therapists"``.

    Returns
    -------
    ReportFigure
        ``data`` has the effect with its band (``part = "effect"``), the regions (``"region"``)
        and the moderator's values (``"unit"``).

    Examples
    --------
    >>> from alliance_stats import example_study, johnson_neyman, lmm
    >>> from alliance_stats.figures import johnson_neyman_figure
    >>> sessions = example_study().sessions.query("session <= 6")
    >>> model = lmm("symptoms ~ session * alliance + (1 | family/person)", sessions)
    >>> regions = johnson_neyman(model, "session", moderator="alliance")
    >>> figure = johnson_neyman_figure(
    ...     regions, effect_label="Slope of session", moderator_label="Alliance"
    ... )
    >>> figure.label
    'fig-johnson-neyman'
    """
    asked = "johnson_neyman_figure draws a result of johnson_neyman"
    require_kind(result, JohnsonNeyman, asked=asked, instead=DRAWN_BY)
    band = result.band(points=_POINTS, conf_level=conf_level)
    regions = result.tidy(conf_level=conf_level)
    naming(common["words"], [])
    labels = _keys(regions)
    above = labels.above + _bounds_room(regions)
    figure, ax = one_panel(
        _HEIGHT,
        left=room_beside(effect_label, _HEIGHT),
        right=labels.right,
        above=above,
        x_label=moderator_label,
    )
    draw_johnson_neyman(ax, band, regions, result.support, limits=common["limits"])
    dress(ax, x_label=moderator_label, y_label=effect_label)
    units = units or ("rows" if result.unit == "row" else f"units of '{result.unit}'")
    found = "; ".join(_region_words(row, units) for _, row in regions.iterrows())
    parts = [
        band.assign(part="effect"),
        regions.assign(part="region"),
        pd.DataFrame({"part": "unit", "value": result.support}),
    ]
    return ReportFigure(
        figure,
        label=common["label"] or "fig-johnson-neyman",
        caption=f"{effect_label} along {in_sentence(moderator_label)}, with its "
        f"{format_level(conf_level)} confidence band; ticks: "
        f"{format_count(len(result.support))} {units}. {_where_told(regions)}",
        alt=f"A line with its band against {in_sentence(moderator_label)}, from "
        f"{_at(band.iloc[0])} to {_at(band.iloc[-1])}: {found}.",
        note=_note(result, units, conf_level),
        data=pd.concat(parts, ignore_index=True),
    )


def _keys(regions: pd.DataFrame) -> LineLabels:
    """Return labels for the kinds of line that are drawn."""
    kinds = {
        "interval leaves out 0": (look(0), (regions["direction"] != "undetermined").any()),
        "interval holds 0": (_NOT_TOLD, (regions["direction"] == "undetermined").any()),
    }
    found = {words: style for words, (style, there) in kinds.items() if there}
    return LineLabels.of([[words] for words in found], [*found.values()], width=_KEY_WIDTH)


def _where_told(regions: pd.DataFrame) -> str:
    told = regions[regions["direction"] != "undetermined"]
    if told.empty:
        return "Nowhere in the data can it be told from 0."
    where = " and ".join(_between(row.region_low, row.region_high) for row in told.itertuples())
    return f"It can be told from 0 at {where}."


def _stretch(band: pd.DataFrame, low: float, high: float) -> tuple[Array, Array, Array, Array]:
    """Return the band between two bounds, both ends included."""
    value = band["value"].to_numpy(dtype=float)
    across = np.concatenate([[low], value[(value > low) & (value < high)], [high]])
    middle, lower, upper = (
        np.interp(across, value, band[name].to_numpy(dtype=float))
        for name in ("estimate", "conf_low", "conf_high")
    )
    return across, middle, lower, upper


def _bounds_room(regions: pd.DataFrame) -> float:
    """Return the points that the values of bounds take above the axes."""
    return lines_height(1) + 4.0 if len(regions) > 1 else 0.0


def _write_bounds(ax: Axes, bounds: Array) -> None:
    """Draw a line at each bound and write its value above."""
    for bound in bounds:
        ax.axvline(bound, color=GREY, lw=0.8, ls=(0, (1, 1.5)), zorder=1, gid="bound")
    write_above(ax, bounds, [format_alone(bound) for bound in bounds])


def _region_words(row: pd.Series, units: str) -> str:
    undetermined = row["direction"] == "undetermined"
    finding = "it cannot be told from 0" if undetermined else f"it is {row['direction']}"
    return (
        f"at {_between(row['region_low'], row['region_high'])} {finding} "
        f"(n = {format_count(row['n'])}, {format_percent(row['share'])} of {units})"
    )


def _at(row: pd.Series) -> str:
    return f"{interval_of(row)} at {format_alone(row['value'])}"


def _between(low: float, high: float) -> str:
    """Return a range of the moderator, with ends that differ in print."""
    return write_estimate((low + high) / 2.0, low, high).interval


def _note(result: JohnsonNeyman, units: str, conf_level: float) -> str:
    method = _METHODS.get(result.inference.df_method, result.inference.df_method)
    which = (
        "false discovery rate controlled over the observed values of the moderator"
        if result.adjust == "fdr"
        else "each value separately"
    )
    beyond = int((~result.boundaries(conf_level=conf_level)["within_data"]).sum())
    outside = f" {plural(beyond, 'further bound')} outside of the data not drawn." if beyond else ""
    boundary = " The fit is on its boundary." if getattr(result.model, "singular", False) else ""
    return (
        f"Johnson-Neyman: {method}, {which}. Ticks at the bottom: observed values of the "
        f"moderator, {units} (n = {format_count(len(result.support))}).{outside}{boundary}"
    )
