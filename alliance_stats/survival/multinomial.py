"""Multinomial logit: several endings against none, in one likelihood. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["MultinomialFit", "fit_multinomial", "probabilities"]

_STEPS = 60
_HALVINGS = 40
# Squared length of a Newton step in standard errors after which the next is rounding.
_DONE = 1e-20
# A coefficient per SD of its column whose standard error exceeds this may be running to infinity.
_SUSPICIOUS = 3.0
# What counts as moved along a direction scaled to at most 1.
_MOVED = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class MultinomialFit:
    """Maximum of the likelihood.

    Attributes
    ----------
    beta
        (endings, p) coefficients, NaN where a column does not count for an ending.
    covariance
        (m, m) inverse information of the coefficients that do, ending by ending.
    scores
        (m, n) each row's score.
    log_lik
        Log-likelihood.
    """

    beta: Array
    covariance: Array
    scores: Array
    log_lik: float


def probabilities(X: Array, beta: Array, possible: npt.NDArray[np.bool_]) -> Array:
    """Return (n, endings + 1) probabilities, of no ending first: they sum to 1.

    Parameters
    ----------
    X
        (n, p).
    beta
        (endings, p), NaN taken as 0.
    possible
        (n, endings): whether that ending can come in that row; its probability is 0 otherwise.
    """
    eta = np.where(possible, X @ np.nan_to_num(beta).T, -np.inf)
    whole = np.column_stack([np.zeros(len(X)), eta])
    return np.asarray(special.softmax(whole, axis=1))


def fit_multinomial(
    X: Array,
    ending: npt.NDArray[np.int64],
    counts: npt.NDArray[np.bool_],
    possible: npt.NDArray[np.bool_],
    *,
    names: Sequence[str],
) -> MultinomialFit:
    """Fit ``log P(k) / P(none) = x beta_k`` by Newton's method.

    Parameters
    ----------
    X
        (n, p) columns, the same for all endings.
    ending
        (n,) 0 for none, 1, 2, ... for the endings.
    counts
        (endings, p): whether the ending has a coefficient of that column.
    possible
        (n, endings), see :func:`probabilities`.
    names
        Of coefficients, ending by ending, for the message of separation.
    """
    n, p = X.shape
    n_endings = len(counts)
    free = counts.ravel()
    observed = np.zeros((n, n_endings + 1))
    observed[np.arange(n), ending] = 1.0
    beta = np.zeros(n_endings * p)

    def log_likelihood(at: Array) -> tuple[float, Array]:
        P = probabilities(X, at.reshape(n_endings, p), possible)
        return float(np.log(P[np.arange(n), ending]).sum()), P

    value, P = log_likelihood(beta)
    done = suspicious = False
    for _ in range(_STEPS):
        off = (observed - P)[:, 1:]
        slope = np.concatenate([off[:, k] @ X for k in range(n_endings)])[free]
        information = _information(X, P[:, 1:])[np.ix_(free, free)]
        step = np.zeros_like(beta)
        try:
            step[free] = linalg.cho_solve(linalg.cho_factor(information), slope)
        except linalg.LinAlgError:
            break
        share = 1.0
        for _ in range(_HALVINGS):
            new, new_P = log_likelihood(beta + share * step)
            if new >= value - 1e-12 * (1.0 + abs(value)):
                break
            share /= 2.0
        beta, value, P = beta + share * step, new, new_P
        if float(step[free] @ slope) < _DONE:
            done = True
            break
    information = _information(X, P[:, 1:])[np.ix_(free, free)]
    scale = np.tile(np.sqrt((X**2).mean(axis=0)), n_endings)[free]
    try:
        covariance = linalg.cho_solve(linalg.cho_factor(information), np.eye(len(information)))
        suspicious = (np.sqrt(np.diag(covariance)) * scale > _SUSPICIOUS).any()
    except linalg.LinAlgError:
        done = False
    if not done or suspicious:
        _refuse_separation(X, ending, free, possible, names)
    if not done:
        raise NotIdentifiedError(
            f"The likelihood of the competing endings did not reach its maximum in {_STEPS} Newton "
            "steps. Leave a term out, or make it coarser."
        )
    off = (observed - P)[:, 1:]
    scores = np.concatenate([(off[:, [k]] * X).T for k in range(n_endings)])[free]
    shown = np.where(free, beta, np.nan).reshape(n_endings, p)
    return MultinomialFit(shown, covariance, scores, value)


def _information(X: Array, P: Array) -> Array:
    n_endings, p = P.shape[1], X.shape[1]
    whole = np.empty((n_endings * p, n_endings * p))
    for j in range(n_endings):
        for k in range(n_endings):
            weight = P[:, j] * ((j == k) - P[:, k])
            whole[j * p : (j + 1) * p, k * p : (k + 1) * p] = (X * weight[:, None]).T @ X
    return whole


def _refuse_separation(
    X: Array,
    ending: npt.NDArray[np.int64],
    free: npt.NDArray[np.bool_],
    possible: npt.NDArray[np.bool_],
    names: Sequence[str],
) -> None:
    """Raise if a direction of the coefficients lowers no row's likelihood and raises some.

    (Albert & Anderson 1984, doi:10.1093/biomet/71.1.1), by a linear programme.
    """
    n_endings, p = possible.shape[1], X.shape[1]
    scaled = X / np.maximum(np.abs(X).max(axis=0), 1e-300)
    rows = []
    for came in range(n_endings + 1):
        own = ending == came
        for other in range(n_endings + 1):
            if other == came:
                continue
            mine = own if other == 0 else own & possible[:, other - 1]
            block = np.zeros((int(mine.sum()), n_endings * p))
            if came > 0:
                block[:, (came - 1) * p : came * p] += scaled[mine]
            if other > 0:
                block[:, (other - 1) * p : other * p] -= scaled[mine]
            rows.append(np.unique(block[:, free], axis=0))
    pushed = np.vstack(rows)
    found = optimize.linprog(
        -pushed.sum(axis=0) / len(pushed),
        A_ub=-pushed,
        b_ub=np.zeros(len(pushed)),
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if found.status == 0 and (pushed @ found.x).max() > _MOVED:
        involved = [name for name, d in zip(names, found.x, strict=True) if abs(d) > _MOVED]
        raise NotIdentifiedError(
            "Separation: the endings are told without error by the covariates, whose estimates "
            f"would run to infinity ({', '.join(involved[:6])}). Join a category in which an "
            "ending never (or always) comes with another, or leave the term out."
        )
