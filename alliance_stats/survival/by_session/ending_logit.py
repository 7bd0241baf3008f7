"""Multinomial logit: several endings against none, in one likelihood. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, optimize, special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.survival.cox.cox_fit import Ascent, ascend

__all__ = [
    "EndingLikelihood",
    "EndingRows",
    "EndingsAt",
    "MultinomialFit",
    "evened",
    "fit_multinomial",
    "highest",
    "row_scores",
]


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
        (n, endings): whether that ending is possible in that row; its probability is 0 otherwise.
    weight
        (n,) weight of each row; None where each is 1.
    """

    X: Array
    ending: Integers
    counts: Booleans
    possible: Booleans
    weight: Array | None = None

    @property
    def came(self) -> Array:
        """(n, endings + 1): 1 for the ending that occurred, none first."""
        return np.asarray(np.eye(len(self.counts) + 1)[self.ending])


@dataclass(frozen=True, slots=True, eq=False)
class MultinomialFit:
    """Maximum of the likelihood.

    Attributes
    ----------
    beta
        (endings, p) coefficients, NaN where a column does not count for an ending.
    covariance
        (m, m) inverse information of the coefficients that count, ending by ending.
    scores
        (m, n) each row's score.
    log_lik
        Log-likelihood.
    """

    beta: Array
    covariance: Array
    scores: Array
    log_lik: float


def _probabilities(X: Array, beta: Array, possible: Booleans) -> Array:
    """Return probabilities (n, endings + 1), no ending first; they sum to 1.

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
    even, size = evened(rows)
    found = highest(even)
    covariance = _inverse(found.curvature) if found.converged else None
    if covariance is None or bool((np.sqrt(np.diag(covariance)) > _SUSPICIOUS).any()):
        _refuse_separation(rows, names)
    if covariance is None:
        raise NotIdentifiedError(
            f"The likelihood of the competing endings did not reach its maximum in {found.steps} "
            "Newton steps. Leave a term out, or make it coarser."
        )
    beta = np.full(rows.counts.shape, np.nan)
    beta[rows.counts] = found.beta
    unscale = np.broadcast_to(size, rows.counts.shape)[rows.counts]
    covariance = covariance / np.outer(unscale, unscale)
    return MultinomialFit(beta / size, covariance, row_scores(rows, found.at), found.at.log_lik)


def evened(rows: EndingRows) -> tuple[EndingRows, Array]:
    """Return the rows with columns of mean square 1, and (p,) what they were divided by.

    Whether information is flat can be told from its eigenvalues only where no column's unit is in
    them.
    """
    size = np.sqrt((rows.X**2).mean(axis=0))
    size[size == 0.0] = 1.0
    return replace(rows, X=rows.X / size), size


@dataclass(frozen=True, slots=True, eq=False)
class EndingsAt:
    """The log-likelihood at some coefficients, and the probabilities (n, endings + 1) there."""

    log_lik: float
    P: Array


@dataclass(frozen=True, slots=True, eq=False)
class EndingLikelihood:
    """The likelihood of the (m,) coefficients that count, ending by ending."""

    rows: EndingRows

    def at(self, beta: Array) -> EndingsAt:
        """Evaluate."""
        rows = self.rows
        each = np.zeros(rows.counts.shape)
        each[rows.counts] = beta
        P = _probabilities(rows.X, each, rows.possible)
        with np.errstate(divide="ignore"):
            logs = np.log(P[np.arange(len(P)), rows.ending])
        return EndingsAt(float(logs.sum() if rows.weight is None else rows.weight @ logs), P)

    def derivatives(self, at: EndingsAt) -> tuple[Array, Array]:
        """Return the score (m,) and the information (m, m)."""
        rows, free = self.rows, self.rows.counts.ravel()
        off, weight = _off(rows, at), rows.weight
        X = rows.X if weight is None else rows.X * weight[:, None]
        n_endings, p = rows.counts.shape
        whole = np.empty((n_endings * p, n_endings * p))
        P = at.P[:, 1:]
        for j in range(n_endings):
            for k in range(n_endings):
                own = P[:, j] * ((j == k) - P[:, k])
                block = (X * own[:, None]).T @ rows.X
                whole[j * p : (j + 1) * p, k * p : (k + 1) * p] = block
        return (off.T @ rows.X).ravel()[free], whole[np.ix_(free, free)]


def highest(rows: EndingRows) -> Ascent:
    """Climb to the maximum of the likelihood, from coefficients of 0."""
    return ascend(EndingLikelihood(rows), np.zeros(int(rows.counts.sum())), done=_DONE)


def row_scores(rows: EndingRows, at: EndingsAt) -> Array:
    """Return each row's score (m, n)."""
    each = [(column[:, None] * rows.X).T for column in _off(rows, at).T]
    return np.asarray(np.concatenate(each)[rows.counts.ravel()])


def _off(rows: EndingRows, at: EndingsAt) -> Array:
    """Return what came less its probability (n, endings), times the row's weight."""
    off = (rows.came - at.P)[:, 1:]
    return off if rows.weight is None else off * rows.weight[:, None]


def _inverse(information: Array) -> Array | None:
    try:
        return np.asarray(
            linalg.cho_solve(linalg.cho_factor(information), np.eye(len(information)))
        )
    except linalg.LinAlgError:
        return None


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
