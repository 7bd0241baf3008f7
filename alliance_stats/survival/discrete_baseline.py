"""The baseline of a discrete-time hazard as a formula, and its population's curve."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.estimates import Array
from alliance_stats.survival.person_periods import Periods

__all__ = ["Curve", "baseline_columns", "baseline_formula", "population_curve"]

# Points of the trapezoidal rule over +-9 SDs: its error for these smooth integrands is below 1e-9
# for SDs up to 6 on the link's scale (Trefethen & Weideman 2014, doi:10.1137/130932132).
_POINTS = 241
_REACH = 9.0


def baseline_formula(kind: str, periods: Periods, df: int) -> str:
    """Return the terms of a baseline: its columns hold the constant.

    Parameters
    ----------
    kind
        ``"dummies"`` (a level each session), ``"spline"`` (natural cubic spline) or
        ``"polynomial"`` (orthogonal).
    periods
        Rows to be modelled. Of one session there is one level: a constant.
    df
        Columns beside the constant, of a spline or a polynomial.
    """
    session = periods.session
    name = session if session.isidentifier() else f"`{session}`"
    if kind == "dummies":
        return f"0 + C({name})" if periods.frame[session].nunique() > 1 else "1"
    if kind == "spline":
        return f"0 + cr({name}, df={df + 1})"
    return f"1 + poly({name}, {df})"


def baseline_columns(design: Design, kind: str) -> int:
    """Return how many leading columns are the baseline's, in a formula that begins with it."""
    terms = list(design.fixed.spec.term_slices.values())
    return int(terms[1 if kind == "polynomial" else 0].stop)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Hazard and survival of one course, with their slopes in the linear predictors.

    Attributes
    ----------
    hazard, survival
        (k,) probability to end in the interval, of those still there, and to be there after it.
    hazard_slope, survival_slope
        (k, k) derivatives: row t in the linear predictor of interval s.
    """

    hazard: Array
    survival: Array
    hazard_slope: Array
    survival_slope: Array


def population_curve(family: Family, eta: Array, sd: float) -> Curve:
    """Integrate each unit's whole curve over a normal effect that it keeps throughout.

    ``S(t) = E prod_{s <= t} (1 - h_s(b))`` and ``h(t) = 1 - S(t) / S(t-1)``: who is still there is
    of low hazard, so that a population's hazard falls away from that of its typical unit.

    Parameters
    ----------
    family
        Binomial, with its link.
    eta
        (k,) linear predictors, -inf where the hazard is 0 and +inf where it is 1.
    sd
        SD of the effect; 0 for the typical unit.
    """
    points, weights = np.zeros(1), np.ones(1)
    if sd > 0:
        points = np.linspace(-_REACH, _REACH, _POINTS) * sd
        weights = stats.norm.pdf(points / sd)
        weights /= weights.sum()
    finite = np.isfinite(eta)
    shifted = np.where(finite, eta, 0.0)[:, None] + points
    hazard = np.where(finite[:, None], family.mean(shifted), (eta == np.inf)[:, None])
    slope = np.where(finite[:, None], family.mean_slope(shifted), 0.0)
    survival = np.cumprod(1.0 - hazard, axis=0)
    each = np.divide(slope, 1.0 - hazard, out=np.zeros_like(slope), where=hazard < 1.0)
    S = survival @ weights
    k = len(eta)
    S_slope = -np.einsum("q,tq,sq->ts", weights, survival, each) * np.tri(k)
    before = np.concatenate([[1.0], S[:-1]])
    before_slope = np.vstack([np.zeros(k), S_slope[:-1]])
    there = before > 0
    ratio = np.divide(S, before, out=np.full(k, np.nan), where=there)
    divisor = np.where(there, before, np.nan)[:, None]
    h_slope = -(S_slope - ratio[:, None] * before_slope) / divisor
    return Curve(1.0 - ratio, S, h_slope, S_slope)
