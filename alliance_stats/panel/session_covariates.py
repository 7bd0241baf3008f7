"""Covariates of a session table, coded; those that copy an outcome of any session are refused."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alliance_stats.design.coding import code_terms, independent_columns
from alliance_stats.design.formula import bound_terms, parse_terms, variables_of
from alliance_stats.design.rows import columns_as_read, complete_rows
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, Booleans
from alliance_stats.ledger import RowLedger

__all__ = ["check_no_rating", "check_told_apart", "coded_covariates"]


# Ratings from which on a straight line through all of them is no chance.
ENOUGH = 10
# Of a covariate's spread, what a straight line on a rating may leave to be that rating's copy.
COPY = 1e-9


def coded_covariates(
    used: pd.DataFrame, ledger: RowLedger, covariates: str, outcomes: Sequence[str]
) -> tuple[pd.DataFrame, RowLedger, Array, tuple[str, ...]]:
    """Code the formula: the complete rows, the ledger, columns (rows, M) and names.

    Raises
    ------
    DataError
        An outcome among the covariates; a column that is constant or follows from others.
    FormulaError
        An offset.
    """
    terms = bound_terms(parse_terms(covariates), list(used.columns))
    if terms.offset:
        raise FormulaError("covariates= has no offset(); its effect would be known to be 1.")
    variables = variables_of(terms)
    own = [outcome for outcome in outcomes if outcome in variables]
    if own:
        raise DataError(
            f"'{own[0]}' is an outcome and stands among the covariates, too. What one outcome "
            "does to another is estimated already; leave it out of covariates=."
        )
    kept, ledger = complete_rows(used, variables, rows=ledger)
    coding, X = code_terms(terms, columns_as_read(kept, variables), learn=used)
    other = [i for i, name in enumerate(coding.names) if name != "(Intercept)"]
    X, names = X[:, other], [coding.names[i] for i in other]
    told = independent_columns(np.column_stack([np.ones(len(X)), X])) - 1
    dropped = [name for i, name in enumerate(names) if i not in told]
    if dropped:
        raise DataError(
            f"The covariate '{dropped[0]}' is the same in every row, or follows from the others, "
            "so it has no effect of its own. Leave it out."
        )
    return kept, ledger, X, tuple(names)


def check_no_rating(values: Array, names: Sequence[str], y: Array, outcomes: Sequence[str]) -> None:
    """Refuse an outcome under another name: of any session, or a person's first, last or mean.

    Parameters
    ----------
    values, y
        Covariates (T, M, N) and ratings (T, K, N), NaN where missing.
    """
    rated: Booleans = np.asarray(np.isfinite(y).any(axis=1))
    for m, name in enumerate(names):
        for k, outcome in enumerate(outcomes):
            found = _rating_behind(values[:, m], y[:, k], rated)
            if found:
                raise DataError(
                    f"The covariate '{name}' is '{outcome}' {found}, or follows from it. What is "
                    "rated later cannot explain what came before, and what came before is in the "
                    "model already; leave it out of covariates=."
                )


def _rating_behind(x: Array, y: Array, rated: Booleans) -> str:
    """Say which rating y (T, N) a covariate x (T, N) copies; nothing if none."""
    lowest = np.where(rated, x, np.inf).min(axis=0)
    if not (np.where(rated, x, -np.inf).max(axis=0) > lowest).any():
        return _of_person(lowest, y)
    T = len(y)
    for shift in sorted(range(1 - T, T), key=abs):
        now = slice(max(0, -shift), T - max(0, shift))
        then = slice(max(0, shift), T + min(0, shift))
        if _copies(x[now], y[then], rated[now], few=abs(shift) <= 1):
            return _when(shift)
    return ""


def _of_person(x: Array, y: Array) -> str:
    """Say which rating of a person y (T, N) a characteristic x (N,) copies; nothing if none."""
    T, seen, persons = len(y), np.isfinite(y), np.arange(y.shape[1])
    ratings = {
        "at the person's first session": y[np.argmax(seen, axis=0), persons],
        "at the person's last session": y[T - 1 - np.argmax(seen[::-1], axis=0), persons],
        "as the person's mean": np.nansum(y, axis=0) / np.maximum(seen.sum(axis=0), 1),
    }
    ratings |= {f"of session {s + 1} of {T}": y[s] for s in range(T)}
    some: Booleans = np.asarray(seen.any(axis=0))
    for words, rating in ratings.items():
        if _copies(x, rating, some, few=False):
            return words
    return ""


def _when(shift: int) -> str:
    """Say at which session, counted from the covariate's own."""
    near = {0: "at the same session", 1: "of the next session", -1: "of the session before"}
    return near.get(shift, f"of {abs(shift)} sessions {'later' if shift > 0 else 'before'}")


def _copies(x: Array, rating: Array, rated: Booleans, *, few: bool) -> bool:
    """Whether x is a linear function of the rating (or, with few of them, the rating itself)."""
    both = rated & np.isfinite(rating)
    x, rating = x[both], rating[both]
    if few and len(x) > 2 and np.allclose(x, rating, rtol=1e-9, atol=0.0):
        return True
    if len(x) < ENOUGH or len(np.unique(rating)) < 3:
        return False
    x, rating = x - x.mean(), rating - rating.mean()
    size = float(x @ x)
    left = x - rating * (float(rating @ x) / float(rating @ rating))
    return size > 0.0 and float(left @ left) <= COPY**2 * size


def check_told_apart(
    covariates: Array, names: Sequence[str], rated: Booleans, *, linear: bool, of: str
) -> None:
    """Refuse a covariate that the sessions' means and the covariates before it determine.

    Parameters
    ----------
    covariates, rated
        Values (T, M, N) and where there is a rating (T, N), of one group.
    linear
        Whether the means are an intercept and a slope.
    of
        The group, in words.
    """
    session, person = np.nonzero(rated)
    X = np.stack([np.ones(len(session)), session], axis=1)
    if not linear:
        X = (session[:, None] == np.arange(len(rated))).astype(np.float64)
    for m, name in enumerate(names):
        own = covariates[session, m, person]
        left = own - X @ np.linalg.lstsq(X, own)[0]
        if np.abs(left).max() <= 1e-9 * np.abs(own - own.mean()).max(initial=0.0):
            raise DataError(
                f"The covariate '{name}' says nothing{of} that the sessions' means and the "
                "covariates before it do not: it is the same for everybody at a session, or "
                "follows from the others. Leave it out."
            )
        X = np.column_stack([X, own - own.mean()])
