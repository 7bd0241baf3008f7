"""Linear functions of a fit's coefficients: which the data determine, and how well.

Coefficients, predictions, means, contrasts and slopes are all ``L beta``. Rows of `L` have an entry
for every coefficient, aliased ones included, so that a function which the data do not determine is
recognised as one.

The joint tests of terms are of types I, II and III, whatever the coding of factors. A term contains
another if it has the other's factors, more categorical ones besides, and the same numeric ones
(SAS/STAT User's Guide, "The Four Types of Estimable Functions"). Type I tests each term given those
before it, type II given all that do not contain it. Type III tests the functions of the
coefficients that the data determine, that leave out every term which does not contain the term, and
that are orthogonal to those of the terms which contain it, in columns with one indicator per level.
Where every combination of levels occurs these are differences of equally weighted cell means, with
numeric predictors that the term interacts with at zero, as sum-to-zero coding would give; they do
not depend on the coding that was fitted. lmerTest does the same (Kuznetsova, Brockhoff &
Christensen 2017, doi:10.18637/jss.v082.i13).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.checks import check_choice
from alliance_stats.design.coding import CodedTerm
from alliance_stats.design.design import Design, all_fixed_columns
from alliance_stats.engine.degrees_of_freedom import (
    ConstantDf,
    FTest,
    KenwardRoger,
    Satterthwaite,
    independent_rows,
    kenward_roger,
    satterthwaite,
)
from alliance_stats.engine.sandwich import ClusterRobust
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, estimate_columns
from alliance_stats.multilevel.clusters import CR2, cluster_robust, generalized_robust
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit

__all__ = [
    "ANOVA_COLUMNS",
    "KINDS",
    "DfMethod",
    "Inference",
    "LinearEstimates",
    "anova_table",
    "f_p_value",
    "hypotheses",
    "inference_on",
    "require_covariance",
]

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
DF_METHODS = ("satterthwaite", "kenward-roger", "normal")

# Of a function that the data determine, rounding leaves a part of about 1e-12 in the null space.
ESTIMABLE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class LinearEstimates:
    """Estimates of m linear functions; NaN where one is not estimable.

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
    estimable: Booleans
    estimate: Array
    covariance: Array
    df: Array

    @property
    def std_error(self) -> Array:
        """Standard errors, (m,)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    def columns(self, *, conf_level: float) -> pd.DataFrame:
        """Return ``estimate, std_error, statistic, df, p_value, conf_low, conf_high``."""
        return estimate_columns(self.estimate, self.std_error, df=self.df, conf_level=conf_level)


@dataclass(frozen=True, eq=False, repr=False)
class Inference:
    """A fit's coefficients with what is needed for inference on any linear function of them.

    Attributes
    ----------
    df_method
        ``"satterthwaite"``, ``"kenward-roger"``, ``"normal"`` or ``"CR2"``.
    method
        The prepared method; ``None`` for the normal approximation.
    design
        What was read.
    beta
        Estimated coefficients, (p,).
    covariance
        Their covariance: adjusted where the method is Kenward and Roger's, robust where it is CR2,
        (p, p).
    sigma
        Residual SD (1 where there is none).
    """

    df_method: str
    method: Satterthwaite | KenwardRoger | ClusterRobust | ConstantDf | None
    design: Design
    beta: Array
    covariance: Array
    sigma: float

    def of(self, L: Array) -> LinearEstimates:
        """Estimate ``L beta``."""
        known = self.estimable(L)
        C = L[:, self.design.fixed.kept]
        covariance = C @ self.covariance @ C.T
        covariance[~known, :] = np.nan
        covariance[:, ~known] = np.nan
        varies = known & (C != 0).any(axis=1)
        df = np.full(len(C), np.nan)
        if varies.any():
            df[varies] = self.df(C[varies])
        estimate = np.where(known, C @ self.beta, np.nan)
        return LinearEstimates(L, known, estimate, covariance, df)

    def variances(self, C: Array) -> Array:
        """Variances of functions of the estimated coefficients, ``diag(C V C')``."""
        return np.asarray(np.einsum("rp,pq,rq->r", C, self.covariance, C))

    def df(self, C: Array) -> Array:
        """Degrees of freedom of functions of the estimated coefficients, rows of (m, p)."""
        if self.method is None:
            return np.full(len(C), np.inf)
        return self.method.df(C if isinstance(self.method, ClusterRobust) else self._working(C))

    def estimable(self, L: Array) -> Booleans:
        """Return for each row of `L` whether it is estimable.

        They do when it is a combination of rows of the design, that is, when it vanishes on the
        design's null space (Searle 1971, Linear Models, section 5.4). A row of NaN is not.
        """
        lengths, null_space = self._lengths_and_null_space
        scaled = L / lengths
        size = np.linalg.norm(scaled, axis=1)
        off = np.linalg.norm(scaled @ null_space, axis=1)
        return np.asarray(np.isfinite(size) & (np.nan_to_num(off) <= ESTIMABLE * size))

    def joint_test(self, L: Array) -> FTest:
        """Test that all estimable rows of ``L beta`` are zero."""
        return self.f_test(L[self.estimable(L)][:, self.design.fixed.kept])

    def f_test(self, C: Array) -> FTest:
        """Test ``C beta = 0`` jointly, for functions of the estimated coefficients.

        Uses the df method; with the normal one the statistic is Wald's chi-squared divided by its
        degrees of freedom, and ``df2`` is infinite.
        """
        if isinstance(self.method, Satterthwaite | KenwardRoger):
            scaled = self.design.fixed.R @ self.beta / self.sigma
            return self.method.f_test(self._working(C), scaled)
        if isinstance(self.method, ClusterRobust):
            return self.method.f_test(C, self.beta)
        rows = independent_rows(C, self.covariance)
        values, vectors = linalg.eigh(rows @ self.covariance @ rows.T)
        rotated = vectors.T @ (rows @ self.beta)
        df2 = self.method.value if self.method is not None else np.inf
        return FTest(float((rotated**2 / values).mean()), float(len(rows)), df2)

    def _working(self, C: Array) -> Array:
        """Turn functions of the given coefficients into functions of the working ones."""
        return np.asarray(linalg.solve_triangular(self.design.fixed.R.T, C.T, lower=True).T)

    @cached_property
    def _lengths_and_null_space(self) -> tuple[Array, Array]:
        """Lengths of all fixed columns, and combinations of them that are zero in every row used.

        An aliased column is ``X[:, kept] a``, so the combination is ``(-a, 1)``; with columns at
        unit length, the check does not depend on units.
        """
        X = all_fixed_columns(self.design, self.design.frame)
        kept = self.design.fixed.kept
        lengths = np.sqrt((X**2).mean(axis=0))
        lengths[lengths == 0] = 1.0
        aliased = np.setdiff1d(np.arange(X.shape[1]), kept)
        basis = np.zeros((X.shape[1], len(aliased)))
        if len(aliased) == 0:
            return lengths, basis
        basis[aliased, np.arange(len(aliased))] = 1.0
        if len(kept):
            unit = X / lengths
            basis[kept] = -linalg.lstsq(unit[:, kept], unit[:, aliased])[0]
        return lengths, np.asarray(basis / np.linalg.norm(basis, axis=0))


def inference_on(
    fit: LinearFit | GeneralizedFit,
    df_method: str | None = None,
    *,
    vcov: CR2 | None = None,
) -> Inference:
    """Prepare inference on linear functions of a fit's coefficients.

    Parameters
    ----------
    fit
        The fit.
    df_method
        ``None`` is Satterthwaite's for a linear mixed model and the normal approximation for a
        generalized one.
    vcov
        CR2 in place of a df method.

    Raises
    ------
    ValueError
        If the method is unknown, or not defined for this model.
    """
    design, beta = fit.design, fit.beta
    if isinstance(fit, GeneralizedFit):
        if df_method not in (None, "normal"):
            raise ValueError(
                f"df_method={df_method!r} is defined for linear mixed models; a generalized one "
                "has Wald tests on infinite degrees of freedom: leave df_method out."
            )
        if vcov is not None:
            robust = generalized_robust(fit, vcov)
            return Inference("CR2", robust, design, beta, robust.vcov, 1.0)
        return Inference("normal", None, design, beta, fit.vcov, 1.0)
    if vcov is not None:
        robust = cluster_robust(fit, vcov)
        return Inference("CR2", robust, design, beta, robust.vcov, fit.sigma)
    chosen = df_method or "satterthwaite"
    method = small_sample(fit, chosen)
    covariance = fit.vcov
    if isinstance(method, KenwardRoger):
        back = linalg.inv(design.fixed.R)
        covariance = fit.sigma**2 * back @ method.adjusted @ back.T
    return Inference(chosen, method, design, beta, covariance, fit.sigma)


def small_sample(fit: LinearFit, df_method: str) -> Satterthwaite | KenwardRoger | None:
    """Prepare a df method for a fit; ``None`` for the normal approximation."""
    check_choice(df_method, DF_METHODS, name="df_method")
    if df_method == "normal":
        return None
    if df_method == "satterthwaite":
        return satterthwaite(fit.curvature, reml=fit.problem.reml)
    if not fit.problem.reml:
        raise ValueError(
            "Kenward-Roger inference is defined for REML fits; this one is ML. "
            "Fit again with reml=True, or use df_method='satterthwaite'."
        )
    # pbkrtest keeps every variance among those that were estimated, those at zero too
    curve = fit.boundary_curvature
    if not curve.linear:
        raise ValueError(
            "Kenward-Roger inference needs a covariance that is linear in its parameters: of the "
            "residual structures Unstructured, Toeplitz and CompoundSymmetry, without SDs of their "
            "own and without random terms. Use df_method='satterthwaite'."
        )
    return kenward_roger(curve)


def require_covariance(inference: Inference) -> Inference:
    """Refuse coefficients without a covariance."""
    if not np.isfinite(inference.covariance).all():
        raise NotIdentifiedError(
            "The coefficients of this fit have no covariance: it stopped where the likelihood is "
            "not at a maximum. Simplify the model, or look at what its summary names."
        )
    return inference


def f_p_value(test: FTest) -> float:
    """p-value of an F test; of Wald's chi-squared where ``df2`` is infinite."""
    if np.isinf(test.df2):
        return float(stats.chi2.sf(test.statistic * test.df1, test.df1))
    return float(stats.f.sf(test.statistic, test.df1, test.df2))


KINDS = ("III", "II", "I", "marginal")

# Of a singular value, what counts as zero beside the largest.
RANK = 1e-9
# Of a column beside those before it, in units of the largest entry.
PIVOT = 1e-6

ANOVA_COLUMNS = ["term", "statistic", "df1", "df2", "p_value", "method"]
METHODS = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger", "normal": "Wald"}


def anova_table(
    fit: LinearFit | GeneralizedFit, *, kind: str, df_method: str | None = None
) -> pd.DataFrame:
    """Test every term; see :meth:`LinearMixedModel.anova`."""
    design, inference = fit.design, inference_on(fit, df_method)
    named = "marginal" if kind == "marginal" else f"type {kind}"
    found = []
    for term, C in hypotheses(design, kind):
        if not len(C):
            continue
        test = inference.f_test(C)
        found.append(
            {
                "term": term.name,
                "statistic": test.statistic,
                "df1": test.df1,
                "df2": test.df2,
                "p_value": f_p_value(test),
                "method": f"{named} F, {METHODS[inference.df_method]}",
            }
        )
    return pd.DataFrame(found, columns=ANOVA_COLUMNS)


def hypotheses(design: Design, kind: str) -> list[tuple[CodedTerm, Array]]:
    """For each term except the constant, functions of the coefficients that are zero under H0."""
    terms = [term for term in design.fixed.coding.terms if term.factors]
    if kind == "III":
        return _type_three(design, terms)
    place = {int(column): i for i, column in enumerate(design.fixed.kept)}
    own = {
        term.name: [place[c] for c in range(term.columns.start, term.columns.stop) if c in place]
        for term in terms
    }
    p = len(design.fixed.kept)
    if kind == "marginal":
        return [(term, np.eye(p)[own[term.name]]) for term in terms]
    if kind == "I":
        sequential = _sequential(design.X)
        return [(term, sequential[own[term.name]]) for term in terms]
    last_of_all = {term.name: C for term, C in _type_three(design, terms)}
    found = []
    for term in terms:
        containing = [c for other in terms if _contains(other, term) for c in own[other.name]]
        if not containing and len(last_of_all[term.name]) == len(own[term.name]):
            found.append((term, last_of_all[term.name]))  # nothing contains it: II is III
            continue
        last = [*own[term.name], *containing]
        order = np.array([*(c for c in range(p) if c not in set(last)), *last], dtype=np.int64)
        moved = np.zeros((p, p))
        moved[:, order] = _sequential(design.X[:, order])
        start = p - len(last)
        found.append((term, moved[start : start + len(own[term.name])]))
    return found


def _sequential(X: Array) -> Array:
    """Hypotheses of each column given those before it: the unit upper triangle of X."""
    triangle = linalg.qr(X, mode="r")[0][: X.shape[1]]
    return np.asarray(triangle / np.diag(triangle)[:, None])


def _contains(outer: CodedTerm, inner: CodedTerm) -> bool:
    """Whether `outer` has the factors of `inner`, and further categorical ones only."""
    more = [factor for factor in outer.factors if factor not in inner.factors]
    within = all(factor in outer.factors for factor in inner.factors)
    return within and bool(more) and all(factor.is_categorical for factor in more)


def _type_three(design: Design, terms: list[CodedTerm]) -> list[tuple[CodedTerm, Array]]:
    indicators, slices = design.fixed.coding.indicators(design.frame)
    width = indicators.shape[1]
    where = dict(zip([t.name for t in design.fixed.coding.terms], slices, strict=True))
    # the triangle has the inner products of the rows, so it has their span too
    triangle = linalg.qr(np.hstack([indicators, design.X]), mode="r")[0]
    wide, X = triangle[:, :width], triangle[:, width:]
    unit = _unit_lengths(wide, terms, where)
    U, s, Vt = linalg.svd(wide / unit, full_matrices=False)
    kept = s > RANK * s.max()
    span = Vt[kept]  # rows that the data determine, as functions of the indicators' effects
    back = (U[:, kept] / s[kept]).T @ X  # the same as functions of the estimated coefficients
    found = []
    for term in terms:
        containing = [other for other in terms if _contains(other, term)]
        own = _zero_outside(span, [where[t.name] for t in (term, *containing)])
        if containing:
            beyond = _zero_outside(span, [where[t.name] for t in containing])
            own = linalg.null_space(beyond @ own.T, rcond=RANK).T @ own
        versus = _versus_first((own @ span)[:, where[term.name]])
        found.append((term, versus @ own @ back))
    return found


def _versus_first(rows: Array) -> Array:
    """Return what combines rows so that each compares one level with the first.

    They span the same space, and F is the same; Satterthwaite's df of several functions jointly
    depend on the choice of basis. This is that of treatment coding, as in lmerTest.
    """
    pivots: list[int] = []
    found = np.empty((0, len(rows)))
    for column in range(rows.shape[1] - 1, -1, -1):
        left = rows[:, column] - found.T @ (found @ rows[:, column])
        size = float(np.linalg.norm(left))
        if len(pivots) < len(rows) and size > PIVOT * np.abs(rows).max():
            pivots.append(column)
            found = np.vstack([found, left / size])
    if len(pivots) < len(rows):
        return np.eye(len(rows))
    return np.asarray(linalg.inv(rows[:, pivots[::-1]]))


def _unit_lengths(wide: Array, terms: list[CodedTerm], where: dict[str, slice]) -> Array:
    """Lengths of the columns, one for all columns with the same numeric factors."""
    unit = np.ones(wide.shape[1])
    groups: dict[tuple[int, ...], list[slice]] = {}
    for term in terms:
        numeric = tuple(sorted(id(f) for f in term.factors if not f.is_categorical))
        groups.setdefault(numeric, []).append(where[term.name])
    for slices in groups.values():
        size = max(float(np.linalg.norm(wide[:, own], axis=0).max()) for own in slices)
        for own in slices:
            unit[own] = size or 1.0
    return unit


def _zero_outside(span: Array, inside: list[slice]) -> Array:
    """Combine the rows of `span` so that they are zero outside some columns; orthonormal."""
    outside = np.ones(span.shape[1], dtype=bool)
    for own in inside:
        outside[own] = False
    return np.asarray(linalg.null_space(span[:, outside].T, rcond=RANK).T)
