"""Families of outcomes: a log-density with its derivatives, a mean, a variance, draws.

For an observation with linear predictor ``eta`` and log-density ``l(eta)`` the fit needs the score
``l'``, the observed information ``-l''`` and its slope ``-l'''``; for a family with a dispersion
parameter also the derivatives of ``l``, ``l'`` and ``-l''`` in its logarithm. The Laplace
approximation is built on the observed information (Tierney & Kadane 1986,
doi:10.1080/01621459.1986.10478240; as in glmmTMB).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from alliance_stats.estimates import Array, Booleans, Integers

__all__ = ["NO_SHAPE", "Dispersion", "DispersionColumns", "Family", "Outcome", "Shape", "Support"]

Support = Literal["trials", "counts", "positive counts", "positive", "shares", "steps"]
"""Successes among trials; 0, 1, 2, ...; 1, 2, ...; above 0; strictly between 0 and 1."""

# A logarithm of a dispersion parameter beyond which it is at its limit to every digit.
FURTHEST = 40.0
# Least information a row is taken to have on its dispersion, so that a scale is never infinite.
LEAST_INFORMATION = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The observed outcome.

    Attributes
    ----------
    y
        Successes, counts, times or proportions.
    trials
        Trials of each row (1 where there are none).
    hit
        Positions of the rows with at least one success.
    constant
        Sum of the log-density's terms that do not depend on the predictor.
    dispersion
        Dispersion parameter of each row; empty where the family has none.
    """

    y: Array
    trials: Array
    hit: Integers
    constant: float
    dispersion: Array


@dataclass(frozen=True, slots=True, eq=False)
class Dispersion:
    """A family's dispersion parameter, positive; the fit is in its logarithm.

    Attributes
    ----------
    name
        Its letter in `variance`.
    variance
        The variance in words, mu the mean.
    limit
        The family at the parameter's limit (``"poisson"``); none where no such family fits data.
    at
        Where that limit is: 0 or infinity.
    excess
        ``(mean, trials, dispersion)`` -> the variance over that of the family at the limit, less 1.
    """

    name: str
    variance: str
    limit: str | None = None
    at: float = np.inf
    excess: Callable[[Array, Array, Array], Array] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A family with its link.

    Attributes
    ----------
    name, link
        As in ``"binomial"`` and ``"cloglog"``.
    support
        What can be observed.
    log_density
        ``(eta, outcome)`` -> each row's log-density without the constant.
    slopes
        ``(eta, outcome)`` -> log-density, score and observed information of each row.
    third
        ``(eta, outcome)`` -> slope of the observed information of each row.
    mean
        ``eta`` -> expected outcome (of one trial).
    mean_slope
        ``eta`` -> its derivative.
    predictor
        Link function: expected outcome -> ``eta``.
    constant
        ``(y, trials, dispersion)`` -> :attr:`Outcome.constant`, so that the log-density is R's.
    variance
        ``(eta, trials, dispersion)`` -> variance of the outcome of each row.
    draw
        ``(rng, eta, trials, dispersion)`` -> new outcomes.
    dispersion
        The dispersion parameter, if there is one.
    shape_slopes
        ``(eta, outcome)`` -> derivatives of log-density, score and observed information in further
        parameters of each row's density, each (k, n): in the logarithm of the dispersion.
    settled
        Dispersion -> the same family with its mean, if that depends on the dispersion.
    """

    name: str
    link: str
    support: Support
    log_density: Callable[[Array, Outcome], Array]
    slopes: Callable[[Array, Outcome], tuple[Array, Array, Array]]
    third: Callable[[Array, Outcome], Array]
    mean: Callable[[Array], Array]
    mean_slope: Callable[[Array], Array]
    predictor: Callable[[Array], Array]
    constant: Callable[[Array, Array, Array], float]
    variance: Callable[[Array, Array, Array], Array]
    draw: Callable[[np.random.Generator, Array, Array, Array], Array]
    dispersion: Dispersion | None = None
    shape_slopes: Callable[[Array, Outcome], tuple[Array, Array, Array]] | None = None
    settled: Callable[[float], "Family"] | None = None

    def outcome(self, y: Array, trials: Array, dispersion: Array | None = None) -> Outcome:
        """Prepare the observed outcome."""
        own = np.empty(0) if dispersion is None else dispersion
        return Outcome(y, trials, np.flatnonzero(y > 0), self.constant(y, trials, own), own)

    def first_guess(self, y: Array, trials: Array) -> Array:
        """Return a predictor of each row that is finite for any outcome."""
        if self.support == "trials":
            return self.predictor((y + 0.5) / (trials + 1.0))
        if self.support == "shares":
            return self.predictor(y)
        return np.log(y) if self.support == "positive" else np.log(y + 0.5)

    def edges(self, y: Array, trials: Array) -> tuple[Booleans, Booleans]:
        """Return which rows' densities rise without end as the predictor falls, and as it rises."""
        nowhere = np.zeros(len(y), dtype=bool)
        if self.support == "trials":
            return y == 0, y == trials
        lowest = {"counts": 0.0, "positive counts": 1.0}.get(self.support)
        return (nowhere if lowest is None else y == lowest), nowhere


class Shape(Protocol):
    """Parameters of the density besides the predictor: dispersions, thresholds."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def outcome(self, family: Family, observed: Outcome, values: Array) -> Outcome:
        """Return the observed outcome, at given values.

        Raises
        ------
        NotIdentifiedError
            At values that do not give a density.
        """
        ...

    def gradient(self, outcome: Outcome, by_row: Array) -> Array:
        """Take derivatives in each row's parameters, (k, n), to these: (size,)."""
        ...

    def scale(self, family: Family, eta: Array, outcome: Outcome, between: float) -> Array:
        """Return coordinates in which the deviance curves alike: (size, size).

        `between` is the variance of the predictor's level due to the units' effects.
        """
        ...

    def of_rows_at(self, places: Integers) -> "Shape":
        """Return the same of some rows."""
        ...


@dataclass(frozen=True, slots=True)
class NoShape:
    """No parameters besides the predictor."""

    @property
    def size(self) -> int:
        """None."""
        return 0

    def outcome(self, family: Family, observed: Outcome, values: Array) -> Outcome:  # noqa: ARG002
        """Return it as it is."""
        return observed

    def gradient(self, outcome: Outcome, by_row: Array) -> Array:  # noqa: ARG002
        """Return nothing."""
        return np.empty(0)

    def scale(self, family: Family, eta: Array, outcome: Outcome, between: float) -> Array:  # noqa: ARG002
        """Return nothing."""
        return np.empty((0, 0))

    def of_rows_at(self, places: Integers) -> "NoShape":  # noqa: ARG002
        """Return it as it is."""
        return self


NO_SHAPE = NoShape()


@dataclass(frozen=True, slots=True, eq=False)
class DispersionColumns:
    """Log dispersions ``values @ D`` of the rows.

    Attributes
    ----------
    D
        Columns of the log dispersion, (m, n), in the layout's order.
    """

    D: Array

    @property
    def size(self) -> int:
        """Columns."""
        return len(self.D)

    def of_rows(self, values: Array) -> Array:
        """Return each row's dispersion."""
        return np.asarray(np.exp(np.clip(values @ self.D, -FURTHEST, FURTHEST)))

    def outcome(self, family: Family, observed: Outcome, values: Array) -> Outcome:
        """Return the observed outcome, at given values."""
        dispersion = self.of_rows(values)
        constant = family.constant(observed.y, observed.trials, dispersion)
        return replace(observed, dispersion=dispersion, constant=constant)

    def gradient(self, outcome: Outcome, by_row: Array) -> Array:  # noqa: ARG002
        """Take derivatives in each row's log dispersion to the columns' coefficients."""
        return np.asarray(self.D @ by_row[0])

    def scale(self, family: Family, eta: Array, outcome: Outcome, between: float) -> Array:  # noqa: ARG002
        """Scale by the outer product of the rows' slopes, which is their information on average."""
        assert family.shape_slopes is not None
        slope = family.shape_slopes(eta, outcome)[0][0]
        information = (self.D * np.maximum(slope**2, LEAST_INFORMATION)) @ self.D.T
        factor = np.linalg.cholesky(2.0 * information)
        return np.asarray(np.linalg.inv(factor).T)

    def of_rows_at(self, places: Integers) -> "DispersionColumns":
        """Return the same of some rows."""
        return DispersionColumns(self.D[:, places])
