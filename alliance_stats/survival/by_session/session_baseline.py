"""The baseline of a discrete-time hazard as a formula, and its population's curve.

A binomial regression without random effects, asked as a mixed model is.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.design.design import Design, build_design
from alliance_stats.design.formula import (
    CONSTANT,
    MixedFormula,
    Terms,
    intercepts,
    transformed,
)
from alliance_stats.design.new_rows import code_new_rows
from alliance_stats.engine.families import Family, family_of
from alliance_stats.engine.generalized_search import glm_coefficients
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import (
    check_not_separated,
    check_outcome,
    make_generalized_problem,
)
from alliance_stats.survival.rows.person_periods import Periods

__all__ = [
    "BinomialRegression",
    "Curve",
    "baseline_columns",
    "baseline_terms",
    "binomial_regression",
    "population_curve",
]


# Points of the trapezoidal rule over +-9 SDs: its error for these smooth integrands is below 1e-9
# for SDs up to 6 on the link's scale (Trefethen & Weideman 2014, doi:10.1137/130932132).
_POINTS = 241
_REACH = 9.0


def baseline_terms(kind: str, periods: Periods, df: int) -> Terms:
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
    if kind == "dummies":
        several = len(periods.frame[session].unique()) > 1
        return transformed("C", session) if several else CONSTANT
    if kind == "spline":
        return transformed("cr", session, df=df + 1)
    return CONSTANT + transformed("poly", session, df)


def baseline_columns(design: Design, kind: str) -> int:
    """Return how many leading columns are the baseline's, in a formula that begins with it."""
    terms = design.fixed.coding.terms
    return int(terms[1 if kind == "polynomial" else 0].columns.stop)


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


_STEPS = 50
# Squared length of a Newton step in standard errors after which the next is rounding.
_DONE = 1e-20


@dataclass(frozen=True, slots=True, eq=False)
class BinomialRegression:
    """Maximum-likelihood fit of a binomial regression.

    Attributes
    ----------
    design
        Arrays, names and rows; its grouping factor only orders the rows.
    family
        Binomial, with its link.
    gamma
        Coefficients on the design's working basis.
    information
        Observed information of `gamma`.
    log_lik
        Log-likelihood.
    """

    design: Design
    family: Family
    gamma: Array
    information: Array
    log_lik: float

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        return self.design.rows

    @property
    def beta(self) -> pd.Series:
        """Coefficients on the scale of the link; aliased ones are NaN."""
        fixed = self.design.fixed
        values = np.full(len(fixed.names), np.nan)
        values[fixed.kept] = linalg.solve_triangular(fixed.R, self.gamma)
        return pd.Series(values, index=list(fixed.names), name="estimate")

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the estimated coefficients: inverse observed information."""
        fixed = self.design.fixed
        names = [fixed.names[i] for i in fixed.kept]
        back = linalg.inv(fixed.R)
        return pd.DataFrame(
            back @ linalg.inv(self.information) @ back.T, index=names, columns=names
        )

    def linear_predictor(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return ``estimate``, the linear predictor of new rows, indexed as they are."""
        rows = code_new_rows(self.design, newdata, with_units=False)
        estimate = rows.X @ self.beta.to_numpy()[self.design.fixed.kept]
        return pd.DataFrame({"estimate": estimate}, index=newdata.index)


def binomial_regression(
    formula: MixedFormula, data: pd.DataFrame, *, link: str, unit: str
) -> BinomialRegression:
    """Fit by Newton's method.

    Parameters
    ----------
    formula
        Outcome and fixed effects.
    data
        Rows without missing values.
    link
        ``"cloglog"`` or ``"logit"``.
    unit
        Column by which the rows are ordered.

    Raises
    ------
    NotIdentifiedError
        Separation, naming the terms and cells; an outcome that never varies.
    """
    ordered = replace(formula, random=(intercepts([unit]),))
    design, used = build_design(ordered, data, residual_variance=False)
    family = family_of("binomial", link)
    trials = np.ones(len(used))
    check_outcome(design, family, trials, None)
    problem = make_generalized_problem(design, family, trials, np.zeros(len(used)))
    gamma, eta = glm_coefficients(problem)
    check_not_separated(design, problem, eta)
    for _ in range(_STEPS):
        log_density, score, weight = family.slopes(gamma @ problem.Q, problem.outcome)
        information = (problem.Q * weight) @ problem.Q.T
        slope = problem.Q @ score
        step = linalg.cho_solve(linalg.cho_factor(information), slope)
        gamma = gamma + step
        if float(step @ slope) < _DONE:
            return BinomialRegression(design, family, gamma, information, float(log_density.sum()))
    raise NotIdentifiedError(
        f"The likelihood of {formula.text!r} did not reach its maximum in {_STEPS} Newton steps: a "
        "coefficient runs to infinity. Leave a term out, or make it coarser."
    )
