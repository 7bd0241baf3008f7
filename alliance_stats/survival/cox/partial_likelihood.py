"""Cox's partial likelihood: value, slope, curvature, residuals.

``log L = sum over events of w_i eta_i - sum over steps of w(t) log(S0(t) - f D0(t))``: S0 sums w
exp(eta) over the risk set, D0 over the events tied at t, f = 0, 1/d, ..., (d - 1)/d (Efron 1977,
doi:10.1080/01621459.1977.10480613) or 0 (Breslow 1974), w are case weights and w(t) their mean over
the tied events. Arrays in, arrays out.
"""

from dataclasses import dataclass, replace

import numpy as np

from alliance_stats.estimates import Array, Integers
from alliance_stats.survival.cox.risk_sets import RiskSets

__all__ = [
    "PartialLikelihood",
    "RiskWeights",
    "cluster_information",
    "covariate_sums",
    "derivatives",
    "event_residuals",
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
        (r,) exp(eta), times the case weight.
    expected
        (r,) events expected of each row: its weight times its cumulative hazard.
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
        eta, weight = _weighted(eta, sets)
        value = _log_lik(eta, -np.log(_denominators(weight, sets)), sets)
    return float(value) if np.isfinite(value) else -np.inf


def _weighted(eta: Array, sets: RiskSets) -> tuple[Array, Array]:
    """Return the whole linear predictor (r,), offset included, and each row's weight (r,)."""
    eta = eta if sets.offset is None else eta + sets.offset
    weight = np.exp(eta)
    return eta, (weight if sets.case_weight is None else weight * sets.case_weight)


def _log_lik(eta: Array, steps: Array, sets: RiskSets) -> float:
    if sets.case_weight is None:
        return float(eta[sets.dead].sum() + steps.sum())
    return float(sets.dead_weight @ eta[sets.dead] + sets.step_weight @ steps)


def _denominators(weight: Array, sets: RiskSets) -> Array:
    total = sets.at_risk(sets.cell_sums(weight))
    tied = sets.dead_sums(weight[sets.dead])
    return np.asarray(total[sets.step_at] - sets.step_share * tied[sets.step_at])


def risk_weights(eta: Array, sets: RiskSets) -> RiskWeights:
    """Evaluate the partial likelihood and the sums its derivatives need at eta (r,)."""
    eta, weight = _weighted(eta, sets)
    inverse = 1.0 / _denominators(weight, sets)
    f, w = sets.step_share, sets.step_weight

    def over_steps(values: Array) -> Array:
        summed = np.bincount(sets.step_at, weights=values, minlength=len(sets.time))
        return summed.astype(np.float64)

    hazard, tied_hazard = over_steps(w * inverse), over_steps(w * f * inverse)
    lived = sets.to_rows(sets.over_time(hazard))
    lived[sets.dead] -= tied_hazard[sets.dead_at]
    lived *= weight
    return RiskWeights(
        log_lik=float(_log_lik(eta, np.log(inverse), sets)),
        weight=weight,
        expected=lived,
        hazard=hazard,
        tied_hazard=tied_hazard,
        squares=np.stack([over_steps(w * f**power * inverse**2) for power in range(3)]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PartialLikelihood:
    """Cox's partial likelihood of (p, r) covariates, as something to be climbed."""

    X: Array
    sets: RiskSets

    def at(self, beta: Array) -> RiskWeights:
        """Evaluate; the log-likelihood of a step that overflows is -inf, without a warning."""
        eta = beta @ self.X
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = risk_weights(eta, self.sets)
        return found if np.isfinite(found.log_lik) else replace(found, log_lik=-np.inf)

    def derivatives(self, at: RiskWeights) -> tuple[Array, Array]:
        """Return the score (p,) and the information (p, p) in one pass over the rows."""
        return derivatives(self.X, at, self.sets)

    def spans(self) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
        """Return when each row was at risk, and who ended when."""
        return self.sets.spans()


def information(
    X: Array,
    at: RiskWeights,
    sets: RiskSets,
    *,
    per_time: Array | None = None,
    sums: tuple[Array, Array] | None = None,
) -> Array:
    """Return minus the second derivative (p, p) of the log partial likelihood.

    Parameters
    ----------
    X
        (p, r) covariates, one row per covariate.
    at, sets
        The evaluation and the risk sets.
    per_time
        (k,) factor on each event time's share (for tests of proportional hazards); ones if None.
    sums
        What :func:`covariate_sums` gives, where it is known.
    """
    expected, squares = at.expected, at.squares
    if per_time is not None:
        lived = sets.to_rows(sets.over_time(per_time * at.hazard))
        lived[sets.dead] -= (per_time * at.tied_hazard)[sets.dead_at]
        expected, squares = at.weight * lived, squares * per_time
    _, gram = _expected_moments(X, expected, sets)
    return gram - _between_means(squares, *(sums or covariate_sums(X, at, sets)))


def derivatives(X: Array, at: RiskWeights, sets: RiskSets) -> tuple[Array, Array]:
    """Return the score (p,) and the information (p, p) in one pass over the rows."""
    total, gram = _expected_moments(X, at.expected, sets)
    events = X[:, sets.dead]
    seen = events.sum(axis=1) if sets.case_weight is None else events @ sets.dead_weight
    score = seen - total
    return score, gram - _between_means(at.squares, *covariate_sums(X, at, sets))


def _expected_moments(X: Array, expected: Array, sets: RiskSets) -> tuple[Array, Array]:
    """Return the sums of X (p,) and of its products (p, p), weighted by expected events."""
    total, gram = np.zeros(len(X)), np.zeros((len(X), len(X)))
    for rows in sets.blocks():
        part = X[:, rows] * expected[rows]
        total += part.sum(axis=1)
        gram += part @ X[:, rows].T
    return total, gram


def _between_means(squares: Array, risk: Array, tied: Array) -> Array:
    """Return the steps' sum of outer products (p, p) of risk-set means."""
    outer = (risk * squares[0][:, None]).T @ risk + (tied * squares[2][:, None]).T @ tied
    cross = (risk * squares[1][:, None]).T @ tied
    return np.asarray(outer - cross - cross.T)


def covariate_sums(X: Array, at: RiskWeights, sets: RiskSets) -> tuple[Array, Array]:
    """Return weighted covariate sums (k, p) over the risk sets and over the tied events."""
    risk = sets.at_risk(sets.weighted_cell_sums(X, at.weight).T)
    dead = X[:, sets.dead] * at.weight[sets.dead]
    return risk, sets.dead_sums(dead).T


def score_residuals(X: Array, at: RiskWeights, sets: RiskSets) -> Array:
    """Return each row's share (p, r) of the score, which sums to 0 at the estimate.

    See :func:`score_sums`.
    """
    return score_sums(X, at, sets, np.arange(len(sets.order)), len(sets.order))


def cluster_information(
    X: Array, at: RiskWeights, sets: RiskSets, cluster: Integers, n_clusters: int
) -> Array:
    """Return each cluster's expected information (c, p, p).

    ``sum over its rows of integral (x_i - xbar(t)) (x_i - xbar(t))' Y_i(t) exp(eta_i) dH(t)``, ties
    as Breslow's.
    """
    risk, tied = covariate_sums(X, at, sets)
    events = sets.dead_sums(sets.dead_weight)
    mean = (at.hazard[:, None] * risk - at.tied_hazard[:, None] * tied) / events[:, None]

    def lived(increments: Array) -> Array:
        return np.asarray(at.weight * sets.to_rows(sets.over_time(increments)))

    plain, own = lived(at.hazard), [lived(at.hazard * column) for column in mean.T]
    found = np.empty((n_clusters, len(X), len(X)))
    for a in range(len(X)):
        for b in range(a + 1):
            rows = X[a] * X[b] * plain - X[a] * own[b] - X[b] * own[a]
            rows += lived(at.hazard * mean[:, a] * mean[:, b])
            summed = np.bincount(cluster, weights=rows, minlength=n_clusters)
            found[:, a, b] = found[:, b, a] = summed
    return found


def score_sums(
    X: Array, at: RiskWeights, sets: RiskSets, cluster: Integers, n_clusters: int
) -> Array:
    """Sum the rows' shares of the score over clusters, giving (p, c).

    A row's share is ``integral of (x_i - xbar(t)) dM_i(t)``, the tied events' part as in Efron's
    likelihood (Therneau & Grambsch 2000, section 4.6, doi:10.1007/978-1-4757-3294-8).
    """
    risk, tied = covariate_sums(X, at, sets)
    squares = at.squares[:, :, None]
    mean_hazard = squares[0] * risk - squares[1] * tied
    mean_tied_hazard = squares[1] * risk - squares[2] * tied
    events = sets.dead_sums(sets.dead_weight)
    mean = (at.hazard[:, None] * risk - at.tied_hazard[:, None] * tied) / events[:, None]
    lived = sets.over_time(mean_hazard).T
    total = np.empty((len(X), n_clusters))
    for own, x, past in zip(total, X, lived, strict=True):
        share = at.weight * sets.to_rows(past) - x * at.expected
        own[:] = np.bincount(cluster, weights=share, minlength=n_clusters)
    at_event = (X[:, sets.dead] - mean[sets.dead_at].T) * sets.dead_weight
    at_event -= at.weight[sets.dead] * mean_tied_hazard[sets.dead_at].T
    for own, share in zip(total, at_event, strict=True):
        np.add.at(own, cluster[sets.dead], share)
    return total


def event_residuals(event: Integers, expected: Array) -> tuple[Array, Array]:
    """Return martingale and deviance residuals (n,) from observed and expected events."""
    seen = event.astype(np.float64)
    martingale = seen - expected
    log_part = seen * np.log(np.where(seen > 0, expected, 1.0))
    size = np.sqrt(np.maximum(-2.0 * (martingale + log_part), 0.0))
    return martingale, np.sign(martingale) * size
