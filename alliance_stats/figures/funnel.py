"""Funnel plots: estimates against their standard errors, with Egger's test of a meta-analysis."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level, describe_rows
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.evidence.meta.meta_analysis import funnel_asymmetry
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.figures.axes import draw_beyond, dress, one_panel, room_beside
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import (
    format_alone,
    format_count,
    format_df,
    format_level,
    plural,
    t_phrase,
)
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, GREY, look, naming
from alliance_stats.renaming import known, moved

__all__ = [
    "check_pooled",
    "draw_funnel",
    "effect_in_words",
    "effect_names",
    "funnel_figure",
    "pooling_in_words",
]

_METHODS = {
    "REML": "Random effects, variance by REML",
    "DL": "Random effects, variance by DerSimonian and Laird",
    "PM": "Random effects, variance by Paule and Mandel",
    "fixed": "Fixed effect",
}
_TESTS = {
    "knapp-hartung": "Knapp-Hartung",
    "knapp-hartung-adhoc": "Knapp-Hartung, never narrower than the normal interval",
}
_FEW = 10  # fewer effects leave the test next to no power (Sterne et al. 2011)
_CONTOURS = ((0.9, "#ffffff"), (0.95, "#e9e9e9"), (0.99, "#d2d2d2"))  # level -> shade beyond it
_HEIGHT = 200.0  # pt
_WIDEST = 6.0  # median errors; studies of larger ones are arrows at the foot


def draw_funnel(
    ax: Axes,
    studies: pd.DataFrame,
    *,
    pooled: float,
    conf_level: float = 0.95,
    contours: bool = True,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw each study at its effect and standard error (downwards), within pseudo limits.

    Parameters
    ----------
    studies
        ``estimate, std_error``.
    pooled
        The pooled effect; the limits are ``pooled -+ z * std_error``, the range that sampling error
        alone would give with one true effect.
    contours
        Shade where an effect differs from 0 at .10, .05 and .01 (Peters et al. 2008,
        doi:10.1016/j.jclinepi.2007.11.010): studies missing where effects are not significant
        suggest publication bias, those missing elsewhere other reasons.
    limits
        Limits of the axis of effects; studies beyond them are arrows at the edge, as are those
        of an error out of proportion at the foot.
    """
    errors = studies["std_error"]
    lowest = 1.08 * float(errors[errors <= _WIDEST * errors.median()].max())
    half = stats.norm.isf((1.0 - conf_level) / 2.0) * lowest
    seen = [*studies["estimate"], pooled - half, pooled + half, 0.0 if contours else pooled]
    pad = 0.04 * (max(seen) - min(seen))
    low, high = limits or (min(seen) - pad, max(seen) + pad)
    ax.set_xlim(low, high)
    ax.set_ylim(lowest, 0.0)
    if contours:
        _shade(ax, lowest)
    ax.plot([pooled - half, pooled, pooled + half], [lowest, 0.0, lowest], color=GREY, lw=0.8)
    ax.plot([pooled, pooled], [0.0, lowest], color=GREY, lw=0.8, dashes=(4, 2), gid="pooled")
    style = look(0)
    ax.plot(
        studies["estimate"],
        studies["std_error"],
        ls="",
        marker=style.marker,
        ms=5 if len(studies) < 60 else 3.5,
        mec="white",
        mew=0.4,
        color=style.text,
        alpha=0.8,
        gid="studies",
    )
    for row in studies.itertuples():
        foot = min(row.std_error, lowest)
        draw_beyond(ax, low, high, row.estimate, foot, colour=style.text)
        if row.std_error > lowest and low <= row.estimate <= high:
            ax.plot(
                row.estimate, lowest, marker="v", ms=4, color=style.text, clip_on=False,
                gid="beyond",
            )  # fmt: skip


def _shade(ax: Axes, lowest: float) -> None:
    """Shade where an effect is significant: paler where less so, not at all within the least."""
    low, high = ax.get_xlim()
    errors = np.array([0.0, lowest])
    for level, shade in _CONTOURS:
        bound = stats.norm.isf((1.0 - level) / 2.0) * errors
        for side, edge in ((-1.0, low), (1.0, high)):
            if side * edge > 0:
                ends = np.full(2, edge)
                ax.fill_betweenx(
                    errors, side * bound, ends, where=side * (ends - side * bound) >= 0,
                    interpolate=True, color=shade if shade != "#ffffff" else "#f6f6f6", lw=0,
                    zorder=0.1, gid=f"contour {level:g}",
                )  # fmt: skip


@known(pooled="meta_analysis", method="meta_analysis")
@laid_out(COLUMN_AND_HALF)
def funnel_figure(
    meta: MetaAnalysis,
    *,
    names: pd.Series | None = None,
    effect_label: str = "",
    contours: bool = True,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show estimates against their standard errors, precise ones on top, on the pooled scale.

    Parameters
    ----------
    meta
        A meta-analysis without moderators.
    names
        Name of each estimate, indexed like the data.
    effect_label
        The effect and its scale in words.
    contours
        See :func:`draw_funnel`.
    conf_level
        Of the pseudo limits, ``pooled -+ z * std_error``.
    limits
        Limits of the axis of effects.

    Returns
    -------
    ReportFigure
        ``data`` has ``term, estimate, std_error``, the ``pooled`` estimate, and ``limit_low,
        limit_high`` at each standard error. The note gives Egger's test (Egger et al. 1997,
        doi:10.1136/bmj.315.7109.629), or why there is none.

    Raises
    ------
    DataError
        If `meta` is not a meta-analysis, or a name is missing.
    NotIdentifiedError
        If there are moderators: the funnel then has no single centre.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.figures import funnel_figure
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> funnel_figure(meta_analysis(studies, r="r", n="n")).label
    'fig-funnel'
    """
    check_pooled(meta)
    check_conf_level(conf_level)
    data = _points(meta, names, conf_level)
    said = naming(common["words"], [*data["term"]])
    data = data.assign(term=[said(name) for name in data["term"]])
    pooled = float(data["pooled"].iloc[0])
    what = effect_label or effect_in_words(meta, "fitted")
    beyond = (data["estimate"] < data["limit_low"]) | (data["estimate"] > data["limit_high"])
    found = _found(pooled, int(beyond.sum()), plural(len(data), "estimate"), conf_level)
    return ReportFigure(
        _page(
            data,
            pooled,
            what,
            contours=contours,
            conf_level=conf_level,
            limits=common["limits"],
        ),
        label=common["label"] or "fig-funnel",
        caption=f"{what}: funnel plot. {found}",
        alt=f"Points of estimates around a vertical line at {format_alone(pooled)}, within a "
        f"triangle of limits, precise ones on top. {found}",
        note=f"{pooling_in_words(meta)} {_egger(meta)} {_note(contours)}{_far(data)}",
        data=data,
    )


meta_funnel_figure = moved("meta_funnel_figure", "funnel_figure")


def _page(
    points: pd.DataFrame,
    pooled: float,
    effect_label: str,
    *,
    contours: bool,
    conf_level: float,
    limits: tuple[float, float] | None,
) -> Figure:
    y_label = "Standard error (precise estimates on top)"
    left = room_beside(y_label, _HEIGHT)
    figure, ax = one_panel(_HEIGHT, left=left, right=14.0, above=16.0, x_label=effect_label)
    draw_funnel(ax, points, pooled=pooled, conf_level=conf_level, contours=contours, limits=limits)
    dress(ax, x_label=effect_label, y_label=y_label)
    return figure


def _found(pooled: float, outside: int, of: str, conf_level: float) -> str:
    return (
        f"Pooled {format_alone(pooled)}; {format_count(outside)} of {of} outside the "
        f"{format_level(conf_level)} limits."
    )


def _note(contours: bool) -> str:
    shades = (
        " Shades: significantly different from 0 at .10, .05 and .01, from pale to dark."
        if contours
        else ""
    )
    return (
        "Limits: pooled effect and sampling error alone; with heterogeneity more lie outside."
        f"{shades} An uneven funnel has other reasons than publication too."
    )


def _far(studies: pd.DataFrame) -> str:
    """Say how many are below the foot of the figure."""
    n = int((studies["std_error"] > _WIDEST * studies["std_error"].median()).sum())
    return f" Arrows at the foot: {plural(n, 'estimate')} of a larger error." if n else ""


def _points(meta: MetaAnalysis, names: pd.Series | None, conf_level: float) -> pd.DataFrame:
    pooled, std_error = float(meta.fit.beta[0]), np.sqrt(meta.effects.v)
    half = stats.norm.isf((1.0 - conf_level) / 2.0) * std_error
    return pd.DataFrame(
        {
            "term": effect_names(meta, names),
            "estimate": meta.effects.y,
            "std_error": std_error,
            "pooled": pooled,
            "limit_low": pooled - half,
            "limit_high": pooled + half,
        }
    )


def _egger(meta: MetaAnalysis) -> str:
    """Return Egger's test in words, or why there is none."""
    try:
        found = funnel_asymmetry(meta).iloc[0]
    except NotIdentifiedError as error:
        return f"No test of asymmetry: {error}"
    slope = format_alone(found["estimate"])
    tested = t_phrase(found["statistic"], found["df"], found["p_value"])
    k = len(meta.effects.y)
    few = f" With {plural(k, 'estimate')} this test has little power." if k < _FEW else ""
    return f"Egger's test: slope on the standard error {slope}, {tested}.{few}"


def check_pooled(meta: MetaAnalysis) -> None:
    """Refuse anything but a meta-analysis without moderators, which has one pooled estimate.

    Raises
    ------
    DataError, NotIdentifiedError
    """
    require_kind(meta, MetaAnalysis, asked="The figure draws a result of meta_analysis")
    if not meta.is_pooled:
        raise NotIdentifiedError(
            "The figure needs one pooled estimate; this model has moderators "
            f"({', '.join(meta.effects.terms)}). Fit without moderators=."
        )


def effect_names(meta: MetaAnalysis, names: pd.Series | None) -> list[str]:
    """Return what to call each estimate: a name, its label, or study and row label of the data.

    Raises
    ------
    DataError
        If `names` is not a Series indexed like the data, or lacks a name.
    """
    effects = meta.effects
    if names is not None:
        if not isinstance(names, pd.Series) or not names.index.is_unique:
            raise DataError("names must be a Series indexed as the data, as data['author'].")
        found = names.reindex(effects.index)
        missing = found.isna().to_numpy()
        if missing.any():
            where = describe_rows(missing, found.index)
            raise DataError(f"names has none for the estimate in {where}.")
        return [str(name) for name in found]
    if effects.labels:
        return list(effects.labels)
    if effects.studies is None:
        bare = pd.api.types.is_numeric_dtype(effects.index)
        return [f"row {i}" if bare else str(i) for i in effects.index]
    studies = [effects.study_labels[code] for code in effects.studies]
    return [f"{study} (row {i})" for study, i in zip(studies, effects.index, strict=True)]


def effect_in_words(meta: MetaAnalysis, on: str) -> str:
    """Return the scale that is drawn, in words."""
    if on == "fitted":
        fisher = meta.effects.measure == "fisher_z"
        return "Correlation (Fisher z)" if fisher else "Estimate, on the scale that was pooled"
    return "Correlation (r)" if on == "r" else "Ratio"


def pooling_in_words(meta: MetaAnalysis) -> str:
    """Return how the estimates were pooled, caveats first, rows set aside last."""
    how = (
        _METHODS[meta.estimator]
        if meta.effects.studies is None
        else "Estimates in studies, by REML"
    )
    used = "normal" if np.isinf(meta.df) else f"t with {format_df(meta.df)} df"
    if meta.test in _TESTS:
        used = f"{_TESTS[meta.test]}, {used}"
    aside = meta.rows.n_set_aside
    left_out = f" {plural(aside, 'row')} set aside." if aside else ""
    return " ".join([*meta.notes, f"{how}; interval of the pooled estimate: {used}.{left_out}"])
