"""Mixed models of ordinal ratings: cumulative link models with random effects."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import CR2, generalized_robust
from alliance_stats.multilevel.generalized_profiles import likelihood_ratio_anova
from alliance_stats.multilevel.linear_functions import KINDS as TERM_KINDS
from alliance_stats.multilevel.linear_functions import anova_table
from alliance_stats.multilevel.model_likelihood import ModelLikelihood
from alliance_stats.multilevel.model_words import generalized_notes
from alliance_stats.multilevel.ordinal_fit import OrdinalFit, proportionality_table
from alliance_stats.multilevel.parameter_tables import (
    all_coefficients,
    effect_covariances,
    named_coefficients,
    ran_pars_table,
    ran_vals_table,
    random_section,
    tidy_frame,
)
from alliance_stats.multilevel.predictions import step_predictors
from alliance_stats.multilevel.refitted_intervals import (
    CI_METHODS,
    CiMethod,
    check_one_inference,
    with_intervals,
)
from alliance_stats.multilevel.step_probabilities import averaged, probability_table
from alliance_stats.seeds import Seed

__all__ = ["KINDS", "OrdinalMixedModel"]

Effects = Literal["fixed", "thresholds", "ran_pars", "ran_vals"]
Level = Literal["population", "typical", "conditional"]
KINDS = ("flexible", "symmetric", "equidistant")
HAZARD = "The hazard is that of stopping at a step: where its ratio is below 1, ratings are higher."
RATIOS = {"logit": "odds ratio", "cloglog": "hazard ratio"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OrdinalMixedModel:
    """A fitted mixed model of ordinal ratings, made by :func:`~alliance_stats.multilevel.ordinal`.

    Attributes
    ----------
    fit
        What was read, the data as the deviance sees them, and its minimum.
    """

    fit: OrdinalFit

    __repr__ = one_line

    @property
    def design(self) -> Design:
        """Arrays, names and the row ledger."""
        return self.fit.design

    @property
    def formula(self) -> str:
        """The formula as the caller wrote it."""
        return self.design.formula.text

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.design.rows

    @property
    def steps(self) -> tuple[object, ...]:
        """Labels of the steps that were rated, lowest first."""
        return self.fit.steps

    @property
    def scores(self) -> Array:
        """Score of each step: its numeric label, or else its place on the scale, from 1."""
        steps, scale = self.fit.steps, self.fit.scale
        numeric = all(isinstance(s, int | float) and not isinstance(s, bool) for s in steps)
        places = steps if numeric else [scale.index(step) + 1 for step in steps]
        return np.array(places, dtype=np.float64)

    @property
    def family(self) -> Family:
        """The family with its link; ordinal ratings have probabilities rather than a mean."""
        return self.fit.family

    @property
    def offset(self) -> None:
        """None: an offset is given in the formula."""
        return

    @property
    def beta(self) -> pd.Series:
        """Coefficients on the scale of the link; the intercept is 0, aliased ones are NaN."""
        return named_coefficients(self.design, self.fit.beta)

    @property
    def convergence(self) -> Convergence:
        """How the optimiser ended."""
        return self.fit.convergence

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.fit.problem.n

    @property
    def log_lik(self) -> float:
        """Log-likelihood: the Laplace approximation to it, or that of the quadrature."""
        return -self.fit.deviance / 2.0

    @property
    def method(self) -> str:
        """How the model was fitted, in a phrase."""
        moved = ", ".join(dict.fromkeys(self._nominal_terms()))
        partial = f", effects of {moved} on each threshold" if moved else ""
        integral = (
            "the Laplace approximation"
            if self.fit.nodes == 1
            else f"adaptive Gauss-Hermite quadrature with {self.fit.nodes} nodes"
        )
        return (
            f"cumulative link mixed model ({self.fit.family.link} link, {self.fit.kind} "
            f"thresholds{partial}) fitted by maximum likelihood with {integral} ({self.formula})"
        )

    def _nominal_terms(self) -> list[str]:
        fixed = self.design.fixed
        columns = [int(fixed.kept[i]) for i in self.fit.nominal]
        return [
            term.name
            for term in fixed.coding.terms
            if any(term.columns.start <= c < term.columns.stop for c in columns)
        ]

    def proportional_odds(self) -> pd.DataFrame:
        """Test for each term whether its effect is the same at every threshold.

        The model is refitted with an effect of the term on each threshold (Brant 1990,
        doi:10.2307/2532457, uses separate binary models for the same test; here it is a likelihood
        ratio test).

        Returns
        -------
        DataFrame
            ``term, statistic, df, p_value, method``, one row per term that has one effect. NaN
            where there is no such fit because thresholds would cross or a step has no rows in a
            cell.
        """
        return proportionality_table(self.fit)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number: no convergence, a boundary, rarely used steps."""
        return generalized_notes(self.fit)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of coefficients, thresholds and effects on single thresholds."""
        names = [*self._kept(), *self._threshold_names(), *self._moved_names()]
        sign = np.ones(len(names))
        sign[len(names) - len(self._moved_names()) :] = -1.0
        return named_covariance(self.fit.joint_vcov * np.outer(sign, sign), names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return, for each grouping factor, the covariance of its random effects (as given)."""
        return effect_covariances(self.fit)

    def anova(
        self,
        *,
        kind: Literal["III", "II", "I", "marginal"] = "III",
        test: Literal["wald", "likelihood-ratio"] = "wald",
    ) -> pd.DataFrame:
        """Return joint tests, one row per term, as :meth:`GeneralizedLinearMixedModel.anova`."""
        check_choice(kind, TERM_KINDS, name="kind")
        check_choice(test, ("wald", "likelihood-ratio"), name="test")
        if self.fit.nominal:
            raise NotIdentifiedError(
                "Effects on single thresholds are no one effect that a joint test of terms could "
                "be of: compare models by likelihood_ratio_test."
            )
        if test == "wald":
            return anova_table(self.fit, kind=kind)
        return likelihood_ratio_anova(self.fit, kind=kind)

    def likelihood(self) -> ModelLikelihood:
        """Return what ``likelihood_ratio_test`` and ``compare_models`` need."""
        design, fit = self.design, self.fit
        moved = "".join(f", {term} by threshold" for term in dict.fromkeys(self._nominal_terms()))
        nodes = "" if fit.nodes == 1 else f", {fit.nodes} nodes"
        columns = pd.DataFrame(design.X[:, 1:], index=design.index)
        return ModelLikelihood(
            formula=f"{self.formula}, {fit.kind} thresholds{moved}",
            kind=f"cumulative link mixed model ({fit.family.link}{nodes})",
            log_lik=self.log_lik,
            n_parameters=fit.n_parameters,
            n=self.nobs,
            columns=columns,
            outcome=(design.index.to_numpy(), design.y),
            rows=self.rows,
            n_variances=sum(len(grouping.names) for grouping in design.groupings),
        )

    def design_matrix(self) -> pd.DataFrame:
        """Return the columns of the fixed effects by name, one row per row used."""
        return self.design.matrix()

    def random_effects(self) -> pd.DataFrame:
        """Return the predicted random effects: ``tidy(effects="ran_vals")``."""
        return self.tidy(effects="ran_vals")

    def tidy(
        self,
        *,
        effects: Effects = "fixed",
        conf_level: float = 0.95,
        vcov: CR2 | None = None,
        ci_method: CiMethod = "wald",
        seed: Seed = None,
    ) -> pd.DataFrame:
        """Return one row per estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients, positive where higher steps become likelier, with z tests.
            ``"thresholds"``: on the scale of the link at predictors of zero. ``"ran_pars"``: SDs
            and correlations. ``"ran_vals"``: predicted random effects with conditional SDs.
        conf_level, vcov, ci_method, seed
            As in :meth:`GeneralizedLinearMixedModel.tidy`.

        Returns
        -------
        DataFrame
            ``effect, group, level, term, estimate, std_error, statistic, df, p_value, conf_low,
            conf_high``, on the scale of the link (log cumulative odds for the logit).
        """
        check_choice(effects, ("fixed", "thresholds", "ran_pars", "ran_vals"), name="effects")
        check_choice(ci_method, CI_METHODS, name="ci_method")
        check_one_inference(effects, ci_method, vcov=vcov)
        if effects == "ran_vals":
            return ran_vals_table(self.fit, conf_level=conf_level)
        table = ran_pars_table(self.fit) if effects == "ran_pars" else self._estimates(
            effects, conf_level, vcov
        )  # fmt: skip
        if ci_method == "wald" or not len(table):
            return table
        return with_intervals(self.fit, table, ci_method, conf_level=conf_level, seed=seed)

    def _estimates(self, effects: Effects, conf_level: float, vcov: CR2 | None) -> pd.DataFrame:
        """Coefficients or thresholds in the shared columns."""
        p, fit = self.fit.problem.p, self.fit
        k = p + len(fit.J)
        if effects == "thresholds":
            names, values = self._threshold_names(), fit.thresholds
            V = fit.joint_vcov[p:k, p:k]
        else:
            names, values, V = self._effects()
            names, V = names + self._moved_names(), linalg.block_diag(V, fit.joint_vcov[k:, k:])
            values = np.concatenate([values, -fit.moves.ravel()])
        if not names:
            return tidy_frame([], {"term": []}).astype({"estimate": np.float64})
        df = np.full(len(names), np.inf)
        if vcov is not None:
            V, df = self._robust(vcov)
        table = Coefficients(tuple(names), values, V, df).table(conf_level=conf_level)
        return tidy_frame(effects, table)

    def _robust(self, vcov: CR2) -> tuple[Array, Array]:
        """Return cluster-robust covariance and df of all effects, NaN for aliased ones."""
        fit, values = self.fit, self._effects()[1]
        back, p, J = fit.back, fit.problem.p, len(fit.J)
        into = np.hstack([np.zeros((len(back), fit.template.n_theta)), back])
        found = generalized_robust(fit, vcov, into=into)
        n = len(values) + len(back) - p - J
        place = np.r_[np.flatnonzero(np.isfinite(values)), len(values) : n]
        own = np.r_[:p, p + J : len(back)]
        V, df = np.full((n, n), np.nan), np.full(n, np.nan)
        V[np.ix_(place, place)] = found.vcov[np.ix_(own, own)]
        df[place] = found.df(np.eye(len(back))[own])
        return V, df

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit statistics, convergence."""
        fit, k = self.fit, self.fit.n_parameters
        row = {
            "nobs": self.nobs,
            **{f"n_{g.name}": len(g.labels) for g in self.design.groupings},
            "link": fit.family.link,
            "thresholds": fit.kind,
            "log_lik": self.log_lik,
            "deviance": fit.deviance,
            "aic": fit.deviance + 2.0 * k,
            "bic": fit.deviance + np.log(self.nobs) * k,
            "n_parameters": k,
            "converged": fit.convergence.converged,
            "singular": fit.singular,
        }
        return pd.DataFrame([row])

    def predict(
        self,
        newdata: pd.DataFrame,
        *,
        level: Level = "population",
        new_units: Literal["refuse", "average"] = "refuse",
    ) -> pd.DataFrame:
        """Return the probability of each step for new rows.

        Parameters
        ----------
        newdata
            Rows with the predictors and, at the conditional level, the grouping columns.
        level
            ``"population"``: the mean over units, random effects integrated out. ``"typical"``: a
            unit whose random effects are zero. ``"conditional"``: the units of the fit.
        new_units
            For units that were not in the fit, at the conditional level: ``"refuse"``, or
            ``"average"`` over the distribution of such a unit's effects (those of known larger
            units are kept).

        Returns
        -------
        DataFrame
            One column per step of the scale (0 for one that no row used is in), rows as in
            `newdata`, each row summing to 1.
        """
        check_choice(level, ("population", "typical", "conditional"), name="level")
        check_choice(new_units, ("refuse", "average"), name="new_units")
        eta, sd, X = step_predictors(self.fit, newdata, level=level, new_units=new_units)
        below, _ = averaged(self.fit.family.link, self.fit.thresholds_at(X), eta, sd)
        whole = np.c_[np.zeros(len(eta)), below, np.ones(len(eta))]
        found = pd.DataFrame(
            np.diff(whole, axis=1), index=newdata.index, columns=pd.Index(self.steps, name="step")
        )
        return found.reindex(columns=pd.Index(self.fit.scale, name="step"), fill_value=0.0)

    def step_probabilities(
        self,
        newdata: pd.DataFrame,
        *,
        level: Level = "population",
        conf_level: float = 0.95,
        new_units: Literal["refuse", "average"] = "refuse",
    ) -> pd.DataFrame:
        """Return the probability of each step with its interval, one row per row and step.

        `level` and `new_units` are as in :meth:`predict`.

        Returns
        -------
        DataFrame
            The columns of `newdata`, ``step, estimate, std_error, conf_low, conf_high``: by the
            delta method, symmetric on the logit scale, random-effects variances taken as known. At
            the conditional level the interval is for the unit's own probabilities, including the
            uncertainty of its effects; for an unknown unit it is for the probabilities of one such
            unit.
        """
        check_choice(level, ("population", "typical", "conditional"), name="level")
        check_choice(new_units, ("refuse", "average"), name="new_units")
        return probability_table(
            self.fit, newdata, level=level, conf_level=conf_level, new_units=new_units
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the model's results as data; `conf_level` as in `tidy`."""
        fit, table = self.fit, self.tidy(conf_level=conf_level)
        name = RATIOS.get(fit.family.link)
        also, remarks = {}, list[Phrase]()
        if name is not None:
            # P(y > j) = exp(-exp(t_j - eta)): what makes higher steps likelier lowers the hazard
            sign = -1.0 if fit.family.link == "cloglog" else 1.0
            with np.errstate(over="ignore"):
                ends = np.sort(np.exp(sign * table[["conf_low", "conf_high"]].to_numpy()), axis=1)
                ratio = np.exp(sign * table["estimate"])
            table = table.assign(ratio=ratio, ratio_low=ends[:, 0], ratio_high=ends[:, 1])
            if sign < 0.0:
                remarks.append(Phrase(HAZARD))
            also = {"ratio": Column(name, "ratio", "ratio_low", "ratio_high")}
        fixed = Section(
            "Fixed effects", table, names=("term",), measure="b", columns=also,
            conf_level=conf_level,
        )  # fmt: skip
        thresholds = Section(
            "Thresholds",
            self.tidy(effects="thresholds", conf_level=conf_level)[
                ["term", "estimate", "std_error", "conf_low", "conf_high"]
            ],
            names=("term",), measure="threshold", conf_level=conf_level,
        )  # fmt: skip
        sizes = {"rows": self.nobs, **{g.name: len(g.labels) for g in self.design.groupings}}
        aic = fit.deviance + 2.0 * fit.n_parameters
        remarks.append(Phrase("Log-likelihood {}, AIC {}.", ((self.log_lik, 2), (aic, 2))))
        sections = (fixed, thresholds) if len(table) else (thresholds,)
        return Account.of(
            self,
            sizes,
            (*sections, random_section(fit)),
            tuple(remarks),
            sources=("mccullagh1980", "hedeker1994"),
        )

    summary = summary_of
    _repr_html_ = html_of

    def _kept(self) -> list[str]:
        fixed = self.design.fixed
        return [fixed.names[fixed.kept[i]] for i in self.fit.located[1:]]

    def _effects(self) -> tuple[list[str], Array, Array]:
        """Return names, values and covariance of the columns with one effect, aliased ones NaN."""
        fixed, fit = self.design.fixed, self.fit
        moving = {int(fixed.kept[i]) for i in fit.nominal}
        shown = [i for i in range(1, len(fixed.names)) if i not in moving]
        place = {int(column): i for i, column in enumerate(shown)}
        own = [place[int(fixed.kept[i])] for i in fit.located[1:]]
        V = np.full((len(shown), len(shown)), np.nan)
        V[np.ix_(own, own)] = fit.joint_vcov[: len(own), : len(own)]
        return [fixed.names[i] for i in shown], all_coefficients(self.design, fit.beta)[shown], V

    def _moved_names(self) -> list[str]:
        """Return the names of effects on single thresholds, ``role[T.mother] at 2|3``."""
        fixed = self.design.fixed
        names = [fixed.names[fixed.kept[i]] for i in self.fit.nominal]
        return [f"{name} at {threshold}" for name in names for threshold in self._threshold_names()]

    def _threshold_names(self) -> list[str]:
        return [f"{a}|{b}" for a, b in zip(self.steps[:-1], self.steps[1:], strict=True)]
