"""Reliability of repeated forms: within persons, between them, of change, of units' means."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_spelling, group_codes, units_with_several
from alliance_stats.design.formula import CONSTANT, RandomTerm, formula_of, intercepts
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel import lmm
from alliance_stats.named import named
from alliance_stats.scales.factor_model import FactorModel, factor_model

__all__ = ["Coefficient", "RepeatedForms", "repeated_forms", "wald_limits"]

_Codes = npt.NDArray[np.int64]
_ITEMS_FOR_A_FACTOR = 3


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of reliability.

    Attributes
    ----------
    about, term
        What it is of, and its name.
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
    """What was found of repeated forms."""

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
    found = [*omegas, *_nested(answers, persons, sizes)]
    if session is not None:
        sessions, _ = group_codes(frame[session])
        if pd.DataFrame({"p": persons, "s": sessions}).duplicated().any():
            raise DataError(
                f"A person ('{person}') has two forms of one session ('{session}'). Keep one, or "
                "tell the raters apart first."
            )
        found[2:2] = _crossed(answers, persons, sessions, sizes)
    found += _of_means(frame, means, (person, *nested_in))
    return RepeatedForms(tuple(found), sd, error, notes)


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
            f"{level} persons", f"omega {level}", value, error, partial(wald_limits, value, error)
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
    variance = float(gradient @ model.vcov @ gradient)
    return common**2 / (common**2 + own), float(np.sqrt(variance)) if variance > 0.0 else np.nan


def _components(table: pd.DataFrame, random: list[RandomTerm]) -> dict[str, float]:
    """Return the variances of ``score ~ 1 + random`` by grouping, the residual's as 'Residual'."""
    found = lmm(formula_of("score", CONSTANT, random), table).tidy(effects="ran_pars")
    return dict(zip(found["group"], found["estimate"] ** 2, strict=True))


def _harmonic(sizes: npt.NDArray[np.generic]) -> float:
    return float(len(sizes) / np.sum(1.0 / sizes.astype(np.float64)))


def _nested(answers: Array, persons: _Codes, sizes: npt.NDArray[np.generic]) -> list[Coefficient]:
    """Return RkRn and Rcn: sessions in persons, items in sessions."""
    n, m = answers.shape
    table = pd.DataFrame(
        {
            "score": answers.ravel(),
            "person": np.repeat(persons, m),
            "form": np.repeat(np.arange(n), m),
        }
    )
    found = _components(table, [intercepts(["person"]), intercepts(["form"])])
    P, T, e, k = found["person"], found["form"], found["Residual"], _harmonic(sizes)
    return [
        _generalizability("RkRn", P, T / k + e / (k * m)),
        _generalizability("Rcn", T, e / m),
    ]


def _crossed(
    answers: Array, persons: _Codes, sessions: _Codes, sizes: npt.NDArray[np.generic]
) -> list[Coefficient]:
    """Return RkF, R1R, RkR and Rc: sessions that all persons share, items that all forms share.

    The mean of a form's items and their deviations from it are independent: the variances of the
    mean are ``P + PI/m``, ``T + TI/m`` and ``PT + e/m``, and the deviations tell e and TI.
    """
    m = answers.shape[1]
    table = pd.DataFrame({"score": answers.mean(axis=1), "person": persons, "session": sessions})
    found = _components(table, [intercepts(["person"]), intercepts(["session"])])
    A, B, C = found["person"], found["session"], found["Residual"]
    e, TI = _of_deviations(answers, persons, sessions)
    T, PT, k = max(B - TI / m, 0.0), max(C - e / m, 0.0), _harmonic(sizes)
    return [
        _generalizability("RkF", A, e / (k * m)),
        _generalizability("R1R", A, T + PT + e / m),
        _generalizability("RkR", A, (T + PT) / k + e / (k * m)),
        _generalizability("Rc", PT, e / m),
    ]


def _of_deviations(answers: Array, persons: _Codes, sessions: _Codes) -> tuple[float, float]:
    """Return the residual variance and that of items by sessions, by analysis of variance."""
    n, m = answers.shape
    sizes = np.bincount(persons)[:, None]

    def without_persons(columns: Array) -> Array:
        sums = np.column_stack([np.bincount(persons, column) for column in columns.T])
        return columns - (sums / sizes)[persons]

    deviations = without_persons(answers - answers.mean(axis=1, keepdims=True))
    occasions = (sessions[:, None] == np.arange(sessions.max() + 1)).astype(np.float64)
    left = without_persons(occasions)
    fitted = left @ np.linalg.lstsq(left, deviations, rcond=None)[0]
    gained = int(np.linalg.matrix_rank(left))
    df = (m - 1) * (n - len(sizes) - gained)
    if df <= 0:
        raise NotIdentifiedError("There are too few forms to tell persons from sessions.")
    e = float(((deviations - fitted) ** 2).sum()) / df
    # expected of what sessions explain: (m - 1) (TI sum(left^2) + e gained)
    explained = float((fitted**2).sum()) / (m - 1)
    size = float((left**2).sum())
    return e, max((explained - gained * e) / size, 0.0) if size > 0.0 else 0.0


def _generalizability(term: str, true: float, error: float) -> Coefficient:
    total = true + error
    return Coefficient(
        "generalizability", term, true / total if total > 0.0 else np.nan, np.nan, _no_limits
    )


def _of_means(frame: pd.DataFrame, means: Array, path: tuple[str, ...]) -> list[Coefficient]:
    """Return the reliability of the means of families, therapists ..., innermost first."""
    if len(path) < 2:
        return []
    codes = [group_codes(frame[name])[0] for name in path]
    table = pd.DataFrame({"score": means} | {f"u{i}": own for i, own in enumerate(codes)})
    names = [f"u{i}" for i in range(len(path))]
    for inner, outer, shown in zip(names, names[1:], path[1:], strict=False):
        if len(units_with_several(table, unit=inner, column=outer)):
            raise DataError(f"A unit of '{path[names.index(inner)]}' stands in two of '{shown}'.")
    found = _components(table, [intercepts([name]) for name in reversed(names)])
    coefficients = []
    for place in range(1, len(path)):
        unit = names[place]
        error = found["Residual"] / _harmonic(table.groupby(unit).size().to_numpy())
        for below in names[:place]:
            counts = table.groupby(unit)[below].nunique().to_numpy()
            error += found[below] / _harmonic(counts)
        true = found[unit]
        value = true / (true + error)
        coefficients.append(
            Coefficient("means", f"mean of a {path[place]}", value, np.nan, _no_limits)
        )
    return coefficients
