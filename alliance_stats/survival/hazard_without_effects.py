"""A binomial regression without random effects, asked as a mixed model is."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.design.design import Design, build_design
from alliance_stats.design.new_rows import code_new_rows
from alliance_stats.engine.families import Family, family_of
from alliance_stats.engine.starting import glm_coefficients
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.glmm_problem import check_outcome, make_generalized_problem
from alliance_stats.multilevel.separation import check_not_separated

__all__ = ["BinomialRegression", "binomial_regression"]

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
    formula: str, data: pd.DataFrame, *, link: str, unit: str
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
    design, used = build_design(f"{formula} + (1 | `{unit}`)", data, residual_variance=False)
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
        f"The likelihood of {formula!r} did not reach its maximum in {_STEPS} Newton steps: a "
        "coefficient runs to infinity. Leave a term out, or make it coarser."
    )
