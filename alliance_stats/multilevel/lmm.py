"""Linear mixed models: the fit, and what one asks of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import check_choice, require_columns
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import reports
from alliance_stats.multilevel.blocks import RowArrays, cross_products, lay_out
from alliance_stats.multilevel.criterion import Problem, Solution, Template, solve
from alliance_stats.multilevel.design import Design, build_design
from alliance_stats.multilevel.elimination import Descent, descend
from alliance_stats.multilevel.fit import Convergence, Fit, minimise

__all__ = ["LinearMixedModel", "lmm"]

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
Effects = Literal["fixed", "ran_pars", "ran_vals"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LinearMixedModel:
    """A fitted linear mixed model.

    Made by :func:`lmm`. What is stored is what was read (`design`), the arrays of the criterion
    (`problem`) and where its minimum lies (`fit`); everything else is derived.

    Attributes
    ----------
    design
        Arrays, names and the row ledger.
    problem
        The deviance as a function of theta.
    fit
        The minimum and how it was found.
    """

    design: Design
    problem: Problem
    fit: Fit

    # -- what was fitted ---------------------------------------------------------------------

    @property
    def formula(self) -> str:
        """The formula as the caller wrote it."""
        return self.design.formula.text

    @property
    def reml(self) -> bool:
        """Whether variances were estimated by restricted maximum likelihood."""
        return self.problem.reml

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.design.rows

    @property
    def convergence(self) -> Convergence:
        """How the optimiser got where it stopped."""
        return self.fit.convergence

    @property
    def singular(self) -> bool:
        """Whether a variance or a correlation sits on its boundary."""
        return self.fit.singular

    @property
    def solution(self) -> Solution:
        """The linear algebra at the fit."""
        return solve(self.problem, self.fit.Lambda)

    @property
    def descent(self) -> Descent:
        """Predictors and posterior covariances of all random effects at the fit."""
        return descend(self.problem.layout, self.solution.up)

    # -- estimates ---------------------------------------------------------------------------

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.problem.n

    @property
    def sigma(self) -> float:
        """Residual SD, in units of the outcome (1 where the residual variances are known)."""
        if self.problem.known:
            return 1.0
        return float(np.sqrt(self.solution.rss / self.problem.N))

    @property
    def beta(self) -> pd.Series:
        """Coefficients; aliased ones are NaN."""
        fixed = self.design.fixed
        values = np.full(len(fixed.names), np.nan)
        values[fixed.kept] = fixed.offset + linalg.solve_triangular(fixed.R, self.solution.beta)
        return pd.Series(values, index=list(fixed.names), name="estimate")

    @property
    def log_lik(self) -> float:
        """Log-likelihood (restricted where `reml` is true)."""
        return -self.fit.deviance / 2.0

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the estimated coefficients, ``sigma^2 (X'V^-1X)^-1``."""
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        half = linalg.solve_triangular(
            self.solution.XX_factor, linalg.inv(self.design.fixed.R).T, lower=True
        )
        return pd.DataFrame(self.sigma**2 * half.T @ half, index=names, columns=names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return, for each grouping factor, the covariance of its random effects (as given)."""
        return reports.covariances(self)

    def random_effects(self) -> pd.DataFrame:
        """Return the predicted random effects: ``tidy(effects="ran_vals")``."""
        return self.tidy(effects="ran_vals")

    # -- the result protocol -----------------------------------------------------------------

    def tidy(
        self,
        *,
        effects: Effects = "fixed",
        df_method: DfMethod = "satterthwaite",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return one row an estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients with t tests. ``"ran_pars"``: SDs (``sd__``) and correlations
            (``cor__``) of random effects, and the residual SD. ``"ran_vals"``: predicted random
            effects with their conditional SDs (given theta and beta, as lme4's ``condVar``).
        df_method
            ``"satterthwaite"`` (as lmerTest), ``"kenward-roger"`` (as pbkrtest; it corrects the
            standard errors too, and needs a REML fit), or ``"normal"`` (infinite df).
        conf_level
            Coverage of the Wald intervals.

        Returns
        -------
        DataFrame
            Columns ``effect, group, level, term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``, in units of the outcome per unit of the predictor.
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        if effects == "fixed":
            return reports.fixed_table(self, df_method=df_method, conf_level=conf_level)
        if effects == "ran_pars":
            return reports.ran_pars_table(self)
        return reports.ran_vals_table(self, conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit statistics, convergence."""
        return reports.glance_table(self)

    def summary(self) -> str:
        """Return the fit in words and numbers; a boundary or a failed convergence comes first."""
        return reports.summary_text(self)


def lmm(
    formula: str,
    data: pd.DataFrame,
    *,
    reml: bool = True,
    weights: str | None = None,
    known_variance: str | None = None,
) -> LinearMixedModel:
    """Fit a linear mixed model.

    Parameters
    ----------
    formula
        lme4's language: ``"alliance ~ session + role + (1 | therapist/family/person)"``. Random
        terms ``(1 | a/b)``, ``(1 + x | g)``, ``(1 + x || g)``, ``(0 + x | g)``, ``(1 | a:b)``,
        nested or crossed; the fixed part is formulaic's (transforms, ``C()``, interactions,
        ``poly``). Names that are not Python names go in backticks.
    data
        One row an observation. Rows in which a needed column is missing are set aside and counted
        in ``result.rows``.
    reml
        Restricted (default) or ordinary maximum likelihood.
    weights
        Column of precision weights as in lme4: row i has residual variance ``sigma^2 / w_i``.
    known_variance
        Column of known sampling variances (meta-analysis); the residual variance is then not
        estimated. Not together with `weights`.

    Returns
    -------
    LinearMixedModel
        With ``tidy()``, ``glance()``, ``summary()``, ``vcov()``, ``rows`` ...

    Raises
    ------
    FormulaError
        The formula cannot be read, has no random term, or names an unknown column.
    DataError
        No usable row, an infinite or non-numeric outcome, weights that are not positive.
    NotIdentifiedError
        A constant outcome, a factor with one level, a grouping with one unit, as many random
        effects as rows.

    Notes
    -----
    The outcome is ``y = X beta + Z b + e`` with ``b`` of covariance ``sigma^2 Lambda Lambda'`` in
    each unit and ``e`` of variance ``sigma^2``. The (restricted) likelihood is that of lme4 (Bates,
    Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01), minimised over unbounded theta by
    L-BFGS with analytic gradients. Linearly dependent fixed columns are dropped as in R (the first
    of a set stays) and reported with NaN estimates.
    """
    if weights is not None and known_variance is not None:
        raise DataError("Give weights= or known_variance=, not both: they say the same thing.")
    require_columns(data, [weights, known_variance])
    design, _ = build_design(formula, data, weights=weights, known_variance=known_variance)
    if not design.groupings:
        raise FormulaError(
            f"{formula!r} has no random term such as '(1 | person)'; without one it is an ordinary "
            "regression (statsmodels' ols)."
        )
    problem = make_problem(design, reml=reml, known=known_variance is not None)
    return LinearMixedModel(design, problem, minimise(problem))


def make_problem(design: Design, *, reml: bool, known: bool) -> Problem:
    """Arrange the design's rows for elimination and sum their products."""
    groupings = design.groupings
    layout = lay_out([g.codes for g in groupings], [len(g.Z) for g in groupings])
    order = layout.order
    rows = RowArrays(
        tuple(groupings[level.factor].Z[:, order] for level in layout.levels),
        tuple(groupings[f].Z[:, order] for f in layout.crossed),
        tuple(groupings[f].codes[order] for f in layout.crossed),
        np.concatenate([design.Q, design.residual[None]])[:, order],
    )
    constant = -2.0 * float(np.log(design.root_weights).sum())
    if reml:
        constant += design.fixed.log_det
    template = Template.full([[len(basis.names) for basis in g.terms] for g in groupings])
    n, p = len(design.y), len(design.fixed.kept)
    return Problem(layout, cross_products(layout, rows), template, n, p, reml, known, constant)
