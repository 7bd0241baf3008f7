"""Checks of a linear model, mixed or not: residuals against fitted values, and quantile plots."""

from collections.abc import Mapping
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special, stats

from alliance_stats.arguments import require_kind
from alliance_stats.association import LinearRegression
from alliance_stats.checks import check_conf_level
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import dress, set_limits
from alliance_stats.figures.common import Common, head, in_grid, laid_out, settle
from alliance_stats.figures.numbers import format_count, format_percent, plural
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    FULL_WIDTH,
    RULE,
    Look,
    look,
    naming,
    sheet,
)
from alliance_stats.figures.text import in_sentence
from alliance_stats.multilevel import LinearMixedModel, ResidualChecks

__all__ = [
    "draw_quantiles",
    "draw_residuals",
    "normal_quantiles",
    "residual_checks_figure",
    "residual_figure",
]

_COLUMNS = 3
_NOT_SO = {
    True: "residuals and predicted random effects are neither independent nor (being shrunk) of "
    "full variance",
    False: "residuals are neither independent nor of equal variance",
}
_LEAST_PANEL = 124.0  # pt


def normal_quantiles(values: Array, *, conf_level: float = 0.95) -> pd.DataFrame:
    """Return sorted standardised values beside the normal quantiles they should lie on.

    The i-th of n values stands at the median of its order statistic, the normal quantile of
    ``Beta(i, n + 1 - i)`` at 1/2; `conf_low` and `conf_high` are those of its pointwise interval
    (David & Nagaraja 2003, Order Statistics, sec. 2.5).

    Returns
    -------
    DataFrame
        ``theoretical, estimate, conf_low, conf_high``, in SDs.
    """
    tail = (1.0 - check_conf_level(conf_level)) / 2.0
    n = len(values)
    rank = np.arange(1, n + 1)
    low, middle, high = (
        stats.norm.ppf(stats.beta.ppf(p, rank, n + 1 - rank)) for p in (tail, 0.5, 1.0 - tail)
    )
    return pd.DataFrame(
        {
            "theoretical": middle,
            "estimate": np.sort(values),
            "conf_low": low,
            "conf_high": high,
        }
    )


def draw_quantiles(ax: Axes, quantiles: pd.DataFrame, *, style: Look | None = None) -> None:
    """Draw values against normal quantiles, with the band they should lie in.

    Parameters
    ----------
    quantiles
        From :func:`normal_quantiles`.
    """
    style = style or look(0)
    across = quantiles["theoretical"].to_numpy()
    low, high = quantiles["conf_low"], quantiles["conf_high"]
    ax.fill_between(across, low, high, color=RULE, alpha=0.25, lw=0)
    ax.plot(across, across, color=RULE, lw=0.8, gid="line")
    ax.plot(
        across,
        quantiles["estimate"],
        ls="",
        marker=style.marker,
        ms=_mark_size(len(across)),
        mec="none",
        color=style.text,
        alpha=0.6,
        gid="values",
    )


def draw_residuals(ax: Axes, fitted: Array, residual: Array, *, style: Look | None = None) -> None:
    """Draw standardised residuals against fitted values, with their mean in ten equal parts."""
    style = style or look(0)
    size = _mark_size(len(fitted))
    ax.axhline(0.0, color=RULE, lw=0.8)
    ax.plot(
        fitted,
        residual,
        ls="",
        marker=style.marker,
        ms=size,
        mec="none",
        color=style.colour,
        alpha=0.35,
        gid="values",
    )
    parts = np.array_split(np.argsort(fitted, kind="stable"), min(10, len(fitted)))
    middle = [float(np.mean(fitted[part])) for part in parts]
    ax.plot(middle, [float(np.mean(residual[part])) for part in parts], color="black", lw=1.4)


@laid_out(FULL_WIDTH)
def residual_figure(
    model: LinearMixedModel | LinearRegression,
    *,
    outcome_label: str = "the outcome",
    **common: Unpack[Common],
) -> ReportFigure:
    """Show whether residuals and random effects look as the model assumes.

    Parameters
    ----------
    model
        A fitted linear mixed model or linear regression.
    outcome_label
        The outcome and its unit: ``"alliance (WAI points)"``.
    limits
        Limits of the axis of the residuals.
    words
        Labels of the groupings: ``{"therapist:family": "Families of a therapist"}``. Those not
        named are called "family of therapist".

    Returns
    -------
    ReportFigure
        ``data`` has the points of every panel.

    Raises
    ------
    NotIdentifiedError
        If all residuals are equal.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.figures import residual_figure
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | person)", sessions)
    >>> residual_figure(model).label
    'fig-residuals'
    """
    asked = "residual_figure draws a model of lmm or a linear regression"
    require_kind(model, (LinearMixedModel, LinearRegression), asked=asked, instead=DRAWN_BY)
    rows = model.augment()
    residual = rows["residual_standardised"].to_numpy(dtype=float)
    if not np.ptp(residual) > 0:
        raise NotIdentifiedError("All residuals of the model are alike: nothing to check.")
    fitted = rows["fitted"].to_numpy(dtype=float)
    values = {"Residuals": _standardised(residual)}
    if isinstance(model, LinearMixedModel):
        values |= _effects(model, common["words"])
    else:
        naming(common["words"], [])
    quantiles = {name: normal_quantiles(own) for name, own in values.items()}
    told = "; ".join(_outside(name, own) for name, own in quantiles.items())
    residuals = pd.DataFrame({"part": "residual", "fitted": fitted, "estimate": residual})
    return ReportFigure(
        _page(fitted, residual, quantiles, outcome_label=outcome_label, limits=common["limits"]),
        label=common["label"] or "fig-residuals",
        caption=f"Checks of the model of {outcome_label}: residuals against fitted values (black: "
        f"means of ten equal parts), and quantiles against the normal's with their 95% band; "
        f"{plural(model.nobs, 'row')}.",
        alt=f"{plural(1 + len(quantiles), 'panel')} of points: residuals against fitted values, "
        f"and quantile plots with their band. {told}.",
        note=f"{model.formula}, {plural(model.nobs, 'row')}. Grey: pointwise 95% band of a normal "
        f"sample of independent values; {_NOT_SO[len(values) > 1]}, so each set is divided by its "
        "own SD.",
        data=pd.concat(
            [residuals, *(own.assign(part=name) for name, own in quantiles.items())],
            ignore_index=True,
        ),
    )


def _page(
    fitted: Array,
    residual: Array,
    quantiles: Mapping[str, pd.DataFrame],
    *,
    outcome_label: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Return the panel of residuals, and one for each set of quantiles."""
    cells = 1 + len(quantiles)
    columns = min(2 if cells in (2, 4) else _COLUMNS, max(int(sheet().width / _LEAST_PANEL), 1))
    figure, axes = in_grid(cells, columns, 194.0)
    draw_residuals(axes[0], fitted, residual)
    set_limits(axes[0], limits, axis="y")
    dress(
        axes[0],
        x_label=f"Fitted {in_sentence(outcome_label)}",
        y_label="Standardised residual (SD)",
    )
    room = sheet().width / columns - 60.0
    for place, (name, own) in enumerate(quantiles.items()):
        ax = axes[1 + place]
        draw_quantiles(ax, own, style=look(place))
        dress(ax, x_label="Normal quantile (SD)", y_label="Observed quantile (SD)")
        head(ax, name, f"n = {format_count(len(own))}", room=room, colour=look(place).text)
    settle(figure)
    return figure


@laid_out(FULL_WIDTH)
def residual_checks_figure(
    checks: ResidualChecks,
    *,
    outcome_label: str = "the outcome",
    **common: Unpack[Common],
) -> ReportFigure:
    """Show simulated residuals: their distribution, and whether they depend on the expectation.

    Parameters
    ----------
    checks
        From :func:`~alliance_stats.residual_checks`.
    outcome_label
        The outcome and its unit.
    limits
        Limits of the axis of the residuals, in SDs of the normal.
    words
        Refused: there are no names to replace.

    Returns
    -------
    ReportFigure
        ``data`` has the points of both panels.

    Examples
    --------
    >>> from alliance_stats import example_study, glmm, residual_checks
    >>> from alliance_stats.figures import residual_checks_figure
    >>> early = example_study().sessions.query("session <= 4")
    >>> low = early.assign(low=lambda d: 1 * (d["alliance"] < 4))
    >>> model = glmm("low ~ session + (1 | person)", low)
    >>> residual_checks_figure(residual_checks(model, n_resamples=40, seed=1)).label
    'fig-residual-checks'
    """
    asked = "residual_checks_figure draws a result of residual_checks"
    require_kind(checks, (ResidualChecks,), asked=asked, instead=DRAWN_BY)
    naming(common["words"], [])
    rows, n = checks.residuals, len(checks.residuals)
    quantiles = checks.envelope.assign(estimate=np.sort(rows["residual"].to_numpy()))
    points = pd.DataFrame(
        {
            "part": "residual",
            "fitted": rows["expected"].to_numpy(),
            "estimate": special.ndtri(rows["residual"].to_numpy()),
        }
    )
    figure, (left, right) = in_grid(2, 2, 194.0)
    draw_quantiles(left, quantiles)
    dress(left, x_label="Uniform quantile", y_label="Residual's quantile")
    draw_residuals(right, points["fitted"].to_numpy(), points["estimate"].to_numpy())
    set_limits(right, common["limits"], axis="y")
    dress(right, x_label=f"Expected {in_sentence(outcome_label)}", y_label="Residual (normal SD)")
    settle(figure)
    told = _outside("Residuals", quantiles)
    drawn = f"{format_count(checks.n_resamples)} simulated data sets"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-residual-checks",
        caption=f"Checks of the model of {outcome_label} by {drawn}: quantiles of the residuals "
        "against the uniform's with the band of data that the model makes, and residuals against "
        f"what is expected (black: means of ten equal parts); {plural(n, 'row')}.",
        alt=f"Two panels of points: a quantile plot with its band, and residuals against expected "
        f"values. {told}.",
        note=f"{checks.formula}, {plural(n, 'row')}. A residual is the place of an outcome among "
        "those simulated for its row, ties broken at random. Grey: pointwise 95% band.",
        data=pd.concat([points, quantiles.assign(part="quantile")], ignore_index=True),
    )


def _effects(model: LinearMixedModel, words: Mapping[str, str] | None) -> dict[str, Array]:
    """Return each grouping's predicted effects in SDs; those that do not vary are left out."""
    table = model.tidy(effects="ran_vals")
    said = naming(words, [*table["group"]])
    found = {}
    for (group, term), part in table.groupby(["group", "term"], sort=False):
        values = part["estimate"].to_numpy(dtype=float)
        if len(values) > 2 and values.std() > 1e-10 * max(model.sigma, 1e-300):
            own_words = said(group)
            plain = " of ".join(reversed(str(group).split(":")))
            unit = plain if own_words == str(group) else own_words
            own = "" if term == "(Intercept)" else f", slope of {term}"
            found[f"{unit[:1].upper()}{unit[1:]}{own}"] = _standardised(values)
    return found


def _standardised(values: Array) -> Array:
    return np.asarray((values - values.mean()) / values.std(ddof=1))


def _outside(name: str, quantiles: pd.DataFrame) -> str:
    out = (quantiles["estimate"] < quantiles["conf_low"]) | (
        quantiles["estimate"] > quantiles["conf_high"]
    )
    share = format_percent(float(out.mean()))
    return f"{name}: {share} of {format_count(len(quantiles))} outside the band"


def _mark_size(n: int) -> float:
    return float(np.clip(60.0 / np.sqrt(max(n, 1)), 1.2, 4.0))
