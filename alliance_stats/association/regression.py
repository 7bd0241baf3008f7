"""Ordinary regression: linear, logistic, Poisson; classical, HC3 or cluster-robust errors."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association import regression_questions as questions
from alliance_stats.association.ordered_regression import OrderedRegression, fit_ordered
from alliance_stats.association.regression_questions import Clusters
from alliance_stats.checks import (
    check_choice,
    check_frame,
    check_spelling,
    group_codes,
    require_columns,
)
from alliance_stats.design.design import Design, build_design, check_column_names
from alliance_stats.design.formula import (
    MixedFormula,
    OwnColumn,
    Terms,
    bound_formula,
    bound_terms,
    formula_of,
    parse_formula,
    parse_terms,
    variables_of,
)
from alliance_stats.design.rows import complete_rows
from alliance_stats.door import replaced
from alliance_stats.engine.families import Family, family_of
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import LINK_WORDS, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.coefficient_tables import all_coefficients, coefficients
from alliance_stats.multilevel.generalized_fit import GeneralizedFit, fit_generalized
from alliance_stats.multilevel.linear_fit import LinearFit, fit_linear
from alliance_stats.multilevel.linear_functions import Inference

__all__ = ["GeneralizedRegression", "LinearRegression", "Vcov", "regression"]

Vcov = Literal["classical", "HC3", "CR2"]
RegressionFamily = Literal["linear", "logistic", "poisson", "ordinal"]
_MOST_CATEGORIES = 30
_FAMILIES = ("linear", "logistic", "poisson", "ordinal")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LinearRegression:
    """A linear regression, made by :func:`regression`.

    Attributes
    ----------
    fit
        What was read and the least-squares fit.
    clusters
        The clusters of the rows, or None.
    steps
        The blocks of a hierarchical regression with the fit after each, or empty.
    """

    fit: LinearFit
    clusters: Clusters | None
    steps: tuple[tuple[str, LinearFit], ...]

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
    def convergence(self) -> Convergence:
        """Least squares need no search: converged."""
        return self.fit.convergence

    @property
    def nobs(self) -> int:
        """Rows used."""
        return len(self.design.y)

    @property
    def sigma(self) -> float:
        """Residual SD, in units of the outcome."""
        return self.fit.sigma

    @property
    def beta(self) -> pd.Series:
        """Coefficients in units of the outcome; aliased ones are NaN."""
        values = all_coefficients(self.design, self.fit.beta)
        return pd.Series(values, index=list(self.design.fixed.names), name="estimate")

    def vcov(self, kind: Vcov | None = None) -> pd.DataFrame:
        """Return the covariance of the estimated coefficients; `kind` as in :meth:`tidy`."""
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        covariance = questions.inference(self.fit, self.clusters_codes, kind).covariance
        return pd.DataFrame(covariance, index=names, columns=names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return nothing: there are no random effects."""
        return {}

    @property
    def clusters_codes(self) -> npt.NDArray[np.int64] | None:
        """Cluster of each row used, or None."""
        return None if self.clusters is None else self.clusters.codes

    def inference(self, df_method: str | None = None) -> Inference:
        """Prepare what is asked after the fit: CR2 where there are clusters, else classical."""
        questions.refuse_df_method(df_method)
        return questions.inference(self.fit, self.clusters_codes, None)

    def tidy(self, *, vcov: Vcov | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a coefficient.

        Parameters
        ----------
        vcov
            ``"classical"``, ``"HC3"`` (unequal variances) or ``"CR2"`` (clusters, with
            Satterthwaite df); by default CR2 where ``cluster=`` was given, else classical.
        conf_level
            Coverage of each interval by itself.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic`` (t), ``df, p_value, conf_low, conf_high``, in
            units of the outcome. NaN where other columns determine the coefficient.
        """
        found = questions.inference(self.fit, self.clusters_codes, vcov)
        return coefficients(found).table(conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, r2, r2_adjusted, statistic`` (F), ``df1, df2, p_value, sigma``...

        F tests all coefficients but the intercept, by classical least squares.
        """
        return questions.linear_glance(self.fit)

    def standardized(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return standardised coefficients: of SDs of the outcome per SD of each column.

        Returns
        -------
        DataFrame
            ``term, estimate, conf_low, conf_high``: the coefficient and its limits (see
            :meth:`tidy`) times the column's SD over the outcome's, both taken as known.
        """
        return questions.standardized(self.fit, self.tidy(conf_level=conf_level))

    def correlations(self) -> pd.DataFrame:
        """Return ``term, partial, semipartial``: r of each column given the others.

        ``semipartial`` is r of the outcome with what the others leave of the column; its square is
        the R2 that the column adds.
        """
        return questions.partial_correlations(self.fit)

    def collinearity(self) -> pd.DataFrame:
        """Return ``term, vif, df, vif_per_df``: (generalized) variance inflation of each term.

        ``det(R_11) det(R_22) / det(R)`` of the columns' correlations (Fox & Monette 1992,
        doi:10.1080/01621459.1992.10475190); ``vif_per_df`` is its ``1/(2 df)`` power.
        """
        return questions.collinearity(self.fit)

    def influence(self) -> pd.DataFrame:
        """Return ``leverage, studentized`` (deleted) ``, cooks_distance`` of each row used."""
        return questions.influence(self.fit)

    def step_table(self) -> pd.DataFrame:
        """Return one row a step: ``step, r2, r2_change, statistic`` (F), ``df1, df2, p_value``.

        F of the change against the residual variance of the step's own model; classical, also
        where there are clusters.

        Raises
        ------
        NotIdentifiedError
            If no ``steps=`` were given.
        """
        return questions.linear_steps(self.steps)

    def predict(
        self, newdata: pd.DataFrame, *, interval: str | None = None, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Predict new rows.

        Parameters
        ----------
        newdata
            The formula's columns.
        interval
            None, ``"mean"`` (of the expected outcome) or ``"new"`` (of a new row's outcome).
        conf_level
            Coverage.

        Returns
        -------
        DataFrame
            ``estimate`` and, if asked for, ``std_error, conf_low, conf_high``; rows of `newdata`.
        """
        found = questions.inference(self.fit, self.clusters_codes, None)
        return questions.predicted(self.fit, found, newdata, interval, conf_level)

    def augment(self) -> pd.DataFrame:
        """Return the columns used with ``fitted`` and ``residual``, a row a row used."""
        return questions.augmented(self.fit)

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return questions.method(self.fit, self.clusters)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known before reading, worst first."""
        return questions.notes(self.fit, self.clusters)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients, fit and steps as data."""
        table = self.tidy(conf_level=conf_level)
        sections = [
            Section("Coefficient", table, ("term",), measure="b", conf_level=conf_level),
            Section(
                "Model",
                self.glance().assign(term=self.design.formula.response),
                ("term",),
                statistic="F",
                columns={
                    "r2": Column("R²", "bounded"),
                    "r2_adjusted": Column("adjusted R²", "bounded"),
                },
            ),
        ]
        if self.steps:
            sections.append(
                Section(
                    "Step",
                    self.step_table(),
                    ("step",),
                    statistic="F",
                    columns={
                        "r2": Column("R²", "bounded"),
                        "r2_change": Column("change in R²", "bounded"),
                    },
                )
            )
        sizes = questions.sizes(self.fit, self.clusters)
        return Account(self.method, self.notes, sizes, tuple(sections), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GeneralizedRegression:
    """A logistic or Poisson regression, made by :func:`regression`.

    Attributes
    ----------
    fit
        What was read and the maximum-likelihood fit.
    clusters
        The clusters of the rows, or None.
    steps
        The blocks of a hierarchical regression with the fit after each, or empty.
    """

    fit: GeneralizedFit
    clusters: Clusters | None
    steps: tuple[tuple[str, GeneralizedFit], ...]

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
    def family(self) -> Family:
        """The family with its link."""
        return self.fit.family

    @property
    def offset(self) -> str | None:
        """Column added to the linear predictor, if any."""
        return self.fit.offset

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.design.rows

    @property
    def convergence(self) -> Convergence:
        """How the search got where it stopped."""
        return self.fit.convergence

    @property
    def nobs(self) -> int:
        """Rows used."""
        return len(self.design.y)

    @property
    def beta(self) -> pd.Series:
        """Coefficients on the scale of the link; aliased ones are NaN."""
        values = all_coefficients(self.design, self.fit.beta)
        return pd.Series(values, index=list(self.design.fixed.names), name="estimate")

    def vcov(self, kind: Vcov | None = None) -> pd.DataFrame:
        """Return the covariance of the estimated coefficients; `kind` as in :meth:`tidy`."""
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        covariance = questions.inference(self.fit, self.clusters_codes, kind).covariance
        return pd.DataFrame(covariance, index=names, columns=names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return nothing: there are no random effects."""
        return {}

    @property
    def clusters_codes(self) -> npt.NDArray[np.int64] | None:
        """Cluster of each row used, or None."""
        return None if self.clusters is None else self.clusters.codes

    def inference(self, df_method: str | None = None) -> Inference:
        """Prepare what is asked after the fit: CR2 where there are clusters, else classical."""
        questions.refuse_df_method(df_method)
        return questions.inference(self.fit, self.clusters_codes, None)

    def tidy(self, *, vcov: Vcov | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a coefficient.

        Parameters
        ----------
        vcov
            ``"classical"``, ``"HC3"`` or ``"CR2"`` (of the working linear model, with Satterthwaite
            df); by default CR2 where ``cluster=`` was given, else classical.
        conf_level
            Coverage of each interval by itself.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic`` (z; t with CR2), ``df, p_value, conf_low,
            conf_high``, on the scale of the link (log odds, log rates).
        """
        found = questions.inference(self.fit, self.clusters_codes, vcov)
        return coefficients(found).table(conf_level=conf_level)

    def ratios(self, *, vcov: Vcov | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the exponentials of the coefficients: odds or rate ratios; no intercept.

        Returns
        -------
        DataFrame
            The columns of :meth:`tidy`; ``std_error`` is the ratio's by the delta method.
        """
        found = questions.inference(self.fit, self.clusters_codes, vcov)
        table = coefficients(found).ratios(conf_level=conf_level)
        return table[table["term"] != "(Intercept)"].reset_index(drop=True)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, log_lik, log_lik_null, statistic`` (chi-squared), ``df``, R2.

        The likelihood ratio against the intercept alone, McFadden's and Nagelkerke's R2, and for
        0/1 outcomes Tjur's.
        """
        return questions.generalized_glance(self.fit)

    def step_table(self) -> pd.DataFrame:
        """Return one row a step: ``step, log_lik, statistic`` (likelihood ratio), ``df, p_value``.

        Raises
        ------
        NotIdentifiedError
            If no ``steps=`` were given.
        """
        return questions.generalized_steps(self.steps)

    def predict(
        self, newdata: pd.DataFrame, *, interval: str | None = None, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Predict the expected outcome (a probability, a count) of new rows.

        Parameters
        ----------
        newdata
            The formula's columns.
        interval
            None or ``"mean"``: limits of the linear predictor, turned back.
        conf_level
            Coverage.

        Returns
        -------
        DataFrame
            ``estimate`` and, if asked for, ``std_error, conf_low, conf_high``; rows of `newdata`.
        """
        found = questions.inference(self.fit, self.clusters_codes, None)
        return questions.predicted(self.fit, found, newdata, interval, conf_level)

    def augment(self) -> pd.DataFrame:
        """Return the columns used with ``fitted`` (expected) and ``residual``, a row a row used."""
        return questions.augmented(self.fit)

    def collinearity(self) -> pd.DataFrame:
        """Return ``term, vif, df, vif_per_df`` as :meth:`LinearRegression.collinearity` does."""
        return questions.collinearity(self.fit)

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return questions.method(self.fit, self.clusters)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known before reading, worst first."""
        return questions.notes(self.fit, self.clusters)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients, ratios, fit and steps as data."""
        statistic = "t" if self.clusters is not None else "z"
        table = self.tidy(conf_level=conf_level).drop(columns=[] if statistic == "t" else ["df"])
        ratio = LINK_WORDS[self.family.link].ratio or "ratio"
        ratios = self.ratios(conf_level=conf_level)
        shown = ratios[["term", "estimate", "conf_low", "conf_high"]]
        sections = [
            Section(
                "Coefficient", table, ("term",), measure="b", statistic=statistic,
                conf_level=conf_level,
            ),
            Section("Ratio", shown, ("term",), measure=ratio, kind="ratio", conf_level=conf_level),
        ]  # fmt: skip
        if self.steps:
            sections.append(Section("Step", self.step_table(), ("step",), statistic="chi-squared"))
        sizes = questions.sizes(self.fit, self.clusters)
        return Account(self.method, self.notes, sizes, tuple(sections), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of


def regression(
    formula: str,
    data: pd.DataFrame,
    *,
    family: RegressionFamily = "linear",
    cluster: str | None = None,
    steps: Sequence[str] | None = None,
    weights: str | None = None,
) -> LinearRegression | GeneralizedRegression | OrderedRegression:
    """Fit an ordinary regression.

    Parameters
    ----------
    formula
        ``"symptoms ~ alliance * experience"``, without random terms (``lmm`` and ``glmm`` have
        those). Transforms, ``C()``, interactions, ``poly`` as there.
    data
        One row a case. Rows in which a needed column is missing are set aside and counted.
    family
        ``"linear"``; ``"logistic"`` (an outcome of 0 and 1); ``"poisson"`` (counts); ``"ordinal"``
        (proportional odds of categories that have an order: numbers, or an ordered categorical).
    cluster
        Column of therapists or families: errors then allow for cases of one cluster being alike
        (CR2 of Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004, with Satterthwaite
        df). For logistic and Poisson regression it is that of the working linear model.
    steps
        Blocks of terms in the order in which they enter, as ``["age", "alliance"]``; terms of the
        formula that no block names enter last. All steps use the rows of the whole model.
    weights
        Column of precision weights, of a linear regression.

    Returns
    -------
    LinearRegression, GeneralizedRegression or OrderedRegression
        With ``tidy()``, ``glance()``, ``summary()``, ``predict()`` and more;
        ``estimated_means``, ``contrasts``, ``simple_slopes``, ``johnson_neyman``, ``comparisons``
        take it as they take a mixed model.

    Raises
    ------
    FormulaError
        A formula that cannot be read, has a random term, or names an unknown column; a step that
        is not part of it.
    DataError
        No usable row, infinite values, weights that are not positive.
    NotIdentifiedError
        A constant outcome or factor, fewer rows than coefficients, a 0/1 outcome that a predictor
        tells without error, one cluster.

    Examples
    --------
    >>> from alliance_stats import example_study, regression
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> model = regression("symptoms ~ alliance + experience", last, cluster="therapist")
    >>> list(model.tidy()["term"])
    ['(Intercept)', 'alliance', 'experience']
    """
    check_choice(family, _FAMILIES, name="family")
    data = check_frame(data)
    check_column_names(cluster=cluster, weights=weights)
    require_columns(data, [cluster, weights])
    if weights is not None and family != "linear":
        raise FormulaError("weights= are for a linear regression.")
    parsed = parse_formula(formula)
    if parsed.random:
        raise FormulaError(
            f"{formula!r} has the random term {parsed.random[0]}: fit it with lmm or glmm."
        )
    bound = bound_formula(parsed, list(data.columns))
    if bound.fixed.offset:
        raise FormulaError(
            "regression takes no offset(): its R2, null model and predictions leave it out. "
            "Subtract it from a linear outcome, or model rates with glmm."
        )
    used = [*variables_of(bound.outcome), *variables_of(bound.fixed)]
    also = tuple(dict.fromkeys([*map(str, used), *([] if cluster is None else [cluster])]))
    if family == "ordinal":
        return _ordered(bound, data, cluster, steps)
    fits = [
        (name, _fit(each, data, family, weights, also))
        for name, each in _models(bound, steps, list(data.columns))
    ]
    fit = fits[-1][1]
    clusters = None if cluster is None else _clusters(cluster, data, also, weights)
    if isinstance(fit, LinearFit):
        own = tuple((name, each) for name, each in fits if isinstance(each, LinearFit))
        return LinearRegression(fit, clusters, own if steps else ())
    other = tuple((name, each) for name, each in fits if isinstance(each, GeneralizedFit))
    return GeneralizedRegression(fit, clusters, other if steps else ())


def _ordered(
    bound: MixedFormula, data: pd.DataFrame, cluster: str | None, steps: Sequence[str] | None
) -> OrderedRegression:
    """Fit a regression on ordered categories."""
    if steps:
        raise FormulaError("steps= are for linear, logistic and Poisson regression.")
    names = variables_of(bound.outcome)
    if len(names) != 1 or bound.response != str(names[0]):
        raise FormulaError(f"An ordinal outcome is one column as it is; got '{bound.response}'.")
    also = tuple(map(str, variables_of(bound.fixed))) + (() if cluster is None else (cluster,))
    used, rows = complete_rows(data, [names[0], *also], {})
    codes, categories = _places(used[names[0]])
    own = OwnColumn(str(names[0]))
    coded = replaced(used, {own: codes.astype(np.float64)})
    design, _ = build_design(formula_of(own, bound.fixed), coded, residual_variance=False)
    design = replace(design, formula=bound, rows=rows)
    clusters = None if cluster is None else _clusters(cluster, used, also, None)
    return fit_ordered(design, categories, clusters)


def _places(values: pd.Series) -> tuple[npt.NDArray[np.int64], tuple[Hashable, ...]]:
    """Return each value's place among the categories that are used, and these in order."""
    if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.ordered:
        used = values.cat.remove_unused_categories()
        codes, categories = used.cat.codes.to_numpy(dtype=np.int64), tuple(used.cat.categories)
    elif pd.api.types.is_numeric_dtype(values.dtype):
        found, labels = group_codes(values)
        codes, categories = found, tuple(labels)
    else:
        raise DataError(
            f"Column '{values.name}' is text without an order. Make it an ordered categorical: "
            "pd.Categorical(values, categories=[...], ordered=True)."
        )
    if len(categories) < 3:
        raise NotIdentifiedError(
            f"'{values.name}' has {len(categories)} categories in the rows used; an ordinal "
            "regression needs three or more. Two are family='logistic' on 0 and 1."
        )
    if len(categories) > _MOST_CATEGORIES:
        raise DataError(
            f"'{values.name}' has {len(categories)} different values, which are more than "
            f"{_MOST_CATEGORIES} categories: fit it with family='linear'."
        )
    return codes, categories


def _models(
    parsed: MixedFormula, steps: Sequence[str] | None, columns: Sequence[Hashable]
) -> list[tuple[str, MixedFormula]]:
    """Return the models of the steps, the whole one last."""
    if not steps:
        return [("", parsed)]
    if isinstance(steps, str):
        raise FormulaError(f"steps= is a list of blocks, as ['age', 'alliance']; got {steps!r}.")
    outcome, whole = parsed.outcome, parsed.fixed
    assert outcome is not None  # parse_formula has asked for one
    start = Terms(((),)) if whole.has_intercept else Terms(())
    found: list[tuple[str, MixedFormula]] = []
    for block in steps:
        added = bound_terms(parse_terms(block), columns).without_intercept()
        unknown = [term for term in added.terms if term not in whole.terms]
        if unknown:
            raise FormulaError(
                f"The step {block!r} has a term that {parsed.text!r} does not have; every step is "
                "a part of the formula."
            )
        start = start + added
        found.append((block, formula_of(outcome, start)))
    left = Terms(tuple(term for term in whole.terms if term not in start.terms))
    if left.terms:
        found.append((str(left.without_intercept()).removeprefix("0 + "), parsed))
    else:
        found[-1] = (found[-1][0], parsed)
    return found


def _fit(
    formula: MixedFormula,
    data: pd.DataFrame,
    family: str,
    weights: str | None,
    also: tuple[str, ...],
) -> LinearFit | GeneralizedFit:
    if family == "linear":
        design, _ = build_design(formula, data, weights=weights, also=also)
        return fit_linear(design, reml=True)
    design, used = build_design(formula, data, also=also, residual_variance=False)
    kind = family_of("binomial" if family == "logistic" else "poisson", None)
    return fit_generalized(design, kind, np.ones(len(used)), nodes=1, weights=None, offset=None)


def _clusters(
    name: str, data: pd.DataFrame, also: tuple[str, ...], weights: str | None
) -> Clusters:
    used, _ = complete_rows(data, [*also, *([] if weights is None else [weights])], {})
    codes, labels = group_codes(used[name])
    check_spelling(used[name], kind="cluster")
    if len(labels) < 2:
        raise NotIdentifiedError(
            f"cluster='{name}' has one cluster in the rows used ('{labels[0]}'): no error can be "
            "had from it. Leave cluster= out."
        )
    return Clusters(name, codes)
