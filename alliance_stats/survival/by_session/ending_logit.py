"""Multinomial logit: several endings against none, in one likelihood. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["EndingRows", "MultinomialFit", "fit_multinomial", "probabilities"]


_STEPS = 60
_HALVINGS = 40
# Squared length of a Newton step in standard errors after which the next is rounding.
_DONE = 1e-20
# A coefficient per SD of its column whose standard error exceeds this may be running to infinity.
_SUSPICIOUS = 3.0
# What counts as moved along a direction scaled to at most 1.
_MOVED = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class EndingRows:
    """Rows at risk of several endings.

    Attributes
    ----------
    X
        (n, p) columns, the same for all endings.
    ending
        (n,) 0 for none, 1, 2, ... for the endings.
    counts
        (endings, p): whether the ending has a coefficient of that column.
    possible
        (n, endings): whether that ending can come in that row; its probability is 0 otherwise.
    """

    X: Array
    ending: npt.NDArray[np.int64]
    counts: npt.NDArray[np.bool_]
    possible: npt.NDArray[np.bool_]

    @property
    def came(self) -> Array:
        """(n, endings + 1): 1 where it came so, none first."""
        return np.asarray(np.eye(len(self.counts) + 1)[self.ending])


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
        (n, endings), see :class:`EndingRows`.
    """
    eta = np.where(possible, X @ np.nan_to_num(beta).T, -np.inf)
    whole = np.column_stack([np.zeros(len(X)), eta])
    return np.asarray(special.softmax(whole, axis=1))


def fit_multinomial(rows: EndingRows, *, names: Sequence[str]) -> MultinomialFit:
    """Fit ``log P(k) / P(none) = x beta_k`` by Newton's method.

    Parameters
    ----------
    rows
        The data.
    names
        Of the coefficients that count, ending by ending, for the message of separation.

    Raises
    ------
    NotIdentifiedError
        Separation, with the coefficients; or no maximum.
    """
    beta, log_lik, found = _newton(rows)
    P = probabilities(rows.X, beta, rows.possible)
    free = rows.counts.ravel()
    covariance = _inverse(_information(rows.X, P[:, 1:])[np.ix_(free, free)]) if found else None
    if covariance is None or _suspicious(rows, covariance):
        _refuse_separation(rows, names)
    if covariance is None:
        raise NotIdentifiedError(
            f"The likelihood of the competing endings did not reach its maximum in {_STEPS} Newton "
            "steps. Leave a term out, or make it coarser."
        )
    off = (rows.came - P)[:, 1:]
    scores = np.concatenate([(column[:, None] * rows.X).T for column in off.T])[free]
    return MultinomialFit(np.where(rows.counts, beta, np.nan), covariance, scores, log_lik)


def _newton(rows: EndingRows) -> tuple[Array, float, bool]:
    """Return coefficients, log-likelihood, and whether they are the maximum."""
    free, came = rows.counts.ravel(), rows.came
    each = np.arange(len(came))
    beta = np.zeros(rows.counts.shape)

    def log_likelihood(at: Array) -> tuple[float, Array]:
        P = probabilities(rows.X, at, rows.possible)
        return float(np.log(P[each, rows.ending]).sum()), P

    value, P = log_likelihood(beta)
    for _ in range(_STEPS):
        slope = ((came - P)[:, 1:].T @ rows.X).ravel()[free]
        inverse = _inverse(_information(rows.X, P[:, 1:])[np.ix_(free, free)])
        if inverse is None:
            return beta, value, False
        step = np.zeros(beta.size)
        step[free] = inverse @ slope
        share = 1.0
        for _ in range(_HALVINGS):
            new, new_P = log_likelihood(beta + share * step.reshape(beta.shape))
            if new >= value - 1e-12 * (1.0 + abs(value)):
                break
            share /= 2.0
        beta, value, P = beta + share * step.reshape(beta.shape), new, new_P
        if float(step[free] @ slope) < _DONE:
            return beta, value, True
    return beta, value, False


def _inverse(information: Array) -> Array | None:
    try:
        return np.asarray(
            linalg.cho_solve(linalg.cho_factor(information), np.eye(len(information)))
        )
    except linalg.LinAlgError:
        return None


def _information(X: Array, P: Array) -> Array:
    n_endings, p = P.shape[1], X.shape[1]
    whole = np.empty((n_endings * p, n_endings * p))
    for j in range(n_endings):
        for k in range(n_endings):
            weight = P[:, j] * ((j == k) - P[:, k])
            whole[j * p : (j + 1) * p, k * p : (k + 1) * p] = (X * weight[:, None]).T @ X
    return whole


def _suspicious(rows: EndingRows, covariance: Array) -> bool:
    size = np.tile(np.sqrt((rows.X**2).mean(axis=0)), len(rows.counts))[rows.counts.ravel()]
    return bool((np.sqrt(np.diag(covariance)) * size > _SUSPICIOUS).any())


def _refuse_separation(rows: EndingRows, names: Sequence[str]) -> None:
    """Raise if a direction of the coefficients lowers no row's likelihood and raises some.

    (Albert & Anderson 1984, doi:10.1093/biomet/71.1.1), by a linear programme.
    """
    pushed = _pushes(rows)
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


def _pushes(rows: EndingRows) -> Array:
    """How each row's log odds, of what came against each other ending, move with coefficients."""
    n_endings, p = rows.counts.shape
    scaled = rows.X / np.maximum(np.abs(rows.X).max(axis=0), 1e-300)
    blocks = []
    for came in range(n_endings + 1):
        own = rows.ending == came
        for other in range(n_endings + 1):
            if other == came:
                continue
            mine = own if other == 0 else own & rows.possible[:, other - 1]
            block = np.zeros((int(mine.sum()), n_endings * p))
            if came > 0:
                block[:, (came - 1) * p : came * p] += scaled[mine]
            if other > 0:
                block[:, (other - 1) * p : other * p] -= scaled[mine]
            blocks.append(np.unique(block[:, rows.counts.ravel()], axis=0))
    return np.vstack(blocks)
