"""Natural direct and indirect effects from two fitted regressions, on the scale of the outcome.

The expected outcome had the treatment been x and the mediator what it would be under x', averaged
over the rows: the mediator's distribution is summed or integrated out, its coefficients and the
outcome's drawn (Imai, Keele & Tingley 2010, doi:10.1037/a0020761). Arrays only.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from alliance_stats.estimates import Array

__all__ = ["NaturalModel", "natural_effects"]

_NODES = 24
_FAR = 1e-10  # probability beyond which counts are not summed


@dataclass(frozen=True, slots=True, eq=False)
class NaturalModel:
    """What the counterfactual means need of the two fits.

    Attributes
    ----------
    mediator, outcome
        ``"linear"``, ``"logistic"`` or ``"poisson"``.
    base_m, base_y
        (n, p) columns of both but treatment, mediator and their product; with the constant.
    beta_m, beta_y
        Their coefficients: those of the base, then (m) treatment; (y) treatment, mediator, product.
    sigma
        Residual SD of a linear mediator.
    """

    mediator: str
    outcome: str
    base_m: Array
    base_y: Array
    beta_m: Array
    beta_y: Array
    sigma: float

    def mean(self, x: float, x_of_mediator: float) -> float:
        """Return ``E[Y(x, M(x'))]`` over the rows."""
        p = self.base_m.shape[1]
        eta = self.base_m @ self.beta_m[:p] + self.beta_m[p] * x_of_mediator
        m, w = self._mediator_at(eta)
        q = self.base_y.shape[1]
        c, b, product = self.beta_y[q : q + 3]
        y = (self.base_y @ self.beta_y[:q] + c * x)[:, None] + (b + product * x) * m
        if self.outcome == "logistic":
            y = special.expit(y)
        elif self.outcome == "poisson":
            y = np.exp(y)
        return float((w * y).sum(axis=1).mean())

    def _mediator_at(self, eta: Array) -> tuple[Array, Array]:
        """Return values that the mediator takes and their probabilities, (n, values)."""
        if self.mediator == "linear":
            nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
            w = weights / weights.sum()
            return eta[:, None] + self.sigma * nodes, np.broadcast_to(w, (len(eta), _NODES))
        if self.mediator == "logistic":
            p = special.expit(eta)
            return np.broadcast_to([0.0, 1.0], (len(eta), 2)), np.column_stack([1.0 - p, p])
        rate = np.exp(np.minimum(eta, 12.0))
        most = int(stats.poisson.isf(_FAR, rate.max())) + 1
        counts = np.arange(most + 1.0)
        return np.broadcast_to(counts, (len(eta), most + 1)), stats.poisson.pmf(
            counts, rate[:, None]
        )


def natural_effects(model: NaturalModel, x: tuple[float, float], *, ratio: bool) -> Array:
    """Return total, natural direct and natural indirect effect, and the share mediated.

    Direct: with the mediator as under the first value; indirect: with the treatment at the second.
    Direct and indirect then add up (multiply, as ratios) to the total.
    """
    low, high = x
    y00, y10, y11 = model.mean(low, low), model.mean(high, low), model.mean(high, high)
    share = (y11 - y10) / (y11 - y00) if y11 != y00 else np.nan
    if ratio:
        return np.array([y11 / y00, y10 / y00, y11 / y10, share])
    return np.array([y11 - y00, y10 - y00, y11 - y10, share])
