"""The binomial families: binary outcomes, and successes among trials.

For the canonical logit observed and expected information are the same; for cloglog and probit they
are not. All three log-densities are concave in ``eta``. The code loses no precision where a
probability is near 0 or 1: ``log(1 - p)`` never passes through ``p``, and differences of nearly
equal terms are replaced by their series.
"""

import numpy as np
from scipy import special

from alliance_stats.engine.outcomes import Family, Outcome
from alliance_stats.estimates import Array

__all__ = ["BINOMIAL", "event_parts", "log_choices", "rate_of"]

# Below this hazard, x / expm1(x) - 1 + x is summed as a series (next term under 1e-17 relative).
SMALL_HAZARD = 0.1
# Beyond this predictor exp() stays as it is, so that squares stay finite; no fit ends there.
LARGEST_PREDICTOR = 100.0


def log_choices(y: Array, trials: Array) -> Array:
    """Return the log of the number of ways to have y successes among trials."""
    return np.asarray(
        special.gammaln(trials + 1.0) - special.gammaln(y + 1.0) - special.gammaln(trials - y + 1.0)
    )


def _constant(y: Array, trials: Array, dispersion: Array) -> float:
    return 0.0 if (trials == 1.0).all() else float(log_choices(y, trials).sum())


# -- binomial, logit ------------------------------------------------------------------------------


def _logit_parts(eta: Array) -> tuple[Array, Array, Array]:
    """``p`` and ``1 - p``, which keep their digits where they are small, and ``e^-|eta|``."""
    small = np.exp(-np.abs(eta))
    near = 1.0 / (1.0 + small)
    far = small * near
    positive = eta >= 0
    return np.where(positive, near, far), np.where(positive, far, near), small


def _logit_log_density(eta: Array, outcome: Outcome) -> Array:
    soft = np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta)))
    return np.asarray(outcome.y * eta - outcome.trials * soft)


def _logit_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    p, complement, small = _logit_parts(eta)
    soft = np.maximum(eta, 0.0) + np.log1p(small)
    expected = outcome.trials * p
    return outcome.y * eta - outcome.trials * soft, outcome.y - expected, expected * complement


def _logit_third(eta: Array, outcome: Outcome) -> Array:
    p, complement, _ = _logit_parts(eta)
    return np.asarray(outcome.trials * p * complement * (complement - p))


def _logit_mean_slope(eta: Array) -> Array:
    p, complement, _ = _logit_parts(eta)
    return p * complement


# -- binomial, complementary log-log -----------------------------------------------------------


def rate_of(eta: Array) -> Array:
    """Return ``exp(eta)``, finite."""
    return np.exp(np.minimum(eta, LARGEST_PREDICTOR))


def event_parts(hazard: Array) -> tuple[Array, Array]:
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
    hazard = rate_of(eta)
    out = (outcome.y - outcome.trials) * hazard
    at = hazard[outcome.hit]
    with np.errstate(divide="ignore"):
        out[outcome.hit] += outcome.y[outcome.hit] * np.log(-np.expm1(-at))
    return out


def _cloglog_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
    hazard = rate_of(eta)
    hit, y = outcome.hit, outcome.y[outcome.hit]
    weight = (outcome.trials - outcome.y) * hazard
    log_density, score = -weight, -weight
    at = hazard[hit]
    q, excess = event_parts(at)
    with np.errstate(divide="ignore"):
        log_density[hit] += y * np.log(-np.expm1(-at))
    score[hit] += y * q
    weight[hit] += y * q * excess
    return log_density, score, weight


def _cloglog_third(eta: Array, outcome: Outcome) -> Array:
    hazard = rate_of(eta)
    third = (outcome.trials - outcome.y) * hazard
    at = hazard[outcome.hit]
    q, excess = event_parts(at)
    # d/d eta of q (q + x - 1), with dq / d eta = -q (q + x - 1)
    third[outcome.hit] += outcome.y[outcome.hit] * q * (at - excess * (excess + q))
    return third


def _cloglog_mean(eta: Array) -> Array:
    return np.asarray(-np.expm1(-rate_of(eta)))


def _cloglog_mean_slope(eta: Array) -> Array:
    hazard = rate_of(eta)
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


# -- the family ----------------------------------------------------------------------------------


def _binomial(link: str) -> Family:
    log_density, slopes, third, mean, mean_slope, predictor = {
        "logit": (
            _logit_log_density, _logit_slopes, _logit_third,
            special.expit, _logit_mean_slope, special.logit,
        ),
        "cloglog": (
            _cloglog_log_density, _cloglog_slopes, _cloglog_third,
            _cloglog_mean, _cloglog_mean_slope, _cloglog_predictor,
        ),
        "probit": (
            _probit_log_density, _probit_slopes, _probit_third,
            special.ndtr, _probit_mean_slope, special.ndtri,
        ),
    }[link]  # fmt: skip

    def variance(eta: Array, trials: Array, dispersion: Array) -> Array:
        p = mean(eta)
        return np.asarray(trials * p * (1.0 - p))

    def draw(
        rng: np.random.Generator,
        eta: Array,
        trials: Array,
        dispersion: Array,
    ) -> Array:
        return np.asarray(rng.binomial(trials.astype(np.int64), mean(eta)), dtype=np.float64)

    return Family(
        "binomial", link, "trials", log_density, slopes, third, mean, mean_slope, predictor,
        _constant, variance, draw,
    )  # fmt: skip


BINOMIAL = tuple(_binomial(link) for link in ("logit", "cloglog", "probit"))
