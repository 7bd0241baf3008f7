"""One finding under several models or rules: coefficients side by side, specification curves."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from alliance_stats.account import Accountable
from alliance_stats.arguments import require_kind
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    draw_beyond,
    dress,
    log_axis,
    one_panel,
    set_limits,
    width_in_points,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.forest import Coefficients, coefficients_of, forest_page, limits_of
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    format_count,
    format_level,
    interval_of,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import FULL_WIDTH, RULE, Look, looks, naming, sheet
from alliance_stats.figures.text import lines_height, widest, wrap
from alliance_stats.groups import Multiverse

__all__ = ["coefficients_figure", "draw_coefficients", "specification_figure"]

_NAMES = 150.0  # pt, on a full page
_LANE = 11.0  # pt, of a model within a row


def draw_coefficients(
    ax: Axes,
    estimates: pd.DataFrame,
    *,
    ratios: bool = False,
    styles: Mapping[str, Look],
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw one row per coefficient, with a mark and interval for each model.

    Parameters
    ----------
    ax
        Axes to draw on; names are written to the left.
    estimates
        ``model, term, estimate, conf_low, conf_high``; a model without a coefficient has no row.
    ratios
        Whether they are ratios, which are drawn on a log axis with a line at 1.
    styles
        Model -> its look, in the order of the lanes.
    limits
        Axis limits; what extends beyond them ends in an arrow.
    """
    terms, heights = _rows(estimates, len(styles))
    centres = np.cumsum(heights) - heights / 2.0
    values = estimates[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float)
    if ratios:
        _ratio_axis(ax, values)
    else:
        known = values[np.isfinite(values)]
        low, high = known.min(initial=0.0), known.max(initial=0.0)
        pad = 0.05 * (high - low) or 0.5
        ax.set_xlim(low - pad, high + pad)
        ax.xaxis.set_major_locator(MaxNLocator(max(int(width_in_points(ax) / 40.0), 2)))
    set_limits(ax, limits, axis="x")  # before what leaves the axis is drawn
    ax.axvline(1.0 if ratios else 0.0, color=RULE, lw=0.8, zorder=1)
    first = -(len(styles) - 1) / 2.0 * _LANE
    for lane, (name, style) in enumerate(styles.items()):
        own = estimates[estimates["model"] == name]
        for row in own.itertuples():
            centre = centres[terms.index(row.term)] + first + lane * _LANE
            ends = [row.conf_low, row.conf_high]
            ax.plot(ends, [centre] * 2, color=style.colour, ls=style.dash, lw=1.2, gid="interval")
            ax.plot(row.estimate, centre, style.marker, color=style.text, ms=4.5, gid="estimate")
            draw_beyond(ax, row.conf_low, row.conf_high, row.estimate, centre, colour=style.colour)
    for edge in np.cumsum(heights)[:-1]:
        ax.axhline(edge, color="#e6e6e6", lw=0.6, zorder=0)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    write_rows(ax, terms, centres, x=-8.0, ha="right", width=sheet().part(_NAMES))


@laid_out(FULL_WIDTH)
def coefficients_figure(
    models: Mapping[str, Accountable],
    *,
    terms: Sequence[str] | None = None,
    estimate_label: str | None = None,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the coefficients of several models side by side, intercepts left out.

    Parameters
    ----------
    models
        Name -> model, all on the same scale (coefficients, or one kind of ratio).
    terms
        Which coefficients, in order; all by default.
    estimate_label
        What they are; by default, what the accounts call them.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Coefficient or model -> label to print.

    Returns
    -------
    ReportFigure
        ``data``: ``model, term, estimate, conf_low, conf_high``.

    Raises
    ------
    DataError
        If there is no model, they are on different scales, or a term is in none of them.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.figures import coefficients_figure
    >>> sessions = example_study().sessions
    >>> one = lmm("symptoms ~ session + (1 | person)", sessions)
    >>> two = lmm("symptoms ~ session + alliance + (1 | person)", sessions)
    >>> coefficients_figure({"growth": one, "alliance": two}).label
    'fig-coefficients'
    """
    found = _found(models, conf_level)
    table = _chosen(pd.concat([one.frame.assign(model=name) for name, one in found.items()]), terms)
    said = naming(common["words"], [*table["term"], *models])
    table = table.assign(term=table["term"].map(said), model=table["model"].map(said))
    styles = looks([said(name) for name in models])
    first = next(iter(found.values()))
    labels = LineLabels.of([[name] for name in styles], [*styles.values()], width=100.0)
    rows, heights = _rows(table, len(styles))
    x_label = f"{estimate_label or first.label} ({format_level(conf_level)} CI)"
    height = max(float(heights.sum()), labels.height)
    figure, ax = one_panel(
        height,
        left=14.0 + widest(rows, sheet().part(_NAMES)),
        right=labels.right,
        above=labels.above,
        x_label=x_label,
    )
    draw_coefficients(
        ax, table, ratios=first.scale == "ratio", styles=styles, limits=common["limits"]
    )
    labels.write(ax, [height * (0.08 + 0.12 * i) for i in range(len(styles))])
    dress(ax, x_label=x_label)
    ax.spines["left"].set_visible(False)
    names = [f"{row.term}, {row.model}" for row in table.itertuples()]
    numbers = [interval_of(row, kind=first.kind) for _, row in table.iterrows()]
    return ReportFigure(
        figure,
        label=common["label"] or "fig-coefficients",
        caption=f"{estimate_label or first.label} of {plural(len(rows), 'predictor')} in "
        f"{plural(len(styles), 'model')}, with {format_level(conf_level)} confidence intervals.",
        alt=f"{plural(len(rows), 'row')} of marks with intervals, one for each of "
        f"{', '.join(styles)}. {listed(names, numbers, of=plural(len(names), 'coefficient'))}.",
        note=" ".join(f"{said(name)}: {one.method}" for name, one in found.items()),
        data=table.reset_index(drop=True),
    )


def _found(models: Mapping[str, Accountable], conf_level: float) -> dict[str, Coefficients]:
    """Return the coefficients of each model, all on one scale."""
    if not isinstance(models, Mapping) or not models:
        raise DataError("coefficients_figure draws a mapping of models: {'Model 1': model, ...}.")
    for model in models.values():
        require_kind(model, Accountable, asked="coefficients_figure draws results of this package")
    found = {name: coefficients_of(model, conf_level) for name, model in models.items()}
    scales = dict.fromkeys(one.label for one in found.values())
    if len(scales) > 1:
        raise DataError(
            f"The models are on different scales ({', '.join(scales)}): draw each kind separately."
        )
    return found


def _chosen(table: pd.DataFrame, terms: Sequence[str] | None) -> pd.DataFrame:
    """Return the coefficients asked for, in that order; all of them, if none are named."""
    if terms is None:
        return table
    for term in terms:
        if term not in set(table["term"]):
            near = did_you_mean(term, table["term"].unique())
            raise DataError(f"No model has a coefficient '{term}'. {near}")
    table = table[table["term"].isin(list(terms))]
    return table.sort_values("term", key=lambda c: c.map(list(terms).index), kind="stable")


@laid_out(FULL_WIDTH)
def specification_figure(
    multiverse: Multiverse,
    *,
    outcome: str,
    outcome_label: str = "",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show one comparison under every rule of success, from the smallest difference to the largest.

    A specification curve (Simonsohn et al. 2020, doi:10.1038/s41562-020-0912-z) whose rows are
    named: how far the finding depends on the definition.

    Parameters
    ----------
    multiverse
        From ``classify_many(...).compare(...)``.
    outcome
        Which of its outcomes.
    outcome_label
        Quantity and unit; the column's name by default.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Rule -> label to print.

    Returns
    -------
    ReportFigure
        ``data``: a row per rule, ``term, estimate, conf_low, conf_high, p_value``, in order.

    Raises
    ------
    DataError
        If there is no such outcome, or no rule gave an estimate.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import classify_many
    >>> from alliance_stats.figures import specification_figure
    >>> from alliance_stats.groups import cut_point
    >>> data = pd.DataFrame({
    ...     "last": [4.0, 5.5, 6.0, 3.0, 5.8, 2.5, 6.1, 4.4],
    ...     "mean": [5.1, 4.0, 6.0, 3.2, 5.5, 2.0, 5.9, 5.2],
    ...     "symptoms": [50, 40, 35, 60, 42, 66, 30, 52],
    ... })
    >>> rules = {name: cut_point(name, 5, better="higher") for name in ("last", "mean")}
    >>> many = classify_many(data, rules).compare(outcomes=["symptoms"])
    >>> specification_figure(many, outcome="symptoms").label
    'fig-specifications'
    """
    asked = "specification_figure draws comparisons under several rules"
    require_kind(multiverse, Multiverse, asked=asked, instead=DRAWN_BY)
    tidy = multiverse.tidy(conf_level=conf_level)
    if outcome not in set(tidy["outcome"]):
        near = did_you_mean(outcome, tidy["outcome"].unique())
        raise DataError(f"'{outcome}' was not compared. {near}")
    own = tidy[(tidy["outcome"] == outcome) & tidy["estimate"].notna()]
    if own.empty:
        raise DataError(f"No rule gave an estimate of '{outcome}': there is nothing to draw.")
    own = own.sort_values("estimate", kind="stable").reset_index(drop=True)
    said = naming(common["words"], [*own["rule"], outcome])
    columns = ["estimate", "conf_low", "conf_high", "p_value"]
    rows = own[columns].assign(term=own["rule"].map(said))
    numbers = [interval_of(row) for _, row in rows.iterrows()]
    called = outcome_label or said(outcome)
    estimand = str(own["estimand"].iloc[0])
    x_label = f"{estimand[:1].upper()}{estimand[1:]}, {called}"
    level = f"{format_level(conf_level)} CI"
    figure = forest_page(
        rows, numbers, scale="difference", x_label=x_label, level=level, limits=common["limits"]
    )
    apart = int(((rows["conf_low"] > 0) | (rows["conf_high"] < 0)).sum())
    n = len(rows)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-specifications",
        caption=f"{x_label}, under {plural(n, 'rule')} of success, from the smallest to the "
        f"largest, with {level}; {format_count(apart)} of {format_count(n)} intervals leave out 0.",
        alt=f"Rows of {estimand}s in {called} in ascending order around a line at 0. "
        f"{listed(rows['term'], numbers, of=plural(n, 'rule'))}.",
        note="The rules are several definitions of one question, not several hypotheses: nothing "
        f"is corrected over them. {' '.join(multiverse.notes)}".strip(),
        data=rows[["term", *columns]],
    )


def _rows(estimates: pd.DataFrame, n_models: int) -> tuple[list[str], Array]:
    """Return the coefficients and the height of the row of each, in points."""
    terms = [str(term) for term in dict.fromkeys(estimates["term"])]
    room = sheet().part(_NAMES)
    names = [lines_height(len(wrap(term, room))) for term in terms]
    return terms, np.array([max(name, n_models * _LANE) + 8.0 for name in names])


def _ratio_axis(ax: Axes, values: Array) -> None:
    """Give `ax` a log axis of ratios that shows estimates and limits (rows x 3), and 1."""
    frame = pd.DataFrame(values, columns=["estimate", "conf_low", "conf_high"])
    low, high = limits_of(frame, "ratio")
    log_axis(ax, low, high)
    ax.set_xlim(low, high)
