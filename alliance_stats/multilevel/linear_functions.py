"""Linear functions of a model's fixed effects: which the data determine, and how well.

Means, contrasts and slopes are all ``L beta``. Rows of `L` have an entry for every coefficient,
aliased ones included, so that a function which the data do not determine is recognised as one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.design.design import Design, FixedBasis, all_fixed_columns
from alliance_stats.engine.degrees_of_freedom import FTest, KenwardRoger, Satterthwaite
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, two_sided_p, wald_interval
from alliance_stats.multilevel.fitted_model import FittedModel, require_fitted
from alliance_stats.multilevel.inference import small_sample
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["DfMethod", "Inference", "LinearEstimates", "infer"]

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]

# Of a function that the data determine, rounding leaves a part of about 1e-12 in the null space.
ESTIMABLE = 1e-8
# Directions of a covariance relatively smaller than this are combinations of the others.
DEPENDENT = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class LinearEstimates:
    """Estimates of m linear functions; NaN where the data do not determine one.

    Attributes
    ----------
    L
        The functions, (m, all coefficients).
    estimable
        Which of them the data determine, (m,).
    estimate, df
        (m,), on the scale of the linear predictor.
    covariance
        (m, m).
    """

    L: Array
    estimable: npt.NDArray[np.bool_]
    estimate: Array
    covariance: Array
    df: Array

    @property
    def std_error(self) -> Array:
        """Standard errors, (m,)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    def columns(self, *, conf_level: float) -> pd.DataFrame:
        """Return ``estimate, std_error, statistic, df, p_value, conf_low, conf_high``."""
        std_error = self.std_error
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = self.estimate / std_error
        low, high = wald_interval(self.estimate, std_error, df=self.df, conf_level=conf_level)
        return pd.DataFrame(
            {
                "estimate": self.estimate,
                "std_error": std_error,
                "statistic": statistic,
                "df": self.df,
                "p_value": two_sided_p(statistic, df=self.df),
                "conf_low": low,
                "conf_high": high,
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """A model's coefficients with what is needed to judge any linear function of them.

    Attributes
    ----------
    df_method
        ``"satterthwaite"``, ``"kenward-roger"`` or ``"normal"``.
    method
        The prepared method; ``None`` for the normal approximation.
    fixed
        The fixed columns' record.
    beta
        Estimated coefficients, (p,).
    covariance
        Their covariance, adjusted where the method is Kenward and Roger's, (p, p).
    sigma
        Residual SD (1 where there is none).
    lengths
        Root mean squares of all fixed columns, (all,).
    null_space
        Unit combinations of the columns at unit length that are zero in every row, (all, aliased).
    """

    df_method: DfMethod
    method: Satterthwaite | KenwardRoger | None
    fixed: FixedBasis
    beta: Array
    covariance: Array
    sigma: float
    lengths: Array
    null_space: Array

    def of(self, L: Array) -> LinearEstimates:
        """Estimate ``L beta``."""
        known = self.estimable(L)
        C = L[:, self.fixed.kept]
        covariance = C @ self.covariance @ C.T
        covariance[~known, :] = np.nan
        covariance[:, ~known] = np.nan
        return LinearEstimates(
            L, known, np.where(known, C @ self.beta, np.nan), covariance, self._df(C, known)
        )

    def estimable(self, L: Array) -> npt.NDArray[np.bool_]:
        """Tell for each row of `L` whether the data determine it.

        They do when it is a combination of rows of the design, that is, when it vanishes on the
        design's null space (Searle 1971, Linear Models, section 5.4). A row of NaN is not.
        """
        scaled = L / self.lengths
        size = np.linalg.norm(scaled, axis=1)
        off = np.linalg.norm(scaled @ self.null_space, axis=1)
        return np.asarray(np.isfinite(size) & (np.nan_to_num(off) <= ESTIMABLE * size))

    def joint_test(self, L: Array) -> FTest:
        """Test that all rows of ``L beta`` that the data determine are zero.

        By the model's df method; with the normal one it is Wald's chi-squared divided by its
        degrees of freedom, and ``df2`` is infinite.
        """
        C = L[self.estimable(L)][:, self.fixed.kept]
        if self.method is not None:
            return self.method.f_test(self._working(C), self.fixed.R @ self.beta / self.sigma)
        values, vectors = linalg.eigh(C @ self.covariance @ C.T)
        kept = values > values.max() * DEPENDENT
        rotated = vectors[:, kept].T @ (C @ self.beta)
        return FTest(float((rotated**2 / values[kept]).mean()), float(kept.sum()), np.inf)

    def _df(self, C: Array, known: npt.NDArray[np.bool_]) -> Array:
        varies = known & (C != 0).any(axis=1)
        df = np.full(len(C), np.nan)
        if self.method is None:
            df[varies] = np.inf
        elif varies.any():
            df[varies] = self.method.df(self._working(C[varies]))
        return df

    def _working(self, C: Array) -> Array:
        return np.asarray(linalg.solve_triangular(self.fixed.R.T, C.T, lower=True).T)


def infer(model: FittedModel, df_method: DfMethod | None = None) -> Inference:
    """Prepare inference on linear functions of a fitted model's coefficients.

    Parameters
    ----------
    model
        A fitted model.
    df_method
        As in ``LinearMixedModel.tidy``; ``None`` is Satterthwaite's for a linear mixed model and
        the normal approximation for a generalized one.

    Raises
    ------
    ValueError
        If the method is unknown, or not defined for this model.
    NotIdentifiedError
        If the coefficients have no covariance, since the fit did not converge.
    """
    require_fitted(model)
    fixed = model.design.fixed
    beta = model.beta.to_numpy()[fixed.kept]
    covariance = model.vcov().to_numpy()
    if not np.isfinite(covariance).all():
        raise NotIdentifiedError(
            "The coefficients of this fit have no covariance: it stopped where the likelihood is "
            "not at a maximum. Simplify the model, or look at what its summary names."
        )
    lengths, null = _lengths_and_null_space(model.design)
    if not isinstance(model, LinearMixedModel):
        if df_method not in (None, "normal"):
            raise ValueError(
                f"df_method={df_method!r} is defined for linear mixed models; a generalized one "
                "has Wald tests on infinite degrees of freedom: leave df_method out."
            )
        return Inference("normal", None, fixed, beta, covariance, 1.0, lengths, null)
    chosen: DfMethod = df_method or "satterthwaite"
    method = small_sample(model, chosen)
    if isinstance(method, KenwardRoger):
        back = linalg.inv(fixed.R)
        covariance = model.sigma**2 * back @ method.adjusted @ back.T
    return Inference(chosen, method, fixed, beta, covariance, model.sigma, lengths, null)


def _lengths_and_null_space(design: Design) -> tuple[Array, Array]:
    """Lengths of all fixed columns, and combinations of them that are zero in every row used.

    An aliased column is ``X[:, kept] a``, so the combination is ``(-a, 1)``; with columns at unit
    length, judging a function by it does not depend on units.
    """
    X = all_fixed_columns(design, design.frame)
    kept = design.fixed.kept
    lengths = np.sqrt((X**2).mean(axis=0))
    lengths[lengths == 0] = 1.0
    aliased = np.setdiff1d(np.arange(X.shape[1]), kept)
    basis = np.zeros((X.shape[1], len(aliased)))
    if len(aliased) == 0:
        return lengths, basis
    basis[aliased, np.arange(len(aliased))] = 1.0
    if len(kept):
        basis[kept] = -linalg.lstsq(X[:, kept] / lengths[kept], X[:, aliased] / lengths[aliased])[0]
    return lengths, np.asarray(basis / np.linalg.norm(basis, axis=0))
