"""Results that are rows of estimates, in sentences: a sentence a row, under the row's own names."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.family import APIM
from alliance_stats.formatting import (
    format_bounded,
    format_count,
    format_number,
    format_percent,
    plural,
    t_phrase,
)
from alliance_stats.groups import TrajectoryComparison
from alliance_stats.multilevel import (
    Comparisons,
    Contrasts,
    EstimatedMeans,
    GeneralizedLinearMixedModel,
    SimpleSlopes,
    VariancePartition,
    WithinBetween,
)
from alliance_stats.sentences.wording import Wording, decimals
from alliance_stats.survival import (
    CompetingHazards,
    DiscreteHazard,
    DropoutSensitivity,
    FineGrayModel,
    PatternMixture,
    SharedParameterModel,
)

__all__ = ["Estimates", "estimate_sentences", "method_of_estimates"]

Estimates = (
    FineGrayModel
    | DiscreteHazard
    | CompetingHazards
    | SharedParameterModel
    | DropoutSensitivity
    | PatternMixture
    | Contrasts
    | EstimatedMeans
    | SimpleSlopes
    | Comparisons
    | VariancePartition
    | WithinBetween
    | TrajectoryComparison
    | APIM
)
"""Results whose ``tidy()`` says all there is to say, row by row."""

_NOT_NAMES = {"effect", "variance", "expected_from", "expected_to"}
_WARNINGS = ("WARNING", "Warning", "NOTE", "Note")
_LINKS = {"cloglog": "hazard ratio", "logit": "odds ratio"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How results of one class are said."""

    method: str
    measure: str = "b"
    ratio: bool = False
    number: Callable[[float, int], str] = format_number


_KINDS: dict[type, _Kind] = {
    FineGrayModel: _Kind("Fine-Gray model", "subdistribution hazard ratio", ratio=True),
    DiscreteHazard: _Kind("discrete-time hazard", "hazard ratio", ratio=True),
    CompetingHazards: _Kind(
        "hazards of competing endings in discrete time, in one likelihood", "odds ratio", ratio=True
    ),
    SharedParameterModel: _Kind("outcome and leaving modelled with shared effects"),
    DropoutSensitivity: _Kind("estimates under shifted unseen outcomes, multiply imputed"),
    PatternMixture: _Kind("pattern mixture, averaged over when units left"),
    Contrasts: _Kind("", "difference"),  # the first line of the summary says the method
    EstimatedMeans: _Kind("", "mean"),
    SimpleSlopes: _Kind("", "slope"),
    Comparisons: _Kind("", "difference"),
    VariancePartition: _Kind(
        "shares of the variance that the fixed effects leave", "share", number=format_percent
    ),
    WithinBetween: _Kind("effects within and between units of a linear mixed model"),
    TrajectoryComparison: _Kind("courses of groups compared in a linear mixed model", "estimate"),
    APIM: _Kind("actor-partner interdependence model"),
}


def method_of_estimates(result: Estimates) -> str:
    """Return the method in a phrase."""
    kind = _KINDS[type(result)]
    match result:
        case FineGrayModel():
            return f"{kind.method} of '{result.cause}'"
        case DiscreteHazard():
            return f"{kind.method} ({result.link} link, {result.baseline} baseline)"
        case Contrasts() | EstimatedMeans() | SimpleSlopes() | Comparisons():
            lines = [line for line in result.summary().splitlines() if line]
            headline = next(line for line in lines if not line.startswith(_WARNINGS))
            return f"{headline[:1].lower()}{headline[1:].rstrip('.:')}"
        case _:
            return kind.method


def estimate_sentences(result: Estimates, wording: Wording) -> list[str]:
    """Return what was computed from how many, and a sentence an estimate."""
    method = method_of_estimates(result)
    kind = _KINDS[type(result)]
    measure = _LINKS[result.link] if isinstance(result, DiscreteHazard) else kind.measure
    said = [f"{method[:1].upper()}{method[1:]}{_sizes(result)}."]
    rows = _rows(result, wording)
    names = [name for name in _names(rows) if name not in _NOT_NAMES]
    for _, row in rows.iterrows():
        said.append(f"{_name(row, names, wording)}: {_estimate(row, measure, kind, wording)}.")
    said += _spread(result, wording)
    return said


def _rows(result: Estimates, wording: Wording) -> pd.DataFrame:
    """Return the rows to say: estimates with limits, ratios where the result is one of ratios."""
    tidy = result.tidy(conf_level=wording.conf_level)
    if isinstance(result, DiscreteHazard):
        n_covariates = len(result.hazard_ratios())
        tidy = tidy.iloc[len(tidy) - n_covariates :]  # the baseline's coefficients stand first
    if isinstance(result, CompetingHazards):
        own = result.odds_ratios()[["state", "term"]]
        tidy = own.merge(tidy, on=["state", "term"], how="left", validate="one_to_one")
    if not _KINDS[type(result)].ratio:
        return tidy
    columns = ["estimate", "conf_low", "conf_high"]
    with np.errstate(over="ignore"):
        ratios = {name: np.exp(tidy[name].astype(float)) for name in columns}
    return tidy.assign(**ratios).drop(columns="std_error")


def _names(rows: pd.DataFrame) -> list[str]:
    """Return the columns that say what a row is: those in front of its estimate."""
    names = list(rows.columns)
    return [name for name in names[: names.index("estimate")] if rows[name].notna().any()]


def _name(row: pd.Series, names: list[str], wording: Wording) -> str:
    parts = []
    for name in names:
        value = row[name]
        if pd.isna(value):
            continue
        number = isinstance(value, float | int | np.number) and not isinstance(value, bool)
        shown = f"{wording.of(name)} = {format_number(float(value))}" if number else ""
        parts.append(shown or wording.of(value))
    return ", ".join(parts)


def _estimate(row: pd.Series, measure: str, kind: _Kind, wording: Wording) -> str:
    if pd.isna(row["estimate"]):
        return "not estimable"
    if kind.number is format_percent:
        text = f"{measure} = {format_percent(row['estimate'], 1)}"
        limits = [format_percent(row[name], 1) for name in ("conf_low", "conf_high")]
        return (
            text
            if pd.isna(row["conf_low"])
            else f"{text}, {wording.level} CI [{', '.join(limits)}]"
        )
    digits = decimals(
        row, null=1.0 if kind.ratio else 0.0, std_error=float(row.get("std_error", math.nan))
    )
    text = f"{measure} = {format_number(row['estimate'], digits)}"
    if not pd.isna(row.get("conf_low", math.nan)):
        text += f", {wording.interval(row, digits)}"
    if "statistic" not in row or pd.isna(row["statistic"]):
        return text
    df = float(row["df"]) if "df" in row and not pd.isna(row["df"]) else math.inf
    return f"{text}, {t_phrase(row['statistic'], df, row['p_value'])}"


def _sizes(result: Estimates) -> str:
    """Return how many rows (and events, estimates) went in."""
    match result:
        case FineGrayModel() | DiscreteHazard():
            fit = result.glance().iloc[0]
            events = plural(int(fit["n_event"]), "event")
            return f"; n = {format_count(fit['nobs'])}, {events}"
        case _:
            return f"; n = {format_count(result.rows.n_used)}"


def _spread(result: Estimates, wording: Wording) -> Iterator[str]:
    """Yield the median ratios between units, where a hazard has random effects."""
    spread: pd.DataFrame | None = None
    if isinstance(result, DiscreteHazard) and isinstance(result.fit, GeneralizedLinearMixedModel):
        spread = result.median_ratios(conf_level=wording.conf_level)
    if isinstance(result, CompetingHazards) and result.effects is not None:
        spread = result.median_ratios(conf_level=wording.conf_level)
    if spread is None:
        return
    for _, row in spread.iterrows():
        digits = decimals(row, null=1.0)
        state = f", {wording.of(row['state'])}" if "state" in row else ""
        yield (
            f"Between units of {wording.of(row['group'])}{state}: {row['term']} "
            f"{format_number(row['estimate'], digits)}, {wording.interval(row, digits)}."
        )
    if isinstance(result, CompetingHazards):
        yield from _correlations(result, wording)


def _correlations(result: CompetingHazards, wording: Wording) -> Iterator[str]:
    """Yield how the effects on two endings go together; an estimate without an interval."""
    spread = result.tidy(effects="ran_pars")
    for _, row in spread[spread["term"].str.startswith("cor__")].iterrows():
        endings = " and ".join(wording.of(name) for name in row["term"][5:].split(".", 1))
        yield f"Correlation of the effects on {endings}: {format_bounded(row['estimate'])}."
