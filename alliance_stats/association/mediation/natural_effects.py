"""Natural direct and indirect effects from fitted models, on the scale of the outcome.

The expected outcome if the treatment were x and the mediator what it would be under x', averaged
over the units: the mediator's distribution is summed or integrated out, its coefficients and the
outcome's drawn (Imai, Keele & Tingley 2010, doi:10.1037/a0020761). For several linear mediators the
effect is that through all of them (VanderWeele & Vansteelandt 2014, doi:10.1515/em-2012-0010).
Arrays only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special, stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["Columns", "NaturalModel", "distinct", "natural_effects"]

_NODES = 24
_FEWER_NODES = 10  # of draws, whose own scatter is a thousand times what is lost
_FAR = 1e-10  # probability beyond which counts are not summed
_MOST = 12.0  # of log rates of a mediator that is a count


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of all equations if the treatment had one value, one row per unit.

    Attributes
    ----------
    mediators
        (n, p) of each mediator's equation.
    base
        (sessions, n, p) of the outcome's, its mediators at 0; one session but for hazards.
    slopes
        (n, p) for each mediator: what one unit more of it adds to those columns.
    """

    mediators: tuple[Array, ...]
    base: Array
    slopes: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class NaturalModel:
    """What the counterfactual means require from the fits.

    Attributes
    ----------
    mediator
        ``"linear"``, ``"logistic"`` or ``"poisson"``.
    outcome
        ``"linear"``, ``"logistic"``, ``"poisson"``; ``"survival"`` or ``"sessions"`` of a hazard.
    link
        Of a hazard: ``"logit"`` or ``"cloglog"``.
    columns
        Value of the treatment -> the columns.
    weights
        (n,) weight of each unit; they sum to 1.
    happens
        (sessions,) of a hazard: whether anyone dropped out after the session; else its hazard is 0.
    nodes
        Of the integral over a linear mediator.
    """

    mediator: str
    outcome: str
    link: str
    columns: Mapping[float, Columns]
    weights: Array
    happens: Array
    nodes: int = _NODES

    def rougher(self) -> "NaturalModel":
        """Return the same with fewer nodes, for draws."""
        return replace(self, nodes=_FEWER_NODES)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many coefficients each equation has, the outcome's last."""
        first = next(iter(self.columns.values()))
        return (*(X.shape[1] for X in first.mediators), first.base.shape[2])

    def mean(self, theta: Array, covariance: Array, x: float, other: float) -> float:
        """Return ``E[Y(x, M(x'))]`` over the units.

        Parameters
        ----------
        theta
            Coefficients of all equations.
        covariance
            (mediators, mediators) of the errors of linear ones.
        x, other
            Value of the treatment, and the one that the mediators are under.
        """
        *betas, gamma = np.split(theta, np.cumsum(self.sizes)[:-1])
        own, under = self.columns[x], self.columns[other]
        eta = own.base @ gamma
        slopes = np.array([S @ gamma for S in own.slopes])
        centres = np.array([X @ b for X, b in zip(under.mediators, betas, strict=True)])
        if self.mediator == "linear":
            eta = eta + (slopes * centres).sum(axis=0)
            variance = np.einsum("kn,kl,ln->n", slopes, covariance, slopes)
            return float(self.weights @ self._over_normal(eta, variance))
        m, probability = self._values(centres[0])
        values = self._outcome(eta[:, :, None] + slopes[0][:, None] * m)
        return float(self.weights @ (probability * values).sum(axis=1))

    def _over_normal(self, eta: Array, variance: Array) -> Array:
        """Return each unit's expected outcome over a normal part of its predictor."""
        if self.outcome == "linear":
            return np.asarray(eta[0])
        if self.outcome == "poisson":
            return np.asarray(np.exp(eta[0] + variance / 2.0))
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        spread = np.sqrt(variance)[:, None] * nodes
        return np.asarray(self._outcome(eta[:, :, None] + spread) @ (weights / weights.sum()))

    def _values(self, eta: Array) -> tuple[Array, Array]:
        """Return values that the mediator takes and their probabilities, (n, values)."""
        if self.mediator == "logistic":
            p = special.expit(eta)
            return np.broadcast_to([0.0, 1.0], (len(eta), 2)), np.column_stack([1.0 - p, p])
        rate = np.exp(np.minimum(eta, _MOST))
        most = int(stats.poisson.isf(_FAR, rate.max())) + 1
        counts = np.arange(most + 1.0)
        return np.broadcast_to(counts, (len(eta), most + 1)), stats.poisson.pmf(
            counts, rate[:, None]
        )

    def _outcome(self, eta: Array) -> Array:
        """Return the expected outcome for predictors (sessions, n, values)."""
        if self.outcome == "linear":
            return np.asarray(eta[0])
        if self.outcome == "logistic":
            return np.asarray(special.expit(eta[0]))
        if self.outcome == "poisson":
            return np.asarray(np.exp(eta[0]))
        # -log of staying, summed over the sessions after which anyone left
        left = np.logaddexp(0.0, eta) if self.link == "logit" else np.exp(eta)
        gone = np.cumsum(left * self.happens[:, None, None], axis=0)
        if self.outcome == "survival":
            return np.asarray(np.exp(-gone[-1]))
        return np.asarray(1.0 + np.exp(-gone[:-1]).sum(axis=0))


def natural_effects(
    model: NaturalModel,
    theta: Array,
    covariance: Array,
    x: tuple[float, float],
    *,
    ratio: bool,
) -> Array:
    """Return total, natural direct and natural indirect effect, and the share mediated.

    Direct: with the mediator as under the first value; indirect: with the treatment at the second.
    Direct and indirect then add up (multiply, as ratios) to the total.
    """
    low, high = x
    y00, y10, y11 = (
        model.mean(theta, covariance, *pair) for pair in ((low, low), (high, low), (high, high))
    )
    if ratio and not min(y00, y10, y11) > 0.0:
        raise NotIdentifiedError(
            "A ratio of expected outcomes needs all of them above 0: ask for scale='difference'."
        )
    share = (y11 - y10) / (y11 - y00) if y11 != y00 else np.nan
    if ratio:
        return np.array([y11 / y00, y10 / y00, y11 / y10, share])
    return np.array([y11 - y00, y10 - y00, y11 - y10, share])


def distinct(columns: Sequence[Columns]) -> tuple[list[Columns], Array]:
    """Keep each pattern of columns once; return the patterns and the share of units of each."""
    parts = [np.concatenate([*one.mediators, *one.base, *one.slopes], axis=1) for one in columns]
    _, first, counts = np.unique(
        np.concatenate(parts, axis=1), axis=0, return_index=True, return_counts=True
    )
    kept = [
        Columns(
            tuple(X[first] for X in one.mediators),
            one.base[:, first],
            tuple(S[first] for S in one.slopes),
        )
        for one in columns
    ]
    return kept, counts / counts.sum()
