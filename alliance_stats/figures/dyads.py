"""Dyads: actor and partner effects, and whose variance the alliance reflects."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.family import APIM, OneWithMany
from alliance_stats.figures.axes import dress, one_panel, percent_axis, set_limits, write_rows
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.numbers import (
    format_bounded,
    format_level,
    format_percent,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, INK, Theme, font, look, naming, sheet
from alliance_stats.figures.text import lines_height, text_width, widest, wrap
from alliance_stats.multilevel import Bootstrap

__all__ = ["actor_partner_figure", "draw_variance_bars", "one_with_many_figure"]

_NAME_WIDTH = 96.0  # pt
_OVER_BAR = 0.28  # of a row, the room above its bar
_ROW = 46.0  # pt
_SOURCES = ("client", "therapist")


def actor_partner_figure(
    model: APIM,
    *,
    outcome_label: str,
    conf_level: float = 0.95,
    label: str | None = None,
    width: float | None = None,
    theme: Theme | None = None,
    limits: tuple[float, float] | None = None,
    words: Mapping[str, str] | None = None,
) -> ReportFigure:
    """Show actor and partner effects with their intervals, a row each.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.family.apim`.
    outcome_label
        Unit of an effect, ``"Symptom points per alliance point"``.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Row -> label to print.

    Examples
    --------
    >>> from alliance_stats import apim, example_study
    >>> from alliance_stats.figures import actor_partner_figure
    >>> sessions = example_study().sessions.query("session == 1")
    >>> couples = sessions[sessions["role"].isin(["mother", "father"])]
    >>> model = apim(
    ...     couples, dyad="family", member="role", outcome="symptoms", predictors="alliance"
    ... )
    >>> actor_partner_figure(model, outcome_label="Symptoms").label
    'fig-actor-partner'
    """
    asked = "actor_partner_figure draws a model of apim"
    require_kind(model, APIM, asked=asked, instead=DRAWN_BY)
    tidy = model.tidy(conf_level=conf_level)
    tidy = tidy[tidy["effect"] != "mean"]
    terms = [
        _whose(str(row.effect), str(row.predictor), row.role, model.members)
        for row in tidy.itertuples()
    ]
    rows = tidy[["estimate", "conf_low", "conf_high"]].assign(term=terms)
    who = "members told apart by role" if model.members else "members not told apart"
    n = int(model.glance()["n_dyads"].iloc[0])
    together = format_bounded(model.residual_correlation)
    return forest_figure(
        rows[["term", "estimate", "conf_low", "conf_high"]].reset_index(drop=True),
        estimate_label=outcome_label,
        method=f"Actor-partner interdependence model of {plural(n, 'dyad')}, {who}; REML, df by "
        f"Satterthwaite; residuals of a dyad correlate {together}",
        scale="difference",
        conf_level=conf_level,
        label=label or "fig-actor-partner",
        width=width,
        theme=theme,
        limits=limits,
        words=words,
    )


def _whose(effect: str, predictor: str, role: str | None, members: tuple[str, ...]) -> str:
    """Say whose predictor goes with whose outcome."""
    if not members:
        return f"{'Own' if effect == 'actor' else 'The other’s'} {predictor}"
    other = next(member for member in members if member != role)
    return f"{role}: {'own' if effect == 'actor' else f'{other}’s'} {predictor}"


def draw_variance_bars(ax: Axes, shares: pd.DataFrame) -> None:
    """Draw a bar per source, from 0 to 1, split into its parts; whiskers on the first part.

    Parameters
    ----------
    ax
        Axes to draw on.
    shares
        A row per source: ``share`` (the therapists' part), ``conf_low, conf_high`` (may be
        missing).
    """
    first, second = look(0), look(1)
    for place, row in enumerate(shares.itertuples()):
        ax.barh(
            place, row.share, height=0.36, color=first.colour, alpha=0.75, lw=0, gid="therapist"
        )
        ax.barh(
            place,
            1.0 - row.share,
            left=row.share,
            height=0.36,
            color=second.colour,
            alpha=0.45,
            lw=0,
            hatch="///",
            edgecolor="white",
            gid="dyad",
        )
        if np.isfinite(row.conf_low):
            ax.plot([row.conf_low, row.conf_high], [place] * 2, color=INK, lw=1.6, gid="interval")
    percent_axis(ax)
    ax.set_ylim(len(shares) - 0.5, -0.5)
    ax.set_yticks([])


@laid_out(FULL_WIDTH)
def one_with_many_figure(
    found: OneWithMany,
    *,
    intervals: Bootstrap | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the therapists' share of the variance in either side's ratings.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.family.one_with_many`.
    intervals
        ``found.bootstrap(seed=...)``; without it the bars have no whiskers, as the note says.
    limits
        Limits of the axis of shares.
    words
        ``"client"`` or ``"therapist"`` -> label for whose ratings they are.

    Examples
    --------
    >>> from alliance_stats import example_study, one_with_many
    >>> from alliance_stats.figures import one_with_many_figure
    >>> first = example_study().sessions.query("session == 1")
    >>> model = one_with_many(
    ...     first, therapist="therapist", client="person", by_client="alliance",
    ...     by_therapist="therapist_alliance",
    ... )
    >>> one_with_many_figure(model).label
    'fig-one-with-many'
    """
    asked = "one_with_many_figure draws a result of one_with_many"
    require_kind(found, OneWithMany, asked=asked, instead=DRAWN_BY)
    tidy = found.tidy()
    shares = _shares(tidy, intervals, conf_level)
    room, said = sheet().part(_NAME_WIDTH), naming(common["words"], _SOURCES)
    own = {source: f"{source.capitalize()}s’ ratings" for source in _SOURCES}
    names = [own[x] if said(x) == x else said(x) for x in _SOURCES]
    left = 16.0 + widest(names, room)
    right = 4.0 + text_width("100%") / 2.0
    parts = [_parts(tidy, source, sheet().width - left - right) for source in _SOURCES]
    lines = max(len(part) for both in parts for part in both)
    row = _ROW + lines_height(lines - 1)
    x_label = "Share of the variance of the ratings"
    above = 8.0 + max(lines_height(lines) - _OVER_BAR * row, 0.0)
    figure, ax = one_panel(2 * row, left=left, right=right, above=above, x_label=x_label)
    draw_variance_bars(ax, shares)
    set_limits(ax, common["limits"], axis="x")
    write_rows(ax, names, np.array([0.0, 1.0]), x=-8.0, ha="right", width=room)
    _write_parts(ax, parts)
    dress(ax, x_label=x_label)
    ax.spines["left"].set_visible(False)
    told = "; ".join(
        f"{row.source}s’ ratings {format_percent(row.share)}{_limits(row)}"
        for row in shares.itertuples()
    )
    how = "No intervals were drawn."
    if intervals is not None:
        how = (
            f"Whiskers: {format_level(conf_level)} percentile interval of the therapists’ share "
            f"from {len(intervals.draws)} parametric bootstrap draws."
        )
    n = int(found.glance()["n_dyads"].iloc[0])
    return ReportFigure(
        figure,
        label=common["label"] or "fig-one-with-many",
        caption=f"Share of the alliance that belongs to therapists: {told}.",
        alt=f"Two bars, one for clients’ and one for therapists’ ratings, each split at the "
        f"therapists’ share: {told}. {_reciprocity(tidy)}.",
        note=f"Reciprocal one-with-many model of {plural(n, 'dyad')}. {how} The rest holds "
        "relationship and error, which one rating per dyad cannot tell apart.",
        data=shares,
    )


def _reciprocity(tidy: pd.DataFrame) -> str:
    both = tidy[tidy["source"] == "both"].set_index("term")["estimate"]
    told = (f"{str(term).capitalize()} {format_bounded(value)}" for term, value in both.items())
    return "; ".join(told)


def _write_parts(ax: Axes, parts: Sequence[tuple[list[str], list[str]]]) -> None:
    """Write what either end of each bar is above it."""
    for place, words in enumerate(parts):
        for end, align in ((0, "left"), (1, "right")):
            ax.text(
                end,
                place - 0.5 + _OVER_BAR,
                "\n".join(words[end]),
                ha=align,
                va="bottom",
                transform=ax.get_yaxis_transform(),
                **font(colour=look(end).text),
            )


def _shares(tidy: pd.DataFrame, intervals: Bootstrap | None, conf_level: float) -> pd.DataFrame:
    shares = tidy[(tidy["level"] == "therapist") & (tidy["source"] != "both")][["source", "share"]]
    if intervals is None:
        return shares.assign(conf_low=np.nan, conf_high=np.nan).reset_index(drop=True)
    limits = intervals.tidy(conf_level=conf_level).set_index("term")
    limits = limits.loc[[f"{source}|share" for source in shares["source"]]]
    return shares.assign(
        conf_low=limits["conf_low"].to_numpy(), conf_high=limits["conf_high"].to_numpy()
    ).reset_index(drop=True)


def _parts(tidy: pd.DataFrame, source: str, width: float) -> tuple[list[str], list[str]]:
    """Return the words above the two ends of a bar, wrapped where they would meet."""
    own = tidy[tidy["source"] == source].set_index("level")["share"]
    role = "partner" if source == "client" else "perceiver"
    left = f"Therapist ({role}) {format_percent(own['therapist'])}"
    right = f"Client, relationship and error {format_percent(own['dyad'])}"
    first = min(text_width(left), 0.45 * width)
    return wrap(left, first + 1.0), wrap(right, width - first - 12.0)


def _limits(row: object) -> str:
    low, high = getattr(row, "conf_low", np.nan), getattr(row, "conf_high", np.nan)
    return f" [{format_percent(low)}, {format_percent(high)}]" if np.isfinite(low) else ""
