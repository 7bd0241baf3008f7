"""Cox's partial likelihood with Efron's or Breslow's ties: value, slope, curvature, residuals.

``log L = sum over events of eta_i - sum over steps of log(S0(t) - f D0(t))``: S0 sums exp(eta) over
the risk set, D0 over the events tied at t, and f = 0, 1/d, ..., (d - 1)/d (Efron 1977,
doi:10.1080/01621459.1977.10480613) or 0 (Breslow 1974).
"""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.intervals import IntArray
from alliance_stats.survival.risk_sets import RiskSets

__all__ = [
    "RiskWeights",
    "information",
    "log_likelihood",
    "risk_weights",
    "score_residuals",
    "score_sums",
]


@dataclass(frozen=True, slots=True, eq=False)
class RiskWeights:
    """Everything at one linear predictor; rows are those of ``RiskSets.order``.

    Attributes
    ----------
    log_lik
        The log partial likelihood.
    weight
        (r,) exp(eta).
    expected
        (r,) events expected of each row: its weight times the hazard it lived through.
    hazard, tied_hazard
        (k,) sums over steps of 1 / denominator, and of f / denominator.
    squares
        (3, k) sums over steps of 1, f and f^2 over the squared denominator.
    """

    log_lik: float
    weight: Array
    expected: Array
    hazard: Array
    tied_hazard: Array
    squares: Array


def log_likelihood(eta: Array, sets: RiskSets) -> float:
    """Return the log partial likelihood at the linear predictor eta (r,), -inf if it overflows."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weight = np.exp(eta)
        value = eta[sets.dead].sum() - np.log(_denominators(weight, sets)).sum()
    return float(value) if np.isfinite(value) else -np.inf


def _denominators(weight: Array, sets: RiskSets) -> Array:
    total = sets.at_risk(sets.cell_sums(weight))
    tied = sets.dead_sums(weight[sets.dead])
    return np.asarray(total[sets.step_at] - sets.step_share * tied[sets.step_at])


def risk_weights(eta: Array, sets: RiskSets) -> RiskWeights:
    """Evaluate the partial likelihood and the sums its derivatives need at eta (r,)."""
    weight = np.exp(eta)
    inverse = 1.0 / _denominators(weight, sets)
    f = sets.step_share

    def over_steps(values: Array) -> Array:
        summed = np.bincount(sets.step_at, weights=values, minlength=len(sets.time))
        return summed.astype(np.float64)

    hazard, tied_hazard = over_steps(inverse), over_steps(f * inverse)
    lived = sets.to_rows(sets.over_time(hazard))
    lived[sets.dead] -= tied_hazard[sets.dead_at]
    lived *= weight
    return RiskWeights(
        log_lik=float(eta[sets.dead].sum() + np.log(inverse).sum()),
        weight=weight,
        expected=lived,
        hazard=hazard,
        tied_hazard=tied_hazard,
        squares=np.stack([over_steps(f**power * inverse**2) for power in range(3)]),
    )


def information(
    X: Array, at: RiskWeights, sets: RiskSets, *, per_time: Array | None = None
) -> Array:
    """Return minus the second derivative (p, p) of the log partial likelihood.

    Parameters
    ----------
    X
        (p, r) covariates, a row a covariate.
    at, sets
        The evaluation and the risk sets.
    per_time
        (k,) factor on each event time's share (for tests of proportional hazards); ones if None.
    """
    expected, squares = at.expected, at.squares
    if per_time is not None:
        lived = sets.to_rows(sets.over_time(per_time * at.hazard))
        lived[sets.dead] -= (per_time * at.tied_hazard)[sets.dead_at]
        expected, squares = at.weight * lived, squares * per_time
    _, gram = _expected_moments(X, expected, sets)
    return gram - _between_means(X, at, sets, squares)


def derivatives(X: Array, at: RiskWeights, sets: RiskSets) -> tuple[Array, Array]:
    """Return the score (p,) and the information (p, p) in one pass over the rows."""
    total, gram = _expected_moments(X, at.expected, sets)
    score = X[:, sets.dead].sum(axis=1) - total
    return score, gram - _between_means(X, at, sets, at.squares)


def _expected_moments(X: Array, expected: Array, sets: RiskSets) -> tuple[Array, Array]:
    """Return the sums of X (p,) and of its products (p, p), weighted by expected events."""
    total, gram = np.zeros(len(X)), np.zeros((len(X), len(X)))
    for rows in sets.blocks():
        part = X[:, rows] * expected[rows]
        total += part.sum(axis=1)
        gram += part @ X[:, rows].T
    return total, gram


def _between_means(X: Array, at: RiskWeights, sets: RiskSets, squares: Array) -> Array:
    """Return the steps' sum of outer products (p, p) of risk-set means."""
    risk, tied = covariate_sums(X, at, sets)
    outer = (risk * squares[0][:, None]).T @ risk + (tied * squares[2][:, None]).T @ tied
    cross = (risk * squares[1][:, None]).T @ tied
    return np.asarray(outer - cross - cross.T)


def covariate_sums(X: Array, at: RiskWeights, sets: RiskSets) -> tuple[Array, Array]:
    """Return weighted covariate sums (k, p) over the risk sets and over the tied events."""
    risk = sets.at_risk(sets.weighted_cell_sums(X, at.weight).T)
    dead = X[:, sets.dead] * at.weight[sets.dead]
    tied = np.stack([sets.dead_sums(row) for row in dead], axis=1)
    return risk, tied


def score_residuals(X: Array, at: RiskWeights, sets: RiskSets) -> Array:
    """Return each row's share (p, r) of the score, which sums to 0 at the estimate.

    See :func:`score_sums`.
    """
    return score_sums(X, at, sets, np.arange(len(sets.order)), len(sets.order))


def score_sums(
    X: Array, at: RiskWeights, sets: RiskSets, cluster: IntArray, n_clusters: int
) -> Array:
    """Sum the rows' shares of the score over clusters, giving (p, c).

    A row's share is ``integral of (x_i - xbar(t)) dM_i(t)``, the tied events' part as in Efron's
    likelihood (Therneau & Grambsch 2000, section 4.6, doi:10.1007/978-1-4757-3294-8).
    """
    risk, tied = covariate_sums(X, at, sets)
    squares = at.squares[:, :, None]
    mean_hazard = squares[0] * risk - squares[1] * tied
    mean_tied_hazard = squares[1] * risk - squares[2] * tied
    mean = (at.hazard[:, None] * risk - at.tied_hazard[:, None] * tied) / sets.n_event[:, None]
    lived = sets.over_time(mean_hazard).T
    total = np.empty((len(X), n_clusters))
    for own, x, past in zip(total, X, lived, strict=True):
        share = at.weight * sets.to_rows(past) - x * at.expected
        own[:] = np.bincount(cluster, weights=share, minlength=n_clusters)
    at_event = X[:, sets.dead] - mean[sets.dead_at].T
    at_event -= at.weight[sets.dead] * mean_tied_hazard[sets.dead_at].T
    for own, share in zip(total, at_event, strict=True):
        np.add.at(own, cluster[sets.dead], share)
    return total
