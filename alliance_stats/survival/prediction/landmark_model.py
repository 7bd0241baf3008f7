"""A fitted model of leaving within the next sessions, and its summaries."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_frame, finite_or_missing, require_columns
from alliance_stats.design.design import Design, code_new_rows
from alliance_stats.errors import DataError
from alliance_stats.estimates import (
    Array,
    Booleans,
    Coefficients,
    Integers,
    named_covariance,
    one_line,
    wald_interval,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.rows.hazard_rows import baseline_columns
from alliance_stats.survival.rows.time_at_risk import few_clusters_warning

__all__ = ["LandmarkModel", "LandmarkRows"]

_FEW_EVENTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkRows:
    """One row per unit and landmark at which it was still there, arrays of length n.

    Attributes
    ----------
    frame
        What was known at the landmark.
    time, state
        Intervals until it ended (half a session later if censored, since the unit is known to
        have come back), and how: 0 censored, 1 left, 2 ended otherwise.
    weight
        Weight of each row: 0 where it is not known whether the unit left within the horizon.
    left
        1 where it left within the horizon.
    """

    frame: pd.DataFrame
    time: Array
    state: Integers
    weight: Array
    left: Array

    def where(self, kept: Booleans) -> "LandmarkRows":
        """Return some of the rows."""
        return LandmarkRows(
            self.frame.loc[kept], self.time[kept], self.state[kept], self.weight[kept],
            self.left[kept],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LandmarkModel:
    """A model of leaving within the next sessions.

    Attributes
    ----------
    design
        How the covariates were coded.
    observed
        The rows, including those with unknown endings.
    beta, covariance
        (p,) log odds ratios, those of landmarks first, and their covariance over clusters.
    formula, form
        The covariates as given, and how landmarks differ.
    session, event, unit
        Columns.
    horizon
        The horizon, in sessions.
    n_clusters, clusters_of
        Clusters behind the standard errors, and their column.
    rows
        What happened to the rows.
    """

    design: Design
    observed: LandmarkRows
    beta: Array
    covariance: Array
    formula: str
    form: str
    session: str
    event: str
    unit: str
    horizon: int
    n_clusters: int
    clusters_of: str
    rows: RowLedger

    __repr__ = one_line

    @property
    def landmarks(self) -> list[int]:
        """Sessions at which predictions are made."""
        return sorted(self.observed.frame[self.session].unique().tolist())

    @property
    def _coefficients(self) -> Coefficients:
        names = [self.design.fixed.names[k] for k in self.design.fixed.kept]
        return Coefficients(names, self.beta, self.covariance)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the log odds ratios, labelled by term."""
        return named_covariance(self.covariance, self._coefficients.terms)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``.

        Log odds ratios of leaving within the horizon, those of landmarks first; normal theory,
        robust.
        """
        return self._coefficients.table(conf_level=conf_level)

    def odds_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the covariates' odds ratios: ``term, estimate, conf_low, conf_high, p_value``."""
        table = self._coefficients.ratios(conf_level=conf_level)
        own = table.iloc[baseline_columns(self.design, self.form) :].reset_index(drop=True)
        return own[["term", "estimate", "conf_low", "conf_high", "p_value"]]

    def predict(self, newdata: pd.DataFrame, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the probability of dropping out within the horizon, for each row of `newdata`.

        Parameters
        ----------
        newdata
            Rows with the session at which the prediction is made, and what is known by then.

        Returns
        -------
        DataFrame
            ``time, estimate, std_error, conf_low, conf_high`` under the rows' own labels: the
            session, the probability, its delta-method standard error, and limits by the logit.

        Raises
        ------
        DataError
            A missing column or value; a session that was not a landmark, or is outside their range.
        """
        newdata = check_frame(newdata, what="newdata")
        require_columns(newdata, [self.session])
        asked, known = finite_or_missing(newdata, self.session), self.landmarks
        inside = np.isin(asked, known) | (
            (self.form == "polynomial") & (asked >= known[0]) & (asked <= known[-1])
        )
        if not inside.all():
            raise DataError(
                f"Session {asked[~inside][0]:g} was no landmark: they were "
                f"{', '.join(map(str, known))}."
            )
        X = code_new_rows(self.design, newdata, with_units=False).X
        if np.isnan(X).any():
            raise DataError("newdata lacks values of the formula's columns.")
        eta = X @ self.beta
        error = np.sqrt(np.einsum("ra,ab,rb->r", X, self.covariance, X))
        low, high = wald_interval(eta, error, conf_level=conf_level)
        chance = special.expit(eta)
        return pd.DataFrame(
            {
                "time": newdata[self.session].to_numpy(),
                "estimate": chance,
                "std_error": chance * (1.0 - chance) * error,
                "conf_low": special.expit(low),
                "conf_high": special.expit(high),
            },
            index=newdata.index,
        )

    def observed_shares(self) -> pd.DataFrame:
        """Return ``time, n_risk, n_event, estimate``: who left within the horizon, by landmark.

        `estimate` is the share that left, with censored units represented by the others.
        """
        rows = self.observed
        at = rows.frame[self.session].to_numpy()
        return pd.DataFrame(
            [
                (
                    int(s),
                    int((at == s).sum()),
                    int(rows.left[at == s].sum()),
                    float(rows.weight[at == s] @ rows.left[at == s] / (at == s).sum()),
                )
                for s in self.landmarks
            ],
            columns=["time", "n_risk", "n_event", "estimate"],
        )

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_event, n_clusters`` in one row; rows are units at landmarks."""
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [int(self.observed.left.sum())],
                "n_clusters": [self.n_clusters],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return (
            f"probability of dropping out within the next {plural(self.horizon, 'session')}, at "
            f"{plural(len(self.landmarks), 'landmark')}; logistic regression, weighted for "
            f"censoring, standard errors over {plural(self.n_clusters, 'cluster')} of "
            f"{self.clusters_of}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return tuple(self._warnings())

    def _warnings(self) -> Iterator[str]:
        if self.clusters_of != self.unit:
            yield from few_clusters_warning(self.n_clusters)
        n_units = len(self.observed.frame.loc[self.observed.left > 0, self.unit].unique())
        few = n_units / len(self.beta)
        if few < _FEW_EVENTS:
            yield (
                f"{few:.1f} units that left per coefficient: estimates and intervals are "
                f"unreliable below about {_FEW_EVENTS}."
            )
        if not (self.observed.state == 2).any():
            yield (
                "No other ending is in the data: the chance is that of leaving if nobody ends "
                "otherwise. Give the column of all endings (ending_code) and cause=."
            )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the odds ratios, and who left, as data."""
        predictors = Section(
            "Predictors",
            self.odds_ratios(conf_level=conf_level),
            names=("term",),
            measure="odds ratio",
            kind="ratio",
            conf_level=conf_level,
        )
        shares = self.observed_shares().assign(conf_low=np.nan, conf_high=np.nan)
        left = Section(
            f"Left within {self.horizon}",
            shares.drop(columns=["conf_low", "conf_high"]),
            names=("time",),
            measure="share",
            kind="share",
        )
        sizes = {"rows": self.rows.n_used, "events": int(self.observed.left.sum())}
        sections = [predictors, left] if len(predictors.frame) else [left]
        return Account.of(self, sizes, sections, sources=("vanhouwelingen2007",))

    summary = summary_of
    _repr_html_ = html_of
