"""Expectations of a hazard in discrete time, at sessions and over whole courses; its terms."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special, stats

from alliance_stats.checks import check_frame, require_columns
from alliance_stats.design.design import code_new_rows
from alliance_stats.door import replaced
from alliance_stats.engine.families import Family
from alliance_stats.engine.generalized_search import glm_coefficients
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans, Integers, wald_interval
from alliance_stats.formatting import plural
from alliance_stats.multilevel import GeneralizedLinearMixedModel
from alliance_stats.survival.by_session.ending_likelihood import rule_of
from alliance_stats.survival.by_session.ending_logit import (
    EndingLikelihood,
    EndingRows,
    evened,
    highest,
    row_scores,
)
from alliance_stats.survival.cox.cluster_errors import cluster_sums
from alliance_stats.survival.cox.cox_design import formula_variables
from alliance_stats.survival.cox.term_tests import Score
from alliance_stats.survival.rows.hazard_rows import Periods

__all__ = ["Curve", "EndingTerms", "Incidence", "RegressionTerms", "SessionCourses", "incidence"]


@dataclass(frozen=True, slots=True, eq=False)
class RegressionTerms:
    """The likelihood of rows by session as tests of terms ask for it.

    Attributes
    ----------
    problem
        The rows as the fit has them.
    X
        (n, p) columns that were kept, in the design's order.
    cluster
        (n,) number of each row's cluster; None where rows are independent.
    """

    problem: GeneralizedProblem
    X: Array
    cluster: Integers | None

    def _basis(self, columns: list[int]) -> Array:
        """Return an orthonormal basis (p, n), in the problem's order, that keeps theirs."""
        X = self.X[self.problem.layout.order][:, columns]
        return np.ascontiguousarray(np.linalg.qr(X)[0].T * np.sqrt(len(X)))

    def _highest(self, Q: Array) -> Array:
        return glm_coefficients(replace(self.problem, Q=Q))[0]

    def log_lik(self, columns: list[int]) -> float:
        """Return the maximum over the coefficients of these columns."""
        Q, problem = self._basis(columns), self.problem
        eta = problem.offset + self._highest(Q) @ Q
        return float(problem.family.slopes(eta, problem.outcome)[0].sum())

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return the slopes at the maximum over the others, by the expected information."""
        Q, problem = self._basis([*others, *tested]), self.problem
        eta = problem.offset + self._highest(Q[: len(others)]) @ Q[: len(others)]
        mean, slope = problem.family.mean(eta), problem.family.mean_slope(eta)
        weight = problem.outcome.trials
        pull = slope / (mean * (1.0 - mean))
        rows = Q * (pull * (problem.outcome.y - weight * mean))
        by_cluster = None
        if self.cluster is not None:
            own = self.cluster[problem.layout.order]
            by_cluster = cluster_sums(own, rows)
        return Score(rows.sum(axis=1), (Q * (weight * pull * slope)) @ Q.T, by_cluster)


@dataclass(frozen=True, slots=True, eq=False)
class EndingTerms:
    """The likelihood of competing endings; columns are coefficients that count, in their order.

    Attributes
    ----------
    rows
        The data.
    cluster
        (n,) number of each row's cluster; None where rows are independent.
    """

    rows: EndingRows
    cluster: Integers | None

    def _keeping(self, columns: list[int]) -> EndingRows:
        counts = np.zeros(self.rows.counts.size, dtype=bool)
        counts[np.flatnonzero(self.rows.counts)[columns]] = True
        rows, _ = evened(self.rows)
        return replace(rows, counts=counts.reshape(rows.counts.shape))

    def log_lik(self, columns: list[int]) -> float:
        """Return the maximum over the coefficients of these columns."""
        return float(highest(self._keeping(columns)).at.log_lik)

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return the slopes at the maximum over the others."""
        at = highest(self._keeping(others)).at
        everything = [*others, *tested]
        order = np.argsort(np.argsort(everything))
        rows = self._keeping(everything)
        slope, curvature = EndingLikelihood(rows).derivatives(at)
        by_cluster = None
        if self.cluster is not None:
            by_cluster = cluster_sums(self.cluster, row_scores(rows, at)[order])
        return Score(slope[order], curvature[np.ix_(order, order)], by_cluster)


# Points of the trapezoidal rule over +-9 SDs: its error for these smooth integrands is below 1e-9
# for SDs up to 6 on the link's scale (Trefethen & Weideman 2014, doi:10.1137/130932132).
_POINTS = 241
_REACH = 9.0
# Points a dimension of the integral over groups, for one, two, three and more endings: the error of
# these smooth integrands is then below 1e-7 for SDs up to 1.5.
_POINTS_OF = (61, 31, 21, 13)


@dataclass(frozen=True, slots=True, eq=False)
class Incidence:
    """Hazards and incidences over a course.

    Attributes
    ----------
    hazard, incidence
        (sessions, endings) hazards of those still there, and cumulative incidences.
    survival
        (sessions,) share still there.
    slope
        (sessions, endings, modelled sessions, endings) derivative of the incidence at t of ending k
        in the log odds at s of ending j.
    """

    hazard: Array
    incidence: Array
    survival: Array
    slope: Array


def incidence(eta: Array, certain: Array, modelled: Booleans, covariance: Array) -> Incidence:
    """Integrate whole courses over the effects that a group keeps throughout.

    ``F_k(t) = E sum_{s <= t} S(s - 1) h_k(s)`` and ``h_k(t)`` that of those still there. With
    ``dh_k / d eta_j = h_k ((j = k) - h_j)`` and ``d log(1 - sum h) / d eta_j = -h_j``,

        dF_k(t) / d eta_j(s) = E S(s - 1) h_k(s) ((j = k) - h_j(s))
                               - sum_{s < u <= t} E h_j(s) S(u - 1) h_k(u)      for s <= t.

    Parameters
    ----------
    eta
        (modelled sessions, endings) log odds against no ending, -inf where it cannot come.
    certain
        (sessions, endings) hazards to take where the model has none.
    modelled
        (sessions,) where it has.
    covariance
        (endings, endings) of the effects; zeros for the typical group.
    """
    values, vectors = np.linalg.eigh(covariance)
    own = values > 1e-14
    q = int(own.sum())
    rule = rule_of(_POINTS_OF[max(min(q, len(_POINTS_OF)), 1) - 1], q)
    b = rule.x @ (vectors[:, own] * np.sqrt(values[own])).T
    weight = np.exp(rule.log_weight - (rule.x**2).sum(axis=1) / 2.0)
    hazard = np.broadcast_to(certain[:, None, :], (len(certain), *b.shape)).copy()
    shifted = eta[:, None, :] + b
    top = np.maximum(shifted.max(axis=2, keepdims=True, initial=0.0), 0.0)
    odds = np.exp(shifted - top)
    hazard[modelled] = odds / (np.exp(-top) + odds.sum(axis=2, keepdims=True))
    survival = np.cumprod(1.0 - hazard.sum(axis=2), axis=0)
    before = np.vstack((np.ones(len(b)), survival[:-1]))
    ends = before[:, :, None] * hazard  # (sessions, points, endings)
    left = np.einsum("q,tqk->tk", weight, ends)
    there = before @ weight
    there = np.where(there > 0.0, there, np.nan)
    return Incidence(
        left / there[:, None],
        np.cumsum(left, axis=0),
        survival @ weight,
        _slopes(weight, hazard[modelled], ends, np.flatnonzero(modelled)),
    )


def _slopes(weight: Array, hazard: Array, ends: Array, at: Integers) -> Array:
    """Differentiate the incidences; see :func:`incidence`."""
    T, _, K = ends.shape
    slope = np.zeros((T, K, len(at), K))
    for s, session in enumerate(at):
        own = np.einsum("q,qk,qj->kj", weight, ends[session], hazard[s])
        first = np.diag(weight @ ends[session]) - own
        later = np.einsum("q,uqk,qj->ukj", weight, ends[session + 1 :], hazard[s])
        lost = np.concatenate((np.zeros((1, K, K)), np.cumsum(later, axis=0)))
        slope[session:, :, s, :] = first - lost
    return slope


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Hazard and survival of one course, with their slopes in the linear predictors.

    Attributes
    ----------
    hazard, survival
        (k,) probability of ending in the interval, if still there, and of being there after it.
    hazard_slope, survival_slope
        (k, k) derivatives: row t in the linear predictor of interval s.
    """

    hazard: Array
    survival: Array
    hazard_slope: Array
    survival_slope: Array


def _population_curve(family: Family, eta: Array, sd: float) -> Curve:
    """Integrate each unit's whole curve over a normal effect that it keeps throughout.

    ``S(t) = E prod_{s <= t} (1 - h_s(b))`` and ``h(t) = 1 - S(t) / S(t-1)``: those still there
    have low hazards, so that a population's hazard falls away from that of its typical unit.

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


@dataclass(frozen=True, slots=True, eq=False)
class SessionCourses:
    """A fitted hazard, as far as expectations need it.

    Attributes
    ----------
    fit
        The generalized model.
    periods
        The rows, and what was observed at each session.
    formula
        The covariates as given.
    baseline
        One of :data:`BASELINES`.
    covariance
        Of the estimated coefficients, (p, p).
    """

    fit: GeneralizedLinearMixedModel
    periods: Periods
    formula: str
    baseline: str
    covariance: Array

    def observed(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return numbers at risk and leaving of the rows with a course's covariates."""
        table = self.periods.sessions.rename(columns={"session": "time"})
        course = self._course(newdata)
        frame, session = self.periods.frame, self.periods.session
        named = formula_variables(self.formula, offset=True)
        keys = [session, *(name for name in named if name != session)]
        own, asked = (
            pd.MultiIndex.from_frame(rows[keys].astype(object)) for rows in (frame, course)
        )
        by_session = (
            frame[own.isin(asked)].groupby(session)[self.periods.event].agg(["size", "sum"])
        )
        counts = by_session.reindex(table["time"], fill_value=0).to_numpy(dtype=np.int64)
        return table.assign(n_risk=counts[:, 0], n_event=counts[:, 1])

    def curve(self, newdata: pd.DataFrame | None, *, level: str, conf_level: float) -> pd.DataFrame:
        """Return hazard and survival by session, as :meth:`DiscreteHazard.curve`."""
        table = self.periods.sessions
        found, X = self.whole_course(newdata, level=level)
        covariance = X @ self.covariance @ X.T
        hazard = _limits(found.hazard, found.hazard_slope, covariance, "logit", conf_level)
        survival = _limits(found.survival, found.survival_slope, covariance, "loglog", conf_level)
        return pd.DataFrame(
            {
                "time": table["session"].to_numpy(),
                "n_risk": table["n_risk"].to_numpy(),
                "n_event": table["n_event"].to_numpy(),
                "hazard": found.hazard,
                "hazard_low": hazard[0],
                "hazard_high": hazard[1],
                "survival": found.survival,
                "survival_low": survival[0],
                "survival_high": survival[1],
            }
        )

    def whole_course(self, newdata: pd.DataFrame | None, *, level: str) -> tuple[Curve, Array]:
        """Return a course's hazard and survival, and its columns (k, p), 0 where all is certain."""
        eta, X, predictors = self._linear(self._course(newdata))
        sd = self._kept_sd(predictors) if level == "population" else 0.0
        return _population_curve(self.fit.family, eta, sd), X

    def _linear(self, rows: pd.DataFrame) -> tuple[Array, Array, pd.DataFrame]:
        """Return predictors (n,) and columns (n, p) of rows, and `linear_predictor` of uncertain.

        A session whose units all left, or none did, is certain under dummies: an infinite
        predictor, and columns of 0.
        """
        certain = {
            session: (-np.inf if events == 0 else np.inf)
            for session, risk, events in self.periods.sessions.itertuples(index=False)
            if self.baseline == "dummies" and events in (0, risk)
        }
        sessions = rows[self.periods.session]
        uncertain = ~sessions.isin(list(certain)).to_numpy()
        eta = np.array([certain.get(session, np.nan) for session in sessions])
        X = np.zeros((len(eta), len(self.fit.design.fixed.kept)))
        predictors = self.fit.linear_predictor(rows[uncertain])
        eta[uncertain] = predictors["estimate"]
        X[uncertain] = code_new_rows(self.fit.design, rows[uncertain], with_units=False).X
        return eta, X, predictors

    def predict(self, newdata: pd.DataFrame, *, scale: str, conf_level: float) -> pd.DataFrame:
        """Return the hazard of rows in their sessions, as :meth:`DiscreteHazard.predict`."""
        newdata = check_frame(newdata, what="newdata")
        require_columns(newdata, [self.periods.session], what="newdata")
        eta, X, _ = self._linear(newdata)
        error = np.sqrt(np.einsum("np,pq,nq->n", X, self.covariance, X))
        if scale == "link":
            low, high = wald_interval(eta, error, conf_level=conf_level)
            found = eta
        else:
            found = self.fit.family.mean(eta)
            slope = np.where(np.isfinite(eta), self.fit.family.mean_slope(eta), 0.0)
            low, high = _limits(found, slope[:, None] * X, self.covariance, "logit", conf_level)
            error = error * np.abs(slope)
        known = np.isfinite(eta)
        return pd.DataFrame(
            {
                "estimate": found,
                "std_error": np.where(known, error, np.nan),
                "conf_low": np.where(known, low, np.nan),
                "conf_high": np.where(known, high, np.nan),
            },
            index=newdata.index,
        )

    def _kept_sd(self, predictors: pd.DataFrame) -> float:
        """SD of the effects that a unit keeps over all sessions."""
        sds = predictors.drop(columns="estimate").to_numpy()
        total = np.sqrt((sds**2).sum(axis=1))
        slopes = [g.name for g in self.fit.design.groupings if g.names != ("(Intercept)",)]
        if slopes:
            raise ValueError(
                f"'{slopes[0]}' has random slopes: its units do not keep one effect over the "
                "course. Ask for level='typical'."
            )
        return float(total[0]) if len(total) else 0.0

    def _course(self, newdata: pd.DataFrame | None) -> pd.DataFrame:
        """Return a row of covariates for every session of the fit."""
        session = self.periods.session
        numbers = self.periods.sessions["session"].to_numpy()
        if newdata is None:
            if self.formula.strip() != "1":
                raise DataError(
                    f"The hazard depends on {self.formula!r}: give newdata= with the covariates of "
                    "the course, one row, or a row per session."
                )
            return pd.DataFrame({session: numbers})
        if len(newdata) == 1:
            repeated = newdata.iloc[np.zeros(len(numbers), dtype=int)].reset_index(drop=True)
            return replaced(repeated, {session: numbers})
        require_columns(newdata, [session], what="newdata")
        missing = sorted(set(numbers) - set(newdata[session]))
        if missing or newdata[session].duplicated().any():
            raise DataError(
                f"newdata must have one row, or one for each session of the fit ({numbers[0]} to "
                f"{numbers[-1]}) in column '{session}'; it lacks {missing or 'none'} and has "
                f"{plural(len(newdata), 'row')}."
            )
        return newdata.set_index(session, drop=False).loc[numbers].reset_index(drop=True)


def _limits(
    value: Array, slope: Array, covariance: Array, scale: str, conf_level: float
) -> tuple[Array, Array]:
    """Delta-method limits on a scale that keeps probabilities inside 0 and 1; NaN at 0 and 1."""
    error = np.sqrt(np.maximum(np.einsum("ts,su,tu->t", slope, covariance, slope), 0.0))
    inside = (value > 0) & (value < 1) & (error > 0)
    p, error = value[inside], error[inside]
    low, high = np.full((2, len(value)), np.nan)
    if scale == "logit":
        limits = wald_interval(special.logit(p), error / (p * (1 - p)), conf_level=conf_level)
        low[inside], high[inside] = special.expit(limits[0]), special.expit(limits[1])
    else:
        log_p = np.log(p)
        limits = wald_interval(np.log(-log_p), error / (-p * log_p), conf_level=conf_level)
        # a larger cumulative hazard is a smaller survival
        low[inside], high[inside] = np.exp(-np.exp(limits[1])), np.exp(-np.exp(limits[0]))
    return low, high
