"""Indirect effects along a moderator: with their band, and where they differ from zero."""

import re
from collections.abc import Callable
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.association import Mediation
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.figures.axes import dress, one_panel, room_beside, set_limits
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_level, format_number, plural, with_interval
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, RULE, look, naming

__all__ = ["conditional_effects_figure", "draw_conditional_effects"]

_HEIGHT = 190.0  # pt
_POINTS = 61


def draw_conditional_effects(
    ax: Axes, band: pd.DataFrame, *, null: float, limits: tuple[float, float] | None = None
) -> None:
    """Draw an effect along a moderator with its band and a line at no effect.

    Parameters
    ----------
    ax
        Axes to draw on.
    band
        ``at, estimate, conf_low, conf_high``, in order of ``at``; few values are points.
    null
        The value that means no effect.
    limits
        Limits of the axis of the effect.
    """
    style = look(0)
    ax.axhline(null, color=RULE, lw=0.8, zorder=1)
    at = band["at"].to_numpy(dtype=float)
    low, middle, high = (
        band[name].to_numpy(dtype=float) for name in ("conf_low", "estimate", "conf_high")
    )
    if len(band) >= _POINTS:
        ax.fill_between(at, low, high, color=style.colour, alpha=0.22, lw=0)
        ax.plot(at, middle, color=style.text, lw=1.8, gid="estimate")
    else:
        ax.vlines(at, low, high, color=style.text, lw=1.6, gid="intervals")
        ax.plot(at, middle, "o", color=style.text, ms=4.5, gid="estimate")
    room = 0.06 * (at[-1] - at[0])
    ax.set_xlim(at[0] - room, at[-1] + room)
    ends = np.array([low.min(), high.max(), null])
    pad = 0.06 * (ends.max() - ends.min())
    ax.set_ylim(ends.min() - pad, ends.max() + pad)
    set_limits(ax, limits, axis="y")


@laid_out(COLUMN_AND_HALF)
def conditional_effects_figure(
    found: Mediation,
    *,
    term: str | None = None,
    level: str | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how an indirect effect changes along its moderator.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.mediation` with ``moderator=``.
    term, level
        Which effect, as ``tidy()`` names it: by default the first indirect one.
    conf_level
        Pointwise coverage of the band.
    limits
        Limits of the axis of the effect.
    words
        Variable -> label to print.

    Returns
    -------
    ReportFigure
        ``data``: ``at, estimate, conf_low, conf_high`` along the values asked for; for natural
        effects at these values only.

    Raises
    ------
    NotIdentifiedError
        If the mediation has no moderator, or natural effects at only one value of it.
    DataError
        If the result does not have the effect.

    Examples
    --------
    >>> from alliance_stats import example_study, mediation
    >>> from alliance_stats.figures import conditional_effects_figure
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> found = mediation(
    ...     last, treatment="experience", mediator="alliance", outcome="symptoms", seed=1,
    ...     moderator="session", n_resamples=2000,
    ... )
    >>> conditional_effects_figure(found).label
    'fig-conditional-effects'
    """
    require_kind(
        found, Mediation, asked="conditional_effects_figure draws a mediation", instead=DRAWN_BY
    )
    check_conf_level(conf_level)
    asked = found.asked
    if asked.moderator is None:
        raise NotIdentifiedError("This mediation has no moderator: see mediation_figure.")
    term, level, band = _band(found, term, level, conf_level)
    known = naming(common["words"], (asked.treatment, *asked.targets, asked.moderator))
    null = 1.0 if (found.effects["null"] == 1.0).any() else 0.0
    name = _said(term, level, asked.mediators, known)
    x_label, y_label = known(asked.moderator), f"{name[:1].upper()}{name[1:]}"
    figure, ax = one_panel(_HEIGHT, left=room_beside(y_label, _HEIGHT), right=14.0, x_label=x_label)
    draw_conditional_effects(ax, band, null=null, limits=common["limits"])
    dress(ax, x_label=x_label, y_label=y_label)
    ends = " and ".join(
        f"{with_interval(row.estimate, row.conf_low, row.conf_high)} at "
        f"{format_number(float(row.at), 2)}"
        for row in band.iloc[[0, -1]].itertuples()
    )
    what = f"{y_label} of {known(asked.treatment)} on {known(asked.outcome)} along {x_label}"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-conditional-effects",
        caption=f"{what}, with {format_level(conf_level)} intervals at each value: {ends}; "
        f"{plural(found.rows.n_used, 'row')}.",
        alt=f"A line with its band against {x_label}: {ends}."
        if len(band) >= _POINTS
        else f"Points with intervals against {x_label}: {ends}.",
        note=" ".join([f"{found.method[:1].upper()}{found.method[1:]}.", *found.notes]),
        data=band.reset_index(drop=True),
    )


def _band(
    found: Mediation, term: str | None, level: str | None, conf_level: float
) -> tuple[str, str, pd.DataFrame]:
    """Return the effect that is drawn and its values along the moderator."""
    table = found.tidy(conf_level=conf_level)
    own = table[table["at"].notna()]
    first = own[own["term"].str.contains("indirect")]
    term = str(first["term"].iloc[0]) if term is None else term
    if term not in set(own["term"]):
        raise DataError(f"'{term}' is no effect of this result. {did_you_mean(term, own['term'])}")
    own = own[own["term"] == term]
    level = str(own["level"].iloc[0]) if level is None else level
    if level not in set(own["level"]):
        raise DataError(f"'{term}' has no level '{level}'. {did_you_mean(level, own['level'])}")
    own = own[own["level"] == level].sort_values("at", kind="stable")
    if len(own) < 2:
        raise NotIdentifiedError(
            "The effect is known at one value of the moderator: ask mediation for at= several."
        )
    if found.products is not None:
        grid = np.linspace(float(own["at"].iloc[0]), float(own["at"].iloc[-1]), _POINTS)
        along = found.conditional(list(grid), conf_level=conf_level)
        own = along[(along["term"] == term) & (along["level"] == level)]
    return term, level, own[["at", "estimate", "conf_low", "conf_high"]]


def _said(term: str, level: str, mediators: tuple[str, ...], known: Callable[[str], str]) -> str:
    """Return the effect's name in the reader's words."""
    kind, through, which = term.partition(" through ")
    names = "|".join(map(re.escape, sorted(mediators, key=len, reverse=True)))
    which = re.sub(rf"(?<!\w)(?:{names})(?!\w)", lambda name: str(known(name[0])), which)
    text = f"{kind} effect{through}{which}"
    return f"{text}, {level}" if level else text
