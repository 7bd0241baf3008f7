"""Caterpillar plots: what each therapist adds to the average, with its interval, in order."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import LINK_WORDS
from alliance_stats.figures.axes import (
    TALLEST,
    draw_intervals,
    dress,
    one_panel,
    set_limits,
    write_rows,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.forest import forest_page
from alliance_stats.figures.numbers import (
    Kind,
    format_alone,
    format_count,
    format_level,
    interval_of,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, FULL_WIDTH, look, naming, sheet
from alliance_stats.figures.text import lines_height, widest, wrap
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel
from alliance_stats.survival import CoxModel, DiscreteHazard

__all__ = [
    "caterpillar_figure",
    "draw_caterpillar",
    "hazard_caterpillar_figure",
]

_NAME_WIDTH = 110.0  # pt
_TALLEST = 480.0  # pt


def draw_caterpillar(
    ax: Axes,
    effects: pd.DataFrame,
    *,
    names: str = "all",
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw units from the lowest to the highest effect, upwards, around a line at 0.

    Parameters
    ----------
    ax
        Axes to draw on; names are written to the left.
    effects
        ``level, estimate, conf_low, conf_high``, a row per unit.
    names
        ``"all"`` or ``"none"``.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    """
    ordered = effects.sort_values(["estimate", "level"], kind="stable", key=_sortable)
    values = ordered[["conf_low", "conf_high"]].to_numpy(dtype=float)
    pad = 0.04 * (float(np.ptp(np.append(values, 0.0))) or 1.0)
    ax.set_xlim(min(values.min(), 0.0) - pad, max(values.max(), 0.0) + pad)
    set_limits(ax, limits, axis="x")
    places = np.arange(len(ordered), dtype=float)
    draw_intervals(
        ax,
        ordered,
        places,
        reference=0.0,
        sizes=np.full(len(ordered), float(np.clip(160.0 / len(ordered), 1.6, 4.5))),
        colour=look(0).text,
    )
    ax.set_ylim(-0.8, len(ordered) - 0.2)
    ax.set_yticks([])
    if names == "all":
        room = sheet().part(_NAME_WIDTH)
        write_rows(ax, [*ordered["level"].astype(str)], places, x=-8.0, ha="right", width=room)


@laid_out(COLUMN_AND_HALF)
def caterpillar_figure(
    model: LinearMixedModel | GeneralizedLinearMixedModel,
    *,
    group: str,
    term: str = "(Intercept)",
    effect_label: str = "Deviation from the average",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the predicted random effects of a grouping factor, in order.

    Parameters
    ----------
    model
        A fitted linear mixed model.
    group
        Grouping factor: ``"therapist"``.
    term
        Which of its random effects.
    effect_label
        The effect and its unit: ``"Therapist's deviation (WAI points)"``.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Unit or grouping factor -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the effects in the order drawn.

    Raises
    ------
    DataError
        If the model has no such grouping factor or random effect.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.figures import caterpillar_figure
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | therapist/person)", sessions)
    >>> caterpillar_figure(model, group="therapist").label
    'fig-caterpillar'
    """
    asked = "caterpillar_figure draws a model of lmm or glmm"
    kinds = (LinearMixedModel, GeneralizedLinearMixedModel)
    require_kind(model, kinds, asked=asked, instead=DRAWN_BY)
    effects = _effects(model, group, term, conf_level)
    said = naming(common["words"], [group, *effects["level"]])
    effects = effects.assign(level=[said(name) for name in effects["level"]])
    room = sheet().part(_NAME_WIDTH)
    lines = [wrap(name, room) for name in effects["level"]]
    row = lines_height(max(map(len, lines))) + 4.0
    named = row * (len(effects) + 0.6) <= TALLEST
    left = 16.0 + widest(effects["level"], room) if named else 30.0
    row = row if named else max(_TALLEST / len(effects), min(2.0, TALLEST / len(effects)))
    x_label = f"{effect_label}, {format_level(conf_level)} interval"
    height = max(row * (len(effects) + 0.6), 40.0)
    figure, ax = one_panel(height, left=left, right=14.0, x_label=x_label)
    draw_caterpillar(ax, effects, names="all" if named else "none", limits=common["limits"])
    units = _plural(len(effects), said(group))
    dress(ax, x_label=x_label, y_label="" if named else f"{units}, lowest to highest")
    ax.spines["left"].set_visible(not named)
    spread = model.tidy(effects="ran_pars")
    sd = spread.loc[(spread["group"] == group) & (spread["term"] == f"sd__{term}"), "estimate"]
    between = f"estimated SD between them {format_alone(sd.iloc[0])}"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-caterpillar",
        caption=f"{effect_label} of {units}, in order, with {format_level(conf_level)} "
        f"intervals; {between}; {plural(model.rows.n_used, 'row')}.",
        alt=f"Caterpillar plot of {units} around a line at 0; {between}. {_ends(effects, 0.0)}",
        note=_note(model, conf_level),
        data=effects,
    )


def _effects(
    model: LinearMixedModel | GeneralizedLinearMixedModel, group: str, term: str, conf_level: float
) -> pd.DataFrame:
    table = model.tidy(effects="ran_vals", conf_level=conf_level)
    own = table.loc[table["group"] == group]
    if own.empty:
        raise DataError(
            f"The model has no grouping factor '{group}'. "
            f"{did_you_mean(group, dict.fromkeys(table['group']))}"
        )
    chosen = own.loc[own["term"] == term]
    if chosen.empty:
        raise DataError(
            f"'{group}' has no random effect '{term}'. "
            f"{did_you_mean(term, dict.fromkeys(own['term']))}"
        )
    columns = ["group", "level", "term", "estimate", "std_error", "conf_low", "conf_high"]
    ordered = chosen.sort_values(["estimate", "level"], kind="stable", key=_sortable)
    return ordered[columns].reset_index(drop=True)


def _sortable(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column.dtype) else column.astype(str)


def _plural(count: int, group: str) -> str:
    word = group.replace(":", " by ")
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return plural(count, word, f"{word[:-1]}ies")
    return plural(count, word)


def _ends(effects: pd.DataFrame, reference: float, *, kind: Kind = "number") -> str:
    """Say the lowest and the highest unit, and how many intervals leave out the reference."""
    apart = int(((effects["conf_low"] > reference) | (effects["conf_high"] < reference)).sum())
    first, last = (
        f"{row.get('term', '') if kind == 'ratio' else row['level']}: {interval_of(row, kind=kind)}"
        for _, row in effects.iloc[[0, -1]].iterrows()
    )
    return (
        f"Lowest {first}; highest {last}; {format_count(apart)} of "
        f"{format_count(len(effects))} intervals leave out {reference:g}."
    )


def _note(model: LinearMixedModel | GeneralizedLinearMixedModel, conf_level: float) -> str:
    boundary = (
        " The fit is on its boundary: a variance or correlation at its limit shrinks effects to it."
        if model.singular
        else ""
    )
    return (
        f"Predicted random effects (conditional modes) of {model.formula}, shrunk towards 0, "
        f"{plural(model.nobs, 'row')}. {format_level(conf_level)} intervals from conditional SDs "
        "that take the variances and coefficients as known. Whether two units differ is not for "
        f"the overlap of their intervals to say, and an order among many is uncertain.{boundary}"
    )


_RATIO = {link: words.ratio for link, words in LINK_WORDS.items() if words.ratio}


@laid_out(FULL_WIDTH)
def hazard_caterpillar_figure(
    model: DiscreteHazard | CoxModel,
    *,
    group: str,
    event_label: str = "leaving",
    units_label: str = "units",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how the hazard of each therapist's families compares with the average therapist's.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.discrete_hazard`, with a random intercept of `group`,
        or from :func:`~alliance_stats.survival.cox_ph`, with a frailty of it.
    group
        Grouping factor: ``"therapist"``.
    event_label
        The event as a noun: ``"dropping out"``.
    units_label
        What drops out, in the plural: ``"families"``.
    conf_level
        Coverage of the intervals.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Unit or grouping factor -> label to print.

    Returns
    -------
    ReportFigure
        ``data``: ``level, term, estimate, conf_low, conf_high`` (ratios against a group whose
        effect is 0; of a gamma frailty, against the mean frailty) and ``n_event, n_units``, how
        many of its units left of those in the rows used (of a Cox model, of its rows). The caption
        says how many left after sessions after which everyone did, and are not counted. In the
        order drawn.

    Raises
    ------
    DataError
        If the model has no such random intercept, or its variance is estimated as zero: the
        predicted effects are then all equal, and any order of groups would be arbitrary.

    Examples
    --------
    >>> from alliance_stats import discrete_hazard, example_study, person_period
    >>> from alliance_stats.figures import hazard_caterpillar_figure
    >>> sessions = example_study().sessions
    >>> periods = person_period(
    ...     sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    ... )
    >>> model = discrete_hazard(
    ...     "1", periods, session="session", event="event", unit="family", baseline="polynomial"
    ... )
    >>> hazard_caterpillar_figure(model, group="therapist").label
    'fig-hazard-caterpillar'
    """
    asked = "hazard_caterpillar_figure draws a model of discrete_hazard, or of cox_ph with frailty="
    require_kind(model, (DiscreteHazard, CoxModel), asked=asked, instead=DRAWN_BY)
    ratios = _ratios(model, group, conf_level)
    said = naming(common["words"], [group, *ratios["level"]])
    ratios["level"] = [said(name) for name in ratios["level"]]
    ratios["term"] = [
        f"{row.level} ({row.n_event} of {row.n_units})" for row in ratios.itertuples()
    ]
    ratio = "hazard ratio" if isinstance(model, CoxModel) else str(_RATIO[model.link])
    what = f"{ratio[:1].upper()}{ratio[1:]} of {event_label}"
    of = said(group).replace(":", " by ")
    level = f"{format_level(conf_level)} interval"
    numbers = [interval_of(row, kind="ratio") for _, row in ratios.iterrows()]
    figure = forest_page(
        ratios,
        numbers,
        scale="ratio",
        x_label=f"{what} against the average {of}",
        level=level,
        limits=common["limits"],
    )
    many = _plural(len(ratios), said(group))
    between = f"median {ratio} between two drawn at random " + format_alone(
        _median_ratio(model, group), "ratio"
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-hazard-caterpillar",
        caption=f"{what} of {many} against the average one, in order, with {level}s; in brackets, "
        f"how many of its {units_label} left{_not_counted(model)}; {between}.",
        alt=f"Caterpillar plot of {many} around a line at 1, on a log axis; {between}. "
        f"{_ends(ratios, 1.0, kind='ratio')}",
        note=_hazard_note(model, conf_level),
        data=ratios,
    )


def _ratios(model: DiscreteHazard | CoxModel, group: str, conf_level: float) -> pd.DataFrame:
    if not (model.frailty if isinstance(model, CoxModel) else model.has_effects):
        raise DataError("The model has no random effects: its units do not differ in anything.")
    effects = model.tidy(effects="ran_vals", conf_level=conf_level)
    own = effects[(effects["group"] == group) & (effects["term"] == "(Intercept)")]
    if own.empty:
        raise DataError(
            f"The model has no random intercept of '{group}'. "
            f"{did_you_mean(group, dict.fromkeys(effects['group']))}"
        )
    if not _spread(model, group):
        raise DataError(
            f"The variance between units of '{group}' is estimated as zero: their predicted "
            "effects are all alike, and their order would be arbitrary. Report the upper "
            "limit of the median ratio instead."
        )
    seen = _seen(model, group).loc[own["level"].astype(str)].astype(np.int64)
    columns = ["estimate", "conf_low", "conf_high"]
    table = own[["level", *columns]].assign(
        **{column: np.exp(own[column]) for column in columns},
        n_event=seen["n_event"].to_numpy(),
        n_units=seen["n_units"].to_numpy(),
    )
    table.insert(1, "term", table["level"].astype(str))
    return table.sort_values(["estimate", "term"], kind="stable").reset_index(drop=True)


def _spread(model: DiscreteHazard | CoxModel, group: str) -> float:
    """Return the estimated spread of a group's effects: an SD, or the variance of a frailty."""
    table = model.tidy(effects="ran_pars")
    named = table["term"].isin(["sd__(Intercept)", "var__frailty"])
    return float(table.loc[(table["group"] == group) & named, "estimate"].iloc[0])


def _median_ratio(model: DiscreteHazard | CoxModel, group: str) -> float:
    if isinstance(model, DiscreteHazard):
        table = model.fit.median_ratios(ci_method="wald")
    else:
        table = model.tidy(effects="ran_pars").query("term == 'median_hazard_ratio'")
    return float(table.set_index("group")["estimate"].loc[group])


def _seen(model: DiscreteHazard | CoxModel, group: str) -> pd.DataFrame:
    """Return ``n_event, n_units`` of each unit of a grouping, by its name."""
    if isinstance(model, CoxModel):
        names = model.intervals.frame[group].astype(str).to_numpy()
        left = pd.Series(model.intervals.event > 0).groupby(names)
        return pd.DataFrame({"n_event": left.sum(), "n_units": left.size()})
    frame = model.periods.frame
    names = frame[group.split(":")].astype(str).agg(":".join, axis=1)
    return frame.groupby(names).agg(
        n_event=(model.periods.event, "sum"), n_units=(model.periods.unit, "nunique")
    )


def _not_counted(model: DiscreteHazard | CoxModel) -> str:
    """Say how many left where everyone did: such sessions are not in the rows used."""
    if isinstance(model, CoxModel):
        return ""
    number = int(model.periods.sessions["n_event"].sum()) - model.n_event
    if not number:
        return ""
    return f" (not counted: {format_count(number)} who left after a session after which all did)"


def _hazard_note(model: DiscreteHazard | CoxModel, conf_level: float) -> str:
    if isinstance(model, CoxModel):
        n_event, covariates = int((model.intervals.event > 0).sum()), ", ".join(model.design.terms)
        fitted, source = f"log frailties of a {model.method}", "conditional distributions"
    else:
        nodes = "Laplace approximation" if model.nodes == 1 else f"{model.nodes} quadrature nodes"
        n_event, covariates = model.n_event, model.formula
        fitted = (
            "random effects (conditional modes) of a discrete-time hazard model "
            f"({model.link} link, {nodes})"
        )
        source = "conditional SDs"
    return (
        f"Predicted {fitted}, {plural(n_event, 'event')} in {plural(model.rows.n_used, 'row')}; "
        f"covariates: {covariates}. Shrunk towards 1, the more so the fewer were seen. "
        f"{format_level(conf_level)} intervals from {source} that take the variance and "
        "coefficients as known. Whether two units differ is not for the overlap of their "
        "intervals to say, and an order among many is uncertain."
    )
