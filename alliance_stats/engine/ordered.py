"""Ordinal ratings: the log-density of a category between two thresholds, and its derivatives.

With thresholds ``t_1 < t_2 < ...`` a rating is in step j where a latent value lies between
``t_j`` and ``t_j+1``: ``P(y <= j) = F(t_j+1 - eta)`` (McCullagh 1980,
doi:10.1111/j.2517-6161.1980.tb01109.x). A row has its upper and its lower threshold, at infinity
for the last and the first step. The fit needs derivatives of ``log P`` in eta up to the third, and
in the two thresholds, mixed with those in eta.
"""

from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np
from scipy import special

from alliance_stats.engine.outcomes import Family, Outcome
from alliance_stats.estimates import Array

__all__ = [
    "ORDERED_LINKS",
    "Steps",
    "ThresholdSlopes",
    "cumulative",
    "density",
    "ordered_family",
    "probability",
    "quantile",
    "threshold_slopes",
]


ORDERED_LINKS = ("logit", "probit", "cloglog")
# What stands for the thresholds at infinity: F is 1 and 0 there, and no product is infinite.
LAST, FIRST = 40.0, -700.0


@dataclass(frozen=True, slots=True, eq=False)
class Steps(Outcome):
    """Ratings with their thresholds; ``y`` counts steps from 0.

    Attributes
    ----------
    thresholds
        (J - 1,), rising.
    moved
        Upward shift of each row's thresholds, (J - 1, n); no columns if there is none.
    """

    thresholds: Array
    moved: Array

    @classmethod
    def of(cls, y: Array, thresholds: Array, moved: Array | None = None) -> "Steps":
        """Return ratings `y` between `thresholds`."""
        nobody, none = np.empty(0, dtype=np.int64), np.empty(0)
        by_row = np.empty((len(thresholds), 0)) if moved is None else moved
        return cls(y, np.ones(len(y)), nobody, 0.0, none, thresholds, by_row)

    def ends(self, eta: Array) -> tuple[Array, Array]:
        """Return each row's upper and lower threshold minus its predictor."""
        step = self.y.astype(np.int64)
        own = np.r_[-np.inf, self.thresholds, np.inf]
        upper, lower = own[step + 1] - eta, own[step] - eta
        if self.moved.shape[1]:
            edges = np.zeros((1, len(step)))
            moved, rows = np.concatenate([edges, self.moved, edges]), np.arange(len(step))
            upper, lower = upper + moved[step + 1, rows], lower + moved[step, rows]
        lower = np.where(np.isinf(lower), np.minimum(FIRST, upper + FIRST), lower)
        return np.where(np.isinf(upper), np.maximum(LAST, lower + LAST), upper), lower


class ThresholdSlopes(NamedTuple):
    """Derivatives in a row's upper (``a``) and lower (``b``) threshold, each (n,).

    Of the log-density, of its score in eta and of the information in eta; and the second
    derivatives of the log-density in the thresholds.
    """

    density_a: Array
    density_b: Array
    score_a: Array
    score_b: Array
    weight_a: Array
    weight_b: Array
    second_aa: Array
    second_ab: Array
    second_bb: Array


class _Parts(NamedTuple):
    """Log-probability of a step; density f, f' and f'' over it, at the upper and lower end."""

    log_p: Array
    r: tuple[Array, Array]
    q: tuple[Array, Array]
    c: tuple[Array, Array]


def _logit_parts(u: Array, low: Array) -> _Parts:
    # F(u) - F(l) = F(u) (1 - F(l)) (1 - exp(l - u)), so no digit is lost
    width = -np.expm1(low - u)
    F_u, S_l = special.expit(u), special.expit(-low)
    with np.errstate(divide="ignore"):
        log_p = -np.logaddexp(0.0, -u) - np.logaddexp(0.0, low) + np.log(width)
    S_u, F_l = special.expit(-u), special.expit(low)
    r = (S_u / (S_l * width), F_l / (F_u * width))
    q = (r[0] * (S_u - F_u), r[1] * (S_l - F_l))
    c = (r[0] * (1.0 - 6.0 * F_u * S_u), r[1] * (1.0 - 6.0 * F_l * S_l))
    return _Parts(log_p, r, q, c)


def _probit_parts(u: Array, low: Array) -> _Parts:
    # from the side of the nearer tail, where differences keep their digits
    turned = u + low > 0.0
    p = special.ndtr(np.where(turned, -low, u)) - special.ndtr(np.where(turned, -u, low))
    r = tuple(np.exp(-0.5 * x * x) / (np.sqrt(2.0 * np.pi) * p) for x in (u, low))
    q = tuple(-x * own for x, own in zip((u, low), r, strict=True))
    c = tuple((x * x - 1.0) * own for x, own in zip((u, low), r, strict=True))
    return _Parts(np.log(p), r, q, c)


def _cloglog_parts(u: Array, low: Array) -> _Parts:
    hazard_u, hazard_l = np.exp(u), np.exp(low)
    log_p = -hazard_l + np.log(-np.expm1(hazard_l - hazard_u))
    r = tuple(np.exp(x - h - log_p) for x, h in ((u, hazard_u), (low, hazard_l)))
    q = tuple(own * (1.0 - h) for own, h in zip(r, (hazard_u, hazard_l), strict=True))
    c = tuple(own * ((1.0 - h) ** 2 - h) for own, h in zip(r, (hazard_u, hazard_l), strict=True))
    return _Parts(log_p, r, q, c)


_PARTS = {"logit": _logit_parts, "probit": _probit_parts, "cloglog": _cloglog_parts}


def cumulative(link: str, x: Array) -> Array:
    """Return ``F(x)``."""
    if link == "cloglog":
        return np.asarray(-np.expm1(-np.exp(np.minimum(x, LAST))))
    return np.asarray(special.expit(x) if link == "logit" else special.ndtr(x))


def density(link: str, x: Array) -> Array:
    """Return the slope of ``F`` at x."""
    if link == "cloglog":
        hazard = np.exp(np.minimum(x, LAST))
        return np.asarray(hazard * np.exp(-hazard))
    if link == "probit":
        return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi))
    return np.asarray(special.expit(x) * special.expit(-x))


def quantile(link: str, share: Array) -> Array:
    """Return the x at which ``F(x)`` equals a probability."""
    if link == "cloglog":
        return np.asarray(np.log(-np.log1p(-share)))
    return np.asarray(special.logit(share) if link == "logit" else special.ndtri(share))


def probability(link: str, thresholds: Array, eta: Array) -> Array:
    """Return the probability of each step: (n, J); thresholds (J - 1,), or (n, J - 1) by row."""
    below = cumulative(link, thresholds - eta[:, None])
    whole = np.c_[np.zeros(len(eta)), below, np.ones(len(eta))]
    return np.asarray(np.diff(whole, axis=1))


def ordered_family(link: str) -> Family:
    """Return the family whose outcomes are :class:`Steps`."""

    def parts(eta: Array, outcome: Outcome) -> _Parts:
        assert isinstance(outcome, Steps)
        return _PARTS[link](*outcome.ends(eta))

    def log_density(eta: Array, outcome: Outcome) -> Array:
        return parts(eta, outcome).log_p

    def slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
        log_p, r, q, _ = parts(eta, outcome)
        s = r[0] - r[1]
        return log_p, -s, s * s - (q[0] - q[1])

    def third(eta: Array, outcome: Outcome) -> Array:
        _, r, q, c = parts(eta, outcome)
        s, d = r[0] - r[1], q[0] - q[1]
        return 2.0 * s * (s * s - d) + (c[0] - c[1]) - d * s

    def shape_slopes(eta: Array, outcome: Outcome) -> tuple[Array, Array, Array]:
        assert isinstance(outcome, Steps)
        own = threshold_slopes(link, eta, outcome)
        return (
            np.stack([own.density_a, own.density_b]),
            np.stack([own.score_a, own.score_b]),
            np.stack([own.weight_a, own.weight_b]),
        )

    def refused(*arguments: object) -> NoReturn:
        raise NotImplementedError("Steps have probabilities, no mean and no variance.")

    return Family(
        "ordered", link, "steps", log_density, slopes, third, refused, refused, refused,
        lambda *_: 0.0, refused, refused, None, shape_slopes,
    )  # fmt: skip


def threshold_slopes(link: str, eta: Array, outcome: Steps) -> ThresholdSlopes:
    """Return the derivatives in each row's thresholds."""
    _, r, q, c = _PARTS[link](*outcome.ends(eta))
    s, d = r[0] - r[1], q[0] - q[1]
    s_a, s_b = q[0] - r[0] * s, r[1] * s - q[1]
    return ThresholdSlopes(
        r[0],
        -r[1],
        -s_a,
        -s_b,
        2.0 * s * s_a - c[0] + r[0] * d,
        2.0 * s * s_b + c[1] - r[1] * d,
        q[0] - r[0] ** 2,
        r[0] * r[1],
        -q[1] - r[1] ** 2,
    )
