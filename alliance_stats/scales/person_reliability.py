"""Reliability of repeated forms: within persons, between them, of change, of units' means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from alliance_stats.checks import check_spelling, group_codes
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.named import named
from alliance_stats.scales.factor_model import FactorModel, factor_model
from alliance_stats.scales.generalizability import (
    Generalizability,
    crossed,
    nested,
    of_means,
    ratio_limits,
)

__all__ = ["Coefficient", "RepeatedForms", "repeated_forms", "wald_limits"]

_ITEMS_FOR_A_FACTOR = 3


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of reliability.

    Attributes
    ----------
    about, term
        What it refers to, and its name.
    estimate, std_error
        NaN where there is none.
    limits
        Confidence level -> its interval.
    """

    about: str
    term: str
    estimate: float
    std_error: float
    limits: Callable[[float], tuple[float, float]]


class RepeatedForms(NamedTuple):
    """Results for repeated forms."""

    coefficients: tuple[Coefficient, ...]
    sd: float
    measurement_error: float
    notes: tuple[str, ...]


@named
def wald_limits(estimate: float, error: float, conf_level: float) -> tuple[float, float]:
    """Return ``estimate -+ z SE``."""
    reach = float(stats.norm.ppf(0.5 + conf_level / 2.0)) * error
    return estimate - reach, estimate + reach


@named
def logit_limits(estimate: float, error: float, conf_level: float) -> tuple[float, float]:
    """Return the limits of a Wald interval on the log-odds scale.

    Near 1 they cover better than ``estimate -+ z SE``, and lie below 1 (Kelley & Pornprasertmanit
    2016, doi:10.1037/a0040086).
    """
    if not 0.0 < estimate < 1.0:
        return np.nan, np.nan
    reach = float(stats.norm.ppf(0.5 + conf_level / 2.0)) * error / (estimate * (1.0 - estimate))
    low, high = special.expit(special.logit(estimate) + np.array([-reach, reach]))
    return float(low), float(high)


@named
def _no_limits(_: float) -> tuple[float, float]:
    return np.nan, np.nan


def repeated_forms(
    frame: pd.DataFrame,
    answers: Array,
    items: tuple[str, ...],
    *,
    person: str,
    session: str | None,
    nested_in: tuple[str, ...],
) -> RepeatedForms:
    """Return the coefficients of forms that persons filled in repeatedly; see ``reliability``."""
    for name in (person, *nested_in):
        check_spelling(frame[name], kind="unit")
    persons, _ = group_codes(frame[person])
    sizes = np.bincount(persons)
    if len(sizes) < 2 or sizes.max() < 2:
        raise NotIdentifiedError(
            f"Reliability within persons needs persons ('{person}') with two or more forms each; "
            f"there are {len(sizes)} persons and {len(answers)} complete forms. Leave person= out "
            "where each person has one form."
        )
    means = answers.mean(axis=1)
    deviations = means - (np.bincount(persons, means) / sizes)[persons]
    sd = float(np.sqrt(deviations @ deviations / (len(means) - len(sizes))))
    omegas, error, notes = _omegas(frame, answers, items, person)
    found = [*omegas, *_shares("generalizability", nested(answers, persons))]
    if session is not None:
        sessions, _ = group_codes(frame[session])
        if pd.DataFrame({"p": persons, "s": sessions}).duplicated().any():
            raise DataError(
                f"A person ('{person}') has two forms of one session ('{session}'). Keep one, or "
                "tell the raters apart first."
            )
        found[2:2] = _shares("generalizability", crossed(answers, persons, sessions))
    found += _shares("means", of_means(frame, means, (person, *nested_in)))
    return RepeatedForms(tuple(found), sd, error, notes)


def _shares(about: str, found: Sequence[Generalizability]) -> list[Coefficient]:
    return [
        Coefficient(
            about, one.term, one.estimate, np.nan, partial(ratio_limits, one.ratio, *one.df)
        )
        for one in found
    ]


def _omegas(
    frame: pd.DataFrame, answers: Array, items: tuple[str, ...], person: str
) -> tuple[list[Coefficient], float, tuple[str, ...]]:
    """Return omega within and between persons, and the error of a form's mean."""
    table = pd.DataFrame(answers, columns=list(items), index=frame.index)
    table = table.set_axis([f"item {k}" for k in range(len(items))], axis="columns")
    nothing = [
        Coefficient(f"{level} persons", f"omega {level}", np.nan, np.nan, _no_limits)
        for level in ("within", "between")
    ]
    if len(items) < _ITEMS_FOR_A_FACTOR:
        note = "Omega needs three items or more: two have one covariance for two loadings."
        return nothing, np.nan, (note,)
    try:
        model = factor_model(
            table.assign(person=frame[person]), {"score": list(table.columns)}, nested_in="person"
        )
    except NotIdentifiedError as reason:
        return nothing, np.nan, (f"Omega at two levels was not found. {reason}",)
    pairs = [_omega(model, place) for place in (0, 1)]
    notes = [_renamed(note, items) for note in model.notes]
    for place, level in enumerate(("within", "between")):
        if not 0.0 <= pairs[place][0] <= 1.0:
            pairs[place] = (np.nan, np.nan)
            notes.append(
                f"Omega {level} persons is not known: the residual variances of the items there "
                "are below zero in sum, less than chance leaves."
            )
    found = [
        Coefficient(
            f"{level} persons", f"omega {level}", value, error, partial(logit_limits, value, error)
        )
        for level, (value, error) in zip(("within", "between"), pairs, strict=True)
    ]
    own = np.diag(model.fit.components[0].at(model.fit.theta)[2]).sum()
    return found, float(np.sqrt(max(own, 0.0))) / len(items), tuple(notes)


def _renamed(text: str, items: tuple[str, ...]) -> str:
    for k in reversed(range(len(items))):
        text = text.replace(f"item {k}", f"'{items[k]}'")
    return text


def _omega(model: FactorModel, place: int) -> tuple[float, float]:
    """Return omega of a level and its SE by the delta method."""
    L, _, T, _, _ = model.fit.components[place].at(model.fit.theta)
    L_at, _, T_at, _, _ = model.fit.components[place].numbers
    common, own = float(L.sum()), float(np.trace(T))
    whole = (common**2 + own) ** 2
    gradient = np.zeros(len(model.fit.theta))
    gradient[L_at.ravel()] = 2.0 * common * own / whole
    gradient[np.diag(T_at)] = -(common**2) / whole
    variance = float(gradient @ model.covariance @ gradient)
    return common**2 / (common**2 + own), float(np.sqrt(variance)) if variance > 0.0 else np.nan
