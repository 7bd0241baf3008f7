"""Families and links of generalized models: log-density and its derivatives in the predictor.

For an observation with linear predictor ``eta`` and log-density ``l(eta)`` the fit needs the score
``l'``, the observed information ``-l''`` and its slope ``-l'''``. For the canonical links (logit,
log) observed and expected information are the same; for cloglog and probit they are not, and the
Laplace approximation is built on the observed one (Tierney & Kadane 1986,
doi:10.1080/01621459.1986.10478240; so does glmmTMB). All four log-densities are concave in ``eta``.

Written so that no digit is lost where a probability is near 0 or 1: ``log(1 - p)`` never passes
through ``p``, and differences of nearly equal terms are replaced by their series.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from alliance_stats.estimates import Array

__all__ = ["LINKS", "Family", "Outcome", "family_of"]

# Below this hazard, x / expm1(x) - 1 + x is summed as a series (next term under 1e-17 relative).
SMALL_HAZARD = 0.1
# Beyond this predictor exp() stays as it is, so that squares stay finite; no fit ends there.
LARGEST_PREDICTOR = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Observed counts.

    Attributes
    ----------
    y
        Successes, or counts.
    trials
        Trials of each row (1 for yes-or-no; unused by Poisson).
    hit
        Positions of the rows with at least one success.
    constant
        Sum of the log-density's terms that do not depend on the predictor.
    """

    y: Array
    trials: Array
    hit: npt.NDArray[np.int64]
    constant: float


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A family with its link.

    Attributes
    ----------
    name, link
        As in ``"binomial"`` and ``"cloglog"``.
    log_density
        ``(eta, outcome)`` -> each row's log-density without the constant.
    slopes
        ``(eta, outcome)`` -> log-density, score and observed information of each row.
    third
        ``(eta, outcome)`` -> slope of the observed information of each row.
    mean
        ``eta`` -> probability or rate.
    mean_slope
        ``eta`` -> its derivative.
    predictor
        Link function: probability or rate -> ``eta``.
    """

    name: str
    link: str
    log_density: Callable[[Array, Outcome], Array]
    slopes: Callable[[Array, Outcome], tuple[Array, Array, Array]]
    third: Callable[[Array, Outcome], Array]
    mean: Callable[[Array], Array]
    mean_slope: Callable[[Array], Array]
    predictor: Callable[[Array], Array]

    def outcome(self, y: Array, trials: Array) -> Outcome:
        """Prepare observed counts: the constant is that of R's ``dbinom`` and ``dpois``."""
        if self.name == "poisson":
            constant = -float(special.gammaln(y + 1.0).sum())
        elif (trials == 1.0).all():
            constant = 0.0
        else:
            constant = float(
                (
                    special.gammaln(trials + 1.0)
                    - special.gammaln(y + 1.0)
                    - special.gammaln(trials - y + 1.0)
                ).sum()
            )
        return Outcome(y, trials, np.flatnonzero(y > 0), constant)


# -- binomial, logit ------------------------------------------------------------------------------


def _logit_parts(eta: Array) -> tuple[Array, Array]:
    """``log(1 + e^eta)`` and ``p``."""
    small = np.exp(-np.abs(eta))
    p = np.where(eta >= 0, 1.0, small) / (1.0 + small)
    return np.maximum(eta, 0.0) + np.log1p(small), p


def _logit_log_density(eta: Array, outcome: Outcome) -> Array:
    return outcome.y * eta - outcome.trials * _logit_parts(eta)[0]


def _logit_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    soft, p = _logit_parts(eta)
    expected = outcome.trials * p
    # 1 - p is the p of -eta; formed so that it keeps its digits when p is near 1
    complement = np.where(eta >= 0, np.exp(-soft), 1.0 - p)
    return outcome.y * eta - outcome.trials * soft, outcome.y - expected, expected * complement


def _logit_third(eta: Array, outcome: Outcome) -> Array:
    p = special.expit(eta)
    return np.asarray(outcome.trials * p * special.expit(-eta) * (1.0 - 2.0 * p))


def _logit_mean_slope(eta: Array) -> Array:
    return np.asarray(special.expit(eta) * special.expit(-eta))


# -- binomial, complementary log-log -----------------------------------------------------------


def _hazard(eta: Array) -> Array:
    return np.exp(np.minimum(eta, LARGEST_PREDICTOR))


def _event_parts(hazard: Array) -> tuple[Array, Array]:
    """``q = x / expm1(x)`` and ``q + x - 1`` of cumulative hazards x."""
    with np.errstate(over="ignore"):
        growth = np.expm1(hazard)
    tiny = hazard == 0.0
    q = np.where(tiny, 1.0, hazard / np.where(tiny, 1.0, growth))
    x = np.minimum(hazard, SMALL_HAZARD)
    x2 = x * x
    series = x * (0.5 + x * (1 / 12 - x2 * (1 / 720 - x2 * (1 / 30240 - x2 / 1209600))))
    return q, np.where(hazard < SMALL_HAZARD, series, q + hazard - 1.0)


def _cloglog_log_density(eta: Array, outcome: Outcome) -> Array:
    hazard = _hazard(eta)
    out = (outcome.y - outcome.trials) * hazard
    at = hazard[outcome.hit]
    with np.errstate(divide="ignore"):
        out[outcome.hit] += outcome.y[outcome.hit] * np.log(-np.expm1(-at))
    return out


def _cloglog_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    hazard = _hazard(eta)
    hit, y = outcome.hit, outcome.y[outcome.hit]
    weight = (outcome.trials - outcome.y) * hazard
    log_density, score = -weight, -weight
    at = hazard[hit]
    q, excess = _event_parts(at)
    with np.errstate(divide="ignore"):
        log_density[hit] += y * np.log(-np.expm1(-at))
    score[hit] += y * q
    weight[hit] += y * q * excess
    return log_density, score, weight


def _cloglog_third(eta: Array, outcome: Outcome) -> Array:
    hazard = _hazard(eta)
    third = (outcome.trials - outcome.y) * hazard
    at = hazard[outcome.hit]
    q, excess = _event_parts(at)
    # d/d eta of q (q + x - 1), with dq / d eta = -q (q + x - 1)
    third[outcome.hit] += outcome.y[outcome.hit] * q * (at - excess * (excess + q))
    return third


def _cloglog_mean(eta: Array) -> Array:
    return np.asarray(-np.expm1(-_hazard(eta)))


def _cloglog_mean_slope(eta: Array) -> Array:
    hazard = _hazard(eta)
    return np.asarray(hazard * np.exp(-hazard))


def _cloglog_predictor(mean: Array) -> Array:
    return np.asarray(np.log(-np.log1p(-mean)))


# -- binomial, probit -----------------------------------------------------------------------------


def _mills(eta: Array) -> Array:
    """Density over distribution function of the standard normal, at any `eta`."""
    return np.asarray(np.sqrt(2.0 / np.pi) / special.erfcx(-eta / np.sqrt(2.0)))


def _probit_log_density(eta: Array, outcome: Outcome) -> Array:
    y, n = outcome.y, outcome.trials
    return np.asarray(y * special.log_ndtr(eta) + (n - y) * special.log_ndtr(-eta))


def _probit_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    y, n = outcome.y, outcome.trials
    with np.errstate(divide="ignore", over="ignore"):
        up, down = _mills(eta), _mills(-eta)
    score = y * up - (n - y) * down
    weight = y * up * (eta + up) + (n - y) * down * (down - eta)
    return _probit_log_density(eta, outcome), score, weight


def _probit_third(eta: Array, outcome: Outcome) -> Array:
    y, n = outcome.y, outcome.trials
    up, down = _mills(eta), _mills(-eta)
    rise = up - up * (eta + up) * (eta + 2.0 * up)
    fall = down - down * (down - eta) * (2.0 * down - eta)
    return np.asarray(y * rise - (n - y) * fall)


def _probit_mean_slope(eta: Array) -> Array:
    return np.asarray(np.exp(-0.5 * eta * eta) / np.sqrt(2.0 * np.pi))


# -- Poisson, log ---------------------------------------------------------------------------------


def _log_log_density(eta: Array, outcome: Outcome) -> Array:
    return outcome.y * eta - _hazard(eta)


def _log_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    rate = _hazard(eta)
    return outcome.y * eta - rate, outcome.y - rate, rate


def _log_third(eta: Array, outcome: Outcome) -> Array:  # noqa: ARG001  (one signature for all)
    return _hazard(eta)


_FAMILIES = (
    Family(
        "binomial",
        "logit",
        _logit_log_density,
        _logit_slopes,
        _logit_third,
        special.expit,
        _logit_mean_slope,
        special.logit,
    ),
    Family(
        "binomial",
        "cloglog",
        _cloglog_log_density,
        _cloglog_slopes,
        _cloglog_third,
        _cloglog_mean,
        _cloglog_mean_slope,
        _cloglog_predictor,
    ),
    Family(
        "binomial",
        "probit",
        _probit_log_density,
        _probit_slopes,
        _probit_third,
        special.ndtr,
        _probit_mean_slope,
        special.ndtri,
    ),
    Family(
        "poisson", "log", _log_log_density, _log_slopes, _log_third, _hazard, _hazard, np.log
    ),
)  # fmt: skip

LINKS: dict[str, tuple[str, ...]] = {
    "binomial": ("logit", "cloglog", "probit"),
    "poisson": ("log",),
}


def family_of(name: str, link: str | None) -> Family:
    """Find a family and link; the first link of a family is its default.

    Raises
    ------
    ValueError
        If there is no such family, or it has no such link.
    """
    if name not in LINKS:
        raise ValueError(f"family must be 'binomial' or 'poisson'; got {name!r}.")
    wanted = LINKS[name][0] if link is None else link
    for family in _FAMILIES:
        if (family.name, family.link) == (name, wanted):
            return family
    allowed = ", ".join(f"'{link}'" for link in LINKS[name])
    raise ValueError(f"The {name} family has the links {allowed}; got {link!r}.")
