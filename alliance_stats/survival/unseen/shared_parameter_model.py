"""A fitted joint model of outcome and dropout, and its summaries."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, parameter_words, summary_of
from alliance_stats.checks import check_choice
from alliance_stats.design.groupings import Grouping
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.unseen.shared_likelihood import Parts, SharedData
from alliance_stats.survival.unseen.shared_search import ESTIMATES_MOVED, LOG_LIK_MOVED, Maximum

__all__ = ["SharedParameterModel", "of_units"]

_FLAT = 1e-3  # largest slope of the log-likelihood, in standard errors, of a converged fit
_NO_SPREAD = 1e-3  # of a cluster's SD, in residual SDs (of the hazard's, itself): at its boundary
_FEW_CLUSTERS = 10  # below which an SD between them is hardly known

_TIED = {
    "effects": "a unit's own level and growth",
    "unit effects": "a unit's own level and growth",
    "value": "the outcome's true value at the session",
    "slope": "the outcome's true change at the session",
    "value + slope": "the outcome's true value and change at the session",
}


def of_units(outcome: LinearMixedModel, unit: str) -> Grouping:
    """Return the grouping whose effects are shared."""
    return next(g for g in outcome.design.groupings if g.columns == (unit,))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SharedParameterModel:
    """Outcome and dropout, fitted together.

    Attributes
    ----------
    outcome, hazard
        The separate fits from which the joint one started.
    association
        How the outcome affects the hazard.
    names
        (part, term) of each parameter.
    parameters
        Estimates: outcome coefficients; the Cholesky factor of the effects' covariance, its
        diagonal in logarithms; log residual SD; the therapists' SD of the outcome, if any; hazard
        coefficients; associations; the therapists' SD of the hazard, if any.
    covariance
        Inverse observed information.
    data
        The arrays of the likelihood.
    found
        The maximum: its log-likelihood, slope, nodes, and whether the integral is stable.
    n_unrated, n_never_at_risk
        Units at risk without an outcome, and units with outcomes that are never at risk.
    """

    outcome: LinearMixedModel
    hazard: DiscreteHazard
    association: str
    names: tuple[tuple[str, str], ...]
    parameters: Array
    covariance: Array
    data: SharedData
    found: Maximum
    n_unrated: int
    n_never_at_risk: int

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the outcome's rows; for the others, see ``hazard.rows``."""
        return self.outcome.rows

    @property
    def log_lik(self) -> float:
        """Log-likelihood of outcome and dropout."""
        return self.found.log_lik

    @property
    def log_lik_separate(self) -> float:
        """Log-likelihood with no association, at its own maximum."""
        return self.outcome.log_lik + self.hazard.fit.log_lik

    @property
    def nodes(self) -> int:
        """Quadrature nodes per effect at which the results are stable, or the most tried."""
        return self.found.nodes

    @property
    def converged(self) -> bool:
        """Whether the likelihood was flat where the search stopped."""
        return self.found.gradient < _FLAT

    def tidy(
        self, *, effects: Literal["fixed", "ran_pars"] = "fixed", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return one row per estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients and associations. ``"ran_pars"``: SDs (``sd__``) and
            correlations (``cor__``) of the random effects and the residual SD.
        conf_level
            Coverage of the intervals, by normal quantiles.

        Returns
        -------
        DataFrame
            ``part, term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``.
            ``part`` is ``"outcome"`` (units of the outcome), ``"hazard"`` (scale of the link) or
            ``"association"`` (change of the hazard on the scale of the link per unit of what is
            shared: a deviation of one outcome unit, or one outcome unit per unit of time). With
            ``"ran_pars"``: ``part, group, term, estimate``.
        """
        check_choice(effects, ("fixed", "ran_pars"), name="effects")
        if effects == "ran_pars":
            return self._spreads()
        keep = self._shown
        found = Coefficients(
            [self.names[k][1] for k in keep],
            self.parameters[keep],
            self.covariance[np.ix_(keep, keep)],
        ).table(conf_level=conf_level)
        found.insert(0, "part", [self.names[k][0] for k in keep])
        return found

    @property
    def _shown(self) -> list[int]:
        return [k for k, (part, _) in enumerate(self.names) if part != "spread"]

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the rows of ``tidy()``, named ``part:term``."""
        shown = self._shown
        covariance = self.covariance[np.ix_(shown, shown)]
        return named_covariance(covariance, *zip(*(self.names[k] for k in shown), strict=True))

    def _spreads(self) -> pd.DataFrame:
        parts = Parts.of(self.found.parameters, self.data)
        D = parts.L @ parts.L.T
        sds, unit = np.sqrt(np.diag(D)), self.hazard.periods.unit
        names = of_units(self.outcome, unit).names
        rows = [("outcome", unit, f"sd__{name}", sd) for name, sd in zip(names, sds, strict=True)]
        rows += [
            ("outcome", unit, f"cor__{names[j]}.{names[i]}", D[i, j] / (sds[i] * sds[j]))
            for i in range(len(D))
            for j in range(i)
        ]
        for part, fit, sd in (
            ("outcome", self.outcome, parts.tau), ("hazard", self.hazard.fit, parts.omega)
        ):  # fmt: skip
            above = [g.name for g in fit.design.groupings if g.columns != (unit,)]
            rows += [(part, name, "sd__(Intercept)", abs(sd)) for name in above]
        rows.append(("outcome", "Residual", "sd__Observation", parts.sigma))
        return pd.DataFrame(rows, columns=["part", "group", "term", "estimate"])

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, likelihoods, test of no association, stability over nodes."""
        q = len(self.data.channels)
        statistic = max(2.0 * (self.log_lik - self.log_lik_separate), 0.0)
        return pd.DataFrame(
            {
                "nobs": [self.outcome.nobs],
                "n_units": [self.data.n_units],
                "n_event": [self.hazard.n_event],
                "log_lik": [self.log_lik],
                "log_lik_separate": [self.log_lik_separate],
                "statistic": [statistic],
                "df": [float(q)],
                "p_value": [stats.chi2.sf(statistic, q)],
                "aic": [2.0 * (len(self.parameters) - self.log_lik)],
                "converged": [self.converged],
                "gradient": [self.found.gradient],
                "nodes": [self.nodes],
                "log_lik_moved": [self.found.log_lik_moved],
                "estimates_moved": [self.found.estimates_moved],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return (
            f"outcome and leaving modelled together, by {_TIED[self.association]}; hazard and "
            f"association on the {self.hazard.link} scale"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        found = () if self.converged else ("The fit did not converge.",)
        return (*found, *self._integral(), self._assumption(), *self._boundary(), *self._counts())

    def _integral(self) -> tuple[str, ...]:
        if self.found.stands:
            return ()
        return (
            "The integral over the shared effects has not settled: with "
            f"{self.nodes} nodes an effect the estimates still move by more than "
            f"{ESTIMATES_MOVED:g} standard errors, or the log-likelihood by more than "
            f"{LOG_LIK_MOVED:g}, when nodes are doubled. Do not rely on the association.",
        )

    def _assumption(self) -> str:
        return (
            f"The numbers stand on an assumption that the data cannot test: given {self._given()}, "
            "leaving does not depend on the outcomes, seen or not, and these effects are normal. "
            "It is taken in place of missing at random."
        )

    def _given(self) -> str:
        return f"{_TIED[self.association]}, with the covariates"

    def _boundary(self) -> tuple[str, ...]:
        parts = Parts.of(self.found.parameters, self.data)
        zero = []
        if self.data.in_outcome and abs(parts.tau) < _NO_SPREAD * parts.sigma:
            zero.append("outcome")
        if self.data.in_hazard and abs(parts.omega) < _NO_SPREAD:
            zero.append("hazard")
        notes = [
            f"The therapists' SD in the {where} is estimated as zero, its boundary."
            for where in zero
        ]
        n = 0 if self.data.cluster is None else int(self.data.cluster.max()) + 1
        if 0 < n < _FEW_CLUSTERS:
            notes.append(
                f"Their SD rests on {n} therapists (or other such clusters): with fewer than "
                f"{_FEW_CLUSTERS} it is hardly known, and standard errors tend to be too small."
            )
        return tuple(notes)

    def _counts(self) -> tuple[str, ...]:
        notes = []
        if self.n_unrated:
            notes.append(
                f"{plural(self.n_unrated, 'unit')} at risk without any outcome: their effects are "
                "those of the population, told by their staying or leaving alone."
            )
        if self.n_never_at_risk:
            notes.append(
                f"{plural(self.n_never_at_risk, 'unit')} with outcomes and no row at risk: they "
                "inform the outcome alone."
            )
        late, first = self._late_entries()
        if late:
            notes.append(
                f"{plural(late, 'unit')} whose first row at risk is after session {first:g}: their "
                "effects are taken as those of all units. Where others who would have entered as "
                "late left before, and are not in the data, outcome and association are biased."
            )
        return tuple(notes)

    def _late_entries(self) -> tuple[int, float]:
        """Return how many units enter after the first session of all, and which that is."""
        periods = self.hazard.periods
        rows = periods.frame.loc[self.hazard.fit.design.index]
        entries = rows.groupby(periods.unit, observed=True)[periods.session].min()
        return int((entries > entries.min()).sum()), float(entries.min())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the coefficients of outcome and hazard and the associations, as data."""
        spreads = self._spreads()
        spreads["term"] = [
            parameter_words(term, group)
            for term, group in zip(spreads["term"], spreads["group"], strict=True)
        ]
        sections = (
            Section(
                "Part",
                self.tidy(conf_level=conf_level),
                names=("part", "term"),
                measure="b",
                conf_level=conf_level,
            ),
            Section("Random effects", spreads, names=("part", "term"), measure=""),
        )
        sizes = {"outcomes": self.outcome.nobs, "events": self.hazard.n_event}
        remarks = (f"Hazard: {self.hazard.rows}",)
        sources = ("wu1988",) if "effects" in self.association else ("rizopoulos2012",)
        return Account.of(self, sizes, sections, remarks, sources=sources)

    summary = summary_of
    _repr_html_ = html_of
