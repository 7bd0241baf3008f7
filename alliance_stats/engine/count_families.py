"""Counts: Poisson, the two negative binomials, and their zero-truncated forms.

With ``mu = exp(eta)`` the negative binomial has the variance ``mu + mu^2 / theta`` (quadratic), or
``mu (1 + phi)`` (linear: Hardin & Hilbe 2007, ISBN 978-1-59718-014-6; a Poisson rate that is gamma
with shape theta, or with shape ``mu / phi``). In both the log-density is written by ``log Gamma(x +
y) - log Gamma(x) - y log x`` with its derivatives in ``log x``, which remain precise at the Poisson
limit, where x is infinite.

With zero truncation the density is that of the family divided by ``1 - exp(-c)``, with c minus the
logarithm of its probability of 0: mu, ``theta log(1 + mu / theta)`` or ``mu log(1 + phi) / phi``
(Grogger & Carson 1991, doi:10.1002/jae.3950060302).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from alliance_stats.engine.binomial_families import event_parts, rate_of
from alliance_stats.engine.outcomes import Dispersion, Family, Outcome
from alliance_stats.estimates import Array

__all__ = [
    "LINEAR_NEGATIVE_BINOMIAL",
    "NEGATIVE_BINOMIAL",
    "POISSON",
    "TRUNCATED_LINEAR_NEGATIVE_BINOMIAL",
    "TRUNCATED_NEGATIVE_BINOMIAL",
    "TRUNCATED_POISSON",
]

# From here on Stirling's series of log Gamma is exact to the last digit with four terms.
LARGE = 30.0
# Below this rate of positive counts all that are drawn are 1.
ONE_AT_MOST = 1e-12
# Newton steps to the predictor of a mean of positive counts, from anywhere.
NEWTON_STEPS = 60
# Times that zeros are drawn again.
DRAWN_AGAIN = 30


def _factorials(y: Array) -> float:
    return float(special.gammaln(y + 1.0).sum())


# -- Poisson --------------------------------------------------------------------------------------


def _log_density(eta: Array, outcome: Outcome) -> Array:
    return outcome.y * eta - rate_of(eta)


def _slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    rate = rate_of(eta)
    return outcome.y * eta - rate, outcome.y - rate, rate


def _third(eta: Array, outcome: Outcome) -> Array:
    return rate_of(eta)


def _constant(y: Array, trials: Array, dispersion: Array) -> float:
    return -_factorials(y)


def _variance(eta: Array, trials: Array, dispersion: Array) -> Array:
    return rate_of(eta)


def _draw(
    rng: np.random.Generator,
    eta: Array,
    trials: Array,
    dispersion: Array,
) -> Array:
    return np.asarray(rng.poisson(rate_of(eta)), dtype=np.float64)


POISSON = Family(
    "poisson", "log", "counts", _log_density, _slopes, _third, rate_of, rate_of, np.log,
    _constant, _variance, _draw,
)  # fmt: skip


# -- negative binomial, variance mu + mu^2 / theta -----------------------------------------------


class Rising(NamedTuple):
    """``log Gamma(x + y) - log Gamma(x) - y log x`` and three derivatives in ``log x``."""

    value: Array
    first: Array
    second: Array
    third: Array


def rising(x: Array, y: Array) -> Rising:
    """Return the logarithm of ``x (x + 1) ... (x + y - 1) / x^y`` with its derivatives."""
    large = x >= LARGE
    if not large.any():
        return _by_gamma(x, y)
    if large.all():
        return _by_stirling(x, y)
    near, far = np.where(large, LARGE, x), np.where(large, x, LARGE)
    low, high = _by_gamma(near, y), _by_stirling(far, y)
    return Rising(*(np.where(large, b, a) for a, b in zip(low, high, strict=True)))


def _risen(x: Array, y: Array) -> Array:
    """Return the value alone, which costs a fraction of its derivatives."""
    if (x >= LARGE).any():
        return rising(x, y).value
    return np.asarray(special.gammaln(x + y) - special.gammaln(x) - y * np.log(x))


def _risen_slope(x: Array, y: Array) -> Array:
    """Return the first derivative alone."""
    if (x >= LARGE).any():
        return rising(x, y).first
    return np.asarray(x * (special.digamma(x + y) - special.digamma(x)) - y)


def _by_gamma(x: Array, y: Array) -> Rising:
    psi, psi1, psi2 = (special.polygamma(k, x + y) - special.polygamma(k, x) for k in (0, 1, 2))
    value = special.gammaln(x + y) - special.gammaln(x) - y * np.log(x)
    first = x * psi
    second = first + x * x * psi1
    return Rising(value, first - y, second, second + 2.0 * x * x * psi1 + x**3 * psi2)


def _by_stirling(x: Array, y: Array) -> Rising:
    z = x + y
    grown, lost = np.log1p(y / x), -y / z  # log(z / x), and x / z - 1
    # each inverse power of z minus that of x, times the power of x that makes it 1
    drop = [np.expm1(-k * grown) for k in range(10)]
    value = (z - 0.5) * grown - y
    value += drop[1] / (12.0 * x) - drop[3] / (360.0 * x**3) + drop[5] / (1260.0 * x**5)
    value -= drop[7] / (1680.0 * x**7)
    psi = x * grown - 0.5 * drop[1] - drop[2] / (12.0 * x) + drop[4] / (120.0 * x**3)
    psi += drop[8] / (240.0 * x**7) - drop[6] / (252.0 * x**5)
    psi1 = x * lost + 0.5 * drop[2] + drop[3] / (6.0 * x) - drop[5] / (30.0 * x**3)
    psi1 += drop[7] / (42.0 * x**5) - drop[9] / (30.0 * x**7)
    psi2 = -x * drop[2] - drop[3] - drop[4] / (2.0 * x)
    psi2 += drop[6] / (6.0 * x**3) - drop[8] / (6.0 * x**5)
    second = psi + psi1
    return Rising(value, psi - y, second, second + 2.0 * psi1 + psi2)


def _nb_log_density(eta: Array, outcome: Outcome) -> Array:
    theta = outcome.dispersion
    return np.asarray(outcome.y * eta - (outcome.y + theta) * np.log1p(rate_of(eta) / theta))


def _nb_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    y, theta, mu = outcome.y, outcome.dispersion, rate_of(eta)
    share = mu / (theta + mu)
    log_density = y * eta - (y + theta) * np.log1p(mu / theta)
    return log_density, (y - mu) * (1.0 - share), (y + theta) * share * (1.0 - share)


def _nb_third(eta: Array, outcome: Outcome) -> Array:
    mu = rate_of(eta)
    share = mu / (outcome.dispersion + mu)
    return (outcome.y + outcome.dispersion) * share * (1.0 - share) * (1.0 - 2.0 * share)


def _nb_shape(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    y, theta, mu = outcome.y, outcome.dispersion, rate_of(eta)
    share = mu / (theta + mu)
    spread = share * (1.0 - share)
    density = _risen_slope(theta, y) - theta * np.log1p(mu / theta) + (y + theta) * share
    weight = theta * spread - (y + theta) * spread * (1.0 - 2.0 * share)
    return density[None], ((y - mu) * spread)[None], weight[None]


def _nb_constant(y: Array, trials: Array, dispersion: Array) -> float:
    return float(_risen(dispersion, y).sum()) - _factorials(y)


def _nb_variance(eta: Array, trials: Array, dispersion: Array) -> Array:
    mu = rate_of(eta)
    return np.asarray(mu + mu * mu / dispersion)


def _nb_draw(
    rng: np.random.Generator,
    eta: Array,
    trials: Array,
    dispersion: Array,
) -> Array:
    return np.asarray(rng.poisson(rate_of(eta) * rng.gamma(dispersion) / dispersion), dtype=float)


NEGATIVE_BINOMIAL = Family(
    "negative binomial", "log", "counts", _nb_log_density, _nb_slopes, _nb_third,
    rate_of, rate_of, np.log, _nb_constant, _nb_variance, _nb_draw,
    Dispersion(
        "theta", "mu + mu^2 / theta", "poisson", np.inf, lambda mean, _, theta: mean / theta
    ),
    _nb_shape,
)  # fmt: skip


# -- negative binomial, variance mu (1 + phi) -----------------------------------------------------


def _linear_parts(eta: Array, outcome: Outcome) -> tuple[Array, Array, Rising]:
    """``mu``, ``mu log(1 + phi) / phi``, and what rises by ``mu / phi``."""
    mu, phi = rate_of(eta), outcome.dispersion
    return mu, mu * np.log1p(phi) / phi, rising(mu / phi, outcome.y)


def _linear_log_density(eta: Array, outcome: Outcome) -> Array:
    mu, phi = rate_of(eta), outcome.dispersion
    value = rising(mu / phi, outcome.y).value
    return np.asarray(value + outcome.y * eta - mu * np.log1p(phi) / phi)


def _linear_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    _, pulled, rise = _linear_parts(eta, outcome)
    return (
        rise.value + outcome.y * eta - pulled,
        rise.first + outcome.y - pulled,
        pulled - rise.second,
    )


def _linear_third(eta: Array, outcome: Outcome) -> Array:
    _, pulled, rise = _linear_parts(eta, outcome)
    return pulled - rise.third


def _linear_shape(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    mu, pulled, rise = _linear_parts(eta, outcome)
    phi = outcome.dispersion
    moved = pulled - mu / (1.0 + phi)
    density = moved - rise.first - outcome.y * phi / (1.0 + phi)
    return density[None], (moved - rise.second)[None], (rise.third - moved)[None]


def _linear_constant(y: Array, trials: Array, dispersion: Array) -> float:
    return -float((y * np.log1p(dispersion)).sum()) - _factorials(y)


def _linear_variance(eta: Array, trials: Array, dispersion: Array) -> Array:
    return np.asarray(rate_of(eta) * (1.0 + dispersion))


def _linear_draw(
    rng: np.random.Generator,
    eta: Array,
    trials: Array,
    dispersion: Array,
) -> Array:
    rate = rng.gamma(rate_of(eta) / dispersion) * dispersion
    return np.asarray(rng.poisson(rate), dtype=np.float64)


LINEAR_NEGATIVE_BINOMIAL = Family(
    "linear negative binomial", "log", "counts", _linear_log_density, _linear_slopes,
    _linear_third, rate_of, rate_of, np.log, _linear_constant, _linear_variance, _linear_draw,
    Dispersion(
        "phi", "mu (1 + phi)", "poisson", 0.0, lambda mean, _, phi: phi + 0.0 * mean
    ),
    _linear_shape,
)  # fmt: skip


# -- counts that are at least 1 --------------------------------------------------------------------


class _Unseen(NamedTuple):
    """``c = -log`` of the probability of 0, and its derivatives over c.

    `once`, `twice`, `thrice` are those in the predictor; `moved` is that in the log dispersion,
    `moved_once`, `moved_twice` those in both.
    """

    c: Array
    once: Array
    twice: Array
    thrice: Array
    moved: Array
    moved_once: Array
    moved_twice: Array


def _unseen(mu: Array) -> _Unseen:
    one, none = np.ones_like(mu), np.zeros_like(mu)
    return _Unseen(mu, one, one, one, none, none, none)


def _nb_unseen(mu: Array, theta: Array) -> _Unseen:
    share, log = mu / (theta + mu), np.log1p(mu / theta)
    slope, spread = share / log, (1.0 - share) * share / log
    return _Unseen(
        theta * log, slope, spread, spread * (1.0 - 2.0 * share),
        1.0 - slope, slope * share, 2.0 * spread * share,
    )  # fmt: skip


def _linear_unseen(mu: Array, phi: Array) -> _Unseen:
    pull = np.log1p(phi) / phi
    one, moved = np.ones_like(mu), np.broadcast_to(1.0 / (1.0 + phi) / pull - 1.0, mu.shape)
    return _Unseen(mu * pull, one, one, one, moved, moved, moved)


class _Whole(NamedTuple):
    """A family of counts, zeros included, with its probability of 0."""

    family: Family
    unseen: Callable[..., _Unseen]
    counts: Callable[[Array, Array], Any]

    def at(self, eta: Array, dispersion: Array) -> _Unseen:
        """Return what is not seen, at rates that are above 0."""
        own = (dispersion,) if self.family.dispersion is not None else ()
        return self.unseen(np.maximum(rate_of(eta), np.finfo(np.float64).tiny), *own)

    def log_density(self, eta: Array, outcome: Outcome) -> Array:
        at = self.at(eta, outcome.dispersion)
        return np.asarray(self.family.log_density(eta, outcome) - np.log(-np.expm1(-at.c)))

    def slopes(self, eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
        log_density, score, weight = self.family.slopes(eta, outcome)
        at = self.at(eta, outcome.dispersion)
        q, excess = event_parts(at.c)
        return (
            log_density - np.log(-np.expm1(-at.c)),
            score - q * at.once,
            weight + q * (at.twice - (1.0 + excess) * at.once**2),
        )

    def third(self, eta: Array, outcome: Outcome) -> Array:
        at = self.at(eta, outcome.dispersion)
        q, excess = event_parts(at.c)
        grown = 1.0 + excess
        own = grown * (grown + q) * at.once**3 - 3.0 * grown * at.once * at.twice + at.thrice
        return np.asarray(self.family.third(eta, outcome) + q * own)

    def shape_slopes(self, eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
        assert self.family.shape_slopes is not None
        density, score, weight = self.family.shape_slopes(eta, outcome)
        at = self.at(eta, outcome.dispersion)
        q, excess = event_parts(at.c)
        grown = 1.0 + excess
        own = grown * (grown + q) * at.once**2 * at.moved + at.moved_twice
        own -= grown * (2.0 * at.once * at.moved_once + at.moved * at.twice)
        return (
            density - q * at.moved,
            score + q * (grown * at.once * at.moved - at.moved_once),
            weight + q * own,
        )

    def mean(self, eta: Array, dispersion: Array) -> Array:
        at = self.at(eta, dispersion)
        return np.asarray(rate_of(eta) / -np.expm1(-at.c))

    def mean_slope(self, eta: Array, dispersion: Array) -> Array:
        at = self.at(eta, dispersion)
        return self.mean(eta, dispersion) * (1.0 - event_parts(at.c)[0] * at.once)

    def predictor(self, mean: Array, dispersion: Array) -> Array:
        """Solve by Newton steps in the logarithm of the mean's excess over 1."""
        above = np.asarray(mean, dtype=np.float64) - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            eta = np.log(above)
            for _ in range(NEWTON_STEPS):
                now = self.mean(eta, dispersion) - 1.0
                step = np.log(above / now) * now / self.mean_slope(eta, dispersion)
                eta = np.where(np.isfinite(step), eta + step, eta)
        return eta

    def variance(self, eta: Array, trials: Array, dispersion: Array) -> Array:
        mean, rate = self.mean(eta, dispersion), rate_of(eta)
        whole = self.family.variance(eta, trials, dispersion) + rate**2
        return np.asarray(whole * mean / rate - mean**2)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Array,
        trials: Array,
        dispersion: Array,
    ) -> Array:
        found = self.family.draw(rng, eta, trials, dispersion)
        own = dispersion if len(dispersion) else np.empty((len(eta), 0))
        for _ in range(DRAWN_AGAIN):  # zeros are not seen
            zero = np.flatnonzero(found == 0.0)
            if not len(zero):
                return found
            found[zero] = self.family.draw(rng, eta[zero], trials[zero], own[zero])
        zero = np.flatnonzero(found == 0.0)
        mu = np.maximum(rate_of(eta[zero]), ONE_AT_MOST)
        # what a count's tail must fall to, where hardly any is seen
        above = rng.random(len(mu)) * -np.expm1(-self.at(np.log(mu), own[zero]).c)
        found[zero] = np.maximum(self.counts(mu, own[zero]).isf(above), 1.0)
        return found

    def truncated(self, dispersion: Dispersion | None) -> Family:
        """Return the family of the observed counts; its mean needs a dispersion."""

        def at(value: float) -> Family:
            own = np.array(value)
            return replace(
                found,
                mean=lambda eta: self.mean(eta, own),
                mean_slope=lambda eta: self.mean_slope(eta, own),
                predictor=lambda mean: self.predictor(mean, own),
            )

        found = Family(
            f"truncated {self.family.name}", "log", "positive counts", self.log_density,
            self.slopes, self.third, _of_no_dispersion, _of_no_dispersion, _of_no_dispersion,
            self.family.constant, self.variance, self.draw, dispersion,
            None if dispersion is None else self.shape_slopes,
            None if dispersion is None else at,
        )  # fmt: skip
        return at(np.nan) if dispersion is None else found


def _of_no_dispersion(values: Array) -> Array:
    """Return NaN: a mean of truncated counts depends on the dispersion (:attr:`Family.settled`)."""
    return np.full_like(values, np.nan, dtype=np.float64)


TRUNCATED_POISSON = _Whole(POISSON, _unseen, lambda mu, _: stats.poisson(mu)).truncated(None)
TRUNCATED_NEGATIVE_BINOMIAL = _Whole(
    NEGATIVE_BINOMIAL, _nb_unseen, lambda mu, theta: stats.nbinom(theta, theta / (theta + mu))
).truncated(
    Dispersion(
        "theta", "mu + mu^2 / theta before zeros are left out", "truncated poisson", np.inf,
        lambda mean, _, theta: mean / theta,
    )
)  # fmt: skip
TRUNCATED_LINEAR_NEGATIVE_BINOMIAL = _Whole(
    LINEAR_NEGATIVE_BINOMIAL, _linear_unseen,
    lambda mu, phi: stats.nbinom(mu / phi, 1.0 / (1.0 + phi)),
).truncated(
    Dispersion(
        "phi", "mu (1 + phi) before zeros are left out", "truncated poisson", 0.0,
        lambda mean, _, phi: phi + 0.0 * mean,
    )
)  # fmt: skip
