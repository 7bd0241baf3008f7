"""From a frame of estimates to arrays, and their pooling: least squares and tau squared.

Arrays only. ``y`` holds k estimates, ``v`` their known sampling variances, ``X`` (k, p) the
moderators with the intercept. The marginal covariance is ``M = diag(v + tau2)``, plus, with effects
in studies, a variance shared by the effects of a study.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    require_present,
)
from alliance_stats.design.coding import Coding, code_terms
from alliance_stats.design.formula import CONSTANT, Terms, bound_terms, parse_terms, variables_of
from alliance_stats.design.grammar import Column
from alliance_stats.design.rows import check_hashable, columns_as_read, complete_rows
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = [
    "ESTIMATORS",
    "Columns",
    "Effects",
    "Gls",
    "fit_gls",
    "profile_interval",
    "read_effects",
    "reml",
    "typical_variance",
]

# Squares of estimates over variances, and of weights, stay within double precision below this.
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns a meta-analysis reads, and the formula of its moderators."""

    estimate: str | None
    variance: str | None
    r: str | None
    n: str | None
    study: str | None
    label: str | None
    moderators: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Estimates with known sampling variances.

    Attributes
    ----------
    y, v
        Estimates and sampling variances, (k,).
    X, terms
        Moderators with the intercept, (k, p), and their names.
    index
        Row labels of the frame.
    labels
        Labels of the effects; empty where no column was given.
    studies, study_labels
        Code of each effect's study and the studies' names; ``None`` and empty without `study`.
    measure
        ``"fisher_z"`` for correlations given as r and n, else ``"estimate"``.
    rows
        What happened to the frame's rows.
    coding
        How moderators become columns; None in a result that an older version saved.
    """

    y: Array
    v: Array
    X: Array
    terms: tuple[str, ...]
    index: pd.Index
    labels: tuple[str, ...]
    studies: Integers | None
    study_labels: tuple[object, ...]
    measure: str
    rows: RowLedger
    coding: Coding | None = None

    def without(self, left_out: int) -> "Effects":
        """Return the effects without one of them (its ledger is that of the whole)."""
        keep = np.arange(len(self.y)) != left_out
        return replace(
            self,
            y=self.y[keep],
            v=self.v[keep],
            X=self.X[keep],
            index=self.index[keep],
            labels=tuple(compress(self.labels, keep)),
            studies=None if self.studies is None else self.studies[keep],
        )


def read_effects(data: pd.DataFrame, columns: Columns) -> Effects:
    """Check the frame, set unusable rows aside, and build the arrays.

    Raises
    ------
    DataError, FormulaError, NotIdentifiedError
        See :func:`meta_analysis`.
    """
    data = check_frame(data)
    measure, numbers = _measure(columns)
    terms_read = _moderators(columns.moderators, data)
    wanted = variables_of(terms_read)
    require_columns(data, [*numbers, columns.study, columns.label])
    levels = {} if columns.study is None else {"study": (columns.study,)}
    needed = [name for name in (*numbers, columns.study, *wanted) if name is not None]
    used, rows = complete_rows(data, list(dict.fromkeys(needed)), levels)
    if columns.study is not None:
        check_spelling(used[columns.study], kind="study")
    y, v = _fisher_z(used, *numbers) if measure == "fisher_z" else _as_given(used, *numbers)
    coding, X = _design(used, terms_read, learn=data)
    terms = coding.names
    _check_identified(X, terms)
    codes, labels = (
        (None, pd.Index([])) if columns.study is None else group_codes(used[columns.study])
    )
    return Effects(
        y=y,
        v=v,
        X=X,
        terms=terms,
        coding=coding,
        index=used.index,
        labels=_labels(used, columns.label),
        studies=codes,
        study_labels=tuple(labels),
        measure=measure,
        rows=rows,
    )


def _labels(used: pd.DataFrame, column: str | None) -> tuple[str, ...]:
    if column is None:
        return ()
    require_present(used, column, why="to name the estimate")
    return tuple(map(str, used[column]))


def _measure(columns: Columns) -> tuple[str, tuple[str, str]]:
    given = (columns.estimate, columns.variance), (columns.r, columns.n)
    complete = [pair for pair in given if None not in pair]
    if len(complete) != 1 or sum(name is not None for pair in given for name in pair) != 2:
        raise DataError(
            "Give either estimate= and variance= (a column of estimates and one of their sampling "
            "variances, squared standard errors) or r= and n= (correlations and sample sizes)."
        )
    first, second = complete[0]
    assert first is not None
    assert second is not None
    return ("fisher_z" if complete[0] is given[1] else "estimate"), (first, second)


def _as_given(used: pd.DataFrame, estimate: str, variance: str) -> tuple[Array, Array]:
    y, v = finite_or_missing(used, estimate), finite_or_missing(used, variance)
    if (v <= 0.0).any():
        raise DataError(
            f"Column '{variance}' must be above zero (squared standard errors); it is not in "
            f"{describe_rows(v <= 0.0, used.index)}."
        )
    beyond = (np.abs(y) > _LARGEST) | (v > _LARGEST) | (v < 1.0 / _LARGEST)
    if beyond.any():
        raise DataError(
            f"'{estimate}' and '{variance}' hold numbers beyond {_LARGEST:g} or variances below "
            f"{1.0 / _LARGEST:g} in {describe_rows(beyond, used.index)}, whose squares no computer "
            "number holds. Give them in another unit."
        )
    return y, v


def _fisher_z(used: pd.DataFrame, r: str, n: str) -> tuple[Array, Array]:
    """Return ``atanh r`` and ``1 / (n - 3)`` (Fisher 1921)."""
    correlations, sizes = finite_or_missing(used, r), finite_or_missing(used, n)
    impossible = np.abs(correlations) >= 1.0
    if impossible.any():
        raise DataError(
            f"Column '{r}' must lie between -1 and 1, ends excluded; it does not in "
            f"{describe_rows(impossible, used.index)}."
        )
    small = sizes <= 3.0
    if small.any():
        raise DataError(
            f"Column '{n}' must be above 3 (the variance of Fisher's z is 1/(n - 3)); it is not "
            f"in {describe_rows(small, used.index)}."
        )
    return np.arctanh(correlations), 1.0 / (sizes - 3.0)


def _moderators(moderators: str | None, data: pd.DataFrame) -> Terms:
    if moderators is None:
        return CONSTANT
    if not isinstance(moderators, str):
        raise DataError(
            f"moderators must be a right-hand side such as 'year + design'; got {moderators!r}."
        )
    if "~" in moderators:
        raise FormulaError(
            f"moderators={moderators!r} must be a right-hand side such as 'year + design', "
            "without '~'."
        )
    try:
        terms = bound_terms(parse_terms(moderators), list(data.columns))
    except FormulaError as complaint:
        raise FormulaError(f"Cannot read moderators={moderators!r}: {complaint}") from None
    if terms.offset:
        raise FormulaError(f"moderators={moderators!r} has an offset; a moderator is estimated.")
    return terms


def _design(used: pd.DataFrame, terms: Terms, *, learn: pd.DataFrame) -> tuple[Coding, Array]:
    for name in (tree.name for term in terms.terms for tree in term if isinstance(tree, Column)):
        check_hashable(used[name])
        _check_no_numbers_in_text(used[name])
    return code_terms(terms, columns_as_read(used, variables_of(terms)), learn=learn)


def _check_no_numbers_in_text(column: pd.Series) -> None:
    """Refuse years written as text: each would be a separate category."""
    texts = [value.strip() for value in pd.unique(column) if isinstance(value, str)]
    if len(texts) > 2 and all(text.lstrip("+-").isdecimal() for text in texts):
        raise DataError(
            f"Column '{column.name}' holds whole numbers written as text ('{texts[0]}'): each "
            "would be a category of its own. Convert it first (pandas.to_numeric), or write "
            f"C({column.name}) if categories are meant."
        )


def _check_identified(X: Array, terms: tuple[str, ...]) -> None:
    k, p = X.shape
    rank = int(np.linalg.matrix_rank(X))
    if rank < p:
        raise NotIdentifiedError(
            f"The {p} coefficients ({', '.join(terms)}) cannot be told apart: the moderators are "
            "constant or depend on one another. Leave one out."
        )
    if k < p:
        raise NotIdentifiedError(f"{k} estimates cannot give {p} coefficients.")


# tau2 is sought up to this multiple of the estimates' variance plus the mean sampling variance,
# from this fraction of it on: beyond, one of the two variances is nothing beside the other.
_WIDEST, _SMALLEST, _PLACES = 1e4, 1e-8, 120
# roots are found to a few units in the last place
_RELATIVE = 4.0 * np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class Gls:
    """A generalised least-squares fit at a given marginal covariance.

    Attributes
    ----------
    beta, vcov
        Coefficients (p,) and ``(X' M^-1 X)^-1`` (p, p).
    residual
        ``y - X beta`` (k,).
    quadratic
        ``residual' M^-1 residual``.
    log_det
        ``log |M|``.
    """

    beta: Array
    vcov: Array
    residual: Array
    quadratic: float
    log_det: float

    def log_likelihood(self, X: Array, *, restricted: bool) -> float:
        """Return the (restricted) log-likelihood, with ``log |X'X| / 2`` where restricted."""
        k, p = X.shape
        free = k - p if restricted else k
        value = -0.5 * (free * np.log(2.0 * np.pi) + self.log_det + self.quadratic)
        if restricted:
            value += 0.5 * (np.linalg.slogdet(X.T @ X)[1] + np.linalg.slogdet(self.vcov)[1])
        return float(value)


def fit_gls(y: Array, X: Array, M: Array) -> Gls:
    """Fit at marginal covariance `M`: (k,) where it is diagonal, else (k, k)."""
    if M.ndim == 1:
        half_y, half_X = y / np.sqrt(M), X / np.sqrt(M)[:, None]
        log_det = float(np.log(M).sum())
    else:
        lower = linalg.cholesky(M, lower=True)
        half_y = linalg.solve_triangular(lower, y, lower=True)
        half_X = linalg.solve_triangular(lower, X, lower=True)
        log_det = float(2.0 * np.log(np.diag(lower)).sum())
    Q, R = np.linalg.qr(half_X)
    beta = linalg.solve_triangular(R, Q.T @ half_y)
    root = linalg.solve_triangular(R, np.eye(len(R)))
    rest = half_y - half_X @ beta
    return Gls(beta, root @ root.T, y - X @ beta, float(rest @ rest), log_det)


def _trace_p(w: Array, X: Array) -> float:
    """Return ``tr P``, ``P = W - W X (X'WX)^-1 X'W``."""
    inside = X.T @ (X * w[:, None])
    squared = X.T @ (X * (w**2)[:, None])
    return float(w.sum() - np.trace(np.linalg.solve(inside, squared)))


def typical_variance(v: Array, X: Array) -> float:
    """Return the "typical" sampling variance ``(k - p) / tr P`` (Higgins & Thompson 2002)."""
    k, p = X.shape
    return float((k - p) / _trace_p(1.0 / v, X))


def _dersimonian_laird(y: Array, v: Array, X: Array) -> float:
    """Return the moment estimate of tau2 (DerSimonian & Laird 1986)."""
    k, p = X.shape
    excess = fit_gls(y, X, v).quadratic - (k - p)
    return max(0.0, float(excess / _trace_p(1.0 / v, X)))


def _paule_mandel(y: Array, v: Array, X: Array) -> float:
    """Return tau2 at which the generalised Q equals its df (Paule & Mandel 1982)."""
    k, p = X.shape
    return _where_q_is(y, v, X, float(k - p)) or 0.0


def profile_interval(y: Array, v: Array, X: Array, conf_level: float) -> tuple[float, float]:
    """Return the Q-profile interval of tau2 (Viechtbauer 2007, doi:10.1002/sim.2514).

    A limit is 0 where Q is already below its quantile there; both limits are NaN (the set is empty)
    where the estimates differ less than chance allows even at ``tau2 = 0``.
    """
    k, p = X.shape
    tail = (1.0 - conf_level) / 2.0
    low = _where_q_is(y, v, X, float(stats.chi2.isf(tail, k - p)))
    high = _where_q_is(y, v, X, float(stats.chi2.ppf(tail, k - p)))
    return (np.nan, np.nan) if high is None else (low or 0.0, high)


def _where_q_is(y: Array, v: Array, X: Array, target: float) -> float | None:
    """Return tau2 at which the generalised Q falls to `target`; ``None`` if it starts below."""

    def excess(tau2: float) -> float:
        return fit_gls(y, X, v + tau2).quadratic - target

    if excess(0.0) < 0.0:
        return None
    upper = _scale(y, v)
    while excess(upper) > 0.0:
        upper *= 10.0
    return _root(excess, 0.0, upper)


def reml(y: Array, v: Array, X: Array) -> float:
    """Return the restricted maximum-likelihood tau2, 0 where the likelihood falls from there.

    The score is followed over a wide grid, each place where it turns negative is found to machine
    precision, and the best of these and 0 is taken, so that a second maximum is harmless.
    """

    def score(tau2: float) -> float:
        w = 1.0 / (v + tau2)
        pulled = w * fit_gls(y, X, v + tau2).residual
        return float(pulled @ pulled) - _trace_p(w, X)

    def height(tau2: float) -> float:
        return fit_gls(y, X, v + tau2).log_likelihood(X, restricted=True)

    scale = _scale(y, v)
    grid = np.concatenate([[0.0], scale * np.geomspace(_SMALLEST, _WIDEST, _PLACES)])
    slopes = [score(tau2) for tau2 in grid]
    maxima = [0.0] if slopes[0] <= 0.0 else []
    maxima += [
        _root(score, left, right)
        for left, right, at_left, at_right in zip(
            grid[:-1], grid[1:], slopes[:-1], slopes[1:], strict=True
        )
        if at_left > 0.0 >= at_right
    ]
    return max(maxima, key=height)


# how the variance between effects is estimated
ESTIMATORS: Mapping[str, Callable[[Array, Array, Array], float]] = MappingProxyType(
    {
        "REML": reml,
        "DL": _dersimonian_laird,
        "PM": _paule_mandel,
        "fixed": lambda y, v, X: 0.0,  # noqa: ARG005
    }
)


def _scale(y: Array, v: Array) -> float:
    return float(np.var(y) + v.mean())


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(function, low, high, xtol=1e-300, rtol=_RELATIVE, maxiter=500))
