"""Does the hazard ratio stay the same over time? Tests and residuals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.partial_likelihood import covariate_sums, information
from alliance_stats.survival.cox.risk_sets import refuse_weights
from alliance_stats.survival.curves.life_table import life_table, product_limit
from alliance_stats.survival.rows.time_at_risk import Spells

__all__ = ["ProportionalHazardsTest", "proportional_hazards_test", "schoenfeld_residuals"]

_TIMES = {
    "km": "Kaplan-Meier time",
    "rank": "the ranks of event times",
    "identity": "time",
    "log": "log time",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ProportionalHazardsTest:
    """Score tests that no hazard ratio changes with (a function of) time.

    Attributes
    ----------
    terms
        Formula terms, then ``GLOBAL``.
    statistic, df
        Chi-squared statistics and their degrees of freedom.
    transform
        The function of time.
    rows
        What happened to the rows.
    """

    terms: tuple[str, ...]
    statistic: Array
    df: Array
    transform: str
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return ``term, statistic, df, p_value``, one row per term and one for all together."""
        return pd.DataFrame(
            {
                "term": self.terms,
                "statistic": self.statistic,
                "df": self.df,
                "p_value": stats.chi2.sf(self.statistic, self.df),
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return ``transform, statistic, df, p_value`` of the global test, in one row."""
        return (
            self.tidy()
            .iloc[[-1]][["statistic", "df", "p_value"]]
            .assign(transform=self.transform)
            .reset_index(drop=True)
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return f"score tests of proportional hazards against {_TIMES[self.transform]}"

    @property
    def notes(self) -> tuple[str, ...]:
        """No notes."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the tests as data; there are no intervals."""
        del conf_level
        tests = Section("Term", self.tidy(), names=("term",), statistic="chi-squared")
        return Account.of(self, {"rows": self.rows.n_used}, (tests,), sources=("grambsch1994",))

    summary = summary_of
    _repr_html_ = html_of


def proportional_hazards_test(model: CoxModel, *, transform: str = "km") -> ProportionalHazardsTest:
    """Test each term's ``x * g(t)`` by a score test of no such effect (Grambsch & Therneau 1994).

    The exact score test of R's ``survival::cox.zph`` from version 3 on
    (doi:10.1093/biomet/81.3.515), with the information under the model.

    Parameters
    ----------
    model
        A fitted :func:`cox_ph` without frailty.
    transform
        g(t): ``"km"`` (one minus the Kaplan-Meier curve just before t), ``"rank"``, ``"identity"``
        or ``"log"``.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.survival import proportional_hazards_test
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> proportional_hazards_test(model).tidy().round(3)
                term  statistic   df  p_value
    0  parent_trauma      0.238  1.0    0.626
    1     investment      7.340  1.0    0.007
    2         GLOBAL      7.542  2.0    0.023
    """
    require_kind(model, CoxModel, asked="proportional_hazards_test takes a model of cox_ph")
    check_choice(transform, ("km", "rank", "identity", "log"), name="transform")
    refuse_weights(model.sets, "The test of proportional hazards")
    if model.frailty is not None:
        raise ValueError("The test needs a model without frailty; fit with cluster= instead.")
    sets, at = model.sets, model.fit.at
    X = model.X
    g = _transformed(model, transform)
    if np.ptp(g) == 0.0:
        raise NotIdentifiedError(
            f"All events fall at one time ({sets.time[0]:g}): whether a hazard ratio changes over "
            "time needs events at two times or more."
        )
    g = g - np.average(g, weights=sets.n_event)
    p = len(X)
    blocks = [information(X, at, sets, per_time=g**power) for power in range(3)]
    whole = np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])
    score = np.concatenate((np.zeros(p), g @ _score_by_time(X, model)))
    names = list(model.design.term_columns)
    sets_of_columns = [list(columns) for columns in model.design.term_columns.values()]
    names.append("GLOBAL")
    sets_of_columns.append(list(range(p)))
    statistic = []
    for columns in sets_of_columns:
        use = [*range(p), *(p + column for column in columns)]
        statistic.append(score[use] @ np.linalg.solve(whole[np.ix_(use, use)], score[use]))
    return ProportionalHazardsTest(
        terms=tuple(names),
        statistic=np.array(statistic),
        df=np.array([len(columns) for columns in sets_of_columns], dtype=np.float64),
        transform=transform,
        rows=model.rows,
    )


def schoenfeld_residuals(model: CoxModel, *, transform: str = "km") -> pd.DataFrame:
    """Return the events' scaled Schoenfeld residuals, whose trend over time shows a changing ratio.

    Returns
    -------
    DataFrame
        ``strata, time, transformed_time, term, residual, scaled``: `residual` is the covariate less
        its risk-set mean; `scaled` is residual times events times covariance, plus the coefficient,
        an estimate of the log hazard ratio at that time. One row per event and term; the index
        is that of the caller's rows.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.survival import schoenfeld_residuals
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma", families, time="time", event="event")
    >>> len(schoenfeld_residuals(model))
    74
    """
    require_kind(model, CoxModel, asked="schoenfeld_residuals takes a model of cox_ph")
    check_choice(transform, ("km", "rank", "identity", "log"), name="transform")
    refuse_weights(model.sets, "Schoenfeld residuals")
    if model.frailty is not None:
        raise ValueError("The residuals need a model without frailty; fit with cluster= instead.")
    sets = model.sets
    X = model.X
    risk, tied = covariate_sums(X, model.fit.at, sets)
    at = model.fit.at
    mean = (at.hazard[:, None] * risk - at.tied_hazard[:, None] * tied) / sets.n_event[:, None]
    order = np.lexsort((sets.order[sets.dead], sets.dead_at))
    dead, when = sets.dead[order], sets.dead_at[order]
    residual = (X[:, dead].T - mean[when]) * model.design.scale
    scaled = len(dead) * residual @ model.model_covariance + model.beta
    rows = sets.order[dead]
    n, p = residual.shape
    g = _transformed(model, transform)
    return pd.DataFrame(
        {
            "strata": np.repeat(np.array(model.intervals.strata)[model.intervals.stratum[rows]], p),
            "time": np.repeat(sets.time[when], p),
            "transformed_time": np.repeat(g[when], p),
            "term": np.tile(model.design.terms, n),
            "residual": residual.ravel(),
            "scaled": scaled.ravel(),
        },
        index=np.repeat(model.intervals.frame.index[rows], p),
    )


def _score_by_time(X: Array, model: CoxModel) -> Array:
    """Return each event time's share (k, p) of the score."""
    sets, at = model.sets, model.fit.at
    risk, tied = covariate_sums(X, at, sets)
    seen = np.stack([sets.dead_sums(row[sets.dead]) for row in X], axis=1)
    return np.asarray(seen - at.hazard[:, None] * risk + at.tied_hazard[:, None] * tied)


def _transformed(model: CoxModel, transform: str) -> Array:
    time = model.sets.time
    if transform == "identity":
        return time
    if transform == "log":
        return np.log(time)
    intervals = model.intervals
    if transform == "rank":
        ranks = stats.rankdata(intervals.exit)
        position = np.searchsorted(np.sort(intervals.exit), time)
        return np.sort(ranks)[position]
    pooled = Spells(intervals.entry, intervals.exit, intervals.event, None)
    table = life_table(pooled)
    survival = np.concatenate(([1.0], product_limit(table)))
    return np.asarray(1.0 - survival[np.searchsorted(table.time, time, side="left")])
