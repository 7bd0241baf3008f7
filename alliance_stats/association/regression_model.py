"""A fitted regression: linear, logistic or Poisson; classical, HC3 or cluster-robust errors."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association import goodness_of_fit
from alliance_stats.association import regression_questions as questions
from alliance_stats.association.regression_questions import Clusters, Fit
from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.engine.search import Convergence
from alliance_stats.estimates import LINK_WORDS, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import (
    GeneralizedFit,
    Inference,
    LinearFit,
    RSquared,
    coefficients,
    named_coefficients,
)

__all__ = ["GeneralizedRegression", "LinearRegression", "Regression", "Vcov"]

Vcov = Literal["classical", "HC3", "CR2"]
_R2 = Column("R²", "bounded")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Regression:
    """The common part of regressions, returned by :func:`regression`.

    Attributes
    ----------
    fit
        What was read and the fit.
    clusters
        The clusters of the rows, or None.
    steps
        The blocks of a hierarchical regression with the fit after each, or empty.
    """

    fit: Fit
    clusters: Clusters | None
    steps: tuple[tuple[str, Fit], ...]

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
        """Ledger of the rows used and set aside."""
        return self.design.rows

    @property
    def convergence(self) -> Convergence:
        """How the search ended; least squares needs none."""
        return self.fit.convergence

    @property
    def nobs(self) -> int:
        """Rows used."""
        return len(self.design.y)

    @property
    def beta(self) -> pd.Series:
        """Coefficients on the scale of the link; aliased ones are NaN."""
        return named_coefficients(self.design, self.fit.beta)

    def vcov(self, kind: Vcov | None = None) -> pd.DataFrame:
        """Return the covariance of the coefficients; `kind` is what :meth:`tidy` calls `vcov`."""
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        return named_covariance(
            questions.inference(self.fit, self.clusters, kind).covariance, names
        )

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return nothing: there are no random effects."""
        return {}

    def inference(self, df_method: str | None = None) -> Inference:
        """Prepare inference after the fit: CR2 where there are clusters, else classical."""
        questions.refuse_df_method(df_method)
        return questions.inference(self.fit, self.clusters, None)

    def tidy(self, *, vcov: Vcov | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient.

        Parameters
        ----------
        vcov
            ``"classical"``, ``"HC3"`` (unequal variances) or ``"CR2"`` (clusters, with
            Satterthwaite df; for non-linear models of the working linear model); by default CR2
            where ``cluster=`` was given, else classical.
        conf_level
            Coverage of each interval taken separately.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic`` (t; z for logistic and Poisson regression
            except with CR2), ``df, p_value, conf_low, conf_high``, in units of the outcome or on
            the scale of the link (log odds, log rates). NaN where other columns determine the
            coefficient.
        """
        found = questions.inference(self.fit, self.clusters, vcov)
        return coefficients(found).table(conf_level=conf_level)

    def joint_test(self, *terms: str, vcov: Vcov | None = None) -> pd.DataFrame:
        """Test that several coefficients are zero together.

        Parameters
        ----------
        terms
            Names of coefficients, as :meth:`tidy` has them.
        vcov
            As in :meth:`tidy`. With CR2 it is the approximate Hotelling test (Pustejovsky & Tipton
            2018, doi:10.1080/07350015.2016.1247004).

        Returns
        -------
        DataFrame
            One row: ``term`` (all, joined by commas), ``statistic`` (F), ``df1, df2, p_value``.

        Raises
        ------
        DataError
            A name that is not an estimated coefficient.
        NotIdentifiedError
            Too few clusters for so many coefficients.
        """
        return questions.joint_test(questions.inference(self.fit, self.clusters, vcov), terms)

    def design_matrix(self) -> pd.DataFrame:
        """Return the columns of the fixed effects by name, a row for each row used."""
        return self.design.matrix()

    def residuals(self) -> pd.Series:
        """Return the outcome minus what is fitted, in units of the outcome."""
        return self.augment()["residual"]

    def collinearity(self) -> pd.DataFrame:
        """Return ``term, vif, df, vif_per_df``: (generalized) variance inflation of each term.

        ``det(R_11) det(R_22) / det(R)`` of the columns' correlations (Fox & Monette 1992,
        doi:10.1080/01621459.1992.10475190); ``vif_per_df`` is its ``1/(2 df)`` power.
        """
        return questions.collinearity(self.fit)

    def predict(
        self, newdata: pd.DataFrame, *, interval: str | None = None, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Predict the expected outcome (a mean, a probability, a count) of new rows.

        Parameters
        ----------
        newdata
            The formula's columns.
        interval
            None, ``"confidence"`` (limits of the linear predictor, back-transformed) or, for a
            linear regression, ``"prediction"`` (of a new row's outcome).
        conf_level
            Coverage.

        Returns
        -------
        DataFrame
            ``estimate`` and, if requested, ``std_error, conf_low, conf_high``; rows of `newdata`.
        """
        found = questions.inference(self.fit, self.clusters, None)
        return questions.predicted(self.fit, found, newdata, interval, conf_level)

    def augment(self) -> pd.DataFrame:
        """Return the columns used with ``fitted`` (expected) and ``residual``, for each row used.

        A linear regression has ``residual_standardised`` too, in residual SDs.
        """
        return questions.augmented(self.fit)

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return questions.method(self.fit, self.clusters)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, most serious first."""
        return questions.notes(self.fit, self.clusters)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LinearRegression(Regression):
    """A linear regression, returned by :func:`regression`; attributes as of :class:`Regression`."""

    fit: LinearFit
    steps: tuple[tuple[str, LinearFit], ...]

    @property
    def sigma(self) -> float:
        """Residual SD, in units of the outcome."""
        return self.fit.sigma

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, r2, r2_adjusted, statistic`` (F), ``df1, df2, p_value, sigma``...

        F tests all coefficients except the intercept: by classical least squares or, where there
        are clusters, by CR2 (see :meth:`joint_test`; NaN where they are too few).
        """
        table = goodness_of_fit.linear_glance(self.fit)
        if self.clusters is None:
            return table
        return questions.whole_over_clusters(table, self.fit, self.clusters)

    def explained(self) -> RSquared:
        """Return R2 and adjusted R2 as :func:`~alliance_stats.r_squared` does."""
        return goodness_of_fit.linear_explained(self.fit)

    def standardised(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return standardised coefficients: of SDs of the outcome per SD of each column.

        Returns
        -------
        DataFrame
            ``term, estimate, conf_low, conf_high``: the coefficient and its limits (see
            :meth:`tidy`) times the column's SD over the outcome's, both taken as known.
        """
        return questions.standardised(self.fit, self.tidy(conf_level=conf_level))

    def correlations(self) -> pd.DataFrame:
        """Return ``term, partial, semipartial``: r of each column given the others.

        ``semipartial`` is r of the outcome with the column's residual given the others; its square
        is the R2 that the column adds.
        """
        return questions.partial_correlations(self.fit)

    def influence(self) -> pd.DataFrame:
        """Return ``leverage, residual_studentised, cooks_distance`` of each row used."""
        return questions.influence(self.fit)

    def step_table(self) -> pd.DataFrame:
        """Return one row per step: ``step, r2, r2_change, statistic`` (F), ``df1, df2, p_value``.

        F of the change against the residual variance of the step's own model or, where there are
        clusters, of the step's coefficients by CR2 (see :meth:`joint_test`; NaN where the clusters
        are too few for them).

        Raises
        ------
        NotIdentifiedError
            If no ``steps=`` were given.
        """
        table = goodness_of_fit.linear_steps(self.steps)
        if self.clusters is None:
            return table
        return questions.steps_over_clusters(table, self.steps, self.clusters)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients, fit and steps as data."""
        table = self.tidy(conf_level=conf_level)
        whole = self.glance().assign(term=self.design.formula.response)
        shown = {"r2": _R2, "r2_adjusted": Column("adjusted R²", "bounded")}
        statistic = "F" if self.clusters is None else "robust F"
        sections = [
            questions.coefficient_section(table, ratio=None, conf_level=conf_level),
            Section("Model", whole, ("term",), statistic=statistic, columns=shown),
        ]
        if self.steps:
            shown = {"r2": _R2, "r2_change": Column("change in R²", "bounded")}
            changes = self.step_table()
            steps = Section("Step", changes, ("step",), statistic=statistic, columns=shown)
            sections.append(steps)
        sizes = questions.sizes(self.fit, self.clusters)
        return Account.of(
            self,
            sizes,
            sections,
            sources=("cohen2003",) if self.clusters is None else ("cohen2003", "pustejovsky2018"),
        )

    summary = summary_of
    _repr_html_ = html_of


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GeneralizedRegression(Regression):
    """A logistic or Poisson regression; attributes as of :class:`Regression`."""

    fit: GeneralizedFit
    steps: tuple[tuple[str, GeneralizedFit], ...]

    @property
    def family(self) -> Family:
        """The family with its link."""
        return self.fit.family

    @property
    def offset(self) -> str | None:
        """Column added to the linear predictor, if any."""
        return self.fit.offset

    def ratios(self, *, vcov: Vcov | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the exponentials of the coefficients: odds or rate ratios; no intercept.

        Returns
        -------
        DataFrame
            The columns of :meth:`tidy`; ``std_error`` is the ratio's by the delta method.
        """
        found = questions.inference(self.fit, self.clusters, vcov)
        table = coefficients(found).ratios(conf_level=conf_level)
        return table[table["term"] != "(Intercept)"].reset_index(drop=True)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, log_lik, log_lik_null, statistic`` (chi-squared), ``df``, R2.

        The likelihood ratio against the intercept alone, McFadden's and Nagelkerke's R2, and for
        0/1 outcomes Tjur's. Where there are clusters, rows are dependent and the ratio has no known
        distribution: ``statistic`` is then F of all coefficients by CR2, with ``df1, df2`` (see
        :meth:`joint_test`; NaN where the clusters are too few).
        """
        table = goodness_of_fit.generalized_glance(self.fit)
        if self.clusters is None:
            return table
        return questions.whole_over_clusters(table, self.fit, self.clusters)

    def explained(self) -> RSquared:
        """Return pseudo-R2 by name as :func:`~alliance_stats.r_squared` does."""
        return goodness_of_fit.generalized_explained(self.fit)

    def step_table(self) -> pd.DataFrame:
        """Return a row per step: ``step, log_lik, statistic`` (likelihood ratio), ``df, p_value``.

        Where there are clusters, ``statistic`` is F of the step's coefficients by CR2, with
        ``df1, df2``, as in :meth:`glance`.

        Raises
        ------
        NotIdentifiedError
            If no ``steps=`` were given.
        """
        table = goodness_of_fit.generalized_steps(self.steps)
        if self.clusters is None:
            return table
        return questions.steps_over_clusters(table, self.steps, self.clusters)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients with their ratios, fit and steps as data."""
        table = self.tidy(conf_level=conf_level)
        ratio = LINK_WORDS[self.family.link].ratio
        sections = [questions.coefficient_section(table, ratio=ratio, conf_level=conf_level)]
        if self.steps:
            statistic = "chi-squared" if self.clusters is None else "robust F"
            sections.append(Section("Step", self.step_table(), ("step",), statistic=statistic))
        sizes = questions.sizes(self.fit, self.clusters)
        return Account.of(
            self,
            sizes,
            sections,
            sources=("cohen2003",) if self.clusters is None else ("cohen2003", "pustejovsky2018"),
        )

    summary = summary_of
    _repr_html_ = html_of
