"""Expectations of a hazard in discrete time: for rows at their sessions and whole courses."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from alliance_stats.checks import check_frame, require_columns
from alliance_stats.design.design import code_new_rows
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, wald_interval
from alliance_stats.formatting import plural
from alliance_stats.multilevel import GeneralizedLinearMixedModel
from alliance_stats.survival.by_session.whole_courses import Curve, population_curve
from alliance_stats.survival.cox.cox_design import formula_variables
from alliance_stats.survival.rows.hazard_rows import Periods

__all__ = ["SessionCourses"]


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
        return population_curve(self.fit.family, eta, sd), X

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
            return repeated.assign(**{session: numbers})
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
