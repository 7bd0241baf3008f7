"""Models of leaving as papers print them: ratios, sizes, events, spread between therapists."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from alliance_stats.checks import require_kind
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural
from alliance_stats.survival import CompetingHazards, CoxModel, DiscreteHazard, FineGrayModel
from alliance_stats.tables.lines import (
    SIZES,
    Asked,
    Line,
    Printed,
    alone,
    estimate_line,
    side_by_side,
    size_lines,
    units_used,
    warned,
)
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable

__all__ = ["hazard_table"]

Model = CoxModel | FineGrayModel | DiscreteHazard | CompetingHazards
_RATIOS, _SPREAD, _ENDINGS = "Predictors", "Spread between units", "Endings"
_SECTIONS = (_RATIOS, _SPREAD, SIZES, _ENDINGS)


def hazard_table(
    models: Model | Mapping[str, Model],
    *,
    label: str,
    caption: str,
    note: str = "",
    words: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
    digits: int = 2,
) -> ReportTable:
    """Print models of leaving: ratios with intervals, spread between units, rows, units, events.

    Parameters
    ----------
    models
        A fitted model of :func:`cox_ph`, :func:`fine_gray`, :func:`discrete_hazard` or
        :func:`competing_hazards`; or heading -> model, to stand side by side in that order.
    note
        What to say beside what each ratio is and how its error was found, which is always said.
    words
        Name of a predictor, a grouping factor, a unit or an ending -> words for it; others stand
        under their own names, so that none is left out.
    digits
        Decimals of ratios and limits; more where one that is not 1 would print as 1.

    Returns
    -------
    ReportTable
        The heading of a column names the scale: HR (hazard ratio), SHR (ratio of subdistribution
        hazards, of the cumulative incidence), OR (odds ratio of leaving in an interval). These
        answer different questions and do not compare by size. A model of competing endings has
        columns for each ending. The baseline is not printed. The spread between units is the
        median ratio: of two units drawn at random, the higher hazard (odds) is in the median so
        many times the lower.

    Raises
    ------
    DataError
        If there is no model, or two rows of one would have the same name.
    """
    asked = Asked(dict(words or {}), conf_level, digits)
    named = dict(models) if isinstance(models, Mapping) else {"": models}
    if not named:
        raise DataError("models is empty: name at least one model.")
    for model in named.values():
        takes = (
            "hazard_table prints models of cox_ph, fine_gray, discrete_hazard and competing_hazards"
        )
        kinds = (CoxModel, FineGrayModel, DiscreteHazard, CompetingHazards)
        require_kind(model, kinds, asked=takes, instead=PRINTED_BY)
    printed = [part for name, model in named.items() for part in _printed(name, model, asked)]
    if len(printed) == 1 and not isinstance(models, Mapping):
        frame, sections = alone(printed[0], sections=_SECTIONS, conf_level=conf_level)
    else:
        frame, sections = side_by_side(printed, sections=_SECTIONS, conf_level=conf_level)
    said = [_method(name, model, asked) for name, model in named.items()]
    return ReportTable(frame, label, caption, " ".join([*said, note]).strip(), sections)


def _printed(name: str, model: Model, asked: Asked) -> Iterator[Printed]:
    """Yield a model's columns: one, or one an ending."""
    if not isinstance(model, CompetingHazards):
        lines = (
            *_ratios(_tidy(model, asked), asked),
            *_spread(model, asked),
            *_sizes(model, asked),
        )
        yield Printed(name, _measure(model), "z", lines)
        return
    ratios = _tidy(model, asked)
    for state in model.states:
        own = ratios[ratios["state"] == state]
        heading = ", ".join(part for part in (name, asked.of(state)) if part)
        lines = (
            *_ratios(own, asked),
            *_spread(model, asked, state),
            *_sizes(model, asked, state),
        )
        yield Printed(heading, "OR", "z", lines)


def _measure(model: Model) -> str:
    match model:
        case CoxModel():
            return "HR"
        case FineGrayModel():
            return "SHR"
        case DiscreteHazard():
            return "HR" if model.link == "cloglog" else "OR"
        case CompetingHazards():
            return "OR"


def _tidy(model: Model, asked: Asked) -> pd.DataFrame:
    """Return the predictors' ratios: ``(state,) term, estimate, conf_low, ..., statistic``."""
    tidy = model.tidy(conf_level=asked.conf_level)
    if isinstance(model, DiscreteHazard):
        own = model.hazard_ratios(conf_level=asked.conf_level)
        tidy = tidy.iloc[len(tidy) - len(own) :]  # the baseline's coefficients stand first
    elif isinstance(model, CompetingHazards):
        own = model.odds_ratios(conf_level=asked.conf_level)[["state", "term"]]
        tidy = own.merge(tidy, on=["state", "term"], how="left", validate="one_to_one")
    columns = ["estimate", "conf_low", "conf_high"]
    with np.errstate(over="ignore"):
        ratios = tidy.assign(**{name: np.exp(tidy[name].astype(float)) for name in columns})
    return ratios.drop(columns=["std_error", "df"], errors="ignore")


def _ratios(ratios: pd.DataFrame, asked: Asked) -> Iterator[Line]:
    for _, row in ratios.iterrows():
        yield estimate_line(row, _RATIOS, asked.of(row["term"]), digits=asked.digits, null=1.0)


def _spread(model: Model, asked: Asked, state: str | None = None) -> Iterator[Line]:
    """Yield the median ratio of each grouping factor (of one ending) with its interval."""
    spread = _median_ratios(model, asked)
    if state is not None and len(spread):
        spread = spread[spread["state"] == state]
    for _, row in spread.iterrows():
        what = str(row["term"]).replace("_", " ")
        name = f"{asked.of(row['group'])}: {what}"
        yield estimate_line(row, _SPREAD, name, digits=asked.digits, null=1.0)


def _median_ratios(model: Model, asked: Asked) -> pd.DataFrame:
    columns = ["group", "term", "estimate", "conf_low", "conf_high"]
    if isinstance(model, CoxModel) and model.frailty is not None:
        tidy = model.tidy(effects="ran_pars", conf_level=asked.conf_level)
        return tidy.loc[tidy["term"] == "median_hazard_ratio", columns]
    if isinstance(model, DiscreteHazard) and model.has_effects:
        return model.median_ratios(conf_level=asked.conf_level)[columns]
    if isinstance(model, CompetingHazards) and model.effects is not None:
        return model.median_ratios(conf_level=asked.conf_level)[["state", *columns]]
    return pd.DataFrame(columns=columns)


def _sizes(model: Model, asked: Asked, state: str | None = None) -> list[Line]:
    fit = model.glance().iloc[0]
    units = units_used(model.rows, asked.words)
    groups = fit
    if isinstance(model, DiscreteHazard) and model.has_effects:
        groups = model.fit.glance().iloc[0]
    for name in _groups(model):
        if f"n_{name}" in groups:
            units[f"Units: {asked.of(name)}"] = groups[f"n_{name}"]
    endings: dict[str, float] = {}
    if isinstance(model, CompetingHazards):
        endings["Events"] = float(model.observed[state].sum())
    else:
        endings["Events"] = fit["n_event"]
    if isinstance(model, FineGrayModel):
        endings["Competing endings"] = fit["n_competing"]
    return [*size_lines({"Rows": fit["nobs"], **units}), *size_lines(endings, _ENDINGS)]


def _method(name: str, model: Model, asked: Asked) -> str:
    """Return what the ratio of a model is, how its error was found, and any warning."""
    match model:
        case CoxModel():
            text = f"hazard ratios of a Cox model{_strata(model, asked)}"
        case FineGrayModel():
            text = f"subdistribution hazard ratios of '{asked.of(model.cause)}' (Fine-Gray)"
        case DiscreteHazard():
            ratio = "hazard ratios" if model.link == "cloglog" else "odds ratios"
            text = f"{ratio} in discrete time ({model.link} link)"
        case CompetingHazards():
            text = "odds ratios of each ending against none, in discrete time, in one likelihood"
    clusters = None if isinstance(model, DiscreteHazard) else model.n_clusters
    if clusters is not None:
        text += f", standard errors over {plural(clusters, 'cluster')}"
    if len(_groups(model)):
        text += f", for units of the same {' and '.join(map(asked.of, _groups(model)))}"
    heading = f"{name}: {text}" if name else f"{text[:1].upper()}{text[1:]}"
    warning = warned(model.notes)
    return f"{heading}. {warning}".strip()


def _strata(model: CoxModel, asked: Asked) -> str:
    """Return what the baseline hazards differ by, if anything."""
    columns = " and ".join(asked.of(name) for name in model.intervals.strata_columns)
    n = plural(len(model.intervals.strata), "stratum", "strata")
    return f", stratified by {columns} ({n})" if columns else ""


def _groups(model: Model) -> list[str]:
    """Return the grouping factors with random effects."""
    if isinstance(model, CoxModel) and model.frailty is not None:
        return [model.frailty.group]
    if isinstance(model, DiscreteHazard) and model.has_effects:
        return [grouping.name for grouping in model.fit.design.groupings]
    if isinstance(model, CompetingHazards) and model.effects is not None:
        return [model.effects.group]
    return []
