"""Competing endings in discrete time: dropout, planned ending, ... in one likelihood."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import check_choice, require_columns, require_present
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line, two_sided_p, wald_interval
from alliance_stats.formatting import format_interval, format_number, p_phrase, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.design import Design, build_design
from alliance_stats.multilevel.prediction import code_new_rows
from alliance_stats.survival.discrete_baseline import baseline_formula
from alliance_stats.survival.discrete_hazard import hazard_periods
from alliance_stats.survival.multinomial import MultinomialFit, fit_multinomial, probabilities
from alliance_stats.survival.person_periods import Periods

__all__ = ["CompetingHazards", "competing_hazards"]

_OUTCOME = "ending in the interval"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompetingHazards:
    """Hazards of competing endings that sum to at most one.

    Attributes
    ----------
    states
        The endings, in order.
    design
        Coding of the columns.
    fit
        The maximum of the likelihood.
    covariance
        Of the coefficients, ending by ending; robust where there are clusters.
    periods
        Rows used.
    observed
        ``session, n_risk`` and a count for each ending, a row a session.
    formula, baseline, cluster, n_clusters
        As given, and how many clusters.
    """

    states: tuple[str, ...]
    design: Design
    fit: MultinomialFit
    covariance: Array
    periods: Periods
    observed: pd.DataFrame
    formula: str
    baseline: str
    n_clusters: int | None

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.periods.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return log odds ratios of each ending against none, a row a state and term.

        Columns ``state, term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``;
        the baseline's terms stand first in each state.
        """
        free = ~np.isnan(self.fit.beta)
        names = self._names()
        estimate = self.fit.beta[free]
        std_error = np.sqrt(np.diag(self.covariance))
        low, high = wald_interval(estimate, std_error, conf_level=conf_level)
        state = np.repeat(np.array(self.states, dtype=object), free.sum(axis=1))
        term = np.concatenate([names[own] for own in free])
        return pd.DataFrame(
            {
                "state": state,
                "term": term,
                "estimate": estimate,
                "std_error": std_error,
                "statistic": estimate / std_error,
                "df": np.inf,
                "p_value": two_sided_p(estimate / std_error),
                "conf_low": low,
                "conf_high": high,
            }
        )

    def odds_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``state, term, estimate, conf_low, conf_high, p_value`` of the covariates."""
        table = self.tidy(conf_level=conf_level)
        own = set(self._names()[self._n_baseline :])
        table = table[table["term"].isin(own)].reset_index(drop=True)
        columns = ["estimate", "conf_low", "conf_high"]
        return table[["state", "term", *columns, "p_value"]].assign(
            **{column: np.exp(table[column]) for column in columns}
        )

    def curve(self, newdata: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return hazards and cumulative incidences by session.

        Parameters
        ----------
        newdata
            One row of covariates that hold at every session; not needed without covariates.

        Returns
        -------
        DataFrame
            ``state, time, n_risk, n_event, hazard, estimate``: the probability to end so in the
            interval of those still there, and to have ended so by then (cumulative incidence). At
            each session the hazards sum to at most 1, and the cumulative incidences with the share
            still there to 1.
        """
        session = self.periods.session
        if newdata is None and self.formula.strip() != "1":
            raise DataError(
                f"The hazards depend on {self.formula!r}: give newdata= with one row of covariates."
            )
        if newdata is not None and len(newdata) != 1:
            raise DataError(f"newdata must have one row; it has {len(newdata)}.")
        numbers = self.observed["session"].to_numpy()
        shares = (
            self.observed[list(self.states)].to_numpy(dtype=np.float64)
            / self.observed["n_risk"].to_numpy()[:, None]
        )
        uncertain = (
            np.isin(numbers, self.periods.frame[session])
            if self.baseline == "dummies"
            else np.ones(len(numbers), dtype=bool)
        )
        course = pd.DataFrame({session: numbers[uncertain]})
        if newdata is not None:
            constant = newdata.drop(columns=[session], errors="ignore")
            course = course.join(
                constant.reset_index(drop=True).loc[[0] * len(course)].reset_index(drop=True)
            )
        X = code_new_rows(self.design, course, with_units=False).X
        possible = self._possible(course[session].to_numpy())
        hazard = shares.copy()
        hazard[uncertain] = probabilities(X, self.fit.beta, possible)[:, 1:]
        there = np.concatenate([[1.0], np.cumprod(1.0 - hazard.sum(axis=1))[:-1]])
        incidence = np.cumsum(there[:, None] * hazard, axis=0)
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "state": state,
                        "time": numbers,
                        "n_risk": self.observed["n_risk"],
                        "n_event": self.observed[state],
                        "hazard": hazard[:, k],
                        "estimate": incidence[:, k],
                    }
                )
                for k, state in enumerate(self.states)
            ],
            ignore_index=True,
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, events of each ending, log-likelihood, AIC."""
        m = len(self.covariance)
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_units": [self.rows.units(self.periods.unit)],
                **{f"n_event_{state}": [int(self.observed[state].sum())] for state in self.states},
                "n_clusters": [self.n_clusters],
                "baseline": [self.baseline],
                "log_lik": [self.fit.log_lik],
                "n_parameters": [m],
                "aic": [2.0 * m - 2.0 * self.fit.log_lik],
            }
        )

    def summary(self) -> str:
        """Return the endings, odds ratios and rows in words."""
        counts = ", ".join(f"{state} {int(self.observed[state].sum())}" for state in self.states)
        lines = [f"Competing endings in discrete time (multinomial logit): {counts}"]
        if self.n_clusters is not None:
            lines[-1] += f", standard errors over {plural(self.n_clusters, 'cluster')}"
        for row in self.odds_ratios().itertuples():
            interval = format_interval(row.conf_low, row.conf_high)
            lines.append(
                f"{row.state}, {row.term}: odds ratio {format_number(row.estimate)}, 95% CI "
                f"{interval}, {p_phrase(row.p_value)}"
            )
        return "\n".join([*lines, str(self.rows)])

    def _names(self) -> npt.NDArray[np.object_]:
        fixed = self.design.fixed
        return np.array([fixed.names[i] for i in fixed.kept], dtype=object)

    @property
    def _n_baseline(self) -> int:
        n_sessions = self.periods.frame[self.periods.session].nunique()
        return n_sessions if self.baseline == "dummies" else _smooth_columns(self.design)

    def _possible(self, sessions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if self.baseline != "dummies":
            return np.ones((len(sessions), len(self.states)), dtype=bool)
        counts = self.observed.set_index("session")[list(self.states)]
        return np.asarray(counts.loc[sessions].to_numpy() > 0)


def competing_hazards(
    formula: str,
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    none: Hashable = 0,
    cluster: str | None = None,
    baseline: str = "dummies",
    df: int = 3,
) -> CompetingHazards:
    """Model the hazards of competing endings in discrete time, in one multinomial likelihood.

    ``log(h_k / (1 - sum h)) = baseline_k(t) + x beta_k`` for each ending k: the hazards of one
    session sum to at most 1, which separate binary models do not see to. There are no random
    effects here; standard errors that allow for therapists come with `cluster`.

    Parameters
    ----------
    formula
        Covariates; ``"1"`` for none.
    data
        Rows a unit and session, as for :func:`discrete_hazard`.
    session, unit
        Columns.
    event
        Column: which ending came in the interval after the session; `none` where none did, missing
        where that is not known yet (``ending_code`` of :func:`person_period`).
    none
        The value that says that no ending came.
    cluster
        Column: standard errors are robust, from scores summed over its values, times
        ``G / (G - 1)``.
    baseline, df
        As in :func:`discrete_hazard`. With dummies an ending has hazard 0 after sessions in which
        it did not come; sessions after which nothing, or everything, ended are set aside and stand
        in the ledger.

    Returns
    -------
    CompetingHazards

    Raises
    ------
    DataError, FormulaError, NotIdentifiedError
        As :func:`discrete_hazard`; and if fewer than two endings occur.

    References
    ----------
    Tutz & Schmid (2016), doi:10.1007/978-3-319-28158-2, chapter 8 (competing risks in discrete
    time). Allison (1982), doi:10.2307/270718.
    """
    check_choice(baseline, ("dummies", "spline", "polynomial"), name="baseline")
    require_columns(data, [event, cluster])
    coded, states = _coded(data, event, none)
    also = [] if cluster is None else [(cluster,)]
    periods = hazard_periods(
        formula, coded, session=session, event=_OUTCOME, unit=unit, also=also, causes=True
    )
    observed = _observed(periods, states)
    if baseline == "dummies":
        periods = periods.without_certain_sessions()
    frame = periods.frame.assign(**{_OUTCOME: periods.frame[_OUTCOME].astype(np.int64)})
    covariates = "" if formula.strip() == "1" else f" + {formula}"
    design, frame = build_design(
        f"`{_OUTCOME}` ~ {baseline_formula(baseline, session, df)}{covariates} + (1 | `{unit}`)",
        frame,
        residual_variance=False,
    )
    X, ending = design.X, frame[_OUTCOME].to_numpy(dtype=np.int64)
    numbers = frame[session].to_numpy()
    counted, possible = _counted(X, numbers, observed, states, baseline)
    kept = [design.fixed.names[i] for i in design.fixed.kept]
    names = [
        f"{state}: {kept[j]}" for k, state in enumerate(states) for j in np.flatnonzero(counted[k])
    ]
    fit = fit_multinomial(X, ending, counted, possible, names=names)
    covariance, n_clusters = fit.covariance, None
    if cluster is not None:
        covariance, n_clusters = _robust(fit, frame, cluster)
    return CompetingHazards(
        states, design, fit, covariance, periods, observed, formula, baseline, n_clusters
    )


def _coded(data: pd.DataFrame, event: str, none: Hashable) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give endings the numbers 1, 2, ... in sorted order, and none 0."""
    values = data[event]
    if not (values == none).any():
        raise DataError(
            f"Column '{event}' is never {none!r}: rows in which no ending came must hold that "
            "value (or name another with none=)."
        )
    found = sorted(values[values.notna() & (values != none)].unique())
    if len(found) < 2:
        raise NotIdentifiedError(
            f"Column '{event}' holds {plural(len(found), 'ending')}: competing hazards need two or "
            "more. With one, use discrete_hazard."
        )
    codes = values.map({none: 0.0, **{value: k + 1.0 for k, value in enumerate(found)}})
    labels = tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in found)
    return data.assign(**{_OUTCOME: codes.astype(np.float64)}), labels


def _observed(periods: Periods, states: tuple[str, ...]) -> pd.DataFrame:
    frame = periods.frame
    by_session = frame.groupby(periods.session)
    counts = {
        state: (frame[_OUTCOME] == k + 1).groupby(frame[periods.session]).sum().astype(np.int64)
        for k, state in enumerate(states)
    }
    table = pd.DataFrame({"n_risk": by_session.size(), **counts})
    never = [state for state in states if table[state].sum() == 0]
    if never:
        raise NotIdentifiedError(
            f"Ending '{never[0]}' does not come in the rows used. {periods.rows}"
        )
    return table.reset_index(names="session")


def _counted(
    X: Array,
    numbers: npt.NDArray[np.int64],
    observed: pd.DataFrame,
    states: tuple[str, ...],
    baseline: str,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Say which columns count for which ending, and which endings can come in which row."""
    counted = np.ones((len(states), X.shape[1]), dtype=bool)
    possible = np.ones((len(X), len(states)), dtype=bool)
    if baseline == "dummies":
        counts = observed.set_index("session")[list(states)]
        possible = counts.loc[numbers].to_numpy() > 0
        for j, number in enumerate(np.unique(numbers)):
            counted[:, j] = counts.loc[number].to_numpy() > 0
    return counted, possible


def _robust(fit: MultinomialFit, frame: pd.DataFrame, cluster: str) -> tuple[Array, int]:
    require_present(frame, cluster, why="for robust standard errors")
    codes, labels = pd.factorize(frame[cluster])
    n = len(labels)
    if n < 2:
        raise DataError(f"Column '{cluster}' holds one value: clusters must be at least two.")
    summed = np.stack([np.bincount(codes, weights=row, minlength=n) for row in fit.scores])
    meat = summed @ summed.T * n / (n - 1.0)
    return np.asarray(fit.covariance @ meat @ fit.covariance), n


def _smooth_columns(design: Design) -> int:
    return max(
        int(where.stop)
        for term, where in design.fixed.spec.term_slices.items()
        if str(term) == "1" or str(term).startswith(("cr(", "poly("))
    )
