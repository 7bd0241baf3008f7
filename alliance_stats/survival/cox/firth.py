"""Hazards with Firth's penalty: finite estimates where a group has no event, or only events.

The fit maximises ``log L(beta) + log |I(beta)| / 2``, with I the information about all
coefficients (Firth 1993, doi:10.1093/biomet/80.1.27; for Cox models Heinze & Schemper 2001,
doi:10.1111/j.0006-341X.2001.00114.x). For partial and logit likelihoods this removes the
first-order bias of the estimates; for a complementary log-log link it is Jeffreys' penalty
(Kosmidis & Firth 2021, doi:10.1093/biomet/asaa052). Tests and intervals are from the profile of the
same function: near separation it is asymmetric, and a Wald interval is worthless.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level, check_frame
from alliance_stats.design.design import Design, code_new_rows
from alliance_stats.engine.families import family_of
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import (
    LINK_WORDS,
    Array,
    Integers,
    exponentiated,
    named_covariance,
    one_line,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.named import named
from alliance_stats.survival.cox.cox_design import CoxDesign, predicted_ratios
from alliance_stats.survival.cox.cox_fit import refuse_flat
from alliance_stats.survival.cox.cox_ph import cox_rows
from alliance_stats.survival.cox.partial_likelihood import (
    RiskWeights,
    covariate_sums,
    derivatives,
    information,
    risk_weights,
)
from alliance_stats.survival.cox.penalised_fit import Penalised, PenalisedFit, maximise_penalised
from alliance_stats.survival.cox.risk_sets import RiskSets, risk_sets
from alliance_stats.survival.cox.term_tests import test_table
from alliance_stats.survival.rows.hazard_rows import term_places

__all__ = ["FirthHazards", "firth_cox"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FirthHazards:
    """A hazard model with Firth's penalty.

    Attributes
    ----------
    terms
        (p,) names of the coefficients, those of a baseline first.
    n_baseline
        How many of them belong to the baseline (none in a Cox model).
    fit
        The penalised maximum.
    statistic, df
        Penalised likelihood ratio of all covariates together.
    kind
        The type of model, in a phrase.
    link
        ``"log"`` (Cox), ``"cloglog"`` or ``"logit"``.
    n_event
        Events.
    design
        How the covariates were coded.
    rows
        What happened to the rows.
    """

    terms: tuple[str, ...]
    n_baseline: int
    fit: PenalisedFit
    statistic: float
    df: int
    kind: str
    link: str
    n_event: int
    design: CoxDesign | Design
    rows: RowLedger

    __repr__ = one_line

    @property
    def beta(self) -> Array:
        """(p,) log hazard (or odds) ratios per unit of the covariates."""
        return np.asarray(self.fit.beta / self.fit.scale)

    @property
    def covariance(self) -> Array:
        """(p, p) the inverse information at the penalised maximum."""
        inverse = np.linalg.inv(self.fit.at.information)
        return np.asarray(inverse / np.outer(self.fit.scale, self.fit.scale))

    def vcov(self) -> pd.DataFrame:
        """Return the inverse information, labelled by term."""
        return named_covariance(self.covariance, self.terms)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``: log ratios;
            `statistic` is the penalised likelihood ratio (chi-squared) of the coefficient being 0,
            with limits from its profile; `std_error` is from the information and matches
            neither.
        """
        return self._profiled(range(len(self.terms)), conf_level)

    def _profiled(self, places: range, conf_level: float) -> pd.DataFrame:
        height = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
        falls = np.array([self.fit.drop([k]) for k in places])
        limits = np.array([self.fit.limits(k, height) for k in places]).reshape(-1, 2)
        return pd.DataFrame(
            {
                "term": [self.terms[k] for k in places],
                "estimate": self.beta[places],
                "std_error": np.sqrt(np.diag(self.covariance))[places],
                "statistic": falls,
                "df": 1.0,
                "p_value": stats.chi2.sf(falls, 1),
                "conf_low": limits[:, 0],
                "conf_high": limits[:, 1],
            }
        )

    def ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, conf_low, conf_high, p_value`` of the covariates' ratios.

        Hazard ratios, or odds ratios under a logit link.
        """
        return self._ratios(conf_level)[["term", "estimate", "conf_low", "conf_high", "p_value"]]

    def _ratios(self, conf_level: float) -> pd.DataFrame:
        table = self._profiled(range(self.n_baseline, len(self.terms)), conf_level)
        with np.errstate(over="ignore"):
            return exponentiated(table)

    def predict(self, newdata: pd.DataFrame, *, scale: str = "link") -> pd.DataFrame:
        """Return predictions for new rows, in a column ``estimate``.

        Parameters
        ----------
        newdata
            Rows with the formula's columns, and the session of a discrete-time hazard.
        scale
            ``"link"``: the log hazard ratio against a row of zeros, or the log (-log) odds of a
            discrete-time hazard. ``"ratio"`` (Cox): the hazard ratio. ``"response"`` (discrete
            time): the probability of the event at the session, for those still there.
        """
        if isinstance(self.design, CoxDesign):
            return predicted_ratios(self.design, self.beta, newdata, scale=scale)
        check_choice(scale, ("link", "response"), name="scale")
        newdata = check_frame(newdata, what="newdata")
        eta = code_new_rows(self.design, newdata, with_units=False).X @ self.beta
        values = eta if scale == "link" else family_of("binomial", self.link).mean(eta)
        return pd.DataFrame({"estimate": values}, index=newdata.index)

    def anova(self) -> pd.DataFrame:
        """Test each term given all others, by the penalised likelihood ratio.

        ``term, statistic, df, p_value, method``, chi-squared: twice the fall of the penalised
        likelihood where all coefficients of the term are 0 (Heinze & Schemper 2002,
        doi:10.1002/sim.1047); main effects, too, are tested given their interaction.
        """
        design, n = self.design, self.n_baseline
        places = design.term_columns if isinstance(design, CoxDesign) else term_places(design, n)
        found = [(term, self.fit.drop(own), float(len(own))) for term, own in places.items()]
        return test_table(found, "penalised likelihood ratio")

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_event, log_lik, statistic, df, p_value, n_steps`` in one row.

        ``log_lik`` is penalised, up to a constant of the covariates' scale; the test is of
        all covariates together.
        """
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [self.n_event],
                "log_lik": [self.fit.at.value],
                "statistic": [self.statistic],
                "df": [float(self.df)],
                "p_value": [stats.chi2.sf(self.statistic, self.df)],
                "n_steps": [self.fit.steps],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return f"{self.kind} with Firth's penalty, profile likelihood intervals"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return (
            "Estimates are penalised: they are finite where a group had no event, and pulled "
            "towards 0 elsewhere. Rows are taken as independent.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the ratios, as data."""
        section = Section(
            "Predictors",
            self._ratios(conf_level).drop(columns="std_error"),
            names=("term",),
            measure=(LINK_WORDS[self.link].ratio or "") if self.link != "log" else "hazard ratio",
            kind="ratio",
            statistic="penalised likelihood ratio",
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used, "events": self.n_event}
        return Account.of(self, sizes, (section,), sources=("firth1993", "heinze2001"))

    summary = summary_of
    _repr_html_ = html_of


def firth_cox(
    formula: str,
    data: pd.DataFrame,
    *,
    event: Hashable,
    time: Hashable | None = None,
    start: Hashable | None = None,
    stop: Hashable | None = None,
    person: Hashable | None = None,
    known_before: Sequence[Hashable] = (),
    strata: Hashable | Sequence[Hashable] | None = None,
    ties: str = "efron",
) -> FirthHazards:
    """Fit a Cox model with Firth's penalty, for a group with few or no events.

    ``log L(beta) + log |I(beta)| / 2`` is maximised, with L the partial likelihood (Heinze &
    Schemper 2001, doi:10.1111/j.0006-341X.2001.00114.x). Where :func:`cox_ph` refuses a level in
    which nobody had the event, this gives a finite hazard ratio with a profile interval: use it
    there, and report it.

    Parameters
    ----------
    formula, data, event, time, start, stop, person, known_before, strata
        As in :func:`cox_ph`.
    ties
        ``"efron"`` or ``"breslow"`` (which R's ``coxphf`` uses).

    Returns
    -------
    FirthHazards
        Its estimates are log hazard ratios per unit of the covariate.

    Raises
    ------
    DataError
        As in :func:`cox_ph`.
    NotIdentifiedError
        No events at all; covariates that do not vary among those at risk.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import firth_cox
    >>> families = pd.DataFrame(
    ...     {"week": [2, 3, 4, 6, 8, 9, 9, 9], "left": [1, 1, 0, 1, 1, 0, 0, 0],
    ...      "trained": [0, 0, 0, 0, 0, 1, 1, 1]}
    ... )
    >>> model = firth_cox("trained", families, time="week", event="left")
    >>> model.ratios().round(2)
          term  estimate  conf_low  conf_high  p_value
    0  trained      0.07       0.0       0.78     0.03
    """
    check_choice(ties, ("efron", "breslow"), name="ties")
    design, intervals = cox_rows(
        formula, data, event=event, clock=(time, start, stop), person=person,
        known_before=known_before, strata=strata,
    )  # fmt: skip
    n_event = int((intervals.event > 0).sum())
    if not n_event:
        raise NotIdentifiedError(
            f"None of {plural(intervals.rows.n_used, 'row')} has the event: no penalty makes up "
            "for that."
        )
    sets = risk_sets(intervals, ties=ties)
    X = design.X.take(sets.order, axis=1)
    p = len(X)
    refuse_flat(information(X, risk_weights(np.zeros(X.shape[1]), sets), sets), design.terms)

    criterion = partial(_penalised_partial, X, sets)
    beta, at, steps = maximise_penalised(criterion, np.zeros(p), np.ones(p, dtype=bool))
    fit = PenalisedFit(criterion, beta, at, design.scale, steps)
    return FirthHazards(
        terms=design.terms,
        n_baseline=0,
        fit=fit,
        statistic=max(2.0 * (at.value - criterion(np.zeros(p)).value), 0.0),
        df=p,
        kind=f"Cox model ({ties.capitalize()}'s ties)",
        link="log",
        n_event=n_event,
        design=design,
        rows=intervals.rows,
    )


@named
def _penalised_partial(X: Array, sets: RiskSets, beta: Array) -> Penalised:
    """Return the penalised partial likelihood; -inf where it overflows."""
    p = len(X)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        at = risk_weights(beta @ X, sets)
        score, curvature = derivatives(X, at, sets)
    sign, log_det = np.linalg.slogdet(curvature) if np.isfinite(curvature).all() else (0.0, 0.0)
    if not np.isfinite(at.log_lik) or sign <= 0.0:
        return Penalised(-np.inf, np.zeros(p), np.eye(p))
    V: Array = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
    slope = np.asarray(score + _slope_of_penalty(X, at, sets, V))
    return Penalised(at.log_lik + log_det / 2.0, slope, curvature)


def _slope_of_penalty(X: Array, at: RiskWeights, sets: RiskSets, V: Array) -> Array:
    """Return the slope (p,) of half the log determinant of the information.

    ``sum over steps of tr(V k) / 2`` with k the third central moments of the covariates in the risk
    set: they are the slopes of their covariance.
    """
    p, k = len(X), len(sets.time)
    q = (X * (V @ X)).sum(axis=0)
    risk, tied = covariate_sums(np.vstack((np.ones_like(q), X, q, X * q)), at, sets)
    share, step_at = sets.step_share[:, None], sets.step_at
    size = risk[step_at, :1] - share * tied[step_at, :1]
    mean = (risk[step_at, 1:] - share * tied[step_at, 1:]) / size
    m, mean_q, mean_xq = mean[:, :p], mean[:, p], mean[:, p + 1 :]
    edges = np.append(sets.cell_start, len(sets.order))
    cells = _products(X, at.weight, edges).reshape(-1, p * p)
    at_risk = sets.at_risk(cells).reshape(k, p, p)
    order = sets.dead[np.argsort(sets.dead_at, kind="stable")]
    steps = np.concatenate(([0], np.cumsum(sets.n_event)))
    ended = _products(X[:, order], at.weight[order], steps)
    pulled = m @ V
    turned = np.empty_like(pulled)
    for t, (start, stop) in enumerate(pairwise(steps)):
        own = pulled[start:stop]
        turned[start:stop] = own @ at_risk[t] - share[start:stop] * (own @ ended[t])
    third = mean_xq - 2.0 * turned / size
    third += (2.0 * np.einsum("sa,sa->s", pulled, m) - mean_q)[:, None] * m
    return np.asarray(third.sum(axis=0) / 2.0)


def _products(X: Array, weight: Array, edges: Integers) -> Array:
    """Return the weighted sums of products (m, p, p) of the columns between m + 1 edges."""
    weighted = X * weight
    return np.stack([weighted[:, a:b] @ X[:, a:b].T for a, b in pairwise(edges)])
