"""Effects of a scale's unreliability on an index: standard errors and chance exceedances."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["Reliability", "chance_of_range", "order_errors"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_REACH = 9.0  # SDs of a member's error that the integral covers; the tail beyond is below 1e-18
_CHUNK = 4_000_000  # simulated numbers held at once


@dataclass(frozen=True, slots=True)
class Reliability:
    """A scale's reliability, the SD it refers to, and how order statistics are simulated.

    A rating's standard error of measurement is ``sd sqrt(1 - value)``, so that the difference of
    two has ``sd sqrt(2 - r1 - r2)``.

    Attributes
    ----------
    value
        Reliability strictly between 0 and 1, or role -> reliability.
    sd
        SD, in points of the score, of the sample that the reliability comes from; or role -> SD.
    seed
        Seed of the simulated errors (for lowest, highest, range and SD of members).
    n_resamples
        Number of simulated errors per family and session.
    """

    value: float | Mapping[str, float]
    sd: float | Mapping[str, float]
    seed: int
    n_resamples: int = 2000

    def __post_init__(self) -> None:
        for value in _values(self.value):
            if not 0.0 < value < 1.0:
                raise DataError(f"A reliability lies strictly between 0 and 1; got {value}.")
        for sd in _values(self.sd):
            if not (math.isfinite(sd) and sd > 0):
                raise DataError(f"The SD of a scale must be a positive number; got {sd}.")
        if self.n_resamples < 2:
            raise DataError(
                f"n_resamples counts simulated errors and is at least 2; got {self.n_resamples}."
            )

    def errors_of(self, roles: npt.NDArray[np.object_]) -> Array:
        """Return each rating's standard error of measurement, in points of the score."""
        r, sd = _by_role(self.value, roles, "value"), _by_role(self.sd, roles, "sd")
        return np.asarray(sd * np.sqrt(1.0 - r))


def order_errors(scores: Array, errors: Array, *, seed: int, draws: int) -> dict[str, Array]:
    """Return standard errors of order statistics of members' scores.

    By parametric bootstrap: fresh normal errors of the members' own sizes are added to the observed
    scores, and the SD of the index over these draws is its standard error. Draws depend only on the
    number of members, so that no other family or session affects a result.

    Parameters
    ----------
    scores, errors
        Scores and their standard errors of measurement, cells x members, NaN beyond the last
        member of a cell; members sorted within a cell.

    Returns
    -------
    dict
        ``weakest, strongest, range, sd``: one array entry per cell, NaN where undefined.
    """
    sizes = np.isfinite(scores).sum(axis=1)
    found = {name: np.full(len(scores), np.nan) for name in ("weakest", "strongest", "range", "sd")}
    for m in np.unique(sizes[sizes > 0]):
        Z = np.random.default_rng([seed, int(m)]).standard_normal((draws, m))
        own = np.flatnonzero(sizes == m)
        step = max(1, _CHUNK // (draws * int(m)))
        for start in range(0, len(own), step):
            cells = own[start : start + step]
            drawn = scores[cells, None, :m] + errors[cells, None, :m] * Z
            low, high = drawn.min(axis=2), drawn.max(axis=2)
            found["weakest"][cells] = low.std(axis=1, ddof=1)
            found["strongest"][cells] = high.std(axis=1, ddof=1)
            if m > 1:
                found["range"][cells] = (high - low).std(axis=1, ddof=1)
                found["sd"][cells] = drawn.std(axis=2, ddof=1).std(axis=1, ddof=1)
    return found


def chance_of_range(widths: Array, errors: Array) -> Array:
    """Return the probability that members with equal true scores rate `widths` or more apart.

    ``1 - sum_i integral f_i(x) prod_{j != i} (F_j(x + w) - F_j(x)) dx`` over the member i that is
    lowest, f and F normal with mean 0 and the members' standard errors of measurement; for two
    members ``2 Phi(-w / sqrt(s1^2 + s2^2))``, for equal errors one minus the studentized range
    distribution with infinite df. By Gauss-Legendre quadrature.

    Parameters
    ----------
    widths
        Distances, one per cell; NaN where undefined.
    errors
        Cells x members, NaN beyond the last member.

    Returns
    -------
    ndarray
        One probability per cell; NaN for cells with fewer than two members.
    """
    found = np.full(len(widths), np.nan)
    usable = np.isfinite(widths) & (np.isfinite(errors).sum(axis=1) > 1)
    if not usable.any():
        return found
    cases = np.column_stack([widths[usable], np.nan_to_num(np.sort(errors[usable], axis=1))])
    kinds, which = np.unique(cases, axis=0, return_inverse=True)
    chances = [_one_chance(kind[0], kind[1:][kind[1:] > 0]) for kind in kinds]
    found[usable] = np.asarray(chances)[which.ravel()]
    return found


def _one_chance(width: float, errors: Array) -> float:
    if width <= 0.0:
        return 1.0
    if len(errors) == 2:
        return float(2.0 * stats.norm.sf(width / math.hypot(*errors)))
    inside = 0.0
    for i, own in enumerate(errors):
        x = _REACH * own * _NODES
        others = np.delete(errors, i)[:, None]
        between = stats.norm.cdf((x + width) / others) - stats.norm.cdf(x / others)
        density = stats.norm.pdf(x / own) / own
        inside += float(_REACH * own * np.sum(_WEIGHTS * density * between.prod(axis=0)))
    return min(max(1.0 - inside, 0.0), 1.0)


def _values(given: float | Mapping[str, float]) -> list[float]:
    return [float(v) for v in given.values()] if isinstance(given, Mapping) else [float(given)]


def _by_role(
    given: float | Mapping[str, float], roles: npt.NDArray[np.object_], name: str
) -> Array:
    if not isinstance(given, Mapping):
        return np.full(len(roles), float(given))
    for role in dict.fromkeys(roles.tolist()):
        if role not in given:
            raise DataError(
                f"Reliability {name} names no role '{role}'. {did_you_mean(role, given)} Give one "
                "for every role, and role= to family_indices."
            )
    return np.array([given[role] for role in roles], dtype=np.float64)
