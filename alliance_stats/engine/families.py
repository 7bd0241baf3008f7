"""Families of outcomes by name; correlated successes, times and proportions.

A proportion with mean p and precision phi is beta with the parameters ``a = phi p`` and ``b = phi
(1 - p)`` and variance ``p (1 - p) / (1 + phi)`` (Ferrari & Cribari-Neto 2004,
doi:10.1080/0266476042000214501); trials whose probability is such a proportion are beta-binomial,
with variance ``n p (1 - p) (phi + n) / (phi + 1)``. Both log-densities are one function of the
contributions of a and b, so they share their derivatives. Gamma has a shape nu: the variance is
``mu^2 / nu``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from alliance_stats.engine.binomial_families import BINOMIAL, log_choices, rate_of
from alliance_stats.engine.count_families import (
    LINEAR_NEGATIVE_BINOMIAL,
    NEGATIVE_BINOMIAL,
    POISSON,
    TRUNCATED_LINEAR_NEGATIVE_BINOMIAL,
    TRUNCATED_NEGATIVE_BINOMIAL,
    TRUNCATED_POISSON,
    rising,
)
from alliance_stats.engine.outcomes import Dispersion, Family, Outcome
from alliance_stats.estimates import Array

__all__ = ["BETA", "BETA_BINOMIAL", "FAMILIES", "GAMMA", "LINKS", "Family", "family_of"]


class _Side(NamedTuple):
    """Contribution of a or b to the log-density; derivatives in its logarithm."""

    value: Array
    first: Array
    second: Array
    third: Array


def _sides(eta: Array, outcome: Outcome, *, trials: bool) -> tuple[_Side, _Side, Array, Array]:
    p, q = special.expit(eta), special.expit(-eta)
    a, b = outcome.dispersion * p, outcome.dispersion * q
    side = _of_trials if trials else _of_shares
    rest = outcome.trials - outcome.y if trials else 1.0 - outcome.y
    return side(a, outcome.y, p), side(b, rest, q), p, q


def _of_trials(a: Array, y: Array, p: Array) -> _Side:
    rise = rising(a, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = np.where(y > 0, y * np.log(p), 0.0)
    return _Side(rise.value + log_p, rise.first + y, rise.second, rise.third)


def _of_shares(a: Array, y: Array, p: Array) -> _Side:
    psi, psi1, psi2 = (special.polygamma(k, a) for k in (0, 1, 2))
    first = a * (np.log(y) - psi)
    second = first - a * a * psi1
    return _Side(
        a * np.log(y) - special.gammaln(a), first, second, second - 2.0 * a * a * psi1 - a**3 * psi2
    )


class _Derivatives(NamedTuple):
    """As in :class:`Family`."""

    log_density: Callable[[Array, Outcome], Array]
    slopes: Callable[[Array, Outcome], tuple[Array, Array, Array]]
    third: Callable[[Array, Outcome], Array]
    shape_slopes: Callable[[Array, Outcome], tuple[Array, Array, Array]]


def _derivatives(*, trials: bool) -> _Derivatives:
    """Differentiate through a and b: ``log a`` moves by q, ``log b`` by -p."""

    def log_density(eta: Array, outcome: Outcome) -> Array:
        up, down, _, _ = _sides(eta, outcome, trials=trials)
        return up.value + down.value

    def slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
        up, down, p, q = _sides(eta, outcome, trials=trials)
        information = p * q * (up.first + down.first) - q * q * up.second - p * p * down.second
        return up.value + down.value, q * up.first - p * down.first, information

    def third(eta: Array, outcome: Outcome) -> Array:
        up, down, p, q = _sides(eta, outcome, trials=trials)
        # the second derivative of log a is -pq, the third -pq (q - p); of log b the same
        both = p * q * (q - p) * (up.first + down.first)
        return np.asarray(
            both
            + 3.0 * p * q * (q * up.second - p * down.second)
            - q**3 * up.third
            + p**3 * down.third
        )

    def shape_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
        up, down, p, q = _sides(eta, outcome, trials=trials)
        phi = outcome.dispersion
        own = rising(phi, outcome.trials).first + outcome.trials if trials else None
        whole = -own if own is not None else phi * special.digamma(phi)
        density = up.first + down.first + whole
        score = q * up.second - p * down.second
        weight = p * q * (up.second + down.second) - q * q * up.third - p * p * down.third
        return density[None], score[None], weight[None]

    return _Derivatives(log_density, slopes, third, shape_slopes)


def _mean_slope(eta: Array) -> Array:
    return np.asarray(special.expit(eta) * special.expit(-eta))


def _shares(rng: np.random.Generator, eta: Array, dispersion: Array) -> Array:
    """Draw proportions that are never exactly 0 or 1, as required by the model."""
    a, b = dispersion * special.expit(eta), dispersion * special.expit(-eta)
    found = rng.beta(np.maximum(a, 1e-8), np.maximum(b, 1e-8))
    return np.asarray(np.clip(found, 1e-12, 1.0 - 1e-12))


# -- beta-binomial --------------------------------------------------------------------------------


def _trials_constant(y: Array, trials: Array, dispersion: Array) -> float:
    return float((log_choices(y, trials) - rising(dispersion, trials).value).sum())


def _trials_variance(eta: Array, trials: Array, dispersion: Array) -> Array:
    return np.asarray(trials * _mean_slope(eta) * (dispersion + trials) / (dispersion + 1.0))


def _trials_draw(rng: np.random.Generator, eta: Array, trials: Array, dispersion: Array) -> Array:
    drawn = rng.binomial(trials.astype(np.int64), _shares(rng, eta, dispersion))
    return np.asarray(drawn, dtype=np.float64)


_OF_TRIALS = _derivatives(trials=True)
BETA_BINOMIAL = Family(
    "beta-binomial", "logit", "trials", _OF_TRIALS.log_density, _OF_TRIALS.slopes, _OF_TRIALS.third,
    special.expit, _mean_slope, special.logit, _trials_constant, _trials_variance, _trials_draw,
    Dispersion(
        "phi", "n p (1 - p) (phi + n) / (phi + 1)", "binomial", np.inf,
        lambda _, n, phi: (n - 1.0) / (phi + 1.0),
    ),
    _OF_TRIALS.shape_slopes,
)  # fmt: skip


# -- beta ----------------------------------------------------------------------------------------


def _shares_constant(y: Array, trials: Array, dispersion: Array) -> float:
    return float((special.gammaln(dispersion) - np.log(y) - np.log1p(-y)).sum())


def _shares_variance(eta: Array, trials: Array, dispersion: Array) -> Array:
    return np.asarray(_mean_slope(eta) / (1.0 + dispersion))


def _shares_draw(
    rng: np.random.Generator,
    eta: Array,
    trials: Array,
    dispersion: Array,
) -> Array:
    return _shares(rng, eta, dispersion)


_OF_SHARES = _derivatives(trials=False)
BETA = Family(
    "beta", "logit", "shares", _OF_SHARES.log_density, _OF_SHARES.slopes, _OF_SHARES.third,
    special.expit, _mean_slope, special.logit, _shares_constant, _shares_variance, _shares_draw,
    Dispersion("phi", "mu (1 - mu) / (1 + phi)"),
    _OF_SHARES.shape_slopes,
)  # fmt: skip


# -- gamma ---------------------------------------------------------------------------------------


def _times_log_density(eta: Array, outcome: Outcome) -> Array:
    return np.asarray(-outcome.dispersion * (eta + outcome.y * rate_of(-eta)))


def _times_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    nu, ratio = outcome.dispersion, outcome.y * rate_of(-eta)
    return -nu * (eta + ratio), nu * (ratio - 1.0), nu * ratio


def _times_third(eta: Array, outcome: Outcome) -> Array:
    return -outcome.dispersion * outcome.y * rate_of(-eta)


def _times_shape(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    y, nu, ratio = outcome.y, outcome.dispersion, outcome.y * rate_of(-eta)
    density = nu * (np.log(y) - eta - ratio + 1.0 + np.log(nu) - special.digamma(nu))
    return density[None], (nu * (ratio - 1.0))[None], (nu * ratio)[None]


def _times_constant(y: Array, trials: Array, dispersion: Array) -> float:
    nu = dispersion
    return float(((nu - 1.0) * np.log(y) + nu * np.log(nu) - special.gammaln(nu)).sum())


def _times_variance(eta: Array, trials: Array, dispersion: Array) -> Array:
    return np.asarray(rate_of(eta) ** 2 / dispersion)


def _times_draw(
    rng: np.random.Generator,
    eta: Array,
    trials: Array,
    dispersion: Array,
) -> Array:
    drawn = rng.gamma(dispersion) * rate_of(eta) / dispersion
    return np.asarray(np.maximum(drawn, np.finfo(np.float64).tiny))


GAMMA = Family(
    "gamma", "log", "positive", _times_log_density, _times_slopes, _times_third,
    rate_of, rate_of, np.log, _times_constant, _times_variance, _times_draw,
    Dispersion("nu", "mu^2 / nu"),
    _times_shape,
)  # fmt: skip


FAMILIES = (
    *BINOMIAL,
    POISSON,
    NEGATIVE_BINOMIAL,
    LINEAR_NEGATIVE_BINOMIAL,
    TRUNCATED_POISSON,
    TRUNCATED_NEGATIVE_BINOMIAL,
    TRUNCATED_LINEAR_NEGATIVE_BINOMIAL,
    BETA_BINOMIAL,
    GAMMA,
    BETA,
)

LINKS: dict[str, tuple[str, ...]] = {
    name: tuple(family.link for family in FAMILIES if family.name == name)
    for name in dict.fromkeys(family.name for family in FAMILIES)
}
"""Links of each family; the first is its default."""


def family_of(name: str, link: str | None) -> Family:
    """Find a family and link; the first link of a family is its default.

    Raises
    ------
    ValueError
        If there is no such family, or it has no such link.
    """
    if not isinstance(name, str) or name not in LINKS:
        *others, last = (f"'{each}'" for each in LINKS)
        raise ValueError(f"family must be {', '.join(others)} or {last}; got {name!r}.")
    wanted = LINKS[name][0] if link is None else link
    for family in FAMILIES:
        if (family.name, family.link) == (name, wanted):
            return family
    allowed = ", ".join(f"'{link}'" for link in LINKS[name])
    raise ValueError(f"The {name} family has the links {allowed}; got {link!r}.")
