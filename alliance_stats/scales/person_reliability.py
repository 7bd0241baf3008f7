"""Reliability of repeated forms: variance components, coefficients within and between persons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from alliance_stats.checks import group_codes, units_with_several
from alliance_stats.design.formula import CONSTANT, formula_of, intercepts
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.multilevel import lmm
from alliance_stats.named import named
from alliance_stats.scales.factor_model import FactorModel, factor_model
from alliance_stats.spelling import check_spelling

__all__ = [
    "Coefficient",
    "Generalizability",
    "RepeatedForms",
    "crossed",
    "harmonic",
    "nested",
    "of_means",
    "ratio_limits",
    "repeated_forms",
    "wald_limits",
]


class Generalizability(NamedTuple):
    """A share of variance, ``1 - error / whole``, of combined variance components.

    Attributes
    ----------
    term
        Its name.
    ratio
        Error variance over the whole; where it is above 1, the coefficient is 0; NaN where
        nothing varies.
    df
        Degrees of freedom of the error and of the whole, as if each were a mean square; NaN
        where the error is unknown.
    """

    term: str
    ratio: float
    df: tuple[float, float]

    @property
    def estimate(self) -> float:
        """The coefficient."""
        return 1.0 - min(self.ratio, 1.0)


@named
def ratio_limits(
    ratio: float, df_error: float, df_whole: float, conf_level: float
) -> tuple[float, float]:
    """Return ``1 - ratio / F`` at two quantiles of F, not below 0; NaN where both would be.

    The ratio is treated as one of mean squares, as Feldt (1965, doi:10.1007/BF02289499) does for 1
    - alpha, whose df give the logarithms of the two variances the spread that they have
    (Satterthwaite 1946, doi:10.2307/3002019).
    """
    if np.isnan([ratio, df_error, df_whole]).any():
        return np.nan, np.nan
    tail = (1.0 - conf_level) / 2.0
    low, high = stats.f.ppf([tail, 1.0 - tail], df_error, df_whole)
    least = 1.0 - ratio / low if low > 0.0 else 0.0
    if not 1.0 - ratio / high > 0.0:
        return np.nan, np.nan
    return max(least, 0.0), 1.0 - ratio / high


class _Components(NamedTuple):
    """Variance components by name, and their covariance, (k, k)."""

    values: Mapping[str, float]
    covariance: Array

    def coefficient(
        self, term: str, true: Mapping[str, float], error: Mapping[str, float]
    ) -> Generalizability:
        """Return the coefficient of two sums of components, given their weights."""
        names = list(self.values)
        estimates = np.array(list(self.values.values()))
        T, E = (np.array([part.get(name, 0.0) for name in names]) for part in (true, error))
        whole, left = float((T + E) @ estimates), float(E @ estimates)
        if not left > 0.0 or not whole > 0.0:
            ratio = 0.0 if whole > 0.0 else np.nan
            return Generalizability(term, ratio, (np.nan, np.nan))
        slopes = E / left, (T + E) / whole, E / left - (T + E) / whole
        of_left, of_whole, of_ratio = (float(s @ self.covariance @ s) for s in slopes)
        if not min(of_left, of_whole, of_ratio) > 0.0:
            return Generalizability(term, left / whole, (np.nan, np.nan))
        # the two variances vary together: their df are those that give the ratio its own spread
        df = 2.0 * (of_left + of_whole) / of_ratio / np.array([of_left, of_whole])
        return Generalizability(term, left / whole, (float(df[0]), float(df[1])))


def harmonic(sizes: npt.ArrayLike) -> float:
    """Return the harmonic mean."""
    numbers = np.asarray(sizes, dtype=np.float64)
    return float(len(numbers) / np.sum(1.0 / numbers))


def nested(answers: Array, persons: Integers) -> list[Generalizability]:
    """Return RkRn and Rcn: sessions in persons, items in sessions.

    The forms' means have the variances P and ``W = T + e/m``, their deviations e.
    """
    n, m = answers.shape
    means = answers.mean(axis=1)
    found = _fitted(means, {"P": persons}, residual="W")
    deviations = answers - means[:, None]
    e, df = float((deviations**2).sum()), n * (m - 1)
    found = _with(found, "e", e / df, df)
    k = harmonic(np.bincount(persons))
    return [
        found.coefficient("RkRn", {"P": 1.0}, {"W": 1.0 / k}),
        found.coefficient("Rcn", {"W": 1.0, "e": -1.0 / m}, {"e": 1.0 / m}),
    ]


def crossed(answers: Array, persons: Integers, sessions: Integers) -> list[Generalizability]:
    """Return RkF, R1R, RkR and Rc: sessions that all persons share, items that all forms share.

    The mean of a form's items and their deviations from it are independent: the variances of the
    mean are ``A = P + PI/m``, ``B = T + TI/m`` and ``C = PT + e/m``; the deviations identify e and
    TI.
    """
    m = answers.shape[1]
    found = _fitted(answers.mean(axis=1), {"A": persons, "B": sessions}, residual="C")
    found = _with_deviations(found, answers, persons, sessions)
    k, values = harmonic(np.bincount(persons)), found.values
    T = {"B": 1.0, "TI": -1.0 / m} if values["B"] > values["TI"] / m else {}
    C = {"C": 1.0} if values["C"] > values["e"] / m else {"e": 1.0 / m}  # PT + e/m
    one = {**T, **C}
    mean = {name: weight / k for name, weight in one.items()}
    return [
        found.coefficient("RkF", {"A": 1.0}, {"e": 1.0 / (k * m)}),
        found.coefficient("R1R", {"A": 1.0}, one),
        found.coefficient("RkR", {"A": 1.0}, mean),
        found.coefficient("Rc", {"C": 1.0, "e": -1.0 / m}, {"e": 1.0 / m}),
    ]


def of_means(frame: pd.DataFrame, means: Array, path: Sequence[str]) -> list[Generalizability]:
    """Return the reliability of the means of families, therapists ..., innermost first."""
    if len(path) < 2:
        return []
    table = pd.DataFrame({name: group_codes(frame[name])[0] for name in path})
    for inner, outer in pairwise(path):
        if len(units_with_several(table, unit=inner, column=outer)):
            raise DataError(f"A unit of '{inner}' stands in two of '{outer}'.")
    codes = {name: table[name].to_numpy() for name in path}
    found = _fitted(means, codes, residual="form")
    coefficients = []
    for place, unit in enumerate(path[1:], start=1):
        error = {"form": 1.0 / harmonic(np.bincount(codes[unit]))}
        for below in path[:place]:
            error[below] = 1.0 / harmonic(table.groupby(unit)[below].nunique())
        coefficients.append(found.coefficient(f"mean of a {unit}", {unit: 1.0}, error))
    return coefficients


def _fitted(means: Array, units: Mapping[str, Integers], *, residual: str) -> _Components:
    """Return the variances of ``score ~ 1 + (1 | unit) + ...`` (REML), and their covariance."""
    names = [f"u{place}" for place in range(len(units))]
    table = pd.DataFrame({"score": means} | dict(zip(names, units.values(), strict=True)))
    random = [intercepts([name]) for name in reversed(names)]
    found = lmm(formula_of("score", CONSTANT, random), table).tidy(effects="ran_pars")
    own = dict(zip(found["group"], found["estimate"] ** 2, strict=True))
    variances = [float(own[name]) for name in (*names, "Residual")]
    values = dict(zip((*units, residual), variances, strict=True))
    return _Components(values, _covariance(list(units.values()), variances))


def _covariance(codes: Sequence[Integers], variances: Sequence[float]) -> Array:
    """Return the inverse REML information on variance components, ``tr(P K_i P K_j) / 2``.

    ``K_i = Z_i Z_i'``, P the projection that takes the mean out (Searle, Casella & McCulloch 1992,
    doi:10.1002/9780470316856, 6.6). Nothing of the size of the data squared is formed.
    """
    residual, k = variances[-1], len(variances)
    widths = [int(own.max()) + 1 for own in codes]
    ends = np.cumsum([0, *widths])
    G = np.repeat(variances[:-1], widths)
    A = _counts(codes, ends)
    if k == 2:  # one kind of units: all is diagonal
        D = np.diag(1.0 / (residual + G * np.diag(A)))
        BA = np.diag(G * np.diag(A) * np.diag(D))
        first = np.diag(np.diag(A) * np.diag(D))
    else:
        # V^-1 = (I - Z B Z') / C, V^-1 Z = Z D
        BA = np.linalg.solve(residual * np.eye(len(A)) + G[:, None] * A, G[:, None] * A)
        D = (np.eye(len(A)) - BA) / residual
        first = A @ D  # Z'V^-1 Z
    second = np.sum(D * first, axis=0)  # the diagonal of Z'V^-2 Z
    u = np.repeat([1.0, *[0.0] * (len(codes) - 1)], widths)  # Z u = 1
    a, Du = first @ u, D @ u
    s, b = u @ a, D.T @ a
    P1 = first - np.outer(a, a) / s
    P2 = second - 2.0 * a * b / s + a**2 * (u @ b) / s**2
    own = (len(codes[0]) - 2.0 * np.trace(BA) + np.sum(BA * BA.T)) / residual**2
    own += (u @ b) ** 2 / s**2 - 2.0 * (Du @ first @ Du) / s
    parts = [slice(start, end) for start, end in pairwise(ends)]
    information = np.empty((k, k))
    for i, rows in enumerate(parts):
        for j, columns in enumerate(parts):
            information[i, j] = np.sum(P1[rows, columns] ** 2)
        information[i, -1] = information[-1, i] = P2[rows].sum()
    information[-1, -1] = own
    scale = np.sqrt(np.outer(np.diag(information), np.diag(information)))
    return np.asarray(2.0 * np.linalg.pinv(information / scale) / scale)


def _counts(codes: Sequence[Integers], ends: Integers) -> Array:
    """Return ``Z'Z``: how many rows two units share."""
    counts = np.zeros((ends[-1], ends[-1]))
    places = [own + start for own, start in zip(codes, ends, strict=False)]
    for rows in places:
        for columns in places:
            np.add.at(counts, (rows, columns), 1.0)
    return counts


def _with(found: _Components, name: str, value: float, df: float) -> _Components:
    """Add a mean square that is independent of the others."""
    k = len(found.values)
    covariance = np.zeros((k + 1, k + 1))
    covariance[:k, :k] = found.covariance
    covariance[k, k] = 2.0 * value**2 / df
    return _Components({**found.values, name: value}, covariance)


def _with_deviations(
    found: _Components, answers: Array, persons: Integers, sessions: Integers
) -> _Components:
    """Add the residual variance and that of items by sessions, by analysis of variance."""
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
    size = float((left**2).sum())
    found = _with(found, "e", e, df)
    if gained == 0 or not size > 0.0:
        return _with(found, "TI", 0.0, np.inf)
    # expected of what sessions explain, a mean square: TI size / gained + e
    explained = float((fitted**2).sum()) / ((m - 1) * gained)
    TI = max((explained - e) * gained / size, 0.0)
    covariance = _with(found, "TI", TI, np.inf).covariance
    ratio = gained / size
    covariance[-1, -1] = ratio**2 * 2.0 * (explained**2 / ((m - 1) * gained) + e**2 / df)
    covariance[-1, -2] = covariance[-2, -1] = -ratio * 2.0 * e**2 / df
    return _Components({**found.values, "TI": TI}, covariance)


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
